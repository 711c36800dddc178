"""The package opens instantly, and its front door lists what is really there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import fairvl

HEAVY = {"torch", "transformers", "open_clip", "pandas", "pyarrow", "scipy", "numpy", "PIL", "jinja2"}


def heavy_imports(code: str) -> set[str]:
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return HEAVY & set(done.stdout.split())


def test_import_is_light():
    assert heavy_imports("import fairvl") == set()


def test_the_command_line_is_light():
    assert heavy_imports("import fairvl.cli") == set()


def test_the_import_check_can_fail():
    assert heavy_imports("import fairvl, sys; sys.modules['torch'] = sys") == {"torch"}


def test_all_lists_every_public_name():
    assert sorted(fairvl.__all__) == [name for name in dir(fairvl) if name[0] != "_"]
    assert all(getattr(fairvl, name) is not None for name in fairvl.__all__)


def test_type_checkers_see_the_same_names():
    stub = Path(fairvl.__file__).with_suffix(".pyi").read_text()
    assert {
        match[2]: match[1] for match in re.finditer(r"^from \.(\S+) import (\w+) as \2$", stub, re.M)
    } == fairvl._HOMES


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(fairvl, "no_such_name")
