"""Sections about groups of people: accuracy, leakage, harms; and what stands beside them: utility and the rest."""

from __future__ import annotations

from collections.abc import Sequence

from .charts import Axis, Line, bars, forest
from .figures import (
    MOST_FIGURES,
    SHARE,
    Figure,
    Section,
    by_size,
    charts_left_out,
    left_out,
    lowest,
    marks_of,
    measured,
    most_rows,
    name_of,
    sample,
    split,
    used,
)
from .pairing import Comparison, Measurement
from .vocabulary import ALL_GROUPS, NO_TASK, SMALL_CELL, metric_of, spaced


def by_group(comparison: Comparison) -> Section | None:
    """Accuracy of every group with its interval, and the gaps between groups."""
    levels, gaps = _levels(comparison), _gaps(comparison)
    room = MOST_FIGURES - len(gaps)
    figures = [*levels[:room], *gaps]
    if not figures:
        return None
    return Section(
        "groups",
        "By group",
        "The same predictions, counted group by group. Group labels are the data\u2019s own, as perceived by whoever "
        "gave them." + charts_left_out(levels, room),
        tuple(figures),
        "Groups",
    )


def _levels(comparison: Comparison) -> list[Figure]:
    levels = [m for m in measured(comparison, "accuracy") if m.first.groups not in ("", *ALL_GROUPS)]
    overall = {m.free("task"): m for m in measured(comparison, "accuracy") if m.first.groups in ("", *ALL_GROUPS)}
    figures: list[Figure] = []
    for attribute, members in split(levels, lambda m: m.first.attribute).items():
        lines: list[Line] = []
        tasks = split(members, lambda m: m.free("task"))
        room = max(most_rows(comparison) // len(tasks), 4)
        shown = 0
        for task, rows in tasks.items():
            if task not in NO_TASK or len(tasks) > 1:
                lines.append(Line(f"task: {task}", heading=True))
            if (all_of_them := overall.get(task)) is not None:
                marks = marks_of(comparison, all_of_them, control=False)
                lines.append(Line("everybody", sample(all_of_them), marks, strong=True))
            chosen = rows if len(rows) <= room else sorted(rows, key=lowest)[:room]
            shown += len(chosen)
            lines += [
                Line(m.first.groups, sample(m, flag=True), marks_of(comparison, m, control=False)) for m in chosen
            ]
        caption = "Whiskers are intervals." + _dagger(members) + _without_control(comparison)
        name = f"Accuracy by perceived {spaced(attribute)}" if attribute else "Accuracy by group"
        chart = bars(
            lines,
            Axis("accuracy", "percent", bounds=SHARE, include=SHARE),
            title=name,
            description="Bars from zero with intervals, one row per group.",
        )
        caption += left_out(len(members), shown, "groups", "the lowest")
        series = used(comparison, members, control=False)
        figures.append(Figure(name, chart, caption, series, folded=_fold(figures, lines)))
    return figures


def _gaps(comparison: Comparison) -> list[Figure]:
    gaps = [
        m
        for m in comparison.measurements
        if m.cells and metric_of(m.first.metric).section == "gaps" and metric_of(m.first.metric).kind == "points"
    ]
    if not gaps:
        return []
    lines: list[Line] = []
    shown, most = 0, most_rows(comparison)
    for about, rows in split(
        gaps, lambda m: " \u00b7 ".join(t for t in (m.first.attribute, m.free("task")) if t)
    ).items():
        chosen = rows[: max(most - shown, 0)]
        shown += len(chosen)
        if chosen:
            lines.append(Line(about or "groups", heading=True))
        lines += [
            Line(metric_of(m.first.metric).label, sample(m), marks_of(comparison, m, control=False)) for m in chosen
        ]
    chart = forest(
        lines,
        Axis("percentage points", "points"),
        title="Gaps between groups",
        description="Forest plot of gap metrics with intervals; 0 is no gap.",
    )
    caption = "0 is equal treatment by that measure. The measures are named apart because they can disagree."
    caption += " A gap is a maximum over groups: small groups push it up by chance." + _without_control(comparison)
    caption += left_out(len(gaps), shown, "gaps", "the first")
    series = used(comparison, gaps, control=False)
    return [Figure("Gaps between groups", chart, caption, series, folded=len(lines) > 12)]


def _fold(figures: Sequence[Figure], lines: Sequence[Line]) -> bool:
    """Whether a chart starts closed: the first is open, short ones follow it, the rest wait to be asked for."""
    return len(figures) >= 3 or (len(figures) >= 1 and len(lines) > 16)


def _about(m: Measurement) -> str:
    return " \u00b7 ".join(text for text in (spaced(m.first.attribute), m.free("task")) if text not in NO_TASK)


def _dagger(members: Sequence[Measurement]) -> str:
    small = any(row.n < SMALL_CELL for m in members for row in m.cells.values())
    return f" \u2020 fewer than {SMALL_CELL} images: read with care." if small else ""


def _without_control(comparison: Comparison) -> str:
    return " The random control is in the table." if any(s.is_control for s in comparison.series) else ""


def leakage(comparison: Comparison) -> Section | None:
    members = measured(comparison, "probe_accuracy")
    if not members:
        return None
    lines = []
    for attribute, rows in split(members, lambda m: m.first.attribute).items():
        lines.append(Line(f"perceived {spaced(attribute)}" if attribute else "attribute not stated", heading=True))
        for m in rows:
            chance = m.first.extra.get("chance")
            lines.append(
                Line(
                    f"{m.free('modality') or 'vectors'} vectors" if m.free("modality") else "vectors",
                    sample(m),
                    marks_of(comparison, m),
                    reference=float(chance) if isinstance(chance, (int, float)) else None,
                )
            )
    figure = Figure(
        "Linear probe",
        bars(
            lines,
            Axis("probe accuracy", "percent", bounds=SHARE, include=SHARE),
            title="Leakage probe",
            description="Bars of probe accuracy with intervals; the dashed line is the chance level.",
        ),
        "The dashed line is chance. A repair of text vectors leaves image vectors as they are, so the attribute "
        "stays readable from images: the repair stops prompts from asking for it, it does not erase it.",
        used(comparison, members),
    )
    return Section(
        "leakage",
        "Leakage",
        "How well a simple linear classifier can still read the attribute from the vectors.",
        (figure,),
    )


def harms(comparison: Comparison) -> Section | None:
    members = measured(comparison, "harm_rate")
    if not members:
        return None
    figures: list[Figure] = []
    for attribute, rows in split(members, lambda m: m.first.attribute).items():
        lines: list[Line] = []
        labels = split(rows, lambda m: m.free("label"))
        room = max(most_rows(comparison) // len(labels), 4)
        shown = 0
        for label, group in labels.items():
            lines.append(Line(f"label: {label}" if label else "any harm label", heading=True))
            chosen = group if len(group) <= room else sorted(group, key=lambda m: -lowest(m))[:room]
            shown += len(chosen)
            lines += [
                Line(
                    "everybody" if m.first.groups in ("", *ALL_GROUPS) else m.first.groups,
                    sample(m, flag=True),
                    marks_of(comparison, m, control=False),
                    strong=m.first.groups in ALL_GROUPS,
                )
                for m in chosen
            ]
        name = f"Harm rates by perceived {spaced(attribute)}" if attribute else "Harm rates"
        figures.append(
            Figure(
                name,
                bars(
                    lines,
                    Axis("share of images given the label", "percent"),
                    title=name,
                    description="Bars from zero with intervals, one row per group and label.",
                ),
                "The axis ends near the largest rate, not at 100\u202f%."
                + _dagger(rows)
                + _without_control(comparison)
                + left_out(len(rows), shown, "rates"),
                used(comparison, rows, control=False),
            )
        )
    return Section(
        "harms",
        "Harm labels",
        "How often a zero-shot classifier picks a denigrating or crime label when one is on offer."
        + charts_left_out(figures),
        tuple(figures[:MOST_FIGURES]),
        "Harms",
    )


def utility(comparison: Comparison) -> Section | None:
    members = [
        m
        for m in comparison.measurements
        if m.cells and m.role == "utility" and m.first.unit == "share" and metric_of(m.first.metric).section != "images"
    ]
    if not members:
        return None
    lines = [
        Line(m.free("task") or name_of(m), f"{metric_of(m.first.metric).label}, {sample(m)}", marks_of(comparison, m))
        for m in members[: most_rows(comparison)]
    ]
    figure = Figure(
        "Utility by task",
        forest(
            lines,
            Axis("share correct", "percent", include=(), bounds=SHARE, zero=False),
            title="Utility by task",
            description="Forest plot of utility with intervals.",
        ),
        "The axis does not start at 0, so that small losses can be seen."
        + left_out(len(members), len(lines), "tasks", "the first"),
        used(comparison, members),
    )
    return Section("utility", "Utility", "What the system is for, and whether it still does it.", (figure,))


def other(comparison: Comparison) -> Section | None:
    known = {
        "association",
        "groups",
        "gaps",
        "amplification",
        "ranking",
        "leakage",
        "harms",
        "trends",
        "study",
        "dedup",
        "images",
        "front",
    }
    members = [
        m
        for m in comparison.measurements
        if m.cells and m.role != "utility" and metric_of(m.first.metric, m.first.unit).section not in known
    ]
    figures: list[Figure] = []
    for (metric, unit), rows in _by_metric_and_unit(members).items():
        chosen = by_size(rows)[: most_rows(comparison)]
        share = unit == "share"
        lines = [Line(_free_name(m), sample(m), marks_of(comparison, m)) for m in chosen]
        label = metric_of(metric, unit).label
        figures.append(
            Figure(
                label,
                forest(
                    lines,
                    Axis(unit, "percent" if share else "plain"),
                    title=label,
                    description=f"Forest plot of {label} with intervals.",
                ),
                left_out(len(rows), len(chosen), "values").strip(),
                used(comparison, rows),
                folded=len(figures) >= 3,
            )
        )
    if not figures:
        return None
    return Section(
        "other",
        "Other measurements",
        "Metrics that this report has no special chart for." + charts_left_out(figures),
        tuple(figures[:MOST_FIGURES]),
        "Other",
    )


def _by_metric_and_unit(members: Sequence[Measurement]) -> dict[tuple[str, str], list[Measurement]]:
    found: dict[tuple[str, str], list[Measurement]] = {}
    for m in members:
        found.setdefault((m.first.metric, m.first.unit), []).append(m)
    return found


def _free_name(m: Measurement) -> str:
    names = [
        str(v) for k, v in m.first.extra.items() if k not in ("role", "repair", "category") and isinstance(v, str) and v
    ]
    return ", ".join([*(n for n in (m.first.attribute, m.first.groups) if n), *names]) or "overall"
