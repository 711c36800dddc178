"""Measure what the judge confuses, on drawn pictures and on the same through the model's autoencoder.

    python docs/text_to_image/judge.py MODEL-FOLDER

A generator's pictures pass through its autoencoder, so the second matrix is the one that shares are corrected for.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from fairvl.sources.world.text_to_image_drawing import OCCUPATIONS, draw_people
from fairvl.sources.world.text_to_image_judge import Judge

N, SEED, SPLIT = 1600, 3, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "judge.json")
    arguments = parser.parse_args()
    judge = Judge()
    coder = AutoencoderKL.from_pretrained(arguments.folder / "vae", dtype=torch.float32).eval()
    cells = np.random.default_rng(SEED).permutation(np.arange(N) % (2 * len(OCCUPATIONS)))
    drawn = draw_people(cells // 2, cells % 2, SEED, split=SPLIT)
    found = {"n": N}
    for name, pictures in (("drawn", drawn), ("reconstructed", through(coder, drawn))):
        seen = judge(pictures)
        found[name] = [[int(((cells % 2 == t) & (seen.female == j)).sum()) for j in (0, 1)] for t in (0, 1)]
        found[f"{name} occupation"] = float((seen.occupation == cells // 2).mean())
    arguments.out.write_text(json.dumps(found) + "\n")
    print(found)


@torch.no_grad()
def through(coder: AutoencoderKL, pictures: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(pictures), 100):
        batch = torch.from_numpy(pictures[start : start + 100]).permute(0, 3, 1, 2).float() / 127.5 - 1
        made = coder.decode(coder.encode(batch).latent_dist.mode()).sample
        parts.append(((made.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
