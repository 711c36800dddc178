"""The released code's faults, reproduced in the compatibility list and absent from the default."""

import csv
import io

import pytest

from fairvl.errors import BankError, DatasetError
from fairvl.repair.captions import NeutralCaptions, captions, neutralize, published_rewrite, published_table
from fairvl.sources.captions import caption_group, load_lexicon, mask


def text(caption):
    return neutralize(caption).text


def test_the_compatibility_list_has_the_31_rows():
    assert len(load_lexicon("paper-31").rows) == 31
    assert "MIT" in load_lexicon("paper-31").licence


@pytest.mark.realdata
def test_the_compatibility_list_is_the_published_file_verbatim(realdata):
    path = realdata / "gender-lexicons" / "gender_neutral_vl_mappings.csv"
    if not path.is_file():
        pytest.skip(f"real data missing: {path.name}")
    content = path.read_bytes().decode("utf-8")
    assert "\r\n" in content
    rows = list(csv.reader(io.StringIO(content), delimiter=";"))
    assert rows[0] == ["Male", "Female", "Neutral"]
    assert tuple(map(tuple, rows[1:])) == load_lexicon("paper-31").rows


@pytest.mark.parametrize(
    ("word", "published", "ours"),
    [
        ("aunt", "pbling", "pibling"),
        ("uncle", "pbling", "pibling"),
        ("sons", "childs", "children"),
        ("daughters", "childs", "children"),
        ("men", "someone", "people"),
        ("women", "someone", "people"),
        ("landlord", "landlord", "property owner"),
        ("landlady", "landlord", "property owner"),
    ],
)
def test_misspelt_and_wrong_forms(word, published, ours):
    assert published_table()[word] == published
    assert text(word) == ours


def test_her_has_two_roles_but_the_published_table_knows_one():
    assert published_table()["her"] == "their"
    assert text("A dog looks at her.") == "A dog looks at them."
    assert text("A dog eats her hat.") == "A dog eats their hat."


MISSING = """
ladies gentlemen male female actress waiter waitress niece nephew policeman policewoman grandpa grandma hers ma'am sir
he's she'll
"""


@pytest.mark.parametrize("word", MISSING.split())
def test_words_that_the_published_table_lacks(word):
    assert word not in published_table()
    assert text(word) != word
    assert caption_group(word) in ("female", "male")


def test_words_are_replaced_inside_other_words_there_and_never_here():
    assert published_rewrite("A woman and a manhole", group="male") == "a woperkid and a perkidhole"
    assert text("A woman and a manhole") == "A person and a manhole"
    assert published_rewrite("The heron left", group="male") == "tthey theyron left"
    assert not neutralize("The heron left").changed


def test_letters_become_small_there_and_stay_here():
    assert published_rewrite("A Man in PARIS", group="male", subjects=["man"]) == "a person in paris"
    assert text("A MAN IN PARIS") == "A PERSON IN PARIS"


def test_a_neutral_image_is_never_rewritten_there():
    assert published_rewrite("A woman and a man", group="neutral") == "a woman and a man"
    assert text("A woman and a man") == "Two people"


def test_only_subjects_are_rewritten_there_and_every_mention_here():
    assert published_rewrite("A ball hit by a woman", group="female", subjects=["ball"]) == "a ball hit by a person"
    assert published_rewrite("A man kicks her ball", group="male", subjects=["man"]) == "a person kicks her ball"
    assert text("A man kicks her ball") == "A person kicks their ball"


def test_masks_stand_on_persons_only_and_remember_words_of_several_pieces():
    masked = mask("A dog and a businesswoman in her office")
    assert masked.text == "A dog and a [MASK] in [MASK] office"
    assert [span.original for span in masked.spans] == ["businesswoman", "her"]
    assert masked.restore() == "A dog and a businesswoman in her office"


def test_a_lexicon_word_is_letters_and_no_pattern(tmp_path):
    path = tmp_path / "odd.toml"
    path.write_text(
        'id="odd"\nname="odd"\nversion=1\nlanguage="en"\nattribute="gender"\ngroups=["female","male"]\nsource="us"\n'
        'licence="CC0-1.0"\n[[nouns]]\nneutral="pet/pets"\nfemale=["c.t/c.ts"]\nmale=["cat/cats"]\n'
    )
    assert neutralize("a cat, a catcher and a cut", lexicon=path).text == "a pet, a catcher and a cut"


def test_the_published_list_is_for_comparison_only():
    with pytest.raises(BankError, match="published_rewrite"):
        neutralize("a man", lexicon="paper-31")


def test_a_shuffled_or_shifted_list_of_neutral_captions_raises(tmp_path):
    rows = [("1", "A man"), ("2", "A woman and a dog"), ("3", "Two boys"), ("4", "A king size bed")]

    def table(name, listed):
        path = tmp_path / name
        path.write_text("id,caption\n" + "".join(f"{id_},{caption}\n" for id_, caption in listed))
        return path

    captions(table("a.csv", rows), tmp_path / "out")
    neutral = NeutralCaptions(tmp_path / "out")
    assert neutral.verify(table("same.csv", rows[::-1])) == 4  # the order is nothing, the ids are everything
    assert neutral.text("1", "A man") == "A person"  # the neutral caption, and not the original, is handed out
    shifted = [(rows[i][0], rows[(i + 1) % 4][1]) for i in range(4)]
    with pytest.raises(DatasetError, match="do not belong together"):
        neutral.verify(table("shifted.csv", shifted))
    with pytest.raises(DatasetError, match="no caption with id '5'"):
        neutral.verify(table("more.csv", [*rows, ("5", "A girl")]))
    with pytest.raises(DatasetError, match="one for one"):
        neutral.verify(table("fewer.csv", rows[:3]))
