"""A keep list of a given size: the threshold that comes nearest, then the rows that are trimmed or refilled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import InputError
from .concepts import Concepts
from .graph import graph_of
from .neighbours import Neighbours
from .rows import Ints, dots

STEPS = 14
GRID = 2.0**20  # thresholds that are tried are multiples of its inverse
NEAR = 0.002  # a size this near is trimmed or refilled instead of searched on
BATCHES = 100
MOST_LOOKED_AT = 200_000  # rows that trimming and refilling choose among, at least
NOT_LOW_ENOUGH = 0.005  # at most this share may be trimmed because the pass ended at its threshold


def earlier_similarity(neighbours: Neighbours, rank: Ints, around: float | None = None) -> np.ndarray:
    """Largest cosine of every row with a row before it in the order (0 when the pass listed none), ``float64 [n]``.

    Values within the guard band of `around` are canonical, so that a quantile taken there is.
    """
    graph = graph_of(neighbours)
    leader = graph.leader(rank)
    number = np.full(len(rank), -1)
    number[leader] = np.arange(len(leader))
    nodes = graph.node
    first, second = nodes[neighbours.first], nodes[neighbours.second]
    similarity = neighbours.similarity.astype(np.float64)
    if around is not None:
        near = np.flatnonzero(np.abs(similarity - around) <= 2 * neighbours.guard)
        similarity[near] = dots(neighbours.vectors, neighbours.first[near], neighbours.second[near])
    place = rank[leader]
    later = np.where(place[first] > place[second], first, second)
    best = np.zeros(graph.size)
    np.maximum.at(best, later, similarity)
    result = np.ones(len(rank))  # not the first of its node: an equal row comes before it
    result[leader] = best
    return result


def monotone_threshold(neighbours: Neighbours, rank: Ints, wanted: int) -> float:
    """Threshold at which the published rule keeps as near to `wanted` rows as ties allow: a quantile, no search."""
    values = np.sort(earlier_similarity(neighbours, rank))
    floor = int((values <= neighbours.threshold).sum())
    if wanted <= floor:
        _reachable(wanted, floor, len(values), neighbours.threshold)
        return neighbours.threshold
    values = np.sort(earlier_similarity(neighbours, rank, float(values[wanted - 1])))
    level = float(values[wanted - 1])
    more = int((values <= level).sum())
    below = values[values < level]
    if len(below) and wanted - len(below) < more - wanted:
        level = max(float(below[-1]), neighbours.threshold)
    return min(level, 1.0)


def nearest_threshold(least: float, wanted: int, kept_at: Callable[[float], int], n: int) -> float:
    """The threshold, of a fixed grid above `least`, whose kept number is nearest to `wanted`.

    The number need not grow with the threshold everywhere; the nearest of all that were tried is taken.
    """
    tried = {least: kept_at(least), 1.0: n}
    low, high = least, 1.0
    if tried[least] > wanted:
        _reachable(wanted, tried[least], n, least)
        return least
    for _ in range(STEPS):
        # Where a straight line would reach the size, kept off the ends of the bracket.
        share = (wanted - tried[low]) / max(1, tried[high] - tried[low])
        middle = round((low + (high - low) * min(max(share, 0.1), 0.9)) * GRID) / GRID
        if middle in tried:
            break
        tried[middle] = kept_at(middle)
        if abs(tried[middle] - wanted) <= n * NEAR:
            break
        low, high = (middle, high) if tried[middle] < wanted else (low, middle)
    return min(tried, key=lambda level: (abs(tried[level] - wanted), level))


def even_out(kept: np.ndarray, change: int, rank: Ints, concepts: Concepts | None) -> Ints:
    """Rows to add (`change` > 0) or to take away, those first that bring the kept rows nearest to the target.

    Ties, and everything without concepts: added in order of rank, taken away from its end.
    """
    free = np.flatnonzero(kept if change < 0 else ~kept)
    free = free[np.argsort(rank[free] if change > 0 else -rank[free], kind="stable")]
    number = min(abs(change), len(free))
    if concepts is None or number == 0:
        return free[:number]
    free = free[: max(MOST_LOOKED_AT, 10 * number)]
    pulls = concepts.take(free).pulls
    sign = 1.0 if change > 0 else -1.0
    state = concepts.drift(concepts.ledger(kept))
    squares = (pulls**2).sum(axis=1)
    taken: list[Ints] = []
    open_ = np.ones(len(free), bool)
    batch = max(1, number // BATCHES)
    while number:
        left = np.flatnonzero(open_)
        cost = 2 * sign * (pulls[left] @ state) + squares[left]
        best = left[np.argsort(np.round(cost, 9), kind="stable")[: min(batch, number)]]
        open_[best] = False
        state = state + sign * pulls[best].sum(axis=0)
        taken.append(free[best])
        number -= len(best)
    return np.concatenate(taken)


def _reachable(wanted: int, floor: int, n: int, threshold: float) -> None:
    if floor - wanted > NOT_LOW_ENOUGH * n:
        raise InputError(
            f"{wanted} of {n} rows are asked for, but at the lowest threshold of this pass, {threshold}, "
            f"{floor} are kept. Run neighbours(..., threshold=) lower, or keep more."
        )
