"""Measure the world's diffusion autoencoder: what codes keep, what inversion gives back, how latent samples look.

    python train/world_diffae_quality.py [FOLDER] [--images 300] [--sheet SHEET.png]

Held-out faces (split "test"); pixels in [-1, 1]. Both judges read the same pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fairvl.repair.editing.diffae.editor import DiffAE
from fairvl.repair.editing.seam import Images, State
from fairvl.sources.world import WorldSpec
from fairvl.sources.world.face_judges import FOLDER, JUDGED, FaceJudge
from fairvl.sources.world.faces import faces
from fairvl.stats.rates import wilson

SEED = 3


def mse(left: Images, right: Images) -> float:
    return float(np.square((left.astype(np.float64) - right) / 127.5).mean())


def share(hits: np.ndarray) -> list[float]:
    low, high = wilson(int(hits.sum()), len(hits))
    return [round(float(hits.mean()), 4), round(low, 4), round(high, 4)]


def measure(editor: DiffAE, n: int) -> tuple[dict[str, Any], list[Images]]:
    world = faces(WorldSpec(), n, SEED, split="test")
    state = editor.encode(world.images, seeds=range(n))
    drawn = State(codes=state.codes, noise=editor.noise(n, 11), seeds=state.seeds)
    mean = np.broadcast_to(world.images.mean(axis=0).round().astype(np.uint8), world.images.shape)
    pictures = {"inverted": editor.decode(state), "random noise": editor.decode(drawn), "mean image": mean}
    found: dict[str, Any] = {
        "n": n,
        "mse": {name: round(mse(made, world.images), 5) for name, made in pictures.items()},
    }
    plain = DiffAE(editor.parts, steps=editor.steps, refinements=0)
    found["mse"]["inverted without refinement"] = round(mse(plain.decode(plain.encode(world.images)), world.images), 5)
    shown = {"drawn": world.images, "code alone": pictures["random noise"], "inverted": pictures["inverted"]}
    for name in ("a", "b"):
        judge = FaceJudge(name)
        for kind, made in shown.items():
            seen = judge.read(made)
            found[f"judge {name}, {kind}"] = {one: share(seen[one] == world.truth[one]) for one in JUDGED}
    sheet = [world.images[:16], pictures["inverted"][:16], pictures["random noise"][:16]]
    if "samples" in editor.capabilities:
        made = editor.decode(editor.state(editor.sample(n, 5)))
        seen = FaceJudge("a").read(made)
        found["shares of latent samples"] = {
            one: {value: round(float((seen[one] == value).mean()), 3) for value in FaceJudge.classes[one]}
            for one in JUDGED
        }
        sheet.append(made[:16])
    return found, sheet


def write_sheet(rows: list[Images], path: Path, scale: int = 2, gap: int = 2) -> None:
    """Rows of pictures as one PNG of 256 colours."""
    height, width = rows[0].shape[1:3]
    page = np.full((len(rows) * (height + gap) - gap, max(map(len, rows)) * (width + gap) - gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + gap), j * (width + gap)
            page[top : top + height, left : left + width] = picture
    image = Image.fromarray(page).quantize(256, dither=Image.Dither.NONE)  # a quarter of the size, to the eye the same
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found, sheet = measure(DiffAE.load(arguments.folder, steps=arguments.steps), arguments.images)
    print(json.dumps(found, indent=1))
    if arguments.sheet:
        write_sheet(sheet, arguments.sheet)


if __name__ == "__main__":
    main()
