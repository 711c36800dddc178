"""The masked-person test against scikit-learn, strict and lenient; words of several pieces; nouns as tasks."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from fairvl.errors import InputError
from fairvl.measure.tasks import masked_person_test, noun_columns, piece_sums, top_nouns

WORDS = ("man", "boy", "woman", "girl", "person", "child", "dog")
GROUPS = ("male", "male", "female", "female", "neutral", "neutral", None)


def scores_of(predicted, rng):
    """Scores whose best candidate is of the group asked for."""
    scores = rng.random((len(predicted), len(WORDS)))
    for row, group in enumerate(predicted):
        column = rng.choice([i for i, g in enumerate(GROUPS) if g == group])
        scores[row, column] += 2
    return np.log(scores)


def test_strict_scores_are_those_of_scikit_learn_and_lenient_ones_after_relabelling(rng):
    names = ["male", "female", "neutral"]
    truth = rng.choice(names, 600, p=[0.5, 0.3, 0.2])
    predicted = np.where(rng.random(600) < 0.6, truth, rng.choice([*names, "none"], 600)).astype(object)
    asked = np.where(predicted == "none", None, predicted)
    found = masked_person_test(scores_of(asked, rng), GROUPS, truth.tolist(), n_boot=300)
    assert list(found.predicted) == asked.tolist()
    forgiven = np.where(predicted == "neutral", truth, predicted)
    for frame, said in ((found.strict, predicted), (found.lenient, forgiven)):
        expected = precision_recall_fscore_support(truth, said.astype(str), labels=names, zero_division=0)
        for i, name in enumerate(names):
            row = frame[name]
            assert [row[m].value for m in ("precision", "recall", "f1")] == pytest.approx([e[i] for e in expected[:3]])
            assert row["recall"].low <= row["recall"].value <= row["recall"].high
    people = truth != "neutral"
    assert found.neutral.value == pytest.approx((predicted[people] == "neutral").mean())
    assert found.out_of_list.value == pytest.approx((predicted == "none").mean())
    assert found.accuracy.value == pytest.approx((predicted == truth).mean())
    assert found.accuracy_lenient.value == pytest.approx((forgiven == truth).mean())
    assert not found.erasure


def test_a_model_that_names_nobody_is_perfect_leniently_useless_strictly_and_flagged(rng):
    truth = ["male"] * 60 + ["female"] * 60
    found = masked_person_test(scores_of(["neutral"] * 120, rng), GROUPS, truth, n_boot=100)
    assert found.accuracy_lenient.value == 1.0
    assert found.accuracy.value == 0.0
    assert found.neutral.value == 1.0
    assert found.erasure
    named = masked_person_test(scores_of(truth, rng), GROUPS, truth, n_boot=100)
    assert named.accuracy.value == 1.0
    assert not named.erasure


def test_words_outside_the_lists_are_never_counted_as_neutral(rng):
    found = masked_person_test(scores_of([None] * 40, rng), GROUPS, ["male"] * 20 + ["female"] * 20, n_boot=50)
    assert found.out_of_list.value == 1.0
    assert found.neutral.value == 0.0
    assert found.accuracy_lenient.value == 0.0
    assert np.isnan(found.strict["male"]["precision"].value)
    assert found.few == ("female", "male")


def test_a_word_of_several_pieces_wins_by_its_summed_log_probability():
    pieces = [[[-1.0]], [[-0.2, -0.3]]]  # "man" in one piece, "businesswoman" in two
    scores = piece_sums(pieces)
    found = masked_person_test(scores, ["male", "female"], ["female"], n_boot=0)
    assert found.predicted == ("female",)
    assert found.strict["female"]["recall"].value == 1.0
    first = np.array([[-1.0, -1.2]])  # the first piece alone would have lost
    assert masked_person_test(first, ["male", "female"], ["female"], n_boot=0).predicted == ("male",)


def test_unusable_scores_are_refused(rng):
    with pytest.raises(InputError, match="captions, candidates"):
        masked_person_test(np.zeros((2, 3)), ["male"], ["male", "female"])
    with pytest.raises(InputError):
        masked_person_test([[np.nan]], ["male"], ["male"])
    with pytest.raises(InputError, match="no group"):
        masked_person_test([[0.0]], ["male"], [None])
    assert masked_person_test([[0.0, -np.inf]], ["male", None], ["male"], n_boot=0).accuracy.value == 1.0


CAPTIONS = (
    ["A man rides a horse."] * 5 + ["A woman on two horses near the bus stop"] * 4 + ["The boys hold a red kite"] * 3
    + ["A skateboarder and his glove"] * 2 + ["A girl with a hot dog", "Someone waits at a bus stop"]
    + ["A cat on a mat"] * 30
)  # fmt: skip


def test_top_nouns_are_counted_by_token_with_people_and_without_person_words():
    nouns = top_nouns(CAPTIONS)
    assert nouns[:3] == ("horse", "stop", "kite")
    assert "cat" not in nouns  # no person in those captions
    assert "cat" in top_nouns(CAPTIONS, people_only=False)
    assert not {"man", "woman", "boys", "boy", "girl", "skateboarder", "someone", "his", "red", "horses"} & set(nouns)
    assert top_nouns(CAPTIONS, count=1) == ("horse",)


def test_verbs_adjectives_and_bare_plurals_are_told_apart():
    captions = [
        "A dog standing on the beach next to a woman", "Dogs and men on beaches", "A man is running",
        "A girl in front of a tall building", "A red bus with a man", "A woman paints the bus red", "Men with dogs",
    ]  # fmt: skip
    assert top_nouns(captions)[0] == "dog"
    assert {"dog", "beach", "bus", "building"} <= set(top_nouns(captions))
    assert not {"standing", "running", "tall", "paints", "dogs"} & set(top_nouns(captions))


def test_noun_columns_never_match_a_part_of_a_word():
    columns = noun_columns(
        ["A catcher", "Cats!", "the cat's tail", "concatenate", "a hot dog", "hot; dogs"], ["cat", "hot dog"]
    )
    assert columns[:, 0].tolist() == [0, 1, 1, 0, 0, 0]
    assert columns[:, 1].tolist() == [0, 0, 0, 0, 1, 0]  # punctuation parts words
    with pytest.raises(InputError, match="all different"):
        noun_columns(["a"], ["cat", "Cat"])
