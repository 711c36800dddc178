"""Plain portraits, 32 x 32: what the world's small text-to-image model learns to draw.

Calmer and larger in their signs than the portraits of `drawing`, so that a model of one million weights can draw them:
an occupation is a garment, a hat and a thing in the corner; a perceived gender is hair, lips, brows and beard.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .canvas import Array, Canvas

SIZE = 32
_BLOCK = 256  # pictures per random stream: picture i is the same however many are drawn

Colour = tuple[float, float, float]
_WHITE, _BLACK, _GREY = (0.97, 0.97, 0.96), (0.08, 0.08, 0.10), (0.55, 0.56, 0.58)
_RED, _BLUE, _NAVY, _GOLD = (0.85, 0.15, 0.12), (0.22, 0.42, 0.85), (0.10, 0.14, 0.38), (0.95, 0.78, 0.15)
_GREEN, _OLIVE, _TEAL, _SKY = (0.15, 0.58, 0.25), (0.45, 0.48, 0.16), (0.10, 0.58, 0.58), (0.55, 0.80, 0.95)
_PINK, _PURPLE, _BROWN, _STRAW = (0.96, 0.52, 0.70), (0.50, 0.20, 0.68), (0.45, 0.27, 0.14), (0.90, 0.78, 0.42)

# occupation: (garment, second colour, pattern), (hat, colour, sign), (thing, colour, second colour)
CLOTHES: Mapping[str, tuple[tuple[Colour, Colour, str], tuple[str, Colour, Colour], tuple[str, Colour, Colour]]] = (
    MappingProxyType(
        {
            "doctor": ((_WHITE, _TEAL, "strip"), ("", _WHITE, _WHITE), ("ring", _WHITE, _GREY)),
            "firefighter": ((_RED, _GOLD, "band"), ("dome", _RED, _GOLD), ("", _RED, _RED)),
            "pilot": ((_NAVY, _WHITE, "strip"), ("flat", _NAVY, _GOLD), ("", _NAVY, _NAVY)),
            "mechanic": ((_GREY, _BLUE, "bib"), ("", _GREY, _GREY), ("bar", _BLACK, _GREY)),
            "nurse": ((_SKY, _SKY, ""), ("flat", _WHITE, _RED), ("", _SKY, _SKY)),
            "librarian": ((_BROWN, _STRAW, "rows"), ("", _BROWN, _BROWN), ("bar", _GREEN, _WHITE)),
            "teacher": ((_OLIVE, _OLIVE, ""), ("", _OLIVE, _OLIVE), ("square", _WHITE, _BLACK)),
            "florist": ((_PINK, _GREEN, "bib"), ("", _PINK, _PINK), ("disc", _PURPLE, _GOLD)),
            "farmer": ((_GREEN, _BROWN, "bib"), ("wide", _STRAW, _BROWN), ("", _GREEN, _GREEN)),
            "butcher": ((_WHITE, _RED, "columns"), ("", _RED, _RED), ("bar", _RED, _GREY)),
            "chef": ((_WHITE, _GREY, "band"), ("tall", _WHITE, _WHITE), ("", _WHITE, _WHITE)),
            "painter": ((_SKY, _RED, "spots"), ("wide", _PURPLE, _PURPLE), ("", _SKY, _SKY)),
            "baker": ((_STRAW, _WHITE, "bib"), ("", _STRAW, _STRAW), ("disc", _WHITE, _BROWN)),
            "singer": ((_BLACK, _BLACK, ""), ("", _BLACK, _BLACK), ("bar", _GOLD, _BLACK)),
            "dancer": ((_PURPLE, _PINK, "columns"), ("", _PURPLE, _PURPLE), ("", _PURPLE, _PURPLE)),
            "clerk": ((_GREY, _RED, "strip"), ("", _GREY, _GREY), ("square", _GOLD, _WHITE)),
        }
    )
)
OCCUPATIONS = tuple(CLOTHES)

_SKIN = np.array(
    [[0.97, 0.84, 0.74], [0.88, 0.70, 0.55], [0.73, 0.54, 0.40], [0.52, 0.36, 0.25], [0.34, 0.22, 0.15]], np.float32
)
_HAIR = np.array(
    [[0.10, 0.08, 0.08], [0.32, 0.19, 0.10], [0.55, 0.33, 0.15], [0.87, 0.72, 0.38], [0.66, 0.64, 0.62]], np.float32
)


def draw_people(occupation: ArrayLike, female: ArrayLike, seed: int, *, split: int = 0) -> NDArray[np.uint8]:
    """Pictures ``[n, 32, 32, 3]`` of people with the given occupation codes and perceived gender.

    Skin tone, hair colour, background, light, position and beard are free of both.

    Parameters
    ----------
    occupation : (n,) int
        Positions in `OCCUPATIONS`.
    female : (n,) bool
    seed : int
    split : int
        Streams of different splits are disjoint.

    Raises
    ------
    InputError
        The two differ in length, or a code is outside.

    Examples
    --------
    >>> draw_people([0, 4], [True, False], seed=1).shape
    (2, 32, 32, 3)
    """
    jobs, women = np.asarray(occupation, dtype=np.int64), np.asarray(female, dtype=bool)
    if jobs.shape != women.shape or jobs.ndim != 1:
        raise InputError(f"{jobs.shape} occupations and {women.shape} genders; expected one of each per picture")
    if jobs.size and not (jobs.min() >= 0 and jobs.max() < len(OCCUPATIONS)):
        raise InputError(f"occupation codes from {jobs.min()} to {jobs.max()}; expected 0 to {len(OCCUPATIONS) - 1}")
    out = np.empty((len(jobs), SIZE, SIZE, 3), np.uint8)
    for block, start in enumerate(range(0, len(jobs), _BLOCK)):
        stream = np.random.SeedSequence(entropy=seed, spawn_key=(split, block))
        rng = np.random.Generator(np.random.PCG64(stream))
        rows = slice(start, min(start + _BLOCK, len(jobs)))
        out[rows] = _Scene(jobs[rows], women[rows], rng).pixels()
    return out


class _Scene:
    """Some pictures, back to front. Draws every random number for a whole block first."""

    def __init__(self, jobs: NDArray[np.int64], women: NDArray[np.bool_], rng: np.random.Generator) -> None:
        n = len(jobs)
        uniform = rng.random((_BLOCK, 12), dtype=np.float32)[:n]
        picks = rng.integers(0, 5, (_BLOCK, 2))[:n]
        self.noise = rng.standard_normal((_BLOCK, SIZE, SIZE, 3), dtype=np.float32)[:n] * np.float32(0.01)
        self.jobs, self.women = jobs, women.astype(np.float32)[:, None, None]
        self.x = (uniform[:, 0, None, None] - 0.5) * 0.16
        self.y = (uniform[:, 1, None, None] - 0.5) * 0.10 - 0.12
        self.skin = np.clip(_SKIN[picks[:, 0]] + (uniform[:, 2:3] - 0.5) * 0.08, 0, 1)
        self.hair = np.clip(_HAIR[picks[:, 1]] + (uniform[:, 3:4] - 0.5) * 0.10, 0, 1)
        # A dark ground behind light hair and the other way round, so that hair is always seen.
        self.ground = np.where(self.hair.mean(1, keepdims=True) > 0.45, 0.12, 0.58) + 0.36 * uniform[:, 4:7]
        self.light = 0.88 + 0.2 * uniform[:, 7]
        self.bearded = (uniform[:, 8, None, None] < 0.4) * (1 - self.women)
        self.slope = (uniform[:, 9, None, None] - 0.5) * 0.2
        self.canvas = Canvas.blank(n, SIZE)

    def pixels(self) -> NDArray[np.uint8]:
        canvas = self.canvas
        canvas.planes[:] = (self.ground[:, :, None] * (1 + self.slope * canvas.py).reshape(-1, 1, SIZE))[..., None]
        self._long_hair()
        self._garment()
        self._head()
        self._hat()
        self._thing()
        planes = canvas.planes * self.light[:, None, None, None]
        lit = planes.transpose(0, 2, 3, 1) + self.noise
        pictures: NDArray[np.uint8] = (lit.clip(0, 1) * 255 + 0.5).astype(np.uint8)
        return pictures

    def box(self, u: float, v: float, a: float, b: float) -> Array:
        return _soft(np.maximum(np.abs(self.canvas.px - self.x - u) - a, np.abs(self.canvas.py - self.y - v) - b))

    def oval(self, u: float, v: float, a: float, b: float) -> Array:
        reach = np.hypot((self.canvas.px - self.x - u) / a, (self.canvas.py - self.y - v) / b)
        return _soft((reach - 1) * min(a, b))

    def paint(self, mask: Array, colour: ArrayLike) -> None:
        self.canvas.paint(mask.astype(np.float32), np.asarray(colour, np.float32))

    def those(self, layer: int, kind: str, place: int) -> Array:
        """1 for pictures whose occupation has this pattern, hat or thing."""
        has = np.array([clothes[layer][place] == kind for clothes in CLOTHES.values()], np.float32)
        picked: Array = has[self.jobs][:, None, None]
        return picked

    def colours(self, layer: int, place: int) -> Array:
        table = np.array([clothes[layer][place] for clothes in CLOTHES.values()], np.float32)
        picked: Array = table[self.jobs]
        return picked

    def _long_hair(self) -> None:
        flowing = np.maximum(self.oval(0, -0.08, 0.54, 0.54), self.box(0, 0.27, 0.54, 0.36))
        self.paint(flowing * self.women, self.hair)

    def _garment(self) -> None:
        body = np.maximum(self.oval(0, 1.05, 0.74, 0.58), self.box(0, 1.3, 0.74, 0.25))
        self.paint(self.box(0, 0.40, 0.15, 0.16), self.skin * 0.85)
        self.paint(body, self.colours(0, 0))
        px, py = self.canvas.px - self.x, self.canvas.py - self.y
        columns = (np.floor((px + 2) * 4) % 2 + 0 * py).astype(np.float32)
        rows = (np.floor((py + 2) * 4) % 2 + 0 * px).astype(np.float32)
        for kind, mask in (
            ("strip", self.box(0, 0.9, 0.11, 0.6)), ("band", self.box(0, 0.84, 1.0, 0.10)),
            ("bib", self.box(0, 1.0, 0.34, 0.34)), ("columns", columns), ("rows", rows),
            ("spots", columns * rows),
        ):  # fmt: skip
            self.paint(mask * body * self.those(0, kind, 2), self.colours(0, 1))

    def _head(self) -> None:
        women = self.women
        head = self.oval(0, 0, 0.36, 0.45)
        self.paint(head, self.skin)
        beard = head * _soft(0.16 - (self.canvas.py - self.y)) * self.bearded
        self.paint(beard, self.hair * 0.8)
        for side in (-0.15, 0.15):
            self.paint(self.oval(side, -0.03, 0.06, 0.06), _BLACK)
            self.paint(self.box(side, -0.14, 0.10, 0.03) * (1 - women), self.hair * 0.5)
        self.paint(self.box(0, 0.24, 0.13, 0.035) * (1 - women), self.skin * 0.45)
        self.paint(self.box(0, 0.24, 0.11, 0.06) * women, (0.80, 0.10, 0.18))
        cap = np.minimum(self.oval(0, -0.08, 0.43, 0.48), _soft(self.canvas.py - self.y + 0.21))
        self.paint(cap, self.hair)

    def _hat(self) -> None:
        dome = np.minimum(self.oval(0, -0.26, 0.48, 0.36), _soft(self.canvas.py - self.y + 0.24))
        brim = self.box(0, -0.27, 0.66, 0.06)
        for kind, mask, sign in (
            ("dome", np.maximum(dome, self.box(0, -0.25, 0.54, 0.04)), self.box(0, -0.42, 0.10, 0.08)),
            ("flat", self.box(0, -0.40, 0.44, 0.15), self.box(0, -0.40, 0.10, 0.09)),
            ("tall", self.box(0, -0.55, 0.36, 0.30), self.box(0, -0.30, 0.36, 0.03)),
            ("wide", np.maximum(dome, brim), self.box(0, -0.36, 0.44, 0.05)),
        ):
            worn = self.those(1, kind, 0)
            self.paint(mask * worn, self.colours(1, 1))
            self.paint(sign * worn, self.colours(1, 2))

    def _thing(self) -> None:
        u, v, side = 0.66, 0.68, 0.25
        for kind, mask in (
            ("ring", self.oval(u, v, 0.17, 0.17) - self.oval(u, v, 0.08, 0.08)), ("bar", self.box(u, v, 0.07, 0.2)),
            ("square", self.box(u, v, 0.17, 0.17)), ("disc", self.oval(u, v, 0.16, 0.16)),
        ):  # fmt: skip
            shown = self.those(2, kind, 0)
            self.paint(self.box(u, v, side, side) * shown, self.colours(2, 1))
            self.paint(mask.clip(0, 1) * shown, self.colours(2, 2))


def _soft(distance: Array) -> Array:
    """Coverage of a pixel by a shape, from the signed distance to its edge."""
    covered: Array = np.clip(0.5 - distance * (SIZE / 2), 0, 1)
    return covered
