"""The Pareto front of repair methods: fairness against utility with both intervals, and the table under it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..findings import Finding
from .charts import RIGHT, WIDTH, clip, figure, marker, nice_ticks, tag
from .figures import Figure, Section
from .pairing import Comparison, Series, is_control
from .study_charts import table
from .vocabulary import number

LEFT, TOP, HEIGHT = 74.0, 30.0, 400.0
LABEL_STEP = 17.0
AS_IT_IS = "as it is"
LOOKS = {
    "before": Series(0, "", "the encoder as it is", "t0", "diamond"),
    "front": Series(0, "front", "on the front", "t1", "dot"),
    "beaten": Series(0, "beaten", "beaten in both by another", "t0", "ring"),
    "control": Series(0, "control", "random control", "tc", "hollow-diamond"),
}


@dataclass(frozen=True)
class _Place:
    """One method: its bias and its utility."""

    name: str
    bias: Finding
    utility: Finding

    @property
    def look(self) -> str:
        if self.name == AS_IT_IS:
            return "before"
        if is_control(self.name):
            return "control"
        return "front" if self.bias.extra.get("front") else "beaten"

    @property
    def on_front(self) -> bool:
        return bool(self.bias.extra.get("front"))


def front(comparison: Comparison) -> Section | None:
    """Every method of a comparison of debiasers at its bias and its utility."""
    found: dict[str, dict[str, Finding]] = {}
    for run in comparison.runs:
        for row in run.findings:
            if row.metric in ("repair_bias", "repair_utility") and row.arm != "difference":
                name = str(row.extra.get("repair") or AS_IT_IS)
                key = name if len(comparison.runs) == 1 else f"{run.name}: {name}"
                found.setdefault(key, {})[row.metric] = row
    places = [
        _Place(name, rows["repair_bias"], rows["repair_utility"]) for name, rows in found.items() if len(rows) == 2
    ]
    known = [p for p in places if math.isfinite(p.bias.value) and math.isfinite(p.utility.value)]
    if len(known) < 2:
        return None
    first = known[0]
    chart = _chart(known, first.bias.unit, first.utility.unit)
    used = {p.look for p in known}
    legend = tuple(series for name, series in LOOKS.items() if name in used)
    caption = (
        "Left is fairer, up is more useful; crosses are intervals. The line joins the methods that no other beats in "
        "both point estimates: where crosses overlap, the order is not sure. A method that does no better than the "
        "random control has removed a direction, not the bias."
    )
    figures = (
        Figure(f"{first.bias.unit} against {first.utility.unit}", chart, caption, legend),
        Figure("The same as numbers", _table(comparison, known)),
    )
    return Section(
        "front",
        "Fairness against utility",
        "All methods on one encoder, measured on the same images and texts. Nothing here says which to take: the front "
        "shows what each point of fairness costs.",
        figures,
        "Front",
    )


def _chart(places: Sequence[_Place], bias: str, utility: str) -> Markup:
    right, bottom = WIDTH - RIGHT, TOP + HEIGHT
    xs = [end for p in places for end in _ends(p.bias)]
    ys = [end for p in places for end in _ends(p.utility)]
    x_ticks, y_ticks = nice_ticks(min(xs), max(xs)), nice_ticks(min(ys), max(ys))

    def x(value: float) -> float:
        return LEFT + (value - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - LEFT)

    def y(value: float) -> float:
        return bottom - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * HEIGHT

    parts = [tag("text", f"{utility} (more is better)", class_="axis", x=0, y=14)]
    for tick in x_ticks:
        parts.append(tag("line", class_="grid", x1=x(tick), x2=x(tick), y1=TOP, y2=bottom))
        parts.append(tag("text", number(tick, 3).rstrip("0").rstrip("."), class_="tick", x=x(tick), y=bottom + 17,
                         text_anchor="middle"))  # fmt: skip
    for tick in y_ticks:
        parts.append(tag("line", class_="grid", x1=LEFT, x2=right, y1=y(tick), y2=y(tick)))
        written = number(tick, 3).rstrip("0").rstrip(".") or "0"
        parts.append(tag("text", written, class_="tick", x=LEFT - 8, y=y(tick) + 4, text_anchor="end"))
    parts.append(tag("text", f"{bias} (less is fairer)", class_="axis", x=(LEFT + right) / 2, y=bottom + 38,
                     text_anchor="middle"))  # fmt: skip
    best = sorted((p for p in places if p.on_front), key=lambda p: p.bias.value)
    if len(best) > 1:
        line = "L".join(f"{x(p.bias.value):.1f} {y(p.utility.value):.1f}" for p in best)
        parts.append(tag("path", class_="ray mean t1", d=f"M{line}", fill="none"))
    labels = _apart([y(p.utility.value) for p in places], bottom)
    for place, label in zip(places, labels, strict=True):
        parts.append(_point(place, x(place.bias.value), y(place.utility.value), label, right, x, y))
    told = "Scatter of methods: bias to the right is more, utility upwards is more; crosses are intervals."
    return figure(parts, bottom + 52, f"{bias} against {utility}", told, "front-chart")


def _point(place: _Place, px: float, py: float, label: float, right: float, x: object, y: object) -> Markup:
    series = LOOKS[place.look]
    assert callable(x)
    assert callable(y)
    (low, high), (bottom, top) = _ends(place.bias), _ends(place.utility)
    tip = f"{place.name}: {place.bias.unit} {_precise(place.bias)}; {place.utility.unit} {_precise(place.utility)}"
    return tag(
        "g",
        tag("title", tip),
        tag("line", class_=f"thin-ci {series.tone}", x1=x(low), x2=x(high), y1=py, y2=py),
        tag("line", class_=f"thin-ci {series.tone}", x1=px, x2=px, y1=y(bottom), y2=y(top)),
        tag("line", class_="grid", x1=px + 7, x2=right + 8, y1=py, y2=label),
        marker(series, px, py, 5.5),
        tag("text", clip(place.name, RIGHT - 20), tag("title", place.name),
            class_="label strong" if place.on_front else "label", x=right + 14, y=label + 4.2),
    )  # fmt: skip


def _ends(row: Finding) -> tuple[float, float]:
    if row.low is None or row.high is None or math.isnan(row.low + row.high):
        return row.value, row.value
    return min(row.low, row.value), max(row.high, row.value)


def _apart(places: Sequence[float], bottom: float) -> list[float]:
    """Heights of labels in the order of their points, far enough apart, and inside the chart."""
    order = sorted(range(len(places)), key=places.__getitem__)
    out = list(places)
    last = -math.inf
    for i in order:
        out[i] = last = max(places[i], last + LABEL_STEP)
    ceiling = bottom
    for i in reversed(order):
        out[i] = min(out[i], ceiling)
        ceiling = out[i] - LABEL_STEP
    return out


def _precise(row: Finding) -> str:
    if row.low is None or row.high is None:
        return number(row.value, 3)
    return f"{number(row.value, 3)} ({number(row.low, 3)} to {number(row.high, 3)})"


def _table(comparison: Comparison, places: Sequence[_Place]) -> Markup:
    recall = {
        str(row.extra.get("repair") or AS_IT_IS): row
        for run in comparison.runs
        for row in run.findings
        if row.metric == "recall_at_k" and row.arm != "difference" and row.extra.get("k") == 5
        and "text to image" in str(row.extra.get("task"))
    }  # fmt: skip
    head = ["method", places[0].bias.unit, places[0].utility.unit]
    head += ["R@5, text to image"] * bool(recall)
    rows = []
    for place in sorted(places, key=lambda p: p.bias.value):
        cells = [place.name + " \u2605" * place.on_front, _precise(place.bias), _precise(place.utility)]
        if recall:
            cells.append(_precise(recall[place.name]) if place.name in recall else "")
        rank, lam = place.bias.extra.get("rank"), place.bias.extra.get("lam")
        strength = f"{lam:.3g}" if isinstance(lam, float) else ""
        rows.append([*cells, "" if rank is None else str(rank), strength])
    head += ["rank", "lambda"]
    told = "Fairest first, with intervals; a star marks the front."
    return table(head, rows, caption=told, numbers=range(1, len(head)))
