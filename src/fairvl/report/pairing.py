"""Which findings belong together: one measurement, seen before, after each repair, and in each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..findings import Finding, Findings, Scalar

# Columns that describe how a number was made, not what it is about.
NOT_IDENTITY = frozenset({"repair", "role", "chance", "operator", "rank", "treated"})


@dataclass(frozen=True)
class Run:
    """One table of findings and the name it goes by in the report."""

    name: str
    findings: Findings


@dataclass(frozen=True)
class Series:
    """One column of a comparison: a run, before or after a repair. `tone` and `shape` select its look."""

    run: int
    repair: str
    label: str
    tone: str
    shape: str

    @property
    def is_control(self) -> bool:
        """Whether this is the random operator that a real repair must beat."""
        return is_control(self.repair)


@dataclass(frozen=True)
class Measurement:
    """One measured quantity: its value in each series (by index), and the paired differences from before."""

    first: Finding
    cells: Mapping[int, Finding]
    changes: Mapping[int, Finding] = field(default_factory=dict)

    def free(self, name: str) -> str:
        """A free column as text; empty when absent."""
        value = self.first.extra.get(name)
        return "" if value is None else str(value)

    @property
    def role(self) -> str:
        """ "fairness", "utility" or "diagnostic"; guessed from the metric where the data does not say."""
        if stated := self.free("role"):
            return stated
        if self.first.metric == "recall_at_k":
            return "utility"
        if self.first.metric == "accuracy" and self.first.groups in ("", "(all)"):
            return "utility"
        return "diagnostic" if self.first.metric == "probe_accuracy" else "fairness"


@dataclass(frozen=True)
class Comparison:
    """Everything the report shows: the runs, their series, and the measurements lined up over them."""

    runs: tuple[Run, ...]
    series: tuple[Series, ...]
    measurements: tuple[Measurement, ...]

    def where(self, *metrics: str, section_role: str = "") -> list[Measurement]:
        """Measurements of the given metrics, in order of first appearance."""
        return [m for m in self.measurements if m.first.metric in metrics and section_role in ("", m.role)]

    @property
    def repaired(self) -> bool:
        """Whether any series is an "after"."""
        return any(s.repair for s in self.series)

    def before_of(self, series: int) -> int:
        """The index of the unrepaired series of the same run; -1 when it has none."""
        run = self.series[series].run
        return next((i for i, s in enumerate(self.series) if s.run == run and not s.repair), -1)


def is_control(repair: str) -> bool:
    """Whether a repair's name marks the random operator."""
    return "random" in repair.lower() or "control" in repair.lower()


def after_name(repair: str) -> str:
    """What the images or vectors after a repair are called; a folder named "after" says no more than that."""
    return repair if repair == "after" else f"after {repair}"


def compare(runs: Sequence[Run]) -> Comparison:
    """Line up the findings of all runs, measurement by measurement."""
    series = _series(runs)
    index = {(s.run, s.repair): i for i, s in enumerate(series)}
    ignored = _constant_columns(runs)
    cells: dict[tuple[Any, ...], dict[int, Finding]] = {}
    changes: dict[tuple[Any, ...], dict[int, Finding]] = {}
    first: dict[tuple[Any, ...], Finding] = {}
    for number, run in enumerate(runs):
        by_pair = _identity_by_pair(run.findings, ignored)
        for row in run.findings:
            key = by_pair.get(row.pair_id) or _identity(row, ignored)
            first.setdefault(key, row)
            table = changes if row.arm == "difference" else cells
            table.setdefault(key, {}).setdefault(index[number, _repair(row)], row)
    return Comparison(
        tuple(runs), tuple(series), tuple(Measurement(first[k], cells.get(k, {}), changes.get(k, {})) for k in first)
    )


def _repair(row: Finding) -> str:
    if row.arm in ("", "before"):
        return ""
    return str(row.extra.get("repair") or "repair")


def _identity(row: Finding, ignored: frozenset[str]) -> tuple[Any, ...]:
    fixed = tuple("" if name in ignored else getattr(row, name) for name in ("dataset", "model"))
    free: list[tuple[str, Scalar]] = [
        (k, v) for k, v in row.extra.items() if k not in NOT_IDENTITY and v is not None and not isinstance(v, float)
    ]
    return (row.metric, row.groups, row.attribute, row.order, *fixed, *sorted(free, key=lambda item: item[0]))


def _identity_by_pair(rows: Iterable[Finding], ignored: frozenset[str]) -> dict[str, tuple[Any, ...]]:
    """Pair ids that name exactly one "before"; its partners take its identity whatever their other columns say."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    for row in rows:
        if row.pair_id and row.arm == "before":
            found.setdefault(row.pair_id, set()).add(_identity(row, ignored))
    return {pair: next(iter(keys)) for pair, keys in found.items() if len(keys) == 1}


def _constant_columns(runs: Sequence[Run]) -> frozenset[str]:
    """With several runs, a dataset or model that is constant within each run must not keep the runs apart."""
    if len(runs) == 1:
        return frozenset()
    return frozenset(
        name
        for name in ("dataset", "model")
        if all(len({getattr(row, name) for row in run.findings if row.arm in ("", "before")}) <= 1 for run in runs)
    )


def _series(runs: Sequence[Run]) -> list[Series]:
    repairs = [list(dict.fromkeys(_repair(row) for row in run.findings)) for run in runs]
    for names in repairs:
        names.sort(key=lambda name: (name != "", is_control(name)))
    series: list[Series] = []
    if len(runs) == 1:
        tones = (f"t{1 + i % 5}" for i in range(100))
        shapes = ("dot", "square", "triangle", "diamond", "cross")
        plain = len(repairs[0]) == 1
        for name in repairs[0]:
            if not name:
                label = "measured" if plain else "before"
                series.append(Series(0, name, label, "t1" if plain else "t0", "dot" if plain else "ring"))
            elif is_control(name):
                series.append(Series(0, name, after_name(name), "tc", "hollow-diamond"))
            else:
                place = sum(1 for s in series if s.repair)
                series.append(Series(0, name, after_name(name), next(tones), shapes[place % len(shapes)]))
        return series
    filled, hollow = ("dot", "square", "triangle", "diamond", "cross"), "ring"
    for number, (run, names) in enumerate(zip(runs, repairs, strict=True)):
        after = 0
        for name in names:
            label = run.name if len(names) == 1 else f"{run.name}: {after_name(name) if name else 'before'}"
            if not name:
                shape = filled[number % len(filled)] if len(names) == 1 else hollow
            elif is_control(name):
                shape = "hollow-diamond"
            else:
                shape = filled[after % len(filled)]
                after += 1
            series.append(Series(number, name, label, f"t{1 + number % 5}", shape))
    return series


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, numbered where one is used twice."""
    counts, seen = Counter(names), Counter[str]()
    result = []
    for name in names:
        seen[name] += 1
        result.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return result
