"""The one pass that every policy reads: sparse lists of pairs above a threshold, cluster by cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .bound import FEW_AXES, principal_axes
from .devices import close_pairs_on
from .pairs import BLOCK, Filter, close_pairs, decided, guard_band
from .rows import Ints, Rows, float32_rows, prepared, representatives, tie_order

MAX_PAIRS = 200_000_000


@dataclass(frozen=True)
class Neighbours:
    """Every pair of rows of one cluster with cosine > `threshold`.

    Attributes
    ----------
    threshold : float
        That of the pass; `above` reads the same lists at any higher one.
    first, second : int64 [m]
        Row numbers, ``first < second``, sorted. Of rows with equal bytes only the first one takes part;
        `representative` names it, and their similarity is 1.
    similarity : float32 [m]
        Cosine to within `guard`. Which pairs are listed does not depend on that error: the float64 cosine decided.
    representative, clusters : int64 [n]
        First row with the same vector in the same cluster; cluster of every row.
    order : int64 [n]
        Rank of every row by id, by position without ids: how ties are broken.
    vectors : array [n, d]
        The rows, unit length, in their own dtype (or the exact ones).
    normalised : int
        Rows that had to be brought to unit length.
    """

    threshold: float
    first: Ints
    second: Ints
    similarity: NDArray[np.float32]
    representative: Ints
    clusters: Ints
    order: Ints
    vectors: Rows = field(repr=False)
    guard: float
    normalised: int = 0
    ids: Any = field(default=None, repr=False)
    known: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)  # orders of rows by centroid

    def __len__(self) -> int:
        return len(self.clusters)

    def among(self, rows: Ints) -> Neighbours:
        """The lists of some rows, which hold every row that equals one of them in its cluster; without ids."""
        number = np.full(len(self), -1)
        number[rows] = np.arange(len(rows))
        both = (number[self.first] >= 0) & (number[self.second] >= 0)
        return replace(
            self, first=number[self.first[both]], second=number[self.second[both]], similarity=self.similarity[both],
            representative=number[self.representative[rows]], clusters=self.clusters[rows], order=self.order[rows],
            vectors=self.vectors[rows], ids=None, known={},
        )  # fmt: skip

    def above(self, threshold: float | None = None) -> tuple[Ints, Ints, NDArray[np.float32]]:
        """Pairs of different vectors with cosine > `threshold` (default: that of the pass).

        Raises
        ------
        InputError
            The threshold is lower than that of the pass, which did not look there.
        """
        found = self.first, self.second, self.similarity
        if threshold is None or threshold == self.threshold:
            return found
        if not self.threshold < threshold <= 1:
            raise InputError(
                f"threshold {threshold}; this pass listed pairs above {self.threshold}. Choose a threshold between it "
                "and 1, or run neighbours(..., threshold=) lower."
            )
        return decided(found, threshold, self.guard, self.vectors)

    def pairs(self, threshold: float | None = None) -> Ints:
        """All pairs ``int64 [m, 2]`` above the threshold, those of equal vectors included, sorted.

        Examples
        --------
        >>> neighbours([[1, 0], [0.6, 0.8], [1, 0]], threshold=0.5).pairs().tolist()
        [[0, 1], [0, 2], [1, 2]]
        """
        first, second, _ = self.above(threshold)
        if (self.threshold if threshold is None else threshold) >= 1:
            return np.stack([first, second], axis=1)
        order = np.argsort(self.representative, kind="stable")
        start = np.searchsorted(self.representative[order], np.arange(len(self) + 1))
        parts = [np.empty((0, 2), np.int64)]
        sizes = np.diff(start)
        for row in np.flatnonzero(sizes > 1):
            members = order[start[row] : start[row + 1]]
            one, two = np.triu_indices(len(members), 1)
            parts.append(np.stack([members[one], members[two]], axis=1))
        plain = (sizes[first] == 1) & (sizes[second] == 1)
        parts.append(np.stack([first[plain], second[plain]], axis=1))
        for a, b in zip(first[~plain], second[~plain], strict=True):
            left, right = order[start[a] : start[a + 1]], order[start[b] : start[b + 1]]
            parts.append(np.stack(np.meshgrid(left, right, indexing="ij"), axis=-1).reshape(-1, 2))
        both = np.sort(np.concatenate(parts), axis=1)
        return both[np.lexsort((both[:, 1], both[:, 0]))]


def neighbours(
    vectors: ArrayLike,
    *,
    threshold: float,
    ids: Any = None,
    clusters: ArrayLike | None = None,
    exact: ArrayLike | None = None,
    filter: Filter = "auto",
    axes: NDArray[np.float32] | None = None,
    block: int = BLOCK,
    max_pairs: int = MAX_PAIRS,
    device: str | None = None,
    precision: str = "auto",
) -> Neighbours:
    """All pairs of rows with cosine strictly above `threshold`, within clusters.

    Products are made in float32, tile by tile; a pair that float32 could decide wrongly is decided by one float64
    product of its two rows. The pairs are therefore the same for every block size, thread count, filter and order of
    rows. Rows with equal bytes are compared once. Memory beyond the input: the rows of one cluster in float32, a few
    tiles, and the pairs found.

    Parameters
    ----------
    vectors : (n, d) array
        float16, float32 or float64. Rows whose length is within 0.2 % of 1 are taken as they are, others are divided
        by their length.
    threshold : float
        Cosine, from 0 to 1. At 1 nothing is above, not even equal rows. (``eps = 1 - threshold``.)
    ids : sequence, optional
        Unique names of rows: ties are then broken by id instead of by position.
    clusters : (n,) integers, optional
        Only rows of the same cluster are compared; one cluster by default.
    exact : (n, d) array, optional
        The same rows in full precision when `vectors` are a rounded copy: decisions are then those of `exact`.
    filter : "auto", "off" or int
        The lossless filter: how many coordinates it keeps, chosen per cluster by "auto", which falls back to the full
        product where the filter does not pay. The pairs are the same.
    axes : (d, d) array, optional
        Principal axes of the whole store (`principal_axes`), so that clusters do not each find their own.
    block : int
        Rows per tile.
    max_pairs : int
        More pairs than this are refused instead of filling the memory.
    device : str, optional
        Make the products with torch there: "cpu", "cuda", ... Default: numpy, with the lossless filter. The pairs are
        the same.
    precision : "auto", "float32", "bfloat16" or "float16"
        With `device`: in what its first product is made; a pair that this could lose is checked in float32.

    Raises
    ------
    InputError
        Rows that are zero or not finite, a threshold outside [0, 1], repeated ids, too many pairs.

    Examples
    --------
    >>> found = neighbours([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], threshold=0.7)
    >>> found.first.tolist(), found.second.tolist(), found.similarity.round(3).tolist()
    ([0], [1], [0.800000011920929])
    """
    _check_settings(threshold, block, filter)
    rows, normalised = prepared(vectors)
    n, dim = rows.shape
    truth, error = _truth(rows, exact)
    order = tie_order(n, ids)
    codes = cluster_codes(clusters, n)
    guard = guard_band(dim, error)
    representative = _representatives(truth, codes, order) if threshold < 1 else np.arange(n)
    parts: list[tuple[Ints, Ints, NDArray[np.float32]]] = []
    count = 0
    members = list(_members(codes, representative)) if threshold < 1 else []
    if device is None and axes is None and filter == "auto" and len(members) > 1 and n >= 4000:
        axes = principal_axes(rows, FEW_AXES)
    for mine in members:
        whole = len(mine) == n
        local = float32_rows(rows if whole else rows[mine])
        close = (
            close_pairs(local, threshold, guard, block=block, filtering=filter, axes=axes)
            if device is None
            else close_pairs_on(device, local, threshold, guard, block=block, precision=precision)
        )
        for found in close:
            first, second, similarity = decided(found, threshold, guard, truth, None if whole else mine)
            parts.append((mine[first], mine[second], similarity))
            count += len(first)
            if count > max_pairs:
                raise InputError(
                    f"more than {max_pairs} pairs above {threshold} (cluster of {len(mine)} rows). Raise the "
                    "threshold, use more clusters, or raise max_pairs= if the memory is there (20 bytes a pair)."
                )
    first, second, similarity = _sorted(parts)
    return Neighbours(
        float(threshold), first, second, similarity, representative, codes, order, truth, guard, normalised, ids
    )


def cluster_codes(clusters: ArrayLike | None, n: int) -> Ints:
    """Cluster of every row as ``int64 [n]``; one cluster when none are given."""
    if clusters is None:
        return np.zeros(n, np.int64)
    codes = np.asarray(clusters)
    if codes.shape != (n,) or codes.dtype.kind not in "iu":
        raise InputError(
            f"clusters of shape {codes.shape} and dtype {codes.dtype}; expected one integer per row, ({n},)."
        )
    return codes.astype(np.int64)


def _check_settings(threshold: float, block: int, filtering: Filter) -> None:
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold={threshold}; expected a cosine from 0 to 1, such as 0.95 (eps is 1 - threshold).")
    if block < 1:
        raise InputError(f"block={block}; expected at least 1 row.")
    if filtering not in ("auto", "off") and (isinstance(filtering, str) or int(filtering) < 1):
        raise InputError(f"filter={filtering!r}; expected 'auto', 'off' or a number of coordinates.")


def _truth(rows: Rows, exact: ArrayLike | None) -> tuple[Rows, float]:
    """The rows that decide, and how far the compared ones are from them at most."""
    if exact is None:
        return rows, 0.0
    truth, _ = prepared(exact, "exact")
    if truth.shape != rows.shape:
        raise InputError(f"exact of shape {truth.shape}; expected that of vectors, {rows.shape}.")
    error = 0.0
    for start in range(0, len(rows), 4096):
        gap = rows[start : start + 4096].astype(np.float64) - truth[start : start + 4096]
        error = max(error, float(np.sqrt((gap * gap).sum(axis=1)).max()))
    return truth, error


def _representatives(rows: Rows, codes: Ints, order: Ints) -> Ints:
    """First row, by id or position, with the same bytes in the same cluster."""
    first = representatives(rows)
    if (first == np.arange(len(rows))).all():
        return first
    by = np.lexsort((order, codes, first))
    new = np.ones(len(by), bool)
    new[1:] = (first[by][1:] != first[by][:-1]) | (codes[by][1:] != codes[by][:-1])
    result = np.empty(len(rows), np.int64)
    result[by] = by[new][np.cumsum(new) - 1]
    return result


def _members(codes: Ints, representative: Ints) -> Iterator[Ints]:
    distinct = np.flatnonzero(representative == np.arange(len(codes)))
    by = distinct[np.argsort(codes[distinct], kind="stable")]
    cuts = np.flatnonzero(np.diff(codes[by])) + 1
    for mine in np.split(by, cuts):
        if len(mine) > 1:
            yield mine


def _sorted(parts: list[tuple[Ints, Ints, NDArray[np.float32]]]) -> tuple[Ints, Ints, NDArray[np.float32]]:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    first, second, similarity = (np.concatenate(column) for column in zip(*parts, strict=True))
    by = np.lexsort((second, first))
    return first[by], second[by], similarity[by]
