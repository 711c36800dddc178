"""``fairvl demo study``: the shipped population through sweep, study and report, and the planted cause found."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest

from fairvl.findings import Findings, column
from fairvl.study import study

WITHOUT_TORCH = """
import sys

class Missing:  # as on the core install
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "open_clip", "pandas", "sklearn", "statsmodels", "ray"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
from fairvl.cli import main
main(["demo", "study", "--out", sys.argv[1]], standalone_mode=False)
"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The demo as the shell runs it, where nothing but the core dependencies can be imported."""
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, Findings.read(out / "findings.json")


def shares(findings, kind="unique"):
    return sorted(findings.where(metric="variance_share", scope="social", kind=kind), key=lambda r: column(r, "rank"))


def test_it_writes_a_report_the_study_and_what_it_was_made_from(shown):
    out, _ = shown
    assert {p.name for p in out.iterdir()} == {
        "report.html", "findings.json", "findings.parquet", "performance.csv", "sweep",
    }  # fmt: skip
    assert "Study of 48 models" in (out / "report.html").read_text(encoding="utf-8")
    assert len(Findings.read(out / "sweep" / "findings.json")) == 480


@pytest.mark.parametrize("kind", ["marginal", "unique"])
def test_the_planted_factor_ranks_first_and_no_other_factor_explains_bias(shown, kind):
    planted, *others = shares(shown[1], kind)
    assert column(planted, "factor") == "dataset_family"
    assert planted.low > 0.5
    assert {column(row, "factor") for row in others} >= {"architecture_family", "params_m", "filtering"}
    assert all(row.low < 0.001 and row.high < planted.low and row.p_adjusted > 0.05 for row in others)


def test_bias_grows_with_the_planted_strength_of_the_family(shown):
    effects = {
        column(row, "level_name"): row
        for row in shown[1].where(metric="contrast", factor="dataset_family", scope="social", kind="adjusted")
    }
    assert effects["birch"].value < effects["cedar"].value < effects["maple"].value
    assert effects["birch"].high < 0 < effects["maple"].low


def test_the_planted_correlation_with_accuracy_is_negative(shown):
    row = shown[1].one(metric="correlation", scope="social", kind="pearson", topic="Skin tone", order="text-text")
    assert row.high < 0


def test_shuffled_covariates_explain_nothing(shown):
    """Power of the above: the same numbers with the models' names moved on by a few rows."""
    out, _ = shown
    swept = Findings.read(out / "sweep" / "findings.json")
    with open(out / "sweep" / "models.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shuffled = [rows[(5 * i) % len(rows)]["dataset_family"] for i in range(len(rows))]
    families = {"model": [row["model"] for row in rows], "dataset_family": shuffled}
    found = study(swept, models=families, draws=100, permutations=0)
    assert found.one(metric="variance_share", scope="social", kind="marginal").low == 0
