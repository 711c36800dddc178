"""Images of any kind become RGB; transforms equal the libraries' own; probes show silent changes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fairvl.errors import EncoderError
from fairvl.sources.datasets import decode_image
from fairvl.sources.encoders.images import PixelTransform, check_images, probe_hash, to_rgb

CLIP = PixelTransform("shortest", (32, 32), (32, 32), "bicubic", (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), rounding="even")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_rgb(mode):
    image = Image.new("RGB", (7, 5), (200, 30, 40))
    converted = to_rgb(image.convert("L").convert(mode) if mode in ("LA", "PA") else _convert(image, mode))
    assert (converted.mode, converted.size) == ("RGB", (7, 5))


def _convert(image, mode):
    if mode == "LAB":
        return Image.new("LAB", image.size)
    return image.convert(mode)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    values = np.linspace(0, 65535, 12).astype(np.uint16).reshape(3, 4)
    np.testing.assert_array_equal(np.asarray(to_rgb(Image.fromarray(values)))[..., 0], values >> 8)


def test_a_picture_is_the_same_from_memory_and_from_a_file():
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 256, (6, 8, 4), dtype=np.uint8)
    deep = rng.integers(0, 65536, (6, 8)).astype(np.uint16)
    palette = Image.fromarray(colours[..., :3]).quantize(8)
    keyed = Image.fromarray(colours[..., 0])
    for image, extra in (
        (Image.fromarray(colours), {}),
        (Image.fromarray(colours).convert("LA"), {}),
        (Image.fromarray(deep), {}),
        (palette, {"transparency": 3}),
        (keyed, {"transparency": int(colours[0, 0, 0])}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **extra)
        from_file = np.asarray(decode_image(buffer.getvalue()))
        np.testing.assert_array_equal(np.asarray(to_rgb(Image.open(io.BytesIO(buffer.getvalue())))), from_file)


def test_arrays():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(to_rgb(colour)), colour)
    np.testing.assert_array_equal(np.asarray(to_rgb(colour[..., 0]))[..., 2], colour[..., 0])
    np.testing.assert_array_equal(np.asarray(to_rgb(colour[:, ::-1])), colour[:, ::-1])


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 6, 3)),
        np.zeros((3, 4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros(5, np.uint8),
        np.zeros((0, 6, 3), np.uint8),
        "picture.jpg",
        b"\xff\xd8",
        None,
        Image.new("F", (3, 3)),
        Image.new("I", (3, 3)),
    ],
)
def test_what_is_not_an_image(bad):
    with pytest.raises(EncoderError):
        to_rgb(bad)


def test_a_truncated_file_is_an_encoder_error():
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(buffer, "JPEG")
    with pytest.raises(EncoderError, match="cannot be decoded"):
        to_rgb(Image.open(io.BytesIO(buffer.getvalue()[:800])))


def test_one_image_is_not_a_list():
    for single in (Image.new("RGB", (3, 3)), np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3), np.uint8)):
        with pytest.raises(EncoderError, match=r"rite \[image\]"):
            check_images(single)
    assert len(check_images(np.zeros((2, 3, 3, 3), np.uint8))) == 2
    with pytest.raises(EncoderError, match="expected a list"):
        check_images(5)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 140), width=st.integers(1, 140), seed=st.integers(0, 5))
def test_equals_torchvision_at_every_size(torch, height, width, seed):
    from torchvision import transforms

    if max(height, width) > 20 * min(height, width):
        return
    library = transforms.Compose(
        [
            transforms.Resize(32, transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
            transforms.Normalize(CLIP.mean, CLIP.std),
        ]
    )
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
    np.testing.assert_allclose(CLIP.to_input(CLIP(image)[None], "cpu")[0], library(image), atol=1e-5)


def test_probe_hash_sees_every_setting():
    from dataclasses import replace

    variants = [
        CLIP,
        replace(CLIP, resample="bilinear"),
        replace(CLIP, resize="squash"),
        replace(CLIP, rounding="floor"),
        replace(CLIP, size=(34, 34)),
        replace(CLIP, crop=(30, 30)),
        replace(CLIP, resize="none"),
    ]
    assert len({probe_hash(variant) for variant in variants}) == len(variants)
    assert probe_hash(CLIP) == probe_hash(replace(CLIP))


def test_a_batch_of_another_shape_is_refused(torch):
    with pytest.raises(EncoderError, match=r"expected uint8 \(n, 32, 32, 3\)"):
        CLIP.to_input(np.zeros((2, 3, 32, 32), np.uint8), "cpu")
    with pytest.raises(EncoderError, match="expected uint8"):
        CLIP.to_input(np.zeros((2, 32, 32, 3), np.float32), "cpu")
