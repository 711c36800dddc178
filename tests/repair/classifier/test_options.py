"""A second stage at a tenth of the rate, and the penalty on pairs that are labelled apart: each does what it says."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fairvl.errors import ConfigMismatchError, InputError
from fairvl.repair.classifier import train_classifier
from fairvl.repair.classifier.data import read_labelled
from fairvl.repair.classifier.networks import build, predict
from fairvl.repair.editing.augment import augment
from fairvl.repair.editing.gate import Gate, Thresholds
from fairvl.repair.editing.plan import Plan

spec = importlib.util.spec_from_file_location("small_heads", Path(__file__).parents[1] / "small_heads.py")
heads = sys.modules.setdefault("small_heads", importlib.util.module_from_spec(spec))
spec.loader.exec_module(heads)
NAMES = {"label": "hat", "attribute": "tone"}
BASE = {"backbone": "small", "batch_size": 16, "seeds": 1, "draws": 0, **NAMES}


def world(n, strength, seed, cue=(0.1, 0.4)):
    """Heads whose hat is faint, so that a classifier leans on the tone that goes with it."""
    tone, hat = heads.correlated(n, strength, seed)
    return heads.Heads(*heads.draw(n, seed, tone, hat, cue), fingerprint=f"heads-{n}-{strength}-{seed}-{cue}")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    real, test = world(120, 0.9, 1), world(60, 0.5, 2)
    gate = Gate([heads.judge("b", fingerprint="fb")], chooser=heads.judge("a", fingerprint="fa"),
                thresholds=Thresholds(structure=None, margin=-1.0, label_margin=-1.0, kept=0.0))  # fmt: skip
    plan = Plan.from_dataset(real, **NAMES)
    done = augment(real, heads.ToneEditor(), plan, gate, tmp_path_factory.mktemp("edits"), changes=heads.CHANGES,
                   variants=3, strength=1.0, retries=0, block=64)  # fmt: skip
    return {"dataset": real, "test": test, "augmented": done}


def weights(folder, arm):
    return load_file(folder / arm / "seed-0" / "model.safetensors")


def losses(folder, arm):
    return [json.loads(line) for line in (folder / arm / "seed-0" / "losses.jsonl").read_text().splitlines()]


def apart(folder, done):
    """Mean absolute difference of probabilities between edits and their sources."""
    module = build("small", 2)
    import torch

    module.load_state_dict({key: torch.from_numpy(value) for key, value in weights(folder, "augmented").items()})
    shares = [predict(module, read_labelled(name, "hat", "tone", 32).images, "cpu") for name in
              (done.edited, done.unedited)]  # fmt: skip
    return float(np.abs(shares[0] - shares[1]).mean())


def test_all_arms_go_on_from_one_first_stage_and_take_as_many_steps(material, tmp_path):
    found = train_classifier(**material, **BASE, arms=["baseline", "augmented"], steps=12, finetune=4, lr=1e-2,
                             schedule="constant", warmup=0, out=tmp_path)  # fmt: skip
    assert [len(losses(tmp_path, arm)) for arm in ("first", "baseline", "augmented")] == [8, 4, 4]
    assert (found.settings["steps"], found.settings["finetune"]) == (12, 4)
    first, arms = weights(tmp_path, "first"), {arm: weights(tmp_path, arm) for arm in ("baseline", "augmented")}
    fresh = {key: value.numpy() for key, value in build("small", 2, seed=0).state_dict().items()}

    def away(left, right):
        return max(float(np.abs(left[key] - right[key]).max()) for key in left)

    for arm in arms.values():
        assert 0 < away(arm, first) < 0.5 * away(first, fresh)  # fewer steps, at a tenth of the rate
    assert away(arms["baseline"], arms["augmented"]) > 0


def test_without_a_second_stage_nothing_is_different(material, tmp_path):
    options = {**material, **BASE, "arms": ["baseline"], "steps": 3}
    plain, same = train_classifier(**options, out=tmp_path / "a"), train_classifier(**options, finetune=0)
    assert plain.to_json() == same.to_json()
    assert "finetune" not in plain.settings
    assert not (tmp_path / "a" / "first").exists()
    with pytest.raises(ConfigMismatchError):
        train_classifier(**options, finetune=1, out=tmp_path / "a")


def test_the_penalty_brings_pairs_together(material, tmp_path):
    options = {**material, **BASE, "arms": ["augmented"], "steps": 60, "lr": 3e-3}
    train_classifier(**options, out=tmp_path / "without")
    train_classifier(**options, consistency=2.0, out=tmp_path / "with")
    before, after = (apart(tmp_path / name, material["augmented"]) for name in ("without", "with"))
    assert before > 0.03  # there is something to bring together
    assert after < 0.6 * before
    told = losses(tmp_path / "with", "augmented")
    assert all(row["apart"] >= 0 for row in told)
    assert "apart" not in losses(tmp_path / "without", "augmented")[0]
    again = train_classifier(**options, consistency=2.0, out=tmp_path / "with")
    assert again.settings["consistency"] == 2.0
    with pytest.raises(ConfigMismatchError):
        train_classifier(**options, consistency=1.0, out=tmp_path / "with")


def test_the_penalty_is_for_the_augmented_arm_alone(material, tmp_path):
    options = {**material, **BASE, "arms": ["baseline", "augmented"], "steps": 3}
    train_classifier(**options, out=tmp_path / "without")
    train_classifier(**options, consistency=2.0, out=tmp_path / "with")
    same = {
        arm: all(np.array_equal(value, weights(tmp_path / "with", arm)[key])
                 for key, value in weights(tmp_path / "without", arm).items())
        for arm in options["arms"]
    }  # fmt: skip
    assert same == {"baseline": True, "augmented": False}


def test_mistakes(material):
    for options, told in (
        ({"finetune": 3}, r"finetune=3.*steps from 0 to below steps=3"),
        ({"consistency": -1.0}, "a weight from 0"),
        ({"consistency": 1.0, "arms": ["baseline"]}, "in the augmented arm; pass augmented="),
        ({"consistency": 1.0, "augmented": None}, "in the augmented arm; pass augmented="),
    ):
        with pytest.raises(InputError, match=told):
            train_classifier(**{**material, **BASE, "steps": 3, **options})
