"""debias, apply and bake from the shell: what they print, write and refuse."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fairvl.cli import main
from fairvl.findings import Findings
from fairvl.repair.debias import Operator
from fairvl.sources.encoders import FakeEncoder
from fairvl.sources.store import EmbeddingStore, write_store


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.parametrize(
    "method", ["mean-difference", "leace", "circle", "equalised", "imputation", "calibration", "orthogonal"]
)
def test_every_method_writes_an_operator_that_an_audit_takes(run, tmp_path, method):
    path = tmp_path / "operator.safetensors"
    done = run("debias", "world:vectors", "--method", method, "-o", path)
    assert done.exit_code == 0, done.output
    assert Operator.load(path).card.method == method
    assert f"{method} operator of rank" in done.output


def test_lambda_auto_and_the_bypass_say_what_they_found(run, tmp_path):
    path = tmp_path / "operator.safetensors"
    done = run("debias", "world:vectors", "--lambda", "auto", "--bypass", "--attribute", "gender", "-o", path)
    assert done.exit_code == 0, done.output
    assert "chosen on held-out contents" in done.output
    assert "neutral prompts left unrepaired: " in done.output
    assert Operator.load(path).card.method == "calibrated with bypass"
    joint = run(
        "debias", "world:vectors", "--attribute", "gender", "--attribute", "skin_tone", "--method", "leace", "-o", path
    )
    assert joint.exit_code == 0, joint.output
    assert Operator.load(path).card.attribute == "gender, skin_tone"


@pytest.mark.slow
def test_all_methods_are_compared_and_everything_lies_in_the_folder(run, tmp_path):
    done = run("debias", "world:vectors", "--method", "all", "--draws", 100, "-o", tmp_path / "all")
    assert done.exit_code == 0, done.output
    assert "on the Pareto front" in done.output
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert {"front.svg", "methods.txt", "findings.json", "report.html", "gender-circle.safetensors"} <= names
    found = Findings.read(tmp_path / "all" / "findings.json")
    assert len(found.where(metric="repair_bias")) == 10
    again = run("debias", "world:vectors", "--method", "all", "-o", tmp_path / "all" / "front.svg")
    assert again.exit_code == 2


def test_apply_makes_a_store_and_refuses_another_encoders(run, tmp_path):
    rows = np.random.default_rng(0).normal(size=(6, 32))
    ids = [str(i) for i in range(6)]
    write_store(tmp_path / "s", ids=ids, text_vectors=rows, card=FakeEncoder(32).card)
    other = {"library": "x", "name": "y", "weights": "z", "dim": 32}
    write_store(tmp_path / "t", ids=ids, text_vectors=rows, card=other)
    assert run("debias", "fake:32", "--method", "orthogonal", "-o", tmp_path / "o").exit_code == 0
    done = run("apply", tmp_path / "o", tmp_path / "s", "-o", tmp_path / "new", "--renormalise")
    assert done.exit_code == 0, done.output
    assert "6 rows in" in done.output
    assert EmbeddingStore.open(tmp_path / "new").normalised
    refused = run("apply", tmp_path / "o", tmp_path / "t", "-o", tmp_path / "no")
    assert refused.exit_code == 2
    assert "--allow-other-encoder" in refused.output
    assert run("apply", tmp_path / "o", tmp_path / "t", "-o", tmp_path / "no", "--allow-other-encoder").exit_code == 0


def test_group_robustness_on_a_folder_of_waterbirds(run, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for number in range(48):
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
        lines.append(f"{number},{number}.png,{number % 2},{2 if number >= 8 else 0},{number // 2 % 2},-")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    fitted = run(
        "debias", "fake:64", "--attribute", "place", "--bank", "paper-waterbirds", "--subspace", "span",
        "--method", "calibrated", "-o", tmp_path / "paper",
    )  # fmt: skip
    assert fitted.exit_code == 0, fitted.output
    assert "calibrated operator of rank 8" in fitted.output
    done = run(
        "audit", "-e", "fake:64", "-d", f"waterbirds:{tmp_path}", "--suite", "waterbirds",
        "--operator", tmp_path / "paper", "--draws", 100, "-o", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = Findings.read(tmp_path / "out/findings.json")
    for arm in ("before", "after", "difference"):
        for metric in ("worst_group_accuracy", "average_worst_gap", "accuracy_gap", "adjusted_accuracy"):
            row = found.one(metric=metric, arm=arm)
            assert row.attribute == "group"
            assert row.low <= row.value <= row.high
    assert "waterbird on land 2" in found.one(metric="adjusted_accuracy", arm="before").note
    assert "waterbird on land" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("debias", "fake", "--lambda", "strong", "-o", "x"), "inf or auto"),
        (("debias", "fake", "--lambda", "-1", "-o", "x"), "lam -1.0"),
        (("debias", "fake", "--method", "leace", "--references", "absent:x", "-o", "x"), "absent"),
        (("debias", "fake", "--method", "all", "--bank", "weat", "-o", "x"), "its own bank"),
        (("debias", "fake", "--bank", "paper-waterbirds", "-o", "x"), "subspace='span'"),
        (("audit", "-e", "fake", "-d", "waterbirds:absent", "--suite", "waterbirds", "-o", "out"), "no such folder"),
        (("apply", "absent", "absent", "-o", "x"), "no such file"),
        (("bake", "absent", "absent", "-o", "x"), "no such file"),
    ],
)
def test_user_mistakes_are_one_line_and_exit_code_two(run, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.output
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())
