"""Every split counted: by enumeration, or by matching sums of subsets of two parts."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np

from .result import Floats, Rows, Tail

_BLOCK_NUMBERS = 2**21


def enumerated_hits(rows: Rows, tail: Tail) -> list[int]:
    """Splits at least as extreme, per row; one matrix of 0 and 1 serves all rows."""
    n = rows.values.shape[1]
    tails, everything = rows.upper_tails(tail)
    hits = np.zeros(len(rows.values), dtype=np.int64)
    for masks in _all_masks(n, rows.n_x):
        for values, threshold in tails:
            hits += np.count_nonzero(values @ masks.T >= threshold[:, None], axis=1)
    hits[everything] = math.comb(n, rows.n_x)
    return [max(int(h), 1) for h in hits]


def _all_masks(n: int, k: int) -> list[Floats] | itertools.chain[Floats]:
    splits = math.comb(n, k)
    if splits * n <= _BLOCK_NUMBERS:
        return [_cached_masks(n, k)]
    chosen = itertools.combinations(range(n), k)
    size = max(1, _BLOCK_NUMBERS // n)
    blocks = (_masks(list(itertools.islice(chosen, size)), n) for _ in range(-(-splits // size)))
    return itertools.chain(blocks)


@lru_cache(maxsize=4)
def _cached_masks(n: int, k: int) -> Floats:
    masks = _masks(list(itertools.combinations(range(n), k)), n)
    masks.setflags(write=False)
    return masks


def _masks(chosen: list[tuple[int, ...]], n: int) -> Floats:
    masks = np.zeros((len(chosen), n))
    np.put_along_axis(masks, np.array(chosen, dtype=np.intp), 1.0, axis=1)
    return masks


def matched_hits(rows: Rows, tail: Tail) -> list[int]:
    """Splits at least as extreme, per row, from sums of subsets of two parts."""
    n_splits = math.comb(rows.values.shape[1], rows.n_x)
    tails, everything = rows.upper_tails(tail)
    hits = [0] * len(rows.values)
    for row, all_extreme in enumerate(everything):
        if all_extreme:
            hits[row] = n_splits
        else:
            hits[row] = max(1, sum(_count(values[row], rows.n_x, float(t[row])) for values, t in tails))
    return hits


def n_half_sums(n_x: int, n_y: int) -> int:
    """Subset sums that matching holds at most for these sizes."""
    return min(_halves_sums(n_x, n_y), _ends_sums(n_x, n_y))


def _halves_sums(n_x: int, n_y: int) -> int:
    n, k = n_x + n_y, min(n_x, n_y)
    left, right = n // 2, n - n // 2
    sizes = range(max(0, k - right), min(k, left) + 1)
    return sum(math.comb(left, j) + math.comb(right, k - j) for j in sizes)


def _ends_sums(n_x: int, n_y: int) -> int:
    return sum(math.comb(n_x, j) + math.comb(n_y, j) for j in range(min(n_x, n_y) + 1))


def _count(values: Floats, k: int, threshold: float) -> int:
    """Subsets of size k of centred values whose sum reaches the threshold."""
    n = len(values)
    if 2 * _halves_sums(k, n - k) < _ends_sums(k, n - k):
        return _count_halves(values, k, threshold)
    if threshold > 0:
        return tail_count(values, k, threshold) or 0
    # the thinner tail: sums below the threshold. No sum lies between two neighbouring floats there
    return math.comb(n, k) - (tail_count(-values, k, float(np.nextafter(-threshold, np.inf))) or 0)


def tail_count(values: Floats, k: int, threshold: float, limit: float = math.inf) -> int | None:
    """Subsets of size k whose sum reaches the threshold; None when more than `limit` partial sums would be held.

    A subset is the k largest values after j of them were exchanged for j others; each exchange costs something, and
    only what costs no more than the slack between the largest sum and the threshold is ever looked at.
    """
    ordered = np.sort(values)
    bottom, top = ordered[: len(values) - k][::-1], ordered[len(values) - k :]
    slack = float(top.sum() - threshold)
    if slack < 0:
        return 0
    pivot = (top[0] + bottom[0]) / 2 if len(bottom) else float(top[0])
    given, taken = top - pivot, pivot - bottom
    most = min(len(given), len(taken))
    cheapest = [np.concatenate([[0.0], np.cumsum(side[:most])]) for side in (given, taken)]
    left = _cheap_sums(given, slack - cheapest[1], limit)
    right = None if left is None else _cheap_sums(taken, slack - cheapest[0], limit)
    if left is None or right is None:
        return None
    hits = 0
    for ours, theirs in zip(left, right, strict=False):
        ours.sort()
        theirs.sort()
        hits += int(np.searchsorted(theirs, slack - ours, side="right").sum())
    return hits


def _cheap_sums(costs: Floats, budgets: Floats, limit: float) -> list[Floats] | None:
    """Per size j the sums of subsets of `costs` (ascending, not negative) that stay within ``budgets[j]``."""
    sums: list[Floats] = [np.zeros(1)]
    held = 1
    for cost in costs[: int(np.searchsorted(costs, budgets.max(), side="right"))]:
        grown = [sums[0]]
        for j in range(1, min(len(sums), len(budgets) - 1) + 1):
            with_it = sums[j - 1] + cost
            with_it = with_it[with_it <= budgets[j]]
            held += len(with_it)
            if held > limit:
                return None
            grown.append(np.concatenate([sums[j], with_it]) if j < len(sums) else with_it)
        if len(grown[-1]) == 0:
            grown.pop()
        sums = grown
    return sums


def _count_halves(values: Floats, k: int, threshold: float) -> int:
    """Pairs (subset of the left half, subset of the right half) of joint size k whose sums reach the threshold."""
    if 2 * k > len(values):
        values, k = -values, len(values) - k
    half = len(values) // 2
    left, right = _subset_sums(values[:half], k), _subset_sums(values[half:], k)
    hits = 0
    for j in range(max(0, k - (len(values) - half)), min(k, half) + 1):
        ours, theirs = np.sort(left[j]), np.sort(right[k - j])
        below = np.searchsorted(theirs, threshold - ours, side="left")
        hits += len(ours) * len(theirs) - int(below.sum())
    return hits


def _subset_sums(values: Floats, k: int) -> list[Floats]:
    """Sums of every subset of size j, for j = 0 .. min(k, n)."""
    sums: list[Floats] = [np.zeros(1)]
    for value in values:
        grown = [sums[0]]
        grown += [np.concatenate([sums[j], sums[j - 1] + value]) for j in range(1, len(sums))]
        if len(sums) <= k:
            grown.append(sums[-1] + value)
        sums = grown
    return sums
