"""Emoji people: what is held out, the true counterfactuals, the judges' reading, and the measurement's code path."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.realdata
TRAIN = Path(__file__).parents[2] / "train"


@pytest.fixture(scope="module")
def scripts():
    """Imports a script of train/, whose scripts import each other."""
    pytest.importorskip("torch")
    sys.path.insert(0, str(TRAIN))
    yield importlib.import_module
    sys.path.remove(str(TRAIN))


@pytest.fixture(scope="module")
def drawn(folder, scripts):
    return scripts("emoji_people").people(folder("noto-emoji-72"))


def test_whole_concepts_are_held_out_and_every_counterfactual_is_there(drawn, scripts):
    module, (train, held) = scripts("emoji_people"), drawn
    assert (len(train), len(held), len(set(held.concept))) == (890, 300, 30)
    assert not set(train.concept) & set(held.concept)
    assert not set(train.file) & set(held.file)
    for attribute, same in (("gender", "tone"), ("skin", "gender")):
        other = held.counterfactual(attribute)
        assert (held.concept[other] == held.concept).all()
        assert (getattr(held, same)[other] == getattr(held, same)).all()
        assert sorted(other) == list(range(300))
        assert (other[other] == np.arange(300)).all()
    assert (held.gender[held.counterfactual("gender")] != held.gender).all()
    tones = held.tone[held.counterfactual("skin")]
    assert (tones[held.tone == "light"] == "dark").all()
    assert (tones[held.tone == "medium"] == "medium").all()
    second = module.half(held.concept)
    assert 0.3 < second.mean() < 0.7
    assert not set(held.concept[second]) & set(held.concept[~second])
    mirrored = module.half(np.array(["running", "running facing right"]))
    assert mirrored[0] == mirrored[1]


def test_drawings_lie_on_white_and_variants_keep_what_they_show(drawn, scripts):
    module, (_, held) = scripts("emoji_people"), drawn
    assert held.images.shape == (300, 64, 64, 3)
    assert held.images[:, 0, 0].min() > 200  # transparency became white, not black
    few = held.images[::60]
    made = module.varied(few, 3, seed=4)
    assert (made == module.varied(few, 3, seed=4)).all()
    assert (made[: len(few)] == few).all()
    assert (made[len(few) :] != np.concatenate([few, few])).any(axis=(1, 2, 3)).all()
    ink = (made < 250).any(axis=3).mean(axis=(1, 2)).reshape(3, -1)
    assert (ink[1:] > 0.5 * ink[0]).all()


def test_a_judge_learns_skin_tone_that_it_does_not_know_untrained(drawn, scripts, tmp_path):
    module, (train, held) = scripts("emoji_people_readers"), drawn
    shares = [set(module.share_of(name, train).concept) - {""} for name in ("a", "b")]
    assert not shares[0] & shares[1]
    assert min(map(len, shares)) > 15
    right = {}
    for steps in (1, 60):
        module.train_judge("a", train, tmp_path / str(steps), steps, copies=1)
        judge = module.load_judge("a", tmp_path / str(steps)).measured(held.images, held.truth)
        right[steps] = judge.accuracy["skin"].value
        assert judge.accuracy["gender"].n == 300
    assert right[1] < 0.55
    assert right[60] > 0.65


def test_the_whole_measurement_runs_with_a_tiny_model(drawn, scripts, tmp_path):
    paths_script, readers, (train, held) = scripts("emoji_diffae_paths"), scripts("emoji_people_readers"), drawn
    from fairvl.repair.editing.diffae.editor import DiffAE
    from fairvl.repair.editing.diffae.shape import Shape
    from fairvl.repair.editing.diffae.training import Recipe, train_diffae
    from fairvl.repair.editing.path_training import PathRecipe
    from fairvl.repair.editing.paths import PathModel

    tiny = Shape(size=64, patch=8, width=16, multipliers=(1, 2), encoder_multipliers=(1, 1, 2, 2), blocks=1, code=16)
    recipe = Recipe(steps=3, batch=8, latent_steps=0, seed=1)
    train_diffae(train.images[:64], tmp_path / "diffae", shape=tiny, recipe=recipe)
    for name in ("a", "b", "grey"):
        readers.train_judge(name, train, tmp_path, 2, copies=1)
    readers.train_supervisor(train, tmp_path, 2, copies=1)
    editor = DiffAE.load(tmp_path / "diffae", steps=2)
    short = PathRecipe(iterations=2, replicas=1, steps=2, grad_last=1, labelled=24)
    paths_script.fit(editor, train, tmp_path, "elliptic", short, 0)
    paths = PathModel.load(tmp_path / "paths-elliptic.safetensors")
    assert paths.attributes == ("skin", "gender")

    judges = {name: readers.load_judge(name, tmp_path) for name in ("a", "b", "grey")}
    state = editor.encode(held.images, seeds=range(len(held)))
    plain = editor.decode(state)
    found = paths_script.measure(editor, paths, held, state, plain, judges, (1.0, 2.0))
    found["references"] = paths_script.swapped(editor, held, state, plain, judges)
    json.dumps(found)
    for attribute, to, sign in paths_script.EDITS:
        edit = found[f"{attribute} to {to}"]
        assert edit["n"] == edit["concepts"] * (4 if attribute == "skin" else 5) == 60 + 15 * (attribute == "gender")
        assert np.sign(edit["scored by b"]["strength"]) == sign
        assert set(edit["scored by b"]["kept"]) == {"gender", "skin", "concept"} - {attribute}
        assert edit["way back"]["worst"] < 0.1
    paths_script.sheets(editor, paths, held, state, plain, judges["b"], (1.0, 2.0), tmp_path)
    assert len(list(tmp_path.glob("emoji-*.png"))) == 4


def test_the_true_counterfactual_itself_is_nearest(drawn, scripts):
    """Power of the distance: the truth is at 0, the source where it was; and the nearest drawing is the drawing."""
    paths_script, (_, held) = scripts("emoji_diffae_paths"), drawn
    rows = paths_script.sources(held, "skin", "dark", True)
    wanted = held.images[held.counterfactual("skin")[rows]]
    found = paths_script.towards(wanted, held.images[rows], wanted, held.concept[rows])
    assert found["edit"] == [0, 0, 0]
    assert found["share nearer"][0] == 1
    assert found["change"][2] < 0 < found["unedited"][1]
    nothing = paths_script.towards(held.images[rows], held.images[rows], wanted, held.concept[rows])
    assert nothing["change"] == [0, 0, 0]
    assert nothing["share nearer"][0] == 0

    class Blind:
        def read(self, images):
            return {"gender": np.ones((len(images), 2)), "skin": np.ones((len(images), 3))}

    assert (paths_script.reader(Blind(), held)(held.images)["concept"] == held.concept).mean() > 0.99


def test_a_grey_reader_does_not_see_hues(drawn, scripts, tmp_path):
    readers, (train, held) = scripts("emoji_people_readers"), drawn
    for name in ("a", "grey"):
        readers.train_judge(name, train, tmp_path, 2, copies=1)
    turned = held.images[::10][..., [1, 2, 0]]
    assert (turned != held.images[::10]).any()
    seen = {
        name: [readers.load_judge(name, tmp_path).read(x)["gender"] for x in (held.images[::10], turned)]
        for name in ("a", "grey")
    }
    np.testing.assert_allclose(*seen["grey"], atol=1e-5)
    assert np.abs(seen["a"][0] - seen["a"][1]).max() > 1e-3  # power: the other judge sees them
