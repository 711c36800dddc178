"""Recall of captions and images in the audit: what brute force counts, in both directions, before and after."""

from dataclasses import replace

import numpy as np
import pytest

from fairvl.arrays import unit_rows
from fairvl.measure.audit import audit
from fairvl.measure.audit.material import gather_images
from fairvl.measure.audit.pairs import gather_pairs
from fairvl.measure.audit.suite import load_suite
from fairvl.sources.encoders import EncoderCard, encoder
from fairvl.sources.store import EmbeddingStore, write_store

DIM = 24


def words(texts):
    """A text's own direction, from its bytes."""
    rows = [np.random.default_rng(list(text.encode())).normal(size=DIM) for text in texts]
    return np.array(rows)


@pytest.fixture
def made(tmp_path):
    """A store of captioned images near their captions, several of which share a caption."""
    rng = np.random.default_rng(0)
    captions = [f"a person with thing {i // 2 if i < 20 else i}" for i in range(60)]
    captions[7] = None
    known = [c is not None for c in captions]
    vectors = words([c or "nothing" for c in captions])
    texts = np.where(np.array(known)[:, None], unit_rows(vectors), np.nan)
    images = unit_rows(unit_rows(vectors) + rng.normal(scale=0.6, size=vectors.shape))
    card = EncoderCard(library="callable", name="toy", weights="v1", dim=DIM)
    columns = {"caption": captions, "gender": ["female", "male"] * 30}
    write_store(tmp_path / "store", ids=[str(i) for i in range(60)], image_vectors=images, text_vectors=texts,
                card=card, columns=columns)  # fmt: skip
    model = encoder(image_fn=lambda pictures: np.ones((len(pictures), DIM)), text_fn=words, card=card)
    return model, EmbeddingStore.open(tmp_path / "store"), captions


def brute(texts, images, captions, k, *, from_text):
    """Sort and look; no ties in this data."""
    distinct = list(dict.fromkeys(c for c in captions if c is not None))
    rows = [i for i, c in enumerate(captions) if c is not None]
    vectors = {c: texts[captions.index(c)] for c in distinct}
    hits = []
    if from_text:
        for c in distinct:
            order = sorted(rows, key=lambda i: -float(vectors[c] @ images[i]))
            hits.append(any(captions[i] == c for i in order[:k]))
    else:
        for i in rows:
            order = sorted(distinct, key=lambda c: -float(vectors[c] @ images[i]))
            hits.append(captions[i] in order[:k])
    return np.mean(hits), len(hits)


def test_recall_equals_sorting_by_hand_in_both_directions(made):
    model, store, captions = made
    found = audit(model, dataset=store, draws=100)
    images = unit_rows(store.image_vectors.read().astype(np.float64))
    texts = store.text_vectors.read(missing="keep").astype(np.float64)
    seen = []
    for direction, from_text in (("text to image", True), ("image to text", False)):
        for k in (1, 5, 10):
            row = found.one(metric="recall_at_k", task=f"retrieval, {direction}", k=k)
            value, n = brute(texts, images, captions, k, from_text=from_text)
            assert row.value == pytest.approx(value)
            assert row.n == n
            assert row.low <= row.value <= row.high
            assert row.extra["role"] == "utility"
            seen.append(value)
    assert 0.2 < min(seen) < max(seen) <= 1  # there is something to measure


def test_captions_of_a_store_and_encoded_ones_are_the_same(made):
    model, store, _ = made
    images = gather_images(model, store, load_suite("core"), None, lambda items, _: items)
    stored = gather_pairs(model, images, 0)
    encoded = gather_pairs(model, replace(images, caption_vectors=None), 0)
    np.testing.assert_array_equal(stored.caption, encoded.caption)
    np.testing.assert_allclose(stored.texts, encoded.texts, atol=2e-3)


def test_a_repair_that_destroys_captions_shows_and_one_that_does_nothing_does_not(made):
    model, store, _ = made
    noise = np.random.default_rng(1).normal(size=(DIM, DIM))
    found = audit(model, dataset=store, operator={"nothing": lambda v: v, "noise": lambda v: v @ noise}, draws=200)
    row = {"metric": "recall_at_k", "task": "retrieval, text to image", "k": 5, "arm": "difference"}
    same, broken = found.one(**row, repair="nothing"), found.one(**row, repair="noise")
    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert broken.high < -0.2
    before = found.one(**{**row, "arm": "before"})
    after = found.one(**{**row, "arm": "after"}, repair="noise")
    assert broken.value == pytest.approx(after.value - before.value)
    gone = audit(model, dataset=store, operator={"zero": np.zeros_like}, draws=100)
    lost = gone.one(**{**row, "arm": "after"}, repair="zero")
    assert lost.value == pytest.approx(5 / 59, abs=0.06)  # all tie: what chance gives, never 1


def test_images_without_captions_have_no_recall(made, tmp_path):
    model = made[0]
    write_store(tmp_path / "bare", ids=["a", "b", "c"], image_vectors=np.eye(3, DIM), card=model.card,
                columns={"gender": ["female", "male", "male"]})  # fmt: skip
    found = audit(model, dataset=EmbeddingStore.open(tmp_path / "bare"), draws=100)
    assert not found.where(metric="recall_at_k")


def test_many_pairs_are_sampled_by_the_seed_and_said(made, monkeypatch):
    model, store, _ = made
    monkeypatch.setattr("fairvl.measure.audit.pairs.MOST", 30)
    images = gather_images(model, store, load_suite("core"), None, lambda items, _: items)
    one, two, other = (gather_pairs(model, images, seed).rows.tolist() for seed in (0, 0, 1))
    assert one == two == sorted(one)
    assert one != other
    row = audit(model, dataset=store, draws=100).one(metric="recall_at_k", task="retrieval, image to text", k=5)
    assert row.n == 30
    assert "29 captioned images left out at random" in row.note
