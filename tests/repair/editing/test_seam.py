"""What editors share: images of any shape and depth, states, capabilities, dipoles."""

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import InputError
from fairvl.repair.editing.seam import CodeStats, Dipole, Editor, EditorCard, State, check_strength, square_images

RAMP = (np.arange(64)[:, None] * np.ones(64) * 4).astype(np.uint8)


class Plain(Editor):
    """An instruction editor without a code space."""

    capabilities = frozenset({"continuous"})
    card = EditorCard(family="plain", name="mine", weights="v1", size=8)

    def encode(self, images, *, seeds=None):
        return State(images=square_images(images, 8))

    def edit(self, state, change, strength=1.0):
        return state

    def decode(self, state):
        return state.images


@pytest.mark.parametrize(
    ("image", "corner"),
    [
        (Image.fromarray(RAMP), 252),
        (Image.fromarray(RAMP.astype(np.uint16) * 256), 252),
        (Image.merge("RGBA", [Image.fromarray(RAMP)] * 3 + [Image.new("L", (64, 64), 255)]), 252),
        (Image.merge("RGBA", [Image.fromarray(RAMP)] * 3 + [Image.new("L", (64, 64), 0)]), 255),
        (Image.fromarray(RAMP).convert("P"), 252),
        (RAMP, 252),
    ],
    ids=["grey", "16-bit", "opaque", "transparent", "palette", "array"],
)
def test_every_depth_becomes_rgb_of_the_models_size(image, corner):
    same = square_images([image], 64)
    assert same.dtype == np.uint8
    assert same.shape == (1, 64, 64, 3)
    assert same[0, -1, -1].tolist() == [corner] * 3
    assert square_images([image], 16).shape == (1, 16, 16, 3)
    assert square_images([image], 96).shape == (1, 96, 96, 3)


def test_images_that_are_not_square_are_refused_cropped_or_padded():
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, 2:6] = 200
    with pytest.raises(InputError, match="image 1 is 8 x 4; this editor takes square images of 4 x 4"):
        square_images([np.zeros((4, 4), np.uint8), wide], 4)
    assert (square_images([wide], 4, fit="crop") == 200).all()
    padded = square_images([wide], 8, fit="pad")[0]
    assert (padded[:2] == 255).all()
    assert (padded[2:6, 2:6] == 200).all()


def test_what_is_no_image_is_refused():
    for images in ([], [np.zeros((3, 3))], [Image.new("F", (4, 4))], np.zeros((2, 4, 4, 3)), ["a.png"]):
        with pytest.raises(InputError):
            square_images(images, 4)
    with pytest.raises(InputError, match="fit='stretch'"):
        square_images([RAMP], 4, fit="stretch")


def test_an_editor_says_what_it_lacks():
    editor = Plain()
    editor.require("continuous")
    with pytest.raises(InputError, match=r"plain .mine. cannot: code_space, differentiable. It has continuous"):
        editor.require("differentiable", "code_space", "continuous")


def test_state_keeps_rows_together():
    state = State(codes=np.arange(6.0).reshape(3, 2), noise=np.arange(3)[:, None], seeds=(7, 8, 9))
    part = state.take([2, 0])
    assert len(state) == 3
    assert part.seeds == (9, 7)
    np.testing.assert_array_equal(part.codes, [[4, 5], [0, 1]])
    assert part.images is None
    with pytest.raises(InputError, match="expected the same number of each"):
        State(codes=np.zeros((2, 2)), seeds=(1,))
    with pytest.raises(InputError, match="all are missing"):
        State()


def test_card_survives_json_and_strengths_are_checked():
    card = EditorCard(family="a", name="b", weights="c", size=4, settings={"steps": 3})
    assert EditorCard.from_dict({**card.as_dict(), "later": 1}).fingerprint == card.fingerprint
    with pytest.raises(InputError, match=r"without .'size'"):
        EditorCard.from_dict({"family": "a", "name": "b", "weights": "c"})
    assert check_strength(2, 3).tolist() == [2, 2, 2]
    for bad in ([1.0, 2.0], np.nan, np.inf):
        with pytest.raises(InputError, match="strength of shape"):
            check_strength(bad, 3)


def test_statistics_normalise_and_come_back_with_a_dead_dimension():
    codes = np.random.default_rng(0).normal(3, 2, (50, 4))
    codes[:, 2] = 1.0
    stats = CodeStats.of(codes)
    scores = stats.normalise(codes)
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.delete(scores.std(axis=0), 2), 1)
    np.testing.assert_allclose(stats.restore(scores), codes)
    with pytest.raises(InputError, match="at least two rows"):
        CodeStats.of(codes[:1])


def test_dipoles_take_one_text_or_several():
    assert Dipole(["old man", "old woman"], ("young man", "young woman"), "age").negative == (
        "young man",
        "young woman",
    )
    for bad in ("", [], [""], [3]):
        with pytest.raises(InputError, match="expected a text, or several"):
            Dipole(bad, "b", "x")
    with pytest.raises(InputError, match="name of what changes"):
        Dipole("a", "b", " ")
    with pytest.raises(InputError, match="expected two texts"):
        Dipole("a", "b", "x", keep=[("c",)])
