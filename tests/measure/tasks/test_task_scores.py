"""NLVR2, retrieval with several captions, neutral queries, wrong groups in captions, joins by id."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.tasks import (
    caption_retrieval_hits,
    join_rows,
    naming_errors,
    neutral_query_shares,
    nlvr2_accuracy,
    nlvr2_consistency,
)


def test_consistency_wants_every_example_of_a_sentence(rng):
    correct, sentences = rng.integers(0, 2, 200), rng.integers(0, 60, 200)
    found = nlvr2_consistency(correct, sentences)
    expected = [correct[sentences == sentences[row]].all() for row in found.rows]
    assert found.scores.tolist() == expected
    assert found.examples.sum() == 200
    assert len(found.scores) == len(set(sentences))
    assert found.scores.mean() < correct.mean()


def test_truth_values_may_be_spelt_in_any_way_but_must_be_some():
    assert nlvr2_accuracy([True, "false", 0, "1"], ["True", "False", "True", True]).tolist() == [1, 1, 0, 1]
    with pytest.raises(InputError, match="no truth value"):
        nlvr2_accuracy(["maybe"], ["True"])
    with pytest.raises(InputError, match="0 or 1"):
        nlvr2_consistency([0.5], ["s"])


def test_hits_in_both_directions_equal_a_sorted_list(rng):
    owner = np.repeat(np.arange(12), 5)
    scores = rng.random((60, 12))
    for k in (1, 5, 10):
        hits = caption_retrieval_hits(scores, owner, k=k)
        to_image = [owner[c] in np.argsort(-scores[c])[:k] for c in range(60)]
        to_text = [i in owner[np.argsort(-scores[:, i])[:k]] for i in range(12)]
        assert hits.to_image.tolist() == to_image
        assert hits.to_text.tolist() == to_text


def test_one_score_for_everything_hits_by_chance_only():
    hits = caption_retrieval_hits(np.ones((20, 4)), np.repeat(np.arange(4), 5), k=1)
    assert hits.to_image.mean() == pytest.approx(1 / 4)
    assert hits.to_text.mean() == pytest.approx(5 / 20)


def test_misplaced_owners_are_refused():
    with pytest.raises(InputError, match="image of each caption"):
        caption_retrieval_hits(np.ones((3, 2)), [0, 1], k=1)
    with pytest.raises(InputError):
        caption_retrieval_hits(np.ones((3, 2)), [0, 1, 2], k=1)


def test_neutral_queries_count_only_neutral_queries_and_their_first_result():
    scores = np.array([[9, 1, 0], [9, 1, 0], [0, 9, 1], [0, 0, 9.0]])
    found = neutral_query_shares(scores, ["m", "f", None], neutral=[True, True, True, False], n_boot=500)
    assert found.queries == 3
    assert found.by_group["m"].value == pytest.approx(2 / 3)
    assert found.by_group["f"].value == pytest.approx(1 / 3)
    assert found.by_group["(missing)"].value == 0
    assert sum(share.value for share in found.by_group.values()) == pytest.approx(1)
    assert found.excess["m"].value == pytest.approx(2 / 3 - 1 / 3)
    assert found.target == pytest.approx({"m": 1 / 3, "f": 1 / 3, "(missing)": 1 / 3})


def test_a_lean_of_neutral_queries_is_found_and_gone_without_it(rng):
    groups = np.repeat(["m", "f"], 50)
    fair = rng.random((400, 100))
    leaning = fair + 0.03 * (groups == "m")
    before, after = (neutral_query_shares(s, groups, n_boot=500).excess["m"] for s in (leaning, fair))
    assert before.low > 0.1
    assert after.low < 0 < after.high
    tied = neutral_query_shares(np.ones((10, 100)), groups, n_boot=0)
    assert tied.by_group["m"].value == pytest.approx(0.5)


def test_captions_of_one_image_are_drawn_together(rng):
    groups = np.repeat(["m", "f"], 10)
    scores = np.repeat(rng.random((40, 20)), 5, axis=0)
    alone, together = (
        neutral_query_shares(scores, groups, units=u, n_boot=1000).by_group["m"]
        for u in (None, np.repeat(range(40), 5))
    )
    assert together.high - together.low == pytest.approx(np.sqrt(5) * (alone.high - alone.low), rel=0.15)


def test_naming_errors_by_hand(rng):
    truth = rng.choice(["female", "male"], 500, p=[0.3, 0.7])
    named = np.where(rng.random(500) < 0.15, "male", truth).astype(object)
    named[:50], named[50:60] = "neutral", "mixed"
    found = naming_errors(named, truth, n_boot=500)
    wrong = (named == "male") & (truth == "female")
    assert found.error.value == pytest.approx(wrong.mean())
    assert found.ratio.value == pytest.approx((named == "female").sum() / (named == "male").sum())
    assert found.true_ratio.value == pytest.approx((truth == "female").sum() / (truth == "male").sum())
    assert found.unnamed.value == pytest.approx(0.1)
    assert found.several.value == pytest.approx(0.02)
    assert found.log_ratio_change.high < 0  # women are lost
    honest = naming_errors(truth, truth, n_boot=500)
    assert honest.error.value == 0
    assert honest.log_ratio_change.value == 0


def test_naming_without_the_second_group_is_undefined_and_says_so():
    found = naming_errors(["female"] * 3, ["female"] * 3, n_boot=50)
    assert np.isnan(found.ratio.value)
    assert "no caption names male" in found.ratio.note
    with pytest.raises(InputError):
        naming_errors(["female"], ["femal"])


def test_rows_are_joined_by_id_whatever_their_order(rng):
    ids = [f"q{i}" for i in range(50)]
    order = rng.permutation(50)
    shuffled = [ids[i] for i in order]
    assert [shuffled[row] for row in join_rows(ids, shuffled)] == ids


@pytest.mark.parametrize(
    ("labels", "predictions", "said"),
    [
        (["a", "b"], ["a", "a"], "occur twice"),
        (["a", "a"], ["a", "b"], "occur twice"),
        (["a", "b", "c"], ["a", "b"], "no prediction, such as 'c'"),
        (["a", "b"], ["a", "b", "x"], "unknown ids, such as 'x'"),
        (["a", "b"], ["b", "c"], "no prediction, such as 'a'"),
    ],
)
def test_a_join_that_is_not_one_to_one_is_refused(labels, predictions, said):
    with pytest.raises(InputError, match=said):
        join_rows(labels, predictions)


def test_sorting_both_sides_would_have_hidden_a_misaligned_row():
    labels, predictions = ["q1", "q2", "q3"], ["q2", "q3", "q4"]
    assert len(sorted(labels)) == len(sorted(predictions))  # what the released code relied on
    with pytest.raises(InputError):
        join_rows(labels, predictions)
