"""Do the findings stay within stated bounds? The gate for continuous integration.

Bounds live in a TOML file, one table per rule::

    [[rule]]
    name = "repaired associations stay small"   # optional, shown in the result
    metric = "effect_size"                      # required
    attribute = "gender"                        # any column of the findings, fixed or free, equals this value
    category = "social"
    arm = "after"
    on = "high"                                 # which number is held against the bounds: value (default), low, high
    min = -0.5                                  # at least one of min and max; a number equal to a bound passes
    max = 0.5

    [[rule]]
    metric = "accuracy"
    groups = "(all)"
    min = 0.9

Every finding that a rule matches must pass. A rule that matches nothing is an error, not a pass: a renamed group or
a skipped measurement would otherwise open the gate. An undefined number (NaN, or no interval where `on` asks for an
end of it) fails its rule.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import CheckFailed, FindingsError
from ..findings import Finding, Findings, Scalar, column

ENDS = ("value", "low", "high")
OWN_KEYS = ("name", "metric", "min", "max", "on")


@dataclass(frozen=True)
class Rule:
    """One bound: which findings it is about, which of their numbers, and between what."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    on: str = "value"
    columns: Mapping[str, Scalar] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))
        if self.on not in ENDS:
            raise FindingsError(
                f"rule on {self.metric!r}: on = {self.on!r}; expected one of {ENDS}.{_near(self.on, ENDS)}"
            )
        if self.minimum is None and self.maximum is None:
            raise FindingsError(f"rule on {self.metric!r}: neither min nor max is given; give at least one of them.")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise FindingsError(f"rule on {self.metric!r}: min {self.minimum} lies above max {self.maximum}.")

    def __str__(self) -> str:
        where = ", ".join(f"{name}={value!r}" for name, value in self.columns.items())
        what = f"{self.metric}[{where}]" if where else self.metric
        what = what if self.on == "value" else f"{self.on} of {what}"
        low = "" if self.minimum is None else f"{self.minimum:g} <= "
        high = "" if self.maximum is None else f" <= {self.maximum:g}"
        return f"{low}{what}{high}"

    def matches(self, row: Finding) -> bool:
        """Whether the rule is about this finding."""
        return row.metric == self.metric and all(column(row, name) == value for name, value in self.columns.items())

    def passes(self, row: Finding) -> bool:
        """Whether the finding's number is defined and within the bounds."""
        number = getattr(row, self.on)
        if number is None or math.isnan(number):
            return False
        above = self.minimum is None or number >= self.minimum
        return above and (self.maximum is None or number <= self.maximum)


@dataclass(frozen=True)
class RuleResult:
    """What a rule found: every finding it matched, and those that break it."""

    rule: Rule
    found: tuple[Finding, ...]
    failed: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True when no matched finding breaks the rule."""
        return not self.failed

    def numbers(self) -> tuple[float | None, ...]:
        """The number that was held against the bounds, one per matched finding."""
        return tuple(getattr(row, self.rule.on) for row in self.found)


@dataclass(frozen=True)
class CheckResult:
    """The outcome of `check`, rule by rule; `str()` is the text that the command prints."""

    results: tuple[RuleResult, ...]

    @property
    def ok(self) -> bool:
        """True when every rule passes."""
        return all(result.ok for result in self.results)

    def __str__(self) -> str:
        lines = []
        for result in self.results:
            about = f"{result.rule.name}: " if result.rule.name else ""
            lines.append(f"{'pass' if result.ok else 'FAIL'}  {about}{result.rule}  ({_range(result)})")
            lines += [f"      {_number(row, result.rule.on)}  {_where(row)}" for row in result.failed]
        passed = sum(result.ok for result in self.results)
        return "\n".join([*lines, f"{passed} of {len(self.results)} rules pass."])

    def to_dict(self) -> dict[str, Any]:
        """A JSON-able record of every rule, the numbers it found and the findings that break it."""
        return {
            "ok": self.ok,
            "rules": [
                {
                    "rule": str(result.rule),
                    "name": result.rule.name,
                    "ok": result.ok,
                    "on": result.rule.on,
                    "numbers": [None if n is None or math.isnan(n) else n for n in result.numbers()],
                    "failed": [row.record() for row in result.failed],
                }
                for result in self.results
            ],
        }

    def require(self) -> None:
        """Raise `CheckFailed`, with the text of the result, unless every rule passes."""
        if not self.ok:
            raise CheckFailed(f"a threshold was crossed.\n{self}")


def check(findings: Findings | Path | str, thresholds: Path | str | Mapping[str, Any]) -> CheckResult:
    """Hold findings against the bounds of a thresholds file (its format is told at the top of this module).

    Parameters
    ----------
    findings : Findings or path
        A table of findings, or the `.json` or `.parquet` file of one.
    thresholds : path or mapping
        A TOML file, or what such a file holds: ``{"rule": [{"metric": ..., "max": ...}, ...]}``.

    Returns
    -------
    CheckResult
        ``.ok``, ``.results`` (one per rule, in the file's order), ``.require()``.

    Raises
    ------
    FindingsError
        When the thresholds are malformed, a key is no column of the findings, or a rule matches no finding.

    Examples
    --------
    >>> rows = Findings([Finding("accuracy_gap", 0.12, "share", 900, 0.08, 0.16, 0.95)])
    >>> print(check(rows, {"rule": [{"metric": "accuracy_gap", "max": 0.15, "on": "high"}]}))
    FAIL  high of accuracy_gap <= 0.15  (1 finding: 0.16)
          0.16  accuracy_gap, n=900
    0 of 1 rules pass.
    """
    table = findings if isinstance(findings, Findings) else Findings.read(findings)
    results = []
    for rule in read_rules(thresholds, table):
        found = tuple(row for row in table if rule.matches(row))
        if not found:
            raise FindingsError(
                f"the rule {str(rule)!r} matches no finding.{_why_nothing(rule, table)} "
                "Correct the rule, or measure what it is about."
            )
        results.append(RuleResult(rule, found, tuple(row for row in found if not rule.passes(row))))
    return CheckResult(tuple(results))


def read_rules(thresholds: Path | str | Mapping[str, Any], findings: Findings) -> tuple[Rule, ...]:
    """The rules of a thresholds file; keys are checked against the columns of the findings."""
    document, source = _document(thresholds)
    if unknown := sorted(set(document) - {"rule"}):
        raise FindingsError(
            f"{source}: unknown key {unknown[0]!r}; expected only [[rule]] tables.{_near(unknown[0], ['rule'])}"
        )
    tables = document.get("rule")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, Mapping) for table in tables):
        raise FindingsError(f"{source}: no rules found; expected one or more [[rule]] tables.")
    return tuple(_rule(table, f"{source}, rule {i}", findings) for i, table in enumerate(tables, start=1))


def _document(thresholds: Path | str | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    if isinstance(thresholds, Mapping):
        return thresholds, "thresholds"
    path = Path(thresholds)
    if not path.is_file():
        raise FindingsError(f"{path}: no such file; expected thresholds written in TOML.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.name
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FindingsError(f"{path}: not TOML ({error}).") from None


def _rule(table: Mapping[str, Any], where: str, findings: Findings) -> Rule:
    allowed = [*OWN_KEYS, *(name for name in findings.columns if name not in OWN_KEYS)]
    for key, value in table.items():
        if key not in allowed:
            raise FindingsError(
                f"{where}: unknown key {key!r}; expected {', '.join(OWN_KEYS)} or a column of the findings."
                f"{_near(key, allowed)}"
            )
        if not isinstance(value, (str, int, float, bool)):
            raise FindingsError(f"{where}: {key} holds {type(value).__name__}; expected one text or number.")
    if not isinstance(metric := table.get("metric"), str) or not metric:
        raise FindingsError(f'{where}: no metric; write metric = "...".')
    try:
        return Rule(
            metric=metric,
            minimum=_bound(table, "min", where),
            maximum=_bound(table, "max", where),
            on=str(table.get("on", "value")),
            columns={key: value for key, value in table.items() if key not in OWN_KEYS},
            name=str(table.get("name", "")),
        )
    except FindingsError as error:
        raise FindingsError(f"{where}: {error}") from None


def _bound(table: Mapping[str, Any], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise FindingsError(f"{where}: {key} = {value!r}; expected a number.")
    return float(value)


def _why_nothing(rule: Rule, findings: Findings) -> str:
    metrics = sorted({row.metric for row in findings})
    if rule.metric not in metrics:
        return f" No finding has the metric {rule.metric!r}; there are {metrics}.{_near(rule.metric, metrics)}"
    rows = [row for row in findings if row.metric == rule.metric]
    for name, value in rule.columns.items():
        present = sorted({str(column(row, name)) for row in rows})
        if str(value) not in present:
            shown = present if len(present) <= 12 else [*present[:12], "..."]
            return f" For {rule.metric!r}, {name} is never {value!r}; there are {shown}.{_near(str(value), present)}"
    return f" Its columns {dict(rule.columns)} never hold together."


def _near(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def _range(result: RuleResult) -> str:
    numbers = [n for n in result.numbers() if n is not None and not math.isnan(n)]
    count = f"{len(result.found)} finding{'s' if len(result.found) > 1 else ''}"
    if not numbers:
        return f"{count}, undefined"
    low, high = f"{min(numbers):.4g}", f"{max(numbers):.4g}"
    return f"{count}: {low}" if low == high else f"{count}: {low} to {high}"


def _number(row: Finding, end: str) -> str:
    number = getattr(row, end)
    return "undefined" if number is None or math.isnan(number) else f"{number:.4g}"


def _where(row: Finding) -> str:
    context = {name: column(row, name) for name in ("groups", "attribute", "dataset", "model", "order", "arm")}
    context |= {name: value for name, value in row.extra.items() if name != "role"}
    shown = [f"{name}={value}" for name, value in context.items() if value not in ("", None)]
    return ", ".join([row.metric, *shown, f"n={row.n}"])
