"""Small scenes, 24 x 24: a person on the left, a thing on the right, a place behind both.

A woman's long hair or a man's short hair and beard show in some scenes; in the others a hood hides both. The thing
lies in a dark case and has a shape and a colour, or is in a parcel that hides them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .canvas import Array, Canvas

SIZE = 24
OBJECTS = ("ball", "kite", "book", "cup", "umbrella", "guitar")
COLOURS = ("red", "blue", "yellow", "purple")
PLACES = ("park", "kitchen", "snow", "desert")
_BLOCK = 256  # scenes per random stream: scene i is the same however many are drawn

_INK = np.array([[0.86, 0.12, 0.12], [0.12, 0.30, 0.88], [0.96, 0.82, 0.10], [0.56, 0.16, 0.66]], np.float32)
_GROUND = np.array([[0.20, 0.52, 0.22], [0.72, 0.66, 0.58], [0.94, 0.95, 0.98], [0.88, 0.70, 0.44]], np.float32)
_SKY = np.array([[0.56, 0.80, 0.96], [0.90, 0.86, 0.74], [0.70, 0.76, 0.84], [0.98, 0.88, 0.66]], np.float32)
_SKIN = np.array([[0.95, 0.80, 0.68], [0.80, 0.60, 0.45], [0.60, 0.42, 0.30], [0.38, 0.25, 0.17]], np.float32)
_HAIR = np.array([[0.10, 0.07, 0.06], [0.34, 0.20, 0.10], [0.60, 0.36, 0.14], [0.50, 0.48, 0.46]], np.float32)
_HOOD, _PARCEL, _TAPE = (0.40, 0.42, 0.46), (0.62, 0.46, 0.28), (0.36, 0.26, 0.16)
_CLOTHES = (0.30, 0.36, 0.48)
_DARK, _CASE = (0.10, 0.09, 0.10), (0.06, 0.06, 0.07)


def draw_scenes(
    thing: ArrayLike,
    colour: ArrayLike,
    place: ArrayLike,
    woman: ArrayLike,
    cue: ArrayLike,
    hidden: ArrayLike,
    seed: int,
    *,
    split: int = 0,
) -> NDArray[np.uint8]:
    """Pictures ``[n, 24, 24, 3]``; skin, hair colour, light and position are free of everything else.

    Parameters
    ----------
    thing, colour, place : (n,) int
        Positions in `OBJECTS`, `COLOURS`, `PLACES`.
    woman, cue, hidden : (n,) bool
        Whether the person is a woman, whether that shows, and whether the thing is in a parcel.
    seed, split : int
        Streams of different splits are disjoint.

    Raises
    ------
    InputError
        Columns that differ in length, or a code outside.

    Examples
    --------
    >>> draw_scenes([0, 5], [1, 2], [0, 3], [True, False], [True, True], [False, False], seed=1).shape
    (2, 24, 24, 3)
    """
    codes = [np.asarray(c, dtype=np.int64) for c in (thing, colour, place)]
    flags = [np.asarray(c, dtype=bool) for c in (woman, cue, hidden)]
    if len({c.shape for c in (*codes, *flags)}) != 1 or codes[0].ndim != 1:
        raise InputError(f"columns of shapes {[c.shape for c in (*codes, *flags)]}; expected one value per scene")
    for values, names in zip(codes, (OBJECTS, COLOURS, PLACES), strict=True):
        if values.size and not (values.min() >= 0 and values.max() < len(names)):
            raise InputError(f"codes from {values.min()} to {values.max()}; expected 0 to {len(names) - 1} of {names}")
    out = np.empty((len(codes[0]), SIZE, SIZE, 3), np.uint8)
    for block, start in enumerate(range(0, len(out), _BLOCK)):
        rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(split, block)))
        rows = slice(start, min(start + _BLOCK, len(out)))
        out[rows] = _Scene([c[rows] for c in codes], [f[rows] for f in flags], rng).pixels()
    return out


class _Scene:
    """Some scenes, back to front. Draws every random number for a whole block first."""

    def __init__(
        self, codes: list[NDArray[np.int64]], flags: list[NDArray[np.bool_]], rng: np.random.Generator
    ) -> None:
        (thing, colour, place), (woman, cue, hidden) = codes, flags
        n = len(thing)
        uniform = rng.random((_BLOCK, 10), dtype=np.float32)[:n]
        picks = rng.integers(0, 4, (_BLOCK, 2))[:n]
        self.noise = rng.standard_normal((_BLOCK, SIZE, SIZE, 3), dtype=np.float32)[:n] * np.float32(0.02)
        self.thing, self.place = thing, place
        self.ink = (_INK[colour] + (uniform[:, 0:1] - 0.5) * 0.1).clip(0, 1)
        self.skin = (_SKIN[picks[:, 0]] + (uniform[:, 1:2] - 0.5) * 0.1).clip(0, 1)
        self.hair_colour = (_HAIR[picks[:, 1]] + (uniform[:, 2:3] - 0.5) * 0.1).clip(0, 1)
        self.light = 0.9 + 0.16 * uniform[:, 6]
        self.x, self.y = (0.08 * (uniform[:, i, None, None] - 0.5) for i in (7, 8))
        self.woman = (woman & cue).astype(np.float32)[:, None, None]
        self.man = (~woman & cue).astype(np.float32)[:, None, None]
        self.hooded = (~cue).astype(np.float32)[:, None, None]
        self.hidden = hidden.astype(np.float32)[:, None, None]
        self.canvas = Canvas.blank(n, SIZE)

    def pixels(self) -> NDArray[np.uint8]:
        canvas = self.canvas
        low = _soft(-(canvas.py - 0.25) + 0 * canvas.px)
        self.paint(np.ones_like(low), _SKY[self.place])
        self.paint(low, _GROUND[self.place])
        self.person()
        self.held()
        planes = canvas.planes * self.light[:, None, None, None]
        lit = (planes.transpose(0, 2, 3, 1) + self.noise).clip(0, 1)
        pictures: NDArray[np.uint8] = (lit * 255 + 0.5).astype(np.uint8)
        return pictures

    def box(self, u: float, v: float, a: float, b: float) -> Array:
        return _soft(np.maximum(np.abs(self.canvas.px - self.x - u) - a, np.abs(self.canvas.py - self.y - v) - b))

    def oval(self, u: float, v: float, a: float, b: float) -> Array:
        reach = np.hypot((self.canvas.px - self.x - u) / a, (self.canvas.py - self.y - v) / b)
        return _soft((reach - 1) * min(a, b))

    def diamond(self, u: float, v: float, a: float, b: float) -> Array:
        reach = np.abs(self.canvas.px - self.x - u) / a + np.abs(self.canvas.py - self.y - v) / b
        return _soft((reach - 1) * min(a, b) * 0.7)

    def paint(self, mask: Array, colour: ArrayLike) -> None:
        self.canvas.paint(mask.astype(np.float32), np.asarray(colour, np.float32))

    def person(self) -> None:
        u, v = -0.48, -0.40
        long = np.maximum(self.oval(u, v, 0.42, 0.44), self.box(u, v + 0.34, 0.40, 0.32))
        self.paint(long * self.woman, self.hair_colour)
        self.paint(self.box(u, 0.72, 0.34, 0.46), _CLOTHES)
        self.paint(self.oval(u, v, 0.30, 0.38), self.skin)
        cap = np.minimum(self.oval(u, v, 0.33, 0.42), _soft(self.canvas.py - self.y - v + 0.16))
        self.paint(cap * (self.woman + self.man), self.hair_colour)
        beard = np.minimum(self.oval(u, v, 0.33, 0.44), _soft(v + 0.12 - self.canvas.py + self.y))
        self.paint(beard * self.man, self.hair_colour)
        for side in (-0.12, 0.12):
            self.paint(self.oval(u + side, v - 0.03, 0.06, 0.06), _DARK)
        hood = np.maximum(self.oval(u, v, 0.42, 0.50), self.box(u, v + 0.3, 0.36, 0.24))
        self.paint(hood * self.hooded, _HOOD)

    def held(self) -> None:
        u, v = 0.50, 0.48
        self.paint(self.box(u, v, 0.46, 0.46), _CASE)
        half = np.minimum(self.oval(u, v, 0.42, 0.44), _soft(self.canvas.py - self.y - v))
        shapes = {
            "ball": self.oval(u, v, 0.30, 0.30),
            "kite": np.maximum(self.diamond(u, v - 0.08, 0.40, 0.34), self.box(u, v + 0.32, 0.05, 0.12)),
            "book": self.box(u, v, 0.42, 0.16),
            "cup": np.maximum(self.box(u - 0.14, v + 0.02, 0.20, 0.40), self.box(u + 0.20, v, 0.12, 0.12)),
            "umbrella": np.maximum(half, self.box(u, v + 0.20, 0.05, 0.22)),
            "guitar": np.maximum(self.oval(u, v + 0.18, 0.26, 0.24), self.box(u, v - 0.22, 0.07, 0.22)),
        }
        for code, name in enumerate(OBJECTS):
            shown = (self.thing == code).astype(np.float32)[:, None, None] * (1 - self.hidden)
            self.paint(shapes[name] * shown, self.ink)
        self.paint(self.box(u, v, 0.46, 0.46) * self.hidden, _PARCEL)
        self.paint(self.box(u, v, 0.06, 0.46) * self.hidden, _TAPE)


def _soft(distance: Array) -> Array:
    """Coverage of a pixel by a shape, from the signed distance to its edge."""
    covered: Array = np.clip(0.5 - distance * (SIZE / 2), 0, 1)
    return covered
