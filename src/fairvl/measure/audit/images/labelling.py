"""Who is on an image, according to a judge that the user chose: a table of labels, an encoder, or any function."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....arrays import unit_rows
from ....errors import DatasetError, EncoderError, GroupError, InputError
from ....sources.datasets import decode_image, read_table
from ....sources.datasets.table import check_unique, nearest
from ....sources.encoders import Encoder
from ....sources.prompts import Bank, load_bank
from ....stats.codes import as_text, natural_key
from ...zeroshot import prototypes, scores
from .table import ImageTable, Picture

Floats = NDArray[np.float64]
Judge: TypeAlias = Callable[[Any], Any]
CONFIDENCE = "_confidence"
TEMPERATURE = 100.0  # probabilities are the softmax of 100 x cosine, as CLIP was trained
BATCH = 64
MOST_GROUPS = 30
KEYS = ("id", "file")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a judge says of every image about one attribute: a label or None, and how sure it is (NaN: not said).

    `probabilities` ``[n, g]`` over `groups` where the judge gives them; rows of NaN for images without an answer.
    """

    labels: tuple[str | None, ...]
    confidence: Floats
    groups: tuple[str, ...]
    probabilities: Floats | None = None
    unsure: int = 0  # answers below the least confidence, taken back

    def sure(self, least: float) -> Answer:
        """The same with answers below the least confidence taken back; an answer of no stated confidence stays."""
        doubt = np.asarray(self.confidence < least)
        if not doubt.any():
            return self
        labels = tuple(None if d else label for label, d in zip(self.labels, doubt, strict=True))
        kept = None
        if self.probabilities is not None:
            kept = np.where(doubt[:, None], np.nan, self.probabilities)
        return Answer(labels, self.confidence, self.groups, kept, int(doubt.sum()))

    def over(self, groups: Sequence[str]) -> tuple[Any, bool]:
        """Probabilities over these groups where the judge said how sure it is; one that it never names has none."""
        if self.probabilities is not None:
            if lost := [group for group in self.groups if group not in groups]:
                raise GroupError(f"the judge knows {lost}, the audit asks for {list(groups)} only.")
            shares = np.zeros((len(self.labels), len(groups)))
            shares[:, [groups.index(group) for group in self.groups]] = self.probabilities
            shares[np.isnan(self.probabilities).any(axis=1)] = np.nan
            return shares, True
        if np.isnan(self.confidence).all():
            return None, False
        g = len(groups)
        table = np.full((len(self.labels), g), np.nan)
        for row, label in enumerate(self.labels):
            if label is not None:
                sure = self.confidence[row] if math.isfinite(self.confidence[row]) else 1.0
                table[row] = (1.0 - sure) / max(g - 1, 1)  # what is left goes to the others in equal parts
                table[row, groups.index(label)] = sure
        return table, True


@dataclass(frozen=True, eq=False)
class Labels:
    """The answers of one arm by attribute, and what was found on the way."""

    answers: Mapping[str, Answer]
    broken: tuple[tuple[str, str], ...] = ()
    without_image: int = 0
    without_label: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)


def labels_from_table(
    images: ImageTable, source: Path | str | Mapping[str, Sequence[Any]], attributes: Sequence[str] | None,
    *, arm: str = "",
) -> Labels:  # fmt: skip
    """Answers from a table with the columns ``id`` or ``file``, one per attribute, and ``ATTRIBUTE_confidence``."""
    where, table, key = _label_table(source)
    if "arm" in table:
        rows = [i for i, v in enumerate(table["arm"]) if (as_text(v) or "before") == (arm or "before")]
        if not rows:
            raise DatasetError(f"{where}: no row of the column 'arm' says {arm or 'before'!r}; every arm needs labels.")
        table = {name: [values[i] for i in rows] for name, values in table.items() if name != "arm"}
    ids = [as_text(v) for v in table[key]]
    if None in ids:
        raise DatasetError(f"{where}: row {ids.index(None) + 1} has no {key!r}; labels are keyed by it.")
    check_unique((str(i) for i in ids), where=where)
    place = {str(id_): row for row, id_ in enumerate(ids)}
    mine = _mine(images, key)
    rows_of = _rows_of(place, images, key)
    matched = {row for row in rows_of if row is not None}
    if not matched:
        raise DatasetError(
            f"{where}: none of its {len(ids)} rows is of an image here (its first {key} is {ids[0]!r}, the first image "
            f"is {mine[0]!r}). Labels are matched by {key!r}, never by position."
        )
    names = [n for n in table if n not in (*KEYS, "prompt", "seed") and not n.endswith(CONFIDENCE)]
    unmatched = sum(row is None for row in rows_of)
    if 2 * unmatched > len(rows_of):
        raise DatasetError(
            f"{where}: {unmatched} of the {len(rows_of)} images of {arm or 'before'!r} have no row in it (the first is "
            f"{mine[rows_of.index(None)]!r}); expected a row for most of them. Give the labels of these images, a row "
            "with an empty label for each that the judge left open, or a table of prompts with labelled images only."
        )
    answers, left_out = {}, {}
    for name in _chosen(names, attributes, where):
        texts = [as_text(v) for v in table[name]]
        distinct = {text for text in texts if text is not None}
        if attributes is None and (len(distinct) > MOST_GROUPS or not distinct):
            left_out[name] = len(distinct)
            continue
        sure = _confidences(table.get(name + CONFIDENCE), len(texts), name, where)
        labels = tuple(None if r is None or f is None else texts[r]
                       for r, f in zip(rows_of, images.files, strict=True))  # fmt: skip
        confidence = np.array([math.nan if r is None else sure[r] for r in rows_of])
        answers[name] = Answer(labels, confidence, tuple(sorted(distinct, key=natural_key)))
    if not answers:
        raise DatasetError(f"{where} has no column of labels beside {key!r}. {nearest('gender', list(table))}")
    broken = tuple(_broken(images))
    gone = {id_ for id_, _ in broken}
    if gone:
        answers = {name: _without(answer, images, gone) for name, answer in answers.items()}
    return Labels(answers, broken, len(ids) - len(matched), unmatched, left_out)


def refuse_shared(arms: Mapping[str, ImageTable], source: Path | str | Mapping[str, Sequence[Any]]) -> None:
    """Refuse one table of labels for several arms where a row of it would speak for the images of two of them."""
    where, table, key = _label_table(source)
    if len(arms) < 2 or "arm" in table:
        return
    place = {str(as_text(value)): row for row, value in enumerate(table[key])}
    owner: dict[int, str] = {}
    for arm, images in arms.items():
        for row, name in zip(_rows_of(place, images, key), _mine(images, key), strict=True):
            if row is None or owner.setdefault(row, arm) == arm:
                continue
            names = [owner[row] or "before", arm or "before"]
            given = " ".join(f"--labels {n or 'before'}={'ABCDEFGH'[min(i, 7)]}.csv" for i, n in enumerate(arms))
            raise InputError(
                f"{where} was given once, and its row {name!r} would label an image of {names[0]!r} and another of "
                f"{names[1]!r}: every number would be equal before and after. Expected one table for each arm: {given} "
                "(labeller={'before': ..., 'NAME': ...}), or a column 'arm' in the one."
            )


def labels_from_encoder(
    pictures: Sequence[Picture], encoder: Encoder, classes: Mapping[str, Bank], progress: Callable[[Any], Iterable[Any]]
) -> Labels:
    """Zero-shot answers: the class whose prototype is nearest, with the softmax of 100 x cosine as probabilities."""
    vectors, broken = image_vectors(pictures, encoder, progress)
    known: NDArray[np.bool_] = np.asarray(~np.isnan(vectors).any(axis=1))
    answers = {}
    for attribute, bank in classes.items():
        groups = tuple(bank.sets)
        texts = [bank.prompts(name).texts for name in groups]
        codes = np.repeat(np.arange(len(groups)), [len(t) for t in texts])
        rows = unit_rows(encoder.encode_texts([t for part in texts for t in part]), "class prompts", dtype=np.float32)
        probabilities = np.full((len(pictures), len(groups)), np.nan)
        if known.any():
            logits = TEMPERATURE * scores(prototypes(rows, codes, len(groups)), vectors[known]).T.astype(np.float64)
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities[known] = weights / weights.sum(axis=1, keepdims=True)
        best = [groups[int(np.argmax(row))] if ok else None for row, ok in zip(probabilities, known, strict=True)]
        confidence = np.where(known, np.max(np.where(known[:, None], probabilities, 0.0), axis=1), np.nan)
        answers[attribute] = Answer(tuple(best), confidence, groups, probabilities)
    return Labels(answers, broken)


def labels_from_functions(
    pictures: Sequence[Picture], judges: Mapping[str, Judge], progress: Callable[[Any], Iterable[Any]]
) -> Labels:
    """Answers of functions of one RGB picture: a label, None, (label, confidence) or {group: probability}."""
    said: dict[str, list[Any]] = {name: [] for name in judges}
    broken = []
    for id_, read in progress(pictures):
        try:
            picture = None if read is None else decode_image(read())
        except DatasetError as error:
            picture = None
            broken.append((id_, str(error)))
        for name, judge in judges.items():
            said[name].append(None if picture is None else judge(picture))
    return Labels({name: _answer(values, name) for name, values in said.items()}, tuple(broken))


def image_vectors(
    pictures: Sequence[Picture], encoder: Encoder, progress: Callable[[Any], Iterable[Any]]
) -> tuple[NDArray[np.float32], tuple[tuple[str, str], ...]]:
    """Vectors of all images, rows of NaN where an image is missing or broken, and which are broken."""
    out = np.full((len(pictures), encoder.card.dim), np.nan, dtype=np.float32)
    broken: list[tuple[str, str]] = []
    rows: list[int] = []
    batch: list[Any] = []

    def flush() -> None:
        if batch:
            out[rows] = encoder.encode_images(batch)
            rows.clear()
            batch.clear()

    for row, (id_, read) in enumerate(progress(pictures)):
        if read is None:
            continue
        try:
            batch.append(decode_image(read()))
        except DatasetError as error:
            broken.append((id_, str(error)))
            continue
        rows.append(row)
        if len(batch) == BATCH:
            flush()
    flush()
    return out, tuple(broken)


def class_banks(attributes: Mapping[str, Any] | Sequence[str]) -> dict[str, Bank]:
    """The classes of every attribute: a bank, the name of one, or its file; by default ``zero-shot-ATTRIBUTE``."""
    named = attributes if isinstance(attributes, Mapping) else {name: f"zero-shot-{name}" for name in attributes}
    banks = {}
    for attribute, bank in named.items():
        banks[attribute] = bank if isinstance(bank, Bank) else load_bank(bank)
        if len(banks[attribute].sets) < 2:
            raise InputError(f"the bank {banks[attribute].id!r} has one class; a judge of {attribute!r} needs two.")
    return banks


def refuse_same(role: str, card: Any, audited: Mapping[str, Any] | None, allow: bool) -> str:
    """What to note about a judge and the model under audit; the same model is an error unless allowed."""
    if audited is None:
        return f"the {role} {card.name} was not checked against the model under audit: name that with audited="
    if not {"library", "name", "weights"} & set(audited) or card.differences(audited):
        return ""
    message = (
        f"the {role} {card.name} is the model under audit (same library, name and weights): it would judge its own "
        "bias by its own eyes. Give an encoder with other weights"
    )
    if not allow:
        raise EncoderError(f"{message}, or allow it with allow_same_encoder=True.")
    return message + "; it was allowed"


def _label_table(source: Path | str | Mapping[str, Sequence[Any]]) -> tuple[str, dict[str, list[Any]], str]:
    if isinstance(source, Mapping):
        where, table = "labels", {str(k): list(v) for k, v in source.items()}
        if len({len(v) for v in table.values()}) != 1:
            raise DatasetError(f"labels: columns of lengths { {k: len(v) for k, v in table.items()} }; expected equal.")
    else:
        where, table = Path(source).name, dict(read_table(source, strings=KEYS))
    key = next((name for name in KEYS if name in table), None)
    if key is None:
        raise DatasetError(f"{where} has neither 'id' nor 'file': a label must say whose it is. "
                           + nearest("id", list(table)))  # fmt: skip
    return where, table, key


def _chosen(names: Sequence[str], attributes: Sequence[str] | None, where: str) -> Sequence[str]:
    for name in attributes or ():
        if name not in names:
            raise DatasetError(f"{where} has no labels of {name!r}. {nearest(name, names)}")
    return attributes or names


def _mine(images: ImageTable, key: str) -> tuple[str, ...]:
    return images.ids if key == "id" else images.names


def _rows_of(place: Mapping[str, int], images: ImageTable, key: str) -> list[int | None]:
    """The row of every image; a bare file name only counts where it is unique."""
    mine = _mine(images, key)
    shared = Counter(PurePosixPath(name).name for name in mine)
    return [_row(place, name, loose=key == "file" and shared[PurePosixPath(name).name] == 1) for name in mine]


def _row(place: Mapping[str, int], name: str, *, loose: bool) -> int | None:
    if name in place or not loose:
        return place.get(name)
    return place.get(PurePosixPath(name).name)


def _confidences(values: Sequence[Any] | None, n: int, name: str, where: str) -> Floats:
    if values is None:
        return np.full(n, np.nan)
    try:
        array = np.array([math.nan if v is None else float(v) for v in values])
    except (TypeError, ValueError):
        raise DatasetError(f"{where}: {name + CONFIDENCE!r} holds text; expected numbers from 0 to 1.") from None
    if (bad := array[(array < 0) | (array > 1)]).size:
        raise DatasetError(f"{where}: {name + CONFIDENCE!r} holds {bad[0]:g}; expected probabilities from 0 to 1.")
    return array


def _answer(said: Sequence[Any], name: str) -> Answer:
    """One answer per image from what a function returned."""
    labels: list[str | None] = []
    confidence = np.full(len(said), np.nan)
    soft = [s for s in said if isinstance(s, Mapping)]
    groups = sorted({str(as_text(key)) for s in soft for key in s}, key=natural_key)
    probabilities = np.full((len(said), len(groups)), np.nan) if soft else None
    for row, value in enumerate(said):
        if isinstance(value, Mapping):
            assert probabilities is not None
            shares = _shares(value, name)
            probabilities[row] = [shares.get(group, 0.0) for group in groups]
            value = (max(shares, key=lambda group: shares[group]), max(shares.values()))
        elif soft and value is not None:
            raise InputError(f"the judge of {name!r} returned shares for one image and {value!r} for another; "
                             "expected one kind of answer.")  # fmt: skip
        if isinstance(value, tuple):
            if len(value) != 2 or not 0 <= _number(value[1]) <= 1:
                raise InputError(f"the judge of {name!r} returned {value!r}; expected (label, confidence from 0 to 1).")
            confidence[row] = float(value[1])
            value = value[0]
        labels.append(as_text(value))
    found = sorted({label for label in labels if label is not None}, key=natural_key)
    return Answer(tuple(labels), confidence, tuple(groups or found), probabilities)


def _shares(value: Mapping[Any, Any], name: str) -> dict[str, float]:
    shares = {str(as_text(key)): _number(share) for key, share in value.items()}
    if not all(share >= 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-3):
        raise InputError(f"the judge of {name!r} returned {dict(value)!r}; expected probabilities that sum to 1.")
    return shares


def _number(value: Any) -> float:
    """A number, or a scalar of any array library; NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _broken(images: ImageTable) -> Iterable[tuple[str, str]]:
    """Files that no decoder opens; their pixels are not read."""
    from PIL import Image

    from ....sources.datasets.decode import FORMATS

    for id_, path in zip(images.ids, images.files, strict=True):
        if path is None:
            continue
        try:
            with Image.open(path, formats=FORMATS) as picture:
                picture.verify()
        except Exception as error:  # decoders of broken bytes raise nearly anything
            yield id_, f"not a readable image ({type(error).__name__})"


def _without(answer: Answer, images: ImageTable, gone: set[str]) -> Answer:
    labels = tuple(None if i in gone else label for i, label in zip(images.ids, answer.labels, strict=True))
    return Answer(labels, answer.confidence, answer.groups, answer.probabilities)
