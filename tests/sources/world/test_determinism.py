"""Everything follows from (spec, seed, split, row), and splits never meet."""

import hashlib

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.sources.world import WorldSpec, portraits

SPEC = WorldSpec.biased(0.8, duplicates={"male": 0.3}, label_noise={"smile": 0.2})


def test_same_spec_and_seed_give_same_bytes():
    first, second = portraits(SPEC, 40, 3), portraits(SPEC, 40, 3)
    assert first.images.tobytes() == second.images.tobytes()
    assert first.captions == second.captions
    for name, values in first.attributes.items():
        np.testing.assert_array_equal(values, second.attributes[name])


def test_rows_do_not_depend_on_how_many_are_asked_for():
    whole = portraits(SPEC, 300, 3)
    part = portraits(SPEC, 60, 3, start=230)  # crosses a block
    np.testing.assert_array_equal(part.images, whole.images[230:290])
    assert part.captions == whole.captions[230:290]
    np.testing.assert_array_equal(part.truth["duplicate_of"], whole.truth["duplicate_of"][230:290])


def test_another_seed_gives_another_world():
    assert (portraits(SPEC, 20, 3).images != portraits(SPEC, 20, 4).images).any(axis=(1, 2, 3)).all()


def test_splits_share_no_picture():
    seen = [{hashlib.sha256(i.tobytes()).digest() for i in portraits(WorldSpec(), 256, 5, split=s).images}
            for s in ("train", "test", "judge", "validation")]  # fmt: skip
    assert len(set.union(*seen)) == sum(map(len, seen)) == 4 * 256


def test_a_split_is_not_another_splits_other_seed():
    train = portraits(WorldSpec(), 8, 6, split="train").images
    for seed in range(12):
        assert not np.array_equal(train, portraits(WorldSpec(), 8, seed, split="test").images)


def test_worlds_of_other_strength_share_the_draws_that_do_not_depend_on_it():
    weak, strong = portraits(WorldSpec.biased(0.0), 200, 2), portraits(WorldSpec.biased(1.0), 200, 2)
    np.testing.assert_array_equal(weak.attributes["age"], strong.attributes["age"])
    np.testing.assert_array_equal(weak.attributes["gender"], strong.attributes["gender"])
    assert (weak.attributes["occupation"] != strong.attributes["occupation"]).mean() > 0.2


@pytest.mark.parametrize("size", [32, 64])
def test_other_sizes_draw(size):
    assert portraits(WorldSpec(size=size), 5).images.shape == (5, size, size, 3)


def test_nothing_asked_nothing_drawn():
    empty = portraits(WorldSpec(), 0)
    assert len(empty) == 0
    assert empty.images.shape == (0, 48, 48, 3)
    assert all(len(values) == 0 for values in empty.attributes.values())


@pytest.mark.parametrize("bad", [{"n": -1}, {"n": 1, "seed": -1}, {"n": 1, "split": "holdout"}, {"n": 1, "start": -1}])
def test_unusable_arguments_are_refused(bad):
    with pytest.raises(InputError):
        portraits(WorldSpec(), **bad)
