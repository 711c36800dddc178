"""How a published number follows from evidence: one function per recipe that a claim may name.

A recipe returns the recomputed number and what it rests on (cells, rows, terms, models).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import InputError
from .catalogue import CatalogueEntry
from .cells import Cell, Coefficient, CorrelationCell, attainable_p, pool, reduction, significant


@dataclass(frozen=True)
class Evidence:
    """What claims are checked against; an empty part leaves its claims unchecked.

    Parameters
    ----------
    cells, old_cells : tuple of Cell
        Effect sizes by topic and order, with the study's stimuli and with those it replaced.
    correlations : tuple of CorrelationCell
    coefficients : tuple of Coefficient
    models : tuple of CatalogueEntry
        The models of the study, as far as they are known.
    """

    cells: tuple[Cell, ...] = ()
    old_cells: tuple[Cell, ...] = ()
    correlations: tuple[CorrelationCell, ...] = ()
    coefficients: tuple[Coefficient, ...] = ()
    models: tuple[CatalogueEntry, ...] = ()


Recipe: TypeAlias = Callable[..., tuple[float, int]]


def _cells_of(evidence: Evidence, which: str) -> tuple[Cell, ...]:
    return evidence.old_cells if which == "old" else evidence.cells


def _rows(evidence: Evidence) -> tuple[float, int]:
    return sum(cell.n for cell in evidence.cells), len(evidence.cells)


def _models(evidence: Evidence) -> tuple[float, int]:
    return min(cell.n for cell in evidence.cells), len(evidence.cells)


def _tests(evidence: Evidence) -> tuple[float, int]:
    return sum(cell.n for cell in evidence.cells) / min(cell.n for cell in evidence.cells), len(evidence.cells)


def _cells(evidence: Evidence) -> tuple[float, int]:
    return len(evidence.cells), len(evidence.cells)


def _positive_cells(evidence: Evidence) -> tuple[float, int]:
    return sum(cell.mean > 0 for cell in evidence.cells), len(evidence.cells)


def _mean(evidence: Evidence, *, topic: str | None = None, order: str | None = None) -> tuple[float, int]:
    pooled = pool(evidence.cells, topic=topic, order=order)
    return pooled.mean, pooled.n


def _sd(evidence: Evidence, *, topic: str | None = None, order: str | None = None) -> tuple[float, int]:
    pooled = pool(evidence.cells, topic=topic, order=order)
    return pooled.sd, pooled.n


def _variance(evidence: Evidence, *, which: str = "new", order: str | None = None) -> tuple[float, int]:
    pooled = pool(_cells_of(evidence, which), order=order)
    return pooled.variance, pooled.n


def _reduction(evidence: Evidence, *, order: str | None = None) -> tuple[float, int]:
    """In percent."""
    return 100 * reduction(evidence.old_cells, evidence.cells, order=order), pool(evidence.cells, order=order).n


def _correlation(evidence: Evidence, *, topic: str, order: str) -> tuple[float, int]:
    found = [cell for cell in evidence.correlations if (cell.topic, cell.order) == (topic, order)]
    if not found:
        raise InputError(f"no correlation of {topic} in order {order}; expected that cell in the evidence.")
    return found[0].r, found[0].n


def _mean_correlation(evidence: Evidence, *, topic: str) -> tuple[float, int]:
    found = [cell.r for cell in evidence.correlations if cell.topic == topic]
    if not found:
        raise InputError(f"no correlation of {topic}; expected its cells in the evidence.")
    return math.fsum(found) / len(found), len(found)


def _stars(
    evidence: Evidence,
    *,
    topics: Sequence[str] = (),
    sign: str = "",
    low: float = 0.0,
    high: float = 1.0,
) -> tuple[float, int]:
    """Printed stars among cells: of some topics, of one sign, with r (not its size, given a sign) in a range."""
    chosen = [cell for cell in evidence.correlations if not topics or cell.topic in topics]
    starred = [cell for cell in chosen if cell.starred and (not sign or (cell.r < 0) == (sign == "negative"))]
    return sum(low <= abs(cell.r) <= high for cell in starred), len(chosen)


def _significant(evidence: Evidence, *, correction: str = "none", n: int | None = None) -> tuple[float, int]:
    cells = evidence.correlations
    return int(significant(cells, n=n, correction=correction).sum()), len(cells)  # type: ignore[arg-type]


def _term(evidence: Evidence, term: str) -> Coefficient:
    found = [c for c in evidence.coefficients if c.term == term]
    if not found:
        raise InputError(f"no term {term!r}; expected it among the printed coefficients.")
    return found[0]


def _wald_p(evidence: Evidence, *, term: str) -> tuple[float, int]:
    from scipy.special import ndtr

    found = _term(evidence, term)
    return 2 * float(ndtr(-abs(found.estimate / found.standard_error))), len(evidence.coefficients)


def _significant_terms(evidence: Evidence, *, prefix: str, alpha: float = 0.05) -> tuple[float, int]:
    """Terms whose printed p is below alpha."""
    terms = [c for c in evidence.coefficients if c.term.startswith(prefix)]
    return sum(c.p < alpha for c in terms), len(terms)


def _consistent_z(evidence: Evidence, *, decimals: int = 3) -> tuple[float, int]:
    """Terms whose printed z can be the ratio of numbers that round to the printed coefficient and standard error."""
    half, count, terms = 0.5 * 10.0**-decimals, 0, [c for c in evidence.coefficients if math.isfinite(c.z)]
    for c in terms:
        ratios = [
            (c.estimate + a) / (c.standard_error + b)
            for a in (-half, half)
            for b in (-half, half)
            if c.standard_error + b > 0
        ]
        count += min(ratios) - half <= c.z <= max(ratios) + half
    return count, len(terms)


def _exact_p(evidence: Evidence, *, p: float, n: int, m: int | None = None) -> tuple[float, int]:
    """The attainable exact p nearest to the printed one."""
    return attainable_p(p, n, m), n + (n if m is None else m)


def _distinct(evidence: Evidence, *, column: str) -> tuple[float, int]:
    return len({getattr(entry, column) for entry in evidence.models}), len(evidence.models)


def _with(evidence: Evidence, *, column: str, value: Any) -> tuple[float, int]:
    return sum(getattr(entry, column) == value for entry in evidence.models), len(evidence.models)


def _extreme(evidence: Evidence, *, column: str, which: str) -> tuple[float, int]:
    values = [getattr(entry, column) for entry in evidence.models]
    return (min if which == "smallest" else max)(values), len(values)


# name: what it needs of the evidence, and the function
RECIPES: dict[str, tuple[tuple[str, ...], Recipe]] = {
    "rows": (("cells",), _rows),
    "models": (("cells",), _models),
    "tests": (("cells",), _tests),
    "cells": (("cells",), _cells),
    "positive_cells": (("cells",), _positive_cells),
    "mean": (("cells",), _mean),
    "sd": (("cells",), _sd),
    "variance": (("cells", "old_cells"), _variance),
    "reduction": (("cells", "old_cells"), _reduction),
    "correlation": (("correlations",), _correlation),
    "mean_correlation": (("correlations",), _mean_correlation),
    "stars": (("correlations",), _stars),
    "significant_correlations": (("correlations",), _significant),
    "wald_p": (("coefficients",), _wald_p),
    "significant_terms": (("coefficients",), _significant_terms),
    "consistent_z": (("coefficients",), _consistent_z),
    "exact_p": ((), _exact_p),
    "distinct": (("models",), _distinct),
    "with": (("models",), _with),
    "extreme": (("models",), _extreme),
}
