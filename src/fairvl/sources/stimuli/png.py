"""Pictures as PNG bytes that do not depend on which zlib is installed: stored, not compressed."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_STORED = 65_535  # largest stored block of a deflate stream


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """An RGB picture [rows, columns, 3] as a PNG file; equal pixels give equal bytes everywhere.

    Examples
    --------
    >>> png_bytes(np.zeros((2, 2, 3), np.uint8))[:4]
    b'\\x89PNG'
    """
    rows, columns, channels = pixels.shape
    assert pixels.dtype == np.uint8
    assert channels == 3
    lines = np.zeros((rows, 1 + 3 * columns), np.uint8)  # each line starts with its filter, 0
    lines[:, 1:] = pixels.reshape(rows, -1)
    raw = lines.tobytes()
    parts = [raw[start : start + _STORED] for start in range(0, len(raw), _STORED)]
    stream = b"\x78\x01"
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        stream += struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part
    stream += struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
