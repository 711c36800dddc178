"""A user's own functions, the (model, transform, tokenizer) triple, and the conformance checks themselves."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import EncoderError
from fairvl.sources.encoders import EncoderCard, FakeEncoder, check_encoder, encoder, from_triple, load_encoder

FAKE = FakeEncoder(dim=5)


def image_fn(images):
    assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in images)
    return FAKE.encode_images(images)


def test_functions_conform(pictures):
    own = encoder(image_fn=image_fn, text_fn=FAKE.encode_texts, name="mine")
    assert (own.card.library, own.card.name, own.card.dim) == ("callable", "mine", 5)
    check_encoder(own)
    check_encoder(own, images=pictures)


def test_functions_with_a_card_and_one_side():
    card = EncoderCard(library="tflite", name="net", weights="v1", dim=5, modalities=("image",))
    own = encoder(image_fn=image_fn, card=card)
    assert own.card is card
    check_encoder(own)
    with pytest.raises(EncoderError, match="no text side"):
        own.encode_texts(["a"])
    with pytest.raises(EncoderError, match="modalities"):
        encoder(text_fn=FAKE.encode_texts, card=card)


def test_tensors_and_lists_are_accepted(torch):
    own = encoder(text_fn=lambda texts: torch.ones(len(texts), 3, dtype=torch.bfloat16, requires_grad=True))
    assert own.encode_texts(["a", "b"]).dtype == np.float32
    assert encoder(text_fn=lambda texts: [[1, 2] for _ in texts]).card.dim == 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda texts: np.ones((1, 3)), "one row per input"),
        (lambda texts: np.ones(len(texts)), "one row per input"),
        (lambda texts: np.full((len(texts), 3), np.nan), "NaN or infinity in 2 rows"),
        (lambda texts: np.array([["a"] * 3] * len(texts)), "expected numbers"),
        (lambda texts: [[1.0], [1.0, 2.0]], "different lengths"),
    ],
)
def test_wrong_results_of_a_function(function, message):
    card = EncoderCard(library="callable", name="bad", weights="", dim=3, modalities=("text",))
    with pytest.raises(EncoderError, match=message):
        encoder(text_fn=function, card=card).encode_texts(["a", "b"])


def test_wrong_arguments():
    with pytest.raises(EncoderError, match="got no function"):
        encoder()
    with pytest.raises(EncoderError, match="expected a callable"):
        encoder(text_fn="model")
    with pytest.raises(EncoderError, match="different widths"):
        encoder(image_fn=image_fn, text_fn=lambda texts: np.ones((len(texts), 2)))


@pytest.fixture
def triple(open_clip_folder):
    import open_clip

    name = f"local-dir:{open_clip_folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    return model.eval(), transform, open_clip.get_tokenizer(name)


def test_triple_equals_the_adapter(triple, open_clip_folder, pictures):
    own, loaded = from_triple(triple, name="tiny"), load_encoder(f"open_clip:local-dir:{open_clip_folder}")
    check_encoder(own)
    np.testing.assert_allclose(own.encode_images(pictures), loaded.encode_images(pictures), atol=1e-5)
    np.testing.assert_allclose(own.encode_texts(["a dog"]), loaded.encode_texts(["a dog"]), atol=1e-5)
    assert own.over_length(["dog " * 20, "dog"]) == [0]
    assert own.card.name == "tiny"
    assert from_triple(*triple).card.preprocessing == own.card.preprocessing


def test_triple_in_training_mode_is_refused(triple, torch):
    model, transform, tokenizer = triple
    model.visual.normalise = torch.nn.BatchNorm1d(12)
    model.visual.normalise.train()
    with pytest.raises(EncoderError, match=r"1 submodules are in training mode.*visual\.normalise \(BatchNorm1d\)"):
        from_triple(model, transform, tokenizer)
    model.train()
    with pytest.raises(EncoderError, match=r"visual\.normalise \(BatchNorm1d\).*model\.eval\(\)"):
        from_triple(model, transform, tokenizer)
    from_triple(model.eval(), transform, tokenizer)


def test_training_mode_is_what_the_refusal_prevents(torch):
    # Power: in training mode the same input gives another result, which is why it is refused.
    layer = torch.nn.Dropout(0.5).train()
    assert not torch.equal(layer(torch.ones(100)), layer(torch.ones(100)))


def test_incomplete_triples(triple):
    model, transform, tokenizer = triple
    with pytest.raises(EncoderError, match="got 2 parts"):
        from_triple((model, transform))
    with pytest.raises(EncoderError, match="the tokenizer is NoneType"):
        from_triple(model, transform)
    with pytest.raises(EncoderError, match=r"has no encode_image\(\)"):
        from_triple(object(), transform, tokenizer)
    with pytest.raises(EncoderError, match="cannot encode a probe"):
        from_triple(model, transform, lambda texts: np.full((len(texts), 16), 10**6))


class Broken(FakeEncoder.__mro__[-1]):
    """A fake whose parts can be replaced."""

    def __init__(self, **parts):
        self._fake = FakeEncoder()
        self.card = self._fake.card
        self.encode_images = parts.get("images", self._fake.encode_images)
        self.encode_texts = parts.get("texts", self._fake.encode_texts)


def test_conformance_passes_the_unbroken():
    check_encoder(Broken())


def _shared():
    buffer = np.zeros((64, 16), np.float32)

    def encode(texts):
        vectors = FakeEncoder().encode_texts(texts)
        buffer[: len(vectors)] = vectors
        return buffer[: len(vectors)]

    return encode


def _by_batch(texts):
    return FakeEncoder().encode_texts(texts) * np.float32(1 + 0.001 * len(texts))


def _noisy(texts):
    vectors = FakeEncoder().encode_texts(texts)
    return vectors + np.random.default_rng().normal(size=vectors.shape).astype(np.float32)


def _painting(images):
    for image in images:
        if isinstance(image, np.ndarray):
            image[:] = 0
    return FakeEncoder().encode_images(images)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"texts": _by_batch}, "text: one by one"),
        ({"texts": _noisy}, "text: same again"),
        ({"texts": lambda t: FAKE.encode_texts(t)}, "returned shape"),
        ({"texts": lambda t: FakeEncoder().encode_texts(t).astype(np.float64)}, "float32"),
        ({"texts": lambda t: FakeEncoder().encode_texts(t) if len(t) else None}, "text: empty list"),
        ({"texts": lambda t: np.ones((len(t), 16), np.float32)}, "inputs differ"),
        ({"texts": _shared()}, "result is a copy"),
        ({"texts": lambda t: FakeEncoder().encode_texts(list(t))}, "one string refused"),
        ({"images": _painting}, "image: input not changed"),
    ],
)
def test_conformance_finds_what_is_broken(parts, message):
    pictures = [np.full((4, 4, 3), value, np.uint8) for value in (1, 2, 3)]
    with pytest.raises(EncoderError, match=message):
        check_encoder(Broken(**parts), images=pictures)


def test_conformance_of_something_else():
    with pytest.raises(EncoderError, match="lacks card"):
        check_encoder(object())
