"""A file is either whole or not there: killed, failing, or full."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from fairvl.atomic import require_writable, write_atomic
from fairvl.errors import JobError

KILLED_AT = """
import os, signal, sys
from fairvl.atomic import write_atomic
name, path = sys.argv[1:]
real = getattr(os, name)
def dying(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, name, dying)
write_atomic(path, b"new" * 1000)
"""


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_killed_write_leaves_the_old_file(tmp_path, call):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    died = subprocess.run([sys.executable, "-c", KILLED_AT, call, str(path)])
    assert died.returncode == -signal.SIGKILL  # power: the kill landed
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, call, code):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def failing(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(OSError, match=os.strerror(code)):
        write_atomic(path, "new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def test_a_writer_that_raises_leaves_nothing(tmp_path):
    def broken(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "deep" / "a", broken)
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "x" * 300])
def test_an_impossible_output_folder_is_refused_before_the_work(tmp_path, name):
    (tmp_path / "file").write_text("kept")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(JobError, match="another"):
        require_writable(tmp_path / name)
    require_writable(tmp_path / "new" / "folder")
    assert sorted(tmp_path.iterdir()) == before
