"""`audit`: gather the material once, run every part that applies, before and after each repair."""

from __future__ import annotations

import math
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...arrays import FloatArray, check_vectors, unit_rows
from ...errors import DatasetError, EncoderError, InputError
from ...findings import Findings
from ...fingerprints import fingerprint
from ...sources.datasets import Dataset, read_table
from ...sources.datasets.table import check_unique, require_column
from ...sources.encoders import Encoder
from ...sources.prompts import Bank
from ...sources.store import EmbeddingStore
from ...stats.codes import as_text
from .arms import Arm, Setting
from .associations import association_findings
from .classifications import classification_findings, prediction_findings
from .harms import harm_findings
from .leakages import leakage_findings
from .material import (
    MAX_GROUPS,
    Images,
    Operator,
    Recode,
    Texts,
    as_encoder,
    gather_images,
    gather_texts,
    label_columns,
)
from .pairs import gather_pairs
from .rankings import CONVENTIONS, ranking_findings
from .recalls import RECALL, recall_findings
from .results import read_results
from .suite import Suite, load_suite, with_classes
from .utilities import UTILITY, utility_findings

WHOLE = re.compile(r"([+-]?\d+)\.0+")
PARTS = (
    association_findings,
    classification_findings,
    ranking_findings,
    recall_findings,
    leakage_findings,
    harm_findings,
    utility_findings,
)


def audit(
    encoder: str | Encoder | None = None, *, dataset: str | Dataset | EmbeddingStore | None = None,
    predictions: Path | str | Mapping[str, Sequence[Any]] | None = None, suite: str | Path | Suite = "core",
    operator: Operator | Mapping[str, Operator] | None = None, groups: Sequence[str] | None = None,
    recode: Recode | None = None, truth: str = "y_true", prediction: str = "y_pred", id: str | None = None,
    crossings: int = 2, draws: int = 1000, level: float = 0.95, seed: int = 0,
    classes: str | Path | Bank | None = None, class_column: str = "", results: Path | str | None = None,
) -> Findings:  # fmt: skip
    """Everything of a suite that applies, as Findings; with operators, before, after and their paired difference.

    Parameters
    ----------
    encoder
        An encoder or its name. Text-only tests need nothing else; ``stored:DIR`` brings its images along.
    dataset
        Labelled images: a dataset or its name, or an EmbeddingStore that the same encoder wrote.
    predictions
        Instead of an encoder: a table (file or columns) with labels, predictions and group columns.
    suite
        Name of a shipped suite, a ``.toml`` file, or a compiled `Suite`.
    operator
        A repair, or several by name: any callable on unit vectors ``[n, d]``. It is applied to texts only, and
        to images too when its attribute ``applies_to_images`` is true. The ``attribute`` in its card is *treated*.
    groups
        Group columns to show results by; by default the suite's sensitive attributes and the columns it does not know.
    recode
        Labels to rename before anything is counted: ``{"gender": {"man1": "man"}}``.
    truth, prediction, id
        Columns of `predictions`; ``id`` is optional. A truth column of another name than ``y_true`` (say ``gender``) is
        a group column too.
    crossings
        How many attributes are crossed at most in group metrics and harm rates.
    draws, level, seed
        Bootstrap draws, interval level, and the seed of every random step. Both arms use the same resamples.
    classes, class_column
        One more zero-shot task: a bank (its sets are the classes) and the column that holds them (`with_classes`).
    results
        Result file of CLIP_benchmark or DataComp, whose utilities join the findings (`read_results`); alone, it is all.

    Returns
    -------
    Findings
        A test that cannot run (words the model does not know, labels the data lack) is a row whose note says why.

    Raises
    ------
    InputError
        Neither an encoder nor predictions, or both; predictions with a dataset or an operator, which they cannot use.
    EncoderError
        An operator or a store that belongs to another encoder.

    Examples
    --------
    >>> table = {"y_true": ["a", "b"] * 20, "y_pred": ["a", "a"] * 20, "sex": ["f"] * 20 + ["m"] * 20}
    >>> findings = audit(predictions=table, draws=100)
    >>> findings.one(metric="accuracy", groups="(all)").value
    0.5
    """
    elsewhere = None if results is None else read_results(results)
    if elsewhere is not None and encoder is None and predictions is None:
        return elsewhere
    if (encoder is None) == (predictions is None):
        raise InputError(
            "audit got " + ("neither an encoder nor predictions" if encoder is None else "an encoder and predictions")
            + "; expected exactly one of them."
        )  # fmt: skip
    if predictions is not None and (dataset is not None or operator is not None):
        raise InputError(
            f"audit got predictions and {'a dataset' if operator is None else 'an operator'}; predictions are audited "
            "as they are, and a repair needs the encoder. Leave one out."
        )
    compiled = suite if isinstance(suite, Suite) else load_suite(suite)
    if classes is not None:
        compiled = with_classes(compiled, classes, attribute=class_column)
    statistics = {"draws": draws, "level": level, "seed": seed}
    choices: dict[str, Any] = {
        "crossings": crossings, "groups": None if groups is None else list(groups),
        "recode": {column: dict(mapping) for column, mapping in (recode or {}).items()},
    }  # fmt: skip
    if predictions is not None:
        columns = {"y_true": truth, "y_pred": prediction} | ({"id": id} if id else {})
        found = _audit_predictions(predictions, columns, groups, recode, statistics, choices)
        return found if elsewhere is None else found + elsewhere
    assert encoder is not None
    model = as_encoder(encoder)
    images = gather_images(model, dataset, compiled, recode, _progress)
    if images is not None and groups is not None:
        images = _only(images, groups)
    texts = gather_texts(model, compiled.texts())
    repairs = _named(operator)
    for name, repair in repairs.items():
        _check_operator(name, repair, model)
    pairs = gather_pairs(model, images, seed) if compiled.retrieval is not None else None
    captions = pairs.texts if pairs is not None else None
    before = Arm("", texts.vectors, images.vectors if images else None, captions)
    after = tuple(_repaired(name, repair, texts, images, captions) for name, repair in repairs.items())
    treated = frozenset(str(_header(repair).get("attribute", "")) for repair in repairs.values()) - {""}
    setting = Setting(compiled, images, texts, before, after, treated, draws, level, seed, crossings, pairs)
    rows = [finding for part in PARTS for finding in part(setting)]
    if all(math.isnan(row.value) for row in rows):
        reasons = list(dict.fromkeys(row.note for row in rows))
        raise InputError(
            f"nothing of the suite {compiled.id!r} applies: {'; '.join(reasons[:3]) or 'it asks nothing'}. "
            "Give dataset=, or another suite."
        )
    settings = _settings(model, images, texts, compiled, repairs, treated, statistics) | {"choices": choices}
    found = _signed(rows, settings, model.card.name, images.dataset if images else "", compiled)
    return found if elsewhere is None else found + elsewhere


def _audit_predictions(
    predictions: Path | str | Mapping[str, Sequence[Any]], columns: Mapping[str, str], groups: Sequence[str] | None,
    recode: Recode | None, statistics: Mapping[str, Any], choices: Mapping[str, Any],
) -> Findings:  # fmt: skip
    truth, predicted, id_column = columns["y_true"], columns["y_pred"], columns.get("id", "id")
    table: dict[str, Any]
    if isinstance(predictions, Mapping):
        name, table = "predictions", {k: list(v) for k, v in predictions.items()}
        for column in columns.values():
            require_column(table, column, where=name)
        if len({len(values) for values in table.values()}) > 1:
            lengths = {column: len(values) for column, values in table.items()}
            raise DatasetError(f"{name}: columns of different lengths {lengths}; expected one value per row.")
    elif not isinstance(predictions, (str, Path)):
        raise InputError(
            f"predictions are a {type(predictions).__name__}; expected the path of a table, or a mapping of columns "
            "(of a data frame: frame.to_dict('list'))."
        )
    else:
        name = Path(predictions).name
        required = tuple(columns.values())
        table = dict(read_table(predictions, required=required, strings=(id_column, truth, predicted)))
    if id_column in table:
        check_unique([str(i) for i in table[id_column]], where=name)
    labels = [(_label(t), _label(p)) for t, p in zip(table[truth], table[predicted], strict=True)]
    keep = [row for row, pair in enumerate(labels) if None not in pair]
    if not keep:
        raise DatasetError(f"{name}: none of {len(labels)} rows has both {truth!r} and {predicted!r}; expected labels.")
    table = {column: [values[row] for row in keep] for column, values in table.items()}
    labelled = {
        k: v for k, v in table.items() if k not in (id_column, "y_true", predicted) and (not groups or k in groups)
    }
    if groups and (lost := [g for g in groups if g not in table]):
        raise DatasetError(f"{name}: no group columns {lost}; found {sorted(table)}.")
    found = label_columns(labelled, {}, recode)
    codes, numbers = found.groups, found.numbers
    _check_groups(groups, codes, numbers, name)
    task = "predictions" if truth == "y_true" else truth
    rows = prediction_findings(
        [str(labels[row][0]) for row in keep], [str(labels[row][1]) for row in keep], codes, numbers,
        task=task, crossings=choices["crossings"], **statistics,
    )  # fmt: skip
    settings = {
        "statistics": dict(statistics), "choices": dict(choices), "environment": environment(),
        "data": {"name": name, "fingerprint": fingerprint({k: list(map(as_text, v)) for k, v in table.items()}),
                 "rows": len(keep), "columns": dict(columns),
                 "dropped_without_label": len(labels) - len(keep), "groups": {k: _sizes(c) for k, c in codes.items()},
                 "numeric": sorted(numbers), "columns_left_out": dict(found.left_out)},
    }  # fmt: skip
    return _signed(rows, settings, "", name, None)


def _label(value: Any) -> str | None:
    """A label as text; 1, 1.0, "1" and "1.0" are one label, however a column was typed."""
    text = as_text(value)
    whole = WHOLE.fullmatch(text.strip()) if text else None
    return whole[1] if whole else text


def _check_groups(
    groups: Sequence[str] | None, codes: Mapping[str, Any], numbers: Mapping[str, Any], name: str
) -> None:
    """A group column that was asked for by name must not drop out in silence."""
    if lost := [g for g in groups or () if g not in codes and g not in numbers]:
        raise DatasetError(
            f"{name}: no results can be shown by {lost}; expected columns of 2 to {MAX_GROUPS} different labels, or of "
            f"numbers. Columns that hold groups: {sorted([*codes, *numbers])}."
        )


def _check_operator(name: str, repair: Operator, model: Encoder) -> None:
    if differing := model.card.differences(_header(repair).get("encoder") or {}):
        raise EncoderError(
            f"the operator {name!r} was fitted on another encoder: {differing}. Fit one on this encoder."
        )


def _named(operator: Operator | Mapping[str, Operator] | None) -> dict[str, Operator]:
    if operator is None:
        return {}
    if isinstance(operator, Mapping):
        return {str(name): repair for name, repair in operator.items()}
    return {str(_header(operator).get("method") or "repair"): operator}


def _repaired(name: str, repair: Operator, texts: Texts, images: Images | None, captions: FloatArray | None) -> Arm:
    both = bool(getattr(repair, "applies_to_images", False))
    vectors = images.vectors if images else None
    if both and vectors is not None:
        vectors = unit_rows(_applied(name, repair, vectors), f"images after {name}", dtype=np.float32)
    after = _applied(name, repair, texts.vectors) if len(texts.vectors) else texts.vectors
    return Arm(name, after, vectors, None if captions is None else _applied(name, repair, captions))


def _applied(name: str, repair: Operator, vectors: FloatArray) -> FloatArray:
    out = check_vectors(repair(vectors), f"vectors after {name}", zero_ok=True)
    if out.shape != vectors.shape:
        raise InputError(f"the operator {name!r} made {out.shape} of {vectors.shape}; expected the same shape.")
    return out


def _only(images: Images, groups: Sequence[str]) -> Images:
    _check_groups(groups, images.groups, images.numbers, images.dataset)
    numbers = {k: v for k, v in images.numbers.items() if k in groups}
    return replace(images, sensitive=tuple(g for g in groups if g in images.groups), numbers=numbers)


def _sizes(codes: Any) -> dict[str, int]:
    sizes = {label: int(count) for label, count in zip(codes.labels, codes.counts, strict=True)}
    return sizes | ({"(missing)": codes.n_missing} if codes.n_missing else {})


def _settings(
    model: Encoder, images: Images | None, texts: Texts, suite: Suite, repairs: Mapping[str, Operator],
    treated: frozenset[str], statistics: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    settings: dict[str, Any] = {
        "encoder": _plain(asdict(model.card)),
        "suite": {
            "id": suite.id, "version": suite.version, "fingerprint": suite.fingerprint, "banks": dict(suite.banks),
            "tests": [test.test for test in suite.associations],
            "tasks": {task.task: list(task.classes) for task in suite.classifications},
        },
        "statistics": dict(statistics),
        "ranking": dict(CONVENTIONS),
        "recall": dict(RECALL),
        "utility": dict(UTILITY),
        "repairs": {name: _header(repair) for name, repair in repairs.items()},
        "treated_attribute": ", ".join(sorted(treated)),
        "environment": environment(),
    }  # fmt: skip
    if images is not None:
        settings["data"] = {
            "name": images.dataset, "fingerprint": images.fingerprint, "images": len(images.ids),
            "groups": {name: _sizes(codes) for name, codes in images.groups.items()},
            "numeric": sorted(images.numbers),
            "columns_left_out": dict(images.left_out),
            "skipped": {"count": len(images.skipped), "first": [list(s) for s in images.skipped[:50]]},
        }  # fmt: skip
    if texts.unanswered:
        settings["texts_left_out"] = {
            "count": len(texts.unanswered),
            "reasons": sorted(set(texts.unanswered.values()))[:20],
        }
    over_length = getattr(model, "over_length", None)
    if over_length is not None and (long := over_length(list(texts.index))):
        settings["texts_over_context_length"] = [list(texts.index)[i] for i in long]
    return settings


def _header(repair: Operator) -> dict[str, Any]:
    card = getattr(repair, "card", None)
    described: dict[str, Any] = card.as_dict() if card is not None else {"method": type(repair).__name__}
    return described


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def environment() -> dict[str, Any]:
    """Versions and threads, which may move the last digits."""
    import scipy

    return {
        "fairvl": __version__, "python": platform.python_version(), "numpy": np.__version__,
        "scipy": scipy.__version__, "threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }  # fmt: skip


def _signed(
    rows: Sequence[Any], settings: Mapping[str, Any], model: str, dataset: str, suite: Suite | None
) -> Findings:
    columns: dict[str, Any] = {"model": model, "dataset": dataset, "config_hash": fingerprint(settings)}
    if suite is not None:
        columns |= {"suite": suite.id, "suite_version": str(suite.version)}
    return Findings(rows, settings).with_columns(**columns)


def _progress(items: Iterable[Any], total: int | None) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(items, total=total, desc="encode", unit="image", disable=not sys.stderr.isatty())
    return bar
