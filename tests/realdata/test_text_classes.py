"""Real CLIP ViT-B/32 text vectors: known leanings, and what a repair of one pair does and does not do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fairvl
from fairvl.measure.association import associations, single_category_test

pytestmark = pytest.mark.realdata

# Cosine difference and single-category effect size, by the definition, from the raw float16 vectors.
LEANS = {
    "Human beard": (-0.0249, -1.618), "Tie": (-0.0206, -1.576), "Tank": (-0.0158, -1.694), "Missile": (-0.0112, -1.494),
    "Dress": (0.0335, 1.686), "Brassiere": (0.0172, 1.687), "Skirt": (0.0260, 1.617), "Doll": (0.0110, 1.483),
    "Earrings": (0.0053, 0.779),
}  # fmt: skip


@pytest.fixture(scope="module")
def classes(folder, measured):
    return measured.read_classes(folder("clip-text-class-embeddings"))


@pytest.fixture(scope="module")
def found(folder, measured, tmp_path_factory):
    return measured.text_audit(folder("clip-text-class-embeddings"), tmp_path_factory.mktemp("texts"))


def test_known_classes_lean_the_known_way(classes):
    sets = classes.of("Woman", "Girl"), classes.of("Man", "Boy")
    named = classes.of(*LEANS)
    golden = np.array(list(LEANS.values()))
    assert associations(named, *sets) == pytest.approx(golden[:, 0], abs=6e-5)
    assert single_category_test(named, *sets).effect_size == pytest.approx(golden[:, 1], abs=6e-4)


def test_the_extremes_are_persons_then_beards_and_dresses(classes, measured):
    order = [classes.names[row] for row in np.argsort(measured.leans(classes))]
    assert order[:4] == ["Man", "Boy", "Human beard", "Tie"]
    assert order[::-1][:5] == ["Girl", "Woman", "Dress", "Skirt", "Miniskirt"]


def test_the_p_is_exact_and_the_note_says_what_carries_no_interval(found):
    row = found.one(metric="effect_size", test="home and workshop classes: women and men", arm="before")
    assert row.n == 40
    assert "exact" in row.method
    assert "2 attribute stimuli carry no interval over attributes" in row.note
    assert "over targets" in row.method


def test_effect_size_by_hand(found, classes, measured):
    bank = fairvl.load_bank(measured.HERE / "object-classes.toml")
    unit = {name: v / np.linalg.norm(v) for name, v in zip(classes.names, classes.vectors.astype(float), strict=True)}

    def score(word):
        return sum(unit[word] @ unit[w] - unit[word] @ unit[m] for w, m in (("Woman", "Man"), ("Girl", "Boy"))) / 2

    scores = [[score(word) for word in bank.sets[name].words] for name in ("home", "workshop")]
    d = (np.mean(scores[0]) - np.mean(scores[1])) / np.std(list(itertools.chain(*scores)), ddof=1)
    row = found.one(metric="effect_size", test="home and workshop classes: women and men", arm="before")
    assert row.value == pytest.approx(d, abs=2e-3)  # the audit reads a float16 store of the same vectors
    assert row.value == pytest.approx(0.645, abs=1e-3)


def test_a_repair_of_one_pair_moves_that_pair_and_costs_little(found):
    test = "home and workshop classes: women and men"
    change = found.one(metric="effect_size", test=test, arm="difference", repair="orthogonal")
    control = found.one(metric="effect_size", test=test, arm="difference", repair="random (control)")
    assert change.high < 0
    assert abs(control.value) < 0.01
    lean = found.where(metric="mean_absolute_lean", repair="orthogonal")
    assert lean.one(test="fitted pair", arm="after").value < 1e-9
    assert lean.one(test="held-out pair", arm="difference").high < 0
    assert lean.one(test="held-out pair", arm="after").value > 0.7 * lean.one(test="held-out pair", arm="before").value
    same = found.one(metric="same_nearest_neighbour", arm="after", repair="orthogonal")
    assert (same.n, same.low > 0.98) == (493, True)
