"""Charts of a study: caterpillar of models, heat map of correlations, funnel of tests; and plain tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from .charts import LABEL, RIGHT, WIDTH, Axis, Frame, Line, Mark, clip, figure, marker, nice_ticks, tag
from .vocabulary import number

ROOMY = 46  # models that get a line of text each
DENSE = 1500.0  # pixels for all rows of a dense caterpillar
LABEL_STEP = 17.0
STRONGEST = 0.45  # of a tone behind a number, so that the number stays readable
CELL = 46.0
Z = 1.96


def caterpillar(lines: Sequence[Line], axis: Axis, *, title: str, description: str) -> Markup:
    """Models by size, one row each with one mark: roomy with a label per row, dense with one where there is room."""
    frame = Frame(lines, axis, LABEL, WIDTH - RIGHT)
    roomy = len(lines) <= ROOMY
    step = LABEL_STEP + 3 if roomy else max(2.4, min(DENSE / len(lines), 8.0))
    parts: list[Markup] = []
    y, free = 8.0, 0.0
    for i, line in enumerate(lines):
        middle = y + step / 2
        for mark in line.marks:
            parts.append(_thin(frame, mark, middle, 4.5 if roomy else max(1.6, min(step / 2, 3.2))))
        if middle >= free:
            told = line.label if roomy else f"{i + 1}. {line.label}"
            text = line.marks[0].text if line.marks else ""
            label = tag("text", clip(told, LABEL - 14), tag("title", line.label), class_="label", x=0, y=middle + 4)
            parts += [label, tag("text", clip(text, RIGHT - 16), class_="value", x=frame.right + 16, y=middle + 4)]
            free = middle + LABEL_STEP
        y += step
    return figure([*frame.grid(4, y + 4), *parts], y + 48, title, description, "caterpillar")


def _thin(frame: Frame, mark: Mark, y: float, size: float) -> Markup:
    parts = [tag("title", mark.tip)] if mark.tip else []
    if math.isfinite(mark.value):
        if mark.low is not None and mark.high is not None and not math.isnan(mark.low + mark.high):
            a, b = frame.x(mark.low), frame.x(mark.high)
            parts.append(tag("line", class_=f"thin-ci {mark.series.tone}", x1=a, x2=b, y1=y, y2=y))
        parts.append(marker(mark.series, frame.x(mark.value), y, size))
    return tag("g", *parts)


@dataclass(frozen=True)
class HeatCell:
    """One cell: its value on the scale from -1 to 1, its text with stars, and its tooltip."""

    value: float
    text: str
    tip: str = ""


@dataclass(frozen=True)
class HeatRow:
    """One row of a heat map; a heading has no cells, a missing cell is None."""

    label: str
    cells: tuple[HeatCell | None, ...] = ()
    strong: bool = False


def heat_map(rows: Sequence[HeatRow], columns: Sequence[str], *, title: str, description: str) -> Markup:
    """Numbers in a grid, tinted by sign and size; the number itself stands in every cell."""
    wide = min((WIDTH - LABEL) / max(len(columns), 1), 178.0)
    parts: list[Markup] = []
    for j, name in enumerate(columns):
        middle = LABEL + wide * (j + 0.5)
        parts.append(tag("text", clip(name, wide - 6), class_="tick", x=middle, y=16.0, text_anchor="middle"))
    y = 28.0
    for row in rows:
        if not row.cells:
            parts.append(tag("text", row.label, class_="group", x=0, y=y + 20))
            y += 30.0
            continue
        tall = CELL - 14
        look = "label strong" if row.strong else "label"
        text = clip(row.label, LABEL - 14)
        parts.append(tag("text", text, tag("title", row.label), class_=look, x=0, y=y + tall / 2 + 4.5))
        for j, cell in enumerate(row.cells):
            parts.append(_heat_cell(cell, LABEL + wide * j, y, wide - 4, tall - 3, row.strong))
        y += tall
    return figure(parts, y + 8, title, description, "heat")


def _heat_cell(cell: HeatCell | None, x: float, y: float, wide: float, tall: float, strong: bool) -> Markup:
    if cell is None:
        return tag("rect", class_="heat-none", x=x, y=y, width=wide, height=tall, rx=4)
    parts = [tag("title", cell.tip)] if cell.tip else []
    parts.append(tag("rect", class_="heat-none", x=x, y=y, width=wide, height=tall, rx=4))
    if math.isfinite(cell.value):
        shade = f"{STRONGEST * min(abs(cell.value), 1.0):.3f}"
        tone = "t1" if cell.value >= 0 else "t2"
        parts.append(tag("rect", class_=f"heat {tone}", x=x, y=y, width=wide, height=tall, rx=4, fill_opacity=shade))
    look = "value strong" if strong else "value ink"
    parts.append(tag("text", cell.text, class_=look, x=x + wide / 2, y=y + tall / 2 + 4.5, text_anchor="middle"))
    return tag("g", *parts)


@dataclass(frozen=True)
class Dot:
    """One test in a funnel: where it stands, how it looks, and its tooltip.

    `sd` is the spread between models, `null_sd` the scatter of one model's d when labels mean nothing.
    """

    mark: Mark
    n: float
    sd: float = math.nan
    null_sd: float = math.nan


def funnel(points: Sequence[Dot], axis: Axis, *, title: str, description: str) -> Markup:
    """d against the number of stimuli (logarithmic), with the region in which d lies when labels mean nothing."""
    height, top, left, right = 380.0, 16.0, 66.0, WIDTH - 20.0
    bottom = top + height
    smallest, largest = min(p.n for p in points), max(p.n for p in points)
    low, high = math.log(smallest / 1.35), math.log(largest * 1.35)
    scales = sorted(p.null_sd * math.sqrt(p.n) for p in points if math.isfinite(p.null_sd))
    scale = scales[len(scales) // 2] if scales else math.nan
    edge = min(Z * scale / math.sqrt(smallest / 1.35), 2.0) if scales else 0.0
    spans = [value for p in points for value in _span(p)]
    frame = Frame([], replace(axis, include=(*axis.include, -edge, edge, *spans)), left, right)

    def y_of(n: float) -> float:
        return bottom - (math.log(n) - low) / (high - low) * (bottom - top)

    parts: list[Markup] = []
    for n in _log_ticks(math.exp(low), math.exp(high)):
        y = y_of(n)
        parts.append(tag("line", class_="grid", x1=left, x2=right, y1=y, y2=y))
        parts.append(tag("text", f"{n:g}", class_="tick", x=left - 8, y=y + 4, text_anchor="end"))
    parts.append(tag("text", "stimuli", class_="axis", x=0, y=top + 4))
    if scales:
        sizes = [math.exp(low + (high - low) * i / 40) for i in range(41)]
        for side in (-1, 1):
            xs = [frame.x(side * Z * scale / math.sqrt(n)) for n in sizes]
            path = "M" + "L".join(f"{x:.1f} {y_of(n):.1f}" for x, n in zip(xs, sizes, strict=True))
            parts.append(tag("path", class_="funnel", d=path))
    for point in points:
        inside = [tag("title", point.mark.tip)] if point.mark.tip else []
        if math.isfinite(point.mark.value):
            y, series = y_of(point.n), point.mark.series
            if len(span := _span(point)) == 2:
                a, b = map(frame.x, span)
                inside.append(tag("line", class_=f"thin-ci {series.tone}", x1=a, x2=b, y1=y, y2=y))
            parts.append(tag("g", *inside, marker(series, frame.x(point.mark.value), y, 5.0)))
    return figure([*frame.grid(top, bottom), *parts], bottom + 48, title, description, "funnel-chart")


def _span(point: Dot) -> tuple[float, ...]:
    """One standard deviation between models on either side, or the value alone."""
    value = point.mark.value
    if not math.isfinite(value):
        return ()
    return (value - point.sd, value + point.sd) if math.isfinite(point.sd) else (value,)


def _log_ticks(low: float, high: float) -> list[float]:
    steps = [
        m * 10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in (1, 2, 5)
    ]
    found = [step for step in steps if low <= step <= high]
    return found if len(found) > 1 else [tick for tick in nice_ticks(low, high, 4) if low <= tick <= high and tick > 0]


def table(
    head: Sequence[str], rows: Sequence[Sequence[str | Markup]], *, caption: str, numbers: Sequence[int] = ()
) -> Markup:
    """A small table; `numbers` are the columns that are set to the right."""
    top = tag(
        "tr", *(tag("th", name, scope="col", class_="num" if i in numbers else None) for i, name in enumerate(head))
    )
    body = [
        tag(
            "tr",
            *(
                tag("th", cell, scope="row") if i == 0 else tag("td", cell, class_="num" if i in numbers else None)
                for i, cell in enumerate(row)
            ),
        )
        for row in rows
    ]
    return tag("table", tag("caption", caption), tag("thead", top), tag("tbody", *body), class_="score")


def stars(p: float | None) -> str:
    """One, two or three stars for p below 0.05, 0.01, 0.001.

    >>> stars(0.004), stars(0.2), stars(None)
    ('**', '', '')
    """
    return "" if p is None or math.isnan(p) else "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))


def decimals(value: float, digits: int) -> str:
    """A number with exactly so many decimals and a true minus sign; no negative zero."""
    if math.isnan(value):
        return number(value)
    text = f"{value:.{digits}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "\u2212")
