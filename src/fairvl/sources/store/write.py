"""Writing a store: arrays in memory become shards, a table and a manifest, or nothing at all."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import check_vectors
from ...atomic import write_atomic
from ...errors import InputError, StoreError
from ...fingerprints import canonical_json, file_hash
from .layout import FORMAT, MANIFEST, VERSION, file_name, read_layout
from .store import EmbeddingStore

UNIT_TOLERANCE = 2e-3  # float16 rounds each coordinate by at most 2**-11 of its size
STORED_ERROR = 1e-3


def write_store(
    folder: Path | str,
    *,
    ids: Sequence[str],
    image_vectors: ArrayLike | None = None,
    text_vectors: ArrayLike | None = None,
    columns: Mapping[str, Any] | Any = None,
    card: Any = None,
    dtype: str = "float16",
    rows_per_shard: int = 1_000_000,
    extra: Mapping[str, Any] | None = None,
) -> EmbeddingStore:
    """Write vectors that are in memory as a new store; `folder` appears whole or not at all.

    Parameters
    ----------
    folder : path
        Must not exist, or be empty.
    ids : sequence of str
        One unique id per row, of any length and script.
    image_vectors, text_vectors : (n, d) arrays, at least one of them
        Stored as they are (no normalisation). A row of `text_vectors` may be all NaN: no caption.
    columns : mapping of name to n values, or pyarrow Table
        Metadata beside the vectors, such as ``caption`` and attributes; None is missing.
    card : dataclass or mapping
        The encoder's card.
    dtype : "float16" or "float32"
        Type on disk. Vectors that float16 would bend (too large or too small) are refused.
    extra : mapping
        Further JSON values for the manifest.

    Raises
    ------
    StoreError
        The folder is in use, or float16 cannot hold the vectors.
    InputError
        Lengths differ, ids repeat, vectors are not finite.

    Examples
    --------
    >>> import tempfile
    >>> store = write_store(tempfile.mkdtemp() + "/s", ids=["x"], text_vectors=[[0.6, 0.8]], columns={"caption": ["ö"]})
    >>> store.kinds, store.normalised, store.columns("caption").tolist()
    (('text',), True, ['ö'])
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder}: already exists and is not empty. Name a new folder, or remove this one.")
    if rows_per_shard < 1:
        raise InputError(f"rows_per_shard={rows_per_shard}; expected at least 1.")
    ids = _checked_ids(ids)
    arrays = {}
    for kind, given in (("image", image_vectors), ("text", text_vectors)):
        if given is not None:
            arrays[kind] = stored_vectors(given, f"{kind}_vectors", dtype=dtype, missing_ok=kind == "text")
            if len(arrays[kind]) != len(ids):
                raise InputError(f"{kind}_vectors: {len(arrays[kind])} rows; expected one per id, {len(ids)}.")
    if not arrays:
        raise InputError("neither image_vectors nor text_vectors; expected at least one of them.")
    table = _checked_table(ids, columns)

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        starts = range(0, max(1, len(ids)), rows_per_shard)
        digits = max(3, len(str(len(starts) - 1)))
        for number, start in enumerate(starts):
            rows = slice(start, start + rows_per_shard)
            for kind, array in arrays.items():
                write_array(temporary / file_name(kind, number, digits), array[rows])
            write_table(temporary / file_name("table", number, digits), table.slice(start, rows_per_shard))
        finish_store(temporary, card=card, extra=extra)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return EmbeddingStore.open(folder)


def finish_store(folder: Path, *, card: Any = None, extra: Mapping[str, Any] | None = None) -> None:
    """Write the manifest of the shards in `folder`: the last step that makes them a store."""
    layout = read_layout(folder)
    shards = []
    for number, rows in enumerate(layout.rows):
        parts = [part[number] for part in (layout.image, layout.text) if part]
        paths = [*(file.path for file in parts), layout.tables[number]]
        shards.append({"rows": rows, "files": {p.relative_to(folder).as_posix(): file_facts(p) for p in paths}})
    store = EmbeddingStore(layout)
    text = manifest_text(
        shards,
        card=card,
        image=_part_facts(store.image_vectors) if "image" in store.kinds else None,
        text=_part_facts(store.text_vectors) if "text" in store.kinds else None,
        schema=store.table().schema,
        extra=extra,
    )
    write_atomic(folder / MANIFEST, text)


def manifest_text(
    shards: Sequence[Mapping[str, Any]],
    *,
    card: Any,
    image: Mapping[str, Any] | None,
    text: Mapping[str, Any] | None,
    schema: Any,
    extra: Mapping[str, Any] | None = None,
) -> str:
    """The content of ``manifest.json``; `image` and `text` hold dim, dtype, missing and normalised of a part."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "rows": sum(shard["rows"] for shard in shards),
        "card": card_values(card),
        "image": image,
        "text": text,
        "columns": {field.name: str(field.type) for field in schema},
        "shards": shards,
    }
    return canonical_json({**content, **(extra or {})}) + "\n"


def card_values(card: Any) -> dict[str, Any]:
    """A card (dataclass, mapping or None) as plain JSON values."""
    if card is None:
        return {}
    if dataclasses.is_dataclass(card) and not isinstance(card, type):
        return dataclasses.asdict(card)
    if isinstance(card, Mapping):
        return dict(card)
    raise InputError(f"card: {type(card).__name__}; expected an EncoderCard or a mapping.")


def stored_vectors(
    vectors: ArrayLike, name: str, *, dtype: str = "float16", missing_ok: bool = False
) -> NDArray[np.floating[Any]]:
    """Vectors in their type on disk, refused where that type would bend them by more than 0.1 %."""
    if dtype not in ("float16", "float32"):
        raise InputError(f"dtype={dtype!r}; expected 'float16' or 'float32'.")
    try:
        array = np.asarray(vectors)
    except ValueError:
        array = check_vectors(vectors, name)  # which says what is wrong
    missing = np.zeros(len(array) if array.ndim else 0, bool)
    if missing_ok and array.ndim == 2 and array.dtype.kind == "f":
        missing = np.isnan(array).all(axis=1)
    checked = check_vectors(array[~missing] if missing.any() else array, name, minimum=0, zero_ok=True)
    with np.errstate(over="ignore", under="ignore"):
        stored = checked.astype(dtype)
    for start in range(0, len(checked), 65536):
        exact = checked[start : start + 65536].astype(np.float64)
        with np.errstate(invalid="ignore"):
            error = np.linalg.norm(stored[start : start + 65536].astype(np.float64) - exact, axis=1)
        bent = ~(error <= STORED_ERROR * np.linalg.norm(exact, axis=1))
        if bent.any():
            row = start + int(np.flatnonzero(bent)[0])
            raise StoreError(
                f"{name}: row {row} does not fit into {dtype} (largest coordinate {np.abs(checked[row]).max():.3g}). "
                "Normalise the vectors, or store them with dtype='float32'."
            )
    if not missing.any():
        return stored
    full = np.full((len(missing), array.shape[1]), np.nan, dtype)
    full[~missing] = stored
    return full


def write_array(path: Path, array: NDArray[Any]) -> None:
    """One ``.npy`` shard, whole or not at all."""

    def write(file: BinaryIO) -> None:
        np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)

    write_atomic(path, write)


def write_table(path: Path, table: Any) -> None:
    """One parquet file, whole or not at all."""
    import pyarrow.parquet as pq

    write_atomic(path, lambda file: pq.write_table(table, file, compression="zstd"))


def _part_facts(view: Any) -> dict[str, Any]:
    missing, unit = 0, True
    for block in view.blocks(65536, missing="keep"):
        lengths = np.linalg.norm(block, axis=1)
        missing += int(np.isnan(lengths).sum())
        unit = unit and bool((np.abs(lengths[~np.isnan(lengths)] - 1.0) <= UNIT_TOLERANCE).all())
    return {"dim": view.dim, "dtype": str(view.dtype), "missing": missing, "normalised": unit and missing < len(view)}


def file_facts(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as manifests hold them."""
    return {"bytes": path.stat().st_size, "sha256": file_hash(path)}


def _checked_ids(ids: Sequence[str]) -> list[str]:
    names = list(ids)
    if odd := [id_ for id_ in names if not isinstance(id_, str)]:
        raise InputError(f"ids: {odd[0]!r} is not text ({len(odd)} of them). Ids are strings, such as str(row).")
    if len(set(names)) != len(names):
        seen: set[str] = set()
        twice = next(id_ for id_ in names if id_ in seen or seen.add(id_))  # type: ignore[func-returns-value]
        raise InputError(f"ids: {len(names) - len(set(names))} repeat, first {twice!r}. Every row needs its own id.")
    return [str(id_) for id_ in names]


def _checked_table(ids: list[str], columns: Any) -> Any:
    import pyarrow as pa

    if columns is not None and not isinstance(columns, Mapping):
        columns = dict(zip(columns.column_names, columns.columns, strict=True))
    try:
        fields = {"id": pa.array(ids, pa.string())}
    except UnicodeEncodeError as error:
        raise InputError(f"ids: not valid Unicode ({error}). Rename them.") from error
    for name, values in (columns or {}).items():
        if name == "id":
            raise InputError("columns: 'id' is given with ids=. Drop it from columns.")
        try:
            column = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InputError(f"columns[{name!r}]: {error}. Expected one type per column; None is missing.") from error
        if len(column) != len(ids):
            raise InputError(f"columns[{name!r}]: {len(column)} values; expected one per id, {len(ids)}.")
        fields[str(name)] = column
    return pa.table(fields)
