"""Aligned faces: portraits whose pose does not vary, cut around the head, as face datasets are cropped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

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
