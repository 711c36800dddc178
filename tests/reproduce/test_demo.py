"""The main job on the built-in world: bias found, repaired, proved, at little cost, and not by a random operator."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.errors import InputError
from fairvl.findings import Findings
from fairvl.reproduce.demos import demo

CONTROL = "random (control)"
WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "open_clip", "pandas", "sklearn"):
    sys.modules[name] = None  # importing it fails, as on the core install
from fairvl.reproduce.demos import demo
print(demo("audit").to_json())
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    done = CliRunner().invoke(main, ["demo", "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out, Findings.read(out / "findings.json")


def treated(findings):
    """The two headline measurements of the treated attribute: before, and change and after by repair."""
    association = findings.where(
        metric="effect_size", test="women and men: pleasant and unpleasant", order="image-text"
    )
    return association, findings.where(metric="mean_max_skew", attribute="gender")


def test_it_writes_a_report_findings_and_operators(shown):
    out, _ = shown
    assert {p.name for p in out.iterdir()} == {
        "report.html", "findings.json", "findings.parquet",
        "gender-orthogonal.safetensors", "gender-calibrated.safetensors",
    }  # fmt: skip
    assert (out / "report.html").stat().st_size < 3_000_000


@pytest.mark.parametrize("repair", ["orthogonal", "calibrated"])
def test_association_and_skew_of_the_treated_attribute_fall_by_half(shown, repair):
    for rows in treated(shown[1]):
        before, change = rows.one(arm="before"), rows.one(arm="difference", repair=repair)
        assert before.low > 0.1  # power: there is a bias to remove
        assert change.high < 0
        assert -change.value >= 0.5 * before.value


def test_a_random_operator_of_equal_rank_does_not_achieve_it(shown):
    repairs = shown[1].settings["repairs"]
    assert repairs[CONTROL]["rank"] == repairs["orthogonal"]["rank"]
    for rows in treated(shown[1]):
        assert -rows.one(arm="difference", repair=CONTROL).value < 0.5 * rows.one(arm="before").value


@pytest.mark.parametrize("repair", ["orthogonal", "calibrated"])
def test_utility_on_untreated_attributes_stays_within_two_points(shown, repair):
    rows = shown[1].where(metric="accuracy", groups="(all)", role="utility")
    untreated = {"glasses", "smile", "hair length", "place", "age group", "skin"}  # occupation is planted with gender
    assert untreated <= {row.extra["task"] for row in rows}
    for row in (r for r in rows.where(arm="difference", repair=repair) if r.extra["task"] in untreated):
        assert abs(row.value) <= 0.02, row.extra["task"]


def test_controls_and_the_image_side_stay(shown):
    control = shown[1].where(metric="effect_size", test="flowers and litter: lovely and grim", order="text-text")
    assert control.one(arm="before").low > 0.5
    assert control.one(arm="after", repair="orthogonal").low > 0.5
    images = shown[1].where(metric="probe_accuracy", modality="image", attribute="gender")
    assert images.one(arm="before").low > 0.6
    assert images.one(arm="difference", repair="orthogonal").value == 0


def test_it_needs_no_torch_and_the_same_seed_gives_the_same_bytes(shown):
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["findings"] == shown[1].records()


def test_an_unknown_demo_is_named():
    with pytest.raises(InputError, match="expected one of"):
        demo("tour")
