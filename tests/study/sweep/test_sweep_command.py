"""`fairvl sweep` as a stranger meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.findings import Findings
from fairvl.sources.stimuli import load_registry

QUICK = ("--draws", "100", "--permutations", "199", "--suite", "weat")
TESTS = len(load_registry("weat").cases)


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, ["sweep", *[str(a) for a in arguments]])


@pytest.fixture
def listed(tmp_path):
    (tmp_path / "M.toml").write_text(
        '[[model]]\nencoder = "fake:8"\ndataset = "d"\n[[model]]\nid = "b"\nencoder = "stored:nowhere"\n'
    )
    return tmp_path / "M.toml"


def test_a_list_of_models_becomes_a_folder_for_a_study(tmp_path, run, listed):
    done = run(listed, "-o", tmp_path / "out", *QUICK, "--json")
    assert done.exit_code == 0, done.output
    assert "b could not be measured" in done.stderr
    assert "go on with: fairvl study" in done.stderr
    table = Findings.read(tmp_path / "out/findings.json")
    assert len(table) == 2 * TESTS
    assert json.loads(done.stdout)["findings"] == json.loads((tmp_path / "out/findings.json").read_text())["findings"]
    assert (tmp_path / "out/models.csv").read_text().splitlines()[1].startswith("fake:8,d,")
    again = run(listed, "-o", tmp_path / "out", "--suite", "weat", "--draws", "200")
    assert again.exit_code == 2
    assert "draws: 100 in the folder, 200 now" in again.output
    part = run(listed, "-o", tmp_path / "parts", *QUICK, "--engine", "shard:0/2")
    assert part.exit_code == 0
    assert "1 of 2 models are measured" in part.stderr
    merged = run("--merge", tmp_path / "out", "--merge", tmp_path / "parts", "-o", tmp_path / "both", *QUICK)
    assert merged.exit_code == 0, merged.output
    assert len(Findings.read(tmp_path / "both/findings.json")) == 2 * TESTS


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-o", "x"), "give MODELS"),
        (("M.toml", "--merge", ".", "-o", "x"), "one of the two"),
        (("absent.toml", "-o", "x"), "absent.toml"),
        (("M.toml", "--suite", "eat27", "-o", "x"), "eat26"),
        (("M.toml", "--engine", "rya", "-o", "x"), "'ray'"),
        (("M.toml", "--engine", "ray?gpu=1", "-o", "x"), "gpus="),
        (("M.toml", "--engine", "shard:2/2", "-o", "x"), "n - 1"),
        (("catalogue:dataset_famly=laion", "-o", "x"), "Did you mean 'dataset_family'"),
        (("M.toml", "-o", "M.toml"), "M.toml"),
        (("--merge", ".", "-o", "x"), "holds no measurements"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(tmp_path, run, listed, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "x").exists()


SLEEPY = """
import sys, time
import fairvl.study.sweep.run as run
class Sleepy:
    def __init__(self):
        from fairvl.sources.encoders import FakeEncoder
        self.fake = FakeEncoder(8)
        self.card = self.fake.card
        self.calls = 0
    def encode_texts(self, texts):
        self.calls += 1
        if self.calls < 7:  # a batch, and what the probe asks
            return self.fake.encode_texts(texts)
        print("working", flush=True)
        time.sleep(60)
run.load_encoder = lambda name: Sleepy()
from fairvl.cli import main
main()
"""


def test_ctrl_c_leaves_a_folder_that_resumes_and_says_so(tmp_path, run, listed):
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPY, "sweep", str(listed), "-o", str(tmp_path / "out"), *QUICK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "keeps what is done, and the same command goes on from there" in " ".join(errors.split())
    assert "Traceback" not in errors
    assert list((tmp_path / "out/vectors").rglob("*.safetensors"))  # the texts were encoded before
    assert not list((tmp_path / "out").rglob("*.tmp"))
    done = run(listed, "-o", tmp_path / "out", *QUICK)
    assert done.exit_code == 0, done.output
    assert len(Findings.read(tmp_path / "out/findings.json")) == 2 * TESTS


def test_a_sweep_without_one_measured_model_is_a_failure(tmp_path, run):
    (tmp_path / "M.toml").write_text('[[model]]\nencoder = "stored:nowhere"\n')
    done = run(tmp_path / "M.toml", "-o", tmp_path / "out", *QUICK)
    assert done.exit_code == 2
    assert "no model could be measured" in done.stderr
    assert "go on with" not in done.stderr
    assert (tmp_path / "out/findings.json").is_file()


def test_another_list_of_models_is_said_in_words(tmp_path, run, listed):
    assert run(listed, "-o", tmp_path / "an out", *QUICK).exit_code == 0
    listed.write_text('[[model]]\nencoder = "fake:9"\n')
    again = run(listed, "-o", tmp_path / "an out", *QUICK)
    assert again.exit_code == 2
    assert "another list of models" in again.stderr
    assert "hash" not in again.stderr


def test_the_command_to_go_on_with_can_be_pasted(tmp_path, run, listed):
    done = run(listed, "-o", tmp_path / "an out", *QUICK)
    assert f"fairvl study '{tmp_path / 'an out'}'" in done.stderr
