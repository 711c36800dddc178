"""Mean scores by group: brute force, agreement with the label path, clusters, paired resamples."""

import numpy as np
import pytest

from fairvl.errors import GroupError, InputError
from fairvl.measure.groups import compare, compare_scores, disaggregate, disaggregate_scores


def test_values_are_group_means_and_the_range_is_largest_minus_smallest(rng):
    scores, groups = rng.choice([0, 0.3, 0.6, 0.9, 1.0], 400), rng.choice(["m", "f", "n"], 400)
    frame = disaggregate_scores(scores, groups, n_boot=100)
    by_hand = {g: scores[groups == g].mean() for g in "mfn"}
    assert {g: frame.by_group[g].value for g in "mfn"} == pytest.approx(by_hand)
    assert frame.difference.value == pytest.approx(max(by_hand.values()) - min(by_hand.values()))
    assert frame.overall.value == pytest.approx(scores.mean())
    assert frame.worst_group == min(by_hand, key=by_hand.get)
    assert frame.difference.low <= frame.difference.value <= frame.difference.high
    assert "simultaneous" in frame.difference.method


def test_zero_one_scores_are_accuracy(rng):
    truth, guess, groups = rng.integers(0, 2, (3, 500))
    ours = disaggregate_scores(truth == guess, groups, n_boot=2000)
    labels = disaggregate("accuracy", truth, guess, groups, n_boot=2000)
    for one, other in ((ours.overall, labels.overall), (ours.difference, labels.difference)):
        assert one.value == pytest.approx(other.value)
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.012)


def test_the_interval_is_that_of_a_bootstrap_over_rows(rng):
    scores, groups = rng.choice([0, 0.3, 1.0], 200), np.repeat(["a", "b"], 100)
    frame = disaggregate_scores(scores, groups, n_boot=4000)
    means = []
    for _ in range(4000):
        rows = rng.integers(200, size=200)
        s, g = scores[rows], groups[rows]
        means.append(s[g == "a"].mean() - s[g == "b"].mean())
    sign = 1 if scores[:100].mean() >= scores[100:].mean() else -1
    expected = np.quantile(sign * np.array(means), [0.025, 0.975])
    assert (frame.difference.low, frame.difference.high) == pytest.approx(expected, abs=0.015)


def test_rows_of_one_unit_are_drawn_together(rng):
    shared = rng.random(60)
    scores, units = np.repeat(shared, 5), np.repeat(np.arange(60), 5)
    groups = np.repeat(rng.choice(["a", "b"], 60), 5)
    alone, together = (disaggregate_scores(scores, groups, units=u, n_boot=2000).overall for u in (None, units))
    assert alone.value == pytest.approx(together.value)
    assert (together.high - together.low) == pytest.approx(np.sqrt(5) * (alone.high - alone.low), rel=0.1)


def test_a_change_is_paired(rng):
    before = rng.random(500)
    after, groups = before + 0.1, rng.choice(["a", "b"], 500)
    paired = compare_scores(before, after, groups, n_boot=500).difference
    assert paired.overall.value == pytest.approx(0.1)
    assert (paired.overall.low, paired.overall.high) == pytest.approx((0.1, 0.1))
    assert paired.difference.value == pytest.approx(0.0)
    apart = disaggregate_scores(before, groups, n_boot=500).overall
    assert apart.high - apart.low > 0.04  # unpaired, it could not have been so narrow


def test_changes_agree_with_the_label_path(rng):
    truth, one, two = rng.integers(0, 2, (3, 600))
    groups = rng.choice(["a", "b", "c"], 600)
    ours = compare_scores(truth == one, truth == two, groups, n_boot=2000).difference
    labels = compare("accuracy", truth, one, two, groups, n_boot=2000).difference
    assert ours.difference.value == pytest.approx(labels.difference.value)
    assert (ours.overall.low, ours.overall.high) == pytest.approx((labels.overall.low, labels.overall.high), abs=0.015)


def test_small_cells_are_named_and_missing_groups_reported():
    frame = disaggregate_scores([1.0] * 40 + [0.5] * 5 + [0.0], ["a"] * 40 + ["b"] * 5 + [None], n_boot=50)
    assert frame.small == ("b",)
    assert frame.counts == {"a": 40, "b": 5, "(missing)": 1}
    assert any("fewer than 30 rows in b" in note for note in frame.notes)
    assert frame.difference.value == 0.5
    assert frame.by_group["a"].low < 1.0  # a share without spread still has an interval


def test_the_same_seed_gives_the_same_numbers(rng):
    scores, groups = rng.random(80), rng.choice(["a", "b"], 80)
    one, two = (disaggregate_scores(scores, groups, seed=3) for _ in range(2))
    assert (one.difference.low, one.difference.high) == (two.difference.low, two.difference.high)


@pytest.mark.parametrize("scores", [[1.0, np.nan], [1.0], [[1.0, 2.0]], [np.inf, 0.0]])
def test_unusable_scores_are_refused(scores):
    with pytest.raises(InputError, match="expected one finite number per row"):
        disaggregate_scores(scores, ["a", "b"])


def test_nobody_with_a_group_is_refused():
    with pytest.raises(GroupError):
        disaggregate_scores([1.0, 0.0], [None, None])
    with pytest.raises(InputError, match="units"):
        disaggregate_scores([1.0, 0.0], ["a", "b"], units=["x"])
