"""The accuracy frame and the named gaps from one set of resamples."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

from ...stats.cells import FloatArray, Resampled, Resampling, bootstrap
from ...stats.rates import mean_defined
from ...stats.spread import Extremes, GapBand, floor, lowest_band
from .frames import Kind, banded, frame_units, join_units, make_frame
from .resampled import frame_function
from .result import GroupSummary
from .table import Counts, Table, group_odds, odds_gaps, odds_rows


def summary_bootstrap(table: Table, plan: Resampling) -> Resampled:
    statistic = table.statistic([_summary_function(table, arm) for arm in range(table.arms)])
    extra = table.arms * group_odds(table.observed(), table)[0].size
    known = len(table.groups.labels)
    units = []
    for arm in range(table.arms):
        rows = table.denominators("accuracy", arm)
        frame = frame_units(frame_function("accuracy", table, True, arm)(table.observed(arm))[0], rows, known)
        truths = odds_rows(table, arm)
        odds = truths[truths > 0].min(initial=np.inf)
        units.append(np.concatenate([frame[3:4], np.full(3, odds), frame]))
    return bootstrap(table.cells, statistic, plan, width=table.width, extra=extra, units=join_units(units))


def _summary_function(table: Table, arm: int) -> Callable[[Counts], tuple[FloatArray, FloatArray]]:
    """Counts of one arm to the named gaps and the accuracy frame, and the rates behind the gaps."""
    accuracy = frame_function("accuracy", table, True, arm)
    rates = Extremes.of(group_odds(table.observed(arm), table)[0])
    gaps = rates.gaps(rates.observed[None])[0]
    half = len(gaps) // 2  # true positive rates of every class, then false positive rates
    widest = [int(np.where(np.isnan(part), -np.inf, part).argmax()) for part in (gaps[:half], gaps)]

    def function(counts: Counts) -> tuple[FloatArray, FloatArray]:
        frame = accuracy(counts)
        odds = group_odds(counts, table)
        fixed = rates.gaps(odds)
        named = [frame[:, 0] - frame[:, 3], fixed[:, widest[0]], fixed[:, widest[1]], mean_defined(fixed)]
        return np.column_stack([*named, frame]), odds.reshape(len(odds), -1)

    return function


def summary(values: Resampled, at: int, table: Table, minimum: int, arm: int | None) -> GroupSummary:
    """The summary whose vector starts at component `at`; `arm` is None for a difference of arms."""
    rows = tuple(table.denominators("accuracy", i) for i in range(table.arms))
    frame = make_frame(values, at + 4, arm, Kind("accuracy", True, rows), table.groups, minimum)
    n = int(table.groups.counts.sum())
    classes = table.classes if table.positive is None else (table.classes[table.positive],)
    notes = [] if len(classes) == 1 else [f"one-vs-rest over {len(classes)} classes"]
    if arm is not None and (undefined := int(np.isnan(odds_gaps(table, arm)).sum())):
        notes.append(f"{undefined} of {2 * len(classes)} rate gaps need a rate in two groups and are left out")
    over = "; ".join(notes)
    named = [values.estimate(at + i, n, over if i else "") for i in range(4)]
    if arm is not None and values.draws:
        bands = _summary_bands(values, at, table, arm)
        several = np.count_nonzero(table.groups.counts) > 2
        competing = (several, several or len(classes) > 1, True, True)
        named = [banded(e, *ends) if c else e for e, ends, c in zip(named, bands, competing, strict=True)]
    names = ("average_worst_gap", "equal_opportunity_difference", "equalized_odds_difference")
    measures = {
        "accuracy": frame.overall,
        "worst_group_accuracy": frame.worst,
        "accuracy_gap": frame.difference,
        **dict(zip((*names, "equalized_odds_difference_mean"), named, strict=True)),
    }
    return GroupSummary(frame, MappingProxyType(measures), classes)


def _summary_bands(values: Resampled, at: int, table: Table, arm: int) -> tuple[tuple[float, float], ...]:
    """Simultaneous bands of average minus worst, equal opportunity, and equalized odds as maximum and mean."""
    known = len(table.groups.labels)
    place = slice(at + 8, at + 8 + known)
    overall, replicates = values.observed[at + 4], values.replicates
    least = floor(values.observed[place], table.denominators("accuracy", arm)[:known])
    below = lowest_band(
        values.observed[place] - overall, replicates[:, place] - replicates[:, at + 4, None], least, values.level
    )
    odds = group_odds(table.observed(arm), table)[0]
    start = len(values.observed) + arm * odds.size
    resampled = replicates[:, start : start + odds.size].reshape(-1, *odds.shape)
    smallest = floor(odds, odds_rows(table, arm))
    half = len(odds) // 2
    band = GapBand.of(odds, resampled, smallest)
    first, both = band.ends(values.level, slice(0, half)), band.ends(values.level)
    largest = [tuple(min(float(np.fmax.reduce(end)), 1.0) for end in ends) for ends in (first, both)]
    mean = tuple(min(float(mean_defined(end)), 1.0) for end in both)
    return (-below[1], -below[0]), (largest[0][0], largest[0][1]), (largest[1][0], largest[1][1]), (mean[0], mean[1])
