"""A tagger of the user's own settles what the rules guess; without one nothing is missing."""

import sys
from types import SimpleNamespace

import pytest

from fairvl.errors import InputError, MissingExtraError
from fairvl.repair.captions import neutralize
from fairvl.sources.captions import load_parser


def tagger(**tags):
    """Tags by word, as a parser would give them by place."""

    def parse(text):
        return {text.index(word): tag for word, tag in tags.items()}

    return parse


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [
        ("A man watches her dance.", {"her": "PRP"}, "A person watches them dance."),
        ("A man watches her dance.", {"her": "PRP$"}, "A person watches their dance."),
        ("He sees the dogs and plays", {"plays": "VBZ"}, "They see the dogs and play"),
        ("He sees the dogs and plays", {"plays": "NNS"}, "They see the dogs and plays"),
        ("A man watches her dance.", {"her": "XX"}, "A person watches them dance."),  # an odd tag decides nothing
    ],
)
def test_tags_decide_where_rules_guess(text, tags, expected):
    rewrite = neutralize(text, parser=tagger(**tags))
    assert rewrite.text == expected
    assert rewrite.restore() == text


def test_spacy_is_asked_for_by_name(monkeypatch):
    load_parser.cache_clear()
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtraError, match="spacy"):
        neutralize("A man", parser="spacy:en_core_web_sm")

    def load(name, exclude):
        if name != "tiny":
            raise OSError(f"[E050] Can't find model '{name}'")
        return lambda text: [SimpleNamespace(idx=text.index("her"), tag_="PRP$")]

    monkeypatch.setitem(sys.modules, "spacy", SimpleNamespace(load=load))
    assert neutralize("A man watches her dance.", parser="spacy:tiny").text == "A person watches their dance."
    with pytest.raises(InputError, match="spacy download large"):
        load_parser("spacy:large")
    with pytest.raises(InputError, match="spacy:PIPELINE"):
        load_parser("stanza")
    load_parser.cache_clear()
