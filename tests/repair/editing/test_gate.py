"""The gate sees what an edit did; independent judges disagree with circles."""

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.editing.gate import Gate, Realism, SameJudgeWarning, Thresholds, structure, thumbnails
from fairvl.repair.editing.judges import Judge
from fairvl.repair.editing.strength import AdaptiveStrength

spec = importlib.util.spec_from_file_location("small_heads", Path(__file__).parents[1] / "small_heads.py")
heads = sys.modules.setdefault("small_heads", importlib.util.module_from_spec(spec))
spec.loader.exec_module(heads)


def checked(gate, before, after, to, hats):
    return gate.check(before, after, attribute="tone", wanted=[to] * len(after), label="hat", labels=hats)


def test_what_each_reason_stands_for():
    images, labels = heads.draw(40, seed=1, tone=np.zeros(40, int))
    editor, gate = heads.ToneEditor(), Gate([heads.judge()], thresholds=Thresholds(structure=None))
    state = editor.encode(list(images))
    good = editor.decode(editor.edit(state, "darker", 1.0))
    assert checked(gate, images, good, "dark", labels["hat"]).accepted.all()
    weak = editor.decode(editor.edit(state, "darker", 0.3))
    assert all(told == ("not flipped",) for told in checked(gate, images, weak, "dark", labels["hat"]).reasons)
    spoilt = heads.ToneEditor(spoils=1.0)
    lost = spoilt.decode(spoilt.edit(state, "darker", 1.0))
    told = checked(gate, images, lost, "dark", labels["hat"]).reasons
    assert [one == ("label lost",) for one in told] == [hat == "hat" for hat in labels["hat"]]
    other = checked(gate, images[::-1], good, "dark", labels["hat"])
    differ = np.array(labels["old"]) != np.array(labels["old"][::-1])
    assert np.array_equal(["other attributes changed" in one for one in other.reasons], differ)
    assert differ.any()
    kept = Gate([heads.judge()], thresholds=Thresholds(structure=None), keep=["hat"])  # old is not asked about
    assert checked(kept, images[::-1], good, "dark", labels["hat"]).accepted.all()


def test_all_judges_must_agree():
    images, labels = heads.draw(10, seed=2, tone=np.zeros(10, int))
    editor = heads.ToneEditor()
    good = editor.decode(editor.edit(editor.encode(list(images)), "darker", 1.0))
    stubborn = Judge("stubborn", {"tone": ("light", "dark")}, lambda x: {"tone": np.tile([0.9, 0.1], (len(x), 1))})
    gate = Gate([heads.judge("a"), stubborn], chooser=heads.judge("c"), thresholds=Thresholds(structure=None))
    verdicts = checked(gate, images, good, "dark", labels["hat"])
    assert not verdicts.accepted.any()
    assert verdicts.scores["stubborn.tone"] == pytest.approx([-0.8] * 10)


def test_structure_ignores_light_and_sees_another_picture():
    images, _ = heads.draw(20, seed=3)
    brighter = np.clip(images.astype(int) + 25, 0, 255).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, images.shape).astype(np.uint8)
    assert structure(images, images) == pytest.approx(np.ones(20))
    assert structure(images, brighter).min() > 0.9
    assert structure(images, images[::-1]).mean() < 0.6
    assert structure(images, noise).max() < 0.2


def test_structure_equals_a_plain_loop():
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 256, (2, 1, 12, 12, 3)).astype(np.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    a, b = (np.pad(v[0] @ weights, 3, mode="symmetric") for v in (x, y))
    total = 0.0
    for i in range(12):
        for j in range(12):
            p, q = a[i : i + 7, j : j + 7], b[i : i + 7, j : j + 7]
            c = ((p - p.mean()) * (q - q.mean())).mean()
            total += (2 * c + (0.03 * 255) ** 2) / (p.var() + q.var() + (0.03 * 255) ** 2)
    assert structure(x, y)[0] == pytest.approx(total / 144, rel=1e-9)


def test_realism_knows_real_images_from_noise_and_sets_its_own_threshold():
    real, _ = heads.draw(200, seed=4)
    fresh, _ = heads.draw(100, seed=5)
    realism = Realism.fit(real, k=3, quantile=0.05)
    noise = np.random.default_rng(0).integers(0, 256, fresh.shape).astype(np.uint8)
    passed = (realism(fresh) >= realism.threshold).mean()
    assert 0.85 <= passed <= 1.0  # about 95 % by construction
    assert not (realism(noise) >= realism.threshold).any()
    vectors, near = thumbnails(real)[::2], thumbnails(fresh)
    distances = np.linalg.norm(near[:, None] - vectors[None], axis=2)
    own = np.sort(np.linalg.norm(vectors[:, None] - vectors[None], axis=2), axis=1)[:, 3]
    assert realism(fresh) == pytest.approx((own / distances).max(axis=1), rel=1e-6)
    with pytest.raises(InputError, match="expected 10 images"):
        Realism.fit(real[:6])


def test_a_judge_that_guided_chose_or_labelled_is_warned_of():
    a, b = heads.judge("a", fingerprint="fa"), heads.judge("b", fingerprint="fb")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Gate([a, b]).warn_circles(["supervisor"]) == ()  # a chooses, b scores
    with pytest.warns(SameJudgeWarning, match="supervised"):
        assert len(Gate([a, b]).warn_circles(["fb"])) == 1
    with pytest.warns(SameJudgeWarning, match="chose the strengths"):
        Gate([a]).warn_circles([])
    with pytest.warns(SameJudgeWarning, match="made the labels"):
        Gate([a, b]).warn_circles([], labeller="b")


def test_gates_that_cannot_judge():
    with pytest.raises(InputError, match="without a judge"):
        Gate([])
    with pytest.raises(InputError, match="a name each"):
        Gate([heads.judge("a"), heads.judge("b"), heads.judge("b")])
    gate = Gate([heads.judge("a", ("hat",)), heads.judge("b")])
    with pytest.raises(InputError, match="chooses the strength and does not know 'tone'"):
        gate.check_attributes("hat", "tone")
    with pytest.raises(InputError, match="no judge of the gate knows 'beard'"):
        Gate([heads.judge("a"), heads.judge("b")]).check_attributes("beard", "tone")
    with pytest.raises(InputError, match="pass identity="):
        Gate([heads.judge()], thresholds=Thresholds(identity=0.5))
    bad = Judge("bad", {"tone": ("light", "dark")}, lambda x: {"tone": np.zeros((len(x), 3))})
    with pytest.raises(InputError, match="expected finite probabilities"):
        bad.read(np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="knows no tone 'green'"):
        heads.judge().margin(heads.read(np.zeros((1, 4, 4, 3), np.uint8)), "tone", ["green"])


def test_accuracy_on_known_truth_is_stated():
    images, labels = heads.draw(50, seed=6)
    half = [label if i % 2 else "light" for i, label in enumerate(labels["tone"])]
    judge = heads.judge().measured(images, {"tone": half, "hat": labels["hat"], "beard": ["x"] * 50})
    assert judge.accuracy["hat"].value == 1.0
    assert judge.accuracy["hat"].low < 1.0
    assert judge.accuracy["tone"].value == np.mean([a == b for a, b in zip(half, labels["tone"], strict=True)]) < 1
    assert set(judge.as_dict()["accuracy"]) == {"tone", "hat"}
    assert heads.judge().as_dict()["accuracy"] == "not measured"


def test_a_judge_from_an_encoder():
    import fairvl

    encoder = fairvl.load_encoder("fake")
    judge = Judge.from_encoder(encoder, {"tone": {"light": ["light skin", "pale skin"], "dark": "dark skin"}})
    found = judge.read(np.zeros((3, 32, 32, 3), np.uint8))["tone"]
    assert found.sum(axis=1) == pytest.approx(np.ones(3))
    assert judge.fingerprint == encoder.card.fingerprint


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_bisection_finds_the_smallest_strength_that_crosses(margin):
    """In these pictures the judge's margin is 2 * (place + strength) - 1, so the crossing is known."""
    images, _ = heads.draw(12, seed=7, tone=np.zeros(12, int))
    editor = heads.ToneEditor()
    how = AdaptiveStrength(start=0.25, maximum=2.0, bisections=6, margin=margin)
    strengths, crossed, made = how.choose(
        editor, editor.encode(list(images)), "darker", 1.0, heads.judge(), "tone", ["dark"] * 12
    )
    assert crossed.all()
    assert strengths == pytest.approx(np.full(12, (1 + margin) / 2), abs=0.05)
    assert (heads.judge().margin(heads.read(made), "tone", ["dark"] * 12) >= margin).all()


def test_reach_mirrors_at_the_border_what_stopping_there_crowds_together():
    """Pictures from far and from near the border: mirrored, they land as far and as near on its other side."""
    images, _ = heads.draw(12, seed=7, tone=np.zeros(12, int))
    editor = heads.ToneEditor()
    state = editor.encode(list(images))
    asked = (editor, state, "darker", 1.0, heads.judge(), "tone", ["dark"] * 12)
    near, _, _ = AdaptiveStrength(start=0.1, maximum=2.0, bisections=6, margin=0.0).choose(*asked)
    far, crossed, made = AdaptiveStrength(start=0.1, maximum=2.0, bisections=6, margin=0.0, reach=2.0).choose(*asked)
    assert crossed.all()
    np.testing.assert_allclose(far, np.minimum(2 * near, 2.0), atol=1e-6)
    np.testing.assert_array_equal(made, editor.decode(editor.edit(state, "darker", far)))
    with pytest.raises(InputError, match="reach from 1"):
        AdaptiveStrength(reach=0.5)


def test_an_edit_that_never_crosses_gets_the_largest_strength():
    images, _ = heads.draw(4, seed=8, tone=np.zeros(4, int))
    editor = heads.ToneEditor(ignores=1.0)
    strengths, crossed, _ = AdaptiveStrength(start=0.5, maximum=3.0).choose(
        editor, editor.encode(list(images)), "darker", 1.0, heads.judge(), "tone", ["dark"] * 4
    )
    assert not crossed.any()
    assert strengths.tolist() == [3.0] * 4
    with pytest.raises(InputError, match="start"):
        AdaptiveStrength(start=0)
