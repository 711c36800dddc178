"""Lattice, saddlepoint, shared random splits and max-T against exact counts and plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.stats import permutation
from fairvl.stats.permutation import max_t, two_sample_p, two_sample_ps
from fairvl.stats.permutation.sampled import split_masks

TAILS = ("greater", "less", "two-sided")


def planted_cases(n: int = 20, count: int = 48, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shifted normal, skewed, flat and heavy-tailed samples."""
    rng = np.random.default_rng(seed)
    shapes = [
        lambda: rng.normal(size=n),
        lambda: rng.exponential(size=n),
        lambda: rng.uniform(-1, 1, n),
        lambda: rng.standard_t(3, n),
    ]
    return [(shapes[i % 4]() + rng.uniform(-1.2, 1.2), shapes[i % 4]()) for i in range(count)]


@pytest.fixture(scope="module")
def exact_at_twenty() -> list[tuple[np.ndarray, np.ndarray, dict[str, float]]]:
    cases = planted_cases()
    return [(x, y, {t: two_sample_p(x, y, tail=t, method="match").p for t in TAILS[::2]}) for x, y in cases]


def test_lattice_brackets_hold_the_exact_p_gate_21(exact_at_twenty):
    widths, outside = [], 0
    for x, y, exact in exact_at_twenty:
        for tail, p in exact.items():
            found = two_sample_p(x, y, tail=tail, method="lattice", grid=600)
            assert found.low <= p <= found.high
            assert found.low <= found.p <= found.high
            assert found.method == permutation.LATTICE
            widths.append((found.high - found.low) / found.p)
            outside += not found.low <= p * 1.2 <= found.high
    assert np.median(widths) < 0.05
    assert outside > len(widths) / 2  # power: the brackets are narrow enough to refuse a wrong p


def test_finer_grids_give_narrower_brackets_also_for_unequal_sizes():
    rng = np.random.default_rng(4)
    x, y = rng.normal(0.7, 1, 9), rng.normal(size=17)
    for tail in TAILS:
        exact = two_sample_p(x, y, tail=tail).p
        brackets = [two_sample_p(x, y, tail=tail, method="lattice", grid=g) for g in (50, 500, 5000)]
        assert all(b.low <= exact <= b.high for b in brackets)
        assert [b.error for b in brackets] == sorted((b.error for b in brackets), reverse=True)
        assert brackets[-1].p == pytest.approx(exact, rel=2e-3)


def test_values_on_a_grid_are_counted_exactly_by_the_lattice():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 5, 14), rng.integers(0, 4, 12)  # five distinct values: nothing smooth about the sums
    for tail in TAILS:
        found = two_sample_p(x, y, tail=tail, method="lattice", grid=4 * 50)
        assert found.p == pytest.approx(two_sample_p(x, y, tail=tail).p, rel=0.05)
        assert found.low <= two_sample_p(x, y, tail=tail).p <= found.high


def test_the_saddlepoint_is_within_a_percent_or_so_gate_22(exact_at_twenty):
    wrong, covered = [], []
    for x, y, exact in exact_at_twenty:
        for tail, p in exact.items():
            found = two_sample_p(x, y, tail=tail, method="saddlepoint")
            wrong.append(abs(found.p / p - 1))
            if found.method == permutation.SADDLEPOINT:
                covered.append(abs(found.p - p) <= found.error)
                assert math.isnan(found.low)
            else:
                assert found.p == pytest.approx(p, rel=1e-12)
    assert np.median(wrong) < 0.005
    assert max(wrong) < 0.05
    assert np.mean(covered) > 0.8
    assert len(covered) > 40  # power: the formula, not the exact count of thin tails, was tested


@pytest.mark.parametrize(("n", "m"), [(12, 12), (10, 25), (25, 10)])
@pytest.mark.parametrize("tail", TAILS)
def test_the_saddlepoint_takes_small_and_unequal_sizes(n, m, tail):
    rng = np.random.default_rng(n)
    x, y = rng.normal(0.4, 1, (30, n)), rng.normal(size=(30, m))
    exact = np.array([p.p for p in two_sample_ps(x, y, tail=tail)])
    found = np.array([p.p for p in two_sample_ps(x, y, tail=tail, method="saddlepoint")])
    np.testing.assert_allclose(found, exact, rtol=0.03)
    assert np.median(abs(found / exact - 1)) < 0.005


@pytest.mark.parametrize(("n", "m"), [(20, 20), (350, 350), (30, 70)])
def test_complete_separation_is_one_split_of_all_gate_22(n, m):
    rng = np.random.default_rng(0)
    x, y = 10 + rng.normal(size=n), rng.normal(size=m)
    for method in ("saddlepoint", "auto"):
        found = two_sample_p(x, y, method=method, draws=999)
        assert found.p == found.floor == 1 / math.comb(n + m, n)
        assert found.is_exact
    assert two_sample_p(y, x, method="saddlepoint").p == 1.0
    tied = np.concatenate([x[:-1], [y.max()]])  # the smallest of x is as large as the largest of y: two splits
    assert two_sample_p(tied, y, method="saddlepoint").p == pytest.approx(2 / math.comb(n + m, n), rel=1e-12)


@pytest.mark.parametrize("tail", ["greater", "less", "two-sided"])
@pytest.mark.parametrize(("n", "m"), [(3, 3), (6, 6), (4, 7), (1, 1)])
def test_the_floor_is_the_smallest_p_of_all_data(n, m, tail):
    """The most extreme data of these sizes reach it, in every method that counts; no labelling gets below."""
    low, high = np.arange(n + m) - 100.0, np.arange(n + m) + 0.0
    x, y = (low[:n], high[n:]) if tail == "less" else (high[-n:] + 100, low[:m])
    labellings = itertools.combinations(range(n + m), n)
    pooled = np.concatenate([x, y])
    least = min(
        two_sample_p(pooled[list(chosen)], np.delete(pooled, chosen), tail=tail, method="enumerate").p
        for chosen in labellings
    )
    for method in ("enumerate", "match", "lattice", "saddlepoint"):
        if method != "saddlepoint" or n + m > 2:
            found = two_sample_p(x, y, tail=tail, method=method)
            assert found.p == pytest.approx(least, rel=1e-9)
            assert found.floor == pytest.approx(least, rel=1e-12)


def test_thin_tails_of_large_sets_are_counted_exactly():
    x, y = np.arange(100.0) + 100, np.arange(100.0)
    x[0], y[-1] = 98.5, 99.5  # by hand: the sum over x is one less than the largest, ...
    pooled = np.sort(np.concatenate([x, y]))
    gaps = [(i, j) for i in range(95, 100) for j in range(100, 105) if pooled[j] - pooled[i] <= 1.0 + 1e-9]
    swaps = 1 + len(gaps)  # ... which no exchange of two pairs, at least 1.0 + 3.0 apart, reaches
    assert two_sample_p(x, y, method="saddlepoint").p == pytest.approx(swaps / math.comb(200, 100), rel=1e-12)


def test_six_hundred_per_side_do_not_overflow_gate_23():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.1, 1, 600), rng.normal(size=600)
    saddlepoint = two_sample_p(x, y, method="saddlepoint", tail="two-sided")
    swapped = two_sample_p(y, x, method="saddlepoint", tail="two-sided")
    sampled = two_sample_p(x, y, method="sample", tail="two-sided", draws=20_000)
    lattice = two_sample_p(x[:100], y[:100], method="lattice", grid=400)
    assert saddlepoint.p == pytest.approx(swapped.p, rel=1e-9)
    assert abs(saddlepoint.p - sampled.p) < 4 * sampled.error
    assert lattice.low <= two_sample_p(x[:100], y[:100], method="saddlepoint").p <= lattice.high
    assert lattice.high < 1.5 * lattice.low
    apart = two_sample_p(x + 100, y, method="saddlepoint")
    assert 0 < apart.p < 1e-300


@pytest.mark.parametrize("method", ["enumerate", "match", "lattice", "saddlepoint", "sample"])
def test_two_sided_p_is_symmetric_and_tails_mirror_in_every_method(method):
    rng = np.random.default_rng(8)
    for n, m in ((9, 9), (8, 10)):
        x, y = rng.normal(-0.8, 1, n), rng.normal(size=m)
        options = {"method": method, "draws": 49_999}
        there, back = two_sample_p(x, y, tail="two-sided", **options), two_sample_p(y, x, tail="two-sided", **options)
        assert there.p == pytest.approx(back.p, rel=0.25 if method == "sample" else 1e-9)
        up, down = two_sample_p(x, y, tail="greater", **options), two_sample_p(y, x, tail="less", **options)
        assert up.p == pytest.approx(down.p, rel=0.02 if method == "sample" else 1e-9)
        exact = two_sample_p(x, y, tail="two-sided").p
        assert there.p == pytest.approx(exact, rel=0.3 if method == "sample" else 0.1)


def test_random_splits_are_uniform_and_independent():
    masks = split_masks(2, 5, 40_000, np.random.default_rng(0))
    assert masks.shape == (5, 40_000)
    assert (masks.sum(axis=0) == 2).all()
    codes = (masks * np.array([[1], [2], [4], [8], [16]])).sum(axis=0)
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 10
    assert ((counts - 4000) ** 2 / 4000).sum() < 27.9  # chi squared with 9 degrees of freedom, 0.1 % point


def test_reordered_masks_have_the_mean_and_variance_of_independent_draws():
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.5, 1, 15), rng.normal(size=15)
    exact = two_sample_p(x, y).p
    draws = 40_000  # several readings of each block of masks
    found = np.array([two_sample_p(x, y, method="sample", draws=draws, seed=s).p for s in range(60)])
    standard_error = math.sqrt(exact * (1 - exact) / draws)
    assert abs(found.mean() - exact) < 4 * standard_error / math.sqrt(60)
    assert 0.6 < (found.std(ddof=1) / standard_error) ** 2 < 1.6


def test_near_ties_are_decided_in_double_precision():
    """Sums that float32 cannot tell apart: the observed one is the largest, by 1e-9 of the spread, or ties."""
    base = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    nudged = base.copy()
    nudged[0] += 1e-9
    rows = np.stack([base, nudged, nudged[[1, 2, 3, 4, 0, 5, 6, 7]]])
    for tail in TAILS:
        exact = two_sample_ps(rows[:, :4], rows[:, 4:], tail=tail, method="enumerate")
        drawn = two_sample_ps(rows[:, :4], rows[:, 4:], tail=tail, method="sample", draws=20_000)
        for e, d in zip(exact, drawn, strict=True):
            assert abs(e.p - d.p) < 5 * d.error + 1e-4


def test_a_sampled_row_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 60)), rng.normal(size=(5, 50))
    x[3] *= 1e6
    together = two_sample_ps(x, y, tail="two-sided", draws=30_000)
    alone = [two_sample_p(a, b, tail="two-sided", draws=30_000) for a, b in zip(x, y, strict=True)]
    assert list(together) == alone


def test_auto_counts_where_it_can_and_trusts_the_saddlepoint_where_few_draws_hit():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3, 40)), rng.normal(size=(3, 40))
    x[1] += 1.5
    found = two_sample_ps(x, y, draws=9_999)
    assert [f.method for f in found] == [permutation.SAMPLED, permutation.SADDLEPOINT, permutation.SAMPLED]
    assert found[1].p < 1e-6
    assert two_sample_p(x[1, :6], y[1, :6]).method == permutation.ENUMERATED
    assert two_sample_p(x[1, :15], y[1, :15]).method == permutation.MATCHED
    few = two_sample_p([1.0] * 30 + [2.0] * 30, [0.0] * 50 + [1.0] * 10, draws=999)
    assert few.method == permutation.SAMPLED  # three distinct values: no smooth formula


def brute_max_t(tests, splits, step_down):
    """Westfall and Young in plain loops over given splits (one list of index sets per size)."""
    observed, drawn = [], []
    for x, y in tests:
        for a, b in zip(x, y, strict=True):
            pooled, n, m = np.concatenate([a, b]), len(a), len(b)
            spread = pooled.std(ddof=1) * math.sqrt(1 / n + 1 / m)
            chosen = splits[n, m]
            observed.append(abs(a.mean() - b.mean()) / spread)
            drawn.append(
                [abs(pooled[list(c)].mean() - np.delete(pooled, list(c)).mean()) / spread for c in chosen],
            )
    observed, drawn = np.array(observed), np.array(drawn)
    p = np.zeros(len(observed))
    order = np.argsort(-observed)
    for rank, i in enumerate(order):
        among = drawn[order[rank:]] if step_down else drawn
        p[i] = (among.max(axis=0) >= observed[i] - 1e-9).mean()
    for earlier, later in itertools.pairwise(order):
        p[later] = max(p[later], p[earlier])
    return p


@pytest.mark.parametrize("step_down", [False, True])
def test_max_t_equals_a_loop_over_all_splits_of_one_size(step_down):
    rng = np.random.default_rng(6)
    tests = [(rng.normal(shift, 1, (3, 4)), rng.normal(size=(3, 4))) for shift in (0.0, 2.0)]
    splits = {(4, 4): list(itertools.combinations(range(8), 4))}
    expected = brute_max_t(tests, splits, step_down)
    found = np.concatenate(max_t(tests, draws=60_000, step_down=step_down))
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert found.max() - found.min() > 0.3  # power


def test_max_t_keeps_the_family_wise_error_and_is_less_strict_than_bonferroni():
    rng = np.random.default_rng(7)
    alarms = []
    for run in range(300):
        shared = rng.normal(size=(1, 24))  # models agree: rows are strongly dependent
        values = shared + 0.2 * rng.normal(size=(10, 24))
        small = rng.normal(size=(4, 12))
        pairs = [(values[:, :12], values[:, 12:]), (small[:, :6], small[:, 6:])]
        alarms.append(min(p.min() for p in max_t(pairs, draws=199, seed=run)) <= 0.1)
    assert 0.05 <= np.mean(alarms) <= 0.15
    shifted = values[:, :12] + 1.2, values[:, 12:]
    adjusted = max_t([shifted], draws=4_999)[0]
    single = np.array([p.p for p in two_sample_ps(*shifted, tail="two-sided")])
    assert (adjusted >= single - 0.01).all()
    assert np.median(adjusted) < np.median(np.minimum(single * 10, 1))


def test_step_down_is_never_less_powerful_and_nan_rows_stay_outside_the_family():
    rng = np.random.default_rng(9)
    x, y = rng.normal(0.5, 1, (6, 20)), rng.normal(size=(6, 20))
    down, single = (max_t([(x, y)], draws=999, step_down=s)[0] for s in (True, False))
    assert (down <= single).all()
    assert (down < single).any()
    hurt_x, flat_y = np.vstack([x, np.full(20, np.nan), np.ones(20)]), np.vstack([y, y[:1], np.ones(20)])
    hurt = max_t([(hurt_x, flat_y)], draws=999)[0]
    np.testing.assert_array_equal(hurt[:6], down)
    assert np.isnan(hurt[6:]).all()


def test_max_t_tails_point_the_right_way():
    rng = np.random.default_rng(1)
    x, y = rng.normal(1.5, 1, (1, 15)), rng.normal(size=(1, 15))
    p = {tail: float(max_t([(x, y)], tail=tail, draws=999)[0][0]) for tail in TAILS}
    assert p["greater"] < 0.01 < p["less"]
    assert p["two-sided"] == pytest.approx(2 * p["greater"], abs=0.01)


def test_what_a_method_cannot_do_is_refused():
    many = np.arange(60.0)
    with pytest.raises(InputError, match="method"):
        two_sample_p([1.0], [2.0], method="guess")
    with pytest.raises(InputError, match="enumerate"):
        two_sample_p(many, many + 0.5, method="enumerate")
    with pytest.raises(InputError, match="match"):
        two_sample_p(many, many + 0.5, method="match")
    with pytest.raises(InputError, match="grid"):
        two_sample_p(many, many + 0.5, method="lattice", grid=1)
    with pytest.raises(InputError, match="coarser"):
        two_sample_p(many, many + 0.5, method="lattice", grid=10**6)
    with pytest.raises(InputError, match="1000 per side"):
        two_sample_p(np.arange(1200.0), many, method="lattice")
    for bad in ([], [(np.ones((2, 3)), np.ones((3, 3)))], [(np.ones(3), np.ones(3))]):
        with pytest.raises(InputError, match="test"):
            max_t(bad)
