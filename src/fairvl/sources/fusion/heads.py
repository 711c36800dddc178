"""A head that chooses among answers, for families whose transformers classes bring none."""

from __future__ import annotations

from typing import Any


def answer_head(width: int, answers: int) -> Any:
    """Two layers on the state of the first token."""
    from torch import nn

    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.LayerNorm(2 * width), nn.Linear(2 * width, answers))
