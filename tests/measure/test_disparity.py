"""Disparity of recall by hand-computed tables, against a plain loop, and on groups and classes that are not there."""

import numpy as np
import pytest

from fairvl.errors import GroupError, InputError
from fairvl.measure.disparity import recall_disparity
from fairvl.measure.groups import equal_opportunity_difference


def rows(table):
    """(class, group, right, of) to columns; what is not right is called "other"."""
    truth, seen, group = [], [], []
    for name, who, right, of in table:
        truth += [name] * of
        seen += [name] * right + ["other"] * (of - right)
        group += [who] * of
    return truth, seen, group


TOY = [  # recall: nurse 9/10 and 6/10, pilot 4/8 and 8/8, cook 1/2 and 1/2
    ("nurse", "f", 9, 10), ("nurse", "m", 6, 10), ("pilot", "f", 4, 8), ("pilot", "m", 8, 8),
    ("cook", "f", 1, 2), ("cook", "m", 1, 2),
]  # fmt: skip


def test_a_table_worked_out_by_hand():
    found = recall_disparity(*rows(TOY), n_boot=0)
    gaps = {name: estimate.value for name, estimate in found.by_class.items()}
    assert gaps == pytest.approx({"cook": 0.0, "nurse": 0.3, "pilot": 0.5})
    assert found.mean.value == pytest.approx((0.3 + 0.5 + 0.0) / 3)
    assert (found.worst.value, found.worst_class) == (pytest.approx(0.5), "pilot")
    assert (found.best_group["nurse"], found.worst_group["nurse"]) == ("f", "m")
    assert (found.best_group["pilot"], found.worst_group["pilot"]) == ("m", "f")
    assert found.recall["nurse"] == {"f": 0.9, "m": 0.6}
    assert (found.worst.n, found.mean.n) == (16, 40)
    assert found.few == ("cook", "nurse", "pilot")
    assert recall_disparity(*rows(TOY), n_boot=0, minimum=5).few == ("cook",)


def test_three_groups_give_the_largest_difference():
    table = [("a", "x", 1, 4), ("a", "y", 2, 4), ("a", "z", 4, 4), ("b", "x", 1, 4), ("b", "y", 1, 4), ("b", "z", 2, 4)]
    found = recall_disparity(*rows(table), n_boot=0)
    assert found.by_class["a"].value == 0.75
    assert found.by_class["b"].value == 0.25
    assert (found.best_group["a"], found.worst_group["a"]) == ("z", "x")


@pytest.mark.parametrize("seed", range(5))
def test_it_is_a_plain_loop_and_agrees_with_equality_of_opportunity(seed):
    rng = np.random.default_rng(seed)
    truth, group = rng.integers(0, 5, 400), rng.integers(0, 3, 400)
    seen = np.where(rng.random(400) < 0.5 + 0.1 * group, truth, rng.integers(0, 5, 400))
    gaps = []
    for c in range(5):
        recall = [np.mean(seen[(truth == c) & (group == g)] == c) for g in range(3)]
        gaps.append(max(recall) - min(recall))
    found = recall_disparity(truth, seen, group, n_boot=0)
    assert [found.by_class[str(c)].value for c in range(5)] == pytest.approx(gaps)
    assert found.worst.value == pytest.approx(equal_opportunity_difference(truth, seen, group))
    assert found.mean.value == pytest.approx(equal_opportunity_difference(truth, seen, group, agg="mean"))
    assert found.worst.value == pytest.approx(max(gaps))


def test_a_class_of_one_group_is_named_and_left_out():
    found = recall_disparity(*rows([*TOY, ("monk", "m", 3, 9)]), n_boot=200)
    assert np.isnan(found.by_class["monk"].value)
    assert "fewer than two groups" in found.by_class["monk"].note
    assert found.mean.value == pytest.approx(0.8 / 3)
    assert "1 of 4 classes" in found.mean.note
    assert found.mean.low < found.mean.value < found.mean.high


def test_the_interval_covers_a_planted_gap_and_keeps_its_sign():
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        group = rng.integers(0, 2, 600)
        seen = np.where(rng.random(600) < np.where(group == 0, 0.9, 0.7), "a", "b")
        worst = recall_disparity(np.full(600, "a"), seen, group, n_boot=400, seed=seed).worst
        covered += worst.low <= 0.2 <= worst.high
        assert worst.low > 0
    assert 53 <= covered <= 60
    alike = recall_disparity(np.full(600, "a"), np.where(np.arange(600) % 3, "a", "b"), np.arange(600) % 2)
    assert alike.worst.low < 0 < alike.worst.high


def test_rows_without_a_group_do_not_count():
    truth, seen, group = rows(TOY)
    found = recall_disparity([*truth, "nurse"], [*seen, "nurse"], [*group, None], n_boot=0)
    assert found.by_class["nurse"].value == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("columns", "error", "said"),
    [
        ((["a", "b"], ["a"], ["x", "y"]), InputError, "y_pred has 1 rows"),
        ((["a", None], ["a", "b"], ["x", "y"]), InputError, "no label"),
        ((["a", "b"], ["a", "b"], ["x", "x"]), GroupError, "two or more"),
        ((["a", "b"], ["a", "b"], ["x", "y"]), GroupError, "no class is shown by two groups"),
        ((["a", "b"], ["a", "b"], [None, None]), GroupError, "two or more"),
    ],
)
def test_what_has_no_gap_is_refused(columns, error, said):
    with pytest.raises(error, match=said):
        recall_disparity(*columns)
