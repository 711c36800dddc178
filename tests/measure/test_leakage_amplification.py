"""Leakage and predictability amplification: planted, absent, and not fooled by quality or vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from fairvl.errors import GroupError, InputError
from fairvl.measure.amplification import predictability_amplification
from fairvl.measure.leakage import caption_leakage, label_leakage
from fairvl.measure.leakage.outputs import flip_to_f1, micro_f1
from fairvl.measure.leakage.probe import out_of_fold_scores


def planted(n=600, tie=0.2, extra=0.0, seed=0):
    """Groups, labels that lean to one group by `tie`, predictions that lean by `extra` more and err at 10 %."""
    rng = np.random.default_rng(seed)
    man = rng.integers(0, 2, n)
    lean = (2 * man - 1)[:, None] * np.array([1, -1, 1, -1])
    labels = (rng.random((n, 4)) < 0.5 + tie * lean) * 1.0
    wrong = rng.random((n, 4)) < 0.1
    predictions = np.where(wrong, 1 - labels, labels)
    pushed = rng.random((n, 4)) < extra
    return man, labels, np.where(pushed, (lean > 0) * 1.0, predictions)


def test_leakage_amplification_is_there_when_planted_and_gone_when_not():
    man, labels, fair = planted()
    _, _, tilted = planted(extra=0.5)
    none = label_leakage(man, labels, fair, rounds=3, n_boot=200)
    some = label_leakage(man, labels, tilted, rounds=3, n_boot=200)
    assert none.amplification.low <= 0 <= none.amplification.high
    assert some.amplification.low > 0.05
    assert some.quality_matched == pytest.approx(some.quality, abs=0.01)
    assert some.amplification.value == pytest.approx(some.model.value - some.data.value)
    assert some.chance == 0.5


def test_equal_quality_matters():
    """Against untouched labels a merely noisy model would look as if it leaked less."""
    man, labels, fair = planted(tie=0.35, n=1200)
    result = label_leakage(man, labels, fair, rounds=3, n_boot=200)
    assert result.model.value < result.untouched.value - 0.02
    assert abs(result.amplification.value) < 0.03


def test_flips_reach_the_f1_asked_for():
    rng = np.random.default_rng(1)
    truth = (rng.random((300, 5)) < 0.3) * 1.0
    for target in (0.95, 0.7, 0.4):
        flipped = flip_to_f1(truth, target, rng)
        assert f1_score(truth.ravel(), flipped.ravel()) == pytest.approx(target, abs=0.005)
        assert micro_f1(truth, flipped) == pytest.approx(f1_score(truth.ravel(), flipped.ravel()))
    assert (flip_to_f1(truth, 1.0, rng) == truth).all()


def test_out_of_fold_scores_are_logistic_regression():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(120, 4))
    y = (x[:, 0] + rng.normal(size=120) > 0).astype(int)
    codes, scores = out_of_fold_scores(x, y, folds=3)
    assert scores.sum(1) == pytest.approx(np.ones(120))
    assert (codes == y).all()
    reference = LogisticRegression(C=1.0).fit(x, y).predict_proba(x)[:, 1]
    assert np.corrcoef(scores[:, 1], reference)[0, 1] > 0.95
    three = out_of_fold_scores(x, (x[:, 0] > 0).astype(int) + (x[:, 0] > 0.7), folds=3)[1]
    assert three.shape == (120, 3)
    assert three.sum(1) == pytest.approx(np.ones(120))


def captions(tie, seed, n=400, rare=""):
    rng = np.random.default_rng(seed)
    man = rng.integers(0, 2, n)
    things = np.where(rng.random(n) < 0.5 + tie * (2 * man - 1), "a ball", "a cat")
    rest = rng.choice(["in a park", "in a house", "on a street"], n)
    return man, [f"a person with {t} {r}{rare and f' {rare}{m}'}" for t, r, m in zip(things, rest, man, strict=True)]


def test_captions_that_lean_more_than_peoples_are_found():
    man, human = captions(0.1, 3)
    _, same = captions(0.1, 3)
    _, more = captions(0.4, 3)
    assert (captions(0.4, 3)[0] == man).all()
    equal = caption_leakage(man, human, same, rounds=2)
    leaning = caption_leakage(man, human, more, rounds=2)
    assert equal.amplification.value == 0
    assert leaning.amplification.low > 0.05
    assert leaning.data.value < leaning.model.value


def test_words_that_only_people_use_are_no_advantage():
    man, human = captions(0.1, 4, rare="word")  # every human caption holds a word that tells the group
    _, model = captions(0.1, 4)
    result = caption_leakage(man, human, model, rounds=2)
    assert result.untouched.value > 0.9
    assert abs(result.amplification.value) < 0.05


def test_predictability_works_where_everything_is_balanced():
    """Rates 1/2 on both sides and no association in the labels: the sign of directional amplification is 0 there."""
    a = np.repeat(np.eye(2), 200, axis=0)
    t = np.tile([[1.0, 0.0], [0.0, 1.0]], (200, 1))
    tilted = t.copy()
    rng = np.random.default_rng(5)
    rows = rng.random(400) < 0.3
    tilted[rows] = a[rows]
    fair = t.copy()
    rows = rng.random(400) < 0.15
    fair[rows] = 1 - fair[rows]
    planted_value = predictability_amplification(a, t, tilted)
    assert planted_value.value.low > 0.5
    assert planted_value.model.value > planted_value.data.value
    back = predictability_amplification(a, t, tilted[:, ::-1], direction="t->a")
    assert -1 <= back.value.value <= 1
    assert back.pairs.shape == (2, 2)
    none = predictability_amplification(a, t, fair)
    assert none.model.value < 0.02


def test_predictability_of_labels_is_brought_to_the_models_quality():
    rng = np.random.default_rng(6)
    n, q = 40_000, 0.2
    man = rng.integers(0, 2, n)
    t = (rng.random(n) < np.where(man == 1, 0.8, 0.3)).astype(float)[:, None]
    noisy = np.where(rng.random((n, 1)) < q, 1 - t, t)
    result = predictability_amplification(np.eye(2)[man], t, noisy, n_boot=100)
    assert result.model.value == pytest.approx(result.data.value, abs=0.01)
    untouched = np.corrcoef(man, t[:, 0])[0, 1] ** 2
    assert result.data.value < untouched - 0.05  # without the flips this model would look less biased
    assert result.value.low <= 0 <= result.value.high


def test_mistakes_are_said():
    ones = np.ones((4, 2))
    with pytest.raises(InputError, match="expected"):
        label_leakage([0, 1], ones, ones)
    with pytest.raises(InputError, match="0/1 columns"):
        label_leakage([0, 1, 0, 1], ones / 2, ones)
    with pytest.raises(GroupError, match="two to tell apart"):
        label_leakage([0, 0, 0, 0], ones, ones)
    with pytest.raises(InputError, match="rounds"):
        label_leakage([0, 1, 0, 1], ones, ones, rounds=0)
    with pytest.raises(InputError, match="no word"):
        caption_leakage(["a", "b"], ["x", "y"], ["", "!"])
    with pytest.raises(InputError, match="string"):
        caption_leakage(["a", "b"], ["x", None], ["x", "y"])
    with pytest.raises(InputError, match="equal"):
        caption_leakage(["a", "b"], ["x"], ["x", "y"])
