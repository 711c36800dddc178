"""Accuracy as it would be if groups were as frequent as somewhere else: in the training data, for example.

Benchmarks of group robustness balance their test split, and report an *adjusted average* that weighs each group by its
training count (Sagawa, Koh, Hashimoto and Liang 2020, arXiv 1911.08731, the Waterbirds benchmark).
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from ..stats.codes import GroupCodes
from ..stats.estimate import Estimate
from ..stats.rates import wilson


def adjusted_accuracy(
    right: ArrayLike, groups: GroupCodes, counts: Mapping[str, int], *, level: float = 0.95
) -> Estimate:
    """Share of `right` (bool ``[n]``) with groups weighted by `counts`: ``sum_g counts_g / N * accuracy_g``.

    The interval joins the groups' Wilson intervals by their distances from the estimate (MOVER; Zou and Donner 2008),
    so that a group that is never wrong still counts as uncertain. NaN where a counted group has no row.

    Raises
    ------
    InputError
        Other lengths, or counts that are none.

    Examples
    --------
    >>> from fairvl.stats.codes import encode
    >>> groups = encode(["a", "a", "b", "b"])
    >>> adjusted_accuracy([True, True, True, False], groups, {"a": 3, "b": 1}).value
    0.875
    """
    shares = _checked(right, groups, counts)
    hits = np.asarray(right, dtype=bool)
    value, below, above = 0.0, 0.0, 0.0
    for label, share in shares.items():
        own = hits[_rows(groups, label)]
        if not len(own):
            return _absent(label, len(hits), level)
        rate = float(own.mean())
        low, high = wilson(int(own.sum()), len(own), level)
        value += share * rate
        below += (share * (rate - low)) ** 2
        above += (share * (high - rate)) ** 2
    low, high = max(0.0, value - below**0.5), min(1.0, value + above**0.5)
    return Estimate(value, low, high, len(hits), level, "mover-wilson", _named(counts))


def adjusted_change(
    before: ArrayLike, after: ArrayLike, groups: GroupCodes, counts: Mapping[str, int], *, level: float = 0.95
) -> Estimate:
    """`adjusted_accuracy` after minus before on the same rows, with a paired normal interval within groups.

    The variance of a group adds half a row to each of the four outcomes (Agresti and Min 2005), so that a group without
    a changed row still counts as uncertain.
    """
    shares = _checked(before, groups, counts)
    _checked(after, groups, counts)
    change = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    value, variance = 0.0, 0.0
    for label, share in shares.items():
        own = change[_rows(groups, label)]
        if not len(own):
            return _absent(label, len(change), level)
        value += share * float(own.mean())
        rows, moved = len(own) + 2.0, float(np.count_nonzero(own)) + 1.0
        variance += share**2 * (moved - float(own.sum()) ** 2 / rows) / rows**2
    half = NormalDist().inv_cdf(0.5 + level / 2) * variance**0.5
    low, high = max(-1.0, value - half), min(1.0, value + half)
    return Estimate(value, low, high, len(change), level, "paired normal", _named(counts))


def _checked(right: ArrayLike, groups: GroupCodes, counts: Mapping[str, int]) -> dict[str, float]:
    if np.shape(right) != groups.codes.shape:
        raise InputError(f"{np.shape(right)} results for {len(groups.codes)} rows with groups; expected one each.")
    if not counts or any(not isinstance(n, int) or n < 0 for n in counts.values()) or not sum(counts.values()):
        raise InputError(f"counts {dict(counts)}; expected the number of rows of every group, one of them above 0.")
    return {label: n / sum(counts.values()) for label, n in counts.items() if n}


def _rows(groups: GroupCodes, label: str) -> NDArray[np.bool_]:
    code = groups.labels.index(label) if label in groups.labels else -2
    return np.asarray(groups.codes == code)


def _absent(label: str, n: int, level: float) -> Estimate:
    nothing = float("nan")
    return Estimate(nothing, nothing, nothing, n, level, "", f"no row of the group {label!r}, which counts")


def _named(counts: Mapping[str, int]) -> str:
    return "weighted by training counts: " + ", ".join(f"{label} {n:,}" for label, n in counts.items())
