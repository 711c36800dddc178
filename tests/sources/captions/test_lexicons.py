"""Lexicons as data: what ships is sound, and every mistake in a file is named."""

import pickle

import pytest

from fairvl.errors import BankError
from fairvl.repair.captions import neutralize
from fairvl.sources.captions import list_lexicons, load_lexicon, mask
from fairvl.sources.captions.grammar import english, plain_form
from fairvl.sources.captions.mentions import find_mentions
from fairvl.sources.captions.tokens import tokenize

HEAD = 'id="x"\nname="x"\nversion=1\nlanguage="en"\nattribute="gender"\nsource="us"\nlicence="CC0-1.0"\n'
BODY = 'groups=["female","male"]\n[[nouns]]\nneutral="pet/pets"\nfemale=["queen/queens"]\nmale=["tom/toms"]\n'


def test_every_shipped_lexicon_has_its_passport():
    assert set(list_lexicons()) == {"gender-en", "race-en", "age-en", "paper-31"}
    for name in list_lexicons():
        lexicon = load_lexicon(name)
        assert lexicon.id == name
        assert lexicon.source
        assert lexicon.licence
        assert lexicon.fingerprint


def test_no_neutral_form_names_a_group():
    entries = load_lexicon("gender-en").entries
    for entry in entries.values():
        assert not set(entry.form.replace("-", " ").split()) & set(entries), entry


def test_groups_of_a_noun_have_the_same_neutral_forms():
    by_form = {}
    for entry in load_lexicon("gender-en").entries.values():
        if entry.kind == "noun":
            by_form.setdefault(entry.form, set()).add(entry.group)
    assert sum(len(groups) == 2 for groups in by_form.values()) > 60


@pytest.mark.parametrize("name", ["gender-en", "race-en", "age-en"])
def test_lexicons_travel_between_processes(name):
    lexicon = load_lexicon(name)
    again = pickle.loads(pickle.dumps(lexicon))
    assert again == lexicon


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (HEAD + BODY + 'neutrals="x"\n', "unknown keys"),
        (HEAD + BODY.replace('"tom/toms"', '"tom"'), "singular/plural"),
        (HEAD + BODY.replace('"tom/toms"', '"queen/queens"'), "stands twice"),
        (HEAD + BODY + 'flags={tom=["shy"]}\n', "unknown flags"),
        (HEAD + BODY + 'flags={cat=["verb"]}\n', "no group lists"),
        (HEAD + BODY + "[pronouns]\nsubject={it='thing'}\n", "expected one of female, male"),
        (HEAD + 'groups=["female","male"]\n', "no nouns"),
        (HEAD + 'groups=["female","male"]\nrows=[["a","b"]]\n', "one word per group"),
        (HEAD.replace('licence="CC0-1.0"\n', "") + BODY, "missing licence"),
        ("id=", "not valid TOML"),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path, content, says):
    path = tmp_path / "x.toml"
    path.write_text(content)
    with pytest.raises(BankError, match=says):
        load_lexicon(path)


def test_unknown_lexicons_name_the_known_ones():
    with pytest.raises(BankError, match="gender-en"):
        load_lexicon("gender-de")
    with pytest.raises(BankError, match="describes the language"):
        load_lexicon("heads-en")


def test_a_lexicon_of_your_own_in_another_language(tmp_path):
    path = tmp_path / "de.toml"
    path.write_text(
        HEAD.replace('"en"', '"de"').replace('"x"', '"gender-de"')
        + 'capitals="expected"\ngroups=["female","male"]\n[[nouns]]\nneutral="Lehrkraft/Lehrkräfte"\n'
        'female=["lehrerin/lehrerinnen"]\nmale=["lehrer/lehrer"]\n'
    )
    rewrite = neutralize("Zwei Lehrerinnen und a Lehrer am Tisch", lexicon=path)
    assert rewrite.text == "Zwei Lehrkräfte und a Lehrkraft am Tisch"  # no rule of English, such as a and an, applies
    assert rewrite.restore() == rewrite.original
    assert neutralize("Ein Kind am Tisch", lexicon=path).text == "Ein Kind am Tisch"


@pytest.mark.parametrize(
    ("lexicon", "before", "after"),
    [
        ("race-en", "an Indian male barber", "a male barber"),
        ("race-en", "a Middle Eastern chef", "a chef"),
        ("race-en", "a black dress on a white wall", "a black dress on a white wall"),
        ("race-en", "Two Asians and an African American woman", "Two people and a woman"),
        ("age-en", "An elderly man in an old car", "A man in an old car"),
        ("age-en", "two teenagers and a middle-aged nurse", "two people and a nurse"),
    ],
)
def test_other_attributes_go_through_the_same_rules(lexicon, before, after):
    rewrite = neutralize(before, lexicon=lexicon)
    assert rewrite.text == after
    assert rewrite.restore() == before


def test_masks_stand_where_neutral_words_would():
    text = "A woman and her husband's dog look at him; the king size bed is his."
    masked, neutral = mask(text), neutralize(text)
    assert masked.text == "A [MASK] and [MASK] [MASK]'s dog look at [MASK]; the king size bed is [MASK]."
    assert [span.start for span in masked.spans] == [span.start for span in neutral.spans]
    assert [place.original for place in masked.kept] == ["king"]


def test_mentions_say_their_role():
    tokens = tokenize("She shows him her hat and the hat of hers to a male nurse herself.")
    found = find_mentions(tokens, load_lexicon("gender-en")).found
    roles = [(tokens.words[mention.index], mention.role) for mention in found]
    assert roles == [
        ("She", "subject"), ("him", "object"), ("her", "determiner"), ("hers", "possessive"), ("male", "dropped"),
        ("herself", "reflexive"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "plain"),
    [
        ("walks", "walk"), ("carries", "carry"), ("watches", "watch"), ("goes", "go"), ("is", "are"), ("uses", "use"),
        ("passes", "pass"), ("ties", "tie"), ("focuses", "focus"), ("quizzes", "quiz"), ("skis", "ski"),
        ("walked", None), ("kiss", None), ("this", None), ("always", None), ("bus", None),
    ],
)  # fmt: skip
def test_verbs_lose_their_s(verb, plain):
    assert plain_form(verb) == plain


def test_articles_follow_the_sound():
    grammar = english()
    assert [grammar.takes_an(word) for word in ("apple", "hour", "heir", "umpire", "unimpressed")] == [True] * 5
    assert [grammar.takes_an(word) for word in ("person", "university", "European", "one", "useful")] == [False] * 5
