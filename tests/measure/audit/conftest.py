"""A planted encoder: words and images are sums of known directions, so every answer is known beforehand."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest

from fairvl.sources.encoders import EncoderCard, encoder
from fairvl.sources.prompts import load_bank
from fairvl.sources.store import EmbeddingStore, write_store

DIM = 48
GENDER, VALENCE, GLASSES, SMILE, AGE = range(5)


def _own(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).normal(scale=0.08, size=DIM)


def _word_vectors(bias: float) -> dict[str, np.ndarray]:
    """Directions of words: gender words on axis 0, valence words on axis 1 leaning to gender by `bias`."""
    core = load_bank("core-words").sets
    vectors: dict[str, np.ndarray] = {}

    def plant(words, axis, sign, lean=0.0):
        for word in words:
            vectors[word] = sign * np.eye(DIM)[axis] + lean * np.eye(DIM)[GENDER]

    plant((*core["women"].words, "woman", "female", "lady", "gal"), GENDER, 1)
    plant((*core["men"].words, "man", "male", "gentleman", "guy"), GENDER, -1)
    plant(core["pleasant"].words, VALENCE, 1, bias)
    plant(core["unpleasant"].words, VALENCE, -1, -bias)
    plant(("without", "no"), GLASSES, -2)
    plant(("glasses",), GLASSES, 1)
    plant(("smile", "smiling"), SMILE, 1)
    plant(("serious",), SMILE, -1)
    plant(core["young"].words, AGE, 1)
    plant(core["old"].words, AGE, -1)
    return vectors


@pytest.fixture(scope="session")
def planted():
    """Factory: an encoder of planted texts and a store of planted images, with gender leaning valence by `bias`."""

    def make(tmp_path, bias: float = 0.6, n: int = 400, seed: int = 0):
        words = _word_vectors(bias)

        def text_fn(texts):
            rows = []
            for text in texts:
                found = [words.get(w, np.zeros(DIM)) for w in re.findall(r"[a-z]+", text.lower())]
                rows.append(np.sum(found, axis=0) + _own(text) + 0.5 * np.eye(DIM)[-1])
            return np.array(rows, dtype=np.float32)

        rng = np.random.default_rng(seed)
        signs = rng.choice([-1, 1], size=(n, 4))
        images = rng.normal(scale=0.15, size=(n, DIM))
        for axis, column in zip((GENDER, GLASSES, SMILE, AGE), signs.T, strict=True):
            images[:, axis] += column
        images[:, -1] += 0.5
        columns = {
            "sex": ["F" if s > 0 else "M" for s in signs[:, 0]],
            "glasses": ["glasses" if s > 0 else "no glasses" for s in signs[:, 1]],
            "smile": ["smiling" if s > 0 else "serious" for s in signs[:, 2]],
            "age": [float(40 - 15 * s) for s in signs[:, 3]],
        }
        columns["age"] = [a + rng.uniform(0, 5) for a in columns["age"]]
        card = EncoderCard(library="callable", name="planted", weights="by hand", dim=DIM, modalities=("text",))
        model = encoder(text_fn=text_fn, card=card)
        write_store(
            tmp_path / "images", ids=[f"i{i}" for i in range(n)], image_vectors=images, columns=columns,
            card=card.as_dict(),
        )  # fmt: skip
        return model, EmbeddingStore.open(tmp_path / "images")

    return make
