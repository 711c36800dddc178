"""The metrics of one arm of generated images, with what their intervals need; see `representation`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...stats.bootstrap import interval
from ...stats.cells import FEW
from ...stats.codes import encode
from ...stats.rates import wilson
from ...stats.shares import Target
from ...stats.spread import quantile
from .shares import PromptShares

FloatArray = NDArray[np.float64]
DISTANCES = {"parity_gap": 1.0, "total_variation": 0.5}  # factor of sum_a |q_a - t_a|
METRICS = ("parity_gap", "total_variation", "max_skew", "min_skew", "entropy")


@dataclass(frozen=True, eq=False)
class Measured:
    """One arm: shares, target, and every metric with what its intervals need. Arrays over prompts are ``[p]``."""

    shares: PromptShares
    target: FloatArray  # [g]
    targets: FloatArray  # [draws, g]
    smoothing: float

    @property
    def names(self) -> tuple[str, ...]:
        return METRICS if len(self.shares.labels) == 2 else METRICS[1:]

    def goal(self, metric: str) -> tuple[FloatArray, FloatArray]:
        """What a distance is from: equal shares for the parity gap, else the target."""
        if metric == "parity_gap":
            half = np.full(2, 0.5)
            return half, half[None]
        return self.target, self.targets

    def values(self, metric: str) -> FloatArray:
        """The metric of every prompt."""
        return self._of(metric, self.shares.observed, self.goal(metric)[0])

    def _of(self, metric: str, q: FloatArray, goal: FloatArray) -> FloatArray:
        if metric in DISTANCES:
            return np.asarray(DISTANCES[metric] * np.abs(q - goal).sum(axis=-1))
        if metric == "entropy":
            return _entropy(q)
        skews = self.skews(q, goal)
        return np.asarray(_largest(skews) if metric == "max_skew" else _smallest(skews))

    def skews(self, q: FloatArray, goal: FloatArray) -> FloatArray:
        """``ln(share / target)`` per group, smoothed; NaN, which extremes leave out, for a group that is neither wanted
        nor drawn."""
        n = self.shares.labelled[:, None]
        filled = (q * n + self.smoothing) / np.maximum(n + self.smoothing * q.shape[-1], 1e-300)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(np.where(n > 0, filled, np.nan)) - np.log(goal))

    def fixed(self, metric: str) -> FloatArray:
        """Replicates ``[draws, p]`` with the side of the target, or the extreme group, of the data held fixed."""
        q, (goal, goals) = self.shares.replicates, self.goal(metric)
        if metric in DISTANCES:
            side = np.sign(self.shares.observed - goal)
            return np.asarray(DISTANCES[metric] * (side * (q - goals[:, None])).sum(axis=-1))
        if metric == "entropy":
            return _entropy(q)
        own = self.skews(self.shares.observed, goal)
        top = metric == "max_skew"
        known = np.where(np.isnan(own), -np.inf if top else np.inf, own)
        extreme = known.argmax(axis=1) if top else known.argmin(axis=1)
        return np.asarray(self.skews(q, goals[:, None])[:, np.arange(len(extreme)), extreme])

    def again(self, metric: str) -> FloatArray:
        """Replicates ``[draws, p]`` of the metric as it is, which noise makes larger where a prompt is on target."""
        return self._of(metric, self.shares.replicates, self.goal(metric)[1][:, None])

    def absolute(self, metric: str) -> FloatArray:
        """Bound on how far the metric moved from the data's, ``[draws, p]``, whichever side is the true one."""
        q, (goal, goals) = self.shares.replicates, self.goal(metric)
        if metric in DISTANCES:
            moved = (q - goals[:, None]) - (self.shares.observed - goal)
            return np.asarray(DISTANCES[metric] * np.abs(moved).sum(axis=-1))
        with np.errstate(invalid="ignore"):
            moved = np.abs(self.skews(q, goals[:, None]) - self.skews(self.shares.observed, goal))
        return np.asarray(np.where(np.isfinite(moved), moved, 0.0).max(axis=-1))

    def clear(self, metric: str) -> NDArray[np.bool_]:
        """Prompts whose groups all lie on one side of the target for sure, these prompts together."""
        g = len(self.shares.labels)
        low, high = self.shares.ends(_share_level(self.shares.level, g * max(len(self.shares.prompts), 1)))
        goal = self.goal(metric)[0]
        with np.errstate(invalid="ignore"):
            sure = ((low > goal) | (high < goal)).all(axis=1)
        return np.asarray(sure if metric in DISTANCES or g == 2 else np.zeros_like(sure))

    def ends(self, metric: str, level: float) -> tuple[FloatArray, FloatArray]:
        """Interval of the metric of every prompt, from the intervals of the shares."""
        value = self.values(metric)
        g = len(self.shares.labels)
        if metric == "entropy":
            return self._mirrored(value, level) if g > 2 else self._by_share(level)
        if metric in DISTANCES and g > 2:
            return self._banded(metric, value, level)
        low, high = self.shares.ends(_share_level(level, g))
        goal = self.goal(metric)[0]
        if metric in DISTANCES:
            least = np.maximum(np.maximum(low - goal, goal - high), 0.0)
            most = np.maximum(high - goal, goal - low)
            factor = 2 * DISTANCES[metric]  # both groups move by the same
            return factor * least[:, 0], factor * most[:, 0]
        pick = _largest if metric == "max_skew" else _smallest
        ends = [pick(self.skews(end, goal)) for end in (low, high)]
        bottom, top = (np.maximum(e, 0.0) if metric == "max_skew" else np.minimum(e, 0.0) for e in ends)
        return bottom, top

    def _banded(self, metric: str, value: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
        """A distance of more than two groups: plus and minus the quantile of how far it can have moved."""
        if not len(self.shares.replicates):
            return np.full(len(value), np.nan), np.full(len(value), np.nan)
        moved, n = self.absolute(metric), self.shares.labelled
        half = np.array([quantile(moved[:, p], level) * widening(int(n[p]), level) if n[p] > 1 else np.nan
                         for p in range(len(value))])  # fmt: skip
        least = [2 * DISTANCES[metric] * (1 - wilson(int(k), int(k), level)[0]) if k else np.nan for k in n]
        half = np.where(half > 0, half, least)
        return np.maximum(value - half, 0.0), np.minimum(value + half, 1.0)

    def _by_share(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Entropy of two groups falls with the distance of the share from one half."""
        low, high = (end[:, 0] for end in self.shares.ends(level))
        most = np.maximum(np.abs(low - 0.5), np.abs(high - 0.5)) + 0.5
        least = np.where((low < 0.5) & (high > 0.5), 0.0, np.minimum(np.abs(low - 0.5), np.abs(high - 0.5))) + 0.5
        return tuple(_entropy(np.stack([np.minimum(e, 1.0), 1 - np.minimum(e, 1.0)], -1)) for e in (most, least))  # type: ignore[return-value]

    def _mirrored(self, value: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
        if not len(self.shares.replicates):
            return np.full(len(value), np.nan), np.full(len(value), np.nan)
        low, high = np.full(len(value), np.nan), np.full(len(value), np.nan)
        drawn = self.fixed("entropy")
        for p, n in enumerate(self.shares.labelled):
            if n > 1 and math.isfinite(value[p]):
                low[p], high[p] = both_ways(drawn[:, p], float(value[p]), level, int(n))
        return low, high


def _share_level(level: float, g: int) -> float:
    """Level of each of g intervals, so that all hold together; those of two groups are one."""
    return level if g <= 2 else 1 - (1 - level) / g


def _largest(skews: FloatArray) -> FloatArray:
    return np.asarray(np.fmax.reduce(skews, axis=-1))


def _smallest(skews: FloatArray) -> FloatArray:
    return np.asarray(np.fmin.reduce(skews, axis=-1))


def _entropy(q: FloatArray) -> FloatArray:
    g = q.shape[-1]
    if g < 2:
        return np.full(q.shape[:-1], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(q > 0, q * np.log(q), np.where(np.isnan(q), np.nan, 0.0))
    return np.asarray(np.abs(parts.sum(axis=-1)) / math.log(g))


def widening(units: int, level: float) -> float:
    """What few images ask for on top of a percentile interval (`fairvl.stats.bootstrap.interval`)."""
    if units >= FEW:
        return 1.0
    from scipy.special import ndtri, stdtrit

    tail = (1 + level) / 2
    return float(math.sqrt(units / (units - 1)) * stdtrit(units - 1, tail) / ndtri(tail))


def both_ways(replicates: FloatArray, value: float, level: float, units: int) -> tuple[float, float]:
    """Percentile interval joined with its mirror image about the estimate, inside [0, 1]."""
    low, high = interval(replicates, value, level=level, method="percentile", units=units if units < FEW else None)
    return max(min(low, 2 * value - high, value), 0.0), min(max(high, 2 * value - low, value), 1.0)


def measured(shares: PromptShares, goal: Target, smoothing: float) -> Measured:
    """An arm against a target; the population is all labelled images of all prompts."""
    g, draws = len(shares.labels), max(len(shares.replicates), 1)
    if goal.kind == "population":
        weight = shares.labelled / max(shares.labelled.sum(), 1)
        target = np.nansum(shares.observed * weight[:, None], axis=0)
        targets = np.nansum(shares.replicates * weight[:, None], axis=1)
        targets = targets if len(targets) else target[None]
    else:
        target = goal.shares(encode(list(shares.labels), expected=list(shares.labels)))
        targets = np.broadcast_to(target, (draws, g))
    return Measured(shares, target, targets, smoothing)
