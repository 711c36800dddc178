"""Every split counted after rounding the values to a grid, with proven bounds on what rounding does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .result import LEAST, Floats, Rows, Tail, smallest_p

_MOST_PER_SIDE = 1000  # 2**-1000 is still a float64
_CELLS = 2**24  # numbers held by one table of partial counts
_ADDITIONS = 2e9  # work per tail when the grid is chosen here: two seconds or so for the largest sets
_FINEST = 5_000


def lattice_ps(rows: Rows, tail: Tail, grid: int | None = None) -> list[tuple[float, float, float]]:
    """Per row p with its proven bounds (p, low, high), from values rounded to `grid` steps over their range."""
    n_x, n_y = rows.n_x, rows.n_y
    if grid is not None and grid < 2:
        raise InputError(f"grid={grid}; expected at least 2 steps.")
    if max(n_x, n_y) > _MOST_PER_SIDE:
        raise InputError(
            f'method="lattice" with {n_x} and {n_y} values; it counts up to {_MOST_PER_SIDE} per side. '
            'Use method="saddlepoint" or "sample".'
        )
    tails, everything = rows.upper_tails(tail)
    least = smallest_p(n_x, n_y, tail)
    found = []
    for row, all_extreme in enumerate(everything):
        if all_extreme or np.ptp(rows.values[row]) <= rows.tolerance[row]:
            found.append((1.0, 1.0, 1.0))
            continue
        parts = [_bracket(values[row], n_x, float(threshold[row]), grid) for values, threshold in tails]
        p, low, high = (min(max(sum(v), least), 1.0) for v in zip(*parts, strict=True))
        found.append((min(max(p, low), high), low, high))
    return found


def _bracket(values: Floats, k: int, threshold: float, grid: int | None) -> tuple[float, float, float]:
    """Chance that a sum of k centred values reaches the threshold: estimate and bounds."""
    if threshold < 0:
        # the thinner tail; ties are a tolerance away from the threshold, so no sum equals it
        p, low, high = _bracket(-values, k, -threshold, grid)
        return 1 - p, 1 - high, 1 - low
    ordered = np.sort(values)
    n = len(ordered)
    bottom, top = ordered[: n - k][::-1], ordered[n - k :]
    slack = float(top.sum() - threshold)
    if slack < 0:
        return 0.0, 0.0, 0.0
    pivot = (top[0] + bottom[0]) / 2
    costs = top - pivot, pivot - bottom  # of giving one of the largest away, of taking one of the others
    most = min(k, n - k)
    cheapest = np.cumsum(costs[0][:most]) + np.cumsum(costs[1][:most])
    most = int(np.searchsorted(cheapest, slack, side="right"))
    step = float(np.ptp(ordered)) / (grid or _affordable_grid(slack / float(np.ptp(ordered)), most + 1, n))
    whole = [np.rint(side / step).astype(np.int64) for side in costs]
    errors = [np.sort(side / step - w) for side, w in zip(costs, whole, strict=True)]
    # j exchanges cost their whole steps and between least[j] and largest[j] more
    least, largest = (_extreme_sums(errors, most, order) for order in (1, -1))
    mean = np.arange(most + 1) * (errors[0].mean() + errors[1].mean())
    limit = slack / step
    cells = max(int(limit - least.min() + 1e-6), 0) + 1
    _check_cells(cells, most + 1, k, n - k)
    weight = math.exp(n * math.log(2) - math.log(math.comb(n, k)))
    given, taken = (_counts(w, most, cells) for w in whole)
    limits = [limit - mean, limit - largest - 1e-6, limit - least + 1e-6]
    p, low, high = (weight * _within(given, taken, v) for v in limits)
    rounding = 1e-12 + 1e-14 * n
    return p, low * (1 - rounding), high * (1 + rounding) + LEAST


def _extreme_sums(errors: list[Floats], most: int, order: int) -> Floats:
    """Least (order 1) or largest (-1) sums of j sorted errors of either side, for j = 0 .. most."""
    given, taken = (np.cumsum(np.pad(e[::order][:most], (1, 0))) for e in errors)
    total: Floats = given + taken
    return total


def _affordable_grid(slack: float, sizes: int, n: int) -> int:
    """Steps over the range such that the tables stay within the work and memory set above."""
    affordable = min(_ADDITIONS / (sizes * n), 0.9 * _CELLS / sizes)
    return max(min(int(affordable / max(slack, 1e-12)), _FINEST), 20)


def _check_cells(cells: int, sizes: int, n_x: int, n_y: int) -> None:
    if cells * sizes > _CELLS:
        raise InputError(
            f"{cells * sizes:,} partial counts for {n_x} and {n_y} values; at most {_CELLS:,}. "
            'Take a coarser grid=, or method="saddlepoint".'
        )


def _counts(whole: NDArray[np.int64], most: int, cells: int) -> Floats:
    """Number of subsets of size j that cost c steps, ``[most + 1, cells]``, as a share of all ``2**len(whole)``."""
    table = np.zeros((most + 1, cells))
    table[0, 0] = 2.0 ** -len(whole)
    for size, cost in enumerate(np.sort(whole).tolist(), start=1):
        if cost >= cells:
            break
        for j in range(min(size, most), 0, -1):
            table[j, cost:] += table[j - 1, : cells - cost]
    return table


def _within(given: Floats, taken: Floats, limits: Floats) -> float:
    """Share of pairs of subsets of equal size j whose joint cost is at most ``limits[j]``."""
    cells = given.shape[1]
    total = 0.0
    for j, limit in enumerate(limits):
        last = math.floor(limit)
        if last >= 0:
            cost = np.arange(min(last + 1, cells))
            below = np.cumsum(taken[j])
            total += float(given[j, : len(cost)] @ below[np.minimum(last - cost, cells - 1)])
    return total
