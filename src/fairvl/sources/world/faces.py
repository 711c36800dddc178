"""Aligned faces: portraits whose pose does not vary, cut around the head, as face datasets are cropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.seam import EncoderCard
from .generator import Portraits, portrait_blocks
from .spec import WorldSpec

SIZE = 32
CENTRE = (-0.2, 0.0)  # of the head in pictures that run from -1 to 1: down, right


def faces(
    spec: WorldSpec, n: int, seed: int = 0, *, split: str = "train", start: int = 0, size: int = SIZE
) -> Portraits:
    """Rows `start` to ``start + n`` of the world of `spec`, as square cuts of half the picture around the head.

    Everything but the pictures is that of `portraits`; occupation and thing lie mostly outside the cut.

    Examples
    --------
    >>> faces(WorldSpec(), 2, seed=1).images.shape
    (2, 32, 32, 3)
    """
    parts = list(face_blocks(spec, n, seed, split=split, start=start, size=size))
    return Portraits(
        np.concatenate([part.images for part in parts]),
        tuple(text for part in parts for text in part.captions),
        {name: np.concatenate([part.attributes[name] for part in parts]) for name in parts[0].attributes},
        {name: np.concatenate([part.truth[name] for part in parts]) for name in parts[0].truth},
    )


def face_blocks(
    spec: WorldSpec, n: int, seed: int = 0, *, split: str = "train", start: int = 0, size: int = SIZE
) -> Iterator[Portraits]:
    """The same rows, a block of at most 256 at a time."""
    still = replace(spec, variation=0.0, size=2 * size)
    top, left = (round((1 + place) * size - size / 2) for place in CENTRE)
    for part in portrait_blocks(still, n, seed, split=split, start=start):
        cut = np.ascontiguousarray(part.images[:, top : top + size, left : left + size])
        yield replace(part, images=cut)


def framed(pixels: Any, frame: int = 48) -> Any:
    """Faces as the world's scenes show them: reduced to half the picture, on a grey ground; differentiable.

    Parameters
    ----------
    pixels : float tensor [n, 3, h, w] in [0, 1]
    frame : int
        Side of the picture.

    Returns
    -------
    tensor [n, 3, frame, frame]
    """
    import torch
    from torch.nn import functional

    half = frame // 2
    small = functional.interpolate(pixels, size=(half, half), mode="bilinear", antialias=True, align_corners=False)
    top, left = (round((1 + place) * half - half / 2) for place in CENTRE)
    ground = torch.full((len(pixels), 3, frame, frame), 0.5, dtype=small.dtype, device=small.device)
    inside = functional.pad(small.clamp(0, 1), (left, half - left, top, half - top))
    mask = functional.pad(torch.ones_like(small), (left, half - left, top, half - top))
    return ground * (1 - mask) + inside


class FaceEncoder:
    """An encoder of the world's scenes that is shown faces, each in a `framed` picture."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder

    @property
    def card(self) -> EncoderCard:
        """That of the encoder, with the framing in its preprocessing."""
        card: EncoderCard = self.encoder.card
        return replace(card, preprocessing=f"framed+{card.preprocessing}")

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The encoder's own text vectors."""
        vectors: NDArray[np.float32] = self.encoder.encode_texts(texts)
        return vectors

    def encode_images(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Vectors [n, d] of uint8 faces [n, h, w, 3]."""
        import torch

        parts = []
        for start in range(0, len(images), 256):
            batch = np.stack([np.asarray(image) for image in images[start : start + 256]])
            with torch.no_grad():
                parts.append(self.encode_pixels(torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255).numpy())
        return np.concatenate(parts)

    def encode_pixels(self, pixels: Any) -> Any:
        """Differentiable vectors of a float tensor [n, 3, h, w] in [0, 1]."""
        return self.encoder.encode_pixels(framed(pixels))
