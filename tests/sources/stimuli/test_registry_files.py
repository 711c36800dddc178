"""Registry files of one's own: the documented example loads, and every slip is named."""

from __future__ import annotations

import re

import pytest

import fairvl.sources.stimuli as stimuli
from fairvl.errors import BankError
from fairvl.sources.stimuli import load_registry

HEAD = 'id = "mine"\nversion = 1\nsource = "me"\nlicence = "CC0-1.0"\n'
SETS = """
[attributes]
text = ["good", "bad"]
[sets]
x = { texts = ["a", "b"] }
y = { texts = ["c", "d"] }
good = { words = ["kind"], templates = ["{a} {} act", "the {s}"] }
bad = { texts = ["evil"] }
portrait = { world = "n=2&seed=1&size=32", where = { gender = "female" } }
"""
TEST = '[[tests]]\nname = "t"\ntext = ["x", "y"]\n'


def load(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    return load_registry(tmp_path / "mine.toml")


def documented():
    block = stimuli.__doc__.split("your own::\n", 1)[1].split("Two sets of the world", 1)[0]
    return re.sub(r"^    ", "", block, flags=re.MULTILINE)


def test_the_documented_registry_loads(tmp_path):
    registry = load(tmp_path, documented())
    assert [(case.test, case.order) for case in registry.cases] == [("gender", "text-text"), ("gender", "image-text")]
    text, image = registry.cases
    assert "a photo of a girl" not in text.x.texts()
    assert "a photo of a mother" in text.x.texts()
    assert text.a.texts() == ("a photo of a good person", "a photo of a kind person")
    assert (text.x.source, text.a.source) != (text.a.source, text.a.source)
    assert text.a.licence == "CC0-1.0"
    assert (len(image.x), image.x.stand_in) == (8, False)  # portraits without `images` are the stimuli themselves
    assert text.flags == ("an evil person: names a person",)


def test_a_small_registry_and_its_fingerprint(tmp_path):
    registry = load(tmp_path, HEAD + SETS + TEST)
    case = registry.cases[0]
    assert (case.topic, case.category, case.order) == ("t", "social", "text-text")
    assert case.a.texts() == ("a kind act", "the kinds")
    assert (case.a.words, case.a.templates) == ((0, 0), (0, 1))
    assert (case.x.words, case.x.templates) == ((0, 1), (-1, -1))
    again = load(tmp_path, HEAD + SETS + TEST)
    assert again == registry
    for change in (("evil", "wicked"), ("version = 1", "version = 2"), ('"the {s}"', '"all {s}"')):
        other = load(tmp_path, (HEAD + SETS + TEST).replace(*change))
        assert other.fingerprint != registry.fingerprint


def test_a_bank_beside_the_registry_counts_in_the_fingerprint(tmp_path):
    bank = HEAD + 'name = "b"\nlanguage = "en"\nkind = "words"\n[sets]\n'
    text = HEAD + SETS.replace('x = { texts = ["a", "b"] }', 'x = { bank = "b.toml:w" }') + TEST
    (tmp_path / "b.toml").write_text(bank + 'w = ["one"]\nother = ["two"]\n')
    first = load(tmp_path, text)
    assert first.cases[0].x.texts() == ("one",)
    (tmp_path / "b.toml").write_text(bank + 'w = ["one"]\nother = ["three"]\n')
    assert load(tmp_path, text).fingerprint != first.fingerprint


def test_world_sets_with_other_seeds_values_and_options_differ(tmp_path):
    def keys(row):
        text = HEAD + SETS + f"p = {row}\n" + '[[tests]]\nname = "t"\nimage = ["p", "portrait"]\n'
        return load(tmp_path, text).cases[0].x.keys

    base = keys('{ world = "n=3&seed=5&size=32", where = { gender = "female" } }')
    assert len(set(base)) == 3
    assert keys('{ world = "seed=5&n=3&size=32", where = { gender = "female" } }') == base
    assert keys('{ world = "n=2&seed=5&size=32", where = { gender = "female" } }') == base[:2]
    for other in (
        '{ world = "n=3&seed=6&size=32", where = { gender = "female" } }',
        '{ world = "n=3&seed=5&size=32", where = { gender = "male" } }',
        '{ world = "n=3&seed=5&size=33", where = { gender = "female" } }',
        '{ world = "n=3&seed=5&size=32&split=judge", where = { gender = "female" } }',
    ):
        assert not set(keys(other)) & set(base)


MANIFEST = 'source = "me"\nlicence = "mine"\n[sets.s]\n'
SLIPS = {
    "not TOML": ("[[", "not valid TOML"),
    "nothing": ("", "missing id, version"),
    "no licence": (HEAD.replace('licence = "CC0-1.0"\n', "") + SETS + TEST, "missing licence"),
    "unknown key": (HEAD + "colour = 1\n" + SETS + TEST, "unknown keys .*colour"),
    "version no number": (HEAD.replace("= 1", '= "1"') + SETS + TEST, "expected int"),
    "no tests": (HEAD + "tests = []\n" + SETS, "tests must not be empty"),
    "unknown set": (HEAD + SETS + TEST.replace('"y"', '"z"'), "'z', which is no set"),
    "one set twice": (HEAD + SETS + TEST.replace('"y"', '"x"'), "two different sets"),
    "pictures as texts": (HEAD + SETS + TEST.replace('"y"', '"portrait"'), "a set of images"),
    "test twice": (HEAD + SETS + TEST + TEST, "'t' stands twice"),
    "same test renamed": (HEAD + SETS + TEST + TEST.replace('"t"', '"u"'), "are the same test"),
    "category": (HEAD + SETS + TEST + 'category = "other"\n', "expected 'social' or 'control'"),
    "impossible order": (HEAD + SETS + TEST + 'orders = ["text-image"]\n', "expected some of"),
    "no pair at all": (HEAD + SETS + '[[tests]]\nname = "t"\n', "expected some of"),
    "key in a test": (HEAD + SETS + TEST + "z = 1\n", "unknown keys .*'z'"),
    "key in a set": (HEAD + SETS + "q = { texts = ['a'], colour = 'b' }\n" + TEST, "unknown keys .*colour"),
    "nothing in a set": (HEAD + SETS + "q = {}\n" + TEST, "nothing in it"),
    "two sources": (HEAD + SETS + "q = { texts = ['a'], words = ['b'] }\n" + TEST, "exactly one"),
    "empty texts": (HEAD + SETS + "q = { texts = [''] }\n" + TEST, "not empty"),
    "no texts": (HEAD + SETS + "q = { texts = [] }\n" + TEST, "at least one"),
    "bad template": (HEAD + SETS + "q = { words = ['a'], templates = ['b'] }\n" + TEST, "no {} for the word"),
    "unknown bank": (HEAD + SETS + "q = { bank = 'nope:x' }\n" + TEST, "no bank 'nope'"),
    "unknown set of a bank": (HEAD + SETS + "q = { bank = 'weat:x' }\n" + TEST, "no set 'x'"),
    "bank out of the folder": (HEAD + SETS + "q = { bank = '../b.toml:x' }\n" + TEST, "leaves its folder"),
    "without nothing": (HEAD + SETS + "q = { texts = ['a'], without = ['b'] }\n" + TEST, "(unknown|without)"),
    "absent sentence": (HEAD + SETS + "q = { bank = 'weat:flowers', without = ['b'] }\n" + TEST, "does not hold"),
    "world value": (
        HEAD + SETS + "q = { world = 'n=2', where = { gender = 'x' } }\n" + TEST,
        "nothing the world draws",
    ),
    "world attribute": (
        HEAD + SETS + "q = { world = 'n=2', where = { mood = 'x' } }\n" + TEST,
        "nothing the world draws",
    ),
    "world option": (HEAD + SETS + "q = { world = 'n=2&colour=3' }\n" + TEST, "colour=3"),
    "world option twice": (HEAD + SETS + "q = { world = 'n=2&n=3' }\n" + TEST, "at most once"),
    "world without n": (HEAD + SETS + "q = { world = 'seed=2' }\n" + TEST, "n=''"),
    "a million": (HEAD + SETS + "q = { drawn = 'flower?n=1000000' }\n" + TEST, "1 to 2000"),
    "enormous": (HEAD + SETS + "q = { drawn = 'flower?n=1&size=100000' }\n" + TEST, "at most 512"),
    "enormous world": (HEAD + SETS + "q = { world = 'n=1&size=100000' }\n" + TEST, "32 to 512"),
    "unknown drawing": (HEAD + SETS + "q = { drawn = 'cat?n=1' }\n" + TEST, "nothing draws 'cat'"),
    "where without world": (HEAD + SETS + "q = { drawn = 'flower?n=1', where = {} }\n" + TEST, "expected world"),
    "emoji path": (HEAD + SETS + "q = { drawn = 'flower?n=1', emoji = { a = '../x' } }\n" + TEST, "emoji"),
    "unknown manifest": (HEAD + SETS + "q = { images = 'nope:x' }\n" + TEST, "MANIFEST:SET"),
    "manifest path": (HEAD + SETS + "q = { images = '../m.toml:x' }\n" + TEST, "leaves its folder"),
    "flag of no stimulus": (HEAD + SETS + TEST + "[[flags]]\nset='x'\nstimuli=['z']\nsays='n'\n", "no stimuli"),
    "flag of no set": (HEAD + SETS + TEST + "[[flags]]\nset='z'\nstimuli=['z']\nsays='n'\n", "no set"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_every_slip_is_named(tmp_path, slip):
    text, expected = SLIPS[slip]
    load(tmp_path, HEAD + SETS + TEST)  # the frame itself is right
    with pytest.raises(BankError, match=expected):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('files = ["a", "A.png"]', "stand twice"), ('files = ["../a"]', "leaves its folder"),
        ('files = ["/etc/passwd"]', "leaves its folder"), ('files = [{ name = "a", sha256 = "x" }]', "64 hex"),
        ('folders = ["../.."]', "leaves its folder"), ("count = -1", "whole number"),
        ('count = 2\nfiles = ["a"]', "1 files"),
        ("colour = 1", "unknown keys"), ('files = [{ nmae = "a" }]', "unknown keys"), ("folders = []", "not empty"),
    ],
)  # fmt: skip
def test_a_hostile_manifest_is_refused(tmp_path, body, expected):
    text = HEAD + SETS + "q = { images = 'm.toml:s' }\n" + TEST
    (tmp_path / "m.toml").write_text(MANIFEST + 'files = ["a"]\n')
    load(tmp_path, text)
    (tmp_path / "m.toml").write_text(MANIFEST + body + "\n")
    with pytest.raises(BankError, match=expected):
        load(tmp_path, text)


def test_files_that_are_not_there_or_too_large(tmp_path):
    with pytest.raises(BankError, match="no registry 'eat27'"):
        load_registry("eat27")
    with pytest.raises(BankError, match="no such registry file"):
        load_registry(tmp_path / "absent.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(BankError, match="at most"):
        load_registry(tmp_path / "large.toml")
