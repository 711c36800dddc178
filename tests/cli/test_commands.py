"""The command line as a stranger meets it: help, typos, wrong files, exit codes, JSON."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.findings import Findings

VERBS = (
    *("embed", "audit", "audit-images", "sweep", "study", "debias", "apply", "bake", "generate"),
    *("dedup", "captions", "pretrain", "learn-paths", "augment", "train-classifier", "report", "check", "demo"),
)
TABLE = "id,y_true,y_pred,region\n" + "\n".join(
    f"{i},{'ab'[i % 2]},{'ab'[i % 3 % 2]},{'xy'[i % 4 // 2]}" for i in range(80)
)


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture
def audited(tmp_path, run):
    (tmp_path / "p.csv").write_text(TABLE)
    done = run("audit", "--predictions", tmp_path / "p.csv", "-o", tmp_path / "audit", "--draws", 100, "--json")
    assert done.exit_code == 0, done.output
    return tmp_path / "audit", done


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(run, verb):
    done = run(verb, "--help")
    assert done.exit_code == 0
    assert f"\n    fairvl {verb} " in done.output.partition("\n  Example:\n")[2].join(("\n", ""))


def test_help_lists_every_verb(run):
    assert all(f"\n  {verb} " in run("--help").output for verb in VERBS)
    assert sorted(main.commands) == sorted(VERBS)


def test_a_typo_names_the_nearest_verb(run):
    done = run("adit")
    assert done.exit_code == 2
    assert "Did you mean 'audit'" in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("audit", "-o", "x"), "neither an encoder nor predictions"),
        (("audit", "--predictions", "absent.csv", "-o", "x"), "absent.csv"),
        (("audit", "-e", "fake", "-d", "foldr:x", "-o", "x"), "folder"),
        (("audit", "-e", "open_clp:ViT-B-32/openai", "-o", "x"), "open_clip"),
        (("audit", "-e", "fake", "--suite", "cor", "-o", "x"), "core"),
        (("debias", "fake", "--attribute", "shoes", "-o", "x"), "debias-gender"),
        (("report", "absent.json", "-o", "x.html"), "no such file"),
        (("check", "absent.json", "t.toml"), "absent.json"),
        (("demo", "audti", "-o", "x"), "Did you mean 'audit'"),
        (("embed", "fake", "folder:absent", "-o", "x"), "absent"),
    ],
)
def test_a_mistake_is_one_readable_line_and_exit_code_2(run, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert "Traceback" not in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_an_audit_of_predictions_writes_findings_and_report(audited):
    folder, done = audited
    assert {p.name for p in folder.iterdir()} == {"findings.json", "findings.parquet", "report.html"}
    printed = json.loads(done.stdout)
    assert printed["findings"] == json.loads((folder / "findings.json").read_text())["findings"]
    assert Findings.read(folder / "findings.json").records() == Findings.read(folder / "findings.parquet").records()


def test_check_exits_with_1_when_a_threshold_is_crossed(audited, run, tmp_path):
    folder, _ = audited
    rule = '[[rule]]\nmetric = "accuracy"\ngroups = "(all)"\n{}\n'
    (tmp_path / "ok.toml").write_text(rule.format("min = 0.0"))
    (tmp_path / "bad.toml").write_text(rule.format("min = 0.999"))
    (tmp_path / "lost.toml").write_text(rule.replace("accuracy", "acuracy").format("min = 0.0"))
    assert run("check", folder / "findings.json", tmp_path / "ok.toml").exit_code == 0
    assert run("check", folder / "findings.json", tmp_path / "bad.toml").exit_code == 1
    assert run("check", folder / "findings.json", tmp_path / "lost.toml").exit_code == 2
    assert json.loads(run("check", folder / "findings.json", tmp_path / "bad.toml", "--json").stdout)["ok"] is False


def test_two_runs_become_one_comparison(audited, run, tmp_path):
    folder, _ = audited
    done = run("report", folder / "findings.json", folder / "findings.json", "-o", tmp_path / "both.html")
    assert done.exit_code == 0
    assert (tmp_path / "both.html").stat().st_size < 3_000_000


def test_an_operator_travels_through_its_file(run, tmp_path):
    path = tmp_path / "gender.safetensors"
    assert run("debias", "fake:32", "--method", "orthogonal", "-o", path).exit_code == 0
    done = run("audit", "-e", "fake:32", "--operator", path, "-o", tmp_path / "proof", "--draws", 100)
    assert done.exit_code == 0, done.output
    proof = Findings.read(tmp_path / "proof" / "findings.json")
    assert {row.extra["repair"] for row in proof if row.arm == "after"} == {"gender"}
    assert proof.settings["treated_attribute"] == "gender"


def test_ctrl_c_ends_with_one_line_and_no_traceback(tmp_path, interrupted):
    code = "; ".join(
        [
            "import time, fairvl.sources.encoders as e",
            "e.load_encoder = lambda *a, **k: print('working', flush=True) or time.sleep(60)",
            "from fairvl.cli import main",
            "main()",
        ]
    )
    exit_code, errors = interrupted(code, "debias", "fake", "-o", tmp_path / "x")
    assert exit_code == 130
    assert "The same command goes on where a job stopped" in " ".join(errors.split())
    assert "Traceback" not in errors


def test_two_operators_of_one_name_do_not_replace_each_other(run, tmp_path):
    for folder in ("a", "b"):
        assert (
            run("debias", "fake:8", "--method", "orthogonal", "-o", tmp_path / folder / "r.safetensors").exit_code == 0
        )
    done = run(
        "audit", "-e", "fake:8", "--operator", tmp_path / "a/r.safetensors", "--operator", tmp_path / "b/r.safetensors",
        "-o", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "same name" in done.output
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_a_mistake_and_not_a_traceback(run, tmp_path):
    (tmp_path / "p.csv").write_text(TABLE)
    (tmp_path / "taken").write_text("mine")
    arguments = ("audit", "--predictions", tmp_path / "p.csv", "--draws", 100, "-o")
    for out in ("taken", "taken/below"):
        done = run(*arguments, tmp_path / out)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.output
        assert "taken" in done.output
    assert (tmp_path / "taken").read_text() == "mine"
    assert run("report", tmp_path / "p.csv", "-o", tmp_path).exit_code == 2
