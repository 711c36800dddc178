"""A keep list on disk: parquet for people and tools, and DataComp's subset file of 128-bit uids."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import blocks
from ...atomic import write_atomic
from ...errors import InputError, SourceError
from .keeplist import REASONS, KeepList

_ROWS = 200_000
_UID = re.compile(r"[0-9a-fA-F]{32}")


def write_keep(path: Path | str, keep: KeepList) -> Path:
    """Write ``id, kept, witness, similarity, reason`` row by row, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    ids = _ids(keep)
    schema = pa.schema([
        ("id", pa.string()), ("kept", pa.bool_()), ("witness", pa.string()), ("similarity", pa.float64()),
        ("reason", pa.dictionary(pa.int8(), pa.string())),
    ])  # fmt: skip
    schema = schema.with_metadata({"fairvl_keep": keep.describe()})

    def write(file: Any) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for part in blocks(len(keep), _ROWS):
                witness = keep.witness[part]
                named = ids.take(pa.array(np.where(witness < 0, 0, witness)))
                named = pa.chunked_array([named]) if isinstance(named, pa.Array) else named
                mine = ids.slice(part.start, part.stop - part.start)
                columns = [
                    mine,
                    pa.array(keep.kept[part]),
                    pa.array(
                        [None if w < 0 else v for w, v in zip(witness.tolist(), named.to_pylist(), strict=True)],
                        pa.string(),
                    ),
                    pa.array(keep.similarity[part], from_pandas=True),
                    pa.DictionaryArray.from_arrays(pa.array(keep.reasons[part]), pa.array(REASONS)),
                ]
                writer.write_table(pa.table(columns, schema=schema))

    write_atomic(path, write)
    return path


def read_kept(path: Path | str) -> list[str]:
    """Ids that a ``keep.parquet`` keeps, in row order."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=["id", "kept"])
    except (pa.ArrowException, OSError, KeyError) as error:
        raise SourceError(f"{path}: not a keep list ({error}). Expected the keep.parquet of a dedup run.") from error
    kept: list[str] = table.column("id").filter(pc.fill_null(table.column("kept"), False)).to_pylist()
    return kept


def write_subset(path: Path | str, keep: KeepList) -> Path | None:
    """Write DataComp's subset file of the kept ids, or nothing (None) when they are not 128-bit hex uids."""
    ids = _ids(keep)
    kept = ids.filter(_mask(keep.kept))
    try:
        uids = subset(kept.to_pylist())
    except InputError:
        return None
    write_atomic(path, lambda file: np.lib.format.write_array(file, uids, version=(1, 0), allow_pickle=False))
    return Path(path)


def subset(ids: list[str]) -> np.ndarray:
    """Sorted array of dtype ``u8,u8``: upper and lower half of every uid, as DataComp reads it.

    Examples
    --------
    >>> subset(["00000000000000020000000000000003"]).tolist()
    [(2, 3)]
    """
    odd = next((i for i in ids if not _UID.fullmatch(i)), None)
    if odd is not None:
        raise InputError(f"id {odd!r} is not a 128-bit uid of 32 hex digits, which a DataComp subset file holds.")
    return np.sort(np.array([(int(i[:16], 16), int(i[16:], 16)) for i in ids], np.dtype("u8,u8")))


def _ids(keep: KeepList) -> Any:
    import pyarrow as pa

    if keep.ids is None:
        return pa.array([str(row) for row in range(len(keep))], pa.string())
    if isinstance(keep.ids, (pa.Array, pa.ChunkedArray)):
        return keep.ids.cast(pa.string())
    return pa.array([str(name) for name in keep.ids], pa.string())


def _mask(kept: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(kept)
