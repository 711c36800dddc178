"""The sections of the report: which findings go into which chart, and what is said about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from ..findings import Finding
from .charts import Axis, Line, Mark, Panel, Ray, bars, dots, forest, slope
from .headline import families, treated_attribute, utility_changes
from .pairing import Comparison, Measurement, Series
from .vocabulary import (
    ALL_GROUPS,
    SMALL_CELL,
    THIN,
    bias_size,
    interval_text,
    metric_of,
    number,
    p_text,
    percent,
    plural,
    points,
    signed,
    value_text,
)

MOST_ROWS = 45
SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class Figure:
    """One chart with its caption and legend; `folded` charts start closed."""

    title: str
    chart: Markup
    caption: str = ""
    series: tuple[Series, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    id: str
    title: str
    lead: str
    figures: tuple[Figure, ...]


def sections(comparison: Comparison) -> list[Section]:
    """Every section that the findings support, in reading order."""
    makers: tuple[Callable[[Comparison], Section | None], ...] = (
        _before_after,
        _association,
        _groups,
        _ranking,
        _leakage,
        _harms,
        _trends,
        _utility,
        _other,
    )
    return [section for make in makers if (section := make(comparison)) is not None]


# ---- rows


def _tip(series: Series, row: Finding) -> str:
    parts = [f"{series.label}: {value_text(row)}"]
    if interval := interval_text(row):
        parts.append(f"{100 * (row.level or 0):g}{THIN}% interval {interval}")
    if p := p_text(row.p):
        parts.append(f"p {p}" + (f", adjusted {p_text(row.p_adjusted)}" if p_text(row.p_adjusted) else ""))
    parts.append(f"n = {row.n}")
    if row.note:
        parts.append(row.note)
    return "; ".join(parts)


def _text(row: Finding, with_p: bool = False) -> str:
    if math.isnan(row.value):
        return f"undefined: {row.note}"[:44]
    text = value_text(row)
    if interval := interval_text(row):
        text += f"  ({interval})"
    if with_p and (p := p_text(row.p)):
        text += f"  p {p}" + (f" / {p_text(row.p_adjusted)}" if p_text(row.p_adjusted) else "")
    return text


def _marks(comparison: Comparison, m: Measurement, *, with_p: bool = False, brief: bool = False) -> tuple[Mark, ...]:
    marks = []
    for i, series in enumerate(comparison.series):
        if (row := m.cells.get(i)) is not None:
            text = value_text(row) if brief else _text(row, with_p)
            marks.append(Mark(series, row.value, row.low, row.high, text, _tip(series, row)))
    return tuple(marks)


def _used(comparison: Comparison, members: Iterable[Measurement]) -> tuple[Series, ...]:
    seen = {i for m in members for i in m.cells}
    return tuple(s for i, s in enumerate(comparison.series) if i in seen)


def _shown(m: Measurement) -> float:
    row = next(iter(m.cells.values()), m.first)
    return row.value


def _by_size(members: Iterable[Measurement]) -> list[Measurement]:
    return sorted(members, key=lambda m: -abs(_shown(m)) if math.isfinite(_shown(m)) else math.inf)


def _n(m: Measurement) -> str:
    sizes = sorted({row.n for row in m.cells.values()})
    small = " \u2020" if sizes and sizes[0] < SMALL_CELL else ""
    span = " to ".join(str(size) for size in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else ""
    return f"n = {span}{small}" if span else ""


def _split(members: Iterable[Measurement], key: Callable[[Measurement], str]) -> dict[str, list[Measurement]]:
    groups: dict[str, list[Measurement]] = {}
    for m in members:
        groups.setdefault(key(m), []).append(m)
    return groups


def _left_out(total: int, shown: int, what: str) -> str:
    return (
        "" if total <= shown else f" Shown: {shown} of {total} {what}, the largest first; all are in the table below."
    )


def _measured(comparison: Comparison, *metrics: str) -> list[Measurement]:
    return [m for m in comparison.where(*metrics) if m.cells]


# ---- sections


def _before_after(comparison: Comparison) -> Section | None:
    after = [i for i, s in enumerate(comparison.series) if s.repair and comparison.before_of(i) >= 0]
    if not after:
        return None
    attribute = treated_attribute(comparison)
    figures: list[Figure] = []
    for family in families(comparison, attribute)[:2]:
        members = family.members
        if family.name == "retrieval skew":
            per_query = tuple(
                m for m in comparison.where("max_skew") if not attribute or m.first.attribute in ("", attribute)
            )
            members = per_query or members
        share = members[0].first.unit == "share"
        panels = []
        for i in after[:5]:
            start = comparison.before_of(i)
            rays = tuple(
                Ray(
                    _name(m),
                    bias_size(m.cells[start]),
                    bias_size(m.cells[i]),
                    f"{_name(m)}: {value_text(m.cells[start])} \u2192 {value_text(m.cells[i])}",
                )
                for m in members
                if start in m.cells and i in m.cells
            )
            panels += _panel(comparison.series[i], rays, share)
        if panels:
            what = f"size of bias: {family.name}" + (" |d|" if family.name == "association" else "")
            figures.append(
                Figure(
                    f"Fairness: {family.name}",
                    slope(
                        panels,
                        Axis(f"{what} (lower is fairer)", percent if share else number),
                        title=f"{family.name} before and after each repair",
                        description="One panel per repair; thin lines are single tests, the bold one is their mean.",
                    ),
                    "Thin lines are single tests or queries, the bold line is their mean. A repair should pull "
                    "them down; "
                    "the random control should leave them where they are.",
                )
            )
    panels = []
    for i in after[:5]:
        changes = utility_changes(comparison, i, attribute)
        rays = tuple(
            Ray(name, a.value, b.value, f"{name}: {percent(a.value)} \u2192 {percent(b.value)}")
            for name, a, b, _ in changes
        )
        panels += _panel(comparison.series[i], rays, True, gain=True)
    if panels:
        figures.append(
            Figure(
                "Utility, on the same page",
                slope(
                    panels,
                    Axis("utility (higher is better)", lambda v: f"{100 * v:.0f}{THIN}%", include=(1.0,), zero=False),
                    title="Utility before and after each repair",
                    description="One panel per repair; thin lines are single tasks, the bold one is their mean.",
                ),
                "Thin lines are single tasks"
                + (f" other than the treated attribute ({attribute})" if attribute else "")
                + "; the bold line is their mean. A good repair leaves these flat.",
            )
        )
    if not figures:
        return None
    return Section(
        "before-after",
        "Before and after",
        "The same measurements, run twice on the same input. "
        "Fairness and utility stand together, because either alone can be bought with the other.",
        tuple(figures),
    )


def _panel(series: Series, rays: Sequence[Ray], share: bool, gain: bool = False) -> list[Panel]:
    known = [r for r in rays if math.isfinite(r.start) and math.isfinite(r.end)]
    if not known:
        return []
    start, end = fmean(r.start for r in known), fmean(r.end for r in known)
    if share:
        change = points(end - start)
    else:
        change = f"{signed(100 * (end / start - 1), 0)}{THIN}%" if start > 0 else signed(end - start)
    return [Panel(series.label.removeprefix("after "), series, tuple(known), (start, end), change)]


def _name(m: Measurement) -> str:
    for key in ("test", "query", "task", "label"):
        if name := m.free(key):
            return name
    sets = [m.free(key) for key in ("x", "y", "a", "b")]
    if all(sets):
        return f"{sets[0]} / {sets[1]} \u00d7 {sets[2]} / {sets[3]}"
    return m.first.groups if m.first.groups not in ("", *ALL_GROUPS) else metric_of(m.first.metric, m.first.unit).label


def _association(comparison: Comparison) -> Section | None:
    members = _measured(comparison, "effect_size")
    if not members:
        return None
    figures: list[Figure] = []
    kinds = _split(members, lambda m: m.free("category") or "social")
    for kind in sorted(kinds, key=lambda k: (k != "social", k)):
        lines: list[Line] = []
        modalities = _split(kinds[kind], lambda m: m.first.order)
        shown = 0
        for order, group in modalities.items():
            chosen = _by_size(group)[: max(MOST_ROWS - shown, 0)]
            shown += len(chosen)
            if chosen and (order or len(modalities) > 1):
                lines.append(Line(f"{order or 'order not stated'}", heading=True))
            for m in chosen:
                sets = [m.free(key) for key in ("x", "y", "a", "b")]
                detail = f"{sets[0]} / {sets[1]} \u00d7 {sets[2]} / {sets[3]}, " if all(sets) and m.free("test") else ""
                lines.append(Line(_name(m), detail + _n(m), _marks(comparison, m, with_p=True)))
        label = {"social": "Social tests", "control": "Control tests"}.get(kind, f"{kind.capitalize()} tests")
        caption = (
            "People and stereotypes: a fair encoder sits at 0. "
            if kind == "social"
            else "Things without social meaning: the encoder should know these, before and after. "
            if kind == "control"
            else ""
        )
        caption += "At the right: d, its interval, and p" + (
            " / p corrected over the family of tests."
            if any(m.first.p_adjusted is not None for m in kinds[kind])
            else "."
        )
        figures.append(
            Figure(
                label,
                forest(
                    lines,
                    Axis("effect size d, in standard deviations"),
                    title=f"{label}: effect sizes",
                    description=f"Forest plot of {len(kinds[kind])} tests with intervals; 0 is no association.",
                ),
                caption + _left_out(len(kinds[kind]), shown, "tests"),
                _used(comparison, kinds[kind]),
            )
        )
    return Section(
        "association",
        "Association tests",
        "How much closer one set of stimuli sits to one attribute than "
        "the other set does, in the encoder\u2019s own geometry. The modality order says what X, Y and A, B are: "
        "texts or images.",
        tuple(figures),
    )


def _groups(comparison: Comparison) -> Section | None:
    levels = [
        m
        for m in comparison.measurements
        if m.cells and m.first.groups not in ("", *ALL_GROUPS) and m.first.metric == "accuracy"
    ]
    gaps = [
        m
        for m in comparison.measurements
        if m.cells and metric_of(m.first.metric).section == "gaps" and metric_of(m.first.metric).kind == "points"
    ]
    if not levels and not gaps:
        return None
    overall = {
        m.free("task"): m for m in comparison.where("accuracy") if m.cells and m.first.groups in ("", *ALL_GROUPS)
    }
    figures: list[Figure] = []
    for attribute, members in _split(levels, lambda m: m.first.attribute).items():
        lines: list[Line] = []
        tasks = _split(members, lambda m: m.free("task"))
        room = max(MOST_ROWS // max(len(tasks), 1), 4)
        shown = 0
        for task, rows in tasks.items():
            if task:
                lines.append(Line(f"task: {task}", heading=True))
            if task in overall:
                lines.append(Line("everybody", _n(overall[task]), _marks(comparison, overall[task]), strong=True))
            chosen = rows if len(rows) <= room else sorted(rows, key=_lowest)[:room]
            shown += len(chosen)
            lines += [Line(m.first.groups, _n(m), _marks(comparison, m)) for m in chosen]
        caption = "Whiskers are intervals." + (
            f" \u2020 fewer than {SMALL_CELL} images: read with care."
            if any(r.n < SMALL_CELL for m in members for r in m.cells.values())
            else ""
        )
        if shown < len(members):
            caption += f" Shown: the {shown} lowest of {len(members)} groups; all are in the table below."
        name = f"Accuracy by perceived {attribute}" if attribute else "Accuracy by group"
        figures.append(
            Figure(
                name,
                bars(
                    lines,
                    Axis("accuracy", _whole, bounds=SHARE, include=SHARE),
                    title=name,
                    description="Bars from zero with intervals, one row per group.",
                ),
                caption,
                _used(comparison, members),
                folded=len(figures) >= 3,
            )
        )
    if gaps:
        lines, shown = [], 0
        for attribute, rows in _split(gaps, lambda m: m.first.attribute).items():
            lines.append(Line(attribute or "groups", heading=True))
            for m in rows[: max(MOST_ROWS - shown, 0)]:
                label = metric_of(m.first.metric).label
                task = m.free("task")
                lines.append(Line(label, f"{f'{task}, ' if task else ''}{_n(m)}", _marks(comparison, m)))
                shown += 1
        figures.append(
            Figure(
                "Gaps between groups",
                forest(
                    lines,
                    Axis("percentage points", lambda v: number(100 * v, 0), include=(0.0,)),
                    title="Gaps between groups",
                    description="Forest plot of gap metrics with intervals; 0 is no gap.",
                ),
                "0 is equal treatment by that measure; the measures are named apart because they disagree."
                + _left_out(len(gaps), shown, "gaps"),
                _used(comparison, gaps),
            )
        )
    return Section(
        "groups",
        "By group",
        "The same predictions, counted group by group. Group labels are the data\u2019s "
        "own, as perceived by whoever labelled them.",
        tuple(figures),
    )


def _lowest(m: Measurement) -> float:
    value = _shown(m)
    return value if math.isfinite(value) else math.inf


def _whole(share: float) -> str:
    return f"{number(100 * share, 0)}{THIN}%"


def _ranking(comparison: Comparison) -> Section | None:
    members = [m for m in comparison.measurements if m.cells and metric_of(m.first.metric).section == "ranking"]
    if not members:
        return None
    figures: list[Figure] = []
    for (metric, attribute), rows in _by_metric_and_attribute(members).items():
        if metric == "mean_max_skew" and any(m.first.metric == "max_skew" for m in members):
            continue
        means = [m for m in rows if m.first.groups in ALL_GROUPS or metric == "mean_max_skew"]
        if metric == "max_skew":
            means += [m for m in members if m.first.metric == "mean_max_skew" and m.first.attribute == attribute]
        single = _by_size([m for m in rows if m not in means])
        chosen = single[:MOST_ROWS]
        lines = [
            Line(
                f"mean of {plural(len(single), 'query', 'queries')}" if single else metric_of(metric).label,
                marks=_marks(comparison, m, brief=True),
                strong=True,
            )
            for m in means
        ]
        lines += [Line(_name(m), "", _marks(comparison, m, brief=True)) for m in chosen]
        share = rows[0].first.unit == "share"
        label = metric_of(metric, rows[0].first.unit).label + (f", {attribute}" if attribute else "")
        axis = Axis(
            "percentage points" if share else f"{metric_of(metric).label}, in {rows[0].first.unit}",
            (lambda v: number(100 * v, 0)) if share else number,
        )
        figures.append(
            Figure(
                label,
                dots(
                    lines,
                    axis,
                    title=f"{label} by query",
                    description=f"Dot strip of {len(single)} queries; series on one line are joined.",
                ),
                _target_words(rows) + _left_out(len(single), len(chosen), "queries"),
                _used(comparison, rows),
                folded=len(figures) >= 1 and metric != "max_skew",
            )
        )
    return Section(
        "ranking",
        "Ranking skew",
        "Who comes first when images are ranked for a text that says nothing about the group.",
        tuple(figures),
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


def _leakage(comparison: Comparison) -> Section | None:
    members = _measured(comparison, "probe_accuracy")
    if not members:
        return None
    lines = []
    for attribute, rows in _split(members, lambda m: m.first.attribute).items():
        lines.append(Line(f"perceived {attribute}" if attribute else "attribute not stated", heading=True))
        for m in rows:
            chance = m.first.extra.get("chance")
            lines.append(
                Line(
                    f"{m.free('modality') or 'vectors'} vectors" if m.free("modality") else "vectors",
                    _n(m),
                    _marks(comparison, m),
                    reference=float(chance) if isinstance(chance, (int, float)) else None,
                )
            )
    figure = Figure(
        "Linear probe",
        bars(
            lines,
            Axis("probe accuracy", _whole, bounds=SHARE, include=SHARE),
            title="Leakage probe",
            description="Bars of probe accuracy with intervals; the dashed line is the chance level.",
        ),
        "The dashed line is chance. A repair of text vectors leaves image vectors as they are, so the attribute "
        "stays readable from images: the repair stops prompts from asking for it, it does not erase it.",
        _used(comparison, members),
    )
    return Section(
        "leakage",
        "Leakage",
        "How well a simple linear classifier can still read the attribute from the vectors.",
        (figure,),
    )


def _harms(comparison: Comparison) -> Section | None:
    members = _measured(comparison, "harm_rate")
    if not members:
        return None
    figures: list[Figure] = []
    for attribute, rows in _split(members, lambda m: m.first.attribute).items():
        lines: list[Line] = []
        labels = _split(rows, lambda m: m.free("label"))
        room = max(MOST_ROWS // len(labels), 4)
        shown = 0
        for label, group in labels.items():
            lines.append(Line(f"label: {label}" if label else "any harm label", heading=True))
            chosen = group if len(group) <= room else sorted(group, key=lambda m: -_lowest(m))[:room]
            shown += len(chosen)
            lines += [
                Line(
                    "everybody" if m.first.groups in ("", *ALL_GROUPS) else m.first.groups,
                    _n(m),
                    _marks(comparison, m),
                    strong=m.first.groups in ALL_GROUPS,
                )
                for m in chosen
            ]
        name = f"Harm rates by perceived {attribute}" if attribute else "Harm rates"
        figures.append(
            Figure(
                name,
                bars(
                    lines,
                    Axis("share of images given the label", percent, include=(0.0,)),
                    title=name,
                    description="Bars from zero with intervals, one row per group and label.",
                ),
                "The axis starts at 0 and ends near the largest rate, not at 100\u202f%."
                + _left_out(len(rows), shown, "rates"),
                _used(comparison, rows),
            )
        )
    return Section(
        "harms",
        "Harm labels",
        "How often a zero-shot classifier picks a denigrating or crime label when one is on offer.",
        tuple(figures),
    )


def _trends(comparison: Comparison) -> Section | None:
    members = _measured(comparison, "slope")
    figures: list[Figure] = []
    for unit, rows in _split(members, lambda m: m.first.unit).items():
        lines = [
            Line(
                _name(m) if m.free("task") or m.free("test") or m.free("query") else m.first.attribute or "slope",
                f"{m.first.attribute}, {_n(m)}".lstrip(", "),
                _marks(comparison, m),
            )
            for m in _by_size(rows)[:MOST_ROWS]
        ]
        figures.append(
            Figure(
                "Slopes",
                forest(
                    lines,
                    Axis(f"change {unit}" if unit.startswith("per") else unit, lambda v: number(v, 3)),
                    title="Trends",
                    description="Forest plot of slopes with intervals; 0 is no trend.",
                ),
                "0 is no trend along the attribute." + _left_out(len(rows), len(lines), "slopes"),
                _used(comparison, rows),
            )
        )
    if not figures:
        return None
    return Section(
        "trends", "Trends", "For ordered groups and numeric attributes: what changes per unit.", tuple(figures)
    )


def _utility(comparison: Comparison) -> Section | None:
    members = [m for m in comparison.measurements if m.cells and m.role == "utility" and m.first.unit == "share"]
    if not members:
        return None
    lines = [
        Line(m.free("task") or _name(m), f"{metric_of(m.first.metric).label}, {_n(m)}", _marks(comparison, m))
        for m in members[:MOST_ROWS]
    ]
    figure = Figure(
        "Utility by task",
        forest(
            lines,
            Axis("share correct", _whole, include=(), bounds=SHARE, zero=False),
            title="Utility by task",
            description="Forest plot of utility with intervals.",
        ),
        "The axis does not start at 0, so that small losses can be seen."
        + _left_out(len(members), len(lines), "tasks"),
        _used(comparison, members),
    )
    return Section("utility", "Utility", "What the system is for, and whether it still does it.", (figure,))


def _other(comparison: Comparison) -> Section | None:
    known = {"association", "groups", "gaps", "ranking", "leakage", "harms", "trends"}
    members = [
        m
        for m in comparison.measurements
        if m.cells and m.role != "utility" and metric_of(m.first.metric, m.first.unit).section not in known
    ]
    figures: list[Figure] = []
    for (metric, unit), rows in _by_metric_and_unit(members).items():
        chosen = _by_size(rows)[:MOST_ROWS]
        share = unit == "share"
        lines = [Line(_free_name(m), _n(m), _marks(comparison, m, with_p=True)) for m in chosen]
        label = metric_of(metric, unit).label
        figures.append(
            Figure(
                label,
                forest(
                    lines,
                    Axis(unit if not share else "share", percent if share else number),
                    title=label,
                    description=f"Forest plot of {label} with intervals.",
                ),
                _left_out(len(rows), len(chosen), "values").strip(),
                _used(comparison, rows),
                folded=len(figures) >= 3,
            )
        )
    if not figures:
        return None
    return Section("other", "Other measurements", "Metrics that this report has no special chart for.", tuple(figures))


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
