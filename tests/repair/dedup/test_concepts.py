"""Concept scores from banks of prompts, and what soft scores do to the fair policy."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.dedup import ConceptScores, bank_concepts, dedup, membership, neighbours, select
from fairvl.repair.dedup.concepts import Strata
from fairvl.sources.encoders import FakeEncoder
from fairvl.sources.prompts import load_bank
from fairvl.sources.store import write_store

ENCODER = FakeEncoder(64)


def near(texts, n, rng, spread=0.6):
    """Image vectors around the mean of some prompts."""
    v = ENCODER.encode_texts(texts)
    centre = v.mean(axis=0) / np.linalg.norm(v.mean(axis=0))
    noise = rng.standard_normal((n, 64))
    return centre + spread * noise / np.linalg.norm(noise, axis=1, keepdims=True)


@pytest.fixture
def pictures(tmp_path):
    """60 women, 140 men, 100 pictures without anybody, near the prompts that say so."""
    rng = np.random.default_rng(0)
    gender, gate = load_bank("zero-shot-gender"), load_bank("person-gate")
    person = near(gate.prompts("person").texts, 1, rng, 0.0)
    parts = [
        near(gender.prompts("female").texts, 60, rng) + 0.7 * person,
        near(gender.prompts("male").texts, 140, rng) + 0.7 * person,
        near(gate.prompts("object").texts, 100, rng),
    ]
    truth = np.repeat(["female", "male", ""], [60, 140, 100])
    store = write_store(
        tmp_path / "store", ids=[f"p{i}" for i in range(300)], image_vectors=np.concatenate(parts),
        columns={"truth": [v or None for v in truth], "age": ["young", "old"] * 150},
    )  # fmt: skip
    return store, truth


def test_prototypes_find_who_is_there_and_the_gate_who_is_not(pictures):
    store, truth = pictures
    found = bank_concepts(store, ["zero-shot-gender"], ENCODER)
    assert found.concepts.names == ("female", "male")
    assert (found.concepts.relevant == (truth != "")).mean() > 0.97
    here = truth != ""
    assert (found.concepts.scores[here].argmax(axis=1) == (truth[here] == "male")).mean() > 0.97
    assert np.allclose(found.concepts.scores.sum(axis=1), 1)
    everybody = bank_concepts(store, ["zero-shot-gender"], ENCODER, gate=None)
    assert everybody.concepts.relevant.all()


def test_banks_are_crossed(pictures):
    store, _ = pictures
    found = bank_concepts(store, ["zero-shot-gender", "zero-shot-age_group"], ENCODER)
    assert found.concepts.names == ("female, young", "female, old", "male, young", "male, old")
    single = found.attributes
    expected = single["gender"].scores[:, :1] * single["age_group"].scores
    assert np.allclose(found.concepts.scores[:, :2], expected)


def test_a_store_is_pruned_by_prompts(pictures, tmp_path):
    store, truth = pictures
    keep = dedup(
        store, tmp_path / "out", keep=0.6, concepts="zero-shot-gender", encoder=ENCODER, clusters=2,
        labels={"truth": store.columns("truth").tolist()},
    )  # fmt: skip
    share = (truth[keep.kept & (truth != "")] == "female").mean()
    assert abs(share - 0.3) < 0.05
    again = dedup(store, tmp_path / "crossed", keep=0.6, concepts="truth,age", clusters=2)
    assert again.ledger.sums.shape == (4,)


def test_a_gate_whose_words_are_unknown_is_left_out_and_said_so(pictures):
    store, _ = pictures

    class Closed(FakeEncoder):
        def unknown_words(self, texts):
            return [word for text in texts for word in text.split() if word in ("landscape", "diagram")]

    found = bank_concepts(store, ["zero-shot-gender"], Closed(64))
    assert "landscape" in found.note
    assert found.concepts.relevant.all()


def test_mistakes_with_banks_are_named(pictures):
    store, _ = pictures
    for banks, encoder, options, words in (
        ([], ENCODER, {}, "at least one"),
        (["zero-shot-gender", "zero-shot-gender"], ENCODER, {}, "once"),
        (["zero-shot-gender"], FakeEncoder(32), {}, "width 32"),
        (["zero-shot-gender"], ENCODER, {"gate": "zero-shot-skin"}, "tag 'person'"),
    ):
        with pytest.raises(InputError, match=words):
            bank_concepts(store, banks, encoder, **options)
    with pytest.raises(InputError, match="without concepts"):
        dedup(store, store.folder.parent / "o", keep=0.5, encoder=ENCODER)


def test_names_and_relevance_travel_with_scores():
    found = neighbours([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]], threshold=0.9)
    scores = ConceptScores(("man", "woman"), np.array([[1.0, 0], [0, 1.0], [1.0, 0]]), np.array([True, True, False]))
    got = select(found, concepts=scores, target={"woman": 1.0, "man": 0.0})
    assert got.kept.tolist() == [False, True, True]
    assert got.ledger.count == 1


# ----------------------------------------------------------------------------- soft scores


def blobs(seed, n=1200, k=160, d=64, spread=0.3):
    """Overlapping near-duplicates around k centres, 15 % of a minority in every one of them."""
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < 0.15).astype(int)
    centres = rng.standard_normal((k, d)) / np.sqrt(d)
    x = centres[rng.integers(k, size=n)] + spread * rng.standard_normal((n, d)) / np.sqrt(d)
    return x / np.linalg.norm(x, axis=1, keepdims=True), group


def test_soft_scores_hold_the_shares_of_groups_not_only_their_own_mean():
    shifts = {"strata": [], "means": []}
    for seed in range(4):
        x, group = blobs(seed)
        noise = np.random.default_rng(seed).standard_normal((len(group), 2))
        scores = membership(np.eye(2)[group] + 0.3 * noise)
        found = neighbours(x, threshold=0.9)
        target = scores.mean(axis=0)  # the same target given as numbers: means only
        for name, options in (("strata", {}), ("means", {"target": target})):
            kept = select(found, concepts=scores, **options).kept
            shifts[name].append(abs(group[kept].mean() - group.mean()))
            assert abs(scores[kept].mean(axis=0) - target).max() < 0.02
    assert np.mean(shifts["means"]) > 0.05, "equal means of noisy scores move the share"
    assert np.mean(shifts["strata"]) < 0.25 * np.mean(shifts["means"])


def test_strata_cut_scores_into_pieces_of_equal_size():
    rng = np.random.default_rng(0)
    scores, relevant = rng.random((1000, 2)), rng.random(1000) < 0.7
    strata = Strata.of(scores, relevant)
    assert np.abs(strata.shares - 0.1).max() < 0.01
    assert np.array_equal(strata.rows(scores).sum(axis=1), np.full(1000, 2.0))
    assert np.array_equal(Strata.read(strata.plain()).codes(scores), strata.codes(scores))
    order = rng.permutation(1000)
    again = Strata.of(scores[order], relevant[order])
    assert np.array_equal(again.edges, strata.edges)
    assert Strata.of(np.eye(2)[[0, 1, 1]], np.ones(3, bool)) is None, "labels are their own strata"
