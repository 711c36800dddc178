"""What the population looks like: a model's mean (caterpillar), a test's mean (funnel), and where the variance lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..stats.linear import t_interval
from ..stats.mixed import CrossedFit, adjusted_means, crossed_fit
from .factors import Factor
from .rows import D, row
from .table import ResultTable

Floats: TypeAlias = NDArray[np.float64]


def model_rows(
    table: ResultTable, scope: str, values: Floats, factors: Sequence[Factor], level: float
) -> list[Finding]:
    """Mean d of each model over the tests of a scope, largest first, and the variance between models, tests, within.

    The interval of a model's mean takes the tests as they are: it says how surely two models differ on these tests.
    """
    present = ~np.isnan(values)
    means, _ = adjusted_means(values)
    counts = present.sum(axis=1)
    fit = crossed_fit(values, np.ones((len(values), 1)))
    free = int(present.sum()) - sum(values.shape) + 1
    order = np.argsort(-means, kind="stable")
    found = []
    for rank, i in enumerate(order, start=1):
        error = math.sqrt(fit.variance_residual / counts[i]) if free > 0 else math.nan
        low, high, _ = t_interval(means[i], error, max(free, 1), level)
        extra = {factor.name: table.covariates[factor.name][i] for factor in factors}
        if counts[i] < values.shape[1]:
            note = f"{counts[i]} of {values.shape[1]} tests; adjusted for which"
        else:
            note = "" if free > 0 else "one test: no spread within a model"
        found.append(
            row(
                "model_mean", float(means[i]), D, int(counts[i]), low=float(low), high=float(high), level=level,
                note=note, method="t", model=table.models[i], scope=scope, rank=rank,
                shrunken=float(fit.coefficients[0] + fit.unit_effects[i]), **extra,
            )
        )  # fmt: skip
    return found + _components(values, fit, scope, level)


def _components(values: Floats, fit: CrossedFit, scope: str, level: float) -> list[Finding]:
    parts = {"model": fit.variance_unit, "test": fit.variance_item, "residual": fit.variance_residual}
    total = sum(part for part in parts.values() if not math.isnan(part))
    ends = _component_ends(values, fit, level) if fit.method == "closed form" else {}
    sizes = {"model": values.shape[0], "test": values.shape[1], "residual": int((~np.isnan(values)).sum())}
    found = []
    for name, part in parts.items():
        low, high = ends.get(name, (math.nan, math.nan))
        note = "" if not math.isnan(low) else "no interval: cells are missing, or there is a single test"
        found.append(
            row(
                "variance_component", part, "variance of d", sizes[name], low=low, high=high, level=level, note=note,
                method="williams-tukey" if name != "residual" else "chi-squared", scope=scope, component=name,
                share=part / total if total > 0 else math.nan,
            )
        )  # fmt: skip
    return found


def _component_ends(values: Floats, fit: CrossedFit, level: float) -> dict[str, tuple[float, float]]:
    """Intervals of the variances of a balanced table (Searle, Casella and McCulloch 1992, section 3.6)."""
    from scipy.stats import chi2, f

    units, items = values.shape
    if items < 2:
        return {}
    free, (below, above) = (units - 1) * (items - 1), ((1 - level) / 2, (1 + level) / 2)
    residual = fit.variance_residual
    if residual <= 0:
        return {}
    ends = {"residual": (residual * free / chi2.ppf(above, free), residual * free / chi2.ppf(below, free))}
    means = {"model": values.mean(axis=1), "test": values.mean(axis=0)}
    for name, df, cells in (("model", units - 1, items), ("test", items - 1, units)):
        square = cells * float(means[name].var(ddof=1))
        ratio = square / residual
        reach = [
            square * df * (1 - f.ppf(tail, df, free) / ratio) / (cells * chi2.ppf(tail, df)) if ratio > 0 else 0.0
            for tail in (above, below)
        ]
        ends[name] = (max(float(reach[0]), 0.0), max(float(reach[1]), 0.0))
    return ends


def test_rows(table: ResultTable, level: float) -> list[Finding]:
    """Mean d of each test over models, and how far d would scatter if labels meant nothing."""
    found = []
    for i, test in enumerate(table.tests):
        d = table.values[:, i]
        d = d[~np.isnan(d)]
        stimuli = table.stimuli[:, i]
        count = float(np.nanmedian(stimuli)) if not np.isnan(stimuli).all() else math.nan
        columns: dict[str, Any] = {
            "order": test.order, "test": test.test, "topic": test.topic, "category": test.category or None,
            "scope": test.category or "all", "stimuli": count,
            "null_sd": 2 / math.sqrt(count) if count > 0 else math.nan,
        }  # fmt: skip
        if len(d) < 2:
            note = f"{len(d)} models have a value; an interval over models needs two"
            found.append(row("test_mean", float(d.mean()) if len(d) else math.nan, D, len(d), note=note, **columns))
            continue
        sd = float(d.std(ddof=1))
        low, high, _ = t_interval(d.mean(), sd / math.sqrt(len(d)), len(d) - 1, level)
        found.append(
            row(
                "test_mean", float(d.mean()), D, len(d), low=float(low), high=float(high), level=level, method="t",
                sd=sd, positive=float((d > 0).mean()), **columns,
            )
        )  # fmt: skip
    return found
