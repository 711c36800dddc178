"""What a fit and a streamed application hold in memory, counted by the allocator."""

import tracemalloc

import numpy as np
import pytest

from fairvl.repair.debias import CalibratedProjection, Leace, random_projection
from fairvl.repair.debias.treating import treat_file

MB = 1_000_000


def added(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_fit_forms_no_square_matrix(slow):
    prompts, left, right, queries = (slow.rows(seed, n, 2048) for seed, n in enumerate((8, 80, 80, 2)))
    assert added(lambda: CalibratedProjection().fit(prompts, left, right)(queries)) <= 20 * MB
    assert added(lambda: np.zeros((2048, 2048)) + 1.0) > 33 * MB  # what one d x d matrix would take


@pytest.mark.parametrize("kind", ["factors", "affine"])
def test_a_file_is_treated_in_memory_that_does_not_grow_with_it(slow, tmp_path, kind):
    dim = 128
    operator = random_projection(dim, 3)
    if kind == "affine":
        operator = Leace().fit(slow.rows(0, 400, dim), ["a", "b"] * 200)
    peaks = []
    for rows in (5_000, 40_000):
        np.save(tmp_path / "in.npy", slow.rows(1, rows, dim).astype(np.float16))
        peaks.append(added(lambda: treat_file(operator, tmp_path / "in.npy", tmp_path / "out.npy")))
    assert max(peaks) < 4 * MB < (tmp_path / "out.npy").stat().st_size
    assert peaks[1] < 1.1 * peaks[0]
    shown = operator(np.load(tmp_path / "in.npy")[:500]).astype(np.float64)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy")[:500], shown, rtol=2e-3, atol=2e-6)  # one last digit
