"""Stored labels and predictions: one table, or the same rows predicted again after a repair."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import DatasetError, InputError
from ...findings import Findings
from ...fingerprints import fingerprint
from ...sources.datasets import read_table
from ...sources.datasets.table import check_unique, require_column
from ...stats.codes import GroupCodes, as_text
from ..tasks import join_rows
from .classifications import prediction_findings
from .material import Recode, label_columns
from .signing import check_groups, environment, signed, sizes

TableSource: TypeAlias = Path | str | Mapping[str, Sequence[Any]]
WHOLE = re.compile(r"([+-]?\d+)\.0+")


@dataclass(frozen=True)
class _Read:
    """A table with the columns that labels, predictions and ids stand in."""

    name: str
    columns: dict[str, list[Any]]
    truth: str
    predicted: str
    id: str


def audit_predictions(
    predictions: TableSource, columns: Mapping[str, str], groups: Sequence[str] | None, recode: Recode | None,
    statistics: Mapping[str, Any], choices: Mapping[str, Any], after: Mapping[str, TableSource] | None = None,
    train: TableSource | None = None,
) -> Findings:  # fmt: skip
    """Findings of one table of predictions; with `after`, of each of these too and of their paired differences.

    `train` has the labels and groups of training rows, which decide the signs of amplification.
    """
    truth, predicted, id_column = columns["y_true"], columns["y_pred"], columns.get("id", "id")
    read = _read(predictions, columns, "predictions")
    name, table = read.name, read.columns
    named = {"" : table[predicted]} | {
        arm: _joined(read, _read(source, {"y_pred": predicted, "id": id_column}, f"after {arm}", truth=truth))
        for arm, source in (after or {}).items()
    }  # fmt: skip
    labels = {arm: [_label(p) for p in values] for arm, values in named.items()}
    given = [_label(t) for t in table[truth]]
    keep = [row for row, known in enumerate(zip(given, *labels.values(), strict=True)) if None not in known]
    if not keep:
        raise DatasetError(f"{name}: none of {len(given)} rows has both {truth!r} and {predicted!r}; expected labels.")
    table = {column: [values[row] for row in keep] for column, values in table.items()}
    labelled = {
        k: v for k, v in table.items() if k not in (id_column, "y_true", predicted) and (not groups or k in groups)
    }
    if groups and (lost := [g for g in groups if g not in table]):
        raise DatasetError(f"{name}: no group columns {lost}; found {sorted(table)}.")
    found = label_columns(labelled, {}, recode)
    codes, numbers = found.groups, found.numbers
    check_groups(groups, codes, numbers, name)
    task = "predictions" if truth == "y_true" else truth
    arms = {arm: [str(values[row]) for row in keep] for arm, values in labels.items()}
    deciding = None if train is None else _training(train, truth, codes, recode)
    rows = prediction_findings(
        [str(given[row]) for row in keep], arms.pop(""), codes, numbers, after=arms, train=deciding, task=task,
        crossings=choices["crossings"], **statistics,
    )  # fmt: skip
    settings: dict[str, Any] = {
        "statistics": dict(statistics), "choices": dict(choices), "environment": environment(),
        "data": {"name": name, "fingerprint": fingerprint({k: list(map(as_text, v)) for k, v in table.items()}),
                 "rows": len(keep), "columns": dict(columns),
                 "dropped_without_label": len(given) - len(keep), "groups": {k: sizes(c) for k, c in codes.items()},
                 "numeric": sorted(numbers), "columns_left_out": dict(found.left_out)},
    }  # fmt: skip
    if arms:
        settings["after"] = {arm: fingerprint(values) for arm, values in arms.items()}
    if deciding is not None:
        settings["train"] = fingerprint({name: [*map(list, sides)] for name, sides in deciding.items()})
    return signed(rows, settings, "", name, None)


def _read(source: TableSource, columns: Mapping[str, str], called: str, *, truth: str = "") -> _Read:
    id_column = columns.get("id", "id")
    table: dict[str, list[Any]]
    if isinstance(source, Mapping):
        name, table = called, {k: list(v) for k, v in source.items()}
        for column in columns.values():
            require_column(table, column, where=name)
        if len({len(values) for values in table.values()}) > 1:
            lengths = {column: len(values) for column, values in table.items()}
            raise DatasetError(f"{name}: columns of different lengths {lengths}; expected one value per row.")
    elif not isinstance(source, (str, Path)):
        raise InputError(
            f"predictions are a {type(source).__name__}; expected the path of a table, or a mapping of columns "
            "(of a data frame: frame.to_dict('list'))."
        )
    else:
        name, required = Path(source).name, tuple(columns.values())
        strings = (id_column, truth or columns["y_true"], columns["y_pred"])
        table = dict(read_table(source, required=required, strings=strings))
    if id_column in table:
        check_unique([str(i) for i in table[id_column]], where=name)
    return _Read(name, table, truth or columns["y_true"], columns["y_pred"], id_column)


def _training(
    source: TableSource, truth: str, codes: Mapping[str, GroupCodes], recode: Recode | None
) -> dict[str, tuple[list[str | None], list[str | None]]]:
    """Per attribute the groups and labels of training rows, renamed like those of the predictions."""
    read = _read(source, {"y_pred": truth}, "train", truth=truth)
    found = {}
    for name in codes:
        if name in read.columns and name != truth:
            mapping = (recode or {}).get(name, {})
            texts = [as_text(value) for value in read.columns[name]]
            groups = [None if text is None else mapping.get(text, text) for text in texts]
            if not set(groups) & set(codes[name].labels):
                raise DatasetError(
                    f"{read.name}: no row of {name!r} is one of {list(codes[name].labels)}; expected the labels of the "
                    "predictions."
                )
            found[name] = (groups, [_label(value) for value in read.columns[truth]])
    if not found:
        raise DatasetError(f"{read.name} has none of the group columns {sorted(codes)}; signs need at least one.")
    return found


def _joined(before: _Read, after: _Read) -> list[Any]:
    """Predictions of `after` in the order of `before`: joined by id, one to one, on equal labels."""
    if before.id not in before.columns:
        raise DatasetError(
            f"{before.name} has no column {before.id!r}; rows before and after are joined by id. Name it with id=."
        )
    try:
        rows = join_rows([str(i) for i in before.columns[before.id]], [str(i) for i in after.columns[before.id]])
    except InputError as error:
        raise DatasetError(f"{after.name} does not belong to {before.name}: {error}") from None
    if after.truth in after.columns:
        theirs = [_label(after.columns[after.truth][row]) for row in rows]
        differing = [
            row for row, (one, two) in enumerate(zip(before.columns[before.truth], theirs, strict=True))
            if _label(one) != two
        ]  # fmt: skip
        if differing:
            at = before.columns[before.id][differing[0]]
            raise DatasetError(
                f"{after.name}: {len(differing)} rows have another {after.truth!r} than in {before.name}, first id "
                f"{at!r}; expected the same labels before and after."
            )
    return [after.columns[after.predicted][row] for row in rows]


def _label(value: Any) -> str | None:
    """A label as text; 1, 1.0, "1" and "1.0" are one label, however a column was typed."""
    text = as_text(value)
    whole = WHOLE.fullmatch(text.strip()) if text else None
    return whole[1] if whole else text
