"""Spherical k-means: seeded, the same for every order of rows, block size and thread count.

Rows are ordered by a hash of their id before anything is drawn or summed. Of centroids that float32 cannot tell
apart for a row, the float64 cosine picks the nearest, and the lower number on a tie.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import blocks
from ...errors import InputError
from ...stats.rates import wilson
from .bound import product_error
from .devices import nearest_two
from .rows import Floats, Ints, Rows, dots, prepared, representatives

BLOCK = 8192
CACHED = 2**20  # products that stay in a core's cache until they are looked at
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


def number_of_clusters(
    n: int, dim: int, *, memory: float | None = None, seconds: float | None = None, rate: float = 5e10
) -> int:
    """How many clusters: the fewest that keep to the budgets, for every border between clusters loses pairs.

    Parameters
    ----------
    memory : float, optional
        Bytes for the float32 rows of a cluster twice the mean size and a fit on 32 rows per cluster.
    seconds : float, optional
        For assigning and comparing all rows at `rate` multiplications and additions per second. Without it, and
        where no number is fast enough, the number at which both stages cost the same and the sum is least,
        ``sqrt(n / 2)``.

    Examples
    --------
    >>> number_of_clusters(1_000_000, 512), number_of_clusters(1_000_000, 512, seconds=600)
    (707, 18)
    """
    best = max(1, round(math.sqrt(n / 2)))
    if seconds is not None:
        # seconds = (2 n k d + n^2 d / k) / rate; the smaller root in k
        part = seconds * rate / (2 * n * dim)
        root = part * part - 2 * n
        best = max(1, math.ceil((part - math.sqrt(root)) / 2)) if root >= 0 else best
    if memory is not None:
        best = max(best, math.ceil(2 * n * dim * 4 / memory))
        best = min(best, max(1, int(memory / (32 * dim * 4))))
    return min(n, best)


def spherical_kmeans(
    vectors: ArrayLike,
    k: int,
    *,
    ids: Any = None,
    sample: int | None = None,
    iterations: int = 20,
    seed: int = 0,
    backend: str = "numpy",
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
    backend
        As in `assign`: the centroids are the same.

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
    return fit_ordered(np.asarray(rows[order], dtype=np.float32), k, iterations=iterations, backend=backend)


def fit_ordered(
    rows: NDArray[np.float32], k: int, *, iterations: int = 20, two_levels: bool = False, backend: str = "numpy"
) -> Clustering:
    """The fit on unit rows in an order that means nothing; the first `k` different ones are where it starts.

    With `two_levels` rows look for their centroid in the nearest groups of centroids only, made anew every time.
    """
    distinct = np.flatnonzero(representatives(rows) == np.arange(len(rows)))
    centroids = rows[distinct[:k]].copy()
    history: list[float] = []
    reseeded = 0
    codes: Ints | None = None
    for _ in range(iterations):
        new = TwoLevel.of(centroids).codes(rows) if two_levels else _codes(rows, centroids, backend=backend)
        total = _sums(rows, new, len(centroids))
        history.append(float((total * centroids).sum() / len(rows)))
        if codes is not None and np.array_equal(codes, new):
            break
        codes = new.copy()
        empty = _fill_empty(rows, new, centroids)
        reseeded += empty
        total = _sums(rows, new, len(centroids)) if empty else total
        length = np.sqrt((total * total).sum(axis=1, keepdims=True))
        mean = total / np.where(length > 0, length, 1.0)
        centroids = np.where(length > 0, mean, centroids).astype(np.float32)
    return Clustering(centroids, tuple(history), reseeded, len(rows))


def assign(
    vectors: Rows | ArrayLike, centroids: ArrayLike, *, block: int = BLOCK, backend: str = "numpy"
) -> Assignment:
    """Nearest centroid of every unit row, and the float64 cosine with it.

    Parameters
    ----------
    vectors : (n, d) array of unit rows
    centroids : (k, d) array of unit rows, from anywhere
    backend : "numpy", "faiss", "torch" or "torch:DEVICE"
        What makes the products; the clusters are the same.
    """
    rows, centres = np.asarray(vectors), np.asarray(centroids, dtype=np.float32)
    if rows.ndim != 2 or centres.ndim != 2 or rows.shape[1] != centres.shape[1] or not len(centres):
        raise InputError(f"rows of shape {rows.shape}, centroids of shape {centres.shape}; expected the same width.")
    codes = _codes(rows, centres, block, backend)
    return Assignment(codes, dots(rows, None, codes, centres))


def _codes(rows: Rows, centres: NDArray[np.float32], block: int = BLOCK, backend: str = "numpy") -> Ints:
    """Nearest centroid of every row."""
    codes = np.empty(len(rows), np.int64)
    step = max(1, min(block, max(256, CACHED // len(centres))))
    search = None if backend == "numpy" else nearest_two(backend)
    buffer = np.empty((min(step, len(rows)) if search is None else 0, len(centres)), np.float32)
    for part in blocks(len(rows), step):
        mine = rows[part]
        if search is not None:
            codes[part] = _settled(mine, *search(np.ascontiguousarray(mine, dtype=np.float32), centres), centres)
            continue
        product = np.matmul(np.asarray(mine, dtype=np.float32), centres.T, out=buffer[: len(mine)])
        codes[part] = _nearest(mine, product, centres)
    return codes


def _settled(rows: Rows, best: Ints, gap: NDArray[np.float32], centres: NDArray[np.float32]) -> Ints:
    """Nearest centroids as another library sees them; rows that it cannot be sure of are decided here."""
    unsure = np.flatnonzero(~(gap > 2 * product_error(rows.shape[1])))
    if len(unsure):
        best = best.copy()
        best[unsure] = _codes(rows[unsure], centres)
    return best


def _nearest(rows: Rows, product: NDArray[np.float32], centres: NDArray[np.float32]) -> Ints:
    """Place of the largest product of every row; float64 says where float32 cannot. Changes `product`."""
    guard = 2 * product_error(rows.shape[1])
    every = np.arange(len(rows))
    best: Ints = product.argmax(axis=1)
    top = product[every, best].copy()
    product[every, best] = -np.inf
    unsure = np.flatnonzero(product.max(axis=1) >= top - guard)
    if not len(unsure):
        return best
    product[unsure, best[unsure]] = top[unsure]
    row, centre = np.nonzero(product[unsure] >= (top[unsure] - guard)[:, None])
    exact = dots(rows, unsure[row], centre, centres)
    by = np.lexsort((centre, -exact, row))
    first = np.ones(len(by), bool)
    first[1:] = row[by][1:] != row[by][:-1]
    best[unsure] = centre[by][first]
    return best


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
        """Best centroid of every row among the members of its `probes` nearest groups.

        As in `assign`, float64 decides where float32 cannot: neither blocks nor the order of rows change a cluster.
        """
        codes = self.codes(rows)
        return Assignment(codes, dots(rows, None, codes, self.centroids))

    def codes(self, rows: Rows) -> Ints:
        """The clusters alone."""
        codes = np.empty(len(rows), np.int64)
        for part in blocks(len(rows), 4 * BLOCK):
            codes[part] = self._nearest(rows[part])
        return codes

    def _nearest(self, rows: Rows) -> Ints:
        mine = np.asarray(rows, dtype=np.float32)
        guard = 2 * product_error(mine.shape[1])
        product = mine @ self.tops.T
        asked, unsure = np.ones(product.shape, bool), np.zeros(len(mine), bool)
        if self.probes < len(self.tops):
            ends = np.partition(product, (-self.probes - 1, -self.probes), axis=1)
            asked = product >= ends[:, [-self.probes]]
            unsure = ends[:, -self.probes] - ends[:, -self.probes - 1] <= guard
        top, second = np.full((2, len(mine)), -np.inf, np.float32)
        best = np.zeros(len(mine), np.int64)
        for members, who in zip(self._members, asked.T, strict=True):
            some = np.flatnonzero(who)
            if not len(some) or not len(members):
                continue
            product = mine[some] @ self.centroids[members].T
            place, every = product.argmax(axis=1), np.arange(len(some))
            value = product[every, place]
            product[every, place] = -np.inf
            second[some] = np.maximum(np.maximum(second[some], product.max(axis=1)), np.minimum(top[some], value))
            better = value > top[some]
            top[some[better]], best[some[better]] = value[better], members[place[better]]
        odd = np.flatnonzero(unsure | (top - second <= guard))
        if len(odd):
            best[odd] = self._canonical(rows[odd])
        return best

    def _canonical(self, rows: Rows) -> Ints:
        """The same by float64 wherever it matters."""
        n, number = len(rows), len(self.tops)
        row, top = np.divmod(np.arange(n * number), number)
        exact = dots(rows, row, top, self.tops).reshape(n, number)
        near = np.argsort(-exact, axis=1, kind="stable")[:, : self.probes]
        asked = np.zeros((n, number), bool)
        np.put_along_axis(asked, near, True, axis=1)
        product = np.asarray(rows, dtype=np.float32) @ self.centroids.T
        product[~asked[:, self.groups]] = -np.inf
        return _nearest(rows, product, self.centroids)

    @cached_property
    def _members(self) -> list[Ints]:
        return [np.flatnonzero(self.groups == group) for group in range(len(self.tops))]

    def agreement(self, rows: Rows, *, level: float = 0.95) -> Agreement:
        """How often the exact assignment of these (sampled) rows is found."""
        equal = int((self.assign(rows).clusters == assign(rows, self.centroids).clusters).sum())
        low, high = wilson(equal, len(rows), level)
        return Agreement(equal / max(1, len(rows)), low, high, len(rows))


def _sums(rows: NDArray[np.float32], codes: Ints, k: int) -> Floats:
    """Sum of the rows of every cluster, ``float64 [k, d]``."""
    from scipy.sparse import csr_matrix

    total = np.zeros((k, rows.shape[1]))
    for part in blocks(len(rows), BLOCK):
        size = part.stop - part.start
        member = csr_matrix((np.ones(size, np.float32), (codes[part], np.arange(size))), shape=(k, size))
        total += member @ rows[part]
    return total


def _fill_empty(rows: NDArray[np.float32], codes: Ints, centroids: NDArray[np.float32]) -> int:
    """Give every empty cluster the row that fits worst in the largest cluster; `codes` changes."""
    sizes = np.bincount(codes, minlength=len(centroids))
    empty = np.flatnonzero(sizes == 0).tolist()
    for code in empty:
        largest = int(sizes.argmax())
        members = np.flatnonzero(codes == largest)
        worst = members[dots(rows, members, codes[members], centroids).argmin()]
        codes[worst] = code
        sizes[largest] -= 1
        sizes[code] = 1
    return len(empty)
