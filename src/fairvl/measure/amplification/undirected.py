"""MALS, the co-occurrence measure that came first: how much more often the majority group stands with a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError
from ...stats.bootstrap import draw_blocks, draw_counts, interval
from ...stats.estimate import Estimate
from .directional import _columns, _joint
from .result import Floats


@dataclass(frozen=True, eq=False)
class Mals:
    """Mean amplification of the majority side, with values per pair.

    `train` and `predicted` are the shares b(task, attribute) ``[A, T]`` over attributes; `majority` marks the pairs
    whose training share exceeds 1 / A; tasks without training or predicted rows are left out and counted in
    `n_undefined`.
    """

    estimate: Estimate
    train: Floats
    predicted: Floats
    majority: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    n_tasks: int
    n_undefined: int


def mals(
    train: tuple[ArrayLike, ArrayLike],
    predicted: tuple[ArrayLike, ArrayLike],
    *,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Mals:
    """Mean over tasks of the summed change of majority shares from training labels to predictions.

    ``b(t, a) = c(t, a) / sum_a' c(t, a')``; the value is ``(1 / T) sum over pairs with b_train > 1 / A`` of
    ``b_predicted - b_train``. With two attributes this is the plain average over tasks. Base rates are ignored, which
    is why `directional_amplification` exists.

    Parameters
    ----------
    train, predicted
        ``(attributes [n, A], tasks [n, T])`` of the training labels and of the predictions (predicted attributes and
        predicted tasks of the same images), 0/1 or probabilities.
    n_boot, level, seed
        Bootstrap over the predicted rows, training labels and majority sides held fixed.

    References
    ----------
    Zhao et al. (2017), "Men also like shopping", EMNLP, equation for the mean bias amplification.

    Examples
    --------
    >>> a = [[1, 0]] * 6 + [[0, 1]] * 4
    >>> tasks = [[1]] * 10
    >>> all_men = [[1, 0]] * 10
    >>> round(mals((a, tasks), (all_men, tasks)).estimate.value, 3)
    0.4
    """
    a0, t0 = _columns(train[0], "train attributes"), _columns(train[1], "train tasks")
    a1, t1 = _columns(predicted[0], "predicted attributes"), _columns(predicted[1], "predicted tasks")
    if len(a0) != len(t0) or len(a1) != len(t1) or a0.shape[1] != a1.shape[1] or t0.shape[1] != t1.shape[1]:
        raise InputError(
            f"train {a0.shape} and {t0.shape}, predicted {a1.shape} and {t1.shape}; expected (attributes, tasks) with "
            "as many rows in a pair and the same columns in both."
        )
    if a0.shape[1] < 2:
        raise InputError("one attribute column; MALS compares shares over groups and needs at least two columns.")
    before = _shares(_joint(np.ones((1, len(a0))), a0, t0))[0]
    after = _shares(_joint(np.ones((1, len(a1))), a1, t1))
    majority = np.nan_to_num(before) > 1.0 / a0.shape[1]
    rng = np.random.default_rng(seed)
    drawn = [
        _value(before, _shares(_joint(draw_counts(len(a1), block, rng), a1, t1)), majority)
        for block in draw_blocks(n_boot, len(a1) * (a1.shape[1] + 1))
    ]
    value = float(_value(before, after, majority)[0])
    low = high = float("nan")
    if n_boot and np.isfinite(value):
        low, high = interval(np.concatenate(drawn), value, level=level, method="percentile", units=max(len(a1), 2))
    defined = np.isfinite(before).all(axis=0) & np.isfinite(after[0]).all(axis=0)
    estimate = Estimate(value, low, high, len(a1), level, f"percentile, {n_boot} draws")
    return Mals(estimate, before, after[0], majority, int(defined.sum()), int((~defined).sum()))


def _shares(joint: Floats) -> Floats:
    total = joint.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(total > 0, joint / total, np.nan))


def _value(before: Floats, after: Floats, majority: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    change = np.where(majority, after - before, 0.0)  # [b, A, T], NaN where a task is undefined
    per_task = change.sum(axis=1)
    per_task[:, ~np.isfinite(before).all(axis=0)] = np.nan
    per_task[~np.isfinite(after).all(axis=1)] = np.nan
    defined = np.isfinite(per_task)
    count = defined.sum(axis=1)
    return np.where(count > 0, np.where(defined, per_task, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
