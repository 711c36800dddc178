"""Who neutral queries put on top: MaxSkew, MinSkew, Bias@k and NDKL over a bank of queries, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...arrays import FloatArray
from ...findings import Finding
from ...stats.codes import GroupCodes
from ..ranking import RankingFrame, compare_skew, skew_over_queries
from ..zeroshot import prototypes, scores
from .arms import Arm, Setting, rows
from .suite import Retrieval, TextSet

UNITS = {"max_skew": "nats", "min_skew": "nats", "bias_at_k": "share", "ndkl": "nats"}
NDKL_DRAWS = 100  # a replicate ranks all images anew
CONVENTIONS = {
    "k": "the suite's share of the images that have a group, at most its largest k",
    "ties": "rows that tie at the border share the places left in expectation",
    "smoothing": 0, "floor": 0,
    "bias_at_k": "first group minus second over both, for attributes of two groups",
    "ndkl_draws": NDKL_DRAWS,
}  # fmt: skip


def ranking_findings(setting: Setting) -> list[Finding]:
    """Skew of every query and of their mean, for each attribute of the suite that the data have."""
    retrieval, images = setting.suite.retrieval, setting.images
    if retrieval is None or images is None:
        return []
    queries = [query for query in retrieval.queries if not setting.texts.missing([query])]
    lost = [query.name for query in retrieval.queries if query not in queries]
    note = f"{len(lost)} of {len(retrieval.queries)} queries not run: {', '.join(lost[:5])}" if lost else ""
    found: list[Finding] = []
    for attribute in retrieval.attributes:
        if attribute in images.groups and queries:
            found += _attribute_findings(setting, retrieval, queries, attribute, images.groups[attribute], note)
    return found


def query_scores(setting: Setting, queries: list[TextSet], arm: Arm) -> FloatArray:
    """Cosine of every query's prototype with every image, ``[q, n]``."""
    rows_of = [setting.texts.rows(query) for query in queries]
    codes = np.repeat(np.arange(len(queries)), [len(r) for r in rows_of])
    assert arm.images is not None
    return scores(prototypes(arm.texts[np.concatenate(rows_of)], codes, len(queries)), arm.images, unit_images=True)


def _attribute_findings(
    setting: Setting, retrieval: Retrieval, queries: list[TextSet], attribute: str, codes: GroupCodes, note: str
) -> list[Finding]:
    n = int(codes.counts.sum())
    k = max(1, min(retrieval.k_max, round(retrieval.k_share * n)))
    names = [query.name for query in queries]
    two = codes.labels if len(codes.labels) == 2 else None
    options: dict[str, Any] = {
        "k": k, "target": retrieval.target, "queries": names, "level": setting.level, "seed": setting.seed,
        "orientation": two,
    }  # fmt: skip
    before = query_scores(setting, queries, setting.before)
    after = {arm.repair: query_scores(setting, queries, arm) for arm in setting.after}
    extra: dict[str, Any] = {"k": k, "target": retrieval.target, "role": "fairness"}
    columns: dict[str, Any] = {"attribute": attribute, "seed": setting.seed, "note": note}
    by_cut = ("max_skew", "min_skew", "bias_at_k") if two else ("max_skew", "min_skew")
    found: list[Finding] = []
    for metrics, draws in ((by_cut, setting.draws), (("ndkl",), min(setting.draws, NDKL_DRAWS))):
        measured = {"metrics": metrics, "n_boot": draws} | options
        pairs = {name: compare_skew(before, s, codes, **measured) for name, s in after.items()}
        first = next(iter(pairs.values())).before if pairs else skew_over_queries(before, codes, **measured)
        arms = {name: (pair.after, pair.difference) for name, pair in pairs.items()}
        for metric in metrics:
            sides = f"{two[0]} - {two[1]}, all queries" if two and metric == "bias_at_k" else "(all queries)"
            found += rows(
                f"mean_{metric}", UNITS[metric], f"ranking/{attribute}/mean_{metric}", first.mean[metric],
                {name: (a.mean[metric], d.mean[metric]) for name, (a, d) in arms.items()},
                groups=sides, extra=extra, **columns,
            )  # fmt: skip
        if "max_skew" in metrics:
            found += _by_query(names, first, arms, attribute, extra, setting.seed)
    return found


def _by_query(
    names: list[str], first: RankingFrame, arms: Mapping[str, tuple[RankingFrame, RankingFrame]], attribute: str,
    extra: Mapping[str, Any], seed: int,
) -> list[Finding]:  # fmt: skip
    found: list[Finding] = []
    for query in names:
        found += rows(
            "max_skew", "nats", f"ranking/{attribute}/max_skew/{query}", first.by_query["max_skew"][query],
            {name: (a.by_query["max_skew"][query], d.by_query["max_skew"][query]) for name, (a, d) in arms.items()},
            groups=query, attribute=attribute, extra={**extra, "query": query}, seed=seed,
        )  # fmt: skip
    return found
