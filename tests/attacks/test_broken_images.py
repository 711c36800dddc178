"""Claim: bytes that are cut or changed give a `DatasetError` or a picture; no other error, no warning, no crash."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fairvl.errors import DatasetError
from fairvl.sources.datasets import decode_image


def encoded(kind: str, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).convert(mode).save(
        file, kind, **({"exif": exif.tobytes()} if kind in ("JPEG", "PNG", "WEBP") else {})
    )
    return file.getvalue()


FILES = {kind: encoded(kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP")} | {"CMYK": encoded("JPEG", "CMYK")}


@pytest.mark.parametrize("kind", sorted(FILES))
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9, 0.97])
def test_cut_files_are_refused(kind, share):
    data = FILES[kind]
    assert decode_image(data).mode == "RGB"
    with pytest.raises(DatasetError):
        decode_image(data[: int(len(data) * share)])


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12),
    near_start=st.booleans(),
)
def test_changed_bytes_give_a_picture_or_a_dataset_error(kind, changes, near_start):
    data = bytearray(FILES[kind])
    for place, value in changes:
        data[int(place * (200 if near_start else len(data)))] = value
    try:
        picture = decode_image(bytes(data), max_pixels=1_000_000)
    except DatasetError:
        return
    assert picture.mode == "RGB"
