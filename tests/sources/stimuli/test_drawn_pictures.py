"""Stand-ins: the same bytes every time and in every process, plain PNG, and things that differ as they should."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fairvl.sources.datasets.decode import decode_image
from fairvl.sources.stimuli import load_registry
from fairvl.sources.stimuli.drawing import KINDS, draw_things
from fairvl.sources.stimuli.png import png_bytes

SCRIPT = """
from fairvl.sources.stimuli import load_registry
registry = load_registry("eat26")
print(registry.fingerprint)
for case in registry.cases:
    for side in case.sides:
        print(*side.keys)
"""


def test_png_bytes_hold_the_pixels():
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 3), (5, 7, 3), (160, 200, 3)):  # the last one needs two stored blocks
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        data = png_bytes(pixels)
        assert (np.asarray(decode_image(data)) == pixels).all()
        assert Image.open(io.BytesIO(data)).format == "PNG"
        Image.open(io.BytesIO(data)).verify()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_depends_on_kind_number_seed_and_size_only(kind):
    many = draw_things(kind, 5, seed=3, size=32)
    assert (draw_things(kind, 2, seed=3, size=32) == many[:2]).all()
    assert len({picture.tobytes() for picture in many}) == 5
    assert (draw_things(kind, 2, seed=4, size=32) != many[:2]).any()


def test_another_process_makes_the_same_keys_and_fingerprint():
    other = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, check=True, env=os.environ | {"PYTHONHASHSEED": "1"}
    )
    registry = load_registry("eat26")
    lines = other.stdout.decode().splitlines()
    assert lines[0] == registry.fingerprint
    assert lines[1:] == [" ".join(side.keys) for case in registry.cases for side in case.sides]


def test_things_are_told_apart_by_shape_and_not_by_ground():
    # A classifier on the corners alone, where only the ground shows, is at chance; the middle tells them apart.
    flower, insect = (draw_things(kind, 60, seed=1, size=48).astype(float) / 255 for kind in ("flower", "insect"))
    corners = [np.concatenate([p[:, :6, :6], p[:, -6:, -6:]], axis=1).mean(axis=(1, 2)) for p in (flower, insect)]
    middle = [p[:, 12:36, 12:36].std(axis=(1, 2)) for p in (flower, insect)]
    colour = [p[:, 12:36, 12:36].mean(axis=(1, 2)) for p in (flower, insect)]
    assert held_out_accuracy(corners) < 0.68
    assert held_out_accuracy([np.hstack(parts) for parts in zip(middle, colour, strict=True)]) > 0.8


def test_pleasant_scenes_are_brighter_and_more_colourful_than_unpleasant_ones():
    good, bad = (draw_things(kind, 20, size=32).astype(float) for kind in ("pleasant", "unpleasant"))
    assert good.mean() > bad.mean() + 30
    spread = [np.ptp(p, axis=3).mean() for p in (good, bad)]
    assert spread[0] > spread[1]


def test_drawings_are_pictures_and_not_noise():
    for kind in KINDS:
        picture = draw_things(kind, 1, size=64)[0].astype(float)
        steps = np.abs(np.diff(picture, axis=1)).mean()
        shuffled = np.random.default_rng(0).permutation(picture.reshape(-1, 3)).reshape(picture.shape)
        assert steps < 0.5 * np.abs(np.diff(shuffled, axis=1)).mean()


def held_out_accuracy(groups):
    """Nearest-mean classifier (diagonal), fitted on the even rows and tried on the odd ones."""
    means = [group[::2].mean(axis=0) for group in groups]
    spread = np.concatenate([group[::2] - mean for group, mean in zip(groups, means, strict=True)]).std(axis=0) + 1e-9
    right = []
    for label, group in enumerate(groups):
        far = np.stack([(((group[1::2] - mean) / spread) ** 2).sum(axis=1) for mean in means])
        right.append(far.argmin(axis=0) == label)
    return np.concatenate(right).mean()


def test_the_keys_are_sha256():
    side = load_registry("eat26").case("flower-insect", "image-image").x
    assert side.keys[0] == "i:" + hashlib.sha256(side.image(0)).hexdigest()
