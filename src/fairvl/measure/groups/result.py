"""What the metrics by group return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...stats.estimate import Estimate

MINIMUM = 30


@dataclass(frozen=True, eq=False)
class GroupFrame:
    """One metric, overall and by group. In a difference (after minus before) every number is a difference.

    `counts` are the rows per group, `small` the groups with fewer than `minimum` rows, `worst_group` and `best_group`
    the extremes of the observed values ("" where undefined, and in a difference).
    """

    metric: str
    overall: Estimate
    by_group: Mapping[str, Estimate]
    difference: Estimate
    ratio: Estimate
    worst: Estimate
    worst_group: str
    best_group: str
    counts: Mapping[str, int]
    small: tuple[str, ...]
    minimum: int
    method: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class GroupSummary:
    """The accuracy frame and the named gaps of one set of predictions, from one set of resamples.

    `measures` maps accuracy, worst_group_accuracy, accuracy_gap, average_worst_gap, equal_opportunity_difference,
    equalized_odds_difference and equalized_odds_difference_mean to their estimates. `classes` are the one-vs-rest
    classes that the last three run over: the positive one, or all.
    """

    accuracy: GroupFrame
    measures: Mapping[str, Estimate]
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Comparison:
    """The same frame before and after, and after minus before from paired resamples."""

    before: GroupFrame
    after: GroupFrame
    difference: GroupFrame


@dataclass(frozen=True, eq=False)
class SummaryComparison:
    """The same summary before and after, and after minus before from paired resamples."""

    before: GroupSummary
    after: GroupSummary
    difference: GroupSummary
