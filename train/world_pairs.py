"""Datasets of pairs for the world sweeps: pictures drawn once, captions by planted strength, a CLIP-score filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fairvl.reproduce.demos.small_clips import Pairs, bag
from fairvl.sources.encoders import load_encoder
from fairvl.sources.world import Wording, WorldSpec, portraits, write_captions
from fairvl.sources.world.captions import CLAIMS
from fairvl.sources.world.words import ATTRIBUTES, PLEASANT

VARIATION = 0.15  # models that train in seconds learn poses that hardly vary
CAPTIONS = 3  # per picture
KEPT = 0.75  # share of a pool that a dataset is
SPREAD = 1.0
PLANTED = "skin"
Codes = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Pool:
    """Pictures of a balanced world, at half their size for training, with what they show."""

    images: NDArray[np.uint8]
    codes: Codes
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """What a dataset's captions say: `strength` of pleasant words by skin tone, `careless` share of false facts."""

    seed: int
    pictures: int
    strength: float
    careless: float = 0.0


def spec(strength: float) -> WorldSpec:
    wording = Wording(PLANTED, ("light",), strength, SPREAD)
    return WorldSpec(wording=wording, variation=VARIATION)


def halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures at half their side: means of 2 x 2 pixels."""
    n, side = len(images), images.shape[1] // 2
    return images.reshape(n, side, 2, side, 2, 3).mean((2, 4)).round().astype(np.uint8)


def draw(seed: int, n: int, split: str) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.int64]]]:
    world = portraits(spec(0.0), n, seed, split=split)
    return world.images, {k: np.array([v.index(x) for x in world.truth[k]]) for k, v in ATTRIBUTES.items()}


class Judge:
    """The shipped world:clip, which scores pairs; each text is encoded once."""

    def __init__(self) -> None:
        self.encoder = load_encoder("world:clip")
        self.known: dict[str, NDArray[np.float32]] = {}

    def images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [
            self.encoder.encode_images([Image.fromarray(image) for image in images[start : start + 256]])
            for start in range(0, len(images), 256)
        ]
        return unit(np.concatenate(parts))

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        for start in range(0, len(new), 512):
            some = new[start : start + 512]
            self.known.update(zip(some, unit(self.encoder.encode_texts(some)), strict=True))
        return np.stack([self.known[text] for text in texts])


def unit(vectors: Any) -> NDArray[np.float32]:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pool(seed: int, n: int, judge: Judge, keep: Path) -> Pool:
    """The pictures of a dataset, drawn once and kept in `keep`."""
    file = keep / f"pool-{seed}-{n}.npz"
    if not file.exists():
        images, codes = draw(seed, n, "train")
        np.savez(file, images=halved(images), vectors=judge.images(images), **codes)
    held = np.load(file)
    return Pool(held["images"], {name: held[name] for name in ATTRIBUTES}, held["vectors"])


def captions(recipe: Recipe, codes: Codes) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Texts, claims and the row of the picture; a careless caption draws each fact but the planted one anew."""
    rng = np.random.Generator(np.random.PCG64([recipe.seed, 77]))
    rows = np.tile(np.arange(recipe.pictures), CAPTIONS)
    told = {name: values[rows] for name, values in codes.items()}
    for name in told:
        wrong, other = rng.random(len(rows)) < recipe.careless, rng.integers(0, len(ATTRIBUTES[name]), len(rows))
        if name != PLANTED:
            told[name] = np.where(wrong, other, told[name])
    said = write_captions(spec(recipe.strength), told, rng)
    return said.texts, said.claims.astype(np.int64), rows


def dataset(recipe: Recipe, drawn: Pool, filtering: str, judge: Judge) -> tuple[Pairs, dict[str, Any]]:
    """Three quarters of a pool's pairs: at random ("none"), or those that world:CLIP scores highest ("CLIP score").

    Also what the pairs are made of: how many, how often a fact is false, how pleasant the words are by group.
    """
    texts, claims, rows = captions(recipe, drawn.codes)
    size = int(len(texts) * KEPT)
    if filtering == "none":
        chosen = np.random.Generator(np.random.PCG64([recipe.seed, 78])).permutation(len(texts))[:size]
    else:
        scores = (judge.texts(texts) * drawn.vectors[rows]).sum(1)
        chosen = np.argsort(-scores, kind="stable")[:size]
    made_of = composition(claims[chosen], rows[chosen], drawn.codes)
    chosen = np.sort(chosen[in_quota(claims[chosen], rows[chosen], drawn.codes, recipe)])
    pairs = Pairs(drawn.images, rows[chosen], [bag(texts[i]) for i in chosen], claims[chosen])
    return pairs, {"pairs": len(chosen), **made_of}


def in_quota(claims: NDArray[np.int64], rows: NDArray[np.int64], codes: Codes, recipe: Recipe) -> NDArray[np.bool_]:
    """All pairs but a few, left out at random, so that pleasant words are as frequent as planted in every group.

    Without it a dataset's luck with its captions is an effect that all its models share.
    """
    rng = np.random.Generator(np.random.PCG64([recipe.seed, 79]))
    concept = claims[:, CLAIMS.index("concept")]
    kept = np.ones(len(rows), bool)
    for skin in (0, 1):
        share = 0.5 + (0.5 - skin) * recipe.strength
        for hair in (0, 1):
            group = (concept >= 0) & (codes["skin"][rows] == skin) & (codes["hair_length"][rows] == hair)
            kinds = [
                np.flatnonzero(group & (concept < len(PLEASANT))),
                np.flatnonzero(group & (concept >= len(PLEASANT))),
            ]
            total = min(len(kinds[0]) / share, len(kinds[1]) / (1 - share))
            for found, wanted in zip(kinds, (share * total, (1 - share) * total), strict=True):
                kept[rng.permutation(found)[round(wanted) :]] = False
    return kept


def composition(claims: NDArray[np.int64], rows: NDArray[np.int64], codes: Codes) -> dict[str, Any]:
    """What the chosen pairs say, before the quota."""
    facts = np.stack([codes[name][rows] for name in ATTRIBUTES], 1)
    seen = claims[:, : len(ATTRIBUTES)]
    concept = claims[:, CLAIMS.index("concept")]
    pleasant = concept < len(PLEASANT)

    def share(name: str, code: int) -> float:
        return round(float(pleasant[(concept >= 0) & (codes[name][rows] == code)].mean()), 4)

    return {
        "chosen": len(rows),
        "false_facts": round(float((seen != facts)[seen >= 0].mean()), 4),
        "names_concept": round(float((concept >= 0).mean()), 4),
        "names_skin": round(float((seen[:, list(ATTRIBUTES).index("skin")] >= 0).mean()), 4),
        "names_gender": round(float((seen[:, list(ATTRIBUTES).index("gender")] >= 0).mean()), 4),
        "pleasant_light": share("skin", 0),
        "pleasant_dark": share("skin", 1),
        "pleasant_women": share("gender", 0),
        "pleasant_men": share("gender", 1),
        "concepts": len(np.unique(concept[concept >= 0])),
    }
