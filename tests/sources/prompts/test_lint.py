"""Each rule of the lint fires where it should, and is silent on a clean bank."""

import numpy as np
import pytest

from fairvl.sources.encoders import FakeEncoder
from fairvl.sources.prompts import lint, load_bank

HEAD = 'id = "x"\nname = "X"\nversion = 1\nkind = "debias"\nsource = "s"\nlicence = "l"\nlanguage = "en"\n'
TEST = '[[tests]]\nname = "t"\nx = "a"\ny = "b"\na = "c"\nb = "d"\n'


def kinds(tmp_path, content, encoder=None):
    (tmp_path / "bank.toml").write_text(HEAD + content)
    return [finding.kind for finding in lint(load_bank(tmp_path / "bank.toml"), encoder)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('[sets]\na = ["one"]\nb = ["two"]\n', []),
        ('[sets]\na = ["one", "one"]\nb = ["two", "three"]\n', ["duplicate"]),
        ('[sets]\na = ["one"]\nb = ["one"]\n', ["shared"]),
        ('[sets]\na = ["one"]\nb = ["two", "three"]\n', ["unbalanced"]),
        ('[sets]\na = ["a old man"]\nb = ["an old man"]\n', ["article"]),
        ('[sets]\na = ["one "]\nb = ["two"]\n', ["spacing"]),
        ('[[pairs]]\nleft = ["one", "two"]\nright = ["one", "three"]\n', ["equal-pair"]),
        ('[[pairs]]\nleft = ["one", "one"]\nright = ["two", "two"]\n', ["duplicate"]),
        ('[sets]\na = { words = ["one"], flags = { one = "why" } }\nb = ["two"]\n', ["target-content"]),
    ],
)
def test_each_rule_fires(tmp_path, content, expected):
    assert kinds(tmp_path, content) == expected


def test_an_attribute_word_that_names_a_group_is_target_content(tmp_path):
    sets = '[sets]\na = ["Amy"]\nb = ["John"]\nc = ["joy", "love", "sister"]\nd = ["pain", "hell", "mud"]\n'
    content = sets.replace("debias", "association") + TEST
    (tmp_path / "bank.toml").write_text(HEAD.replace("debias", "association") + content)
    findings = lint(load_bank(tmp_path / "bank.toml"))
    assert [(f.kind, f.texts) for f in findings] == [("target-content", ("sister",))]
    # A set that is made of group words is meant to name the group.
    groups = content.replace('"joy", "love", "sister"', '"mother", "aunt", "sister"')
    (tmp_path / "bank.toml").write_text(HEAD.replace("debias", "association") + groups)
    assert lint(load_bank(tmp_path / "bank.toml")) == ()
    same = content.replace('"sister"', '"amy"')
    (tmp_path / "bank.toml").write_text(HEAD.replace("debias", "association") + same)
    assert "target and attribute" in lint(load_bank(tmp_path / "bank.toml"))[0].message


class Reader:
    card = FakeEncoder(8).card

    def encode_texts(self, texts):
        rows = FakeEncoder(8).encode_texts([text.lower() for text in texts])
        return rows + 1e-4 * np.arange(len(texts))[:, None]

    def over_length(self, texts):
        return [row for row, text in enumerate(texts) if len(text) > 20]

    def unknown_words(self, texts):
        return sorted({word for text in texts for word in text.split()} & {"zyzzyva"})


def test_the_encoder_rules_fire(tmp_path):
    near = '[sets]\na = ["One", "one", "two"]\nb = ["three", "four", "five"]\n'
    assert kinds(tmp_path, near, Reader()) == ["near-collinear"]
    assert kinds(tmp_path, near) == []
    long = '[sets]\na = ["a very long prompt indeed"]\nb = ["two"]\n'
    assert kinds(tmp_path, long, Reader()) == ["over-length"]
    unknown = '[sets]\na = ["zyzzyva"]\nb = ["two"]\n'
    assert kinds(tmp_path, unknown, Reader()) == ["unknown-words"]
    pairs = '[[pairs]]\nleft = ["zyzzyva"]\nright = ["two"]\n'
    assert kinds(tmp_path, pairs, Reader()) == ["unknown-words"]
