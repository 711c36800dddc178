"""`fairvl sweep` as a stranger meets it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from fairvl.atomic import write_atomic
from fairvl.cli import main
from fairvl.errors import InputError
from fairvl.findings import Findings
from fairvl.sources.stimuli import load_registry
from fairvl.study.sweep import merge, sweep
from fairvl.study.sweep.measured import Measured, file_of

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


def test_ctrl_c_leaves_a_folder_that_resumes_and_says_so(tmp_path, run, listed, interrupted):
    exit_code, errors = interrupted(SLEEPY, "sweep", listed, "-o", tmp_path / "out", *QUICK)
    assert exit_code == 130
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


def test_stand_ins_and_one_model_under_two_ids_are_said_at_the_end(tmp_path, run, listed, toy, quick, monkeypatch):
    def said(models, registry, name):
        table = sweep(models, tmp_path / name, suite=registry, **quick)
        monkeypatch.setattr("fairvl.study.sweep.sweep", lambda *_, **__: table)
        done = run(listed, "-o", tmp_path / name)
        assert done.exit_code == 0, done.output
        return done.stderr.splitlines()

    twins = {"a": toy.Counting(0), "again": toy.Counting(0), "b": toy.Counting(1)}
    lines = said(twins, toy.registry(), "with")
    assert len(lines) == 3
    assert lines[0].startswith("2 of 4 tests used stand-in pictures; give your own copies with --images")
    assert lines[1].startswith("warning: 'again' has the very vectors of 'a': one model under two ids")
    texts = replace(toy.registry(), cases=toy.registry().cases[:1])
    assert len(said(toy.models(2), texts, "without")) == 1
    options = {option for parameter in main.commands["sweep"].params for option in parameter.opts}
    assert {"--images", "--no-stand-ins"} <= options  # the line names options that exist


def test_merge_takes_the_suite_of_the_folders(tmp_path, run, listed):
    part = run(listed, "-o", tmp_path / "a", *QUICK, "--engine", "shard:0/1")
    assert part.exit_code == 0, part.output
    other = Measured("c", "fake:8", {"id": "world-eat", "version": 1, "fingerprint": "f"}, failed="no weights")
    write_atomic(tmp_path / "b" / file_of("c"), other.save())
    merged = run("--merge", tmp_path / "a", "-o", tmp_path / "both", *QUICK[:4])
    assert merged.exit_code == 0, merged.output
    assert {row.suite for row in Findings.read(tmp_path / "both/findings.json")} == {"weat"}
    mixed = run("--merge", tmp_path / "a", "--merge", tmp_path / "b", "-o", tmp_path / "mixed", *QUICK[:4])
    assert mixed.exit_code == 2
    assert f"{tmp_path / 'a'} hold weat version" in mixed.stderr
    assert f"{tmp_path / 'b'} hold world-eat version" in mixed.stderr
    wrong = run("--merge", tmp_path / "b", "-o", tmp_path / "mixed", *QUICK)
    assert wrong.exit_code == 2
    assert "--suite, --images" in wrong.stderr
    assert not (tmp_path / "mixed").exists()


def test_merge_of_a_suite_of_ones_own_asks_for_its_file(tmp_path, toy, quick):
    sweep(toy.models(1), tmp_path / "a", suite=toy.registry(), **quick)
    with pytest.raises(InputError, match="'toy', which is not a shipped suite; give its file with --suite"):
        merge([tmp_path / "a"], tmp_path / "out")
    assert len(merge([tmp_path / "a"], tmp_path / "out", suite=toy.registry(), **quick)) == 4


@pytest.mark.parametrize("out", ["/proc/fairvl", "n" * 300, "taken/below"])
def test_a_folder_that_cannot_be_is_said_before_the_work(tmp_path, run, listed, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    done = run(listed, "-o", out, *QUICK)
    assert done.exit_code == 2
    assert "cannot be created or written; name another folder" in done.stderr
    assert "Traceback" not in done.output
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "M.toml"}
