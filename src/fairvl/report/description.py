"""What a run without a repair shows, in plain words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..findings import Finding
from .changes import families
from .pairing import Comparison, Measurement
from .summary import Card, Headline
from .vocabulary import (
    ALL_GROUPS,
    MISSING,
    NO_TASK,
    SMALL_CELL,
    THIN,
    bias_name,
    capital,
    interval_text,
    listing,
    number,
    percent,
    plural,
    points,
    value_text,
)  # fmt: skip

SIGNIFICANT = 0.05
WIDE = 0.1  # ten points between groups are coloured as bad
CROSSING = " & "


def describe(comparison: Comparison) -> Headline:
    """The headline of a run that was measured once."""
    found = (_images(comparison), _associations(comparison), _groups(comparison), _skew(comparison))
    parts = [part for part in found if part is not None]
    cards = [card for _, _, given in parts for card in given]
    if parts:
        text = parts[0][0]
    else:
        metrics = {m.first.metric for m in comparison.measurements}
        rows = sum(len(run.findings) for run in comparison.runs)
        text = f"{plural(rows, 'finding')} on {plural(len(metrics), 'metric')}"
    sentences = [sentence for _, said, _ in parts for sentence in said if sentence.rstrip(".") != text]
    sentences.append("Nothing was repaired in this run: these numbers describe the audited system as it is.")
    return Headline(f"{text}.", tuple(sentences), tuple(cards[:4]))


def _only(m: Measurement) -> Finding | None:
    return next(iter(m.cells.values()), None)


def _associations(comparison: Comparison) -> tuple[str, list[str], list[Card]] | None:
    social = [m for m in comparison.where("effect_size") if m.free("category") != "control"]
    rows = [row for m in social if (row := _only(m)) is not None and math.isfinite(row.value)]
    if not rows:
        return None
    tested = [row for row in rows if _p(row) is not None]
    held = [row for row in tested if (_p(row) or 0.0) <= SIGNIFICANT]
    after = " after correction" if any(row.p_adjusted is not None for row in rows) else ""
    attributes = list(dict.fromkeys(row.attribute for row in held if row.attribute))
    if held:
        text = (
            f"{capital(bias_name(listing(attributes)))} shows in {len(held)} of {len(tested)} social association tests"
        )
    elif tested:
        text = f"None of {plural(len(tested), 'social association test')} is significant"
    else:
        text = f"{plural(len(rows), 'social association test')}, without p-values"
    text += after if tested else ""
    cards = []
    if tested:
        detail = f"social tests with p \u2264 {SIGNIFICANT}{after}"
        cards.append(Card("Associations found", f"{len(held)} of {len(tested)}", detail, "bad" if held else ""))
    top = max(rows, key=lambda row: abs(row.value))
    name = str(top.extra.get("test") or top.attribute or "one test")
    interval = f" ({interval_text(top)})" if interval_text(top) else ""
    cards.append(Card("Strongest association", f"d = {number(top.value)}", f"{name}{interval}"))
    return text, [f"The strongest association is \u201c{name}\u201d with d = {number(top.value)}{interval}."], cards


def _images(comparison: Comparison) -> tuple[str, list[str], list[Card]] | None:
    """Who generated images show: the mean gap, the worst prompt, and whether explicit prompts are honoured."""
    groups = [family for family in families(comparison) if family.name.endswith("of images")]
    rows = [row for family in groups for m in family.members if (row := _only(m)) is not None]
    if not rows:
        return None
    row = max(rows, key=lambda r: r.value if math.isfinite(r.value) else -1.0)
    name, interval = groups[0].name, f" ({interval_text(row)})" if interval_text(row) else ""
    text = f"The {row.attribute} {name} is {value_text(row)}{interval}, the mean over neutral prompts"
    cards = [Card(capital(f"{row.attribute} {name}"), value_text(row), f"mean over neutral prompts{interval}", "bad")]
    said = []
    worst = row.metric.replace("mean_", "worst_")
    for m in comparison.where(worst):
        found = _only(m)
        if found is not None and m.first.attribute == row.attribute and m.free("labels") == row.extra.get("labels"):
            said.append(f"It is largest for the {found.note.partition(';')[0]} at {value_text(found)}.")
            cards.append(Card("Worst prompt", value_text(found), found.note.partition(";")[0].removeprefix("prompt: ")))
    for m in comparison.where("mean_explicit_accuracy"):
        found = _only(m)
        if found is not None and m.role == "utility":
            said.append(f"Prompts that name a group are honoured in {value_text(found)} of images.")
            cards.append(Card("Explicit prompts honoured", value_text(found), f"interval {interval_text(found)}"))
    return text, [f"{text}.", *said], cards


def _p(row: Finding) -> float | None:
    p = row.p if row.p_adjusted is None else row.p_adjusted
    return None if p is None or math.isnan(p) else p


@dataclass(frozen=True)
class _Gap:
    """The widest difference in accuracy between two groups of one attribute on one task."""

    task: str
    attribute: str
    worst: Finding
    best: Finding

    @property
    def size(self) -> float:
        return self.best.value - self.worst.value

    @property
    def on(self) -> str:
        return "" if self.task in NO_TASK else f" on \u201c{self.task}\u201d"

    def name(self, row: Finding) -> str:
        """The group, with its attribute where the label alone ("0-2") would not read as a group."""
        plain = row.groups[:1].isalpha() or CROSSING in self.attribute
        return row.groups if plain else f"{self.attribute} {row.groups}"

    def told(self) -> str:
        """The lowest group, its n, and how far it lies below the best one."""
        worst, best = self.worst, self.best
        lowest = f"{self.name(worst)} ({percent(worst.value)}, n{THIN}={THIN}{worst.n})"
        below = f"{points(self.size, sign=False)} below {self.name(best)} ({percent(best.value)})"
        return f"Accuracy{self.on} is lowest for {lowest}, {below}"


def _groups(comparison: Comparison) -> tuple[str, list[str], list[Card]] | None:
    """The widest gaps in accuracy, from cells that are large enough to speak of; crossings after single attributes."""
    gaps, overall = _gaps(comparison)
    if not gaps:
        return None
    single = [gap for gap in gaps if CROSSING not in gap.attribute]
    first = max(single or gaps, key=lambda gap: gap.size)
    text = first.told()
    if first.task in overall:
        text += f"; over everybody it is {percent(overall[first.task].value)}"
    cards, seen = [], set()
    for gap in sorted(single or gaps, key=lambda gap: -gap.size):
        if gap.attribute in seen:
            continue
        seen.add(gap.attribute)
        detail = f"{gap.worst.groups} {percent(gap.worst.value)}, {gap.best.groups} {percent(gap.best.value)}{gap.on}"
        label = f"Accuracy gap by {gap.attribute}" if gap.attribute else "Accuracy gap"
        if interval := _gap_interval(comparison, gap):
            detail += f"; interval {interval}"
        cards.append(Card(label, points(gap.size, sign=False), detail, "bad" if gap.size > WIDE else ""))
    sentences = [f"{text}."]
    if single and len(gaps) > len(single):
        crossed = max((gap for gap in gaps if CROSSING in gap.attribute), key=lambda gap: gap.size)
        sentences.append(f"Among crossings of attributes: {crossed.told()[0].lower()}{crossed.told()[1:]}.")
    return text, sentences, cards


def _gaps(comparison: Comparison) -> tuple[list[_Gap], dict[str, Finding]]:
    found: dict[tuple[str, str], list[Finding]] = {}
    overall: dict[str, Finding] = {}
    for m in comparison.where("accuracy"):
        row = _only(m)
        if row is None or math.isnan(row.value):
            continue
        if row.groups in ("", *ALL_GROUPS):
            overall.setdefault(m.free("task"), row)
        elif row.n >= SMALL_CELL and MISSING not in row.groups:
            found.setdefault((m.free("task"), row.attribute), []).append(row)
    gaps = [
        _Gap(task, attribute, min(rows, key=_value), max(rows, key=_value))
        for (task, attribute), rows in found.items()
        if len(rows) > 1
    ]
    return gaps, overall


def _value(row: Finding) -> float:
    return row.value


def _gap_interval(comparison: Comparison, gap: _Gap) -> str:
    for m in comparison.where("accuracy_gap"):
        row = _only(m)
        if row is not None and row.attribute == gap.attribute and m.free("task") == gap.task:
            # The finding may include groups that are too small to be named here: its interval is then another gap's.
            return interval_text(row) if abs(row.value - gap.size) < 1e-9 else ""
    return ""


def _skew(comparison: Comparison) -> tuple[str, list[str], list[Card]] | None:
    rows = [
        row for m in comparison.where("mean_max_skew") if (row := _only(m)) is not None and math.isfinite(row.value)
    ]
    if not rows:
        return None
    sentences, cards = [], []
    for row in rows[:2]:
        name = f"{capital(row.attribute)} skew of retrieval" if row.attribute else "Skew of retrieval"
        interval = f" ({interval_text(row)})" if interval_text(row) else ""
        sentences.append(f"{name}: mean MaxSkew@k is {value_text(row)}{interval}")
        cards.append(Card(name, value_text(row), f"mean MaxSkew@k; 0 is on target{interval}"))
    return sentences[0], [f"{sentence}." for sentence in sentences], cards
