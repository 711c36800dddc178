"""Learning paths in a code space whose truth is known: pixels are a fixed linear picture of the code."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from fairvl.errors import InputError
from fairvl.repair.editing.path_training import PathRecipe
from fairvl.repair.editing.paths import PathModel
from fairvl.repair.editing.seam import CodeStats, Dipole

DIM = 6
MIX = np.linalg.qr(np.random.default_rng(4).standard_normal((DIM, DIM)))[0]  # columns: the attributes' code axes


class Flat:
    """Codes are normal; pixel j of the 1 x DIM picture is the code's coordinate along attribute j."""

    dim = DIM
    asked: ClassVar = []

    def __init__(self, tilt=0.0):
        rng = np.random.default_rng(1)
        scores = rng.standard_normal((600, DIM))
        scores[:, 1] = tilt * scores[:, 0] + np.sqrt(1 - tilt**2) * scores[:, 1]  # attributes 0 and 1 go together
        self.codes = (scores @ MIX.T * 3 + 2).astype(np.float32)
        self.stats = CodeStats.of(self.codes)

    def sample(self, n, seed):
        return self.codes[:n]

    def noise(self, n, seed):
        return np.zeros((n, 1), np.float32)

    def render(self, codes, noise, *, steps=20, grad_last=0):
        self.asked.append((steps, grad_last))
        seen = (torch.as_tensor(codes, dtype=torch.float32) - 2) / 3 @ torch.tensor(MIX, dtype=torch.float32)
        return (seen / 6)[:, None, None, :].expand(-1, 3, 1, -1)


class Reader:
    """An encoder whose vector is the picture; its words are attributes."""

    words: ClassVar = {"left": 0, "up": 1, "red": 2}

    def encode_pixels(self, pixels):
        flat = (pixels[:, 0, 0] * 2 - 1) * 6
        return torch.cat([flat, torch.full((len(flat), 1), 4.0)], dim=1)

    def encode_images(self, images):
        return self.encode_pixels(torch.tensor(np.stack(images)).permute(0, 3, 1, 2) / 255).numpy()

    def encode_texts(self, texts):
        vectors = np.zeros((len(texts), DIM + 1), np.float32)
        vectors[:, -1] = 4
        for row, text in enumerate(texts):
            sign, word = (-1, text[3:]) if text.startswith("no ") else (1, text)
            if word in self.words:
                vectors[row, self.words[word]] = sign
        return vectors


DIPOLES = [Dipole(word, f"no {word}", word) for word in Reader.words]
QUICK = PathRecipe(iterations=60, replicas=2, lr=0.05)
RECIPE = PathRecipe(iterations=150, replicas=4, lr=0.1)


def cosines(model, space):
    """Mean cosine of each path's direction to each attribute's axis, [paths, DIM]."""
    scale = space.stats.std
    found = []
    for name in model.attributes:
        steps = model.direction(space.codes[:50], name) * scale @ MIX  # in attribute coordinates
        found.append((steps / np.linalg.norm(steps, axis=1, keepdims=True)).mean(0))
    return np.array(found)


@pytest.mark.parametrize("field", ["linear", "signed", "elliptic", "ratio"])
def test_paths_are_learned_along_their_own_attribute(field):
    space = Flat()
    recipe = PathRecipe(iterations=150, replicas=4, lr=0.05) if field == "elliptic" else QUICK
    model = PathModel.fit(space, Reader(), DIPOLES, field=field, recipe=recipe)
    found = cosines(model, space)
    if field == "elliptic":  # its sign is not its own; what counts is that it moves along, not across
        assert np.isfinite(found).all()
        assert model.notes["losses"]["last"] < model.notes["losses"]["first"]
        return
    assert (np.diag(found[:, :3]) > 0.85).all(), found
    assert np.abs(found - np.pad(np.diag(np.diag(found[:, :3])), ((0, 0), (0, DIM - 3)))).max() < 0.4


def test_learning_undoes_the_entanglement_that_class_means_have():
    space = Flat(tilt=0.8)
    linear = cosines(PathModel.fit(space, Reader(), DIPOLES, field="linear"), space)
    learned_model = PathModel.fit(
        space, Reader(), DIPOLES, field="signed", recipe=PathRecipe(iterations=150, replicas=2, lr=0.1)
    )
    learned = cosines(learned_model, space)
    assert linear[0, 1] > 0.5  # moving "left" moves "up" as well
    assert learned[0, 1] < linear[0, 1] - 0.3
    assert learned[0, 0] > 0.8
    assert learned_model.notes["losses"]["last"] < 0.6 * learned_model.notes["losses"]["first"]


class Rims(Flat):
    """Attribute 0 is what the second coordinate is not: far from 0 on either side, as dark and light rims are."""

    def __init__(self):
        super().__init__()
        scores = np.random.default_rng(2).standard_normal((900, DIM))
        scores[:, 0] = np.array([0, 0, 0, 4.0, 4.0, -4.0])[np.arange(900) % 6] + 0.3 * scores[:, 0]
        self.codes = (scores @ MIX.T * 3 + 2).astype(np.float32)
        self.stats = CodeStats.of(self.codes)

    def render(self, codes, noise, *, steps=20, grad_last=0):
        seen = super().render(codes, noise, steps=steps, grad_last=grad_last) * 6
        rim = 3 * torch.tanh(seen[..., :1].abs() - 2)
        return torch.cat([rim, seen[..., 1:]], dim=-1) / 6


def test_two_kinds_of_one_pole_are_left_by_the_ratio_and_not_by_any_axis():
    space = Rims()
    coordinate = ((space.codes - 2) / 3) @ MIX[:, 0]
    off = {}
    for field in ("linear", "ratio"):
        recipe = PathRecipe(iterations=60, replicas=4, lr=0.02, pairs=2, shift=(1.0, 3.0))
        model = PathModel.fit(space, Reader(), DIPOLES, field=field, recipe=recipe)
        wearing = np.abs(coordinate) > 2
        moved = model.traverse(space.codes[wearing], "left", -2.0)
        after = ((moved - 2) / 3) @ MIX[:, 0]
        off[field] = {side: (np.abs(after[coordinate[wearing] * side > 0]) < 2).mean() for side in (1, -1)}
    assert off["linear"][-1] == 0.0  # the smaller kind is only moved further out
    assert min(off["ratio"].values()) > 0.7, off


def test_a_path_gains_nothing_by_leaning_against_another_attribute():
    """Started 60 degrees off, towards the far pole of the next dipole, learning brings the path back to its own."""
    space = Flat(tilt=-0.8)
    before = cosines(PathModel.fit(space, Reader(), DIPOLES, field="linear"), space)
    after = cosines(PathModel.fit(space, Reader(), DIPOLES, field="signed", recipe=RECIPE), space)
    assert before[0, 1] < -0.5
    assert after[0, 1] > -0.2
    assert after[0, 0] > 0.9


def test_what_is_to_be_kept_is_moved_less():
    space = Flat(tilt=0.8)
    one, recipe = [Dipole("left", "no left", "left")], PathRecipe(iterations=80, replicas=4, lr=0.1, straight=0.3)
    free = cosines(PathModel.fit(space, Reader(), one, recipe=PathRecipe(iterations=0)), space)
    kept = PathModel.fit(space, Reader(), one, keep=[("up", "no up")], recipe=recipe)
    assert free[0, 1] > 0.4
    assert abs(cosines(kept, space)[0, 1]) < free[0, 1] / 2


def test_same_seed_same_paths_and_gradient_only_in_the_last_steps():
    space = Flat()
    Flat.asked.clear()
    models = [
        PathModel.fit(space, Reader(), DIPOLES, recipe=PathRecipe(iterations=4, grad_last=4), seed=s) for s in (3, 3, 4)
    ]
    assert models[0].fingerprint == models[1].fingerprint != models[2].fingerprint
    assert {grad for _, grad in Flat.asked} == {0, 4}
    assert {steps for steps, _ in Flat.asked} == {6}


def test_penalties_are_asked_for_and_weigh():
    calls = []

    def far(before, after):
        calls.append(before.shape)
        return (before - after).square().mean((1, 2, 3))

    with_penalty = PathModel.fit(Flat(), Reader(), DIPOLES, recipe=PathRecipe(iterations=3), penalties=[(100.0, far)])
    without = PathModel.fit(Flat(), Reader(), DIPOLES, recipe=PathRecipe(iterations=3))
    assert len(calls) == 3
    assert with_penalty.fingerprint != without.fingerprint


def test_equal_poles_are_refused_by_text_and_by_vector():
    with pytest.raises(InputError, match="both poles say 'Left'"):
        Dipole("Left", "left ", "left")
    with pytest.raises(InputError, match="both poles say"):
        Dipole("left", "right", "left", keep=[("same", "same")])
    with pytest.raises(InputError, match="are the same vector"):
        PathModel.fit(Flat(), Reader(), [Dipole("blorp", "glarp", "left")])


def test_other_unusable_requests_are_refused():
    class Images:
        encode_texts, encode_images = Reader().encode_texts, Reader().encode_images

    with pytest.raises(InputError, match="has no encode_pixels"):
        PathModel.fit(Flat(), Images(), DIPOLES)
    assert PathModel.fit(Flat(), Images(), DIPOLES, field="linear").attributes == ("left", "up", "red")
    with pytest.raises(InputError, match="each of another attribute"):
        PathModel.fit(Flat(), Reader(), DIPOLES[:1] * 2)
    with pytest.raises(InputError, match="each of another attribute"):
        PathModel.fit(Flat(), Reader(), [])
    with pytest.raises(InputError, match="expected one of linear"):
        PathModel.fit(Flat(), Reader(), DIPOLES, field="spiral")
    with pytest.raises(InputError, match="at least 8 rows of 6"):
        PathModel.fit(Flat(), Reader(), DIPOLES, codes=np.zeros((9, 5)))
    with pytest.raises(InputError, match="iterations"):
        PathRecipe(iterations=-1)
