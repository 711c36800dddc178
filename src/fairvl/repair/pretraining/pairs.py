"""Images with captions to train on, joined by id: reading them, and every check that can be made before a step."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DatasetError, InputError
from ...sources.captions import caption_group
from ...sources.captions.alignment import check_shift, spelt
from ...sources.datasets import Dataset, load_dataset
from ..captions import NeutralCaptions, neutralize

SAMPLED = 2000  # rows that the comparison of captions with their neutral forms looks at
MARGIN = 0.05  # share of words by which a neutral caption must be nearer to its own caption than to the next one
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Captions and the images they describe, one row per caption.

    Attributes
    ----------
    ids : sequence of str
        Of the captions; unique.
    images : sequence
        One per row: PIL images, uint8 arrays ``[h, w, 3]``, region features, or functions that return encoded bytes.
    captions : sequence of str
    neutral : sequence of str, optional
        The neutral form of each caption.
    image_ids : sequence of str, optional
        Rows with one image id show one image; by default every row has its own.
    fingerprint : str
        Of the images. Left empty, the arrays are hashed.

    Examples
    --------
    >>> import numpy as np
    >>> pictures = np.zeros((2, 4, 4, 3), np.uint8)
    >>> len(Pairs(["a", "b"], pictures, ["a man", "a cat"], ["a person", "a cat"]))
    2
    """

    ids: Sequence[str]
    images: Sequence[Any]
    captions: Sequence[str]
    neutral: Sequence[str] | None = None
    image_ids: Sequence[str] | None = None
    fingerprint: str = field(default="")

    def __post_init__(self) -> None:
        lengths = {
            name: len(value)
            for name in ("ids", "images", "captions", "neutral", "image_ids")
            if (value := getattr(self, name)) is not None
        }
        if len(set(lengths.values())) > 1 or not lengths["ids"]:
            raise DatasetError(f"pairs with {lengths}; expected as many of each, at least one.")
        check_ids(self.ids)
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", hash_images(self.images))

    def __len__(self) -> int:
        return len(self.ids)


def read_pairs(
    dataset: Pairs | Dataset | str,
    captions: NeutralCaptions | Mapping[str, str] | Path | str | None = None,
    *,
    image: str | None = None,
    label: str | None = None,
    skip_empty: bool = False,
) -> Pairs:
    """The pairs of a dataset with their neutral captions, checked one to one by id.

    Parameters
    ----------
    dataset : Pairs, Dataset or str
        Pairs, or what `load_dataset` takes.
    captions : NeutralCaptions, path, mapping of id to text, or None
        The neutral captions: the run of `fairvl.captions` (each is held against the caption it was made from), or its
        folder, or texts by id. None: those of `pairs`, or `neutralize` here.
    image : str, optional
        Column that names the image of a caption, for datasets with several captions per image.
    label : str, optional
        Column with a group label of the image: captions that fit their neighbour's label better are refused.
    skip_empty : bool
        Leave out rows without a caption; otherwise they are refused.

    Raises
    ------
    DatasetError
        Missing or duplicate ids, rows without image or caption, neutral captions of other rows, captions and images
        shifted against each other.
    """
    if isinstance(dataset, Pairs):
        if image is not None or label is not None:
            raise InputError("image= and label= name columns of a dataset; Pairs bring image_ids= instead.")
        pairs, labels = dataset, None
    else:
        pairs, labels = _from_dataset(load_dataset(dataset), image, label)
    empty = [row for row, text in enumerate(pairs.captions) if not (isinstance(text, str) and text.strip())]
    if empty and not skip_empty:
        raise DatasetError(
            f"{len(empty)} of {len(pairs)} rows have no caption, the first is {pairs.ids[empty[0]]!r}. Leave them out "
            "with skip_empty=True (--skip-empty)."
        )
    neutral = _neutral(pairs, captions)
    if labels is not None:
        named = [(caption_group(text), value) for text, value in labels if text and value is not None]
        check_shift(named, str(label))
    if empty:
        kept = sorted(set(range(len(pairs))) - set(empty))
        if not kept:
            raise DatasetError(f"none of {len(pairs)} rows has a caption.")
        pairs, neutral = _taken(pairs, kept), [neutral[row] for row in kept]
    lost = [pairs.ids[row] for row, text in enumerate(neutral) if not (isinstance(text, str) and text.strip())]
    if lost:
        raise DatasetError(f"{len(lost)} neutral captions are empty, the first is that of {lost[0]!r}.")
    check_neutral(pairs.captions, neutral)
    return Pairs(pairs.ids, pairs.images, pairs.captions, neutral, pairs.image_ids, pairs.fingerprint)


def check_neutral(captions: Sequence[str], neutral: Sequence[str]) -> None:
    """Refuse neutral captions that are no nearer to their own captions than to the next row's.

    Raises
    ------
    DatasetError
        Over at least 30 rows whose neighbour's caption differs, the mean share of words that a caption and its
        neutral form have in common is at most 0.05 above that with the neighbour's caption: a shuffled or shifted list.
    """
    words = [
        (set(_WORD.findall(before.lower())), set(_WORD.findall(after.lower())))
        for before, after in zip(captions[:SAMPLED], neutral[:SAMPLED], strict=True)
    ]
    rows = [row for row in range(len(words)) if words[row][0] != words[row - 1][0]]
    if len(rows) < 30:
        return
    own = float(np.mean([_overlap(*words[row]) for row in rows]))
    next_one = float(np.mean([_overlap(words[row - 1][0], words[row][1]) for row in rows]))
    if own <= next_one + MARGIN:
        raise DatasetError(
            f"neutral captions share {own:.0%} of their words with their own captions and {next_one:.0%} with those of "
            "the row before: they belong to other rows. Join them by id."
        )


def _overlap(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


def _from_dataset(
    source: Dataset, image: str | None, label: str | None
) -> tuple[Pairs, list[tuple[str | None, Any]] | None]:
    if source.problems:
        first = source.problems[0]
        raise DatasetError(
            f"{source.name}: {len(source.problems)} rows cannot be used, the first is {first.id}: {first.reason}. "
            "Every pair needs its own id."
        )
    ids: list[str] = []
    images: list[Any] = []
    captions: list[str] = []
    image_ids: list[Any] = []
    labels: list[Any] = []
    for record in source:
        if record.image is None:
            raise DatasetError(f"{source.name}: the record {record.id!r} has no image; expected pairs.")
        ids.append(record.id)
        images.append(record.image)
        captions.append(record.caption or "")
        for column, values in ((image, image_ids), (label, labels)):
            if column is None:
                continue
            if column not in record.attributes:
                raise DatasetError(
                    f"{source.name}: the record {record.id!r} has no column {column!r}; there is "
                    f"{', '.join(map(repr, record.attributes)) or 'none'}."
                )
            values.append(record.attributes[column])
    if image is not None and None in image_ids:
        raise DatasetError(f"{source.name}: {ids[image_ids.index(None)]!r} names no image in column {image!r}.")
    keys = [str(value) for value in image_ids] if image is not None else None
    pairs = Pairs(ids, images, captions, None, keys, source.fingerprint)
    return pairs, None if label is None else [
        (t, v if v is None else spelt(v)) for t, v in zip(captions, labels, strict=True)
    ]


def _neutral(pairs: Pairs, captions: NeutralCaptions | Mapping[str, str] | Path | str | None) -> list[str]:
    if captions is None:
        return (
            list(pairs.neutral)
            if pairs.neutral is not None
            else [neutralize(t).text if t else "" for t in pairs.captions]
        )
    if isinstance(captions, Mapping):
        ids = set(pairs.ids)
        missing, unknown = sorted(ids - captions.keys()), sorted(captions.keys() - ids)
        if missing or unknown:
            raise DatasetError(
                f"neutral captions for {len(captions):,} ids, {len(ids):,} pairs; {len(missing)} pairs have none "
                f"(first: {missing[:3]}), {len(unknown)} belong to no pair (first: {unknown[:3]})."
            )
        return [captions[id_] for id_ in pairs.ids]
    run = captions if isinstance(captions, NeutralCaptions) else NeutralCaptions(captions)
    texts = [run.text(id_, text) or "" for id_, text in zip(pairs.ids, pairs.captions, strict=True)]
    if len(run) != len(pairs):
        raise DatasetError(
            f"{run.folder}: holds {len(run):,} captions, the dataset {len(pairs):,}; expected one for one."
        )
    return texts


def _taken(pairs: Pairs, rows: list[int]) -> Pairs:
    return Pairs(
        [pairs.ids[row] for row in rows],
        [pairs.images[row] for row in rows],
        [pairs.captions[row] for row in rows],
        None,
        None if pairs.image_ids is None else [pairs.image_ids[row] for row in rows],
        pairs.fingerprint,
    )


def check_ids(ids: Sequence[str]) -> None:
    wrong = [row for row, id_ in enumerate(ids) if not isinstance(id_, str) or not id_]
    if wrong:
        raise DatasetError(
            f"{len(wrong)} rows have no id, the first is row {wrong[0] + 1}. Ids join, positions do not."
        )
    if len(set(ids)) < len(ids):
        twice = next(id_ for id_, count in Counter(ids).items() if count > 1)
        raise DatasetError(f"the id {twice!r} occurs more than once. Ids name captions and must be unique.")


def hash_images(images: Sequence[Any]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for image in images:
        if callable(image):
            raise DatasetError("images are functions; pass fingerprint=, a name for their content.")
        values = (
            (np.asarray(image),)
            if isinstance(image, np.ndarray) or hasattr(image, "mode")
            else tuple(np.asarray(getattr(image, name)) for name in ("features", "boxes") if hasattr(image, name))
        )
        if not values:
            raise DatasetError(
                f"an image is {type(image).__name__}; expected a PIL image, an array or region features."
            )
        for value in values:
            digest.update(str((value.shape, value.dtype)).encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
