"""A whole training: it learns, its arms see the same batches, it survives a kill, it says when nothing was learned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fairvl
from fairvl.errors import ConfigMismatchError, DatasetError, InputError, TrainingError
from fairvl.repair.captions import captions as neutralise
from fairvl.repair.pretraining import Pairs, pretrain
from fairvl.repair.pretraining.run import weights_hash

SMALL = {"steps": 6, "batch_size": 16, "lr": 3e-3, "checks": False, "held_out": 0.1}
HERE = Path(__file__).with_name("conftest.py")


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def changed(pairs, **columns):
    names = ("ids", "images", "captions", "neutral", "image_ids")
    return Pairs(**({name: getattr(pairs, name) for name in names} | columns))


def test_it_learns_and_leaves_the_model_that_it_was_given(tmp_path, build, pairs):
    model = build("blip")
    before = weights_hash(model.module)
    run = pretrain(model, pairs, tmp_path / "run", arm="control", steps=110, batch_size=32, lr=3e-3, held_out=0.2)
    assert weights_hash(model.module) == before
    found = {check.name: check for check in run.checks}
    assert found.keys() == {"itc", "itm", "lm"}
    assert found["itm"].value < 0.6
    assert found["lm"].low > 0
    assert all(check.passed and check.low <= check.value <= check.high for check in run.checks)
    assert weights_hash(run.model.module) != before
    right = run.model.score(pairs.images[:40], pairs.captions[:40])
    wrong = run.model.score(np.roll(pairs.images[:40], 1, axis=0), pairs.captions[:40])
    assert right.mean() > wrong.mean() + 0.5
    assert json.loads((tmp_path / "run" / "checks.json").read_text())["family"] == "blip"
    again = pretrain(model, pairs, tmp_path / "run", arm="control", steps=110, batch_size=32, lr=3e-3, held_out=0.2)
    assert again.first == 110
    assert again.checks == run.checks
    # pairs that are shifted by one are refused by what the model knows, before a step is made
    with pytest.raises(DatasetError, match="misaligned by one"):
        pretrain(run.model, changed(pairs, images=np.roll(pairs.images, 1, axis=0)), tmp_path / "s", **SMALL)
    assert not (tmp_path / "s" / "losses.jsonl").exists()


def test_pairs_that_do_not_belong_together_end_in_an_error_that_says_why(tmp_path, build, pairs):
    shuffled = changed(pairs, images=pairs.images[np.random.default_rng(0).permutation(len(pairs))])
    options = {"arm": "control", "steps": 40, "batch_size": 16, "lr": 3e-3, "held_out": 0.3, "objectives": ["itm"]}
    with pytest.raises(TrainingError, match=r"itm 0\.6.*below 0\.600 \(0\.6365 without information\).*do not belong"):
        pretrain(build("albef"), shuffled, tmp_path / "run", **options)
    assert (tmp_path / "run" / ".jobs" / "pretrain" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "run" / "model").exists()
    run = pretrain(build("albef"), shuffled, tmp_path / "run", **options, checks=False)
    assert run.first == 40  # nothing was trained again
    assert (tmp_path / "run" / "model").is_dir()


def test_the_ramp_follows_the_step_and_the_control_arm_sees_the_same_batches(tmp_path, build, pairs):
    options = {**SMALL, "steps": 40, "batch_size": 64, "objectives": ["itc"]}
    neutral = pretrain(build("blip"), pairs, tmp_path / "n", **options).losses
    control = pretrain(build("blip"), pairs, tmp_path / "c", arm="control", **options).losses
    shares = np.array([row["neutral"] for row in neutral])
    expected = 0.15 + 0.85 * np.arange(40) / 40
    assert np.abs(shares - expected).max() < 4 * np.sqrt(0.25 / 64)
    assert np.polyfit(np.arange(40) / 40, shares, 1) == pytest.approx([0.85, 0.15], abs=0.06)
    assert all(row["neutral"] == 0 for row in control)
    assert [row["lr"] for row in neutral] == [row["lr"] for row in control]
    released = pretrain(build("blip"), pairs, tmp_path / "r", ramp="released", **options).losses
    assert np.mean([row["neutral"] for row in released[2:]]) > 0.98
    # with neutral captions equal to the original ones, the arms are the same run
    plain = changed(pairs, neutral=pairs.captions)
    one = pretrain(build("blip"), plain, tmp_path / "p", **options).losses
    assert [row["itc"] for row in one] == [row["itc"] for row in control]


def test_a_run_killed_in_its_middle_ends_with_the_same_losses_and_bytes(tmp_path, build, pairs):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {**SMALL, "steps": 12, "checkpoint_every": 4}
    pretrain(build("albef"), pairs, whole, **options)
    code = f"""
import importlib.util, time, torch
torch.set_num_threads({__import__("torch").get_num_threads()})
spec = importlib.util.spec_from_file_location("c", {str(HERE)!r})
c = importlib.util.module_from_spec(spec); spec.loader.exec_module(c)
from fairvl.repair.pretraining import Pairs, pretrain
from fairvl.repair.pretraining import lesson
learn = lesson.Lesson.learn
lesson.Lesson.learn = lambda self, step, share: (time.sleep(0.3 * (step > 7)), learn(self, step, share))[1]
ids, pictures, captions, neutral, _ = c.colour_pairs(240)
pretrain(c.colour_model("albef"), Pairs(ids, pictures, captions, neutral), {str(killed)!r}, **{options!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    log = killed / ".jobs" / "pretrain" / "losses.jsonl"
    deadline = time.monotonic() + 300
    while not (log.exists() and log.read_bytes().count(b"\n") >= 9) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    run = pretrain(build("albef"), pairs, killed, **options)
    assert run.first == 8
    assert files(killed) == files(whole)
    with pytest.raises(ConfigMismatchError, match="arm: 'neutral' in the folder, 'control' now"):
        pretrain(build("albef"), pairs, killed, arm="control", **options)
    with pytest.raises(ConfigMismatchError, match="weights"):
        pretrain(build("albef", seed=1), pairs, killed, **options)
    assert files(killed) == files(whole)


def test_captions_are_joined_by_id_and_a_wrong_list_is_refused_before_a_step(tmp_path, build, pairs):
    table = tmp_path / "captions.csv"
    table.write_text("id,caption\n" + "".join(f"{i},{t}\n" for i, t in zip(pairs.ids, pairs.captions, strict=True)))
    neutralise(table, tmp_path / "neutral")
    model, bare = build("blip"), changed(pairs, neutral=None)
    by_run = pretrain(model, bare, tmp_path / "run", captions=tmp_path / "neutral", **SMALL)
    here = pretrain(model, bare, tmp_path / "here", **SMALL)  # rewritten on the way
    assert by_run.losses == here.losses
    order = np.random.default_rng(1).permutation(len(pairs))
    other = Pairs([pairs.ids[i] for i in order], pairs.images, pairs.captions)
    with pytest.raises(DatasetError, match=r"was 'a .*' and is 'a "):
        pretrain(model, other, tmp_path / "x", captions=tmp_path / "neutral", **SMALL)
    some = Pairs(pairs.ids[:200], pairs.images[:200], pairs.captions[:200])
    with pytest.raises(DatasetError, match="one for one"):
        pretrain(model, some, tmp_path / "x", captions=tmp_path / "neutral", **SMALL)
    for wrong in ([pairs.neutral[i] for i in order], [*pairs.neutral[1:], pairs.neutral[0]]):
        with pytest.raises(DatasetError, match="they belong to other rows"):
            pretrain(model, changed(pairs, neutral=wrong), tmp_path / "x", **SMALL)
    with pytest.raises(DatasetError, match="1 pairs have none"):
        pretrain(model, bare, tmp_path / "x", captions=dict(zip(pairs.ids[1:], pairs.neutral, strict=False)), **SMALL)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"ids": ["same"] * 2 + [f"i{n}" for n in range(238)]}, "'same' occurs more than once"),
        ({"ids": ["", *(f"i{n}" for n in range(239))]}, "have no id"),
        ({"captions": [" ", *["a man red over red"] * 239]}, "no caption.*skip_empty"),
        ({"neutral": ["", *["a person red over red"] * 239]}, "empty"),
        ({"captions": ["a man"]}, "as many of each"),
    ],
)
def test_tables_with_holes_are_refused(tmp_path, build, pairs, columns, match):
    with pytest.raises(DatasetError, match=match):
        pretrain(build("blip"), changed(pairs, **columns), tmp_path / "x", **SMALL)


def test_rows_without_captions_can_be_left_out(tmp_path, build, pairs):
    holes = changed(pairs, captions=["", *pairs.captions[1:]])
    run = pretrain(build("blip"), holes, tmp_path / "run", skip_empty=True, **SMALL)
    assert len(run.losses) == 6


@pytest.mark.parametrize(
    "wrong",
    [{"arm": "both"}, {"objectives": ["mlm"]}, {"objectives": []}, {"objectives": {"itc": 0}}, {"ramp": "linear"},
     {"ramp": (0.2, 1.5)}, {"batch_size": 1000}, {"contrast": "none"}, {"held_out": 0.9}, {"accumulate": 17},
     {"mask_rate": 1.0}],
)  # fmt: skip
def test_options_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, build, pairs, wrong):
    with pytest.raises((InputError, DatasetError)):
        pretrain(build("blip"), pairs, tmp_path / "x", **(SMALL | wrong))
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_trained_is_refused(tmp_path, pairs):
    with pytest.raises(InputError, match="expected a fusion model"):
        fairvl.pretrain(fairvl.load_encoder("fake"), pairs, tmp_path / "x", **SMALL)


def test_bf16_trains(tmp_path, build, pairs):
    full = pretrain(build("albef"), pairs, tmp_path / "full", **SMALL).losses
    half = pretrain(build("albef"), pairs, tmp_path / "half", precision="bf16", **SMALL).losses
    assert full != half
    assert half[0]["loss"] == pytest.approx(full[0]["loss"], rel=0.02)
