"""Before and after share their rows: paired resampling, one set of draws, differences with their own intervals."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.groups import compare, compare_summary, disaggregate, group_summary


def data(seed=0, n=1500):
    rng = np.random.default_rng(seed)
    groups = rng.choice(np.array(["a", "b", "c"]), size=n)
    truth = rng.integers(0, 2, n)
    before = np.where(rng.random(n) < np.where(groups == "b", 0.4, 0.15), 1 - truth, truth)
    after = np.where((groups == "b") & (before != truth) & (rng.random(n) < 0.6), truth, before)
    return truth, before, after, groups


def test_arms_are_the_single_frames_and_the_difference_is_their_difference():
    truth, before, after, groups = data()
    paired = compare("accuracy", truth, before, after, groups)
    for arm, prediction in ((paired.before, before), (paired.after, after)):
        single = disaggregate("accuracy", truth, prediction, groups, n_boot=0)
        assert arm.overall.value == single.overall.value
        assert arm.worst_group == single.worst_group
        assert {g: e.value for g, e in arm.by_group.items()} == {g: e.value for g, e in single.by_group.items()}
    for pick in (lambda f: f.overall, lambda f: f.worst, lambda f: f.difference, lambda f: f.by_group["b"]):
        assert pick(paired.difference).value == pytest.approx(pick(paired.after).value - pick(paired.before).value)
    assert paired.difference.difference.high < 0  # the gap shrank
    assert paired.difference.worst_group == ""


def test_pairing_narrows_the_interval():
    truth, before, after, groups = data()
    paired = compare("accuracy", truth, before, after, groups).difference.overall
    apart = [disaggregate("accuracy", truth, p, groups).overall for p in (before, after)]
    unpaired = np.hypot(*(e.high - e.low for e in apart))
    assert paired.high - paired.low < 0.6 * unpaired


def test_equal_arms_differ_by_exactly_nothing():
    truth, before, _, groups = data()
    same = compare_summary(truth, before, before, groups).difference
    for estimate in same.measures.values():
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


def test_the_paired_summary_matches_the_single_ones():
    truth, before, after, groups = data(1)
    paired = compare_summary(truth, before, after, groups, n_boot=2000)
    for arm, prediction in ((paired.before, before), (paired.after, after)):
        single = group_summary(truth, prediction, groups, n_boot=2000, seed=3)
        for name, estimate in arm.measures.items():
            assert estimate.value == pytest.approx(single.measures[name].value)
            assert estimate.low == pytest.approx(single.measures[name].low, abs=0.02)
    for name, estimate in paired.difference.measures.items():
        assert estimate.value == pytest.approx(paired.after.measures[name].value - paired.before.measures[name].value)
        assert estimate.low <= estimate.value <= estimate.high


def test_a_callable_is_paired_too():
    truth, before, after, groups = data(2, n=300)
    paired = compare(lambda t, p: np.mean(t == p), truth, before, after, groups, n_boot=400)
    cells = compare("accuracy", truth, before, after, groups, n_boot=400)
    assert "rows" in paired.difference.method
    assert paired.difference.difference.value == pytest.approx(cells.difference.difference.value)
    assert paired.difference.overall.low == pytest.approx(cells.difference.overall.low, abs=0.03)


def test_coverage_of_a_paired_difference():
    rng = np.random.default_rng(0)
    held = 0
    runs = 150
    for run in range(runs):
        n = 300
        groups = rng.integers(0, 2, n)
        truth = np.ones(n, dtype=int)
        before = (rng.random(n) < 0.7).astype(int)
        after = np.where(rng.random(n) < 0.5, before, (rng.random(n) < 0.8)).astype(int)
        estimate = compare("accuracy", truth, before, after, groups, seed=run, n_boot=300).difference.overall
        held += estimate.low <= 0.05 <= estimate.high
    assert 0.90 <= held / runs <= 0.99


def test_arms_of_different_length_are_refused():
    with pytest.raises(InputError, match="y_pred_after has 1 rows"):
        compare("accuracy", [1, 0], [1, 0], [1], ["a", "b"])
