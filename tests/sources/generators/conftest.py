"""A pipeline folder of the real classes, and a generator without a model."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

from fairvl.sources.generators import Generator, GeneratorCard


class Noise(Generator):
    """Pixels that prompt and seed decide; needs no torch."""

    def __init__(self, weights="v1"):
        self.weights = weights
        self.drawn = []

    @property
    def card(self):
        return GeneratorCard(library="test", name="noise", weights=self.weights, size=(4, 4))

    def generate(self, prompts, seeds):
        self.drawn += list(zip(prompts, seeds, strict=True))
        keys = [
            int.from_bytes(hashlib.sha256(f"{self.weights}{p}{s}".encode()).digest()[:8], "big")
            for p, s in zip(prompts, seeds, strict=True)
        ]
        return np.stack([np.random.default_rng(key).integers(0, 256, (4, 4, 3), dtype=np.uint8) for key in keys])

    def over_length(self, prompts):
        return [place for place, prompt in enumerate(prompts) if len(prompt) > 40]


@pytest.fixture
def noise():
    return Noise()


@pytest.fixture(scope="session")
def saved(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines") / "sd"
    tiny.tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def broken(saved, tmp_path):
    """A copy of the folder for damaging."""
    return shutil.copytree(saved, tmp_path / "broken")
