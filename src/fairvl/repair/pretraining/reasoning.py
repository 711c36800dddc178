"""Two images and a sentence: a fusion model reads each image with the sentence, a small head joins both readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import blocks
from ...atomic import write_atomic
from ...errors import FusionError

HEAD = "reasoning.safetensors"


@dataclass(frozen=True, eq=False)
class ReasoningModel:
    """A fusion model with a head over two readings.

    Attributes
    ----------
    model : FusionModel
    head : torch.nn.Module
        From the first states of both readings, side by side, to two logits; index 1 is "true".
    """

    model: Any
    head: Any

    def logits(self, left: Any, right: Any, ids: Any, mask: Any) -> Any:
        """Logits ``[n, 2]`` of inputs (what ``model.see`` returned) and tokens; differentiable."""
        import torch

        states = [self.model.fuse(None, ids, mask, seen=seen)[:, 0] for seen in (left, right)]
        return self.head(torch.cat(states, dim=1))

    def score(self, left: Sequence[Any], right: Sequence[Any], sentences: Sequence[str]) -> NDArray[np.float32]:
        """Log-odds that each sentence is true of its two images, float32 ``[n]``."""
        if not len(left) == len(right) == len(sentences):
            raise FusionError(
                f"{len(left)} left, {len(right)} right images, {len(sentences)} sentences; expected equal."
            )
        out = np.zeros(len(sentences), np.float32)
        with self.model.inference():
            for rows in blocks(len(sentences), self.model.batch_size):
                ids, mask = self.model.tokenize(list(sentences[rows]))
                seen = [self.model.see(self.model.inputs(images[rows])) for images in (left, right)]
                logits = self.logits(seen[0], seen[1], ids, mask).float()
                out[rows] = (logits[:, 1] - logits[:, 0]).cpu().numpy()
        return out

    def save(self, folder: Path | str) -> Path:
        """The model's folder with the head beside it."""
        from safetensors.torch import save

        target = Path(self.model.save(folder))
        state = {name: value.detach().cpu().contiguous() for name, value in self.head.state_dict().items()}
        write_atomic(target / HEAD, save(state))
        return target


def new_head(width: int, seed: int) -> Any:
    """A head with weights drawn with `seed`."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, 2))


def load_head(path: Path) -> Any:
    """A head that `ReasoningModel.save` wrote."""
    from safetensors.torch import load_file

    state = load_file(path)
    head = new_head(state["0.weight"].shape[0], 0)
    head.load_state_dict(state)
    return head.eval()


def state_width(model: Any) -> int:
    """Width of a model's states, from one text and a blank image."""
    import torch

    with torch.no_grad():
        ids, mask = model.tokenize(["a"])
        blank = np.zeros((32, 32, 3), np.uint8)
        return int(model.fuse(model.inputs([blank]), ids, mask).shape[-1])
