"""The network that draws codes: an MLP whose every layer sees its input again. Imported with torch.

Preechakul et al. 2022 (arXiv 2111.15640), appendix: linear, scaled by 1 + time, layer norm, SiLU; the last layer is
linear alone. It denoises z-normalised codes under one constant variance, with an absolute loss.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .network import time_features
from .shape import Shape

BETA = 0.008
TIME = 64


class LatentLayer(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """One layer; the last one is linear alone."""

    def __init__(self, before: int, after: int, steer: int, last: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)
        if not last:
            self.time = nn.Linear(steer, after)
            self.norm = nn.LayerNorm(after)
        self.last = last

    def forward(self, h: Any, steer: Any) -> Any:
        h = self.linear(h)
        if self.last:
            return h
        return functional.silu(self.norm(h * (1 + self.time(functional.silu(steer)))))


class LatentNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Predicts the noise in z-normalised codes [n, d]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        code, width, layers = shape.code, shape.latent_width, shape.latent_layers
        self.steer = nn.Sequential(nn.Linear(TIME, code), nn.SiLU(), nn.Linear(code, code))
        self.layers = nn.ModuleList()
        for place in range(layers):
            before = code if place == 0 else width + code
            after = code if place == layers - 1 else width
            self.layers.append(LatentLayer(before, after, code, place == layers - 1))

    def forward(self, x: Any, t: Any) -> Any:
        steer = self.steer(time_features(t, TIME))
        h = x
        for place, layer in enumerate(self.layers):
            h = layer(h if place == 0 else torch.cat([h, x], dim=1), steer)
        return h
