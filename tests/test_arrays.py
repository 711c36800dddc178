"""Which arrays are usable vectors, and what every other one is told."""

from __future__ import annotations

import numpy as np
import pytest

from fairvl.arrays import blocks, check_vectors, unit_rows
from fairvl.errors import InputError


@pytest.mark.parametrize(
    ("vectors", "says"),
    [
        (np.zeros((0, 3)), "0 vectors"),
        ([], "0 vectors|two dimensions"),
        ([[1.0, np.nan]], "NaN or infinity"),
        ([[1.0, np.inf]], "NaN or infinity"),
        ([[0.0, 0.0], [1.0, 0.0]], "1 rows are zero, first row 0"),
        ([[1.0], [1.0, 2.0]], "different lengths"),
        ([["a"]], "not numeric"),
        (np.zeros((1, 2, 3)), "two dimensions"),
        (np.zeros((2, 0)), "width 0"),
        ([[1.0, 2.0]], "expected 3"),
    ],
)
def test_an_unusable_array_says_why(vectors, says):
    with pytest.raises(InputError, match=says):
        check_vectors(vectors, dim=3 if says == "expected 3" else None)


def test_rows_become_unit_whatever_their_scale():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(50, 7))
    for scale in (1e-200, 1e-8, 1.0, 1e8, 1e200):
        np.testing.assert_allclose(unit_rows(base * scale), unit_rows(base), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(unit_rows(base), axis=1), 1.0, atol=1e-12)


def test_half_precision_is_widened_and_input_is_left_alone():
    given = np.full((2, 3), 60000, dtype=np.float16)  # squares would overflow
    before = given.copy()
    assert np.isfinite(unit_rows(given)).all()
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize(("n", "size"), [(0, 3), (1, 3), (3, 3), (7, 3)])
def test_blocks_cover_every_row_once(n, size):
    rows = [row for block in blocks(n, size) for row in range(n)[block]]
    assert rows == list(range(n))
