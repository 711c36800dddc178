"""Where the bytes of one image lie: small picklable callables, each with its own byte cap."""

from __future__ import annotations

import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fairvl.errors import DatasetError
from fairvl.sources.datasets.decode import MAX_BYTES

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp"})
REFUSED_IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".svg", ".psd", ".ico"})


@dataclass(frozen=True)
class WholeFile:
    """All bytes of a regular file."""

    path: str

    def __call__(self) -> bytes:
        with _open(self.path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise DatasetError(f"the file has {size:,} bytes, over the cap of {MAX_BYTES:,}")
            return file.read(MAX_BYTES)


@dataclass(frozen=True)
class FileSlice:
    """`size` bytes from `offset`, as an uncompressed archive holds its members."""

    path: str
    offset: int
    size: int

    def __call__(self) -> bytes:
        with _open(self.path) as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise DatasetError(f"{Path(self.path).name} ends inside this member ({len(data):,} of {self.size:,} bytes)")
        return data


@dataclass(frozen=True)
class ZipMember:
    """One stored or deflated member, inflated no further than its declared size and checked against its CRC-32."""

    path: str
    header_offset: int
    compressed_size: int
    size: int
    deflated: bool
    crc: int

    def __call__(self) -> bytes:
        with _open(self.path) as file:
            file.seek(self.header_offset)
            header = file.read(30)
            if len(header) < 30 or header[:4] != b"PK\x03\x04":
                raise DatasetError(
                    f"{Path(self.path).name} holds no member at its listed place; the archive is damaged"
                )
            name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
            file.seek(name_and_extra, os.SEEK_CUR)
            data = file.read(self.compressed_size)
        if len(data) != self.compressed_size:
            raise DatasetError(f"{Path(self.path).name} ends inside this member")
        if self.deflated:
            try:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size + 1)
            except zlib.error as error:
                raise DatasetError(f"the member cannot be inflated: {error}") from error
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise DatasetError("the member differs from the size or checksum that the archive lists for it")
        return data


@dataclass(frozen=True)
class Given:
    """Bytes that are in memory already."""

    data: bytes

    def __call__(self) -> bytes:
        return self.data


@dataclass(frozen=True)
class Missing:
    """An image that the table names and the source does not hold."""

    reason: str

    def __call__(self) -> bytes:
        raise DatasetError(self.reason)


def unsafe_name(name: str) -> str | None:
    """Why a member or file name must not be used, or None when it stays inside its folder."""
    if not name or "\0" in name:
        return "its name is empty or holds a NUL"
    if name.startswith(("/", "\\")) or name[1:3] in (":\\", ":/"):
        return "its name is an absolute path"
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        return "its name leaves the folder (`..`)"
    if not _is_text(name):
        return "its name is not valid UTF-8"
    return None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(path: str) -> BinaryIO:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe or device would block for ever
            raise DatasetError("not a regular file")
        return open(path, "rb")
    except FileNotFoundError as error:
        raise DatasetError(f"no such file: {Path(path).name}") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"the file cannot be read: {error}") from error
