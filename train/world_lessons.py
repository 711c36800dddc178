"""What the world's CLIP is taught with: captions that name one thing, what they fit, and the contrastive loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch.nn import functional

from fairvl.sources.world import WorldSpec
from fairvl.sources.world import words as w
from fairvl.sources.world.captions import CONCEPTS, concept_shares
from fairvl.sources.world.words import ATTRIBUTES


def matches(claims: torch.Tensor, facts: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Which pictures [b] each caption [t] is true of: those that show all it claims; what only words say, its own."""
    seen = len(ATTRIBUTES)
    visible = claims[:, None, :seen]
    fits = ((visible == -1) | (visible == facts[None])).all(-1)
    fits &= (claims[:, seen:] == -1).all(-1)[:, None]
    return fits | own


def contrast(logits: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against a uniform target over everything that fits, both ways round."""
    target = fits.float()
    by_text = -(target / target.sum(1, keepdim=True) * functional.log_softmax(logits, 1)).sum(1)
    by_image = -(target / target.sum(0, keepdim=True) * functional.log_softmax(logits, 0)).sum(0)
    return (by_text.mean() + by_image.mean()) / 2


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


@cache
def value_captions() -> dict[str, list[list[str]]]:
    """Per family, per value: short captions that name this value and nothing else."""

    def adjective(options: Sequence[str]) -> list[str]:
        return [form.format(word) for word in options for form in w.ADJECTIVE_FORMS]

    def noun(options: Sequence[str], forms: Sequence[str] = w.NOUN_FORMS) -> list[str]:
        return [form.format(word) for word in options for form in forms]

    def phrase(options: Sequence[str]) -> list[str]:
        return [form.format(text) for text in options for form in w.PHRASE_FORMS]

    def pronoun(options: Sequence[str]) -> list[str]:
        return [text for word in options for text in w.PRONOUN_FORMS[word]]

    pools = {name: [phrase(options) for options in w.PHRASES[name].values()] for name in w.PHRASES}
    for code, value in enumerate(("short", "long")):
        pools["hair_length"][code] += [f"{value} hair"] * 4
    for code, value in enumerate(("light", "dark")):
        pools["skin"][code] += [f"{value} skin"] * 4
    for name, forms in (("occupation", w.NOUN_FORMS), ("place", w.NOUN_FORMS[:7])):
        pools[name] = [pool + noun([value], forms) for pool, value in zip(pools[name], ATTRIBUTES[name], strict=True)]
    pools["smile"] = [
        pool + adjective([value]) for pool, value in zip(pools["smile"], ATTRIBUTES["smile"], strict=True)
    ]
    pools["age_group"] = [adjective(w.YOUNG), adjective(w.OLD)]
    pools["gender"] = [
        noun(w.FEMALE_NOUNS) + 3 * pronoun(w.FEMALE_PRONOUNS),
        noun(w.MALE_NOUNS) + 3 * pronoun(w.MALE_PRONOUNS),
    ]
    things = [
        noun(options, w.NOUN_FORMS[:7])
        + [
            f"{start}{form.format(word)}"
            for word in options
            for form in w.THING_PHRASES
            for start in ("a person ", "a photo of a person ", "a photo of a person ")
        ]
        for options in (w.FLOWERS, w.LITTER)
    ]
    things[0] += [text.replace("next to ", "next to a ").replace("beside ", "beside a ") for text in things[0]]
    pools["thing"] = things
    ordered = {name: pools[name] for name in ATTRIBUTES}
    ordered["mood"] = [noun(options, w.MOOD_FORMS) for options in (w.LOVELY, w.GRIM)]
    return ordered
