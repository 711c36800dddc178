"""Chance that follows from (seed, step, sample id) alone: counters instead of a generator's state.

Every draw is a hash of what it is for, so it does not matter which process makes it, in which order, or how often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Floats = NDArray[np.float64]

_MIX = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def id_keys(ids: Iterable[str]) -> Keys:
    """64 bits per id, uint64 ``[n]``."""
    return np.array([_digest(id_) for id_ in ids], dtype=np.uint64)


def stream(seed: int, step: int, purpose: str) -> np.uint64:
    """The key of one purpose at one step."""
    return np.uint64(_digest(f"{seed}/{step}/{purpose}"))


def uniform(keys: Keys, stream: np.uint64, width: int | None = None) -> Floats:
    """Numbers in [0, 1) for each key, ``[n]``; with `width`, independent ones for each place, ``[n, width]``.

    Examples
    --------
    >>> keys = id_keys(["a", "b"])
    >>> a = uniform(keys, stream(0, 7, "mask"), 3)
    >>> b = uniform(keys[::-1], stream(0, 7, "mask"), 3)
    >>> bool((a == b[::-1]).all())
    True
    """
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2**64
        state = _mixed(keys ^ stream)
        if width is not None:
            state = state[:, None] + _GOLDEN * np.arange(1, width + 1, dtype=np.uint64)[None, :]
        return (_mixed(state) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(state: Keys) -> Keys:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014)."""
    state = state + _GOLDEN
    for shift, factor in _MIX:
        state = (state ^ (state >> shift)) * factor
    mixed: Keys = state ^ (state >> np.uint64(31))
    return mixed


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).digest(), "little")
