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
    ids = _ids(keep.ids, len(keep))
    others = None if keep.others is None else _ids(keep.others, len(keep.others))
    schema = pa.schema([
        ("id", pa.string()), ("kept", pa.bool_()), ("witness", pa.string()), ("similarity", pa.float64()),
        ("reason", pa.dictionary(pa.int8(), pa.string())),
    ])  # fmt: skip
    schema = schema.with_metadata({"fairvl_keep": keep.describe()})

    def write(file: Any) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for part in blocks(len(keep), _ROWS):
                mine = ids.slice(part.start, part.stop - part.start)
                columns = [
                    mine,
                    pa.array(keep.kept[part]),
                    _names(keep.witness[part], ids, others),
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
    ids = _ids(keep.ids, len(keep))
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


def _names(witness: np.ndarray, ids: Any, others: Any) -> Any:
    """Ids of witnesses, null without one; those below -1 are rows of the kept set."""
    import pyarrow as pa

    names: list[str | None] = [None] * len(witness)
    for mine, source in ((witness >= 0, ids), (witness < -1, others)):
        places = np.flatnonzero(mine)
        if len(places):
            rows = witness[places] if source is ids else -2 - witness[places]
            for place, name in zip(places.tolist(), source.take(pa.array(rows)).to_pylist(), strict=True):
                names[place] = name
    return pa.array(names, pa.string())


def _ids(ids: Any, n: int) -> Any:
    import pyarrow as pa

    if ids is None:
        return pa.array([str(row) for row in range(n)], pa.string())
    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        return ids.cast(pa.string())
    return pa.array([str(name) for name in ids], pa.string())


def _mask(kept: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(kept)
