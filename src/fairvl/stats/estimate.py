"""A number with its uncertainty: the small value that array-level measurements return."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number, its interval and the n it rests on.

    NaN means undefined; `note` then says why. `method` names how the interval was made.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    level: float = 0.95
    method: str = ""
    note: str = ""

    @property
    def excludes_zero(self) -> bool:
        """True when the interval is defined and 0 lies outside it."""
        return self.low > 0 or self.high < 0
