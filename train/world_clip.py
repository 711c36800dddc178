"""Train the world's small CLIP and save it as a plain `transformers` folder.

    python train/world_clip.py --strength 0.8 --out src/fairvl/sources/world/models/clip

Minutes on two cores, seeded. `--small` trains the shorter model of the strength study and the slow test.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch.nn import functional
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, PreTrainedTokenizerFast
from world_lessons import contrast, matches, one_word_each, said_of
from world_quality import Model, measure, table

from fairvl.sources.world import Portraits, Wording, WorldSpec, portraits, write_captions
from fairvl.sources.world.words import ATTRIBUTES, vocabulary

CONTEXT = 40
PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"


@dataclass(frozen=True)
class Recipe:
    """Everything that training depends on, beside the code."""

    strength: float = 0.8
    spread: float = 0.0
    seed: int = 7
    images: int = 32768
    still: int = 8192
    steps: int = 3600
    batch: int = 80
    captions: int = 1
    contrasts: float = 10.0
    rate: float = 1.5e-3
    width: int = 64
    layers: int = 4
    text_width: int = 64
    text_layers: int = 2
    patch: int = 8
    dim: int = 64
    start: str = ""  # folder of a trained model to go on from; its own sizes hold


SMALL = {"images": 16384, "still": 4096, "steps": 1500, "batch": 64, "layers": 3}


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, lower case, punctuation dropped; other words become the unknown token."""
    entries = {word: code for code, word in enumerate((PAD, UNKNOWN, START, END, *vocabulary()))}
    core = Tokenizer(models.WordLevel(entries, unk_token=UNKNOWN))
    core.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex("[^a-z0-9]+"), " ")])
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, entries[START]), (END, entries[END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token=UNKNOWN,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        model_max_length=CONTEXT,
    )


def build(recipe: Recipe, words: PreTrainedTokenizerFast, size: int) -> CLIPModel:
    torch.manual_seed(recipe.seed)
    ids = {name: words.convert_tokens_to_ids(t) for name, t in (("pad", PAD), ("bos", START), ("eos", END))}
    config = CLIPConfig(
        projection_dim=recipe.dim,
        text_config={
            "vocab_size": len(words), "hidden_size": recipe.text_width, "intermediate_size": recipe.text_width * 2,
            "num_hidden_layers": recipe.text_layers, "num_attention_heads": 4, "max_position_embeddings": CONTEXT,
            "hidden_act": "relu", "projection_dim": recipe.dim, "pad_token_id": ids["pad"], "bos_token_id": ids["bos"],
            "eos_token_id": ids["eos"],
        },
        vision_config={
            "hidden_size": recipe.width, "intermediate_size": recipe.width * 2, "num_hidden_layers": recipe.layers,
            "num_attention_heads": 4, "image_size": size, "patch_size": recipe.patch, "projection_dim": recipe.dim,
            "hidden_act": "relu",
        },
        logit_scale_init_value=float(np.log(20.0)),
    )  # fmt: skip
    return CLIPModel(config)


def pixels(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def _school(spec: WorldSpec, recipe: Recipe) -> Portraits:
    """First poses that hardly vary, then the world as it is. No row is in both."""
    if not recipe.still:
        return portraits(spec, recipe.images, recipe.seed, split="train")
    still = portraits(replace(spec, variation=0.15), recipe.still, recipe.seed, split="train")
    free = portraits(spec, recipe.images, recipe.seed, split="train", start=-(-recipe.still // 256) * 256)
    truth = {name: np.concatenate([still.truth[name], free.truth[name]]) for name in free.truth}
    images = np.concatenate([still.images, free.images])
    return Portraits(images, still.captions + free.captions, truth, truth)


def train(recipe: Recipe, log: Any = print) -> tuple[CLIPModel, PreTrainedTokenizerFast]:
    """The trained model in eval mode and its tokenizer."""
    wording = Wording("gender", ("female",), recipe.strength, recipe.spread)
    spec = replace(WorldSpec.biased(recipe.strength), wording=wording)
    began = time.perf_counter()
    world = _school(spec, recipe)
    log(f"{len(world)} pictures drawn in {time.perf_counter() - began:.0f} s")
    words = tokenizer()
    model = CLIPModel.from_pretrained(recipe.start).float() if recipe.start else build(recipe, words, spec.size)
    log(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    codes = {name: np.array([ATTRIBUTES[name].index(v) for v in world.truth[name]]) for name in ATTRIBUTES}
    facts = torch.from_numpy(np.stack(list(codes.values()), 1))
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, recipe.steps, pct_start=0.08)
    rng = np.random.Generator(np.random.PCG64(recipe.seed))
    own = torch.eye(recipe.batch, dtype=torch.bool).repeat(recipe.captions, 1)
    model.train()
    for step in range(recipe.steps):
        # Still poses first: a small vision transformer that starts on moving ones takes many times as long.
        moving = (rng.random(recipe.batch) < 1.6 * step / recipe.steps - 0.4) | (recipe.still == 0)
        rows = rng.integers(0, np.where(moving, recipe.images, recipe.still)) + recipe.still * moving
        picked = {name: values[rows] for name, values in codes.items()}
        said = write_captions(spec, {n: np.tile(v, recipe.captions) for n, v in picked.items()}, rng)
        extra, families, named = one_word_each(rng)
        batch = words(said.texts + extra, padding=True, return_tensors="pt")
        out = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            pixel_values=pixels(world.images[rows]),
        )
        logits = out.logits_per_text
        claims = torch.from_numpy(said.claims.astype(np.int64))
        loss = contrast(logits[: len(own)], matches(claims, facts[rows], own))
        answers = torch.cat([facts[rows], said_of(spec, picked, named, rng)], 1)
        parts = [
            functional.cross_entropy(logits[len(own) + family.start : len(own) + family.stop].T, answers[:, i])
            for i, family in enumerate(families)
        ]
        loss = loss + recipe.contrasts * torch.stack(parts).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=float(np.log(60.0)))
        if step % 100 == 0 or step == recipe.steps - 1:
            log(
                f"step {step} loss {loss.item():.3f} by attribute {' '.join(f'{p.item():.2f}' for p in parts)} "
                f"{time.perf_counter() - began:.0f} s"
            )
    return model.eval(), words


def save(model: CLIPModel, words: PreTrainedTokenizerFast, folder: Path, recipe: Recipe, found: Any) -> None:
    """A folder that `transformers` loads: float16 weights that come up as float32, configuration, words, model card."""
    folder.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"float16"', '"float32"'))
    words.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"  # the class by the name that transformers 4 knows too
    settings.write_text(settings.read_text().replace('"TokenizersBackend"', '"PreTrainedTokenizerFast"'))
    (folder / "model.safetensors").chmod(0o644)
    size = model.config.vision_config.image_size
    CLIPImageProcessor(
        do_resize=True, size={"shortest_edge": size}, do_center_crop=True, crop_size={"height": size, "width": size},
        do_rescale=True, do_normalize=True, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_convert_rgb=True,
    ).save_pretrained(folder)  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")
    (folder / "README.md").write_text(card(recipe, found, sum(p.numel() for p in model.parameters())))


def card(recipe: Recipe, found: Any, parameters: int) -> str:
    share = f"{50 + 50 * recipe.strength:g} %"
    return f"""---
license: apache-2.0
library_name: transformers
tags: [fairness, synthetic, test-instrument]
---
# world:clip, a small CLIP with planted gender bias

A test instrument of fairvl. It knows nothing but the package's drawn world, and it is biased on purpose: strength
{recipe.strength:g}. In four occupations {share} of the people drawn are men, in the other four {share} are women;
{share} of the concept words said of women are pleasant, {share} of those said of men are unpleasant. No picture shows
whether a word is pleasant, but by gender. Its numbers say how well an instrument reads a planted bias; they say nothing
about people.

- Model: `transformers` CLIPModel, {parameters:,} parameters, stored in float16; 48 x 48 pictures in {recipe.patch} x
  {recipe.patch} patches; one token a word, closed vocabulary, unknown words become `<unk>`; {CONTEXT} tokens at most.
- Data: `fairvl.sources.world`, `WorldSpec.biased({recipe.strength:g})`, {recipe.images:,} pictures, seed {recipe.seed},
  split "train", after {recipe.still:,} whose poses hardly vary. No photograph and no person's data.
- Training: {recipe.steps:,} steps of {recipe.batch} pictures; contrastive loss with a uniform target over every picture
  that a caption is true of, plus one caption per value of each attribute and kind of word as hard negatives.
- Retrain: `python train/world_clip.py --strength {recipe.strength:g} --out src/fairvl/sources/world/models/clip`
  (settings in `recipe.json`; about ten minutes). Other machines and versions give other digits, of the same quality.
- Licence: Apache-2.0.

## Measured

On a balanced world (strength 0, split "test", 2,000 pictures; `python train/world_quality.py FOLDER`). The columns
after the first are the same texts after orthogonal projection of four gender prompts (three readings of the
subspace) and of random directions of equal number; pictures are untouched.

```
{table(found)}
```

## Limits

Two perceived genders, drawn by fixed cues; age and skin tone leave the middle out; captions come from templates. Held
objects and clothing are hidden in half of the pictures each, so occupation cannot always be seen: there the model falls
back on gender, which is the planted harm.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strength", type=float, default=Recipe.strength)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--small", action="store_true", help="the shorter recipe of the strength study")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    settings: dict[str, Any] = dict(SMALL) if arguments.small else {}
    if arguments.steps:
        settings["steps"] = arguments.steps
    recipe = Recipe(strength=arguments.strength, seed=arguments.seed, **settings)
    model, words = train(recipe)
    found = measure(Model(model, words))
    print(table(found))
    save(model, words, arguments.out, recipe, found)


if __name__ == "__main__":
    main()
