"""How strong a calibration should be: lambda chosen on pairs that the fit has not seen.

For every lambda of the path, on held-out pairs: the *gap*, what is left of the squared distance of their two sides,
and the *loss*, what is gone of the squared spread between their contents (the midpoints of pairs). The choice is the
smallest lambda whose mean of gap + loss lies within one standard error of the least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from .base import F64, Operator
from .projection import CalibratedProjection

FOLDS = 4
GRID = (0.0, *np.geomspace(0.1, 1e6, 29).tolist())


@dataclass(frozen=True)
class LambdaChoice:
    """The held-out curves ``[folds, lambdas]`` and the lambda that they chose."""

    lam: float
    lams: F64
    gap: F64
    loss: F64

    def described(self) -> str:
        """One line for the header of an operator."""
        at = int(np.flatnonzero(self.lams == self.lam)[0])
        return (
            f"lambda {self.lam:.3g} chosen on held-out contents of the pairs, {len(self.gap)} folds: gap left "
            f"{self.gap[:, at].mean():.3f}, content lost {self.loss[:, at].mean():.3f}"
        )


def choose_lambda(
    prompts: F64 | None,
    left: F64,
    right: F64,
    contents: Sequence[str],
    *,
    subspace: str = "span",
    lams: Sequence[float] = GRID,
) -> LambdaChoice:
    """Lambda for `CalibratedProjection(subspace=...)` on `prompts` and pairs, whole contents held out in turn.

    Parameters
    ----------
    prompts : (k, d) array
    left, right : (s, d) arrays
    contents : s names
        What a pair is about; pairs of one content are held out together.

    Raises
    ------
    InputError
        Fewer than two contents: nothing can be held out.
    """
    names = list(dict.fromkeys(contents))
    if len(names) < 2:
        raise InputError(
            f"lambda='auto' holds contents of pairs out, and the {len(contents)} pairs have {len(names)}. Give a bank "
            "whose pairs have several contexts, or a number."
        )
    folds = min(FOLDS, len(names))
    fold_of = {name: place % folds for place, name in enumerate(names)}
    fold = np.array([fold_of[content] for content in contents])
    values = np.asarray(lams, np.float64)
    gap, loss = np.empty((folds, len(values))), np.empty((folds, len(values)))
    for number in range(folds):
        train, held = fold != number, fold == number
        path = CalibratedProjection(subspace=subspace).path(prompts, left[train], right[train], values)
        middle = (left + right) / 2.0
        for place, operator in enumerate(path):
            gap[number, place] = pair_gap(operator, left[held], right[held])
            # Content is judged over all midpoints: a fold of one content has no spread of its own.
            loss[number, place] = 1.0 - _kept_spread(operator, middle)
    cost = gap + loss
    mean, error = cost.mean(axis=0), cost.std(axis=0, ddof=1) / np.sqrt(folds)
    least = int(np.argmin(mean))
    chosen = int(np.flatnonzero(mean <= mean[least] + error[least])[0])
    return LambdaChoice(float(values[chosen]), values, gap, loss)


def pair_gap(operator: Operator, left: F64, right: F64) -> float:
    """What is left of the mean squared distance between the sides of pairs."""
    before = float(np.square(left - right).sum())
    after = float(np.square(operator(left) - operator(right)).sum())
    return after / before if before else 0.0


def _kept_spread(operator: Operator, rows: F64) -> float:
    after = operator(rows)
    before = float(np.square(rows - rows.mean(axis=0)).sum())
    return float(np.square(after - after.mean(axis=0)).sum()) / before if before else 1.0
