"""What the world's CLIP is taught with: captions that name one thing, what they fit, and the contrastive loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from fairvl.reproduce.demos.small_clips import contrast, matches, value_captions
from fairvl.sources.world import WorldSpec
from fairvl.sources.world import words as w
from fairvl.sources.world.captions import CONCEPTS, concept_shares

__all__ = ["contrast", "matches", "one_word_each", "said_of", "value_captions"]


def one_word_each(rng: np.random.Generator) -> tuple[list[str], list[range], tuple[int, int]]:
    """One short caption per value of every attribute and valence, worded at random.

    Returns the texts, the rows of each family, and which pleasant and which unpleasant concept were named.
    """
    texts: list[str] = []
    families: list[range] = []
    for options in value_captions().values():
        families.append(range(len(texts), len(texts) + len(options)))
        texts += [pool[int(rng.integers(len(pool)))] for pool in options]
    named = int(rng.integers(len(w.PLEASANT))), int(rng.integers(len(w.PLEASANT), len(CONCEPTS)))
    for code in named:
        texts.append(w.ADJECTIVE_FORMS[int(rng.integers(len(w.ADJECTIVE_FORMS)))].format(CONCEPTS[code]))
    families.append(range(len(texts) - 2, len(texts)))
    return texts, families, named


def said_of(
    spec: WorldSpec, codes: Mapping[str, np.ndarray], named: tuple[int, int], rng: np.random.Generator
) -> torch.Tensor:
    """Per picture, which of two moods (of the scene) and of two concepts (of the person) is said of it: [b, 2]."""
    scene = rng.random(len(codes["thing"])) >= 0.5 + np.where(codes["thing"] == 0, 0.5, -0.5) * spec.mood
    shares = concept_shares(spec, codes)[:, named]
    person = rng.random(len(scene)) >= shares[:, 0] / shares.sum(1)
    return torch.from_numpy(np.stack([scene, person], 1).astype(np.int64))
