"""Draws scenes, back to front: place, long hair, thing, body, head, hair, held object, counter.

Colours are random pairs with random polarity, and position, scale, tilt and light vary. So only small shapes tell an
attribute (skin tone apart), and an 8 x 8 thumbnail does not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .canvas import Array, Canvas, Column, stamp, tiled

CHUNK = 32  # pictures drawn together: their planes stay in the processor's cache
_LIGHT_SKIN = np.array([0.95, 0.80, 0.69], np.float32)
_DARK_SKIN = np.array([0.33, 0.20, 0.13], np.float32)
_BLACK = np.array([0.05, 0.05, 0.06], np.float32)
_WHITE = np.array([0.96, 0.96, 0.95], np.float32)
_WARM = np.array([0.12, 0.0, -0.11], np.float32)  # as skin is, so that colour does not tell who wears glasses


def sample_looks(n: int, rng: np.random.Generator, variation: float = 1.0) -> dict[str, Column]:
    """Everything about `n` pictures that carries no attribute: pose, light, colours, phases.

    `variation` scales how far pose varies about its mean.
    """

    def uniform(low: float, high: float, *shape: int) -> Array:
        return rng.uniform(low, high, (n, *shape)).astype(np.float32)

    def pose(mean: float, spread: float, *shape: int) -> Array:
        return np.float32(mean) + uniform(-spread, spread, *shape) * np.float32(variation)

    looks: dict[str, Column] = {
        "x": pose(0, 0.15),
        "y": pose(-0.22, 0.12),
        "scale": pose(1.1, 0.09),
        "tilt": pose(0, 0.12),
        "light": uniform(0.78, 1.14),
        "slope": uniform(-0.14, 0.14, 2),
        "phase": uniform(0, 8, 2),
        "tile": uniform(0.9, 1.15),
        "turn": pose(0, 0.25, 2),
        "hand": pose(0, 0.06, 2),
        "hair": uniform(0.08, 0.85),
        "tint": uniform(-0.17, 0.2),
        "bearded": rng.random(n) < 0.5,
        "frame": rng.choice(np.array([0.06, 0.06, 0.06, 0.06, 0.9], np.float32), n),
        "earrings": rng.random(n) < 0.6,
        "earring": rng.choice(np.array([0.05, 0.95], np.float32), n),
        "cover": uniform(-0.1, 0.1, 2),
    }
    for name, lighter in (("place", 0.75), ("garment", 0.85), ("object", 0.95), ("thing", 0.85), ("cover", 0.5)):
        looks[f"{name}_a"], looks[f"{name}_b"] = _contrast_pair(n, lighter, rng)
    return looks


def _contrast_pair(n: int, lighter: float, rng: np.random.Generator) -> tuple[Array, Array]:
    # Two colours whose lightness differs by 0.38 to 0.58; the first is the lighter one that often.
    low = rng.uniform(0.05, 0.4, n)
    high = low + rng.uniform(0.38, 0.58, n)
    swap = rng.random(n) < lighter
    chroma = rng.uniform(-0.13, 0.13, (2, n, 3))
    first = np.where(swap, high, low)[:, None] + chroma[0]
    second = np.where(swap, low, high)[:, None] + chroma[1]
    return first.clip(0, 1).astype(np.float32), second.clip(0, 1).astype(np.float32)


def draw(scene: Mapping[str, Column], noise: Array, size: int) -> NDArray[np.uint8]:
    """Pictures [n, size, size, 3] of scenes (attribute codes, continuous attributes and looks, each with n rows)."""
    n = len(scene["x"])
    out = np.empty((n, size, size, 3), np.uint8)
    for start in range(0, n, CHUNK):
        rows = _Rows({name: values[start : start + CHUNK] for name, values in scene.items()})
        canvas = Canvas.blank(min(CHUNK, n - start), size)
        _place(canvas, rows)
        _long_hair(canvas, rows)
        _thing(canvas, rows)
        _body(canvas, rows)
        _Head(canvas, rows, size).draw_on(canvas)
        _counter(canvas, rows)
        _held_object(canvas, rows)
        slope = rows.colour("slope")
        light = rows.col("light") + slope[:, :1, None] * canvas.px + slope[:, 1:, None] * canvas.py
        pixels = canvas.planes * light[:, None]
        pixels = pixels.transpose(0, 2, 3, 1) + noise[start : start + CHUNK]
        out[start : start + CHUNK] = pixels.clip(0, 1) * np.float32(255) + np.float32(0.5)
    return out


class _Rows:
    """The scenes of one chunk, shaped for broadcasting against pixels."""

    def __init__(self, scene: Mapping[str, Column]) -> None:
        self.scene = scene

    def col(self, name: str) -> Array:
        return self.scene[name].astype(np.float32)[:, None, None]

    def has(self, name: str, code: int) -> Array:
        here: Array = (self.scene[name] == code).astype(np.float32)[:, None, None]
        return here

    def colour(self, name: str) -> Array:
        return self.scene[name].astype(np.float32)

    def hair(self) -> Array:
        hair, tint = self.colour("hair"), self.colour("tint")
        return np.stack([hair + tint, hair, hair - tint], axis=1).clip(0.02, 0.95)


def _soft(distance: Array, pixel: Array) -> Array:
    """Coverage of a pixel by a shape, from the signed distance to its edge."""
    coverage = distance * (-1 / pixel)
    coverage += 0.5
    return np.clip(coverage, 0, 1, out=coverage)


def _place(canvas: Canvas, rows: _Rows) -> None:
    grain = 4 * 24 / rows.col("tile")  # a drawn cell is about one pixel of a 48-pixel picture
    phase = rows.colour("phase") * 4 + 8 * 32
    a, b = canvas.px * grain + phase[:, :1, None], canvas.py * grain + phase[:, 1:, None]
    canvas.planes[:] = rows.colour("place_a")[:, :, None, None]
    canvas.paint(tiled("places", rows.scene["place"], a, b), rows.colour("place_b"))


def _thing(canvas: Canvas, rows: _Rows) -> None:
    y, turn = rows.colour("hand")[:, :1, None] - 0.7, rows.colour("turn")[:, :1, None]
    for side in (-0.74, 0.74):
        x = np.full_like(y, side)
        part = canvas.crop(x, y, 0.32)
        a, b = part.turned(x, y, turn, np.ones_like(x))
        part.paint((np.hypot(a, b) < 0.255).astype(np.float32), rows.colour("thing_a"))
        part.paint(stamp("things", rows.scene["thing"], a / 0.41 + 0.5, b / 0.41 + 0.5), rows.colour("thing_b"))
        canvas.put(part)


def _streaks(canvas: Canvas, rows: _Rows, u: Array, mask: Array) -> None:
    # Grey streaks come with age; they darken as much as they lighten, so their mean says nothing.
    strength = np.clip((rows.col("age") - 32) / 35, 0, 1) * 0.28
    stripes = np.where((u * (1 / 0.085)).astype(np.int32) % 2 == 0, strength, -strength)
    canvas.planes += (mask * stripes)[:, None]
    np.clip(canvas.planes, 0, 1, out=canvas.planes)


def _long_hair(canvas: Canvas, rows: _Rows) -> None:
    scale = rows.col("scale")
    u, v = canvas.turned(rows.col("x"), rows.col("y"), rows.col("tilt"), scale)
    mask = _soft(np.maximum(np.abs(u) - 0.56, np.abs(v - 0.22) - 0.66), 2 / canvas.planes.shape[-1] / scale)
    mask *= rows.has("hair_length", 1)
    canvas.paint(mask, rows.hair())
    _streaks(canvas, rows, u, mask)


def _body(canvas: Canvas, rows: _Rows) -> None:
    scale = rows.col("scale")
    dx = (canvas.px - rows.col("x")) / scale
    dy = (canvas.py - rows.col("y")) / scale - 0.56
    half = 0.36 + 0.3 * np.sqrt(np.clip(dy / 0.3, 0, 1))
    shape = _soft(np.maximum(np.abs(dx) - half, -dy), 2 / canvas.planes.shape[-1] / scale)
    canvas.paint(shape, rows.colour("garment_a"))
    pattern = stamp(
        "garments", rows.scene["occupation"], dx / 1.1 + 0.5, np.broadcast_to(dy / 0.85, dx.shape[:1] + shape.shape[1:])
    )
    canvas.paint(pattern * shape, rows.colour("garment_b"))


def _counter(canvas: Canvas, rows: _Rows) -> None:
    # A counter in front of the person hides the clothing.
    shift = rows.colour("cover")
    edge = rows.col("y") + 0.6 * rows.col("scale") + 0.03 + shift[:, :1, None] * 0.2
    below = (canvas.py > edge + shift[:, 1:, None] * canvas.px) * (1 - rows.col("garment_shown"))
    canvas.paint(below, rows.colour("cover_a"))
    canvas.paint(below * (np.mod(canvas.py - edge, 0.3) < 0.06), rows.colour("cover_b"))


def _held_object(canvas: Canvas, rows: _Rows) -> None:
    hand, shown = rows.colour("hand"), rows.col("object_shown")
    x, y = 0.62 + hand[:, :1, None], 0.6 + hand[:, 1:, None]
    part = canvas.crop(x, y, 0.46)
    a, b = part.turned(x, y, rows.colour("turn")[:, 1:, None], np.ones_like(x))
    part.paint(((np.abs(a) < 0.34) & (np.abs(b) < 0.34)) * shown, rows.colour("object_a"))
    mask = stamp("objects", rows.scene["occupation"], a / 0.56 + 0.5, b / 0.56 + 0.5)
    part.paint(mask * shown, rows.colour("object_b"))
    canvas.put(part)


class _Head:
    """Neck, head, face and hair of one chunk, drawn in a window around the head; coordinates in head units."""

    def __init__(self, canvas: Canvas, rows: _Rows, size: int) -> None:
        x, y, scale = rows.col("x"), rows.col("y"), rows.col("scale")
        self.canvas, self.rows = canvas.crop(x, y + 0.04, 0.74), rows
        self.u, self.v = self.canvas.turned(x, y, rows.col("tilt"), scale)
        self.pixel = 2 / size / scale
        tone = rows.colour("skin_tone")[:, None]
        self.skin = _LIGHT_SKIN * (1 - tone) + _DARK_SKIN * tone
        self.male = rows.has("gender", 1)

    def draw_on(self, canvas: Canvas) -> None:
        self.outline()
        self.lines()
        self.eyes()
        self.mouth()
        self.glasses()
        self.hair()
        canvas.put(self.canvas)

    def box(self, u: float | Array, v: float | Array, a: float | Array, b: float | Array) -> Array:
        return _soft(np.maximum(np.abs(self.u - u) - a, np.abs(self.v - v) - b), self.pixel)

    def ellipse(self, u: float, v: float, a: float, b: float) -> Array:
        return _soft((np.hypot((self.u - u) * (1 / a), (self.v - v) * (1 / b)) - 1) * min(a, b), self.pixel)

    def line(self, u0: float, v0: float, u1: float, v1: float, half: float) -> Array:
        length = float(np.hypot(u1 - u0, v1 - v0))
        eu, ev = (u1 - u0) / length, (v1 - v0) / length
        along = (self.u - u0) * eu + (self.v - v0) * ev - length / 2
        across = (self.v - v0) * eu - (self.u - u0) * ev
        return _soft(np.maximum(np.abs(along) - length / 2, np.abs(across) - half), self.pixel)

    def paint(self, mask: Array, colour: Array) -> None:
        self.canvas.paint(mask, colour)

    def grey(self, name: str) -> Array:
        return np.repeat(self.rows.colour(name)[:, None], 3, axis=1)

    def outline(self) -> None:
        self.paint(self.box(0, 0.46, 0.15, 0.16), self.skin * 0.85)
        # Chins are pointed or square; both heads cover the same area.
        below = np.clip(self.v * (1 / 0.44), 0, 1)
        u, v = self.u / (0.37 + 0.01 * (1 - self.male) - (0.2 - 0.07 * self.male) * 0.37 * below), self.v / 0.44
        u *= u
        v *= v
        square = np.sqrt(u * u + v * v)  # fourth-power ellipse
        reach = np.sqrt(np.where((self.male > 0) & (self.v > 0), square, u + v))
        self.face = _soft((reach - 1) * 0.37, self.pixel)
        self.paint(self.face, self.skin)

    def lines(self) -> None:
        shade = np.where(self.rows.colour("skin_tone")[:, None] < 0.5, self.skin * 0.45, self.skin * 1.9 + 0.1)
        wrinkled = np.clip((self.rows.col("age") - 36) / 22, 0, 1) * 0.9
        mask = self.line(-0.17, -0.2, 0.17, -0.2, 0.025)
        for side in (-1, 1):
            mask += self.line(side * 0.3, 0.02, side * 0.2, 0.16, 0.025)
        self.paint(mask * wrinkled, shade.clip(0, 1))

    def eyes(self) -> None:
        whites = self.ellipse(-0.15, -0.04, 0.075, 0.055) + self.ellipse(0.15, -0.04, 0.075, 0.055)
        self.paint(whites, _WHITE)
        self.pupils = self.ellipse(-0.15, -0.04, 0.035, 0.045) + self.ellipse(0.15, -0.04, 0.035, 0.045)
        self.paint(self.pupils, _BLACK)
        brows = _soft(np.maximum(np.abs(np.abs(self.u) - 0.15) - 0.1, np.abs(self.v + 0.15) - 0.03), self.pixel)
        self.paint(brows * self.male, _BLACK)

    def mouth(self) -> None:
        smile, lip = self.rows.has("smile", 0), self.skin * 0.3
        beard = self.rows.col("bearded") * self.male
        whiskers = self.box(0, 0.165, 0.16, 0.032) * beard
        whiskers += _soft(np.abs(self.v - 0.39) - 0.034, self.pixel) * self.face * (self.male - beard)
        self.paint(whiskers, _BLACK)
        bend = 0.255 - smile * (3.0 * self.u * self.u - 0.06)
        half = np.where(self.male > 0, 0.026, 0.056).astype(np.float32)
        self.paint(self.box(0, bend, 0.17, half), lip)
        self.paint(self.box(0, bend - 0.055, 0.13, 0.022) * smile, _WHITE)
        rings = (self.ellipse(-0.38, 0.13, 0.055, 0.075) + self.ellipse(0.38, 0.13, 0.055, 0.075)) * (1 - self.male)
        self.paint(rings * self.rows.col("earrings"), self.grey("earring"))

    def glasses(self) -> None:
        worn = self.rows.has("glasses", 0)
        radius = np.hypot(np.abs(self.u) - 0.16, self.v + 0.04)
        self.paint(_soft(radius - 0.13, self.pixel) * worn * 0.4, self.skin * 0.4 + 0.5)
        frame = np.maximum(_soft(np.abs(radius - 0.135) - 0.028, self.pixel), self.box(0, -0.05, 0.05, 0.022))
        self.paint(frame * worn, (self.grey("frame") + _WARM).clip(0, 1))
        self.paint(self.pupils * worn, _BLACK)

    def hair(self) -> None:
        reach = np.hypot(self.u * (1 / 0.42), (self.v + 0.04) * 2)
        mask = _soft(np.maximum((reach - 1) * 0.42, self.v + 0.25), self.pixel)
        self.paint(mask, self.rows.hair())
        _streaks(self.canvas, self.rows, self.u, mask)
