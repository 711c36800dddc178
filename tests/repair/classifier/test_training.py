"""Arms at one budget: what they see, what they return, what they refuse."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from fairvl.errors import DatasetError, GroupError, InputError
from fairvl.findings import Findings
from fairvl.repair.classifier import train_classifier
from fairvl.repair.classifier.arms import make_mixes
from fairvl.repair.classifier.data import read_labelled
from fairvl.repair.classifier.networks import as_input, build, loss_sum
from fairvl.repair.editing.augment import augment
from fairvl.repair.editing.gate import Gate, Thresholds
from fairvl.repair.editing.plan import Plan

spec = importlib.util.spec_from_file_location("small_heads", Path(__file__).parents[1] / "small_heads.py")
heads = sys.modules.setdefault("small_heads", importlib.util.module_from_spec(spec))
spec.loader.exec_module(heads)
NAMES = {"label": "hat", "attribute": "tone"}


def world(n, strength, seed, cue=(1.0, 1.0)):
    tone, hat = heads.correlated(n, strength, seed)
    return heads.Heads(*heads.draw(n, seed, tone, hat, cue), fingerprint=f"heads-{n}-{strength}-{seed}")


def edits(data, out, mode="balance", pool=None, variants=3):
    gate = Gate([heads.judge("b", fingerprint="fb")], chooser=heads.judge("a", fingerprint="fa"),
                thresholds=Thresholds(structure=None, label_margin=-1.0, kept=0.0))  # fmt: skip
    plan = Plan.from_dataset(data, mode, **NAMES)
    return augment(data, heads.ToneEditor(), plan, gate, out, changes=heads.CHANGES, pool=pool, variants=variants,
                   strength=1.0, retries=0, block=64)  # fmt: skip


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    real, test = world(80, 0.85, 1), world(60, 0.5, 2)
    return (
        real,
        test,
        edits(real, folder / "balanced"),
        edits(test, folder / "pairs", {("hat", "light"): 20}, variants=1),
    )


def test_every_arm_reports_every_metric_with_its_pairs(material, tmp_path):
    real, test, balanced, pairs = material
    options = {"augmented": balanced, "pairs": pairs, "backbone": "small", "steps": 3, "batch_size": 16, "seeds": 2,
               "draws": 50, "test": test, **NAMES}  # fmt: skip
    found = train_classifier(real, out=tmp_path / "out", **options)
    arms = ("baseline", "augmented", "reweighted", "duplicated", "unedited")
    metrics = {row.metric for row in found} - {"edit_yield"}
    assert metrics == {
        "accuracy", "macro_f1", "worst_group_accuracy", "worst_label_group_accuracy", "equal_opportunity_difference",
        "equalized_odds_difference", "equalized_odds_difference_mean", "accuracy_difference",
        "counterfactual_flip_rate",
    }  # fmt: skip
    for metric in metrics:
        for arm in arms:
            level = found.one(metric=metric, training=arm, arm="")
            assert level.n == (60 if metric != "counterfactual_flip_rate" else len(list(pairs_rows(pairs))))
            assert level.value == pytest.approx(np.mean(by_seed(found, arm, level)), abs=1e-9)
        for arm, other in [(arm, "baseline") for arm in arms[1:]] + [("augmented", arm) for arm in arms[2:]]:
            rows = [row for row in found.where(metric=metric, compared_with=other)
                    if row.extra["training"] in (arm, other)]  # fmt: skip
            ids = {row.pair_id for row in rows if row.arm == "difference" and row.extra["training"] == arm}
            assert len(ids) == 1
            three = {row.arm: row for row in found.where(pair_id=ids.pop())}
            assert three["difference"].value == pytest.approx(three["after"].value - three["before"].value)
    assert found.one(metric="accuracy_difference", training="baseline", arm="").groups == "light minus dark"
    again = train_classifier(real, out=tmp_path / "out", **options)  # nothing is trained again
    assert Findings.read(tmp_path / "out" / "findings.json").to_json() == found.to_json() == again.to_json()
    cells = found.settings["arms"]
    assert cells["augmented"]["images"] == cells["duplicated"]["images"] == cells["unedited"]["images"] > 80
    assert cells["augmented"]["cells"] == cells["duplicated"]["cells"]
    hats = [n for cell, n in cells["augmented"]["cells"].items() if cell.startswith("hat")]
    assert hats[0] == hats[1]


def pairs_rows(pairs):
    import fairvl

    return fairvl.load_dataset(pairs.edited)


def by_seed(found, arm, level):
    name = level.metric if level.metric != "accuracy_difference" else f"accuracy_difference|{level.groups}"
    return found.settings["by seed"][arm][name]


def test_what_each_arm_draws(material):
    real, _, balanced, _ = material
    data = read_labelled(real, "hat", "tone", None)
    edited, unedited = (read_labelled(name, "hat", "tone", 32) for name in (balanced.edited, balanced.unedited))
    mixes = make_mixes(["baseline", "augmented", "reweighted", "duplicated", "unedited"], data,
                       {"augmented": edited, "unedited": unedited})  # fmt: skip
    drawn = np.concatenate([mixes["reweighted"].batch(step, 64, 0) for step in range(100)])
    cells = {}
    for row in drawn:
        cells[data.labels[row], data.groups[row]] = cells.get((data.labels[row], data.groups[row]), 0) + 1
    for label in ("hat", "none"):  # as often in each group
        assert cells[label, "light"] == pytest.approx(cells[label, "dark"], rel=0.15)
    one_pass = np.concatenate([mixes["baseline"].batch(step, 16, 5) for step in range(5)])
    assert sorted(one_pass.tolist()) == list(range(80))  # every image once before any twice
    copies = mixes["duplicated"]
    assert set(copies.rows.tolist()) == set(range(80))
    assert copies.counts() == mixes["augmented"].counts()
    assert mixes["unedited"].counts() != mixes["augmented"].counts()
    with pytest.raises(InputError, match="needs images that were not given: pass aggravated="):
        make_mixes(["aggravated"], data, {})
    with pytest.raises(InputError, match="expected some of baseline"):
        make_mixes(["augmneted"], data, {})


def test_mistakes(material):
    real, test, _, _ = material
    base = {"test": test, "backbone": "small", "steps": 1, "batch_size": 8, "seeds": 1, "draws": 0, **NAMES}
    for changes, kind, told in (
        ({"backbone": "resnet19"}, InputError, "resnet18"),
        ({"weights": "DEFAULT"}, InputError, "no pretrained weights"),
        ({"loss": "hinge"}, InputError, "cross-entropy"),
        ({"optimiser": "sgd"}, InputError, "Optimisation"),
        ({"seeds": [1, 1]}, InputError, "different whole numbers"),
        ({"label": "beard"}, InputError, "no image has both"),
        ({"groups": ["light"]}, GroupError, "two or more"),
        ({"groups": ["light", "dark", "green"]}, GroupError, "'green'"),
        ({"positive": "cap"}, InputError, "expected one of hat, none"),
        ({"augmented": "nowhere"}, DatasetError, "no edited.csv"),
        ({"arms": ["duplicated"]}, InputError, "pass augmented="),
    ):
        with pytest.raises(kind, match=told):
            train_classifier(real, **{**base, **changes})
    bare = heads.Heads(test.images, {**test.labels, "hat": ["cap"] * 60}, fingerprint="caps")
    with pytest.raises(InputError, match=r"labels \['cap'\] that no training image has"):
        train_classifier(real, **{**base, "test": bare})


def test_focal_loss_is_its_formula_and_cross_entropy_torchs():
    import torch

    logits, truth = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    p = torch.softmax(logits, 1)[range(20), truth]
    assert loss_sum("focal", logits, truth).item() == pytest.approx((-0.25 * (1 - p) ** 3 * p.log()).sum().item())
    expected = torch.nn.functional.cross_entropy(logits, truth, reduction="sum").item()
    assert loss_sum("cross-entropy", logits, truth).item() == pytest.approx(expected)


def test_a_torchvision_backbone_has_the_head_and_its_statistics_move():
    """Batch normalisation keeps running means: they must move in training, or evaluation is noise."""
    import torch

    module = build("mobilenet_v3_small", 5, seed=1)
    same = build("mobilenet_v3_small", 5, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), same.parameters(), strict=True))
    images, _ = heads.draw(4, seed=0)
    flipped = as_input(images, "cpu", np.array([True, False, True, False]))
    plain = as_input(images, "cpu")
    assert torch.equal(flipped[0], plain[0].flip(2))
    assert torch.equal(flipped[1], plain[1])
    assert module.eval()(plain).shape == (4, 5)


@pytest.mark.slow
def test_batch_statistics_are_learned_and_kept(material, tmp_path):
    from safetensors.numpy import load_file

    real, test, _, _ = material
    train_classifier(real, ["baseline"], test=test, backbone="mobilenet_v3_small", steps=2, batch_size=16, seeds=1,
                     draws=0, out=tmp_path / "out", **NAMES)  # fmt: skip
    state = load_file(tmp_path / "out" / "baseline" / "seed-0" / "model.safetensors")
    means = [value for name, value in state.items() if name.endswith("running_mean")]
    assert all(np.abs(value).max() > 0 for value in means)
