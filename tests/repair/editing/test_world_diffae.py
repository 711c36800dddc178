"""The shipped autoencoder of the world's faces, on faces it never saw: what the docs say of it holds."""

import numpy as np
import pytest

from fairvl.repair.editing.diffae.editor import load_world_editor
from fairvl.repair.editing.seam import State
from fairvl.sources.world import Plant, WorldSpec
from fairvl.sources.world.face_judges import CLASSES, FOLDER, FaceJudge
from fairvl.sources.world.faces import face_blocks, faces

COARSE = {"skin": 0.95, "age_group": 0.9, "glasses": 0.95}


def mse(left, right):
    return float(np.square((left.astype(float) - right) / 127.5).mean())


@pytest.fixture(scope="module")
def seen(request):
    n = 300 if request.config.getoption("-m") == "slow" else 48
    world = faces(WorldSpec(), n, seed=3, split="test")
    editor = load_world_editor()
    state = editor.encode(world.images)
    drawn = editor.decode(State(codes=state.codes, noise=editor.noise(n, 11)))
    return world, editor.decode(state), drawn


def check_gates(world, inverted, drawn, slack):
    mean = np.broadcast_to(world.images.mean(axis=0), world.images.shape)
    errors = [mse(made, world.images) for made in (inverted, drawn, mean)]
    assert errors[0] < 0.005
    assert errors[0] < errors[1] < errors[2]
    for judge in (FaceJudge("a"), FaceJudge("b")):
        read = judge.read(drawn)
        for name, least in COARSE.items():
            assert (read[name] == world.truth[name]).mean() >= least - slack, (judge.name, name)


def test_codes_keep_coarse_attributes_and_inversion_keeps_the_image(seen):
    check_gates(*seen, slack=0.05)  # 48 faces; the gates themselves are held by the slow test


@pytest.mark.slow
def test_the_gates_hold_on_three_hundred_faces(seen):
    check_gates(*seen, slack=0.0)


def test_judges_read_the_truth_and_not_its_shuffle():
    world = faces(WorldSpec(), 256, seed=9, split="test")
    shuffled = np.random.default_rng(0).permutation(256)
    for name in ("a", "b"):
        judge = FaceJudge(name)
        shares = judge(world.images)
        for attribute in CLASSES:
            np.testing.assert_allclose(shares[attribute].sum(axis=1), 1)
            found = judge.read(world.images)[attribute]
            assert (found == world.truth[attribute]).mean() > 0.97
            assert (found == world.truth[attribute][shuffled]).mean() < 0.7


def test_faces_follow_from_seed_and_carry_what_is_planted():
    plants = (Plant("age_group", "glasses", 0.9, {"old": ("glasses",), "young": ("no glasses",)}),)
    world = faces(WorldSpec(plants=plants), 400, seed=2)
    again = next(face_blocks(WorldSpec(plants=plants), 3, seed=2, start=100))
    np.testing.assert_array_equal(world.images[100:103], again.images)
    together = (world.truth["age_group"] == "old") == (world.truth["glasses"] == "glasses")
    assert 0.9 < together.mean() < 0.99
    assert (faces(WorldSpec(), 2, seed=2, size=64).images.shape) == (2, 64, 64, 3)


def test_all_world_models_stay_below_twenty_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.parent.rglob("*") if path.is_file()) < 20e6
