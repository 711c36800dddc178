"""The shipped population: stored vectors as encoders, which answer for the stimuli of world-eat and nothing else."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import EncoderError
from fairvl.sources.encoders import load_encoder
from fairvl.sources.stimuli import load_registry
from fairvl.sources.world.population import FOLDER, MODELS, PERFORMANCE, population_names, write_population


@pytest.fixture(scope="module")
def sides():
    found = {}
    for case in load_registry("world-eat").cases:
        found.update({side.name: side for side in (case.x, case.y, case.a, case.b)})
    return found.values()


def picture(side, position):
    return Image.open(io.BytesIO(side.image(position))).convert("RGB")


def first():
    return load_encoder(f"world:population/{population_names()[0]}")


def test_every_stimulus_of_the_registry_is_stored(sides):
    encoder = first()
    for side in sides:
        if side.modality == "text":
            vectors = encoder.encode_texts(side.texts())
        else:
            vectors = encoder.encode_images([picture(side, i) for i in range(len(side.keys))])
            assert len(np.unique(vectors, axis=0)) == len(vectors)  # no two pictures are taken for each other
        assert vectors.shape == (len(side.keys), encoder.card.dim)
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-3)


def test_a_picture_drawn_with_other_rounding_is_the_same_picture(sides):
    side = next(side for side in sides if side.modality == "image")
    drawn = picture(side, 0)
    rounded = np.clip(np.asarray(drawn).astype(int) + np.random.default_rng(0).integers(-2, 3, (48, 48, 3)), 0, 255)
    other = Image.fromarray(rounded.astype(np.uint8))
    assert np.array_equal(first().encode_images([other]), first().encode_images([drawn]))


@pytest.mark.parametrize("change", ["flipped", "grey"])
def test_another_picture_is_refused(sides, change):
    drawn = np.asarray(picture(next(side for side in sides if side.modality == "image"), 0))
    other = drawn[:, ::-1] if change == "flipped" else np.full_like(drawn, 128)
    with pytest.raises(EncoderError, match="world-eat only"):
        first().encode_images([Image.fromarray(np.ascontiguousarray(other))])


def test_another_text_is_refused_with_the_nearest():
    with pytest.raises(EncoderError, match=r"nearest: 'a kind person'"):
        first().encode_texts(["a kin person"])


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(EncoderError, match="Did you mean"):
        load_encoder(f"world:population/{population_names()[0]}x")
    with pytest.raises(EncoderError, match="takes no folder"):
        load_encoder("world:vectors?folder=x")


def test_every_model_has_its_own_vectors_and_a_row_in_both_tables():
    names = population_names()
    cards = {load_encoder(f"world:population/{name}").card.weights for name in names}
    assert len(cards) == len(names) == len(set(names)) >= 32
    for table in (MODELS, PERFORMANCE):
        with open(FOLDER / table, encoding="utf-8", newline="") as file:
            assert [row["model"] for row in csv.DictReader(file)] == list(names)
    assert sum(file.stat().st_size for file in FOLDER.iterdir() if file.is_file()) < 1_500_000


def test_a_population_of_ones_own_is_read_back(tmp_path):
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    texts, images = rng.standard_normal((1, 1, 5)), rng.standard_normal((1, 2, 5))
    write_population(tmp_path, ["a"], ["one"], pictures, text_vectors=texts, picture_vectors=images)
    encoder = load_encoder("world:population/a", folder=str(tmp_path))
    assert np.allclose(encoder.encode_texts(["one"]), texts[0], atol=1e-2)
    assert np.allclose(encoder.encode_images([Image.fromarray(pictures[1])]), images[0, 1:], atol=1e-2)
    assert encoder.encode_texts([]).shape == encoder.encode_images([]).shape == (0, 5)


@pytest.mark.parametrize("content", [None, b"not safetensors"])
def test_a_folder_without_vectors_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "vectors.safetensors").write_bytes(content)
    with pytest.raises(EncoderError, match=r"vectors"):
        load_encoder("world:population/a", folder=str(tmp_path))
