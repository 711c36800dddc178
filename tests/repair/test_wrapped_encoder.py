"""A wrapped encoder: texts through the operator, images untouched, and a card that says so."""

import pickle
import warnings

import numpy as np
import pytest

from fairvl.errors import OperatorError
from fairvl.repair.debias import LinearOperator, OrthogonalProjection, VanishedWarning, random_projection
from fairvl.sources.encoders import Encoder, FakeEncoder, encoder

TEXTS = ["a man", "a woman", "a doctor"]


class LongFake:
    """A fake whose vectors have length 7, with the optional capabilities of a closed vocabulary."""

    def __init__(self, dim=16):
        self.inner = FakeEncoder(dim)
        self.card = self.inner.card

    def encode_texts(self, texts):
        return 7 * self.inner.encode_texts(texts)

    def encode_images(self, images):
        return 7 * self.inner.encode_images(images)

    def unknown_words(self, texts):
        return ["zyzzyva"]


@pytest.fixture
def base():
    return LongFake()


@pytest.fixture
def operator(base):
    fitted = OrthogonalProjection().fit(base.encode_texts(TEXTS[:2]))
    return fitted.described(encoder=base.card.as_dict())


@pytest.fixture
def pictures():
    return [np.full((4, 4, 3), value, np.uint8) for value in (0, 100, 200)]


def test_texts_go_through_the_operator_as_unit_rows(base, operator):
    wrapped = operator.wrap(base)
    texts = ["a doctor", "a nurse"]
    unit = base.encode_texts(texts) / 7
    np.testing.assert_allclose(wrapped.encode_texts(texts), operator(unit), atol=1e-6)
    assert wrapped.encode_texts(texts).dtype == np.float32
    assert (np.linalg.norm(wrapped.encode_texts(texts), axis=1) < 1).all()  # not renormalised
    assert isinstance(wrapped, Encoder)


def test_images_are_untouched_unless_asked_for(base, operator, pictures):
    np.testing.assert_array_equal(operator.wrap(base).encode_images(pictures), base.encode_images(pictures))
    both = operator.wrap(base, images=True).encode_images(pictures)
    np.testing.assert_allclose(both, operator(base.encode_images(pictures) / 7), atol=1e-6)
    assert abs(both - base.encode_images(pictures) / 7).max() > 1e-3


def test_optional_capabilities_follow_the_encoder(base, operator, pictures):
    wrapped = operator.wrap(base, images=True)
    assert wrapped.unknown_words(TEXTS) == ["zyzzyva"]
    assert getattr(wrapped, "over_length", None) is None
    assert getattr(wrapped, "encode_preprocessed", None) is None
    fake = FakeEncoder(16)
    full = OrthogonalProjection().fit(fake.encode_texts(TEXTS[:1])).wrap(fake, images=True)
    batch = np.stack([full.preprocess(picture) for picture in pictures])
    np.testing.assert_array_equal(full.encode_preprocessed(batch), full.encode_images(pictures))
    assert pickle.loads(pickle.dumps(full)).card == full.card


def test_the_card_names_the_operator(base, operator):
    text, both = operator.wrap(base).card, operator.wrap(base, images=True).card
    assert operator.fingerprint in text.weights
    assert text != both != base.card
    assert text.dim == base.card.dim


def test_texts_in_the_removed_subspace_vanish_with_one_warning(base, operator):
    wrapped = operator.wrap(base)
    with pytest.warns(VanishedWarning, match="a man") as caught:
        vectors = wrapped.encode_texts(TEXTS)
    assert len(caught) == 1
    assert not vectors[:2].any()
    assert vectors[2].any()
    assert wrapped.vanished == ["a man", "a woman"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wrapped.encode_texts(TEXTS)
    assert wrapped.vanished == ["a man", "a woman"]


def test_a_zero_vector_stays_zero_and_never_becomes_nan(operator, base):
    def half_zero(texts):
        return np.concatenate([np.zeros((1, 16)), base.encode_texts(texts[1:])])

    wrapped = operator.wrap(
        encoder(text_fn=half_zero, image_fn=base.encode_images, card=base.card), allow_other_encoder=True
    )
    with pytest.warns(VanishedWarning):
        vectors = wrapped.encode_texts(["x", "a doctor"])
    assert np.isfinite(vectors).all()
    assert not vectors[0].any()


def test_another_encoder_is_refused_unless_allowed(operator):
    with pytest.raises(OperatorError, match="width 16"):
        operator.wrap(FakeEncoder(8))
    with pytest.raises(OperatorError, match="width 16"):
        operator.wrap(FakeEncoder(8), allow_other_encoder=True)
    other = operator.described(encoder={**operator.card.encoder, "weights": "laion2b"})
    with pytest.raises(OperatorError, match="weights 'laion2b' instead of 'sha3'"):
        other.wrap(FakeEncoder(16))
    assert other.wrap(FakeEncoder(16), allow_other_encoder=True).encode_texts(["a doctor"]).shape == (1, 16)
    unnamed = random_projection(16, 2)
    assert unnamed.wrap(FakeEncoder(16)).encode_texts(["a doctor"]).shape == (1, 16)


def test_operators_stack(base, operator):
    twice = random_projection(16, 2).wrap(operator.wrap(base))
    assert twice.encode_texts(["a doctor"]).shape == (1, 16)
    assert operator.fingerprint in twice.card.weights


def test_a_loaded_operator_wraps(base, operator, tmp_path):
    operator.save(tmp_path / "x")
    wrapped = LinearOperator.load(tmp_path / "x").wrap(base)
    np.testing.assert_array_equal(wrapped.encode_texts(["a doctor"]), operator.wrap(base).encode_texts(["a doctor"]))
