"""Small pictures of two colours with captions that say them: learned in seconds, with people who do not show."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("transformers", reason="the models extra is not installed")

COLOURS = {"red": (230, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230), "white": (240, 240, 240)}
WORDS = sorted({"a", "the", "is", "left", "right", "what", "man", "woman", "person", "over", *COLOURS})


def colour_pairs(n, seed=0):
    """Pairs as columns: ids, pictures [n, 16, 16, 3], captions, neutral captions, colours [n, 2]."""
    rng = np.random.default_rng(seed)
    names = list(COLOURS)
    codes = rng.integers(0, len(names), (n, 2))
    palette = np.array(list(COLOURS.values()), np.int64)
    pictures = np.empty((n, 16, 16, 3), np.int64)
    pictures[:, :8] = palette[codes[:, 0]][:, None, None]
    pictures[:, 8:] = palette[codes[:, 1]][:, None, None]
    pictures = np.clip(pictures + rng.integers(-12, 13, pictures.shape), 0, 255).astype(np.uint8)
    who = rng.choice(["man", "woman"], n)
    captions = [f"a {w} {names[a]} over {names[b]}" for w, (a, b) in zip(who, codes, strict=True)]
    neutral = [f"a person {names[a]} over {names[b]}" for a, b in codes]
    ids = [f"row-{i:04d}" for i in range(n)]
    return ids, pictures, captions, neutral, codes


def colour_model(family, **sizes):
    from fairvl.sources import fusion

    given = {"width": 32, "heads": 2, "layers": 1, "max_length": 12, "seed": 0} | sizes
    image = {"image_size": 16, "grid": 2} if family == "lxmert" else {"image_size": 16, "patch_size": 8}
    return getattr(fusion, f"build_{family}")(WORDS, **given, **image)


@pytest.fixture
def pairs():
    from fairvl.repair.pretraining import Pairs

    ids, pictures, captions, neutral, _ = colour_pairs(240)
    return Pairs(ids, pictures, captions, neutral)


@pytest.fixture
def build():
    return colour_model


@pytest.fixture(name="colour_pairs")
def _colour_pairs():
    return colour_pairs
