"""What an association test returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...stats.estimate import Estimate

Number = TypeVar("Number", float, NDArray[np.float64])


@dataclass(frozen=True)
class AssociationResult(Generic[Number]):
    """An effect size with its p-value and interval.

    `n` counts the target units (base words where clusters were given, else stimuli); `sizes` the stimuli of
    the four sets. `p_floor` is the smallest p these sizes allow, `p_error` the standard error of a sampled p.
    `undefined` is the share of bootstrap replicates left out because their spread was zero.
    """

    effect_size: Number
    p: Number
    low: Number
    high: Number
    n: int
    p_method: str
    p_floor: float
    p_error: Number
    interval_method: str
    level: float
    ddof: int
    tail: str
    sizes: tuple[int, ...]
    undefined: Number
    preset: str = ""
    note: str = ""

    @property
    def method(self) -> str:
        """How p and interval were made, in words."""
        return f"p: {self.p_method}; interval: {self.interval_method}"


class Comparison(NamedTuple):
    """The same test before and after a repair, and the paired difference after minus before."""

    before: AssociationResult[float]
    after: AssociationResult[float]
    difference: Estimate
