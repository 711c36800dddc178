"""One classifier: an arm, a seed, and the predictions it leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...fingerprints import file_hash
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
    consistency: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """What decides the numbers, as plain JSON values (the optimisation is written by the training loop)."""
        return {name: getattr(self, name) for name in ("backbone", "weights", "loss", "batch_size", "flip", "device")}


@dataclass(frozen=True)
class Start:
    """Where a second stage begins: the weights that a first one left, and how many steps it took."""

    weights: Path
    steps: int


@dataclass(frozen=True, eq=False)
class Twins:
    """Training images that differ in the protected attribute alone: row i of one is row i of the other, edited."""

    unedited: NDArray[np.uint8]
    edited: NDArray[np.uint8]
    fingerprint: str


def train_one(
    mix: Mix, classes: Sequence[str], tests: Mapping[str, NDArray[np.uint8]], recipe: Recipe, seed: int, out: Path,
    facts: Mapping[str, Any], checkpoint_every: int, *, start: Start | None = None, twins: Twins | None = None,
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    """Train (or find trained) and return the probabilities of each test set; `out` survives a kill.

    Arms with one seed start from the same weights: random ones, or those of `start`.
    """
    import torch

    first = 0 if start is None else start.steps
    facts = {**facts, **_told(recipe, start, twins)}
    place = {name: i for i, name in enumerate(classes)}
    truth = np.array([place[label] for label in mix.data.labels], dtype=np.int64)
    module = build(recipe.backbone, len(classes), weights=recipe.weights, seed=seed).to(recipe.device)
    if start is not None:
        _fill(module, start.weights)
    device = next(iter(module.parameters())).device

    def learn(step: int, share: Share) -> dict[str, Any]:
        rows = mix.batch(first + step, recipe.batch_size, seed)
        flips = np.random.default_rng([seed, first + step, 3]).random(len(rows)) < 0.5 if recipe.flip else None
        total = torch.zeros((), device=device)
        for piece in share.pieces(len(rows)):
            own = rows[piece]
            with share.autocast():
                logits = module(as_input(mix.data.images[own], device, None if flips is None else flips[piece]))
                part = loss_sum(recipe.loss, logits, torch.from_numpy(truth[own]).to(device)) / len(rows)
            share.backward(part)
            total = total + part.detach()
        if twins is None or not recipe.consistency:
            return {"loss": total}
        apart = _apart(module, twins, recipe, share, np.random.default_rng([seed, first + step, 4]), device)
        return {"loss": total, "apart": apart}

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


def _told(recipe: Recipe, start: Start | None, twins: Twins | None) -> dict[str, Any]:
    """What the options add to a run's configuration; nothing where they are not used."""
    told: dict[str, Any] = {}
    if start is not None:
        told |= {"start": file_hash(start.weights)[:16], "first": start.steps}
    if twins is not None and recipe.consistency:
        told |= {"consistency": recipe.consistency, "twins": twins.fingerprint}
    return told


def _fill(module: Any, weights: Path) -> None:
    from safetensors.torch import load_file

    module.load_state_dict(load_file(weights))


def _apart(module: Any, twins: Twins, recipe: Recipe, share: Share, rng: np.random.Generator, device: Any) -> Any:
    """Mean distance of the logits of drawn pairs; its gradient, times the weight, is added."""
    import torch

    size = min(max(recipe.batch_size // 4, 2), len(twins.edited))
    rows = rng.choice(len(twins.edited), size, replace=False)
    flips = rng.random(size) < 0.5 if recipe.flip else None
    total = torch.zeros((), device=device)
    for piece in share.pieces(size):
        own, turned = rows[piece], None if flips is None else flips[piece]
        with share.autocast():
            left, right = (module(as_input(one[own], device, turned)) for one in (twins.unedited, twins.edited))
            part = (left.float() - right.float()).abs().mean(dim=1).sum() / size
        share.backward(recipe.consistency * part)
        total = total + part.detach()
    return total


def check_classes(train_labels: Sequence[str], test_labels: Sequence[str], order: Sequence[str]) -> tuple[str, ...]:
    """The classes, in order; every test label must have been trained."""
    unseen = sorted(set(test_labels) - set(train_labels))
    if unseen:
        raise InputError(f"the test images hold labels {unseen} that no training image has.")
    if len(order) < 2:
        raise InputError(f"one label, {', '.join(order)}; a classifier needs two or more.")
    return tuple(order)
