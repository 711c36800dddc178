"""The adjusted average is the weighted mean of group accuracies, and its intervals cover it."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.reweighted import adjusted_accuracy, adjusted_change
from fairvl.stats.codes import encode
from fairvl.stats.rates import wilson

COUNTS = {"a": 700, "b": 40, "c": 10, "d": 250}


def drawn(seed, n=800, right=(0.95, 0.6, 0.4, 0.9)):
    rng = np.random.default_rng(seed)
    groups = rng.choice(list("abcd"), n)
    rate = np.array([right["abcd".index(g)] for g in groups])
    return rng.random(n) < rate, groups


def test_it_is_the_weighted_mean_of_group_accuracies():
    right, groups = drawn(0)
    expected = sum(n / 1000 * right[groups == g].mean() for g, n in COUNTS.items())
    found = adjusted_accuracy(right, encode(groups), COUNTS)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert abs(found.value - right.mean()) > 0.05  # the weights matter
    assert found.low < found.value < found.high
    assert "c 10" in found.note
    assert found.n == 800


def test_own_shares_give_the_plain_accuracy_and_one_group_its_wilson_interval():
    right, groups = drawn(1)
    own = {g: int((groups == g).sum()) for g in "abcd"}
    assert adjusted_accuracy(right, encode(groups), own).value == pytest.approx(right.mean(), abs=1e-12)
    rows = groups == "b"
    one = adjusted_accuracy(right, encode(groups), {"b": 3, "a": 0})
    assert (one.low, one.high) == pytest.approx(wilson(int(right[rows].sum()), int(rows.sum()), 0.95))


def test_the_intervals_cover_what_is_planted():
    before, after = (0.95, 0.6, 0.4, 0.9), (0.93, 0.7, 0.8, 0.9)
    truth = [sum(n / 1000 * p for n, p in zip(COUNTS.values(), rates, strict=True)) for rates in (before, after)]
    hits = np.zeros(3)
    for seed in range(200):
        first, groups = drawn(seed, 400, before)
        rng = np.random.default_rng([seed, 1])
        second = rng.random(400) < np.array([after["abcd".index(g)] for g in groups])
        codes = encode(groups)
        found = [adjusted_accuracy(first, codes, COUNTS), adjusted_accuracy(second, codes, COUNTS)]
        found.append(adjusted_change(first, second, codes, COUNTS))
        goals = [*truth, truth[1] - truth[0]]
        hits += [e.low <= goal <= e.high for e, goal in zip(found, goals, strict=True)]
    assert (hits >= 182).all()  # 95 % less three standard errors
    assert hits.min() < 200  # and not because they are endless


def test_a_change_is_paired():
    right, groups = drawn(2)
    codes = encode(groups)
    none = adjusted_change(right, right, codes, COUNTS)
    alone = adjusted_accuracy(right, codes, COUNTS)
    assert none.value == 0.0
    assert 0 < none.high - none.low < (alone.high - alone.low) / 3  # no row changed; others might
    worse = right & (groups != "a")
    found = adjusted_change(right, worse, codes, COUNTS)
    expected = adjusted_accuracy(worse, codes, COUNTS).value - adjusted_accuracy(right, codes, COUNTS).value
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.high < 0


def test_a_group_that_counts_and_is_absent_leaves_it_undefined():
    right, groups = drawn(3)
    found = adjusted_accuracy(right, encode(groups), COUNTS | {"e": 1})
    assert np.isnan(found.value)
    assert "'e'" in found.note
    assert np.isnan(adjusted_change(right, right, encode(groups), COUNTS | {"e": 1}).value)
    assert adjusted_accuracy(right, encode(groups), COUNTS | {"e": 0}).value > 0


@pytest.mark.parametrize("counts", [{}, {"a": 0}, {"a": -1, "b": 2}, {"a": 0.5}])
def test_unusable_counts_are_refused(counts):
    right, groups = drawn(4)
    with pytest.raises(InputError, match="counts"):
        adjusted_accuracy(right, encode(groups), counts)
    with pytest.raises(InputError, match="one each"):
        adjusted_accuracy(right[:-1], encode(groups), COUNTS)
