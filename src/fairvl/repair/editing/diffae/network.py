"""Our own small network: patches as channels, adaptive group norms that time and code steer. Imported with torch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .shape import Shape


def groups(width: int) -> int:
    """The most groups of at most eight that divide `width`."""
    return next(g for g in (8, 4, 2, 1) if width % g == 0)


def time_features(t: Any, width: int) -> Any:
    """Cosines and sines of timesteps [n] at geometric frequencies, [n, width]."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=t.device, dtype=torch.float32) * (-math.log(10000.0) / half))
    angles = t.float()[:, None] * rates[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Block(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A residual block: time scales and shifts the normalised features, then the code scales and shifts them."""

    def __init__(self, before: int, after: int, steer: int, code: int, dropout: float) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(groups(before), before)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second_norm = nn.GroupNorm(groups(after), after, affine=False)
        self.time = nn.Linear(steer, 2 * after)
        self.code = nn.Linear(code, 2 * after)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Any, steer: Any, code: Any) -> Any:
        h = self.second_norm(self.first(functional.silu(self.first_norm(x))))
        for affine, given in ((self.time, steer), (self.code, code)):
            scale, shift = affine(given)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return self.skip(x) + self.second(self.dropout(functional.silu(h)))


class Denoiser(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A U-Net on the grid of patches."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.patch, self.width = shape.patch, shape.width
        inside = 3 * shape.patch**2
        widths = [shape.width * factor for factor in shape.multipliers]
        steer = 4 * shape.width
        self.steer = nn.Sequential(nn.Linear(shape.width, steer), nn.SiLU(), nn.Linear(steer, steer), nn.SiLU())

        def block(before: int, after: int) -> Block:
            return Block(before, after, steer, shape.code, shape.dropout)

        self.enter = nn.Conv2d(inside, widths[0], 3, padding=1)
        self.down, self.smaller = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            self.down.append(nn.ModuleList(block(width, width) for _ in range(shape.blocks)))
            if level + 1 < len(widths):
                self.smaller.append(nn.Conv2d(width, widths[level + 1], 3, stride=2, padding=1))
        self.larger, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(len(widths) - 2, -1, -1):
            self.larger.append(nn.Conv2d(widths[level + 1], widths[level], 3, padding=1))
            first = [block(2 * widths[level], widths[level])]
            rest = [block(widths[level], widths[level]) for _ in range(shape.blocks - 1)]
            self.up.append(nn.ModuleList(first + rest))
        self.leave = nn.Sequential(
            nn.GroupNorm(groups(widths[0]), widths[0]), nn.SiLU(), nn.Conv2d(widths[0], inside, 3, padding=1)
        )

    def forward(self, x: Any, t: Any, code: Any) -> Any:
        steer = self.steer(time_features(t, self.width))
        h = self.enter(functional.pixel_unshuffle(x, self.patch))
        kept = []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                h = block(h, steer, code)
            if level < len(self.smaller):
                kept.append(h)
                h = self.smaller[level](h)
        for larger, blocks in zip(self.larger, self.up, strict=True):
            h = torch.cat([larger(functional.interpolate(h, scale_factor=2.0)), kept.pop()], dim=1)
            for block in blocks:
                h = block(h, steer, code)
        return functional.pixel_shuffle(self.leave(h), self.patch)


class Encoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Strided convolutions, one linear layer, and a norm that puts every code on one sphere."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before, side = 3, shape.size
        for factor in shape.encoder_multipliers:
            after, side = factor * shape.width // 2, side // 2
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(groups(after), after), nn.SiLU()]
            before = after
        self.features = nn.Sequential(*layers)
        self.code = nn.Linear(before * side * side, shape.code)

    def forward(self, x: Any) -> Any:
        code = self.code(self.features(x).flatten(1))
        return functional.layer_norm(code, code.shape[1:])


class Autoencoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Encoder and denoiser: what training moves."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.encoder = Encoder(shape)
        self.denoiser = Denoiser(shape)

    def encode(self, x: Any) -> Any:
        return self.encoder(x)

    def forward(self, x: Any, t: Any, code: Any) -> Any:
        return self.denoiser(x, t, code)
