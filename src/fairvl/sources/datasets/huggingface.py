"""``hf:``: a Hugging Face `Dataset`, from the hub, from ``save_to_disk``, or handed over as an object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fairvl.errors import DatasetError, missing_extra
from fairvl.sources.datasets.files import IMAGE_SUFFIXES, WholeFile
from fairvl.sources.datasets.parquet import BATCH, ID_COLUMNS, IMAGE_COLUMNS, Roles, image_cell
from fairvl.sources.datasets.record import Problem, Record, Value
from fairvl.sources.datasets.table import choose, nearest, plain_value


@dataclass(frozen=True, eq=False)
class HuggingFacePart:
    """All rows of a `datasets.Dataset` whose image column is kept as encoded bytes."""

    data: Any
    roles: Roles
    labels: Mapping[str, tuple[str, ...]]

    @property
    def count(self) -> int:
        return len(self.data)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return ()

    @cached_property
    def identity(self) -> Any:
        # The library's own fingerprint holds times and cache paths, so it differs between two equal data sets.
        content = hashlib.sha256(repr(sorted(self.data.features.items(), key=lambda item: item[0])).encode())
        roles = self.roles
        plain = [name for name in (roles.id, roles.caption, *roles.attributes) if name is not None]
        if plain:
            for batch in self._arrow(plain).iter(batch_size=4096):
                content.update(json.dumps(batch.to_pylist(), default=str).encode())
        if roles.image is not None:
            for batch in self._arrow([roles.image]).iter(batch_size=256):
                content.update(json.dumps(_sizes(batch.column(0))).encode())
        return {"rows": self.count, "content": content.hexdigest()}

    def ids(self) -> Iterable[str]:
        if self.roles.id is None:
            yield from map(str, range(self.count))
            return
        row = 0
        for batch in self._arrow([self.roles.id]).iter(batch_size=4096):
            for value in batch.column(0).to_pylist():
                if plain_value(value) is None:
                    raise DatasetError(f"row {row} has no {self.roles.id!r}; filter such rows out, or name another id=")
                yield str(value)
                row += 1

    def read(self, start: int, stop: int) -> Iterator[Record]:
        if start >= stop:
            return
        row = start
        for batch in self.data.with_format("arrow").select(range(start, stop)).iter(batch_size=BATCH):
            for cells in batch.to_pylist():
                yield self._record(row, cells)
                row += 1

    def _record(self, row: int, cells: Mapping[str, Any]) -> Record:
        roles = self.roles
        caption = None if roles.caption is None else plain_value(cells[roles.caption], as_text=True)
        return Record(
            str(row) if roles.id is None else str(cells[roles.id]),
            None if roles.image is None else _image(cells[roles.image]),
            None if caption is None else str(caption),
            {name: self._value(name, cells[name]) for name in roles.attributes},
        )

    def _value(self, name: str, value: Any) -> Value:
        names = self.labels.get(name)
        if names is None or value is None:
            return plain_value(value)
        return names[value] if 0 <= value < len(names) else None  # -1 is the library's missing label

    def _arrow(self, columns: list[str]) -> Any:
        return self.data.select_columns(columns).with_format("arrow")


def named_part(place: str, options: Mapping[str, str]) -> HuggingFacePart:
    """A folder written by ``save_to_disk``, or a name on the hub; loading scripts are never run."""
    try:
        import datasets
    except ImportError as error:
        raise missing_extra("datasets", "hf") from error
    folder = Path(place).expanduser()
    split = options.get("split")
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            data = datasets.load_from_disk(str(folder))
        elif folder.is_dir():
            raise DatasetError(
                f"{place!r} is a folder without a saved dataset (no state.json or dataset_dict.json). "
                "Use folder:, parquet: or webdataset: for its files, or write it with Dataset.save_to_disk"
            )
        else:
            data = datasets.load_dataset(place, options.get("config"), split=split, revision=options.get("revision"))
    except DatasetError:
        raise
    except Exception as error:  # the library raises its own, the hub's, and Arrow's errors
        raise DatasetError(f"hf:{place} cannot be loaded: {type(error).__name__}: {error}") from error
    if isinstance(data, datasets.DatasetDict):
        if split is None and len(data) == 1:
            split = next(iter(data))
        if split not in data:
            asked = "has several splits" if split is None else f"has no split {split!r}"
            raise DatasetError(f"hf:{place} {asked}; add ?split=NAME. {nearest(split or '', list(data))}")
        data = data[split]
    elif split is not None and folder.is_dir() and str(data.split) != split:
        raise DatasetError(
            f"hf:{place} holds one dataset (split {data.split}), not the split {split!r}; leave split= out"
        )
    return object_part(data, options)


def object_part(data: Any, options: Mapping[str, str]) -> HuggingFacePart:
    """A `datasets.Dataset` that is in memory or mapped from disk."""
    import datasets

    if not isinstance(data, datasets.Dataset):
        raise DatasetError(
            f"expected a datasets.Dataset with a length, found {type(data).__name__}. Take one split, and no streaming"
        )
    features = dict(data.features)
    pictures = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    raw = [
        name
        for name, feature in features.items()
        if isinstance(feature, datasets.Value) and feature.dtype in ("binary", "large_binary")
    ]
    asked = options.get("image")
    image = choose([*pictures, *raw], asked, (*IMAGE_COLUMNS, *(pictures if len(pictures) == 1 else ())), "the dataset")
    if image in pictures:
        data = data.cast_column(image, datasets.Image(decode=False))
    plain = [
        name
        for name, feature in features.items()
        if isinstance(feature, (datasets.Value, datasets.ClassLabel)) and name not in raw
    ]
    id_ = choose(plain, options.get("id"), ID_COLUMNS, "the dataset")
    caption = choose(plain, options.get("caption"), ("caption",), "the dataset")
    if image is None and caption is None:
        raise DatasetError(
            "the dataset has neither an image column nor a caption; name one with image= or caption=. "
            f"There is: {', '.join(map(repr, features))}"
        )
    labels = {name: tuple(features[name].names) for name in plain if isinstance(features[name], datasets.ClassLabel)}
    attributes = tuple(name for name in plain if name not in {id_, caption})
    used = [name for name in (image, id_, caption, *attributes) if name is not None]
    return HuggingFacePart(data.select_columns(used), Roles(image, id_, caption, attributes), labels)


def _image(cell: Any) -> Callable[[], bytes]:
    if isinstance(cell, Mapping) and cell.get("bytes") is None and cell.get("path"):
        path = Path(str(cell["path"]))
        if path.is_absolute() and path.suffix.lower() in IMAGE_SUFFIXES:
            return WholeFile(str(path))
    return image_cell(cell)


def _sizes(column: Any) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_struct(column.type):
        names = [Path(path).name if path else None for path in column.field("path").to_pylist()]
        return [names, pc.binary_length(column.field("bytes")).to_pylist()]
    return list(pc.binary_length(column).to_pylist())
