"""Leakage amplification: do predictions give a group away more than labels of the same quality do?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import GroupError, InputError
from ...stats.cells import FloatArray
from ...stats.codes import GroupCodes, encode
from ...stats.estimate import Estimate
from .probe import compare_probes, probe


@dataclass(frozen=True, eq=False)
class Leakage:
    """How well groups are read from labels (or human captions) and from what a model made of the same rows.

    Parameters
    ----------
    data
        From the labels, brought to the model's quality (`label_leakage`) or vocabulary (`caption_leakage`).
    model
        From the predictions or generated captions.
    amplification
        `model` minus `data`, paired by row.
    untouched
        From the labels as they are.
    chance
        What a reader that knows nothing scores.
    quality, quality_matched
        Micro F1 of the predictions, and of the flipped labels, against the labels; NaN for captions.
    rounds
        Balanced draws (and random flips) that the estimates average.
    """

    data: Estimate
    model: Estimate
    amplification: Estimate
    untouched: Estimate
    chance: float
    quality: float
    quality_matched: float
    rounds: int


def label_leakage(
    groups: Any,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    threshold: float = 0.5,
    rounds: int = 5,
    folds: int = 5,
    n_boot: int = 500,
    level: float = 0.95,
    seed: int = 0,
) -> Leakage:
    """Accuracy of reading the group from a model's predictions, minus that from labels of equal quality.

    Labels are more orderly than predictions, so they are brought down first: random entries are flipped until their
    micro F1 against the true labels is the model's. Every round draws as many rows of each group, flips anew and
    cross-validates a logistic reader on both sides with the same folds.

    Parameters
    ----------
    groups
        ``[n]``; rows without a group are left out.
    labels
        ``[n, k]`` of 0 and 1.
    predictions
        ``[n, k]``: 0/1, probabilities or logits; the reader sees them as they are.
    threshold
        A prediction above it counts as 1 for the F1 (0 for logits).
    rounds, folds, n_boot, level, seed
        Balanced draws; folds of the reader; bootstrap over rows within a round.

    Returns
    -------
    Leakage
        Values are means over rounds. Interval ends are the mean ends over rounds: rounds share most rows, so nothing is
        taken off the width for averaging.

    References
    ----------
    Wang et al. (2019), "Balanced datasets are not enough", ICCV, dataset and model leakage at equal F1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> man = rng.integers(0, 2, 400)
    >>> labels = (rng.random((400, 3)) < 0.5) * 1
    >>> predictions = np.column_stack([man, labels[:, 1:]])
    >>> result = label_leakage(man, labels, predictions, rounds=2)
    >>> bool(result.model.value > 0.95), bool(abs(result.data.value - 0.5) < 0.1)
    (True, True)
    """
    codes = encode(groups, name="groups")
    truth, guess = np.asarray(labels, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != guess.shape or len(truth) != len(codes):
        raise InputError(
            f"groups [{len(codes)}], labels {truth.shape}, predictions {guess.shape}; expected [n], [n, k] and [n, k]."
        )
    if not np.isin(truth, (0.0, 1.0)).all():
        raise InputError("labels: values other than 0 and 1; expected the true labels as 0/1 columns.")
    if rounds < 1:
        raise InputError(f"rounds={rounds}; expected at least one.")
    said = (guess > threshold).astype(np.float64)
    quality = micro_f1(truth, said)
    rng = np.random.default_rng(seed)
    parts, reached = [], []
    for r in range(rounds):
        rows = balanced_rows(codes, rng)
        flipped = flip_to_f1(truth[rows], quality, rng)
        reached.append(micro_f1(truth[rows], flipped))
        names = np.array(codes.labels)[codes.codes[rows]]
        pair = compare_probes(flipped, guess[rows], names, folds=folds, seed=seed + r, n_boot=n_boot, level=level)
        whole = probe(truth[rows], names, folds=folds, seed=seed + r, n_boot=n_boot, level=level)
        parts.append((pair.before.accuracy, pair.after.accuracy, pair.difference.accuracy, whole.accuracy))
    data, model, amplification, untouched = (_mean([p[i] for p in parts]) for i in range(4))
    used = int((codes.counts > 0).sum())
    return Leakage(data, model, amplification, untouched, 1.0 / used, quality, float(np.mean(reached)), rounds)


def micro_f1(truth: FloatArray, said: FloatArray) -> float:
    """``2 hits / (positives + predicted positives)`` over all entries; NaN where both are empty."""
    total = float(truth.sum() + said.sum())
    return 2.0 * float((truth * said).sum()) / total if total else float("nan")


def flip_to_f1(truth: FloatArray, target: float, rng: np.random.Generator) -> FloatArray:
    """0/1 labels with the fewest entries of a random order flipped that bring the micro F1 down to `target`.

    Examples
    --------
    >>> flip_to_f1(np.ones((2, 2)), 1.0, np.random.default_rng(0)).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    order = rng.permutation(truth.size)
    flat = truth.ravel()
    turned_on = np.cumsum(flat[order] == 0)  # entries that became 1 after the first m flips
    turned_off = np.cumsum(flat[order] == 1)
    positives = flat.sum()
    hits = positives - turned_off
    predicted = positives - turned_off + turned_on
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2.0 * hits / (positives + predicted)
    reached = np.flatnonzero(np.nan_to_num(f1) <= target)
    out = flat.copy()
    if target < 1.0:
        m = int(reached[0]) + 1 if len(reached) else truth.size
        out[order[:m]] = 1.0 - out[order[:m]]
    return np.asarray(out.reshape(truth.shape))


def balanced_rows(codes: GroupCodes, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Positions of as many random rows of every group that occurs as the smallest group has, in row order."""
    present = np.flatnonzero(codes.counts)
    if len(present) < 2:
        raise GroupError(f"groups {[codes.labels[i] for i in present]}; expected at least two to tell apart.")
    size = int(codes.counts[present].min())
    picked = [rng.choice(np.flatnonzero(codes.codes == g), size, replace=False) for g in present]
    return np.sort(np.concatenate(picked)).astype(np.int64)


def _mean(estimates: list[Estimate]) -> Estimate:
    first = estimates[0]
    value, low, high = (float(np.mean([getattr(e, name) for e in estimates])) for name in ("value", "low", "high"))
    note = f"mean of {len(estimates)} balanced rounds, interval ends likewise"
    return Estimate(value, low, high, first.n, first.level, first.method, note)
