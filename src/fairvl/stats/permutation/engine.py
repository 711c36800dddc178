"""One call for every method: which one is used, on what, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ..bootstrap import draw_blocks
from .exact import enumerated_hits, matched_hits, n_half_sums
from .lattice import lattice_ps
from .result import (
    ENUMERATED,
    LATTICE,
    MATCHED,
    SADDLEPOINT,
    Floats,
    PermutationP,
    Rows,
    Tail,
    check_tail,
    counted_p,
    sampled_p,
    smallest_p,
    tie_tolerance,
)
from .saddlepoint import saddlepoint_ps
from .sampled import random_splits, sampled_hits

Seed: TypeAlias = int | np.random.Generator
Method: TypeAlias = Literal["auto", "enumerate", "match", "lattice", "saddlepoint", "sample"]

EXACT_LIMIT = math.comb(40, 20)
DRAWS = 99_999

_ENUMERATED = 2_000_000  # numbers in the matrix of all splits; beyond it, matching halves is faster
_LARGEST_ENUMERATION = 10_000_000
_HALF_SUMS = 2**22  # subset sums held at once, 8 bytes each: 20 + 20 needs 2**21
_SHARED_HALF_SUMS = 2**26  # over all rows of a sweep's test: 131 rows up to 18 + 18
_FEW_HITS = 100  # a sampled p from fewer is off by 10 % and more
_LEAST_UNITS = 8  # of the smaller side, for the saddlepoint to take over unasked


def two_sample_p(
    values_x: ArrayLike,
    values_y: ArrayLike,
    *,
    tail: Tail = "greater",
    method: Method = "auto",
    exact_limit: int = EXACT_LIMIT,
    draws: int = DRAWS,
    seed: Seed = 0,
    grid: int | None = None,
) -> PermutationP:
    """Share of all splits of the pooled values whose mean difference is at least as extreme.

    Parameters
    ----------
    values_x, values_y : (n,) and (m,) arrays
        Exchangeable units under the null hypothesis; sizes may differ.
    tail
        "greater": mean of x minus mean of y at least as large; "less": at most as large;
        "two-sided": at least as large in absolute value.
    method
        One of the table in `fairvl.stats.permutation`; "auto" picks by size.
    exact_limit
        "auto" counts every split when there are at most this many (and their half sums fit in memory).
    draws, seed
        Random splits, and their seed or generator; a sampled p is ``(hits + 1) / (draws + 1)``.
    grid
        Steps over the range of the values for "lattice"; by default as many as a few seconds allow.

    Raises
    ------
    InputError
        An empty group, NaN or infinity, not one-dimensional, an unknown tail or method, sizes the method cannot count.

    Notes
    -----
    Computed in float64. Two sums are tied when they differ by less than 1e-11 of the summed absolute
    deviations of the pooled values. The saddlepoint supposes values without a common grid: for a handful of distinct
    values use "lattice", whose bounds are proven.

    Examples
    --------
    >>> two_sample_p([3.0, 4.0, 5.0], [0.0, 1.0, 2.0]).p == 1 / 20
    True
    """
    x, y = _check_values(values_x, "values_x", 1), _check_values(values_y, "values_y", 1)
    options: dict[str, Any] = {"exact_limit": exact_limit, "draws": draws, "seed": seed, "grid": grid}
    return two_sample_ps(x[None], y[None], tail=tail, method=method, **options)[0]


def two_sample_ps(
    values_x: ArrayLike,
    values_y: ArrayLike,
    *,
    tail: Tail = "greater",
    method: Method = "auto",
    exact_limit: int = EXACT_LIMIT,
    draws: int = DRAWS,
    seed: Seed = 0,
    grid: int | None = None,
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
    if method not in get_args(Method):
        raise InputError(f"method={method!r}; expected one of {get_args(Method)}.")
    if len(x) != len(y):
        raise InputError(f"values_x has {len(x)} rows, values_y {len(y)}; expected as many rows in both.")
    if draws < 1:
        raise InputError(f"draws={draws}; expected at least 1.")
    rows = Rows.of(x, y)
    if method == "auto":
        if is_countable(rows.n_x, rows.n_y, exact_limit):
            small = math.comb(rows.n_x + rows.n_y, rows.n_x) * (rows.n_x + rows.n_y) <= _ENUMERATED
            return _COUNTED["enumerate" if small else "match"](rows, tail)
        return _sampled_or_thin(rows, tail, draws, np.random.default_rng(seed))
    if method == "sample":
        return tuple(sampled_p(int(h), draws) for h in sampled_hits(rows, tail, draws, np.random.default_rng(seed)))
    if method == "lattice":
        return _on_a_lattice(rows, tail, grid)
    return _COUNTED[method](rows, tail)


def is_countable(n_x: int, n_y: int, exact_limit: int = EXACT_LIMIT) -> bool:
    """True when "auto" counts every split of these sizes."""
    return math.comb(n_x + n_y, n_x) <= exact_limit and n_half_sums(n_x, n_y) <= _HALF_SUMS


def _enumerated(rows: Rows, tail: Tail) -> tuple[PermutationP, ...]:
    splits = math.comb(rows.n_x + rows.n_y, rows.n_x)
    if splits > _LARGEST_ENUMERATION:
        raise InputError(
            f'method="enumerate" with {splits:.3g} splits of {rows.n_x} and {rows.n_y} values; at most '
            f'{_LARGEST_ENUMERATION:,}. Use method="match" or "auto".'
        )
    return tuple(counted_p(h, rows.n_x, rows.n_y, tail, ENUMERATED) for h in enumerated_hits(rows, tail))


def _matched(rows: Rows, tail: Tail) -> tuple[PermutationP, ...]:
    if n_half_sums(rows.n_x, rows.n_y) > _HALF_SUMS:
        raise InputError(
            f'method="match" would hold {n_half_sums(rows.n_x, rows.n_y):.3g} subset sums for {rows.n_x} and '
            f'{rows.n_y} values; at most {_HALF_SUMS:,}. Use method="auto", "lattice" or "saddlepoint".'
        )
    return tuple(counted_p(h, rows.n_x, rows.n_y, tail, MATCHED) for h in matched_hits(rows, tail))


def _on_a_lattice(rows: Rows, tail: Tail, grid: int | None) -> tuple[PermutationP, ...]:
    splits, floor = math.comb(rows.n_x + rows.n_y, rows.n_x), smallest_p(rows.n_x, rows.n_y, tail)
    found = lattice_ps(rows, tail, grid)
    return tuple(PermutationP(p, LATTICE, (high - low) / 2, floor, splits, low, high) for p, low, high in found)


def _by_saddlepoint(rows: Rows, tail: Tail) -> tuple[PermutationP, ...]:
    floor = smallest_p(rows.n_x, rows.n_y, tail)
    splits = math.comb(rows.n_x + rows.n_y, rows.n_x)
    found = []
    for p, error in zip(*saddlepoint_ps(rows, tail), strict=True):
        p, error = max(float(p), floor), float(error)
        counted = error == 0.0
        low, high = (p, p) if counted else (math.nan, math.nan)
        found.append(PermutationP(p, MATCHED if counted else SADDLEPOINT, error, floor, splits, low, high))
    return tuple(found)


_COUNTED: dict[str, Callable[[Rows, Tail], tuple[PermutationP, ...]]] = {
    "enumerate": _enumerated,
    "match": _matched,
    "saddlepoint": _by_saddlepoint,
}


def _sampled_or_thin(rows: Rows, tail: Tail, draws: int, rng: np.random.Generator) -> tuple[PermutationP, ...]:
    """Sampled p-values; where fewer than 100 hits are to be expected of any number drawn so, the saddlepoint's."""
    hits = sampled_hits(rows, tail, draws, rng)
    found = [sampled_p(int(h), draws) for h in hits]
    thin = np.flatnonzero(hits < _FEW_HITS)
    if min(rows.n_x, rows.n_y) >= _LEAST_UNITS:
        smooth = thin[is_smooth(rows.values[thin])]
        for i, p in zip(smooth, _by_saddlepoint(rows.take(smooth), tail), strict=True):
            if p.p < _FEW_HITS / draws:
                found[i] = p
    return tuple(found)


def is_smooth(values: Floats) -> NDArray[np.bool_]:
    """Per row of pooled values [r, n]: at least 8 distinct ones, so that their sums lie densely."""
    ordered = np.sort(values, axis=1)
    steps = np.diff(ordered, axis=1) > 1e-9 * np.ptp(values, axis=1)[:, None]
    smooth: NDArray[np.bool_] = np.count_nonzero(steps, axis=1) + 1 >= _LEAST_UNITS
    return smooth


def economical_methods(values_x: Floats, values_y: Floats) -> list[Method]:
    """The method of each of many rows: exact where all together cost seconds, else the saddlepoint where it applies."""
    n_x, n_y = values_x.shape[1], values_y.shape[1]
    if is_countable(n_x, n_y) and n_half_sums(n_x, n_y) * len(values_x) <= _SHARED_HALF_SUMS:
        return ["auto"] * len(values_x)
    smooth = is_smooth(np.concatenate([values_x, values_y], axis=1)) & (min(n_x, n_y) >= _LEAST_UNITS)
    return ["saddlepoint" if row else "sample" for row in smooth]


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


def _extreme(sums: Floats, observed: Any, tolerance: Any, tail: Tail) -> Any:
    if tail == "greater":
        return sums >= observed - tolerance
    if tail == "less":
        return sums <= observed + tolerance
    return np.abs(sums) >= np.abs(observed) - tolerance


def _check_values(values: ArrayLike, name: str, ndim: int) -> Floats:
    array: NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "iufb" or array.ndim != ndim:
        raise InputError(f"{name}: shape {array.shape}, dtype {array.dtype}; expected {ndim} dimensions of numbers.")
    if array.shape[-1] == 0:
        raise InputError(f"{name}: an empty group; expected at least one value.")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: holds NaN or infinity. Drop those units before testing.")
    return array.astype(np.float64)
