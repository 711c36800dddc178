"""An 8 x 8 thumbnail tells skin tone and nothing else; the full picture tells the rest (test_clip.py)."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairvl.sources.world import WorldSpec, portraits
from fairvl.sources.world.words import ATTRIBUTES

TRAIN, TEST = 2000, 1000


@pytest.fixture(scope="module")
def accuracies() -> dict[str, float]:
    world = portraits(WorldSpec(), TRAIN + TEST, seed=1)
    side = world.images.shape[1] // 8
    thumbnails = world.images.reshape(-1, 8, side, 8, side, 3).mean(axis=(2, 4)).reshape(TRAIN + TEST, -1)
    found = {}
    for name in ATTRIBUTES:
        labels = world.truth[name]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        model.fit(thumbnails[:TRAIN], labels[:TRAIN])
        found[name] = float(balanced_accuracy_score(labels[TRAIN:], model.predict(thumbnails[TRAIN:])))
    return found


@pytest.mark.parametrize("name", [name for name in ATTRIBUTES if name != "skin"])
def test_thumbnails_do_not_tell(accuracies, name):
    assert accuracies[name] < 0.75


def test_the_probe_can_read_thumbnails(accuracies):
    assert accuracies["skin"] > 0.85


def test_pictures_differ_between_values_of_every_attribute():
    # The same scene with one attribute changed differs where it is drawn: nothing is left out of the picture.
    from fairvl.sources.world import Plant

    anchor = {"gender": "glasses", "glasses": "gender"}
    for name, values in ATTRIBUTES.items():
        given = anchor.get(name, "gender")
        for first, second in ((values[0], values[1]), (values[-1], values[0])):
            pictures = [
                portraits(
                    WorldSpec(
                        plants=(Plant(given, name, 1.0, dict.fromkeys(ATTRIBUTES[given], (value,))),), occlusion=0.0
                    ),
                    8,
                    seed=2,
                ).images.astype(int)
                for value in (first, second)
            ]
            changed = np.abs(pictures[0] - pictures[1]).max(axis=(1, 2, 3))
            assert (changed > 40).all(), (name, first, second)
