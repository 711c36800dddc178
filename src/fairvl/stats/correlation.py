"""Correlations over units, with intervals; partial; and the difference of two that share a variable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .bootstrap import interval, resample_counts, unit_codes
from .linear import design
from .paired import Equivalence

Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["pearson", "spearman"]

LEAST = 4  # Fisher's z has n - 3 in its standard error
BOOTSTRAP_FROM = 20  # fewer units make bootstrap intervals of a correlation too short
_CONSTANT = 1e-12


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation: Fisher's interval and t test, and the interval to print (a bootstrap where n allows)."""

    value: float
    low: float
    high: float
    p: float
    n: int
    method: str
    fisher_low: float
    fisher_high: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """``r(x1, y) - r(x2, y)`` of the same units, with Steiger's Z and Williams' t of their equality."""

    value: float
    low: float
    high: float
    n: int
    method: str
    statistic: float
    p: float
    williams: float
    p_williams: float
    note: str = ""


def correlation(
    x: ArrayLike, y: ArrayLike, *, kind: Kind = "pearson", controls: ArrayLike | None = None,
    clusters: ArrayLike | None = None, draws: int = 2000, level: float = 0.95, seed: int | np.random.Generator = 0,
) -> Correlation:  # fmt: skip
    """Correlation of x and y over units, or partial correlation given `controls`.

    Parameters
    ----------
    x, y : (n,) arrays
        Units with a NaN in either are left out.
    controls : (n, k) array, optional
        Columns whose least-squares fit is removed from both (with a constant); Pearson only.
    clusters : (n,) labels, optional
        Units that are resampled together.
    draws : int
        Bootstrap draws; 0 for Fisher's interval.

    Returns
    -------
    Correlation
        NaN with a note for fewer than 4 units, a constant variable, or one that the controls explain wholly.

    Notes
    -----
    Pearson: BCa bootstrap over units (or clusters) from 20 units on, Fisher's z below. Spearman: Fisher's z with the
    standard error ``sqrt((1 + r**2 / 2) / (n - 3))`` of Bonett and Wright (2000). Partial: Fisher's z with
    ``n - 3 - k``. The p-value is the t test on ``n - 2 - k`` degrees of freedom.

    Examples
    --------
    >>> x = np.arange(30.0)
    >>> r = correlation(x, x + 10 * np.sin(x))
    >>> round(r.value, 2), r.low < r.value < r.high, r.n, r.method
    (0.77, True, 30, 'bca')
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"x {a.shape} and y {b.shape}; expected two columns of the same length.")
    if kind not in ("pearson", "spearman") or (kind == "spearman" and controls is not None):
        raise InputError(f"kind {kind!r} with controls={controls is not None}; expected pearson, or spearman without.")
    keep = ~(np.isnan(a) | np.isnan(b))
    a, b, k = a[keep], b[keep], 0
    n = len(a)
    if controls is not None:
        plan = design(np.column_stack([np.ones(len(keep)), controls])[keep]) if n else None
        k = plan.rank - 1 if plan is not None else 0
    if n - k < LEAST:
        return _none(n, f"{n} units and {k} controls; a correlation needs {LEAST} units more than controls")
    if controls is not None and plan is not None:
        spread = a.std(), b.std()
        a, b = (v - plan.basis @ (plan.basis.T @ v) for v in (a, b))
        if a.std() <= 1e-9 * spread[0] or b.std() <= 1e-9 * spread[1]:
            return _none(n, "the controls explain a variable wholly; nothing is left to correlate")
    if kind == "spearman":
        from scipy.stats import rankdata

        a, b = rankdata(a), rankdata(b)
    if _constant(a) or _constant(b):
        return _none(n, "a variable is constant; no correlation is defined")
    r = float(_weighted(np.ones((1, n)), a, b)[0])
    low, high = fisher(r, n - k, level, spearman=kind == "spearman")
    p = t_p(r, n - 2 - k)
    codes = None if clusters is None else unit_codes(np.asarray(clusters)[keep])
    units = n if codes is None else int(codes.max()) + 1
    if kind == "spearman" or k or draws < 1 or units < BOOTSTRAP_FROM:
        return Correlation(r, low, high, p, n, "fisher z", low, high)
    rng = np.random.default_rng(seed)
    replicates = _weighted(resample_counts(n if codes is None else codes, draws, rng), a, b)
    left_out = _weighted(leave_one_out(n if codes is None else codes), a, b)
    ends = interval(replicates, r, level=level, method="bca", jackknife=left_out)
    return Correlation(r, float(ends[0]), float(ends[1]), p, n, "bca", low, high)


def correlation_difference(
    x1: ArrayLike, x2: ArrayLike, y: ArrayLike, *, clusters: ArrayLike | None = None, draws: int = 2000,
    level: float = 0.95, seed: int | np.random.Generator = 0,
) -> Difference:  # fmt: skip
    """``r(x1, y) - r(x2, y)`` over the same units: Steiger's test and an interval.

    Parameters
    ----------
    x1, x2, y : (n,) arrays
        Units with a NaN in any are left out.

    Returns
    -------
    Difference
        The interval is a BCa bootstrap from 20 units (or clusters) on, below that Zou's (2007).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.standard_normal(60)
    >>> d = correlation_difference(y + 0.1 * rng.standard_normal(60), -y + rng.standard_normal(60), y)
    >>> round(d.value, 1), d.p < 0.001, d.low > 1
    (1.7, True, True)
    """
    a, b, c = (np.asarray(v, dtype=np.float64) for v in (x1, x2, y))
    if not (a.shape == b.shape == c.shape and a.ndim == 1):
        raise InputError(f"x1 {a.shape}, x2 {b.shape}, y {c.shape}; expected three columns of the same length.")
    keep = ~(np.isnan(a) | np.isnan(b) | np.isnan(c))
    a, b, c = a[keep], b[keep], c[keep]
    n, nan = len(a), math.nan
    if n < LEAST or any(map(_constant, (a, b, c))):
        why = "a variable is constant" if n >= LEAST else f"{n} units; expected {LEAST} or more"
        return Difference(nan, nan, nan, n, "", nan, nan, nan, nan, why)
    one = np.ones((1, n))
    r1, r2, r12 = (float(_weighted(one, *pair)[0]) for pair in ((a, c), (b, c), (a, b)))
    z, p = steiger_z(r1, r2, r12, n)
    t, p_williams = williams_t(r1, r2, r12, n)
    codes = None if clusters is None else unit_codes(np.asarray(clusters)[keep])
    units = n if codes is None else int(codes.max()) + 1
    if draws < 1 or units < BOOTSTRAP_FROM:
        low, high = zou_interval(r1, r2, r12, n, level)
        return Difference(r1 - r2, low, high, n, "zou", z, p, t, p_williams)
    rng = np.random.default_rng(seed)
    counts = resample_counts(n if codes is None else codes, draws, rng)
    without = leave_one_out(n if codes is None else codes)
    replicates, left_out = (_weighted(w, a, c) - _weighted(w, b, c) for w in (counts, without))
    low, high = interval(replicates, r1 - r2, level=level, method="bca", jackknife=left_out)
    return Difference(r1 - r2, float(low), float(high), n, "bca", z, p, t, p_williams)


def fisher(r: float, n: int, level: float, *, spearman: bool = False) -> tuple[float, float]:
    """Fisher's z interval of a correlation of n units (fewer by the controls of a partial one).

    Examples
    --------
    >>> [round(end, 3) for end in fisher(0.5, 103, 0.95)]
    [0.339, 0.632]
    """
    from scipy.special import ndtri

    if n < LEAST or abs(r) >= 1:
        return (r, r) if abs(r) >= 1 else (-1.0, 1.0)
    reach = float(ndtri((1 + level) / 2)) * math.sqrt((1 + r * r / 2 if spearman else 1) / (n - 3))
    return math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach)


def correlation_equivalence(
    r: float, n: int, *, margin: float, alpha: float = 0.05, spearman: bool = False
) -> Equivalence:
    """Whether a correlation lies within ``(-margin, margin)``, by two one-sided tests on Fisher's z.

    A correlation that is not significant is not thereby absent; this is the test that can say so. `low` to `high` is
    Fisher's interval at level ``1 - 2 alpha``. With few units it cannot succeed, whatever r is: at r = 0 it needs
    ``n > 3 + (z(1 - alpha) / atanh(margin))**2``.

    Parameters
    ----------
    r, n
        The correlation and its units; below 4 units p is 1.
    margin
        What counts as no relation, between 0 and 1; to be stated with the result.
    spearman
        Widen the standard error for rank correlations, as `fisher` does.

    Raises
    ------
    InputError
        A margin outside (0, 1), an alpha outside (0, 0.5).

    References
    ----------
    Goertzen and Cribbie (2010), "Detecting a lack of association: an equivalence testing approach", Br. J. Math. Stat.
    Psychol. 63, the test on Fisher's z.

    Examples
    --------
    >>> correlation_equivalence(0.0, 100, margin=0.3).equivalent, correlation_equivalence(0.0, 9, margin=0.3).equivalent
    (True, False)
    """
    from scipy.special import ndtr

    if not 0 < margin < 1:
        raise InputError(f"margin={margin}; expected a correlation between 0 and 1, for example 0.3.")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha={alpha}; expected a number between 0 and 0.5, usually 0.05.")
    if n < LEAST or math.isnan(r):
        return Equivalence(r, math.nan, math.nan, 1.0, margin, alpha, n)
    low, high = fisher(r, n, 1 - 2 * alpha, spearman=spearman)
    if abs(r) >= 1:
        return Equivalence(r, low, high, 1.0, margin, alpha, n)
    error = math.sqrt((1 + r * r / 2 if spearman else 1) / (n - 3))
    p = float(ndtr(-(math.atanh(margin) - abs(math.atanh(r))) / error))
    return Equivalence(r, low, high, p, margin, alpha, n)


def steiger_z(r1: float, r2: float, r12: float, n: int) -> tuple[float, float]:
    """Steiger's Z with pooled correlation, and its two-sided p: do x1 and x2 correlate alike with y?

    Parameters
    ----------
    r1, r2 : float
        ``r(x1, y)`` and ``r(x2, y)``.
    r12 : float
        ``r(x1, x2)``.

    References
    ----------
    Steiger (1980), "Tests for comparing elements of a correlation matrix", Psychol. Bull. 87, equations 3, 10, 14.

    Examples
    --------
    >>> [round(number, 2) for number in steiger_z(0.4, 0.5, 0.1, 103)]
    [-0.89, 0.37]
    """
    from scipy.special import ndtr

    if abs(r1) >= 1 or abs(r2) >= 1:
        return (0.0, 1.0) if r1 == r2 else (math.nan, math.nan)
    pooled = ((r1 + r2) / 2) ** 2
    psi = r12 * (1 - 2 * pooled) - pooled * (1 - 2 * pooled - r12**2) / 2
    spread = 2 - 2 * psi / (1 - pooled) ** 2
    if spread <= 1e-12:
        return (0.0, 1.0) if abs(r1 - r2) < 1e-9 else (math.nan, math.nan)
    z = (math.atanh(r1) - math.atanh(r2)) * math.sqrt((n - 3) / spread)
    return z, 2 * float(ndtr(-abs(z)))


def williams_t(r1: float, r2: float, r12: float, n: int) -> tuple[float, float]:
    """Williams' t on n - 3 degrees of freedom, and its two-sided p, for the question of `steiger_z`.

    References
    ----------
    Williams (1959), J. R. Statist. Soc. B 21; Steiger (1980), equation 7.

    Examples
    --------
    >>> [round(number, 2) for number in williams_t(0.4, 0.5, 0.1, 103)]
    [-0.89, 0.37]
    """
    from scipy.special import stdtr

    determinant = 1 - r1**2 - r2**2 - r12**2 + 2 * r1 * r2 * r12
    below = 2 * (n - 1) / (n - 3) * determinant + ((r1 + r2) / 2) ** 2 * (1 - r12) ** 3
    if below <= 1e-15:
        return (0.0, 1.0) if abs(r1 - r2) < 1e-9 else (math.nan, math.nan)
    t = (r1 - r2) * math.sqrt((n - 1) * (1 + r12) / below)
    return t, 2 * float(stdtr(n - 3, -abs(t)))


def zou_interval(r1: float, r2: float, r12: float, n: int, level: float) -> tuple[float, float]:
    """Interval of ``r1 - r2`` for correlations that share a variable.

    References
    ----------
    Zou (2007), "Toward using confidence intervals to compare correlations", Psychol. Methods 12, equations 11, 14.

    Examples
    --------
    >>> [round(end, 3) for end in zou_interval(0.396, 0.179, 0.088, 66, 0.95)]
    [-0.093, 0.517]
    """
    (l1, u1), (l2, u2) = fisher(r1, n, level), fisher(r2, n, level)
    spread = (1 - r1**2) * (1 - r2**2)
    shared = ((r12 - r1 * r2 / 2) * (1 - r1**2 - r2**2 - r12**2) + r12**3) / spread if spread > 0 else 1.0
    below = (r1 - l1) ** 2 + (u2 - r2) ** 2 - 2 * shared * (r1 - l1) * (u2 - r2)
    above = (u1 - r1) ** 2 + (r2 - l2) ** 2 - 2 * shared * (u1 - r1) * (r2 - l2)
    return r1 - r2 - math.sqrt(max(below, 0.0)), r1 - r2 + math.sqrt(max(above, 0.0))


def leave_one_out(units: int | ArrayLike) -> Floats:
    """Weights [units, rows] that leave out each unit in turn: the jackknife of a statistic of weights."""
    codes = unit_codes(units)
    weights: Floats = (codes != np.arange(int(codes.max()) + 1)[:, None]).astype(np.float64)
    return weights


def _weighted(weights: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's r under each row of weights [draws, n]; NaN where a variable is constant."""
    a, b = (v - v.mean() for v in (x, y))
    a, b = a / a.std(), b / b.std()
    total = weights.sum(axis=1)
    ma, mb = weights @ a / total, weights @ b / total
    va, vb = weights @ a**2 / total - ma**2, weights @ b**2 / total - mb**2
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (weights @ (a * b) / total - ma * mb) / np.sqrt(np.where((va > 1e-12) & (vb > 1e-12), va * vb, np.nan))
    clipped: Floats = np.clip(r, -1.0, 1.0)
    return clipped


def _constant(values: Floats) -> bool:
    return bool(np.ptp(values) <= _CONSTANT * max(1.0, float(np.abs(values).max())))


def t_p(r: float, df: int) -> float:
    """Two-sided p-value of a correlation r by Student's t with df degrees of freedom."""
    from scipy.special import stdtr

    return 0.0 if abs(r) >= 1 else 2 * float(stdtr(df, -abs(r) * math.sqrt(df / (1 - r * r))))


def _none(n: int, note: str) -> Correlation:
    nan = math.nan
    return Correlation(nan, nan, nan, nan, n, "", nan, nan, note)
