"""Filtered against unfiltered training data: overall, beside the other factors, and within dataset families."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..findings import Finding
from ..stats.linear import design, freedman_lane, t_interval
from .explain import LEAST_DF, Mask, Response, complete, estimate
from .factors import UNFILTERED, UNKNOWN_FILTERING, Factor, layout
from .rows import D, row, warning, with_adjusted

FILTERING = "filtering"
FAMILY = "dataset_family"


def filtering_rows(response: Response, factors: Sequence[Factor]) -> list[Finding]:
    """Filtered minus unfiltered models in one scope; models of unknown curation are left out."""
    filtering = next((f for f in factors if f.name == FILTERING and f.codes is not None), None)
    if filtering is None:
        return []
    assert filtering.codes is not None
    labels = np.array(filtering.levels, dtype=object)[filtering.codes]
    known = ~np.isin(labels, UNKNOWN_FILTERING)
    filtered = ~np.isin(labels, UNFILTERED) & known
    if not (filtered & known).any() or not (known & ~filtered).any():
        note = "curation: no two sides to compare; expected models with filtering 'none' and models with another level."
        return [warning("not estimable", note, 1, factor=FILTERING)]
    rows = [_contrast(response, filtered, known, (), "marginal")]
    others = [f for f in factors if f.name != FILTERING]
    if others:
        keep = known & complete(others)
        rows.append(_contrast(response, filtered, keep, [f for f in others if f.varies(keep)], "adjusted"))
    family = next((f for f in factors if f.name == FAMILY and f.codes is not None), None)
    return with_adjusted([*rows, *(_by_family(response, filtered, known, family) if family else [])], ("scope", "kind"))


def _by_family(response: Response, filtered: Mask, known: Mask, family: Factor) -> list[Finding]:
    assert family.codes is not None
    both = [
        code for code in family.present_levels(known)
        if len(set(filtered[known & (family.codes == code)].tolist())) == 2
    ]  # fmt: skip
    if not both:
        note = (
            "curation: no dataset family holds filtered and unfiltered models, so they cannot be compared within one."
        )
        return [warning("not estimable", note, 1, factor=FILTERING)]
    inside = known & np.isin(family.codes, both)
    rows = [_contrast(response, filtered, inside, [family], "within families")]
    for code in both:
        rows.append(_welch(response, filtered, known & (family.codes == code), family.levels[code]))
    return rows


def _contrast(response: Response, filtered: Mask, keep: Mask, others: Sequence[Factor], kind: str) -> Finding:
    x = np.column_stack([layout(others, keep)[0], filtered[keep].astype(np.float64)])
    contrast = np.zeros((1, x.shape[1]))
    contrast[0, -1] = 1.0
    sizes = {"model_count": int(filtered[keep].sum()), "unfiltered_count": int((~filtered[keep]).sum())}
    shared: dict[str, Any] = {
        "scope": response.scope,
        "kind": kind,
        "level_name": "(all)",
        "factor": FILTERING,
        **sizes,
    }
    plan = design(x)
    if plan.df < LEAST_DF or not plan.estimable(contrast)[0]:
        note = "not estimable: the other factors determine which models are filtered, or too few models are left"
        return row("filtering_contrast", math.nan, D, int(keep.sum()), note=note, seed=response.seed, **shared)
    value, error, df, estimator = estimate(response, keep, x, contrast)
    low, high, p = t_interval(value, error, df, response.level)
    orders = response.orders(len(x))
    permuted = freedman_lane(response.means[keep], x[:, :-1], x[:, [-1]], orders) if len(orders) else math.nan
    return row(
        "filtering_contrast", float(value[0]), D, int(keep.sum()), low=float(low[0]), high=float(high[0]),
        level=response.level, p=permuted if response.estimator == "permutation" else float(p[0]), method="t",
        seed=response.seed, estimator=estimator, standard_error=float(error[0]), df=float(df[0]),
        p_permutation=permuted, **shared,
    )  # fmt: skip


def _welch(response: Response, filtered: Mask, keep: Mask, name: str) -> Finding:
    """Two sides of one family, each with its own variance."""
    a, b = response.means[keep & filtered], response.means[keep & ~filtered]
    shared: dict[str, Any] = {
        "scope": response.scope, "kind": "within family", "level_name": name, "factor": FILTERING,
        "model_count": len(a), "unfiltered_count": len(b), "seed": response.seed,
    }  # fmt: skip
    value = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        note = "a side of one model has no spread of its own; see the pooled contrast within families"
        return row("filtering_contrast", value, D, len(a) + len(b), note=note, **shared)
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    if va + vb <= 0:
        return row("filtering_contrast", value, D, len(a) + len(b), note="the models of a side are all alike", **shared)
    df = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    low, high, p = t_interval(value, math.sqrt(va + vb), df, response.level)
    return row(
        "filtering_contrast", value, D, len(a) + len(b), low=float(low), high=float(high), level=response.level,
        p=float(p), method="welch", standard_error=math.sqrt(va + vb), df=float(df), **shared,
    )  # fmt: skip
