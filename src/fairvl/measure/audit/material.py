"""What an audit works on: image vectors with their labels, and text vectors, before and after each repair."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from ...arrays import FloatArray, unit_rows
from ...errors import DatasetError, EncoderError
from ...sources.datasets import Dataset, decode_image, load_dataset
from ...sources.encoders import Encoder, load_encoder
from ...sources.store import EmbeddingStore
from ...stats.codes import GroupCodes, as_text, encode
from .suite import Attribute, Suite, TextSet

Operator: TypeAlias = Callable[[FloatArray], FloatArray]
Recode: TypeAlias = Mapping[str, Mapping[str, str]]
MAX_GROUPS = 30
UNKNOWN = "the model does not know "
BATCH = 64


@dataclass(frozen=True)
class Images:
    """Unit image vectors ``float32 [n, d]`` with the groups and numbers that the data gave for them."""

    vectors: FloatArray
    ids: tuple[str, ...]
    groups: Mapping[str, GroupCodes]
    numbers: Mapping[str, FloatArray]
    sensitive: tuple[str, ...]
    dataset: str
    fingerprint: str
    skipped: tuple[tuple[str, str], ...] = ()
    units: GroupCodes | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    training_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    captions: tuple[str | None, ...] = ()
    caption_vectors: FloatArray | None = None  # of a store, one row per image, NaN without a caption

    @property
    def halves(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """A fixed half of the images by the hash of their units: targets here, attributes there, never both."""
        names = self.ids if self.units is None else [self.units.labels[code] for code in self.units.codes]
        return np.array([hashlib.sha256(name.encode()).digest()[0] & 1 for name in names], dtype=bool)


@dataclass(frozen=True)
class Texts:
    """Unit vectors of every text the suite uses that the encoder can answer; the rest, with the reason."""

    index: Mapping[str, int]
    vectors: FloatArray
    unanswered: Mapping[str, str] = field(default_factory=dict)

    def rows(self, stimuli: TextSet) -> list[int]:
        return [self.index[text] for text in stimuli.texts]

    def missing(self, sets: Iterable[TextSet]) -> str:
        """Why these sets cannot be used; empty when they can."""
        reasons = dict.fromkeys(self.unanswered[t] for s in sets for t in s.texts if t in self.unanswered)
        words = [reason.removeprefix(UNKNOWN) for reason in reasons if reason.startswith(UNKNOWN)]
        other = [reason for reason in reasons if not reason.startswith(UNKNOWN)]
        if words:
            more = f" and {len(words) - 5} more" if len(words) > 5 else ""
            other.append(f"{UNKNOWN}{', '.join(words[:5])}{more}")
        return f"not run: {'; '.join(other)}" if other else ""


def gather_images(
    encoder: Encoder, dataset: str | Dataset | EmbeddingStore | None, suite: Suite, recode: Recode | None,
    progress: Callable[[Iterable[Any], int | None], Iterable[Any]],
) -> Images | None:  # fmt: skip
    """Image vectors of `dataset` under `encoder`, with labels under the suite's names; None without a dataset."""
    if dataset is None:
        dataset = getattr(encoder, "image_store", None)
        if dataset is None:
            return None
    if isinstance(dataset, EmbeddingStore):
        _same_encoder(encoder, dataset)
        columns: dict[str, Any] = {
            name: dataset.columns(name).tolist() for name in dataset.column_names if name not in ("id", "caption")
        }
        vectors, ids, name = dataset.image_vectors.read(), dataset.ids, str(dataset.folder.name)
        images = _images(vectors, ids, columns, name, dataset.fingerprint, (), suite, recode)
        if "text" not in dataset.kinds:
            return images
        said = dataset.columns("caption").tolist() if "caption" in dataset.column_names else [None] * len(ids)
        return replace(images, captions=tuple(said), caption_vectors=dataset.text_vectors.read(missing="keep"))
    source = load_dataset(dataset) if isinstance(dataset, str) else dataset
    vectors, ids, columns, skipped, captions = _encode(encoder, source, progress)
    images = _images(vectors, ids, columns, source.name, source.fingerprint, skipped, suite, recode)
    return replace(images, captions=captions, training_counts=getattr(source, "training_counts", {}))


def gather_texts(encoder: Encoder, texts: Sequence[str]) -> Texts:
    """Unit vectors of `texts`; a text that the encoder cannot answer is left out with the reason."""
    unanswered: dict[str, str] = {}
    if "text" not in encoder.card.modalities:
        unanswered = dict.fromkeys(texts, "the encoder has no text side")
    elif (stored := getattr(encoder, "texts", None)) is not None:
        known_texts = frozenset(stored)
        unanswered = {text: "texts that are not stored" for text in texts if text not in known_texts}
    elif (unknown_words := getattr(encoder, "unknown_words", None)) is not None:
        for text in texts:
            if unknown := unknown_words([text]):
                unanswered[text] = UNKNOWN + ", ".join(map(repr, unknown))
    known = [text for text in texts if text not in unanswered]
    if not known:
        return Texts({}, np.zeros((0, encoder.card.dim), np.float32), unanswered)
    vectors = unit_rows(encoder.encode_texts(known), "text vectors", dtype=np.float32)
    return Texts({text: row for row, text in enumerate(known)}, vectors, unanswered)


def as_encoder(encoder: str | Encoder) -> Encoder:
    """An encoder from its name, or itself."""
    return load_encoder(encoder) if isinstance(encoder, str) else encoder


def _same_encoder(encoder: Encoder, store: EmbeddingStore) -> None:
    if differing := getattr(encoder, "image_card", encoder.card).differences(store.card):
        raise EncoderError(f"{store.folder.name} was written by another encoder: {differing}. Embed the images again.")
    if store.image_vectors.dim != encoder.card.dim:
        raise EncoderError(
            f"{store.folder.name} holds vectors of width {store.image_vectors.dim}, the encoder makes "
            f"{encoder.card.dim}; expected a store that this encoder wrote."
        )


def _encode(
    encoder: Encoder, source: Dataset, progress: Callable[[Iterable[Any], int | None], Iterable[Any]]
) -> tuple[FloatArray, tuple[str, ...], dict[str, list[Any]], tuple[tuple[str, str], ...], tuple[str | None, ...]]:
    try:
        length = len(source)  # type: ignore[arg-type]
    except TypeError:
        length = None
    vectors: list[FloatArray] = []
    ids: list[str] = []
    captions: list[str | None] = []
    rows: list[Mapping[str, Any]] = []
    skipped = [(problem.id, problem.reason) for problem in source.problems]
    batch: list[Any] = []
    for record in progress(source, length):
        if record.image is None:
            skipped.append((record.id, "no image"))
            continue
        try:
            batch.append(decode_image(record.image()))
        except DatasetError as error:
            skipped.append((record.id, str(error)))
            continue
        ids.append(record.id)
        captions.append(record.caption)
        rows.append(record.attributes)
        if len(batch) == BATCH:
            vectors.append(encoder.encode_images(batch))
            batch = []
    if batch:
        vectors.append(encoder.encode_images(batch))
    if not ids:
        raise DatasetError(f"{source.name}: no image could be used ({len(skipped)} skipped); expected at least one.")
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    return np.concatenate(vectors), tuple(ids), columns, tuple(skipped), tuple(captions)


def _images(
    vectors: FloatArray, ids: Sequence[str], columns: Mapping[str, list[Any]], name: str, fingerprint: str,
    skipped: tuple[tuple[str, str], ...], suite: Suite, recode: Recode | None,
) -> Images:  # fmt: skip
    labels = label_columns(columns, suite.attributes, recode)
    groups = labels.groups
    unit = unit_rows(vectors, f"image vectors of {name}", dtype=np.float32)
    known = suite.attributes
    sensitive = tuple(g for g in groups if g not in known or known[g].sensitive)
    units = None
    if suite.unit:
        if suite.unit not in columns:
            raise DatasetError(f"{name}: no column {suite.unit!r}, the unit of the suite; found {sorted(columns)}.")
        units = encode([v if v is not None else f"alone: {i}" for v, i in zip(columns[suite.unit], ids, strict=True)])
    return Images(
        unit, tuple(ids), groups, labels.numbers, sensitive, name, fingerprint, skipped, units, labels.left_out
    )


@dataclass(frozen=True)
class Labels:
    """What the columns of a dataset say: group codes, numeric attributes, and the columns that are neither.

    `left_out` maps each of these to its number of different labels.
    """

    groups: Mapping[str, GroupCodes]
    numbers: Mapping[str, FloatArray]
    left_out: Mapping[str, int]


def label_columns(
    columns: Mapping[str, Sequence[Any]], attributes: Mapping[str, Attribute], recode: Recode | None
) -> Labels:
    """Group codes and numeric attributes of labelled columns, under the suite's names and spellings.

    A column that the suite does not name keeps its own name when it holds 2 to 30 distinct labels, and is left out
    otherwise (an id or a free text is not a group); so is one by whose groups results would be shown.
    """
    for column, mapping in (recode or {}).items():
        if column not in columns:
            raise DatasetError(f"recode names the column {column!r}; the data have {sorted(columns)}.")
        present = {as_text(value) for value in columns[column]}
        if lost := [old for old in mapping if old not in present]:
            raise DatasetError(f"recode of {column!r}: no row is labelled {lost}; expected labels that occur.")
    groups: dict[str, GroupCodes] = {}
    sources: dict[str, str] = {}
    numbers: dict[str, FloatArray] = {}
    left_out: dict[str, int] = {}
    for column, values in columns.items():
        mapping = (recode or {}).get(column, {})
        attribute = next((a for a in attributes.values() if column.lower() in a.columns), None)
        known = [v for v in values if v is not None and v == v]
        if attribute is None or attribute.numeric:
            if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in known) and len(set(known)) > 2:
                numbers[attribute.name if attribute else column] = np.array(
                    [np.nan if v is None else v for v in values], dtype=np.float64
                )
                continue
            attribute = None  # ages written as "20-29" are groups under their own name
        spelled = {
            s.lower(): value for value, spellings in (attribute.values if attribute else {}).items() for s in spellings
        }
        texts = [as_text(value) for value in values]
        labels = [None if t is None else mapping.get(t, t) for t in texts]
        labels = [None if t is None else spelled.get(t.lower(), t) for t in labels]
        shown = attribute is None or attribute.sensitive
        distinct = len({label for label in labels if label is not None})
        if distinct < 2 or (shown and distinct > MAX_GROUPS):
            left_out[column] = distinct
            continue
        name = attribute.name if attribute else column
        if name in groups:
            raise DatasetError(f"the columns {sources[name]!r} and {column!r} both say {name!r}; leave one out.")
        sources[name] = column
        groups[name] = encode(labels, name=name)
    return Labels(groups, numbers, left_out)
