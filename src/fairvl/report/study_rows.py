"""The rows of a study, sorted for the page: by run, by scope, by factor; and how one row is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..findings import Finding, column
from .charts import Mark
from .figures import p_pair, text_of, tip
from .pairing import Comparison, Run, Series
from .study_charts import decimals
from .vocabulary import percent, spaced

SCOPES = {"social": "Social tests", "control": "Control tests", "all": "All tests"}
ALONE = Series(0, "", "alone", "t1", "dot")
BEYOND = Series(0, "", "with all other factors", "t2", "square")
PLAIN = Series(0, "", "measured", "t1", "dot")
KINDS = {"marginal": ALONE, "unique": BEYOND, "adjusted": BEYOND}


def rows_of(run: Run, *metrics: str) -> list[Finding]:
    """Findings of some metrics in one run, in their order."""
    return [row for row in run.findings if row.metric in metrics]


def runs_with(comparison: Comparison, *metrics: str) -> list[tuple[list[Finding], str]]:
    """Rows of each run that has any, and what to add to the titles of its charts."""
    several = len(comparison.runs) > 1
    found = [(rows_of(run, *metrics), f": {run.name}" if several else "") for run in comparison.runs]
    return [(rows, suffix) for rows, suffix in found if rows]


def free(row: Finding, name: str) -> str:
    """A free column as text; empty when absent."""
    value = row.extra.get(name)
    return "" if value is None else str(value)


def by(rows: Iterable[Finding], name: str) -> dict[str, list[Finding]]:
    """Rows by a column, in order of first appearance."""
    groups: dict[str, list[Finding]] = {}
    for row in rows:
        groups.setdefault(str(column(row, name) or ""), []).append(row)
    return groups


def by_scope(rows: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Rows by scope: social, control, all, then others."""
    groups = by(rows, "scope")
    place = {name: i for i, name in enumerate(SCOPES)}
    return dict(sorted(groups.items(), key=lambda item: place.get(item[0], len(place))))


def scope_name(scope: str) -> str:
    """ "Social tests" for "social"."""
    return SCOPES.get(scope, f"{spaced(scope).capitalize()} tests" if scope else "All tests")


def mark_of(series: Series, row: Finding, text: str | None = None) -> Mark:
    """A row as a mark, with its numbers as text and its tooltip."""
    return Mark(
        series, row.value, row.low, row.high, text_of(row) if text is None else text, p_pair(row), tip(series, row)
    )


def share_text(row: Finding) -> str:
    """A share of variance in percent, with its interval."""
    if math.isnan(row.value):
        return text_of(row)
    ends = (
        ""
        if row.low is None or row.high is None
        else f" ({decimals(100 * row.low, 1)} to {decimals(100 * row.high, 1)})"
    )
    return percent(row.value) + ends


def reading(row: Finding) -> float:
    """The value for sorting; undefined ones come last."""
    return -math.inf if math.isnan(row.value) else row.value


def factor_name(name: str) -> str:
    """A factor as words: "params_m" is read "parameters (millions)", also on its logarithmic scale."""
    plain = name.removeprefix("ln ")
    return name.removesuffix(plain) + {"params_m": "parameters (millions)", "dataset_size": "dataset size (pairs)"}.get(
        plain, spaced(plain)
    )
