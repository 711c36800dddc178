"""Folders and zip archives: with and without a table, and what is wrong in single rows."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import decode_image, load_dataset


def put(place: Path, files: dict[str, bytes], kind: str) -> str:
    """The same files as a folder or as an archive."""
    if kind == "folder":
        for name, data in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        return f"folder:{place}"
    with zipfile.ZipFile(place / "a.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return f"zip:{place / 'a.zip'}"


@pytest.fixture(params=["folder", "zip"])
def kind(request):
    return request.param


def test_without_a_table_all_images_by_name(tmp_path, kind, make_png):
    names = ["b/10.png", "b/9.PNG", "a.jpg", "été/图.webp", "notes.txt", "c.json"]
    dataset = load_dataset(put(tmp_path, {name: make_png() for name in names}, kind))
    assert [record.id for record in dataset] == ["a.jpg", "b/10.png", "b/9.PNG", "été/图.webp"]
    assert all(record.caption is None and record.attributes == {} for record in dataset)
    assert {decode_image(record.image()).size for record in dataset} == {(5, 4)}


def test_unread_formats_are_listed(tmp_path, kind, make_png):
    dataset = load_dataset(put(tmp_path, {"a.png": make_png(), "b.tiff": b"II*\0"}, kind))
    assert len(dataset) == 1
    assert [(problem.id, ".tiff" in problem.reason) for problem in dataset.problems] == [("b.tiff", True)]
    assert dataset.skipped(dataset.shards(1)[0]) == list(dataset.problems)


def test_missing_attributes_stay_missing(tmp_path, kind, make_png):
    source = put(tmp_path, {"a.png": make_png(), "b.png": make_png()}, kind)
    (tmp_path / "l.csv").write_text("path,gender,age\na.png,,30\nb.png,nan,\n")
    records = list(load_dataset(f"{source}?metadata=l.csv"))
    assert [dict(record.attributes) for record in records] == [
        {"gender": None, "age": 30},
        {"gender": None, "age": None},
    ]


def test_a_row_whose_file_is_absent_keeps_its_place(tmp_path, kind, make_png):
    source = put(tmp_path, {"a.png": make_png()}, kind)
    (tmp_path / "l.csv").write_text("path,x\ngone.png,1\na.png,2\n")
    dataset = load_dataset(f"{source}?metadata=l.csv")
    gone, there = dataset
    with pytest.raises(DatasetError, match=r"no such file|no member"):
        gone.image()
    assert decode_image(there.image()).size == (5, 4)


def test_rows_that_cannot_be_records_are_listed(tmp_path, kind, make_png):
    source = put(tmp_path, {"a.png": make_png()}, kind)
    (tmp_path / "l.csv").write_text("id,path\nr1,a.png\nr2,\n,a.png\nr4,../secret.png\nr5,/etc/passwd\nr6,./a.png\n")
    dataset = load_dataset(f"{source}?metadata=l.csv")
    assert [record.id for record in dataset] == ["r1", "r6"]
    assert {problem.id: problem.reason.split(";")[0] for problem in dataset.problems} == {
        "r2": "the row has no path",
        "row 3": "the row has no id",
        "r4": "its name leaves the folder (`..`)",
        "r5": "its name is an absolute path",
    }


def test_named_columns_and_other_table_formats(tmp_path, kind, make_png):
    source = put(tmp_path, {"a.png": make_png()}, kind)
    pq.write_table(pa.table({"where": ["a.png"], "who": [7], "words": ["hello"], "v": [[1.0]]}), tmp_path / "l.parquet")
    (record,) = load_dataset(f"{source}?metadata=l.parquet&image=where&id=who&caption=words")
    assert (record.id, record.caption, dict(record.attributes)) == ("7", "hello", {})


def test_ids_with_leading_zeros_and_300_characters_survive(tmp_path, kind, make_png):
    source = put(tmp_path, {"a.png": make_png(), "b.png": make_png()}, kind)
    (tmp_path / "l.csv").write_text(f"id,path\n0007,a.png\n{'é' * 300},b.png\n")
    assert [record.id for record in load_dataset(f"{source}?metadata=l.csv")] == ["0007", "é" * 300]


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ("id,path\n1,a.png\n1,b.png\n", "", "1 duplicate ids"),
        ("path\na.png\na.png\n", "", "1 duplicate ids"),
        ("id,path\ncafé,a.png\ncafé,b.png\n", "", "duplicate ids .*NFC"),
        ("id,gender\n1,f\n", "", "no column of file names"),
        ("id,path\n1,a.png\n", "&image=pth", "no column 'pth'. Did you mean 'path'"),
        ("id,path\n1,a.png\n", "&caption=text", "no column 'text'"),
        ("id,path\n", "", "no row"),
        ("id,path\n1,\n", "", "holds no record; 1 entries cannot be used"),
    ],
)
def test_bad_tables(tmp_path, kind, make_png, table, options, message):
    source = put(tmp_path, {"a.png": make_png(), "b.png": make_png()}, kind)
    (tmp_path / "l.csv").write_text(table)
    with pytest.raises(DatasetError, match=message):
        load_dataset(f"{source}?metadata=l.csv{options}")


def test_missing_places(tmp_path, kind):
    with pytest.raises(DatasetError, match="no such"):
        load_dataset(f"{kind}:{tmp_path / 'gone'}")
    empty = put(tmp_path, {"a.txt": b""}, kind)
    with pytest.raises(DatasetError, match="holds no image"):
        load_dataset(empty)
    with pytest.raises(DatasetError, match="no such table"):
        load_dataset(f"{empty}?metadata=gone.csv")


def test_file_names_that_are_not_text_are_listed(tmp_path, make_png):
    (tmp_path / "a.png").write_bytes(make_png())
    with open(os.path.join(os.fsencode(tmp_path), b"\xff.png"), "wb") as file:
        file.write(make_png())
    dataset = load_dataset(f"folder:{tmp_path}")
    assert [record.id for record in dataset] == ["a.png"]
    assert [problem.reason for problem in dataset.problems] == ["its name is not valid UTF-8"]


def test_a_pipe_in_the_folder_does_not_block(tmp_path, make_png):
    os.mkfifo(tmp_path / "a.png")
    (record,) = load_dataset(f"folder:{tmp_path}")
    with pytest.raises(DatasetError, match="not a regular file"):
        record.image()


def test_fingerprint_of_a_folder_sees_sizes_and_labels(tmp_path, make_png):
    (tmp_path / "a.png").write_bytes(make_png())
    (tmp_path / "l.csv").write_text("path,x\na.png,1\n")
    name = f"folder:{tmp_path}?metadata=l.csv"
    first = load_dataset(name).fingerprint
    (tmp_path / "l.csv").write_text("path,x\na.png,2\n")
    second = load_dataset(name).fingerprint
    (tmp_path / "a.png").write_bytes(make_png() + b"\0")
    assert len({first, second, load_dataset(name).fingerprint}) == 3
