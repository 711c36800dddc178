"""The lossless filter: an upper bound of every cosine from a few coordinates.

With orthonormal axes V, a unit row is x = V p + r, and cos(x, y) = p_x p_y + r_x r_y <= p_x p_y + |r_x| |r_y|
(Cauchy-Schwarz). With |r| as one more coordinate the bound is itself a product of m + 1 numbers, so one small matrix
product rules pairs out. All roundings are added to the bound; no pair above the threshold is ever lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .rows import Floats, Rows

UNIT = 2.0**-24  # relative rounding of float32
MEASURES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384)
LEAST_ROWS = 256  # below, choosing costs about as much as the product itself
SAMPLED_AXES = 4096
FEW_AXES = 160  # enough for the filter inside one call
SAMPLED_ROWS = 128
# What a pair costs beside its multiplications, and what a full check of one pair costs, both in multiplications.
PAIR_COST, CHECK_COST = 30.0, 60.0
LENGTH = 1.0 + 2.5e-3  # longest row that still counts as a unit row


def product_error(dim: int) -> float:
    """Rigorous bound of the error of a float32 product of two unit rows, rounding of the rows to float32 included."""
    return (dim + 4) * UNIT / (1 - (dim + 4) * UNIT) * LENGTH**2


def principal_axes(rows: Rows, count: int | None = None) -> NDArray[np.float32]:
    """Orthonormal columns ``float32 [d, d]``, those that carry most of the rows first; from a sample of the rows.

    With `count` only that many, ``[d, count]``, from a few steps of subspace iteration: sooner done, and as good to
    the filter, to which any orthonormal columns are right and those that carry more are better.
    """
    step = max(1, math.ceil(len(rows) / (SAMPLED_AXES if count is None else 10 * count)))
    sample = np.asarray(rows[::step], dtype=np.float32)
    gram = sample.T @ sample
    dim = len(gram)
    if count is None or 3 * count > dim:
        _, axes = np.linalg.eigh(gram.astype(np.float64))
        return np.ascontiguousarray(axes[:, ::-1][:, :count], dtype=np.float32)
    basis = gram[:, :: max(1, dim // count)][:, :count]
    for _ in range(2):
        basis = gram @ np.linalg.qr(basis)[0]
    orthonormal = np.linalg.qr(basis.astype(np.float64))[0]
    _, turn = np.linalg.eigh(orthonormal.T @ gram @ orthonormal)
    return np.ascontiguousarray(orthonormal @ turn[:, ::-1], dtype=np.float32)


@dataclass(frozen=True)
class Bounded:
    """Short vectors ``float32 [n, m + 1]`` whose products are upper bounds of cosines, up to `slack`."""

    short: NDArray[np.float32]
    slack: float


def bounded(rows: NDArray[np.float32], axes: NDArray[np.float32], m: int) -> Bounded:
    """The first `m` coordinates of every row along `axes`, and the length of the rest."""
    dim = rows.shape[1]
    rotation = _rotation_error(m, dim)
    short = np.empty((len(rows), m + 1), np.float32)
    np.matmul(rows, axes[:, :m], out=short[:, :m])
    short[:, m] = rest_lengths(short[:, :m], _squares(rows), rotation)
    slack = 2 * rotation * LENGTH + rotation**2 + product_error(m + 1) * 2
    return Bounded(short, slack)


def rest_lengths(coordinates: NDArray[np.float32], squares: Floats, rotation: float) -> NDArray[np.float32]:
    kept = _squares(coordinates)
    # Both sums of squares are float32: off by less than `rotation` each, which covers more than one coordinate.
    rest = np.sqrt(np.maximum(0.0, squares - kept) + 4 * rotation * LENGTH + rotation**2)
    return np.asarray(rest * (1 + 2 * UNIT), dtype=np.float32)


def chosen_measure(rows: NDArray[np.float32], axes: NDArray[np.float32], threshold: float) -> int:
    """How many coordinates to keep for these rows, 0 where the full product is the cheaper way.

    The share of pairs that a bound leaves is counted on all pairs of an even sample.
    """
    n, dim = rows.shape
    if n < LEAST_ROWS:
        return 0
    sample = np.ascontiguousarray(rows[:: -(-n // SAMPLED_ROWS)])
    size = len(sample)
    squares = _squares(sample)
    short = np.empty((size, 0), np.float32)
    base = CHECK_COST * dim * _share(sample @ sample.T, threshold)
    best, cost = 0, 0.85 * (dim + PAIR_COST + base)
    for m in MEASURES:
        shared = 2.0 * dim * m / n  # the rotation, per pair
        if m >= dim or m > axes.shape[1] or m + 1 + PAIR_COST + base + shared >= cost:
            break
        short = np.concatenate([short, sample @ axes[:, short.shape[1] : m]], axis=1)
        rest = rest_lengths(short, squares, _rotation_error(m, dim))
        left = _share(short @ short.T + rest[:, None] * rest, threshold)
        mine = m + 1 + PAIR_COST + CHECK_COST * dim * left + shared
        if mine < cost:
            best, cost = m, mine
    return best


def _share(products: NDArray[np.float32], threshold: float) -> float:
    """Share of different rows whose product is above the threshold."""
    size = len(products)
    above = np.count_nonzero(products > threshold) - np.count_nonzero(np.diagonal(products) > threshold)
    return float(above) / (size * (size - 1))


def _rotation_error(m: int, dim: int) -> float:
    """How far the first `m` rotated coordinates, as a vector, can be from the exact ones."""
    return math.sqrt(m) * (product_error(dim) + 2 * UNIT)


def _squares(rows: NDArray[np.float32]) -> Floats:
    squares: Any = np.einsum("ij,ij->i", rows, rows)
    return np.asarray(squares, dtype=np.float64)
