"""Frame vectors under resampling: cells for named metrics, rows for any callable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError
from ...stats.cells import FloatArray, IntArray, Resampled, Resampling, bootstrap, summarise, without_interval
from ...stats.codes import GroupCodes
from ...stats.rates import LOWER_IS_BETTER, check_metric
from ...stats.rates import metric as metric_of_counts
from ...stats.spread import Extremes
from .frames import Kind, frame_units, frame_vector, join, join_units
from .table import NAMES, Counts, Table


def frame_function(name: str, table: Table, higher: bool, arm: int) -> Callable[[Counts], FloatArray]:
    """Counts of one arm to the vector of a frame; the extremes are those of the arm's data."""
    known = len(table.groups.labels)

    def groups_and_overall(counts: Counts) -> tuple[FloatArray, FloatArray]:
        truths, predictions, hits = (part.sum(axis=1, keepdims=True) for part in counts)
        overall = metric_of_counts(name, truths, predictions, hits, table.positive)[:, 0]
        return metric_of_counts(name, *counts, table.positive), overall

    extremes = Extremes.of(groups_and_overall(table.observed(arm))[0][:, :known])

    def function(counts: Counts) -> FloatArray:
        by_group, overall = groups_and_overall(counts)
        return frame_vector(overall, by_group, extremes, higher)

    return function


def cells_bootstrap(name: str, table: Table, plan: Resampling) -> tuple[Resampled, Kind]:
    """The frame vector of a named metric under resampling of cells."""
    name = check_metric(name, has_positive=table.positive is not None)
    higher = name not in LOWER_IS_BETTER
    functions = [frame_function(name, table, higher, arm) for arm in range(table.arms)]
    statistic = table.statistic([_without_extra(function) for function in functions])
    rows = tuple(table.denominators(name, arm) for arm in range(table.arms))
    observed = [function(table.observed(arm))[0] for arm, function in enumerate(functions)]
    units = join_units([frame_units(v, r, len(table.groups.labels)) for v, r in zip(observed, rows, strict=True)])
    return bootstrap(table.cells, statistic, plan, width=table.width, units=units), Kind(name, higher, rows)


def _without_extra(
    function: Callable[[Counts], FloatArray],
) -> Callable[[Counts], tuple[FloatArray, FloatArray]]:
    def both(counts: Counts) -> tuple[FloatArray, FloatArray]:
        values = function(counts)
        return values, values[:, :0]

    return both


def rows_bootstrap(
    metric: Callable[[Any, Any], float],
    y_true: ArrayLike,
    arms: Sequence[ArrayLike],
    groups: GroupCodes,
    higher: bool,
    plan: Resampling,
) -> tuple[Resampled, Kind]:
    """The frame vector of a callable under resampling of rows."""
    truth, *predictions = (np.asarray(y) for y in (y_true, *arms))
    for array, name in zip((truth, *predictions), NAMES, strict=False):
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
        vectors = [frame_vector(values[:, i, 0], values[:, i, 1:], e, higher) for i, e in enumerate(extremes)]
        return join([(vector, vector[:, :0]) for vector in vectors])

    observed = parts(data[None])[0]
    kind = Kind(getattr(metric, "__name__", type(metric).__name__), higher, None)
    if not plan.draws:
        return without_interval(observed, plan), kind
    rng = np.random.default_rng(plan.seed)
    replicates = parts(np.stack([one(rng.integers(n, size=n)) for _ in range(plan.draws)]))
    jackknife = parts(np.stack([one(np.delete(every, i)) for i in every])) if plan.method == "bca" else None
    rows = shown.counts.astype(np.float64)
    length = len(observed) // (1 if len(arms) == 1 else 3)
    units = [frame_units(observed[i * length : (i + 1) * length], rows, known) for i in range(len(arms))]
    return summarise(observed, replicates, plan, "rows", jackknife, units=join_units(units)), kind


def _try(metric: Callable[[Any, Any], float], y_true: Any, y_pred: Any) -> float:
    """The metric of one group; NaN without rows, and where it is not defined for these rows."""
    if not len(y_true):
        return np.nan
    try:
        return float(metric(y_true, y_pred))
    except (ValueError, ZeroDivisionError):
        return np.nan
