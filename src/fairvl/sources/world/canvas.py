"""Anti-aliased shapes on stacks of pictures, in any part of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .glyphs import atlas

Array = NDArray[np.floating[Any]]  # float32 in practice: Python numbers do not widen it
Column = NDArray[np.generic]


class Canvas:
    """Planes [n, 3, rows, columns] with the picture coordinates of their pixels (-1 to 1, y downwards)."""

    def __init__(self, planes: Array, px: Array, py: Array) -> None:
        self.planes, self.px, self.py = planes, px, py
        self.window: tuple[NDArray[np.intp], ...] | None = None

    @classmethod
    def blank(cls, n: int, size: int) -> Canvas:
        axis = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
        return cls(np.zeros((n, 3, size, size), np.float32), axis[None, None, :], axis[None, :, None])

    def crop(self, x: Array, y: Array, half: float) -> Canvas:
        """A copy of the square around each (x, y); `put` writes it back. Most shapes are small: this is the speed."""
        size = self.planes.shape[-1]
        side = min(int(np.ceil(half * size)) + 1, size)
        corners = [np.clip(np.round((c + 1) / 2 * size - side / 2), 0, size - side).astype(np.intp) for c in (x, y)]
        columns, rows = (corner.reshape(-1, 1) + np.arange(side) for corner in corners)
        index = np.arange(len(self.planes)).reshape(-1, 1, 1, 1)
        window = (index, np.arange(3).reshape(1, 3, 1, 1), rows[:, None, :, None], columns[:, None, None, :])
        part = Canvas(self.planes[window], self.px[0, 0][columns][:, None, :], self.py[0, :, 0][rows][:, :, None])
        part.window = window
        return part

    def put(self, part: Canvas) -> None:
        assert part.window is not None
        self.planes[part.window] = part.planes

    def turned(self, x: Array, y: Array, turn: Array, scale: Array) -> tuple[Array, Array]:
        """Coordinates about (x, y), turned by `turn` radians, in units of `scale`."""
        cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
        dx, dy = self.px - x, self.py - y
        return cos * dx + sin * dy, cos * dy - sin * dx

    def paint(self, mask: Array, colour: Array) -> None:
        """Lay `colour` [n, 3] or [3] over the pixels, as far as `mask` [n, rows, columns] covers them."""
        change = colour.reshape(-1, 3, 1, 1) - self.planes
        change *= mask[:, None]
        self.planes += change


def stamp(name: str, codes: Column, a: Array, b: Array) -> Array:
    """Coverage by each row's drawing, whose square is a, b in [0, 1]; nothing outside."""
    sheet = atlas(name)
    rows, columns = sheet.shape[1:]
    inside = (a >= 0) & (a < 1) & (b >= 0) & (b < 1)
    place = np.clip(b * rows, 0, rows - 1).astype(np.int32) * columns
    place = place + np.clip(a * columns, 0, columns - 1).astype(np.int32)
    place += codes.astype(np.int32)[:, None, None] * (rows * columns)
    covered: Array = sheet.reshape(-1)[place] * inside
    return covered


def tiled(name: str, codes: Column, a: Array, b: Array) -> Array:
    """Coverage by each row's drawing repeated over the plane; a, b count drawn sub-cells."""
    sheet = atlas(name)
    rows, columns = sheet.shape[1:]
    place = (b.astype(np.int32) % rows) * columns + a.astype(np.int32) % columns
    covered: Array = sheet.reshape(-1)[place + codes.astype(np.int32)[:, None, None] * (rows * columns)]
    return covered
