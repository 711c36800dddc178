"""Paired differences of few runs: the t interval and test, and two one-sided tests of equivalence.

A difference is one number per pair (a training seed under two recipes, say); the pairs are the units. With few pairs
the t distribution is an assumption, so `paired_test` also gives the exact sign-flip p, which assumes symmetry only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

EXACT_PAIRS = 32  # all 2 ** n sign flips are counted up to here


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Mean difference, its t interval, and p two-sided by t and by exact sign flips (NaN beyond 32 pairs)."""

    value: float
    low: float
    high: float
    p: float
    p_exact: float
    n: int
    level: float


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests: `p` is the larger of the two, `low` to `high` the interval at level 1 - 2 alpha.

    `equivalent` is ``p < alpha``, which is the interval lying inside (-margin, margin).
    """

    value: float
    low: float
    high: float
    p: float
    margin: float
    alpha: float
    n: int

    @property
    def equivalent(self) -> bool:
        """Whether both one-sided tests reject."""
        return self.p < self.alpha


def paired_test(differences: ArrayLike, *, level: float = 0.95) -> PairedTest:
    """Mean of paired differences with its t interval and two-sided p.

    Parameters
    ----------
    differences : (n,) array
        One per pair, n at least 2; computed in float64.

    Raises
    ------
    InputError
        Fewer than 2 pairs, or a difference that is not finite.

    Examples
    --------
    >>> found = paired_test([-0.02, -0.01, -0.03, -0.02, -0.02])
    >>> round(found.value, 3), round(found.high, 3), found.p_exact
    (-0.02, -0.011, 0.0625)
    """
    values, mean, error = _moments(differences)
    n = len(values)
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(n - 1, (1 + level) / 2)) * error
    p = float(2 * stdtr(n - 1, -abs(mean) / error)) if error > 0 else float(mean == 0)
    return PairedTest(mean, mean - half, mean + half, p, _sign_flip_p(values), n, level)


def paired_equivalence(differences: ArrayLike, *, margin: float, alpha: float = 0.05) -> Equivalence:
    """Whether the mean of paired differences lies within ``(-margin, margin)``, by two one-sided t tests.

    Without any spread the mean itself decides.

    Raises
    ------
    InputError
        Fewer than 2 pairs, a difference that is not finite, a margin that is not positive.

    References
    ----------
    Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power approach", J. Pharmacokinet.
    Biopharm. 15.

    Examples
    --------
    >>> found = paired_equivalence([0.001, -0.002, 0.000, 0.002, -0.001], margin=0.015)
    >>> found.equivalent, paired_equivalence([0.03, -0.04, 0.05, 0.0], margin=0.015).equivalent
    (True, False)
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise InputError(f"margin={margin}; expected a positive number, for example 0.015 for 1.5 points.")
    if not 0 < alpha < 0.5:
        raise InputError(f"alpha={alpha}; expected a number between 0 and 0.5, usually 0.05.")
    values, mean, error = _moments(differences)
    n = len(values)
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(n - 1, 1 - alpha)) * error
    inside = margin - abs(mean)
    p = float(stdtr(n - 1, -inside / error)) if error > 0 else float(inside <= 0)
    return Equivalence(mean, mean - half, mean + half, p, margin, alpha, n)


def _moments(differences: ArrayLike) -> tuple[NDArray[Any], float, float]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(f"differences of shape {values.shape}; expected at least 2 finite numbers, one per pair.")
    return values, float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def _sign_flip_p(values: NDArray[Any]) -> float:
    """Share of all sign flips whose sum is as far from 0 as the sum seen; flips of two halves meet in the middle."""
    if len(values) > EXACT_PAIRS:
        return math.nan
    seen = abs(float(values.sum()))
    least = seen - 1e-9 * max(seen, float(np.abs(values).sum()))
    if least <= 0:
        return 1.0
    half = len(values) // 2
    left, right = _flipped_sums(values[:half]), np.sort(_flipped_sums(values[half:]))
    above = len(right) - np.searchsorted(right, least - left, side="left")
    return float(2 * above.sum() / (len(left) * len(right)))  # as many sums lie as far below 0


def _flipped_sums(values: NDArray[Any]) -> NDArray[Any]:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums
