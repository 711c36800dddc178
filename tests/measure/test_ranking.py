"""Skew and NDKL equal a loop on a napkin; ties, absent groups and k are decided as documented."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import FairVLError, GroupError, InputError
from fairvl.measure.ranking import bias_at_k, max_skew, min_skew, ndkl
from fairvl.stats.codes import encode


def data(seed=0, n=400, g=7):
    rng = np.random.default_rng(seed)
    groups = rng.choice(np.array([f"g{i}" for i in range(g)]), p=np.arange(1, g + 1) / (g * (g + 1) / 2), size=n)
    return rng.permutation(n).astype(float) + 50.0 * (groups == "g2"), groups


def napkin_target(groups, target):
    labels = sorted(set(groups))
    if target == "population":
        return {a: np.mean(groups == a) for a in labels}
    return {a: 1 / len(labels) for a in labels} if target == "uniform" else target


def napkin_skews(scores, groups, k, target):
    top = [groups[i] for i in sorted(range(len(scores)), key=lambda i: -scores[i])[:k]]
    goal = napkin_target(groups, target)
    return [math.log(top.count(a) / k / goal[a]) if a in top else -math.inf for a in goal]


def napkin_ndkl(scores, groups, target):
    ranked = [groups[i] for i in sorted(range(len(scores)), key=lambda i: -scores[i])]
    goal = napkin_target(groups, target)
    total = z = 0.0
    for i in range(1, len(ranked) + 1):
        divergence = 0.0
        for a, share in goal.items():
            p = ranked[:i].count(a) / i
            divergence += p * math.log(p / share) if p else 0.0
        total += divergence / math.log2(i + 1)
        z += 1 / math.log2(i + 1)
    return total / z


TARGETS = ["population", "uniform", {f"g{i}": (7 - i) / 28 for i in range(7)}]


def untied(seed):
    scores, groups = data(seed)
    return scores + np.linspace(0, 0.5, len(scores)), groups


@pytest.mark.parametrize("target", TARGETS, ids=["population", "uniform", "given"])
@pytest.mark.parametrize("seed", range(3))
def test_skews_and_ndkl_equal_the_napkin(seed, target):
    scores, groups = untied(seed)
    for k in (1, 20, 133, len(scores)):
        expected = napkin_skews(scores, groups, k, target)
        assert max_skew(scores, groups, k=k, target=target) == pytest.approx(max(expected), abs=1e-9)
        assert min_skew(scores, groups, k=k, target=target) == pytest.approx(min(expected), abs=1e-9)
    assert ndkl(scores, groups, target=target) == pytest.approx(napkin_ndkl(scores, groups, target), abs=1e-9)
    assert ndkl(scores, groups, target=target) > 1e-3


def test_the_whole_set_has_no_skew_against_its_population():
    scores, groups = data()
    assert max_skew(scores, groups, k=len(scores)) == pytest.approx(0, abs=1e-12)
    assert min_skew(scores, groups, k=len(scores)) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=30), st.randoms())
def test_expected_ties_do_not_depend_on_the_order_of_rows(scores, random):
    groups = ["a" if i % 3 else "b" for i in range(len(scores))]
    order = list(range(len(scores)))
    random.shuffle(order)
    mixed = [scores[i] for i in order], [groups[i] for i in order]
    for k in (1, 2, len(scores) // 2):
        assert max_skew(scores, groups, k=k) == pytest.approx(max_skew(*mixed, k=k))
    assert ndkl(scores, groups) == pytest.approx(ndkl(*mixed))


def test_expected_ties_are_the_mean_over_random_tie_breaking():
    scores = np.array([2.0, 1, 1, 1, 1, 0])
    groups = np.array(["a", "a", "a", "b", "b", "b"])
    shares = []
    for seed in range(4000):
        order = np.lexsort((np.random.default_rng(seed).random(6), -scores))
        shares.append(np.mean(groups[order[:3]] == "a"))
    skew = max_skew(scores, groups, k=3)
    assert skew == pytest.approx(math.log(2 / 3 / 0.5))
    assert np.mean(shares) == pytest.approx(2 / 3, abs=0.02)
    assert max_skew(scores, groups, k=3, ties="position") == pytest.approx(math.log(1 / 0.5))
    assert max_skew(scores[::-1], groups[::-1], k=3, ties="position") == pytest.approx(math.log(2 / 3 / 0.5))


def test_all_scores_equal_means_no_skew_at_any_k():
    groups = ["a"] * 3 + ["b"] * 9
    assert max_skew(np.zeros(12), groups, k=5) == pytest.approx(0)
    assert ndkl(np.zeros(12), groups) == pytest.approx(0, abs=1e-12)
    assert max_skew(np.zeros(12), groups, k=3, ties="position") > 1


def test_an_absent_group_is_minus_infinity_unless_floored_or_smoothed():
    scores, groups = [4, 3, 2, 1], ["a", "a", "b", "b"]
    assert min_skew(scores, groups, k=2) == -math.inf
    assert min_skew(scores, groups, k=2, floor=1e-10) == pytest.approx(math.log(1e-10 / 0.5))
    assert min_skew(scores, groups, k=2, smoothing=1.0) == pytest.approx(math.log(1 / 4 / 0.5))
    assert max_skew(scores, groups, k=2, smoothing=1.0) == pytest.approx(math.log(3 / 4 / 0.5))


def test_rows_without_a_group_are_left_out_before_ranking():
    scores, groups = np.array([9.0, 4, 3, 2, 1]), [None, "a", "a", "b", "b"]
    assert max_skew(scores, groups, k=2) == max_skew(scores[1:], groups[1:], k=2)
    with pytest.raises(InputError, match="k=5 for 4 ranked rows"):
        max_skew(scores, groups, k=5)
    with pytest.raises(GroupError, match="none of 2 rows"):
        max_skew([1, 2], [None, ""], k=1)


def test_one_group_and_an_absent_expected_group():
    assert max_skew([1, 2, 3], ["a"] * 3, k=2) == 0
    groups = encode(["a", "a", "b"], expected=["a", "b", "c"])
    assert np.isfinite(min_skew([1.0, 3.0, 2.0], groups, k=2))  # nobody wants c, and c is not there
    assert min_skew([1.0, 3.0, 2.0], groups, k=2, target="uniform") == -math.inf
    assert min_skew([1, 3, 2], ["a", "a", "b"], k=2, target={"a": 0.4, "b": 0.4, "c": 0.2}) == -math.inf


def test_a_group_with_target_share_zero_is_refused():
    with pytest.raises(GroupError, match="target share of 0"):
        max_skew([1, 2], ["a", "b"], k=2, target={"a": 1, "b": 0})
    with pytest.raises(GroupError, match="target share of 0"):
        ndkl([1, 2], ["a", "b"], target={"a": 1, "b": 0})


@pytest.mark.parametrize("k", [0, -1, 5, 2.5, True])
def test_k_outside_the_rows_is_refused(k):
    with pytest.raises(InputError, match="k="):
        max_skew([1, 2, 3, 4], list("aabb"), k=k)


@pytest.mark.parametrize(
    ("scores", "groups", "keywords"),
    [
        ([1, np.nan], ["a", "b"], {}),
        ([1, np.inf], ["a", "b"], {}),
        (["x", "y"], ["a", "b"], {}),
        ([1, 2, 3], ["a", "b"], {}),
        ([[1, 2], [2, 1]], ["a", "b"], {}),
        ([1, 2], ["a", "b"], {"ties": "random"}),
        ([1, 2], ["a", "b"], {"floor": -1}),
        ([1, 2], ["a", "b"], {"smoothing": -1}),
        ([1, 2], ["a", "b"], {"target": "everyone"}),
    ],
)
def test_unusable_input_is_refused(scores, groups, keywords):
    with pytest.raises(FairVLError, match="expected"):
        max_skew(scores, groups, k=1, **keywords)


def test_bias_at_k_is_signed_and_oriented():
    scores = np.array([[5.0, 4, 3, 2, 1], [1.0, 2, 3, 4, 5]])
    groups = ["m", "m", "f", "x", "f"]
    assert bias_at_k(scores[0], groups, k=3, orientation=("m", "f")) == pytest.approx(1 / 3)
    assert bias_at_k(scores[0], groups, k=3, orientation=("f", "m")) == pytest.approx(-1 / 3)
    assert bias_at_k(scores, groups, k=3, orientation=("m", "f")) == pytest.approx((1 / 3 - 1) / 2)
    assert bias_at_k([1, 2, 3], ["m", "f", "x"], k=1, orientation=("m", "f")) == 0
    for orientation in ("mf", ("m",), ("m", "q"), ("m", "m")):
        with pytest.raises(FairVLError, match="orientation"):
            bias_at_k(scores, groups, k=3, orientation=orientation)


def test_skew_grows_with_a_planted_preference():
    rng = np.random.default_rng(0)
    groups = rng.choice(np.array(["a", "b"]), size=2000)
    noise = rng.normal(size=2000)
    skews = [max_skew(noise + s * (groups == "a"), groups, k=200) for s in (0.0, 0.3, 0.6, 1.2)]
    divergences = [ndkl(noise + s * (groups == "a"), groups) for s in (0.0, 0.3, 0.6, 1.2)]
    assert skews == sorted(skews)
    assert divergences == sorted(divergences)
    assert skews[0] < 0.15 < skews[-1]
