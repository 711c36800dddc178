"""Train a small CLIP of open_clip's own architecture on emoji and their names, with whole concepts held out.

    FAIRVL_REALDATA=... python train/emoji_clip.py --out build/emoji-clip

The folder then loads as ``open_clip:local-dir:build/emoji-clip``. Minutes on two cores, seeded. No weights are shipped.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from fairvl import load_dataset
from fairvl.sources.datasets import decode_image

TONES = ("light", "medium-light", "medium", "medium-dark", "dark")
FOLDER = "noto-emoji-72"


@dataclass(frozen=True)
class Recipe:
    """Everything that training depends on, beside the code and the data."""

    seed: int = 11
    steps: int = 1000
    batch: int = 96
    rate: float = 1e-3
    weight_decay: float = 0.1
    shift: int = 4


MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 72, "patch_size": 12, "width": 64, "head_width": 32, "layers": 3},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESSING: dict[str, Any] = {
    "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "shortest",
}  # fmt: skip


def root(concept: str) -> str:
    """A concept without its direction: "running facing right" is "running" in a mirror."""
    return concept.removesuffix(" facing right")


def crossed_roots(rows: list[dict[str, str]]) -> list[str]:
    """Concepts that exist as woman and man in each of the five tones, sorted."""
    found = defaultdict(set)
    for row in rows:
        if row["concept"] and row["gender"] in ("woman", "man") and row["skin_tone"] in TONES:
            found[row["concept"]].add((row["gender"], row["skin_tone"]))
    return sorted({root(concept) for concept, cells in found.items() if len(cells) == 2 * len(TONES)})


def held_out_roots(rows: list[dict[str, str]]) -> list[str]:
    """About a third of the crossed concepts: those whose SHA-256 begins with a byte divisible by three."""
    return [name for name in crossed_roots(rows) if hashlib.sha256(name.encode()).digest()[0] % 3 == 0]


def split(rows: list[dict[str, str]]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows to train on, and rows to audit: the crossed images of held-out concepts, with `concept_root`.

    A row whose name mentions a held-out concept is in neither, unless it is one of the crossed images.
    """
    held = set(held_out_roots(rows))
    mention = re.compile(r"\b(" + "|".join(map(re.escape, sorted(held))) + r")\b")
    train = [row for row in rows if not mention.search(row["name"]) and root(row["concept"]) not in held]
    audit = [
        row | {"concept_root": root(row["concept"])}
        for row in rows
        if root(row["concept"]) in held and row["gender"] in ("woman", "man") and row["skin_tone"] in TONES
    ]
    return train, audit


def read_rows(data: Path) -> list[dict[str, str]]:
    with open(data / FOLDER / "images.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_pixels(data: Path, rows: list[dict[str, str]]) -> torch.Tensor:
    """uint8 [n, 3, 72, 72], decoded the way an audit decodes them."""
    wanted = {row["file"]: code for code, row in enumerate(rows)}
    pixels = np.zeros((len(rows), 72, 72, 3), np.uint8)
    for record in load_dataset(f"zip:{data / FOLDER / 'png72.zip'}?metadata={data / FOLDER / 'images.csv'}"):
        if record.id in wanted and record.image is not None:
            pixels[wanted[record.id]] = np.asarray(decode_image(record.image()).resize((72, 72)))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def batches(rows: list[dict[str, str]], recipe: Recipe, rng: np.random.Generator) -> Any:
    """Half of a batch at random, half whole families of one concept, so that gender and tone must be told apart."""
    families: dict[str, list[int]] = defaultdict(list)
    for code, row in enumerate(rows):
        if row["concept"]:
            families[root(row["concept"])].append(code)
    large = [members for members in families.values() if len(members) >= 10]
    while True:
        chosen: list[int] = []
        while len(chosen) < recipe.batch // 2:
            members = large[int(rng.integers(len(large)))]
            chosen += rng.choice(members, min(12, len(members)), replace=False).tolist()
        chosen = list(dict.fromkeys(chosen))[: recipe.batch // 2]
        others = np.setdiff1d(np.arange(len(rows)), chosen)
        yield np.concatenate([chosen, rng.choice(others, recipe.batch - len(chosen), replace=False)])


def shifted(pixels: torch.Tensor, reach: int, rng: np.random.Generator) -> torch.Tensor:
    """The images moved by up to `reach` pixels, the border repeated."""
    padded = functional.pad(pixels, (reach,) * 4, mode="replicate")
    side = pixels.shape[-1]
    corners = rng.integers(0, 2 * reach + 1, (len(pixels), 2))
    return torch.stack([p[:, y : y + side, x : x + side] for p, (y, x) in zip(padded, corners, strict=True)])


def train(data: Path, out: Path, recipe: Recipe) -> dict[str, Any]:
    """Train, save the folder, and return what was done."""
    import open_clip
    from safetensors.torch import save_file

    start = time.perf_counter()
    rows, audit = split(read_rows(data))
    pixels = read_pixels(data, rows)
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = open_clip.CLIP(**MODEL)
    tokens = open_clip.SimpleTokenizer(context_length=MODEL["text_cfg"]["context_length"])([r["caption"] for r in rows])
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=recipe.rate, betas=(0.9, 0.98),
    )  # fmt: skip
    total = max(1, recipe.steps)  # 0 steps save the model as it was drawn
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=total, pct_start=0.1)
    target = torch.arange(recipe.batch)
    losses: list[float] = []
    for step, chosen in zip(range(recipe.steps), batches(rows, recipe, rng), strict=False):
        images = shifted(pixels[chosen].float() / 127.5 - 1, recipe.shift, rng)
        image, text = model.encode_image(images, normalize=True), model.encode_text(tokens[chosen], normalize=True)
        logits = model.logit_scale.exp() * image @ text.T
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6052)
        losses.append(loss.item())
        if step % 50 == 0 or step == recipe.steps - 1:
            print(f"step {step:5d}  loss {np.mean(losses[-50:]):.3f}  {time.perf_counter() - start:5.0f} s", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / "open_clip_model.safetensors")
    done = {
        "recipe": asdict(recipe),
        "images_trained_on": len(rows),
        "images_to_audit": len(audit),
        "held_out": held_out_roots(read_rows(data)),
        "final_loss": float(np.mean(losses[-50:])) if losses else None,
        "chance_loss": float(np.log(recipe.batch)),
        "cpu_seconds": round(time.process_time()),
        "threads": torch.get_num_threads(),
    }
    (out / "training.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESSING}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("no data: set FAIRVL_REALDATA or give --data")
    train(arguments.data, arguments.out, Recipe(seed=arguments.seed, steps=arguments.steps))


if __name__ == "__main__":
    main()
