"""A world in which ordinary deduplication hurts a minority, and its subsets of one size.

Perceived skin tone is the attribute; people with dark skin are the minority. Two draws of one seed make the store:
people with light skin, and half as many with dark skin *in the same scenes*, pose and colours included. Of the pictures
with dark skin 70 % are near-copies of others, of those with light skin none. So what is shown in dark skin lies in the
middle of its near-duplicates and its light twin at their edge, and a rule that keeps the one farthest from the centroid
keeps the twin. A rule that looks at whom it keeps has a choice.

A second world (`draw_context`) has as many people of either skin tone in every place, but near-copies of those with
dark skin in two of the places and of those with light skin in the other two: nothing ties skin to place until pruning
does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...repair.dedup import assign, membership, spherical_kmeans
from ...repair.dedup.neighbours import neighbours
from ...repair.dedup.select import select
from ...sources.encoders import Encoder
from ...sources.prompts import load_bank
from ...sources.world import Portraits, WorldSpec, portraits
from ...sources.world.words import ATTRIBUTES

ARMS = ("full", "random", "semdedup", "fairdedup", "fair")
VARIATION = 0.15  # models that train in seconds learn poses that hardly vary
COPIES = 0.7  # share of near-copies among pictures of people with dark skin
CONTEXT = 384  # pictures per skin tone and pair of places in the second world
CONTEXT_COPIES = 0.5
CONTEXT_SEEDS = 5000  # the two pairs of places show other people
PER_CLUSTER = 12
LEAST = 0.7  # the pass lists pairs above this cosine
TEMPERATURE = 0.25


@dataclass(frozen=True)
class Sizes:
    """Pictures of each draw."""

    light: int = 1024
    dark: int = 512


@dataclass(frozen=True, eq=False)
class PrunedWorld:
    """The store before pruning: pictures, their true attribute codes, and unit vectors of an encoder."""

    images: NDArray[np.uint8]
    codes: Mapping[str, NDArray[np.int64]]
    copies: NDArray[np.bool_]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.images)


def spec(skin: str, copies: float = 0.0, places: Sequence[str] = ()) -> WorldSpec:
    """A world of one skin tone in these places (all by default) with that share of near-copies; no more is planted."""
    shares = {"skin": {value: float(value == skin) for value in ATTRIBUTES["skin"]}}
    if places:
        shares["place"] = {value: (value in places) / len(places) for value in ATTRIBUTES["place"]}
    return WorldSpec(shares=shares, duplicate_of="skin", duplicates={skin: copies}, variation=VARIATION)


def draw_world(encoder: Encoder, seed: int, sizes: Sizes = Sizes()) -> PrunedWorld:
    """Draw both parts of a seed and embed them."""
    return _together(
        encoder,
        (portraits(spec("light"), sizes.light, seed), portraits(spec("dark", COPIES), sizes.dark, seed)),
    )


def draw_context(encoder: Encoder, seed: int, each: int = CONTEXT) -> PrunedWorld:
    """`each` pictures per skin tone and pair of places; the near-copies are dark in one pair and light in the other."""
    one, two = ATTRIBUTES["place"][:2], ATTRIBUTES["place"][2:]
    return _together(
        encoder,
        (
            portraits(spec("light", 0.0, one), each, seed),
            portraits(spec("dark", CONTEXT_COPIES, one), each, seed),
            portraits(spec("light", CONTEXT_COPIES, two), each, seed + CONTEXT_SEEDS),
            portraits(spec("dark", 0.0, two), each, seed + CONTEXT_SEEDS),
        ),
    )


def _together(encoder: Encoder, draws: Sequence[Portraits]) -> PrunedWorld:
    images = np.concatenate([part.images for part in draws])
    codes = {name: np.concatenate([codes_of(part)[name] for part in draws]) for name in ATTRIBUTES}
    copies = np.concatenate([np.asarray(part.truth["duplicate_of"], np.int64) >= 0 for part in draws])
    return PrunedWorld(images, codes, copies, embedded(encoder, images))


def codes_of(world: Portraits) -> dict[str, NDArray[np.int64]]:
    """True attribute codes of drawn pictures."""
    return {name: np.array([values.index(v) for v in world.truth[name]]) for name, values in ATTRIBUTES.items()}


def embedded(encoder: Encoder, images: NDArray[np.uint8], batch: int = 256) -> NDArray[np.float32]:
    """Unit vectors of pictures."""
    parts = [encoder.encode_images(list(images[i : i + batch])) for i in range(0, len(images), batch)]
    return _unit(np.concatenate(parts))


def prototype_cosines(encoder: Encoder, vectors: NDArray[np.float32], bank: str = "zero-shot-skin") -> Any:
    """Cosine of every row with the unit mean of each set of a bank's prompts, ``[n, p]``."""
    loaded = load_bank(bank)
    texts = [loaded.prompts(name).texts for name in loaded.sets]
    rows = _unit(np.stack([_unit(encoder.encode_texts(list(group))).mean(axis=0) for group in texts]))
    return vectors @ rows.T


def keep_masks(
    world: PrunedWorld,
    encoder: Encoder,
    *,
    keep: float = 0.5,
    seed: int = 0,
    arms: Sequence[str] = ARMS,
    crossed: str | None = None,
) -> dict[str, NDArray[np.bool_]]:
    """Which rows each arm trains on; all but "full" are of one size.

    Nobody's label is used: concepts are the cosines with the prototypes of the bank ``zero-shot-skin``, as they are
    for "fairdedup" (the published rule, ledger per cluster) and as calibrated soft membership for "fair" (target
    population, one ledger for the store). With `crossed`, "fair" crosses it with the memberships of that bank.
    """
    n = len(world)
    centroids = spherical_kmeans(world.vectors, max(1, n // PER_CLUSTER), seed=seed).centroids
    found = neighbours(world.vectors, threshold=LEAST, clusters=assign(world.vectors, centroids).clusters)
    cosines = prototype_cosines(encoder, world.vectors)
    chosen = partial(select, found, keep=keep, centroid=centroids)
    masks: dict[str, NDArray[np.bool_]] = {}
    for arm in arms:
        if arm == "full":
            masks[arm] = np.ones(n, bool)
        elif arm == "random":
            masks[arm] = np.zeros(n, bool)
            masks[arm][np.random.default_rng([seed, 50]).permutation(n)[: round(keep * n)]] = True
        elif arm == "semdedup":
            masks[arm] = chosen(policy="semdedup").kept
        elif arm == "fairdedup":
            masks[arm] = chosen(policy="fairdedup", concepts=cosines).kept
        else:
            scores = membership(cosines, temperature=TEMPERATURE)
            if crossed is not None:
                other = membership(prototype_cosines(encoder, world.vectors, crossed), temperature=TEMPERATURE)
                scores = (scores[:, :, None] * other[:, None]).reshape(n, -1)
            masks[arm] = chosen(policy="fair", concepts=scores, target="population", ledger="global").kept
    return masks


def _unit(vectors: Any) -> NDArray[np.float32]:
    rows = np.asarray(vectors, np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)
