"""Flowers, insects, instruments and weapons on plain grounds, and scenes of either mood, from (kind, number, seed).

They stand in for published pictures that may not be shipped, so that every order of modalities runs out of the box.
They are drawings: a number that rests on them says whether the machinery works, not what a model thinks of flowers.
Ground, position, scale and turn of the four kinds of things follow one law, so only the thing itself tells them apart.
No scene shows a person, blood or a body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .scenes import PLEASANT, UNPLEASANT
from .shapes import Sheet, hue

VERSION = 1  # counts up when the same arguments give other pictures
_DARK = (0.12, 0.11, 0.12)
_STEEL = (0.62, 0.65, 0.70)
_WOOD = (0.55, 0.34, 0.16)


def draw_things(kind: str, n: int, *, seed: int = 0, size: int = 96) -> NDArray[np.uint8]:
    """Pictures [n, size, size, 3] of one kind; picture i depends on (kind, i, seed, size) and nothing else.

    Examples
    --------
    >>> draw_things("flower", 2, size=32).shape
    (2, 32, 32, 3)
    """
    out = np.empty((n, size, size, 3), np.uint8)
    for i in range(n):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, KINDS.index(kind), i])))
        sheet = Sheet(size)
        drawers = _DRAWERS[kind]
        if kind not in ("pleasant", "unpleasant"):
            _ground(sheet, rng)
        drawers[i % len(drawers)](sheet, rng)
        out[i] = sheet.pixels(rng)
    return out


def _ground(sheet: Sheet, rng: np.random.Generator) -> None:
    colour = hue(rng.uniform(0, 360), rng.uniform(0.05, 0.3), rng.uniform(0.78, 0.93))
    sheet.shade(colour + rng.uniform(0, 0.06), colour - rng.uniform(0, 0.08))
    sheet.frame(rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), rng.uniform(0.82, 1.0), rng.uniform(-0.35, 0.35))


def _flower(sheet: Sheet, rng: np.random.Generator) -> None:
    petals, long = int(rng.integers(5, 13)), rng.uniform(0.22, 0.3)
    start, wide = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.15) * np.pi * 0.3 / petals
    colour = hue(rng.choice([0, 20, 45, 280, 320, 345, 215]), rng.uniform(0.7, 0.95), rng.uniform(0.5, 0.75))
    green = hue(rng.uniform(95, 135), 0.55, rng.uniform(0.28, 0.4))
    bend = rng.uniform(-0.15, 0.15)
    sheet.paint(sheet.line((0, -0.25), (bend, 0.9), 0.035), green)
    for side in (-1, 1):
        sheet.paint(sheet.ellipse(bend / 2 + side * 0.2, rng.uniform(0.35, 0.6), 0.2, 0.075, -side * 0.5), green * 1.15)
    for layer, shade in ((1.0, 1.0), (0.62, 0.86))[: int(rng.integers(1, 3))]:
        for k in range(petals):
            turn = start + 2 * np.pi * (k + 0.5 * (layer < 1)) / petals
            x, y = 0.30 * layer * np.cos(turn), -0.28 + 0.30 * layer * np.sin(turn)
            sheet.paint(
                sheet.ellipse(x, y, long * layer, max(wide, 0.07) * layer, turn),
                colour * (0.94 + 0.12 * (k % 2)) * shade,
            )
    sheet.paint(sheet.disc(0, -0.28, rng.uniform(0.11, 0.17)), hue(rng.uniform(38, 52), 0.9, rng.uniform(0.4, 0.55)))


def _tulip(sheet: Sheet, rng: np.random.Generator) -> None:
    colour = hue(rng.choice([0, 330, 45, 290, 15]), 0.85, rng.uniform(0.45, 0.6))
    green = hue(rng.uniform(100, 130), 0.5, 0.33)
    sheet.paint(sheet.line((0, -0.1), (rng.uniform(-0.1, 0.1), 0.9), 0.035), green)
    sheet.paint(sheet.line((0.02, 0.85), (rng.uniform(0.2, 0.4), 0.05), 0.075, 0.01), green * 1.15)
    for x, turn, shade in ((-0.13, 1.4, 0.85), (0.13, 1.74, 0.85), (0, 1.57, 1.0)):
        sheet.paint(sheet.ellipse(x, -0.36, 0.36, 0.15, turn), colour * shade)


def _crawler(sheet: Sheet, rng: np.random.Generator) -> None:
    body = hue(rng.choice([20, 30, 5, 80, 220]), rng.uniform(0.2, 0.7), rng.uniform(0.14, 0.32))
    long, reach = rng.uniform(0.2, 0.32), rng.uniform(0.42, 0.6)
    legs = 4 if rng.random() < 0.25 else 3  # a spider is among the published insects
    for side in (-1, 1):
        for k in range(legs):
            y = -0.05 + (k - (legs - 1) / 2) * 0.14
            knee = (side * reach * 0.62, y + (k - (legs - 1) / 2) * 0.16 - 0.08)
            sheet.paint(sheet.line((0, y), knee, 0.025), body * 0.7)
            sheet.paint(sheet.line(knee, (side * reach, knee[1] + 0.22), 0.02, 0.01), body * 0.7)
        if legs == 3:
            sheet.paint(sheet.line((side * 0.05, -0.42), (side * rng.uniform(0.15, 0.32), -0.75), 0.016), body * 0.7)
    sheet.paint(sheet.ellipse(0, 0.34, rng.uniform(0.17, 0.27), long + 0.06), body)
    sheet.paint(sheet.ellipse(0, -0.05, rng.uniform(0.11, 0.17), 0.2), body * 1.2)
    sheet.paint(sheet.disc(0, -0.36, rng.uniform(0.11, 0.15)), body * 0.9)
    for band in range(int(rng.integers(0, 4))):
        sheet.paint(sheet.line((-0.12, 0.24 + 0.1 * band), (0.12, 0.24 + 0.1 * band), 0.018), body * 1.7)


def _flyer(sheet: Sheet, rng: np.random.Generator) -> None:
    body = hue(rng.choice([45, 30, 200, 120]), rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.42))
    wing = hue(rng.uniform(180, 230), 0.15, rng.uniform(0.72, 0.9)) * rng.uniform(0.75, 1.0)
    for side in (-1, 1):
        sheet.paint(sheet.ellipse(side * 0.4, -0.2, 0.42, 0.13, side * 0.45), wing * 0.8, 0.9)
        sheet.paint(sheet.ellipse(side * 0.36, 0.05, 0.34, 0.1, side * 0.85), wing * 0.72, 0.9)
        for k in range(3):
            sheet.paint(sheet.line((0, -0.1 + k * 0.12), (side * 0.3, 0.1 + k * 0.22), 0.015), _DARK)
        sheet.paint(sheet.line((0, -0.45), (side * 0.14, -0.72), 0.013), _DARK)
    sheet.paint(sheet.ellipse(0, 0.28, 0.14, 0.38), body)
    for band in range(4):
        sheet.paint(sheet.box(0, 0.12 + 0.13 * band, 0.11 - 0.012 * band, 0.028), _DARK)
    sheet.paint(sheet.disc(0, -0.16, 0.16), body * 0.75)
    sheet.paint(sheet.disc(0, -0.4, 0.12), _DARK)


def _guitar(sheet: Sheet, rng: np.random.Generator) -> None:
    wood = np.array(_WOOD) * rng.uniform(0.8, 1.5)
    sheet.paint(sheet.box(0, -0.5, 0.05, 0.42), np.array(_WOOD) * 0.5)
    sheet.paint(sheet.box(0, -0.92, 0.09, 0.1), np.array(_WOOD) * 0.4)
    sheet.paint(np.minimum(sheet.disc(0, 0.5, 0.38), sheet.disc(0, 0.05, 0.27)), wood)
    sheet.paint(sheet.disc(0, 0.24, 0.11), _DARK)
    sheet.paint(sheet.box(0, 0.62, 0.15, 0.025), _DARK)
    for k in (-1, 0, 1):
        sheet.paint(sheet.line((k * 0.025, -0.9), (k * 0.03, 0.62), 0.006), (0.93, 0.9, 0.8))


def _drum(sheet: Sheet, rng: np.random.Generator) -> None:
    side = hue(rng.uniform(0, 360), 0.7, 0.42)
    sheet.paint(np.minimum(sheet.box(0, 0.25, 0.55, 0.32), sheet.ellipse(0, 0.57, 0.55, 0.16)), side)
    for k in range(-2, 3):
        sheet.paint(sheet.line((k * 0.25 - 0.06, 0.05), (k * 0.22 + 0.06, 0.62), 0.015), (0.95, 0.93, 0.85))
    sheet.paint(sheet.ellipse(0, -0.07, 0.57, 0.18), (0.85, 0.7, 0.35))
    sheet.paint(sheet.ellipse(0, -0.08, 0.51, 0.145), (0.97, 0.95, 0.9))
    for start, end in (((-0.7, -0.75), (-0.08, -0.12)), ((0.7, -0.8), (0.12, -0.1))):
        sheet.paint(sheet.line(start, end, 0.03), _WOOD)
        sheet.paint(sheet.disc(*end, 0.06), np.array(_WOOD) * 1.3)


def _trumpet(sheet: Sheet, rng: np.random.Generator) -> None:
    brass = np.array([0.88, 0.68, 0.2]) * rng.uniform(0.85, 1.08)
    sheet.paint(sheet.ring(-0.05, 0.14, 0.17, 0.035), brass * 0.85)
    sheet.paint(sheet.box(0.1, 0.3, 0.34, 0.035), brass * 0.85)
    sheet.paint(sheet.line((-0.85, 0.0), (0.4, 0.0), 0.035), brass)
    sheet.paint(sheet.convex([(0.3, -0.05), (0.88, -0.34), (0.88, 0.34), (0.3, 0.05)]), brass)
    sheet.paint(sheet.ellipse(0.88, 0, 0.07, 0.34), brass * 0.7)
    for k in range(3):
        sheet.paint(sheet.box(-0.12 + 0.14 * k, 0.06, 0.045, 0.2), brass * 0.75)
        sheet.paint(sheet.box(-0.12 + 0.14 * k, -0.2, 0.06, 0.03), (0.95, 0.95, 0.92))


def _piano(sheet: Sheet, rng: np.random.Generator) -> None:
    case = np.array(_DARK) if rng.random() < 0.5 else np.array(_WOOD) * 0.7
    sheet.paint(sheet.box(0, -0.15, 0.78, 0.5), case)
    sheet.paint(sheet.box(0, 0.2, 0.86, 0.2), case * 0.8)
    sheet.paint(sheet.box(0, 0.2, 0.78, 0.14), (0.97, 0.97, 0.94))
    for k in range(1, 14):
        sheet.paint(sheet.box(-0.78 + k * 0.1114, 0.2, 0.008, 0.14), (0.5, 0.5, 0.5))
        if k % 7 not in (3, 0):
            sheet.paint(sheet.box(-0.78 + k * 0.1114, 0.15, 0.03, 0.09), _DARK)
    for x in (-0.72, 0.72):
        sheet.paint(sheet.box(x, 0.62, 0.06, 0.25), case)


def _violin(sheet: Sheet, rng: np.random.Generator) -> None:
    wood = np.array([0.62, 0.28, 0.1]) * rng.uniform(0.8, 1.2)
    sheet.paint(sheet.box(0, -0.5, 0.045, 0.4), _DARK)
    sheet.paint(sheet.ring(0, -0.92, 0.06, 0.03), wood)
    body = np.minimum(sheet.ellipse(0, 0.52, 0.32, 0.3), sheet.ellipse(0, 0.04, 0.25, 0.24))
    body = np.minimum(body, sheet.box(0, 0.28, 0.19, 0.2))
    sheet.paint(body, wood)
    for side in (-1, 1):
        sheet.paint(sheet.line((side * 0.12, 0.2), (side * 0.15, 0.42), 0.014), _DARK)
        sheet.paint(sheet.line((side * 0.02, -0.85), (side * 0.025, 0.6), 0.006), (0.93, 0.9, 0.8))
    sheet.paint(sheet.box(0, 0.62, 0.05, 0.13), _DARK)
    sheet.paint(sheet.line((0.5, 0.8), (0.68, -0.7), 0.016), np.array(_WOOD) * 0.6)


def _sword(sheet: Sheet, rng: np.random.Generator) -> None:
    wide = rng.uniform(0.055, 0.1)
    sheet.paint(sheet.convex([(-wide, 0.35), (-wide, -0.75), (0, -0.97), (wide, -0.75), (wide, 0.35)]), _STEEL)
    sheet.paint(sheet.box(0, -0.15, 0.012, 0.5), (0.45, 0.48, 0.53))
    sheet.paint(sheet.box(0, 0.38, rng.uniform(0.2, 0.34), 0.05), (0.6, 0.48, 0.2))
    sheet.paint(sheet.box(0, 0.62, 0.05, 0.2), np.array(_WOOD) * 0.6)
    sheet.paint(sheet.disc(0, 0.86, 0.08), (0.6, 0.48, 0.2))


def _pistol(sheet: Sheet, rng: np.random.Generator) -> None:
    metal = np.array(_DARK) * rng.uniform(1.0, 2.6)
    sheet.paint(sheet.convex([(0.12, -0.1), (0.55, -0.1), (0.72, 0.68), (0.36, 0.74)]), np.array(_WOOD) * 0.55)
    sheet.paint(sheet.ring(0.06, 0.07, 0.15, 0.028), metal)
    sheet.paint(sheet.box(-0.12, -0.22, 0.72, 0.15), metal)
    sheet.paint(sheet.box(-0.12, -0.3, 0.72, 0.035), metal * 1.6)
    sheet.paint(sheet.box(-0.8, -0.4, 0.03, 0.05), metal)
    sheet.paint(sheet.line((0.06, -0.05), (0.02, 0.1), 0.022), metal)


def _axe(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.paint(sheet.line((0, -0.85), (0, 0.92), 0.055, 0.07), np.array(_WOOD) * rng.uniform(0.7, 1.1))
    head = np.maximum(sheet.disc(0.18, -0.5, 0.42), -sheet.disc(0.32, -1.08, 0.36))
    head = np.maximum(np.maximum(head, -sheet.disc(0.32, 0.08, 0.36)), -(sheet.u + 0.1))
    sheet.paint(head, _STEEL)
    sheet.paint(np.maximum(head, -sheet.disc(0.08, -0.5, 0.46)), (0.86, 0.88, 0.92))


def _bow(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.paint(np.maximum(sheet.ring(0.42, 0, 0.95, 0.045), sheet.u + 0.02), np.array(_WOOD) * rng.uniform(0.6, 1.0))
    sheet.paint(sheet.line((-0.02, -0.84), (0.3, 0), 0.01), _DARK)
    sheet.paint(sheet.line((-0.02, 0.84), (0.3, 0), 0.01), _DARK)
    sheet.paint(sheet.line((0.55, 0), (-0.8, 0), 0.022), np.array(_WOOD) * 0.8)
    sheet.paint(sheet.convex([(-0.72, -0.11), (-0.72, 0.11), (-0.97, 0)]), _STEEL)
    for x in (0.36, 0.44, 0.52):
        for side in (-1, 1):
            sheet.paint(sheet.line((x, 0), (x + 0.12, side * 0.11), 0.018), (0.75, 0.15, 0.12))


def _bomb(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.paint(sheet.disc(0, 0.22, 0.52), _DARK)
    sheet.paint(sheet.ellipse(-0.2, 0.02, 0.13, 0.08, -0.7), (0.45, 0.45, 0.48))
    sheet.paint(sheet.box(0.22, -0.33, 0.13, 0.09, 0.4), (0.25, 0.24, 0.25))
    sheet.paint(sheet.line((0.27, -0.42), (0.45, -0.66), 0.025), (0.75, 0.65, 0.45))
    for k in range(9):
        turn, long = 2 * np.pi * k / 9, rng.uniform(0.12, 0.22)
        end = (0.47 + long * np.cos(turn), -0.68 + long * np.sin(turn))
        sheet.paint(sheet.line((0.47, -0.68), end, 0.03, 0.005), (0.98, 0.65, 0.1))
    sheet.paint(sheet.disc(0.47, -0.68, 0.06), (1.0, 0.92, 0.4))


def _knife(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.paint(sheet.convex([(-0.1, 0.2), (-0.1, -0.55), (0.14, -0.92), (0.14, 0.2)]), _STEEL)
    sheet.paint(sheet.convex([(-0.1, 0.2), (-0.1, -0.55), (-0.05, -0.63), (-0.05, 0.2)]), (0.88, 0.9, 0.93))
    sheet.paint(sheet.box(0.02, 0.55, 0.12, 0.36), np.array(_DARK) * rng.uniform(1.0, 2.2))
    for y in (0.35, 0.55, 0.75):
        sheet.paint(sheet.disc(0.02, y, 0.03), _STEEL)


Drawer = Callable[[Sheet, np.random.Generator], None]
_DRAWERS: dict[str, Sequence[Drawer]] = {
    "flower": (_flower, _flower, _tulip, _flower),
    "insect": (_crawler, _flyer),
    "instrument": (_guitar, _trumpet, _drum, _violin, _piano),
    "weapon": (_sword, _pistol, _axe, _bow, _knife, _bomb),
    "pleasant": PLEASANT,
    "unpleasant": UNPLEASANT,
}
KINDS = tuple(_DRAWERS)
