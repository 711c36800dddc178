"""A small random forest on binned coordinates: which of them tell groups apart, and how sure it is of each row.

Breiman (2001): trees on bootstrap samples, each split chosen among sqrt(d) random coordinates by Gini impurity;
importance is the mean decrease of impurity; the confidence of a row comes from trees that did not see it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...arrays import FloatArray

BINS = 32
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Forest:
    """Importance ``[d]`` (sums to 1) and out-of-bag class shares ``[n, g]`` (NaN for a row that every tree saw)."""

    importance: NDArray[np.float64]
    shares: NDArray[np.float64]


def grow_forest(
    vectors: FloatArray, codes: Codes, *, trees: int = 100, depth: int = 8, least: int = 2, seed: int = 0
) -> Forest:
    """Grow `trees` trees of at most `depth` splits on `vectors` ``[n, d]`` with classes `codes` ``[n]``."""
    rng = np.random.default_rng(seed)
    binned = _binned(vectors)
    n, dim = binned.shape
    classes = int(codes.max()) + 1
    importance, votes, seen = np.zeros(dim), np.zeros((n, classes)), np.zeros(n)
    for _ in range(trees):
        sample = np.bincount(rng.integers(0, n, n), minlength=n)
        tree = _Tree(binned, codes, classes, depth, least, rng, importance)
        left_out = np.flatnonzero(sample == 0)
        tree.grow(np.repeat(np.arange(n), sample), left_out, votes, 0)
        seen[left_out] += 1
    total = importance.sum()
    with np.errstate(invalid="ignore"):
        shares = votes / seen[:, None]
    return Forest(importance / total if total > 0 else importance, shares)


def _binned(vectors: FloatArray) -> NDArray[np.uint8]:
    cuts = np.quantile(vectors, np.arange(1, BINS) / BINS, axis=0)
    out = np.zeros(vectors.shape, np.uint8)
    for column in range(vectors.shape[1]):
        out[:, column] = np.searchsorted(cuts[:, column], vectors[:, column], side="right")
    return out


@dataclass(frozen=True)
class _Tree:
    binned: NDArray[np.uint8]
    codes: Codes
    classes: int
    depth: int
    least: int
    rng: np.random.Generator
    importance: NDArray[np.float64]

    def grow(self, rows: Codes, left_out: Codes, votes: NDArray[np.float64], level: int) -> None:
        """Split `rows` (with repetitions), add to the importances, and let leaves vote on the rows left out."""
        counts = np.bincount(self.codes[rows], minlength=self.classes).astype(np.float64)
        split = None
        if level < self.depth and len(rows) >= 2 * self.least and counts.max() < len(rows):
            split = self._best(rows, counts)
        if split is None:
            votes[left_out] += counts / counts.sum()
            return
        column, cut, gain = split
        self.importance[column] += gain
        for goes in (np.less_equal, np.greater):
            mine = rows[goes(self.binned[rows, column], cut)]
            self.grow(mine, left_out[goes(self.binned[left_out, column], cut)], votes, level + 1)

    def _best(self, rows: Codes, counts: NDArray[np.float64]) -> tuple[int, int, float] | None:
        dim = self.binned.shape[1]
        columns = self.rng.choice(dim, max(1, round(np.sqrt(dim))), replace=False)
        cells = (np.arange(len(columns)) * BINS + self.binned[np.ix_(rows, columns)]) * self.classes
        cells += self.codes[rows][:, None]
        size = len(columns) * BINS * self.classes
        table = np.bincount(cells.ravel(), minlength=size).reshape(len(columns), BINS, self.classes)
        left = np.cumsum(table, axis=1)[:, :-1].astype(np.float64)
        right = counts - left
        n_left, n_right = left.sum(axis=2), right.sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = np.square(left).sum(axis=2) / n_left + np.square(right).sum(axis=2) / n_right
        gain = np.where((n_left >= self.least) & (n_right >= self.least), kept, -np.inf)
        gain -= np.square(counts).sum() / len(rows)
        place = int(np.argmax(gain))
        best = float(gain.flat[place])
        if not best > 1e-12:
            return None
        row, cut = divmod(place, BINS - 1)
        return int(columns[row]), cut, best
