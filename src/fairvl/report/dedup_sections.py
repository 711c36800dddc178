"""Sections of a deduplication: who is kept, whether the promises hold, the largest groups, example pairs."""

from __future__ import annotations

import math

from markupsafe import Markup

from ..findings import Finding
from .charts import Axis, Line, forest, tag
from .figures import Figure, Section, used
from .pairing import Comparison, Measurement
from .study_charts import decimals, table
from .study_rows import free, mark_of, rows_of, runs_with
from .summary import Card, Headline
from .vocabulary import capital, interval_text, p_text, plural, spaced, value_text

MOST_CHANGES = 40
PICTURES = ("dropped_picture", "witness_picture")  # free columns that hold a small JPEG as a data URI
CLEAR = 0.05
PROMISES = {
    "kept_share": "rows kept",
    "kept_with_kept_duplicate": "kept rows with a kept duplicate",
    "dropped_without_kept_duplicate": "dropped rows without a kept duplicate",
    "border_recall": "duplicate pairs that lie within clusters (estimated)",
    "largest_duplicate_group": "rows in the largest group of duplicates",
}


def is_dedup(comparison: Comparison) -> bool:
    """Whether every run is the audit of a keep list."""
    return all(rows_of(run, "kept_share") for run in comparison.runs)


def dedup_headline(comparison: Comparison) -> Headline:
    """How much is kept, and whether anybody's share changed."""
    told, cards = [], []
    for run in comparison.runs:
        kept = rows_of(run, "kept_share")[0]
        policy = str(run.findings.settings.get("policy", run.name))
        cards.append(Card(policy, value_text(kept), f"of {kept.n:,} rows kept"))
        changes = [row for row in rows_of(run, "representation") if row.arm == "difference"]
        clear = [row for row in changes if _p(row) < CLEAR]
        if clear:
            most = max(clear, key=lambda row: abs(row.value))
            way = "gained" if most.value > 0 else "lost"
            who = f"{most.groups} ({spaced(most.attribute)})"
            told.append(f"Under {policy}, {who} {way} {decimals(100 * abs(most.value), 1)} points of share.")
        elif changes:
            told.append(f"Under {policy}, no group's share changed by more than chance explains.")
        broken = [
            row for row in rows_of(run, "kept_with_kept_duplicate", "dropped_without_kept_duplicate") if row.value
        ]
        told += [f"{policy}: {value_text(row)} {PROMISES[row.metric]}." for row in broken]
    if len(comparison.runs) > 1:
        text = f"{plural(len(comparison.runs), 'keep list')} of the same rows, side by side."
    else:
        kept = rows_of(comparison.runs[0], "kept_share")[0]
        text = f"{value_text(kept)} of {kept.n:,} rows are kept." + (f" {told[0]}" if told else "")
        told = told[1:]
    return Headline(text, tuple(told), tuple(cards))


def least_share(comparison: Comparison, series: int) -> tuple[str, Card] | None:
    """What a keep list (one series of several) did to the group that lost most of its share, beside the others."""
    found = [m for m in comparison.where("representation") if series in m.cells and 0 in m.cells]
    if not found:
        return None
    lost = min(found, key=lambda m: m.cells[series].value - m.cells[0].value)
    before, after = lost.cells[0], lost.cells[series]
    who = f"{before.groups} ({spaced(before.attribute)})"
    name = comparison.series[series].repair
    text = f"{name}: the share of {who} went from {value_text(before)} to {value_text(after)}."
    others = [
        f"{comparison.series[i].repair} {value_text(row)}"
        for i, row in sorted(lost.cells.items())
        if i not in (0, series) and comparison.series[i].repair
    ]
    detail = f"of {value_text(before)} before" + (f"; {', '.join(others)}" if others else "")
    change = lost.changes.get(series)
    down = change is not None and change.high is not None and change.high < 0
    return capital(text), Card(f"Share of {who}", value_text(after), detail, "bad" if down else "")


def deduplication(comparison: Comparison) -> Section | None:
    """Everything about a keep list on one page: representation first."""
    figures = [*_representation(comparison), *_promises(comparison), *_reasons(comparison), *_examples(comparison),
               *_groups(comparison)]  # fmt: skip
    if not figures:
        return None
    lead = (
        "What was dropped as a near-duplicate, and what that did to every group. Shares are of the rows with a label; "
        "labels are perceived or estimated, never known of a person."
    )
    return Section("dedup", "Deduplication", lead, tuple(figures), "Dedup")


def _representation(comparison: Comparison) -> list[Figure]:
    found = comparison.where("representation")
    if not found:
        return []
    chosen = sorted(found, key=lambda m: -_moved(m))[:MOST_CHANGES]
    kept = [m for m in found if m in chosen]
    lines: list[Line] = []
    attribute = None
    for m in kept:
        if m.first.attribute != attribute:
            attribute = m.first.attribute
            lines.append(Line(spaced(attribute).capitalize() or "Groups", heading=True))
        marks = tuple(mark_of(comparison.series[i], row) for i, row in sorted(m.cells.items()))
        lines.append(Line(m.first.groups, _change(comparison, m), marks))
    chart = forest(
        lines, Axis("share of rows with a label", "percent"), title="Representation before and after",
        description="Share of every group before and after deduplication, with intervals.",
    )  # fmt: skip
    caption = "Changes are paired: the same rows before and after. p is corrected over all groups (Holm)."
    if len(found) > len(kept):
        caption += f" The {len(kept)} largest of {len(found)} changes."
    return [Figure("Representation before and after", chart, caption, used(comparison, kept))]


def _p(row: Finding) -> float:
    judged = row.p if row.p_adjusted is None else row.p_adjusted
    return 1.0 if judged is None else judged


def _moved(m: Measurement) -> float:
    sizes = [abs(row.value) for row in m.changes.values() if not math.isnan(row.value)]
    return max(sizes, default=0.0)


def _change(comparison: Comparison, m: Measurement) -> str:
    told = []
    if len(m.changes) > 2:  # more do not fit beside the row; their shares stand on its right
        most = max((row.value for row in m.changes.values() if not math.isnan(row.value)), key=abs, default=math.nan)
        return f"up to {decimals(100 * most, 1)} points"
    for i, row in sorted(m.changes.items()):
        if math.isnan(row.value):
            continue
        name = f"{comparison.runs[comparison.series[i].run].name}: " if len(comparison.runs) > 1 else ""
        p = p_text(row.p if row.p_adjusted is None else row.p_adjusted)
        told.append(f"{name}{decimals(100 * row.value, 1)} points" + (f", p {p}" if p else ""))
    return "; ".join(told)


def _promises(comparison: Comparison) -> list[Figure]:
    figures = []
    for rows, suffix in runs_with(comparison, *PROMISES):
        by_name = {row.metric: row for row in rows}
        body = []
        for metric, words in PROMISES.items():
            if (row := by_name.get(metric)) is not None:
                count = free(row, "count")
                what = f"{int(count):,} of {row.n:,}" if count.isdigit() else f"of {row.n:,}"
                value = f"{row.value:,.0f}" if row.unit == "rows" else value_text(row)
                body.append((words.capitalize(), value, interval_text(row), what))
        settings = next(run.findings.settings for run in comparison.runs if rows_of(run, *PROMISES) == rows)
        chart = table(("Count", "Value", "Interval", "Rows"), body, caption=_sizes(settings), numbers=(1, 2, 3))
        figures.append(Figure(f"Size and promises{suffix}", chart))
    return figures


def _sizes(settings: object) -> str:
    found = settings if hasattr(settings, "get") else {}
    policy, level = found.get("policy", ""), found.get("threshold")
    asked, reached = found.get("requested"), found.get("reached")
    text = f"Policy {policy}" + (f", duplicates above cosine {level:.4f}" if isinstance(level, float) else "")
    if isinstance(asked, float) and isinstance(reached, float):
        text += f"; {100 * asked:.1f}\u202f% asked for, {100 * reached:.2f}\u202f% reached"
    return text + "."


def _reasons(comparison: Comparison) -> list[Figure]:
    figures = []
    for rows, suffix in runs_with(comparison, "reason"):
        body = [(row.groups, free(row, "count"), value_text(row)) for row in rows if row.value]
        chart = table(("Reason", "Rows", "Share"), body, caption="Why every row is kept or dropped.", numbers=(1, 2))
        figures.append(Figure(f"Reasons{suffix}", chart, folded=True))
    return figures


def _examples(comparison: Comparison) -> list[Figure]:
    figures = []
    for rows, suffix in runs_with(comparison, "example_pair"):
        pictures = any(free(row, name) for row in rows for name in PICTURES)
        body = [
            (
                _named(row, "dropped", pictures),
                _named(row, "witness", pictures),
                decimals(row.value, 4),
                free(row, "reason"),
            )
            for row in rows
        ]
        caption = "Half of them the least similar pairs of the run: if these look like duplicates, the rest does too."
        chart = table(("Dropped", "Instead of it", "Cosine", "Reason"), body, caption=caption, numbers=(2,))
        figures.append(Figure(f"Example pairs{suffix}", chart, folded=not pictures))
    return figures


def _named(row: Finding, name: str, pictures: bool) -> Markup | str:
    text = free(row, name)
    if not pictures:
        return text
    source = free(row, f"{name}_picture")
    if not source.startswith("data:image/jpeg;base64,"):
        return text
    picture = Markup('<img src="{}" alt="" height="72"><br>').format(source)
    return tag("span", picture, text)


def with_pictures(comparison: Comparison) -> bool:
    """Whether any finding holds a picture."""
    rows = (row for found, _ in runs_with(comparison, "example_pair") for row in found)
    return any(free(row, name) for row in rows for name in PICTURES)


def _groups(comparison: Comparison) -> list[Figure]:
    figures = []
    for rows, suffix in runs_with(comparison, "duplicate_group"):
        body = [(free(row, "example"), f"{row.value:,.0f}", free(row, "kept_rows")) for row in rows]
        caption = f"{plural(len(rows), 'largest group')} of rows linked by duplicates; chains count as one group."
        chart = table(("One of its rows", "Rows", "Kept"), body, caption=caption, numbers=(1, 2))
        figures.append(Figure(f"Largest groups{suffix}", chart, folded=True))
    return figures
