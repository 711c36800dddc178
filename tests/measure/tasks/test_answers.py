"""VQA answers: normalisation, soft accuracy against the leave-one-out definition, exact match, answer sets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.measure.tasks import answer_columns, answer_set, exact_match, normalise_answer, vqa_soft_accuracy

RULES = [
    ("A Red Bus.", "red bus"),  # articles, capitals, full stop
    ("the man's hat", "man's hat"),  # the apostrophe stays
    ("3.5", "3.5"),  # a full stop inside a number stays
    ("u.s.a.", "usa"),
    ("1,000", "1000"),  # a comma inside a number goes without a space
    ("red, white", "red white"),  # any other becomes one
    ("2:50pm", "2:50pm"),  # the colon stays
    ("Two", "2"),
    ("none", "0"),
    ("didnt", "didn't"),
    ("its", "its"),  # a word of its own
    ("well", "well"),
    ("black/white", "black white"),
    ("hot-dog", "hot dog"),
    ("hot_dog", "hot dog"),
    ("another", "another"),  # an article inside a word is none
    ("bathtub", "bathtub"),
    ("someone", "someone"),  # a number inside a word is none
    ("", ""),
    ("the", ""),
]


@pytest.mark.parametrize(("text", "expected"), RULES)
def test_rules_of_the_published_normalisation(text, expected):
    assert normalise_answer(text) == expected


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing_more(text):
    once = normalise_answer(text)
    assert normalise_answer(once) == once
    assert once == " ".join(once.split())
    assert not {"a", "an", "the"} & set(once.split())


def leave_one_out(answer, people):
    """The definition, person by person."""
    scores = []
    for i in range(len(people)):
        others = people[:i] + people[i + 1 :]
        scores.append(min(sum(p == answer for p in others) / 3, 1))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("same", range(11))
def test_soft_accuracy_is_the_leave_one_out_average(same):
    people = ["red"] * same + [f"other {i}" for i in range(10 - same)]
    found = vqa_soft_accuracy(["red"], [people])[0]
    assert found == pytest.approx(leave_one_out("red", people))
    assert found == pytest.approx({0: 0, 1: 0.3, 2: 0.6, 3: 0.9}.get(same, 1.0))


def test_soft_accuracy_of_random_answers_equals_the_loop():
    rng = np.random.default_rng(0)
    words = np.array(["red", "blue", "green", "grey"])
    human = [words[rng.integers(0, 4, 10)].tolist() for _ in range(200)]
    guesses = words[rng.integers(0, 4, 200)].tolist()
    expected = [leave_one_out(g, h) for g, h in zip(guesses, human, strict=True)]
    assert vqa_soft_accuracy(guesses, human) == pytest.approx(expected)


def test_human_answers_are_normalised_too():
    assert vqa_soft_accuracy(["2"], [["two"] * 5 + ["Two."] * 5]).tolist() == [1.0]
    assert vqa_soft_accuracy(["two"], [["twofold"] * 10]).tolist() == [0.0]


def test_exact_match_is_whole_and_never_a_pattern():
    assert exact_match(["cat"] * 4, ["cat", "catcher", "c.t", "cat food"]).tolist() == [1, 0, 0, 0]
    assert exact_match(["ct"], ["c.t"], normalise=False).tolist() == [0]
    assert exact_match(["The cat"], ["cat"], normalise=False).tolist() == [0]


def test_answers_of_several_words_keep_their_space_and_are_found():
    columns = answer_columns(["hot dog", "Hot dog.", "hotdog", "dog"], ["hot dog", "dog"])
    assert columns.tolist() == [[1, 0], [1, 0], [0, 0], [0, 1]]
    assert columns[:, 0].sum() == 2  # the released code lost the space and had 0 here


def test_an_answer_with_signs_of_a_pattern_matches_itself_alone():
    columns = answer_columns(["u.s", "uxs", "c++", "c"], ["u.s", "c"])
    assert columns[:, 0].tolist() == [1, 0, 0, 0]


def test_the_answer_set_wants_more_than_the_support_and_people():
    answers = ["cat"] * 51 + ["dog"] * 50 + ["yes"] * 99 + ["No"] * 99 + ["3"] * 60 + ["hot dog"] * 70 + ["tree"] * 90
    named = np.array([True] * (len(answers) - 90) + [False] * 90)
    assert answer_set(answers, named, more_than=50) == ("hot dog", "cat")
    assert answer_set(answers, named, more_than=49) == ("hot dog", "cat", "dog")
    assert "tree" in answer_set(answers, more_than=50)
    assert "yes" in answer_set(answers, named, drop_yes_no=False)
    assert "3" in answer_set(answers, named, drop_numbers=False)


def test_unusable_answers_are_refused():
    with pytest.raises(InputError, match="at least two"):
        vqa_soft_accuracy(["a"], [["a"]])
    with pytest.raises(InputError, match="at least two"):
        vqa_soft_accuracy(["a"], ["aaaaaaaaaa"])
    with pytest.raises(InputError, match="2 predictions and 1"):
        exact_match(["a", "b"], ["a"])
    with pytest.raises(InputError, match="expected text"):
        normalise_answer(None)
    with pytest.raises(InputError, match="all different"):
        answer_columns(["a"], ["cat", "The cat"])
    with pytest.raises(InputError, match="boolean"):
        answer_set(["a"], [1])
