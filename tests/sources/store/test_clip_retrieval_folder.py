"""A folder as clip-retrieval writes it opens as it is."""

import numpy as np
import pandas as pd
import pytest

from fairvl.errors import StoreError
from fairvl.sources.store import EmbeddingStore


def test_a_plain_folder_opens_without_a_manifest(plain, vectors):
    store = EmbeddingStore.open(plain)
    assert len(store) == 10
    assert store.card == {}
    assert not store.normalised
    assert store.manifest["format"] == "clip-retrieval"
    np.testing.assert_allclose(store.image_vectors.read(), vectors(10), atol=1e-3)
    store.verify()


def test_what_clip_retrieval_really_writes(tmp_path):
    # Unpadded numbers that do not sort as text, image_path instead of id, no text part, a partition-like folder name.
    folder = tmp_path / "lang=en" / "out"
    for part in ("img_emb", "metadata"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(3, 4)).astype(np.float16) for _ in range(11)]
    for number, array in enumerate(arrays):
        np.save(folder / f"img_emb/img_emb_{number}.npy", array)
        frame = pd.DataFrame({"image_path": [f"{number}-{row}.jpg" for row in range(3)], "caption": ["a", "b", None]})
        frame.to_parquet(folder / f"metadata/metadata_{number}.parquet")
    (folder / "img_emb" / "README").write_text("something else")
    store = EmbeddingStore.open(folder)
    assert store.ids[:4] == ("0-0.jpg", "0-1.jpg", "0-2.jpg", "1-0.jpg")
    assert store.ids[-1] == "10-2.jpg"
    np.testing.assert_array_equal(store.image_vectors.read(), np.concatenate(arrays).astype(np.float32))
    assert store.kinds == ("image",)
    assert store.column_names == ("id", "image_path", "caption")
    with pytest.raises(StoreError, match="no text vectors"):
        _ = store.text_vectors


def test_without_metadata_the_row_number_is_the_id(tmp_path):
    (tmp_path / "text_emb").mkdir()
    np.save(tmp_path / "text_emb/text_emb_0.npy", np.eye(3, dtype=np.float32))
    store = EmbeddingStore.open(tmp_path)
    assert store.ids == ("0", "1", "2")
    assert store.text_vectors.dtype == np.float32


def test_columns_whose_type_differs_between_shards_are_unified(plain):
    for number, value in ((0, 1), (1, 1.5), (2, None)):
        path = plain / f"metadata/metadata_{number:03d}.parquet"
        frame = pd.read_parquet(path)
        frame["mixed"] = value
        frame.to_parquet(path)
    np.testing.assert_array_equal(EmbeddingStore.open(plain).columns("mixed"), [1] * 4 + [1.5] * 4 + [np.nan] * 2)


def test_columns_that_cannot_be_unified_are_a_clear_error(plain):
    for number, value in ((0, 1), (1, "text")):
        path = plain / f"metadata/metadata_{number:03d}.parquet"
        frame = pd.read_parquet(path)
        frame["mixed"] = value
        frame.to_parquet(path)
    with pytest.raises(StoreError, match="metadata cannot be read"):
        EmbeddingStore.open(plain).table()
