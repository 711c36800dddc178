"""Inputs with planted duplicates, and plain written-out rules to hold ours against."""

import numpy as np
import pytest


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def planted(n, d, *, seed=0, share=0.3, exact=0.05, spread=0.35, centres=None):
    """Unit rows with near-duplicates at all distances and some exact ones."""
    rng = np.random.default_rng(seed)
    k = centres or max(1, n // 12)
    base = unit(rng.standard_normal((k, d)) + 1.5 * rng.standard_normal(d))
    x = base[rng.integers(k, size=n)] + spread * rng.uniform(0, 1, (n, 1)) * unit(rng.standard_normal((n, d)))
    copies = rng.random(n) < share * exact
    x[copies] = x[rng.integers(n, size=copies.sum())]
    return unit(x).astype(np.float32)


def brute_pairs(x, threshold, clusters=None):
    """All pairs with a float64 cosine above the threshold, the plain way."""
    x = x.astype(np.float64)
    clusters = np.zeros(len(x), int) if clusters is None else clusters
    found = set()
    for i in range(len(x)):
        cosines = (x[i] * x[i + 1 :]).sum(axis=1)
        same = (x[i] == x[i + 1 :]).all(axis=1)
        near = ((cosines > threshold) | (same & (threshold < 1))) & (clusters[i + 1 :] == clusters[i])
        found |= {(i, i + 1 + int(j)) for j in np.flatnonzero(near)}
    return found


def plain_semdedup(x, threshold, centroid, clusters=None, key=None):
    """The published rule written out: sort by distance to the centroid, upper triangle, column maximum."""
    n = len(x)
    clusters = np.zeros(n, int) if clusters is None else clusters
    key = np.arange(n) if key is None else key
    kept = np.zeros(n, bool)
    for c in np.unique(clusters):
        mine = np.flatnonzero(clusters == c)
        rows = x[mine].astype(np.float64)
        centre = centroid if np.ndim(centroid) == 1 else centroid[c]
        near = (rows * np.asarray(centre, np.float64)).sum(axis=1)
        order = np.lexsort((key[mine], near))
        rows = rows[order]
        largest = np.zeros(len(mine))
        for j in range(1, len(mine)):
            cosines = (rows[:j] * rows[j]).sum(axis=1)
            cosines[(rows[:j] == rows[j]).all(axis=1)] = 1.0
            largest[j] = cosines.max()
        kept[mine[order]] = ~(largest > threshold)
    return kept


def violations(x, kept, threshold, clusters=None):
    """(kept rows with a kept duplicate, dropped rows without one)."""
    x = x.astype(np.float64)
    clusters = np.zeros(len(x), int) if clusters is None else clusters
    close = (x @ x.T > threshold + 1e-9) & (clusters[:, None] == clusters)
    np.fill_diagonal(close, False)
    loose = (x @ x.T > threshold - 1e-9) & (clusters[:, None] == clusters)
    np.fill_diagonal(loose, False)
    return int((close & kept)[kept].any(axis=1).sum()), int((~(loose & kept)[~kept].any(axis=1)).sum())


@pytest.fixture
def tools():
    class Tools:
        pass

    Tools.unit, Tools.planted, Tools.brute_pairs = staticmethod(unit), staticmethod(planted), staticmethod(brute_pairs)
    Tools.plain_semdedup, Tools.violations = staticmethod(plain_semdedup), staticmethod(violations)
    return Tools
