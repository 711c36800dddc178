"""The table of a sweep: one Finding per (model, test, order), and every check before tables are joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from ...errors import FindingsError
from ...findings import Finding, Findings, Scalar, column
from ...fingerprints import fingerprint
from ...measure.association import Multilevel
from ...sources.stimuli import Case, Registry
from ...stats.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm
from ...stats.permutation import Tail
from ...stats.power import minimum_detectable_effect
from .measured import Measured, suite_facts
from .statistics import Statistics

ALPHA = 0.05
METRIC, UNIT = "effect_size", "standard deviations"
FAMILIES = "Holm, BH, BY and max-T over all rows of the sweep, social and control tests apart; p_adjusted is Holm's"
ADJUSTED = ("p_holm", "p_bh", "p_by", "p_max_t", "p_holm_model", "detectable_holm")
INFLUENCE = ("influential", "d_without")
PER_MODEL = (
    "effect_size",
    "low",
    "high",
    "p",
    "p_error",
    "p_low",
    "p_high",
    "p_method",
    "p_max_t",
    "notes",
    *INFLUENCE,
)
LEVELS = ("st_eat_x", "st_eat_y", "pattern")
FREE = ("p_method", "p_error", "p_low", "p_high", "p_max_t", *INFLUENCE, *LEVELS)


def sweep_findings(
    models: Sequence[Measured],
    registry: Registry,
    computed: Mapping[int, Mapping[str, Any]],
    how: Statistics,
    lint: Sequence[Mapping[str, Any]] = (),
) -> Findings:
    """One row per model and case, in their order; a number that is missing has a row that says why.

    Parameters
    ----------
    computed
        Per case number what `case_statistics` returned, for the models that have values there, in order.
    lint
        Remarks on the registry, for the settings.
    """
    suite = suite_facts(registry)
    config = fingerprint({"suite": suite, "statistics": how.facts()})
    twins = _twins(models)
    rows = []
    for number, case in enumerate(registry.cases):
        present = [model.model for model in models if number in model.values]
        numbers = computed.get(number, {})
        for model in models:
            given = {"model": model.model, "config_hash": config, "suite": registry.id, "seed": how.seed,
                     "suite_version": str(registry.version)}  # fmt: skip
            if model.model in present:
                at = present.index(model.model)
                mine = {name: numbers[name][at] for name in PER_MODEL if name in numbers}
                mine |= _levels(model.levels[number].tolist())
                twin = (
                    f"the very vectors of {twins[model.model]}: one model under two ids" if model.model in twins else ""
                )
                notes = (mine["notes"], numbers["note"], model.notes.get(number), twin, case.note)
                note = "; ".join(filter(None, notes))
                rows.append((number, _row(case, mine, numbers, how, note, given)))
            else:
                why = model.failed or model.reasons.get(number, "not measured")
                rows.append((number, _row(case, {}, {}, how, why, given)))
    places = {model.model: place for place, model in enumerate(models)}
    ordered = [row for _, row in sorted(rows, key=lambda pair: (places[pair[1].model], pair[0]))]
    settings = {
        "verb": "sweep", "suite": suite, "statistics": how.facts(), "models": len(models), "tests": len(registry.cases),
        "failed": {model.model: model.failed for model in models if model.failed}, "corrections": FAMILIES,
        "cards": {model.model: dict(model.card) for model in models}, "lint": [dict(remark) for remark in lint],
        "twins": twins,
    }  # fmt: skip
    return Findings(adjusted(ordered), settings)


def _levels(levels: Sequence[float]) -> dict[str, Scalar]:
    """The target sets alone, and which of the nine patterns they make (ML-EAT)."""
    alone = Multilevel(math.nan, float(levels[0]), float(levels[1]), (), ())
    return {"st_eat_x": _finite(alone.x), "st_eat_y": _finite(alone.y), "pattern": alone.pattern or None}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@cache
def detectable(n_x: int, n_y: int, tests: int, tail: Tail) -> float | None:
    """The smallest |d| that is found with power 0.8 at 5 % over `tests` tests; None where none can be."""
    return _finite(minimum_detectable_effect(n_x, n_y, tests=tests, tail=tail).effect_size)


def _row(
    case: Case,
    mine: Mapping[str, Any],
    numbers: Mapping[str, Any],
    how: Statistics,
    note: str,
    given: Mapping[str, Any],
) -> Finding:
    d, low, high = (mine.get(name) for name in ("effect_size", "low", "high"))
    if low is None and not note:
        note = "the bootstrap gives no interval: too few of its replicates have any spread"
    extra: dict[str, Scalar] = {
        "test": case.test, "topic": case.topic, "category": case.category,
        "x": case.x.name, "y": case.y.name, "a": case.a.name, "b": case.b.name,
        "n_x": len(case.x.keys), "n_y": len(case.y.keys), "stand_in": case.stand_in, "flagged": len(case.flags),
        "tail": how.tail, **_units(numbers.get("units"), how.tail),
        "p_floor": numbers.get("p_floor"), **{name: mine.get(name) for name in FREE},
    }  # fmt: skip
    extra = {key: value for key, value in extra.items() if value is not None}
    return Finding(
        METRIC, math.nan if d is None else d, UNIT, int(numbers.get("n", 0)), low, high,
        how.level if low is not None else None, str(numbers.get("interval", "")) if low is not None else "",
        p=mine.get("p"), order=case.order, note=note, extra=extra, **given,
    )  # fmt: skip


def _units(units: Sequence[int] | None, tail: Tail) -> dict[str, Scalar]:
    if units is None:
        return {}
    return {"units_x": units[0], "units_y": units[1], "detectable": detectable(units[0], units[1], 1, tail)}


def adjusted(rows: Sequence[Finding]) -> tuple[Finding, ...]:
    """The rows with p corrected over each category, and over each model's own tests of a category.

    A row whose smallest possible p cannot pass Holm's first step gets a note: at that size no effect can.
    """
    extras: list[dict[str, Scalar]] = [dict(row.extra) for row in rows]
    notes = [row.note for row in rows]
    for category in dict.fromkeys(str(column(row, "category")) for row in rows):
        family = [i for i, row in enumerate(rows) if str(column(row, "category")) == category and row.p is not None]
        p = np.array([rows[i].p for i in family], dtype=np.float64)
        for name, correct in (("p_holm", holm), ("p_bh", benjamini_hochberg), ("p_by", benjamini_yekutieli)):
            for i, value in zip(family, correct(p) if len(p) else (), strict=True):
                extras[i][name] = float(value)
        for i in family:
            sizes = column(rows[i], "units_x"), column(rows[i], "units_y")
            if isinstance(sizes[0], int) and isinstance(sizes[1], int):
                least = detectable(sizes[0], sizes[1], len(family), str(column(rows[i], "tail")))
                extras[i] |= {} if least is None else {"detectable_holm": least}
            floor = column(rows[i], "p_floor")
            if isinstance(floor, float) and floor * len(family) > ALPHA:
                notes[i] = "; ".join(filter(None, (notes[i], _cannot_pass(floor, len(family), category))))
        for model in dict.fromkeys(rows[i].model for i in family):
            own = [i for i in family if rows[i].model == model]
            for i, value in zip(own, holm([float(rows[i].p or 0.0) for i in own]), strict=True):
                extras[i]["p_holm_model"] = float(value)
    return tuple(
        replace(row, extra=extra, note=note, p_adjusted=_number(extra.get("p_holm")))
        for row, extra, note in zip(rows, extras, notes, strict=True)
    )


def _cannot_pass(floor: float, size: int, category: str) -> str:
    least = min(1.0, floor * size)
    return f"no effect can pass Holm here: the smallest p is {floor:.3g}, times {size} {category} rows {least:.2g}"


def _number(value: Scalar) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _twins(models: Sequence[Measured]) -> dict[str, str]:
    """Models whose measurement equals that of an earlier one, number by number and card by card, with its id."""
    first: dict[str, str] = {}
    twins = {}
    for model in models:
        if model.failed:
            continue
        if model.content in first:
            twins[model.model] = first[model.content]
        first.setdefault(model.content, model.model)
    return twins


def join_results(tables: Sequence[Findings]) -> Findings:
    """Rows of several sweeps as one table; corrections are made anew over all of them.

    A model that stands in two tables with the same rows is taken once, with a note in the settings.

    Raises
    ------
    FindingsError
        Rows of different suites or suite versions, of other settings, or one model with different rows.

    Examples
    --------
    >>> row = Finding("effect_size", 1.0, "standard deviations", 8, 0.5, 1.4, 0.95, p=0.01, model="m", suite="s",
    ...               suite_version="1", order="text-text", extra={"test": "t", "category": "social"})
    >>> joined = join_results([Findings([row]), Findings([row])])
    >>> len(joined), list(joined.settings["dropped"])
    (1, ['m'])
    """
    check_results(Findings([row for table in tables for row in table]))
    kept: dict[str, list[Finding]] = {}
    dropped: dict[str, str] = {}
    for table in tables:
        mine: dict[str, list[Finding]] = {}
        for row in table:
            mine.setdefault(row.model, []).append(row)
        for model, rows in mine.items():
            if model not in kept:
                kept[model] = rows
            elif _content(kept[model]) == _content(rows):
                dropped[model] = "twice with the same rows; taken once"
            else:
                raise FindingsError(
                    f"the model {model!r} stands in two tables with different rows. Two measurements of one id cannot "
                    "be one model: give one another id, or leave one table out."
                )
    rows = [_without_corrections(row) if len(tables) > 1 else row for mine in kept.values() for row in mine]
    settings: dict[str, Any] = dict(tables[0].settings) if tables else {}
    settings |= {"models": len(kept), "dropped": dropped, "corrections": FAMILIES}
    return Findings(adjusted(rows), settings)


def check_results(findings: Findings) -> None:
    """Refuse rows that do not belong in one table: other suites, versions or settings, or a row that repeats.

    Raises
    ------
    FindingsError
    """
    for name in ("suite", "suite_version", "level"):
        values = dict.fromkeys(column(row, name) for row in findings if not math.isnan(row.value))
        values.pop(None, None)
        if len(values) > 1:
            raise FindingsError(
                f"rows differ in {name}: {', '.join(map(repr, values))}. Only rows of one {name} can be compared; "
                "sweep again with one, or study them apart."
            )
    if len({row.config_hash for row in findings if row.config_hash}) > 1:
        raise FindingsError(
            "rows differ in config_hash: they come from sweeps with other stimuli or statistics (draws, permutations, "
            "seed, tail). Sweep again with one setting; cached vectors cost nothing."
        )


def _content(rows: Sequence[Finding]) -> str:
    kept = [
        {k: v for k, v in row.record().items() if k not in (*ADJUSTED, "p_adjusted", "note", "package_version")}
        for row in rows
    ]
    return fingerprint(sorted(kept, key=lambda row: (str(row.get("test")), str(row.get("order")))))


def _without_corrections(row: Finding) -> Finding:
    return replace(row, extra={k: v for k, v in row.extra.items() if k not in ADJUSTED}, p_adjusted=None)
