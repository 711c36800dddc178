"""Pairs whose rows lie in different clusters, which a pass within clusters cannot see.

A near-duplicate of a row lies in the same cluster, or in one whose centroid is nearly as near: every row is compared
with the members of the few centroids next nearest to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import blocks
from ...errors import InputError
from .kmeans import nearest_centroids
from .neighbours import MAX_PAIRS, cluster_codes
from .pairs import BLOCK, Filter, close_between, decided, guard_band
from .rows import Ints, float32_rows, prepared, read_rows

PROBES = 3
_READ = 8192


@dataclass(frozen=True)
class BorderPairs:
    """Pairs of rows of different clusters with cosine > `threshold`.

    Attributes
    ----------
    first, second : int64 [m]
        Row numbers, ``first < second``, sorted, each pair once.
    similarity : float32 [m]
        Cosine to within the guard band of the pass; the float64 cosine decided.
    probes : int
        Centroids beside its own whose members every row was compared with.
    compared : int
        Row pairs that were compared: what it cost.
    """

    first: Ints
    second: Ints
    similarity: NDArray[np.float32]
    threshold: float
    probes: int
    compared: int


def border_pairs(
    vectors: Any,
    clusters: Any,
    centroids: ArrayLike,
    *,
    threshold: float,
    probes: int = PROBES,
    rows: ArrayLike | None = None,
    filter: Filter = "auto",
    axes: NDArray[np.float32] | None = None,
    block: int = BLOCK,
    max_pairs: int = MAX_PAIRS,
) -> BorderPairs:
    """Pairs above `threshold` between every row and the members of the centroids next nearest to it.

    With ``probes = k - 1`` these are all pairs across clusters. Memory: the rows of one cluster, those that visit it,
    a few tiles and the pairs.

    Parameters
    ----------
    vectors : (n, d) array, or a store's ``image_vectors`` or ``text_vectors``, read cluster by cluster
    clusters : (n,) integers or an `Assignment`
    centroids : (k, d) array of unit rows
    threshold : float
        Cosine from 0 to 1; pairs strictly above are listed.
    probes : int
        How many centroids beside its own a row visits, at most k - 1.
    rows : (m,) row numbers, optional
        Only these rows visit, for an estimate from a sample; default all.
    filter, axes, block, max_pairs
        As in `neighbours`.

    Raises
    ------
    InputError
        Shapes that do not fit, a threshold outside [0, 1], probes below 1, too many pairs.

    Examples
    --------
    >>> found = border_pairs([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]], [0, 0, 1], [[1, 0], [0, 1]], threshold=0.9, probes=1)
    >>> found.first.tolist(), found.second.tolist()
    ([1], [2])
    """
    whole: NDArray[Any] | None = _whole(vectors)
    centres = np.asarray(centroids, dtype=np.float32)
    n, dim = (len(vectors), int(vectors.dim)) if whole is None else whole.shape
    codes = cluster_codes(getattr(clusters, "clusters", clusters), n)
    _check(codes, centres, dim, threshold, probes)
    probes = min(probes, len(centres) - 1)
    visitors = np.arange(n) if rows is None else _row_numbers(rows, n)
    empty = np.empty(0, np.int64)
    if probes < 1 or threshold >= 1 or not len(visitors):
        return BorderPairs(empty, empty, np.empty(0, np.float32), float(threshold), probes, 0)

    def read(some: Ints) -> NDArray[Any]:
        if whole is not None:
            return whole[some]
        return prepared(read_rows(vectors, some))[0]

    guard = guard_band(dim)
    who, where = _visits(visitors, codes, centres, probes, read)
    by = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[by], np.arange(len(centres) + 1))
    parts: list[tuple[Ints, Ints, NDArray[np.float32]]] = []
    compared = count = 0
    for code in range(len(centres)):
        members = by[starts[code] : starts[code + 1]]
        guests = who[where[code] : where[code + 1]]
        if not len(members) or not len(guests):
            continue
        compared += len(members) * len(guests)
        home = read(members)
        local = float32_rows(home)
        for part in blocks(len(guests), _READ):
            mine = guests[part]
            away = read(mine)
            for found in close_between(float32_rows(away), local, threshold, guard, block, filter, axes):
                one, two, similarity = decided(found, threshold, guard, away, others=home)
                left, right = mine[one], members[two]
                parts.append((np.minimum(left, right), np.maximum(left, right), similarity))
                count += len(one)
                if count > max_pairs:
                    raise InputError(
                        f"more than {max_pairs} pairs above {threshold} across clusters. Raise the threshold, use "
                        "fewer probes, or raise max_pairs= if the memory is there (20 bytes a pair)."
                    )
    first, second, similarity = _once(parts)
    return BorderPairs(first, second, similarity, float(threshold), probes, compared)


def _whole(vectors: Any) -> Any:
    """The rows as an array in memory, None for a store's view, which is read piece by piece."""
    return None if hasattr(vectors, "read") and hasattr(vectors, "dim") else prepared(vectors)[0]


def _visits(visitors: Ints, codes: Ints, centres: NDArray[np.float32], probes: int, read: Any) -> tuple[Ints, Ints]:
    """Rows that visit each cluster, one cluster after the other, and where each cluster's visitors start."""
    near = np.empty((len(visitors), probes), np.int32)
    for part in blocks(len(visitors), _READ):
        mine = visitors[part]
        near[part] = nearest_centroids(read(mine), centres, probes, but=codes[mine])
    flat = near.ravel()
    by = np.argsort(flat, kind="stable")
    return visitors[by // probes], np.searchsorted(flat[by], np.arange(len(centres) + 1))


def _once(parts: list[tuple[Ints, Ints, NDArray[np.float32]]]) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """All pairs sorted, each once."""
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    first, second, similarity = (np.concatenate(column) for column in zip(*parts, strict=True))
    by = np.lexsort((second, first))
    first, second, similarity = first[by], second[by], similarity[by]
    new = np.ones(len(by), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return first[new], second[new], similarity[new]


def _row_numbers(rows: ArrayLike, n: int) -> Ints:
    numbers = np.asarray(rows)
    if (
        numbers.ndim != 1
        or numbers.dtype.kind not in "iu"
        or (numbers.size and not 0 <= numbers.min() <= numbers.max() < n)
    ):
        raise InputError(
            f"rows of shape {numbers.shape}, dtype {numbers.dtype}; expected row numbers from 0 to {n - 1}."
        )
    return np.unique(numbers).astype(np.int64)


def _check(codes: Ints, centres: NDArray[np.float32], dim: int, threshold: float, probes: int) -> None:
    if centres.ndim != 2 or centres.shape[1] != dim:
        raise InputError(f"centroids of shape {centres.shape}; expected one row of {dim} numbers per cluster.")
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(centres):
        raise InputError(f"clusters {codes.min()} to {codes.max()}; expected 0 to {len(centres) - 1}, as centroids.")
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold={threshold}; expected a cosine from 0 to 1, such as 0.95.")
    if probes < 1:
        raise InputError(f"probes={probes}; expected at least 1 centroid beside a row's own.")
