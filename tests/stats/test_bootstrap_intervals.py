"""Bootstrap counts and intervals: equal to SciPy's, clustered, defined where they can be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairvl.errors import InputError
from fairvl.stats.bootstrap import (
    draw_blocks,
    draw_counts,
    interval,
    resample_counts,
    stratified_jackknife,
    undefined_share,
)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_of_a_mean_equal_scipys(method):
    from scipy.stats import bootstrap

    x = np.random.default_rng(0).exponential(size=40)
    replicates = resample_counts(40, 40_000, np.random.default_rng(1)) @ x / 40
    low, high = interval(replicates, x.mean(), method=method, jackknife=(x.sum() - x) / 39)
    name = "BCa" if method == "bca" else "percentile"
    theirs = bootstrap((x,), np.mean, n_resamples=40_000, method=name, rng=np.random.default_rng(2)).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.01)
    assert high == pytest.approx(theirs.high, abs=0.01)


def test_bca_of_two_samples_equals_scipys():
    from scipy.stats import bootstrap

    rng = np.random.default_rng(0)
    x, y = rng.exponential(size=20), rng.normal(size=35)
    draws = 40_000
    replicates = resample_counts(20, draws, rng) @ x / 20 - resample_counts(35, draws, rng) @ y / 35
    jackknife = stratified_jackknife([(x.sum() - x) / 19 - y.mean(), x.mean() - (y.sum() - y) / 34])
    low, high = interval(replicates, x.mean() - y.mean(), jackknife=jackknife)
    theirs = bootstrap(
        (x, y), lambda u, v, axis=-1: u.mean(axis) - v.mean(axis), n_resamples=draws, method="BCa", rng=rng
    ).confidence_interval
    assert low == pytest.approx(theirs.low, abs=0.02)
    assert high == pytest.approx(theirs.high, abs=0.02)


def test_columns_are_intervals_of_their_own():
    rng = np.random.default_rng(0)
    replicates, observed, jackknife = rng.normal(size=(500, 7)), rng.normal(size=7) / 9, rng.normal(size=(12, 7))
    replicates[rng.random(replicates.shape) < 0.1] = np.nan
    for method in ("bca", "percentile"):
        low, high = interval(replicates, observed, method=method, jackknife=jackknife)
        for j in range(7):
            alone = interval(replicates[:, j], observed[j], method=method, jackknife=jackknife[:, j])
            assert (low[j], high[j]) == alone


def test_undefined_replicates_are_left_out_and_counted():
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    with_gaps = np.insert(values, np.arange(0, 1000, 10), np.nan)
    assert interval(with_gaps, 0.0, method="percentile") == interval(values, 0.0, method="percentile")
    assert undefined_share(with_gaps) == pytest.approx(100 / 1100)
    mostly_gone = np.where(np.arange(1000) < 600, np.nan, values)
    assert all(map(math.isnan, interval(mostly_gone, 0.0, method="percentile")))
    assert all(map(math.isnan, interval(values, math.nan, method="percentile")))


def test_small_samples_widen_the_percentile_interval():
    values = np.random.default_rng(0).normal(size=4000)
    plain = interval(values, 0.0, method="percentile")
    eight = interval(values, 0.0, method="percentile", units=8)
    many = interval(values, 0.0, method="percentile", units=10**6)
    assert eight[0] < plain[0] < plain[1] < eight[1]
    assert many == pytest.approx(plain, abs=1e-3)


def test_all_replicates_on_one_side_still_give_finite_ends():
    low, high = interval(np.full(100, 2.0), 1.0, jackknife=[1.0, 1.0, 1.0])
    assert (low, high) == (2.0, 2.0)


def test_ties_of_four_units_are_ties_whatever_the_order_of_their_sums():
    values = np.array([0.1, 0.2, 0.3, 0.7])
    counts = resample_counts(4, 2000, np.random.default_rng(0))
    replicates, left_out = counts @ values / 4, (values.sum() - values) / 3
    rounded = np.array([math.fsum(np.repeat(values[::-1], row[::-1].astype(int))) / 4 for row in counts])
    assert (np.abs(replicates - values.mean()) < 1e-12).mean() > 0.05
    assert ((replicates == values.mean()) != (rounded == values.mean())).any()
    ends = [interval(r, values.mean(), jackknife=left_out) for r in (replicates, rounded)]
    np.testing.assert_allclose(*ends, rtol=1e-12)


def test_counts_are_those_of_draws_with_replacement():
    rng = np.random.default_rng(0)
    counts = resample_counts(5, 20_000, rng)
    assert counts.shape == (20_000, 5)
    assert (counts.sum(axis=1) == 5).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.03)
    np.testing.assert_allclose(np.cov(counts.T), np.eye(5) - 0.2, atol=0.05)  # multinomial covariance


def test_clusters_are_drawn_whole():
    labels = ["rose", "rose", "ant", "rose", "bee", "ant"]
    counts = resample_counts(labels, 300, np.random.default_rng(0))
    assert (counts[:, 0] == counts[:, 1]).all()
    assert (counts[:, 0] == counts[:, 3]).all()
    assert (counts[:, 2] == counts[:, 5]).all()
    assert (counts[:, [0, 2, 4]].sum(axis=1) == 3).all()


def test_clusters_widen_the_interval_of_a_mean():
    rng = np.random.default_rng(0)
    word = np.repeat(np.arange(25), 6)
    values = rng.normal(size=25)[word] + 0.1 * rng.normal(size=150)
    spread = {}
    for name, units in (("rows", 150), ("words", word)):
        spread[name] = (resample_counts(units, 2000, rng) @ values / 150).std()
    assert spread["words"] > 2 * spread["rows"]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 20), draws=st.integers(1, 50), split=st.integers(0, 50))
def test_counts_drawn_in_blocks_are_the_same_counts(n, draws, split):
    split = min(split, draws)
    whole = draw_counts(n, draws, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(
        whole, np.concatenate([draw_counts(n, split, rng), draw_counts(n, draws - split, rng)])
    )
    assert sum(draw_blocks(draws, 10**6)) == draws


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 40)), elements=st.floats(-1e3, 1e3)), st.floats(0.5, 0.99))
def test_percentile_ends_are_ordered_and_within_the_replicates(values, level):
    low, high = interval(values, 0.0, method="percentile", level=level)
    assert values.min() <= low <= high <= values.max()


@pytest.mark.parametrize(
    "arguments",
    [
        {"replicates": [], "observed": 0.0},
        {"replicates": [1.0, 2.0], "observed": [0.0]},
        {"replicates": [1.0, 2.0], "observed": 0.0, "level": 95},
        {"replicates": [1.0, 2.0], "observed": 0.0, "method": "bca"},
        {"replicates": [1.0, 2.0], "observed": 0.0, "method": "basic"},
        {"replicates": [1.0, 2.0], "observed": 0.0, "units": 1},
        {"replicates": [[1.0, 2.0]], "observed": [0.0, 0.0], "method": "bca", "jackknife": [[1.0]]},
    ],
)
def test_unusable_arguments_are_refused(arguments):
    with pytest.raises(InputError):
        interval(**({"method": "percentile"} | arguments))


@pytest.mark.parametrize("units", [0, [], [[1]], [1.0, float("nan")]])
def test_unusable_units_are_refused(units):
    with pytest.raises(InputError, match="clusters"):
        resample_counts(units, 3, np.random.default_rng(0))
