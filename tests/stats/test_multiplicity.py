"""Corrected p-values equal SciPy's and statsmodels' definitions and keep their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.stats.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm

FAMILY = st.lists(st.floats(0, 1), max_size=20)


def holm_by_hand(p: list[float]) -> list[float]:
    return [
        min(
            1.0,
            max((sum(r >= q for r in sorted(p)[i:]) and (len(p) - i) * q) for i, q in enumerate(sorted(p)) if q <= v),
        )
        for v in p
    ]


@given(FAMILY)
def test_holm_equals_its_definition(p):
    np.testing.assert_allclose(holm(p), holm_by_hand(p), atol=1e-12)


@given(FAMILY)
def test_false_discovery_rates_equal_scipys(p):
    from scipy.stats import false_discovery_control

    for ours, name in ((benjamini_hochberg, "bh"), (benjamini_yekutieli, "by")):
        expected = false_discovery_control(p, method=name) if p else []
        np.testing.assert_allclose(ours(p), expected, atol=1e-12)


@given(FAMILY)
def test_corrections_raise_p_and_keep_the_order(p):
    for correct in (holm, benjamini_hochberg, benjamini_yekutieli):
        adjusted = correct(p)
        assert (adjusted >= np.array(p) - 1e-15).all()
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    assert (benjamini_hochberg(p) <= holm(p) + 1e-15).all()


def test_undefined_tests_are_not_counted():
    with_gap = np.array([0.01, np.nan, 0.04])
    for correct in (holm, benjamini_hochberg):
        adjusted = correct(with_gap)
        assert np.isnan(adjusted[1])
        np.testing.assert_array_equal(adjusted[[0, 2]], correct([0.01, 0.04]))


def test_impossible_p_values_are_refused():
    for p in ([1.2], [-0.1], [[0.1]]):
        with pytest.raises(InputError):
            holm(p)
