"""Labelled images of one size, decoded once."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import DatasetError, InputError
from ...sources.datasets import load_dataset
from ...sources.datasets.decode import decode_image
from ...sources.datasets.record import Record

KEEP = 2**31  # bytes of pixels that stay in memory; more lie in a temporary file


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images uint8 [n, size, size, 3] with a label and a group each, and what else their table says."""

    images: NDArray[np.uint8]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    ids: tuple[str, ...]
    kinds: tuple[str, ...]
    left_out: int
    name: str

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fingerprint(self) -> str:
        """Hash of pixels and labels."""
        sha = hashlib.sha256(repr((self.images.shape, self.labels, self.groups)).encode())
        for start in range(0, len(self), 4096):
            sha.update(np.ascontiguousarray(self.images[start : start + 4096]).data)
        return sha.hexdigest()[:16]

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Labelled:
        """Some of the images."""
        index = np.asarray(rows, dtype=np.int64)
        labels, groups, ids, kinds = (
            tuple(values[i] for i in index) for values in (self.labels, self.groups, self.ids, self.kinds)
        )
        return Labelled(self.images[index], labels, groups, ids, kinds, self.left_out, self.name)


def read_labelled(source: Any, label: str, attribute: str, size: int | None) -> Labelled:
    """Decode a dataset: the central square of each image, resized (Lanczos) to `size` (None: that of the first image).

    Records without label, group or readable image are left out and counted.

    Raises
    ------
    DatasetError
        Nothing is left.
    InputError
        No record has `label` or `attribute`.
    """
    dataset = load_dataset(source)
    records = list(dataset)
    usable = [
        record
        for record in records
        if record.image is not None and None not in (record.attributes.get(label), record.attributes.get(attribute))
    ]
    if not usable:
        known = sorted({name for record in records for name in record.attributes})
        raise InputError(f"{dataset.name}: no image has both {label!r} and {attribute!r}; it has {', '.join(known)}.")
    pixels: NDArray[np.uint8] | None = None
    kept: list[Record] = []
    for record in usable:
        assert record.image is not None
        try:
            picture = decode_image(record.image())
        except DatasetError:
            continue
        side = size or min(picture.size)
        if pixels is None:
            size = side
            pixels = _room((len(usable), side, side, 3))
        pixels[len(kept)] = _square(picture, side)
        kept.append(record)
    if pixels is None:
        raise DatasetError(f"{dataset.name}: none of {len(usable)} images can be read.")
    return Labelled(
        pixels[: len(kept)],
        tuple(str(record.attributes[label]) for record in kept),
        tuple(str(record.attributes[attribute]) for record in kept),
        tuple(record.id for record in kept),
        tuple(str(record.attributes.get("kind", "")) for record in kept),
        len(records) - len(kept),
        dataset.name,
    )


def folder_of(augmented: Any) -> Path | None:
    """The folder of an augmented set: an `Augmentation`, or a path."""
    if augmented is None:
        return None
    folder = Path(getattr(augmented, "folder", augmented))
    if not (folder / "edited.csv").is_file():
        raise DatasetError(f"{folder}: no edited.csv; expected a folder that `fairvl augment` wrote.")
    return folder


def side_tables(folder: Path) -> Mapping[str, str]:
    """Names of the datasets in a folder of `fairvl augment`."""
    return {name: f"folder:{folder}?metadata={name}.csv" for name in ("metadata", "edited", "unedited")}


def _square(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    width, height = picture.size
    if width != height:
        small = min(width, height)
        left, top = (width - small) // 2, (height - small) // 2
        picture = picture.crop((left, top, left + small, top + small))
    if picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.LANCZOS)
    return np.array(picture, dtype=np.uint8)


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if int(np.prod(shape)) <= KEEP:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:  # the map keeps it open
        return np.memmap(file, np.uint8, "w+", shape=shape)
