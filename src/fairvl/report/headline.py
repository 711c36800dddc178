"""What the findings say, in plain words, and no more than they say.

A change counts as clear only when the interval of its *paired difference* excludes 0. Percentages are changes of a
mean over tests or queries; the sentence beside them says how many of these changes are clear.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from .amplification_section import amplification_sentences
from .changes import Change, Family, change_of, families, treated_attributes, utility_changes
from .classifier_sections import classifier_headline, is_classifier
from .dedup_sections import dedup_headline, is_dedup, least_share
from .description import describe
from .generation_words import without_labels
from .pairing import Comparison
from .study_headline import is_study, study_headline
from .summary import Card, Cell, Headline, Scoreboard
from .vocabulary import (
    THIN,
    bias_name,
    bias_size,
    capital,
    listing,
    number,
    percent,
    plural,
    points,
    signed,
)

NOTABLE_LOSS = 0.02  # two points of utility on one task are worth a sentence


def headline(comparison: Comparison) -> Headline:
    """The headline of the report, in the variant that the findings support."""
    made = _headline(comparison)
    told = [line for run in comparison.runs for line in without_labels(run.findings.settings)]
    told += amplification_sentences(comparison)
    told += [caveat for run in comparison.runs if isinstance(caveat := run.findings.settings.get("caveat"), str)]
    return replace(made, sentences=(*told, *made.sentences)) if told else made


def _headline(comparison: Comparison) -> Headline:
    if is_study(comparison):
        return study_headline(comparison)
    if is_dedup(comparison):
        return dedup_headline(comparison)
    if is_classifier(comparison):
        return classifier_headline(comparison)
    if len(comparison.runs) > 1:
        return _several_runs(comparison)
    if any(s.repair and not s.is_control for s in comparison.series):
        return _repaired(comparison)
    return describe(comparison)


def _whole_percent(share: float) -> str:
    size = abs(share) * 100
    return f"{size:.0f}{THIN}%" if size >= 1 or size == 0 else f"{size:.1f}{THIN}%"


def _repaired(comparison: Comparison) -> Headline:
    treated = treated_attributes(comparison)
    bias = bias_name(listing(list(treated)))
    repairs = [i for i, s in enumerate(comparison.series) if s.repair and not s.is_control]
    controls = [i for i, s in enumerate(comparison.series) if s.is_control]
    groups = families(comparison, treated)
    main = next(((i, change) for i in repairs for f in groups if (change := change_of(comparison, f, i))), None)
    if main is None:
        text = f"A repair was applied, but no measure of {bias} was taken both before and after it."
        return Headline(text, (), (), _scoreboard(comparison, groups, treated))
    series, change = main
    clause, cards = _utility_clause(comparison, series, treated)
    text = f"{_lead_text(change, bias, comparison.series[series].repair)}; {clause}."
    shares = least_share(comparison, series)
    if shares is not None:
        text = f"{shares[0]} {text}"
        cards = [shares[1], *cards]
    cards = [_change_card(c) for f in groups[:2] if (c := change_of(comparison, f, series)) is not None] + cards
    sentences = []
    for i in controls:
        control = change_of(comparison, change.family, i)
        if control is not None:
            what = "operator of the same kind" if shares is None else "subset of the same size"
            sentence, card, as_good = _control(comparison.series[i].repair, control, change, what)
            sentences.append(sentence)
            cards.append(card)
            if as_good:
                text += f" A random {what.split()[0]} did about as well, so the repair itself cannot be credited."
    operators = any(run.findings.settings.get("repairs") for run in comparison.runs)
    if not controls and operators:  # other repairs have controls of their own kind
        sentences.append(
            "No random control operator was measured, so this report cannot tell the repair\u2019s effect from that of "
            "removing any direction."
        )
    sentences += _utility_sentences(comparison, repairs, treated)
    return Headline(text, tuple(sentences), tuple(cards), _scoreboard(comparison, groups, treated))


def _lead_text(change: Change, bias: str, repair: str) -> str:
    named = "repair" if repair == "after" else f"{repair} repair"
    how = f"after the {named}"
    size = "" if math.isnan(change.fall) else f" by {_whole_percent(change.fall)}"
    match change.verdict:
        case "fell":
            return f"{capital(bias)} fell{size} {how}"
        case "partly":
            return f"{capital(bias)} fell{size} on average {how}, but not everywhere"
        case "rose":
            return f"The {named} did harm: {bias} rose{size}"
    return f"{capital(bias)} did not change measurably {how}"


def _utility_clause(comparison: Comparison, series: int, treated: tuple[str, ...]) -> tuple[str, list[Card]]:
    changes = utility_changes(comparison, series, treated)
    if not changes:
        return "its cost in utility was not measured", []
    before, after = fmean(c.before.value for c in changes), fmean(c.after.value for c in changes)
    moved = after - before
    tasks = "untreated tasks" if treated else "the measured tasks"
    worst = min(changes, key=lambda c: c.moved)
    what = "accuracy" if changes[0].before.metric == "accuracy" else "utility"
    if all(c.difference is not None and not c.clear for c in changes):
        clause = f"{what} on {tasks} did not change measurably ({points(moved)})"
    else:
        clause = f"{what} on {tasks} changed by {points(moved)}"
    if worst.moved < -NOTABLE_LOSS and worst.clear and len(changes) > 1:
        clause += f", with a loss of {points(-worst.moved, sign=False)} on \u201c{worst.name}\u201d"
    detail = f"{percent(before)} \u2192 {percent(after)}, mean over {plural(len(changes), 'task')}"
    if worst.moved < 0 and len(changes) > 1:
        detail += f"; largest drop {points(worst.moved)} ({worst.name})"
    tone = "bad" if moved < -NOTABLE_LOSS else "good" if moved > -NOTABLE_LOSS / 2 else ""
    return clause, [Card(f"{capital(what)}, {tasks}", points(moved), detail, tone)]


def _utility_sentences(comparison: Comparison, repairs: Sequence[int], treated: tuple[str, ...]) -> list[str]:
    sentences = []
    for i in repairs:
        clear = [c for c in utility_changes(comparison, i, treated) if c.clear]
        if clear:
            named = listing([f"{c.name} ({points(c.moved)})" for c in clear[:6]])
            rest = f" and {len(clear) - 6} more" if len(clear) > 6 else ""
            sentences.append(f"Utility changed clearly with {comparison.series[i].repair} on {named}{rest}.")
    return sentences


def _is_share(family: Family) -> bool:
    return family.members[0].first.unit == "share"


def _level(family: Family, value: float) -> str:
    return points(value, sign=False) if _is_share(family) else number(value)


def _relative(change: Change) -> str:
    if math.isnan(change.fall):
        return signed(change.after - change.before)
    return f"{signed(-100 * change.fall, 0)}{THIN}%"


def _certainty(change: Change) -> str:
    if change.count == 1:
        return "clear" if change.better or change.worse else "not clear"
    if not change.better and not change.worse:
        return f"none of {change.count} clear"
    worse = f", {change.worse} clearly worse" if change.worse else ""
    return f"{change.better} of {change.count} clearly better{worse}"


def _scoreboard(comparison: Comparison, groups: Sequence[Family], treated: tuple[str, ...]) -> Scoreboard | None:
    columns = [i for i, s in enumerate(comparison.series) if s.repair]
    rows = []
    for family in groups:
        found = [change_of(comparison, family, i) for i in columns]
        start = next((c for c in found if c is not None), None)
        if start is None:
            continue
        cells = [Cell(_level(family, start.before))]
        for change in found:
            if change is None:
                cells.append(Cell("not measured"))
            else:
                tone = {"fell": "good", "rose": "bad"}.get(change.verdict, "")
                cells.append(Cell(_level(family, change.after), _relative(change), _certainty(change), tone))
        over = f" over {plural(start.count, family.item, 'queries' if family.item == 'query' else '')}"
        rows.append((capital(family.name), family.measure + (over if start.count > 1 else ""), tuple(cells)))
    moves = [utility_changes(comparison, i, treated) for i in columns]
    first = next((m for m in moves if m), None)
    if first is not None:
        cells = [Cell(percent(fmean(c.before.value for c in first)))]
        for changes in moves:
            if not changes:
                cells.append(Cell("not measured"))
                continue
            moved = fmean(c.moved for c in changes)
            clear = sum(c.clear for c in changes)
            tone = "bad" if moved < -NOTABLE_LOSS else ""
            after = percent(fmean(c.after.value for c in changes))
            cells.append(Cell(after, points(moved), f"{clear or 'none'} of {len(changes)} clear", tone))
        what = "accuracy" if first[0].before.metric == "accuracy" else "share correct"
        rows.append(("Utility", f"{what} over {plural(len(first), 'task')}", tuple(cells)))
    if not rows:
        return None
    names = tuple(comparison.series[i].repair for i in columns)
    return Scoreboard(("before", *names), tuple(rows))


def _change_card(change: Change) -> Card:
    family = change.family
    unit = " nats" if family.members[0].first.unit == "nats" else ""
    detail = f"{family.measure} {_level(family, change.before)} \u2192 {_level(family, change.after)}{unit}; "
    detail += {"clear": "the paired interval excludes 0", "not clear": "the paired interval includes 0"}.get(
        _certainty(change), _certainty(change)
    )
    tone = {"fell": "good", "rose": "bad"}.get(change.verdict, "")
    return Card(capital(family.name), _moved(change), detail, tone)


def _moved(change: Change) -> str:
    """How far bias moved: a share of what it was where that is sure, else the difference with its interval."""
    if change.verdict != "unclear" or math.isnan(change.fall):
        return _relative(change)
    moved = change.after - change.before
    share = _is_share(change.family)
    text = points(moved) if share else signed(moved)
    if change.low is None or change.high is None:
        return text
    low, high = (signed(100 * end if share else end, 1 if share else 2) for end in (change.low, change.high))
    return f"{text} ({low} to {high})"


def _control(name: str, control: Change, repair: Change, what: str) -> tuple[str, Card, bool]:
    as_good = repair.fall > 0 and control.fall >= repair.fall / 2
    told = "so the change cannot be credited to the repair" if as_good else "so the change is the repair\u2019s own"
    if repair.verdict not in ("fell", "partly"):
        told = "shown for comparison"
    before, after = _level(repair.family, control.before), _level(repair.family, control.after)
    sentence = f"A random {what} changed {repair.family.measure} by {_relative(control)}, {told}."
    detail = f"{repair.family.measure} {before} \u2192 {after}; what a repair must beat"
    return (
        sentence,
        Card(f"{capital(repair.family.name)}, {name}", _relative(control), detail, "bad" if as_good else ""),
        as_good,
    )


def _several_runs(comparison: Comparison) -> Headline:
    for family in families(comparison, treated_attributes(comparison)) or families(comparison):
        columns = [i for i, s in enumerate(comparison.series) if not s.is_control]
        covered = {
            i: {k for k, m in enumerate(family.members) if i in m.cells and math.isfinite(m.cells[i].value)}
            for i in columns
        }
        columns = [i for i in columns if covered[i]]
        common = set.intersection(*(covered[i] for i in columns)) if columns else set()
        if len(columns) < 2 or not common:
            continue
        mean = {i: fmean(bias_size(family.members[k].cells[i]) for k in common) for i in columns}
        order = sorted(columns, key=mean.__getitem__)

        best, worst = order[0], order[-1]
        label = [s.label for s in comparison.series]
        items = plural(len(common), family.item, "queries" if family.item == "query" else "")
        text = f"Least {family.name}: {label[best]} ({family.measure} {_level(family, mean[best])}); "
        text += f"most: {label[worst]} ({_level(family, mean[worst])})."
        cards = [
            Card(label[i], _level(family, mean[i]), f"{family.measure} over {items} that all runs share")
            for i in order[:6]
        ]
        said = (
            f"{plural(len(comparison.runs), 'run')} are compared on what all of them measured ({items}). "
            "Intervals belong to each run alone: overlapping intervals do not prove two runs equal."
        )
        return Headline(text, (said,), tuple(cards))
    text = f"{plural(len(comparison.runs), 'run')} side by side: {listing([run.name for run in comparison.runs])}."
    return Headline(text, ("No measure of bias is shared by all runs, so they are not ranked.",), ())
