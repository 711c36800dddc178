"""Results of a sweep as arrays: d by model and test, covariates and scores joined by model id."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError, InputError
from ..findings import Finding, Findings, column
from ..sources.datasets.table import nearest, read_table
from .performance import is_result_table, read_performance

Floats: TypeAlias = NDArray[np.float64]
Results: TypeAlias = Findings | Path | str | Sequence["Findings | Path | str"]
Covariates: TypeAlias = Path | str | Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]

METRIC = "effect_size"
ORDERS = ("text-text", "image-image", "image-text", "text-image")
CATEGORIES = ("social", "control")
TABLE_OF_MODELS = "table of models (--models, models=)"  # in the words of the shell, and of Python
TABLE_OF_SCORES = "table of scores (--performance, performance=)"
_RESULT_COLUMNS = ("model", "test", "order", METRIC)
FROM_A_TABLE = "read from a table"
_FILES = ("findings.parquet", "findings.json")


@dataclass(frozen=True)
class AssociationTest:
    """One test in one modality order; `category` is "social", "control" or empty when the results do not say."""

    test: str
    order: str
    topic: str
    category: str

    @property
    def name(self) -> str:
        return f"{self.test} ({self.order})" if self.order else self.test


@dataclass(frozen=True, eq=False)
class ResultTable:
    """Effect sizes of a population of models.

    Attributes
    ----------
    models : tuple of str
        Model ids, in order of first appearance.
    tests : tuple of AssociationTest
        Tests by order, in order of first appearance.
    values : (models, tests) float64 array
        Effect size d; NaN where a model has no (defined) value.
    stimuli : (models, tests) float64 array
        Stimuli that d rests on, NaN when unknown.
    covariates : mapping of str to list
        One entry per model; None where missing.
    scores : mapping of str to (models,) float64 array
        Downstream performance; NaN where missing.
    suite, suite_version : str
    reasons : mapping of str to str
        For models without any value: what their rows say about it.
    """

    models: tuple[str, ...]
    tests: tuple[AssociationTest, ...]
    values: Floats
    stimuli: Floats
    covariates: Mapping[str, list[Any]]
    scores: Mapping[str, Floats]
    suite: str = ""
    suite_version: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for array in (self.values, self.stimuli, *self.scores.values()):
            array.setflags(write=False)

    @property
    def balanced(self) -> bool:
        """True when every model has a defined value on every test."""
        return not bool(np.isnan(self.values).any())

    @property
    def scopes(self) -> tuple[str, ...]:
        """ "social" and "control" where both occur or one is all there is, and "all" otherwise and besides."""
        present = {test.category for test in self.tests}
        if present <= {""}:
            return ("all",)
        named = tuple(c for c in CATEGORIES if c in present)
        return named if len(present) == 1 else (*named, "all")

    def positions(self, *, scope: str = "all", order: str | None = None, topic: str | None = None) -> NDArray[np.int64]:
        """Columns of `values` that belong to a scope, an order, a topic."""
        return np.array(
            [
                i for i, t in enumerate(self.tests)
                if (scope == "all" or t.category == scope) and order in (None, t.order) and topic in (None, t.topic)
            ],
            dtype=np.int64,
        )  # fmt: skip

    def select(self, models: NDArray[np.bool_]) -> ResultTable:
        """The table of some of the models."""
        keep = np.flatnonzero(models)
        return replace(
            self,
            models=tuple(self.models[i] for i in keep),
            values=self.values[keep].copy(),
            stimuli=self.stimuli[keep].copy(),
            covariates={name: [cells[i] for i in keep] for name, cells in self.covariates.items()},
            scores={name: cells[keep].copy() for name, cells in self.scores.items()},
        )


def read_results(
    results: Results, *, models: Covariates | None = None, performance: Covariates | None = None
) -> ResultTable:
    """Results, covariates and scores as one table.

    Parameters
    ----------
    results : Findings, path, or several of them
        Findings with metric "effect_size"; ``findings.json`` or ``.parquet``; a CSV with the columns ``model``,
        ``test``, ``order``, ``effect_size`` and, if it has them, ``topic``, ``category``, ``n``, ``suite``,
        ``suite_version``; or the folder of a sweep. Rows of arm "after" or "difference" are left out.
    models : path, mapping of columns, or rows
        Covariates with a column ``model``, as CSV, parquet or TOML (``[[model]]`` tables). Default: ``models.csv`` in
        the folder of the sweep, when it is there. Every model of the results must be in it; more are allowed.
    performance : path, mapping of columns, or rows
        Column ``model`` and one column of numbers per score.

    Raises
    ------
    InputError
        A model with two values for one test, rows of different suite versions, no model or test name, an infinite d,
        a model without covariates (the nearest names are given), a score that is not a number.
    DatasetError, FindingsError
        A file that cannot be read.

    Examples
    --------
    >>> rows = [Finding("effect_size", d, "standard deviations", 80, model=m, order="text-text", note="made up",
    ...                 extra={"test": "age"}) for m, d in (("a", 0.1), ("b", 0.4))]
    >>> table = read_results(Findings(rows), models={"model": ["b", "a"], "params_m": [151.3, 102.0]})
    >>> table.models, table.values.ravel().tolist(), table.covariates["params_m"]
    (('a', 'b'), [0.1, 0.4], [102.0, 151.3])
    """
    sources = [results] if isinstance(results, (Findings, Path, str)) else list(results)
    if not sources:
        raise InputError("no results given; expected findings, a file of them, or the folder of a sweep.")
    rows: list[Finding] = []
    beside: list[Path] = []
    for source in sources:
        found, folder = _rows_of(source)
        rows += found
        beside += [folder] if folder is not None else []
    table = _arrays(rows)
    if models is None and beside:
        files = [folder / "models.csv" for folder in beside if (folder / "models.csv").is_file()]
        models = _stacked([_columns(file, "models") for file in files]) if files else None
    if models is not None:
        table = replace(table, covariates=_joined(table.models, _columns(models, "models"), TABLE_OF_MODELS))
    if performance is not None:
        table = replace(table, scores=_scores(table.models, _columns(performance, "performance")))
    return table


def _rows_of(source: Findings | Path | str) -> tuple[list[Finding], Path | None]:
    if isinstance(source, Findings):
        return _effect_sizes(source, "the findings"), None
    path = Path(source)
    if path.is_dir():
        file = next((path / name for name in _FILES if (path / name).is_file()), None)
        if file is None:
            raise InputError(
                f"{path}: no {' or '.join(_FILES)} in this folder; expected the output of `fairvl sweep`. "
                "If the sweep was interrupted, run its command again to finish it."
            )
        return _effect_sizes(Findings.read(file), str(file)), path
    if path.suffix in (".json", ".parquet"):
        return _effect_sizes(Findings.read(path), str(path)), None
    if not path.suffix and not path.exists():
        raise InputError(f"{path}: no such file or folder; expected the folder of a sweep, or a file of its findings.")
    return _csv_rows(path), None


def _effect_sizes(findings: Findings, where: str) -> list[Finding]:
    rows = [row for row in findings if row.metric == METRIC and row.arm in ("", "before")]
    if not rows:
        others = sorted({row.metric for row in findings})[:8]
        raise InputError(
            f"{where}: no rows with metric {METRIC!r}; found {', '.join(others) or 'no rows at all'}. "
            "Expected the results of `fairvl sweep`."
        )
    return rows


def _csv_rows(path: Path) -> list[Finding]:
    text = ["model", "test", "order", "topic", "category", "suite", "suite_version", "metric", "arm", "note"]
    table = read_table(path, strings=text)
    if METRIC not in table and "metric" in table and "value" in table:  # a Findings table written as CSV
        arms = table.get("arm", [None] * len(table["metric"]))
        keep = [i for i, m in enumerate(table["metric"]) if m == METRIC and arms[i] in (None, "", "before")]
        table = {name: [cells[i] for i in keep] for name, cells in table.items()} | {
            METRIC: [table["value"][i] for i in keep]
        }
        if not keep:
            raise InputError(f"{path}: no rows with metric {METRIC!r}; expected the results of `fairvl sweep`.")
    for name in _RESULT_COLUMNS:
        if name not in table:
            raise InputError(
                f"{path.name} has no column {name!r}; expected {', '.join(_RESULT_COLUMNS)}. "
                + nearest(name, list(table))
            )
    for name in (METRIC, "n"):
        table[name] = _numbers(path, name, table.get(name, [None] * len(table["model"])))
    return [_csv_row({name: cells[i] for name, cells in table.items()}) for i in range(len(table["model"]))]


def _numbers(path: Path, name: str, cells: Sequence[Any]) -> list[Any]:
    """One text makes a whole column text: the cells that are numbers become so again, the first other is named."""
    numbers: list[Any] = []
    for position, cell in enumerate(cells):
        try:
            numbers.append(float(cell) if isinstance(cell, str) else cell)
        except ValueError:
            raise InputError(f"{path.name}, row {position + 1}: {name} is {cell!r}; expected a number.") from None
    return numbers


def _csv_row(cells: Mapping[str, Any]) -> Finding:
    value, n = cells[METRIC], cells.get("n")
    extra = {name: cells[name] for name in ("test", "topic", "category") if cells.get(name) is not None}
    model, order, suite, version = (str(cells.get(name) or "") for name in ("model", "order", "suite", "suite_version"))
    return Finding(
        METRIC, math.nan if value is None else float(value), "standard deviations",
        max(int(n), 0) if n and math.isfinite(n) else 0,
        model=model, order=order, suite=suite, suite_version=version, note=str(cells.get("note") or FROM_A_TABLE),
        extra=extra,
    )  # fmt: skip


def _arrays(rows: Sequence[Finding]) -> ResultTable:
    suites = sorted({(row.suite, row.suite_version) for row in rows})
    if len(suites) > 1:
        shown = ", ".join(f"{name or '(no suite)'} {version or '(no version)'}" for name, version in suites[:4])
        raise InputError(
            f"the results come from {len(suites)} suites or versions: {shown}. Their tests are not the same tests; "
            "expected one. Sweep the models again with one suite, or study each apart."
        )
    models = tuple(dict.fromkeys(row.model for row in rows))
    tests: dict[tuple[str, str], AssociationTest] = {}
    for row in rows:
        _check(row)
        test = _test_of(row)
        known = tests.setdefault((test.test, test.order), test)
        if known != test:
            raise InputError(
                f"test {test.name!r} is {known.topic!r} / {known.category or 'no category'!r} in one row and "
                f"{test.topic!r} / {test.category or 'no category'!r} in another (model {row.model!r}); expected one."
            )
    row_of = {model: i for i, model in enumerate(models)}
    column_of = {key: i for i, key in enumerate(tests)}
    values, stimuli = np.full((2, len(models), len(tests)), np.nan)
    seen = np.zeros(values.shape, dtype=bool)
    for row in rows:
        cell = row_of[row.model], column_of[str(column(row, "test")), row.order]
        if seen[cell]:
            raise InputError(
                f"model {row.model!r} has two rows for test {_test_of(row).name!r} (d = {values[cell]:.6g} and "
                f"{row.value:.6g}); expected one. Was the model swept twice? Remove the stale rows."
            )
        seen[cell] = True
        values[cell], stimuli[cell] = row.value, row.n if row.n > 0 else np.nan
    suite, version = suites[0]
    return ResultTable(models, tuple(tests.values()), values, stimuli, {}, {}, suite, version, _reasons(rows))


def _reasons(rows: Sequence[Finding]) -> dict[str, str]:
    """The first thing that the rows of a model say, for models without a value."""
    measured_ = {row.model for row in rows if not math.isnan(row.value)}
    reasons: dict[str, str] = {}
    for row in rows:
        if row.model not in measured_ and row.note and row.note != FROM_A_TABLE:
            reasons.setdefault(row.model, row.note)
    return reasons


def _check(row: Finding) -> None:
    if not row.model:
        raise InputError(
            f"a result of test {column(row, 'test')!r} names no model; a study needs to know which model it is."
        )
    if not column(row, "test"):
        raise InputError(f"a result of model {row.model!r} names no test; expected a column 'test'.")
    if row.order and row.order not in ORDERS:
        raise InputError(
            f"model {row.model!r}, test {column(row, 'test')!r}: order {row.order!r}. " + nearest(row.order, ORDERS)
        )
    if math.isinf(row.value):
        raise InputError(
            f"model {row.model!r}, test {column(row, 'test')!r}: d is {row.value}; expected a finite number or none."
        )


def _test_of(row: Finding) -> AssociationTest:
    category = str(column(row, "category") or "")
    if category not in ("", *CATEGORIES):
        raise InputError(
            f"test {column(row, 'test')!r}: category {category!r}; expected 'social', 'control' or none. "
            "The kind of test (age, gender, ...) belongs into the column 'topic'."
        )
    name = str(column(row, "test"))
    return AssociationTest(name, row.order, str(column(row, "topic") or name), category)


def _columns(source: Covariates, what: str) -> dict[str, list[Any]]:
    """Columns with a list each; the model ids as text, unique."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.suffix == ".toml":
            return _checked_ids(_toml_columns(path), path.name)
        if what == "performance" and path.suffix == ".csv" and path.is_file() and is_result_table(path):
            return _checked_ids(dict(read_performance(path)), path.name)
        return dict(read_table(path, id_column="model"))
    if isinstance(source, Mapping):
        table = {str(name): list(cells) for name, cells in source.items()}
    else:
        rows = list(source)
        names = dict.fromkeys(name for row in rows for name in row)
        table = {name: [row.get(name) for row in rows] for name in names}
    return _checked_ids(table, f"the {TABLE_OF_MODELS if what == 'models' else TABLE_OF_SCORES}")


def _checked_ids(table: dict[str, list[Any]], where: str) -> dict[str, list[Any]]:
    if "model" not in table:
        raise InputError(f"{where} has no column 'model' to join by. " + nearest("model", list(table)))
    lengths = {name: len(cells) for name, cells in table.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{where}: columns of different lengths {lengths}; expected one cell per model.")
    ids = [str(cell) for cell in table["model"]]
    if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise InputError(f"{where} has {', '.join(map(repr, twice[:3]))} more than once; expected one row per model.")
    plain = {
        name: [None if isinstance(c, float) and math.isnan(c) else c for c in cells] for name, cells in table.items()
    }
    return plain | {"model": ids}


def _toml_columns(path: Path) -> dict[str, list[Any]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected a TOML file of models.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: not TOML ({error}).") from None
    entries = document.get("model", document.get("models"))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
        raise DatasetError(f"{path}: no [[model]] tables; expected one per model, with its covariates.")
    flat = [
        {k: v for k, v in (entry | entry.get("covariates", {})).items() if not isinstance(v, (dict, list))}
        for entry in entries
    ]
    rows = [{"model": entry.get("model", entry.get("id", entry.get("name"))), **entry} for entry in flat]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _stacked(tables: Sequence[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """Tables of several sweeps below each other; a model that is in two of them must agree with itself."""
    names = dict.fromkeys(name for table in tables for name in table)
    rows: dict[str, dict[str, Any]] = {}
    for table in tables:
        for i, model in enumerate(table["model"]):
            row = {name: table[name][i] if name in table else None for name in names}
            if rows.setdefault(model, row) != row:
                raise InputError(
                    f"model {model!r} has different covariates in two sweeps; expected the same. "
                    f"Give one {TABLE_OF_MODELS}."
                )
    return {name: [row[name] for row in rows.values()] for name in names}


def _joined(ids: Sequence[str], table: Mapping[str, list[Any]], what: str) -> dict[str, list[Any]]:
    position = {id_: i for i, id_ in enumerate(table["model"])}
    if absent := [id_ for id_ in ids if id_ not in position]:
        raise InputError(
            f"{len(absent)} of {len(ids)} models are not in the {what}, such as {absent[0]!r}. "
            + nearest(absent[0], list(position))
            + " Add their rows, with empty cells where nothing is known."
        )
    return {name: [cells[position[id_]] for id_ in ids] for name, cells in table.items() if name != "model"}


def _scores(ids: Sequence[str], table: Mapping[str, list[Any]]) -> dict[str, Floats]:
    position = {id_: i for i, id_ in enumerate(table["model"])}
    if not set(ids) & set(position):
        raise InputError(
            f"none of the {len(ids)} models has a score in the {TABLE_OF_SCORES}; the first is {ids[0]!r}. "
            + nearest(ids[0], list(position))
        )
    scores: dict[str, Floats] = {}
    for name, cells in table.items():
        present = [cell for cell in cells if cell is not None]
        if name == "model" or not present:
            continue
        if not all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in present):
            if len(table) == 2:
                wrong = next(c for c in present if not isinstance(c, (int, float)))
                raise InputError(f"{TABLE_OF_SCORES}: column {name!r} holds {wrong!r}; expected numbers.")
            continue  # a column of names beside the scores
        column_ = [cells[position[id_]] if id_ in position else None for id_ in ids]
        scores[name] = np.array([math.nan if c is None else float(c) for c in column_])
    if not scores:
        raise InputError(f"the {TABLE_OF_SCORES} has no column of numbers beside 'model'; expected at least one score.")
    return scores


def measured(values: Floats, axis: int) -> NDArray[np.bool_]:
    """Where at least one value along the axis is defined."""
    return np.asarray(np.count_nonzero(~np.isnan(values), axis=axis) > 0)


def whole(values: Floats) -> NDArray[np.bool_]:
    """Rows without a NaN."""
    return np.asarray(np.count_nonzero(np.isnan(values), axis=1) == 0)


__all__ = ["AssociationTest", "Covariates", "ResultTable", "Results", "read_results"]
