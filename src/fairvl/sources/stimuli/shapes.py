"""Anti-aliased shapes on one picture, from signed distances; no library draws, so the bytes do not depend on one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]
Colour = Sequence[float] | Plane
Point = tuple[float, float]


class Sheet:
    """A picture with coordinates from -1 to 1, y downwards; shapes are placed in a turned, shifted, scaled frame."""

    def __init__(self, size: int) -> None:
        axis = (np.arange(size) + 0.5) / size * 2 - 1
        self.px, self.py = np.meshgrid(axis, axis)
        self.planes: Plane = np.ones((size, size, 3))
        self.pixel = 2 / size
        self.frame()

    def frame(self, x: float = 0.0, y: float = 0.0, scale: float = 1.0, turn: float = 0.0) -> None:
        """Put the next shapes about (x, y), turned clockwise by `turn` radians, `scale` times as large."""
        cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
        dx, dy = self.px - x, self.py - y
        self.u, self.v = cos * dx + sin * dy, cos * dy - sin * dx
        self.scale = scale

    def paint(self, distance: Plane, colour: Colour, strength: float = 1.0) -> None:
        """Lay `colour` where the signed distance is below 0, with one pixel of soft edge."""
        cover = np.clip(0.5 - distance * self.scale / self.pixel, 0, 1) * strength
        rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
        if not len(rows):
            return
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        part = self.planes[window]
        part += (np.asarray(colour, np.float64) - part) * cover[window][:, :, None]

    def disc(self, x: float, y: float, radius: float) -> Plane:
        distance: Plane = np.hypot(self.u - x, self.v - y) - radius
        return distance

    def ellipse(self, x: float, y: float, wide: float, high: float, turn: float = 0.0) -> Plane:
        """About a signed distance: exact at the edge to first order."""
        cos, sin = np.cos(turn), np.sin(turn)
        du, dv = self.u - x, self.v - y
        a, b = (cos * du + sin * dv) / wide, (cos * dv - sin * du) / high
        length = np.hypot(a, b)
        slope = np.hypot(a / wide, b / high)
        distance: Plane = (length - 1) * length / np.maximum(slope, 1e-9)
        return np.where(slope < 1e-9, -min(wide, high), distance)

    def line(self, a: Point, b: Point, thick: float, thick_end: float | None = None) -> Plane:
        """A stroke with round ends, that may narrow towards its end."""
        end = thick if thick_end is None else thick_end
        du, dv = b[0] - a[0], b[1] - a[1]
        along = np.clip(((self.u - a[0]) * du + (self.v - a[1]) * dv) / max(du * du + dv * dv, 1e-12), 0, 1)
        distance: Plane = np.hypot(self.u - a[0] - along * du, self.v - a[1] - along * dv) - (
            thick + along * (end - thick)
        )
        return distance

    def box(self, x: float, y: float, wide: float, high: float, turn: float = 0.0) -> Plane:
        """A rectangle by its half sides."""
        cos, sin = np.cos(turn), np.sin(turn)
        du, dv = self.u - x, self.v - y
        distance: Plane = np.maximum(np.abs(cos * du + sin * dv) - wide, np.abs(cos * dv - sin * du) - high)
        return distance

    def convex(self, points: Sequence[Point]) -> Plane:
        """A convex polygon, its corners in clockwise order as seen."""
        sides = []
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            length = max(float(np.hypot(x1 - x0, y1 - y0)), 1e-12)
            sides.append(((y1 - y0) * (self.u - x0) - (x1 - x0) * (self.v - y0)) / length)
        distance: Plane = np.maximum.reduce(sides)
        return distance

    def ring(self, x: float, y: float, radius: float, thick: float) -> Plane:
        distance: Plane = np.abs(np.hypot(self.u - x, self.v - y) - radius) - thick
        return distance

    def shade(self, top: Colour, bottom: Colour) -> None:
        """Fill the picture from `top` to `bottom`."""
        part = ((self.py + 1) / 2)[:, :, None]
        self.planes[:] = np.asarray(top) * (1 - part) + np.asarray(bottom) * part

    def pixels(self, rng: np.random.Generator, grain: float = 0.015) -> NDArray[np.uint8]:
        """The picture, with a little grain."""
        noisy = self.planes + rng.normal(0, grain, self.planes.shape)
        return (noisy.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def hue(degrees: float, saturation: float, lightness: float) -> Plane:
    """RGB in [0, 1] of a colour by hue, saturation and lightness."""
    turns = (np.array([0.0, 8.0, 4.0]) + degrees / 30) % 12
    spread = saturation * min(lightness, 1 - lightness)
    return lightness - spread * np.clip(np.minimum(turns - 3, 9 - turns), -1, 1)
