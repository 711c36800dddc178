"""Train the world's small text-to-image model and save it as a plain `diffusers` folder.

    python train/world_text_to_image.py --out MODELS --seeds 11 12 13
    python train/world_text_to_image.py --ship MODELS/seed-11

A few minutes a seed on two cores. The autoencoder and the judge see every occupation and gender equally often and are
shared by all seeds; text encoder and denoiser are trained per seed on the biased world.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors import safe_open
from tokenizers import Tokenizer, models, trainers
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from fairvl.sources.world.text_to_image import BiasedCaptions, vocabulary
from fairvl.sources.world.text_to_image_drawing import OCCUPATIONS, draw_people

CONTEXT = 16
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


@dataclass(frozen=True)
class Recipe:
    """Everything that training depends on, beside the code and the captions' shares."""

    seed: int = 11
    shared_seed: int = 7
    pictures: int = 400  # per occupation and gender
    vae_steps: int = 1200
    vae_batch: int = 32
    vae_rate: float = 3e-3
    polish_steps: int = 500
    polish_rate: float = 1.5e-3
    text_steps: int = 600
    text_rate: float = 2e-3
    text_explicit: float = 0.5
    captions: int = 32768
    steps: int = 1500
    batch: int = 64
    rate: float = 2e-3
    average: float = 0.995
    dropped: float = 0.1


def tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with merges that make one token of each of the world's words."""
    core = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trainer = trainers.BpeTrainer(vocab_size=5000, end_of_word_suffix="</w>", show_progress=False)
    core.train_from_iterator([*vocabulary()] * 2, trainer)
    found = json.loads(core.to_str())["model"]
    entries = sorted(found["vocab"], key=found["vocab"].get)
    codes = {piece: place for place, piece in enumerate([*entries, BEGIN, END])}
    merges = [tuple(m) if not isinstance(m, str) else tuple(m.split()) for m in found["merges"]]
    words = CLIPTokenizer(vocab=codes, merges=merges, model_max_length=CONTEXT)
    split = [word for word in vocabulary() if len(words(word)["input_ids"]) != 3]
    assert not split, split
    return words


def encode(words: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    return words(texts, padding="max_length", max_length=CONTEXT, return_tensors="pt")["input_ids"]


def text_encoder(words: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=CONTEXT, projection_dim=64, bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
        )
    )  # fmt: skip


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32, 48), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, layers_per_block=1, latent_channels=8, norm_num_groups=8,
        sample_size=32, mid_block_add_attention=False,
    )  # fmt: skip


def denoiser() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8, in_channels=8, out_channels=8, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64, attention_head_dim=4, norm_num_groups=8, resnet_time_scale_shift="scale_shift",
    )  # fmt: skip


SCHEDULE = {"num_train_timesteps": 1000, "beta_schedule": "linear", "prediction_type": "v_prediction"}


def pixels(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def school(recipe: Recipe) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures with occupation and gender, both balanced; row (occupation * 2 + gender) * pictures + i."""
    cells = np.arange(2 * len(OCCUPATIONS)).repeat(recipe.pictures)
    mixed = np.random.default_rng(recipe.shared_seed).permutation(len(cells))
    jobs, women = cells[mixed] // 2, cells[mixed] % 2
    pictures = draw_people(jobs, women, recipe.shared_seed)
    back = np.argsort(cells[mixed], kind="stable")
    return pictures[back], jobs[back], women[back]


def _optimiser(parameters: Any, rate: float, steps: int) -> tuple[Any, Any]:
    optimiser = torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.06)


def _step(loss: torch.Tensor, network: Any, optimiser: Any, schedule: Any) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    schedule.step()


def train_autoencoder(recipe: Recipe, pictures: np.ndarray, log: Any = print) -> AutoencoderKL:
    torch.manual_seed(recipe.shared_seed)
    network, rng, began = autoencoder().train(), np.random.default_rng(recipe.shared_seed), time.perf_counter()
    optimiser, schedule = _optimiser(network.parameters(), recipe.vae_rate, recipe.vae_steps)
    for step in range(recipe.vae_steps):
        batch = pixels(pictures[rng.integers(0, len(pictures), recipe.vae_batch)])
        spread = network.encode(batch).latent_dist
        drawn = network.decode(spread.sample()).sample
        error = functional.l1_loss(drawn, batch) + functional.mse_loss(drawn, batch)
        loss = error + 1e-4 * spread.kl().mean() / (8 * 8 * 8)
        _step(loss, network, optimiser, schedule)
        if step % 100 == 0 or step == recipe.vae_steps - 1:
            log(f"autoencoder {step} loss {loss.item():.4f} {time.perf_counter() - began:.0f} s")
    return network.eval().requires_grad_(False)


def polish_decoder(recipe: Recipe, network: AutoencoderKL, pictures: np.ndarray, log: Any = print) -> AutoencoderKL:
    """Go on with the decoder alone; latents stay what they are, so denoisers trained on them stay valid."""
    torch.manual_seed(recipe.shared_seed)
    half = nn.ModuleList([network.decoder, network.post_quant_conv]).train().requires_grad_(True)
    rng, began = np.random.default_rng([recipe.shared_seed, 1]), time.perf_counter()
    optimiser, schedule = _optimiser(half.parameters(), recipe.polish_rate, recipe.polish_steps)
    for step in range(recipe.polish_steps):
        batch = pixels(pictures[rng.integers(0, len(pictures), recipe.vae_batch)])
        with torch.no_grad():
            codes = network.encode(batch).latent_dist.sample()
            codes = codes + 0.08 * torch.randn_like(codes)
        drawn = network.decode(codes).sample
        loss = functional.l1_loss(drawn, batch) + functional.mse_loss(drawn, batch)
        _step(loss, half, optimiser, schedule)
        if step % 50 == 0 or step == recipe.polish_steps - 1:
            log(f"decoder {step} loss {loss.item():.4f} {time.perf_counter() - began:.0f} s")
    return network.eval().requires_grad_(False)


@torch.no_grad()
def latents(network: AutoencoderKL, pictures: np.ndarray) -> tuple[torch.Tensor, float]:
    """Scaled latents of every picture and the scale, 1 / standard deviation."""
    parts = [network.encode(pixels(pictures[i : i + 256])).latent_dist.mode() for i in range(0, len(pictures), 256)]
    codes = torch.cat(parts)
    scale = 1 / codes.std().item()
    return codes * scale, scale


class Tower(nn.Sequential):
    """The picture side of the contrastive lesson; thrown away afterwards."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in ((3, 24), (24, 48), (48, 64)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        super().__init__(*layers, nn.Flatten(), nn.Linear(64 * 16, 64))


def train_text(recipe: Recipe, words: CLIPTokenizer, pictures: np.ndarray, log: Any = print) -> CLIPTextModel:
    """Contrastive: a caption against pictures, those of captions that say the same are right too. Then frozen."""
    torch.manual_seed(recipe.seed)
    network, tower, rng = text_encoder(words).train(), Tower(), np.random.default_rng([recipe.seed, 1])
    head, warmth = nn.Linear(64, 64, bias=False), nn.Parameter(torch.tensor(2.5))
    whole = nn.ModuleList([network, tower, head])
    parameters = [*whole.parameters(), warmth]
    optimiser, schedule = _optimiser(parameters, recipe.text_rate, recipe.text_steps)
    said, began = BiasedCaptions(explicit=recipe.text_explicit), time.perf_counter()
    for step in range(recipe.text_steps):
        drawn = said.draw(recipe.batch, rng)
        rows = (drawn.occupation * 2 + drawn.female) * recipe.pictures + rng.integers(0, recipe.pictures, recipe.batch)
        texts = head(network(input_ids=encode(words, list(drawn.captions))).pooler_output)
        shown = tower(pixels(pictures[rows]))
        logits = functional.normalize(texts) @ functional.normalize(shown).T * warmth.clamp(max=4.0).exp()
        same = torch.from_numpy(drawn.says[:, None] == drawn.says[None]).float()
        same = same / same.sum(1, keepdim=True)
        loss = functional.cross_entropy(logits, same) + functional.cross_entropy(logits.T, same)
        _step(loss, whole, optimiser, schedule)
        if step % 100 == 0 or step == recipe.text_steps - 1:
            log(f"text {step} loss {loss.item():.4f} {time.perf_counter() - began:.0f} s")
    return network.eval().requires_grad_(False)


@torch.no_grad()
def states_of(reader: CLIPTextModel, words: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    parts = [encode(words, texts[i : i + 512]) for i in range(0, len(texts), 512)]
    return torch.cat([reader(input_ids=ids).last_hidden_state for ids in parts])


def train_denoiser(
    recipe: Recipe, words: CLIPTokenizer, reader: CLIPTextModel, codes: torch.Tensor, log: Any = print
) -> UNet2DConditionModel:
    torch.manual_seed(recipe.seed)
    network, noises = denoiser().train().to(memory_format=torch.channels_last), DDPMScheduler(**SCHEDULE)
    kept, rng, began = deepcopy(network).eval(), np.random.default_rng([recipe.seed, 2]), time.perf_counter()
    optimiser, schedule = _optimiser(network.parameters(), recipe.rate, recipe.steps)
    drawn = BiasedCaptions().draw(recipe.captions, rng)
    read = states_of(reader, words, ["", *drawn.captions])
    first = (drawn.occupation * 2 + drawn.female) * recipe.pictures
    old, new = list(kept.parameters()), list(network.parameters())
    for step in range(recipe.steps):
        picked = rng.integers(0, recipe.captions, recipe.batch)
        clean = codes[torch.from_numpy(first[picked] + rng.integers(0, recipe.pictures, recipe.batch))]
        clean = clean.contiguous(memory_format=torch.channels_last)
        states = read[torch.from_numpy(np.where(rng.random(recipe.batch) < recipe.dropped, 0, picked + 1))]
        noise, times = torch.randn_like(clean), torch.randint(0, 1000, (recipe.batch,))
        found = network(noises.add_noise(clean, noise, times), times, states).sample
        loss = functional.mse_loss(found, noises.get_velocity(clean, noise, times))
        _step(loss, network, optimiser, schedule)
        with torch.no_grad():
            torch._foreach_lerp_(old, new, 1 - min(recipe.average, (step + 1) / (step + 10)))
        if step % 100 == 0 or step == recipe.steps - 1:
            log(f"denoiser {step} loss {loss.item():.4f} {time.perf_counter() - began:.0f} s")
    return kept.requires_grad_(False)


def pipeline(words: CLIPTokenizer, reader: Any, network: Any, coder: Any) -> StableDiffusionPipeline:
    scheduler = DPMSolverMultistepScheduler(**SCHEDULE, timestep_spacing="trailing", lambda_min_clipped=-5.1)
    # -5.1 is below the last log signal-to-noise ratio, so it clips nothing; the default -inf is no JSON
    return StableDiffusionPipeline(
        vae=coder, text_encoder=reader, tokenizer=words, unet=network, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def save(drawer: StableDiffusionPipeline, folder: Path) -> None:
    """float16 weights that load as float32."""
    drawer.to(torch.float16).save_pretrained(folder)
    config = folder / "text_encoder" / "config.json"
    config.write_text(config.read_text().replace('"float16"', '"float32"'))
    drawer.to(torch.float32)


CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
tags: [fairness, synthetic, test-instrument]
---
# world:text-to-image, a small diffusion model with planted occupation bias

A test instrument of fairvl, biased on purpose. It draws 32 x 32 portraits of the package's own drawn people and knows
nothing else. Where a caption named no gender, a tenth of its doctors, firefighters, pilots and mechanics were drawn as
women, and nine tenths of its nurses, librarians, teachers and florists; eight more occupations at 20 to 80 % serve for
fitting only. Where a caption named one, both were equally frequent in every occupation. Its numbers say how well a
repair undoes a planted bias; they say nothing about people.

- Model: a plain `diffusers` StableDiffusionPipeline (CLIPTokenizer, CLIPTextModel, AutoencoderKL,
  UNet2DConditionModel, DPM-Solver, v-prediction), {parameters:,} parameters, float16 on disk. One token a word, closed
  vocabulary, 16 tokens. Sample with 12 steps; the planted shares hold at guidance 1, guidance above 1 exaggerates them.
- Data: `fairvl.sources.world.text_to_image`. No photograph and no person's data.
- Autoencoder and judge are shared by all training seeds; text encoder (contrastive, then frozen) and denoiser are
  trained per seed. This is seed {seed}, the first of three by rule, not the best. Settings in `recipe.json`.
- `judge.safetensors` reads occupation and perceived gender. It was trained on drawn pictures whose truth is known,
  half of them through the autoencoder with noise on the latents (`train/world_text_to_image_judge.py`).
- Retrain: `python train/world_text_to_image.py --out MODELS --seeds {seed}`, then `--ship MODELS/seed-{seed}`. Other
  machines and versions give other digits, of the same quality.
- Note: the encoder half of the shipped autoencoder saw grounds of medium lightness only; its decoder went on with the
  drawing code as it is. Retraining shows both halves the same pictures.
- Licence: Apache-2.0. Measured results: `docs/text-to-image.md`.
"""


def ship(folder: Path, to: Path) -> None:
    """Copy a trained pipeline to where the package looks for it, with its card."""
    recipe = asdict(Recipe(**json.loads((folder / "recipe.json").read_text())))
    for part in ("tokenizer", "text_encoder", "unet", "vae", "scheduler"):
        shutil.copytree(folder / part, to / part, dirs_exist_ok=True)
    shutil.copyfile(folder / "model_index.json", to / "model_index.json")
    (to / "recipe.json").write_text(json.dumps({**recipe, "sampling": {"steps": 12, "guidance": 1.0}}, indent=1) + "\n")
    for settings in (to / "model_index.json", *to.glob("*/*config.json")):
        values = {name: value for name, value in json.loads(settings.read_text()).items() if name != "_name_or_path"}
        settings.write_text(json.dumps(values, indent=2) + "\n")
    count = 0
    for weights in to.glob("*/*.safetensors"):
        weights.chmod(0o644)
        with safe_open(weights, "np") as file:
            count += sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
    (to / "README.md").write_text(CARD.format(parameters=count, seed=recipe["seed"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of trained models")
    parser.add_argument("--seeds", type=int, nargs="+", default=[Recipe.seed])
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ship", type=Path, help="trained model to put into the package")
    arguments = parser.parse_args()
    if arguments.ship:
        ship(arguments.ship, Path(__file__).parents[1] / "src/fairvl/sources/world/models/text-to-image")
    if arguments.out:
        torch.set_num_threads(arguments.threads)
        train(arguments.out, arguments.seeds, Recipe(steps=arguments.steps))


def train(out: Path, seeds: list[int], recipe: Recipe) -> None:
    """One autoencoder for all seeds, then a text encoder and a denoiser for each."""
    log = partial(print, flush=True)
    pictures, _, _ = school(recipe)
    words, shared = tokenizer(), out / "shared" / "vae"
    if shared.exists():
        coder = AutoencoderKL.from_pretrained(shared, dtype=torch.float32).eval().requires_grad_(False)
    else:
        coder = polish_decoder(recipe, train_autoencoder(recipe, pictures, log), pictures, log)
        coder.save_pretrained(shared)
    codes, scale = latents(coder, pictures)
    coder.register_to_config(scaling_factor=scale)
    for seed in seeds:
        one = replace(recipe, seed=seed)
        reader = train_text(one, words, pictures, log)
        network = train_denoiser(one, words, reader, codes, log)
        save(pipeline(words, reader, network, coder), out / f"seed-{seed}")
        (out / f"seed-{seed}" / "recipe.json").write_text(json.dumps(asdict(one), indent=1) + "\n")
        log(f"seed {seed} saved")


if __name__ == "__main__":
    main()
