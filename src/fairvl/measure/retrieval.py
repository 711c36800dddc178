"""Recall at k: whether what belongs to a query is among the first k that it retrieves.

A query may have several right items (an image and its five captions): a *hit* needs one of them. Items that tie at the
border share the places left, so a hit can be a fraction: the expected hit over every order of the tied items. A model
that gives all items one score thus gets what chance gives, not 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..stats.bootstrap import Seed, draw_blocks, draw_counts, interval, unit_codes
from ..stats.estimate import Estimate
from ..stats.rates import wilson

BLOCK = 1 << 22  # scores looked at together


def hits_at_k(scores: ArrayLike, relevant: ArrayLike, *, k: int) -> NDArray[np.float64]:
    """Per query the (expected) hit, ``float64 [q]`` in [0, 1]; NaN for a query without a right item.

    Parameters
    ----------
    scores : (q, n) array
        Higher is retrieved first; compared in the dtype given.
    relevant : (q, n) booleans, or (q,) integers
        Which items are right for each query, or the number of the one that is.
    k : int
        Places looked at, 1 to n.

    Raises
    ------
    InputError
        Shapes that disagree, scores that are not finite, k outside 1 to n.

    Examples
    --------
    >>> hits_at_k([[0.9, 0.1, 0.5], [0.2, 0.2, 0.2]], [2, 0], k=2).round(3).tolist()
    [1.0, 0.667]
    """
    values = np.asarray(scores)
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise InputError(f"scores of shape {values.shape}, dtype {values.dtype}; expected numbers [queries, items].")
    q, n = values.shape
    if not 1 <= k <= n:
        raise InputError(f"k={k}; expected 1 to the number of items, {n}.")
    right = np.asarray(relevant)
    if right.dtype != np.bool_ or right.shape != (q, n):
        one = right.shape == (q,) and right.dtype.kind in "iu"
        if not one or not 0 <= right.min() <= right.max() < n:
            raise InputError(
                f"relevant of shape {right.shape}, dtype {right.dtype}; expected booleans ({q}, {n}), or the number of "
                f"the right item of each query, ({q},) integers in range({n})."
            )
    rows = max(1, BLOCK // n)
    parts = []
    for start in range(0, q, rows):
        block = values[start : start + rows]
        if not np.isfinite(block).all():
            raise InputError("scores hold NaN or infinity; expected finite numbers.")
        some = right[start : start + rows]
        parts.append(_hits(block, some if some.ndim == 2 else some[:, None] == np.arange(n), k))
    return np.concatenate(parts)


def _hits(scores: NDArray[Any], right: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    from scipy.special import gammaln

    asked = right.any(axis=1)
    best = np.where(right, scores, scores.min()).max(axis=1, keepdims=True)
    wrong = ~right
    above = (wrong & (scores > best)).sum(axis=1).astype(np.float64)
    tied = (wrong & (scores == best)).sum(axis=1).astype(np.float64)
    good = (right & (scores == best)).sum(axis=1).astype(np.float64)
    places = k - above
    # Chance that none of `good` is among the first `places` of all that tie.
    left = np.clip(places, 0, tied)
    miss = np.exp(
        gammaln(tied + 1) - gammaln(tied - left + 1) - gammaln(tied + good + 1) + gammaln(tied + good - left + 1)
    )
    hits = np.where(places <= 0, 0.0, np.where(places > tied, 1.0, 1.0 - miss))
    return np.where(asked, hits, np.nan)


def recall_at_k(
    scores: ArrayLike,
    relevant: ArrayLike,
    *,
    k: int,
    units: Sequence[Any] | NDArray[Any] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Mean hit over queries with an interval; `Estimate.n` is the number of queries that have a right item.

    Parameters
    ----------
    scores, relevant, k
        As in `hits_at_k`.
    units : (q,) labels, optional
        Queries that belong together (captions of one image) and are resampled together. Without them, whole hits get
        Wilson's interval.
    n_boot, level, seed
        Percentile bootstrap over units, where it is needed.

    Examples
    --------
    >>> found = recall_at_k([[0.9, 0.1], [0.8, 0.3], [0.2, 0.7], [0.6, 0.4]], [0, 0, 1, 1], k=1)
    >>> found.value, round(found.low, 2), round(found.high, 2), found.n
    (0.75, 0.3, 0.95, 4)
    """
    return mean_hit(hits_at_k(scores, relevant, k=k), units=units, n_boot=n_boot, level=level, seed=seed)


def mean_hit(
    hits: ArrayLike,
    *,
    units: Sequence[Any] | NDArray[Any] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Mean of hits (NaN left out) with the interval of `recall_at_k`."""
    values = np.asarray(hits, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"hits of shape {values.shape}; expected one per query.")
    if units is not None and len(units) != len(values):
        raise InputError(f"{len(units)} units for {len(values)} queries; expected one label per query.")
    known = ~np.isnan(values)
    n = int(known.sum())
    if not n:
        return Estimate(float("nan"), n=0, level=level, note="no query has a right item")
    kept = values[known]
    value = float(kept.mean())
    if units is None and np.isin(kept, (0.0, 1.0)).all():
        low, high = wilson(float(kept.sum()), n, level)
        return Estimate(value, low, high, n, level, "wilson")
    codes = unit_codes(n if units is None else np.asarray(units)[known], name="units")
    sums, counts = np.bincount(codes, weights=kept), np.bincount(codes).astype(np.float64)
    if len(counts) < 2 or not n_boot:
        return Estimate(value, n=n, level=level, note="no interval: one unit" if n_boot else "no interval: n_boot is 0")
    rng = np.random.default_rng(seed)
    drawn = [draw_counts(len(counts), b, rng) for b in draw_blocks(n_boot, len(counts))]
    replicates = np.concatenate([(d @ sums) / (d @ counts) for d in drawn])
    low, high = interval(replicates, value, level=level, method="percentile", units=len(counts))
    return Estimate(value, low, high, n, level, f"percentile, {len(counts)} units, {n_boot} draws")
