"""Gaps and worst values over groups, with intervals that stay honest when the groups are alike.

The gap between the best and the worst of several groups is a maximum over pairs. Picking the extremes again in every
resample adds noise to a number that noise has already raised, and an interval made so can never reach 0. Two things
are done instead.

* The extremes of the data are *held fixed*: a replicate of the gap is the signed difference of the observed best and
  the observed worst group. With two groups this is their ordinary difference, and its interval covers the gap.
* With more, a *simultaneous band* covers every pair at once, as the Tukey-Kramer range test does, but from the
  bootstrap. With standard errors ``s_ij`` of the differences and the `level` quantile q of
  ``max_ij |d*_ij - d_ij| / s_ij``, all true differences lie in ``d_ij +- q s_ij`` together, so the widest of them lies
  between ``max_ij (d_ij - q s_ij)`` and ``max_ij (d_ij + q s_ij)``. It is conservative where one pair stands out.

A group whose rows all agree never varies under resampling, which says nothing about how sure its value is. `floor`
gives every share the standard error it would have after adding two hits and two misses (Agresti and Coull 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Extremes:
    """The lowest and the highest group of each row of ``observed [r, g]``; NaN is left out."""

    observed: FloatArray
    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]
    defined: NDArray[np.int64]

    @classmethod
    def of(cls, observed: FloatArray) -> Extremes:
        """Extremes of group values ``[r, g]``."""
        missing = np.isnan(observed)
        return cls(
            observed,
            np.where(missing, np.inf, observed).argmin(axis=1),
            np.where(missing, -np.inf, observed).argmax(axis=1),
            np.count_nonzero(~missing, axis=1),
        )

    def low(self, values: FloatArray) -> FloatArray:
        """Values ``[b, r, g]`` at the observed lowest group, ``[b, r]``."""
        return values[:, np.arange(len(self.lowest)), self.lowest]

    def high(self, values: FloatArray) -> FloatArray:
        """Values at the observed highest group."""
        return values[:, np.arange(len(self.highest)), self.highest]

    def gaps(self, values: FloatArray) -> FloatArray:
        """Observed highest minus observed lowest group, ``[b, r]``; NaN where fewer than two groups are defined."""
        return np.where(self.defined > 1, self.high(values) - self.low(values), np.nan)


def floor(values: FloatArray, rows: FloatArray) -> FloatArray:
    """Smallest standard error of a share `values` of `rows`, with two hits and two misses added."""
    filled = rows + 4.0
    share = (values * rows + 2.0) / filled
    return np.asarray(np.sqrt(np.clip(share * (1.0 - share), 0.0, None) / filled))


@dataclass(frozen=True, eq=False)
class GapBand:
    """What the simultaneous band of gaps needs: pairs as ``[r, p]``, the widest studentised error of each row and draw.

    Pairs are taken as uncorrelated, which groups of rows are under resampling but for terms of order 1 / n.
    """

    distance: FloatArray
    spread: FloatArray
    widest: FloatArray  # [draws, r]

    @classmethod
    def of(cls, observed: FloatArray, replicates: FloatArray, least: FloatArray) -> GapBand:
        """From group values ``[r, g]``, their resamples ``[draws, r, g]`` and smallest standard errors ``[r, g]``.

        NaN is left out.
        """
        errors = replicates - observed
        variance = _spread(errors, least) ** 2
        still = np.where(np.isnan(errors), 0.0, errors).astype(np.float32)
        distance, spread = [np.zeros((len(observed), 0))], [np.zeros((len(observed), 0))]
        widest = np.zeros(still.shape[:2], dtype=np.float32)
        for i in range(observed.shape[1] - 1):
            distance.append(np.abs(observed[:, i, None] - observed[:, i + 1 :]))
            spread.append(np.sqrt(variance[:, i, None] + variance[:, i + 1 :]))
            scale = np.divide(1.0, spread[-1], out=np.zeros_like(spread[-1]), where=spread[-1] > 0)
            error = still[:, :, i + 1 :] - still[:, :, i, None]
            np.abs(error, out=error)
            error *= scale.astype(np.float32)
            np.maximum(widest, error.max(axis=2), out=widest)
        return cls(np.concatenate(distance, axis=1), np.concatenate(spread, axis=1), widest.astype(np.float64))

    def ends(self, level: float, rows: slice = slice(None)) -> tuple[FloatArray, FloatArray]:
        """Ends of the gap of each of these rows, covering all of them at `level`; NaN without a pair."""
        distance, spread = self.distance[rows], self.spread[rows]
        if not distance.shape[1]:
            nothing = np.full(len(distance), np.nan)
            return nothing, nothing
        reach = quantile(self.widest[:, rows].max(axis=1), level) * spread
        low, high = np.fmax.reduce(distance - reach, axis=1), np.fmax.reduce(distance + reach, axis=1)
        return np.maximum(low, 0.0), np.asarray(high)


def lowest_band(observed: FloatArray, replicates: FloatArray, least: FloatArray, level: float) -> tuple[float, float]:
    """Ends of the lowest of group values ``[g]`` with resamples ``[draws, g]``, covering every group at once."""
    errors = replicates - observed
    spread = _spread(errors, least)
    reach = quantile(_widest(errors, spread), level) * spread
    return float(np.fmin.reduce(observed - reach)), float(np.fmin.reduce(observed + reach))


def _spread(errors: FloatArray, least: FloatArray) -> FloatArray:
    """Standard deviation over draws, at least `least`; NaN where a value is undefined in the data."""
    defined = ~np.isnan(errors)
    n = np.maximum(defined.sum(axis=0), 1)
    filled = np.where(defined, errors, 0.0)
    variance = (filled**2).sum(axis=0) / n - (filled.sum(axis=0) / n) ** 2
    spread = np.maximum(np.sqrt(np.maximum(variance, 0.0)), least)
    return np.where(defined.any(axis=0), spread, np.nan)


def _widest(errors: FloatArray, spread: FloatArray) -> FloatArray:
    """Largest studentised error of each draw; a value that never varies has none."""
    ratio = np.divide(np.abs(errors), spread, out=np.zeros_like(errors), where=spread > 0)
    return np.asarray(np.fmax.reduce(ratio, axis=1))


def quantile(widest: FloatArray, level: float) -> float:
    """The order statistic that holds `level` of errors ``[draws]``."""
    ordered = np.sort(widest)
    return float(ordered[min(math.ceil(level * (len(ordered) + 1)), len(ordered)) - 1])
