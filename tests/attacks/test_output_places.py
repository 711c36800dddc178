"""Where nothing can be written, a verb says so in one breath and leaves no part of a file."""

from __future__ import annotations

import errno
import os

import pytest
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.report import page

TABLE = "id,y_true,y_pred,region\n" + "\n".join(f"{i},{'ab'[i % 2]},{'ab'[i % 3 % 2]},{'xy'[i % 2]}" for i in range(40))


def refused(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 2, done.output
    assert isinstance(done.exception, SystemExit)
    assert "Traceback" not in done.output
    return done.output


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_fails_is_one_line_and_leaves_no_part_of_a_file(tmp_path, monkeypatch, code):
    def fail(handle):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    (tmp_path / "p.csv").write_text(TABLE)
    output = refused("audit", "--predictions", tmp_path / "p.csv", "--draws", 100, "-o", tmp_path / "out")
    assert os.strerror(code) in output
    assert len(output.strip().splitlines()) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_new_findings_never_stand_beside_an_old_report(tmp_path, monkeypatch):
    (tmp_path / "p.csv").write_text(TABLE)
    arguments = ["audit", "--predictions", str(tmp_path / "p.csv"), "-o", str(tmp_path / "out"), "--draws"]
    assert CliRunner().invoke(main, [*arguments, "100"]).exit_code == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert set(before) == {"findings.json", "findings.parquet", "report.html"}
    whole = page.write_atomic

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(page, "write_atomic", full)
    refused(*arguments, 200)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    monkeypatch.setattr(page, "write_atomic", whole)
    assert CliRunner().invoke(main, [*arguments, "200"]).exit_code == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == set(before)
    assert (tmp_path / "out" / "findings.json").read_bytes() != before["findings.json"]


def test_an_operator_over_a_folder_is_refused(tmp_path):
    assert "is a folder; expected a file" in " ".join(refused("debias", "fake", "-o", tmp_path).split())
    assert list(tmp_path.iterdir()) == []
