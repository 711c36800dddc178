"""A target distribution is population, uniform or given; shares sum to one over the rows that have a group."""

import numpy as np
import pytest

from fairvl.errors import GroupError
from fairvl.stats.codes import encode
from fairvl.stats.shares import Target, shares

GROUPS = ["a", "a", "b", None]


@pytest.mark.parametrize(
    ("target", "expected"),
    [("population", [2 / 3, 1 / 3]), ("uniform", [0.5, 0.5]), ({"b": 3, "a": 1}, [0.75, 0.25])],
)
def test_target_shares(target, expected):
    target = Target.of(target)
    groups = target.encode(GROUPS)
    np.testing.assert_allclose(target.shares(groups), expected)
    assert Target.of(target) is target


def test_a_given_target_fixes_labels_and_keeps_the_absent():
    target = Target.of({"c": 0.5, "a": 0.25, "b": 0.25})
    groups = target.encode(GROUPS)
    assert groups.labels == ("c", "a", "b")
    assert groups.absent == ("c",)
    with pytest.raises(GroupError, match="'b'"):
        Target.of({"a": 1.0}).encode(GROUPS)
    with pytest.raises(GroupError, match="not among the labels"):
        target.shares(encode(GROUPS))
    with pytest.raises(GroupError, match="'b'"):
        Target.of({"a": 1.0}).shares(encode(GROUPS))


@pytest.mark.parametrize("target", ["everyone", {}, {"a": -1.0, "b": 2.0}, {"a": np.nan}, {"a": 0.0}, {None: 1.0}, 3])
def test_unusable_targets_are_refused(target):
    with pytest.raises(GroupError, match=r"target|share"):
        Target.of(target)


def test_weighted_shares():
    np.testing.assert_allclose(shares(encode(GROUPS), [1, 1, 2, 100]), [0.5, 0.5])
    for weights in ([1, 2], [1, 1, -1, 1], [1, 1, np.nan, 1]):
        with pytest.raises(GroupError, match="weight"):
            shares(encode(GROUPS), weights)


def test_no_group_at_all_is_an_error():
    with pytest.raises(GroupError, match="no row of 2 has a group"):
        shares(encode([None, None]))
    with pytest.raises(GroupError, match="no groups"):
        Target("uniform").shares(encode([None, None]))


def test_targets_describe_themselves():
    assert Target.of({"a": 1, "b": 1}).describe() == "given (a 0.5, b 0.5)"
    assert Target().describe() == "population"
    with pytest.raises(GroupError, match="given target"):
        Target("given")
