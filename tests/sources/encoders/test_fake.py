"""The fake encoder: deterministic on every machine, unit length, blind to meaning."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import EncoderError
from fairvl.sources.encoders import EncoderCard, FakeEncoder, check_encoder


@pytest.mark.parametrize("dim", [1, 2, 16, 33, 1000])
def test_conforms_and_has_unit_length(dim, pictures):
    fake = FakeEncoder(dim=dim)
    if dim > 1:
        check_encoder(fake)
        check_encoder(fake, images=pictures)
    np.testing.assert_allclose(np.linalg.norm(fake.encode_texts(["a", "b"]), axis=1), 1, atol=1e-6)


def test_the_bytes_are_fixed():
    vectors = np.concatenate([FakeEncoder(4).encode_texts(["a nurse"]), FakeEncoder(4).encode_images([PIXEL])])
    assert vectors.tobytes().hex() == FROZEN


PIXEL = np.array([[[255, 0, 10]]], dtype=np.uint8)
FROZEN = "aaad833e3a56373f010c6fbeaff91abf4a1509bfd177ea3ef21e04bfda5af9be"


def test_equal_pictures_in_other_containers_are_equal():
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    vectors = FakeEncoder().encode_images([array, Image.fromarray(array), array.reshape(7, 5, 3)])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert (vectors[0] != vectors[2]).any()


def test_texts_and_images_do_not_collide_and_any_string_works():
    fake = FakeEncoder()
    assert len(np.unique(fake.encode_texts(["", " ", "é", "e\u0301", "\ud800", "🙂", "مرحبا"]), axis=0)) == 7


def test_wrong_input():
    fake = FakeEncoder()
    with pytest.raises(EncoderError, match="one string"):
        fake.encode_texts("a person")
    with pytest.raises(EncoderError, match="item 1 is NoneType"):
        fake.encode_texts(["a", None])
    with pytest.raises(EncoderError, match="expected a list"):
        fake.encode_texts(3)
    with pytest.raises(EncoderError, match=r"expected uint8 \(n, 16\)"):
        fake.encode_preprocessed(np.zeros((2, 3), np.uint8))


def test_card_fields():
    card = FakeEncoder(3).card
    assert EncoderCard.from_dict({**card.as_dict(), "of a later version": 1}) == card
    assert card.fingerprint == EncoderCard.from_dict(card.as_dict()).fingerprint
    assert card.fingerprint != FakeEncoder(4).card.fingerprint
    with pytest.raises(AttributeError):
        card.dim = 4
    with pytest.raises(EncoderError, match=r"without \['dim'"):
        EncoderCard.from_dict({"library": "a", "name": "b", "weights": "c"})
    with pytest.raises(EncoderError, match="modalities"):
        EncoderCard(library="a", name="b", weights="c", dim=1, modalities=("sound",))
    with pytest.raises(EncoderError, match="card dim"):
        EncoderCard(library="a", name="b", weights="c", dim=0)
