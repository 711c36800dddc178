"""A running average of weights that travels with the module's checkpoints. Imported with torch."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn


class Averaged(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A module, and buffers with the exponential running average of its parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.names = {name: f"average/{name.replace('.', '/')}" for name, _ in module.named_parameters()}
        for name, value in module.named_parameters():
            self.register_buffer(self.names[name], value.detach().clone())

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def follow(self, step: int, decay: float) -> None:
        """Bring the average to the weights after `step` optimiser steps; called once for each step, none for 0.

        The decay rises as (1 + step) / (10 + step) to `decay`, so that the first weights are soon forgotten.
        """
        if step == 0:
            return
        now = min(decay, (1 + step) / (10 + step))
        for name, value in self.module.named_parameters():
            self.get_buffer(self.names[name]).lerp_(value.detach(), 1 - now)

    def average(self) -> Any:
        """A copy of the module with averaged weights, frozen, in evaluation mode."""
        module = deepcopy(self.module)
        module.load_state_dict({name: self.get_buffer(held) for name, held in self.names.items()}, strict=False)
        return module.eval().requires_grad_(False)
