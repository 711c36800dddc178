"""The group of a caption and of an image: by words, wherever they stand, with rule and confidence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.sources.captions import caption_group, group_of, image_group
from fairvl.sources.captions.groups import combine_groups


@pytest.mark.parametrize(
    ("text", "group", "rule"),
    [
        ("A woman rides a horse", "female", "named"),
        ("A ball hit by a woman", "female", "named"),  # not the subject
        ("the horse of his", "male", "pronoun"),
        ("A male nurse", "male", "named"),
        ("A man and a woman", "mixed", "several"),
        ("She hands him a cup", "mixed", "several"),
        ("A nurse and two surfers", "neutral", "person"),
        ("Somebody waves", "neutral", "person"),
        ("Two children", "neutral", "person"),
        ("A king size bed", "unknown", "none"),
        ("A male connector and a female lion", "unknown", "none"),
        ('A sign that says "men"', "unknown", "none"),
        ("A person on Queen Street", "neutral", "person"),
        ("A red bus", "unknown", "none"),
        ("", "unknown", "none"),
    ],
)
def test_groups(text, group, rule):
    found = group_of(text)
    assert (found.group, found.rule) == (group, rule)
    assert caption_group(text) == group
    assert 0 < found.confidence <= 1


def test_votes_are_counted_per_mention():
    assert group_of("A man gives his wife her hat").votes == (("female", 2), ("male", 2))


@pytest.mark.parametrize(
    ("lexicon", "text", "group"),
    [
        ("race-en", "A Black doctor", "black"),
        ("race-en", "A black dress", "unknown"),
        ("race-en", "a Middle Eastern man and a white woman", "mixed"),
        ("age-en", "an old man", "old"),
        ("age-en", "an old car", "unknown"),
    ],
)
def test_other_attributes_have_their_own_groups(lexicon, text, group):
    assert caption_group(text, lexicon=lexicon) == group


@pytest.mark.parametrize(
    ("groups", "expected", "rule"),
    [
        (["male"] * 5, "male", "agreeing"),
        (["male", "unknown", "unknown"], "male", "agreeing"),
        (["male", "male", "male", "neutral", "neutral"], "male", "majority"),
        (["male", "male", "male", "female", "neutral"], "male", "majority"),
        (["female", "female", "neutral"], "neutral", "minority"),
        (["female", "male", "neutral"], "mixed", "several"),
        (["mixed", "neutral"], "mixed", "several"),
        (["unknown"] * 3, "unknown", "none"),
        (["neutral", "unknown"], "neutral", "agreeing"),
        (["male"] * 3 + ["female"] * 3, "mixed", "several"),
    ],
)
def test_images_with_several_captions(groups, expected, rule):
    found = combine_groups(groups)
    assert (found.group, found.rule) == (expected, rule)


@given(st.lists(st.sampled_from(["female", "male", "neutral", "mixed", "unknown"]), min_size=1, max_size=8), st.data())
def test_the_order_of_captions_is_nothing_and_swapped_genders_swap_the_group(groups, data):
    swap = {"female": "male", "male": "female"}
    found = combine_groups(groups)
    assert combine_groups(data.draw(st.permutations(groups))).group == found.group
    swapped = combine_groups([swap.get(group, group) for group in groups])
    assert swapped.group == swap.get(found.group, found.group)
    assert swapped.confidence == found.confidence


def test_silent_captions_never_change_the_group():
    for groups in (["male"], ["male", "neutral"], ["mixed", "male", "male", "male"]):
        assert combine_groups(groups).group == combine_groups([*groups, "unknown", "unknown"]).group


def test_mistakes_are_named():
    with pytest.raises(InputError, match="at least one"):
        image_group([])
    with pytest.raises(InputError, match="a list"):
        image_group("A man")
    with pytest.raises(InputError, match="agreeing=0"):
        image_group(["A man"], agreeing=0)
    with pytest.raises(InputError, match="expected text"):
        caption_group(None)
