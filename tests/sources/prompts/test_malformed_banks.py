"""A bank that is not one raises BankError with the file, the place and what was expected."""

import pytest

from fairvl.errors import BankError
from fairvl.sources.prompts import load_bank

HEAD = 'id = "x"\nname = "X"\nversion = 1\nkind = "words"\nsource = "s"\nlicence = "l"\nlanguage = "en"\n'
GOOD = HEAD + '[sets]\na = ["one"]\nb = ["two"]\n'


def load(tmp_path, content):
    path = tmp_path / "bank.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_bank(path)


def test_the_minimal_bank_loads(tmp_path):
    assert load(tmp_path, GOOD).prompts("a").texts == ("one",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id = ", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("", "missing id"),
        (GOOD.replace('source = "s"\n', ""), "missing source"),
        (GOOD.replace('"s"', '""'), "source must not be empty"),
        (GOOD.replace("version = 1", "version = true"), "expected int"),
        (GOOD.replace("version = 1", 'version = "1"'), "expected int"),
        (GOOD.replace('"words"', '"word"'), "expected one of debias"),
        (GOOD.replace('id = "x"', 'id = "x"\ncolour = 1'), r"unknown keys \['colour'\]"),
        (HEAD, "no sets and no pairs"),
        (GOOD.replace('["one"]', "[]"), "set 'a': empty"),
        (GOOD.replace('["one"]', '["one", 2]'), "not empty"),
        (GOOD.replace('["one"]', '["  "]'), "not empty"),
        (GOOD.replace('["one"]', '"one"'), "expected a table"),
        (GOOD.replace('["one"]', '{ word = ["one"] }'), "unknown keys"),
        (GOOD.replace('["one"]', '{ words = ["one"], flags = { one = 1 } }'), "expected a text"),
        (GOOD.replace('["one"]', '{ words = ["one"], templates = [] }'), "templates are empty"),
        (GOOD.replace("[sets]", 'templates = ["no place"]\n[sets]'), "no {} for the word"),
        (GOOD.replace("[sets]", 'templates = ["{} {0.__class__}"]\n[sets]'), "unknown fields"),
        (GOOD.replace("[sets]", 'templates = ["{} {context}"]\n[sets]'), "unknown fields"),
        (GOOD.replace("[sets]", 'templates = ["{} {"]\n[sets]'), "unmatched brace"),
        (GOOD + '[[pairs]]\nleft = ["a", "b"]\nright = ["c"]\n', "2 left and 1 right"),
        (GOOD + "[[pairs]]\nleft = []\nright = []\n", "at least one"),
        (GOOD + '[[pairs]]\nleft = ["a"]\nright = ["c"]\ncontexts_from = "z"\n', "no set of this bank"),
        (GOOD + '[[tests]]\nname = "t"\nx = "a"\ny = "b"\na = "a"\n', "without 'b'"),
        (GOOD + '[[tests]]\nname = "t"\nx = "a"\ny = "b"\na = "a"\nb = "z"\n', "no set of this bank"),
        (GOOD + '[[tests]]\nname = "t"\nx = "a"\ny = "b"\na = "a"\nb = "b"\ncategory = "c"\n', "'social' or 'control'"),
    ],
)
def test_malformed_banks_raise(tmp_path, content, message):
    with pytest.raises(BankError, match=message) as caught:
        load(tmp_path, content)
    assert "bank.toml" in str(caught.value)


def test_banks_that_are_not_there_are_named_with_the_choices(tmp_path):
    with pytest.raises(BankError, match="debias-gender"):
        load_bank("debias-gendre")
    with pytest.raises(BankError, match="no such bank file"):
        load_bank(tmp_path / "absent.toml")
    with pytest.raises(BankError, match=r"no bank '\.\./banks/weat'"):
        load_bank("../banks/weat")
    (tmp_path / "big.toml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(BankError, match="at most"):
        load_bank(tmp_path / "big.toml")


def test_the_fingerprint_follows_the_content(tmp_path):
    marks = {load(tmp_path, text).fingerprint for text in (GOOD, GOOD + "# a comment\n", GOOD.replace("two", "three"))}
    assert len(marks) == 2  # a comment says nothing, a word does
