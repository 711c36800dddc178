"""Metrics of classifiers by label and group, with intervals over test images and training seeds.

Counts are truth x prediction x group. ``A(i, j)`` is the accuracy in group i among images of true class j. With two
classes the equalized-odds differences are those of textbooks: the gaps of true and false positive rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...stats.cells import Totals, row_counts
from ...stats.estimate import Estimate
from ...stats.rates import divide, mean_defined, metric, wilson
from ...stats.spread import Extremes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SHARES = ("accuracy", "macro_f1", "worst_group_accuracy", "worst_label_group_accuracy", "counterfactual_flip_rate")


@dataclass(frozen=True, eq=False)
class Frame:
    """Test images: truth [n] and group [n] as codes, and the names of the codes."""

    truth: Ints
    group: Ints
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    positive: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """Metrics in the order of the values."""
        gaps = tuple(f"accuracy_difference|{name} minus {self.groups[0]}" for name in self.groups[1:])
        return ("accuracy", "macro_f1", "worst_group_accuracy", "worst_label_group_accuracy",
                "equal_opportunity_difference", "equalized_odds_difference", "equalized_odds_difference_mean",
                *gaps)  # fmt: skip

    def index(self, predicted: Ints) -> Ints:
        """Cell of each row: group, truth, prediction."""
        k = len(self.classes)
        return np.asarray((self.group * k + self.truth) * k + predicted)

    def counts(self, predicted: Ints) -> Floats:
        """Counts [1, g, k, k] of a set of predictions."""
        k, g = len(self.classes), len(self.groups)
        return np.bincount(self.index(predicted), minlength=g * k * k).reshape(1, g, k, k).astype(np.float64)

    def values(self, counts: Floats, observed: Floats) -> Floats:
        """Metrics [b, m] of counts [b, g, k, k]; which groups are best and worst is read off `observed` [1, ...].

        A gap is then a signed difference of fixed groups under resampling: an interval that reaches below 0 says that
        their order is not sure.
        """
        truths, hits = counts.sum(axis=3), counts.diagonal(axis1=2, axis2=3)
        pooled, predictions = truths.sum(axis=1), counts.sum(axis=(1, 2))
        own = hits.sum(axis=1)
        accuracy = divide(own.sum(axis=1), pooled.sum(axis=1))
        f1 = metric("f1", pooled, predictions, own, None)
        by_group = divide(hits.sum(axis=2), truths.sum(axis=2))  # [b, g]
        cells = divide(hits, truths)  # [b, g, k]: A(i, j)
        first = observed.diagonal(axis1=2, axis2=3)
        seen = divide(first, observed.sum(axis=3))[0]
        odds = Extremes.of(seen.T).gaps(np.moveaxis(cells, 1, 2))  # [b, k]
        fixed = Extremes.of(seen.T).gaps(seen.T[None])[0]
        widest = int(np.where(np.isnan(fixed), -np.inf, fixed).argmax())
        opportunity = odds[:, widest if self.positive is None else self.positive]
        worst = Extremes.of(divide(first.sum(axis=2), observed.sum(axis=(2, 3)))).low(by_group[:, None])[:, 0]
        flat = cells.reshape(len(cells), 1, -1)
        lowest = Extremes.of(seen.reshape(1, -1)).low(flat)[:, 0]
        gaps = by_group[:, 1:] - by_group[:, :1]
        return np.column_stack([accuracy, f1, worst, lowest, opportunity, odds[:, widest], mean_defined(odds), gaps])


def classifier_metrics(frame: Frame, predicted: Ints) -> dict[str, float]:
    """Every metric of one set of predictions [n] (codes), without intervals."""
    counts = frame.counts(predicted)
    return dict(zip(frame.names, frame.values(counts, counts)[0].tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Sampled:
    """Values [arms, seeds, m] and their means over seeds under resampled images, [draws, arms, m] and per seed."""

    values: Floats
    draws: Floats
    n: int


def resampled(frame: Frame, predicted: NDArray[np.int64], *, draws: int, seed: int) -> Sampled:
    """Metrics of predictions [arms, seeds, n]; each draw takes the same images for all arms and seeds."""
    arms, seeds, n = predicted.shape
    k, g = len(frame.classes), len(frame.groups)
    observed = [[frame.counts(predicted[a, s]) for s in range(seeds)] for a in range(arms)]
    values = np.stack([[frame.values(one, one)[0] for one in row] for row in observed])
    totals = [[Totals.of(frame.index(predicted[a, s]), g * k * k) for s in range(seeds)] for a in range(arms)]
    parts = []
    for counts in row_counts(n, draws, np.random.default_rng(seed)) if draws else ():
        block = np.zeros((len(counts), arms, values.shape[2]))
        for a in range(arms):
            for s in range(seeds):
                drawn = totals[a][s](counts).reshape(-1, g, k, k)
                block[:, a] += frame.values(drawn, observed[a][s]) / seeds
        parts.append(block)
    empty = np.zeros((0, arms, values.shape[2]))
    return Sampled(values, np.concatenate(parts) if parts else empty, n)


def resampled_shares(events: NDArray[np.bool_], *, draws: int, seed: int) -> Sampled:
    """The share of rows with an event, [arms, seeds, n], as `resampled` gives metrics."""
    arms, _, n = events.shape
    shares = events.mean(axis=1)  # over seeds, [arms, n]
    parts = [counts @ shares.T / n for counts in row_counts(n, draws, np.random.default_rng(seed))] if draws else []
    stacked = np.concatenate(parts)[:, :, None] if parts else np.zeros((0, arms, 1))
    return Sampled(events.mean(axis=2)[:, :, None], stacked, n)


def crossed_interval(
    by_seed: Floats, draws: Floats, n: int, *, level: float = 0.95, share: bool = False, bound: float = np.inf
) -> Estimate:
    """Mean over seeds with an interval for new images *and* new training seeds.

    The variance is that of the mean under resampled images plus that between seeds over their number (images and seeds
    are crossed: every seed is tested on all images). The interval is the mean plus and minus a t quantile with
    Satterthwaite's degrees of freedom, so few seeds widen it.

    Parameters
    ----------
    by_seed : [seeds]
        The statistic (or the paired difference of two arms) of each seed.
    draws : [draws]
        Its mean over seeds under resampled images.
    share : bool
        It lies between 0 and 1.
    bound : float
        It lies between minus this and this.

    References
    ----------
    Satterthwaite (1946), "An approximate distribution of estimates of variance components".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = crossed_interval(np.array([0.9, 0.92, 0.91]), 0.91 + 0.01 * rng.standard_normal(1000), 500)
    >>> round(found.value, 2), found.low < 0.89 < 0.93 < found.high
    (0.91, True)
    """
    from scipy.special import stdtrit

    value, seeds = float(np.mean(by_seed)), len(by_seed)
    if math.isnan(value):
        return Estimate(math.nan, n=n, level=level, note="undefined on these images")
    if not len(draws):
        return Estimate(value, n=n, level=level, note="no interval: no draws were asked for")
    usable = draws[np.isfinite(draws)]
    images = float(np.var(usable, ddof=1)) if len(usable) > 1 else math.nan
    between = float(np.var(by_seed, ddof=1) / seeds) if seeds > 1 else 0.0
    total = images + between
    method = f"{len(draws)} resamples of images x {seeds} seeds, t"
    if not total > 0:
        if share:
            low, high = wilson(value * n, n, level)
            return Estimate(value, low, high, n, level, "wilson", "every seed and image alike")
        return Estimate(value, n=n, level=level, note="no interval: the same in every seed and resample")
    freedom = total**2 / ((between**2 / (seeds - 1) if seeds > 1 else 0.0) + images**2 / max(n - 1, 1))
    half = float(stdtrit(freedom, (1 + level) / 2)) * math.sqrt(total)
    low, high = max(value - half, 0.0 if share else -bound), min(value + half, 1.0 if share else bound)
    note = "" if seeds > 1 else "one seed: what another training would give is not in the interval"
    return Estimate(value, low, high, n, level, method, note)


def paired(sampled: Sampled, arm: int, other: int, metric_at: int) -> tuple[Floats, Floats]:
    """Differences arm minus other: by seed, and of the resampled means."""
    by_seed = sampled.values[arm, :, metric_at] - sampled.values[other, :, metric_at]
    return by_seed, sampled.draws[:, arm, metric_at] - sampled.draws[:, other, metric_at]


def codes(labels: Sequence[str], names: Sequence[str]) -> Ints:
    """Places of labels in names."""
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[label] for label in labels], dtype=np.int64)
