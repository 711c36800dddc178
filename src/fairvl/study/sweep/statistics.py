"""From associations to numbers: effect sizes, intervals and p-values of all models per case, and max-T over cases.

All models of a case see the same resamples and the same permutations. Corrections run over all rows of the sweep that
have a p, social and control tests apart: the two answer different questions, and the large effects of the controls
would otherwise decide what the social tests must pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...measure.association import max_t, population_influence, population_tests
from ...sources.stimuli import Case
from ...stats.permutation import Tail

Floats = NDArray[np.float64]
FOLDER = "statistics"
MAX_T_DRAWS = 9_999


@dataclass(frozen=True)
class Statistics:
    """How a sweep turns associations into numbers; the fields as in `sweep`."""

    draws: int
    permutations: int
    level: float
    seed: int
    tail: Tail
    templates: bool = False

    def facts(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def case_file(number: int) -> str:
    """Where the statistics of a case lie in the folder of a sweep."""
    return f"{FOLDER}/{number:03d}.json"


def family_file(category: str) -> str:
    """Where the max-T p-values of the tests of a category lie."""
    return f"{FOLDER}/max-t-{category}.json"


def case_statistics(case: Case, s_x: Floats, s_y: Floats, how: Statistics) -> dict[str, Any]:
    """Statistics of all models of one case as JSON values: lists over models, and scalars of the case.

    Parameters
    ----------
    s_x, s_y : (models, n) and (models, m) arrays
        Associations of the targets.
    """
    words, templates = (case.x.words, case.y.words), (case.x.templates, case.y.templates)
    crossed = how.templates and min(*templates[0], *templates[1]) >= 0  # pictures and given sentences have none
    found = population_tests(
        s_x, s_y, clusters=words, templates=templates if crossed else None, tail=how.tail, draws=how.draws,
        permutations=how.permutations, level=how.level, seed=how.seed,
    )  # fmt: skip
    without = np.concatenate(population_influence(s_x, s_y, clusters=words), axis=1)
    moved = np.where(np.isfinite(without), np.abs(without - found.effect_size[:, None]), -1.0)
    most = moved.argmax(axis=1)
    labels = _unit_labels(case)
    return {
        "effect_size": plain(found.effect_size), "low": plain(found.low), "high": plain(found.high),
        "p": plain(found.p), "p_error": plain(found.p_error), "p_low": plain(found.p_low),
        "p_high": plain(found.p_high), "p_method": list(found.p_methods), "notes": list(found.notes),
        "d_without": plain(without[np.arange(len(without)), most]), "influential": [labels[i] for i in most],
        "p_floor": found.p_floor, "n": found.n, "units": list(found.units), "interval": found.interval_method,
        "note": found.note,
    }  # fmt: skip


def family_p(cases: Sequence[Case], sides: Sequence[tuple[Floats, Floats]], how: Statistics) -> list[Any]:
    """Per case the max-T adjusted p of its models, from random splits that all models and cases share."""
    draws = min(how.permutations, MAX_T_DRAWS)
    clusters = [(case.x.words, case.y.words) for case in cases]
    found = max_t(sides, clusters=clusters, tail=how.tail, draws=draws, seed=how.seed)
    return [plain(p) for p in found]


def plain(values: Any) -> list[float | None]:
    """Numbers as JSON has them: NaN and infinity become None."""
    return [float(v) if math.isfinite(v) else None for v in np.asarray(values, dtype=np.float64)]


def _unit_labels(case: Case) -> list[str]:
    """What a reader calls each unit (base word, picture) of X, then of Y, in order of first use as the codes are."""
    names = []
    for side in (case.x, case.y):
        labels = side.labels or tuple(str(i) for i in range(len(side.keys)))
        names += [labels[side.words.index(word)] for word in dict.fromkeys(side.words)]
    return names
