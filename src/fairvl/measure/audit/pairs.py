"""Images and their captions: what the recall of an audit is measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...arrays import FloatArray, unit_rows
from ...sources.encoders import Encoder
from .material import Images, gather_texts

MOST = 5000  # pairs; recall depends on how many there are, and this many is usual


@dataclass(frozen=True, eq=False)
class Pairs:
    """Distinct captions and the images that have them.

    Parameters
    ----------
    texts
        ``float32 [m, d]``: unit vectors of the distinct captions.
    rows
        ``[n]``: places of the images among those of the audit.
    caption
        ``[n]``: which caption each of them has.
    left_out
        Captioned images beyond `MOST`, which were left out at random.
    """

    texts: FloatArray
    rows: NDArray[np.int64]
    caption: NDArray[np.int64]
    left_out: int


def gather_pairs(encoder: Encoder, images: Images | None, seed: int) -> Pairs | None:
    """The captioned images with the vectors of their captions; None where there are fewer than two captions.

    Images with one and the same caption share it. Captions are encoded, or taken from the store that the images are of;
    one that the encoder cannot answer is left out with its image.
    """
    if images is None or not images.captions or "text" not in encoder.card.modalities:
        return None
    stored = images.caption_vectors
    if stored is None:
        known = np.flatnonzero([bool(text) for text in images.captions])
    else:
        known = np.flatnonzero(np.isfinite(stored).all(axis=1) & stored.any(axis=1))
    left_out = max(0, len(known) - MOST)
    if left_out:
        known = np.sort(np.random.default_rng([seed, 7]).choice(known, MOST, replace=False))
    names = [images.captions[i] or f"row {i}" for i in known]
    distinct = list(dict.fromkeys(names))
    if stored is None:
        answered = gather_texts(encoder, distinct)
        place, vectors = answered.index, answered.vectors
    else:
        place = {name: code for code, name in enumerate(distinct)}
        first = {name: int(row) for row, name in zip(known[::-1], names[::-1], strict=True)}
        vectors = stored[[first[name] for name in distinct]]
    kept = [(int(row), place[name]) for row, name in zip(known, names, strict=True) if name in place]
    if len({code for _, code in kept}) < 2:
        return None
    rows, caption = np.array(kept, dtype=np.int64).T
    return Pairs(unit_rows(vectors, "captions", dtype=np.float32), rows, caption, left_out)
