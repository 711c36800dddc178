"""The Pareto front as one SVG picture: no script, no font of its own, readable in black and white."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .comparison import Point

WIDTH, HEIGHT = 820, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 30, 56


def draw_front(points: Sequence[Point], bias_name: str, utility_name: str) -> str:
    """Points with their intervals as crosses; those on the front filled and joined by a line."""
    known = [p for p in points if not (math.isnan(p.bias.value) or math.isnan(p.utility.value))]
    x = _Axis([end for p in known for end in _ends(p.bias)], LEFT, WIDTH - RIGHT)
    y = _Axis([end for p in known for end in _ends(p.utility)], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img">',
        f"<title>{escape(bias_name)} against {escape(utility_name)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tick in x.ticks:
        at = x(tick)
        parts.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    for tick in y.ticks:
        at = y(tick)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(bias_name)} (less is fairer)</text>'
    )
    parts.append(
        f'<text transform="translate(18 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(utility_name)} (more is better)</text>"
    )
    front = sorted((p for p in known if p.front), key=lambda p: p.bias.value)
    if len(front) > 1:
        line = "L".join(f"{x(p.bias.value):.1f} {y(p.utility.value):.1f}" for p in front)
        parts.append(f'<path d="M{line}" fill="none" stroke="#1b6ca8" stroke-width="2"/>')
    labels = _spread([y(p.utility.value) for p in known])
    for point, label in zip(known, labels, strict=True):
        parts += _marked(point, x, y, label)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _marked(point: Point, x: _Axis, y: _Axis, label: float) -> list[str]:
    px, py = x(point.bias.value), y(point.utility.value)
    low, high = (x(end) for end in _ends(point.bias)[1:])
    bottom, top = (y(end) for end in _ends(point.utility)[1:])
    colour = "#1b6ca8" if point.front else "#8a8a8a"
    edge = WIDTH - RIGHT
    return [
        f'<path d="M{low:.1f} {py:.1f}H{high:.1f}M{px:.1f} {bottom:.1f}V{top:.1f}" stroke="{colour}" fill="none"/>',
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5" fill="{colour if point.front else "white"}" stroke="{colour}"/>',
        f'<path d="M{px + 6:.1f} {py:.1f}L{edge + 8} {label:.1f}" stroke="#d0d0d0" fill="none"/>',
        f'<text x="{edge + 12}" y="{label + 4:.1f}">{escape(point.method)}</text>',
    ]


def _ends(value: object) -> tuple[float, float, float]:
    middle, low, high = (float(getattr(value, name)) for name in ("value", "low", "high"))
    return middle, middle if math.isnan(low) else low, middle if math.isnan(high) else high


def _spread(places: Sequence[float], gap: float = 15.0) -> list[float]:
    """Label heights in the order of the points, at least `gap` apart."""
    order = np.argsort(places, kind="stable")
    out = [0.0] * len(places)
    last = -math.inf
    for index in order:
        last = max(places[index], last + gap)
        out[index] = last
    over = max(0.0, last - (HEIGHT - BOTTOM))
    return [place - over for place in out]


class _Axis:
    def __init__(self, values: Sequence[float], start: float, stop: float) -> None:
        low, high = min(values), max(values)
        pad = 0.06 * (high - low) or 0.05
        self.low, self.high, self.start, self.stop = low - pad, high + pad, start, stop
        rough = (self.high - self.low) / 6
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * f for f in (1, 2, 5, 10) if size * f >= rough)
        first = math.ceil(self.low / step)
        self.ticks = [round(step * n, 10) for n in range(first, math.floor(self.high / step) + 1)]

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)
