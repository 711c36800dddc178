"""Parquet with image bytes and Hugging Face datasets: column roles and schema surprises."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import decode_image, load_dataset


def saved(tmp_path, columns, name="a.parquet"):
    pq.write_table(pa.table(columns), tmp_path / name)
    return f"parquet:{tmp_path / name}"


@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary()])
def test_the_only_column_of_bytes_is_the_image(tmp_path, make_png, type_):
    (record,) = load_dataset(saved(tmp_path, {"photo": pa.array([make_png()], type_), "uid": ["u"], "label": [3]}))
    assert (record.id, dict(record.attributes)) == ("u", {"label": 3})
    assert decode_image(record.image()).size == (5, 4)


def test_without_ids_rows_are_numbered_by_file(tmp_path, make_png):
    saved(tmp_path, {"image": [make_png()] * 2}, "a.parquet")
    saved(tmp_path, {"image": [make_png()]}, "b.parquet")
    assert [record.id for record in load_dataset(f"parquet:{tmp_path}/*.parquet")] == ["a:0", "a:1", "b:0"]


def test_null_images_and_paths_without_bytes(tmp_path):
    cells = [{"bytes": None, "path": None}, {"bytes": None, "path": "/etc/passwd"}]
    for record, reason in zip(load_dataset(saved(tmp_path, {"image": cells})), ("no image", "no bytes"), strict=True):
        with pytest.raises(DatasetError, match=reason):
            record.image()


def test_captions_alone(tmp_path):
    (record,) = load_dataset(saved(tmp_path, {"caption": ["a dog"]}))
    assert (record.image, record.caption) == (None, "a dog")


def test_columns_of_one_file_only_are_missing_elsewhere(tmp_path, make_png):
    saved(tmp_path, {"image": [make_png()], "id": ["a"], "x": [1]}, "a.parquet")
    saved(tmp_path, {"image": [make_png()], "id": ["b"], "y": ["z"]}, "b.parquet")
    records = list(load_dataset(f"parquet:{tmp_path}/*.parquet"))
    assert [dict(record.attributes) for record in records] == [{"x": 1, "y": None}, {"x": None, "y": "z"}]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"text": ["x"]}, "", "neither image bytes nor a caption"),
        ({"image": ["a.png"]}, "?image=image", "'image' holds string, not image bytes"),
        ({"image": [b"x"], "id": ["a"]}, "?id=idd", "no column 'idd'. Did you mean 'id'"),
        ({"image": [b"x", b"y"], "id": ["a", "a"]}, "", "1 duplicate ids"),
        ({"image": [b"x"], "id": [None]}, "", "no record"),
        ({"image": pa.array([], pa.binary())}, "", "holds no record"),
        ({"jpg": [b"x"]}, "?image=png", "no column 'png'"),
    ],
)
def test_schema_surprises(tmp_path, columns, options, message):
    with pytest.raises(DatasetError, match=message):
        load_dataset(saved(tmp_path, columns) + options)


def test_not_parquet(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + b"x" * 50 + b"PAR1")
    with pytest.raises(DatasetError, match="not a readable parquet"):
        load_dataset(f"parquet:{tmp_path / 'a.parquet'}")
    with pytest.raises(DatasetError, match="1 of 1 files do not exist"):
        load_dataset(f"parquet:{tmp_path / 'b.parquet'}")


@pytest.fixture
def hub():
    return pytest.importorskip("datasets")


def test_an_object_with_labels_and_pictures(hub, make_png):
    features = hub.Features(
        {"image": hub.Image(), "gender": hub.ClassLabel(names=["female", "male"]), "box": hub.List(hub.Value("int64"))}
    )
    rows = [{"image": {"bytes": make_png(n), "path": None}, "gender": n - 1, "box": [1]} for n in range(3)]
    data = hub.Dataset.from_list(rows, features=features)
    dataset = load_dataset(data, recode={"gender": {"female": "woman"}})
    assert [dict(record.attributes) for record in dataset] == [
        {"gender": None},
        {"gender": "woman"},
        {"gender": "male"},
    ]
    assert [record.id for record in dataset] == ["0", "1", "2"]
    assert [record.image() for record in dataset] == [make_png(n) for n in range(3)]
    # row choice and order of the object are those of the records
    assert [record.image() for record in load_dataset(data.select([2, 0]))] == [make_png(2), make_png(0)]
    assert load_dataset(data.select([2, 0])).fingerprint != load_dataset(data.select([0, 2])).fingerprint


def test_splits(hub, make_png, tmp_path):
    data = hub.Dataset.from_list([{"image": {"bytes": make_png(), "path": None}}]).cast_column("image", hub.Image())
    hub.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "both"))
    with pytest.raises(DatasetError, match=r"several splits.*split=NAME.*'train', 'test'"):
        load_dataset(f"hf:{tmp_path / 'both'}")
    with pytest.raises(DatasetError, match=r"no split 'tset'.*Did you mean 'test'"):
        load_dataset(f"hf:{tmp_path / 'both'}?split=tset")
    assert len(load_dataset(f"hf:{tmp_path / 'both'}?split=test")) == 1


def test_what_is_no_dataset(hub, tmp_path):
    with pytest.raises(DatasetError, match="no streaming"):
        load_dataset(object.__new__(hub.IterableDataset))  # making a whole one imports torch
    with pytest.raises(DatasetError, match="neither an image column nor a caption"):
        load_dataset(hub.Dataset.from_dict({"x": [1]}))
    with pytest.raises(DatasetError, match="without a saved dataset"):
        load_dataset(f"hf:{tmp_path}")
    with pytest.raises(DatasetError, match="found list"):
        load_dataset([1, 2])
    with pytest.raises(DatasetError, match="row 1 has no 'id'"):
        load_dataset(hub.Dataset.from_dict({"caption": ["a", "b"], "id": ["x", None]}))
