"""Train the encoder of aligned faces that supervises paths.

    python train/world_face_clip.py --out FOLDER/face-clip.safetensors

Two minutes. A text claims some of a face's six attributes; every face of the batch that all its claims fit is a
positive of it (sigmoid loss, Zhai et al. 2023, arXiv 2303.15343). Half of the faces are shown as the world's
autoencoder redraws them from their code alone; all are blurred, noisy, brighter or darker. Prints how well texts rank
held-out faces.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional

from fairvl.repair.editing.diffae.editor import load_world_editor
from fairvl.sources.world import Portraits, WorldSpec
from fairvl.sources.world.face_clip import WEIGHTS, FaceClip, image_vectors, network, text_vectors
from fairvl.sources.world.face_judges import CLASSES
from fairvl.sources.world.faces import faces

SAID = {
    "gender": ("woman", "man"), "age_group": ("young", "old"), "skin": ("light skin", "dark skin"),
    "glasses": ("wearing glasses", "without glasses"), "hair_length": ("short hair", "long hair"),
    "smile": ("smiling", "not smiling"),
}  # fmt: skip
SEED, IMAGES, REDRAWN = 41, 6144, 2048


def values(world: Portraits) -> np.ndarray:
    """Codes of the attributes of `SAID`, [n, 6]."""
    columns = [[CLASSES[name].index(str(value)) for value in world.truth[name]] for name in SAID]
    return np.array(columns).T


def caption(codes: np.ndarray, claimed: np.ndarray, rng: np.random.Generator) -> str:
    told = {name: SAID[name][code] for name, code, says in zip(SAID, codes, claimed, strict=True) if says}
    who = f"{told.pop('age_group', '')} {told.pop('gender', 'person')}".strip()
    clauses = [f"with {text}" if name in ("skin", "hair_length") else text for name, text in told.items()]
    rng.shuffle(clauses)
    article = "an" if who.startswith("old") else "a"
    return f"{rng.choice(['', 'a photo of ', 'the face of '])}{article} {who} {' and '.join(clauses)}".strip()


def shown(pixels: torch.Tensor) -> torch.Tensor:
    n = len(pixels)
    soft = functional.avg_pool2d(functional.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    pixels = torch.lerp(pixels, soft, (torch.rand(n, 1, 1, 1) * 2 - 1).clamp(min=0))
    pixels = pixels + torch.randn_like(pixels) * (torch.rand(n, 1, 1, 1) * 0.15 - 0.03).clamp(min=0)
    return pixels * (0.9 + 0.2 * torch.rand(n, 1, 1, 1))


def train(steps: int = 900, batch: int = 96) -> torch.nn.Module:
    world, rng = faces(WorldSpec(), IMAGES, SEED, split="train"), np.random.default_rng(SEED)
    editor = load_world_editor(steps=6, inversion=False)
    redrawn = editor.decode(editor.encode(world.images[:REDRAWN]))
    truth = values(world)
    torch.manual_seed(SEED)
    net = network().train()
    scale, offset = (torch.nn.Parameter(torch.tensor(value)) for value in (2.5, -5.0))
    weights = [*net.parameters(), scale, offset]
    optimiser = torch.optim.AdamW(weights, lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for _ in range(steps):
        rows = rng.integers(0, IMAGES, batch)
        again = (rng.random(batch) < 0.5) & (rows < REDRAWN)
        pictures = world.images[rows].copy()
        pictures[again] = redrawn[rows[again]]
        claimed = rng.random((batch, len(SAID))) < 0.45
        claimed[~claimed.any(axis=1), rng.integers(len(SAID))] = True
        texts = [caption(truth[row], says, rng) for row, says in zip(rows, claimed, strict=True)]
        fits = ~((truth[rows][:, None] != truth[rows][None]) & claimed[None]).any(axis=2)
        images = image_vectors(net, shown(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255))
        logits = images @ text_vectors(net, texts).T * scale.exp() + offset
        loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(fits).float())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


def ranking(encoder: FaceClip, world: Portraits, images: np.ndarray) -> dict[str, float]:
    """Share of (positive, negative) pairs of faces that the texts' axis puts in order."""
    vectors, found = encoder.encode_images(list(images)), {}
    for name, (one, other) in SAID.items():
        person = {"gender": "{}", "age_group": "{} person"}.get(name, "person {}")
        texts = [f"a photo of a {person.format(text)}" for text in (one, other)]
        scores = vectors @ np.subtract(*encoder.encode_texts(texts))
        positive = world.truth[name] == CLASSES[name][0]
        found[name] = float((scores[positive][:, None] > scores[~positive][None]).mean())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: one.half().contiguous() for key, one in train().state_dict().items()}, arguments.out)
    encoder, world = FaceClip(arguments.out), faces(WorldSpec(), 600, 5, split="test")
    editor = load_world_editor(steps=10, inversion=False)
    for name, images in (("faces", world.images), ("redrawn", editor.decode(editor.encode(world.images)))):
        print(name, {key: round(value, 4) for key, value in ranking(encoder, world, images).items()})


if __name__ == "__main__":
    main()
