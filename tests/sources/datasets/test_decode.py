"""One RGB picture from any accepted bytes: every mode, depth and orientation, checked pixel by pixel."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import DatasetError
from fairvl.sources.datasets import decode_image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(height: int = 6, width: int = 9, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def deep_png(values: np.ndarray, colour: int, extra: bytes = b"") -> bytes:
    """A 16-bit PNG written by hand: values [h, w, channels] uint16; colour type 0 grey, 2 RGB, 6 RGBA."""
    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_lossless_formats_keep_each_pixel(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = decode_image(encoded(Image.fromarray(noise()), kind, **options))
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture), noise())


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}])
def test_jpeg(options):
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    picture = np.asarray(decode_image(encoded(Image.fromarray(smooth), "JPEG", **options)), dtype=int)
    assert abs(picture - smooth).max() < 12


@pytest.mark.parametrize("data", [bytearray, memoryview])
def test_other_byte_types(data):
    assert decode_image(data(encoded(Image.fromarray(noise())))).size == (9, 6)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_shows_the_picture_upright(turn, kind):
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :16] = 255  # one bright corner tells all eight apart
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif.tobytes())
    picture = decode_image(data)
    assert picture.size == (32, 16)
    assert abs(np.asarray(picture, dtype=int) - upright).max() < 30
    assert not picture.info
    assert not picture.getexif()


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_orientation_is_left_alone(value):
    exif = Image.Exif()
    exif[0x0112] = value
    assert decode_image(encoded(Image.fromarray(noise()), "JPEG", exif=exif.tobytes())).size == (9, 6)


def test_broken_exif_costs_neither_the_picture_nor_a_warning():
    data = encoded(Image.fromarray(noise()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 40)
    assert decode_image(data).size == (9, 6)


def test_cmyk_jpeg_with_and_without_the_adobe_mark():
    ink = np.zeros((16, 16, 4), dtype=np.uint8)
    ink[..., 0] = 255  # full cyan
    data = encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    assert abs(np.asarray(decode_image(data), dtype=int) - (0, 255, 255)).max() < 8
    start = data.index(b"\xff\xee")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    plain = data[:start] + data[start + 2 + length :]
    assert b"Adobe" not in plain
    # Pillow reads every four-channel JPEG by Adobe's convention, since nothing else writes them
    assert np.array_equal(np.asarray(decode_image(plain)), np.asarray(decode_image(data)))


def test_sixteen_bit_grey_is_scaled_not_clipped():
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)[..., None]
    assert np.asarray(decode_image(deep_png(values, 0)))[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_sixteen_bit_grey_equals_the_same_grey_in_colour():
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, 1), dtype=np.uint16)
    grey = np.asarray(decode_image(deep_png(values, 0)))
    assert np.array_equal(grey, np.asarray(decode_image(deep_png(values.repeat(3, axis=2), 2))))


def test_sixteen_bit_transparent_grey_is_background():
    values = np.array([[1000, 50000]], dtype=np.uint16)[..., None]
    data = deep_png(values, 0, chunk(b"tRNS", struct.pack(">H", 1000)))
    assert np.asarray(decode_image(data, background=(9, 8, 7)))[0].tolist() == [[9, 8, 7], [195, 195, 195]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "RGB"])
def test_every_png_mode_becomes_rgb(mode):
    image = Image.fromarray(noise()).convert(mode)
    picture = decode_image(encoded(image))
    assert picture.mode == "RGB"
    assert np.array_equal(np.asarray(picture), np.asarray(image.convert("RGB")))


def test_alpha_is_laid_over_white_unless_told_otherwise():
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0, :, 3] = (0, 128, 255)
    data = encoded(Image.fromarray(pixels))
    assert np.asarray(decode_image(data))[0, :, 0].tolist() == [255, 127, 0]
    assert np.asarray(decode_image(data, background=(255, 0, 0)))[0].tolist() == [[255, 0, 0], [127, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_is_background(kind):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert np.asarray(decode_image(encoded(image, kind, transparency=0)))[0].tolist() == [
        [255, 255, 255],
        [200, 100, 50],
    ]


@pytest.mark.parametrize("key", [(1, 2, 3), 7])
def test_png_colour_key_is_background(key):
    mode = "RGB" if isinstance(key, tuple) else "L"
    image = Image.new(mode, (2, 1), key)
    image.putpixel((1, 0), (9, 9, 9) if mode == "RGB" else 9)
    assert np.asarray(decode_image(encoded(image, transparency=key)))[0].tolist() == [[255, 255, 255], [9, 9, 9]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert decode_image(data).getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO", "TGA"])
def test_other_formats_are_refused_by_name(kind):
    with pytest.raises(DatasetError, match="JPEG, PNG, WEBP, GIF or BMP"):
        decode_image(encoded(Image.new("RGB", (16, 16)), kind))


@pytest.mark.parametrize(
    "data", [b"", b"<!DOCTYPE html>", b"\0" * 100, b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM"]
)
def test_not_an_image(data):
    with pytest.raises(DatasetError) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_text_is_refused():
    with pytest.raises(DatasetError, match="bytes, found str"):
        decode_image("a.png")


def test_truncated_flag_of_pillow_is_refused(monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(DatasetError, match="LOAD_TRUNCATED_IMAGES"):
        decode_image(encoded(Image.fromarray(noise())))


def test_threads_agree_and_leave_the_warning_filters_alone():
    files = [encoded(Image.fromarray(noise(20 + seed, 30)), "JPEG") for seed in range(8)]
    alone = [decode_image(data).tobytes() for data in files]
    before = list(warnings.filters)
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(
            number
            for _ in range(10)
            for number, data in enumerate(files)
            if decode_image(data).tobytes() != alone[number]
        )

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert warnings.filters == before
