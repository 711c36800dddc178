"""Stored vectors as an encoder: exact strings and ids, nearest entries in errors."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import EncoderError, StoreError
from fairvl.sources.encoders import EncoderCard, check_encoder, load_encoder
from fairvl.sources.store import write_store

CARD = EncoderCard(library="open_clip", name="ViT-B-32", weights="openai", dim=6)
TEXTS = ["a photo of a nurse", "a photo of a doctor", "a photo of a person"]
IDS = ["img-1", "img-2", "ünï-3"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 6)).astype(np.float16)
    texts = rng.normal(size=(4, 6)).astype(np.float16)
    write_store(tmp_path / "s" / "images", ids=IDS, image_vectors=images, card=CARD)
    ids = ["t0", "t1", "t2", "t3"]
    captions = [*TEXTS, TEXTS[0]]
    texts[3] = texts[0]
    write_store(tmp_path / "s" / "texts", ids=ids, text_vectors=texts, columns={"caption": captions}, card=CARD)
    return tmp_path / "s", images.astype(np.float32), texts.astype(np.float32)


def test_answers_by_exact_string_and_id(folder):
    path, images, texts = folder
    encoder = load_encoder(f"stored:{path}")
    np.testing.assert_array_equal(encoder.encode_texts([TEXTS[2], TEXTS[0], TEXTS[2]]), texts[[2, 0, 2]])
    np.testing.assert_array_equal(encoder.encode_ids(["ünï-3", "img-1"]), images[[2, 0]])
    np.testing.assert_array_equal(encoder.encode_images([SimpleNamespace(id="img-2"), "img-1"]), images[[1, 0]])
    assert encoder.ids == tuple(IDS)
    assert encoder.texts == tuple(TEXTS)
    assert (encoder.card.name, encoder.card.weights, encoder.card.dim) == ("ViT-B-32", "openai", 6)


def test_conforms(folder):
    check_encoder(load_encoder(f"stored:{folder[0]}"), images=IDS, texts=TEXTS)


def test_unknown_entries_name_the_nearest(folder):
    encoder = load_encoder(f"stored:{folder[0]}")
    with pytest.raises(EncoderError, match=r"'a photo of a nurs' .nearest: 'a photo of a nurse'"):
        encoder.encode_texts(["a photo of a nurs"])
    with pytest.raises(EncoderError, match="nearest: 'img-1'"):
        encoder.encode_ids(["img-10"])
    with pytest.raises(EncoderError, match="and 4 more"):
        encoder.encode_texts([f"unknown {n}" for n in range(7)])


def test_pictures_are_refused(folder):
    encoder = load_encoder(f"stored:{folder[0]}")
    with pytest.raises(EncoderError, match="holds vectors, not a model"):
        encoder.encode_images([Image.new("RGB", (8, 8))])
    with pytest.raises(EncoderError, match="expected a list of ids"):
        encoder.encode_images("img-1")


def test_one_store_with_both_sides(tmp_path):
    vectors = np.eye(3, 4, dtype=np.float32)
    captions = ["one", None, "three"]
    texts = vectors[::-1].copy()
    texts[1] = np.nan
    write_store(
        tmp_path / "s", ids=["a", "b", "c"], image_vectors=vectors, text_vectors=texts, columns={"caption": captions}
    )
    encoder = load_encoder(f"stored:{tmp_path / 's'}")
    np.testing.assert_array_equal(encoder.encode_texts(["three"]), vectors[:1])
    np.testing.assert_array_equal(encoder.encode_ids(["b"]), vectors[1:2])
    assert (encoder.card.library, encoder.card.name) == ("stored", "stored:s")


def test_one_side_only(tmp_path):
    write_store(tmp_path / "texts-only", ids=["a nurse"], text_vectors=np.eye(1, 3))
    encoder = load_encoder(f"stored:{tmp_path / 'texts-only'}")
    assert encoder.card.modalities == ("text",)
    np.testing.assert_array_equal(encoder.encode_texts(["a nurse"]), np.eye(1, 3))  # no captions: the ids are the texts
    with pytest.raises(EncoderError, match="no image vectors"):
        encoder.encode_ids(["a"])


def test_stores_of_different_encoders_or_widths(tmp_path):
    write_store(tmp_path / "s" / "images", ids=["a"], image_vectors=np.eye(1, 6), card=CARD)
    other = EncoderCard(library="open_clip", name="ViT-L-14", weights="openai", dim=6)
    write_store(tmp_path / "s" / "texts", ids=["t"], text_vectors=np.eye(1, 6), columns={"caption": ["x"]}, card=other)
    with pytest.raises(EncoderError, match=r"different encoders .name: 'ViT-B-32' and 'ViT-L-14'"):
        load_encoder(f"stored:{tmp_path / 's'}")
    write_store(tmp_path / "w" / "images", ids=["a"], image_vectors=np.eye(1, 6))
    write_store(tmp_path / "w" / "texts", ids=["t"], text_vectors=np.eye(1, 5), columns={"caption": ["x"]})
    with pytest.raises(EncoderError, match="widths"):
        load_encoder(f"stored:{tmp_path / 'w'}")


def test_one_text_with_two_vectors(tmp_path):
    write_store(tmp_path / "s", ids=["a", "b"], text_vectors=np.eye(2), columns={"caption": ["x", "x"]})
    with pytest.raises(EncoderError, match="stored 2 times with different vectors"):
        load_encoder(f"stored:{tmp_path / 's'}").encode_texts(["x"])


def test_folders_without_a_store(tmp_path):
    with pytest.raises(EncoderError, match="is not a folder"):
        load_encoder(f"stored:{tmp_path / 'absent'}")
    with pytest.raises((EncoderError, StoreError)):
        load_encoder(f"stored:{tmp_path}")
