"""Captions say what is so, in words that the tokenizer knows."""

import numpy as np
import pytest

from fairvl.sources.world import WorldSpec, portrait_blocks
from fairvl.sources.world import words as w
from fairvl.sources.world.captions import CLAIMS


@pytest.fixture(scope="module")
def world():
    blocks = list(portrait_blocks(WorldSpec.biased(0.5), 4096, 3, images=False))
    return [
        (text, {name: values[i] for name, values in block.truth.items()})
        for block in blocks
        for i, text in enumerate(block.captions)
    ]


def test_every_word_is_in_the_vocabulary_and_almost_every_entry_is_used(world):
    said = {word for text, _ in world for word in w.split_words(text)}
    known = set(w.vocabulary())
    assert said <= known
    assert len(known - said) <= 3


def test_what_is_claimed_is_true(world):
    for text, row in world:
        for name in w.ATTRIBUTES:
            code = row[f"says_{name}"]
            assert code == -1 or w.ATTRIBUTES[name][code] == row[name], (text, name)


def test_what_is_said_is_claimed(world):
    signs = {
        "gender": set(w.FEMALE_NOUNS + w.MALE_NOUNS + w.FEMALE_PRONOUNS + w.MALE_PRONOUNS),
        "concept": set(w.PLEASANT + w.UNPLEASANT),
        "mood": set(w.LOVELY + w.GRIM),
        "time": set(w.DAYS + w.HOURS),
        "thing": set(w.FLOWERS + w.LITTER),
        "age_group": set(w.YOUNG + w.OLD),
        "occupation": set(w.ATTRIBUTES["occupation"]),
        "place": set(w.ATTRIBUTES["place"]),
    }
    for text, row in world:
        for name, words in signs.items():
            assert bool(words & set(w.split_words(text))) == (row[f"says_{name}"] >= 0), (text, name)


def test_neutral_and_explicit_captions_are_both_common(world):
    explicit = np.mean([row["says_gender"] >= 0 for _, row in world])
    silent_but_kind = np.mean([row["says_gender"] < 0 <= row["says_concept"] for _, row in world])
    assert 0.25 < explicit < 0.6
    assert silent_but_kind > 0.1
    assert all(np.mean([row[f"says_{name}"] >= 0 for _, row in world]) > 0.05 for name in CLAIMS)


def test_families_are_large_enough_for_association_tests():
    pairs = [
        (w.FEMALE_NOUNS, w.MALE_NOUNS), (w.YOUNG, w.OLD), (w.PLEASANT, w.UNPLEASANT), (w.FLOWERS, w.LITTER),
        (w.LOVELY, w.GRIM), (w.DAYS, w.HOURS),
    ]  # fmt: skip
    for first, second in pairs:
        assert min(len(first), len(second)) >= 8
        assert not set(first) & set(second)
    families = [set(words) for pair in pairs for words in pair]
    assert sum(map(len, families)) == len(set.union(*families))
    assert len(w.PLEASANT + w.UNPLEASANT) == 29
