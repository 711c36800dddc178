"""From encoder and bank to operator: what is fitted, what is recorded, what is refused."""

import zlib

import numpy as np
import pytest

from fairvl.errors import BankError, InputError
from fairvl.repair.debias import LinearOperator, debias
from fairvl.sources.encoders import FakeEncoder
from fairvl.sources.prompts import list_banks, load_bank

BANK = """
id = "tiny"
name = "Tiny"
version = 1
kind = "debias"
source = "test"
licence = "CC0-1.0"
language = "en"
templates = ["a {}", "the {}"]
[sets]
male = ["man", "gentleman"]
female = ["woman", "lady"]
[[pairs]]
left = ["man", "gentleman"]
right = ["woman", "lady"]
templates = ["a {} {context}"]
contexts = ["doctor", "nurse"]
"""


class Words:
    """A bag-of-words encoder: the mean of word vectors about a shared direction, with a closed vocabulary."""

    def __init__(self, unknown=(), longest=99, dim=64):
        self.card, self.dim, self.unknown, self.longest = FakeEncoder(dim).card, dim, set(unknown), longest

    def encode_texts(self, texts):
        return np.stack([np.mean([self.word(w) for w in text.split()], axis=0) for text in texts])

    def word(self, word):
        vector = np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.dim) / 2
        vector[0] += 8.0
        gender = {"man": 6, "gentleman": 6, "uncle": 6, "woman": -6, "lady": -6, "aunt": -6}.get(word, 0)
        vector[1] = gender
        return vector.astype(np.float32)

    def encode_images(self, images):
        raise NotImplementedError

    def unknown_words(self, texts):
        return sorted({word for text in texts for word in text.split()} & self.unknown)

    def over_length(self, texts):
        return [row for row, text in enumerate(texts) if len(text) > self.longest]


@pytest.fixture
def bank(tmp_path):
    (tmp_path / "tiny.toml").write_text(BANK)
    return tmp_path / "tiny.toml"


def gap(encoder, left, right):
    a, b = (v / np.linalg.norm(v) for v in encoder.encode_texts([left, right]).astype(np.float64))
    return np.linalg.norm(a - b)


@pytest.mark.parametrize("method", ["orthogonal", "calibrated"])
def test_a_held_out_pair_comes_closer_and_a_random_operator_does_not_do_it(bank, method):
    encoder = Words()
    fitted = debias(encoder, bank=bank, method=method)
    control = debias(encoder, bank=bank, method="random", seed=1)
    before = gap(encoder, "an uncle", "an aunt")
    after, random = (gap(o.wrap(encoder), "an uncle", "an aunt") for o in (fitted, control))
    assert control.rank == fitted.rank
    assert after < 0.75 * before
    assert random > 0.85 * before


def test_the_header_records_bank_prompts_pairs_and_card(bank):
    encoder = Words()
    operator = debias(encoder, bank=bank, method="calibrated", lam=10.0, subspace="span")
    card = operator.card
    assert card.prompts[:4] == ("a man", "the man", "a gentleman", "the gentleman")
    assert len(card.prompts) == 8
    assert card.pairs[0] == ("a man doctor", "a woman doctor")
    assert card.n_pairs == len(card.pairs) == 4
    assert card.bank == {"id": "tiny", "version": 1, "fingerprint": load_bank(bank).fingerprint}
    assert card.encoder["name"] == "fake:64"
    assert (card.lam, card.subspace, card.attribute, card.notes) == (10.0, "span", "gender", ())
    assert debias(encoder, bank=load_bank(bank), method="calibrated", lam=10.0, subspace="span").fingerprint == (
        operator.fingerprint
    )


def test_prompts_that_the_encoder_cannot_read_leave_with_their_opposites(bank):
    operator = debias(Words(unknown=["lady"]), bank=bank, method="calibrated")
    assert operator.card.prompts == ("a man", "the man", "a woman", "the woman")
    assert operator.card.pairs == (("a man doctor", "a woman doctor"), ("a man nurse", "a woman nurse"))
    assert "4 prompts left out" in operator.card.notes[0]
    assert "2 pairs left out" in operator.card.notes[1]
    short = debias(Words(longest=9), bank=bank)
    assert short.card.prompts == ("a man", "the man", "a woman", "the woman")


def test_a_bank_that_the_encoder_cannot_read_is_refused(bank):
    with pytest.raises(BankError, match="can read no prompt of male, female"):
        debias(Words(unknown=["lady", "man"]), bank=bank)
    with pytest.raises(BankError, match="none of its pairs"):
        debias(Words(unknown=["doctor", "nurse"]), bank=bank, method="calibrated")
    assert debias(Words(unknown=["doctor", "nurse"]), bank=bank).rank == 1


def test_pairs_remove_the_difference_of_prototypes_only(bank):
    encoder = Words()
    operator = debias(encoder, bank=bank)
    sides = [["a man", "the man", "a gentleman", "the gentleman"], ["a woman", "the woman", "a lady", "the lady"]]
    means = []
    for texts in sides:
        rows = encoder.encode_texts(texts).astype(np.float64)
        mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
        means.append(mean / np.linalg.norm(mean))
    direction = (means[0] - means[1]) / np.linalg.norm(means[0] - means[1])
    np.testing.assert_allclose(operator.matrix(), np.eye(64) - np.outer(direction, direction), atol=1e-6)
    assert operator.rank == 1
    assert debias(encoder, bank=bank, subspace="centred").rank > 1


def test_unusable_requests_are_refused(bank):
    with pytest.raises(InputError, match="orthogonal, calibrated"):
        debias(Words(), bank=bank, method="erase")
    with pytest.raises(BankError, match="no bank 'debias-shoe_size'"):
        debias(Words(), attribute="shoe_size")
    with pytest.raises(BankError, match="no pairs"):
        debias(Words(), bank="zero-shot-gender", method="calibrated")
    with pytest.raises(BankError, match="no such bank file"):
        debias(Words(), bank=bank.with_name("absent.toml"))


@pytest.mark.parametrize("name", [name for name in list_banks() if name.startswith("debias-")])
@pytest.mark.parametrize("subspace", ["span", "centred", "pairs"])
def test_every_shipped_debias_bank_fits_every_method(name, subspace, tmp_path):
    attribute = name.removeprefix("debias-")
    for method in ("orthogonal", "calibrated", "random"):
        operator = debias(FakeEncoder(256), attribute=attribute, method=method, subspace=subspace)
        operator.save(tmp_path / "x")
        assert LinearOperator.load(tmp_path / "x").fingerprint == operator.fingerprint
        assert operator.card.attribute == attribute
