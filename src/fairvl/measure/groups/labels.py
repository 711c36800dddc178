"""Metrics of labels and predictions by group, and after minus before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from numpy.typing import ArrayLike

from ...stats.cells import Resampling, Seed
from ...stats.rates import over_classes
from .frames import group_codes, make_comparison, make_frame
from .resampled import cells_bootstrap, rows_bootstrap
from .result import MINIMUM, Comparison, GroupFrame, GroupSummary, SummaryComparison
from .summary import summary, summary_bootstrap
from .table import Table, odds_gaps

Metric: TypeAlias = str | Callable[[Any, Any], float]


def disaggregate(
    metric: Metric,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: Any,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    interval: Literal["percentile", "bca"] = "percentile",
    positive: object = None,
    minimum: int = MINIMUM,
    higher_is_better: bool = True,
) -> GroupFrame:
    """A metric overall, by group, and its difference, ratio and worst over groups, with bootstrap intervals.

    Parameters
    ----------
    metric
        A name in `METRICS`, or any ``f(y_true, y_pred) -> float``. Named metrics are resampled by cell counts
        (group x truth x prediction), which equals resampling rows and costs the same for any n; a callable is
        evaluated on resampled rows. `GroupFrame.method` says which.
    y_true, y_pred
        ``[n]`` labels (text, numbers or booleans). A callable gets the arrays as they are.
    groups
        ``[n]`` labels, a mapping or frame of columns (crossed), or `GroupCodes`; see `fairvl.stats.codes.encode`.
    n_boot, level, seed, interval
        Resamples of all rows together, so group sizes vary; 0 gives no intervals.
    positive
        The class that rates are about. Labels within {0, 1}, {-1, 1} or booleans mean 1. With other labels and no
        `positive`, rates are one-vs-rest means over the classes for which they are defined (macro).
    minimum
        Groups with fewer rows are flagged in `small`; they stay in every number.
    higher_is_better
        Direction of a callable metric, for `worst`; named metrics know theirs (of `selection_rate` and `base_rate`
        the worst is the lowest).

    Raises
    ------
    InputError
        Lengths that differ, missing labels, an unknown metric, numbers that are not labels.
    GroupError
        No row has a group.

    Examples
    --------
    >>> frame = disaggregate("accuracy", [1, 0, 1, 0], [1, 0, 0, 0], ["a", "a", "b", "b"], n_boot=0)
    >>> frame.overall.value, frame.difference.value, frame.worst_group
    (0.75, 0.5, 'b')
    """
    codes = group_codes(groups)
    plan = Resampling(n_boot, level, seed, interval)
    if callable(metric):
        values, kind = rows_bootstrap(metric, y_true, (y_pred,), codes, higher_is_better, plan)
    else:
        table = Table.of(y_true, (y_pred,), codes, positive)
        values, kind = cells_bootstrap(metric, table, plan)
    return make_frame(values, 0, 0, kind, codes, minimum)


def compare(
    metric: Metric,
    y_true: ArrayLike,
    y_pred_before: ArrayLike,
    y_pred_after: ArrayLike,
    groups: Any,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    interval: Literal["percentile", "bca"] = "percentile",
    positive: object = None,
    minimum: int = MINIMUM,
    higher_is_better: bool = True,
) -> Comparison:
    """`disaggregate` before and after on the same rows, and after minus before by a paired bootstrap.

    Every resample draws the same rows for both arms (joint cells group x truth x before x after), so what the arms
    share cancels. The difference of `worst` compares the worst group before with the worst after, which may be
    another group. Parameters as in `disaggregate`.

    Examples
    --------
    >>> paired = compare("accuracy", [1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 1, 0], ["a", "a", "b", "b"], n_boot=0)
    >>> paired.difference.worst.value, paired.difference.difference.value
    (0.5, -0.5)
    """
    codes = group_codes(groups)
    plan = Resampling(n_boot, level, seed, interval)
    arms = (y_pred_before, y_pred_after)
    if callable(metric):
        values, kind = rows_bootstrap(metric, y_true, arms, codes, higher_is_better, plan)
    else:
        table = Table.of(y_true, arms, codes, positive)
        values, kind = cells_bootstrap(metric, table, plan)
    return make_comparison(values, kind, codes, minimum)


def group_summary(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: Any,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    interval: Literal["percentile", "bca"] = "percentile",
    positive: object = None,
    minimum: int = MINIMUM,
) -> GroupSummary:
    """Accuracy by group and every named gap with intervals, from one set of resamples.

    Equal opportunity and equalized odds are about the positive class; with more classes (no `positive`) each class is
    held against the rest, and the largest gap over classes is given (the mean over classes and both rates for
    ``equalized_odds_difference_mean``). Parameters as in `disaggregate`.

    Examples
    --------
    >>> summary = group_summary([1, 0, 1, 0], [1, 0, 0, 0], ["a", "a", "b", "b"], n_boot=0)
    >>> {name: measure.value for name, measure in summary.measures.items() if "equal" in name}
    {'equal_opportunity_difference': 1.0, 'equalized_odds_difference': 1.0, 'equalized_odds_difference_mean': 0.5}
    """
    codes = group_codes(groups)
    table = Table.of(y_true, (y_pred,), codes, positive)
    plan = Resampling(n_boot, level, seed, interval)
    values = summary_bootstrap(table, plan)
    return summary(values, 0, table, minimum, 0)


def compare_summary(
    y_true: ArrayLike,
    y_pred_before: ArrayLike,
    y_pred_after: ArrayLike,
    groups: Any,
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    interval: Literal["percentile", "bca"] = "percentile",
    positive: object = None,
    minimum: int = MINIMUM,
) -> SummaryComparison:
    """`group_summary` before and after on the same rows, and after minus before by a paired bootstrap."""
    codes = group_codes(groups)
    table = Table.of(y_true, (y_pred_before, y_pred_after), codes, positive)
    plan = Resampling(n_boot, level, seed, interval)
    values = summary_bootstrap(table, plan)
    length = len(values.observed) // 3
    before, after = (summary(values, i * length, table, minimum, i) for i in range(2))
    return SummaryComparison(before, after, summary(values, 2 * length, table, minimum, None))


def worst_group_accuracy(y_true: ArrayLike, y_pred: ArrayLike, groups: Any) -> float:
    """Accuracy of the group with the lowest accuracy, a share."""
    return group_summary(y_true, y_pred, groups, n_boot=0).measures["worst_group_accuracy"].value


def accuracy_gap(y_true: ArrayLike, y_pred: ArrayLike, groups: Any) -> float:
    """Accuracy of the best group minus accuracy of the worst, a share; NaN with fewer than two groups."""
    return group_summary(y_true, y_pred, groups, n_boot=0).measures["accuracy_gap"].value


def average_worst_gap(y_true: ArrayLike, y_pred: ArrayLike, groups: Any) -> float:
    """Accuracy over all rows minus accuracy of the worst group, a share (the gap of Chuang et al. 2023)."""
    return group_summary(y_true, y_pred, groups, n_boot=0).measures["average_worst_gap"].value


def equal_opportunity_difference(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: Any,
    *,
    positive: object = None,
    agg: Literal["max", "mean"] = "max",
) -> float:
    """Largest minus smallest true positive rate over groups (Hardt et al. 2016), a share.

    With more than two classes and no `positive`: the largest (or the mean) of the one-vs-rest gaps over classes.
    """
    table = Table.of(y_true, (y_pred,), group_codes(groups), positive)
    gaps = odds_gaps(table)
    return float(over_classes(gaps[:, : gaps.shape[1] // 2], agg)[0])


def equalized_odds_difference(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: Any,
    *,
    positive: object = None,
    agg: Literal["max", "mean"] = "max",
) -> float:
    """The larger (or the mean) of the gaps in true and in false positive rate over groups, a share.

    Gaps are largest minus smallest over the groups in which the rate is defined. With more than two classes and no
    `positive`, the maximum or mean runs over the one-vs-rest gaps of all classes.
    """
    table = Table.of(y_true, (y_pred,), group_codes(groups), positive)
    return float(over_classes(odds_gaps(table), agg)[0])
