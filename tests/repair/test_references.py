"""Labelled images as references: a dataset that is encoded now, or a store that was written before."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import EncoderError, InputError
from fairvl.repair.debias import debias
from fairvl.sources.embed import embed
from fairvl.sources.encoders import FakeEncoder, encoder
from fairvl.sources.store import EmbeddingStore

DIM, N = 24, 30
GENDER = np.eye(DIM)[1]


def read_images(images):
    """A shared mean, the gender in the red channel, and noise from the other pixels."""
    rows = []
    for image in images:
        pixels = np.asarray(image, np.float64) / 255
        rows.append(2 * np.eye(DIM)[0] + (2 * pixels[0, 0, 0] - 1) * GENDER + np.r_[0, 0, pixels[:, :, 2].ravel()[:22]])
    return np.array(rows, np.float32)


def read_texts(texts):
    return np.array([np.random.default_rng(zlib.crc32(t.encode())).normal(size=DIM) for t in texts], np.float32)


@pytest.fixture(scope="module")
def model():
    return encoder(text_fn=read_texts, image_fn=read_images, card=FakeEncoder(DIM).card)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    lines = ["file,sex"]
    for number in range(N):
        pixels = np.zeros((5, 5, 3), np.uint8)
        pixels[:, :, 0] = 255 * (number % 2)
        pixels[:, :, 2] = rng.integers(0, 256, (5, 5))
        Image.fromarray(pixels).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{('woman', 'man', '')[2 if number >= N - 4 else number % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"folder:{folder}?metadata=labels.csv"


@pytest.fixture(scope="module")
def vectors(pictures):
    from fairvl.sources.datasets import decode_image, load_dataset

    rows = read_images([decode_image(record.image()) for record in load_dataset(pictures)]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[: N - 4 : 2], rows[1 : N - 4 : 2]  # the last four have no label


def gap(query, groups):
    return abs(float(query @ groups[0].mean(axis=0) - query @ groups[1].mean(axis=0)))


def test_a_query_becomes_equally_similar_to_both_groups_of_live_images(model, pictures, vectors):
    operator = debias(model, method="equalised", references=pictures)
    queries = read_texts(["a doctor", "a nurse", "a clerk"]).astype(np.float64)
    assert max(gap(query, vectors) for query in queries) > 0.2
    assert max(gap(operator(query), vectors) for query in queries) < 1e-6
    assert not operator.applies_to_images  # it repairs queries
    note = next(note for note in operator.card.notes if "images of folder:" in note)
    assert note.startswith(f"fitted on {N - 4} labelled")
    assert note.endswith("; 4 more have no label")


def test_live_images_and_their_store_fit_the_same_operator(model, pictures, tmp_path):
    live = debias(model, method="equalised", references=pictures)
    embed(model, pictures, tmp_path / "store", workers=0)
    stored = debias(model, method="equalised", references=EmbeddingStore.open(tmp_path / "store"))
    np.testing.assert_allclose(stored.matrix(), live.matrix(), atol=2e-3)  # stored as float16


@pytest.mark.parametrize("method", ["mean-difference", "leace", "imputation"])
def test_other_fits_take_live_images_and_are_meant_for_images_then(model, pictures, vectors, method):
    operator = debias(model, method=method, references=pictures, features=4)
    assert operator.applies_to_images
    means = [operator(group).mean(axis=0) for group in vectors]
    before = np.linalg.norm(vectors[0].mean(axis=0) - vectors[1].mean(axis=0))
    assert np.linalg.norm(means[0] - means[1]) < 0.3 * before


def test_unusable_references_are_refused(model, pictures, tmp_path):
    with pytest.raises(InputError, match="no labels of age"):
        debias(model, attribute="age", method="equalised", references=pictures)
    with pytest.raises(InputError, match="fitted on prompts"):
        debias(model, method="orthogonal", references=pictures)
    embed(model, pictures, tmp_path / "store", workers=0)
    other = encoder(text_fn=read_texts, image_fn=read_images, card=replace(model.card, weights="others"))
    with pytest.raises(EncoderError, match=r"encoder|store"):
        debias(other, method="equalised", references=EmbeddingStore.open(tmp_path / "store"))
