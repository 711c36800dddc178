"""How well a linear probe reads an attribute from vectors: cross-validated, with the chance level and an interval.

A repair of the text side leaves the image side whole, so the two are probed apart. The interval resamples the rows
(whole clusters of them, where rows belong together) with the fitted probes held fixed: it says how sure the accuracy of
*these* probes is, and not how it would vary with another training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import check_vectors
from ...errors import GroupError, InputError
from ...stats.bootstrap import draw_counts
from ...stats.cells import (
    FloatArray,
    IntArray,
    Resampled,
    Resampling,
    bootstrap,
    summarise,
    tabulate,
    without_interval,
)
from ...stats.codes import GroupCodes, encode
from ...stats.estimate import Estimate
from ...stats.rates import divide, mean_defined


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """Out-of-fold accuracy of a linear probe.

    `chance` is the share of the largest class (what a probe that learnt nothing scores on `accuracy`) and
    `chance_balanced` is 1 / classes. `predicted` holds the out-of-fold class of every labelled row as a place in
    `labels`. In a difference (after minus before) the estimates are differences and `predicted` is empty.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate
    chance: float
    chance_balanced: float
    labels: tuple[str, ...]
    folds: int
    predicted: IntArray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ProbeComparison:
    """The same probe before and after, and after minus before on paired rows."""

    before: ProbeResult
    after: ProbeResult
    difference: ProbeResult


def probe(
    vectors: ArrayLike,
    labels: Any,
    *,
    folds: int = 5,
    seed: int = 0,
    l2: float = 1.0,
    clusters: Any = None,
    n_boot: int = 1000,
    level: float = 0.95,
) -> ProbeResult:
    """Cross-validated accuracy of logistic regression that predicts `labels` from `vectors`.

    Parameters
    ----------
    vectors
        ``[n, d]``, one row per label; computed in float64.
    labels
        ``[n]`` categories; rows without one are left out and counted in `notes`.
    folds
        Folds, stratified by label and drawn with `seed`. Columns are standardised on the training folds only.
    l2
        Weight of ``|w|^2 / 2`` beside the summed log loss (scikit-learn's ``1 / C``); the intercept is free.
    clusters
        ``[n]`` or None: rows that share a cluster (prompts from one word, photographs of one person) stay in one
        fold, so that the probe cannot recognise them, and are resampled together.
    n_boot, level
        Bootstrap over rows by cells label x prediction, or over clusters.

    Raises
    ------
    InputError, GroupError
        Unusable vectors, fewer than two labels, fewer members (or clusters) of a label than folds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.array(["a", "b"])[rng.integers(0, 2, 200)]
    >>> x = rng.normal(size=(200, 5)) + 3.0 * (labels == "a")[:, None]
    >>> result = probe(x, labels)
    >>> bool(result.accuracy.value > 0.95), bool(result.chance < 0.6)
    (True, True)
    """
    rows, codes, notes = _labelled((vectors,), labels)
    plan = Resampling(n_boot, level, seed)
    kept = _kept(clusters, labels)
    predicted = _out_of_fold(rows[0], codes, _folds(codes, folds, seed, kept), l2)
    return _result(_bootstrap(codes, [predicted], plan, kept), 0, codes, folds, predicted, notes)


def compare_probes(
    before: ArrayLike,
    after: ArrayLike,
    labels: Any,
    *,
    folds: int = 5,
    seed: int = 0,
    l2: float = 1.0,
    clusters: Any = None,
    n_boot: int = 1000,
    level: float = 0.95,
) -> ProbeComparison:
    """`probe` on vectors before and after a repair, with the same folds, and the paired difference."""
    rows, codes, notes = _labelled((before, after), labels)
    plan = Resampling(n_boot, level, seed)
    kept = _kept(clusters, labels)
    parts = _folds(codes, folds, seed, kept)
    predicted = [_out_of_fold(x, codes, parts, l2) for x in rows]
    values = _bootstrap(codes, predicted, plan, kept)
    first, second = (_result(values, 2 * i, codes, folds, p, notes) for i, p in enumerate(predicted))
    difference = _result(values, 4, codes, folds, np.zeros(0, dtype=np.int64), notes)
    return ProbeComparison(first, second, difference)


def out_of_fold_scores(
    vectors: ArrayLike, labels: Any, *, folds: int = 5, seed: int = 0, l2: float = 1.0
) -> tuple[IntArray, FloatArray]:
    """True class ``[n]`` and the probe's class probabilities ``[n, m]``, each row by a model that did not see it."""
    from scipy.special import expit, softmax

    rows, codes, _ = _labelled((vectors,), labels)
    logits = _logits(rows[0], codes, _folds(codes, folds, seed, None), l2)
    if logits.shape[1] == 1:
        return codes.codes, np.concatenate([expit(-logits), expit(logits)], axis=1)
    return codes.codes, np.asarray(softmax(logits, axis=1))


def fit_logistic(x: FloatArray, codes: IntArray, classes: int, l2: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Weights ``[d, m]`` and intercepts ``[m]`` of L2-regularised logistic regression; m is 1 for two classes.

    Minimises ``sum log loss + l2 / 2 |weights|^2`` by L-BFGS, in float64.
    """
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit, logsumexp

    n, d = x.shape
    binary = classes == 2
    columns = 1 if binary else classes
    sign = np.where(codes == 1, 1.0, -1.0)
    onehot = np.eye(classes)[codes]

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        weights, intercept = parameters[: d * columns].reshape(d, columns), parameters[d * columns :]
        logits = x @ weights + intercept
        if binary:
            margin = sign * logits[:, 0]
            loss = -log_expit(margin).sum()
            residual = (-sign * expit(-margin))[:, None]
        else:
            log_total = logsumexp(logits, axis=1, keepdims=True)
            loss = log_total.sum() - (logits * onehot).sum()
            residual = np.exp(logits - log_total) - onehot
        gradient = np.concatenate([(x.T @ residual + l2 * weights).ravel(), residual.sum(axis=0)])
        return float(loss + 0.5 * l2 * (weights**2).sum()) / n, gradient / n

    start = np.zeros(d * columns + columns)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500, "gtol": 1e-5})
    weights = np.asarray(found.x[: d * columns]).reshape(d, columns)
    return weights, np.asarray(found.x[d * columns :])


def _labelled(arms: Sequence[ArrayLike], labels: Any) -> tuple[list[FloatArray], GroupCodes, tuple[str, ...]]:
    codes = encode(labels)
    arrays = [check_vectors(x, "vectors", zero_ok=True) for x in arms]
    for array in arrays:
        if len(array) != len(codes):
            raise InputError(f"{len(array)} vectors and {len(codes)} labels; expected one label per vector.")
    known = codes.codes >= 0
    notes = codes.notes
    if not known.all():
        notes = (*notes, f"{np.count_nonzero(~known)} rows without a label were left out")
        codes = codes.take(known)
    present = [label for label, count in zip(codes.labels, codes.counts, strict=True) if count]
    if len(present) < 2:
        raise GroupError(f"labels {present}; a probe needs at least two classes with members.")
    codes = encode(codes, expected=present)
    return [array[known].astype(np.float64) for array in arrays], codes, notes


def _kept(clusters: Any, labels: Any) -> GroupCodes | None:
    """Clusters of the labelled rows."""
    if clusters is None:
        return None
    codes = encode(clusters)
    known = encode(labels).codes >= 0
    if len(codes) != len(known) or codes.n_missing:
        raise InputError(f"{len(codes) - codes.n_missing} clusters for {len(known)} rows; expected one per row.")
    return codes.take(known)


def _folds(codes: GroupCodes, folds: int, seed: int, clusters: GroupCodes | None) -> IntArray:
    """Fold of every row: each label's rows (or clusters) dealt out in random order; mixed clusters in any order."""
    if isinstance(folds, bool) or int(folds) != folds or folds < 2:
        raise InputError(f"folds={folds}; expected 2 or more.")
    rng = np.random.default_rng(seed)
    units = np.arange(len(codes)) if clusters is None else clusters.codes
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    label_of_unit = codes.codes[first]
    if clusters is not None and (label_of_unit[unit.ravel()] != codes.codes).any():
        return _mixed_folds(codes, folds, rng, unit.ravel())
    fold = np.empty(len(first), dtype=np.int64)
    offset = 0
    for label in range(len(codes.labels)):
        members = np.flatnonzero(label_of_unit == label)
        if len(members) < folds:
            raise GroupError(
                f"label {codes.labels[label]!r} has {len(members)} {'rows' if clusters is None else 'clusters'} for "
                f"{folds} folds; use fewer folds or leave the label out."
            )
        fold[rng.permutation(members)] = (np.arange(len(members)) + offset) % folds
        offset += len(members)  # so that the folds stay of equal size
    return np.asarray(fold[unit.ravel()])


def _mixed_folds(codes: GroupCodes, folds: int, rng: np.random.Generator, unit: IntArray) -> IntArray:
    """Folds of clusters that hold several labels, such as four versions of one scene."""
    for code, label in enumerate(codes.labels):
        if (found := len(np.unique(unit[codes.codes == code]))) < folds:
            raise GroupError(f"label {label!r} is in {found} clusters for {folds} folds; use fewer folds.")
    fold = rng.permutation(np.arange(int(unit.max()) + 1) % folds)
    return np.asarray(fold[unit], dtype=np.int64)


def _out_of_fold(x: FloatArray, codes: GroupCodes, fold: IntArray, l2: float) -> IntArray:
    logits = _logits(x, codes, fold, l2)
    picked = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)
    return np.asarray(picked, dtype=np.int64)


def _logits(x: FloatArray, codes: GroupCodes, fold: IntArray, l2: float) -> FloatArray:
    """Scores of every row by the model that did not see its fold: ``[n, 1]`` for two labels, else ``[n, m]``."""
    if not l2 > 0:
        raise InputError(f"l2={l2}; expected a positive weight, for example 1.0.")
    logits = np.empty((len(codes), 1 if len(codes.labels) == 2 else len(codes.labels)))
    for part in range(int(fold.max()) + 1):
        train, test = fold != part, fold == part
        mean, spread = x[train].mean(axis=0), x[train].std(axis=0)
        scale = np.where(
            spread > 1e-12 * np.maximum(np.abs(mean), 1.0), spread, np.inf
        )  # a constant column says nothing
        weights, intercept = fit_logistic((x[train] - mean) / scale, codes.codes[train], len(codes.labels), l2)
        logits[test] = ((x[test] - mean) / scale) @ weights + intercept
    return logits


def _bootstrap(
    codes: GroupCodes, predicted: list[IntArray], plan: Resampling, clusters: GroupCodes | None
) -> Resampled:
    """Accuracy and balanced accuracy per arm, then their differences."""
    units, unit = (1, np.zeros(len(codes), np.int64)) if clusters is None else _renumbered(clusters.codes)
    hits = [(p == codes.codes).astype(np.int64) for p in predicted]
    g = len(codes.labels)
    cells = tabulate(unit, codes.codes, *hits, shape=(units, g, *(2 for _ in hits)))
    label = np.eye(g)[cells.coordinates[:, 1]]

    def statistic(counts: FloatArray) -> FloatArray:
        rows = counts @ label
        values = []
        for arm in range(len(hits)):
            right = (counts * cells.coordinates[:, 2 + arm]) @ label
            values += [right.sum(axis=1) / rows.sum(axis=1), mean_defined(divide(right, rows))]
        if len(hits) == 2:
            values += [values[2] - values[0], values[3] - values[1]]
        return np.column_stack(values)

    if clusters is None:
        return bootstrap(cells, statistic, plan)
    observed = statistic(cells.counts.astype(np.float64)[None])[0]
    if not plan.draws:
        return without_interval(observed, plan)
    drawn = draw_counts(units, plan.draws, np.random.default_rng(plan.seed))
    replicates = statistic(drawn[:, cells.coordinates[:, 0]] * cells.counts)
    return summarise(observed, replicates, plan, "clusters", units=np.full(len(observed), float(units)))


def _renumbered(codes: IntArray) -> tuple[int, IntArray]:
    found, inverse = np.unique(codes, return_inverse=True)
    return len(found), inverse.ravel()


def _result(
    values: Resampled, at: int, codes: GroupCodes, folds: int, predicted: IntArray, notes: tuple[str, ...]
) -> ProbeResult:
    n = len(codes)
    note = f"interval over {'clusters' if 'clusters' in values.method else 'rows'}, probes held fixed"
    return ProbeResult(
        values.estimate(at, n, note),
        values.estimate(at + 1, n, note),
        float(codes.counts.max() / n),
        1.0 / len(codes.labels),
        codes.labels,
        folds,
        predicted,
        notes,
    )
