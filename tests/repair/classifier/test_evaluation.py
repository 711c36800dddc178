"""Metrics equal fairlearn's and scikit-learn's; intervals cover what they claim."""

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, equal_opportunity_difference, equalized_odds_difference
from sklearn.metrics import accuracy_score, f1_score

from fairvl.repair.classifier.evaluation import (
    Frame,
    classifier_metrics,
    crossed_interval,
    paired,
    resampled,
    resampled_shares,
)


def case(rng, n=300, classes=2, groups=2, accuracy=0.8):
    truth, group = rng.integers(0, classes, n), rng.integers(0, groups, n)
    right = rng.random(n) < accuracy - 0.1 * group
    predicted = np.where(right, truth, (truth + 1 + rng.integers(0, classes - 1, n)) % classes)
    names = tuple("abcdef"[:groups])
    return Frame(truth, group, tuple(map(str, range(classes))), names, 1 if classes == 2 else None), predicted


@pytest.mark.parametrize("groups", [2, 3])
def test_binary_metrics_equal_fairlearn(groups):
    rng = np.random.default_rng(groups)
    for _ in range(15):
        frame, predicted = case(rng, groups=groups)
        found = classifier_metrics(frame, predicted)
        args = {"sensitive_features": frame.group}
        assert found["equalized_odds_difference"] == pytest.approx(
            equalized_odds_difference(frame.truth, predicted, **args), abs=1e-12
        )
        mean = equalized_odds_difference(frame.truth, predicted, agg="mean", **args)
        assert found["equalized_odds_difference_mean"] == pytest.approx(mean, abs=1e-12)
        opportunity = equal_opportunity_difference(frame.truth, predicted, **args)
        assert found["equal_opportunity_difference"] == pytest.approx(opportunity, abs=1e-12)
        by_group = MetricFrame(metrics=accuracy_score, y_true=frame.truth, y_pred=predicted, **args).by_group
        assert found["worst_group_accuracy"] == pytest.approx(by_group.min(), abs=1e-12)
        for i, name in enumerate(frame.groups[1:], 1):
            gap = found[f"accuracy_difference|{name} minus a"]
            assert gap == pytest.approx(by_group[i] - by_group[0], abs=1e-12)
        assert found["macro_f1"] == pytest.approx(f1_score(frame.truth, predicted, average="macro"), abs=1e-12)
        assert found["accuracy"] == pytest.approx(accuracy_score(frame.truth, predicted), abs=1e-12)


def test_more_classes_against_a_plain_loop():
    rng = np.random.default_rng(9)
    frame, predicted = case(rng, n=500, classes=4, groups=3)
    cell = np.array([[(predicted == frame.truth)[(frame.group == i) & (frame.truth == j)].mean() for j in range(4)]
                     for i in range(3)])  # fmt: skip
    gaps = cell.max(axis=0) - cell.min(axis=0)
    found = classifier_metrics(frame, predicted)
    assert found["equalized_odds_difference"] == pytest.approx(gaps.max())
    assert found["equalized_odds_difference_mean"] == pytest.approx(gaps.mean())
    assert found["equal_opportunity_difference"] == pytest.approx(gaps.max())  # no positive class: the widest
    assert found["worst_label_group_accuracy"] == pytest.approx(cell.min())
    assert found["macro_f1"] == pytest.approx(f1_score(frame.truth, predicted, average="macro"))


def test_an_empty_cell_is_left_out_and_not_zero():
    truth, group = np.array([0, 0, 1, 1, 0]), np.array([0, 1, 0, 0, 1])  # no class 1 in group 1
    frame = Frame(truth, group, ("0", "1"), ("a", "b"), 1)
    found = classifier_metrics(frame, truth)
    assert np.isnan(found["equal_opportunity_difference"])
    assert found["equalized_odds_difference"] == 0
    assert found["worst_label_group_accuracy"] == 1


def test_resampled_means_are_those_of_a_plain_bootstrap():
    rng = np.random.default_rng(1)
    frame, first = case(rng)
    _, second = case(np.random.default_rng(2))
    predicted = np.stack([[first, second], [frame.truth, first]])
    sampled = resampled(frame, predicted, draws=400, seed=3)
    assert sampled.values.shape == (2, 2, len(frame.names))
    assert sampled.values[0, 0, 0] == pytest.approx((first == frame.truth).mean())
    right = np.stack([first == frame.truth, second == frame.truth]).mean(axis=0)
    draws = [right[rng.integers(0, len(right), len(right))].mean() for _ in range(2000)]
    assert sampled.draws[:, 0, 0].std() == pytest.approx(np.std(draws), rel=0.12)
    by_seed, drawn = paired(sampled, 0, 0, 0)  # an arm against itself
    assert not by_seed.any()
    assert not drawn.any()


def test_pairing_takes_out_what_the_arms_share():
    rng = np.random.default_rng(4)
    frame, first = case(rng, n=800)
    second = first.copy()
    second[:20] = frame.truth[:20]  # the arms differ in at most 20 images
    sampled = resampled(frame, np.stack([[first], [second]]), draws=500, seed=0)
    difference = paired(sampled, 1, 0, 0)[1].std()
    assert difference < 0.35 * sampled.draws[:, 0, 0].std()


def test_intervals_cover_new_images_and_new_seeds():
    """Truth: an accuracy per seed around 0.8, tested on images that all seeds share."""
    rng = np.random.default_rng(5)
    covered, only_images, trials, n, seeds = 0, 0, 200, 150, 4
    points, weight = np.polynomial.hermite_e.hermegauss(60)
    truth = (weight / weight.sum() / (1 + np.exp(-(1.4 + np.hypot(0.7, 0.4) * points)))).sum()
    for _ in range(trials):
        shared = rng.normal(0, 0.7, n)
        of_seed = rng.normal(0, 0.4, seeds)
        right = rng.random((seeds, n)) < 1 / (1 + np.exp(-(1.4 + shared[None] + of_seed[:, None])))
        by_seed = right.mean(axis=1)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=60)
        draws = weights @ right.mean(axis=0) / n
        found = crossed_interval(by_seed, draws, n, share=True)
        covered += found.low <= truth <= found.high
        only_images += abs(found.value - truth) <= 1.96 * draws.std()
    assert covered / trials >= 0.9  # 0.941 in 1,000 trials
    assert only_images / trials < 0.8  # images alone would claim too much


def test_one_seed_and_no_variation_say_so():
    one = crossed_interval(np.array([0.9]), 0.9 + 0.01 * np.random.default_rng(0).standard_normal(200), 100)
    assert "one seed" in one.note
    perfect = crossed_interval(np.ones(3), np.ones(100), 50, share=True)
    assert perfect.low == pytest.approx(0.9286, abs=1e-3)  # Wilson
    same = crossed_interval(np.zeros(3), np.zeros(100), 50)
    assert np.isnan(same.low)
    assert same.note
    assert np.isnan(crossed_interval(np.array([np.nan]), np.zeros(3), 5).value)


def test_flip_shares():
    events = np.random.default_rng(6).random((2, 3, 400)) < np.array([0.1, 0.4])[:, None, None]
    sampled = resampled_shares(events, draws=300, seed=0)
    assert sampled.values[:, :, 0] == pytest.approx(events.mean(axis=2))
    assert sampled.draws.mean(axis=0)[:, 0] == pytest.approx(events.mean(axis=(1, 2)), abs=0.01)
