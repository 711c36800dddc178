"""Metrics by group: overall, by group, difference, ratio, worst group, each with an interval; before and after.

A *disaggregated* metric is the metric computed on the rows of one group at a time. Aggregates run over the groups in
which it is defined: the *difference* is largest minus smallest, the *ratio* smallest over largest, the *worst* the
smallest (the largest, where lower is better). Rows without a group are shown as ``"(missing)"`` and count in
`overall`, never in an aggregate. Undefined (no positives, no rows) is NaN, never 0.

Gaps and worst values are maxima over groups and therefore biased: the expected gap of equally good groups is above 0,
and picking the extremes again in every resample would add the same noise once more. So the extremes of the data are
held fixed, and where more than two groups (or more than one rate) compete, the interval is a simultaneous band over all
pairs, whatever `interval` says; `fairvl.stats.spread` has the argument and `Estimate.method` says which it is. A gap
between two groups keeps its sign under resampling: an interval that reaches below 0 says that their order is not sure.
"""

from __future__ import annotations

from ...stats.rates import METRICS as METRICS
from .labels import accuracy_gap as accuracy_gap
from .labels import average_worst_gap as average_worst_gap
from .labels import compare as compare
from .labels import compare_summary as compare_summary
from .labels import disaggregate as disaggregate
from .labels import equal_opportunity_difference as equal_opportunity_difference
from .labels import equalized_odds_difference as equalized_odds_difference
from .labels import group_summary as group_summary
from .labels import worst_group_accuracy as worst_group_accuracy
from .result import Comparison as Comparison
from .result import GroupFrame as GroupFrame
from .result import GroupSummary as GroupSummary
from .result import SummaryComparison as SummaryComparison
from .scores import compare_scores as compare_scores
from .scores import disaggregate_scores as disaggregate_scores

__all__ = [
    "METRICS",
    "Comparison",
    "GroupFrame",
    "GroupSummary",
    "SummaryComparison",
    "accuracy_gap",
    "average_worst_gap",
    "compare",
    "compare_scores",
    "compare_summary",
    "disaggregate",
    "disaggregate_scores",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "group_summary",
    "worst_group_accuracy",
]
