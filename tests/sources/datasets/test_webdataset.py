"""Tars as img2dataset writes them: grouping, sidecars, patterns, and shards that were cut."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairvl.errors import DatasetError
from fairvl.sources.datasets import load_dataset
from fairvl.sources.datasets.patterns import expand
from fairvl.sources.datasets.tar import tar_members


@pytest.fixture
def write(tmp_path, add_member):
    def _write(members: list[tuple[str, bytes]], name: str = "0.tar", **options) -> Path:
        with tarfile.open(tmp_path / name, "w", **options) as tar:
            for member, data in members:
                add_member(tar, member, data)
        return tmp_path / name

    return _write


name_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\\."), min_size=1, max_size=160)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(name_text, min_size=0, max_size=6, unique=True),
    sizes=st.lists(st.integers(0, 1500), min_size=6, max_size=6),
    form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_members_are_those_tarfile_lists(tmp_path, add_member, names, sizes, form):
    path = tmp_path / "t.tar"
    with tarfile.open(path, "w", format=form) as tar:
        for name, size in zip(names, sizes, strict=False):
            if form == tarfile.USTAR_FORMAT and len(name.encode()) > 95:
                continue
            add_member(tar, f"d/{name}", bytes([size % 256]) * size)
    members, problems = tar_members(path)
    assert problems == []
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        expected = [(info.name, tar.extractfile(info).read()) for info in tar.getmembers()]
    assert [(member.name, data[member.offset : member.offset + member.size]) for member in members] == expected


def test_captions_and_attributes_from_json(write, make_png):
    content = {
        "caption": "from json",
        "gender": "female",
        "age": 3,
        "w": float("nan"),
        "exif": {"a": 1},
        "big": 2**70,
        "key": "1",
    }
    path = write(
        [("1.jpg", make_png()), ("1.json", json.dumps(content).encode()), ("2.jpg", make_png()), ("2.txt", b"hi")]
    )
    one, two = load_dataset(f"webdataset:{path}")
    assert (one.id, one.caption) == ("1", "from json")
    assert dict(one.attributes) == {"gender": "female", "age": 3, "w": None, "big": str(2**70)}
    assert (two.caption, dict(two.attributes)) == ("hi", {})


def test_the_parquet_beside_the_tar_is_the_metadata(write, make_png, tmp_path):
    path = write([("000.jpg", make_png()), ("000.json", b'{"gender": "unused"}'), ("001.jpg", make_png())])
    rows = {"key": ["000", "007"], "caption": ["cap", "failed"], "gender": ["f", "m"], "status": ["success", "failed"]}
    pq.write_table(pa.table(rows), tmp_path / "0.parquet")
    first, second = load_dataset(f"webdataset:{path}")
    assert (first.caption, dict(first.attributes)) == ("cap", {"gender": "f", "status": "success"})
    assert (second.id, dict(second.attributes)) == ("001", {})


def test_unusable_metadata_shows_when_the_image_is_asked_for(write, make_png):
    path = write(
        [
            ("1.jpg", make_png()),
            ("1.json", b"{not json"),
            ("2.jpg", make_png()),
            ("2.json", b"[1]"),
            ("3.jpg", make_png()),
            ("3.txt", b"\xff"),
            ("4.jpg", make_png()),
            ("4.json", b"[" * 100_000),
        ]
    )
    reasons = []
    for record in load_dataset(f"webdataset:{path}"):
        with pytest.raises(DatasetError) as caught:
            record.image()
        reasons.append(str(caught.value))
    assert ["not valid" in reasons[0], "list" in reasons[1], "UTF-8" in reasons[2], "not valid" in reasons[3]] == [
        True
    ] * 4


def test_a_missing_half_of_a_pair(write, make_png):
    path = write([("1.jpg", make_png()), ("2.txt", b"no picture"), ("2.json", b"{}")])
    whole, half = load_dataset(f"webdataset:{path}")
    assert whole.image()
    with pytest.raises(DatasetError, match="no image for this key"):
        half.image()


def test_a_tar_of_texts_alone_has_no_images(write):
    (record,) = load_dataset(f"webdataset:{write([('1.txt', b'a dog')])}")
    assert (record.image, record.caption) == (None, "a dog")


def test_keys_end_at_the_first_dot_and_keep_their_folder(write, make_png):
    path = write(
        [
            ("a/1.jpg", make_png()),
            ("b/1.seg.png", make_png(1)),
            ("b/1.jpg", make_png()),
            ("c.v1.jpg", make_png()),
            ("n.pkl", b"x"),
        ]
    )
    dataset = load_dataset(f"webdataset:{path}")
    assert [record.id for record in dataset] == ["a/1", "b/1"]
    assert [(problem.id, "first dot" in problem.reason) for problem in dataset.problems] == [("c", True)]
    masks = load_dataset(f"webdataset:{path}?image=seg.png")
    assert {record.id for record in masks} == {"a/1", "b/1"}
    assert next(record for record in masks if record.id == "b/1").image() == make_png(1)


def test_repeated_keys_are_refused_and_the_tar_name_tells_them_apart(write, make_png, tmp_path):
    write([("1.jpg", make_png())], "a.tar")
    write([("1.jpg", make_png())], "b.tar")
    with pytest.raises(DatasetError, match="1 duplicate ids"):
        load_dataset(f"webdataset:{tmp_path}/{{a,b}}.tar")
    assert [record.id for record in load_dataset(f"webdataset:{tmp_path}/{{a,b}}.tar?id=path")] == ["a/1", "b/1"]
    twice = write([("1.jpg", make_png()), ("1.jpg", make_png())], "c.tar")
    with pytest.raises(DatasetError, match="1 duplicate ids"):
        load_dataset(f"webdataset:{twice}")


def test_id_from_a_field(write, make_png):
    path = write([("1.jpg", make_png()), ("1.json", b'{"uid": "u1"}')])
    (record,) = load_dataset(f"webdataset:{path}?id=uid")
    assert (record.id, dict(record.attributes)) == ("u1", {})
    with pytest.raises(DatasetError, match=r"'1' has no 'uidd'. Did you mean 'uid'"):
        load_dataset(f"webdataset:{path}?id=uidd")


@pytest.mark.parametrize("cut", [1, 300, 512, 700, 1024, 1500, 2000])
def test_a_cut_tar_gives_its_whole_members_and_names_itself(write, make_png, tmp_path, cut):
    members = [(f"{number}.jpg", make_png(number, (16, 16))) for number in range(4)]
    whole = write(members).read_bytes()
    used = sum(512 + -(-len(data) // 512) * 512 for _, data in members)
    (tmp_path / "cut.tar").write_bytes(whole[: used - cut])
    dataset = load_dataset(f"webdataset:{tmp_path / 'cut.tar'}")
    assert [record.image() for record in dataset] == [data for _, data in members[: len(dataset)]]
    assert 2 <= len(dataset) <= 4
    assert [problem.id for problem in dataset.problems] == ["cut.tar"]
    assert "ends" in dataset.problems[0].reason or "damaged" in dataset.problems[0].reason


def test_a_damaged_header_ends_the_reading_there(write, make_png, tmp_path):
    data = bytearray(write([(f"{number}.jpg", make_png()) for number in range(3)]).read_bytes())
    with tarfile.open(tmp_path / "0.tar") as tar:
        data[tar.getmembers()[1].offset + 3] ^= 1
    (tmp_path / "1.tar").write_bytes(data)
    dataset = load_dataset(f"webdataset:{tmp_path / '1.tar'}")
    assert len(dataset) == 1
    assert "damaged header after 1 members" in dataset.problems[0].reason


def test_joined_tars_are_not_read_in_silence(write, make_png, tmp_path):
    one = write([("1.jpg", make_png())]).read_bytes()
    (tmp_path / "two.tar").write_bytes(one + one)
    dataset = load_dataset(f"webdataset:{tmp_path / 'two.tar'}")
    assert "several tars" in dataset.problems[0].reason


def test_problems_are_handed_out_once_each(write, make_png, tmp_path):
    write([("../x.jpg", make_png())], "0.tar")
    write([("1.jpg", make_png()), ("../y.jpg", make_png())], "1.tar")
    write([("../z.jpg", make_png())], "2.tar")
    dataset = load_dataset(f"webdataset:{tmp_path}/{{0..2}}.tar")
    handed_out = [problem for spec in dataset.shards(1) for problem in dataset.skipped(spec)]
    assert sorted(problem.id for problem in handed_out) == [
        "0.tar: '../x.jpg'",
        "1.tar: '../y.jpg'",
        "2.tar: '../z.jpg'",
    ]
    assert sorted(handed_out, key=str) == sorted(dataset.problems, key=str)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"not a tar" * 100, "not an uncompressed tar"),
        (b"\x1f\x8b" + b"x" * 600, "gzipped"),
        (b"\0" * 1024, "no record"),
    ],
)
def test_not_a_tar(tmp_path, data, message):
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        load_dataset(f"webdataset:{tmp_path / 'a.tar'}")


def test_absent_shards_are_counted(write, make_png, tmp_path):
    write([("1.jpg", make_png())], "00.tar")
    with pytest.raises(DatasetError, match=r"2 of 3 tars do not exist, the first is .*01\.tar"):
        load_dataset(f"webdataset:{tmp_path}/{{00..02}}.tar")
    assert len(load_dataset(f"webdataset:{tmp_path}/*.tar")) == 1
    with pytest.raises(DatasetError, match="no file matches"):
        load_dataset(f"webdataset:{tmp_path}/x*.tar")


@pytest.mark.parametrize("pattern", ["{2..1}.tar", "{0..99999999}.tar", "{0..9999}{0..9999}.tar"])
def test_impossible_ranges(pattern):
    with pytest.raises(DatasetError, match=r"range|over"):
        expand(pattern)


def test_a_sidecar_without_keys_is_refused(write, make_png, tmp_path):
    path = write([("1.jpg", make_png())])
    pq.write_table(pa.table({"url": ["a"]}), tmp_path / "0.parquet")
    with pytest.raises(DatasetError, match=r"0\.parquet.* has no column 'key'"):
        load_dataset(f"webdataset:{path}")


def test_streams_are_no_tars(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz"):
        pass
    (tmp_path / "a.tar").write_bytes(file.getvalue())
    with pytest.raises(DatasetError, match="gzipped"):
        load_dataset(f"webdataset:{tmp_path / 'a.tar'}")
