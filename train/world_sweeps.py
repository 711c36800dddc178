"""Four sweeps of small CLIPs trained on worlds: bias planted in the data, in size, in architecture, and nowhere.

    python train/world_sweeps.py train --work build/world-sweeps

A sweep crosses dataset families (three for bias in the data, else two) of two datasets each, filtered or not, two
architectures and two sizes: 48 models or 32, each with its own seed. The pictures are the same in all four; what
differs is what the captions say (`planted`), and in one sweep what a tower sees (`blind`). Killed and started again, it
goes on with the models that are missing. Two sweeps that plan the very same model share it.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save
from world_pairs import Judge, Pool, Recipe, dataset, draw, halved, pool
from world_quality import PROMPTS

from fairvl.atomic import write_atomic
from fairvl.reproduce.demos.small_clips import Pairs, SmallClip, bag, train
from fairvl.sources.stimuli import load_registry
from fairvl.sources.world.words import ATTRIBUTES

SWEEPS = ("data", "size", "architecture", "nowhere")
FAMILIES = ("birch", "cedar", "maple")
POOLS = {("birch", 1): (511, 4096), ("cedar", 1): (512, 4096), ("maple", 1): (513, 4096),
         ("birch", 2): (521, 2048), ("cedar", 2): (522, 2048), ("maple", 2): (523, 2048)}  # fmt: skip
FILTERS = ("none", "CLIP score")
ARCHITECTURES = ("conv", "patches")
SIZES = ("small", "large")
SCORED = ("age_group", "hair_length", "glasses", "smile", "thing")
TEST_SEED, TEST_PICTURES = 1, 1000


@dataclass(frozen=True)
class Plan:
    """One model of a sweep."""

    sweep: str
    family: str
    part: int
    filtering: str
    architecture: str
    size: str
    steps: int = 200

    @property
    def model(self) -> str:
        return f"{self.architecture}-{self.size}-{self.dataset}"

    @property
    def dataset(self) -> str:
        return f"{self.family}{self.part}{'-filtered' if self.filtering != 'none' else ''}"

    @property
    def planted(self) -> tuple[float, float]:
        """Strength of the bias in the captions, and how careless they are with other facts."""
        if self.sweep == "data":
            return {"birch": (0.0, 0.0), "cedar": (0.4, 0.3), "maple": (0.8, 0.6)}[self.family]
        if self.sweep == "size":
            return {"small": (0.0, 0.6), "large": (0.8, 0.0)}[self.size]
        return (0.8 if self.sweep == "architecture" else 0.0), 0.0

    @property
    def blind(self) -> bool:
        """The handicap: a tower to which the middle of every picture, where faces are, is grey."""
        return self.sweep == "architecture" and self.architecture == "conv"

    @property
    def recipe(self) -> Recipe:
        seed, pictures = POOLS[self.family, self.part]
        return Recipe(seed, pictures, *self.planted)

    @property
    def key(self) -> str:
        """All that training depends on: plans of two sweeps that agree in it share one model."""
        return f"{self._what}-steps{self.steps}"

    @property
    def seed(self) -> int:
        return zlib.crc32(self._what.encode()) % 2**31

    @property
    def _what(self) -> str:
        strength, careless = self.planted
        return f"{self.model}-bias{strength:g}-careless{careless:g}{'-blind' if self.blind else ''}"


def plans(sweep: str, steps: int | None = None) -> Iterator[Plan]:
    """The models of a sweep: 48 or 32. Careless captions with bias take longer to learn."""
    steps = steps or (300 if sweep == "data" else 200)
    families = ("birch", "maple", "cedar") if sweep == "data" else ("birch", "cedar")
    grid = itertools.product(families, (1, 2), FILTERS, ARCHITECTURES, SIZES)
    for family, part, filtering, architecture, size in grid:
        yield Plan(sweep, family, part, filtering, architecture, size, steps)


@dataclass(frozen=True)
class Stimuli:
    """Every stimulus of the registry world-eat once, and the balanced test world of the scores."""

    texts: tuple[str, ...]
    pictures: NDArray[np.uint8]
    test: NDArray[np.uint8]
    truth: dict[str, NDArray[np.int64]]

    @classmethod
    def load(cls) -> Stimuli:
        texts: dict[str, str] = {}
        pictures: dict[str, bytes] = {}
        for case in load_registry("world-eat").cases:
            for side in (case.x, case.y, case.a, case.b):
                if side.modality == "text":
                    texts.update(zip(side.keys, side.texts(), strict=True))
                else:
                    pictures.update({key: side.image(i) for i, key in enumerate(side.keys)})
        images = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in pictures.values()])
        test, truth = draw(TEST_SEED, TEST_PICTURES, "test")
        return cls(tuple(texts.values()), images, halved(test), truth)


@torch.no_grad()
def vectors_of(model: SmallClip, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([model.images(images[i : i + 128]).numpy() for i in range(0, len(images), 128)])


@torch.no_grad()
def texts_of(model: SmallClip, texts: Sequence[str]) -> NDArray[np.float32]:
    return np.asarray(model.texts([bag(text) for text in texts]).numpy(), np.float32)


def accuracies(model: SmallClip, stimuli: Stimuli) -> dict[str, float]:
    """Zero-shot accuracy on the balanced test world; where values are not equally frequent, the mean over values."""
    images, found = vectors_of(model, stimuli.test), {}
    for name in (*SCORED, "skin", "gender"):
        prompts = [prompt for options in PROMPTS[name].values() for prompt in options]
        hit = np.argmax(images @ texts_of(model, prompts).T, axis=1) == stimuli.truth[name]
        values = [hit[stimuli.truth[name] == code].mean() for code in range(len(ATTRIBUTES[name]))]
        found[name] = round(float(np.mean(values)), 4)
    return found


def one(
    plan: Plan, drawn: Pool, pairs: Pairs, made_of: Mapping[str, Any], stimuli: Stimuli
) -> tuple[dict[str, Any], SmallClip]:
    """Train one model: its row, and the model."""
    facts = np.stack([drawn.codes[name] for name in ATTRIBUTES], 1)
    began = time.process_time()
    model = train(pairs, facts, plan.architecture, plan.size, seed=plan.seed, steps=plan.steps, blind=plan.blind)
    seconds = time.process_time() - began
    parameters = sum(weights.numel() for weights in model.parameters())
    row = {
        "key": plan.key, "seed": plan.seed, "steps": plan.steps, "strength": plan.planted[0],
        "careless": plan.planted[1], "blind": plan.blind, "parameters": parameters, "seconds": round(seconds, 1),
        "accuracy": accuracies(model, stimuli), "composition": made_of,
    }  # fmt: skip
    return row, model


_held: dict[Any, tuple[Pairs, dict[str, Any]]] = {}


def held_dataset(recipe: Recipe, drawn: Pool, filtering: str, judge: Judge) -> tuple[Pairs, dict[str, Any]]:
    """A dataset; the last two are kept, since models that share one follow each other."""
    key = (recipe, filtering)
    if key not in _held:
        while len(_held) > 1:
            _held.pop(next(iter(_held)))
        _held[key] = dataset(recipe, drawn, filtering, judge)
    return _held[key]


def run(work: Path, sweeps: Sequence[str], steps: int | None = None, last_first: bool = False) -> None:
    """Train the models that are missing in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    judge, stimuli = Judge(), Stimuli.load()
    pools = {key: pool(seed, n, judge, work) for key, (seed, n) in POOLS.items()}
    print("stimuli:", len(stimuli.texts), "texts,", len(stimuli.pictures), "pictures", flush=True)
    wanted = [plan for sweep in sweeps for plan in plans(sweep, steps)]
    for plan in wanted[::-1] if last_first else wanted:
        file = work / f"{plan.key}.json"
        if file.exists():
            continue
        drawn = pools[plan.family, plan.part]
        pairs, made_of = held_dataset(plan.recipe, drawn, plan.filtering, judge)
        row, model = one(plan, drawn, pairs, made_of, stimuli)
        write_atomic(file.with_suffix(".safetensors"), save(model.state_dict()))
        write_atomic(file, json.dumps(row, indent=1) + "\n")
        print(plan.sweep, plan.key, row["seconds"], "s", row["accuracy"], flush=True)


def encoded(work: Path, plan: Plan, stimuli: Stimuli) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a trained model makes of the texts and of the pictures of world-eat."""
    model = SmallClip(plan.architecture, plan.size, plan.seed, plan.blind)
    model.load_state_dict(load_file(work / f"{plan.key}.safetensors"))
    return texts_of(model.eval(), stimuli.texts), vectors_of(model, halved(stimuli.pictures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["train"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sweeps", nargs="+", choices=SWEEPS, default=SWEEPS)
    parser.add_argument("--steps", type=int, help="other than the plan's")
    parser.add_argument("--last-first", action="store_true", help="for a second process beside the first")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run(arguments.work, arguments.sweeps, arguments.steps, arguments.last_first)


if __name__ == "__main__":
    main()
