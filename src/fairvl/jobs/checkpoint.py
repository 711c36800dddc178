"""Checkpoints of a training run: weights, optimiser and step in one safetensors file, whole or not there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..atomic import write_atomic
from ..errors import JobError

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: a module, its optimiser, and the scaler of fp16."""

    module: Any
    optimiser: Any
    scaler: Any

    def names(self) -> dict[str, Any]:
        """Parameters by name, each once also when two places share it."""
        return dict(self.module.named_parameters())


def write_checkpoint(path: Path, state: Checkpoint, step: int) -> None:
    """Write the state after `step` steps; the file before it stays until this one is whole."""
    from safetensors.torch import save

    tensors = {f"weight/{name}": value.detach().cpu().contiguous() for name, value in state.names().items()}
    tensors |= {f"buffer/{name}": value.detach().cpu().clone() for name, value in state.module.named_buffers()}
    for name, value in state.names().items():
        for moment in _MOMENTS:
            held = state.optimiser.state.get(value, {}).get(moment)
            if held is not None:
                tensors[f"{moment}/{name}"] = held.detach().cpu().contiguous()
    facts = {"step": str(step), "scaler": json.dumps(state.scaler.state_dict())}
    write_atomic(path, save(tensors, metadata=facts))


def read_checkpoint(path: Path, state: Checkpoint) -> int:
    """Bring module, optimiser and scaler to the checkpoint and return its step; 0, and nothing changed, without one.

    Raises
    ------
    JobError
        The file cannot be read or belongs to another module.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise JobError(f"{path}: not a readable checkpoint ({error}). Remove it; the run then starts again.") from error
    names = state.names()
    if {name for name in tensors if name.startswith("weight/")} != {f"weight/{name}" for name in names}:
        raise JobError(f"{path}: belongs to another model. Name a new output folder.")
    with torch.no_grad():
        for name, value in names.items():
            value.copy_(tensors[f"weight/{name}"])
        for name, value in state.module.named_buffers():
            value.copy_(tensors[f"buffer/{name}"])
    for name, value in names.items():
        moments = {moment: tensors[f"{moment}/{name}"] for moment in _MOMENTS if f"{moment}/{name}" in tensors}
        if moments:
            state.optimiser.state[value] = {
                moment: held if moment == "step" else held.to(value.device) for moment, held in moments.items()
            }
    scaler = json.loads(facts["scaler"])
    if scaler:
        state.scaler.load_state_dict(scaler)
    return int(facts["step"])
