"""Metrics by group equal fairlearn's where fairlearn defines them, and say NaN where nobody can."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    equal_opportunity_difference,
    equalized_odds_difference,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
    true_negative_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score, recall_score

from fairvl.errors import FairVLError, GroupError, InputError
from fairvl.measure import groups as ours
from fairvl.measure.groups import disaggregate, group_summary
from fairvl.stats.codes import encode

BINARY = {
    "accuracy": accuracy_score,
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "false_negative_rate": false_negative_rate,
    "true_negative_rate": true_negative_rate,
    "precision": lambda t, p: precision_score(t, p, zero_division=0.0),
    "recall": lambda t, p: recall_score(t, p, zero_division=0.0),
    "f1": lambda t, p: f1_score(t, p, zero_division=0.0),
}
MULTICLASS = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "recall": lambda t, p: recall_score(t, p, average="macro", zero_division=np.nan),
    "f1": lambda t, p: f1_score(t, p, average="macro", zero_division=np.nan),
    "precision": lambda t, p: precision_score(t, p, average="macro", zero_division=np.nan),
}


def data(seed, n=300, classes=2, hostile=True):
    """Predictions that depend on group and truth; hostile: one group of a single class, one with one member."""
    rng = np.random.default_rng(seed)
    groups = rng.choice(np.array(["a", "b", "c"]), p=[0.6, 0.3, 0.1], size=n).astype(object)
    truth = rng.integers(0, classes, n)
    wrong = rng.random(n) < np.where(groups == "a", 0.1, 0.35)
    prediction = np.where(wrong, rng.integers(0, classes, n), truth)
    if hostile:
        groups[:20], truth[:20] = "only negatives", 0
        groups[20:30], truth[20:30] = "only positives", classes - 1
        groups[30] = "one member"
    return truth, prediction, groups


def peer(metric, truth, prediction, groups):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MetricFrame(metrics=metric, y_true=truth, y_pred=prediction, sensitive_features=groups)


def defined_mask(name, truth, prediction, group):
    """Is the rate's denominator above zero in this group?"""
    needs = {
        "true_positive_rate": truth == 1, "recall": truth == 1, "false_negative_rate": truth == 1,
        "false_positive_rate": truth == 0, "true_negative_rate": truth == 0,
        "precision": prediction == 1, "f1": (truth == 1) | (prediction == 1),
    }  # fmt: skip
    return needs.get(name, np.ones(len(truth), bool))[group].any()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("seed", range(6))
def test_binary_metrics_equal_fairlearns(name, seed):
    truth, prediction, groups = data(seed)
    frame = disaggregate(name, truth, prediction, encode(groups, expected=[*np.unique(groups), "absent"]), n_boot=0)
    theirs = peer(BINARY[name], truth, prediction, groups)
    assert frame.overall.value == pytest.approx(theirs.overall, abs=1e-12)
    values = {}
    for group in np.unique(groups):
        if defined_mask(name, truth, prediction, groups == group):
            values[group] = theirs.by_group[group]
            assert frame.by_group[group].value == pytest.approx(values[group], abs=1e-12)
        else:
            assert np.isnan(frame.by_group[group].value)  # fairlearn says 0
    assert np.isnan(frame.by_group["absent"].value)
    assert frame.by_group["absent"].n == 0
    assert frame.difference.value == pytest.approx(max(values.values()) - min(values.values()), abs=1e-12)
    worst = max if name in ("false_positive_rate", "false_negative_rate") else min
    assert frame.worst.value == pytest.approx(worst(values.values()), abs=1e-12)
    assert frame.by_group[frame.worst_group].value == frame.worst.value
    if len(values) == len(np.unique(groups)):
        assert frame.difference.value == pytest.approx(theirs.difference(), abs=1e-12)
        if max(values.values()) > 0:
            assert frame.ratio.value == pytest.approx(theirs.ratio(), abs=1e-12)


@pytest.mark.parametrize("name", MULTICLASS)
@pytest.mark.parametrize("seed", range(3))
def test_multiclass_metrics_equal_the_macro_means(name, seed):
    truth, prediction, groups = data(seed, classes=4)
    names = np.array(["red", "green", "blue", "grey"])
    frame = disaggregate(name, names[truth], names[prediction], groups, n_boot=0)
    theirs = peer(MULTICLASS[name], names[truth], names[prediction], groups)
    assert frame.overall.value == pytest.approx(theirs.overall, abs=1e-12)
    for group in np.unique(groups):
        assert frame.by_group[group].value == pytest.approx(theirs.by_group[group], abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hostile", [True, False])
def test_gaps_equal_fairlearns(seed, hostile):
    truth, prediction, groups = data(seed, hostile=hostile)
    if hostile:  # keep the groups in which both rates are defined: fairlearn calls the others 0
        keep = np.isin(groups, ["a", "b", "c"])
        kept = (truth[keep], prediction[keep], groups[keep])
        rates = {
            n: disaggregate(n, truth, prediction, groups, n_boot=0)
            for n in ("true_positive_rate", "false_positive_rate")
        }
        assert ours.equalized_odds_difference(truth, prediction, groups) == pytest.approx(
            max(frame.difference.value for frame in rates.values())
        )
        truth, prediction, groups = kept
    t, p, g = truth, prediction, groups
    assert ours.equal_opportunity_difference(t, p, g) == pytest.approx(
        equal_opportunity_difference(t, p, sensitive_features=g), abs=1e-12
    )
    for agg, theirs in (("max", "worst_case"), ("mean", "mean")):
        assert ours.equalized_odds_difference(t, p, g, agg=agg) == pytest.approx(
            equalized_odds_difference(t, p, sensitive_features=g, agg=theirs), abs=1e-12
        )
    frame = peer(accuracy_score, t, p, g)
    assert ours.worst_group_accuracy(t, p, g) == pytest.approx(frame.group_min(), abs=1e-12)
    assert ours.accuracy_gap(t, p, g) == pytest.approx(frame.difference(), abs=1e-12)
    assert ours.average_worst_gap(t, p, g) == pytest.approx(frame.overall - frame.group_min(), abs=1e-12)
    summary = group_summary(t, p, g, n_boot=0).measures
    assert summary["equalized_odds_difference"].value == ours.equalized_odds_difference(t, p, g)
    assert summary["equalized_odds_difference_mean"].value == ours.equalized_odds_difference(t, p, g, agg="mean")
    assert summary["equal_opportunity_difference"].value == ours.equal_opportunity_difference(t, p, g)
    assert summary["accuracy_gap"].value == ours.accuracy_gap(t, p, g)


def test_multiclass_odds_are_one_vs_rest():
    truth, prediction, groups = data(0, classes=3, hostile=False)
    gaps = []
    for c in range(3):
        tpr = [np.mean(prediction[(truth == c) & (groups == g)] == c) for g in "abc"]
        fpr = [np.mean(prediction[(truth != c) & (groups == g)] == c) for g in "abc"]
        gaps.append((np.ptp(tpr), np.ptp(fpr)))
    assert ours.equal_opportunity_difference(truth, prediction, groups) == pytest.approx(np.max(gaps, axis=0)[0])
    assert ours.equalized_odds_difference(truth, prediction, groups) == pytest.approx(np.max(gaps))
    assert ours.equalized_odds_difference(truth, prediction, groups, agg="mean") == pytest.approx(np.mean(gaps))
    one = ours.equal_opportunity_difference(truth, prediction, groups, positive=1)
    assert one == pytest.approx(gaps[1][0])
    assert group_summary(truth, prediction, groups, n_boot=0).classes == ("0", "1", "2")


def test_crossings_equal_fairlearns_and_keep_the_absent_one():
    truth, prediction, gender = data(1, hostile=False)
    age = np.where(np.arange(len(truth)) % 3 == 0, "old", "young")
    age[gender == "c"] = "old"
    table = {"gender": gender, "age": age}
    frame = disaggregate("accuracy", truth, prediction, table, n_boot=0)
    theirs = peer(accuracy_score, truth, prediction, pd.DataFrame(table))
    for (g, a), value in theirs.by_group.items():
        assert frame.by_group[f"{g} & {a}"].value == pytest.approx(value, nan_ok=True)
    assert np.isnan(frame.by_group["c & young"].value)
    assert "c & young" in frame.small
    assert frame.difference.value == pytest.approx(theirs.difference())


def test_missing_groups_count_overall_and_in_no_aggregate():
    truth = np.array([1, 1, 1, 1, 1, 1])
    prediction = np.array([1, 1, 1, 0, 0, 0])
    frame = disaggregate("accuracy", truth, prediction, ["a", "a", "b", "b", None, float("nan")])
    assert frame.overall.value == 0.5
    assert frame.by_group["(missing)"].value == 0
    assert frame.by_group["(missing)"].n == 2
    assert frame.worst.value == 0.5
    assert frame.difference.n == 4
    assert any("2 rows without a group" in note for note in frame.notes)
    with pytest.raises(GroupError, match="none of 6 rows"):
        disaggregate("accuracy", truth, prediction, [None] * 6)


def test_one_group_has_no_gap():
    frame = disaggregate("accuracy", [1, 0, 1], [1, 1, 1], ["a", "a", "a"], n_boot=10)
    assert np.isnan(frame.difference.value)
    assert np.isnan(frame.ratio.value)
    assert frame.difference.note
    assert frame.worst.value == pytest.approx(2 / 3)
    assert np.isnan(ours.accuracy_gap([1], [1], ["a"]))


def test_groups_below_the_minimum_are_flagged_not_dropped():
    truth, prediction, groups = data(2)
    frame = disaggregate("accuracy", truth, prediction, groups, n_boot=50, minimum=15)
    assert frame.small == ("one member", "only positives")
    assert frame.counts["one member"] == 1
    assert not disaggregate("accuracy", truth, prediction, groups, n_boot=0, minimum=1).small


def test_the_row_bootstrap_and_the_cell_bootstrap_agree():
    truth, prediction, groups = data(3, hostile=False)
    cells = disaggregate("accuracy", truth, prediction, groups, n_boot=4000)
    rows = disaggregate(lambda t, p: np.mean(t == p), truth, prediction, groups, n_boot=4000, seed=1)
    assert "cell counts" in cells.method
    assert "rows" in rows.method
    for pick in (lambda f: f.overall, lambda f: f.difference, lambda f: f.worst, lambda f: f.by_group["b"]):
        assert pick(cells).value == pytest.approx(pick(rows).value)
        assert pick(cells).low == pytest.approx(pick(rows).low, abs=0.015)
        assert pick(cells).high == pytest.approx(pick(rows).high, abs=0.015)
    assert cells.overall.high - cells.overall.low > 0.05


def test_bca_agrees_between_rows_and_cells():
    truth, prediction, groups = data(4, n=120, hostile=False)
    cells = disaggregate("accuracy", truth, prediction, groups, n_boot=3000, interval="bca")
    rows = disaggregate(lambda t, p: np.mean(t == p), truth, prediction, groups, n_boot=3000, interval="bca", seed=9)
    for pick in (lambda f: f.overall, lambda f: f.by_group["c"]):
        assert pick(cells).low == pytest.approx(pick(rows).low, abs=0.04)
        assert pick(cells).high == pytest.approx(pick(rows).high, abs=0.04)
    assert "bca" in cells.method


def test_a_callable_that_fails_on_a_group_is_undefined_there():
    def needs_both(truth, prediction):
        if len(np.unique(truth)) < 2:
            raise ValueError("one class")
        return float(np.mean(truth == prediction))

    truth, prediction, groups = data(5)
    frame = disaggregate(needs_both, truth, prediction, groups, n_boot=20)
    assert np.isnan(frame.by_group["only negatives"].value)
    assert frame.metric == "needs_both"
    assert frame.worst_group in "abc"


def test_lower_is_better_for_a_callable():
    frame = disaggregate(
        lambda t, p: np.mean(t != p), [1, 1, 0, 0], [1, 1, 1, 0], list("aabb"), n_boot=0, higher_is_better=False
    )
    assert frame.worst_group == "b"
    assert frame.best_group == "a"


@pytest.mark.parametrize("labels", [(0, 1), (False, True), (-1, 1), (0.0, 1.0), ("0", "1")])
def test_the_usual_binary_labels_need_no_positive(labels):
    truth, prediction, groups = data(6, hostile=False)
    named = np.array(labels)
    frame = disaggregate("true_positive_rate", named[truth], named[prediction], groups, n_boot=0)
    expected = disaggregate("true_positive_rate", truth, prediction, groups, n_boot=0)
    assert frame.overall.value == expected.overall.value == np.mean(prediction[truth == 1])


def test_positive_names_the_class():
    truth, prediction, groups = data(7, hostile=False)
    named = np.array(["no", "yes"])
    for positive, code in (("yes", 1), ("no", 0)):
        frame = disaggregate("selection_rate", named[truth], named[prediction], groups, n_boot=0, positive=positive)
        assert frame.overall.value == np.mean(prediction == code)
    with pytest.raises(InputError, match="positive="):
        disaggregate("selection_rate", named[truth], named[prediction], groups)
    with pytest.raises(InputError, match="'yes'"):
        disaggregate("selection_rate", named[truth], named[prediction], groups, positive="Yes")


def test_a_positive_class_that_nobody_has_is_undefined_not_an_error():
    frame = disaggregate("true_positive_rate", [0, 0, 0], [0, 0, 0], list("aab"), n_boot=20)
    assert np.isnan(frame.overall.value)
    assert np.isnan(frame.worst.value)
    assert frame.worst_group == ""
    assert disaggregate("selection_rate", [0, 0, 0], [0, 0, 0], list("aab"), n_boot=0).overall.value == 0


@pytest.mark.parametrize(
    ("truth", "prediction", "groups", "words"),
    [
        ([], [], [], "rows"),
        ([1, 0], [1], ["a", "b"], "1 rows"),
        ([1, 0], [1, 0], ["a"], "groups 1"),
        ([1, None], [1, 0], ["a", "b"], "no label"),
        ([1, 0], [1, np.nan], ["a", "b"], "no label"),
        (["cat", "dog"], [0, 1], ["a", "b"], "one kind"),
        (np.arange(200) % 2, np.linspace(0.01, 1.5, 200), ["a"] * 200, "labels"),
        (np.eye(2), [1, 0], ["a", "b"], "shape"),
    ],
)
def test_unusable_predictions_are_refused(truth, prediction, groups, words):
    with pytest.raises(FairVLError, match=words):
        disaggregate("accuracy", truth, prediction, groups)


def test_an_unknown_metric_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'accuracy'"):
        disaggregate("acuracy", [1], [1], ["a"])
    with pytest.raises(InputError, match="agg"):
        ours.equalized_odds_difference([1, 0], [1, 0], ["a", "b"], agg="median")


def test_results_depend_on_the_seed_alone():
    truth, prediction, groups = data(8)
    first, second, third = (disaggregate("accuracy", truth, prediction, groups, seed=s) for s in (1, 1, 2))
    assert first.difference == second.difference
    assert first.difference != third.difference
    shuffle = np.random.default_rng(0).permutation(len(truth))
    assert disaggregate("accuracy", truth[shuffle], prediction[shuffle], groups[shuffle], seed=1).worst == first.worst


def test_a_planted_gap_is_found_and_its_absence_too():
    rng = np.random.default_rng(0)
    n = 4000
    groups = rng.choice(np.array(["a", "b"]), size=n)
    truth = rng.integers(0, 2, n)
    for gap in (0.0, 0.05, 0.2):
        prediction = np.where(rng.random(n) < 0.1 + gap * (groups == "b"), 1 - truth, truth)
        estimate = group_summary(truth, prediction, groups).measures["accuracy_gap"]
        assert estimate.low <= max(gap, estimate.low) <= estimate.high
        assert estimate.low <= gap + 0.02
        assert (estimate.low > 0.02) == (gap > 0.02)


def test_values_grow_with_the_planted_gap():
    rng = np.random.default_rng(1)
    groups = rng.choice(np.array(["a", "b"]), size=3000)
    truth = rng.integers(0, 2, 3000)
    noise = rng.random(3000)
    gaps = [
        ours.accuracy_gap(truth, np.where(noise < 0.1 + s * (groups == "b"), 1 - truth, truth), groups)
        for s in (0.0, 0.1, 0.2, 0.4)
    ]
    assert all(low < high for low, high in pairwise(gaps))
