"""Every bank that ships: it loads, says where it comes from, and holds what the papers print."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from fairvl.sources.encoders import FakeEncoder
from fairvl.sources.prompts import lint, list_banks, load_bank

ALLOWED = {"target-content", "article"}  # known, flagged, and kept as published


@pytest.mark.parametrize("name", list_banks())
def test_a_shipped_bank_loads_and_lints(name):
    bank = load_bank(name)
    assert bank.id == name
    for field in (bank.source, bank.licence, bank.language, bank.fingerprint):
        assert field
    assert bank.sets or bank.pair_rules
    findings = lint(bank, FakeEncoder(32))
    unexpected = [f for f in findings if f.kind not in ALLOWED]
    assert not unexpected
    if bank.licence == "CC0-1.0":
        assert not [f for f in findings if f.kind == "article"]


@pytest.mark.parametrize("name", [name for name in list_banks() if name.startswith(("debias-", "zero-shot-"))])
def test_opposing_sets_are_of_one_size_and_pairs_differ(name):
    bank = load_bank(name)
    assert len({len(bank.prompts(s).texts) for s in bank.sets}) == 1
    pairs = bank.pairs()
    assert bool(pairs.left) == name.startswith("debias-")
    assert all(left != right for left, right in zip(pairs.left, pairs.right, strict=True))


def test_waterbirds_is_verbatim():
    bank = load_bank("paper-waterbirds")
    assert "This is a picture of a moutain." in bank.prompts("spurious").texts
    candidates = bank.prompts("candidates").texts
    assert candidates[2] == "This is a picture of a landbird in the ocean"
    assert len(candidates) == 10
    assert len(bank.prompts("spurious").texts) == 8
    pairs = bank.pairs()
    found = {(candidates.index(a), candidates.index(b)) for a, b in zip(pairs.left, pairs.right, strict=True)}
    assert found == {(i, j) for half in (0, 5) for i in range(half, half + 5) for j in range(i + 1, half + 5)}


def test_celeba_pairs_differ_in_gender_only():
    bank = load_bank("paper-celeba")
    candidates = bank.prompts("candidates").texts
    pairs = bank.pairs()
    assert [(candidates.index(a), candidates.index(b)) for a, b in zip(pairs.left, pairs.right, strict=True)] == [
        (0, 1),
        (2, 3),
    ]
    assert [text.replace("male", "female", 1) for text in pairs.left] == list(pairs.right)


def test_professions_are_eighty_and_twenty_and_disjoint():
    bank = load_bank("paper-professions")
    train, test = (set(bank.sets[name].words) for name in ("train", "test"))
    assert (len(train), len(test), len(train & test)) == (80, 20, 0)
    pairs = bank.pairs()
    assert len(pairs.left) == 80
    assert (pairs.left[0], pairs.right[0]) == ("a photo of a male actor.", "a photo of a female actor.")
    assert bank.prompts("test").texts[0] == "A photo of a Accountant."  # the paper's wording


def test_retrieval_has_29_concepts_in_ten_templates_with_polarity():
    bank = load_bank("retrieval-29")
    assert len(bank.sets) == 29
    assert all(len(bank.prompts(name).texts) == 10 for name in bank.sets)
    assert sum(chosen.polarity == "positive" for chosen in bank.sets.values()) == 14
    assert {chosen.polarity for chosen in bank.sets.values()} == {"positive", "negative"}


def test_harm_labels_are_tagged():
    tags = {name: chosen.tags for name, chosen in load_bank("harm-labels-v1").sets.items()}
    assert sorted(name for name, tag in tags.items() if tag == ("crime",)) == ["criminal", "suspicious person", "thief"]
    assert sorted(name for name, tag in tags.items() if tag == ("denigrating",)) == [
        "animal", "chimpanzee", "gorilla", "orangutan",
    ]  # fmt: skip


def test_the_text_targets_have_the_published_sizes():
    bank = load_bank("association-text")
    sizes = {name: len(bank.prompts(name).texts) for name in bank.sets}
    for pair, expected in {
        ("flowers", "insects"): 350, ("instruments", "weapons"): 350, ("pleasant", "unpleasant"): 150,
        ("european_american_names_32", "african_american_names_32"): 256,
        ("european_american_names_16", "african_american_names_16"): 128,
        ("european_american_terms", "african_american_terms"): 195, ("female_names", "male_names"): 64,
        ("female_terms", "male_terms"): 80, ("young_names", "old_names"): 64,
    }.items():  # fmt: skip
        assert sizes[pair[0]] == sizes[pair[1]] == expected
    pleasant = bank.prompts("pleasant")
    assert len(set(pleasant.words)) == 25  # the units of resampling
    assert "There are" not in " ".join(pleasant.texts)
    flowers = bank.prompts("flowers").texts
    assert {"This is an aster.", "An iris is a thing.", "These are daisies.", "The irises are here."} <= set(flowers)
    terms = bank.prompts("african_american_terms").texts
    assert {"This is an Eritrean American.", "A Nigerian American is a person.", "Kenyan Americans are people."} <= set(
        terms
    )
    assert "These are women." in bank.prompts("female_terms").texts


def test_flags_reach_the_lint():
    flagged = {finding.texts[0] for finding in lint(load_bank("valence-nrc-vad")) if finding.kind == "target-content"}
    assert {"terrorist", "brotherhood"} <= flagged


@pytest.mark.realdata
def test_the_weat_bank_gives_the_known_effect_sizes():
    root = os.environ.get("FAIRVL_REALDATA")
    if not root:
        pytest.skip("FAIRVL_REALDATA is not set")
    folder = Path(root) / "weat-word2vec"
    if not (folder / "weat_w2v.txt").is_file():
        pytest.skip(f"no weat-word2vec in {root}")
    lines = (folder / "weat_w2v.txt").read_text(encoding="utf-8").splitlines()[1:]
    table = {line.split(" ")[0]: np.array(line.split(" ")[1:301], dtype=float) for line in lines}
    bank = load_bank("weat")
    assert {name: list(chosen.words) for name, chosen in bank.sets.items()} == json.loads(
        (folder / "WEAT.json").read_text()
    )

    def rows(name):
        found = np.stack([table[word] for word in bank.sets[name].words if word in table])  # 'axe' is missing
        assert len(found) >= len(bank.sets[name].words) - 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    expected = {1: 1.539, 2: 1.628, 6: 1.890, 7: 0.966, 8: 1.244, 9: 1.297, 10: -0.198}
    for test in bank.tests:
        number = int(test.name.split()[1])
        if number in expected:
            x, y, a, b = (rows(side) for side in (test.x, test.y, test.a, test.b))
            s = [(t @ a.T).mean(axis=1) - (t @ b.T).mean(axis=1) for t in (x, y)]
            d = (s[0].mean() - s[1].mean()) / np.concatenate(s).std(ddof=1)
            assert d == pytest.approx(expected[number], abs=5e-4)
    assert len(bank.tests) == 10
