"""Shared by the job tests: every byte of a folder, and a small stage that any process can import."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def tree():
    """Relative path -> bytes of every file of a folder."""

    def read(folder):
        return {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()
        }

    return read


STAGE = '''
"""A toy stage: spec {"x": n} writes two files and one fact."""
import os, time

SPECS = [{"x": x} for x in range(6)]

def work(spec, folder):
    (folder / "squares").mkdir()
    (folder / "squares" / f"{spec['x']}.txt").write_text(str(spec["x"] ** 2) * 1000)
    (folder / f"top-{spec['x']}.bin").write_bytes(bytes([spec["x"]]) * 5000)
    return {"square": spec["x"] ** 2}

def slow(spec, folder):
    time.sleep(0.03)
    return work(spec, folder)

def failing(spec, folder):
    if spec["x"] == 2:
        (folder / "half.txt").write_text("half")
        raise ValueError("no square today")
    return work(spec, folder)

def dying(spec, folder):
    if spec["x"] == 2:
        os._exit(3)
    return work(spec, folder)
'''


@pytest.fixture
def stage(tmp_path, monkeypatch):
    """The toy stage as an importable module, also in child processes."""
    room = tmp_path / "module"
    room.mkdir()
    (room / "toy_stage.py").write_text(STAGE)
    monkeypatch.syspath_prepend(room)
    monkeypatch.setenv("PYTHONPATH", str(room))
    sys.modules.pop("toy_stage", None)
    import toy_stage

    yield toy_stage
    sys.modules.pop("toy_stage", None)
