"""The section on what explains the differences between models: shares, contrasts, curation, and their design."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..findings import Finding
from .charts import Axis, Line, bars, forest
from .figures import Figure, Section
from .pairing import Comparison
from .study_charts import table
from .study_rows import (
    ALONE,
    BEYOND,
    KINDS,
    PLAIN,
    by,
    by_scope,
    factor_name,
    free,
    mark_of,
    reading,
    runs_with,
    scope_name,
    share_text,
)  # fmt: skip
from .vocabulary import listing, number, plural

MOST_LEVELS = 40  # rows of one factor
FILTERED = {"marginal": "all models", "adjusted": "all models, other factors held fixed"}


def _shares(rows: list[Finding], suffix: str) -> list[Figure]:
    lines: list[Line] = []
    for scope, members in by_scope(rows).items():
        lines.append(Line(scope_name(scope), heading=True))
        factors = by(members, "factor")
        size = {name: max(reading(row) for row in found) for name, found in factors.items()}
        for name in sorted(factors, key=lambda name: -size[name]):
            marks = [replace(mark_of(KINDS.get(free(r, "kind"), PLAIN), r, share_text(r)), p="") for r in factors[name]]
            lines.append(Line(factor_name(name), f"{plural(factors[name][0].n, 'model')}", tuple(marks)))
    chart = bars(
        lines,
        Axis("share of the variance between models", "percent", bounds=(0.0, 1.0)),
        title="Share of variance explained by each factor",
        description="Bars with intervals: each factor alone, and beyond all other factors.",
    )
    caption = (
        "Alone: the factor by itself. With all other factors: what it adds to them; factors that vary together share "
        "what neither adds alone. Shares are corrected for chance and are not below 0."
    )
    return [Figure(f"Variance between models that a factor explains{suffix}", chart, caption, (ALONE, BEYOND))]


def _effects(rows: list[Finding], suffix: str) -> list[Figure]:
    figures: list[Figure] = []
    published = [row for row in rows if free(row, "estimator") == "paper"]
    ours = [row for row in rows if free(row, "estimator") != "paper"]
    for scope, members in by_scope(ours).items():
        lines, against = [], sorted({free(row, "against") for row in members if free(row, "against")})
        for factor, found in by([r for r in members if r.metric == "contrast"], "factor").items():
            levels = by(found, "level_name")
            chosen = sorted(levels, key=lambda name: -reading(levels[name][-1]))[:MOST_LEVELS]
            lines.append(Line(factor_name(factor), heading=True))
            lines += [_effect_line(name, levels[name]) for name in chosen]
        slopes = by([r for r in members if r.metric == "coefficient"], "factor")
        if slopes:
            lines.append(Line("per standard deviation of", heading=True))
            lines += [
                _effect_line(factor_name(free(found[0], "term") or name), found) for name, found in slopes.items()
            ]
        chart = forest(
            lines,
            Axis("difference in d"),
            title=f"Contrasts and slopes, {scope_name(scope).lower()}",
            description="Forest plot: levels of each factor against their reference, and slopes of numeric factors.",
        )
        caption = f"Levels against {listing(against)}. " if against else ""
        caption += "† a single model: the level cannot be told from its model. p is corrected over levels."
        title = f"Coefficients, {scope_name(scope).lower()}{suffix}"
        figures.append(Figure(title, chart, caption, (ALONE, BEYOND), folded=bool(figures)))
    if published:
        lines = [Line(free(r, "term") or free(r, "level_name") or "term", "", (mark_of(PLAIN, r),)) for r in published]
        chart = forest(
            lines,
            Axis("coefficient"),
            title="The published study’s own mixed model",
            description="Forest plot of every term, as fitted to these rows.",
        )
        caption = "Rows are taken as independent given the group; a model-level analysis stands above."
        figures.append(Figure(f"The published model, refitted{suffix}", chart, caption, folded=True))
    return figures


def _effect_line(name: str, found: Sequence[Finding]) -> Line:
    count = found[-1].extra.get("model_count")
    single = " †" if count == 1 and found[0].metric == "contrast" else ""
    told = plural(int(count), "model") + single if isinstance(count, (int, float)) else ""
    return Line(name, told, tuple(mark_of(KINDS.get(free(row, "kind"), PLAIN), row) for row in found))


def _filtering(rows: list[Finding], suffix: str) -> list[Figure]:
    lines: list[Line] = []
    for scope, members in by_scope(rows).items():
        lines.append(Line(scope_name(scope), heading=True))
        for row in members:
            kind, level = free(row, "kind"), free(row, "level_name")
            name = f"within {level}" if kind == "within family" else FILTERED.get(kind, kind or "all models")
            sizes = f"{free(row, 'model_count')} filtered, {free(row, 'unfiltered_count')} not"
            lines.append(Line(name, sizes, (mark_of(PLAIN, row),), strong=kind == "within families"))
    chart = forest(
        lines,
        Axis("difference in d, filtered minus unfiltered"),
        title="Filtered against unfiltered training data",
        description="Forest plot of the contrast: over all models, adjusted, and within families that hold both.",
    )
    caption = "Within families compares models whose data come from the same pool: the fairest comparison here."
    return [Figure(f"Filtered against unfiltered training data{suffix}", chart, caption)]


def _design(rows: list[Finding], suffix: str) -> list[Figure]:
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        key = (free(row, "factor"), free(row, "level_name"))
        text = number(row.value, 0 if row.metric == "level_size" else 2)
        cells.setdefault(key, {})[row.metric] = text
    body = [
        (factor_name(factor), level or "(whole factor)", found.get("level_size", ""), found.get("vif", ""))
        for (factor, level), found in sorted(cells.items())
    ]
    head = ("Factor", "Level", "Models", "Variance inflation")
    caption = "How many models each level rests on, and how much the other factors widen its interval (1: not at all)."
    return [
        Figure(f"The design: models per level{suffix}", table(head, body, caption=caption, numbers=(2, 3)), folded=True)
    ]


def explains(comparison: Comparison) -> Section | None:
    """Variance shares, contrasts and slopes, filtering, and the design behind them."""
    parts: tuple[tuple[Callable[[list[Finding], str], list[Figure]], tuple[str, ...]], ...] = (
        (_shares, ("variance_share",)),
        (_effects, ("contrast", "coefficient")),
        (_filtering, ("filtering_contrast",)),
        (_design, ("level_size", "vif")),
    )
    figures = [
        figure
        for make, names in parts
        for rows, suffix in runs_with(comparison, *names)
        for figure in make(rows, suffix)
    ]
    if not figures:
        return None
    lead = (
        "Which property of a model goes with its bias. The model is the unit: many tests of one model are one "
        "observation of that model. Going together is not causing: factors were not assigned by lot."
    )
    return Section("study-explains", "What explains the differences", lead, tuple(figures), "Explained")
