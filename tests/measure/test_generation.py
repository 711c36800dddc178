"""Shares of groups in generated images: the metrics by hand, honest intervals, bounds, pairing, hostile input."""

import numpy as np
import pytest
from scipy.spatial.distance import cityblock
from scipy.stats import binomtest, entropy

from fairvl.errors import GroupError, InputError
from fairvl.measure.generation import (
    Confusion,
    agreement,
    compare_agreement,
    compare_prompt_means,
    compare_representation,
    prompt_means,
    representation,
)


def drawn(shares, n, seed=0, labels=("f", "m")):
    """Labels and prompts of n images per prompt with the given shares of the first group."""
    rng = np.random.default_rng(seed)
    groups = [labels[0] if rng.random() < share else labels[1] for share in shares for _ in range(n)]
    return groups, [f"prompt {i}" for i in range(len(shares)) for _ in range(n)]


def test_every_metric_equals_its_definition_by_hand():
    rng = np.random.default_rng(1)
    groups = np.array(["a", "b", "c"])[rng.choice(3, p=[0.6, 0.3, 0.1], size=90)]
    prompts = np.repeat(["x", "y", "z"], 30)
    target = {"a": 0.2, "b": 0.3, "c": 0.5}
    found = representation(groups, prompts, target=target, n_boot=100)
    by_hand = {}
    for prompt in "xyz":
        q = np.array([(groups[prompts == prompt] == g).mean() for g in "abc"])
        t = np.array(list(target.values()))
        by_hand[prompt] = cityblock(q, t) / 2
        assert [found.shares[prompt][g].value for g in "abc"] == pytest.approx(q)
        assert found.by_prompt["total_variation"][prompt].value == pytest.approx(by_hand[prompt])
        assert found.by_prompt["max_skew"][prompt].value == pytest.approx(np.log(q / t).max())
        assert found.by_prompt["min_skew"][prompt].value == pytest.approx(np.log(q / t).min())
        assert found.by_prompt["entropy"][prompt].value == pytest.approx(entropy(q) / np.log(3))
    assert "parity_gap" not in found.mean  # defined for two groups only
    assert found.mean["total_variation"].value == pytest.approx(np.mean(list(by_hand.values())))
    assert found.worst["total_variation"].value == pytest.approx(max(by_hand.values()))
    assert found.worst_prompt["total_variation"] == max(by_hand, key=by_hand.get)
    assert found.target == "given (a 0.2, b 0.3, c 0.5)"


def test_two_groups_parity_gap_is_twice_the_total_variation_from_equal_shares():
    groups, prompts = drawn([0.1, 0.5, 0.95], 40)
    found = representation(groups, prompts, n_boot=100)
    for prompt in found.prompts:
        share = found.shares[prompt]["f"]
        gap = found.by_prompt["parity_gap"][prompt]
        assert gap.value == pytest.approx(abs(2 * share.value - 1))
        assert gap.value == pytest.approx(2 * found.by_prompt["total_variation"][prompt].value)
        expected = binomtest(round(share.value * 40), 40).proportion_ci(method="wilson")
        assert (share.low, share.high) == pytest.approx((expected.low, expected.high))
        ends = sorted(abs(2 * end - 1) for end in (share.low, share.high))
        assert gap.high == pytest.approx(ends[1])
        assert gap.low == pytest.approx(0 if share.low < 0.5 < share.high else ends[0])
    assert found.mean_shares["f"].value == pytest.approx(np.mean([found.shares[p]["f"].value for p in found.prompts]))


def test_population_target_is_the_pool_of_all_prompts():
    groups, prompts = ["f"] * 10 + ["m"] * 30, ["x"] * 20 + ["y"] * 20
    found = representation(groups, prompts, target="population", n_boot=100)
    assert found.by_prompt["total_variation"]["x"].value == pytest.approx(0.25)  # 0.5 against 10 / 40
    assert found.by_prompt["parity_gap"]["x"].value == 0.0  # the parity gap knows no target
    same = representation(["f", "m"] * 20, ["x", "x", "y", "y"] * 10, target="population", n_boot=100)
    assert same.mean["total_variation"].value == 0.0


def test_a_group_that_is_never_drawn_has_skew_minus_infinity_unless_smoothed():
    groups, prompts = ["m"] * 20 + ["f", "m"] * 10, ["x"] * 20 + ["y"] * 20
    plain = representation(groups, prompts, n_boot=100)
    assert plain.by_prompt["min_skew"]["x"].value == -np.inf
    assert "smoothing" in plain.by_prompt["min_skew"]["x"].note
    assert plain.mean["min_skew"].value == -np.inf
    assert np.isnan(plain.mean["min_skew"].low)
    smooth = representation(groups, prompts, n_boot=100, smoothing=0.5)
    assert smooth.by_prompt["min_skew"]["x"].value == pytest.approx(np.log(0.5 / 21 / 0.5))
    assert np.isfinite(smooth.mean["min_skew"].low)
    assert plain.by_prompt["max_skew"]["x"].value == pytest.approx(np.log(2))
    assert plain.by_prompt["max_skew"]["x"].low < np.log(2)  # 20 of 20 is not proof of all


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("shares", "metric"),
    [
        ([0.5] * 6, "parity_gap"),
        pytest.param([0.1, 0.9] * 3, "parity_gap", marks=SLOW),
        pytest.param([0.5, 0.5, 0.1, 0.3, 0.9, 0.7], "parity_gap", marks=SLOW),
        pytest.param([0.5] * 6, "max_skew", marks=SLOW),
        pytest.param([0.1, 0.9] * 3, "max_skew", marks=SLOW),
        ([0.1, 0.9] * 3, "entropy"),
        pytest.param([0.5] * 6, "entropy", marks=SLOW),
    ],
)
def test_intervals_of_means_and_worst_cover_the_planted_value(shares, metric):
    q = np.array(shares)
    truth = {
        "parity_gap": np.abs(2 * q - 1), "max_skew": np.log(np.maximum(q, 1 - q) / 0.5),
        "entropy": -(q * np.log2(q) + (1 - q) * np.log2(1 - q)),
    }[metric]  # fmt: skip
    worst = truth.min() if metric == "entropy" else truth.max()
    hits, worst_hits, wide = 0, 0, []
    for trial in range(50):
        found = representation(*drawn(shares, 60, seed=trial), n_boot=200, seed=trial)
        mean = found.mean[metric]
        hits += mean.low - 1e-9 <= truth.mean() <= mean.high + 1e-9
        worst_hits += found.worst[metric].low - 1e-9 <= worst <= found.worst[metric].high + 1e-9
        wide.append(mean.high - mean.low)
    assert hits >= 46
    assert worst_hits >= 46
    assert np.mean(wide) < 0.3  # and it is not by being useless


def test_other_prompts_ask_for_a_wider_interval_than_these():
    found = representation(*drawn([0.05, 0.5, 0.9, 0.1, 0.6], 200), n_boot=500)
    images, prompts = found.mean["parity_gap"], found.over_prompts["parity_gap"]
    assert images.value == prompts.value
    assert prompts.high - prompts.low > 2 * (images.high - images.low)
    assert prompts.n == 5
    assert "prompts" in prompts.method
    assert images.n == 1000


def test_unlabelled_images_are_bounded_and_never_counted_as_a_group():
    groups = ["f"] * 3 + ["m"] * 5 + [None] * 2
    found = representation(groups, ["x"] * 10, n_boot=100)
    assert found.shares["x"]["f"].value == pytest.approx(3 / 8)
    assert found.shares["x"]["f"].n == 8
    assert found.bounds["x"]["f"] == pytest.approx((0.3, 0.5))
    assert found.unlabelled["x"].value == found.unlabelled["(all)"].value == 0.2
    every = [abs(2 * (3 + k) / 10 - 1) for k in range(3)]
    assert found.distance_bounds["parity_gap"]["x"] == pytest.approx((min(every), max(every)))


def test_distance_bounds_equal_brute_force_over_all_ways_to_label():
    counts, gone, target = np.array([5, 2, 0]), 4, np.array([0.5, 0.3, 0.2])
    groups = ["a"] * 5 + ["b"] * 2 + [None] * gone
    found = representation(groups, ["x"] * 11, target=dict(zip("abc", target, strict=True)), n_boot=0)
    grid = [np.array([i, j, 40 - i - j]) / 10 for i in range(41) for j in range(41 - i)]
    values = [np.abs((counts + extra) / 11 - target).sum() / 2 for extra in grid]
    low, high = found.distance_bounds["total_variation"]["x"]
    assert high == pytest.approx(max(values))
    assert low == pytest.approx(min(values), abs=5e-3)
    assert low <= min(values) + 1e-12


def test_probabilities_give_expected_shares_and_certain_ones_those_of_labels():
    groups, prompts = drawn([0.2, 0.7], 30)
    sure = np.array([[g == "f", g == "m"] for g in groups], dtype=float)
    hard, soft = representation(groups, prompts, n_boot=200), representation(sure, prompts, labels=["f", "m"])
    for prompt in hard.prompts:
        assert soft.shares[prompt]["f"].value == hard.shares[prompt]["f"].value
    unsure = 0.8 * sure + 0.1
    assert representation(unsure, prompts, labels=["f", "m"]).shares["prompt 0"]["f"].value == pytest.approx(
        0.8 * hard.shares["prompt 0"]["f"].value + 0.1
    )


def test_correction_gives_the_planted_gap_back_from_a_judge_that_errs():
    rng = np.random.default_rng(4)
    truth, prompts = drawn([0.1, 0.9, 0.5, 0.3], 1500, seed=5)
    wrong = rng.random(len(truth)) < 0.15
    judged = [("m" if t == "f" else "f") if w else t for t, w in zip(truth, wrong, strict=True)]
    judge = Confusion([[850, 150, 0], [150, 850, 0]], ("f", "m"))
    planted = np.mean([0.8, 0.8, 0.0, 0.4])
    raw = representation(judged, prompts, n_boot=300).mean["parity_gap"]
    fixed = representation(judged, prompts, confusion=judge, n_boot=300).mean["parity_gap"]
    assert raw.high < planted  # errors pull towards equal shares
    assert fixed.low < planted < fixed.high
    assert fixed.high - fixed.low > raw.high - raw.low


def test_paired_difference_is_tighter_than_two_independent_ones():
    rng = np.random.default_rng(0)
    before, prompts = drawn([0.1, 0.9, 0.2, 0.8], 150)
    after = ["f" if rng.random() < 0.15 else g for g in before]  # same images but for some
    found = compare_representation(before, after, prompts, n_boot=500)
    change = found.difference.mean["parity_gap"]
    assert change.value == pytest.approx(found.after.mean["parity_gap"].value - found.before.mean["parity_gap"].value)
    widths = [found.before.mean["parity_gap"], found.after.mean["parity_gap"]]
    assert change.high - change.low < min(w.high - w.low for w in widths)
    share = found.difference.mean_shares["f"]
    assert share.low > 0  # more of the first group than before
    alone = representation(before, prompts, n_boot=500)
    assert alone.mean["parity_gap"].value == found.before.mean["parity_gap"].value
    none = compare_representation(before, before, prompts, n_boot=200).difference
    assert none.mean["parity_gap"].value == none.mean["parity_gap"].low == none.mean["parity_gap"].high == 0


def test_crossed_attributes_are_groups_like_any_other():
    gender, age = np.array(["f", "m"] * 40), np.repeat(["old", "young"], 40)
    found = representation({"gender": gender, "age": age}, ["x"] * 80, n_boot=0)
    assert found.labels == ("f & old", "f & young", "m & old", "m & young")
    assert found.by_prompt["total_variation"]["x"].value == 0.0
    assert found.by_prompt["entropy"]["x"].value == pytest.approx(1.0)


def test_a_prompt_with_one_image_is_shown_without_an_interval_it_cannot_have():
    groups, prompts = ["f", *["f", "m"] * 10], ["alone", *["x"] * 20]
    found = representation(groups, prompts, n_boot=200)
    alone = found.shares["alone"]["f"]
    assert (alone.value, alone.n) == (1.0, 1)
    assert alone.low < 0.3
    assert any("one image" in note for note in found.notes)
    soft = representation(np.array([[0.9, 0.1]]), ["alone"], labels=["f", "m"])
    assert np.isnan(soft.shares["alone"]["f"].low)
    assert "one image" in soft.shares["alone"]["f"].note


def test_a_prompt_without_a_label_is_undefined_and_left_out_of_means():
    found = representation([None, None, "f", "m"], ["x", "x", "y", "y"], n_boot=100)
    assert np.isnan(found.shares["x"]["f"].value)
    assert found.bounds["x"]["f"] == (0.0, 1.0)
    assert found.mean["parity_gap"].value == 0.0
    assert "left out" in found.mean["parity_gap"].note


def test_agreement_counts_whom_the_prompt_names():
    groups = ["f", "f", None, "m", "m", "f"]
    expected = ["f", "f", "f", "m", "m", "m"]
    prompts = ["an actress"] * 3 + ["a king"] * 3
    found = agreement(groups, expected, prompts)
    assert found.by_prompt["an actress"].value == 1.0
    assert found.by_prompt["a king"].value == pytest.approx(2 / 3)
    assert found.mean.value == pytest.approx(5 / 6)
    assert found.worst_prompt == "a king"
    assert found.bounds["an actress"] == pytest.approx((2 / 3, 1.0))
    assert found.without == 1
    corrected = agreement(
        groups, expected, prompts, confusion=Confusion([[9, 1, 0], [0, 10, 0]], ("f", "m")), n_boot=100
    )
    assert corrected.by_prompt["a king"].value == pytest.approx((2 / 3 - 0.1) / 0.9 + 0, abs=0.1)
    change = compare_agreement(["m"] * 6, groups, expected, prompts).difference
    assert change.by_prompt["an actress"].value == 1.0
    assert change.by_prompt["a king"].value == pytest.approx(-1 / 3)


def test_means_of_a_score_per_prompt_equal_numpy_and_pair():
    rng = np.random.default_rng(0)
    prompts = np.repeat(["x", "y"], [30, 50])
    before = rng.normal(0.25, 0.02, size=80)
    found = prompt_means(before, prompts)
    expected = [before[prompts == p].mean() for p in "xy"]
    assert [found.by_prompt[p].value for p in "xy"] == pytest.approx(expected)
    assert found.mean.value == pytest.approx(np.mean(expected))
    spread = np.sqrt(sum(before[prompts == p].var(ddof=1) / (prompts == p).sum() for p in "xy")) / 2
    assert found.mean.high - found.mean.low == pytest.approx(2 * 1.96 * spread, rel=0.2)
    change = compare_prompt_means(before, before + 0.01, prompts).difference
    assert (change.mean.low, change.mean.high) == pytest.approx((0.01, 0.01))
    holes = before.copy()
    holes[:30] = np.nan
    assert prompt_means(holes, prompts).without == 30


def test_equal_seeds_give_equal_bytes_whatever_the_order_of_rows():
    groups, prompts = drawn([0.3, 0.6], 50)
    found = [representation(groups, prompts, seed=s).mean["parity_gap"] for s in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: representation(["f", "m"], ["x"]), InputError, "1 prompts for"),
        (lambda: representation(["f", "m"], ["x", None]), InputError, "1 images have no prompt"),
        (lambda: representation(["f", "q"], ["x", "x"], labels=["f", "m"]), GroupError, "unknown group label 'q'"),
        (lambda: representation([None, None], ["x", "x"]), GroupError, "none of 2 images"),
        (lambda: representation(["f", "m"], ["x", "x"], target={"f": 1}), GroupError, "unknown group label 'm'"),
        (lambda: representation(["f"], ["x"], smoothing=-1), InputError, "smoothing"),
        (lambda: representation(["f", "m"], ["x", "x"], confusion=THREE), GroupError, "confusion matrix is of"),
        (lambda: agreement(["f", "m"], ["f", "m"], ["x", "x"]), InputError, "expects both 'f' and 'm'"),
        (lambda: agreement(["f"], ["q"], ["x"], labels=["f", "m"]), GroupError, "unknown expected group 'q'"),
        (lambda: agreement(["f"], [None], ["x"]), InputError, "expects no group"),
        (lambda: prompt_means([1.0], ["x", "y"]), InputError, "expected one each"),
    ],
)
def test_what_cannot_be_measured_says_why(make, error, words):
    with pytest.raises(error, match=words):
        make()


THREE = Confusion([[9, 1, 0, 0], [1, 9, 0, 0], [0, 1, 9, 0]], ("f", "m", "n"))


def test_a_group_that_is_neither_wanted_nor_drawn_has_no_skew_and_one_that_is_drawn_has_an_infinite_one():
    target = {"f": 1.0, "m": 0.0}
    kept = representation(["f"] * 8, ["p"] * 8, target=target, n_boot=200)
    assert (kept.mean["max_skew"].value, kept.mean["min_skew"].value) == (0.0, 0.0)
    drawn = representation(["f"] * 6 + ["m"] * 2, ["p"] * 8, target=target, n_boot=200)
    assert drawn.by_prompt["max_skew"]["p"].value == np.inf
    assert drawn.by_prompt["min_skew"]["p"].value == pytest.approx(np.log(0.75))


def test_a_change_of_means_is_over_the_prompts_that_both_arms_show():
    """Prompt b has labels before only: 0 to 1 by prompt a alone, although the mean before is over both."""
    prompts = ["a"] * 10 + ["b"] * 10
    before = ["f", "m"] * 5 + ["f"] * 10
    after = ["m"] * 10 + [None] * 10
    found = compare_representation(before, after, prompts, n_boot=200)
    gap = {arm: getattr(found, arm).mean["parity_gap"] for arm in ("before", "after", "difference")}
    assert (gap["before"].value, gap["after"].value, gap["difference"].value) == (0.5, 1.0, 1.0)
    assert gap["difference"].low > 0.4
    assert "1 prompts without a labelled image in one arm" in gap["difference"].note
    assert found.difference.mean_shares["m"].value == 0.5


def test_arms_without_any_common_label_are_undefined_and_quiet():
    found = compare_representation([None] * 2 + ["f", "m"], ["f", "m"] + [None] * 2, ["a", "a", "b", "b"], n_boot=100)
    assert np.isnan(found.difference.mean["parity_gap"].value)
    nobody = representation([None, None], ["a", "a"], labels=["f", "m"], n_boot=100)
    assert np.isnan(nobody.mean_shares["f"].value)
    assert nobody.mean_shares["f"].note == "no labelled image"
