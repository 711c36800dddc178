"""Claim: a zip is read in place; bombs, nested archives, links and names that leave it are refused and listed."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile

import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import load_dataset


@pytest.mark.parametrize("name", ["../up.png", "a/../../up.png", "/etc/up.png", "..\\up.png", "C:/up.png"])
def test_names_that_leave(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ok.png", b"x")
        archive.writestr(name, b"x")
    dataset = load_dataset(f"zip:{tmp_path / 'a.zip'}")
    assert [record.id for record in dataset] == ["ok.png"]
    assert len(dataset.problems) == 1
    (tmp_path / "l.csv").write_text(f'id,path\n1,ok.png\n2,"{name}"\n')
    listed = load_dataset(f"zip:{tmp_path / 'a.zip'}?metadata=l.csv")
    assert [record.id for record in listed] == ["1"]
    assert [problem.id for problem in listed.problems] == ["2"]


def test_archives_inside_links_and_locked_members(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ok.png", b"x")
        archive.writestr("inner.zip", b"PK")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("odd.png", b"x", compress_type=zipfile.ZIP_BZIP2)
    dataset = load_dataset(f"zip:{tmp_path / 'a.zip'}")
    assert [record.id for record in dataset] == ["ok.png"]
    assert {problem.id: problem.reason.split(";")[0] for problem in dataset.problems} == {
        "inner.zip": "an archive inside an archive is not opened",
        "link.png": "it is a link",
        "odd.png": "compression method 12 is not read",
    }


def bomb(path, declared):
    """80 MB of zeros deflated, whose lists declare `declared` bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * 80_000_000)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(mark) + place
        data[start : start + 4] = struct.pack("<I", declared)
    path.write_bytes(data)


def test_a_bomb_that_lies_is_inflated_no_further_than_declared(tmp_path):
    bomb(tmp_path / "a.zip", 1000)
    (record,) = load_dataset(f"zip:{tmp_path / 'a.zip'}")
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="differs from the size"):
            record.image()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_an_honest_bomb_is_refused_from_the_list(tmp_path):
    bomb(tmp_path / "a.zip", 80_000_000)
    with pytest.raises(DatasetError, match=r"no record.*80,000,000 bytes, over the cap"):
        load_dataset(f"zip:{tmp_path / 'a.zip'}")


def test_damage_is_noticed(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(range(256)) * 4)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60] ^= 0xFF
    (tmp_path / "b.zip").write_bytes(data)
    (record,) = load_dataset(f"zip:{tmp_path / 'b.zip'}")
    with pytest.raises(DatasetError, match=r"inflated|differs"):
        record.image()
    (tmp_path / "c.zip").write_bytes(data[:100])
    with pytest.raises(DatasetError, match="not a readable zip"):
        load_dataset(f"zip:{tmp_path / 'c.zip'}")


def test_two_members_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", b"y")
    with pytest.raises(DatasetError, match="two members named"):
        load_dataset(f"zip:{tmp_path / 'a.zip'}")
