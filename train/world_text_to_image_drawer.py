"""Draw many pictures from states of the text encoder, and read shares off them: what the experiments share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from fairvl.sources.world.text_to_image import Prompt
from fairvl.sources.world.text_to_image_drawing import OCCUPATIONS
from fairvl.sources.world.text_to_image_judge import Judge, Judged

STEPS = 12
BATCH = 64


@dataclass(frozen=True, eq=False)
class Seen:
    """Pictures of some prompts, `n` of each, as the judge sees them."""

    prompts: tuple[Prompt, ...]
    n: int
    judged: Judged
    pictures: np.ndarray  # the first few of each prompt

    @property
    def female(self) -> np.ndarray:
        """1 where the judge saw a woman, [prompts, n]."""
        return self.judged.female.reshape(len(self.prompts), self.n).astype(float)

    @property
    def shares(self) -> np.ndarray:
        return self.female.mean(1)

    @property
    def gap(self) -> float:
        return float(np.abs(2 * self.shares - 1).mean())

    @property
    def right_occupation(self) -> np.ndarray:
        wanted = np.array([OCCUPATIONS.index(p.concept) if p.concept in OCCUPATIONS else -1 for p in self.prompts])
        found = self.judged.occupation.reshape(len(self.prompts), self.n)
        return np.where(wanted[:, None] < 0, np.nan, found == wanted[:, None])

    @property
    def right_gender(self) -> np.ndarray:
        """Share of pictures that show the gender which the prompt names, per prompt."""
        wanted = np.array([p.expected == "female" for p in self.prompts])
        return (self.female == wanted[:, None]).mean(1)


class Drawer:
    def __init__(self, folder: Path | str, judge: Judge | None = None) -> None:
        self.pipeline = StableDiffusionPipeline.from_pretrained(
            folder, dtype=torch.float32, safety_checker=None, local_files_only=True
        )
        self.pipeline.set_progress_bar_config(disable=True)
        self.judge = judge or Judge()

    def ids(self, texts: Sequence[str]) -> np.ndarray:
        words = self.pipeline.tokenizer
        return np.asarray(words(list(texts), padding="max_length", max_length=words.model_max_length)["input_ids"])

    @torch.no_grad()
    def states(self, texts: Sequence[str]) -> np.ndarray:
        """Last hidden states, float64 [n, tokens, d]."""
        ids = torch.from_numpy(self.ids(texts))
        return self.pipeline.text_encoder(input_ids=ids).last_hidden_state.double().numpy()

    def end(self, texts: Sequence[str]) -> np.ndarray:
        """Position of the first end-of-text token."""
        return (self.ids(texts) == self.pipeline.tokenizer.eos_token_id).argmax(1)

    @torch.no_grad()
    def paint(self, states: np.ndarray, seeds: Sequence[int], guidance: float = 1.0) -> np.ndarray:
        """One picture for each row of states [n, tokens, d]."""
        empty = torch.from_numpy(self.states([""])).float()
        parts = []
        for start in range(0, len(states), BATCH):
            rows = torch.from_numpy(states[start : start + BATCH]).float()
            streams = [torch.Generator().manual_seed(int(s)) for s in seeds[start : start + BATCH]]
            made = self.pipeline(
                prompt_embeds=rows, negative_prompt_embeds=empty.expand(len(rows), -1, -1), generator=streams,
                guidance_scale=guidance, num_inference_steps=STEPS, height=32, width=32, output_type="np",
            ).images  # fmt: skip
            parts.append(np.round(made * 255).astype(np.uint8))
        return np.concatenate(parts)

    def see(
        self,
        prompts: Sequence[Prompt],
        repaired: Any = None,
        *,
        n: int = 200,
        start: int = 0,
        guidance: float = 1.0,
        seed: int = 0,
    ) -> Seen:
        """Pictures `start` to ``start + n`` of each prompt. Picture i of prompt p has the same noise in every arm.

        `repaired` are states [prompts, tokens, d], or [prompts, n, tokens, d] where they differ by picture.
        """
        states = self.states([p.text for p in prompts]) if repaired is None else np.asarray(repaired)
        rows = np.repeat(states, n, axis=0) if states.ndim == 3 else states.reshape(-1, *states.shape[2:])
        seeds = [
            seed * 10_000_000 + place * 10_000 + i for place in range(len(prompts)) for i in range(start, start + n)
        ]
        pictures = self.paint(rows, seeds, guidance)
        few = pictures.reshape(len(prompts), n, *pictures.shape[1:])[:, :12]
        return Seen(tuple(prompts), n, self.judge(pictures), few)
