"""Modality as a factor: mean d and its variance between models by order, paired over the same models and topics."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..stats.bootstrap import interval, resample_counts
from ..stats.correlation import leave_one_out
from ..stats.linear import t_interval
from .rows import D, row, with_adjusted
from .table import ORDERS, ResultTable, whole

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]

LEAST = 4
VARIANCE = "variance of d"


def orders_of(table: ResultTable, scope: str) -> list[str]:
    """Orders that occur in a scope: the four in their usual sequence, others after."""
    present = list(dict.fromkeys(table.tests[i].order for i in table.positions(scope=scope)))
    return [o for o in ORDERS if o in present] + [o for o in present if o not in ORDERS and o]


def topics_of(table: ResultTable, scope: str, order: str) -> list[str]:
    """Topics of a scope in an order."""
    return list(dict.fromkeys(table.tests[i].topic for i in table.positions(scope=scope, order=order)))


def topic_means(table: ResultTable, scope: str, order: str, topics: list[str]) -> Floats:
    """d [models, topics], mean over the tests of a topic; NaN for a model that lacks one of them."""
    columns = [table.values[:, table.positions(scope=scope, order=order, topic=topic)].mean(axis=1) for topic in topics]
    return np.column_stack(columns)


def order_rows(table: ResultTable, scope: str, *, units: Codes, draws: int, level: float, seed: int) -> list[Finding]:
    """Means and variances by order, and their paired comparisons, in one scope."""
    orders = orders_of(table, scope)
    settings = _Settings(scope, units, draws, level, seed)
    found: list[Finding] = []
    for order in orders:
        d = topic_means(table, scope, order, topics_of(table, scope, order))
        found += _of_order(d, order, settings)
    for first, second in combinations(orders, 2):
        ours, theirs = topics_of(table, scope, first), topics_of(table, scope, second)
        if topics := [topic for topic in ours if topic in theirs]:
            pair = (topic_means(table, scope, first, topics), topic_means(table, scope, second, topics))
            found += _paired(pair, first, second, topics, settings)
    return with_adjusted(found, ("metric", "scope"))


class _Settings:
    def __init__(self, scope: str, units: Codes, draws: int, level: float, seed: int) -> None:
        self.scope, self.units, self.draws, self.level, self.seed = scope, units, draws, level, seed

    def weights(self, keep: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Bootstrap counts and leave-one-out weights of the kept models; the same draws for the same models."""
        codes = self.units[keep]
        return resample_counts(codes, self.draws, np.random.default_rng(self.seed)), leave_one_out(codes)


def _of_order(d: Floats, order: str, settings: _Settings) -> list[Finding]:
    keep = whole(d)
    n = int(keep.sum())
    columns: dict[str, Any] = {"order": order, "scope": settings.scope, "factor": "order", "seed": settings.seed}
    if n < LEAST:
        note = f"{n} models have every topic of this order; expected {LEAST} or more"
        return [
            row(m, math.nan, u, n, note=note, **columns) for m, u in (("order_mean", D), ("order_variance", VARIANCE))
        ]
    counts, without = settings.weights(keep)
    found = []
    for metric, unit, statistic in (("order_mean", D, _mean), ("order_variance", VARIANCE, _variance)):
        observed = float(statistic(np.ones((1, n)), d[keep])[0])
        low, high = _ends(statistic(counts, d[keep]), observed, statistic(without, d[keep]), settings)
        found.append(row(metric, observed, unit, n, low=low, high=high, level=settings.level, method="bca", **columns))
    return found


def _paired(
    pair: tuple[Floats, Floats], order: str, versus: str, topics: list[str], settings: _Settings
) -> list[Finding]:
    keep = whole(np.hstack(pair))
    a, b = pair[0][keep], pair[1][keep]
    n = len(a)
    columns: dict[str, Any] = {
        "order": order, "versus": versus, "scope": settings.scope, "topics": ", ".join(topics), "factor": "order",
        "seed": settings.seed,
    }  # fmt: skip
    names = (("order_mean_difference", D), ("order_variance_ratio", "ratio"))
    if n < LEAST:
        note = f"{n} models have both orders; expected {LEAST} or more"
        return [row(metric, math.nan, unit, n, note=note, **columns) for metric, unit in names]
    counts, without = settings.weights(keep)
    difference = (a - b).mean(axis=1)
    error = difference.std(ddof=1) / math.sqrt(n)
    p = float(t_interval(difference.mean(), error, n - 1, settings.level)[2]) if error > 1e-12 else math.nan
    low, high = _ends(_mean(counts, a - b), float(difference.mean()), _mean(without, a - b), settings)
    found = [
        row(
            names[0][0], float(difference.mean()), D, n, low=low, high=high, level=settings.level, p=p, method="bca",
            **columns,
        )
    ]  # fmt: skip

    def log_ratio(weights: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio: Floats = np.log(_variance(weights, a)) - np.log(_variance(weights, b))
        return np.where(np.isfinite(ratio), ratio, np.nan)

    observed = float(log_ratio(np.ones((1, n)))[0])
    if math.isnan(observed):
        note = "an order has no variance between models"
        return [*found, row(names[1][0], math.nan, "ratio", n, note=note, **columns)]
    low, high = _ends(log_ratio(counts), observed, log_ratio(without), settings)
    value, low, high = math.exp(observed), math.exp(low), math.exp(high)
    return [
        *found,
        row(
            names[1][0], value, "ratio", n, low=low, high=high, level=settings.level, method="bca of the log", **columns
        ),
    ]


def _ends(replicates: Floats, observed: float, left_out: Floats, settings: _Settings) -> tuple[float, float]:
    low, high = interval(replicates, observed, level=settings.level, method="bca", jackknife=left_out)
    return float(low), float(high)


def _mean(weights: Floats, d: Floats) -> Floats:
    """Mean over models under each row of weights [draws, models], topics alike."""
    means: Floats = weights @ d.mean(axis=1) / weights.sum(axis=1)
    return means


def _variance(weights: Floats, d: Floats) -> Floats:
    """Variance between models (n - 1) under each row of weights, mean over topics."""
    centred = d - d.mean(axis=0)
    total = weights.sum(axis=1)[:, None]
    spread = (weights @ centred**2 - (weights @ centred) ** 2 / total) / (total - 1)
    variances: Floats = np.maximum(spread, 0.0).mean(axis=1)
    return variances
