"""Gaps over groups: equal groups hold a gap of 0, and one tiny group does not hide a gap between large ones."""

from itertools import combinations

import numpy as np
import pytest

from fairvl.measure.groups import disaggregate, group_summary
from fairvl.stats.spread import Extremes, GapBand, floor, lowest_band, quantile


def test_the_band_equals_a_loop_over_pairs():
    rng = np.random.default_rng(0)
    observed = np.array([[0.5, 0.9, 0.6, np.nan], [0.2, 0.2, 0.7, 0.1]])
    replicates = observed + rng.normal(size=(400, 2, 4)) * [0.1, 0.01, 0.05, 0.2]
    least = np.full((2, 4), 0.02)
    spread = np.maximum(replicates.std(axis=0), least)
    widest = np.zeros(400)
    ends = []
    pairs = [
        (r, i, j) for r in range(2) for i, j in combinations(range(4), 2) if not np.isnan(observed[r, [i, j]]).any()
    ]
    for r, i, j in pairs:
        error = (replicates[:, r, i] - replicates[:, r, j]) - (observed[r, i] - observed[r, j])
        widest = np.maximum(widest, np.abs(error) / np.hypot(spread[r, i], spread[r, j]))
    q = np.sort(widest)[int(np.ceil(0.9 * 401)) - 1]
    for row in range(2):
        values = [
            (abs(observed[r, i] - observed[r, j]), q * np.hypot(spread[r, i], spread[r, j]))
            for r, i, j in pairs
            if r == row
        ]
        ends.append((max(0.0, *(d - s for d, s in values)), max(d + s for d, s in values)))
    low, high = GapBand.of(observed, replicates, least).ends(0.9)
    np.testing.assert_allclose(low, [e[0] for e in ends], atol=1e-5)
    np.testing.assert_allclose(high, [e[1] for e in ends], atol=1e-5)
    assert low[0] > 0.1  # there is a gap to find


def test_held_extremes_keep_the_sign():
    extremes = Extremes.of(np.array([[0.3, np.nan, 0.8], [np.nan, 0.5, np.nan]]))
    values = np.array([[[0.9, 0.1, 0.2], [0.4, 0.5, 0.6]]])
    np.testing.assert_allclose(extremes.gaps(values), [[0.2 - 0.9, np.nan]])


def coverage(shares, sizes, runs=150, **settings):
    rng = np.random.default_rng(1)
    groups = np.repeat([f"g{i}" for i in range(len(shares))], sizes)
    truth = np.ones(len(groups), dtype=int)
    held = np.zeros(2)
    for run in range(runs):
        hits = (rng.random(len(groups)) < np.repeat(shares, sizes)).astype(int)
        frame = disaggregate("accuracy", truth, hits, groups, n_boot=300, seed=run, **settings)
        for i, (e, v) in enumerate(((frame.difference, np.ptp(shares)), (frame.worst, min(shares)))):
            held[i] += e.low <= v <= e.high
    return held / runs


@pytest.mark.parametrize("interval", ["percentile", "bca"])
@pytest.mark.parametrize("shares", [(0.75, 0.75), (0.8, 0.7)])
def test_two_groups_cover_at_the_null_and_beyond(shares, interval):
    assert (coverage(shares, (40, 80), interval=interval) >= 0.90).all()


@pytest.mark.parametrize("shares", [(0.75,) * 5, (0.85, 0.8, 0.8, 0.75, 0.6)])
def test_many_groups_cover_at_the_null_and_beyond(shares):
    assert (coverage(shares, (60, 80, 100, 120, 140)) >= 0.91).all()


def test_a_tiny_group_does_not_hide_a_sure_gap():
    rng = np.random.default_rng(0)
    groups = np.repeat(["big", "other", "tiny"], [3000, 3000, 4])
    hits = (rng.random(6004) < np.where(groups == "big", 0.9, 0.7)).astype(int)
    frame = disaggregate("accuracy", np.ones(6004, dtype=int), hits, groups)
    assert frame.difference.low > 0.1
    assert frame.difference.high > 0.3  # the tiny group may be far off
    assert "simultaneous" in frame.difference.method


def test_a_group_whose_rows_agree_is_not_certain():
    truth = np.ones(60, dtype=int)
    hits = np.where(np.arange(60) < 58, np.arange(60) % 5 > 0, 1).astype(int)
    groups = np.repeat(["a", "b", "c"], [30, 28, 2])
    frame = disaggregate("accuracy", truth, hits, groups)
    assert frame.by_group["c"].value == 1
    assert frame.by_group["c"].low == pytest.approx(0.342, abs=0.001)
    assert frame.by_group["c"].method == "wilson"
    assert frame.difference.low == 0
    assert frame.difference.high > frame.difference.value + 0.1


def test_named_gaps_hold_nothing_when_nothing_is_there():
    rng = np.random.default_rng(2)
    runs, held = 60, {}
    for run in range(runs):
        groups = rng.integers(0, 4, 600)
        truth = rng.integers(0, 2, 600)
        prediction = np.where(rng.random(600) < 0.2, 1 - truth, truth)
        for name, e in group_summary(truth, prediction, groups, n_boot=200, seed=run).measures.items():
            if "difference" in name or name == "accuracy_gap":
                held[name] = held.get(name, 0) + (e.low <= 0)
    assert len(held) == 4
    assert min(held.values()) / runs > 0.88


def test_the_lowest_band_and_the_floor():
    rng = np.random.default_rng(0)
    observed = np.array([0.5, 0.8])
    low, high = lowest_band(observed, observed + 0.05 * rng.normal(size=(2000, 2)), np.zeros(2), 0.95)
    assert low == pytest.approx(0.5 - 2.24 * 0.05, abs=0.01)
    assert high == pytest.approx(0.5 + 2.24 * 0.05, abs=0.01)
    assert floor(np.array([1.0]), np.array([1.0]))[0] == pytest.approx(np.sqrt(0.6 * 0.4 / 5))
    assert quantile(np.arange(1.0, 100.0), 0.95) == 95
