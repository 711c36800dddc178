"""Claim: nothing in a tar can point outside it, run, block, or take more memory than its caps; refusals are listed."""

from __future__ import annotations

import io
import tarfile
import tracemalloc

import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import load_dataset


def tar_of(path, infos, data=b"x" * 100, **options):
    with tarfile.open(path, "w", **options) as tar:
        for info in infos:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name",
    ["../up.jpg", "a/../../up.jpg", "/etc/up.jpg", "..\\up.jpg", "\\up.jpg", "C:\\up.jpg", "é" * 60 + "/../../u.jpg"],
)
def test_names_that_leave_are_skipped_and_listed(tmp_path, form, name):
    before = sorted(path.name for path in tmp_path.parent.iterdir())
    path = tar_of(tmp_path / "a.tar", [member("ok.jpg"), member(name), member("ok2.jpg")], format=form)
    dataset = load_dataset(f"webdataset:{path}")
    assert [record.id for record in dataset] == ["ok", "ok2"]
    (problem,) = dataset.problems
    assert "absolute" in problem.reason or ".." in problem.reason
    assert sorted(path.name for path in tmp_path.parent.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link"),
        (tarfile.LNKTYPE, "link"),
        (tarfile.CHRTYPE, "device"),
        (tarfile.BLKTYPE, "device"),
        (tarfile.FIFOTYPE, "pipe"),
    ],
)
def test_links_and_devices_are_skipped_and_listed(tmp_path, kind, word):
    path = tar_of(tmp_path / "a.tar", [member("a.jpg", kind, "/etc/passwd"), member("b.jpg")])
    dataset = load_dataset(f"webdataset:{path}")
    assert [record.id for record in dataset] == ["b"]
    assert word in dataset.problems[0].reason


def test_pickles_and_programs_are_not_records(tmp_path):
    names = ["a.pkl", "a.pickle", "a.pyd", "a.pth", "a.npy", "a.sh", "a.html"]
    path = tar_of(tmp_path / "a.tar", [member(name) for name in (*names, "b.jpg")])
    assert [record.id for record in load_dataset(f"webdataset:{path}")] == ["b"]


@pytest.mark.parametrize(
    "place", ["pipe:touch /tmp/x", "http://host/a.tar", "s3://bucket/a.tar", "gs://b/{0..2}.tar", "file:///etc/passwd"]
)
def test_commands_and_addresses_are_not_opened(place):
    with pytest.raises(DatasetError, match="never opened"):
        load_dataset(f"webdataset:{place}")


def header(name: bytes, size_field: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[124:136], block[156:157] = b"0000644\0", size_field, kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("kind", [b"L", b"x", b"g", b"K"])
def test_giant_name_headers_are_refused_without_reading_them(tmp_path, kind):
    path = tmp_path / "a.tar"
    with open(path, "wb") as file:
        file.write(header(b"long", b"%011o\0" % 2**31, kind))
        file.truncate(2**31 + 4096)  # sparse on disk
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="declares a header of"):
            load_dataset(f"webdataset:{path}")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("field", [b"\xff" * 12, b"-0000000001\0", b"zzzzzzzzzzz\0", b"\x80" + b"\xff" * 11])
def test_impossible_sizes_never_loop(tmp_path, field):
    good = header(b"a.jpg", b"%011o\0" % 3) + b"abc" + b"\0" * 509
    (tmp_path / "a.tar").write_bytes(good + header(b"b.jpg", field) + b"\0" * 2048)
    dataset = load_dataset(f"webdataset:{tmp_path / 'a.tar'}")
    assert [record.id for record in dataset] == ["a"]
    assert len(dataset.problems) == 1


@pytest.mark.parametrize(
    ("field", "ids"),
    [
        (b"path=../../x.jpg", ["b"]),
        (b"GNU.sparse.major=1", ["b"]),
        (b"size=99999999999999999999", ["a", "b"]),  # not a size: the header's own holds
        (b"=", ["a", "b"]),
        (b"path", ["a", "b"]),
    ],
)
def test_extended_headers(tmp_path, field, ids):
    body = b"%d %s\n" % (len(field) + 4, field)
    extended = header(b"pax", b"%011o\0" % len(body), b"x") + body.ljust(512, b"\0")
    pictures = [header(name, b"%011o\0" % 3) + b"abc" + b"\0" * 509 for name in (b"a.jpg", b"b.jpg")]
    (tmp_path / "a.tar").write_bytes(extended + b"".join(pictures) + b"\0" * 1024)
    dataset = load_dataset(f"webdataset:{tmp_path / 'a.tar'}")
    assert [record.id for record in dataset] == ids
    assert len(dataset.problems) == 2 - len(ids)


def test_members_over_the_cap_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("fairvl.sources.datasets.webdataset.MAX_BYTES", 50)
    path = tar_of(tmp_path / "a.tar", [member("a.jpg")])
    (record,) = load_dataset(f"webdataset:{path}")
    with pytest.raises(DatasetError, match="over the cap"):
        record.image()


def test_member_and_shard_caps(tmp_path, monkeypatch):
    path = tar_of(tmp_path / "a.tar", [member(f"{number}.jpg") for number in range(9)])
    monkeypatch.setattr("fairvl.sources.datasets.tar.MAX_MEMBERS", 8)
    with pytest.raises(DatasetError, match="over 8 members"):
        load_dataset(f"webdataset:{path}")
    monkeypatch.setattr("fairvl.sources.datasets.tar.MAX_TAR_BYTES", 100)
    with pytest.raises(DatasetError, match="over the cap of 100"):
        load_dataset(f"webdataset:{path}")
