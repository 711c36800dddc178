"""An operator over a store: the numbers of the operator, everything else copied, killed and resumed, refusals."""

import dataclasses
import shutil

import numpy as np
import pytest

from fairvl.errors import ConfigMismatchError, InputError, JobError, OperatorError, StoreError
from fairvl.repair.debias import CircleMethod, FeatureImputation, Leace, OrthogonalProjection, apply
from fairvl.repair.debias.halves import narrow, widen
from fairvl.sources.encoders import FakeEncoder
from fairvl.sources.store import EmbeddingStore, write_store

DIM = 24


@pytest.fixture
def store(slow, tmp_path):
    texts = slow.rows(1, 50, DIM)
    texts[7] = np.nan
    return write_store(
        tmp_path / "store", ids=[f"row {i}" for i in range(50)], image_vectors=slow.rows(0, 50, DIM),
        text_vectors=texts,
        columns={"caption": [None if i == 7 else f"c{i}" for i in range(50)], "age": list(range(50))},
        card=FakeEncoder(DIM).card, rows_per_shard=20, extra={"texts_over_length": 3},
    )  # fmt: skip


@pytest.fixture
def operator(slow):
    return OrthogonalProjection().fit(slow.rows(2, 3, DIM)).described(encoder=FakeEncoder(DIM).card.as_dict())


def test_text_vectors_go_through_and_all_else_is_copied(store, operator, tmp_path):
    after = apply(operator, store, tmp_path / "out")
    kept = np.arange(50) != 7
    expected = operator(store.text_vectors.read(kept).astype(np.float16))
    np.testing.assert_array_equal(after.text_vectors.read(kept).astype(np.float16), expected)
    assert abs(after.text_vectors.read(kept) - store.text_vectors.read(kept)).max() > 0.1
    assert np.isnan(after.text_vectors.read([7], missing="keep")).all()
    np.testing.assert_array_equal(after.image_vectors.read(), store.image_vectors.read())
    assert after.table().equals(store.table())
    assert after.ids == store.ids
    assert after.manifest["texts_over_length"] == 3
    assert after.manifest["text"]["missing"] == 1
    assert after.manifest["image"] == store.manifest["image"]
    assert not after.manifest["text"]["normalised"]
    assert after.manifest["applied"]["operator"] == operator.fingerprint
    assert after.card["weights"] == operator.wrap(FakeEncoder(DIM)).card.weights
    after.verify()


@pytest.mark.parametrize("make", ["circle", "leace", "imputation", "dense"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_every_kind_of_operator_and_both_sides(slow, tmp_path, make, dtype):
    rows = slow.rows(3, 60, DIM)
    store = write_store(
        tmp_path / "s", ids=[str(i) for i in range(60)], image_vectors=rows, dtype=dtype, card=FakeEncoder(DIM).card
    )
    labels = ["a", "b"] * 30
    operator = {
        "circle": CircleMethod().fit, "leace": Leace().fit, "imputation": FeatureImputation(features=3, trees=5).fit,
        "dense": lambda x, _: OrthogonalProjection().fit(x[:20]),
    }[make](rows, labels)  # fmt: skip
    after = apply(operator, store, tmp_path / "o", sides="image", allow_other_encoder=True)
    tolerance = 2e-3 if dtype == "float16" else 1e-6
    np.testing.assert_allclose(after.image_vectors.read(), operator(store.image_vectors.read()), atol=tolerance)
    assert after.image_vectors.dtype == np.dtype(dtype)
    assert after.card["weights"].endswith("on text+image" if make == "circle" else "on image")


def test_renormalised_rows_have_unit_length_and_vanished_ones_are_counted(slow, tmp_path):
    prompts = slow.rows(4, 3, DIM)
    operator = OrthogonalProjection().fit(prompts)
    rows = np.concatenate([slow.rows(5, 10, DIM), prompts[:2]])
    store = write_store(tmp_path / "s", ids=[str(i) for i in range(12)], text_vectors=rows)
    after = apply(operator, store, tmp_path / "o", renormalise=True)
    length = np.linalg.norm(after.text_vectors.read(), axis=1)
    np.testing.assert_allclose(length[:10], 1.0, atol=1e-3)
    assert not length[10:].any()
    assert after.manifest["applied"]["vanished"] == 2
    plain = apply(operator, store, tmp_path / "p")
    assert np.linalg.norm(plain.text_vectors.read(), axis=1).max() < 1.0


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_it_is_the_uninterrupted_store(store, operator, tmp_path, workers, monkeypatch):
    whole = apply(operator, store, tmp_path / "whole", workers=workers)
    import fairvl.repair.debias.applying as module

    done = []

    def dies(*arguments, **options):
        if done:
            raise RuntimeError("killed")
        done.append(1)
        return treat(*arguments, **options)

    treat = module.treat_file
    monkeypatch.setattr(module, "treat_file", dies)
    with pytest.raises(JobError, match="killed"):
        apply(operator, store, tmp_path / "broken", workers=0)
    with pytest.raises(StoreError, match="unfinished"):
        EmbeddingStore.open(tmp_path / "broken")
    monkeypatch.setattr(module, "treat_file", treat)
    again = apply(operator, store, tmp_path / "broken", workers=workers)
    assert again.fingerprint == whole.fingerprint
    stamp = (tmp_path / "broken/text_emb/text_emb_000.npy").stat().st_mtime_ns
    apply(operator, store, tmp_path / "broken", workers=0)
    assert (tmp_path / "broken/text_emb/text_emb_000.npy").stat().st_mtime_ns == stamp
    with pytest.raises(ConfigMismatchError, match="renormalise"):
        apply(operator, store, tmp_path / "broken", renormalise=True)


def test_parts_on_several_machines_make_the_same_store(store, operator, tmp_path):
    whole = apply(operator, store, tmp_path / "whole")
    assert apply(operator, store, tmp_path / "parts", engine="shard:0/2") is None
    apply(operator, store, tmp_path / "parts", engine="shard:1/2")
    assert apply(operator, store, tmp_path / "parts").fingerprint == whole.fingerprint


def test_another_encoder_is_refused_unless_told(store, operator, slow, tmp_path):
    other = operator.described(encoder={**operator.card.encoder, "weights": "others"})
    with pytest.raises(OperatorError, match=r"another encoder.*allow"):
        apply(other, store, tmp_path / "o")
    assert not (tmp_path / "o").exists()
    assert len(apply(other, store, tmp_path / "o", allow_other_encoder=True)) == 50
    with pytest.raises(OperatorError, match="another encoder"):
        apply(operator, apply(operator, store, tmp_path / "once"), tmp_path / "twice")
    with pytest.raises(OperatorError, match="width"):
        apply(OrthogonalProjection().fit(slow.rows(6, 2, DIM + 1)), store, tmp_path / "x")


def test_a_plain_clip_retrieval_folder_works_when_told(slow, operator, tmp_path):
    rows = slow.rows(7, 30, DIM).astype(np.float16)
    (tmp_path / "plain/text_emb").mkdir(parents=True)
    for n in range(3):
        np.save(tmp_path / f"plain/text_emb/text_emb_{n}.npy", rows[10 * n : 10 * n + 10])
    with pytest.raises(OperatorError, match="does not say"):
        apply(operator, tmp_path / "plain", tmp_path / "o")
    after = apply(operator, tmp_path / "plain", tmp_path / "o", allow_other_encoder=True)
    np.testing.assert_array_equal(after.text_vectors.read(), operator(rows).astype(np.float32))
    assert after.ids == tuple(str(i) for i in range(30))


def test_unusable_requests_are_refused(store, operator, slow, tmp_path):
    images = write_store(tmp_path / "i", ids=["a"], image_vectors=slow.rows(8, 1, DIM), card=FakeEncoder(DIM).card)
    with pytest.raises(OperatorError, match="sides='image'"):
        apply(operator, images, tmp_path / "o")
    with pytest.raises(StoreError, match="no text"):
        apply(operator, images, tmp_path / "o", sides="text")
    with pytest.raises(InputError, match="sides"):
        apply(operator, store, tmp_path / "o", sides="audio")
    with pytest.raises(InputError, match="itself"):
        apply(operator, store, store.folder)
    shutil.copytree(store.folder, tmp_path / "bad")
    vectors = np.load(tmp_path / "bad/text_emb/text_emb_001.npy")
    vectors[3, 2] = np.inf
    np.save(tmp_path / "bad/text_emb/text_emb_001.npy", vectors)
    with pytest.raises(JobError, match="infinity"):
        apply(operator, tmp_path / "bad", tmp_path / "o")
    grown = dataclasses.replace(operator, left=operator.left * 1e8, header=operator.card)
    with pytest.raises(JobError, match="fit into float16"):
        apply(grown, store, tmp_path / "big")


def narrowed(values):
    out = np.empty(values.shape, np.float16)
    narrow(values.copy(), np.empty(values.shape, np.uint32), out)
    return out


def test_halves_are_widened_exactly_and_narrowed_to_the_nearest():
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    wide = np.empty(65536, np.float32)
    assert widen(every, wide) == np.inf
    np.testing.assert_array_equal(wide, every.astype(np.float32))
    finite = np.isfinite(every)
    np.testing.assert_array_equal(narrowed(wide[finite]).view(np.uint16), every[finite].view(np.uint16))
    rng = np.random.default_rng(0)
    values = (rng.normal(size=200_000) * 10.0 ** rng.integers(-4, 4, 200_000)).astype(np.float32)
    values = values[(abs(values) > 2.0**-14) & (abs(values) < 65_000)]
    np.testing.assert_array_equal(narrowed(values), values.astype(np.float16))
    ties = np.float32(1.0) + np.arange(1, 20, 2, dtype=np.float32) * np.float32(2.0**-11)
    np.testing.assert_array_equal(narrowed(ties), ties.astype(np.float16))


@pytest.mark.parametrize("values", [[0.5, -3.0, 1.0], [2.0, -0.0], [-7.0], [0.0], [65504.0, -65504.0]])
def test_widening_says_how_large_the_largest_value_is(values):
    halves = np.array(values, np.float16)
    assert widen(halves, np.empty(len(values), np.float32)) == abs(halves).max()
    for odd in (np.inf, -np.inf, np.nan, -np.float16(np.nan)):
        halves[-1] = odd
        assert widen(halves, np.empty(len(values), np.float32)) == np.inf
