"""What is written is what is read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvl.sources.store import EmbeddingStore, write_store


def test_vectors_come_back_within_float16(tmp_path, vectors):
    exact = vectors(1000, 64)
    store = write_store(tmp_path / "s", ids=[str(row) for row in range(1000)], image_vectors=exact)
    read = store.image_vectors.read()
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, exact.astype(np.float16).astype(np.float32))
    cosines = (read * exact).sum(axis=1) / np.linalg.norm(read, axis=1)
    assert np.abs(cosines - 1).max() < 2e-5
    assert store.normalised


def test_float32_storage_is_exact(tmp_path, vectors):
    exact = vectors(20) * 1e6
    store = write_store(tmp_path / "s", ids=list("abcdefghijklmnopqrst"), text_vectors=exact, dtype="float32")
    np.testing.assert_array_equal(store.text_vectors.read(), exact)
    assert not store.normalised


ids = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=0, max_size=300), unique=True, max_size=30)


@settings(max_examples=30, deadline=None)
@given(ids, st.integers(1, 7))
def test_ids_of_any_length_and_script_come_back(tmp_path_factory, names, rows_per_shard):
    folder = tmp_path_factory.mktemp("store") / "s"
    write_store(folder, ids=names, image_vectors=np.ones((len(names), 2)), rows_per_shard=rows_per_shard)
    store = EmbeddingStore.open(folder)
    assert store.ids == tuple(names)
    assert len(store) == len(names)
    assert store.rows(list(reversed(names))).tolist() == list(reversed(range(len(names))))
    store.verify()


def test_columns_keep_their_types_and_their_missing_values(tmp_path, vectors):
    store = write_store(
        tmp_path / "s",
        ids=["a", "b", "c"],
        image_vectors=vectors(3),
        columns={
            "name": ["x", None, "ü"], "age": [1, None, 3], "year": [1, 2, 3], "share": [0.5, None, float("inf")],
            "flag": [True, None, False], "empty": [None, None, None],
        },
    )  # fmt: skip
    assert store.columns("name").tolist() == ["x", None, "ü"]
    np.testing.assert_array_equal(store.columns("age"), [1, np.nan, 3])
    assert store.columns("year").dtype == np.int64
    np.testing.assert_array_equal(store.columns("share"), [0.5, np.nan, np.inf])
    assert store.columns("flag").tolist() == [True, None, False]
    assert store.columns("empty").tolist() == [None, None, None] or np.isnan(store.columns("empty")).all()
    assert store.column_names == ("id", "name", "age", "year", "share", "flag", "empty")


def test_the_card_and_further_values_stand_in_the_manifest(tmp_path, vectors):
    from fairvl.sources.encoders.fake import FakeEncoder

    card = FakeEncoder(8).card
    store = write_store(tmp_path / "s", ids=["a"], image_vectors=vectors(1), card=card, extra={"made_by": "a test"})
    assert type(card).from_dict(store.card) == card
    assert store.manifest["made_by"] == "a test"


def test_the_same_content_has_the_same_fingerprint_wherever_it_lies(tmp_path, vectors):
    names = ["a", "b"]
    one = write_store(tmp_path / "one", ids=names, image_vectors=vectors(2))
    two = write_store(tmp_path / "two", ids=names, image_vectors=vectors(2))
    other = write_store(tmp_path / "other", ids=names, image_vectors=vectors(2, seed=5))
    assert one.fingerprint == two.fingerprint != other.fingerprint


def test_a_caption_without_vector_is_missing_not_zero(tmp_path, vectors):
    texts = vectors(3)
    texts[1] = np.nan
    store = write_store(
        tmp_path / "s", ids=["a", "b", "c"], image_vectors=vectors(3), text_vectors=texts,
        columns={"caption": ["x", None, "z"]},
    )  # fmt: skip
    assert store.manifest["text"]["missing"] == 1
    assert store.text_vectors.present().tolist() == [True, False, True]
    assert np.isfinite(store.text_vectors.read(store.text_vectors.present())).all()
    assert np.isnan(store.text_vectors.read(missing="keep")[1]).all()
    with pytest.raises(Exception, match=r"1 of the text vectors.*first row 1.*without a caption"):
        store.text_vectors.read()
    store.verify()


def test_nothing_is_written_where_something_is_wrong(tmp_path, vectors):
    with pytest.raises(ValueError, match="2 values"):
        write_store(tmp_path / "s", ids=["a"], image_vectors=vectors(1), columns={"x": [1, 2]})
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_no_rows_is_a_store(tmp_path):
    store = write_store(tmp_path / "s", ids=[], image_vectors=np.zeros((0, 4)))
    assert store.image_vectors.read().shape == (0, 4)
    assert list(store.image_vectors.blocks(3)) == []
    assert store.image_vectors.present().shape == (0,)
    store.verify()
