"""The lint of a registry: each rule fires on its fault, and is silent on the registry without it."""

from __future__ import annotations

import math

import pytest

from fairvl.sources.stimuli import lint_registry, load_registry

HEAD = """
id = "mine"
version = 1
source = "me"
licence = "CC0-1.0"
[attributes]
text = ["good", "bad"]
[sets]
"""
TEST = '[[tests]]\nname = "t"\ntext = ["x", "y"]\n'
CLEAN = {"x": list("abcdefgh"), "y": list("ijklmnop"), "good": ["kind"], "bad": ["evil"]}


def kinds(tmp_path, encoder=None, extra="", **sets):
    rows = "".join(f"{name} = {{ texts = {texts} }}\n" for name, texts in (CLEAN | sets).items())
    (tmp_path / "mine.toml").write_text(HEAD + rows + TEST + extra)
    return {finding.kind for finding in lint_registry(load_registry(tmp_path / "mine.toml"), encoder)}


def test_a_clean_registry_is_silent(tmp_path):
    assert kinds(tmp_path) == set()


@pytest.mark.parametrize(
    ("kind", "sets"),
    [
        ("duplicate", {"x": ["a", "a", "b", "c", "d", "e", "f", "g"]}),
        ("shared", {"y": ["a", "j", "k", "l", "m", "n", "o", "p"]}),
        ("both-poles", {"bad": ["kind"]}),
        ("unbalanced", {"bad": ["evil", "foul"]}),
        ("few", {"x": ["a"], "y": ["b"]}),
        ("shared", {"good": ["a"]}),
    ],
)
def test_each_fault_is_found_and_nothing_else(tmp_path, kind, sets):
    assert kinds(tmp_path, **sets) == {kind}


def test_flags_become_findings(tmp_path):
    flags = '[[flags]]\nset = "bad"\nstimuli = ["evil"]\nsays = "names persons"\n'
    assert kinds(tmp_path, extra=flags) == {"target-content"}
    assert kinds(tmp_path, extra=flags + 'topics = ["elsewhere"]\n') == set()


class Short:
    """An encoder that takes three letters and knows no 'k'."""

    def over_length(self, texts):
        return [row for row, text in enumerate(texts) if len(text) > 4]

    def unknown_words(self, texts):
        return [text for text in texts if text.startswith("zz")]


def test_an_encoder_tells_what_it_would_cut_or_not_know(tmp_path):
    assert kinds(tmp_path, Short()) == set()
    assert kinds(tmp_path, Short(), bad=["wicked"]) == {"over-length"}
    assert kinds(tmp_path, Short(), bad=["zz"]) == {"unknown-words"}


def test_the_floor_of_small_sets_is_held_against_the_whole_sweep():
    registry = load_registry("eat26")

    def few(models, tail="two-sided"):
        return {f.where for f in lint_registry(registry, models=models, tail=tail) if f.kind == "few"}

    def cases(tests, *orders):
        return {f"{test} ({order})" for test in tests for order in orders}

    assert math.comb(12, 6) == 924
    assert math.comb(16, 8) == 12_870
    pictures = cases(("instrument-weapon", "race", "age"), "image-image", "image-text")  # 6 + 6
    words = cases(("gender-names", "gender-terms", "age"), "text-text", "text-image")  # 8 + 8 in 64 or 80 sentences
    # 1 / 924 = 0.00108 passes 0.05 / 26 = 0.0019, the correction over one model's tests, but none over two models.
    assert few(1, "greater") == set()
    assert few(2, "greater") == few(1) == few(2) == pictures
    assert few(131) == few(131, "greater") == pictures | words


def test_eat26_says_that_it_runs_on_stand_ins():
    found = lint_registry(load_registry("eat26"))
    assert sum(f.kind == "stand-in" for f in found) == 18
    assert {f.kind for f in found} == {"stand-in", "target-content", "few"}
