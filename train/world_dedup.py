"""Small CLIPs trained on a store before and after pruning: full, random, semdedup, fairdedup and fair subsets.

    python train/world_dedup.py --work build/world-dedup --seeds 1 2 3 4 5 6

Every seed draws a world of its own (`fairvl.reproduce.demos.pruned_world`), prunes it to half by every rule, and trains
one model per arm from the same start, for the same steps. What is kept are the vectors of a balanced test world and of
every text that `world_dedup_results.py` asks. Killed and started again, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from fairvl.atomic import write_atomic
from fairvl.jobs import run_job
from fairvl.reproduce.demos.pruned_models import (
    BASE_SEED,
    RATE,
    captioned,
    kept_pairs,
    test_world,
    texts,
    train_arm,
    train_base,
    vectors_of,
)
from fairvl.reproduce.demos.pruned_world import ARMS, Sizes, draw_world, keep_masks
from fairvl.reproduce.demos.small_clips import Pairs, SmallClip
from fairvl.sources.encoders import load_encoder
from fairvl.sources.world.words import ATTRIBUTES

BASE_STEPS, BASE_PICTURES = 1500, 4096
STEPS = 150
TEST_PICTURES = 2048
KEEP = 0.5


def prepare(spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """One seed's pictures and keep lists."""
    seed, encoder = int(spec["seed"]), load_encoder("world:clip")
    began = time.process_time()
    world = draw_world(encoder, seed, Sizes(**spec["sizes"]))
    drawn = time.process_time() - began
    masks = keep_masks(world, encoder, keep=KEEP, seed=seed)
    np.savez(
        folder / f"world-{seed}.npz", images=world.images, copies=world.copies,
        **world.codes, **{f"keep-{arm}": mask for arm, mask in masks.items()},
    )  # fmt: skip
    return {"rows": len(world), "drawn_seconds": round(drawn, 1),
            "seconds": round(time.process_time() - began, 1)}  # fmt: skip


def base(steps: int, spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The start of all models."""
    began = time.process_time()
    write_atomic(folder / "base.safetensors", save(train_base(steps, BASE_PICTURES).state_dict()))
    return {"seconds": round(time.process_time() - began, 1)}


@cache
def test_pictures() -> NDArray[np.uint8]:
    return test_world(TEST_PICTURES)[0]


@cache
def held(file: Path, seed: int) -> tuple[dict[str, NDArray[Any]], Pairs]:
    """A seed's arrays and captions."""
    with np.load(file) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    return found, captioned(found["images"], {name: found[name] for name in ATTRIBUTES}, seed)


def learn(work: Path, steps: int, spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Train one arm of one seed; its vectors of the test pictures and of the texts."""
    seed, arm = int(spec["seed"]), str(spec["arm"])
    arrays, every = held(work / f"world-{seed}.npz", seed)
    pairs = kept_pairs(every, arrays[f"keep-{arm}"])
    start = SmallClip("conv", "small", BASE_SEED, corner=True)
    start.load_state_dict(load_file(work.parent / "base" / "base.safetensors"))
    began = time.process_time()
    model = train_arm(start, pairs, {name: arrays[name] for name in ATTRIBUTES}, seed=seed, steps=steps)
    seconds = time.process_time() - began
    np.savez(folder / f"vectors-{seed}-{arm}.npz", **vectors_of(model, test_pictures(), texts()))
    return {"pairs": len(pairs.rows), "seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = asdict(Sizes())
    settings = {"steps": BASE_STEPS, "pictures": BASE_PICTURES}
    made = run_job(
        arguments.work / "base", [{"seed": BASE_SEED}], partial(base, BASE_STEPS), config=settings, workers=0
    )
    print("base", made.facts, flush=True)
    for seed in arguments.seeds:  # a folder per seed, so that seeds can be added
        work = arguments.work / f"seed-{seed}"
        made = run_job(work, [{"seed": seed, "sizes": sizes}], prepare, config={"keep": KEEP}, name="worlds", workers=0)
        print(seed, made.facts, flush=True)
        specs = [{"seed": seed, "arm": arm} for arm in arguments.arms]
        done = run_job(
            work, specs, partial(learn, work, arguments.steps), config={"steps": arguments.steps, "rate": RATE},
            name="models", workers=0,
        )  # fmt: skip
        held.cache_clear()
        print(seed, done.facts, flush=True)


if __name__ == "__main__":
    main()
