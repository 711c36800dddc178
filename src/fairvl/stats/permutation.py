"""The permutation engine: how often would a random split into two groups differ as much as this one?

The statistic is the difference of two group means. Given the pooled values and the group sizes it is a
monotone function of the sum over the first group, so one count of subsets answers for means, sums and
for every effect size whose denominator a permutation leaves alone.

The engine picks by size: enumeration of every split, a *meet in the middle* count of every split
(sums of subsets of two halves, matched by sorting; up to about 20 + 20), and random splits beyond.
Ties count against significance, with a tolerance relative to the values, because floating sums of the
same numbers differ by their order. A p-value is never 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .bootstrap import draw_blocks

Floats: TypeAlias = NDArray[np.float64]
Seed: TypeAlias = int | np.random.Generator
Tail: TypeAlias = Literal["greater", "less", "two-sided"]

EXACT_LIMIT = math.comb(40, 20)
DRAWS = 99_999
ENUMERATED = "exact (enumeration)"
MATCHED = "exact (meet in the middle)"
SAMPLED = "sampled"

_ENUMERATED_INDICES = 200_000  # above this, matching halves is faster than touching every split
_HALF_SUMS = 2**22  # subset sums held at once, 8 bytes each: 20 + 20 needs 2**21
_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class PermutationP:
    """A permutation p-value and how far it can be trusted.

    `error` is the standard error of a sampled p (0 for an exact one), `floor` the smallest p that this
    method can return for these sizes, `n_permutations` the splits counted or drawn.
    """

    p: float
    method: str
    error: float
    floor: float
    n_permutations: int

    @property
    def is_exact(self) -> bool:
        """True when every split was counted."""
        return self.method != SAMPLED


def two_sample_p(
    values_x: ArrayLike,
    values_y: ArrayLike,
    *,
    tail: Tail = "greater",
    exact_limit: int = EXACT_LIMIT,
    draws: int = DRAWS,
    seed: Seed = 0,
) -> PermutationP:
    """Share of all splits of the pooled values whose mean difference is at least as extreme.

    Parameters
    ----------
    values_x, values_y : (n,) and (m,) arrays
        Exchangeable units under the null hypothesis; sizes may differ.
    tail
        "greater": mean of x minus mean of y at least as large; "less": at most as large;
        "two-sided": at least as large in absolute value.
    exact_limit
        Count every split when there are at most this many (and their half sums fit in memory); else sample.
    draws, seed
        Random splits, and their seed or generator; the p is then ``(hits + 1) / (draws + 1)``.

    Raises
    ------
    InputError
        An empty group, NaN or infinity, not one-dimensional, an unknown tail.

    Notes
    -----
    Computed in float64. Two sums are tied when they differ by less than 1e-11 of the summed absolute
    deviations of the pooled values.

    Examples
    --------
    >>> two_sample_p([3.0, 4.0, 5.0], [0.0, 1.0, 2.0]).p == 1 / 20
    True
    """
    x, y = _check_values(values_x, "values_x", 1), _check_values(values_y, "values_y", 1)
    return two_sample_ps(x[None], y[None], tail=tail, exact_limit=exact_limit, draws=draws, seed=seed)[0]


def two_sample_ps(
    values_x: ArrayLike,
    values_y: ArrayLike,
    *,
    tail: Tail = "greater",
    exact_limit: int = EXACT_LIMIT,
    draws: int = DRAWS,
    seed: Seed = 0,
) -> tuple[PermutationP, ...]:
    """`two_sample_p` of many rows (models, words) of equal sizes; every row sees the same splits.

    Parameters
    ----------
    values_x, values_y : (r, n) and (r, m) arrays

    Examples
    --------
    >>> [round(p.p, 3) for p in two_sample_ps([[3.0, 4.0], [0.0, 1.0]], [[0.0, 1.0], [3.0, 4.0]])]
    [0.167, 1.0]
    """
    x, y = _check_values(values_x, "values_x", 2), _check_values(values_y, "values_y", 2)
    check_tail(tail)
    if len(x) != len(y):
        raise InputError(f"values_x has {len(x)} rows, values_y {len(y)}; expected as many rows in both.")
    if draws < 1:
        raise InputError(f"draws={draws}; expected at least 1.")
    n_x, n_y = x.shape[1], y.shape[1]
    pooled, observed, tolerance = _pooled(x, y)
    splits = math.comb(n_x + n_y, n_x)
    if splits <= exact_limit and n_half_sums(n_x, n_y) <= _HALF_SUMS:
        small = splits * min(n_x, n_y) <= _ENUMERATED_INDICES
        found = [_exact_hits(v, n_x, o, t, tail, small) for v, o, t in zip(pooled, observed, tolerance, strict=True)]
        method = ENUMERATED if small else MATCHED
        return tuple(PermutationP(hits / splits, method, 0.0, 1 / splits, splits) for hits in found)
    hits = np.zeros(len(pooled), dtype=np.int64)
    for masks in random_splits(n_x, n_y, draws, np.random.default_rng(seed)):
        hits += _extreme(masks @ pooled.T, observed, tolerance, tail).sum(axis=0)
    return tuple(sampled_p(int(h), draws) for h in hits)


def bilinear_p(
    values: ArrayLike, n_rows: int, n_columns: int, *, tail: Tail = "greater", draws: int = DRAWS, seed: Seed = 0
) -> PermutationP:
    """p of a difference of differences when rows and columns are both split at random; always sampled.

    Parameters
    ----------
    values : (n, m) array
        One value per pair; the statistic is the mean of the first `n_rows` rows minus that of the others, of the
        difference between the means of the first `n_columns` columns and the others.

    Examples
    --------
    >>> values = [[1.0, 0.0], [0.0, 1.0]]
    >>> bilinear_p(values, 1, 1, draws=99).p > 0.3
    True
    """
    array = _check_values(values, "values", 2)
    check_tail(tail)
    n, m = array.shape
    if not (0 < n_rows < n and 0 < n_columns < m):
        raise InputError(f"{n_rows} of {n} rows and {n_columns} of {m} columns; expected both sides to hold one.")
    if draws < 1:
        raise InputError(f"draws={draws}; expected at least 1.")
    tolerance = tie_tolerance(array.ravel()) / array.size
    rng = np.random.default_rng(seed)
    first = [(np.arange(size) < ones).astype(np.float64) for size, ones in ((n, n_rows), (m, n_columns))]
    observed = float(_contrast(first[0], n_rows) @ array @ _contrast(first[1], n_columns))
    hits = 0
    for b in draw_blocks(draws, 3 * (n + m)):
        rows = np.concatenate(list(random_splits(n_rows, n - n_rows, b, rng)))
        columns = np.concatenate(list(random_splits(n_columns, m - n_columns, b, rng)))
        drawn = np.einsum("bm,bm->b", _contrast(rows, n_rows) @ array, _contrast(columns, n_columns))
        hits += int(_extreme(drawn, observed, tolerance, tail).sum())
    return sampled_p(hits, draws)


def _contrast(masks: Floats, ones: int) -> Floats:
    weights: Floats = masks / ones - (1 - masks) / (masks.shape[-1] - ones)
    return weights


def sampled_p(hits: int, draws: int) -> PermutationP:
    """The p of `hits` among `draws` random splits; the observed split is one of them, so p is never 0."""
    p = (hits + 1) / (draws + 1)
    return PermutationP(p, SAMPLED, math.sqrt(p * (1 - p) / draws), 1 / (draws + 1), draws)


def random_splits(n_x: int, n_y: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Blocks ``[b, n_x + n_y]`` of 0/1 masks with `n_x` ones per row, uniform over all splits."""
    n = n_x + n_y
    rows = max(1, _BLOCK_BYTES // (16 * n))
    for start in range(0, draws, rows):
        b = min(rows, draws - start)
        masks = np.zeros((b, n))
        keys = rng.random((b, n), dtype=np.float32)
        if n_x < n:
            chosen = np.argpartition(keys, n_x, axis=1)[:, :n_x]
            np.put_along_axis(masks, chosen, 1.0, axis=1)
        else:
            masks[:] = 1.0
        yield masks


def n_half_sums(n_x: int, n_y: int) -> int:
    """Subset sums that an exact count of these sizes holds at once."""
    n, k = n_x + n_y, min(n_x, n_y)
    left, right = n // 2, n - n // 2
    sizes = range(max(0, k - right), min(k, left) + 1)
    return sum(math.comb(left, j) + math.comb(right, k - j) for j in sizes)


def check_tail(tail: str) -> None:
    """Raise InputError unless `tail` is one of the three."""
    if tail not in get_args(Tail):
        raise InputError(f"tail={tail!r}; expected one of {get_args(Tail)}.")


def tie_tolerance(values: Floats) -> Floats:
    """Largest difference of two sums of `values` [..., n] that rounding alone can explain, generously."""
    deviations = np.abs(values - values.mean(axis=-1, keepdims=True)).sum(axis=-1)
    rounding = 8 * np.finfo(np.float64).eps * np.abs(values).sum(axis=-1)
    tolerance: Floats = 1e-11 * deviations + rounding
    return tolerance


def _check_values(values: ArrayLike, name: str, ndim: int) -> Floats:
    array: NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "iufb" or array.ndim != ndim:
        raise InputError(f"{name}: shape {array.shape}, dtype {array.dtype}; expected {ndim} dimensions of numbers.")
    if array.shape[-1] == 0:
        raise InputError(f"{name}: an empty group; expected at least one value.")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: holds NaN or infinity. Drop those units before testing.")
    return array.astype(np.float64)


def _pooled(x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Pooled values centred per row (so a sum over x has the sign of the mean difference), sums over x, tolerances."""
    values = np.concatenate([x, y], axis=1)
    tolerance = tie_tolerance(values)
    values = values - values.mean(axis=1, keepdims=True)
    return values, values[:, : x.shape[1]].sum(axis=1), tolerance


def _extreme(sums: Floats, observed: Any, tolerance: Any, tail: Tail) -> Any:
    if tail == "greater":
        return sums >= observed - tolerance
    if tail == "less":
        return sums <= observed + tolerance
    return np.abs(sums) >= np.abs(observed) - tolerance


def _exact_hits(values: Floats, n_x: int, observed: float, tolerance: float, tail: Tail, enumerate_all: bool) -> int:
    """Subsets of size `n_x` that are as extreme; counted on the smaller side, whose sums are the negatives."""
    k = n_x
    if n_x > len(values) - n_x:
        values, k = -values, len(values) - n_x
    if tail == "less":
        values, observed = -values, -observed
    if tail == "two-sided":
        observed = abs(observed)
        if observed <= tolerance:
            return math.comb(len(values), k)
    threshold = observed - tolerance
    count = _count_enumerated if enumerate_all else _count_matched
    hits = count(values, k, threshold)
    if tail == "two-sided":
        hits += count(-values, k, threshold)
    return max(hits, 1)


@lru_cache(maxsize=16)
def _combinations(n: int, k: int) -> NDArray[np.intp]:
    flat = itertools.chain.from_iterable(itertools.combinations(range(n), k))
    index = np.fromiter(flat, dtype=np.intp, count=math.comb(n, k) * k).reshape(-1, k)
    index.setflags(write=False)
    return index


def _count_enumerated(values: Floats, k: int, threshold: float) -> int:
    return int(np.count_nonzero(values[_combinations(len(values), k)].sum(axis=1) >= threshold))


def _count_matched(values: Floats, k: int, threshold: float) -> int:
    """Pairs (subset of the left half, subset of the right half) of joint size k whose sums reach the threshold."""
    half = len(values) // 2
    left, right = _subset_sums(values[:half], k), _subset_sums(values[half:], k)
    hits = 0
    for j in range(max(0, k - (len(values) - half)), min(k, half) + 1):
        ours, theirs = np.sort(left[j]), np.sort(right[k - j])
        below = np.searchsorted(theirs, threshold - ours, side="left")
        hits += len(ours) * len(theirs) - int(below.sum())
    return hits


def _subset_sums(values: Floats, k: int) -> list[Floats]:
    """Sums of every subset of size j, for j = 0 .. min(k, n)."""
    sums: list[Floats] = [np.zeros(1)]
    for value in values:
        grown = [sums[0]]
        grown += [np.concatenate([sums[j], sums[j - 1] + value]) for j in range(1, len(sums))]
        if len(sums) <= k:
            grown.append(sums[-1] + value)
        sums = grown
    return sums
