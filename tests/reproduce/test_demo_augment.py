"""``fairvl demo augment``: a biased set, edits that two judges let pass, and classifiers beside their controls."""

from __future__ import annotations

import json
import warnings

import pytest
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.errors import ConfigMismatchError
from fairvl.findings import Findings
from fairvl.repair.editing.augment import ShortfallWarning
from fairvl.reproduce.demos import augment as shown
from fairvl.reproduce.demos import demo
from fairvl.sources.datasets import load_dataset

SMALL = shown.Sizes(real=60, test=80, pairs=4, sampling=5, steps=4, seeds=2, draws=100, reach=1.0)
ARMS = ("baseline", "augmented", "reweighted", "duplicated", "unedited", "aggravated")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The demo as a user runs it, with few pictures and hardly any training."""
    out = tmp_path_factory.mktemp("demo")
    patch = pytest.MonkeyPatch()
    patch.setattr(shown, "SIZES", SMALL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ShortfallWarning)  # few faces: the aggravated arm cannot get all it wants
            done = CliRunner().invoke(main, ["demo", "augment", "--out", str(out)])
        assert done.exit_code == 0, done.output
        yield out, Findings.read(out / "findings.json")
    finally:
        patch.undo()


def test_the_set_is_biased_and_the_augmented_one_is_not(made) -> None:
    out, _ = made
    counts = json.loads((out / "augmented" / "augmentation.json").read_text())["plan"]["counts"]
    before = {(y, a): n for y, a, n in counts}
    assert before["short", "light"] + before["long", "dark"] > 0.8 * sum(before.values())
    done = json.loads((out / "augmented" / "augmentation.json").read_text())
    after = {(y, a): n for y, a, n in done["counts"]}
    for label in ("short", "long"):
        short = sum(one["wanted"] - one["accepted"] for one in done["requests"] if one["label"] == label)
        assert after[label, "light"] + short >= after[label, "dark"] >= after[label, "light"] - short
    held_out = [record.attributes for record in load_dataset(f"folder:{out}/test?metadata=labels.csv")]
    agree = sum((one["skin"] == "light") == (one["hair_length"] == "short") for one in held_out)
    assert 0.25 < agree / len(held_out) < 0.75  # the test faces carry no correlation


def test_every_arm_and_every_request_is_reported(made) -> None:
    _, findings = made
    for arm in ARMS:
        row = findings.one(metric="accuracy", training=arm, arm="")
        assert row.n == SMALL.test
        assert row.low < row.high
    requests = findings.where(metric="edit_yield")
    assert {row.extra["training"] for row in requests} == {"augmented", "aggravated", "pairs"}
    assert all(0 < row.value <= 1 and row.low <= row.value <= row.high for row in requests)
    judged = findings.where(metric="judge_accuracy", attribute="skin")
    assert {(row.extra["judge"], row.extra["part"]) for row in judged} == {
        ("world:face-judge-a", "chooses strengths"), ("world:face-judge-b", "scores"),
    }  # fmt: skip
    assert all(row.value > 0.9 for row in judged)


def test_the_report_speaks_of_edits_and_controls(made) -> None:
    out, _ = made
    page = (out / "report.html").read_text()
    for words in ("Classifiers of hair length by skin", "Yield of every request", "rare cells drawn more often",
                  "A test instrument."):  # fmt: skip
        assert words in page, words
    assert "<img" not in page


@pytest.mark.filterwarnings("ignore::fairvl.repair.editing.augment.ShortfallWarning")
def test_a_second_call_makes_nothing_again_and_other_settings_are_refused(made, monkeypatch) -> None:
    out, findings = made
    edited = {path: path.stat().st_mtime_ns for path in (out / "augmented").rglob("*.png")}
    trained = {path: path.stat().st_mtime_ns for path in (out / "classifiers").rglob("*.safetensors")}
    assert edited
    assert len(trained) == len(ARMS) * SMALL.seeds
    again = demo("augment", out, seed=0)
    assert again.to_json() == findings.to_json()
    assert {path: path.stat().st_mtime_ns for path in edited} == edited
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    with pytest.raises(ConfigMismatchError):
        demo("augment", out, seed=1)


@pytest.mark.slow
def test_edits_make_the_classifier_fairer_and_aggravation_does_not(tmp_path) -> None:
    found = demo("augment", tmp_path, seed=0)

    def change(metric, arm="augmented", other="baseline"):
        return found.one(metric=metric, training=arm, compared_with=other, arm="difference")

    odds = "equalized_odds_difference_mean"
    before = found.one(metric=odds, training="baseline", arm="")
    after = found.one(metric=odds, training="augmented", arm="")
    assert before.value > 0.15  # there is something to repair
    assert after.value < 0.7 * before.value
    assert change(odds).value < -0.05  # three seeds: another machine's rounding moves the ends of intervals
    assert change("accuracy").value > 0.01
    assert change("worst_label_group_accuracy").value > 0.02
    assert change(odds, other="unedited").high < 0
    assert change(odds, arm="aggravated").value > 0.03
    assert change("accuracy", arm="aggravated").value < 0
    assert all(row.value > 0.75 for row in found.where(metric="edit_yield", training="augmented"))
    assert all(row.value > 0.5 for row in found.where(metric="edit_yield"))  # a face aggravated many times wears out
