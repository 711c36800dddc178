"""Small drawings as text: what people hold, what they wear, where they stand, what lies beside them."""

# ruff: noqa: E501 (a drawing is one line, so that its rows can be counted)

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

FINE = 4  # sub-cells per drawn cell, so that sampling by nearest sub-cell looks smooth

OBJECTS = {
    "doctor": "#...#|#...#|.#.#.|..#..|..#..",
    "firefighter": "#####|#####|..#..|..#..|..#..",
    "pilot": "#....|###..|#####|###..|#....",
    "mechanic": "#...#|.#.#.|..#..|.#.#.|#...#",
    "nurse": "..#..|..#..|#####|..#..|..#..",
    "librarian": "#####|.....|#####|.....|#####",
    "teacher": "#####|#...#|#...#|#...#|#####",
    "florist": "#.#.#|#.#.#|#####|.###.|.###.",
}
GARMENTS = {  # 12 x 8, stretched over the torso
    "doctor": "###......###|####....####|#####..#####|#####..#####|#####..#####|#####..#####|#####..#####|#####..#####",
    "firefighter": "............|############|............|............|############|............|............|############",
    "pilot": "##...##...##|##...##...##|.....##.....|.....##.....|.....##.....|....####....|.....##.....|.....##.....",
    "mechanic": ".##......##.|.##......##.|.##......##.|.##########.|.##########.|.##########.|.##########.|.##########.",
    "nurse": "....####....|.....##.....|............|.......##...|......####..|......####..|.......##...|............",
    "librarian": "#.#.#.#.#.#.|.#.#.#.#.#.#|#.#.#.#.#.#.|.#.#.#.#.#.#|#.#.#.#.#.#.|.#.#.#.#.#.#|#.#.#.#.#.#.|.#.#.#.#.#.#",
    "teacher": "##..##..##..|##..##..##..|##..##..##..|##..##..##..|##..##..##..|##..##..##..|##..##..##..|##..##..##..",
    "florist": "....#..#....|....#..#....|...######...|..########..|..########..|..########..|...######...|....####....",
}
PLACES = {  # periodic tiles of 8 x 8
    "hospital": "........|...##...|...##...|.######.|.######.|...##...|...##...|........",
    "street": "########|#.......|#.......|#.......|########|....#...|....#...|....#...",
    "office": "........|########|........|########|........|########|........|########",
    "garden": "##......|.##.....|..##....|...##...|....##..|.....##.|......##|#......#",
}
THINGS = {
    "flower": "..###..|..###..|#######|#######|#######|..###..|..###..",
    "litter": "#######|#.....#|#.....#|#.....#|#.....#|#.....#|#######",
}


@cache
def atlas(name: str) -> NDArray[np.float32]:
    """One family as an array [members, rows * FINE, columns * FINE] of coverage in [0, 1], in the order of the dict."""
    drawings = {"objects": OBJECTS, "garments": GARMENTS, "places": PLACES, "things": THINGS}[name]
    cells = np.array([[[c == "#" for c in line] for line in text.split("|")] for text in drawings.values()], np.float32)
    mode = "wrap" if name == "places" else "edge"
    result = _refine(_refine(cells, 1, mode), 2, mode).astype(np.float32)
    result.setflags(write=False)
    return result


def _refine(cells: NDArray[np.float32], axis: int, mode: str) -> NDArray[np.float32]:
    # Linear interpolation at sub-cell centres keeps edges one cell wide: no aliasing when a picture is small.
    count = cells.shape[axis]
    position = (np.arange(count * FINE) + 0.5) / FINE - 0.5
    low = np.floor(position).astype(int)
    weight = (position - low).astype(np.float32)
    indices = (low % count, (low + 1) % count) if mode == "wrap" else (low.clip(0), (low + 1).clip(max=count - 1))
    shape = [1, 1, 1]
    shape[axis] = -1
    weight = weight.reshape(shape)
    low_cells, high_cells = (cells.take(index, axis=axis) for index in indices)
    fine: NDArray[np.float32] = low_cells * (1 - weight) + high_cells * weight
    return fine
