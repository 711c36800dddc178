"""What every encoder must do, as checks that anybody can run on their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...errors import EncoderError, FairVLError
from .images import probe_images
from .seam import Encoder, EncoderCard

TEXTS = ("a photo of a person", "a doctor", "two dogs in a park", "a very old house, near a river", "cats")


def check_encoder(
    encoder: Encoder,
    *,
    images: Sequence[Any] | None = None,
    texts: Sequence[str] | None = None,
    tolerance: float = 1e-5,
) -> tuple[str, ...]:
    """Run the conformance checks; return their names, or raise with every check that failed.

    Parameters
    ----------
    encoder : Encoder
        The encoder to check.
    images, texts : sequence, optional
        What to encode, at least two of each. By default fixed pictures and short English texts; an encoder that
        answers only for what it stores needs its own here (ids for images).
    tolerance : float
        Largest difference, relative to the longest vector, that batch size and repetition may make.

    Raises
    ------
    EncoderError
        At least one check failed; the message lists all of them.

    Examples
    --------
    >>> from fairvl.sources.encoders import FakeEncoder
    >>> check_encoder(FakeEncoder())[:2]
    ('card', 'image: input not changed')
    """
    done: list[str] = []
    failed: list[str] = []

    def check(name: str, test: Callable[[], str | None]) -> None:
        try:
            problem = test()
        except Exception as error:  # a conformance report lists crashes like any other failure
            problem = f"{type(error).__name__}: {error}"
        done.append(name)
        if problem:
            failed.append(f"{name}: {problem}")

    check("card", lambda: _card(encoder))
    if failed:
        raise EncoderError(f"the encoder does not conform: {failed[0]}")
    pictures: Sequence[Any] = _pictures() if images is None else images
    sides: list[tuple[str, Callable[[Any], Any], Sequence[Any]]] = []
    if "image" in encoder.card.modalities:
        sides.append(("image", encoder.encode_images, pictures))
    if "text" in encoder.card.modalities:
        sides.append(("text", encoder.encode_texts, list(TEXTS if texts is None else texts)))
    if "image" in encoder.card.modalities:
        check("image: input not changed", lambda: _unchanged(encoder, pictures))  # first: the others would hide it
    for side, encode, items in sides:
        check(f"{side}: shape and dtype", lambda e=encode, i=items: _shape(e(i), len(i), encoder.card))  # type: ignore[misc]
        check(f"{side}: empty list", lambda e=encode: _shape(e([]), 0, encoder.card))  # type: ignore[misc]
        check(f"{side}: same again", lambda e=encode, i=items: _close(e(i), e(i), tolerance))  # type: ignore[misc]
        check(f"{side}: one by one", lambda e=encode, i=items: _close(e(i), _singly(e, i), tolerance))  # type: ignore[misc]
        check(f"{side}: batch of 32", lambda e=encode, i=items: _batches(e, i, tolerance))  # type: ignore[misc]
        check(f"{side}: inputs differ", lambda e=encode, i=items: _distinct(e(i)))  # type: ignore[misc]
        check(f"{side}: result is a copy", lambda e=encode, i=items: _fresh(e, i))  # type: ignore[misc]
    if "text" in encoder.card.modalities:
        check("text: one string refused", lambda: _refused(lambda: encoder.encode_texts("a person")))
    preprocess = getattr(encoder, "preprocess", None)
    if preprocess is not None and images is None:
        check("image: preprocess", lambda: _halves(encoder, preprocess, pictures, tolerance))
    if failed:
        raise EncoderError(f"the encoder fails {len(failed)} of {len(done)} checks: " + "; ".join(failed))
    return tuple(done)


def _pictures() -> list[Any]:
    wide, tall, small, square = probe_images()
    return [wide, tall, small.convert("L"), square.convert("RGBA"), np.asarray(square)]


def _card(encoder: Any) -> str | None:
    if not isinstance(encoder, Encoder):
        return f"{type(encoder).__name__} lacks card, encode_images or encode_texts"
    return None if isinstance(encoder.card, EncoderCard) else f"card is {type(encoder.card).__name__}"


def _shape(vectors: Any, rows: int, card: EncoderCard) -> str | None:
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32:
        return f"returned {getattr(vectors, 'dtype', type(vectors).__name__)}, expected a float32 array"
    if vectors.shape != (rows, card.dim):
        return f"returned shape {vectors.shape}, expected {(rows, card.dim)}"
    return None if np.isfinite(vectors).all() else "returned NaN or infinity"


def _close(first: Any, second: Any, tolerance: float) -> str | None:
    largest = float(np.abs(first - second).max() / max(float(np.linalg.norm(first, axis=1).max()), 1e-30))
    return None if largest <= tolerance else f"results differ by {largest:.2e} of a vector's length"


def _singly(encode: Callable[[Any], Any], items: Sequence[Any]) -> Any:
    return np.concatenate([encode([item]) for item in items])


def _batches(encode: Callable[[Any], Any], items: Sequence[Any], tolerance: float) -> str | None:
    many = [items[position % len(items)] for position in range(32)]
    return _close(_singly(encode, items), encode(many)[: len(items)], tolerance)


def _distinct(vectors: Any) -> str | None:
    return "two different inputs get one vector everywhere" if (vectors == vectors[0]).all() else None


def _fresh(encode: Callable[[Any], Any], items: Sequence[Any]) -> str | None:
    first = encode(items)
    kept = first.copy()
    second = encode(items)
    second[:] = 0
    return None if np.array_equal(first, kept) else "a later call changed an earlier result"


def _unchanged(encoder: Encoder, images: Sequence[Any]) -> str | None:
    before = [_bytes(image) for image in images]
    encoder.encode_images(images)
    return None if before == [_bytes(image) for image in images] else "encode_images changed its input"


def _bytes(image: Any) -> Any:
    if isinstance(image, Image.Image):
        return image.mode, image.size, image.tobytes()
    return image.tobytes() if isinstance(image, np.ndarray) else image


def _refused(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except FairVLError:
        return None
    return "a single string was taken for a list of letters"


def _halves(encoder: Any, preprocess: Callable[[Any], Any], images: Sequence[Any], tolerance: float) -> str | None:
    import pickle

    again = pickle.loads(pickle.dumps(preprocess))  # noqa: S301 (our own bytes: shows that workers can have it)
    batch = np.stack([again(image) for image in images])
    if batch.dtype not in (np.uint8, np.float32):
        return f"preprocess returned {batch.dtype}, expected uint8 or float32"
    return _close(encoder.encode_images(images), encoder.encode_preprocessed(batch), tolerance)
