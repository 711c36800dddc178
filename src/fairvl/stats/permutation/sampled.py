"""Random splits shared by all rows, and how many of them are as extreme as the observed one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .result import Floats, Rows, Tail

Masks: TypeAlias = NDArray[np.float32]

_MASK_NUMBERS = 2**21  # 8 MiB of float32: what a processor's cache still holds
_ORDERS = 8  # orders of the units that one block of masks is read in


def split_masks(n_x: int, n: int, draws: int, rng: np.random.Generator) -> Masks:
    """0/1 masks ``[n, draws]`` with `n_x` ones per column, independent and uniform over all splits.

    Selection sampling (Knuth, The Art of Computer Programming 2, algorithm 3.4.2 S): a unit is chosen with
    probability (still needed) / (still to come), for all columns at once.
    """
    masks = np.empty((n, draws), dtype=np.float32)
    uniform, chosen = np.empty(draws, dtype=np.float32), np.empty(draws, dtype=bool)
    needed = np.full(draws, n_x, dtype=np.float32)
    for unit in range(n):
        rng.random(out=uniform, dtype=np.float32)
        uniform *= np.float32(n - unit)
        np.less(uniform, needed, out=chosen)
        masks[unit] = chosen
        needed -= masks[unit]
    return masks


def random_splits(n_x: int, n_y: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Blocks ``[b, n_x + n_y]`` of 0/1 masks with `n_x` ones per row, independent and uniform over all splits."""
    n = n_x + n_y
    for b in _mask_blocks(n, draws):
        yield split_masks(n_x, n, b, rng).T.astype(np.float64)


def _mask_blocks(n: int, draws: int) -> Iterator[int]:
    size = min(max(_MASK_NUMBERS // n, 256), 2**13)
    for start in range(0, draws, size):
        yield min(size, draws - start)


def sampled_hits(rows: Rows, tail: Tail, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Hits per row among `draws` random splits, the observed split not counted.

    Every block of masks is read under several random orders of the units. Each reading is a uniform split, and any two
    are independent, so the mean and the variance of the hits are those of independent draws; the observed split is one
    of the readings, at a random place, which keeps the p-value valid (Hemerik and Goeman 2018, theorem 2).
    """
    n = rows.values.shape[1]
    tails, everything = rows.upper_tails(tail)
    sides = [_Integers.of(values, rows.n_x, threshold) for values, threshold in tails]
    hits = np.zeros(len(rows.values), dtype=np.int64)
    total = draws + 1
    planted = int(rng.integers(total))
    size = next(_mask_blocks(n, total))
    sums = np.empty((size, len(rows.values)), dtype=np.float32)  # once: fresh pages cost more than the product
    done = 0
    while done < total:
        masks = split_masks(rows.n_x, n, min(size, total - done), rng)
        for _ in range(_ORDERS):
            b = min(masks.shape[1], total - done)
            if b <= 0:
                break
            here = planted - done
            order = _order_of(masks[:, here], rows.n_x, rng) if 0 <= here < b else rng.permutation(n)
            np.matmul(masks[:, :b].T, sides[0].values[order], out=sums[:b])
            for sign, side in zip((1, -1), sides, strict=False):
                hits += side.reached(sums[:b], sign, masks, order)
            done += b
    hits[everything] = total
    return np.maximum(hits - 1, 0)


def _order_of(mask: Masks, n_x: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """A random order of the units under which `mask` is the observed split."""
    order = np.empty(len(mask), dtype=np.intp)
    order[mask > 0] = rng.permutation(n_x)
    order[mask == 0] = n_x + rng.permutation(len(mask) - n_x)
    return order


class _Integers:
    """Values rounded to integers whose sums float32 holds exactly, and what a sum must reach to be extreme.

    The rounding error of a sum of k values lies between the sums of the k smallest and of the k largest errors. Sums
    that clear the threshold by more than that are decided; the few others are summed again in float64.
    """

    def __init__(self, exact: Floats, values: NDArray[np.float32], threshold: Floats, bounds: tuple[Floats, Floats]):
        self.exact, self.values, self.threshold = exact, values, threshold
        self.surely, self.maybe = (np.clip(b, -(2.0**24), 2.0**24).astype(np.float32) for b in bounds)

    @classmethod
    def of(cls, values: Floats, k: int, threshold: Floats) -> _Integers:
        n = values.shape[1]
        step = np.maximum(np.abs(values).sum(axis=1), np.finfo(np.float64).tiny * 2**25) / (2**24 - n)
        scaled = values / step[:, None]
        rounded = np.rint(scaled)
        errors = np.sort(scaled - rounded, axis=1)
        # a margin of 1e-6 steps covers the rounding of the float64 arithmetic here
        surely = np.ceil(threshold / step - errors[:, :k].sum(axis=1) + 1e-6)
        maybe = np.ceil(threshold / step - errors[:, n - k :].sum(axis=1) - 1e-6)
        return cls(values, np.ascontiguousarray(rounded.T, dtype=np.float32), threshold, (surely, maybe))

    def reached(self, sums: NDArray[np.float32], sign: int, masks: Masks, order: NDArray[np.intp]) -> NDArray[np.int64]:
        """How many of the `sums` [b, r] of the first side's values, times `sign`, reach the threshold, per row."""
        reach = np.greater_equal if sign > 0 else np.less_equal
        surely, maybe = reach(sums, sign * self.surely), reach(sums, sign * self.maybe)
        found: NDArray[np.int64] = np.count_nonzero(surely, axis=0)
        for row in np.flatnonzero(np.count_nonzero(maybe, axis=0) > found):
            close = np.flatnonzero(maybe[:, row] & ~surely[:, row])
            again = self.exact[row, order] @ masks[:, close].astype(np.float64)
            found[row] += np.count_nonzero(again >= self.threshold[row])
        return found
