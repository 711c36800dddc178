"""Damaged and hostile stores: every one is a StoreError, before a vector is used."""

import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest

from fairvl.errors import InputError, StoreError
from fairvl.sources.store import EmbeddingStore, write_store

IMAGE = "img_emb/img_emb_001.npy"
TEXT = "text_emb/text_emb_001.npy"
TABLE = "metadata/metadata_001.parquet"


class Exploit:
    def __reduce__(self):
        return os.system, ("touch exploited",)


def cut(path, left=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * left)])


def rewrite(path, change):
    np.save(path, change(np.load(path)))


def edit(store, **changes):
    path = store / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def table(path, change):
    change(pd.read_parquet(path)).to_parquet(path)


AT_OPENING = {
    "no such folder": (lambda s: s.rename(s.with_name("elsewhere")), "no such folder"),
    "pickled objects": (lambda s: np.save(s / IMAGE, np.array([[Exploit()]] * 4)), "pickled"),
    "a bare pickle": (lambda s: (s / IMAGE).write_bytes(pickle.dumps(Exploit())), "not a readable .npy"),
    "empty file": (lambda s: (s / IMAGE).write_bytes(b""), "not a readable .npy"),
    "cut header": (lambda s: cut(s / IMAGE, 0.1), "not a readable .npy"),
    "cut data": (lambda s: cut(s / IMAGE, 0.9), "truncated"),
    "longer data": (lambda s: (s / IMAGE).write_bytes((s / IMAGE).read_bytes() + b"x"), "longer"),
    "integers": (lambda s: rewrite(s / IMAGE, lambda a: a.astype(np.int8)), "dtype int8"),
    "complex": (lambda s: rewrite(s / IMAGE, lambda a: a.astype(np.complex64)), "dtype complex64"),
    "structured": (lambda s: np.save(s / IMAGE, np.zeros(4, [("a", "f4")])), "dtype"),
    "one dimension": (lambda s: rewrite(s / IMAGE, lambda a: a.ravel()), "shape"),
    "three dimensions": (lambda s: rewrite(s / IMAGE, lambda a: a[None]), "shape"),
    "width 0": (lambda s: rewrite(s / IMAGE, lambda a: a[:, :0]), "shape"),
    "column order": (lambda s: rewrite(s / IMAGE, np.asfortranarray), "column-major"),
    "another width": (lambda s: rewrite(s / IMAGE, lambda a: a[:, :5]), "5 x float16"),
    "another dtype": (lambda s: rewrite(s / IMAGE, lambda a: a.astype(np.float32)), "float32, but"),
    "more rows than the table": (lambda s: rewrite(s / IMAGE, lambda a: np.vstack([a, a])), "8 rows|4 rows"),
    "fewer rows in the table": (lambda s: table(s / TABLE, lambda t: t.head(3)), "3 rows in metadata and 4"),
    "a shard is missing": (lambda s: (s / IMAGE).unlink(), "img_emb: 2 shards.*text_emb: 3 shards"),
    "a table is missing": (lambda s: (s / TABLE).unlink(), "metadata: 2 shards"),
    "a text shard too many": (lambda s: np.save(s / "text_emb/text_emb_003.npy", np.eye(8)), "not in all of them"),
    "table is no parquet": (lambda s: (s / TABLE).write_bytes(b"PAR1 not really PAR1"), "not a readable parquet"),
    "two files of one number": (lambda s: np.save(s / "img_emb/img_emb_1.npy", np.eye(8)), "same number"),
    "no arrays at all": (
        lambda s: [p.unlink() for part in ("img_emb", "text_emb") for p in (s / part).iterdir()],
        "neither",
    ),
}
MANIFEST_ONLY = {
    "a newer version": (lambda s: edit(s, version=2), "version 2; this fairvl reads version 1. Update fairvl"),
    "an older version": (lambda s: edit(s, version=0), "Embed again"),
    "a version that is no number": (lambda s: edit(s, version="new"), "version 'new'"),
    "another format": (lambda s: edit(s, format="something"), "not the manifest of a store"),
    "a list": (lambda s: (s / "manifest.json").write_text("[1]"), "not the manifest"),
    "not JSON": (lambda s: (s / "manifest.json").write_bytes(b"\xff\x00"), "not JSON"),
    "deep nesting": (lambda s: (s / "manifest.json").write_text("[" * 100_000), "not JSON"),
    "no shards": (lambda s: edit(s, shards=None), "shards"),
    "odd shards": (lambda s: edit(s, shards=[{"rows": True, "files": {}}]), "shards"),
    "shards without hashes": (lambda s: edit(s, shards=[{"rows": 1, "files": {"a": {}}}]), "shards"),
    "other rows": (
        lambda s: edit(s, shards=[{**x, "rows": 3} for x in json.loads((s / "manifest.json").read_text())["shards"]]),
        "row counts",
    ),
    "a whole shard gone": (lambda s: [(s / name).unlink() for name in (IMAGE, TEXT, TABLE)], "3 files .* are missing"),
    "another size": (lambda s: table(s / TABLE, lambda t: t.assign(age="long text " * 5)), "the manifest says"),
    "a shard put in": (
        lambda s: [
            (s / name.replace("001", "009")).write_bytes((s / name).read_bytes()) for name in (IMAGE, TEXT, TABLE)
        ],
        "not in the manifest",
    ),
    "leaves the folder": (
        lambda s: edit(s, shards=[{"rows": 1, "files": {"../../secret": {"bytes": 1, "sha256": ""}}}]),
        "missing",
    ),
}


@pytest.mark.parametrize("name", AT_OPENING)
@pytest.mark.parametrize("kind", ["store", "clip-retrieval folder"])
def test_a_damaged_store_does_not_open(healthy, monkeypatch, name, kind):
    monkeypatch.chdir(healthy.parent)
    damage, message = AT_OPENING[name]
    if kind != "store":
        (healthy / "manifest.json").unlink()
    EmbeddingStore.open(healthy)  # power: it was healthy
    damage(healthy)
    with pytest.raises(StoreError, match=message):
        EmbeddingStore.open(healthy)
    assert not (healthy.parent / "exploited").exists()


@pytest.mark.parametrize("name", MANIFEST_ONLY)
def test_a_manifest_that_does_not_fit_does_not_open(healthy, name):
    damage, message = MANIFEST_ONLY[name]
    damage(healthy)
    with pytest.raises(StoreError, match=message):
        EmbeddingStore.open(healthy)


def test_an_unfinished_run_does_not_open_as_a_small_store(plain):
    (plain / ".jobs").mkdir()
    with pytest.raises(StoreError, match="unfinished run"):
        EmbeddingStore.open(plain)


def test_duplicate_ids_are_reported_before_use(plain):
    table(plain / TABLE, lambda t: t.assign(id=["id-0", "id-1", "id-1", "id-1"]))
    store = EmbeddingStore.open(plain)
    with pytest.raises(StoreError, match=r"2 ids occur more than once, first 'id-0' \(2 times\)"):
        _ = store.ids
    with pytest.raises(StoreError, match="more than once"):
        store.verify()


def test_missing_ids_are_reported(plain):
    table(plain / TABLE, lambda t: t.assign(id=["x", None, "y", "z"]))
    with pytest.raises(StoreError, match="1 rows have no id"):
        _ = EmbeddingStore.open(plain).ids


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_reported(plain, value):
    def spoil(array):
        array[2, 3] = value
        return array

    rewrite(plain / IMAGE, spoil)
    store = EmbeddingStore.open(plain)
    with pytest.raises(StoreError, match=r"1 of the image vectors read hold NaN or infinity, first row 6"):
        store.image_vectors.read()
    with pytest.raises(StoreError, match="first row 6"):
        list(store.image_vectors.blocks(3))
    assert len(store.image_vectors.read(slice(0, 6))) == 6  # the others are usable
    with pytest.raises(StoreError, match="1 image vectors hold NaN or infinity, first row 6"):
        store.verify()


def test_infinities_of_both_signs_do_not_cancel(plain):
    def spoil(array):
        array[0, :2] = np.inf, -np.inf
        return array

    rewrite(plain / IMAGE, spoil)
    with pytest.raises(StoreError, match="first row 4"):
        EmbeddingStore.open(plain).image_vectors.read()


def test_a_flipped_bit_passes_opening_and_fails_verify(healthy):
    path = healthy / IMAGE
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    store = EmbeddingStore.open(healthy)
    with pytest.raises(StoreError, match=r"img_emb_001\.npy is not what was written"):
        store.verify()


def test_unknown_names_are_refused(healthy):
    store = EmbeddingStore.open(healthy)
    with pytest.raises(StoreError, match=r"no column 'gender'\. It has id, caption, age"):
        store.columns("gender")
    with pytest.raises(StoreError, match="no row with the id 'nobody'"):
        store.rows(["id-1", "nobody"])


def write(folder, **changes):
    return write_store(folder, **{"ids": ["a", "b"], "image_vectors": np.eye(2), **changes})


REFUSED = {
    "no vectors": ({"image_vectors": None}, "at least one"),
    "one string as ids": ({"ids": "a"}, "2 rows; expected one per id, 1"),
    "numbers as ids": ({"ids": [1, 2]}, "not text"),
    "repeated ids": ({"ids": ["a", "a"]}, "1 repeat, first 'a'"),
    "ids that are no Unicode": ({"ids": ["a", "\udc80"]}, "not valid Unicode"),
    "too few ids": ({"ids": ["a"]}, "2 rows; expected one per id, 1"),
    "NaN image": ({"image_vectors": np.full((2, 2), np.nan)}, "NaN or infinity"),
    "part of a text is NaN": ({"text_vectors": np.array([[0, 1], [np.nan, 1]])}, "NaN or infinity"),
    "ragged": ({"image_vectors": [[1, 2], [3]]}, "rows of different lengths"),
    "text": ({"image_vectors": [["x"], ["y"]]}, "not numeric"),
    "a column called id": ({"columns": {"id": ["x", "y"]}}, "'id' is given"),
    "a column of two types": ({"columns": {"x": [1, "y"]}}, "columns\\['x'\\]"),
    "a short column": ({"columns": {"x": [1]}}, "1 values; expected one per id, 2"),
    "a card that is a string": ({"card": "CLIP"}, "card: str"),
    "another dtype": ({"dtype": "bfloat16"}, "expected 'float16' or 'float32'"),
    "no rows per shard": ({"rows_per_shard": 0}, "rows_per_shard=0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_writing_refuses_and_leaves_nothing(tmp_path, name):
    changes, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        write(tmp_path / "s", **changes)
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "s")  # power: without the change it is fine


@pytest.mark.parametrize("scale", [1e6, 1e-7, 2e-5])
def test_vectors_that_float16_would_bend_are_refused(tmp_path, scale):
    with pytest.raises(StoreError, match="does not fit into float16"):
        write(tmp_path / "s", image_vectors=np.random.default_rng(0).normal(size=(2, 2)) * scale)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty"):
        write(tmp_path / "s")
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["mine.txt"]
    (tmp_path / "s/mine.txt").unlink()
    assert len(write(tmp_path / "s")) == 2  # an empty folder is fine
