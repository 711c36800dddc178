"""From associations to rows: effect sizes, intervals and p-values of all models per case, then corrections.

All models of a case see the same resamples and the same permutations. Corrections run over all rows of the sweep that
have a p, social and control tests apart: the two answer different questions, and the large effects of the controls
would otherwise decide what the social tests must pass.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sources.stimuli import Case
from ...stats.bootstrap import interval, stratified_jackknife, unit_codes
from ...stats.permutation import Tail, two_sample_ps
from ...stats.two_samples import left_out, resampled, standardised, unit_means, unit_moments

Floats = NDArray[np.float64]
FOLDER = "statistics"


@dataclass(frozen=True)
class Statistics:
    """How a sweep turns associations into numbers."""

    draws: int
    permutations: int
    level: float
    seed: int
    tail: Tail

    def facts(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def case_file(number: int) -> str:
    """Where the statistics of a case lie in the folder of a sweep."""
    return f"{FOLDER}/{number:03d}.json"


def case_statistics(case: Case, s_x: Floats, s_y: Floats, how: Statistics) -> dict[str, Any]:
    """Statistics of all models of one case as JSON values: lists over models, and scalars of the case.

    Parameters
    ----------
    s_x, s_y : (models, n) and (models, m) arrays
        Associations of the targets.
    """
    codes = tuple(unit_codes(np.asarray(side.words)) for side in (case.x, case.y))
    d = standardised(s_x.T, s_y.T, 1)
    low = high = np.full(len(s_x), math.nan)
    units = tuple(int(c.max()) + 1 for c in codes)
    if min(units) > 1:
        moments = unit_moments(s_x.T, s_y.T, codes[0], codes[1])
        jackknife = stratified_jackknife(left_out(moments, 1))
        low, high = interval(
            resampled(moments, how.draws, how.seed, 1), d, level=how.level, method="bca", jackknife=jackknife
        )
    x, y = (unit_means(s.T, c).T for s, c in zip((s_x, s_y), codes, strict=True))
    found = two_sample_ps(x, y, tail=how.tail, draws=how.permutations, seed=how.seed)
    p = [math.nan if math.isnan(value) else one.p for value, one in zip(d, found, strict=True)]
    return {
        "effect_size": _plain(d), "low": _plain(low), "high": _plain(high), "p": _plain(p),
        "p_error": _plain([one.error for one in found]), "p_method": found[0].method, "p_floor": found[0].floor,
        "n": sum(units), "interval": "bca over targets",
    }  # fmt: skip


def _plain(values: Any) -> list[float | None]:
    return [None if not math.isfinite(v) else float(v) for v in np.asarray(values, dtype=np.float64)]
