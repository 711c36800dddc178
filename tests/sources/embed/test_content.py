"""A store holds the encoder's own vectors, row by row beside the records they came from."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from fairvl.errors import DatasetError, EncoderError, InputError, JobError, StoreError
from fairvl.sources.datasets import Record, decode_image
from fairvl.sources.embed import embed
from fairvl.sources.encoders import EncoderCard, encoder
from fairvl.sources.encoders.fake import FakeEncoder
from fairvl.sources.store import EmbeddingStore

FAKE = FakeEncoder(8)


class Listed:
    """A dataset in memory."""

    name = "listed"
    problems = ()

    def __init__(self, records):
        self.records = list(records)
        self.fingerprint = str([record.id for record in self.records])

    def __len__(self):
        return len(self.records)

    def __iter__(self):
        return iter(self.records)

    def shards(self, rows):
        starts = range(0, len(self.records), rows)
        return tuple({"start": start, "stop": min(start + rows, len(self.records))} for start in starts)

    def read(self, spec):
        return iter(self.records[spec["start"] : spec["stop"]])


def test_every_row_is_the_encoders_vector_of_its_record(tmp_path, dataset):
    store = embed(FAKE, dataset, tmp_path / "s", batch=4, rows_per_shard=10, workers=0)
    store.verify()
    records = {record.id: record for record in dataset}
    assert [id_ for id_ in records if id_ in store.ids] == list(store.ids)
    assert len(store) == 49
    assert store.manifest["shards"][0]["rows"] == 7  # 10 rounds down to two whole batches, one record is bad
    images = FAKE.encode_images([decode_image(records[id_].image()) for id_ in store.ids])
    np.testing.assert_allclose(store.image_vectors.read(), images, atol=5e-4)
    captioned = [row for row, id_ in enumerate(store.ids) if records[id_].caption]
    np.testing.assert_array_equal(np.flatnonzero(store.text_vectors.present()), captioned)
    texts = FAKE.encode_texts([records[store.ids[row]].caption for row in captioned])
    np.testing.assert_allclose(store.text_vectors.read(captioned), texts, atol=5e-4)
    assert store.columns("caption").tolist() == [records[id_].caption for id_ in store.ids]
    assert store.columns("group").tolist() == [records[id_].attributes["group"] for id_ in store.ids]
    ages = [np.nan if (age := records[id_].attributes["age"]) is None else age for id_ in store.ids]
    np.testing.assert_array_equal(store.columns("age"), ages)
    assert store.normalised
    assert EncoderCard.from_dict(store.card) == FAKE.card
    assert store.manifest["embed"]["dataset"] == dataset.fingerprint


def test_what_cannot_be_decoded_is_counted_listed_and_left_out(tmp_path, pictures, capsys):
    folder = tmp_path / "pictures"
    (folder / "08.png").unlink()
    (folder / "09.png").write_bytes(b"not a picture")
    (folder / "10.png").write_bytes(b"")
    store = embed("fake:8", pictures, tmp_path / "s", workers=0)
    assert [id_ for id_, _ in store.skipped] == ["07.png", "08.png", "09.png", "10.png"]
    assert all(reason for _, reason in store.skipped)
    assert store.manifest["skipped"]["count"] == 4
    assert len(store) == 46
    assert not {"07.png", "08.png", "09.png", "10.png"} & set(store.ids)
    assert "4 records left out" in capsys.readouterr().err
    store.verify()


def test_a_changed_list_of_what_was_left_out_fails_verify(tmp_path, dataset):
    store = embed(FAKE, dataset, tmp_path / "s", workers=0)
    (tmp_path / "s/skipped.parquet").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"skipped\.parquet"):
        store.verify()


def test_an_extremely_narrow_picture_is_left_out(tmp_path):
    def png(size):
        file = io.BytesIO()
        Image.new("RGB", size).save(file, "PNG")
        return file.getvalue()

    records = [Record("ok", lambda: png((20, 10))), Record("narrow", lambda: png((1, 3000)))]
    store = embed(FAKE, Listed(records), tmp_path / "s")
    assert store.ids == ("ok",)
    assert store.skipped[0][0] == "narrow"
    assert "1 x 3000" in store.skipped[0][1]


def test_texts_alone_make_a_store_without_images(tmp_path):
    records = [Record("a", None, "one"), Record("b", None, "two"), Record("c", None, None)]
    store = embed(FAKE, Listed(records), tmp_path / "s", workers=0)
    assert store.kinds == ("text",)
    assert store.ids == ("a", "b")
    assert store.skipped == (("c", "has no image and no caption"),)
    np.testing.assert_allclose(store.text_vectors.read(), FAKE.encode_texts(["one", "two"]), atol=5e-4)


def test_images_alone_keep_their_captions_in_the_table(tmp_path, dataset):
    store = embed(FAKE, dataset, tmp_path / "s", kinds="image", workers=0)
    assert store.kinds == ("image",)
    assert "person 1" in store.columns("caption").tolist()


def test_a_part_that_only_some_shards_have_is_missing_in_the_others(tmp_path):
    pixel = FAKE.encode_images([np.zeros((2, 2, 3), np.uint8)])
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    picture = file.getvalue()
    records = [Record(str(r), (lambda: picture) if r < 6 else None, "text" if r > 5 else None) for r in range(8)]
    store = embed(FAKE, Listed(records), tmp_path / "s", batch=2, rows_per_shard=2)
    assert store.image_vectors.present().tolist() == [True] * 6 + [False] * 2
    assert store.text_vectors.present().tolist() == [False] * 6 + [True] * 2
    np.testing.assert_allclose(store.image_vectors.read([0]), pixel, atol=5e-4)
    assert (store.manifest["image"]["missing"], store.manifest["text"]["missing"]) == (2, 6)
    store.verify()


@pytest.mark.parametrize(
    ("values", "arrow", "expected"),
    [
        ([1, 2, None, 4], pa.int64(), [1, 2, None, 4]),
        ([1, None, 0.5, 3], pa.float64(), [1, None, 0.5, 3]),
        ([True, None, False, True], pa.bool_(), [True, None, False, True]),
        ([1, "x", None, 2.5], pa.string(), ["1", "x", None, "2.5"]),
        ([True, 1, None, "y"], pa.string(), ["True", "1", None, "y"]),
        ([None, None, None, None], pa.string(), [None] * 4),
        ([float("nan"), 1.0, None, float("inf")], pa.float64(), [None, 1.0, None, float("inf")]),
        ([10**30, 1, None, 2], pa.string(), [str(10**30), "1", None, "2"]),
        ([np.int32(1), np.float32(0.5), None, np.bool_(True)], pa.string(), ["1", "0.5", None, "True"]),
    ],
)
@pytest.mark.parametrize("rows_per_shard", [1, 4])
def test_a_column_has_one_type_whatever_the_shards(tmp_path, values, arrow, expected, rows_per_shard):
    records = [Record(str(row), None, "text", {"x": value}) for row, value in enumerate(values)]
    store = embed(FAKE, Listed(records), tmp_path / "s", batch=1, rows_per_shard=rows_per_shard, workers=0)
    assert store.table().schema.field("x").type == arrow
    assert store.table().column("x").to_pylist() == expected


def test_attributes_that_some_records_lack_and_reserved_names(tmp_path):
    records = [Record("a", None, "t", {"x": 1}), Record("b", None, "t", {"id": "q", "caption": "c", "y": "ö"})]
    store = embed(FAKE, Listed(records), tmp_path / "s", workers=0)
    assert store.table().to_pylist() == [
        {"id": "a", "caption": "t", "x": 1, "attribute_id": None, "attribute_caption": None, "y": None},
        {"id": "b", "caption": "t", "x": None, "attribute_id": "q", "attribute_caption": "c", "y": "ö"},
    ]


def test_callables_and_what_cannot_be_pickled_work_through_threads(tmp_path, dataset):
    mean_colour = encoder(image_fn=lambda images: np.stack([np.asarray(i).mean(axis=(0, 1)) for i in images]), name="m")
    store = embed(mean_colour, dataset, tmp_path / "s", workers=2)
    assert store.kinds == ("image",)
    expected = np.stack([np.asarray(decode_image(r.image())).mean(axis=(0, 1)) for r in dataset if r.id != "07.png"])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(store.image_vectors.read(), expected, atol=5e-4)


def test_vectors_can_be_kept_as_they_are(tmp_path, dataset):
    sized = encoder(text_fn=lambda texts: np.array([[len(text), 3.0] for text in texts]), name="lengths")
    store = embed(sized, dataset, tmp_path / "s", normalise=False, dtype="float32", workers=0)
    assert not store.normalised
    assert store.text_vectors.read([0])[0].tolist() == [8.0, 3.0]


def odd(function, **card):
    return encoder(text_fn=function, card=EncoderCard(library="callable", name="odd", weights="", dim=2, **card))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda texts: np.full((len(texts), 2), np.nan), "NaN or infinity"),
        (lambda texts: np.zeros((len(texts), 2)), "zero vector for '01.png'"),
        (lambda texts: np.ones((len(texts), 3)), r"shape \(\d+, 3\)"),
        (lambda texts: np.ones((1, 2)), "shape"),
        (lambda texts: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_an_encoder_does_wrong_names_the_shard_and_leaves_no_store(tmp_path, dataset, function, message):
    with pytest.raises(JobError, match=rf"vectors: shard 0 of 1.*{message}"):
        embed(odd(function, modalities=("text",)), dataset, tmp_path / "s", workers=0)
    with pytest.raises(StoreError, match="unfinished run"):
        EmbeddingStore.open(tmp_path / "s")


def test_duplicate_ids_leave_no_store(tmp_path):
    records = [Record("a", None, "one"), Record("a", None, "two")]
    with pytest.raises(JobError, match="'a' occurs more than once"):
        embed(FAKE, Listed(records), tmp_path / "s", workers=0)
    assert not (tmp_path / "s/manifest.json").exists()


def test_nothing_to_embed_is_an_error(tmp_path):
    with pytest.raises(DatasetError, match="no records"):
        embed(FAKE, Listed([]), tmp_path / "s")
    with pytest.raises(DatasetError, match=r"none of 1 records could be embedded; the first: a: has no image"):
        embed(FAKE, Listed([Record("a", None, "text")]), tmp_path / "t", kinds="image", workers=0)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"engine": "cloud"}, InputError), ({"kinds": ()}, InputError), ({"kinds": "audio"}, InputError),
        ({"batch": 0}, InputError), ({"rows_per_shard": 0}, InputError), ({"workers": -1}, InputError),
        ({"dtype": "int8"}, JobError), ({"verify": "maybe"}, InputError),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(tmp_path, dataset, settings, error):
    with pytest.raises(error):
        embed(FAKE, dataset, tmp_path / "s", **{"workers": 0, **settings})


def test_an_encoder_that_lacks_a_side_says_so(tmp_path, dataset):
    with pytest.raises(EncoderError, match="odd cannot encode images"):
        embed(odd(lambda texts: np.ones((len(texts), 2)), modalities=("text",)), dataset, tmp_path / "s", kinds="image")


def test_captions_over_the_context_length_are_counted(tmp_path, dataset):
    class Short:
        card = FAKE.card
        encode_texts = staticmethod(FAKE.encode_texts)
        encode_images = staticmethod(FAKE.encode_images)

        def over_length(self, texts):
            return [position for position, text in enumerate(texts) if len(text) > len("person 9")]

    store = embed(Short(), dataset, tmp_path / "s", workers=0)
    assert store.manifest["texts_over_length"] == sum(len(c or "") > 8 for c in store.columns("caption"))
    assert store.manifest["texts_over_length"] > 0
