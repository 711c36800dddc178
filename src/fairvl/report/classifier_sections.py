"""Sections and headline of classifiers: every arm at one budget, what edits add to each control, and the edits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..findings import Finding
from .changes import excludes_zero
from .charts import Axis, Line, Mark, forest
from .figures import Figure, Section, text_of, tip
from .pairing import Comparison, Run, Series
from .study_charts import table
from .study_rows import PLAIN, free, rows_of, runs_with
from .summary import Card, Cell, Headline, Scoreboard
from .vocabulary import (
    capital,
    interval_text,
    listing,
    metric_of,
    percent,
    plural,
    points,
    spaced,
    value_text,
)

LEAD = "equalized_odds_difference_mean"
FIRST = (LEAD, "accuracy", "worst_label_group_accuracy", "counterfactual_flip_rate")
"""Metrics of the cards, in order."""
FOLDED = ("macro_f1", "worst_group_accuracy", "equal_opportunity_difference", "equalized_odds_difference")
BASELINE, EDITED = "baseline", "augmented"
CONTROLS = ("reweighted", "duplicated", "unedited")
ARMS = {
    "baseline": "real images as they are",
    "augmented": "real images and verified edits",
    "reweighted": "real images, rare cells drawn more often",
    "duplicated": "real images, rare ones copied",
    "unedited": "real images and reconstructions",
    "aggravated": "edits into the largest group",
}
EDITS = ("edit_yield", "judge_accuracy")
LEVEL, GAP = PLAIN, Series(0, "", "difference", "t2", "square")


def is_classifier(comparison: Comparison) -> bool:
    """Whether every run compares trained classifiers."""
    return all(any("training" in row.extra for row in run.findings) for run in comparison.runs)


def classifier_title(comparison: Comparison) -> str:
    """What the page is about: the labels that were learned, and the protected attributes."""
    rows = [row for run in comparison.runs for row in run.findings if "training" in row.extra]
    tasks, attributes = (list(dict.fromkeys(spaced(name) for name in names if name)) for names in (
        (free(row, "task") for row in rows), (row.attribute for row in rows)))  # fmt: skip
    return f"Classifiers of {listing(tasks)} by {listing(attributes)}"


def arms_of(run: Run) -> list[str]:
    """The arms of a run, in their order."""
    return list(dict.fromkeys(free(row, "training") for row in _levels(run)))


def _levels(run: Run) -> list[Finding]:
    return [row for row in run.findings if free(row, "training") and row.arm == "" and row.metric not in EDITS]


def _level(run: Run, metric: str, arm: str, groups: str = "") -> Finding | None:
    rows = [row for row in _levels(run) if row.metric == metric and free(row, "training") == arm]
    return next((row for row in rows if row.groups == groups), None)


def _change(run: Run, metric: str, arm: str, other: str, groups: str = "") -> Finding | None:
    return next(
        (
            row
            for row in run.findings
            if (row.metric, row.arm, row.groups) == (metric, "difference", groups)
            and (free(row, "training"), free(row, "compared_with")) == (arm, other)
        ),
        None,
    )


def classifier_headline(comparison: Comparison) -> Headline:
    """What training on edits changed, with its interval, against which controls, and what it did not change."""
    if len(comparison.runs) > 1:
        return Headline(f"{plural(len(comparison.runs), 'comparison')} of classifiers, side by side.", (), ())
    run = comparison.runs[0]
    arms = arms_of(run)
    arm = next((name for name in (EDITED, *arms) if name in arms and name != BASELINE), "")
    change = _change(run, LEAD, arm, BASELINE)
    if change is None:
        told = [f"{name} {value_text(row)}" for name in arms if (row := _level(run, LEAD, name)) is not None]
        return Headline(f"{metric_of(LEAD).label} of {listing(told)}.", (), _level_cards(run, arms))
    text = f"{_how(arm)} {_moved_text(run, change)}; {_beside(run, arm)}."
    sentences = [*_against_controls(run, arm), *_other_changes(run, arm), *_aggravated(run), *_yields(run)]
    cards = [card for name in FIRST if (card := _card(run, name, arm)) is not None] + _yield_card(run)
    return Headline(text, tuple(sentences), tuple(cards[:4]), _scoreboard(run, arms))


def _how(arm: str) -> str:
    return "With verified edits in training," if arm == EDITED else f"With {ARMS.get(arm, arm)} ({arm}),"


def _who(row: Finding) -> str:
    return f"of {spaced(free(row, 'task'))} by {spaced(row.attribute)}"


def _direction(row: Finding) -> str:
    """ "fell", "rose" or "" where the interval includes 0."""
    if not excludes_zero(row):
        return ""
    return "fell" if row.value < 0 else "rose"


def _bare(row: Finding) -> str:
    return value_text(row).removesuffix(" points")


def _span(row: Finding) -> str:
    interval = interval_text(row)
    return f"{points(row.value)}, {interval}" if interval else points(row.value)


def _moved_text(run: Run, change: Finding) -> str:
    before, after = (_level(run, LEAD, free(change, key)) for key in ("compared_with", "training"))
    levels = f" from {_bare(before)} to {_bare(after)} points" if before and after else ""
    what = f"the mean equalized-odds difference {_who(change)}"
    if way := _direction(change):
        return f"{what} {way}{levels} ({_span(change)})"
    return f"{what} did not change measurably{levels and ':'}{levels} ({_span(change)})"


def _beside(run: Run, arm: str) -> str:
    change = _change(run, "accuracy", arm, BASELINE)
    if change is None:
        return "accuracy was not measured"
    way = _direction(change)
    return f"accuracy {way} ({_span(change)})" if way else f"accuracy did not change measurably ({_span(change)})"


def _against_controls(run: Run, arm: str) -> list[str]:
    found = [(other, row) for other in CONTROLS if (row := _change(run, LEAD, arm, other)) is not None]
    if not found:
        return ["No control was trained, so what the edits themselves add cannot be told."] if arm == EDITED else []
    told = "; ".join(f"{other} {_span(row)}" for other, row in found)
    below = [other for other, row in found if _direction(row) == "fell"]
    above = [other for other, row in found if _direction(row) == "rose"]
    even = [other for other, row in found if not _direction(row)]
    said = [f"clearly below {listing(below)}"] * bool(below) + [f"clearly above {listing(above)}"] * bool(above)
    said += [f"not clearly different from {listing(even)}"] * bool(even)
    verdict = "" if below else " No control is clearly beaten, so the change cannot be credited to the edits alone."
    return [f"At the same budget, the {arm} arm is {listing(said)} (its difference to {told}).{verdict}"]


def _other_changes(run: Run, arm: str) -> list[str]:
    names = [name for name in (*FIRST, *FOLDED, "accuracy_difference") if name not in (LEAD, "accuracy")]
    clear: list[str] = []
    not_clear: list[str] = []
    for name in names:
        for row in rows_of(run, name):
            if row.arm != "difference" or (free(row, "training"), free(row, "compared_with")) != (arm, BASELINE):
                continue
            label = metric_of(name).label.lower().replace(" f1", " F1")
            label += f", {row.groups}" if row.groups else ""
            (clear if excludes_zero(row) else not_clear).append(f"{label} ({points(row.value)})")
    told = []
    if clear:
        told.append(f"Against the baseline, these changed clearly too: {listing(clear)}.")
    if not_clear:
        told.append(f"No clear change: {listing(not_clear)}.")
    return told


def _aggravated(run: Run) -> list[str]:
    row = _change(run, LEAD, "aggravated", BASELINE)
    if row is None:
        return []
    way = {"rose": "made it worse, as it should", "fell": "lowered it too, so more images alone explain some of this"}
    told = way.get(_direction(row), "changed it by no more than chance explains")
    return [f"Aggravating the correlation with edits of the same kind {told} ({_span(row)})."]


def _yields(run: Run) -> list[str]:
    rows = rows_of(run, "edit_yield")
    if not rows:
        return []
    worst = min(rows, key=lambda row: row.value)
    return [
        f"The judges let {percent(_pooled(rows))} of {sum(row.n for row in rows):,} candidate edits pass; the least of "
        f"one request was {value_text(worst)} ({worst.groups})."
    ]


def _pooled(rows: Sequence[Finding]) -> float:
    tried = sum(row.n for row in rows)
    return sum(row.value * row.n for row in rows) / tried if tried else math.nan


def _card(run: Run, metric: str, arm: str) -> Card | None:
    row, before, after = _change(run, metric, arm, BASELINE), *(_level(run, metric, a) for a in (BASELINE, arm))
    if row is None or before is None or after is None:
        return None
    detail = f"{_bare(before)} \u2192 {value_text(after)}; "
    detail += f"paired interval {interval_text(row)}" if interval_text(row) else row.note or "no interval"
    return Card(metric_of(metric).label, points(row.value), detail, _tone(row))


def _tone(row: Finding) -> str:
    if not (way := _direction(row)):
        return ""
    wanted = {"high": "rose", "low": "fell", "zero": "fell"}.get(metric_of(row.metric).best)
    return "good" if way == wanted else "bad"


def _yield_card(run: Run) -> list[Card]:
    rows = [row for row in rows_of(run, "edit_yield") if free(row, "training") == EDITED]
    if not rows:
        return []
    made = sum(int(free(row, "accepted") or 0) for row in rows)
    return [Card("Yield of the gate", percent(_pooled(rows)), f"{plural(made, 'verified edit')} in training")]


def _level_cards(run: Run, arms: Sequence[str]) -> tuple[Card, ...]:
    rows = [(name, row) for name in FIRST for arm in arms[:1] if (row := _level(run, name, arm)) is not None]
    return tuple(Card(metric_of(name).label, value_text(row), f"{arms[0]}, n = {row.n}") for name, row in rows)


def _scoreboard(run: Run, arms: Sequence[str]) -> Scoreboard | None:
    others = [arm for arm in arms if arm != BASELINE]
    rows = []
    for metric in FIRST:
        start = _level(run, metric, BASELINE)
        if start is None:
            continue
        cells = [Cell(_bare(start))]
        for arm in others:
            row, change = _level(run, metric, arm), _change(run, metric, arm, BASELINE)
            if row is None or change is None:
                cells.append(Cell("not measured"))
                continue
            certain = "clear" if excludes_zero(change) else "not clear"
            cells.append(Cell(_bare(row), points(change.value), certain, _tone(change)))
        rows.append((metric_of(metric).label, f"n = {start.n}", tuple(cells)))
    return Scoreboard((BASELINE, *others), tuple(rows), "arm") if rows and others else None


def classifiers(comparison: Comparison) -> Section | None:
    """Every metric by arm; the first ones open."""
    if not is_classifier(comparison):
        return None
    figures = []
    for metric in (*FIRST, "accuracy_difference", *FOLDED):
        for rows, suffix in runs_with(comparison, metric):
            found = [row for row in rows if row.arm == "" and free(row, "training")]
            by_groups = dict.fromkeys(row.groups for row in found)
            for groups in by_groups:
                same = [row for row in found if row.groups == groups]
                figures.append(_by_arm(metric, same, suffix + (f", {groups}" if groups else ""), metric in FOLDED))
    lead = (
        "One classifier per arm and seed: all arms get the same steps and batches and, with one seed, the same first "
        "weights. A mark is the mean over seeds; its interval covers new test images and new trainings."
    )
    return Section("arms", "Classifiers by arm", lead, tuple(figures), "Arms") if figures else None


def _by_arm(metric: str, rows: Sequence[Finding], suffix: str, folded: bool) -> Figure:
    entry = metric_of(metric)
    lines = [
        Line(free(row, "training"), ARMS.get(free(row, "training"), ""), (_mark(LEVEL, row),), strong=i == 0)
        for i, row in enumerate(rows)
    ]
    points_kind = entry.kind == "points"
    axis = Axis(
        f"{entry.label[:1].lower()}{entry.label[1:]}" + (", percentage points" if points_kind else ""),
        "points" if points_kind else "percent",
        include=(0.0,) if points_kind or entry.best == "low" else (),
        bounds=(-1.0, 1.0) if points_kind else (0.0, 1.0),
    )
    chart = forest(lines, axis, title=entry.label, description=f"{entry.label} of every arm, with intervals.")
    return Figure(entry.label + suffix, chart, _caption(rows), folded=folded)


def _caption(rows: Sequence[Finding]) -> str:
    seeds = sorted({int(free(row, "seeds")) for row in rows if free(row, "seeds").isdigit()})
    told = f"n = {rows[0].n:,}" + (f", {plural(seeds[0], 'training')} per arm" if seeds else "")
    few = next((part for part in rows[0].note.split("; ") if part.startswith("fewer")), "")
    return f"{told}. {capital(few)}{'.' if few else ''}".strip()


def _mark(series: Series, row: Finding) -> Mark:
    return Mark(series, row.value, row.low, row.high, _short(row), "", tip(series, row))


def _short(row: Finding) -> str:
    """Beside the axis that names the unit, points need no word for it."""
    return text_of(row).replace(" points", "")


def differences(comparison: Comparison) -> Section | None:
    """Paired differences: every arm minus the baseline, and the augmented arm minus its controls."""
    if not is_classifier(comparison):
        return None
    figures = []
    for rows, suffix in runs_with(comparison, *FIRST):
        paired = [row for row in rows if row.arm == "difference"]
        for title, chosen, told in (
            ("Verified edits minus each control", [r for r in paired if free(r, "training") == EDITED], "minus {}"),
            ("Every arm minus the baseline", [r for r in paired if free(r, "compared_with") == BASELINE], "{}"),
        ):
            if chosen:
                figures.append(_difference_chart(title + suffix, chosen, told))
    lead = (
        "Paired by test image and by seed, so what two arms share cancels. A control that does as well as the edits "
        "says that the gain comes from balance or from more images, not from what the edits show."
    )
    return Section("differences", "What the edits change", lead, tuple(figures), "Differences") if figures else None


def _difference_chart(title: str, rows: Sequence[Finding], told: str) -> Figure:
    lines: list[Line] = []
    key = "compared_with" if told.startswith("minus") else "training"
    for metric in FIRST:
        same = [row for row in rows if row.metric == metric]
        if same:
            better = {"high": ": above 0 is better", "low": ": below 0 is better"}.get(metric_of(metric).best, "")
            lines.append(Line(metric_of(metric).label + better, heading=True))
            lines += [
                Line(told.format(free(row, key)), "clear" if excludes_zero(row) else "not clear", (_mark(GAP, row),))
                for row in same
            ]
    chart = forest(
        lines, Axis("difference, percentage points", "points", bounds=(-1.0, 1.0)), title=title,
        description="Paired differences with intervals; left of 0 the first arm has less of the measure.",
    )  # fmt: skip
    return Figure(title, chart, "A difference is clear where its interval leaves out 0.")


def edits(comparison: Comparison) -> Section | None:
    """What the plans asked for, what the gate let pass, and how well its judges read known truth."""
    figures = []
    for rows, suffix in runs_with(comparison, "edit_yield"):
        body = [
            (f"{free(row, 'training')}, {row.groups}", free(row, "wanted"), free(row, "accepted"), f"{row.n:,}",
             value_text(row), interval_text(row), free(row, "rejected") or "none")
            for row in rows
        ]  # fmt: skip
        head = ("Set and request", "Wanted", "Accepted", "Candidates", "Yield", "Interval", "Rejected for")
        chart = table(head, body, caption="A candidate may fail for several reasons.", numbers=(1, 2, 3, 4, 5))
        figures.append(Figure(f"Yield of every request{suffix}", chart))
    for rows, suffix in runs_with(comparison, "judge_accuracy"):
        judged = [
            (free(row, "judge"), free(row, "part"), spaced(row.attribute), value_text(row), interval_text(row),
             f"{row.n:,}")
            for row in rows
        ]  # fmt: skip
        names = ("Judge", "Its part", "Attribute", "Accuracy", "Interval", "Images")
        chart = table(names, judged, caption="On images whose truth is known.", numbers=(3, 4, 5))
        figures.append(Figure(f"Judges on known truth{suffix}", chart, folded=True))
    if not figures:
        return None
    lead = (
        "Real images are never edited or removed. An edit counts only where judges that took no part in making it see "
        "the new group, the old label and everything else as before."
    )
    return Section("edits", "Edits and their judges", lead, tuple(figures), "Edits")
