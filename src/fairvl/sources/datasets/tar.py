"""The members of an uncompressed tar, read from its headers alone; nothing is extracted, no link is followed.

Written here rather than taken from `tarfile` because long-name and extended headers of any declared size, sparse maps
and links are followed there, and this reader must refuse them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fairvl.errors import DatasetError
from fairvl.sources.datasets.files import unsafe_name
from fairvl.sources.datasets.record import Problem

BLOCK = 512
MAX_MEMBERS = 2_000_000
MAX_TAR_BYTES = 256 * 2**30
MAX_HEADER_BYTES = 64 * 1024
_REGULAR, _FOLDER = frozenset({b"0", b"\0", b"7"}), b"5"
_KINDS = {b"1": "hard link", b"2": "link", b"3": "device", b"4": "device", b"6": "pipe", b"S": "sparse file"}


@dataclass(frozen=True)
class Member:
    """One regular file inside a tar: where its bytes lie."""

    name: str
    offset: int
    size: int


def tar_members(path: Path) -> tuple[list[Member], list[Problem]]:
    """Regular members in order, and what was refused: unsafe names, links, devices, a cut or damaged end.

    Raises
    ------
    DatasetError
        Not an uncompressed tar, or over the caps on members or bytes.
    """
    members: list[Member] = []
    problems: list[Problem] = []
    try:
        with open(path, "rb") as file:
            end = os.fstat(file.fileno()).st_size
            if end > MAX_TAR_BYTES:
                raise DatasetError(f"{path.name} has {end:,} bytes, over the cap of {MAX_TAR_BYTES:,}; split it")
            _scan(file, end, path, members, problems)
    except OSError as error:
        raise DatasetError(f"{path.name} cannot be read: {error}") from error
    return members, problems


def _scan(file: BinaryIO, end: int, path: Path, members: list[Member], problems: list[Problem]) -> None:
    offset, long_name, long_size, sparse = 0, None, None, False
    while True:
        file.seek(offset)
        header = file.read(BLOCK)
        if header.count(0) == len(header):
            if len(header) < BLOCK:
                problems.append(Problem(path.name, f"ends without its end mark after {len(members):,} members"))
            elif any(file.read(BLOCK * 128)):
                problems.append(Problem(path.name, "data after the end mark is not read (several tars in one file?)"))
            return
        size = _header_size(header)
        if size is None:
            if offset == 0:
                raise DatasetError(f"{path.name} is not an uncompressed tar file{_guess(header)}")
            problems.append(Problem(path.name, f"damaged header after {len(members):,} members; the rest is not read"))
            return
        kind, start = header[156:157], offset + BLOCK
        if kind in (b"L", b"K", b"x", b"g", b"X"):
            if size > MAX_HEADER_BYTES:
                raise DatasetError(f"{path.name} declares a header of {size:,} bytes; the cap is {MAX_HEADER_BYTES:,}")
            body = file.read(size)
            if kind == b"L":
                long_name = body.rstrip(b"\0")
            elif kind == b"x":
                fields = _pax(body)
                long_name = fields.get("path", long_name)
                long_size = _decimal(fields.get("size"))
                sparse = any(key.startswith("GNU.sparse") for key in fields)
            offset = start + _padded(size)
            continue
        name = (_name(header) if long_name is None else long_name).decode("utf-8", "surrogateescape")
        size = size if long_size is None else long_size
        kind = b"S" if sparse else kind
        long_name, long_size, sparse = None, None, False
        if kind not in _REGULAR and kind != b"S":
            size = 0  # links and devices declare the size of something that is not here
        offset = start + _padded(size)
        if start + size > end:
            problems.append(
                Problem(path.name, f"ends inside member {_shown(name)} after {len(members):,} whole members")
            )
            return
        if kind == _FOLDER or name.endswith("/"):
            continue
        reason = unsafe_name(name) or (None if kind in _REGULAR else f"it is a {_KINDS.get(kind, 'special member')}")
        if reason is None:
            members.append(Member(name, start, size))
        else:
            problems.append(Problem(f"{path.name}: {_shown(name)}", reason))
        if len(members) + len(problems) > MAX_MEMBERS:
            raise DatasetError(f"{path.name} has over {MAX_MEMBERS:,} members; split it")


def _header_size(header: bytes) -> int | None:
    """The declared size, or None when the checksum or the number is wrong."""
    if len(header) < BLOCK:
        return None
    try:
        listed = int(header[148:156].strip(b" \0") or b"0", 8)
        if listed != sum(header) - sum(header[148:156]) + 8 * 32:
            return None
        field = header[124:136]
        if field[0] & 0x80:  # base 256, for members of 8 GiB and more
            return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big") if field[0] == 0x80 else None
        digits = field.strip(b" \0") or b"0"
        return int(digits, 8) if digits.isdigit() else None  # int() would take a sign
    except ValueError:
        return None


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax(body: bytes) -> dict[str, bytes]:
    fields: dict[str, bytes] = {}
    while body:
        digits, space, _ = body.partition(b" ")
        length = _decimal(digits)
        if not space or not length or length > len(body) or length <= len(digits) + 2:
            break
        key, _, value = body[len(digits) + 1 : length - 1].partition(b"=")
        fields[key.decode("utf-8", "replace")] = value
        body = body[length:]
    return fields


def _decimal(digits: bytes | None) -> int | None:
    return int(digits) if digits is not None and digits.isdigit() and len(digits) < 19 else None


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _shown(name: str) -> str:
    return ascii(name[:120])


def _guess(header: bytes) -> str:
    if header[:2] == b"\x1f\x8b":
        return "; it is gzipped: unpack it to .tar (img2dataset writes plain tars)"
    return " (empty file)" if not header else ""
