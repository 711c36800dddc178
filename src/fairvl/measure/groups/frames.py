"""From resampled vectors to frames: the order of the numbers, their intervals and simultaneous bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from ...errors import GroupError
from ...stats.cells import FloatArray, Resampled
from ...stats.codes import MISSING, GroupCodes, encode
from ...stats.estimate import Estimate
from ...stats.rates import wilson
from ...stats.spread import Extremes, GapBand, floor, lowest_band
from .result import Comparison, GroupFrame


def group_codes(groups: Any) -> GroupCodes:
    codes = encode(groups)
    if not codes.counts.sum():
        raise GroupError(f"none of {len(codes)} rows has a group; expected at least one label.")
    return codes


def join(parts: Sequence[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """Values of each arm, their difference (after minus before), and the extra columns of each arm."""
    values = [v for v, _ in parts]
    if len(values) == 2:
        values.append(values[1] - values[0])
    return np.concatenate([*values, *(extra for _, extra in parts)], axis=1)


def frame_vector(overall: FloatArray, by_group: FloatArray, extremes: Extremes, higher: bool) -> FloatArray:
    """[b, 4 + g]: overall, difference, ratio, worst, every group; the extremes are those of the data."""
    known = by_group[:, None, : extremes.observed.shape[1]]
    low, high = extremes.low(known), extremes.high(known)
    difference = extremes.gaps(known)
    ratio = np.divide(low, high, out=np.full(low.shape, np.nan), where=~np.isnan(difference) & (high != 0))
    return np.column_stack([overall, difference, ratio, low if higher else high, by_group])


def frame_units(vector: FloatArray, rows: FloatArray, known: int) -> FloatArray:
    """Rows that each component of a frame vector rests on: for an aggregate, those of the smaller extreme."""
    values = vector[4 : 4 + known]
    order = np.flatnonzero(~np.isnan(values))
    ends = rows[order[[values[order].argmin(), values[order].argmax()]]] if len(order) else rows[:1]
    return np.concatenate([[rows.sum()], np.full(3, ends.min()), rows])


def join_units(arms: list[FloatArray]) -> FloatArray:
    """Units of the values of each arm and of their difference, as `join` orders them."""
    return np.concatenate(arms if len(arms) == 1 else [*arms, np.minimum(*arms)])


@dataclass(frozen=True, eq=False)
class Kind:
    """A metric's name and direction; per arm the rows that each shown group's value rests on (None: not a share)."""

    name: str
    higher: bool
    rows: tuple[FloatArray, ...] | None


def make_comparison(values: Resampled, kind: Kind, groups: GroupCodes, minimum: int) -> Comparison:
    """Before, after and their difference, from vectors that stand one behind the other."""
    length = len(values.observed) // 3
    before, after = (make_frame(values, i * length, i, kind, groups, minimum) for i in range(2))
    return Comparison(before, after, make_frame(values, 2 * length, None, kind, groups, minimum))


def make_frame(values: Resampled, at: int, arm: int | None, kind: Kind, groups: GroupCodes, minimum: int) -> GroupFrame:
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
        aggregates = [banded(e, *ends) for e, ends in zip(aggregates, bands, strict=True)]
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


def banded(estimate: Estimate, low: float, high: float) -> Estimate:
    """The estimate with a simultaneous band, where that is defined."""
    if math.isnan(estimate.value) or math.isnan(low):
        return estimate
    return replace(estimate, low=low, high=high, method="simultaneous, " + estimate.method.partition(", ")[2])


def _frame_bands(
    values: Resampled, at: int, kind: Kind, rows: FloatArray | None, known: int
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
