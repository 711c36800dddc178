"""A fake encoder that ships: equal inputs give equal unit vectors, bit for bit, on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...errors import EncoderError
from .images import check_images, to_rgb
from .seam import EncoderCard, Vectors, check_texts, empty_vectors

DEFAULT_DIM = 16


@final
class FakeEncoder:
    """Hashes instead of a model, for tests and examples; it knows nothing about what it encodes.

    Examples
    --------
    >>> fake = FakeEncoder(dim=4)
    >>> fake.encode_texts(["a person", "a person"]).shape
    (2, 4)
    """

    def __init__(self, dim: int = DEFAULT_DIM) -> None:
        self.card = EncoderCard(
            library="fake", name=f"fake:{dim}", weights="sha3", preprocessing="rgb-bytes", dim=dim, parameters=0,
            training_data="none", licence="Apache-2.0",
        )  # fmt: skip

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts' bytes."""
        keys = [b"text:" + text.encode("utf-8", "surrogatepass") for text in check_texts(texts)]
        return self._rows([self._digest(key) for key in keys])

    def encode_images(self, images: Sequence[Any]) -> Vectors:
        """Unit vectors of the images' size and RGB bytes."""
        return self._rows([self.preprocess(image) for image in check_images(images)])

    def preprocess(self, image: Any) -> NDArray[np.uint8]:
        """The digest of one image, uint8 ``[dim]``."""
        picture = to_rgb(image)
        return self._digest(b"image:" + repr(picture.size).encode() + picture.tobytes())

    def encode_preprocessed(self, batch: NDArray[Any]) -> Vectors:
        """Unit vectors of stacked digests, uint8 ``[n, dim]``."""
        if batch.dtype != np.uint8 or batch.ndim != 2 or batch.shape[1] != self.card.dim:
            raise EncoderError(f"batch of {batch.dtype} {batch.shape}; expected uint8 (n, {self.card.dim}).")
        return self._rows(list(batch))

    def _digest(self, key: bytes) -> NDArray[np.uint8]:
        return np.frombuffer(hashlib.shake_256(key).digest(self.card.dim), dtype=np.uint8)

    def _rows(self, digests: list[NDArray[np.uint8]]) -> Vectors:
        if not digests:
            return empty_vectors(self.card.dim)
        rows = np.stack(digests).astype(np.float64) - 127.5  # half-integers: sums of squares are exact, never zero
        units: Vectors = (rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))).astype(np.float32)
        return units
