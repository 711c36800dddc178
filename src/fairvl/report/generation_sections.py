"""Sections about generated images: who they show, whether prompts are honoured, and how far to trust the judge."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from .charts import Axis, Line, dots, forest, tag
from .figures import (
    MOST_FIGURES,
    SHARE,
    Figure,
    Section,
    charts_left_out,
    left_out,
    marks_of,
    most_rows,
    points_of,
    sample,
    used,
)
from .pairing import Comparison, Measurement
from .study_charts import table
from .vocabulary import SMALL_CELL, interval_text, metric_of, percent, plural, spaced, value_text

PERCEIVED = (
    " Groups are how a judge perceived drawn people, from the labels it was given to choose from: no image here is of "
    "anybody who has a gender, an age or a skin tone, and a judge with two words for gender finds two."
)
READINGS = ("corrected", "hard", "expected")  # the first that there is speaks for the others
READING_WORDS = {
    "hard": "as labelled",
    "expected": "expected from the judge\u2019s confidence",
    "corrected": "corrected for the judge\u2019s confusion",
}
IMAGES, PROMPTS = "these prompts, images resampled", "prompts resampled"
HONOURED = ("explicit_accuracy", "concept_accuracy", "prompt_fidelity")
FEW_LINES = 14


def generated(comparison: Comparison) -> Section | None:
    """Shares of every prompt, the gap, and what else is said about the distance from the target."""
    attributes = list(dict.fromkeys(m.first.attribute for m in _rows(comparison, "generated_share")))
    if not attributes:
        return None
    figures: list[Figure] = []
    for attribute in sorted(attributes, key=lambda name: name.count(" & ")):
        figures += _shares(comparison, attribute)
        figures += _gap(comparison, attribute)
        figures += _by_prompt(comparison, attribute)
        figures += _others(comparison, attribute)
    opened = [f if i < 3 else Figure(f.title, f.chart, f.caption, f.series, True) for i, f in enumerate(figures)]
    return Section(
        "generated",
        "Who the images show",
        "Images drawn for prompts that do not say which group is meant." + PERCEIVED + charts_left_out(opened),
        tuple(opened[:MOST_FIGURES]),
        "Images",
    )


def honoured(comparison: Comparison) -> Section | None:
    """Explicit prompts, subjects and fidelity: what a repair must not break."""
    figures: list[Figure] = []
    for metric in HONOURED:
        members = _rows(comparison, metric) + _rows(comparison, f"mean_{metric}")
        for attribute, kind in dict.fromkeys((m.first.attribute, m.free("prompt_kind")) for m in members):
            figure = _honoured_figure(comparison, metric, attribute, kind)
            if figure is not None:
                figures.append(figure)
    if not figures:
        return None
    return Section(
        "honoured",
        "Are prompts honoured?",
        "The use of the images, beside their fairness: a prompt that names a group must get it, and an image must "
        "still show what was asked for." + charts_left_out(figures),
        tuple(figures[:MOST_FIGURES]),
        "Honoured",
    )


def judge(comparison: Comparison) -> Section | None:
    """What the judge confuses, and what it left unlabelled."""
    figures = [*_confusions(comparison), *_unlabelled(comparison)]
    if not figures:
        return None
    return Section(
        "judge",
        "The judge",
        "Every share above rests on a judge of images. Where its confusion was measured on images of known group, the "
        "corrected numbers undo it, and their intervals carry the doubt about it.",
        tuple(figures[:MOST_FIGURES]),
    )


def pictures(sheets: Mapping[str, Mapping[str, bytes]]) -> Section | None:
    """Small sheets of images, shown only because they were asked for: prompt -> arm -> PNG bytes."""
    if not sheets:
        return None
    figures = []
    for prompt, arms in sheets.items():
        rows = [
            tag("div", tag("p", arm, class_="sheet-arm"), _image(data, f"{prompt}: {arm}"), class_="sheet")
            for arm, data in arms.items()
        ]
        figures.append(Figure(prompt, tag("div", *rows, class_="sheets")))
    return Section(
        "pictures",
        "Some of the images",
        "The first images of each prompt, in the order of the table; the same place is the same prompt and seed in "
        "every row. They illustrate the numbers above and prove nothing.",
        tuple(figures),
        "Pictures",
    )


def _image(data: bytes, told: str) -> Markup:
    address = "data:image/png;base64," + base64.b64encode(data).decode()
    return Markup('<img src="{}" alt="{}">').format(address, told)


def _rows(comparison: Comparison, metric: str, **columns: str) -> list[Measurement]:
    return [
        m for m in comparison.where(metric)
        if m.cells and all((m.first.attribute if k == "attribute" else m.free(k)) == v for k, v in columns.items())
    ]  # fmt: skip


def _reading(members: Sequence[Measurement]) -> str:
    present = {m.free("labels") for m in members}
    return next((kind for kind in READINGS if kind in present), "")


def _prompt_name(m: Measurement, several: frozenset[str]) -> str:
    """The concept where it names the prompt, else the prompt itself."""
    concept = m.free("concept")
    return m.free("prompt") if not concept or concept in several else concept


def _several(members: Sequence[Measurement]) -> frozenset[str]:
    """Concepts that more than one prompt is about."""
    prompts: dict[str, set[str]] = {}
    for m in members:
        prompts.setdefault(m.free("concept"), set()).add(m.free("prompt"))
    return frozenset(concept for concept, names in prompts.items() if len(names) > 1)


def _value(m: Measurement) -> float:
    row = next(iter(m.cells.values()), None)
    return -math.inf if row is None or math.isnan(row.value) else row.value


def _shares(comparison: Comparison, attribute: str) -> list[Figure]:
    """One line per prompt: the share of the first of two groups; of more groups, all of them under their prompt."""
    every = _rows(comparison, "generated_share", attribute=attribute)
    kind = _reading(every)
    members = [m for m in every if m.free("labels") == kind]
    groups = list(dict.fromkeys(m.first.groups for m in members))
    shown = groups[:1] if len(groups) == 2 else groups
    means = {m.first.groups: m for m in _rows(comparison, "mean_generated_share", attribute=attribute, labels=kind)}
    several = _several(members)
    by_prompt: dict[str, list[Measurement]] = {}
    for m in members:
        if m.first.groups in shown:
            by_prompt.setdefault(m.free("prompt"), []).append(m)
    room = max(most_rows(comparison) // len(shown), 4)
    order = sorted(by_prompt, key=lambda prompt: _value(by_prompt[prompt][0]))[:room]
    lines: list[Line] = []
    if len(shown) > 1:
        lines.append(Line(f"mean of {plural(len(by_prompt), 'prompt')}", heading=True))
    for group in shown:
        if group in means:
            label = group if len(shown) > 1 else f"mean of {plural(len(by_prompt), 'prompt')}"
            marks = marks_of(comparison, means[group])
            lines.append(Line(label, sample(means[group]), marks, strong=True, reference=_target(means[group])))
    for prompt in order:
        if len(shown) > 1:
            lines.append(Line(_prompt_name(by_prompt[prompt][0], several), heading=True))
        for m in by_prompt[prompt]:
            label = m.first.groups if len(shown) > 1 else _prompt_name(m, several)
            detail = sample(m, flag=True)
            lines.append(Line(label, detail, marks_of(comparison, m), reference=_target(m)))
    who = f"Share of \u201c{shown[0]}\u201d" if len(shown) == 1 else "Shares of groups"
    chart = forest(
        lines,
        Axis("share of a prompt\u2019s labelled images", "percent", include=SHARE, bounds=SHARE, zero=False),
        title=f"{who} by prompt",
        description="Forest plot: one row per prompt, one interval per series; the dashed tick is the target.",
    )
    targets = sorted({m.free("target") for m in members if m.free("target")})
    caption = f"{READING_WORDS.get(kind, kind).capitalize()}. Dashed: the target ({', '.join(targets)})."
    if any(row.n < SMALL_CELL for m in members for row in m.cells.values()):
        caption += f" \u2020 fewer than {SMALL_CELL} images: read with care."
    caption += left_out(len(by_prompt), len(order), "prompts", "the lowest")
    return [Figure(f"{who}, perceived {spaced(attribute)}", chart, caption, used(comparison, members))]


def _target(m: Measurement) -> float | None:
    share = m.first.extra.get("target_share")
    return float(share) if isinstance(share, (int, float)) else None


def _distance(comparison: Comparison, attribute: str) -> str:
    return "parity_gap" if _rows(comparison, "mean_parity_gap", attribute=attribute) else "total_variation"


def _gap(comparison: Comparison, attribute: str) -> list[Figure]:
    """The mean and the worst gap, by every reading of the labels."""
    metric = _distance(comparison, attribute)
    lines: list[Line] = []
    members: list[Measurement] = []
    for title in (f"mean_{metric}", f"worst_{metric}"):
        for m in _rows(comparison, title, attribute=attribute):
            over = m.free("over")
            if over == PROMPTS and m.free("labels") != _reading(_rows(comparison, title, attribute=attribute)):
                continue
            words = READING_WORDS.get(m.free("labels"), "")
            label = metric_of(title).label + (", as a sample of prompts" if over == PROMPTS else "")
            lines.append(Line(label, f"{words}, {sample(m)}", marks_of(comparison, m), strong=title.startswith("mean")))
            members.append(m)
    if not lines:
        return []
    label = metric_of(metric).label
    chart = forest(
        lines,
        Axis("percentage points", "points"),
        title=f"{label} over prompts",
        description="Forest plot of the mean and worst gap with intervals; 0 is on target.",
    )
    caption = (
        "0 is on target. The interval resamples the images of these prompts; \u201cas a sample of prompts\u201d "
        "resamples the prompts themselves, for what to expect of others of their kind."
    )
    return [Figure(f"{label}, perceived {spaced(attribute)}", chart, caption, used(comparison, members))]


def _by_prompt(comparison: Comparison, attribute: str) -> list[Figure]:
    metric = _distance(comparison, attribute)
    every = _rows(comparison, metric, attribute=attribute)
    kind = _reading(every)
    members = sorted((m for m in every if m.free("labels") == kind), key=lambda m: -_value(m))
    if not members:
        return []
    several = _several(members)
    chosen = members[: most_rows(comparison)]
    lines = [Line(_prompt_name(m, several), "", points_of(comparison, m)) for m in chosen]
    label = metric_of(metric).label
    chart = dots(
        lines,
        Axis("percentage points", "points"),
        title=f"{label} by prompt",
        description="Dot strip: one row per prompt; series on one line are joined.",
    )
    caption = f"{READING_WORDS.get(kind, kind).capitalize()}; the intervals are in the table below."
    caption += left_out(len(members), len(chosen), "prompts")
    return [Figure(f"{label} by prompt, perceived {spaced(attribute)}", chart, caption, used(comparison, members))]


def _others(comparison: Comparison, attribute: str) -> list[Figure]:
    """Skews and entropy, and the distance that the headline figure does not show."""
    names = ["total_variation"] if _distance(comparison, attribute) == "parity_gap" else []
    titles = [f"{which}_{name}" for name in (*names, "image_max_skew", "image_min_skew", "image_entropy")
              for which in ("mean", "worst")]  # fmt: skip
    members = [
        m for title in titles for m in _rows(comparison, title, attribute=attribute, over=IMAGES)
        if m.free("labels") == _reading(_rows(comparison, title, attribute=attribute))
    ]  # fmt: skip
    figures = []
    for unit in dict.fromkeys(m.first.unit for m in members):
        rows = [m for m in members if m.first.unit == unit]
        lines = [Line(metric_of(m.first.metric).label, sample(m), marks_of(comparison, m)) for m in rows]
        told = {"share": "Distance from the target", "nats": "Skews", "of the most": "Entropy"}.get(unit, unit)
        axis = Axis("percentage points" if unit == "share" else unit, "points" if unit == "share" else "plain")
        chart = forest(lines, axis, title=told, description=f"Forest plot of {told.lower()} with intervals.")
        figures.append(Figure(f"{told}, perceived {spaced(attribute)}", chart, "", used(comparison, rows), folded=True))
    return figures


def _honoured_figure(comparison: Comparison, metric: str, attribute: str, kind: str) -> Figure | None:
    where = {"attribute": attribute, "prompt_kind": kind}
    every = _rows(comparison, metric, **where)
    reading = "hard" if any(m.free("labels") == "hard" for m in every) else _reading(every)
    members = sorted((m for m in every if m.free("labels") == reading), key=_value)
    lines: list[Line] = []
    for title in (f"mean_{metric}", f"worst_{metric}"):
        for m in _rows(comparison, title, over=IMAGES, **where):
            if m.free("labels") == "expected":
                continue
            words = READING_WORDS.get(m.free("labels"), "")
            detail = ", ".join(part for part in (words, sample(m)) if part)
            lines.append(Line(metric_of(title).label, detail, marks_of(comparison, m), strong=True))
    chosen = members[: min(FEW_LINES, most_rows(comparison))]
    several = _several(members)
    lines += [
        Line(m.free("prompt") if metric == "explicit_accuracy" else _prompt_name(m, several), sample(m, flag=True),
             marks_of(comparison, m))
        for m in chosen
    ]  # fmt: skip
    if not lines:
        return None
    share = metric != "prompt_fidelity"
    label = metric_of(metric).label
    axis = Axis("share of images", "percent", include=SHARE, bounds=SHARE, zero=False)
    chart = forest(
        lines, axis if share else Axis("cosine of image and prompt", include=(), zero=False),
        title=f"{label} by prompt",
        description="Forest plot: mean and worst prompt first, then the lowest prompts.",
    )  # fmt: skip
    told = {"neutral": ", neutral prompts", "explicit": ", prompts that name a group"}.get(kind, "")
    told = f"{label}{told if metric == 'concept_accuracy' else ''}"
    caption = left_out(len(members), len(chosen), "prompts", "the lowest").strip()
    if not share:
        caption = ("The axis does not start at 0. " + caption).strip()
    return Figure(told, chart, caption, used(comparison, members))


def _confusions(comparison: Comparison) -> list[Figure]:
    figures = []
    every = _rows(comparison, "judge_rate")
    for attribute in dict.fromkeys(m.first.attribute for m in every):
        cells = {(m.free("truth"), m.free("judged")): next(iter(m.cells.values()))
                 for m in every if m.first.attribute == attribute}  # fmt: skip
        columns = list(dict.fromkeys(judged for _, judged in cells))
        truths = list(dict.fromkeys(truth for truth, _ in cells))
        rows = [
            [truth, f"{cells[truth, columns[0]].n:,}"]
            + [f"{percent(cells[truth, j].value)} ({interval_text(cells[truth, j])})" for j in columns]
            for truth in truths
        ]
        chart = table(
            ["known to be", "n", *(f"judged {c}" for c in columns)], rows,
            caption="Share of the truth set\u2019s images of each group that the judge called this, with interval.",
            numbers=range(1, len(columns) + 2),
        )  # fmt: skip
        figures.append(Figure(f"Confusion of the judge, perceived {spaced(attribute)}", chart))
    return figures


def _unlabelled(comparison: Comparison) -> list[Figure]:
    """How many images have no label, and how far the gap could lie elsewhere because of them."""
    figures = []
    every = _rows(comparison, "unlabelled")
    for attribute in dict.fromkeys(m.first.attribute for m in every if " & " not in m.first.attribute):
        members = [m for m in every if m.first.attribute == attribute]
        gone = [m for m in members if m.free("prompt") == "(all)" or any(r.value > 0 for r in m.cells.values())]
        gaps = {m.free("prompt"): m for m in _rows(comparison, _distance(comparison, attribute), attribute=attribute,
                                                   labels="hard")}  # fmt: skip
        rows = []
        for m in gone[: most_rows(comparison)]:
            for i, row in m.cells.items():
                gap = gaps[m.free("prompt")].cells.get(i) if m.free("prompt") in gaps else None
                low, high = (
                    (gap.extra.get("bound_low"), gap.extra.get("bound_high")) if gap is not None else (None, None)
                )
                bounds = "" if low is None or i > 0 else f"{100 * float(low):.1f} to {100 * float(high or 0):.1f}"
                rows.append([m.free("prompt"), comparison.series[i].label, value_text(row), interval_text(row),
                             f"{row.n:,}", value_text(gap) if gap is not None else "", bounds])  # fmt: skip
        head = ["prompt", "arm", "unlabelled", "interval", "images", "gap of the labelled", "whatever the rest shows"]
        chart = table(
            head, rows, caption="Prompts with unlabelled images, and all prompts together.", numbers=(2, 3, 4, 5, 6)
        )
        caption = (
            "The last column says, for the first arm, where the gap in points would lie however the unlabelled images "
            "turned out." + left_out(len(gone), min(len(gone), most_rows(comparison)), "prompts", "the first")
        )
        figures.append(
            Figure(f"Unlabelled images, perceived {spaced(attribute)}", chart, caption, folded=len(rows) > FEW_LINES)
        )
    return figures
