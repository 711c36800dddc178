"""Train the two judges of aligned faces on the drawing code's truth.

    python train/world_diffae_judges.py --out FOLDER

A minute or two each. Their pictures come from a stream of their own ("judge"), another seed for each judge. Half of
them are blurred and noisy, as decoded pictures are; neither judge ever sees a decoded picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

from fairvl.sources.world import Portraits, WorldSpec
from fairvl.sources.world.face_judges import CLASSES, FOLDER, NAMES, FaceJudge, network
from fairvl.sources.world.faces import faces

SEEDS = {"a": 21, "b": 22}


def codes(world: Portraits) -> torch.Tensor:
    """The true value of every judged attribute, [n, attributes]."""
    columns = [[values.index(str(v)) for v in world.truth[name]] for name, values in CLASSES.items()]
    return torch.tensor(columns).T


def train(name: str, images: int = 6144, steps: int = 900, batch: int = 64) -> torch.nn.Module:
    seed = SEEDS[name]
    world = faces(WorldSpec(), images, seed, split="judge")
    truth, rng = codes(world), np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = network(name).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for _ in range(steps):
        rows = rng.integers(0, images, batch)
        shown = torch.from_numpy(world.images[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
        soft = functional.avg_pool2d(functional.pad(shown, (1, 1, 1, 1), mode="replicate"), 3, 1)
        shown = torch.lerp(shown, soft, (torch.rand(batch, 1, 1, 1) * 2 - 1).clamp(min=0))
        shown = shown + torch.randn_like(shown) * (torch.rand(batch, 1, 1, 1) * 0.3 - 0.1).clamp(min=0)
        shown = shown * (0.9 + 0.2 * torch.rand(batch, 1, 1, 1))
        pieces = net(shown).split([len(values) for values in CLASSES.values()], dim=1)
        loss = sum(functional.cross_entropy(piece, truth[rows, i]) for i, piece in enumerate(pieces))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def confusion(judge: FaceJudge, n: int = 2000, seed: int = 3) -> dict[str, list[list[int]]]:
    """Counts [truth][answer] of every attribute on fresh test pictures."""
    world = faces(WorldSpec(), n, seed, split="test")
    found = judge.read(world.images)
    return {
        name: [[int(((world.truth[name] == t) & (found[name] == f)).sum()) for f in values] for t in values]
        for name, values in CLASSES.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path = arguments.out / f"judge-{name}.safetensors"
        save_file({key: value.half().contiguous() for key, value in train(name).state_dict().items()}, path)
        print(name, confusion(FaceJudge(name, path)))


if __name__ == "__main__":
    main()
