"""Feature imputation: the coordinates that tell groups apart become constant; the forest against scikit-learn's."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.leakage import probe
from fairvl.repair.debias import FeatureImputation
from fairvl.repair.debias.forest import grow_forest
from fairvl.stats.codes import encode


def planted(seed, n=600, dim=40, groups=2, telling=(3, 17, 29)):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % groups)
    rows = rng.normal(size=(n, dim))
    rows[:, list(telling)] += rng.normal(size=(groups, len(telling)))[labels] * 2.0
    return rows, labels


@pytest.mark.parametrize("groups", [2, 4])
def test_the_telling_coordinates_are_found_and_say_nothing_afterwards(groups):
    rows, labels = planted(0, groups=groups)
    codes = encode([str(label) for label in labels])
    operator = FeatureImputation(features=3).fit(rows, labels)
    after = operator(rows)
    changed = np.flatnonzero(abs(after - rows).max(axis=0) > 1e-9)
    assert changed.tolist() == [3, 17, 29]
    assert np.ptp(after[:, changed], axis=0).max() < 1e-12
    before = probe(rows, codes, folds=5, seed=0, n_boot=100)
    assert before.accuracy.value > before.chance + 0.2
    assert probe(after, codes, folds=5, seed=0, n_boot=100).accuracy.value < before.chance + 0.08


def test_a_rotated_bias_is_out_of_its_reach():
    rows, labels = planted(1)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))[0]
    codes = encode([str(label) for label in labels])
    after = FeatureImputation(features=3).fit(rows @ rotation, labels)(rows @ rotation)
    assert probe(after, codes, folds=5, seed=0, n_boot=100).accuracy.value > 0.8


def test_values_are_those_of_undecided_rows():
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 300)
    rows = rng.normal(size=(600, 10))
    rows[:, 4] = np.where(labels == 0, rng.uniform(0.0, 1.0, 600), rng.uniform(0.8, 5.0, 600))
    operator = FeatureImputation(features=1).fit(rows, labels)
    assert 0.7 < operator(rows)[0, 4] < 1.1  # where the groups overlap; the overall mean is far from it
    assert rows[:, 4].mean() > 1.5


def test_importances_agree_with_scikit_learn():
    ensemble = pytest.importorskip("sklearn.ensemble")
    rows, labels = planted(4, n=400, groups=3)
    ours = grow_forest(rows, labels, trees=60, seed=0)
    theirs = ensemble.RandomForestClassifier(60, max_depth=8, oob_score=True, random_state=0).fit(rows, labels)
    assert set(np.argsort(-ours.importance)[:3]) == set(np.argsort(-theirs.feature_importances_)[:3]) == {3, 17, 29}
    assert np.corrcoef(ours.importance, theirs.feature_importances_)[0, 1] > 0.97
    right = (ours.shares.argmax(axis=1) == labels).mean()
    assert right == pytest.approx(theirs.oob_score_, abs=0.06)
    np.testing.assert_allclose(ours.importance.sum(), 1.0)
    np.testing.assert_allclose(ours.shares.sum(axis=1), 1.0)


def test_the_seed_decides_and_several_attributes_impute_the_union():
    rows, labels = planted(5, telling=(3, 17))
    other = np.random.default_rng(6).integers(0, 2, len(rows))
    rows[:, 8] += 4.0 * other
    one, two = (FeatureImputation(features=2, seed=0).fit(rows, labels) for _ in "12")
    np.testing.assert_array_equal(one.matrix(), two.matrix())
    both = FeatureImputation(features=2).fit(rows, {"x": labels, "y": other})
    swapped = FeatureImputation(features=2).fit(rows, {"y": other, "x": labels})
    np.testing.assert_allclose(both(rows), swapped(rows), atol=1e-12)
    changed = np.flatnonzero(abs(both(rows) - rows).max(axis=0) > 1e-9).tolist()
    assert {3, 8, 17} <= set(changed)


def test_unusable_requests_are_refused():
    rows, labels = planted(7, dim=30)
    for options in ({"features": 0}, {"trees": 0}, {"confidence": 0.0}):
        with pytest.raises(InputError):
            FeatureImputation(**options)
    with pytest.raises(InputError, match="30 coordinates"):
        FeatureImputation(features=31).fit(rows, labels)
    with pytest.raises(InputError, match="at least 10"):
        FeatureImputation(features=3).fit(rows[:5], labels[:5])
