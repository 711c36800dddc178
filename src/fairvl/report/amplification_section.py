"""The section on bias amplification: means over pairs, groups, and the pairs themselves."""

from __future__ import annotations

from collections.abc import Sequence

from .changes import excludes_zero
from .charts import Axis, Line, forest
from .figures import (
    MOST_FIGURES,
    Figure,
    Section,
    by_size,
    charts_left_out,
    left_out,
    marks_of,
    measured,
    most_rows,
    sample,
    split,
    used,
)
from .pairing import Comparison, Measurement
from .vocabulary import NO_TASK, metric_of, spaced, value_text

_MEANS = ("amplification", "amplification_beyond_rates", "amplification_absolute")
_AXIS = "percentage points"
MOST_SENTENCES = 6


def amplification(comparison: Comparison) -> Section | None:
    """Amplification by attribute, its groups, and the pairs furthest from 0."""
    means = measured(comparison, *_MEANS)
    if not means:
        return None
    figures = [_means(comparison, means)]
    for attribute, pairs in split(measured(comparison, "amplification_pair"), lambda m: m.first.attribute).items():
        by_group = [m for m in measured(comparison, "amplification_by_group") if m.first.attribute == attribute]
        figures.append(_pairs(comparison, attribute, by_group, pairs, folded=len(figures) > 1))
    return Section(
        "amplification",
        "Bias amplification",
        "Do the predictions tie classes to groups more strongly than the labels do? 0 is as strongly as the labels. "
        "A value below 0 is not a repair by itself: opposite changes cancel, and a model that names nobody falls below "
        "0 too." + charts_left_out(figures),
        tuple(figures[:MOST_FIGURES]),
        "Amplification",
    )


def amplification_sentences(comparison: Comparison) -> list[str]:
    """What each repair did to amplification: a clear change, and whether the model merely names nobody any more."""
    told = []
    for m in comparison.where("amplification"):
        about = m.free("task") or spaced(m.first.attribute)
        for i, row in sorted(m.cells.items()):
            repair, before = comparison.series[i].repair, m.cells.get(comparison.before_of(i))
            change = m.changes.get(i)
            if not repair or before is None or change is None:
                continue
            moved = f"Amplification in \u201c{about}\u201d went from {value_text(before)} to {value_text(row)}"
            if row.extra.get("erasure"):
                told.append(f"{moved} with {repair}, which names nobody any more: that is erasure, not repair.")
            elif excludes_zero(change):
                told.append(f"{moved} with {repair}.")
    return told[:MOST_SENTENCES]


def _means(comparison: Comparison, members: Sequence[Measurement]) -> Figure:
    lines: list[Line] = []
    for about, rows in split(members, _about).items():
        lines.append(Line(about, heading=True))
        lines += [Line(metric_of(m.first.metric).label, sample(m), marks_of(comparison, m)) for m in rows]
    warned = any(row.extra.get("erasure") for m in members for row in m.cells.values())
    caption = "The size of changes is never below 0." + (
        " Warning: some predictions name hardly any class (see the notes): a value below 0 then says that nothing is "
        "named, not that bias is gone." if warned else ""
    )  # fmt: skip
    chart = forest(
        lines[: most_rows(comparison)],
        Axis(_AXIS, "points"),
        title="Bias amplification",
        description="Forest plot of mean bias amplification with intervals; 0 is as strong as in the labels.",
    )
    return Figure("Bias amplification", chart, caption, used(comparison, members))


def _pairs(
    comparison: Comparison, attribute: str, by_group: Sequence[Measurement], pairs: Sequence[Measurement], *,
    folded: bool,
) -> Figure:  # fmt: skip
    lines = [Line("groups, mean over classes", heading=True)] if by_group else []
    lines += [Line(m.first.groups, sample(m), marks_of(comparison, m)) for m in by_group]
    lines.append(Line("pairs of group and class", heading=True))
    room = max(most_rows(comparison) - len(lines), 5)
    chosen = by_size(pairs)[:room]
    lines += [
        Line(f"{m.first.groups} \u00b7 {m.free('label')}", sample(m, flag=True), marks_of(comparison, m))
        for m in chosen
    ]
    name = f"Bias amplification by perceived {spaced(attribute)}"
    chart = forest(
        lines,
        Axis(_AXIS, "points"),
        title=name,
        description="Forest plot of bias amplification by group and by pair with intervals.",
    )
    caption = "n of a pair is the number of rows of its group." + left_out(len(pairs), len(chosen), "listed pairs")
    return Figure(name, chart, caption, used(comparison, [*by_group, *pairs]), folded)


def _about(m: Measurement) -> str:
    return " \u00b7 ".join(text for text in (spaced(m.first.attribute), m.free("task")) if text not in NO_TASK)
