"""Bias and downstream performance: correlations over models by cell, and whether orders differ in them (Steiger)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..stats.correlation import Correlation, correlation, correlation_difference
from .factors import Factor
from .modality import orders_of, topic_means, topics_of
from .rows import row, with_adjusted
from .table import ResultTable

Floats: TypeAlias = NDArray[np.float64]

CONTROLS = ("params_m", "dataset_size", "dataset_family")
ALL_TOPICS = "(all)"
UNIT = "correlation"


def score_rows(
    table: ResultTable, scope: str, factors: Sequence[Factor], *, units: NDArray[np.int64], clustered: bool,
    draws: int, level: float, seed: int, controls: Sequence[str] = CONTROLS,
) -> list[Finding]:  # fmt: skip
    """Correlations and Steiger tests of one scope, for every score."""
    options = {"draws": draws, "level": level, "seed": seed, "clusters": units if clustered else None}
    held = [factor for factor in factors if factor.name in controls]
    found: list[Finding] = []
    differences: list[Finding] = []
    orders = orders_of(table, scope) or [""]
    for name, score in table.scores.items():
        for order in orders:
            topics = topics_of(table, scope, order)
            d = topic_means(table, scope, order, topics)
            cells = [*zip(topics, d.T, strict=True)]
            if len(topics) > 1:
                cells.append((ALL_TOPICS, d.mean(axis=1)))
            for topic, values in cells:
                columns = {"scope": scope, "order": order, "topic": topic, "score": name, "seed": seed}
                found += _cell(values, score, held, columns, options)
        for first, second in combinations(orders, 2):
            theirs = topics_of(table, scope, second)
            if topics := [topic for topic in topics_of(table, scope, first) if topic in theirs]:
                pair = [topic_means(table, scope, order, topics).mean(axis=1) for order in (first, second)]
                columns = {
                    "scope": scope, "order": first, "versus": second, "score": name, "topics": ", ".join(topics),
                    "seed": seed,
                }  # fmt: skip
                differences.append(_steiger(pair[0], pair[1], score, columns, options))
    cells_apart = [f for f in found if f.extra["topic"] != ALL_TOPICS]
    together = [f for f in found if f.extra["topic"] == ALL_TOPICS]
    return [
        *with_adjusted(cells_apart, ("scope", "kind", "score"), rates=True),
        *with_adjusted(together, ("scope", "kind", "score"), rates=True),
        *with_adjusted(differences, ("scope", "score")),
    ]


def _cell(
    d: Floats, score: Floats, held: Sequence[Factor], columns: dict[str, Any], options: dict[str, Any]
) -> list[Finding]:
    kinds: list[tuple[str, Correlation, str]] = [
        ("pearson", correlation(d, score, **options), ""),
        ("spearman", correlation(d, score, kind="spearman", **options), ""),
    ]
    if held:
        known = np.logical_and.reduce([factor.known for factor in held]) & ~np.isnan(d) & ~np.isnan(score)
        used = [factor for factor in held if factor.varies(known)]
        if used:
            given = np.column_stack([factor.columns(known) for factor in used])
            result = correlation(d[known], score[known], controls=given, draws=0, level=options["level"])
            kinds.append(("partial", result, ", ".join(factor.label for factor in used)))
    return [
        row(
            "correlation", r.value, UNIT, r.n, low=r.low, high=r.high, level=options["level"], p=r.p, method=r.method,
            note=r.note, kind=kind, controls=controls or None, fisher_low=r.fisher_low, fisher_high=r.fisher_high,
            **columns,
        )
        for kind, r, controls in kinds
    ]  # fmt: skip


def _steiger(a: Floats, b: Floats, score: Floats, columns: dict[str, Any], options: dict[str, Any]) -> Finding:
    d = correlation_difference(a, b, score, **options)
    return row(
        "steiger", d.value, "difference of correlations", d.n, low=d.low, high=d.high, level=options["level"], p=d.p,
        method=d.method, note=d.note, statistic=d.statistic, p_williams=d.p_williams,
        williams=d.williams if math.isfinite(d.williams) else None, **columns,
    )  # fmt: skip
