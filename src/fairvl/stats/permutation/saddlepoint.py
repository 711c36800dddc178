"""Tail probabilities of the sum of k values drawn without replacement, by a double saddlepoint.

Independent 0/1 variables with a common probability, given that k of them are 1, are a random split. The probability of
a sum under that condition is approximated from the joint cumulant generating function of (count, sum),
``K(s, t) = sum log(1 + exp(s + t v_i))``.

Two refinements. Tails of few splits are counted exactly: near complete separation the saddlepoint runs to infinity. And
the three most extreme values are set apart: a lone outlier makes the distribution of the sum two-humped, which no
smooth formula follows, so the tail is averaged over which of them are drawn. How much this moves p is reported as its
likely error.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from .exact import tail_count
from .result import LEAST, Floats, Rows, Tail, smallest_p

_THIN = 200_000  # a tail of no more splits than this is counted instead
_PARTIAL_SUMS = 2**20
_CENTRE = 0.01  # standard deviations within which the formula divides zero by zero
_SET_APART, _MANY = 3, 200  # most extreme values that are set apart, among up to so many values; else one
_LEAST_ERROR = 1 / 200


def saddlepoint_ps(rows: Rows, tail: Tail) -> tuple[Floats, Floats]:
    """p and its likely error per row [r]; an error of 0 marks a tail that was thin enough to be counted."""
    tails, everything = rows.upper_tails(tail)
    p, error = np.zeros(len(rows.values)), np.zeros(len(rows.values))
    for values, threshold in tails:
        found, likely = _upper_tails(values, rows.n_x, threshold, rows.tolerance)
        p, error = p + found, error + likely
    p[everything], error[everything] = 1.0, 0.0
    return np.clip(p, LEAST, 1.0), error


def _upper_tails(values: Floats, k: int, threshold: Floats, tolerance: Floats) -> tuple[Floats, Floats]:
    """Thin tails counted, the others as a mixture over where the most extreme values fall."""
    order = np.argsort(-np.abs(values), axis=1)
    values = np.take_along_axis(values, order, axis=1)
    p, error = np.full(len(values), np.nan), np.zeros(len(values))
    rough = _guarded(values, k, threshold, tolerance)
    log_splits = math.log(math.comb(values.shape[1], k))
    for row in range(len(values)):
        # few splits in a tail are few exchanges away from complete separation, where the saddlepoint diverges
        if rough[row] <= 0 or math.log(rough[row]) + log_splits < math.log(_THIN):
            count = tail_count(values[row], k, float(threshold[row]), _PARTIAL_SUMS)
            if count is not None:
                p[row] = count / math.comb(values.shape[1], k)
    rest = np.flatnonzero(np.isnan(p))
    if len(rest):
        args = values[rest], k, threshold[rest], tolerance[rest]
        plain, p[rest] = _guarded(*args), _conditioned(*args)
        error[rest] = np.maximum(np.abs(p[rest] - plain), _LEAST_ERROR * p[rest])
    return p, error


def _conditioned(values: Floats, k: int, threshold: Floats, tolerance: Floats) -> Floats:
    """Average of the tails given which of the first few values are among the k drawn."""
    n = values.shape[1]
    depth = max(min(_SET_APART if n <= _MANY else 1, k - 2, n - k - 2), 0)
    p = np.zeros(len(values))
    for chosen in itertools.product((0, 1), repeat=depth):
        ones = sum(chosen)
        weight = math.comb(n - depth, k - ones) / math.comb(n, k)
        rest = threshold - values[:, :depth] @ np.array(chosen, dtype=np.float64)
        p += weight * _guarded(values[:, depth:], k - ones, rest, tolerance)
    return p


def _guarded(values: Floats, k: int, threshold: Floats, tolerance: Floats) -> Floats:
    """The saddlepoint inside the range of sums; 1 below it, 0 above, one split at its upper end."""
    ordered = np.sort(values, axis=1)
    largest, smallest = ordered[:, values.shape[1] - k :].sum(axis=1), ordered[:, :k].sum(axis=1)
    p: Floats = (threshold <= largest) * smallest_p(k, values.shape[1] - k)
    p[threshold <= smallest + tolerance] = 1.0
    inside = np.flatnonzero((threshold < largest - 2 * tolerance) & (threshold > smallest + tolerance))
    if len(inside):
        p[inside] = double_saddlepoint(values[inside], k, threshold[inside])
    return p


def double_saddlepoint(values: Floats, k: int, threshold: Floats) -> Floats:
    """Chance that k of `values` [r, n], drawn without replacement, sum to `threshold` [r] or more.

    The threshold must lie inside the range of the sums: at its ends the saddlepoint is infinite.

    References
    ----------
    Skovgaard (1987), J. Appl. Prob. 24, the conditional tail (Lugannani and Rice's form); Robinson (1982),
    J. R. Statist. Soc. B 44, and Booth and Butler (1990), Biometrika 77, for permutation tests.
    """
    from scipy.special import erfcx, ndtr

    n = values.shape[1]
    mean = k / n * values.sum(axis=1)
    values = values - values.mean(axis=1, keepdims=True)
    spread = np.sqrt((values**2).mean(axis=1))
    values, target = values / spread[:, None], (threshold - mean) / spread
    z = target / math.sqrt(k * (n - k) / (n - 1))
    a0 = math.log(k / (n - k))
    a, t, hessian = _solve(values, k, target, a0)
    gain = (n * np.logaddexp(0.0, a0) - a0 * k) - _objective(values, a, t, k, target)
    w = np.sign(t) * np.sqrt(2 * np.maximum(gain, 0.0))
    determinant = hessian[0] * hessian[2] - hessian[1] ** 2
    u = t * np.sqrt(determinant / (k * (n - k) / n))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        density = np.exp(-(w**2) / 2) / math.sqrt(2 * math.pi)
        # erfcx keeps the digits of far tails that a cumulative normal would lose
        mills = np.where(w > 0, math.sqrt(math.pi / 2) * erfcx(np.abs(w) / math.sqrt(2)), 0.0)
        tail = np.where(w > 0, density * mills, ndtr(-w)) + density * (1 / u - 1 / w)
        skew = (n - 2 * k) / math.sqrt(k * (n - k)) * math.sqrt(n - 1) / max(n - 2, 1) * (values**3).mean(axis=1)
        edgeworth = ndtr(-z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * skew * (z**2 - 1) / 6
    p = np.where(np.abs(z) < _CENTRE, edgeworth, tail)
    result: Floats = np.clip(np.where(np.isfinite(p), p, 0.0), 0.0, 1.0)
    return result


def _objective(values: Floats, a: Floats, t: Floats, k: int, target: Floats) -> Floats:
    result: Floats = np.logaddexp(0.0, a[:, None] + t[:, None] * values).sum(axis=1) - a * k - t * target
    return result


def _solve(values: Floats, k: int, target: Floats, a0: float) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats]]:
    """Newton's method with halved steps for the saddlepoints of all rows; the objective is convex."""
    n = values.shape[1]
    a, t = np.full(len(values), a0), target / (k * (n - k) / n)
    at_start = _objective(values, a, np.zeros_like(t), k, target)
    t = np.where(_objective(values, a, t, k, target) < at_start, t, 0.0)
    current = _objective(values, a, t, k, target)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-np.clip(a[:, None] + t[:, None] * values, -700, 700)))
        gradient = chance.sum(axis=1) - k, (chance * values).sum(axis=1) - target
        h = _hessian(values, chance)
        determinant = np.maximum(h[0] * h[2] - h[1] ** 2, 1e-300)
        step_a = (h[2] * gradient[0] - h[1] * gradient[1]) / determinant
        step_t = (h[0] * gradient[1] - h[1] * gradient[0]) / determinant
        decrement = step_a * gradient[0] + step_t * gradient[1]
        active = decrement > 1e-20
        if not active.any():
            break
        a, t, current = _line_search(values, (a, t), (step_a, step_t), active, current, decrement, (k, target))
    chance = 1 / (1 + np.exp(-np.clip(a[:, None] + t[:, None] * values, -700, 700)))
    return a, t, _hessian(values, chance)


def _line_search(
    values: Floats,
    at: tuple[Floats, Floats],
    step: tuple[Floats, Floats],
    active: NDArray[np.bool_],
    current: Floats,
    decrement: Floats,
    aim: tuple[int, Floats],
) -> tuple[Floats, Floats, Floats]:
    length = active.astype(np.float64)
    for _ in range(40):
        a, t = at[0] - length * step[0], at[1] - length * step[1]
        value = _objective(values, a, t, *aim)
        rounding = 1e-14 * np.abs(current) + 1e-300
        worse = active & ~(value <= current - 1e-4 * length * decrement + rounding)
        if not worse.any():
            break
        length[worse] /= 2
    return a, t, value


def _hessian(values: Floats, chance: Floats) -> tuple[Floats, Floats, Floats]:
    q = chance * (1 - chance)
    weighted = q * values
    return q.sum(axis=1), weighted.sum(axis=1), (weighted * values).sum(axis=1)
