"""The judge of the world's generated pictures: a small network that knows the drawing code's truth, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .text_to_image_drawing import OCCUPATIONS, SIZE

FOLDER = Path(__file__).parent / "models" / "text-to-image"
WEIGHTS = FOLDER / "judge.safetensors"
BATCH = 256


def network() -> Any:
    """Three strided convolutions and one linear layer: occupation logits, then those of male and female."""
    from torch import nn

    layers: list[Any] = []
    for before, after in ((3, 24), (24, 48), (48, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, len(OCCUPATIONS) + 2))


@dataclass(frozen=True, eq=False)
class Judged:
    """What the judge saw in each picture, with the probability it gives to its answer."""

    occupation: NDArray[np.int64]
    occupation_confidence: NDArray[np.float64]
    female: NDArray[np.bool_]
    female_probability: NDArray[np.float64]


class Judge:
    """Reads occupation and perceived gender off plain portraits ``uint8 [n, 32, 32, 3]``."""

    def __init__(self, weights: Path | str = WEIGHTS) -> None:
        from safetensors.torch import load_file

        self.network = network()
        self.network.load_state_dict({name: values.float() for name, values in load_file(weights).items()})
        self.network.eval()

    def __call__(self, pictures: ArrayLike | Iterable[ArrayLike]) -> Judged:
        import torch

        images = np.asarray(pictures)
        if images.ndim != 4 or images.shape[1:] != (SIZE, SIZE, 3) or images.dtype != np.uint8:
            raise InputError(f"pictures {images.dtype} {images.shape}; expected uint8 [n, {SIZE}, {SIZE}, 3]")
        parts = []
        with torch.no_grad():
            for start in range(0, len(images), BATCH):
                batch = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH]))
                parts.append(self.network(batch.permute(0, 3, 1, 2).float() / 127.5 - 1).double().numpy())
        logits = np.concatenate(parts) if parts else np.zeros((0, len(OCCUPATIONS) + 2))
        jobs = _softmax(logits[:, : len(OCCUPATIONS)])
        women = _softmax(logits[:, len(OCCUPATIONS) :])[:, 1]
        return Judged(jobs.argmax(1), jobs.max(1), women >= 0.5, women)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
