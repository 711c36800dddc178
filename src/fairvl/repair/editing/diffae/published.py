"""The architecture of the published checkpoints, and the map from their names to ours. Imported with torch.

Preechakul et al. 2022 (arXiv 2111.15640): a U-Net whose residual blocks are steered by time (scale and shift) and then
by the code (scale), and an encoder of the same blocks without either.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .manifest import TIME
from .network import time_features
from .shape import Shape


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(32, width), width)


def _doubled(x: Any) -> Any:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _halved(x: Any) -> Any:
    return functional.avg_pool2d(x, 2)


class Residual(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A residual block; without a code it ends after its first convolution."""

    def __init__(self, before: int, after: int, code: int | None, dropout: float, resize: str = "") -> None:
        super().__init__()
        self.enter_norm = _norm(before)
        self.enter = nn.Conv2d(before, after, 3, padding=1)
        if code is not None:
            self.time = nn.Linear(TIME, 2 * after)
            self.code = nn.Linear(code, after)
            self.leave_norm = _norm(after)
            self.dropout = nn.Dropout(dropout)
            self.leave = nn.Conv2d(after, after, 3, padding=1)
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.resize = {"up": _doubled, "down": _halved, "": None}[resize]

    def forward(self, x: Any, steer: Any, code: Any) -> Any:
        h = functional.silu(self.enter_norm(x))
        if self.resize is not None:
            h, x = self.resize(h), self.resize(x)
        h = self.enter(h)
        if steer is not None:
            scale, shift = self.time(functional.silu(steer))[:, :, None, None].chunk(2, dim=1)
            h = self.leave_norm(h) * (1 + scale) + shift
            h = h * (1 + self.code(functional.silu(code))[:, :, None, None])
            h = self.leave(self.dropout(functional.silu(h)))
        return self.skip(x) + h


class Attention(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Places attend to each other; one head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _norm(width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.out = nn.Conv1d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Any, steer: Any, code: Any) -> Any:
        n, width, height, across = x.shape
        flat = x.reshape(n, width, height * across)
        query, key, value = (part.transpose(1, 2) for part in self.qkv(self.norm(flat)).chunk(3, dim=1))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return (flat + self.out(mixed.transpose(1, 2))).reshape(x.shape)


class Enter(nn.Conv2d):  # type: ignore[misc]  # torch is untyped here
    """The first convolution, called like a block."""

    def forward(self, x: Any, steer: Any = None, code: Any = None) -> Any:
        return super().forward(x)


Stage = nn.ModuleList


def _run(stage: Any, x: Any, steer: Any = None, code: Any = None) -> Any:
    for part in stage:
        x = part(x, steer, code)
    return x


def _way_down(shape: Shape, multipliers: tuple[int, ...], code: int | None) -> tuple[nn.ModuleList, list[int]]:
    width, side = multipliers[0] * shape.width, shape.size
    stages, kept = [Stage([Enter(3, width, 3, padding=1)])], [width]
    for level, factor in enumerate(multipliers):
        for _ in range(shape.blocks):
            after = factor * shape.width
            parts: list[nn.Module] = [Residual(width, after, code, shape.dropout)]
            if side in shape.attention:
                parts.append(Attention(after))
            width = after
            stages.append(Stage(parts))
            kept.append(width)
        if level + 1 < len(multipliers):
            stages.append(Stage([Residual(width, width, code, shape.dropout, "down")]))
            side //= 2
            kept.append(width)
    return nn.ModuleList(stages), kept


def _middle(shape: Shape, width: int, code: int | None) -> nn.ModuleList:
    ends = [Residual(width, width, code, shape.dropout) for _ in range(2)]
    return Stage([ends[0], Attention(width), ends[1]])


class PublishedDenoiser(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The U-Net."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.width = shape.width
        self.steer = nn.Sequential(nn.Linear(shape.width, TIME), nn.SiLU(), nn.Linear(TIME, TIME))
        self.down, kept = _way_down(shape, shape.multipliers, shape.code)
        width = kept[-1]
        self.middle = _middle(shape, width, shape.code)
        stages, side = [], shape.size >> (len(shape.multipliers) - 1)
        for level in range(len(shape.multipliers) - 1, -1, -1):
            for turn in range(shape.blocks + 1):
                after = shape.multipliers[level] * shape.width
                parts: list[nn.Module] = [Residual(width + kept.pop(), after, shape.code, shape.dropout)]
                width = after
                if side in shape.attention:
                    parts.append(Attention(width))
                if level and turn == shape.blocks:
                    parts.append(Residual(width, width, shape.code, shape.dropout, "up"))
                    side *= 2
                stages.append(Stage(parts))
        self.up = nn.ModuleList(stages)
        self.leave_norm, self.leave = _norm(width), nn.Conv2d(width, 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Any, t: Any, code: Any) -> Any:
        steer = self.steer(time_features(t, self.width))
        kept, h = [], x
        for stage in self.down:
            h = _run(stage, h, steer, code)
            kept.append(h)
        h = _run(self.middle, h, steer, code)
        for stage in self.up:
            h = _run(stage, torch.cat([h, kept.pop()], dim=1), steer, code)
        return self.leave(functional.silu(self.leave_norm(h)))


class PublishedEncoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The semantic encoder."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.down, kept = _way_down(shape, shape.encoder_multipliers, None)
        self.middle = _middle(shape, kept[-1], None)
        self.leave_norm, self.leave = _norm(kept[-1]), nn.Conv2d(kept[-1], shape.code, 1)

    def forward(self, x: Any) -> Any:
        for stage in self.down:
            x = _run(stage, x)
        x = functional.silu(self.leave_norm(_run(self.middle, x)))
        return self.leave(x.mean(dim=(2, 3), keepdim=True)).flatten(1)


class PublishedAutoencoder(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Encoder and denoiser of the published models, with names of our own; see `published_name`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.encoder = PublishedEncoder(shape)
        self.denoiser = PublishedDenoiser(shape)

    def encode(self, x: Any) -> Any:
        return self.encoder(x)

    def forward(self, x: Any, t: Any, code: Any) -> Any:
        return self.denoiser(x, t, code)


_RULES = tuple(
    (re.compile(pattern), into)
    for pattern, into in (
        (r"^denoiser\.", ""),
        (r"^steer\.", "time_embed.time_embed."),
        (r"^(encoder\.)?down\.", r"\1input_blocks."),
        (r"^(encoder\.)?middle\.", r"\1middle_block."),
        (r"^up\.", "output_blocks."),
        (r"^encoder\.leave_norm\.", "encoder.out.0."),
        (r"^encoder\.leave\.", "encoder.out.3."),
        (r"^leave_norm\.", "out.0."),
        (r"^leave\.", "out.2."),
        (r"\.enter_norm\.", ".in_layers.0."),
        (r"\.enter\.", ".in_layers.2."),
        (r"(\d)\.time\.", r"\1.emb_layers.1."),
        (r"(\d)\.code\.", r"\1.cond_emb_layers.1."),
        (r"(\d)\.leave_norm\.", r"\1.out_layers.0."),
        (r"(\d)\.leave\.", r"\1.out_layers.3."),
        (r"(\d)\.skip\.", r"\1.skip_connection."),
        (r"(\d)\.out\.", r"\1.proj_out."),
        (r"^latent\.steer\.", "latent_net.time_embed."),
        (r"^latent\.layers\.(\d+)\.time\.", r"latent_net.layers.\1.linear_emb."),
        (r"^latent\.", "latent_net."),
    )
)


def published_name(name: str) -> str:
    """The published name of one of our tensors (autoencoder, or ``latent.`` and the name in the latent network).

    Examples
    --------
    >>> published_name("denoiser.up.3.1.out.weight"), published_name("encoder.leave.bias")
    ('output_blocks.3.1.proj_out.weight', 'encoder.out.3.bias')
    """
    if name.startswith("latent."):
        rules = [rule for rule in _RULES if rule[0].pattern.startswith(r"^latent")]
        for pattern, into in rules:
            renamed, found = pattern.subn(into, name)
            if found:
                return renamed
    for pattern, into in _RULES:
        name = pattern.sub(into, name)
    return name
