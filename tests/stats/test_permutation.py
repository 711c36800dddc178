"""Permutation p-values: equal to enumeration, never 0, uniform or larger under the null."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.stats import permutation
from fairvl.stats.permutation import two_sample_p, two_sample_ps


def by_hand(x: list[float], y: list[float], tail: str) -> float:
    """Share of splits at least as extreme, in exact rational arithmetic."""
    from fractions import Fraction

    pooled = [Fraction(v).limit_denominator(10**9) for v in (*x, *y)]
    n, m = len(x), len(y)

    def difference(chosen: set[int]) -> Fraction:
        return sum(pooled[i] for i in chosen) / n - sum(v for i, v in enumerate(pooled) if i not in chosen) / m

    observed = difference(set(range(n)))
    splits = [difference(set(c)) for c in itertools.combinations(range(n + m), n)]
    extreme = {
        "greater": lambda d: d >= observed,
        "less": lambda d: d <= observed,
        "two-sided": lambda d: abs(d) >= abs(observed),
    }[tail]
    return sum(map(extreme, splits)) / len(splits)


TENTHS = st.lists(st.integers(-5, 5).map(lambda i: i / 10), min_size=1, max_size=5)


@pytest.mark.parametrize("tail", ["greater", "less", "two-sided"])
@pytest.mark.parametrize("matched", [False, True], ids=["enumeration", "meet in the middle"])
@settings(max_examples=60, deadline=None)
@given(x=TENTHS, y=TENTHS)
def test_exact_p_equals_counting_by_hand_with_ties_and_unequal_sizes(tail, matched, x, y):
    found = two_sample_p(x, y, tail=tail, method="match" if matched else "enumerate")
    assert found.method == (permutation.MATCHED if matched else permutation.ENUMERATED)
    assert found.p == pytest.approx(by_hand(x, y, tail), abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(7, 7), (8, 8), (9, 9), (5, 9), (9, 4), (1, 9), (12, 2)])
@pytest.mark.parametrize("tail", ["greater", "less", "two-sided"])
def test_meeting_in_the_middle_equals_enumeration_gate_20(n, m, tail):
    rng = np.random.default_rng(n * 100 + m)
    x, y = rng.normal(0.7, 1, n), rng.normal(0, 1, m)
    pooled = np.concatenate([x, y])
    index = np.array(list(itertools.combinations(range(n + m), n)))
    sums = pooled[index].sum(axis=1)
    differences = sums / n - (pooled.sum() - sums) / m
    observed = x.mean() - y.mean()
    expected = {
        "greater": (differences >= observed - 1e-12).mean(),
        "less": (differences <= observed + 1e-12).mean(),
        "two-sided": (np.abs(differences) >= abs(observed) - 1e-12).mean(),
    }[tail]
    found = two_sample_p(x, y, tail=tail, method="match")
    assert found.method == permutation.MATCHED
    assert two_sample_p(x, y, tail=tail, method="enumerate").p == found.p
    assert found.p == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("tail", ["greater", "less", "two-sided"])
def test_exact_p_equals_scipy_at_six_per_side_gate_20(tail):
    from scipy.stats import permutation_test

    rng = np.random.default_rng(3)
    for shift in (0.0, 0.8, -0.8):
        x, y = rng.normal(shift, 1, 6), rng.normal(0, 1, 6)
        theirs = permutation_test(
            (x, y),
            lambda u, v, axis: u.mean(axis) - v.mean(axis),
            alternative=tail,
            n_resamples=np.inf,
            vectorized=True,
        )
        assert two_sample_p(x, y, tail=tail).p == pytest.approx(theirs.pvalue, abs=1e-12)


def test_separated_sets_of_twenty_have_the_smallest_attainable_p():
    x, y = np.arange(20.0) + 100, np.arange(20.0)
    found = two_sample_p(x, y)
    assert found.p == found.floor == 1 / math.comb(40, 20)
    assert found.n_permutations == math.comb(40, 20)
    both = two_sample_p(x, y, tail="two-sided")
    assert both.p == both.floor == 2 / math.comb(40, 20)
    assert two_sample_p(x, y, tail="less").p == 1.0


def test_identical_values_give_p_one_in_every_tail():
    for tail in ("greater", "less", "two-sided"):
        for limit in (permutation.EXACT_LIMIT, 0):
            assert two_sample_p([0.1] * 7, [0.1] * 7, tail=tail, exact_limit=limit, draws=99).p == 1.0


def test_ties_in_reordered_sums_count_against_significance():
    x, y = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]  # 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1 in floating point
    assert sum(x) != sum(y)
    assert two_sample_p(x, y, tail="greater").p == by_hand(x, y, "greater") > 0.5
    float32 = np.array([0.1, 0.2, 0.3], np.float32)
    assert two_sample_p(float32, float32[::-1]).p == two_sample_p(float32[::-1], float32).p


def test_swapping_the_groups_leaves_the_two_sided_p_gate_23():
    rng = np.random.default_rng(5)
    for n, m in ((6, 6), (3, 11), (20, 20), (17, 22)):
        x, y = rng.normal(-1, 1, n), rng.normal(0, 2, m)
        assert two_sample_p(x, y, tail="two-sided").p == two_sample_p(y, x, tail="two-sided").p
    assert two_sample_p(x, y, tail="greater").p == two_sample_p(y, x, tail="less").p


def test_sampled_p_agrees_with_exact_and_is_never_zero():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.6, 1, 15), rng.normal(0, 1, 12)
    for tail in ("greater", "less", "two-sided"):
        exact = two_sample_p(x, y, tail=tail)
        drawn = two_sample_p(x, y, tail=tail, exact_limit=0, draws=20_000, seed=1)
        assert (exact.method, drawn.method) == (permutation.MATCHED, permutation.SAMPLED)
        assert abs(drawn.p - exact.p) < 4 * drawn.error + 1e-4
    apart = two_sample_p(np.arange(30.0) + 100, np.arange(30.0), draws=999, method="sample")
    assert apart.p == apart.floor == 1 / 1000


def test_six_hundred_per_side_do_not_overflow():
    rng = np.random.default_rng(0)
    found = two_sample_p(rng.normal(size=600), rng.normal(size=600), draws=2000)
    assert found.method == permutation.SAMPLED
    assert 0 < found.p <= 1


def test_few_against_many_are_counted_exactly_when_the_splits_are_few():
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 1, 2), rng.normal(size=300)
    found = two_sample_p(x, y)
    pairs = np.array([sum(c) for c in itertools.combinations(np.concatenate([x, y]), 2)])
    assert found.is_exact
    assert found.p == pytest.approx((pairs >= x.sum() - 1e-12).mean(), abs=1e-14)


def test_same_seed_same_p_and_rows_share_their_splits():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 30)), rng.normal(size=(3, 25))
    rows = two_sample_ps(x, y, draws=500, seed=7)
    assert rows == tuple(two_sample_p(a, b, draws=500, seed=7) for a, b in zip(x, y, strict=True))
    assert rows != two_sample_ps(x, y, draws=500, seed=8)


def test_p_is_uniform_under_the_null_up_to_its_grid_gate_17():
    rng = np.random.default_rng(11)
    p = np.array([f.p for f in two_sample_ps(rng.normal(size=(2000, 6)), rng.normal(size=(2000, 6)))])
    grid = np.arange(1, 925) / 924
    excess = (p[:, None] <= grid + 1e-12).mean(axis=0) - grid
    assert excess.max() < 1.63 / math.sqrt(2000)  # Kolmogorov's 1 % point
    assert 0.04 <= (p <= 0.05).mean() <= 0.06
    shifted = two_sample_ps(rng.normal(1, 1, size=(200, 6)), rng.normal(size=(200, 6)))
    assert np.mean([f.p <= 0.05 for f in shifted]) > 0.3  # power


@pytest.mark.parametrize(
    ("x", "y"),
    [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([np.inf], [1.0]), ([[1.0]], [1.0]), (["a"], [1.0])],
)
def test_unusable_values_are_refused(x, y):
    with pytest.raises(InputError, match="values_"):
        two_sample_p(x, y)


def test_unusable_options_are_refused():
    with pytest.raises(InputError, match="tail"):
        two_sample_p([1.0], [2.0], tail="both")
    with pytest.raises(InputError, match="draws"):
        two_sample_p([1.0], [2.0], draws=0)
    with pytest.raises(InputError, match="rows"):
        two_sample_ps(np.ones((2, 3)), np.ones((3, 3)))
