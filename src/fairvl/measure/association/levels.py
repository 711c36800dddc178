"""The three levels of an association test (ML-EAT), and its nine outcome patterns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import unit_rows
from ...errors import InputError
from ...stats.two_samples import standardised
from .anatomy import check_sets

NEUTRAL = 0.2  # Cohen's "small", below which a target set counts as leaning neither way


@dataclass(frozen=True)
class Multilevel:
    """An association test at three levels (ML-EAT).

    `effect_size` is the whole test; `x` and `y` are each target set alone against A and B (ST-EAT); `means` and
    `spreads` are the mean and sample SD of the cosines in the blocks X-A, X-B, Y-A, Y-B. A target set *leans* to A or B
    when its own effect size is at least `neutral` away from 0.
    """

    effect_size: float
    x: float
    y: float
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    neutral: float = NEUTRAL

    @property
    def leans(self) -> tuple[str, str]:
        """Where X and Y lean: "A", "B" or "neutral" each, "" where undefined."""
        return _lean(self.x, self.neutral), _lean(self.y, self.neutral)

    @property
    def pattern(self) -> str:
        """Which of nine patterns this is: where X leans, then where Y leans, as "A / B"; "" where undefined.

        The same effect size of the whole test comes from different patterns: "A / B" is the contrast that the test is
        named after; in "A / neutral" and "neutral / B" one set alone makes it; in "A / A" and "B / B" both lean one way
        and only differ in degree; in "neutral / neutral" neither leans; "B / A" is the contrast reversed.
        """
        return "" if "" in self.leans else " / ".join(self.leans)

    @property
    def quadrant(self) -> int:
        """Quadrant of the point (x, y) of the EAT map: 1 (both A), 2 (X B, Y A), 3 (both B), 4 (X A, Y B).

        By sign alone; 0 on an axis or undefined.
        """
        if not self.x * self.y or math.isnan(self.x * self.y):
            return 0
        return {(True, True): 1, (False, True): 2, (False, False): 3, (True, False): 4}[self.x > 0, self.y > 0]


def multilevel(x: ArrayLike, y: ArrayLike, a: ArrayLike, b: ArrayLike, *, neutral: float = NEUTRAL) -> Multilevel:
    """Where an effect size comes from: each target set alone, and the four blocks of cosines.

    Parameters
    ----------
    neutral
        Half width of the zone around 0 within which a target set leans neither way.

    References
    ----------
    Wolfe et al. (2024), "ML-EAT: A Multilevel Embedding Association Test", AIES. ddof 1 at every level. Level 2
    averages the cosines of a target set before it compares A with B. A block of one cosine has a NaN spread. The
    paper names nine patterns; the zone that separates them is ours, stated in the result.

    Examples
    --------
    >>> import numpy as np
    >>> eye = np.eye(3)
    >>> found = multilevel(eye[:2] + 0.1, eye[1:] + 0.1, eye[:1] + 0.2, eye[2:] + 0.2)
    >>> round(found.effect_size, 3), found.quadrant
    (1.225, 4)
    """
    if not neutral >= 0:
        raise InputError(f"neutral={neutral}; expected 0 or more standard deviations.")
    x, y, a, b = (unit_rows(v) for v in check_sets(x, y, a, b))
    blocks = [targets @ attributes.T for targets in (x, y) for attributes in (a, b)]
    s_x, s_y = (p.mean(axis=1) - q.mean(axis=1) for p, q in (blocks[:2], blocks[2:]))
    whole = standardised(s_x[:, None], s_y[:, None], 1)
    alone = [standardised(p.mean(axis=0)[:, None], q.mean(axis=0)[:, None], 1) for p, q in (blocks[:2], blocks[2:])]
    return Multilevel(
        float(whole[0]),
        float(alone[0][0]),
        float(alone[1][0]),
        tuple(float(block.mean()) for block in blocks),
        tuple(float(block.std(ddof=1)) if block.size > 1 else np.nan for block in blocks),
        neutral,
    )


def _lean(value: float, neutral: float) -> str:
    if math.isnan(value):
        return ""
    if abs(value) < neutral or value == 0:
        return "neutral"
    return "A" if value > 0 else "B"
