"""Spherical k-means: seeded, the same for every order of rows, block size and thread count.

Rows are ordered by a hash of their id before anything is drawn or summed. Of centroids that float32 cannot tell
apart for a row, the float64 cosine picks the nearest, and the lower number on a tie.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import blocks
from ...errors import InputError
from ...stats.rates import wilson
from .bound import product_error
from .rows import Floats, Ints, Rows, dots, prepared, representatives

BLOCK = 8192
PER_CENTROID = 256  # rows per centroid that the fit looks at, as in the published runs


@dataclass(frozen=True)
class Clustering:
    """Centroids and how the fit went.

    Attributes
    ----------
    centroids : float32 [k, d], unit rows
    history : tuple of float
        Mean cosine of a row with its centroid, before every update; it never falls but where an empty cluster was
        seeded again.
    reseeded : int
        Empty clusters that were seeded again, over all iterations.
    n : int
        Rows that the fit looked at.
    """

    centroids: NDArray[np.float32]
    history: tuple[float, ...]
    reseeded: int
    n: int


@dataclass(frozen=True)
class Assignment:
    """Cluster of every row, and its float64 cosine with the centroid."""

    clusters: Ints
    similarity: Floats


@dataclass(frozen=True)
class Agreement:
    """Share of sampled rows that two-level assignment gives the exact cluster, with its interval."""

    share: float
    low: float
    high: float
    n: int


def id_keys(ids: Iterable[Any], seed: int = 0) -> NDArray[np.uint64]:
    """A 64-bit hash of every id, ``uint64 [n]``: an order that belongs to the ids and not to their rows."""
    salt = int(seed).to_bytes(8, "little", signed=True)
    return np.array(
        [
            int.from_bytes(hashlib.blake2b(str(i).encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest())
            for i in ids
        ],
        dtype=np.uint64,
    )


def spherical_kmeans(
    vectors: ArrayLike,
    k: int,
    *,
    ids: Any = None,
    sample: int | None = None,
    iterations: int = 20,
    seed: int = 0,
) -> Clustering:
    """Centroids of `k` clusters by cosine.

    Parameters
    ----------
    vectors : (n, d) array
        Brought to unit length where they are not.
    k : int
        Number of clusters, at most n. With fewer different rows than that there are as many clusters as those.
    ids : sequence, optional
        Ids of the rows (default: their positions): what is drawn, and in which order it is summed, goes by them.
    sample : int, optional
        Rows to look at, those with the least hashes; default 256 per cluster.
    iterations : int
        At most; the fit stops when no row moves.

    Raises
    ------
    InputError
        `k` below 1 or above the number of rows, repeated ids, unusable rows.

    References
    ----------
    Dhillon and Modha (2001), "Concept decompositions for large sparse text data using clustering", Machine Learning 42.

    Examples
    --------
    >>> fit = spherical_kmeans([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], 2)
    >>> assign([[1, 0.05], [0.05, 1]], fit.centroids).clusters.tolist() in ([0, 1], [1, 0])
    True
    """
    rows, _ = prepared(vectors)
    n = len(rows)
    if not 1 <= k <= n:
        raise InputError(f"k={k} clusters of {n} rows; expected from 1 to {n}.")
    keys = id_keys(range(n) if ids is None else ids, seed)
    if len(keys) != n or len(np.unique(keys)) != n:
        raise InputError(f"{len(keys)} ids, {len(np.unique(keys))} different; expected one unique id per row, {n}.")
    size = min(n, PER_CENTROID * k if sample is None else max(sample, k))
    order = np.argsort(keys)[:size]
    return fit_ordered(np.asarray(rows[order], dtype=np.float32), k, iterations=iterations)


def fit_ordered(rows: NDArray[np.float32], k: int, *, iterations: int = 20) -> Clustering:
    """The fit on unit rows in an order that means nothing; the first `k` different ones are where it starts."""
    distinct = np.flatnonzero(representatives(rows) == np.arange(len(rows)))
    centroids = rows[distinct[:k]].copy()
    history: list[float] = []
    reseeded = 0
    codes: Ints | None = None
    for _ in range(iterations):
        new = assign(rows, centroids)
        history.append(float(new.similarity.mean()))
        if codes is not None and np.array_equal(codes, new.clusters):
            break
        codes = new.clusters.copy()
        reseeded += _fill_empty(new, len(centroids))
        centroids = _updated(rows, new.clusters, centroids)
    return Clustering(centroids, tuple(history), reseeded, len(rows))


def assign(vectors: Rows | ArrayLike, centroids: ArrayLike, *, block: int = BLOCK) -> Assignment:
    """Nearest centroid of every unit row, and the float64 cosine with it.

    Parameters
    ----------
    vectors : (n, d) array of unit rows
    centroids : (k, d) array of unit rows, from anywhere
    """
    rows, centres = np.asarray(vectors), np.asarray(centroids, dtype=np.float32)
    if rows.ndim != 2 or centres.ndim != 2 or rows.shape[1] != centres.shape[1] or not len(centres):
        raise InputError(f"rows of shape {rows.shape}, centroids of shape {centres.shape}; expected the same width.")
    codes = np.empty(len(rows), np.int64)
    guard = 2 * product_error(rows.shape[1])
    step = max(1, min(block, 2**24 // len(centres)))
    for part in blocks(len(rows), step):
        product = np.asarray(rows[part], dtype=np.float32) @ centres.T
        best = product.argmax(axis=1)
        top = np.take_along_axis(product, best[:, None], axis=1)
        unsure = np.flatnonzero(np.count_nonzero(product >= top - guard, axis=1) > 1)
        if len(unsure):
            close = product[unsure] >= top[unsure] - guard
            row, centre = np.nonzero(close)
            exact = dots(rows[part], unsure[row], centre, centres)
            by = np.lexsort((centre, -exact, row))
            first = np.ones(len(by), bool)
            first[1:] = row[by][1:] != row[by][:-1]
            best[unsure] = centre[by][first]
        codes[part] = best
    return Assignment(codes, dots(rows, np.arange(len(rows)), codes, centres))


def nearest_centroids(
    rows: Rows, centroids: NDArray[np.float32], count: int, *, but: Ints | None = None
) -> NDArray[np.int32]:
    """Numbers of the `count` nearest centroids of every row by float32 product, nearest first, ``int32 [n, count]``.

    `but` names one centroid per row that is left out, such as its own.
    """
    result = np.empty((len(rows), count), np.int32)
    for part in blocks(len(rows), max(1, min(BLOCK, 2**24 // len(centroids)))):
        product = np.asarray(rows[part], dtype=np.float32) @ centroids.T
        if but is not None:
            np.put_along_axis(product, but[part][:, None], -np.inf, axis=1)
        near = np.argpartition(product, -count, axis=1)[:, -count:] if count < len(centroids) else None
        near = np.broadcast_to(np.arange(len(centroids)), product.shape) if near is None else near
        by = np.argsort(-np.take_along_axis(product, near, axis=1), axis=1, kind="stable")
        result[part] = np.take_along_axis(near, by, axis=1)
    return result


@dataclass(frozen=True)
class TwoLevel:
    """Centroids in groups, so that a row is compared with the members of a few groups only."""

    centroids: NDArray[np.float32]
    groups: Ints
    tops: NDArray[np.float32]
    probes: int

    @classmethod
    def of(cls, centroids: NDArray[np.float32], *, groups: int | None = None, probes: int = 4) -> TwoLevel:
        """Group `centroids` by k-means into `groups` (default: about the square root of their number)."""
        number = groups or max(1, round(math.sqrt(len(centroids))))
        fit = spherical_kmeans(centroids, min(number, len(centroids)), sample=len(centroids))
        return cls(centroids, assign(centroids, fit.centroids).clusters, fit.centroids, min(probes, len(fit.centroids)))

    def assign(self, rows: Rows) -> Assignment:
        """Best centroid of every row among the members of its `probes` nearest groups."""
        n = len(rows)
        best, codes = np.full(n, -np.inf, np.float32), np.zeros(n, np.int64)
        for part in blocks(n, 4 * BLOCK):
            mine = np.asarray(rows[part], dtype=np.float32)
            near = np.argpartition(mine @ self.tops.T, -self.probes, axis=1)[:, -self.probes :]
            asked = np.zeros((len(mine), len(self.tops)), bool)
            np.put_along_axis(asked, near, True, axis=1)
            top, code = best[part], codes[part]
            for group in range(len(self.tops)):
                who, members = np.flatnonzero(asked[:, group]), np.flatnonzero(self.groups == group)
                if not len(who) or not len(members):
                    continue
                product = mine[who] @ self.centroids[members].T
                place = product.argmax(axis=1)
                value = product[np.arange(len(who)), place]
                better = value > top[who]
                top[who[better]], code[who[better]] = value[better], members[place[better]]
        return Assignment(codes, dots(rows, np.arange(n), codes, self.centroids))

    def agreement(self, rows: Rows, *, level: float = 0.95) -> Agreement:
        """How often the exact assignment of these (sampled) rows is found."""
        equal = int((self.assign(rows).clusters == assign(rows, self.centroids).clusters).sum())
        low, high = wilson(equal, len(rows), level)
        return Agreement(equal / max(1, len(rows)), low, high, len(rows))


def _updated(rows: NDArray[np.float32], codes: Ints, old: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.sparse import csr_matrix

    total = np.zeros(old.shape)
    for part in blocks(len(rows), BLOCK):
        size = part.stop - part.start
        member = csr_matrix((np.ones(size), (codes[part], np.arange(size))), shape=(len(old), size))
        total += member @ rows[part].astype(np.float64)
    length = np.sqrt((total * total).sum(axis=1, keepdims=True))
    return np.where(length > 0, total / np.where(length > 0, length, 1.0), old).astype(np.float32)


def _fill_empty(new: Assignment, k: int) -> int:
    """Give every empty cluster the row that fits worst in the largest cluster; `new.clusters` changes."""
    sizes = np.bincount(new.clusters, minlength=k)
    empty = np.flatnonzero(sizes == 0).tolist()
    for code in empty:
        largest = int(sizes.argmax())
        members = np.flatnonzero(new.clusters == largest)
        worst = members[new.similarity[members].argmin()]
        new.clusters[worst] = code
        sizes[largest] -= 1
        sizes[code] = 1
    return len(empty)
