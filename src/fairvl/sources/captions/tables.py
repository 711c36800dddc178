"""Captions as a table: one row per caption with its own id, and optionally the image that it describes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...fingerprints import file_hash
from ..datasets import Dataset, Problem, Record, load_dataset, read_table
from ..datasets.parts import PartDataset
from ..datasets.table import SUFFIXES, Table, require_column

ID_COLUMNS = ("id", "caption_id", "sentence_id", "key", "uid")
CAPTION_COLUMNS = ("caption", "text", "sentence")


@dataclass(frozen=True, eq=False)
class TablePart:
    """The rows of one table as records without pictures."""

    table: Table
    id_column: str
    caption_column: str
    name: str
    seal: str

    @property
    def count(self) -> int:
        return len(self.table[self.id_column])

    @property
    def identity(self) -> Any:
        return {"name": self.name, "sha256": self.seal}

    @property
    def problems(self) -> tuple[Problem, ...]:
        return ()

    def ids(self) -> Iterable[str]:
        return [str(id_) for id_ in self.table[self.id_column]]

    def read(self, start: int, stop: int) -> Iterator[Record]:
        others = [name for name in self.table if name not in (self.id_column, self.caption_column)]
        captions = self.table[self.caption_column]
        for row in range(start, stop):
            caption = captions[row]
            yield Record(
                str(self.table[self.id_column][row]),
                None,
                None if caption is None else str(caption),
                {name: self.table[name][row] for name in others},
            )


def caption_dataset(source: Any, *, id: str | None = None, caption: str | None = None) -> Dataset:
    """A dataset for captions: whatever `load_dataset` takes, or the path of a table of captions.

    Parameters
    ----------
    source : Dataset, str or path
        ``parquet:...``, ``webdataset:...`` and all other strings of `load_dataset`, or a ``.csv``, ``.tsv`` or
        ``.parquet`` file with a column of ids and one of captions; its other columns are attributes.
    id, caption : str, optional
        Columns of such a file. Default: ``id`` (or caption_id, sentence_id, key, uid) and ``caption`` (or text,
        sentence).

    Raises
    ------
    DatasetError
        No such file or column, missing or duplicate ids. Rows without an id are an error, never numbered: a position
        is no name, and captions joined by position end up at the wrong picture when one row is lost.
    """
    path = Path(source) if isinstance(source, (str, Path)) else None
    if path is None or not str(source).endswith(SUFFIXES) or ":" in str(source):
        if id is not None or caption is not None:
            raise DatasetError(
                f"id= and caption= name columns of a table file, found {source!r}. In a dataset's name write "
                "?id=COLUMN&caption=COLUMN."
            )
        return load_dataset(source)
    first = read_table(path, strings=[*ID_COLUMNS, *CAPTION_COLUMNS, *filter(None, (id, caption))])
    chosen_id = id or next((name for name in ID_COLUMNS if name in first), None)
    chosen = caption or next((name for name in CAPTION_COLUMNS if name in first), None)
    if chosen_id is None or chosen is None:
        missing = "ids" if chosen_id is None else "captions"
        raise DatasetError(
            f"{path.name} has no column of {missing}; expected one of "
            f"{', '.join(ID_COLUMNS if chosen_id is None else CAPTION_COLUMNS)}, or name it. There is: "
            f"{', '.join(map(repr, first))}. Captions are joined by id, never by position."
        )
    require_column(first, chosen_id, where=path.name)
    require_column(first, chosen, where=path.name)
    if lost := [row + 1 for row, value in enumerate(first[chosen_id]) if value is None]:
        raise DatasetError(
            f"{path.name}: {len(lost)} rows have no {chosen_id}, the first is row {lost[0]}. "
            "Every caption needs its own id."
        )
    part = TablePart(first, chosen_id, chosen, path.name, file_hash(path))
    return PartDataset(str(source), [part], options={"scheme": "captions", "id": chosen_id, "caption": chosen})
