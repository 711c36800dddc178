"""Claim: a header that declares too many pixels is refused before any pixel is decoded or memory taken."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import decode_image


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0" * 6
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return b"GIF89a" + screen + frame + b"\x02\x02\x4c\x01\x00;"


def bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        + b"\0" * 900
    )


def jpeg(width: int, height: int) -> bytes:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x01\x11\0\x02\x11\0\x03\x11\0"
    return b"\xff\xd8" + frame + b"\xff\xda" + struct.pack(">HB", 12, 3) + b"\x01\0\x02\0\x03\0\0\x3f\0" + b"\0" * 100


def webp(kind: str, width: int, height: int) -> bytes:
    if kind == "VP8X":
        body = b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == "VP8L":
        body = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + b"\0" * 8
    else:
        body = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 8
    inside = b"WEBP" + kind.encode().ljust(4) + struct.pack("<I", len(body)) + body + b"\0" * 20
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


BOMBS = {
    "png": png(100_000, 100_000),
    "png, one row": png(2**31 - 1, 1),
    "gif": gif(65_535, 65_535),
    "bmp": bmp(100_000, 100_000),
    "jpeg": jpeg(65_500, 65_500),
    "webp extended": webp("VP8X", 16_383, 16_383),
    "webp lossless": webp("VP8L", 16_384, 16_384),
    "webp lossy": webp("VP8 ", 16_383, 16_383),
}


@pytest.mark.parametrize("kind", sorted(BOMBS))
def test_refused_from_the_header(kind):
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="pixels"):
            decode_image(BOMBS[kind])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_the_cap_is_ours_to_set_and_exact():
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (40, 30)).save(file, "PNG")
    assert decode_image(file.getvalue(), max_pixels=1200).size == (40, 30)
    with pytest.raises(DatasetError, match=r"40 x 30 pixels, over the cap of 1,199"):
        decode_image(file.getvalue(), max_pixels=1199)
    with pytest.raises(DatasetError, match="bytes, over the cap of 10"):
        decode_image(file.getvalue(), max_bytes=10)


def test_compressed_text_beside_small_pixels_is_bounded():
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 50_000_000, 9))
    data = png(4, 4)
    data = data[:33] + bomb + data[33:]
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError):
            decode_image(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20
