"""Train the world's diffusion autoencoder on aligned faces.

    python train/world_diffae.py --out MODELS/diffae
    python train/world_diffae.py --ship MODELS/diffae

Killed at any moment, the same command goes on. `--ship` stores the weights in float16 with the package. What the model
is held to is measured by `world_diffae_quality.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import fairvl.sources.world
from fairvl.repair.editing.diffae.files import read_model, write_model
from fairvl.repair.editing.diffae.training import LATENT, Recipe, train_diffae
from fairvl.sources.world import WorldSpec
from fairvl.sources.world.faces import faces

SHIPPED = Path(fairvl.sources.world.__file__).parent / "models" / "diffae"
RECIPE = Recipe(steps=3000, batch=32, lr=2e-3, latent_steps=2000, seed=7)
IMAGES, SEED = 8192, 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ship", type=Path, metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.out:
        world = faces(WorldSpec(), IMAGES, SEED, split="train")
        run = train_diffae(
            world.images, arguments.out, shape="faces-32", recipe=RECIPE, name="world:diffae", licence="Apache-2.0",
            training_data="fairvl world (synthetic)",
        )  # fmt: skip
        loss = sum(row["loss"] for row in run.losses[-100:]) / 100
        print(f"{run.facts['parameters']:,} parameters, loss {loss:.3f}, {run.seconds_per_step:.2f} s a step")
    if arguments.ship:
        write_model(SHIPPED, read_model(arguments.ship / LATENT), half=True)
        print(sum(path.stat().st_size for path in SHIPPED.iterdir()), "bytes in", SHIPPED.name)


if __name__ == "__main__":
    main()
