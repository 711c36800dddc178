"""Rows of a study: findings, with a reason wherever a number or its interval does not exist."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..findings import Finding, column
from ..stats.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm

D = "standard deviations"


def row(
    metric: str, value: float, unit: str, n: int, *, low: float = math.nan, high: float = math.nan,
    level: float = 0.95, p: float = math.nan, note: str = "", **columns: Any,
) -> Finding:  # fmt: skip
    """A finding; NaN ends or p become missing, and fixed columns are told from free ones by name."""
    fixed = {k: columns.pop(k) for k in ("method", "order", "model", "seed", "p_adjusted") if k in columns}
    defined = not (math.isnan(low) or math.isnan(high) or math.isnan(value))
    if not defined and not note:
        note = "no interval: this is a count" if unit == "models" else "undefined"
    extra = {k: v for k, v in columns.items() if v is not None and not (isinstance(v, float) and math.isnan(v))}
    return Finding(
        metric, value, unit, n, low if defined else None, high if defined else None, level if defined else None,
        p=None if math.isnan(p) else p, note=note, extra=extra, **fixed,
    )  # fmt: skip


def warning(kind: str, note: str, count: int, **columns: Any) -> Finding:
    """Something that the reader must know."""
    return row("warning", float(count), "warnings", count, note=note, kind=kind, **columns)


def with_adjusted(rows: Sequence[Finding], family: Sequence[str], *, rates: bool = False) -> list[Finding]:
    """The rows with p corrected over each family (rows alike in the columns named): Holm; with `rates` BH, BY."""
    families: dict[tuple[Any, ...], list[int]] = {}
    for i, found in enumerate(rows):
        if found.p is not None:
            families.setdefault(tuple(column(found, name) for name in family), []).append(i)
    result = list(rows)
    for members in families.values():
        ps = np.array([rows[i].p for i in members], dtype=np.float64)
        extras: Mapping[str, Any] = {"p_bh": benjamini_hochberg(ps), "p_by": benjamini_yekutieli(ps)} if rates else {}
        for j, (i, adjusted) in enumerate(zip(members, holm(ps), strict=True)):
            more = {name: float(values[j]) for name, values in extras.items()}
            result[i] = replace(rows[i], p_adjusted=float(adjusted), extra={**rows[i].extra, **more})
    return result
