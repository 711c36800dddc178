"""Four sweeps of small CLIPs with a planted cause (docs/world-sweeps.md): the study finds it, and nothing else."""

from __future__ import annotations

import csv
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fairvl.findings import column
from fairvl.study import study

TABLES = Path(__file__).parents[2] / "docs" / "world_sweeps"
PLANTED = {"data": "dataset_family", "size": "params_m", "architecture": "architecture_family"}
SIGN = {"data": -1, "size": 1, "architecture": 1}
SWEEPS = (*PLANTED, "nowhere")

pytestmark = pytest.mark.skipif(not TABLES.is_dir(), reason="the tables are not part of an installation")


def table(name):
    with open(TABLES / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def studied(name):
    return study(
        TABLES / f"{name}.csv",
        models=TABLES / f"{name}-models.csv",
        performance=TABLES / f"{name}-performance.csv",
    )


def shares(name, kind="unique"):
    rows = studied(name).where(metric="variance_share", scope="social", kind=kind)
    return sorted(rows, key=lambda row: column(row, "rank"))


def effects(name, factor):
    rows = [
        *studied(name).where(metric="contrast", factor=factor, scope="social", kind="adjusted"),
        *studied(name).where(metric="coefficient", factor=factor, scope="social", kind="adjusted"),
    ]
    assert rows
    return rows


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_is_balanced_and_every_model_has_its_own_seed(name):
    models, results = table(f"{name}-models"), table(name)
    assert len(models) >= 32
    assert len({row["training_seed"] for row in models}) == len({row["model"] for row in models}) == len(models)
    assert len(results) == 10 * len(models)
    for factor in ("dataset_family", "filtering", "architecture_family", "dataset_size"):
        counts = np.unique([row[factor] for row in models], return_counts=True)[1]
        assert len(counts) >= 2
        assert np.ptp(counts) == 0


@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_factor_ranks_first(name):
    for kind in ("marginal", "unique"):
        first, second, *_ = shares(name, kind)
        assert column(first, "factor") == PLANTED[name]
        assert first.low > max(0.3, second.high)


@pytest.mark.parametrize("name", SWEEPS)
def test_no_other_factor_explains_bias(name):
    for kind in ("marginal", "unique"):
        others = [row for row in shares(name, kind) if column(row, "factor") != PLANTED.get(name)]
        assert len(others) >= 4
        assert all(row.p_adjusted > 0.05 for row in others)
        assert all(row.low < 0.001 for row in others)


def test_the_effects_of_factors_without_a_plant_hold_zero_but_for_chance():
    """17 intervals at 95 %: one may miss, narrowly. It does: size in the sweep "data" (docs/world-sweeps.md)."""
    factors = ("dataset_family", "architecture_family", "params_m", "filtering", "dataset_size")
    others = [(name, factor) for name in SWEEPS for factor in factors if factor != PLANTED.get(name)]
    assert len(others) == 17
    missed = [pair for pair in others if any(not row.low <= 0 <= row.high for row in effects(*pair))]
    assert len(missed) <= 1
    for name, factor in missed:
        planted = max(abs(row.value) for row in effects(name, PLANTED[name]))
        assert max(abs(row.value) for row in effects(name, factor)) < planted / 5


@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_correlation_with_accuracy_is_recovered(name):
    cells = studied(name).where(metric="correlation", scope="social", kind="pearson", topic="Skin tone")
    found = {row.order: row for row in cells}
    for order in ("text-text", "text-image"):
        assert SIGN[name] * found[order].value > 0
        assert found[order].low > 0 or found[order].high < 0


def test_without_a_plant_bias_and_accuracy_do_not_go_together():
    cells = studied("nowhere").where(metric="correlation", scope="social", kind="pearson", topic="Skin tone")
    assert all(row.low <= 0 <= row.high for row in cells)


@pytest.mark.parametrize("name", SWEEPS)
def test_the_committed_study_is_what_the_study_says(name):
    held = [row for row in table(f"{name}-study") if row["metric"] == "variance_share"]
    ours = studied(name).where(metric="variance_share")
    assert len(held) == len(ours)
    for row, mine in zip(held, ours, strict=True):
        assert row["factor"] == column(mine, "factor")
        assert float(row["value"]) == pytest.approx(mine.value, abs=1e-6)


@pytest.mark.slow
def test_the_page_is_what_its_script_writes():
    pytest.importorskip("torch")
    program = (
        "import sys; sys.path.insert(0, 'train'); import world_sweeps_page as p\n"
        "studies = {name: p.read(f'{name}-study') for name in p.PLANTED}\n"
        "sys.stdout.buffer.write((p.page(studies) + '<<>>' + p.figure(studies)).encode())"
    )
    root = TABLES.parents[1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=root, check=True)
    page, figure = done.stdout.decode().split("<<>>")
    assert page == (root / "docs" / "world-sweeps.md").read_text(encoding="utf-8")
    assert figure == (TABLES / "shares.svg").read_text(encoding="utf-8")


def test_the_filter_leaves_the_planted_bias_and_makes_one_of_its_own():
    """world:clip is biased by gender: what it keeps of balanced captions is biased by gender, and not by skin tone."""
    rows = table("datasets")
    for row in rows:
        strength = float(row["strength"])
        light, dark = float(row["pleasant_light"]), float(row["pleasant_dark"])
        assert light - dark == pytest.approx(strength, abs=0.08)
        gap = float(row["pleasant_women"]) - float(row["pleasant_men"])
        assert (gap > 0.08) if row["filtering"] == "CLIP score" else (abs(gap) < 0.05)
    assert {row["filtering"] for row in rows} == {"none", "CLIP score"}
