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

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from ..stats.rates import LOWER_IS_BETTER, METRICS, check_metric, mean_defined, over_classes, wilson
from ..stats.rates import metric as metric_of_counts
from ..stats.rates import rates as rates_of_counts
from ..stats.spread import Extremes, GapBand, floor, lowest_band

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
        values, kind = _rows_bootstrap(metric, y_true, (y_pred,), codes, higher_is_better, plan)
    else:
        table = _Table.of(y_true, (y_pred,), codes, positive)
        values, kind = _cells_bootstrap(metric, table, plan)
    return _frame(values, 0, 0, kind, codes, minimum)


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
        values, kind = _rows_bootstrap(metric, y_true, arms, codes, higher_is_better, plan)
    else:
        table = _Table.of(y_true, arms, codes, positive)
        values, kind = _cells_bootstrap(metric, table, plan)
    length = len(values.observed) // 3
    before, after = (_frame(values, i * length, i, kind, codes, minimum) for i in range(2))
    return Comparison(before, after, _frame(values, 2 * length, None, kind, codes, minimum))


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
    values = _summary_bootstrap(table, plan)
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
    values = _summary_bootstrap(table, plan)
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
    gaps = _odds_gaps(table)
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
    table = _Table.of(y_true, (y_pred,), _groups(groups), positive)
    return float(over_classes(_odds_gaps(table), agg)[0])


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

    def statistic(self, functions: Sequence[Callable[[Counts], tuple[FloatArray, FloatArray]]]) -> Statistic:
        """One function per arm, counts to values and extra columns, as a statistic of the cells (see `_join`)."""
        counters = self.counters()

        def statistic(counts: FloatArray) -> FloatArray:
            return _join([function(count(counts)) for count, function in zip(counters, functions, strict=True)])

        return statistic

    def denominators(self, name: str, arm: int) -> FloatArray:
        """Rows that a metric's value rests on, per shown group (all rows of the group for means over classes)."""
        truths, predictions, _ = (part[0] for part in self.observed(arm))
        rows: FloatArray = truths.sum(axis=-1)
        if self.positive is None or name in ("accuracy", "balanced_accuracy", "selection_rate", "base_rate", "f1"):
            return rows
        if name in ("false_positive_rate", "true_negative_rate"):
            return np.asarray(rows - truths[:, self.positive])
        return np.asarray((predictions if name == "precision" else truths)[:, self.positive])

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


def _odds(counts: Counts, table: _Table) -> FloatArray:
    """True positive rates of every class, then false positive rates, by group: [b, 2 classes, g]."""
    classes = slice(None) if table.positive is None else slice(table.positive, table.positive + 1)
    known = [part[:, : len(table.groups.labels)] for part in counts]
    rates = [rates_of_counts(name, *known)[..., classes] for name in ("true_positive_rate", "false_positive_rate")]
    return np.moveaxis(np.concatenate(rates, axis=-1), 1, -1)


def _odds_rows(table: _Table, arm: int) -> FloatArray:
    """Rows behind the rates of `_odds`, [2 classes, g]."""
    truths = np.moveaxis(table.observed(arm)[0][0, : len(table.groups.labels)], 0, -1)
    negatives = truths.sum(axis=0) - truths
    if table.positive is not None:
        truths, negatives = (part[table.positive : table.positive + 1] for part in (truths, negatives))
    return np.concatenate([truths, negatives])


def _odds_gaps(table: _Table, arm: int = 0) -> FloatArray:
    """Observed gaps over groups, true positive rates of every class first, [1, 2 classes]."""
    rates = _odds(table.observed(arm), table)
    return Extremes.of(rates[0]).gaps(rates)


def _join(parts: Sequence[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """Values of each arm, their difference (after minus before), and the extra columns of each arm."""
    values = [v for v, _ in parts]
    if len(values) == 2:
        values.append(values[1] - values[0])
    return np.concatenate([*values, *(extra for _, extra in parts)], axis=1)


def _frame_vector(overall: FloatArray, by_group: FloatArray, extremes: Extremes, higher: bool) -> FloatArray:
    """[b, 4 + g]: overall, difference, ratio, worst, every group; the extremes are those of the data."""
    known = by_group[:, None, : extremes.observed.shape[1]]
    low, high = extremes.low(known), extremes.high(known)
    difference = extremes.gaps(known)
    ratio = np.divide(low, high, out=np.full(low.shape, np.nan), where=~np.isnan(difference) & (high != 0))
    return np.column_stack([overall, difference, ratio, low if higher else high, by_group])


def _frame_function(name: str, table: _Table, higher: bool, arm: int) -> Callable[[Counts], FloatArray]:
    """Counts of one arm to the vector of a frame; the extremes are those of the arm's data."""
    known = len(table.groups.labels)

    def groups_and_overall(counts: Counts) -> tuple[FloatArray, FloatArray]:
        truths, predictions, hits = (part.sum(axis=1, keepdims=True) for part in counts)
        overall = metric_of_counts(name, truths, predictions, hits, table.positive)[:, 0]
        return metric_of_counts(name, *counts, table.positive), overall

    extremes = Extremes.of(groups_and_overall(table.observed(arm))[0][:, :known])

    def function(counts: Counts) -> FloatArray:
        by_group, overall = groups_and_overall(counts)
        return _frame_vector(overall, by_group, extremes, higher)

    return function


def _cells_bootstrap(name: str, table: _Table, plan: Resampling) -> tuple[Resampled, _Kind]:
    """The frame vector of a named metric under resampling of cells."""
    name = check_metric(name, has_positive=table.positive is not None)
    higher = name not in LOWER_IS_BETTER
    functions = [_frame_function(name, table, higher, arm) for arm in range(table.arms)]
    statistic = table.statistic([_without_extra(function) for function in functions])
    rows = tuple(table.denominators(name, arm) for arm in range(table.arms))
    observed = [function(table.observed(arm))[0] for arm, function in enumerate(functions)]
    units = _join_units([_frame_units(v, r, len(table.groups.labels)) for v, r in zip(observed, rows, strict=True)])
    return bootstrap(table.cells, statistic, plan, width=table.width, units=units), _Kind(name, higher, rows)


def _frame_units(vector: FloatArray, rows: FloatArray, known: int) -> FloatArray:
    """Rows that each component of a frame vector rests on: for an aggregate, those of the smaller extreme."""
    values = vector[4 : 4 + known]
    order = np.flatnonzero(~np.isnan(values))
    ends = rows[order[[values[order].argmin(), values[order].argmax()]]] if len(order) else rows[:1]
    return np.concatenate([[rows.sum()], np.full(3, ends.min()), rows])


def _join_units(arms: list[FloatArray]) -> FloatArray:
    """Units of the values of each arm and of their difference, as `_join` orders them."""
    return np.concatenate(arms if len(arms) == 1 else [*arms, np.minimum(*arms)])


def _without_extra(
    function: Callable[[Counts], FloatArray],
) -> Callable[[Counts], tuple[FloatArray, FloatArray]]:
    def both(counts: Counts) -> tuple[FloatArray, FloatArray]:
        values = function(counts)
        return values, values[:, :0]

    return both


def _summary_bootstrap(table: _Table, plan: Resampling) -> Resampled:
    statistic = table.statistic([_summary_function(table, arm) for arm in range(table.arms)])
    extra = table.arms * _odds(table.observed(), table)[0].size
    known = len(table.groups.labels)
    units = []
    for arm in range(table.arms):
        rows = table.denominators("accuracy", arm)
        frame = _frame_units(_frame_function("accuracy", table, True, arm)(table.observed(arm))[0], rows, known)
        truths = _odds_rows(table, arm)
        odds = truths[truths > 0].min(initial=np.inf)
        units.append(np.concatenate([frame[3:4], np.full(3, odds), frame]))
    return bootstrap(table.cells, statistic, plan, width=table.width, extra=extra, units=_join_units(units))


def _summary_function(table: _Table, arm: int) -> Callable[[Counts], tuple[FloatArray, FloatArray]]:
    """Counts of one arm to the named gaps and the accuracy frame, and the rates behind the gaps."""
    accuracy = _frame_function("accuracy", table, True, arm)
    rates = Extremes.of(_odds(table.observed(arm), table)[0])
    gaps = rates.gaps(rates.observed[None])[0]
    half = len(gaps) // 2  # true positive rates of every class, then false positive rates
    widest = [int(np.where(np.isnan(part), -np.inf, part).argmax()) for part in (gaps[:half], gaps)]

    def function(counts: Counts) -> tuple[FloatArray, FloatArray]:
        frame = accuracy(counts)
        odds = _odds(counts, table)
        fixed = rates.gaps(odds)
        named = [frame[:, 0] - frame[:, 3], fixed[:, widest[0]], fixed[:, widest[1]], mean_defined(fixed)]
        return np.column_stack([*named, frame]), odds.reshape(len(odds), -1)

    return function


# -- any callable: rows ------------------------------------------------------------------------------------------------


def _rows_bootstrap(
    metric: Callable[[Any, Any], float],
    y_true: ArrayLike,
    arms: Sequence[ArrayLike],
    groups: GroupCodes,
    higher: bool,
    plan: Resampling,
) -> tuple[Resampled, _Kind]:
    """The frame vector of a callable under resampling of rows."""
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
            vectors.append(np.array([overall, *by_group]))
        return np.stack(vectors)

    n = len(groups)
    every = np.arange(n)
    data = one(every)
    known = len(groups.labels)
    extremes = [Extremes.of(arm[None, 1 : 1 + known]) for arm in data]

    def parts(values: FloatArray) -> FloatArray:
        """Overall and group values [b, arms, 1 + g] to the vectors of the frames."""
        vectors = [_frame_vector(values[:, i, 0], values[:, i, 1:], e, higher) for i, e in enumerate(extremes)]
        return _join([(vector, vector[:, :0]) for vector in vectors])

    observed = parts(data[None])[0]
    kind = _Kind(getattr(metric, "__name__", type(metric).__name__), higher, None)
    if not plan.draws:
        return without_interval(observed, plan), kind
    rng = np.random.default_rng(plan.seed)
    replicates = parts(np.stack([one(rng.integers(n, size=n)) for _ in range(plan.draws)]))
    jackknife = parts(np.stack([one(np.delete(every, i)) for i in every])) if plan.method == "bca" else None
    rows = shown.counts.astype(np.float64)
    length = len(observed) // (1 if len(arms) == 1 else 3)
    units = [_frame_units(observed[i * length : (i + 1) * length], rows, known) for i in range(len(arms))]
    return summarise(observed, replicates, plan, "rows", jackknife, units=_join_units(units)), kind


def _try(metric: Callable[[Any, Any], float], y_true: Any, y_pred: Any) -> float:
    """The metric of one group; NaN without rows, and where it is not defined for these rows."""
    if not len(y_true):
        return np.nan
    try:
        return float(metric(y_true, y_pred))
    except (ValueError, ZeroDivisionError):
        return np.nan


# -- results -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Kind:
    """A metric's name and direction; per arm the rows that each shown group's value rests on (None: not a share)."""

    name: str
    higher: bool
    rows: tuple[FloatArray, ...] | None


def _frame(values: Resampled, at: int, arm: int | None, kind: _Kind, groups: GroupCodes, minimum: int) -> GroupFrame:
    """The frame whose vector starts at component `at`; `arm` is None for a difference of arms."""
    shown = groups.reported()
    known = len(groups.labels)
    counts = {label: int(count) for label, count in zip(shown.labels, shown.counts, strict=True)}
    observed = values.observed[at + 4 : at + 4 + known]
    undefined = [label for label, value in zip(groups.labels, observed, strict=True) if np.isnan(value)]
    small = tuple(label for label in groups.labels if counts[label] < minimum)
    left_out = f"undefined in {', '.join(undefined)}, left out" if undefined else ""
    n_known = int(groups.counts.sum())
    rows = None if kind.rows is None or arm is None else kind.rows[arm]
    by_group = {
        label: _share(values.estimate(at + 4 + i, counts[label], "" if counts[label] else "no rows"), rows, i)
        for i, label in enumerate(shown.labels)
    }
    worst_group = best_group = ""
    if arm is not None and len(undefined) < known:
        order = (int(np.nanargmin(observed)), int(np.nanargmax(observed)))
        worst_group, best_group = (groups.labels[i] for i in (order if kind.higher else order[::-1]))
    worst_n = counts[worst_group] if worst_group else n_known
    aggregates = [values.estimate(at + 1 + i, n, left_out) for i, n in enumerate((n_known, n_known, worst_n))]
    if arm is not None and known - len(undefined) > 2 and values.draws:
        bands = _frame_bands(values, at, kind, rows, known)
        aggregates = [_banded(e, *ends) for e, ends in zip(aggregates, bands, strict=True)]
    return GroupFrame(
        kind.name,
        values.estimate(at, len(groups)),
        MappingProxyType(by_group),
        aggregates[0],
        aggregates[1],
        aggregates[2],
        worst_group,
        best_group,
        MappingProxyType(counts),
        small,
        minimum,
        values.method,
        _frame_notes(groups, kind.name, undefined, small, minimum),
    )


def _frame_notes(
    groups: GroupCodes, name: str, undefined: list[str], small: tuple[str, ...], minimum: int
) -> tuple[str, ...]:
    notes = list(groups.notes)
    if groups.n_missing:
        notes.append(f"{groups.n_missing} rows without a group are in {MISSING} and in no aggregate")
    if undefined:
        notes.append(f"{name} is undefined in {', '.join(undefined)}: left out of the aggregates")
    if small:
        notes.append(f"fewer than {minimum} rows in {', '.join(small)}")
    return tuple(notes)


def _share(estimate: Estimate, rows: FloatArray | None, group: int) -> Estimate:
    """A share of 0 or 1 never varies under resampling; Wilson's interval holds there."""
    if rows is None or estimate.value not in (0.0, 1.0) or estimate.low != estimate.high:
        return estimate
    n = int(rows[group])
    low, high = wilson(round(estimate.value * n), n, estimate.level)
    return replace(estimate, low=low, high=high, method="wilson")


def _banded(estimate: Estimate, low: float, high: float) -> Estimate:
    """The estimate with a simultaneous band, where that is defined."""
    if math.isnan(estimate.value) or math.isnan(low):
        return estimate
    return replace(estimate, low=low, high=high, method="simultaneous, " + estimate.method.partition(", ")[2])


def _frame_bands(
    values: Resampled, at: int, kind: _Kind, rows: FloatArray | None, known: int
) -> tuple[tuple[float, float], ...]:
    """Simultaneous bands of difference, ratio and worst."""
    place = slice(at + 4, at + 4 + known)
    observed, replicates = values.observed[place], values.replicates[:, place]
    least = np.zeros(known) if rows is None else floor(observed, rows[:known])
    low, high = GapBand.of(observed[None], replicates[:, None], least[None]).ends(values.level)
    sign = 1.0 if kind.higher else -1.0
    worst = lowest_band(sign * observed, sign * replicates, least, values.level)
    worst = worst if kind.higher else (-worst[1], -worst[0])
    ratio = (math.nan, math.nan)
    if np.all(observed[~np.isnan(observed)] > 0):
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(replicates, 0.0))
        logs[~np.isfinite(logs)] = np.nan
        ends = GapBand.of(np.log(observed)[None], logs[:, None], (least / observed)[None]).ends(values.level)
        ratio = (math.exp(-ends[1][0]), math.exp(-ends[0][0]))
    if rows is None:
        return (float(low[0]), float(high[0])), ratio, worst
    return (float(low[0]), min(float(high[0]), 1.0)), ratio, (max(worst[0], 0.0), min(worst[1], 1.0))


def _summary(values: Resampled, at: int, table: _Table, minimum: int, arm: int | None) -> GroupSummary:
    """The summary whose vector starts at component `at`; `arm` is None for a difference of arms."""
    rows = tuple(table.denominators("accuracy", i) for i in range(table.arms))
    frame = _frame(values, at + 4, arm, _Kind("accuracy", True, rows), table.groups, minimum)
    n = int(table.groups.counts.sum())
    classes = table.classes if table.positive is None else (table.classes[table.positive],)
    notes = [] if len(classes) == 1 else [f"one-vs-rest over {len(classes)} classes"]
    if arm is not None and (undefined := int(np.isnan(_odds_gaps(table, arm)).sum())):
        notes.append(f"{undefined} of {2 * len(classes)} rate gaps need a rate in two groups and are left out")
    over = "; ".join(notes)
    named = [values.estimate(at + i, n, over if i else "") for i in range(4)]
    if arm is not None and values.draws:
        bands = _summary_bands(values, at, table, arm)
        several = np.count_nonzero(table.groups.counts) > 2
        competing = (several, several or len(classes) > 1, True, True)
        named = [_banded(e, *ends) if c else e for e, ends, c in zip(named, bands, competing, strict=True)]
    names = ("average_worst_gap", "equal_opportunity_difference", "equalized_odds_difference")
    measures = {
        "accuracy": frame.overall,
        "worst_group_accuracy": frame.worst,
        "accuracy_gap": frame.difference,
        **dict(zip((*names, "equalized_odds_difference_mean"), named, strict=True)),
    }
    return GroupSummary(frame, MappingProxyType(measures), classes)


def _summary_bands(values: Resampled, at: int, table: _Table, arm: int) -> tuple[tuple[float, float], ...]:
    """Simultaneous bands of average minus worst, equal opportunity, and equalized odds as maximum and mean."""
    known = len(table.groups.labels)
    place = slice(at + 8, at + 8 + known)
    overall, replicates = values.observed[at + 4], values.replicates
    least = floor(values.observed[place], table.denominators("accuracy", arm)[:known])
    below = lowest_band(
        values.observed[place] - overall, replicates[:, place] - replicates[:, at + 4, None], least, values.level
    )
    odds = _odds(table.observed(arm), table)[0]
    start = len(values.observed) + arm * odds.size
    resampled = replicates[:, start : start + odds.size].reshape(-1, *odds.shape)
    smallest = floor(odds, _odds_rows(table, arm))
    half = len(odds) // 2
    band = GapBand.of(odds, resampled, smallest)
    first, both = band.ends(values.level, slice(0, half)), band.ends(values.level)
    largest = [tuple(min(float(np.fmax.reduce(end)), 1.0) for end in ends) for ends in (first, both)]
    mean = tuple(min(float(mean_defined(end)), 1.0) for end in both)
    return (-below[1], -below[0]), (largest[0][0], largest[0][1]), (largest[1][0], largest[1][1]), (mean[0], mean[1])
