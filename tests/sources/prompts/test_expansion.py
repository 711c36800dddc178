"""Words and templates become sentences, with the codes that resampling needs."""

import pytest

from fairvl.errors import BankError
from fairvl.sources.prompts import load_bank
from fairvl.sources.prompts.wording import article, fill, plural

BANK = """
id = "toy"
name = "Toy"
version = 3
kind = "association"
source = "test"
licence = "CC0-1.0"
language = "en"
templates = ["{a} {}", "the {s}"]
plurals = { ox = "oxen" }
[sets]
plain = ["apple", "ox"]
[sets.mixed]
words = ["box"]
templates = ["one {}"]
[sets.mixed.prompts]
he = ["he is here", "here he is"]
[[pairs]]
left = ["man", "boy"]
right = ["woman", "girl"]
contexts_from = "plain"
templates = ["{a} {context} {}", "the {} of the {context}"]
lowercase = true
"""


@pytest.fixture
def bank(tmp_path):
    (tmp_path / "toy.toml").write_text(BANK)
    return load_bank(tmp_path / "toy.toml")


def test_codes_name_the_word_and_the_template_of_every_sentence(bank):
    plain = bank.prompts("plain")
    assert plain.texts == ("an apple", "the apples", "an ox", "the oxen")
    assert plain.words == (0, 0, 1, 1)
    assert plain.templates == (0, 1, 0, 1)
    mixed = bank.prompts("mixed")
    assert mixed.texts == ("one box", "he is here", "here he is")
    assert mixed.words == (0, 1, 1)
    assert mixed.templates == (0, -1, -1)
    assert mixed.base_words == ("box", "he")


def test_a_plan_holds_each_sentence_once(tmp_path):
    text = BANK.replace('plain = ["apple", "ox"]', 'plain = ["apple", "ox"]\nagain = ["ox", "cow"]')
    (tmp_path / "b.toml").write_text(text)
    bank = load_bank(tmp_path / "b.toml")
    plan = bank.plan(["plain", "again"])
    assert len(plan.texts) == len(set(plan.texts)) == 6
    for name, rows in plan.rows.items():
        assert tuple(plan.texts[row] for row in rows) == bank.prompts(name).texts


def test_pairs_run_over_words_contexts_and_templates(bank):
    pairs = bank.pairs()
    assert len(pairs.left) == len(pairs.right) == 8
    assert (pairs.left[0], pairs.right[0]) == ("an apple man", "an apple woman")
    assert (pairs.left[-1], pairs.right[-1]) == ("the boy of the ox", "the girl of the ox")


def test_a_set_that_is_not_there_is_named(bank):
    with pytest.raises(BankError, match=r"no set 'other'; it has plain, mixed"):
        bank.prompts("other")


def test_a_bank_is_frozen(bank):
    with pytest.raises(AttributeError):
        bank.version = 4
    with pytest.raises(TypeError):
        bank.sets["plain"] = None


@pytest.mark.parametrize(
    ("word", "expected"),
    [("old", "an"), ("nurse", "a"), ("European", "a"), ("honest", "an"), ("unkind", "an"), ("Ukrainian", "a"),
     ("uncle", "an"), ("unicorn", "a"), ("ugly", "an"), ("hour", "an"), ("house", "a"), ("Eritrean", "an")],
)  # fmt: skip
def test_articles(word, expected):
    assert article(word) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("daisy", "daisies"), ("boy", "boys"), ("axe", "axes"), ("cutlass", "cutlasses"), ("moth", "moths")],
)
def test_plurals(word, expected):
    assert plural(word, {}) == expected


def test_a_word_with_braces_stays_a_word():
    assert fill("a {}", "{context}") == "a {context}"
    assert fill("{} of {context}", "x", context="{}") == "x of {}"
