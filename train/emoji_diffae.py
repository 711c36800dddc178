"""Train a diffusion autoencoder on emoji people, three judges of its pictures, and the supervisor of its paths.

    FAIRVL_REALDATA=... python train/emoji_diffae.py --out MODELS

Killed at any moment, the same command goes on. One core: about 20 minutes for the autoencoder, two to seven for each
of the others. `emoji_diffae_paths.py` goes on from there. No weights are shipped.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from emoji_people import COPIES, SIZE, people, varied
from emoji_people_readers import STEPS, Supervisor, load_judge, train_judge, train_supervisor, zero_shot

from fairvl.repair.editing.diffae.shape import Shape
from fairvl.repair.editing.diffae.training import Recipe, train_diffae

SHAPE = Shape(size=SIZE, width=64, multipliers=(1, 2, 3), encoder_multipliers=(1, 2, 3, 4), blocks=1, code=128)
"""`drawings-64` with one level and a longer code more, and half the blocks: half the time of a step."""
RECIPE = Recipe(steps=2400, batch=32, lr=2e-3, precision="bf16", flip=True, average=0.995, latent_steps=0, seed=7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("no data: set FAIRVL_REALDATA or give --data")
    torch.set_num_threads(arguments.threads)
    train, held = people(Path(arguments.data))
    print(len(train), "drawings to train on,", len(held), "held out", flush=True)
    run = train_diffae(
        varied(train.images, COPIES), arguments.out / "diffae", shape=SHAPE, recipe=RECIPE, name="emoji-people",
        licence="Apache-2.0", training_data="noto-emoji", checkpoint_every=200,
    )  # fmt: skip
    loss = sum(row["loss"] for row in run.losses[-100:]) / 100
    print(f"{run.facts['parameters']:,} parameters, loss {loss:.3f}, {run.seconds_per_step:.2f} s a step", flush=True)
    for name in ("a", "b", "grey"):
        if not (arguments.out / f"judge-{name}.safetensors").is_file():
            train_judge(name, train, arguments.out, STEPS if name != "grey" else 600)
        print(name, load_judge(name, arguments.out).measured(held.images, held.truth).accuracy, flush=True)
    if not (arguments.out / "supervisor.safetensors").is_file():
        train_supervisor(train, arguments.out)
    print(zero_shot(Supervisor.load(arguments.out)).measured(held.images, held.truth).accuracy)


if __name__ == "__main__":
    main()
