"""CLIP's predictions on 10,954 faces: the audit's figures are those of a plain count, from the files as they are."""

from __future__ import annotations

import csv
import gzip
from collections import Counter

import pytest
from click.testing import CliRunner

from fairvl import Findings
from fairvl.cli import main

pytestmark = pytest.mark.realdata

GENDER = "raw_gender_ViT-L-14_laion2b_s32b_b82k_val"
GOLDEN = {  # hits and faces by perceived race, counted from the file
    "Black": (1396, 1556), "East Asian": (1467, 1550), "Indian": (1437, 1516), "Latino_Hispanic": (1543, 1623),
    "Middle Eastern": (1180, 1209), "Southeast Asian": (1338, 1415), "White": (2012, 2085),
}  # fmt: skip


@pytest.fixture(scope="module")
def file(folder):
    path = folder("clip-fairface-val-predictions-mit") / "clip-fairface-val-predictions-mit" / f"{GENDER}.csv.gz"
    if not path.is_file():
        pytest.skip(f"real data missing: {path.name}")
    return path


@pytest.fixture(scope="module")
def found(file, tmp_path_factory):
    out = tmp_path_factory.mktemp("faces")
    arguments = ["audit", "--predictions", str(file), "--id", "file", "--truth", "gender", "--prediction",
                 "gender_preds", "--draws", "200", "-o", str(out)]  # fmt: skip
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert (out / "report.html").stat().st_size < 3_000_000
    return Findings.read(out / "findings.json")


def test_accuracy_by_race_is_the_counted_one(found):
    for race, (hits, n) in GOLDEN.items():
        row = found.one(metric="accuracy", attribute="race", groups=race)
        assert (row.value, row.n) == (pytest.approx(hits / n, abs=1e-12), n)
        assert row.low < row.value < row.high
    assert found.one(metric="worst_group_accuracy", attribute="race").groups == "Black"
    assert found.one(metric="accuracy", groups="(all)").n == 10_954


def test_every_crossing_is_counted_and_small_cells_say_so(found, file):
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    total, right = Counter(), Counter()
    for row in rows:
        cell = f"{row['age']} & {row['race']}"
        total[cell] += 1
        right[cell] += row["gender"] == row["gender_preds"]
    cells = found.where(metric="accuracy", attribute="age & race")
    assert {r.groups: r.n for r in cells} == dict(total)
    for r in cells:
        assert r.value == pytest.approx(right[r.groups] / r.n)
        assert ("fewer than 30 rows" in r.note) == (r.n < 30)
    assert min(total.values()) < 30  # power: there are such cells
