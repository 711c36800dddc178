"""One classifier: an arm, a seed, and the predictions it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...jobs import Optimisation, Share, train
from .arms import Mix
from .networks import as_input, build, loss_sum, predict

PREDICTIONS, MODEL = "predictions.npz", "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What all arms share."""

    backbone: str
    weights: str | None
    loss: str
    batch_size: int
    flip: bool
    optimisation: Optimisation
    device: str

    def as_dict(self) -> dict[str, Any]:
        """What decides the numbers, as plain JSON values (the optimisation is written by the training loop)."""
        return {name: getattr(self, name) for name in ("backbone", "weights", "loss", "batch_size", "flip", "device")}


def train_one(
    mix: Mix, classes: Sequence[str], tests: Mapping[str, NDArray[np.uint8]], recipe: Recipe, seed: int, out: Path,
    facts: Mapping[str, Any], checkpoint_every: int,
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    """Train (or find trained) and return the probabilities of each test set; `out` survives a kill.

    Arms with one seed start from the same weights.
    """
    import torch

    place = {name: i for i, name in enumerate(classes)}
    truth = np.array([place[label] for label in mix.data.labels], dtype=np.int64)
    module = build(recipe.backbone, len(classes), weights=recipe.weights, seed=seed).to(recipe.device)
    device = next(iter(module.parameters())).device

    def learn(step: int, share: Share) -> dict[str, Any]:
        rows = mix.batch(step, recipe.batch_size, seed)
        flips = np.random.default_rng([seed, step, 3]).random(len(rows)) < 0.5 if recipe.flip else None
        total = torch.zeros((), device=device)
        for piece in share.pieces(len(rows)):
            own = rows[piece]
            with share.autocast():
                logits = module(as_input(mix.data.images[own], device, None if flips is None else flips[piece]))
                part = loss_sum(recipe.loss, logits, torch.from_numpy(truth[own]).to(device)) / len(rows)
            share.backward(part)
            total = total + part.detach()
        return {"loss": total}

    def finish(scratch: Path) -> Mapping[str, Any]:
        from safetensors.torch import save_file

        found = {name: predict(module, images, device) for name, images in tests.items()}
        with open(scratch / PREDICTIONS, "wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]
        tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
        save_file(tensors, scratch / MODEL)
        return {"images": len(mix.rows), "cells": mix.counts()}

    run = train(
        module, learn, out, optimisation=recipe.optimisation, config={**recipe.as_dict(), **facts, "arm": mix.name},
        finish=finish, seed=seed, checkpoint_every=checkpoint_every, name="classifier",
    )  # fmt: skip
    with np.load(run.folder / PREDICTIONS, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def check_classes(train_labels: Sequence[str], test_labels: Sequence[str], order: Sequence[str]) -> tuple[str, ...]:
    """The classes, in order; every test label must have been trained."""
    unseen = sorted(set(test_labels) - set(train_labels))
    if unseen:
        raise InputError(f"the test images hold labels {unseen} that no training image has.")
    if len(order) < 2:
        raise InputError(f"one label, {', '.join(order)}; a classifier needs two or more.")
    return tuple(order)
