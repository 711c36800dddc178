"""Which files make up a store, and whether their headers agree; nothing here reads a vector.

The layout is clip-retrieval's: ``img_emb/img_emb_000.npy``, ``text_emb/text_emb_000.npy`` and
``metadata/metadata_000.parquet``, where files of the same number hold the same rows in the same order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import StoreError

FORMAT = "fairvl-store"
VERSION = 1
MANIFEST = "manifest.json"
STEMS = {"image": "img_emb", "text": "text_emb", "table": "metadata"}
SUFFIX = {"image": "npy", "text": "npy", "table": "parquet"}
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
MAX_DIM = 1_000_000


def file_name(part: str, number: int, digits: int = 3) -> str:
    """Path of one shard inside the store, such as ``img_emb/img_emb_000.npy``."""
    return f"{STEMS[part]}/{STEMS[part]}_{number:0{digits}d}.{SUFFIX[part]}"


@dataclass(frozen=True)
class ArrayFile:
    """Where the rows of one ``.npy`` file lie: checked header, no data."""

    path: Path
    rows: int
    dim: int
    dtype: np.dtype[Any]
    offset: int

    def open(self) -> np.ndarray[Any, Any]:
        """Read-only memory map ``[rows, dim]`` in the stored dtype."""
        if self.rows * self.dim == 0:
            return np.empty((self.rows, self.dim), self.dtype)
        return np.memmap(self.path, self.dtype, "r", self.offset, (self.rows, self.dim))


def shard_files(folder: Path, part: str) -> dict[int, Path]:
    """Files of one part by their number, or {} when the store does not have that part."""
    pattern = re.compile(rf"{STEMS[part]}_(\d+)\.{SUFFIX[part]}")
    found: dict[int, Path] = {}
    directory = folder / STEMS[part]
    if not directory.is_dir():
        return found
    for path in sorted(directory.iterdir()):
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        number = int(match[1])
        if number in found:
            raise StoreError(f"{directory}: {found[number].name} and {path.name} have the same number. Keep one.")
        found[number] = path
    return dict(sorted(found.items()))


def read_header(path: Path) -> ArrayFile:
    """Check the header of a ``.npy`` file against its size; never unpickles, reads no data."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            reader = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if reader is None:
                raise StoreError(f"{path}: .npy version {version}; expected 1.0 or 2.0.")
            shape, fortran, dtype = reader(file)
            offset = file.tell()
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise StoreError(f"{path}: the file is missing. Restore it, or embed again.") from error
    except (ValueError, EOFError, OSError) as error:
        raise StoreError(f"{path}: not a readable .npy file ({error}). Embed this shard again.") from error
    if dtype.hasobject:
        raise StoreError(
            f"{path}: holds pickled Python objects; expected numbers. Unpickling can run code, so it is refused; "
            "save the vectors as a plain float array."
        )
    if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
        raise StoreError(f"{path}: dtype {dtype}; expected float16, float32 or float64.")
    if len(shape) != 2 or not 0 < shape[1] <= MAX_DIM or shape[0] < 0:
        raise StoreError(f"{path}: shape {shape}; expected one vector per row [rows, dim].")
    if fortran and min(shape) > 1:
        raise StoreError(f"{path}: column-major order; expected rows in C order. Save np.ascontiguousarray(vectors).")
    expected = offset + shape[0] * shape[1] * dtype.itemsize
    if size != expected:
        what = "truncated" if size < expected else "longer than its header says"
        raise StoreError(f"{path}: {what}: {size} bytes, the header needs {expected}. Embed this shard again.")
    return ArrayFile(path, shape[0], shape[1], dtype, offset)


def parquet_rows(path: Path) -> int:
    """Number of rows that a parquet file's footer states."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: not a readable parquet file ({error}). Embed this shard again.") from error


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest, its format and version checked; None for a plain clip-retrieval folder."""
    path = folder / MANIFEST
    if not path.exists():
        return None
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise StoreError(f"{path}: {path.stat().st_size} bytes; a manifest has at most {MAX_MANIFEST_BYTES}.")
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}: not JSON ({error}). Embed again, or delete the file to read the bare arrays."
        ) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(f'{path}: not the manifest of a store (no "format": "{FORMAT}").')
    version = manifest.get("version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        raise StoreError(
            f"{path}: manifest version {version!r}; this fairvl reads version {VERSION}. "
            + ("Update fairvl, or embed again with this one." if newer else "Embed again with this fairvl.")
        )
    shards = manifest.get("shards")
    if not isinstance(shards, list) or not all(_is_shard(shard) for shard in shards):
        raise StoreError(f'{path}: "shards" must list rows and files of every shard. Embed again.')
    return manifest


def _is_shard(shard: object) -> bool:
    if not isinstance(shard, Mapping) or not isinstance(shard.get("files"), Mapping):
        return False
    rows = shard.get("rows")
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        return False
    return all(
        isinstance(name, str) and isinstance(entry, Mapping) and {"bytes", "sha256"} <= entry.keys()
        for name, entry in shard["files"].items()
    )


@dataclass(frozen=True)
class Layout:
    """Checked files of a store: every part has the same shards with the same rows."""

    folder: Path
    manifest: Mapping[str, Any] | None
    rows: tuple[int, ...]
    image: tuple[ArrayFile, ...]
    text: tuple[ArrayFile, ...]
    tables: tuple[Path, ...]


def read_layout(folder: Path) -> Layout:
    """Find the files of a store and hold headers, footers and manifest against each other."""
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder. Expected a store, as `fairvl embed` or write_store makes it.")
    manifest = read_manifest(folder)
    files = {part: shard_files(folder, part) for part in STEMS}
    if not files["image"] and not files["text"]:
        raise StoreError(
            f"{folder}: neither img_emb/img_emb_*.npy nor text_emb/text_emb_*.npy. "
            "Expected a store or a clip-retrieval folder; an interrupted `embed` is finished by running it again."
        )
    present = {part: found for part, found in files.items() if found}
    numbers = {part: list(found) for part, found in present.items()}
    if len({tuple(found) for found in numbers.values()}) > 1:
        counts = ", ".join(f"{STEMS[part]}: {len(found)} shards" for part, found in numbers.items())
        everywhere: list[set[int]] = [set(found) for found in numbers.values()]
        odd = sorted(set[int]().union(*everywhere) - everywhere[0].intersection(*everywhere))
        raise StoreError(
            f"{folder}: the parts do not have the same shards ({counts}; not in all of them: {odd[:5]}). "
            "A shard is missing or left over; embed again."
        )
    image = tuple(read_header(path) for path in files["image"].values())
    text = tuple(read_header(path) for path in files["text"].values())
    tables = tuple(files["table"].values())
    counted = {
        "image": [file.rows for file in image],
        "text": [file.rows for file in text],
        "table": [parquet_rows(path) for path in tables],
    }
    reference = next((counted[part] for part in present), [])
    for part in present:
        for number, expected, rows in zip(numbers[part], reference, counted[part], strict=True):
            if rows != expected:
                raise StoreError(
                    f"{folder}: shard {number} has {rows} rows in {STEMS[part]} and {expected} in "
                    f"{STEMS[next(iter(present))]}; they must be equal, row by row. Embed this shard again."
                )
    for arrays in (image, text):
        for array in arrays:
            if (array.dim, array.dtype) != (arrays[0].dim, arrays[0].dtype):
                raise StoreError(
                    f"{array.path}: {array.dim} x {array.dtype}, but {arrays[0].path.name} holds {arrays[0].dim} x "
                    f"{arrays[0].dtype}. All shards of one part come from one encoder."
                )
    if manifest is not None:
        _agrees(folder, manifest, reference, [p for found in files.values() for p in found.values()])
    return Layout(folder, manifest, tuple(reference), image, text, tables)


def _agrees(folder: Path, manifest: Mapping[str, Any], rows: list[int], paths: list[Path]) -> None:
    listed = {name: entry for shard in manifest["shards"] for name, entry in shard["files"].items()}
    there = {path.relative_to(folder).as_posix(): path for path in paths}
    if missing := sorted(listed.keys() - there.keys()):
        raise StoreError(
            f"{folder}: {len(missing)} files of the manifest are missing, first {missing[0]}. Embed again."
        )
    if extra := sorted(there.keys() - listed.keys()):
        raise StoreError(f"{folder}: {len(extra)} files are not in the manifest, first {extra[0]}. Remove them.")
    if rows != [shard["rows"] for shard in manifest["shards"]]:
        raise StoreError(f"{folder}: row counts of the files and of {MANIFEST} differ. Embed again.")
    for name, path in there.items():
        if path.stat().st_size != listed[name]["bytes"]:
            raise StoreError(
                f"{path}: {path.stat().st_size} bytes, the manifest says {listed[name]['bytes']}. "
                "The file was changed or cut; embed this shard again."
            )
