"""The parts of the first audit, imported from docs, so that the gates hold what the page is made with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _load(name, path):
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def measured():
    """docs/first_audit/measured.py."""
    return _load("first_audit_measured", ROOT / "docs" / "first_audit" / "measured.py")


@pytest.fixture(scope="session")
def emoji_clip():
    """train/emoji_clip.py."""
    pytest.importorskip("torch")
    return _load("first_audit_emoji_clip", ROOT / "train" / "emoji_clip.py")


@pytest.fixture(scope="session")
def folder(realdata):
    """Factory: a folder of the real data, or a skip that names it."""

    def find(name):
        if not (realdata / name).is_dir():
            pytest.skip(f"real data missing: {name}")
        return realdata

    return find
