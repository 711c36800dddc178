"""docs/editing-emoji.md says what docs/editing/emoji.json holds, and that file is consistent with itself."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def found():
    return json.loads((DOCS / "editing" / "emoji.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("emoji_diffae_page", ROOT / "train" / "emoji_diffae_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def edits(found):
    for cells in found["fields"].values():
        yield from cells.values()


def test_the_page_holds_the_tables_of_the_figures(found, script):
    page = (DOCS / "editing-emoji.md").read_text(encoding="utf-8")
    assert f"{script.BEGIN}\n\n{script.tables(found)}\n\n{script.END}" in page
    changed = json.loads(json.dumps(found))
    next(edits(changed))["scored by b"]["flip"] = [0.123, 0.1, 0.2]
    assert script.tables(changed) not in page
    assert ".12 (.10-.20)" in script.tables(changed)


def test_the_sheets_that_the_page_shows_are_there(script):
    page = (DOCS / "editing-emoji.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\((editing/[^)]+\.png)\)", page)
    assert len(shown) == 4
    for name in shown:
        assert 10_000 < (DOCS / name).stat().st_size < 400_000


def test_shares_are_counts_of_n_with_wilson_intervals(found):
    proportion_confint = pytest.importorskip("statsmodels.stats.proportion").proportion_confint
    checked = 0
    for edit in edits(found):
        for share in (edit["scored by b"]["flip"], *edit["scored by b"]["kept"].values()):
            hits = round(share[0] * edit["n"])
            assert share == pytest.approx(
                [hits / edit["n"], *proportion_confint(hits, edit["n"], method="wilson")], abs=6e-4
            )
            checked += 1
    assert checked == 3 * 4 * len(found["fields"])


def test_the_scored_strength_is_the_one_that_judge_a_chose(found):
    from fairvl.repair.editing.scoring import EditScore, choose_strength
    from fairvl.stats.estimate import Estimate

    for name, cells in found["fields"].items():
        for edit, cell in cells.items():
            curve = [
                EditScore(
                    "x", "y", one["strength"], Estimate(*one["flip"]), {k: Estimate(*v) for k, v in one["kept"].items()}
                )
                for one in cell["curve of a"]
            ]
            chosen = choose_strength(curve).strength
            assert cell["scored by b"]["strength"] == cell["chosen by a"]["strength"] == chosen, (name, edit)


def test_reconstructions_are_in_order(found):
    errors = found["reconstruction"]["mse"]
    assert errors["inverted"][2] < errors["random noise"][1] < errors["random noise"][2] < errors["mean image"][1]
    assert errors["inverted"][2] < 0.005
