"""What a section is made of, and how measurements become rows and marks of a chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from ..findings import Finding
from .charts import Mark
from .pairing import Comparison, Measurement, Series
from .vocabulary import ALL_GROUPS, SMALL_CELL, THIN, interval_text, metric_of, number, p_text, value_text

MOST_ROWS = 45
MOST_MARKS = 180  # per chart, so that many series do not make the page heavy
MOST_REASON = 32  # characters; the tooltip and the table have the whole note
MOST_FIGURES = 8  # per section
MOST_NAMED = 4  # charts without room that are named


SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class Figure:
    """One chart with its caption and legend; `folded` charts start closed."""

    title: str
    chart: Markup
    caption: str = ""
    series: tuple[Series, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    id: str
    title: str
    lead: str
    figures: tuple[Figure, ...]
    short: str = ""


def tip(series: Series, row: Finding) -> str:
    parts = [f"{series.label}: {value_text(row)}"]
    if interval := interval_text(row):
        parts.append(f"{100 * (row.level or 0):g}{THIN}% interval {interval}")
    if p := p_text(row.p):
        parts.append(f"p {p}" + (f", adjusted {p_text(row.p_adjusted)}" if p_text(row.p_adjusted) else ""))
    parts.append(f"n = {row.n}")
    if row.note:
        parts.append(row.note)
    return "; ".join(parts)


def text_of(row: Finding) -> str:
    """The value with its interval, or why there is none; a unit that the axis names is not repeated."""
    if math.isnan(row.value):
        reason = f"undefined: {row.note}"
        return reason if len(reason) <= MOST_REASON else reason[: MOST_REASON - 1].rstrip() + "\u2026"
    interval = interval_text(row)
    value = value_text(row) if row.unit in ("share", "standard deviations", "nats") else number(row.value)
    return f"{value} ({interval})" if interval else value


def p_pair(row: Finding) -> str:
    """p, and the corrected p where there is one."""
    return " / ".join(text for text in (p_text(row.p), p_text(row.p_adjusted)) if text)


def marks_of(comparison: Comparison, m: Measurement, *, control: bool = True) -> tuple[Mark, ...]:
    """One mark per series, without the random control where it would only crowd the chart."""
    return tuple(
        Mark(series, row.value, row.low, row.high, text_of(row), p_pair(row), tip(series, row))
        for i, series in enumerate(comparison.series)
        if (row := m.cells.get(i)) is not None and (control or not series.is_control)
    )


def points_of(comparison: Comparison, m: Measurement) -> tuple[Mark, ...]:
    """One bare mark per series: no interval, and a text without the unit."""
    return tuple(
        replace(mark, low=None, high=None, p="", text=number(100 * mark.value, 1) if share else number(mark.value))
        for mark in marks_of(comparison, m)
        for share in (m.first.unit == "share",)
    )


def most_rows(comparison: Comparison) -> int:
    """How many rows a chart may have."""
    return max(min(MOST_ROWS, MOST_MARKS // max(len(comparison.series), 1)), 8)


def used(comparison: Comparison, members: Iterable[Measurement], *, control: bool = True) -> tuple[Series, ...]:
    """The series that a chart of these measurements shows, for its legend."""
    seen = {i for m in members for i in m.cells}
    return tuple(s for i, s in enumerate(comparison.series) if i in seen and (control or not s.is_control))


def first_value(m: Measurement) -> float:
    row = next(iter(m.cells.values()), m.first)
    return row.value


def by_size(members: Iterable[Measurement]) -> list[Measurement]:
    return sorted(members, key=lambda m: -abs(first_value(m)) if math.isfinite(first_value(m)) else math.inf)


def sample(m: Measurement, *, flag: bool = False) -> str:
    """ "n = 480", with a dagger for a small cell when `flag` is set."""
    sizes = sorted({row.n for row in m.cells.values()})
    span = " to ".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else ""
    small = " \u2020" if flag and sizes and sizes[0] < SMALL_CELL else ""
    return f"n = {span}{small}" if span else ""


def split(members: Iterable[Measurement], key: Callable[[Measurement], str]) -> dict[str, list[Measurement]]:
    groups: dict[str, list[Measurement]] = {}
    for m in members:
        groups.setdefault(key(m), []).append(m)
    return groups


def left_out(total: int, shown: int, what: str, which: str = "the largest") -> str:
    """What a chart does not show; empty when it shows everything."""
    if total <= shown:
        return ""
    return f" Shown: {which} {shown} of {total} {what}. The table below has the others."


def charts_left_out(figures: Sequence[Figure], most: int = MOST_FIGURES) -> str:
    """Which charts a section has no room for, as a note for its lead; empty when it has room for all."""
    if not (dropped := [figure.title for figure in figures[most:]]):
        return ""
    named = "; ".join(dropped[:MOST_NAMED]) + (f"; and {len(dropped) - MOST_NAMED} more" * (len(dropped) > MOST_NAMED))
    return f" {len(dropped)} of {len(figures)} charts are left out; their numbers are in the table below: {named}."


def measured(comparison: Comparison, *metrics: str) -> list[Measurement]:
    return [m for m in comparison.where(*metrics) if m.cells]


def name_of(m: Measurement) -> str:
    for key in ("test", "query", "task", "label"):
        if name := m.free(key):
            return name
    sets = [m.free(key) for key in ("x", "y", "a", "b")]
    if all(sets):
        return f"{sets[0]} / {sets[1]} \u00d7 {sets[2]} / {sets[3]}"
    return m.first.groups if m.first.groups not in ("", *ALL_GROUPS) else metric_of(m.first.metric, m.first.unit).label


def lowest(m: Measurement) -> float:
    value = first_value(m)
    return value if math.isfinite(value) else math.inf


def whole_percent(share: float) -> str:
    return f"{number(100 * share, 0)}{THIN}%"
