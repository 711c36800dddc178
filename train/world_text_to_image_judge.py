"""Train the judge of generated pictures on the drawing code's truth.

    python train/world_text_to_image_judge.py MODELS/seed-11 --out .../models/text-to-image/judge.safetensors

A minute or two. Its pictures are drawn from a stream of their own ("judge"); half of them have passed the model's
autoencoder with noise on the latents, since a generator's pictures are softer than drawn ones. Their truth is known
all the same, and it never sees a generated picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch.nn import functional

from fairvl.sources.world.text_to_image_drawing import OCCUPATIONS, draw_people
from fairvl.sources.world.text_to_image_judge import Judge, network

JUDGE, TRUTH = 1, 2
"""Streams of the drawing code; 0 is the generator's."""


def balanced(n: int, seed: int, split: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures with every occupation and gender equally often, in random order."""
    cells = np.random.default_rng([seed, split]).permutation(np.arange(n) % (2 * len(OCCUPATIONS)))
    return draw_people(cells // 2, cells % 2, seed, split=split), cells // 2, cells % 2


def confusion(judge: Judge, n: int = 8000, seed: int = 3) -> np.ndarray:
    """Counts [truth, answer] of perceived gender on fresh pictures (male, female)."""
    pictures, _, women = balanced(n, seed, TRUTH)
    found = judge(pictures).female.astype(int)
    return np.array([[int(((women == t) & (found == f)).sum()) for f in (0, 1)] for t in (0, 1)])


@torch.no_grad()
def softened(coder: AutoencoderKL, pictures: np.ndarray, most: float = 0.5) -> np.ndarray:
    """Pictures through the autoencoder, each with its own amount of noise on the latents, at most `most`."""
    parts = []
    for start in range(0, len(pictures), 200):
        shown = torch.from_numpy(pictures[start : start + 200]).permute(0, 3, 1, 2).float() / 127.5 - 1
        codes = coder.encode(shown).latent_dist.mode()
        codes = codes + torch.randn_like(codes) * torch.rand(len(codes), 1, 1, 1) * most * codes.std()
        made = coder.decode(codes).sample.clamp(-1, 1)
        parts.append(((made + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


def train(coder: AutoencoderKL, steps: int = 900, batch: int = 64, seed: int = 5) -> torch.nn.Module:
    torch.manual_seed(seed)
    pictures, jobs, women = balanced(9600, seed, JUDGE)
    pictures = np.concatenate([pictures[:4800], softened(coder, pictures[4800:])])
    rng, net = np.random.default_rng(seed), network().train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for _ in range(steps):
        rows = rng.integers(0, len(pictures), batch)
        shown = torch.from_numpy(pictures[rows]).permute(0, 3, 1, 2).float() / 127.5 - 1
        # A generator's pictures are softer and noisier than drawn ones.
        soft = functional.avg_pool2d(functional.pad(shown, (1, 1, 1, 1), mode="replicate"), 3, 1)
        shown = torch.lerp(shown, soft, torch.rand(batch, 1, 1, 1))
        shown = shown + torch.randn_like(shown) * torch.rand(batch, 1, 1, 1) * 0.15
        shown = shown * (0.85 + 0.3 * torch.rand(batch, 1, 1, 1))
        logits = net(shown)
        loss = functional.cross_entropy(logits[:, : len(OCCUPATIONS)], torch.from_numpy(jobs[rows]))
        loss = loss + functional.cross_entropy(logits[:, len(OCCUPATIONS) :], torch.from_numpy(women[rows]))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a trained model, for its autoencoder")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    coder = AutoencoderKL.from_pretrained(arguments.folder / "vae", dtype=torch.float32).eval()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: values.half().contiguous() for name, values in train(coder).state_dict().items()}, arguments.out)
    judge = Judge(arguments.out)
    pictures, jobs, women = balanced(3200, 3, TRUTH)
    noisy = judge(softened(coder, pictures))
    print(
        "through the noisy autoencoder", float((noisy.occupation == jobs).mean()), float((noisy.female == women).mean())
    )
    print("occupation", float((judge(pictures).occupation == jobs).mean()), "gender", confusion(judge).tolist())


if __name__ == "__main__":
    main()
