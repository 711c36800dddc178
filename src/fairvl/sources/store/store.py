"""Reading a store: its table, its vectors, and whether it still is what was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import StoreError
from ...fingerprints import file_hash, fingerprint
from ...jobs import STATE
from .layout import MANIFEST, Layout, read_layout
from .vectors import VectorView

SKIPPED = "skipped.parquet"
ID_COLUMNS = ("id", "uid", "key", "image_path")


class EmbeddingStore:
    """Vectors and metadata of many records; opened with `EmbeddingStore.open`, never changed.

    Opening checks headers, sizes, shard and row counts, not contents; `ids` checks that ids are unique;
    reading vectors checks that they are finite; `verify` checks every byte against the manifest.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp() + "/store"
    >>> from fairvl.sources.store import write_store
    >>> _ = write_store(folder, ids=["a", "b"], image_vectors=[[1, 0], [0, 1]], columns={"age": [31, None]})
    >>> store = EmbeddingStore.open(folder)
    >>> len(store), store.ids, store.columns("age").tolist()
    (2, ('a', 'b'), [31.0, nan])
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @classmethod
    def open(cls, folder: Path | str) -> EmbeddingStore:
        """Open a store, or a plain clip-retrieval folder (then without card and hashes).

        Raises
        ------
        StoreError
            A missing, truncated or pickled file, shards that do not match, a manifest of another version.
        """
        folder = Path(folder)
        if (folder / STATE).is_dir() and not (folder / MANIFEST).exists():
            raise StoreError(f"{folder}: an unfinished run. Finish it by running the same `embed` again.")
        return cls(read_layout(folder))

    @property
    def folder(self) -> Path:
        """Where the store lies."""
        return self._layout.folder

    def __len__(self) -> int:
        return sum(self._layout.rows)

    def __repr__(self) -> str:
        parts = [repr(view) for view in (self._image, self._text) if view is not None]
        return f"EmbeddingStore({str(self.folder)!r}, {len(self)} rows, {', '.join(parts)})"

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What was written: format, version, rows, card, content hashes; only format and rows for a plain folder."""
        return self._layout.manifest or {"format": "clip-retrieval", "rows": len(self)}

    @property
    def card(self) -> Mapping[str, Any]:
        """The encoder's card as plain values; empty when the store does not say."""
        return self.manifest.get("card") or {}

    @property
    def normalised(self) -> bool:
        """Whether the writer says that all vectors have unit length."""
        parts = [self.manifest.get(part) for part in ("image", "text")]
        given = [part["normalised"] for part in parts if part]
        return bool(given) and all(given)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the whole content."""
        if self._layout.manifest is not None:
            return fingerprint(self._layout.manifest)
        return fingerprint({path.relative_to(self.folder).as_posix(): file_hash(path) for path in self._paths()})

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which vectors there are: "image", "text" or both."""
        return tuple(kind for kind, view in (("image", self._image), ("text", self._text)) if view is not None)

    @property
    def image_vectors(self) -> VectorView:
        """One image vector per row."""
        if self._image is None:
            raise StoreError(f"{self.folder}: holds no image vectors, only text. Embed with kinds including 'image'.")
        return self._image

    @property
    def text_vectors(self) -> VectorView:
        """One caption vector per row; NaN where a record has no caption."""
        if self._text is None:
            raise StoreError(f"{self.folder}: holds no text vectors, only images. Embed with kinds including 'text'.")
        return self._text

    @cached_property
    def _image(self) -> VectorView | None:
        return VectorView(self._layout.image, "image", self.folder) if self._layout.image else None

    @cached_property
    def _text(self) -> VectorView | None:
        return VectorView(self._layout.text, "text", self.folder) if self._layout.text else None

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """The metadata as a pyarrow Table, row by row with the vectors; its first column is ``id``."""
        return self._table if columns is None else self._table.select(list(columns))

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of the metadata columns."""
        return tuple(self._table.column_names)

    def columns(self, name: str) -> NDArray[Any]:
        """One metadata column as an array ``[n]``: missing is None in text, NaN in numbers."""
        if name not in self._table.column_names:
            raise StoreError(f"{self.folder}: no column {name!r}. It has {', '.join(self._table.column_names)}.")
        values: NDArray[Any] = self._table.column(name).to_numpy()
        return values

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids in row order; they are unique, or this raises."""
        import pyarrow.compute as pc

        column = self._table.column("id")
        if column.null_count:
            raise StoreError(f"{self.folder}: {column.null_count} rows have no id. Every row needs one.")
        if pc.count_distinct(column).as_py() != len(column):
            counts = pc.value_counts(column)
            twice = counts.filter(pc.greater(counts.field("counts"), 1))
            raise StoreError(
                f"{self.folder}: {len(twice)} ids occur more than once, first "
                f"{twice[0]['values'].as_py()!r} ({twice[0]['counts'].as_py()} times). "
                "Ids name records and must be unique; rename them and embed again."
            )
        return tuple(column.to_pylist())

    def rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers of `ids`."""
        try:
            return np.array([self._row_of[id_] for id_ in ids], dtype=np.int64)
        except KeyError as error:
            raise StoreError(f"{self.folder}: no row with the id {error.args[0]!r}.") from None

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Records that were left out when embedding: id and reason of each."""
        import pyarrow.parquet as pq

        if not self.manifest.get("skipped"):
            return ()
        try:
            table = pq.read_table(self.folder / SKIPPED)
            return tuple(zip(table.column("id").to_pylist(), table.column("reason").to_pylist(), strict=True))
        except (OSError, KeyError, ValueError) as error:
            raise StoreError(f"{self.folder / SKIPPED}: cannot be read ({error}). Embed again.") from error

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def _table(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            # One file object per shard: a folder name such as gender=x must not become a column.
            tables = [pq.ParquetFile(path).read() for path in self._layout.tables]
            table = pa.concat_tables(tables, promote_options="permissive") if tables else None
            if table is not None:
                table.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{self.folder}: the metadata cannot be read ({error}). Embed again.") from error
        if table is None:
            return pa.table({"id": pa.array([str(row) for row in range(len(self))], pa.string())})
        source = next((name for name in ID_COLUMNS if name in table.column_names), None)
        if self._layout.manifest is not None and source != "id":
            raise StoreError(f"{self.folder}: the metadata has no column 'id'. Embed again.")
        if source is None:
            ids = pa.chunked_array([pa.array([str(row) for row in range(len(self))], pa.string())])
        else:
            ids = table.column(source).cast(pa.string())
        if "id" in table.column_names:
            table = table.drop_columns(["id"])
        return table.add_column(0, "id", ids)

    def verify(self) -> None:
        """Hold every byte against the manifest, ids against each other, vectors against NaN.

        A text vector may be missing only where the caption is.

        Raises
        ------
        StoreError
            Lists everything that is wrong.
        """
        problems: list[str] = []
        skipped = self.manifest.get("skipped")
        side = {SKIPPED: skipped} if skipped else {}
        for shard in (*self.manifest.get("shards", ()), {"files": side}):
            for name, entry in shard["files"].items():
                path = self.folder / name
                if not path.is_file() or file_hash(path) != entry["sha256"]:
                    problems.append(f"{name} is not what was written (its SHA-256 differs)")
        try:
            _ = self.ids
        except StoreError as error:
            problems.append(str(error))
        for kind in self.kinds:
            view = self.image_vectors if kind == "image" else self.text_vectors
            bad = ~view.present()
            if kind == "text" and "caption" in self.column_names:
                bad &= self._table.column("caption").is_valid().to_numpy()
            allowed = (self.manifest.get(kind) or {}).get("missing", 0) if kind == "image" else 0
            if bad.sum() > allowed:
                first = int(np.flatnonzero(bad)[0])
                problems.append(f"{int(bad.sum())} {kind} vectors hold NaN or infinity, first row {first}")
        if problems:
            raise StoreError(f"{self.folder}: " + "; ".join(problems) + ". Embed again.")

    def _paths(self) -> list[Path]:
        arrays = [file.path for file in (*self._layout.image, *self._layout.text)]
        return [*arrays, *self._layout.tables]
