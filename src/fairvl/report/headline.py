"""What the findings say, in plain words, and no more than they say.

A change counts as clear only when the interval of its *paired difference* excludes 0. Percentages are changes of a
mean over tests or queries; the sentence beside them says how many of these changes are clear.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..findings import Finding
from .pairing import Comparison, Measurement
from .vocabulary import (
    ALL_GROUPS,
    SMALL_CELL,
    THIN,
    bias_size,
    interval_text,
    listing,
    number,
    percent,
    plural,
    points,
    signed,
    value_text,
)

SIGNIFICANT = 0.05
NOTABLE_LOSS = 0.02  # two points of utility on one task are worth a sentence


@dataclass(frozen=True)
class Card:
    """One key figure: a small label, a big value, a line of detail; `tone` is "good", "bad" or ""."""

    label: str
    value: str
    detail: str
    tone: str = ""


@dataclass(frozen=True)
class Headline:
    """The headline, the sentences under it, and the key figures."""

    text: str
    sentences: tuple[str, ...]
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Family:
    """Bias measurements that are averaged together, and how they are spoken of."""

    name: str
    measure: str
    item: str
    members: tuple[Measurement, ...]


@dataclass(frozen=True)
class Change:
    """What one repair did to one family: means before and after, and how many changes are clear."""

    family: Family
    before: float
    after: float
    count: int
    better: int
    worse: int
    low: float | None = None
    high: float | None = None

    @property
    def fall(self) -> float:
        """Share of the bias that is gone; negative when it rose, NaN when there was none."""
        return 1 - self.after / self.before if self.before > 0 else math.nan

    @property
    def verdict(self) -> str:
        """ "fell", "partly", "rose" or "unclear"."""
        if self.worse > self.better:
            return "rose"
        if self.after < self.before and self.better:
            return "fell" if not self.worse and 2 * self.better >= self.count else "partly"
        return "unclear"


def treated_attribute(comparison: Comparison) -> str:
    """The attribute that the repair is about: stated in the settings, or the only one that changes; else ""."""
    for run in comparison.runs:
        if name := _stated(run.findings.settings):
            return name
    changed = {
        m.first.attribute
        for m in comparison.measurements
        if m.changes and m.role == "fairness" and m.first.attribute and m.free("category") != "control"
    }
    return changed.pop() if len(changed) == 1 else ""


def _stated(settings: Mapping[str, Any]) -> str:
    for key in ("treated_attribute", "treated"):
        if isinstance(name := settings.get(key), str) and name:
            return name
    for key in ("operator", "repair", "debias"):
        inner = settings.get(key)
        if isinstance(inner, Mapping) and isinstance(name := inner.get("attribute"), str):
            return name
    return ""


def families(comparison: Comparison, attribute: str = "") -> list[Family]:
    """The bias measurements that a headline may speak of, most telling first."""

    def about(m: Measurement) -> bool:
        return m.role == "fairness" and (not attribute or m.first.attribute in ("", attribute))

    def pick(metric: str, overall: bool | None = None) -> tuple[Measurement, ...]:
        return tuple(
            m
            for m in comparison.where(metric)
            if about(m)
            and m.free("category") != "control"
            and (overall is None or (m.first.groups in ALL_GROUPS) == overall)
        )

    skew = pick("mean_max_skew") or pick("max_skew")
    found = [
        Family("association", "mean |d|", "social test", pick("effect_size")),
        Family(
            "retrieval skew",
            "MaxSkew@k",
            "ranking" if skew and skew[0].first.metric == "mean_max_skew" else "query",
            skew,
        ),
        Family("accuracy gap", "gap between groups", "task", pick("accuracy_gap")),
        Family("equalized odds difference", "equalized odds difference", "task", pick("equalized_odds_difference")),
    ]
    return [family for family in found if family.members]


def change_of(comparison: Comparison, family: Family, series: int) -> Change | None:
    """What happened to a family from before to one repaired series; None when nothing is paired."""
    start = comparison.before_of(series)
    before, after, better, worse = [], [], 0, 0
    interval: tuple[float | None, float | None] = (None, None)
    for m in family.members:
        a, b = m.cells.get(start), m.cells.get(series)
        if a is None or b is None or math.isnan(bias_size(a)) or math.isnan(bias_size(b)):
            continue
        before.append(bias_size(a))
        after.append(bias_size(b))
        difference = m.changes.get(series)
        if difference is not None and _excludes_zero(difference):
            better += after[-1] < before[-1]
            worse += after[-1] > before[-1]
        if difference is not None:
            interval = (difference.low, difference.high)
    if not before:
        return None
    ends = interval if len(before) == 1 else (None, None)
    return Change(family, fmean(before), fmean(after), len(before), better, worse, *ends)


def _excludes_zero(row: Finding) -> bool:
    return row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)


def utility_changes(
    comparison: Comparison, series: int, attribute: str = ""
) -> list[tuple[str, Finding, Finding, Finding | None]]:
    """Utility measured before and after, on everything but the treated attribute: name, before, after, difference."""
    start = comparison.before_of(series)
    found = []
    for m in comparison.measurements:
        a, b = m.cells.get(start), m.cells.get(series)
        if m.role != "utility" or m.first.unit != "share" or a is None or b is None:
            continue
        if attribute and attribute in (m.free("task"), m.free("target_attribute")):
            continue
        if math.isfinite(a.value) and math.isfinite(b.value):
            found.append((m.free("task") or m.first.metric.replace("_", " "), a, b, m.changes.get(series)))
    return found


def headline(comparison: Comparison) -> Headline:
    """The headline of the report, in the variant that the findings support."""
    if len(comparison.runs) > 1:
        return _several_runs(comparison)
    if any(s.repair and not s.is_control for s in comparison.series):
        return _repaired(comparison)
    return _measured(comparison)


def _bias_name(attribute: str) -> str:
    return f"{attribute.replace('_', ' ')} bias" if attribute else "bias"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _whole_percent(share: float) -> str:
    size = abs(share) * 100
    return f"{size:.0f}{THIN}%" if size >= 1 or size == 0 else f"{size:.1f}{THIN}%"


def _repaired(comparison: Comparison) -> Headline:
    attribute = treated_attribute(comparison)
    bias = _bias_name(attribute)
    repairs = [i for i, s in enumerate(comparison.series) if s.repair and not s.is_control]
    controls = [i for i, s in enumerate(comparison.series) if s.is_control]
    groups = families(comparison, attribute)
    main = next(((i, change) for i in repairs for f in groups if (change := change_of(comparison, f, i))), None)
    if main is None:
        text = f"A repair was applied, but no measure of {bias} was taken both before and after it."
        return Headline(text, tuple(_utility_sentences(comparison, repairs, attribute)), ())
    series, change = main
    repair = comparison.series[series].repair
    clause, utility_cards = _utility_clause(comparison, series, attribute)
    text = f"{_lead_text(change, bias, repair)}; {clause}."
    sentences = [
        _change_sentence(comparison, i, c, bias)
        for i in repairs
        for f in groups
        if (c := change_of(comparison, f, i)) is not None
    ]
    sentences += _utility_sentences(comparison, repairs, attribute)
    cards = [_change_card(comparison, series, c) for f in groups[:2] if (c := change_of(comparison, f, series))]
    cards += utility_cards
    for i in controls:
        control = change_of(comparison, change.family, i)
        if control is not None:
            sentence, card, as_good = _control(comparison, i, control, change)
            sentences.append(sentence)
            cards.append(card)
            if as_good:
                text += " A random operator did about as well, so the repair itself cannot be credited."
    if not controls:
        sentences.append(
            "No random control operator was measured, so this report cannot tell the repair's effect "
            "from that of removing any direction."
        )
    return Headline(text, tuple(sentences), tuple(cards))


def _lead_text(change: Change, bias: str, repair: str) -> str:
    how = f"after the {repair} repair"
    size = "" if math.isnan(change.fall) else f" by {_whole_percent(change.fall)}"
    match change.verdict:
        case "fell":
            return f"{_capital(bias)} fell{size} {how}"
        case "partly":
            return f"{_capital(bias)} fell{size} on average {how}, but not everywhere"
        case "rose":
            return f"The {repair} repair did harm: {bias} rose{size}"
    return f"{_capital(bias)} did not change measurably {how}"


def _utility_clause(comparison: Comparison, series: int, attribute: str) -> tuple[str, list[Card]]:
    changes = utility_changes(comparison, series, attribute)
    if not changes:
        return "its cost in utility was not measured", []
    before, after = fmean(a.value for _, a, _, _ in changes), fmean(b.value for _, _, b, _ in changes)
    moved = after - before
    tasks = "untreated tasks" if attribute else "the measured tasks"
    worst = min(changes, key=lambda c: c[2].value - c[1].value)
    clear = [c for c in changes if c[3] is not None and _excludes_zero(c[3])]
    what = "accuracy" if all(a.metric == "accuracy" for _, a, _, _ in changes) else "utility"
    if not clear and all(c[3] is not None for c in changes):
        clause = f"{what} on {tasks} did not change measurably ({points(moved)})"
    else:
        clause = f"{what} on {tasks} changed by {points(moved)}"
    loss = worst[2].value - worst[1].value
    if loss < -NOTABLE_LOSS and worst in clear and len(changes) > 1:
        clause += f", with a loss of {points(-loss, sign=False)} on \u201c{worst[0]}\u201d"
    detail = (
        f"{what} {percent(before)} \u2192 {percent(after)}, mean over {plural(len(changes), 'task')}; "
        f"largest drop {points(min(loss, 0.0))}{f' ({worst[0]})' if loss < 0 else ''}"
    )
    tone = "bad" if moved < -NOTABLE_LOSS else "good" if moved > -NOTABLE_LOSS / 2 else ""
    return clause, [Card(f"Utility, {tasks}", points(moved), detail, tone)]


def _utility_sentences(comparison: Comparison, repairs: Sequence[int], attribute: str) -> list[str]:
    sentences = []
    for i in repairs:
        if changes := utility_changes(comparison, i, attribute):
            clear = [(name, b.value - a.value) for name, a, b, d in changes if d is not None and _excludes_zero(d)]
            named = listing([f"{name} {points(moved)}" for name, moved in clear[:4]])
            sentences.append(
                f"Utility with {comparison.series[i].repair}: {plural(len(changes), 'task')} measured; "
                + (f"clear changes on {named}." if clear else "on none does the interval of the change exclude 0.")
            )
    return sentences


def _change_sentence(comparison: Comparison, series: int, change: Change, bias: str) -> str:
    repair, family = comparison.series[series].repair, change.family
    one = change.count == 1
    values = f"from {number(change.before)} to {number(change.after)}"
    if family.members[0].first.unit == "share":
        values = f"from {points(change.before, sign=False)} to {points(change.after, sign=False)}"
    size = "" if math.isnan(change.fall) else f" ({signed(-100 * change.fall, 0)}{THIN}%)"
    if one:
        certain = (
            "the paired interval excludes 0" if change.better or change.worse else "the paired interval includes 0"
        )
        return f"{_capital(family.name)} with {repair}: {values}{size}; {certain}."
    unclear = change.count - change.better - change.worse
    parts = [f"{change.better} clearly better"] if change.better else []
    parts += [f"{change.worse} clearly worse"] if change.worse else []
    parts += [f"{unclear} without a clear change"] if unclear else []
    items = plural(change.count, family.item, "queries" if family.item == "query" else "")
    return f"{_capital(family.name)} with {repair}: {family.measure} {values}{size} over {items}: {listing(parts)}."


def _change_card(comparison: Comparison, series: int, change: Change) -> Card:
    family = change.family
    big = number(change.after - change.before) if math.isnan(change.fall) else f"{signed(-100 * change.fall, 0)}{THIN}%"
    if family.members[0].first.unit == "share":
        detail = f"{points(change.before, sign=False)} \u2192 {points(change.after, sign=False)}"
    else:
        unit = " nats" if family.members[0].first.unit == "nats" else ""
        detail = f"{family.measure} {number(change.before)} \u2192 {number(change.after)}{unit}"
    if change.count == 1:
        detail += "; the paired interval " + ("excludes 0" if change.better or change.worse else "includes 0")
    else:
        detail += f"; clearly better in {change.better} of {change.count}"
        detail += f", clearly worse in {change.worse}" if change.worse else ""
    tone = {"fell": "good", "rose": "bad"}.get(change.verdict, "")
    return Card(f"{_capital(family.name)}, {comparison.series[series].repair}", big, detail, tone)


def _control(comparison: Comparison, series: int, control: Change, repair: Change) -> tuple[str, Card, bool]:
    as_good = repair.fall > 0 and control.fall >= repair.fall / 2
    size = f"{signed(-100 * control.fall, 0)}{THIN}%" if not math.isnan(control.fall) else "no defined change"
    told = "so the change is not the repair's own" if as_good else "so the change is the repair's own"
    if repair.verdict not in ("fell", "partly"):
        told = "shown for comparison"
    name = comparison.series[series].repair
    sentence = (
        f"A random operator of the same kind ({name}) moved {repair.family.measure} by {size} "
        f"({number(control.before)} to {number(control.after)}), {told}."
    )
    detail = f"{repair.family.measure} {number(control.before)} \u2192 {number(control.after)}; a repair must beat this"
    return sentence, Card(f"Same measure, {name}", size, detail, "bad" if as_good else ""), as_good


def _measured(comparison: Comparison) -> Headline:
    sentences: list[str] = []
    cards: list[Card] = []
    text = ""
    social = [m for m in comparison.where("effect_size") if m.free("category") != "control"]
    rows = [r for m in social if (r := next(iter(m.cells.values()), None)) is not None]
    if rows:
        text, said, cards = _associations(rows)
        sentences.append(said)
    groups = _groups(comparison)
    if groups is not None:
        sentence, card = groups
        cards.append(card)
        text = text or sentence
        sentences.append(sentence)
    for m in comparison.where("mean_max_skew")[:2]:
        row = next(iter(m.cells.values()), None)
        if row is not None:
            name = f"{_capital(row.attribute)} skew of retrieval" if row.attribute else "Skew of retrieval"
            interval = f" ({interval_text(row)})" if interval_text(row) else ""
            sentence = f"{name}: mean MaxSkew@k is {value_text(row)}{interval}"
            sentences.append(sentence + ".")
            cards.append(Card(name, value_text(row), f"mean MaxSkew@k; 0 is on target{interval}"))
            text = text or sentence
    if not text:
        count = sum(len(run.findings) for run in comparison.runs)
        text = (
            f"{plural(count, 'finding')} on {plural(len({m.first.metric for m in comparison.measurements}), 'metric')}"
        )
    if len(sentences) == 1 and sentences[0].rstrip(".") == text:
        sentences = []
    sentences.append("Nothing was repaired in this run: these numbers describe the audited system as it is.")
    return Headline(text.rstrip(".") + ".", tuple(sentences), tuple(cards[:4]))


def _associations(rows: Sequence[Finding]) -> tuple[str, str, list[Card]]:
    tested = [r for r in rows if _p(r) is not None]
    held = [r for r in tested if (_p(r) or 0.0) <= SIGNIFICANT]
    corrected = any(r.p_adjusted is not None for r in rows)
    after = " after correction" if corrected else ""
    finite = [r for r in rows if math.isfinite(r.value)]
    attributes = listing(list(dict.fromkeys(r.attribute for r in held if r.attribute)))
    if held:
        what = f"{_capital(_bias_name(attributes))} shows" if attributes else "Bias shows"
        text = f"{what} in {len(held)} of {len(tested)} social association tests{after}"
    elif tested:
        text = f"None of {len(tested)} social association tests is significant{after}"
    else:
        text = f"{len(rows)} social association tests, without p-values"
    cards = []
    if tested:
        detail = f"social tests with p \u2264 {SIGNIFICANT}{after}"
        cards.append(Card("Associations found", f"{len(held)} of {len(tested)}", detail, "bad" if held else "good"))
    said = f"{text}."
    if finite:
        top = max(finite, key=lambda r: abs(r.value))
        name = str(top.extra.get("test") or top.attribute or "one test")
        said += f" The strongest is \u201c{name}\u201d with d = {number(top.value)}"
        said += f" ({interval_text(top)})." if interval_text(top) else "."
        cards.append(
            Card("Strongest association", f"d = {number(top.value)}", f"{name}; {interval_text(top)}".rstrip("; "))
        )
    return text, said, cards


def _p(row: Finding) -> float | None:
    p = row.p if row.p_adjusted is None else row.p_adjusted
    return None if p is None or math.isnan(p) else p


def _groups(comparison: Comparison) -> tuple[str, Card] | None:
    """The widest gap in accuracy between groups, from cells that are large enough to speak of."""
    found: dict[tuple[str, str], list[Finding]] = {}
    overall: dict[str, Finding] = {}
    for m in comparison.where("accuracy"):
        row = next(iter(m.cells.values()), None)
        if row is None or math.isnan(row.value):
            continue
        task = m.free("task")
        if row.groups in ("", *ALL_GROUPS):
            overall.setdefault(task, row)
        elif row.n >= SMALL_CELL:
            found.setdefault((task, row.attribute), []).append(row)
    pairs = [
        (min(rows, key=lambda r: r.value), max(rows, key=lambda r: r.value), task)
        for (task, _), rows in found.items()
        if len(rows) > 1
    ]
    if not pairs:
        return None
    worst, best, task = max(pairs, key=lambda pair: pair[1].value - pair[0].value)
    gap = best.value - worst.value
    on = f" on \u201c{task}\u201d" if task else ""
    sentence = f"Accuracy{on} is lowest for {worst.groups} ({percent(worst.value)}, n{THIN}={THIN}{worst.n}), "
    sentence += f"{points(gap, sign=False)} below {best.groups} ({percent(best.value)})"
    if task in overall:
        sentence = f"{sentence}; over everybody it is {percent(overall[task].value)}"
    card = Card(
        "Widest accuracy gap",
        points(gap, sign=False),
        f"{worst.groups} against {best.groups}{on}",
        "bad" if gap > 0.1 else "",
    )
    return sentence + ".", card


def _several_runs(comparison: Comparison) -> Headline:
    attribute = treated_attribute(comparison)
    for family in families(comparison, attribute) or families(comparison):
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

        def write(value: float, family: Family = family) -> str:
            return points(value, sign=False) if family.members[0].first.unit == "share" else number(value)

        best, worst = order[0], order[-1]
        label = [s.label for s in comparison.series]
        items = plural(len(common), family.item, "queries" if family.item == "query" else "")
        text = f"Lowest {family.name}: {label[best]} ({family.measure} {write(mean[best])}); "
        text += f"highest: {label[worst]} ({write(mean[worst])})."
        cards = [
            Card(label[i], write(mean[i]), f"{family.measure} over {items} that all runs share") for i in order[:6]
        ]
        said = (
            f"{plural(len(comparison.runs), 'run')} are compared on what all of them measured ({items}). "
            "Intervals belong to each run alone: overlapping intervals do not prove two runs equal."
        )
        return Headline(text, (said,), tuple(cards))
    text = f"{plural(len(comparison.runs), 'run')} side by side: {listing([run.name for run in comparison.runs])}."
    return Headline(text, ("No measure of bias is shared by all runs, so they are not ranked.",), ())
