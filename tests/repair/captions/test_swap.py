"""Swapping the genders of a caption gives the same neutral caption; rewriting twice changes nothing more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.repair.captions import neutralize
from fairvl.sources.captions import caption_group, load_lexicon

# Written out here, not read from the lexicon: a pair with two neutral forms would otherwise agree with itself.
NOUNS = [
    ("woman", "man"), ("girl", "boy"), ("mother", "father"), ("sister", "brother"), ("wife", "husband"),
    ("bride", "groom"), ("waitress", "waiter"), ("policewoman", "policeman"), ("grandmother", "grandfather"),
    ("niece", "nephew"), ("aunt", "uncle"), ("queen", "king"), ("lady", "gentleman"), ("daughter", "son"),
]  # fmt: skip
PLURALS = [("women", "men"), ("girls", "boys"), ("ladies", "gentlemen"), ("sisters", "brothers"), ("moms", "dads")]
VERBS = ["walks", "is smiling", "has a hat", "carries a bag", "watches the rain", "goes home", "was here", "slept"]
THINGS = ["hat", "own soup", "left hand", "dog", "red umbrella", "first day"]
PLACES = ["on a bench", "in the park", "near a king size bed", 'under a sign that says "MEN"', "by the manhole"]


@st.composite
def captions(draw):
    """A caption in both versions: (female, male)."""
    pieces = [("", "")]

    def add(female, male=None):
        text = pieces[-1]
        pieces.append((text[0] + female, text[1] + (female if male is None else male)))

    def noun():
        female, male = draw(st.sampled_from(NOUNS))
        article = draw(st.sampled_from(["a", "the", "one", "my"]))
        add(f"{'an' if article == 'a' and female[0] in 'aeiou' else article} {female}",
            f"{'an' if article == 'a' and male[0] in 'aeiou' else article} {male}")  # fmt: skip

    for number in range(draw(st.integers(1, 3))):
        if number:
            add(draw(st.sampled_from([" while ", " and then ", ". ", " because "])))
        shape = draw(st.integers(0, 8))
        if shape == 0:
            noun()
            add(" " + draw(st.sampled_from(VERBS)))
        elif shape == 1:
            add("she ", "he ")
            add(draw(st.sampled_from(VERBS)))
        elif shape == 2:
            noun()
            add(" with ")
            add("her ", "his ")
            add(draw(st.sampled_from(THINGS)))
        elif shape == 3:
            add("a dog looks at ")
            add("her", "him")
        elif shape == 4:
            female, male = draw(st.sampled_from(PLURALS))
            add(f"two {female} and a child", f"two {male} and a child")
        elif shape == 5:
            add("a ")
            add("female ", "male ")
            add(draw(st.sampled_from(["nurse", "artist", "tennis player", "umpire", "old friend"])))
        elif shape == 6:
            noun()
            add(" sees ")
            add("herself", "himself")
        elif shape == 7:
            female, male = draw(st.sampled_from(NOUNS))
            add(f"the {female}'s hat", f"the {male}'s hat")
        else:
            add("a friend of ")
            add("hers", "his")
        add(" " + draw(st.sampled_from(PLACES)))
    add(draw(st.sampled_from(["", ".", "!"])))
    female, male = pieces[-1]
    if draw(st.booleans()):
        female, male = female[0].upper() + female[1:], male[0].upper() + male[1:]
    if draw(st.booleans()) and "says" not in female:
        female, male = female.upper(), male.upper()
    return female, male


@given(captions())
def test_swapped_captions_have_one_neutral_form(pair):
    female, male = (neutralize(text) for text in pair)
    assert female.text == male.text
    if pair[0] != pair[1]:
        assert female.changed  # power: neither was left alone
        assert male.changed
        assert caption_group(pair[0]) == "female"
        assert caption_group(pair[1]) == "male"


@given(captions())
def test_rewriting_twice_changes_nothing_more_and_can_be_undone(pair):
    for text in pair:
        once = neutralize(text)
        assert neutralize(once.text).text == once.text
        assert caption_group(once.text) in ("neutral", "unknown")
        assert once.restore() == text


@given(st.text(max_size=200))
def test_any_text_survives(text):
    rewrite = neutralize(text)
    assert rewrite.original == text
    assert rewrite.restore() == text
    caption_group(text)


_SIGNS = ["a", "and", "the", "of", "king", "size", "or", "/", '"', "'", ",", "-"]
_WORDS = [*sorted(load_lexicon("gender-en").entries), *_SIGNS]


@given(st.lists(st.sampled_from(_WORDS), max_size=12), st.sampled_from([" ", "-", "/", ", ", "' "]))
def test_any_row_of_lexicon_words_is_restored_and_settled_after_two_passes(words, joint):
    text = joint.join(words)
    once = neutralize(text)
    assert once.restore() == text
    twice = neutralize(once.text)
    assert neutralize(twice.text).text == twice.text


@pytest.mark.realdata
def test_real_counterfactual_captions_have_one_neutral_form(counterfactual_pairs):
    assert len(counterfactual_pairs) == 1044 * (6 + 14)
    violations = [pair for pair in counterfactual_pairs if neutralize(pair[0]).text != neutralize(pair[1]).text]
    unchanged = [pair for pair in counterfactual_pairs if not neutralize(pair[0]).changed]
    print(f"{len(violations)} violations, {len(unchanged)} unchanged, of {len(counterfactual_pairs)} pairs")
    assert not violations
    assert not unchanged  # power: equal because neutral, not because untouched
