"""Least squares with designs that may be short of rank: contrasts, shares of variance with intervals, permutation.

Designs are over-parametrised on purpose (one column per level), so that no level is a hidden baseline. A contrast is
*estimable* when the data decide it whatever the coding; the others are NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

Floats: TypeAlias = NDArray[np.float64]

_RANK = 1e-9  # singular values below this share of the largest are rounding
_ESTIMABLE = 1e-7
_LARGEST_F = 1e6


@dataclass(frozen=True, eq=False)
class Design:
    """A design matrix and its orthonormal basis.

    Attributes
    ----------
    x : (n, p) array
    basis : (n, r) array
        Orthonormal columns that span the columns of `x`.
    back : (p, r) array
        ``back @ (basis.T @ y)`` are the minimum-norm coefficients of y.
    """

    x: Floats
    basis: Floats
    back: Floats

    @property
    def rank(self) -> int:
        return int(self.basis.shape[1])

    @property
    def df(self) -> int:
        """Residual degrees of freedom."""
        return len(self.x) - self.rank

    def estimable(self, contrasts: ArrayLike) -> NDArray[np.bool_]:
        """Which rows of `contrasts` [k, p] lie in the row space of `x`."""
        c = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
        inside = c @ self.back @ (self.basis.T @ self.x)
        scale = np.maximum(np.abs(c).max(axis=1), np.finfo(np.float64).tiny)
        answer: NDArray[np.bool_] = np.abs(inside - c).max(axis=1) <= _ESTIMABLE * scale
        return answer

    def residual_squares(self, y: Floats) -> Floats:
        """Sums of squares of y [..., n] around its fit."""
        rest = y - (y @ self.basis) @ self.basis.T
        squares: Floats = np.einsum("...n,...n->...", rest, rest)
        return squares


def design(x: ArrayLike) -> Design:
    """The basis of a design matrix [n, p].

    Examples
    --------
    >>> two_groups = design([[1, 1, 0], [1, 1, 0], [1, 0, 1]])
    >>> two_groups.rank, two_groups.estimable([[0, 1, -1], [0, 1, 0]]).tolist()
    (2, [True, False])
    """
    matrix = np.asarray(x, dtype=np.float64)
    if matrix.ndim != 2 or len(matrix) == 0 or not np.isfinite(matrix).all():
        raise InputError(f"a design of shape {matrix.shape}; expected finite numbers [n, columns].")
    scale = np.where((norms := np.linalg.norm(matrix, axis=0)) > 0, norms, 1.0)
    u, s, vt = np.linalg.svd(matrix / scale, full_matrices=False)
    keep = s > _RANK * max(float(s[0]) if len(s) else 0.0, np.finfo(np.float64).tiny)
    return Design(matrix, u[:, keep], (vt[keep].T / s[keep]) / scale[:, None])


@dataclass(frozen=True, slots=True)
class Share:
    """A share of variance that some columns explain, with the test that it is 0.

    `value` is adjusted for chance (Ezekiel) and may be negative; `partial` is relative to what the other columns
    leave. The interval lies in [0, 1].
    """

    value: float
    low: float
    high: float
    partial: float
    f: float
    df: int
    df_residual: int
    p: float


def variance_share(y: ArrayLike, others: ArrayLike, tested: ArrayLike, *, level: float = 0.95) -> Share:
    """Share of the variance of y that `tested` explains beyond `others` (type III), with an interval that can hold 0.

    Parameters
    ----------
    y : (n,) array
    others : (n, p) array
        The columns that stay, the constant among them.
    tested : (n, q) array
        The columns in question.

    Returns
    -------
    Share
        NaN with ``df = 0`` when `others` already span `tested`, or when nothing is left to estimate noise with.

    Notes
    -----
    With mean squares ``MSE`` of the full model, ``MSR`` without `tested` and ``MST`` around the mean,
    ``partial = 1 - MSE / MSR``, and `others` leave the share ``min(MSR / MST, 1)``; the value is their product, a
    difference of adjusted R squared. The interval inverts the noncentral F distribution, which is exact for the
    partial share under normal errors (``lambda / (lambda + n)``), and is scaled by what `others` leave, taken as known.
    Its lower end is 0 unless the F test rejects at ``(1 - level) / 2``.

    References
    ----------
    Steiger and Fouladi (1997), "Noncentrality interval estimation"; Ezekiel (1930) for adjusted R squared.

    Examples
    --------
    >>> y = np.array([0.0, 0.1, 0.2, 1.0, 1.1, 1.2])
    >>> group = np.repeat(np.eye(2), 3, axis=0)
    >>> share = variance_share(y, np.ones((6, 1)), group)
    >>> round(share.value, 3), round(share.low, 2), round(share.high, 2), share.df
    (0.968, 0.72, 0.99, 1)
    """
    from scipy import stats

    values = np.asarray(y, dtype=np.float64)
    without, full = design(others), design(np.column_stack([others, tested]))
    df, df_residual = full.rank - without.rank, full.df
    total = float(((values - values.mean()) ** 2).sum())
    if df == 0 or df_residual < 1 or total <= 1e-24 * max(float((values**2).sum()), 1e-300):
        nan = math.nan
        return Share(nan, nan, nan, nan, nan, df, df_residual, nan)
    rss, rss_without = float(full.residual_squares(values)), float(without.residual_squares(values))
    mse, msr, mst = rss / df_residual, rss_without / without.df, total / (len(values) - 1)
    share = min(msr / mst, 1.0)  # what the others leave; more than all of it only by their degrees of freedom
    if mse <= 1e-20 * mst:
        return Share(share, share, share, 1.0, math.inf, df, df_residual, 0.0)
    f = max(rss_without - rss, 0.0) / df / mse
    low, high = (scale / (scale + len(values)) * share for scale in _noncentrality(f, df, df_residual, level))
    partial = 1 - mse / msr
    return Share(partial * share, low, high, partial, f, df, df_residual, float(stats.f.sf(f, df, df_residual)))


def _noncentrality(f: float, df: int, df_residual: int, level: float) -> tuple[float, float]:
    """The noncentralities under which f is the upper and the lower tail point."""
    from scipy.optimize import brentq
    from scipy.special import ncfdtr

    def solve(probability: float) -> float:
        def gap(noncentrality: float) -> float:
            return float(ncfdtr(df, df_residual, noncentrality, f)) - probability

        if gap(0.0) <= 0:
            return 0.0
        upper = max(2 * df * f, 10.0)
        while gap(upper) > 0:
            upper *= 2
        return float(brentq(gap, 0.0, upper, xtol=1e-9 * upper))

    # far out the noncentralities are proportional to f, and the distribution function has no value
    beyond = max(f / _LARGEST_F, 1.0)
    f = f / beyond
    return solve((1 + level) / 2) * beyond, solve((1 - level) / 2) * beyond


def permutation_orders(n: int, permutations: int, seed: int | np.random.Generator) -> NDArray[np.int64]:
    """Random orders [permutations, n] of n units, to be shared by every test of one study."""
    rng = np.random.default_rng(seed)
    return np.argsort(rng.random((permutations, n)), axis=1)


def freedman_lane(y: ArrayLike, others: ArrayLike, tested: ArrayLike, orders: NDArray[np.int64]) -> float:
    """Permutation p-value that `tested` explains nothing of y beyond `others`: residuals of the units are shuffled.

    Parameters
    ----------
    y : (n,) array
    others, tested : (n, p), (n, q) arrays
        Columns that stay and columns in question; without `others` but a constant this permutes labels.
    orders : (permutations, n) array
        From `permutation_orders`.

    Returns
    -------
    float
        ``(1 + permutations with F at least as large) / (1 + permutations)``; NaN when there is nothing to test.

    References
    ----------
    Freedman and Lane (1983), "A nonstochastic interpretation of reported significance levels".

    Examples
    --------
    >>> y = np.r_[np.zeros(8), np.ones(8)] + 0.01 * np.arange(16)
    >>> group = np.repeat(np.eye(2), 8, axis=0)
    >>> freedman_lane(y, np.ones((16, 1)), group, permutation_orders(16, 999, 0))
    0.001
    """
    values = np.asarray(y, dtype=np.float64)
    without, full = design(others), design(np.column_stack([others, tested]))
    if full.rank == without.rank or full.df < 1:
        return math.nan
    rest = values - without.basis @ (without.basis.T @ values)
    if float(rest @ rest) <= 1e-24 * max(float(values @ values), 1e-300):
        return math.nan
    added = full.basis - without.basis @ (without.basis.T @ full.basis)
    axes = np.linalg.svd(added, full_matrices=False)[0][:, : full.rank - without.rank]
    shuffled = np.concatenate([rest[None], rest[orders]])
    explained, known = ((shuffled @ basis) ** 2 for basis in (axes, without.basis))
    ratio = explained.sum(axis=1) / np.maximum(rest @ rest - known.sum(axis=1), np.finfo(np.float64).tiny)
    hits = int((ratio[1:] >= ratio[0] * (1 - 1e-10)).sum())  # F grows with this ratio
    return (1 + hits) / (1 + len(orders))


def inflation(others: ArrayLike, tested: ArrayLike) -> float:
    """Generalised variance inflation of the columns `tested` by `others` (the constant among these).

    For one column it is the usual ``1 / (1 - R2)``; for several the ratio of determinants of Fox and Monette (1992).
    Infinite when `others` span one of the columns.

    Examples
    --------
    >>> round(inflation([[1, -1], [1, 0], [1, 1.0]], [[0.5], [-1], [0.5]]), 6)
    1.0
    """
    own = np.asarray(tested, dtype=np.float64)
    own = own - own.mean(axis=0)
    basis = design(np.column_stack([np.ones(len(own)), others])).basis
    left = own - basis @ (basis.T @ own)
    alone, beside = design(own), design(left) if np.abs(left).max(initial=0.0) > 1e-12 else None
    if beside is None or beside.rank < alone.rank:
        return math.inf
    inside = left @ alone.back  # coordinates in which the columns alone are orthonormal
    determinant = float(np.linalg.det(inside.T @ inside))
    return 1 / determinant if determinant > 1e-14 else math.inf


def t_interval(value: Any, error: Any, df: Any, level: float) -> tuple[Any, Any, Any]:
    """Two-sided t interval and p-value of estimates with standard errors; NaN stays NaN."""
    from scipy.special import stdtr, stdtrit

    value, error, df = (np.asarray(part, dtype=np.float64) for part in (value, error, df))
    reach = stdtrit(df, (1 + level) / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(df, -np.abs(value / error))
    return value - reach, value + reach, p
