"""From (spec, seed, split) to pictures, captions, labels and the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .captions import CLAIMS, write_captions
from .drawing import draw, sample_looks
from .spec import WorldSpec
from .words import ATTRIBUTES

SPLITS = ("train", "test", "judge", "validation")
BLOCK = 256
"""Rows that share one random stream. Row i is the same however many rows are asked for."""

Column = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Portraits:
    """A drawn world.

    Attributes
    ----------
    images : uint8 [n, size, size, 3]
    captions : tuple of n str
    attributes : dict of arrays [n]
        Recorded labels: one array of str per categorical attribute, and the floats `age` (years) and `skin_tone`
        (0 light, 1 dark). Label noise, when planted, is in here.
    truth : dict of arrays [n]
        The labels without noise, `duplicate_of` (row, or -1), `garment_shown`, `object_shown`, and `says_<claim>`: the
        code of what the caption says (-1: nothing).
    """

    images: NDArray[np.uint8]
    captions: tuple[str, ...]
    attributes: dict[str, Column]
    truth: dict[str, Column]

    def __len__(self) -> int:
        return len(self.captions)


def portraits(spec: WorldSpec, n: int, seed: int = 0, *, split: str = "train", start: int = 0) -> Portraits:
    """Draw rows `start` to ``start + n`` of the world that `spec`, `seed` and `split` define.

    Splits never share a stream, so pictures of "train", "test", "judge" and "validation" are disjoint by construction.

    Parameters
    ----------
    spec : WorldSpec
    n : int
    seed : int >= 0
    split : {"train", "test", "judge", "validation"}
    start : int
        First row; rows do not depend on it.

    Returns
    -------
    Portraits

    Raises
    ------
    InputError
        When n, seed, start or split is not usable.

    Examples
    --------
    >>> world = portraits(WorldSpec.biased(0.8), 3, seed=1)
    >>> world.images.shape, len(world.captions), sorted(world.attributes)[:3]
    ((3, 48, 48, 3), 3, ['age', 'age_group', 'gender'])
    """
    return _join(list(portrait_blocks(spec, n, seed, split=split, start=start)), spec.size)


def portrait_blocks(
    spec: WorldSpec, n: int, seed: int = 0, *, split: str = "train", start: int = 0, images: bool = True
) -> Iterator[Portraits]:
    """The same rows, a block of at most 256 at a time; ``images=False`` leaves the drawing out."""
    for name, value in (("n", n), ("seed", seed), ("start", start)):
        if value < 0:
            raise InputError(f"{name} is {value}; it must be 0 or more")
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; choose one of {list(SPLITS)}")
    for block in range(start // BLOCK, -(-(start + n) // BLOCK)):
        low, high = max(start - block * BLOCK, 0), min(start + n - block * BLOCK, BLOCK)
        yield _block(spec, seed, SPLITS.index(split), block, low, high, images)


def _block(spec: WorldSpec, seed: int, split: int, block: int, low: int, high: int, images: bool) -> Portraits:
    streams = np.random.SeedSequence(entropy=seed, spawn_key=(split, block)).spawn(5)
    people, looks, copies, words, labels = (np.random.Generator(np.random.PCG64(s)) for s in streams)
    codes = _sample_codes(spec, people)
    scene: dict[str, Column] = {**codes, **_continuous(codes, people), **sample_looks(BLOCK, looks, spec.variation)}
    scene["garment_shown"] = people.random(BLOCK) >= spec.occlusion
    scene["object_shown"] = people.random(BLOCK) >= spec.occlusion
    source = _sources(spec, codes, copies)
    picked = np.where(source < 0, np.arange(BLOCK), source)
    scene = {name: values[picked] for name, values in scene.items()}
    codes = {name: scene[name].astype(np.int64) for name in ATTRIBUTES}
    light = copies.uniform(-0.06, 0.06, BLOCK).astype(np.float32)
    scene["light"] = scene["light"].astype(np.float32) + np.where(source >= 0, light, 0)
    captions = write_captions(spec, codes, words)
    rows = slice(low, high)
    pictures = np.empty((0, spec.size, spec.size, 3), np.uint8)
    if images:
        noise = looks.standard_normal((BLOCK, spec.size, spec.size, 3), dtype=np.float32)[rows] * np.float32(0.02)
        pictures = draw({name: values[rows] for name, values in scene.items()}, noise, spec.size)
    truth = _labels(codes, scene)
    recorded = _labels({name: _noisy(spec, name, values, labels) for name, values in codes.items()}, scene)
    truth |= {"duplicate_of": np.where(source < 0, -1, source + block * BLOCK)}
    truth |= {name: scene[name] for name in ("garment_shown", "object_shown")}
    truth |= {f"says_{name}": captions.claims[:, i] for i, name in enumerate(CLAIMS)}
    return Portraits(
        images=pictures,
        captions=tuple(captions.texts[rows]),
        attributes={name: values[rows] for name, values in recorded.items()},
        truth={name: values[rows] for name, values in truth.items()},
    )


def _sample_codes(spec: WorldSpec, rng: np.random.Generator) -> dict[str, NDArray[np.int64]]:
    codes: dict[str, NDArray[np.int64]] = {}
    # Two numbers per attribute whatever the spec plants, so worlds of different strength share all other draws.
    draws = {name: rng.random((2, BLOCK)) for name in ATTRIBUTES}
    for name in spec.order():
        values = ATTRIBUTES[name]
        given = spec.shares.get(name)
        base = np.array([given.get(v, 0.0) if given else 1 / len(values) for v in values])
        table = np.tile(base, (BLOCK, 1))
        for plant in (p for p in spec.plants if p.attribute == name):
            for value, preferred in plant.prefer.items():
                rows = codes[plant.given] == ATTRIBUTES[plant.given].index(value)
                pull = np.isin(values, preferred) / len(preferred)
                table[rows] = (1 - plant.strength) * table[rows] + plant.strength * pull
        codes[name] = (draws[name][0][:, None] > np.cumsum(table, axis=1)[:, :-1]).sum(axis=1).astype(np.int64)
    return codes


def _continuous(codes: dict[str, NDArray[np.int64]], rng: np.random.Generator) -> dict[str, Column]:
    # Both scales leave the middle out, so that the two-way label is never a matter of taste.
    age, tone = rng.random((2, BLOCK))
    old, dark = codes["age_group"] == 1, codes["skin"] == 1
    return {"age": np.where(old, 56 + 24 * age, 18 + 20 * age), "skin_tone": np.where(dark, 0.62, 0.0) + 0.38 * tone}


def _sources(spec: WorldSpec, codes: dict[str, NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """For each row the earlier row of its group that it copies, or -1."""
    values = ATTRIBUTES[spec.duplicate_of]
    rates = np.array([spec.duplicates.get(value, 0.0) for value in values])
    group = codes[spec.duplicate_of]
    chosen, which = rng.random(BLOCK) < rates[group], rng.random(BLOCK)
    source = np.full(BLOCK, -1, dtype=np.int64)
    for code in range(len(values)):
        originals: list[int] = []
        for row in np.flatnonzero(group == code):
            if chosen[row] and originals:
                source[row] = originals[int(which[row] * len(originals))]
            else:
                originals.append(int(row))
    return source


def _noisy(spec: WorldSpec, name: str, codes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    count = len(ATTRIBUTES[name])
    flip, shift = rng.random(BLOCK) < spec.label_noise.get(name, 0.0), rng.integers(1, count, BLOCK)
    return np.where(flip, (codes + shift) % count, codes)


def _labels(codes: dict[str, NDArray[np.int64]], scene: dict[str, Column]) -> dict[str, Column]:
    labels: dict[str, Column] = {name: np.array(ATTRIBUTES[name])[values] for name, values in codes.items()}
    return labels | {"age": scene["age"].astype(np.float64), "skin_tone": scene["skin_tone"].astype(np.float64)}


def _join(parts: list[Portraits], size: int) -> Portraits:
    if not parts:
        empty = portraits(WorldSpec(size=size), 1)
        none = {name: values[:0] for name, values in empty.attributes.items()}
        return Portraits(empty.images[:0], (), none, {name: values[:0] for name, values in empty.truth.items()})
    return Portraits(
        images=np.concatenate([part.images for part in parts]),
        captions=tuple(text for part in parts for text in part.captions),
        attributes={name: np.concatenate([part.attributes[name] for part in parts]) for name in parts[0].attributes},
        truth={name: np.concatenate([part.truth[name] for part in parts]) for name in parts[0].truth},
    )
