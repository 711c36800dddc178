"""The shipped paths of the world's autoencoder, on held-out faces that a judge reads; and their supervisor."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fairvl.errors import EncoderError  # noqa: E402
from fairvl.repair.editing.diffae.editor import load_world_editor  # noqa: E402
from fairvl.repair.editing.paths import PathModel  # noqa: E402
from fairvl.repair.editing.scoring import edit_curve, reversal_error  # noqa: E402
from fairvl.sources.encoders import load_encoder  # noqa: E402
from fairvl.sources.world import WorldSpec  # noqa: E402
from fairvl.sources.world.face_judges import FaceJudge  # noqa: E402
from fairvl.sources.world.faces import faces  # noqa: E402

MODELS = Path(str(files("fairvl.sources.world"))) / "models" / "diffae"
COMPARED = ("age_group", "skin", "glasses", "gender", "smile")
STRENGTH, N = 4.5, 40


@pytest.fixture(scope="module")
def world():
    return faces(WorldSpec(), 200, 8, split="test")


def score(world, field, attribute, to, sign):
    paths, editor = PathModel.load(MODELS / f"paths-{field}.safetensors"), load_world_editor(steps=8)
    rows = np.flatnonzero(world.truth[attribute] != to)[:N]
    state, before = editor.encode(world.images[rows]), {name: world.truth[name][rows] for name in COMPARED}
    path = paths.path(attribute)
    return edit_curve(editor, state, path, to, [sign * STRENGTH], FaceJudge("b").read, before)[0]


@pytest.mark.parametrize(
    ("attribute", "to", "sign"), [("age_group", "old", 1), ("skin", "light", -1), ("glasses", "no glasses", -1)]
)
def test_ratio_paths_flip_and_keep_everything_else(world, attribute, to, sign):
    found = score(world, "ratio", attribute, to, sign)
    assert found.flip.value >= 0.9
    assert found.least_kept >= 0.9


def test_no_axis_takes_light_rims_off_and_the_ratio_does(world):
    """The effect that the field exists for: the class means leave the smaller kind of rims on at any strength."""
    linear, ratio = (score(world, field, "glasses", "no glasses", -1) for field in ("linear", "ratio"))
    assert linear.flip.value <= 0.9
    assert ratio.flip.value > linear.flip.value


@pytest.mark.parametrize("field", ["linear", "signed", "elliptic", "ratio"])
def test_there_and_back_again(world, field):
    paths, editor = PathModel.load(MODELS / f"paths-{field}.safetensors"), load_world_editor(steps=2, inversion=False)
    codes = editor.encode(world.images).codes
    errors = [
        np.median(reversal_error(paths.path(a), codes, s, paths.stats)) for a in paths.attributes for s in (3, -3)
    ]
    assert max(errors) < 0.1
    assert paths.supervisor == load_encoder("world:face-clip").card.fingerprint


def test_the_supervisor_ranks_faces_and_knows_what_it_was_taught(world):
    encoder = load_encoder("world:face-clip")
    vectors = encoder.encode_images(list(world.images))
    pixels = torch.from_numpy(world.images).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(encoder.encode_pixels(pixels).numpy(), vectors, atol=1e-5)
    for texts, attribute, value in (
        (("an old person", "a young person"), "age_group", "old"),
        (("a person wearing glasses", "a person without glasses"), "glasses", "glasses"),
        (("a person with dark skin", "a person with light skin"), "skin", "dark"),
    ):
        scores = vectors @ np.subtract(*encoder.encode_texts(texts))
        positive = world.truth[attribute] == value
        assert (scores[positive][:, None] > scores[~positive][None]).mean() > 0.97
    with pytest.raises(EncoderError, match="does not know spaceship"):
        encoder.encode_texts(["a spaceship with dark skin"])
