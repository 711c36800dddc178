"""The 26 tests: how many, which sizes, which way round, from which units; and the registry of bare words."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.sources.datasets.decode import decode_image
from fairvl.sources.prompts import load_bank
from fairvl.sources.stimuli import ORDERS, image_key, list_registries, load_registry, text_key

# Gate 14, in the order of the paper's table: sentences per side of the eight text tests.
TEXT_SIZES = {
    "flower-insect": 350, "instrument-weapon": 330, "race-names-32": 256, "race-names-16": 128, "race-terms": 195,
    "gender-names": 64, "gender-terms": 80, "age": 64,
}  # fmt: skip
IMAGE_SIZES = {"flower-insect": 35, "instrument-weapon": 6, "race": 6, "gender": 40, "age": 6}


@pytest.fixture(scope="module")
def registry():
    return load_registry("eat26")


def test_there_are_26_cases_in_four_orders(registry):
    assert len(registry.cases) == 26
    counts = Counter(case.order for case in registry.cases)
    assert [counts[order] for order in ORDERS] == [5, 8, 5, 8]
    assert list(dict.fromkeys(case.order for case in registry.cases)) == list(ORDERS)
    assert len({(case.test, case.order) for case in registry.cases}) == 26


def test_32_rows_hold_6_repeats(registry):
    # 8 text tests x 4 orders, where each topic has one picture test: what the published script ran before it cleaned.
    topics = [case.topic for case in registry.cases if case.order == "text-text"]
    image_rows = [topic for topic in topics for _ in ("image-image", "image-text")]
    assert len(topics) * 4 - (len(image_rows) - 2 * len(set(topics))) == len(registry.cases)
    assert Counter(topics) == {"Race": 3, "Gender": 2, "Flower-Insect": 1, "Instrument-Weapon": 1, "Age": 1}


def test_text_sides_have_the_published_sizes(registry):
    found = {case.test: case for case in registry.cases if case.order == "text-text"}
    assert list(found) == list(TEXT_SIZES)
    for name, size in TEXT_SIZES.items():
        assert len(found[name].x) == len(found[name].y) == len(set(found[name].x.keys)) == size
    crossed = {case.test: len(case.x) for case in registry.cases if case.order == "text-image"}
    assert crossed == TEXT_SIZES


def test_picture_sides_have_the_published_sizes(registry):
    for order in ("image-image", "image-text"):
        found = {case.test: (len(case.x), len(case.y)) for case in registry.cases if case.order == order}
        assert found == {name: (size, size) for name, size in IMAGE_SIZES.items()}


def test_attributes_are_identical_across_tests(registry):
    for modality, size in (("text", 150), ("image", 25)):
        cases = [case for case in registry.cases if case.order.endswith(modality)]
        assert {(len(case.a), len(case.b)) for case in cases} == {(size, size)}
        assert len({case.a.keys for case in cases}) == len({case.b.keys for case in cases}) == 1
    words = load_bank("valence-nrc-vad")
    assert cases[0].a.modality == "image"
    text = registry.case("age", "text-text")
    assert set(text.a.labels) == set(words.sets["pleasant"].words)
    assert {len(set(side.words)) for side in (text.a, text.b)} == {25}
    assert {len(set(side.templates)) for side in (text.a, text.b)} == {6}


def test_positive_d_is_flowers_instruments_european_american_women_and_young(registry):
    first = {
        "flower-insect": "This is a rose.", "instrument-weapon": "This is a violin.", "race-names-32": "This is Emily.",
        "race-names-16": "This is Brad.", "race-terms": "This is a Polish American.", "gender-names": "This is Amy.",
        "gender-terms": "This is a woman.", "age": "This is Tiffany.",
    }  # fmt: skip
    for case in registry.cases:
        assert case.a.name.startswith("pleasant")
        if case.order.startswith("text"):
            assert first[case.test] in case.x.texts()
            assert first[case.test] not in case.y.texts()
    assert registry.case("gender", "image-text").x.labels[0].startswith("female")
    assert registry.case("age", "image-text").x.labels[0].startswith("young")
    assert registry.case("race", "image-text").x.labels[0].startswith("light")
    assert {case.category for case in registry.cases if case.topic in ("Flower-Insect", "Instrument-Weapon")} == {
        "control"
    }
    assert {case.category for case in registry.cases if case.topic in ("Race", "Gender", "Age")} == {"social"}


def test_base_words_and_templates_are_the_units(registry):
    flowers = registry.case("flower-insect", "text-text").x
    assert (len(set(flowers.words)), len(set(flowers.templates))) == (25, 14)
    assert len(set(zip(flowers.words, flowers.templates, strict=True))) == 350
    for label, text in zip(flowers.labels, flowers.texts(), strict=True):
        assert label[:-1] in text.lower()  # the last letter of "daisy" is lost in the plural
    weapons = registry.case("instrument-weapon", "text-text").y
    counts = Counter(weapons.labels)
    assert counts.pop("dynamite") == counts.pop("teargas") == 4
    assert set(counts.values()) == {14}
    instruments = registry.case("instrument-weapon", "text-text").x
    assert len(set(instruments.words)) == 25
    assert sum(14 - count for count in Counter(instruments.labels).values()) == 20


def test_keys_are_the_content(registry):
    case = registry.case("gender", "image-text")
    assert case.b.keys[3] == text_key(case.b.texts()[3])
    assert case.x.keys[3] == image_key(case.x.image(3))
    with pytest.raises(InputError, match="set of pictures"):
        case.x.texts()
    with pytest.raises(InputError, match="set of texts"):
        case.b.image(0)
    with pytest.raises(InputError, match="0 to 39"):
        case.x.image(40)
    with pytest.raises(InputError, match="no test 'gendre'"):
        registry.case("gendre", "image-text")


def test_stand_ins_are_marked_and_can_be_refused(registry):
    assert {case.stand_in for case in registry.cases if "image" in case.order} == {True}
    assert not any(case.stand_in or case.missing for case in registry.cases if case.order == "text-text")
    bare = load_registry("eat26", stand_ins=False)
    assert [case.order for case in bare.cases if not case.missing] == ["text-text"] * 8
    for case in bare.cases:
        if case.missing:
            assert "images=FOLDER" in case.missing
            assert any(not side.keys for side in case.sides)
    assert bare.fingerprint != registry.fingerprint


def test_sides_of_a_portrait_pair_differ_in_the_attribute_only(registry):
    # One seed, so the same scenes: the pictures of a pair are far more alike than two of one side.
    case = registry.case("race", "image-text")
    x, y = (np.array([decode_image(side.image(i)) for i in range(6)], dtype=float) for side in (case.x, case.y))
    paired = np.abs(x - y).mean(axis=(1, 2, 3))
    across = np.abs(x - np.roll(y, 1, axis=0)).mean(axis=(1, 2, 3))
    assert 0 < paired.max() < across.min() / 2


def test_content_that_names_the_targets_is_flagged_where_it_matters(registry):
    def flagged(test, order):
        return {flag.split(":")[0] for flag in registry.case(test, order).flags}

    assert "terrorist" in flagged("race-terms", "text-text")
    assert "brotherhood" in flagged("gender-names", "text-text")
    assert "terrorist" not in flagged("gender-names", "text-text")
    assert "sweetie" in flagged("age", "text-text")
    assert not flagged("flower-insect", "text-text")
    assert not flagged("race", "image-image")  # the drawn stand-ins hold none of it


def test_the_registry_of_bare_words_holds_the_ten_tests():
    weat = load_registry("weat")
    assert [case.test for case in weat.cases] == [f"WEAT {i}" for i in range(1, 11)]
    bank = load_bank("weat")
    for case, test in zip(weat.cases, bank.tests, strict=True):
        assert [side.texts() for side in case.sides] == [bank.sets[n].words for n in (test.x, test.y, test.a, test.b)]
        assert case.category == test.category


@pytest.mark.parametrize("name", list_registries())
def test_every_shipped_registry_loads_and_says_where_it_comes_from(name):
    found = load_registry(name)
    assert found.id == name
    assert found.source
    assert found.licence
    assert found.orientation
    for case in found.cases:
        assert not case.missing
        for side in case.sides:
            assert side.source
            assert side.licence
            assert len(side.keys) == len(side.words) == len(side.templates) == len(side.labels) > 0
