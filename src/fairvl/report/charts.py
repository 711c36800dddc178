"""Charts as inline SVG: numbers in, markup out. Colours come from the page's CSS, so both themes and print work.

Every series is told apart by shape (and fill) as well as by colour, and every chart carries a title, a description
and a tooltip per mark.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from .pairing import Series
from .vocabulary import THIN, number

WIDTH = 960
LABEL = 250
RIGHT = 215  # room for the values
RIGHT_WITH_P = 300  # and for p-values beside them
PANELS_IN_A_ROW = 3
PANEL_HEIGHT = 210.0


@dataclass(frozen=True)
class Mark:
    """One number of one series: its position, its interval, the text beside it and its tooltip."""

    series: Series
    value: float
    low: float | None = None
    high: float | None = None
    text: str = ""
    p: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a chart. A heading has no marks; `reference` draws a tick (chance level) in the row."""

    label: str
    detail: str = ""
    marks: tuple[Mark, ...] = ()
    heading: bool = False
    strong: bool = False
    reference: float | None = None


@dataclass(frozen=True)
class Axis:
    """A horizontal axis: its label, its kind ("plain", "percent", "points"), what it must include, and hard bounds."""

    label: str
    kind: str = "plain"
    include: tuple[float, ...] = (0.0,)
    bounds: tuple[float, float] = (-math.inf, math.inf)
    zero: bool = True

    def tick(self, value: float, step: float) -> str:
        """A tick label with as many digits as the step between ticks needs."""
        scaled = step if self.kind == "plain" else 100 * step
        digits = next((d for d in range(7) if abs(round(scaled, d) - scaled) < 1e-9 * max(1.0, scaled)), 7)
        return self._write(value, digits)

    def text(self, value: float) -> str:
        """A value as it is written beside a mark."""
        return self._write(value, 2 if self.kind == "plain" else 1)

    def _write(self, value: float, digits: int) -> str:
        if self.kind == "plain":
            return number(value, digits)
        return number(100 * value, digits) + (f"{THIN}%" if self.kind == "percent" else "")


@dataclass(frozen=True)
class Ray:
    """One line of a slope panel, from before to after."""

    label: str
    start: float
    end: float
    tip: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel of a slope chart: thin rays, and a bold one for their mean."""

    title: str
    series: Series
    rays: tuple[Ray, ...]
    mean: tuple[float, float]
    change: str = ""


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element; children and attribute values are escaped, underscores in names become hyphens."""
    parts: list[object] = [_OPEN, name]
    for key, value in attributes.items():
        if value is not None:
            written = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else value
            parts += [_SPACE, key.rstrip("_").replace("_", "-"), _EQUALS, written, _QUOTE]
    return Markup("").join(map(escape, [*parts, _CLOSE, *children, _END, name, _CLOSE]))


_OPEN, _SPACE, _EQUALS, _QUOTE, _CLOSE, _END = (Markup(text) for text in ("<", " ", '="', '"', ">", "</"))  # noqa: S704


def nice_ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Round tick positions that cover [low, high].

    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        pad = abs(low) or 1.0
        low, high = low - pad / 2, high + pad / 2
    raw = (high - low) / max(wanted - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if raw <= m * power * 1.0000001)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def marker(series: Series, x: float, y: float, size: float = 5.0) -> Markup:
    """The shape of a series at a place."""
    look = f"mark {series.tone} {'hollow' if series.shape in ('ring', 'hollow-diamond') else 'solid'}"
    match series.shape:
        case "square":
            return tag("rect", class_=look, x=x - size + 0.5, y=y - size + 0.5, width=2 * size - 1, height=2 * size - 1)
        case "triangle":
            path = f"M{x:.1f} {y - size - 0.5:.1f}l{size + 0.5:.1f} {2 * size:.1f}h{-2 * size - 1:.1f}z"
            return tag("path", class_=look, d=path)
        case "diamond" | "hollow-diamond":
            r = size + 1
            return tag(
                "path", class_=look, d=f"M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z"
            )
        case "cross":
            r = size - 0.5
            path = f"M{x - r:.1f} {y - r:.1f}l{2 * r:.1f} {2 * r:.1f}m0 {-2 * r:.1f}l{-2 * r:.1f} {2 * r:.1f}"
            return tag("path", class_=f"mark {series.tone} stroke", d=path)
        case _:
            return tag("circle", class_=look, cx=x, cy=y, r=size)


def swatch(series: Series) -> Markup:
    """The marker of a series for a legend."""
    return tag(
        "svg",
        marker(series, 9.0, 9.0),
        class_="swatch",
        viewBox="0 0 18 18",
        width=18,
        height=18,
        aria_hidden="true",
        focusable="false",
    )


class Frame:
    """The horizontal scale of a row chart and the pieces that every row chart shares."""

    def __init__(self, lines: Sequence[Line], axis: Axis, left: float, right: float) -> None:
        low_bound, high_bound = axis.bounds
        numbers = [v for line in lines for m in line.marks for v in (m.value, m.low, m.high)]
        numbers += [line.reference for line in lines] + list(axis.include)
        known = [min(max(v, low_bound), high_bound) for v in numbers if v is not None and math.isfinite(v)] or [
            0.0,
            1.0,
        ]
        self.ticks = nice_ticks(min(known), max(known))
        self.axis, self.left, self.right = axis, left, right
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def x(self, value: float) -> float:
        """Where a value stands; what lies outside stands at the edge."""
        clipped = min(max(value, self.low), self.high)
        return self.left + (clipped - self.low) / (self.high - self.low) * (self.right - self.left)

    def grid(self, top: float, bottom: float) -> list[Markup]:
        """Grid lines, tick labels and the label of the axis."""
        parts = []
        for tick in self.ticks:
            x = self.x(tick)
            zero = tick == 0 and self.axis.zero
            parts.append(tag("line", class_="zero" if zero else "grid", x1=x, x2=x, y1=top, y2=bottom))
            text = self.axis.tick(tick, self.ticks[1] - self.ticks[0])
            parts.append(tag("text", text, class_="tick", x=x, y=bottom + 17, text_anchor="middle"))
        middle = (self.left + self.right) / 2
        parts.append(tag("text", self.axis.label, class_="axis", x=middle, y=bottom + 36, text_anchor="middle"))
        return parts


def figure(parts: Sequence[Markup], height: float, title: str, description: str, kind: str) -> Markup:
    """The chart as one element, with its title and description."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *parts,
        class_=f"chart {kind}",
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        width=WIDTH,
        height=f"{height:.0f}",
        role="img",
    )


def clip(text: str, room: float, size: float = 6.7) -> str:
    """The text, or as much of it as fits into the room, with an ellipsis."""
    most = int(room / size)
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


def _clip_middle(text: str, room: float, size: float = 7.2) -> str:
    most = int(room / size)
    return text if len(text) <= most else f"{text[: most // 3]}\u2026{text[-(most - most // 3 - 1) :]}"


def _label_lines(line: Line) -> list[str]:
    """The label on one or two lines; what still does not fit ends in an ellipsis, and stands in the tooltip."""
    room = int((LABEL - 14) / 6.7)
    first, *rest = textwrap.wrap(line.label, room) or [""]
    return [clip(first, LABEL - 14), *([clip(" ".join(rest), LABEL - 14)] if rest else [])]


def _row_height(line: Line, step: float) -> float:
    text = 17.0 * len(_label_lines(line)) + (15.0 if line.detail else 0.0)
    return max(step * len(line.marks) + 12, text + 10)


def _row_label(line: Line, y: float, height: float) -> list[Markup]:
    look = "label strong" if line.strong else "label"
    tip = tag("title", line.label if not line.detail else f"{line.label}: {line.detail}")
    written = _label_lines(line)
    y += (height - 17.0 * len(written) - (15.0 if line.detail else 0.0)) / 2
    parts = [tag("text", text, tip, class_=look, x=0, y=y + 17.0 * i + 13) for i, text in enumerate(written)]
    if line.detail:
        parts.append(
            tag("text", clip(line.detail, LABEL - 14, 5.9), class_="detail", x=0, y=y + 17.0 * len(written) + 11)
        )
    return parts


def forest(lines: Sequence[Line], axis: Axis, *, title: str, description: str) -> Markup:
    """Forest plot: one row per measurement, one interval per series, the numbers at the right."""
    with_p = any(m.p for line in lines for m in line.marks)
    frame = Frame(lines, axis, LABEL, WIDTH - (RIGHT_WITH_P if with_p else RIGHT))
    parts: list[Markup] = []
    y = 6.0
    if with_p:
        parts.append(tag("text", "value (interval)", class_="tick", x=frame.right + 16, y=y + 8))
        parts.append(tag("text", "p / corrected p", class_="tick", x=WIDTH, y=y + 8, text_anchor="end"))
        y += 16
    for i, line in enumerate(lines):
        if line.heading:
            height = 34.0
            parts.append(tag("text", line.label, class_="group", x=0, y=y + 23))
            parts.append(tag("line", class_="rule", x1=0, x2=WIDTH, y1=y + 31, y2=y + 31))
        else:
            step = 17.0
            height = _row_height(line, step)
            if i % 2:
                parts.append(tag("rect", class_="band", x=0, y=y, width=WIDTH, height=height))
            parts += _row_label(line, y, height)
            top = y + (height - step * len(line.marks)) / 2
            for j, mark in enumerate(line.marks):
                parts.append(_interval(frame, mark, top + step * (j + 0.5)))
            if line.reference is not None:
                x = frame.x(line.reference)
                parts.append(tag("line", class_="reference", x1=x, x2=x, y1=y + 3, y2=y + height - 3))
        y += height
    return figure([*frame.grid(4, y + 2), *parts], y + 46, title, description, "forest")


def _interval(frame: Frame, mark: Mark, y: float) -> Markup:
    parts = [tag("title", mark.tip)] if mark.tip else []
    tone = mark.series.tone
    if math.isfinite(mark.value):
        if mark.low is not None and mark.high is not None and not math.isnan(mark.low + mark.high):
            a, b = frame.x(mark.low), frame.x(mark.high)
            parts.append(tag("line", class_=f"bar-ci {tone}", x1=a, x2=b, y1=y, y2=y))
            for end in (a, b):
                parts.append(tag("line", class_=f"bar-ci {tone}", x1=end, x2=end, y1=y - 3.5, y2=y + 3.5))
        parts.append(marker(mark.series, frame.x(mark.value), y))
    parts.append(tag("text", mark.text, class_="value", x=frame.right + 16, y=y + 4.2))
    if mark.p:
        parts.append(tag("text", mark.p, class_="value", x=WIDTH, y=y + 4.2, text_anchor="end"))
    return tag("g", *parts)


def dots(lines: Sequence[Line], axis: Axis, *, title: str, description: str) -> Markup:
    """Dot strip: one thin row per query, all series on one line, joined; a strong row is highlighted."""
    frame = Frame(lines, axis, LABEL, WIDTH - RIGHT)
    parts: list[Markup] = []
    y = 6.0
    for line in lines:
        step = 17.0
        height = step * len(line.marks) + 16 if line.strong else 21.0
        middle = y + height / 2
        if line.strong:
            parts.append(tag("rect", class_="highlight", x=0, y=y + 2, width=WIDTH, height=height - 4, rx=5))
            parts.append(tag("text", clip(line.label, LABEL - 24), class_="label strong", x=10, y=middle + 4.5))
            parts += [_interval(frame, m, y + 8 + step * (j + 0.5)) for j, m in enumerate(line.marks)]
        else:
            label = tag(
                "text", clip(line.label, LABEL - 14), tag("title", line.label), class_="label", x=0, y=middle + 4.5
            )
            parts.append(label)
            parts += _strip(frame, [m for m in line.marks if math.isfinite(m.value)], middle)
            text = " \u2192 ".join(m.text for m in line.marks if m.text)
            parts.append(tag("text", clip(text, RIGHT - 8), class_="value", x=frame.right + 16, y=middle + 4.2))
        y += height
    return figure([*frame.grid(4, y + 2), *parts], y + 46, title, description, "dots")


def _strip(frame: Frame, marks: Sequence[Mark], y: float) -> list[Markup]:
    if not marks:
        return []
    xs = [frame.x(m.value) for m in marks]
    parts = [tag("line", class_="join", x1=min(xs), x2=max(xs), y1=y, y2=y)]
    for mark, x in zip(marks, xs, strict=True):
        inside = [tag("title", mark.tip)] if mark.tip else []
        parts.append(tag("g", *inside, marker(mark.series, x, y, 4.5)))
    return parts


def bars(lines: Sequence[Line], axis: Axis, *, title: str, description: str) -> Markup:
    """Horizontal bars from zero with intervals, one row per group, one bar per series."""
    frame = Frame(lines, axis, LABEL, WIDTH - RIGHT)
    parts: list[Markup] = []
    y = 6.0
    for line in lines:
        if line.heading:
            parts.append(tag("text", line.label, class_="group", x=0, y=y + 23))
            parts.append(tag("line", class_="rule", x1=0, x2=WIDTH, y1=y + 31, y2=y + 31))
            y += 38
            continue
        step = 17.0 if len(line.marks) > 1 else 20.0
        height = _row_height(line, step)
        parts += _row_label(line, y, height)
        top = y + (height - step * len(line.marks)) / 2
        for j, mark in enumerate(line.marks):
            parts.append(_bar(frame, mark, top + step * (j + 0.5), step - 5))
        if line.reference is not None:
            x = frame.x(line.reference)
            parts.append(
                tag(
                    "line",
                    tag("title", f"chance {axis.text(line.reference)}"),
                    class_="reference",
                    x1=x,
                    x2=x,
                    y1=y + 1,
                    y2=y + height - 1,
                )
            )
        y += height
    return figure([*frame.grid(4, y + 2), *parts], y + 46, title, description, "bars")


def _bar(frame: Frame, mark: Mark, y: float, thick: float) -> Markup:
    parts = [tag("title", mark.tip)] if mark.tip else []
    series = mark.series
    if math.isfinite(mark.value):
        a, b = sorted((frame.x(0.0), frame.x(mark.value)))
        style = {"ring": "outline", "hollow-diamond": "dashed"}.get(series.shape, "full")
        parts.append(
            tag("rect", class_=f"bar {series.tone} {style}", x=a, y=y - thick / 2, width=max(b - a, 0.5), height=thick)
        )
        if mark.low is not None and mark.high is not None and not math.isnan(mark.low + mark.high):
            low, high = frame.x(mark.low), frame.x(mark.high)
            parts.append(
                tag(
                    "path",
                    class_="whisker",
                    d=f"M{low:.1f} {y:.1f}H{high:.1f}M{low:.1f} {y - 3.5:.1f}v7M{high:.1f} {y - 3.5:.1f}v7",
                )
            )
    parts.append(tag("text", mark.text, class_="value", x=frame.right + 16, y=y + 4.2))
    return tag("g", *parts)


def slope(panels: Sequence[Panel], axis: Axis, *, title: str, description: str) -> Markup:
    """Slope chart: one panel per repair, thin lines from before to after, a bold one for the mean."""
    numbers = [v for p in panels for r in p.rays for v in (r.start, r.end)] + list(axis.include)
    known = [v for v in numbers if math.isfinite(v)] or [0.0, 1.0]
    if min(known) == max(known) == axis.bounds[1]:
        known.append(axis.bounds[1] - 0.1)  # beyond the bound there is nothing to show
    ticks = nice_ticks(min(known), max(known), 5)
    left, gap = 58.0, 24.0
    columns = min(len(panels), PANELS_IN_A_ROW)
    wide = min((WIDTH - 2 - left - gap * (columns - 1)) / columns, 440.0)
    parts = [tag("text", axis.label, class_="axis", x=0, y=14)]
    top = 58.0
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        plot = _Plot(axis, ticks, top, top + PANEL_HEIGHT)
        lefts = [left + i * (wide + gap) for i in range(len(row))]
        for tick in ticks:
            y, text = plot.y(tick), axis.tick(tick, ticks[1] - ticks[0])
            look = "zero" if tick == 0 else "grid"
            parts += [tag("line", class_=look, x1=x, x2=x + wide, y1=y, y2=y) for x in lefts]
            parts.append(tag("text", text, class_="tick", x=left - 8, y=y + 4, text_anchor="end"))
        for panel, x in zip(row, lefts, strict=True):
            parts += _panel(panel, x, wide, plot)
        top += PANEL_HEIGHT + 78
    return figure(parts, top - 44, title, description, "slope")


@dataclass(frozen=True)
class _Plot:
    """The vertical scale that all panels of one row share."""

    axis: Axis
    ticks: Sequence[float]
    top: float
    bottom: float

    def y(self, value: float) -> float:
        return self.bottom - (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0]) * (self.bottom - self.top)


def _panel(panel: Panel, left: float, wide: float, plot: _Plot) -> list[Markup]:
    a, b = left + 62, left + wide - 62
    tone, top, bottom, y = panel.series.tone, plot.top, plot.bottom, plot.y
    clipped = _clip_middle(panel.title, wide - 14 - 7.6 * len(panel.change))
    name = tag("text", clipped, tag("title", panel.title), class_="label strong", x=left + 2, y=top - 17)
    parts = [
        tag("rect", class_="panel", x=left, y=top - 6, width=wide, height=bottom - top + 12, rx=6),
        name,
        tag("text", panel.change, class_="value strong", x=left + wide - 2, y=top - 17, text_anchor="end"),
        tag("text", "before", class_="tick", x=a, y=bottom + 24, text_anchor="middle"),
        tag("text", "after", class_="tick", x=b, y=bottom + 24, text_anchor="middle"),
    ]
    for ray in panel.rays:
        line = tag("line", class_=f"ray {tone}", x1=a, x2=b, y1=y(ray.start), y2=y(ray.end))
        parts.append(tag("g", tag("title", ray.tip or ray.label), line))
    start, end = panel.mean
    before = Series(panel.series.run, "", "before", "t0", "ring")
    parts.append(tag("line", class_=f"ray mean {tone}", x1=a, x2=b, y1=y(start), y2=y(end)))
    parts.append(marker(before, a, y(start), 6.0))
    parts.append(marker(panel.series, b, y(end), 6.0))
    for text, x, height, anchor in ((start, a - 11, y(start), "end"), (end, b + 11, y(end), "start")):
        written = plot.axis.text(text)
        parts.append(tag("text", written, class_="value strong halo", x=x, y=height + 4.2, text_anchor=anchor))
    return parts
