"""An encoder whose vectors pass through an operator; it is an encoder again, so every measurement runs on it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ...errors import OperatorError
from .base import Operator

if TYPE_CHECKING:
    from ...sources.encoders import Encoder, EncoderCard

FORWARDED = ("preprocess", "over_length", "unknown_words", "close")


class VanishedWarning(UserWarning):
    """A vector lies in the removed subspace: it has no direction left and is returned as zeros."""


@final
class WrappedEncoder:
    """`encoder` after `operator`: unit rows in, not renormalised out; images untouched unless asked for.

    A text that lies in the removed subspace becomes a zero vector: it is listed in `vanished` and warned about once.
    """

    def __init__(self, operator: Operator, encoder: Encoder, *, images: bool) -> None:
        self.operator = operator
        self.encoder = encoder
        self.images = images
        self.vanished: list[str] = []
        self._warned = False

    @property
    def card(self) -> EncoderCard:
        """The encoder's card, whose weights name the operator, its fingerprint and the sides that it treats."""
        card = self.encoder.card
        sides = "text+image" if self.images else "text"
        weights = f"{card.weights} + {self.operator.card.method} operator {self.operator.fingerprint} on {sides}"
        return dataclasses.replace(card, weights=weights)

    @property
    def image_card(self) -> EncoderCard:
        """The card of the image vectors, which a repair of texts leaves as they were."""
        return self.card if self.images else self.encoder.card

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Text vectors float32 ``[n, d]`` after the operator."""
        vectors = self._apply(self.encoder.encode_texts(texts))
        zero = np.flatnonzero(~vectors.any(axis=1)).tolist()
        if zero:
            self.vanished += [texts[i] for i in zero if texts[i] not in self.vanished]
            self._warn(f"{len(zero)} texts, first {texts[zero[0]]!r},")
        return vectors

    def encode_images(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Image vectors float32 ``[n, d]``, through the operator only if the wrapper was made with ``images=True``."""
        vectors = self.encoder.encode_images(images)
        return self._treated(vectors)

    def __getattr__(self, name: str) -> Any:
        # Optional capabilities exist here if and only if the wrapped encoder has them.
        if name in FORWARDED:
            return getattr(self.encoder, name)
        if name == "encode_preprocessed":
            inner = getattr(self.encoder, name)
            return lambda batch: self._treated(inner(batch))
        if name == "encode_pixels":
            inner = getattr(self.encoder, name)
            return (lambda pixels: self._through(inner(pixels))) if self.images else inner
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _treated(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self.images:
            return vectors
        treated = self._apply(vectors)
        zero = int((~treated.any(axis=1)).sum())
        if zero:
            self._warn(f"{zero} images")
        return treated

    def _apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = np.asarray(vectors, dtype=np.float32)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(self.operator(rows / np.where(length == 0, 1.0, length)), dtype=np.float32)

    def _through(self, tensor: Any) -> Any:
        return self.operator(tensor / tensor.norm(dim=-1, keepdim=True).clamp_min(1e-12))

    def _warn(self, what: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{what} lie in the subspace that the operator removes: their vectors are zero and have no direction. "
                "Texts that name the removed attribute need the unwrapped encoder.",
                VanishedWarning,
                stacklevel=3,
            )


def wrap(operator: Operator, encoder: Encoder, *, images: bool, allow_other_encoder: bool) -> WrappedEncoder:
    """`Operator.wrap`, as a function."""
    card = encoder.card
    if card.dim != operator.dim:
        raise OperatorError(
            f"the operator takes vectors of width {operator.dim}, the encoder {card.name!r} makes {card.dim}. "
            "Fit an operator on this encoder."
        )
    differing = card.differences(operator.card.encoder)
    if differing and not allow_other_encoder:
        raise OperatorError(
            f"the operator was fitted on another encoder: {differing}. Fit one on this "
            "encoder, or pass allow_other_encoder=True if the vectors are known to be the same."
        )
    return WrappedEncoder(operator, encoder, images=images)
