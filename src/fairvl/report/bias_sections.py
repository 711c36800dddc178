"""Sections about bias itself: before and after, associations, rankings, trends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from .changes import Family, families, treated_attributes, utility_changes
from .charts import Axis, Line, Panel, Ray, dots, forest, slope
from .figures import (
    MOST_FIGURES,
    SHARE,
    Figure,
    Section,
    by_size,
    charts_left_out,
    left_out,
    marks_of,
    measured,
    most_rows,
    name_of,
    points_of,
    sample,
    split,
    used,
)
from .pairing import Comparison, Measurement, Series
from .vocabulary import ALL_GROUPS, THIN, bias_size, metric_of, plural, points, signed, spaced, value_text

MOST_PANELS = 9


def before_after(comparison: Comparison) -> Section | None:
    after = [i for i, s in enumerate(comparison.series) if s.repair and comparison.before_of(i) >= 0]
    if not after:
        return None
    treated = treated_attributes(comparison)
    shown = after[:MOST_PANELS]
    figures = [_bias_slopes(comparison, family, shown, treated) for family in families(comparison, treated)[:2]]
    found = [figure for figure in (*figures, _utility_slopes(comparison, shown, treated)) if figure is not None]
    if not found:
        return None
    return Section(
        "before-after",
        "Before and after",
        "The same measurements, run twice on the same input. "
        "Fairness and utility stand together, because either alone can be bought with the other."
        + left_out(len(after), len(shown), "repairs", "the first"),
        tuple(found),
    )


def _bias_slopes(
    comparison: Comparison, family: Family, shown: Sequence[int], treated: tuple[str, ...]
) -> Figure | None:
    members = family.members
    if family.name == "retrieval skew":
        per_query = tuple(m for m in comparison.where("max_skew") if not treated or m.first.attribute in ("", *treated))
        members = per_query or members
    share = members[0].first.unit == "share"
    panels = []
    for i in shown:
        start = comparison.before_of(i)
        rays = tuple(
            Ray(
                name_of(m),
                bias_size(m.cells[start]),
                bias_size(m.cells[i]),
                f"{name_of(m)}: {value_text(m.cells[start])} \u2192 {value_text(m.cells[i])}",
            )
            for m in members
            if start in m.cells and i in m.cells
        )
        panels += _panel(comparison.series[i], rays, share)
    if not panels:
        return None
    what = f"size of bias: {family.name}" + (" |d|" if family.name == "association" else "")
    chart = slope(
        panels,
        Axis(f"{what} (lower is fairer)", "points" if share else "plain"),
        title=f"{family.name} before and after each repair",
        description="One panel per repair; thin lines are single tests, the bold one is their mean.",
    )
    return Figure(f"Fairness: {family.name}", chart, _slope_words(panels, family.item))


def _utility_slopes(comparison: Comparison, shown: Sequence[int], treated: tuple[str, ...]) -> Figure | None:
    panels = []
    for i in shown:
        rays = tuple(
            Ray(c.name, c.before.value, c.after.value, f"{c.name}: {value_text(c.before)} \u2192 {value_text(c.after)}")
            for c in utility_changes(comparison, i, treated)
        )
        panels += _panel(comparison.series[i], rays, True)
    if not panels:
        return None
    chart = slope(
        panels,
        Axis("share correct (higher is better)", "percent", include=(1.0,), bounds=SHARE, zero=False),
        title="Utility before and after each repair",
        description="One panel per repair; thin lines are single tasks, the bold one is their mean.",
    )
    return Figure("Utility, on the same page", chart, _utility_words(panels, treated))


def _panel(series: Series, rays: Sequence[Ray], share: bool) -> list[Panel]:
    known = [r for r in rays if math.isfinite(r.start) and math.isfinite(r.end)]
    if not known:
        return []
    start, end = fmean(r.start for r in known), fmean(r.end for r in known)
    if share:
        change = points(end - start)
    else:
        change = f"{signed(100 * (end / start - 1), 0)}{THIN}%" if start > 0 else signed(end - start)
    return [
        Panel(series.label.removeprefix("after ").replace(": after ", ": "), series, tuple(known), (start, end), change)
    ]


def _slope_words(panels: Sequence[Panel], item: str) -> str:
    """What the lines of these panels are; no word of thin lines or of a control where there are none."""
    items = "attributes" if item == "attribute" else "tests or queries"
    lines = f"Thin lines are single {items}, the bold line is their mean. A repair should pull them down"
    if all(len(panel.rays) < 2 for panel in panels):
        lines = "A repair should pull the line down"
    control = any(panel.series.is_control for panel in panels)
    return lines + ("; the random control should leave it where it was." if control else ".")


def _utility_words(panels: Sequence[Panel], treated: Sequence[str]) -> str:
    if all(len(panel.rays) < 2 for panel in panels):
        return "A good repair leaves the line flat."
    other = f" other than the treated attribute ({', '.join(treated)})" if treated else ""
    return f"Thin lines are single tasks{other}; the bold line is their mean. A good repair leaves these flat."


def association(comparison: Comparison) -> Section | None:
    members = measured(comparison, "effect_size")
    if not members:
        return None
    figures: list[Figure] = []
    kinds = split(members, lambda m: m.free("category") or "social")
    for kind in sorted(kinds, key=lambda k: (k != "social", k)):
        lines: list[Line] = []
        modalities = split(kinds[kind], lambda m: m.first.order)
        shown = 0
        for order, group in modalities.items():
            chosen = by_size(group)[: max(most_rows(comparison) - shown, 0)]
            shown += len(chosen)
            if chosen and (order or len(modalities) > 1):
                lines.append(Line(f"{order or 'order not stated'}", heading=True))
            for m in chosen:
                lines.append(Line(name_of(m), sample(m), marks_of(comparison, m)))
        label = {"social": "Social tests", "control": "Control tests"}.get(kind, f"{kind.capitalize()} tests")
        caption = (
            "People and stereotypes: a fair encoder sits at 0. "
            if kind == "social"
            else "Things without social meaning: the encoder should know these, before and after. "
            if kind == "control"
            else ""
        )
        if any(row.p_adjusted is not None for m in kinds[kind] for row in m.cells.values()):
            caption += "The corrected p, over the family of tests, is the one to judge by."
        figures.append(
            Figure(
                label,
                forest(
                    lines,
                    Axis("effect size d, in standard deviations"),
                    title=f"{label}: effect sizes",
                    description=f"Forest plot of {len(kinds[kind])} tests with intervals; 0 is no association.",
                ),
                caption + left_out(len(kinds[kind]), shown, "tests"),
                used(comparison, kinds[kind]),
            )
        )
    return Section(
        "association",
        "Association tests",
        "How much closer one set of stimuli sits to one attribute than "
        "the other set does, in the encoder\u2019s own geometry. The modality order says what X, Y and A, B are: "
        "texts or images.",
        tuple(figures),
        "Associations",
    )


def ranking(comparison: Comparison) -> Section | None:
    members = [m for m in comparison.measurements if m.cells and metric_of(m.first.metric).section == "ranking"]
    if not members:
        return None
    figures: list[Figure] = []
    for (metric, attribute), rows in _by_metric_and_attribute(members).items():
        if metric.startswith("mean_") and any(m.first.metric == metric.removeprefix("mean_") for m in members):
            continue
        means = [m for m in rows if m.first.groups in ALL_GROUPS or metric.startswith("mean_")]
        means += [m for m in members if m.first.metric == f"mean_{metric}" and m.first.attribute == attribute]
        single = by_size([m for m in rows if m not in means])
        chosen = single[: most_rows(comparison)]
        lines = [
            Line(
                f"mean of {plural(len(single), 'query', 'queries')}" if single else metric_of(metric).label,
                marks=marks_of(comparison, m),
                strong=True,
            )
            for m in means
        ]
        lines += [Line(name_of(m), "", points_of(comparison, m)) for m in chosen]
        share = rows[0].first.unit == "share"
        label = metric_of(metric, rows[0].first.unit).label + (f", perceived {spaced(attribute)}" if attribute else "")
        unit = "percentage points" if share else f"{metric_of(metric).label}, in {rows[0].first.unit}"
        axis = Axis(unit, "points" if share else "plain")
        figures.append(
            Figure(
                label,
                dots(
                    lines,
                    axis,
                    title=f"{label} by query",
                    description=f"Dot strip of {len(single)} queries; series on one line are joined.",
                ),
                _target_words(rows) + left_out(len(single), len(chosen), "queries"),
                used(comparison, rows),
                folded=len(figures) >= 1 and metric != "max_skew",
            )
        )
    return Section(
        "ranking",
        "Ranking skew",
        "Who comes first when images are ranked for a text that says nothing about the group."
        + charts_left_out(figures),
        tuple(figures[:MOST_FIGURES]),
        "Ranking",
    )


def _by_metric_and_attribute(members: Sequence[Measurement]) -> dict[tuple[str, str], list[Measurement]]:
    found: dict[tuple[str, str], list[Measurement]] = {}
    for m in members:
        found.setdefault((m.first.metric, m.first.attribute), []).append(m)
    order = {"max_skew": 0, "mean_max_skew": 1, "ndkl": 2, "bias_at_k": 3, "min_skew": 4}
    return dict(sorted(found.items(), key=lambda item: order.get(item[0][0], 9)))


def _target_words(rows: Sequence[Measurement]) -> str:
    ks = sorted({str(m.first.extra["k"]) for m in rows if m.first.extra.get("k") is not None})
    targets = sorted({m.free("target") for m in rows if m.free("target")})
    words = f"k = {', '.join(ks)}. " if ks else ""
    return words + (f"Target distribution: {', '.join(targets)}. " if targets else "") + "0 is on target."


def trends(comparison: Comparison) -> Section | None:
    members = measured(comparison, "slope")
    figures: list[Figure] = []
    for unit, rows in split(members, lambda m: m.first.unit).items():
        lines = [
            Line(
                name_of(m) if m.free("task") or m.free("test") or m.free("query") else m.first.attribute or "slope",
                f"{m.first.attribute}, {sample(m)}".lstrip(", "),
                marks_of(comparison, m),
            )
            for m in by_size(rows)[: most_rows(comparison)]
        ]
        figures.append(
            Figure(
                "Slopes",
                forest(
                    lines,
                    Axis(f"change {unit}" if unit.startswith("per") else unit),
                    title="Trends",
                    description="Forest plot of slopes with intervals; 0 is no trend.",
                ),
                "0 is no trend along the attribute." + left_out(len(rows), len(lines), "slopes"),
                used(comparison, rows),
            )
        )
    if not figures:
        return None
    return Section(
        "trends", "Trends", "For ordered groups and numeric attributes: what changes per unit.", tuple(figures)
    )
