"""Undoing a judge's confusion gives the true shares back, with intervals that carry the doubt about the judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix as sklearn_confusion

from fairvl.errors import GroupError, InputError
from fairvl.measure.generation import Confusion, confusion_matrix, correct_shares


def test_matrix_equals_scikit_learn_and_keeps_the_unlabelled_apart():
    rng = np.random.default_rng(0)
    truth = rng.choice(["a", "b", "c"], size=500)
    judged = np.where(rng.random(500) < 0.8, truth, rng.choice(["a", "b", "c"], size=500)).astype(object)
    judged[rng.random(500) < 0.1] = None
    matrix = confusion_matrix(truth, judged.tolist())
    known = np.array([j is not None for j in judged])
    np.testing.assert_array_equal(matrix.counts[:, :3], sklearn_confusion(truth[known], judged[known].astype(str)))
    np.testing.assert_array_equal(matrix.counts[:, 3], [(~known & (truth == g)).sum() for g in "abc"])
    assert matrix.counts.sum() == matrix.n == 500
    np.testing.assert_allclose(matrix.rates.sum(axis=1), 1)
    low, high = matrix.ends()
    assert ((low <= matrix.rates) & (matrix.rates <= high)).all()


def test_probabilities_of_one_and_zero_are_labels():
    truth, judged = ["f", "m", "m", "f"], ["f", "f", "m", None]
    soft = np.array([[1, 0], [1, 0], [0, 1], [np.nan, np.nan]], dtype=float)
    hard = confusion_matrix(truth, judged, labels=["f", "m"])
    np.testing.assert_array_equal(confusion_matrix(truth, soft, labels=["f", "m"]).counts, hard.counts)
    half = confusion_matrix(["f", "m"], np.array([[0.7, 0.3], [0.4, 0.6]]), labels=["f", "m"])
    np.testing.assert_allclose(half.counts[:, :2], [[0.7, 0.3], [0.4, 0.6]])


@given(st.integers(2, 5), st.integers(0, 10_000))
def test_exact_shares_come_back_from_exact_confusion(g, seed):
    rng = np.random.default_rng(seed)
    rates = 0.7 * np.eye(g) + 0.3 * rng.dirichlet(np.ones(g), size=g)
    gone = rng.uniform(0, 0.4, size=g)  # a judge that gives up on some groups more often than on others
    counts = np.column_stack([rates * (1 - gone)[:, None], gone]) * 1000
    truth = rng.dirichlet(np.ones(g))
    seen = truth @ counts[:, :g] / 1000
    seen = seen / seen.sum()
    judge = Confusion(counts, tuple("abcde"[:g]))
    found = correct_shares(seen, judge, n=10_000, draws=0, max_condition=100)
    np.testing.assert_allclose(found.shares, truth, atol=1e-9)
    assert not found.clipped.any()
    assert np.isnan(found.low).all()


def test_rogan_and_gladen_by_hand_for_two_groups():
    sensitivity, specificity, seen = 0.9, 0.8, 0.48
    judge = Confusion([[90, 10, 0], [20, 80, 0]], ("f", "m"))
    expected = (seen + specificity - 1) / (sensitivity + specificity - 1)
    found = correct_shares({"m": 1 - seen, "f": seen}, judge, n=500, seed=1)
    assert found.shares[0] == pytest.approx(expected)
    assert found.shares[0] != pytest.approx(seen, abs=0.05)
    rows = correct_shares([[seen, 1 - seen], [0.5, 0.5]], judge, n=[500, 100], draws=100)
    assert rows.shares.shape == (2, 2)
    np.testing.assert_allclose(rows.shares[0], found.shares)


@pytest.mark.parametrize(("truth_images", "images"), [(60, 400), (1000, 100), (200, 200)])
def test_intervals_cover_the_true_share_whichever_sample_is_the_small_one(truth_images, images):
    rng = np.random.default_rng(3)
    rates = np.array([[0.92, 0.08], [0.15, 0.85]])
    share = np.array([0.25, 0.75])
    covered, image_only = 0, 0
    for trial in range(200):
        counts = np.stack([rng.multinomial(truth_images // 2, row) for row in rates])
        judge = Confusion(np.column_stack([counts, [0, 0]]), ("f", "m"))
        seen = rng.multinomial(images, share @ rates)
        found = correct_shares(seen, judge, draws=300, seed=trial)
        covered += found.low[0] <= share[0] <= found.high[0]
        raw = seen[0] / images
        image_only += abs(raw - share[0]) <= 1.96 * np.sqrt(raw * (1 - raw) / images)
    assert covered / 200 >= 0.92
    if images == 400:
        assert image_only / 200 < 0.2  # uncorrected, the very same samples miss it


def test_a_small_truth_set_widens_the_interval_and_a_perfect_one_is_still_in_doubt():
    few, many = (Confusion([[n, 0, 0], [0, n, 0]], ("f", "m")) for n in (10, 10_000))
    widths = [np.ptp([f.low[0], f.high[0]]) for f in (correct_shares([100, 900], j) for j in (few, many))]
    assert widths[0] > 1.5 * widths[1]
    for judge in (few, many):
        assert correct_shares([100, 900], judge).shares.tolist() == [0.1, 0.9]


def test_negative_shares_are_clipped_and_said_or_kept_on_request():
    judge = Confusion([[80, 20, 0], [20, 80, 0]], ("f", "m"))
    found = correct_shares([5, 95], judge)
    assert found.clipped.tolist() == [True]
    assert found.shares.tolist() == [0.0, 1.0]
    kept = correct_shares([5, 95], judge, clip=False)
    assert kept.shares[0] == pytest.approx((0.05 - 0.2) / 0.6)
    assert not kept.clipped.any()


@pytest.mark.parametrize(
    ("counts", "word"),
    [([[50, 50, 0], [50, 50, 0]], "singular"), ([[52, 48, 0], [48, 52, 0]], "nearly singular")],
)
def test_a_judge_that_cannot_tell_is_refused(counts, word):
    with pytest.raises(InputError, match=rf"is {word} .*condition number"):
        correct_shares([10, 20], Confusion(counts, ("f", "m")))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: confusion_matrix(["f", "f"], ["f", "m"]), GroupError, "no image of \\['m'\\]"),
        (lambda: confusion_matrix(["f", "m"], ["f"], labels=["f", "m"]), InputError, "1 judged labels for 2"),
        (lambda: confusion_matrix(["f", "m"], ["f", "x"], labels=["f", "m"]), GroupError, "unknown group label 'x'"),
        (lambda: confusion_matrix(["f"], np.array([[0.5, 0.5]])), InputError, "labels="),
        (lambda: confusion_matrix(["f"], np.array([[0.9, 0.5]]), labels=["f", "m"]), InputError, "sum to 1"),
        (lambda: Confusion([[1, 0], [0, 1]], ("f", "m")), InputError, r"expected \[g, g \+ 1\]"),
        (lambda: correct_shares([0.4, 0.6], JUDGE), InputError, "without n="),
        (lambda: correct_shares([4, 6], JUDGE, n=10), InputError, "sum to 10"),
        (lambda: correct_shares([0.4, 0.6], JUDGE, n=0), InputError, "n=0"),
        (lambda: correct_shares([0, 0], JUDGE), InputError, "all 0"),
        (lambda: correct_shares([1, 2, 3], JUDGE), InputError, "shape"),
        (lambda: correct_shares({"f": 4, "w": 6}, JUDGE), GroupError, "unknown group label 'w'"),
        (lambda: correct_shares({"f": 4}, JUDGE), GroupError, "lack"),
    ],
)
def test_what_cannot_be_used_says_what_was_expected(make, error, words):
    with pytest.raises(error, match=words):
        make()


JUDGE = Confusion([[9, 1, 0], [1, 9, 0]], ("f", "m"))


def test_equal_seed_gives_equal_numbers_and_other_seeds_do_not():
    one, two, other = (correct_shares([30, 70], JUDGE, seed=s) for s in (5, 5, 6))
    assert (one.low == two.low).all()
    assert (one.low != other.low).any()
