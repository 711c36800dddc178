"""`audit`: gather the material once, run every part that applies, before and after each repair."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import FloatArray, check_vectors, unit_rows
from ...errors import EncoderError, InputError
from ...findings import Findings
from ...sources.datasets import Dataset
from ...sources.encoders import Encoder
from ...sources.prompts import Bank
from ...sources.store import EmbeddingStore
from .arms import Arm, Setting
from .associations import association_findings
from .classifications import classification_findings
from .harms import harm_findings
from .leakages import leakage_findings
from .material import (
    Images,
    Operator,
    Recode,
    Texts,
    as_encoder,
    gather_images,
    gather_texts,
)
from .pairs import gather_pairs
from .predictions import audit_predictions
from .rankings import CONVENTIONS, ranking_findings
from .recalls import RECALL, recall_findings
from .results import read_results
from .signing import check_groups, environment, signed, sizes
from .suite import Suite, load_suite, with_classes
from .utilities import UTILITY, utility_findings

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
    after: Mapping[str, Path | str | Mapping[str, Sequence[Any]]] | None = None,
    train: Path | str | Mapping[str, Sequence[Any]] | None = None,
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
    after
        With predictions: the same rows predicted again, one table per repair by its name. Joined by id, one to one, on
        equal labels; everything is then measured before, after, and as a paired difference.
    train
        With predictions: labels and groups of the training rows (the same column names), which then decide in which
        direction amplification counts; the labels of the predictions do otherwise.
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
    if (after or train is not None) and predictions is None:
        raise InputError(f"audit got {'after' if after else 'train'}= without predictions=; expected predictions, too.")
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
        found = audit_predictions(predictions, columns, groups, recode, statistics, choices, after, train)
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
    arms = tuple(_repaired(name, repair, texts, images, captions) for name, repair in repairs.items())
    treated = frozenset(str(_header(repair).get("attribute", "")) for repair in repairs.values()) - {""}
    setting = Setting(compiled, images, texts, before, arms, treated, draws, level, seed, crossings, pairs)
    rows = [finding for part in PARTS for finding in part(setting)]
    if all(math.isnan(row.value) for row in rows):
        reasons = list(dict.fromkeys(row.note for row in rows))
        raise InputError(
            f"nothing of the suite {compiled.id!r} applies: {'; '.join(reasons[:3]) or 'it asks nothing'}. "
            "Give dataset=, or another suite."
        )
    settings = _settings(model, images, texts, compiled, repairs, treated, statistics) | {"choices": choices}
    found = signed(rows, settings, model.card.name, images.dataset if images else "", compiled)
    return found if elsewhere is None else found + elsewhere


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
    check_groups(groups, images.groups, images.numbers, images.dataset)
    numbers = {k: v for k, v in images.numbers.items() if k in groups}
    return replace(images, sensitive=tuple(g for g in groups if g in images.groups), numbers=numbers)


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
            "groups": {name: sizes(codes) for name, codes in images.groups.items()},
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


def _progress(items: Iterable[Any], total: int | None) -> Iterable[Any]:
    from tqdm import tqdm

    bar: Iterable[Any] = tqdm(items, total=total, desc="encode", unit="image", disable=not sys.stderr.isatty())
    return bar
