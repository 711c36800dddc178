"""``parquet:``: image bytes in a column, as plain binary or as the ``{bytes, path}`` that Hugging Face writes."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairvl.errors import DatasetError
from fairvl.sources.datasets.decode import MAX_BYTES
from fairvl.sources.datasets.files import Given, Missing
from fairvl.sources.datasets.patterns import expand
from fairvl.sources.datasets.record import Problem, Record
from fairvl.sources.datasets.table import choose, is_plain, parquet_schema, plain_value

IMAGE_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "img")
ID_COLUMNS = ("id", "key", "uid")
BATCH = 16  # rows in memory at a time; each may hold up to the byte cap
_FOOTER = 64 * 1024


@dataclass(frozen=True)
class Roles:
    """Which column plays which part."""

    image: str | None
    id: str | None
    caption: str | None
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class ParquetPart:
    """One parquet file, read a few rows at a time."""

    path: str
    label: str
    rows: int
    roles: Roles
    present: tuple[str, ...]
    without_id: tuple[int, ...]
    identity: Any

    @property
    def count(self) -> int:
        return self.rows - len(self.without_id)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(Problem(f"{self.label}:{row}", f"the row has no {self.roles.id}") for row in self.without_id)

    def ids(self) -> Iterable[str]:
        if self.roles.id is None:
            return (f"{self.label}:{row}" for row in range(self.rows))
        return (str(id_) for id_ in _column(self.path, self.roles.id) if id_ is not None)

    def read(self, start: int, stop: int) -> Iterator[Record]:
        without, passed = set(self.without_id), None
        for row, cells in self._cells(start):
            if passed is None:
                passed = row - bisect_left(self.without_id, row)
            if row in without:
                continue
            if passed >= stop:
                return
            if passed >= start:
                yield self._record(row, cells)
            passed += 1

    def _record(self, row: int, cells: Mapping[str, Any]) -> Record:
        roles = self.roles
        caption = None if roles.caption is None else plain_value(cells.get(roles.caption), as_text=True)
        return Record(
            f"{self.label}:{row}" if roles.id is None else str(cells[roles.id]),
            None if roles.image is None else image_cell(cells.get(roles.image)),
            None if caption is None else str(caption),
            {name: plain_value(cells.get(name)) for name in roles.attributes},
        )

    def _cells(self, start: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Rows from the row group on that holds row `start` (a row lies at or after its place)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path) as file:
                groups, row = list(range(file.num_row_groups)), 0
                while groups and row + (size := file.metadata.row_group(groups[0]).num_rows) <= start:
                    row += size
                    groups.pop(0)
                for batch in file.iter_batches(batch_size=BATCH, row_groups=groups, columns=list(self.present)):
                    batch.validate(full=True)
                    for cells in batch.to_pylist():
                        yield row, cells
                        row += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{Path(self.path).name} cannot be read: {error}") from error


def image_cell(cell: Any) -> Callable[[], bytes]:
    """The image of one cell: bytes, ``{bytes, path}``, or what is wrong with it."""
    if isinstance(cell, Mapping):
        if cell.get("bytes") is None and cell.get("path"):
            return Missing("the row holds a path and no bytes; embed the images when writing the file")
        cell = cell.get("bytes")
    if cell is None:
        return Missing("the row holds no image")
    if not isinstance(cell, bytes):
        return Missing(f"the image column holds {type(cell).__name__}, not bytes")
    return (
        Missing(f"the image has {len(cell):,} bytes, over the cap of {MAX_BYTES:,}")
        if len(cell) > MAX_BYTES
        else Given(cell)
    )


def parquet_parts(place: str, options: Mapping[str, str]) -> list[ParquetPart]:
    """One part per file of a pattern; attributes are the plain columns of all files together."""
    paths = [Path(text).expanduser() for text in expand(place)]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DatasetError(f"{len(absent):,} of {len(paths):,} files do not exist, the first is {str(absent[0])!r}")
    schemas = [parquet_schema(path) for path in paths]
    roles = [_roles(path, schema, options) for path, schema in zip(paths, schemas, strict=True)]
    if len({(role.image, role.id, role.caption) for role in roles}) > 1:
        raise DatasetError(f"the files of {place!r} name their columns differently; load them one by one")
    attributes = tuple(dict.fromkeys(name for role in roles for name in role.attributes))
    common = os.path.commonpath([path.absolute().parent for path in paths])
    return [
        _part(path, common, Roles(role.image, role.id, role.caption, attributes), set(schema.names))
        for path, role, schema in zip(paths, roles, schemas, strict=True)
    ]


def _roles(path: Path, schema: Any, options: Mapping[str, str]) -> Roles:
    pictures = [field.name for field in schema if _holds_bytes(field.type)]
    asked = options.get("image")
    if asked in schema.names and asked not in pictures:
        raise DatasetError(f"{path.name}: column {asked!r} holds {schema.field(asked).type}, not image bytes")
    image = choose(pictures, asked, (*IMAGE_COLUMNS, *(pictures if len(pictures) == 1 else ())), path.name)
    plain = [field.name for field in schema if is_plain(field.type)]
    id_ = choose(plain, options.get("id"), ID_COLUMNS, path.name)
    caption = choose(plain, options.get("caption"), ("caption",), path.name)
    if image is None and caption is None:
        raise DatasetError(
            f"{path.name} has neither image bytes nor a caption; name the column with image= or caption=. "
            f"There is: {', '.join(f'{field.name!r} ({field.type})' for field in list(schema)[:12])}"
        )
    return Roles(image, id_, caption, tuple(name for name in plain if name not in {id_, caption}))


def _holds_bytes(type_: Any) -> bool:
    import pyarrow.types as t

    if t.is_struct(type_):
        fields = (type_.field(index) for index in range(type_.num_fields))
        return any(field.name == "bytes" and (t.is_null(field.type) or _holds_bytes(field.type)) for field in fields)
    return bool(t.is_binary(type_) or t.is_large_binary(type_) or t.is_binary_view(type_))


def _part(path: Path, common: str, roles: Roles, names: set[str]) -> ParquetPart:
    import pyarrow.parquet as pq

    label = path.absolute().relative_to(common).with_suffix("").as_posix()
    rows = pq.read_metadata(path).num_rows
    without = (
        () if roles.id is None else tuple(row for row, id_ in enumerate(_column(str(path), roles.id)) if id_ is None)
    )
    size = path.stat().st_size
    with open(path, "rb") as file:
        file.seek(max(0, size - _FOOTER))
        footer = hashlib.sha256(file.read()).hexdigest()  # holds schema, statistics and the place of each column
    used = {roles.image, roles.id, roles.caption, *roles.attributes}
    present = tuple(name for name in sorted(names) if name in used)
    return ParquetPart(
        str(path.absolute()), label, rows, roles, present, without, {"name": label, "size": size, "footer": footer}
    )


def _column(path: str, name: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=[name]):
                yield from (plain_value(value) for value in batch.column(0).to_pylist())
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{Path(path).name} cannot be read: {error}") from error
