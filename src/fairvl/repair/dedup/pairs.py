"""The pairwise pass over the rows of one cluster: blocked triangular products, or the bound first.

Neither form loses a pair: both list every pair whose float32 similarity reaches ``threshold - guard``, and `decided`
then keeps those whose canonical cosine is above the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...arrays import blocks
from .bound import FEW_AXES, bounded, chosen_measure, principal_axes, product_error
from .rows import Ints, Rows, dots

Filter: TypeAlias = Literal["auto", "off"] | int
Found: TypeAlias = tuple[Ints, Ints, NDArray[np.float32]]

BLOCK = 1024
_LONG = 256
_WIDTH = 4  # a tile is `block` rows against this many blocks
_SQUARES = 4  # on the diagonal a block is cut in so many squares, because half of each is computed in vain


def tiles(n_rows: int, n_columns: int, block: int, *, triangle: bool) -> Iterator[tuple[slice, slice]]:
    """Tiles that cover all pairs, or with `triangle` at least the pairs whose second row comes later.

    With `triangle` the tiles on the diagonal are square, and the only ones whose rows and columns are the same.
    """
    for rows in blocks(n_rows, block):
        start = 0
        if triangle:
            for square in blocks(rows.stop - rows.start, max(block // _SQUARES, 1)):
                mine = slice(rows.start + square.start, rows.start + square.stop)
                yield mine, mine
                if mine.stop < rows.stop:
                    yield mine, slice(mine.stop, rows.stop)
            start = rows.stop
        for columns in blocks(n_columns - start, block * _WIDTH):
            yield rows, slice(start + columns.start, start + columns.stop)


def products_above(
    left: NDArray[np.float32], right: NDArray[np.float32], least: float, block: int, *, triangle: bool
) -> Iterator[Found]:
    """Pairs whose float32 product is above `least`, tile by tile, with the product.

    With `triangle`, `left` and `right` are the same rows, and pairs have ``first < second``.
    """
    buffer = np.empty(block * min(block * _WIDTH, max(len(right), 1)), np.float32)
    for rows, columns in tiles(len(left), len(right), block, triangle=triangle):
        shape = rows.stop - rows.start, columns.stop - columns.start
        product = buffer[: shape[0] * shape[1]].reshape(shape)
        diagonal = triangle and columns == rows
        # Of a block with itself numpy makes one half and copies the other, which pays for long rows only.
        other = right[columns].copy() if diagonal and right.shape[1] < _LONG else right[columns]
        np.matmul(left[rows], other.T, out=product)
        if diagonal:
            np.fill_diagonal(product, -2.0)
        hit = np.flatnonzero(product.max(axis=1) > least)  # few rows, as a rule
        if not len(hit):
            continue
        some = product if len(hit) == shape[0] else product[hit]
        flat = np.flatnonzero(some.ravel() > least)
        place, second = np.divmod(flat, shape[1])
        first = hit[place]
        if diagonal:
            later = first < second
            first, second, flat = first[later], second[later], flat[later]
        if len(flat):
            yield first + rows.start, second + columns.start, some.ravel()[flat]


def close_pairs(
    rows: NDArray[np.float32],
    threshold: float,
    guard: float,
    *,
    block: int = BLOCK,
    filtering: Filter = "auto",
    axes: NDArray[np.float32] | None = None,
) -> Iterator[Found]:
    """Pairs (first < second) of float32 unit rows whose float32 product is above ``threshold - guard``."""
    least = threshold - guard
    m = 0
    if filtering != "off":
        if axes is None and (filtering != "auto" or _worth_axes(len(rows))):
            axes = principal_axes(rows, FEW_AXES if filtering == "auto" else None)
        if axes is not None:
            m = chosen_measure(rows, axes, least) if filtering == "auto" else min(int(filtering), rows.shape[1])
    if m == 0 or axes is None:
        yield from products_above(rows, rows, least, block, triangle=True)
        return
    bound = bounded(rows, axes, m)
    for first, second, _ in products_above(bound.short, bound.short, least - bound.slack, block, triangle=True):
        similarity = float32_dots(rows, first, second)
        close = similarity > least
        if close.any():
            yield first[close], second[close], similarity[close]


def close_between(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    threshold: float,
    guard: float,
    block: int = BLOCK,
    filtering: Filter = "auto",
    axes: NDArray[np.float32] | None = None,
) -> Iterator[Found]:
    """Pairs (row of `left`, row of `right`) whose float32 product is above ``threshold - guard``."""
    least = threshold - guard
    m = 0
    if filtering != "off" and (axes is not None or _worth_axes(len(left) + len(right)) or filtering != "auto"):
        axes = principal_axes(right, FEW_AXES if filtering == "auto" else None) if axes is None else axes
        m = chosen_measure(right, axes, least) if filtering == "auto" else min(int(filtering), right.shape[1])
    if m == 0 or axes is None:
        yield from products_above(left, right, least, block, triangle=False)
        return
    one, two = bounded(left, axes, m), bounded(right, axes, m)
    for first, second, _ in products_above(one.short, two.short, least - one.slack, block, triangle=False):
        similarity = float32_dots(left, first, second, right)
        close = similarity > least
        if close.any():
            yield first[close], second[close], similarity[close]


def float32_dots(
    rows: NDArray[np.float32], first: Ints, second: Ints, others: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Float32 products of row pairs; the second rows are those of `others` when given."""
    right = rows if others is None else others
    result = np.empty(len(first), np.float32)
    for block in blocks(len(first), max(64, 2**15 // rows.shape[1])):
        np.einsum("ij,ij->i", rows[first[block]], right[second[block]], out=result[block])
    return result


def decided(
    found: Found, threshold: float, guard: float, rows: Rows, index: Ints | None = None, others: Rows | None = None
) -> Found:
    """What of `found` is above the threshold; inside the guard band the canonical cosine of `rows` says so.

    `index` maps the row numbers of `found` to rows of `rows`; `others` holds the second rows when they are not `rows`.
    """
    first, second, similarity = found
    above = similarity > threshold
    near = np.flatnonzero(np.abs(similarity.astype(np.float64) - threshold) <= guard)
    if len(near):
        one, two = first[near], second[near]
        if index is not None:
            one, two = index[one], index[two]
        if others is None:
            one, two = np.minimum(one, two), np.maximum(one, two)
        above[near] = dots(rows, one, two, others) > threshold
    return first[above], second[above], similarity[above]


def guard_band(dim: int, stored_error: float = 0.0) -> float:
    """How far a float32 similarity can lie from the canonical cosine, when each row is off by `stored_error`."""
    return product_error(dim) + 2 * stored_error * (1 + stored_error)


def _worth_axes(n: int) -> bool:
    return n >= 4000  # finding axes costs about as much as the product of a few thousand rows
