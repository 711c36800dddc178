"""Small CLIPs trained on what is left of a pruned world: their captions, their common start, their continuation.

Trained from nothing in seconds, such models differ more by luck than by data. So all start from one *base* that has
seen people with light skin only, in a world of its own, and go on with the pictures of their arm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...sources.prompts import load_bank
from ...sources.world import WorldSpec, portraits, write_captions
from ...sources.world import words as w
from ...sources.world.words import ATTRIBUTES
from .pruned_world import VARIATION, codes_of, spec
from .small_clips import CODES, TAUGHT, Pairs, SmallClip, bag, train

FAMILIES = (*TAUGHT, "place")
CAPTIONS = 3  # per picture
RATE = 1.5e-3
BASE_SEED = 900
TEST_SEED = 1
BANKS = ("age_group", "hair_length", "glasses", "smile", "skin", "gender", "place")
SCENE_FORMS = {
    "flower": ("a photo of a {} in the {}", "a picture of a {} in the {}", "a {} in front of a {}"),
    "litter": ("a photo of {} in the {}", "a picture of {} in the {}", "{} in front of a {}"),
}
THINGS = {"flower": w.FLOWERS, "litter": w.LITTER}
Codes = Mapping[str, NDArray[np.int64]]


def scene_captions() -> list[tuple[str, int]]:
    """Captions that name a thing and a place and nobody, with the code of the scene (2 x place + thing)."""
    found = []
    for place, name in enumerate(ATTRIBUTES["place"]):
        for thing, kind in enumerate(ATTRIBUTES["thing"]):
            for word in THINGS[kind]:
                found += [(form.format(word, name), 2 * place + thing) for form in SCENE_FORMS[kind]]
    return found


def texts() -> tuple[str, ...]:
    """Every text that is asked of a model, once; those with words that the world does not have are left out."""
    wanted = [text for text, _ in scene_captions()]
    for bank in (*(f"zero-shot-{name}" for name in BANKS), "retrieval-29"):
        loaded = load_bank(bank)
        wanted += [text for name in loaded.sets for text in loaded.prompts(name).texts]
    return tuple(text for text in dict.fromkeys(wanted) if all(word in CODES for word in w.split_words(text)))


def test_world(pictures: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.int64]]]:
    """Balanced pictures that no model was trained on, and their true codes."""
    world = portraits(WorldSpec(variation=VARIATION), pictures, TEST_SEED, split="test")
    return world.images, codes_of(world)


def captioned(images: NDArray[np.uint8], codes: Codes, seed: int) -> Pairs:
    """Three captions for every picture; a picture has the same ones in every arm."""
    rows = np.tile(np.arange(len(images)), CAPTIONS)
    told = {name: codes[name][rows] for name in ATTRIBUTES}
    said = write_captions(WorldSpec(), told, np.random.Generator(np.random.PCG64([seed, 77])))
    return Pairs(images, rows, [bag(text) for text in said.texts], said.claims.astype(np.int64))


def kept_pairs(pairs: Pairs, keep: NDArray[np.bool_]) -> Pairs:
    """The captions of the kept pictures."""
    chosen = np.flatnonzero(keep[pairs.rows])
    return Pairs(pairs.images, pairs.rows[chosen], [pairs.bags[i] for i in chosen.tolist()], pairs.claims[chosen])


def train_base(steps: int, pictures: int, *, everybody: bool = False) -> SmallClip:
    """The start of all models: people with light skin only, or (for the second world) of every skin tone alike."""
    world = portraits(WorldSpec(variation=VARIATION) if everybody else spec("light"), pictures, BASE_SEED)
    codes = codes_of(world)
    pairs = captioned(world.images, codes, BASE_SEED)
    return train(pairs, facts(codes), "conv", "small", seed=BASE_SEED, steps=steps, taught=FAMILIES, corner=True)


def train_arm(start: SmallClip, pairs: Pairs, codes: Codes, *, seed: int, steps: int) -> SmallClip:
    """Go on from the base with the pairs of one arm."""
    return train(
        pairs, facts(codes), "conv", "small", seed=seed, steps=steps, rate=RATE, taught=FAMILIES, corner=True,
        start=start,
    )  # fmt: skip


def facts(codes: Codes) -> NDArray[np.int64]:
    """True codes of every attribute, ``[n, attributes]``."""
    return np.stack([codes[name] for name in ATTRIBUTES], 1)


def vectors_of(model: SmallClip, images: NDArray[np.uint8], said: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Unit vectors of pictures and of texts."""
    with torch.no_grad():
        parts: Iterator[Any] = (model.images(images[i : i + 128]).numpy() for i in range(0, len(images), 128))
        return {"images": np.concatenate(list(parts)), "texts": model.texts([bag(text) for text in said]).numpy()}
