"""Two samples compared in standard deviations of both together: the value, its resampling, its jackknife.

The statistic is ``(mean x - mean y) / SD(x and y together)``, of one column of values or of many at once.
Units (clusters of rows) are summed once; a resample is then a product of drawn counts with those sums.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .bootstrap import draw_blocks, draw_counts

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]

IDENTICAL = 1e-12  # values of order 1 carry rounding of about 1e-16: a smaller spread is none


class Moments(NamedTuple):
    """Per unit of each side: [K] counts, [K, m] sums and sums of squares of values centred and scaled to range 1."""

    x: tuple[Floats, Floats, Floats]
    y: tuple[Floats, Floats, Floats]


def standardised(x: Floats, y: Floats, ddof: int) -> Floats:
    """Difference of means over the SD of both sides together, per column of [n, m] and [k, m]; NaN without spread."""
    both = np.concatenate([x, y])
    flat = np.ptp(both, axis=0) <= IDENTICAL
    spread = np.where(flat, np.nan, both.std(axis=0, ddof=ddof))
    ratio: Floats = (x.mean(axis=0) - y.mean(axis=0)) / spread
    return ratio


def sums_by(values: Floats, codes: Codes) -> Floats:
    if len(codes) == int(codes.max()) + 1:
        return values  # every row its own unit: codes of first use are then 0 .. n - 1
    sums = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums


def unit_means(values: Floats, codes: Codes) -> Floats:
    return sums_by(values, codes) / np.bincount(codes)[:, None]


def unit_moments(x: Floats, y: Floats, codes_x: Codes, codes_y: Codes) -> Moments:
    both = np.concatenate([x, y])
    centre, scale = both.mean(axis=0), np.maximum(np.ptp(both, axis=0), IDENTICAL)
    sides = []
    for values, codes in ((x, codes_x), (y, codes_y)):
        scaled = (values - centre) / scale
        sides.append((np.bincount(codes).astype(np.float64), sums_by(scaled, codes), sums_by(scaled**2, codes)))
    return Moments(sides[0], sides[1])


def from_totals(x: tuple[Any, Any, Any], y: tuple[Any, Any, Any], ddof: int) -> Floats:
    """Effect sizes from counts, sums and sums of squares of values of range 1; NaN without spread."""
    (n_x, sums_x, squares_x), (n_y, sums_y, squares_y) = x, y
    n_x, n_y = (np.where(np.asarray(count) > 0, count, np.nan) for count in (n_x, n_y))  # an empty side has no mean
    n = n_x + n_y
    squares = squares_x + squares_y - (sums_x + sums_y) ** 2 / n
    squares = np.where(squares > IDENTICAL * n, squares, np.nan)  # what is left of cancelled sums is rounding
    sizes: Floats = (sums_x / n_x - sums_y / n_y) / np.sqrt(squares / (n - ddof))
    return sizes


def resampled(moments: Moments, draws: int, seed: int, ddof: int) -> Floats:
    """Effect sizes [draws, m] with the units of both sides resampled."""
    rngs = [np.random.default_rng([seed, i]) for i in range(2)]
    n_units, m = [len(side[0]) for side in moments], moments.x[1].shape[1]
    parts = []
    for b in draw_blocks(draws, 2 * sum(n_units) + 8 * m):
        totals = []
        for side, k, rng in zip(moments, n_units, rngs, strict=True):
            weights = draw_counts(k, b, rng)
            totals.append(((weights @ side[0])[:, None], weights @ side[1], weights @ side[2]))
        parts.append(from_totals(totals[0], totals[1], ddof))
    return np.concatenate(parts)


def left_out(moments: Moments, ddof: int) -> list[Floats]:
    """Per side [K, m]: effect sizes without each of its units in turn."""
    whole, rest = [], []
    for side in moments:
        totals = tuple(part.sum(axis=0) for part in side)
        counts, sums, squares = (total - part for total, part in zip(totals, side, strict=True))
        whole.append((totals[0], totals[1], totals[2]))
        rest.append((np.where(counts > 0, counts, np.nan)[:, None], sums, squares))
    return [from_totals(rest[0], whole[1], ddof), from_totals(whole[0], rest[1], ddof)]


def weighted(x: tuple[Floats, Floats | None], y: tuple[Floats, Floats | None], ddof: int) -> Floats:
    """Effect sizes [b] of associations [n, b], [k, b] under row weights [b, n], [b, k]; None weighs all rows once."""
    both = np.concatenate([x[0], y[0]])
    centre, scale = both.mean(axis=0), np.maximum(np.ptp(both, axis=0), IDENTICAL)
    totals: list[tuple[Any, Any, Any]] = []
    for values, weights in (x, y):
        scaled = (values - centre) / scale
        if weights is None:
            totals.append((len(values), scaled.sum(axis=0), (scaled**2).sum(axis=0)))
        else:
            sums, squares = (np.einsum("bn,nb->b", weights, power) for power in (scaled, scaled**2))
            totals.append((weights.sum(axis=1), sums, squares))
    return from_totals(totals[0], totals[1], ddof)
