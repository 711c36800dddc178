"""Scenes of either mood without persons: lakes, beaches, rainbows; fire, rubbish, storms."""

from __future__ import annotations

import numpy as np

from .shapes import Sheet, hue

_SAND = (0.93, 0.85, 0.62)
_SUN = (1.0, 0.9, 0.45)


def _glow(sheet: Sheet, x: float, y: float, radius: float, colour: tuple[float, float, float], strength: float) -> None:
    far = np.hypot(sheet.px - x, sheet.py - y) / radius
    part = (np.exp(-far * far) * strength)[:, :, None]
    sheet.planes += (np.asarray(colour) - sheet.planes) * part


def _cloud(sheet: Sheet, rng: np.random.Generator, shade: float, y: float) -> None:
    x = rng.uniform(-0.8, 0.6)
    for k in range(4):
        sheet.paint(sheet.disc(x + 0.14 * k, y - 0.05 * (k in (1, 2)), rng.uniform(0.09, 0.15)), (shade,) * 3, 0.9)


def _ridge(sheet: Sheet, rng: np.random.Generator, base: float, high: float, colour: np.ndarray) -> None:
    shift = rng.uniform(0, 6.28, 3)
    edge = sum(np.sin(sheet.px * f + s) / k for k, (f, s) in enumerate(zip((2.1, 4.7, 9.3), shift, strict=True), 1))
    sheet.paint(base - high * (edge + 1.2) / 2.4 - sheet.py, colour)


def _lake(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade(hue(205, 0.75, 0.62), hue(200, 0.6, 0.88))
    _cloud(sheet, rng, 0.98, rng.uniform(-0.8, -0.55))
    _glow(sheet, rng.uniform(-0.7, 0.7), -0.7, 0.3, _SUN, 0.9)
    _ridge(sheet, rng, 0.1, rng.uniform(0.5, 0.9), hue(225, 0.3, 0.6))
    _ridge(sheet, rng, 0.15, rng.uniform(0.2, 0.45), hue(rng.uniform(95, 140), 0.45, 0.4))
    water = hue(rng.uniform(190, 210), 0.65, 0.52)
    sheet.paint(0.15 - sheet.py, water)
    for _ in range(14):
        x, y = rng.uniform(-1, 0.8), rng.uniform(0.2, 0.95)
        sheet.paint(sheet.line((x, y), (x + rng.uniform(0.1, 0.3), y), 0.008), water + 0.25, 0.7)


def _beach(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade(hue(200, 0.8, 0.66), hue(190, 0.6, 0.88))
    sheet.paint(sheet.disc(rng.uniform(-0.6, 0.2), rng.uniform(-0.75, -0.5), 0.13), _SUN)
    _cloud(sheet, rng, 1.0, rng.uniform(-0.7, -0.4))
    sheet.paint(-0.02 - sheet.py, hue(188, 0.7, 0.48))
    wave = 0.4 + 0.06 * np.sin(sheet.px * rng.uniform(2, 4) + rng.uniform(0, 6))
    sheet.paint(wave - 0.05 - sheet.py, (0.97, 0.98, 0.98))
    sheet.paint(wave - sheet.py, _SAND)
    x = rng.uniform(0.45, 0.75)
    sheet.paint(sheet.line((x, 0.75), (x - 0.15, -0.25), 0.05, 0.03), (0.5, 0.35, 0.2))
    for turn in np.linspace(-3.5, 0.4, 7):
        end = (x - 0.15 + 0.42 * np.cos(turn), -0.25 + 0.3 * np.sin(turn) + 0.08)
        sheet.paint(sheet.line((x - 0.15, -0.25), end, 0.05, 0.01), hue(125, 0.6, 0.33))


def _rainbow(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade(hue(210, 0.6, 0.72), hue(200, 0.5, 0.9))
    x, radius = rng.uniform(-0.3, 0.3), rng.uniform(0.8, 1.0)
    for k, degrees in enumerate((0, 28, 52, 120, 210, 270)):
        sheet.paint(sheet.ring(x, 0.45, radius - 0.06 * k, 0.032), hue(degrees, 0.85, 0.6), 0.85)
    _cloud(sheet, rng, 1.0, rng.uniform(-0.85, -0.6))
    _ridge(sheet, rng, 0.65, 0.3, hue(rng.uniform(90, 125), 0.55, 0.45))
    for _ in range(22):
        spot = hue(rng.choice([0, 50, 300, 330]), 0.85, 0.65)
        sheet.paint(sheet.disc(rng.uniform(-1, 1), rng.uniform(0.7, 0.98), 0.035), spot)


def _sunset(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade(hue(rng.uniform(270, 300), 0.45, 0.55), hue(rng.uniform(25, 40), 0.95, 0.68))
    x = rng.uniform(-0.4, 0.4)
    _glow(sheet, x, 0.2, 0.7, (1.0, 0.8, 0.45), 0.8)
    sheet.paint(sheet.disc(x, 0.18, 0.24), (1.0, 0.88, 0.5))
    sheet.paint(0.25 - sheet.py, hue(320, 0.3, 0.42))
    for k in range(9):
        y = 0.32 + 0.075 * k
        sheet.paint(sheet.line((x - 0.3 + 0.02 * k, y), (x + 0.3 - 0.02 * k, y), 0.014), (1.0, 0.75, 0.45), 0.85)


def _fireworks(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade(hue(235, 0.6, 0.12), hue(260, 0.5, 0.26))
    for _ in range(4):
        x, y, long = rng.uniform(-0.6, 0.6), rng.uniform(-0.7, 0.2), rng.uniform(0.25, 0.45)
        colour = hue(rng.uniform(0, 360), 0.95, 0.65)
        for turn in np.linspace(0, 2 * np.pi, 15)[:-1]:
            ends = [(x + r * long * np.cos(turn), y + r * long * np.sin(turn)) for r in (0.25, 1.0)]
            sheet.paint(sheet.line(ends[0], ends[1], 0.008, 0.018), colour)
            sheet.paint(sheet.disc(*ends[1], 0.028), colour + 0.2)
    _ridge(sheet, rng, 0.9, 0.2, hue(240, 0.3, 0.08))


def _fire(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade((0.10, 0.08, 0.08), (0.28, 0.12, 0.06))
    x, wide = rng.uniform(-0.2, 0.2), rng.uniform(0.35, 0.5)
    sheet.paint(sheet.convex([(x - wide, 0.2), (x, -0.25), (x + wide, 0.2)]), (0.13, 0.1, 0.1))
    sheet.paint(sheet.box(x, 0.55, wide * 0.9, 0.38), (0.16, 0.12, 0.11))
    for side in (-0.45, 0.45):
        sheet.paint(sheet.box(x + side * wide, 0.45, 0.1, 0.13), (1.0, 0.55, 0.1))
    _glow(sheet, x, 0.4, 0.9, (0.9, 0.3, 0.05), 0.35)
    for tall, colour in ((0.8, (0.85, 0.2, 0.03)), (0.55, (0.98, 0.5, 0.06)), (0.3, (1.0, 0.85, 0.3))):
        for foot in np.linspace(x - wide, x + wide, 6):
            tip = (foot + rng.uniform(-0.15, 0.15), 0.2 - tall * rng.uniform(0.6, 1.2))
            sheet.paint(sheet.line((foot, 0.25), tip, 0.12 * tall + 0.03, 0.005), colour)


def _rubbish(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade(hue(55, 0.12, 0.5), hue(45, 0.2, 0.36))
    _ridge(sheet, rng, 0.5, 0.6, hue(40, 0.25, 0.24))
    for _ in range(75):
        x, y = rng.uniform(-1, 1), rng.uniform(0.15, 1.0)
        colour = hue(rng.uniform(20, 110), rng.uniform(0.05, 0.4), rng.uniform(0.14, 0.5))
        if rng.random() < 0.5:
            turn = rng.uniform(0, 3)
            sheet.paint(sheet.box(x, y, rng.uniform(0.04, 0.13), rng.uniform(0.03, 0.09), turn), colour)
        else:
            sheet.paint(sheet.ellipse(x, y, rng.uniform(0.06, 0.16), rng.uniform(0.05, 0.1), rng.uniform(0, 3)), colour)
    for _ in range(9):
        x, y = rng.uniform(-0.9, 0.9), rng.uniform(-0.5, 0.3)
        for side in (-1, 1):
            sheet.paint(sheet.line((x, y), (x + side * 0.07, y - 0.045), 0.012), (0.05, 0.05, 0.05))


def _storm(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade((0.12, 0.13, 0.17), (0.33, 0.34, 0.38))
    for _ in range(5):
        _cloud(sheet, rng, rng.uniform(0.1, 0.22), rng.uniform(-0.9, -0.55))
    spot = (rng.uniform(-0.5, 0.5), -0.6)
    for y in (-0.25, 0.05, 0.4):
        following = (spot[0] + rng.uniform(-0.22, 0.22), y)
        sheet.paint(sheet.line(spot, following, 0.02), (0.95, 0.95, 0.8))
        spot = following
    _ridge(sheet, rng, 0.8, 0.25, np.array([0.08, 0.08, 0.07]))
    x = rng.uniform(-0.55, 0.55)
    sheet.paint(sheet.line((x, 0.8), (x, 0.0), 0.055, 0.03), (0.05, 0.04, 0.04))
    for _ in range(8):
        y, side = rng.uniform(-0.05, 0.45), rng.choice([-1, 1])
        sheet.paint(
            sheet.line((x, y), (x + side * rng.uniform(0.2, 0.4), y - rng.uniform(0.15, 0.4)), 0.025, 0.006),
            (0.05, 0.04, 0.04),
        )


def _explosion(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade((0.42, 0.36, 0.3), (0.3, 0.22, 0.16))
    sheet.paint(0.6 - sheet.py, (0.2, 0.16, 0.12))
    x, y = rng.uniform(-0.2, 0.2), rng.uniform(-0.05, 0.2)
    for shade, spread, most in ((0.16, 0.5, 0.34), (0.28, 0.38, 0.3)):
        for _ in range(16):
            turn, far = rng.uniform(0, 6.28), spread * np.sqrt(rng.random())
            sheet.paint(
                sheet.disc(x + far * np.cos(turn), y - 0.15 + far * np.sin(turn), rng.uniform(0.14, most)),
                (shade,) * 3,
                0.85,
            )
    for colour, reach in (((0.85, 0.25, 0.04), 0.55), ((1.0, 0.62, 0.1), 0.4), ((1.0, 0.95, 0.6), 0.22)):
        for turn in np.linspace(0, 6.28, 15):
            long = reach * rng.uniform(0.7, 1.3)
            sheet.paint(
                sheet.line((x, y), (x + long * np.cos(turn), y + long * np.sin(turn)), reach * 0.3, 0.01), colour
            )
    for _ in range(18):
        turn, far = rng.uniform(0, 6.28), rng.uniform(0.5, 0.95)
        sheet.paint(sheet.box(x + far * np.cos(turn), y + far * np.sin(turn), 0.03, 0.02, turn), (0.08, 0.06, 0.05))


def _ruin(sheet: Sheet, rng: np.random.Generator) -> None:
    sheet.shade((0.5, 0.48, 0.45), (0.62, 0.57, 0.5))
    for k in range(3):
        x, top = -0.65 + 0.62 * k + rng.uniform(-0.1, 0.1), rng.uniform(-0.5, 0.1)
        wall = hue(30, 0.12, rng.uniform(0.28, 0.4))
        corners = [
            (x - 0.26, 0.75),
            (x - 0.26, top),
            (x + 0.08, top + rng.uniform(0.0, 0.25)),
            (x + 0.26, top + 0.45),
            (x + 0.26, 0.75),
        ]
        sheet.paint(sheet.convex(corners), wall)
        for row in (0.3, 0.55):
            sheet.paint(sheet.box(x - 0.1, row, 0.07, 0.08), wall * 0.35)
    for _ in range(3):
        _glow(sheet, rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.3), 0.35, (0.12, 0.11, 0.11), 0.75)
    for _ in range(50):
        x, y = rng.uniform(-1, 1), rng.uniform(0.62, 1.0)
        sheet.paint(
            sheet.box(x, y, rng.uniform(0.03, 0.1), rng.uniform(0.02, 0.06), rng.uniform(0, 3)),
            hue(30, 0.12, rng.uniform(0.2, 0.45)),
        )


PLEASANT = (_lake, _beach, _rainbow, _sunset, _fireworks)
UNPLEASANT = (_fire, _rubbish, _storm, _explosion, _ruin)
