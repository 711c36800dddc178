"""What a repair did to bias and to utility, counted from paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..findings import Finding
from .pairing import Comparison, Measurement
from .vocabulary import bias_size, metric_of

CHANCE = 0.05


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
        """ "fell", "partly", "rose" or "unclear".

        With many tests some intervals exclude 0 by chance: a direction needs more clear changes than that.
        """
        by_chance = CHANCE * self.count
        if self.after > self.before and self.worse > max(self.better, by_chance):
            return "rose"
        if self.after < self.before and self.better > by_chance:
            return "fell" if not self.worse and 2 * self.better >= self.count else "partly"
        return "unclear"


def treated_attributes(comparison: Comparison) -> tuple[str, ...]:
    """The attributes that the repair is about: stated in the settings, or the only one that changes."""
    for run in comparison.runs:
        if name := _stated(run.findings.settings):
            return tuple(part.strip() for part in name.split(","))
    changed = {
        m.first.attribute
        for m in comparison.measurements
        if m.changes and m.role == "fairness" and m.first.attribute and m.free("category") != "control"
    }
    return tuple(changed) if len(changed) == 1 else ()


def _stated(settings: Mapping[str, Any]) -> str:
    for key in ("treated_attribute", "treated"):
        if isinstance(name := settings.get(key), str) and name:
            return name
    for key in ("operator", "repair", "debias"):
        inner = settings.get(key)
        if isinstance(inner, Mapping) and isinstance(name := inner.get("attribute"), str):
            return name
    return ""


def families(comparison: Comparison, treated: tuple[str, ...] = ()) -> list[Family]:
    """The bias measurements that a headline may speak of, most telling first."""

    def about(m: Measurement) -> bool:
        return m.role == "fairness" and (not treated or m.first.attribute in ("", *treated))

    def pick(metric: str) -> tuple[Measurement, ...]:
        return tuple(m for m in comparison.where(metric) if about(m) and m.free("category") != "control")

    mean = pick("mean_max_skew")
    found = [
        *_images(pick),
        *_associations(pick("effect_size")),
        Family("retrieval skew", "mean MaxSkew@k", "ranking" if mean else "query", mean or pick("max_skew")),
        Family("accuracy gap", "best minus worst group", "comparison", pick("accuracy_gap")),
        Family("equalized odds", "largest gap in error rates", "comparison", pick("equalized_odds_difference")),
    ]
    return [family for family in found if family.members]


def _images(pick: Callable[[str], tuple[Measurement, ...]]) -> list[Family]:
    """The gap of generated images over the prompts at hand, by the best reading of the labels that there is."""
    for metric, name in (("mean_parity_gap", "parity gap"), ("mean_total_variation", "distance from the target")):
        members = [m for m in pick(metric) if " & " not in m.first.attribute]
        for reading in ("corrected", "hard"):
            of_these = tuple(m for m in members if m.free("labels") == reading and "images" in m.free("over"))
            if of_these:
                what = f"mean over prompts{', corrected for the judge' * (reading == 'corrected')}"
                return [Family(f"{name} of images", what, "attribute", of_these)]
    return []


def _associations(tests: tuple[Measurement, ...]) -> list[Family]:
    """Association tests by what meets what: a repair of texts can change where texts take part, and nowhere else.

    Tests between images and texts come first: they are what zero-shot labels and retrieval rest on.
    """
    kinds = {"images with texts": ("image-text", "text-image"), "texts alone": ("text-text",)}
    kinds["images alone"] = ("image-image",)
    found = {kind: tuple(m for m in tests if m.first.order in orders) for kind, orders in kinds.items()}
    found = {kind: members for kind, members in found.items() if members}
    if len(found) < 2 or sum(map(len, found.values())) < len(tests):
        return [Family("association", "mean |d|", "social test", tests)]
    return [Family(f"association, {kind}", "mean |d|", "social test", members) for kind, members in found.items()]


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
        if difference is not None and excludes_zero(difference):
            better += after[-1] < before[-1]
            worse += after[-1] > before[-1]
        if difference is not None:
            interval = (difference.low, difference.high)
    if not before:
        return None
    ends = interval if len(before) == 1 else (None, None)
    return Change(family, fmean(before), fmean(after), len(before), better, worse, *ends)


def excludes_zero(row: Finding) -> bool:
    """Whether the finding has an interval that leaves out 0."""
    return row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)


@dataclass(frozen=True)
class UtilityChange:
    """One utility measurement before and after a repair."""

    name: str
    before: Finding
    after: Finding
    difference: Finding | None

    @property
    def moved(self) -> float:
        """After minus before."""
        return self.after.value - self.before.value

    @property
    def clear(self) -> bool:
        """Whether the interval of the paired difference excludes 0."""
        return self.difference is not None and excludes_zero(self.difference)


def utility_changes(comparison: Comparison, series: int, treated: tuple[str, ...] = ()) -> list[UtilityChange]:
    """Utility measured before and after, on every task but the treated attributes; accuracies, where there are any."""
    start = comparison.before_of(series)
    found = []
    for m in comparison.measurements:
        a, b = m.cells.get(start), m.cells.get(series)
        if m.role != "utility" or m.first.unit != "share" or a is None or b is None or m.free("task") in treated:
            continue
        if math.isfinite(a.value) and math.isfinite(b.value):
            name = m.free("task") or metric_of(m.first.metric).label.removesuffix(", mean")
            if m.free("prompt_kind") and m.free("prompt_kind") not in name.lower():
                name += f" ({m.free('prompt_kind')} prompts)"
            if m.first.metric == "recall_at_k" and m.free("k"):
                name += f", R@{m.free('k')}"
            found.append(UtilityChange(name, a, b, m.changes.get(series)))
    return [c for c in found if c.before.metric == "accuracy"] or found
