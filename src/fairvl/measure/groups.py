"""Metrics by group: overall, by group, difference, ratio, worst group, each with an interval; before and after.

A *disaggregated* metric is the metric computed on the rows of one group at a time. Aggregates run over the groups in
which it is defined: the *difference* is largest minus smallest, the *ratio* smallest over largest, the *worst* the
smallest (the largest, where lower is better). Rows without a group are shown as ``"(missing)"`` and count in
`overall`, never in an aggregate. Undefined (no positives, no rows) is NaN, never 0.

Minima and maxima over groups are biased: the expected gap of equally good groups is above 0, and resampling adds the
same noise once more. Percentile intervals of gaps are therefore shifted away from equality where groups are small and
alike; ``interval="bca"`` corrects the shift to first order. No interval can hold a gap of exactly 0 except by touching
it, since no resample has a negative one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..errors import GroupError, InputError
from ..stats.cells import (
    Cells,
    FloatArray,
    IntArray,
    Resampled,
    Resampling,
    Seed,
    Statistic,
    Totals,
    bootstrap,
    summarise,
    tabulate,
    without_interval,
)
from ..stats.codes import MISSING, GroupCodes, encode, factorize, natural_key, unknown_label
from ..stats.estimate import Estimate
from ..stats.rates import LOWER_IS_BETTER, METRICS, check_metric, extremes, over_classes
from ..stats.rates import metric as metric_of_counts
from ..stats.rates import rates as rates_of_counts

Metric: TypeAlias = str | Callable[[Any, Any], float]
Counts: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]  # truths, predictions, hits: each [..., g, classes]

MINIMUM = 30

__all__ = [
    "METRICS",
    "Comparison",
    "GroupFrame",
    "GroupSummary",
    "SummaryComparison",
    "accuracy_gap",
    "average_worst_gap",
    "compare",
    "compare_summary",
    "disaggregate",
    "equal_opportunity_difference",
    "equalized_odds_difference",
    "group_summary",
    "worst_group_accuracy",
]


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
    codes = _groups(groups)
    plan = Resampling(n_boot, level, seed, interval)
    if callable(metric):
        values, name = _rows_bootstrap(metric, y_true, (y_pred,), codes, higher_is_better, plan)
    else:
        table = _Table.of(y_true, (y_pred,), codes, positive)
        values, name, higher_is_better = _cells_bootstrap(metric, table, plan)
    return _frame(values, 0, name, codes, minimum, higher_is_better)


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
    codes = _groups(groups)
    plan = Resampling(n_boot, level, seed, interval)
    arms = (y_pred_before, y_pred_after)
    if callable(metric):
        values, name = _rows_bootstrap(metric, y_true, arms, codes, higher_is_better, plan)
    else:
        table = _Table.of(y_true, arms, codes, positive)
        values, name, higher_is_better = _cells_bootstrap(metric, table, plan)
    length = len(values.observed) // 3
    before, after = (_frame(values, i * length, name, codes, minimum, higher_is_better) for i in range(2))
    return Comparison(before, after, _frame(values, 2 * length, name, codes, minimum, None))


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
    codes = _groups(groups)
    table = _Table.of(y_true, (y_pred,), codes, positive)
    plan = Resampling(n_boot, level, seed, interval)
    values = bootstrap(table.cells, table.statistic(_summary_function(table)), plan, width=table.width)
    return _summary(values, 0, table, minimum, 0)


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
    codes = _groups(groups)
    table = _Table.of(y_true, (y_pred_before, y_pred_after), codes, positive)
    plan = Resampling(n_boot, level, seed, interval)
    values = bootstrap(table.cells, table.statistic(_summary_function(table)), plan, width=table.width)
    length = len(values.observed) // 3
    before, after = (_summary(values, i * length, table, minimum, i) for i in range(2))
    return SummaryComparison(before, after, _summary(values, 2 * length, table, minimum, None))


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
    table = _Table.of(y_true, (y_pred,), _groups(groups), positive)
    gaps = _odds_gaps(table.observed(), table)[0]
    return float(over_classes(gaps, agg)[0])


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
    table = _Table.of(y_true, (y_pred,), _groups(groups), positive)
    gaps = np.concatenate(_odds_gaps(table.observed(), table), axis=-1)
    return float(over_classes(gaps, agg)[0])


# -- the table of counts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Table:
    """Cells group x truth x prediction (x prediction after) and the class that rates are about (None: all)."""

    cells: Cells
    groups: GroupCodes
    classes: tuple[str, ...]
    positive: int | None
    arms: int

    @classmethod
    def of(cls, y_true: ArrayLike, y_preds: Sequence[ArrayLike], groups: GroupCodes, positive: object) -> _Table:
        columns = [factorize(y, name)[:2] for y, name in zip((y_true, *y_preds), _NAMES, strict=False)]
        for (codes, labels), name in zip(columns, _NAMES, strict=False):
            if len(codes) != len(groups):
                raise InputError(f"{name} has {len(codes)} rows and groups {len(groups)}; expected one per row.")
            if missing := np.count_nonzero(codes < 0):
                raise InputError(f"{name}: {missing} rows have no label, first row {np.argmax(codes < 0)}. Drop them.")
            if len(labels) > 100 and any("." in label for label in labels):
                raise InputError(f"{name} holds {len(labels)} different numbers; expected labels. Threshold scores.")
        kinds = [{_is_number(label) for label in labels} for _, labels in columns]
        if any(kind != kinds[0] for kind in kinds) and not set(columns[0][1]) & set(columns[1][1]):
            raise InputError(
                f"y_true holds {columns[0][1][:3]} and y_pred {columns[1][1][:3]}; expected labels of one kind."
            )
        found = {label for _, labels in columns for label in labels}
        binary = next((pair for pair in _BINARY if found <= set(pair)), None)  # a class without rows stays
        classes = binary or tuple(sorted(found, key=natural_key))
        place = {label: i for i, label in enumerate(classes)}
        coded = [np.array([place[label] for label in labels], dtype=np.int64)[codes] for codes, labels in columns]
        shown = groups.reported()
        shape = (len(shown.labels),) + (len(classes),) * len(coded)
        cells = tabulate(shown.codes, *coded, shape=shape)
        return cls(cells, groups, classes, _positive(classes, positive), len(y_preds))

    @property
    def n_shown(self) -> int:
        return self.cells.shape[0]

    @property
    def width(self) -> int:
        return 3 * self.arms * self.n_shown * len(self.classes)

    def counters(self) -> list[Callable[[FloatArray], Counts]]:
        """Per arm, cell counts [b, c] to truths, predictions and hits [b, g, classes]."""
        k = len(self.classes)
        group, truth, *predictions = self.cells.coordinates.T
        size = self.n_shown * k
        truths = Totals.of(group * k + truth, size)

        def counter(prediction: IntArray) -> Callable[[FloatArray], Counts]:
            predicted = Totals.of(group * k + prediction, size)
            hits = Totals.of(np.where(truth == prediction, group * k + truth, -1), size)

            def count(counts: FloatArray) -> Counts:
                shape = (len(counts), self.n_shown, k)
                return truths(counts).reshape(shape), predicted(counts).reshape(shape), hits(counts).reshape(shape)

            return count

        return [counter(p) for p in predictions]

    def statistic(self, function: Callable[[Counts], FloatArray]) -> Statistic:
        """`function` of one arm's counts as a statistic of the cells; with two arms: before, after, difference."""
        counters = self.counters()

        def statistic(counts: FloatArray) -> FloatArray:
            values = [function(count(counts)) for count in counters]
            if len(values) == 2:
                values.append(values[1] - values[0])
            return np.concatenate(values, axis=1)

        return statistic

    def observed(self, arm: int = 0) -> Counts:
        return self.counters()[arm](self.cells.counts[None].astype(np.float64))


_NAMES = ("y_true", "y_pred", "y_pred_after")
_BINARY = (("0", "1"), ("-1", "1"), ("False", "True"))


def _groups(groups: Any) -> GroupCodes:
    codes = encode(groups)
    if not codes.counts.sum():
        raise GroupError(f"none of {len(codes)} rows has a group; expected at least one label.")
    return codes


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _positive(classes: tuple[str, ...], positive: object) -> int | None:
    if positive is None:
        return 1 if classes in _BINARY else None
    codes, labels, _ = factorize([positive], "positive")
    if not len(codes) or codes[0] < 0:
        raise InputError(f"positive={positive!r} is not a label; expected one of {list(classes)}.")
    if labels[0] not in classes:
        raise InputError(unknown_label(labels[0], classes, kind="positive class"))
    return classes.index(labels[0])


def _odds_gaps(counts: Counts, table: _Table) -> tuple[FloatArray, FloatArray]:
    """Gaps over groups in true and in false positive rate, each [b, classes]."""
    classes = slice(None) if table.positive is None else slice(table.positive, table.positive + 1)
    known = [part[:, : len(table.groups.labels)] for part in counts]
    gaps = []
    for name in ("true_positive_rate", "false_positive_rate"):
        rates = rates_of_counts(name, *known)[..., classes]
        gaps.append(extremes(np.moveaxis(rates, 1, -1))[0])
    return gaps[0], gaps[1]


def _frame_vector(overall: FloatArray, by_group: FloatArray, known: int, higher: bool) -> FloatArray:
    """[b, 4 + g]: overall, difference, ratio, worst, every group."""
    difference, ratio, low, high = extremes(by_group[:, :known])
    return np.column_stack([overall, difference, ratio, low if higher else high, by_group])


def _frame_function(name: str, table: _Table, higher: bool) -> Callable[[Counts], FloatArray]:
    def function(counts: Counts) -> FloatArray:
        truths, predictions, hits = (part.sum(axis=1, keepdims=True) for part in counts)
        overall = metric_of_counts(name, truths, predictions, hits, table.positive)[:, 0]
        by_group = metric_of_counts(name, *counts, table.positive)
        return _frame_vector(overall, by_group, len(table.groups.labels), higher)

    return function


def _cells_bootstrap(name: str, table: _Table, plan: Resampling) -> tuple[Resampled, str, bool]:
    """The frame vector of a named metric under resampling of cells, the name, and whether higher is better."""
    name = check_metric(name, has_positive=table.positive is not None)
    higher = name not in LOWER_IS_BETTER
    statistic = table.statistic(_frame_function(name, table, higher))
    return bootstrap(table.cells, statistic, plan, width=table.width), name, higher


def _summary_function(table: _Table) -> Callable[[Counts], FloatArray]:
    accuracy = _frame_function("accuracy", table, True)

    def function(counts: Counts) -> FloatArray:
        frame = accuracy(counts)
        positive_gaps, negative_gaps = _odds_gaps(counts, table)
        both = np.concatenate([positive_gaps, negative_gaps], axis=-1)
        return np.column_stack(
            [
                frame[:, 0] - frame[:, 3],
                over_classes(positive_gaps, "max"),
                over_classes(both, "max"),
                over_classes(both, "mean"),
                frame,
            ]
        )

    return function


# -- any callable: rows ------------------------------------------------------------------------------------------------


def _rows_bootstrap(
    metric: Callable[[Any, Any], float],
    y_true: ArrayLike,
    arms: Sequence[ArrayLike],
    groups: GroupCodes,
    higher: bool,
    plan: Resampling,
) -> tuple[Resampled, str]:
    """The frame vector of a callable under resampling of rows, and the metric's name."""
    truth, *predictions = (np.asarray(y) for y in (y_true, *arms))
    for array, name in zip((truth, *predictions), _NAMES, strict=False):
        if len(array) != len(groups):
            raise InputError(f"{name} has {len(array)} rows and groups {len(groups)}; expected one per row.")
    shown = groups.reported()

    def one(rows: IntArray) -> FloatArray:
        codes = shown.codes[rows]
        members = [rows[codes == g] for g in range(len(shown.labels))]
        vectors = []
        for prediction in predictions:
            overall = float(metric(truth[rows], prediction[rows]))
            by_group = [_try(metric, truth[m], prediction[m]) for m in members]
            vectors.append(_frame_vector(np.array([overall]), np.array([by_group]), len(groups.labels), higher)[0])
        if len(vectors) == 2:
            vectors.append(vectors[1] - vectors[0])
        return np.concatenate(vectors)

    n = len(groups)
    every = np.arange(n)
    observed = one(every)
    name = getattr(metric, "__name__", type(metric).__name__)
    if not plan.draws:
        return without_interval(observed, plan), name
    rng = np.random.default_rng(plan.seed)
    replicates = np.stack([one(rng.integers(n, size=n)) for _ in range(plan.draws)])
    jackknife = np.stack([one(np.delete(every, i)) for i in every]) if plan.method == "bca" else None
    return summarise(observed, replicates, plan, "rows", jackknife), name


def _try(metric: Callable[[Any, Any], float], y_true: Any, y_pred: Any) -> float:
    """The metric of one group; NaN without rows, and where it is not defined for these rows."""
    if not len(y_true):
        return np.nan
    try:
        return float(metric(y_true, y_pred))
    except (ValueError, ZeroDivisionError):
        return np.nan


# -- results -----------------------------------------------------------------------------------------------------------


def _frame(
    values: Resampled, at: int, metric: str, groups: GroupCodes, minimum: int, higher: bool | None
) -> GroupFrame:
    """The frame whose vector starts at component `at`; `higher` is None for a difference of arms."""
    shown = groups.reported()
    known = len(groups.labels)
    counts = {label: int(count) for label, count in zip(shown.labels, shown.counts, strict=True)}
    observed = values.observed[at + 4 : at + 4 + len(shown.labels)]
    notes = list(groups.notes)
    if groups.n_missing:
        notes.append(f"{groups.n_missing} rows without a group are in {MISSING} and in no aggregate")
    undefined = [label for label, value in zip(groups.labels, observed[:known], strict=True) if np.isnan(value)]
    left_out = f"undefined in {', '.join(undefined)}, left out" if undefined else ""
    if undefined:
        notes.append(f"{metric} is undefined in {', '.join(undefined)}: left out of the aggregates")
    small = tuple(label for label in groups.labels if counts[label] < minimum)
    if small:
        notes.append(f"fewer than {minimum} rows in {', '.join(small)}")
    n_known = int(groups.counts.sum())
    by_group = {
        label: values.estimate(at + 4 + i, counts[label], "" if counts[label] else "no rows")
        for i, label in enumerate(shown.labels)
    }
    worst_group = best_group = ""
    if higher is not None and len(undefined) < known:
        low, high = int(np.nanargmin(observed[:known])), int(np.nanargmax(observed[:known]))
        worst_group, best_group = (groups.labels[i] for i in ((low, high) if higher else (high, low)))
    worst_n = counts[worst_group] if worst_group else n_known
    return GroupFrame(
        metric,
        values.estimate(at, len(groups)),
        MappingProxyType(by_group),
        values.estimate(at + 1, n_known, left_out),
        values.estimate(at + 2, n_known, left_out),
        values.estimate(at + 3, worst_n, left_out),
        worst_group,
        best_group,
        MappingProxyType(counts),
        small,
        minimum,
        values.method,
        tuple(notes),
    )


def _summary(values: Resampled, at: int, table: _Table, minimum: int, arm: int | None) -> GroupSummary:
    """The summary whose vector starts at component `at`; `arm` is None for a difference of arms."""
    frame = _frame(values, at + 4, "accuracy", table.groups, minimum, None if arm is None else True)
    n = int(table.groups.counts.sum())
    classes = table.classes if table.positive is None else (table.classes[table.positive],)
    notes = [] if len(classes) == 1 else [f"one-vs-rest over {len(classes)} classes"]
    if arm is not None:
        undefined = sum(int(np.isnan(gaps).sum()) for gaps in _odds_gaps(table.observed(arm), table))
        if undefined:
            notes.append(f"{undefined} of {2 * len(classes)} rate gaps need a rate in two groups and are left out")
    over = "; ".join(notes)
    measures = {
        "accuracy": frame.overall,
        "worst_group_accuracy": frame.worst,
        "accuracy_gap": frame.difference,
        "average_worst_gap": values.estimate(at, n),
        "equal_opportunity_difference": values.estimate(at + 1, n, over),
        "equalized_odds_difference": values.estimate(at + 2, n, over),
        "equalized_odds_difference_mean": values.estimate(at + 3, n, over),
    }
    return GroupSummary(frame, MappingProxyType(measures), classes)
