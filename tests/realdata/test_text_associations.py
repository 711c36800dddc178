"""Real vectors through every text test that applies: word2vec, a static sentence encoder, CLIP class names."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fairvl.measure.association import association_test, associations, effect_size, single_category_test
from fairvl.sources.stimuli import load_registry

pytestmark = pytest.mark.realdata

# Gate 5 (word2vec) and gate 6 (potion), ddof 1.
WORD2VEC = {
    "WEAT 1": 1.539, "WEAT 2": 1.628, "WEAT 6": 1.890, "WEAT 7": 0.966, "WEAT 8": 1.244, "WEAT 9": 1.297,
    "WEAT 10": -0.198,
}  # fmt: skip
POTION = {"WEAT 1": 1.627, "WEAT 2": 1.386, "WEAT 6": 1.079, "WEAT 7": 0.910}
# Ours, on the 8 text tests of eat26; a change of a sentence, a word or an article moves them.
EAT26_POTION = {
    "flower-insect": 1.157, "instrument-weapon": 1.410, "race-names-32": 0.819, "race-names-16": 1.105,
    "race-terms": -0.109, "gender-names": 0.189, "gender-terms": -0.473, "age": -0.049,
}  # fmt: skip
EAT26_UNDECIDED = {"race-terms", "gender-names", "gender-terms", "age"}  # with base words as units
MEN = ("Human beard", "Tie", "Tank", "Missile")  # gate 7
WOMEN = ("Dress", "Brassiere", "Skirt", "Doll", "Earrings")
WEAT = {case.test: case for case in load_registry("weat").cases}


@pytest.fixture(scope="module")
def word2vec(folder):
    lines = (folder("weat-word2vec") / "weat-word2vec" / "weat_w2v.txt").read_text(encoding="utf-8").splitlines()[1:]
    return {word: np.array(row, dtype=np.float32) for word, *row in (line.split(" ") for line in lines)}


@pytest.fixture(scope="module")
def potion(folder):
    from safetensors.numpy import load_file

    place = folder("potion-base-4m-int8") / "potion-base-4m-int8"
    rows = load_file(place / "model.safetensors")["embeddings"].astype(np.float32)
    tokenizer = pytest.importorskip("tokenizers").Tokenizer.from_file(str(place / "tokenizer.json"))
    vocabulary = tokenizer.get_vocab()
    words = {word: rows[number] for word, number in vocabulary.items()}

    def encode(texts):
        tokens = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        return np.array([rows[ids].mean(axis=0) for ids in tokens])

    return words, encode


def known(case, vectors, *, lower=False):
    """The vectors of the words that the model has, side by side."""
    words = [[text.lower() if lower else text for text in side.texts()] for side in case.sides]
    return [np.array([vectors[word] for word in side if word in vectors]) for side in words]


@pytest.mark.parametrize("test", WORD2VEC)
def test_word2vec_gives_the_published_effect_sizes(word2vec, test):
    assert effect_size(*known(WEAT[test], word2vec)) == pytest.approx(WORD2VEC[test], abs=5e-4)


@pytest.mark.parametrize("test", ["WEAT 3", "WEAT 4", "WEAT 5"])
def test_word2vec_slice_lacks_the_names_of_the_tests_of_race(word2vec, test):
    held = [len(side) for side in known(WEAT[test], word2vec)]
    assert held[1] < len(WEAT[test].y) / 2  # so no number is given


@pytest.mark.parametrize("test", POTION)
def test_potion_gives_the_stated_effect_sizes(potion, test):
    assert effect_size(*known(WEAT[test], potion[0], lower=True)) == pytest.approx(POTION[test], abs=5e-4)


def test_registry_and_shared_word_sets_hold_the_same_words(folder):
    shared = json.loads((folder("weat-word2vec") / "weat-word2vec" / "WEAT.json").read_text(encoding="utf-8"))
    held = {side.name: side.texts() for case in WEAT.values() for side in case.sides}
    for name, words in held.items():
        assert list(words) == shared[name], name


@pytest.fixture(scope="module")
def potion_cases(potion):
    cases = {case.test: case for case in load_registry("eat26").cases if case.order == "text-text"}
    return {name: (case, [potion[1](side.texts()) for side in case.sides]) for name, case in cases.items()}


@pytest.mark.parametrize("test", EAT26_POTION)
def test_eat26_text_tests_run_end_to_end_on_a_sentence_encoder(potion_cases, test):
    case, (x, y, a, b) = potion_cases[test]
    codes = tuple(side.words for side in case.sides)
    options = {"tail": "two-sided", "draws": 200, "method": "sample", "permutations": 999}
    found = association_test(x, y, a, b, clusters=codes, **options)
    assert found.effect_size == pytest.approx(EAT26_POTION[test], abs=5e-4)
    assert found.effect_size == pytest.approx(by_hand(x, y, a, b), abs=1e-5)
    assert found.low < found.effect_size < found.high
    assert (found.p <= 0.05) == (test not in EAT26_UNDECIDED)
    assert effect_size(y, x, a, b) == pytest.approx(-found.effect_size, abs=1e-12)


def test_base_words_as_units_give_wider_intervals_than_sentences(potion_cases):
    case, vectors = potion_cases["gender-names"]
    options = {"draws": 500, "method": "sample", "permutations": 99}
    words = association_test(*vectors, clusters=tuple(side.words for side in case.sides), **options)
    sentences = association_test(*vectors, **options)
    assert words.high - words.low > 1.5 * (sentences.high - sentences.low)


def test_every_text_test_has_its_eight_rows(potion_cases):
    assert set(potion_cases) == set(EAT26_POTION)


@pytest.mark.parametrize("a_class", [*MEN, *WOMEN])
def test_clip_object_classes_lean_to_the_stated_side(folder, measured, a_class):
    classes = measured.read_classes(folder("clip-text-class-embeddings"))
    women, men = classes.of("Woman", "Girl"), classes.of("Man", "Boy")
    found = single_category_test(classes.of(a_class), men, women)
    lean = associations(classes.of(a_class), men, women)[0]
    assert (lean > 0) == (found.effect_size > 0) == (a_class in MEN)


def test_the_leaning_classes_as_an_association_test(folder, measured):
    classes = measured.read_classes(folder("clip-text-class-embeddings"))
    sides = classes.of(*MEN), classes.of(*WOMEN), classes.of("Man", "Boy"), classes.of("Woman", "Girl")
    found = association_test(*sides, draws=200)
    assert found.effect_size > 1  # complete separation, so p is one over the number of splits
    assert found.p == pytest.approx(1 / 126)


def by_hand(x, y, a, b):
    """The definition, in plain loops over unit vectors in float64."""
    x, y, a, b = (v.astype(float) / np.linalg.norm(v.astype(float), axis=1, keepdims=True) for v in (x, y, a, b))
    scores = [np.mean([w @ v for v in a]) - np.mean([w @ v for v in b]) for w in (*x, *y)]
    return (np.mean(scores[: len(x)]) - np.mean(scores[len(x) :])) / np.std(scores, ddof=1)
