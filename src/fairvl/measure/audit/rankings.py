"""Who neutral queries put on top: MaxSkew@k, MinSkew@k and NDKL over a bank of queries, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import FloatArray
from ...findings import Finding
from ...stats.codes import GroupCodes
from ..ranking import compare_skew, skew_over_queries
from ..zeroshot import prototypes, scores
from .arms import Arm, Setting, rows
from .suite import Retrieval, TextSet

METRICS = ("max_skew", "min_skew")


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
    options: dict[str, Any] = {
        "k": k, "target": retrieval.target, "queries": names, "metrics": METRICS,
        "n_boot": setting.draws, "level": setting.level, "seed": setting.seed,
    }  # fmt: skip
    before = query_scores(setting, queries, setting.before)
    after = {arm.repair: query_scores(setting, queries, arm) for arm in setting.after}
    pairs = {name: compare_skew(before, s, codes, **options) for name, s in after.items()}
    first = next(iter(pairs.values())).before if pairs else skew_over_queries(before, codes, **options)
    arms = {name: (pair.after, pair.difference) for name, pair in pairs.items()}
    extra: dict[str, Any] = {"k": k, "target": retrieval.target, "role": "fairness"}
    columns: dict[str, Any] = {"attribute": attribute, "seed": setting.seed, "note": note}
    found: list[Finding] = []
    for metric in METRICS:
        found += rows(
            f"mean_{metric}", "nats", f"ranking/{attribute}/mean_{metric}", first.mean[metric],
            {name: (a.mean[metric], d.mean[metric]) for name, (a, d) in arms.items()},
            groups="(all queries)", extra=extra, **columns,
        )  # fmt: skip
    for query in names:
        found += rows(
            "max_skew", "nats", f"ranking/{attribute}/max_skew/{query}", first.by_query["max_skew"][query],
            {name: (a.by_query["max_skew"][query], d.by_query["max_skew"][query]) for name, (a, d) in arms.items()},
            groups=query, attribute=attribute, extra={**extra, "query": query}, seed=setting.seed,
        )  # fmt: skip
    return found
