"""What a plan asks for, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import GroupError, InputError
from fairvl.repair.editing.plan import Plan, count_cells

tables = st.integers(1, 4).flatmap(
    lambda k: st.integers(2, 4).flatmap(
        lambda g: st.lists(st.lists(st.integers(0, 60), min_size=g, max_size=g), min_size=k, max_size=k)
    )
)


@given(st.tuples(*[st.integers(1, 500)] * 4))
def test_two_groups_ask_for_the_difference_within_each_label(cells):
    a, b, c, d = cells
    plan = Plan.from_counts([[a, b], [c, d]])
    asked = {one.label: one for one in plan.requests}
    assert asked.get("0").n == abs(a - b) if a != b else "0" not in asked
    assert asked.get("1").n == abs(c - d) if c != d else "1" not in asked
    for one in plan.requests:  # from the majority to the minority
        row = dict(zip("01", (a, b) if one.label == "0" else (c, d), strict=True))
        assert row[one.source] > row[one.to]


@given(tables)
def test_balance_makes_the_groups_of_each_label_equal_to_the_largest(table):
    counts = np.array(table)
    if not counts.sum():
        return
    plan = Plan.from_counts(counts)
    after = plan.result
    for y, row in enumerate(counts):
        assert {after[str(y), str(a)] for a in range(len(row))} == {int(row.max())}
    assert plan.n == int((counts.max(axis=1, keepdims=True) - counts).sum())


@given(tables)
def test_aggravate_moves_twice_the_majority_into_it(table):
    counts = np.array(table) + 1
    untied = [y for y, row in enumerate(counts) if (row == row.max()).sum() == 1]
    if not untied:
        with pytest.raises(InputError, match="balanced already"):
            Plan.from_counts(counts, "aggravate")
        return
    plan = Plan.from_counts(counts, "aggravate")
    for y in range(len(counts)):
        requests = [one for one in plan.requests if one.label == str(y)]
        assert sum(one.n for one in requests) == (2 * counts[y].max() if y in untied else 0)
        assert all(one.to == str(counts[y].argmax()) != one.source for one in requests)
    assert len(plan.notes) == len(counts) - len(untied)


def test_a_target_names_the_counts_wanted_in_the_end():
    counts = {("smile", "young"): 10, ("smile", "old"): 2, ("serious", "old"): 7, ("serious", "young"): 7}
    plan = Plan.from_counts(counts, {("smile", "old"): 8, ("serious", "old"): 9})
    assert {(one.name, one.n) for one in plan.requests} == {("smile: young -> old", 6), ("serious: young -> old", 2)}
    assert plan.result["smile", "old"] == 8
    with pytest.raises(InputError, match="a plan only adds"):
        Plan.from_counts(counts, {("smile", "young"): 9})
    with pytest.raises(InputError, match="no cell"):
        Plan.from_counts(counts, {("smile", "ancient"): 9})


def test_a_group_without_images():
    one_group = {("smile", "young"): 10, ("serious", "young"): 4}
    with pytest.raises(GroupError, match="edits need two"):
        Plan.from_counts(one_group, attribute="age")
    plan = Plan.from_counts(one_group, groups=["young", "old"])  # named: filled from the other
    assert plan.n == 14
    with pytest.raises(GroupError, match="nothing to move"):
        Plan.from_counts(one_group, "aggravate", groups=["young", "old"])
    with pytest.raises(GroupError, match="no image in another group"):
        Plan.from_counts({("smile", "a"): 3, ("smile", "b"): 0}, {("smile", "a"): 5})


def test_a_pool_that_is_too_small_is_counted():
    plan = Plan.from_counts([[576, 22], [30, 572]])
    assert plan.shortfall({("0", "0"): 576, ("1", "1"): 572}) == {}
    short = plan.shortfall({("0", "0"): 500, ("1", "1"): 572})
    assert [(one.name, n) for one, n in short.items()] == [("0: 0 -> 1", 54)]
    assert plan.shortfall({("0", "0"): 277, ("1", "1"): 271}, variants=2) == {}


@pytest.mark.parametrize(
    ("counts", "told"),
    [([1, 2], "shape"), ([[0, 0]], "all counts are 0"), ([[1, -2]], "whole number"), ([[1.5, 2]], "whole number"),
     ([[np.nan, 2]], "whole number"), ({"ab": 3}, "cell"), ([[True, 2]], None)],
)  # fmt: skip
def test_counts_that_are_none(counts, told):
    if told is None:
        assert Plan.from_counts(counts).n == 1  # a whole array of numbers: True is 1
        return
    with pytest.raises(InputError, match=told):
        Plan.from_counts(counts)


def test_unknown_modes_and_names():
    with pytest.raises(InputError, match="expected one of"):
        Plan.from_counts([[1, 2]], "equalise")
    with pytest.raises(InputError, match="does not name"):
        Plan.from_counts({("y", "a"): 1, ("y", "b"): 2}, groups=["a", "c"])


def test_records_without_a_value_are_not_counted():
    rows = [{"y": 1, "a": "x"}, {"y": 1, "a": None}, {"a": "x"}, {"y": 0, "a": "z"}]
    assert count_cells(rows, "y", "a") == {("1", "x"): 1, ("0", "z"): 1}
    with pytest.raises(InputError, match="the attributes are a, y"):
        count_cells(rows, "y", "b")
