"""Recall at k: against every order of tied items, against chance, on queries with several right items, on bad input."""

import itertools

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.retrieval import hits_at_k, mean_hit, recall_at_k


def by_enumeration(scores, right, k):
    """The mean hit over every order of all items that keeps the scores sorted."""
    orders = [o for o in itertools.permutations(range(len(scores))) if all(np.diff(np.asarray(scores)[list(o)]) <= 0)]
    return np.mean([any(right[i] for i in order[:k]) for order in orders])


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_ties_count_as_the_mean_over_every_order(k):
    rng = np.random.default_rng(k)
    scores = rng.integers(0, 3, (40, 5)).astype(np.float32)
    right = rng.random((40, 5)) < 0.4
    right[:, 0] |= ~right.any(axis=1)
    expected = [by_enumeration(s, r, k) for s, r in zip(scores, right, strict=True)]
    np.testing.assert_allclose(hits_at_k(scores, right, k=k), expected, atol=1e-12)
    if k < 5:  # power: the ties matter
        jittered = hits_at_k(scores - 1e-3 * np.arange(5, dtype=np.float32), right, k=k)
        assert not np.allclose(jittered, expected)


def test_a_model_that_scores_everything_alike_gets_chance():
    right = np.eye(50, dtype=bool)
    for k in (1, 5, 50):
        assert hits_at_k(np.zeros((50, 50)), right, k=k) == pytest.approx(k / 50)


def test_numbers_of_right_items_equal_a_mask_and_more_places_never_hurt():
    rng = np.random.default_rng(0)
    scores, which = rng.normal(size=(300, 20)), rng.integers(0, 20, 300)
    mask = which[:, None] == np.arange(20)
    every = [hits_at_k(scores, which, k=k) for k in range(1, 21)]
    for k, hits in enumerate(every, 1):
        np.testing.assert_array_equal(hits, hits_at_k(scores, mask, k=k))
        top = np.argsort(-scores, axis=1)[:, :k]
        np.testing.assert_array_equal(hits, (top == which[:, None]).any(axis=1))
    assert (np.diff(every, axis=0) >= 0).all()
    assert every[-1].min() == 1 > every[0].mean()


def test_a_query_without_a_right_item_is_left_out_and_counted_out():
    scores, right = np.eye(3), np.eye(3, dtype=bool)
    right[2] = False
    assert np.isnan(hits_at_k(scores, right, k=1)[2])
    found = recall_at_k(scores, right, k=1)
    assert (found.value, found.n) == (1.0, 2)
    nothing = recall_at_k(scores, np.zeros((3, 3), bool), k=1)
    assert np.isnan(nothing.value)
    assert "no query" in nothing.note


def test_queries_that_belong_together_widen_the_interval():
    rng = np.random.default_rng(1)
    per_image = (rng.random(60) < 0.5).astype(float)
    hits = np.repeat(per_image, 5)
    alone, together = mean_hit(hits), mean_hit(hits, units=np.repeat(np.arange(60), 5))
    assert alone.value == together.value
    assert together.high - together.low > 1.7 * (alone.high - alone.low)  # sqrt(5), less the widening of few units
    same = mean_hit(hits, units=np.repeat(np.arange(60), 5))
    assert (same.low, same.high) == (together.low, together.high)
    assert "no interval" in mean_hit(hits, units=["a"] * 300).note


@pytest.mark.parametrize(
    ("scores", "right", "k", "said"),
    [
        (np.eye(3), [0, 1, 2], 0, "k=0"),
        (np.eye(3), [0, 1, 2], 4, "k=4"),
        (np.eye(3), [0, 1, 3], 1, "relevant"),
        (np.eye(3), [0, 1], 1, "relevant"),
        (np.eye(3), [0.0, 1.0, 2.0], 1, "relevant"),
        (np.full((3, 3), np.nan), [0, 1, 2], 1, "NaN"),
        (np.zeros((0, 3)), [], 1, "scores of shape"),
        (np.zeros(3), [0], 1, "scores of shape"),
        ([["a", "b"]], [0], 1, "scores"),
    ],
)
def test_bad_input_says_what_is_wrong(scores, right, k, said):
    with pytest.raises(InputError, match=said):
        hits_at_k(scores, right, k=k)
