"""Directional bias amplification, both directions, from sums over rows.

Everything needed is a weighted sum: rows per attribute, per task, and jointly, in labels and in predictions. Under
bootstrap weights these sums are matrix products of ``weights * attributes`` with ``[tasks, predictions]``, so all pairs
of all replicates come from a few products and nothing of size rows x pairs is held.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtr

from ...errors import InputError
from ...stats.bootstrap import draw_blocks, draw_counts, interval
from ...stats.estimate import Estimate
from ...stats.multiplicity import benjamini_hochberg, holm
from .result import Amplification, Direction, Floats, Mask, Pairs

FEW = 30  # rows; below, a conditional share moves by more than three points when one row changes
STABLE = 0.95
TIED = 1e-12  # relative; sums of probabilities round, counts do not


def directional_amplification(
    attributes: ArrayLike,
    tasks: ArrayLike,
    predicted: ArrayLike,
    *,
    direction: Direction = "a->t",
    train: tuple[ArrayLike, ArrayLike] | None = None,
    minimum_support: int = 1,
    erasure_below: float = 0.5,
    attribute_names: Sequence[str] | None = None,
    task_names: Sequence[str] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Amplification:
    """Directional bias amplification of predictions over labels, with values per pair.

    For "a->t" ``delta[a, t] = P(predicted task t | attribute a) - P(task t | attribute a)``; for "t->a"
    ``delta[a, t] = P(predicted attribute a | task t) - P(attribute a | task t)``. The value is the mean of
    ``sign[a, t] * delta[a, t]`` over pairs with support, where ``sign = sign(P(a, t) - P(a) P(t))`` in the deciding
    labels, decided on counts (a tie is 0), over rows with at least one attribute or task.

    Parameters
    ----------
    attributes, tasks
        Labels ``[n, A]`` and ``[n, T]``: 0/1, or probabilities.
    predicted
        The side that the direction names: ``[n, T]`` for "a->t", ``[n, A]`` for "t->a"; ``[seeds, n, ...]`` for several
        runs of the same kind of model. 0/1 or probabilities.
    train
        ``(attributes, tasks)`` that decide the sign, of any number of rows; the labels above when None.
    minimum_support
        Rows that a pair's condition needs to enter the means; below, the pair is NaN and counted in `n_unsupported`.
    erasure_below
        See `Amplification.erasure`.
    attribute_names, task_names
        Names of the columns; "a0", "a1", ... by default.
    n_boot, level, seed
        Bootstrap over rows, and over seeds where there are several (both drawn with replacement, jointly).

    Raises
    ------
    InputError
        Arrays that do not belong together, values outside [0, 1], NaN, a direction that does not exist.

    Notes
    -----
    Statistics in float64. Signs are held fixed in the bootstrap of values: resampling them would turn every near-tie
    into a positive bias. `Pairs.stable` shows which signs to distrust.

    References
    ----------
    Wang and Russakovsky (2021), "Directional bias amplification", ICML, definition in section 4. Zhao, Andrews and
    Xiang (2023) for the absolute value and its variance.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.repeat([[1, 0], [0, 1]], 50, axis=0)
    >>> t = np.r_[np.ones(30), np.zeros(20), np.ones(20), np.zeros(30)][:, None]
    >>> says_group = a[:, :1]
    >>> result = directional_amplification(a, t, says_group)
    >>> round(result.value, 3), round(directional_amplification(a, t, t).value, 3)
    (0.4, 0.0)
    """
    table = _table(attributes, tasks, predicted, direction)
    deciding = _train((table.a, table.t) if train is None else train, table)
    table = table.distinct()
    signs = _signs(*deciding[:2], deciding[2][None])[0]
    names_a = _names(attribute_names, table.a.shape[1], "a", "attribute_names")
    names_t = _names(task_names, table.t.shape[1], "t", "task_names")
    if minimum_support < 1 or not 0 <= erasure_below <= 1 or n_boot < 0 or not 0 < level < 1:
        raise InputError(
            f"minimum_support={minimum_support}, erasure_below={erasure_below}, n_boot={n_boot}, level={level}; "
            "expected a support of 1 or more, shares between 0 and 1, and no negative number of draws."
        )
    whole = _shares(table, table.counts[None], np.ones((1, table.seeds)))
    supported = whole.support[0] >= max(minimum_support, TIED)
    rng = np.random.default_rng(seed)
    replicates = _replicates(table, signs, supported, n_boot, rng)
    observed = _summary(whole, signs, supported)[0]
    low, high = _ends(replicates, observed, level, table.n, n_boot)
    stable = _stability(deciding, signs, n_boot, np.random.default_rng((seed, 1)))  # the same for any predictions
    pairs = _pairs(table, whole, (signs, stable), supported, (observed, low, high), (names_a, names_t))
    truth = table.t if table.forward else table.a
    covered = float((np.minimum(table.p.sum(axis=2), 1.0) @ table.counts).mean() / table.n)
    covered_given = float(np.minimum(truth.sum(axis=1), 1.0) @ table.counts / table.n)
    erased = covered < erasure_below * covered_given

    def estimate(i: int, note: str = "") -> Estimate:
        method = f"percentile, {n_boot} draws" if n_boot else "none"
        return Estimate(float(observed[i]), float(low[i]), float(high[i]), table.n, level, method, note)

    return Amplification(
        direction=direction,
        value=float(observed[0]),
        low=float(low[0]),
        high=float(high[0]),
        absolute=estimate(1),
        rest=estimate(2),
        variance=float(np.var(pairs.delta[supported])) if supported.any() else math.nan,
        per_attribute=tuple(estimate(3 + i, name) for i, name in enumerate(names_a)),
        pairs=pairs,
        coverage=covered,
        coverage_given=covered_given,
        rate_shift=np.asarray(table.counts @ (table.p.mean(axis=0) - truth) / table.n),
        erasure=erased,
        n=table.n,
        n_pairs=int(supported.sum()),
        n_unsupported=int((~supported).sum()),
        seeds=table.seeds,
        level=level,
        draws=n_boot,
        seed=seed,
        sign_from="labels" if train is None else "train",
        notes=_notes(erased, covered, covered_given, bool(supported.any())),
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """Checked rows: attributes ``[k, A]``, tasks ``[k, T]``, predictions ``[s, k, A or T]``, how often each occurs."""

    a: Floats
    t: Floats
    p: Floats
    forward: bool  # a->t
    counts: Floats

    @property
    def n(self) -> int:
        return int(self.counts.sum())

    def distinct(self) -> _Table:
        """The same table with equal rows of 0 and 1 as one: resampling then costs what their different kinds cost."""
        (a, t, *runs), counts = _distinct(self.a, self.t, *self.p)
        return _Table(a, t, np.stack(runs), self.forward, counts)

    @property
    def seeds(self) -> int:
        return len(self.p)

    @property
    def binary(self) -> bool:
        return all(bool(np.isin(x, (0.0, 1.0)).all()) for x in (self.a, self.t, self.p))


@dataclass(frozen=True, eq=False)
class _Shares:
    """Conditional shares under b weightings: ``[b, A, T]`` and, for predictions, ``[b, s, A, T]``."""

    given: Floats
    predicted: Floats
    support: Floats
    shift: Floats  # [b, s, A, T]: change of the overall rate of the predicted column
    seed_weights: Floats  # [b, s]


def _table(attributes: ArrayLike, tasks: ArrayLike, predicted: ArrayLike, direction: str) -> _Table:
    if direction not in get_args(Direction):
        raise InputError(f"direction={direction!r}; expected 'a->t' or 't->a'.")
    a, t = _columns(attributes, "attributes"), _columns(tasks, "tasks")
    p = np.asarray(predicted, dtype=np.float64)
    p = p[:, None] if p.ndim == 1 else p
    p = p[None] if p.ndim == 2 else p
    side, width = ("tasks", t.shape[1]) if direction == "a->t" else ("attributes", a.shape[1])
    if len(a) != len(t) or p.ndim != 3 or p.shape[1:] != (len(a), width) or not len(p):
        raise InputError(
            f"attributes {a.shape}, tasks {t.shape}, predicted {np.shape(predicted)}; expected [n, A], [n, T] and, for "
            f"{direction!r}, predicted {side} of shape [n, {width}] or [seeds, n, {width}]."
        )
    return _Table(a, t, _in_unit(p, "predicted"), direction == "a->t", np.ones(len(a)))


def _distinct(*columns: Floats) -> tuple[list[Floats], Floats]:
    """The different rows of arrays ``[n, k]`` of 0 and 1 and their counts; arrays of probabilities stay as they are."""
    n = len(columns[0])
    whole = np.concatenate(columns, axis=1)
    if not np.isin(whole, (0.0, 1.0)).all():
        return list(columns), np.ones(n)
    _, first, counts = np.unique(np.packbits(whole.astype(bool), axis=1), axis=0, return_index=True, return_counts=True)
    if 2 * len(first) > n:
        return list(columns), np.ones(n)
    return [column[first] for column in columns], counts.astype(np.float64)


def _draw(counts: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Weights ``[draws, k]`` of rows that occur `counts` times, drawn with replacement as often as there are rows."""
    n = int(counts.sum())
    if n == len(counts):
        return draw_counts(n, draws, rng)
    return rng.multinomial(n, counts / n, size=draws).astype(np.float64)


def _columns(array: ArrayLike, name: str) -> Floats:
    values = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name}: dtype {values.dtype}; expected 0/1 or probabilities (one_hot makes them of labels).")
    values = values.astype(np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{name}: shape {values.shape}; expected rows and columns, at least one of each.")
    return _in_unit(values, name)


def _in_unit(values: Floats, name: str) -> Floats:
    if not ((values >= 0) & (values <= 1)).all():  # NaN fails too
        raise InputError(f"{name}: holds NaN or values outside [0, 1]; expected 0/1 or probabilities.")
    return values


def _train(train: Any, table: _Table) -> tuple[Floats, Floats, Floats]:
    if not isinstance(train, (tuple, list)) or len(train) != 2:
        raise InputError("train: expected a pair (attributes, tasks).")
    a, t = _columns(train[0], "train attributes"), _columns(train[1], "train tasks")
    if len(a) != len(t) or a.shape[1] != table.a.shape[1] or t.shape[1] != table.t.shape[1]:
        raise InputError(
            f"train: attributes {a.shape} and tasks {t.shape}; expected [m, {table.a.shape[1]}] and "
            f"[m, {table.t.shape[1]}], the columns of the test labels."
        )
    (a, t), counts = _distinct(a, t)
    return a, t, counts


def _names(given: Sequence[str] | None, size: int, letter: str, name: str) -> tuple[str, ...]:
    names = tuple(f"{letter}{i}" for i in range(size)) if given is None else tuple(map(str, given))
    if len(names) != size:
        raise InputError(f"{name}: {len(names)} names for {size} columns; expected one each.")
    return names


def _signs(a: Floats, t: Floats, w: Floats) -> Any:
    """Sign of P(a, t) - P(a) P(t) under weights ``[b, n]``: ``int64 [b, A, T]``."""
    either = (a.any(axis=1) | t.any(axis=1)).astype(np.float64)
    rows = (w @ either)[:, None, None]
    joint = _joint(w, a, t)
    product = (w @ a)[:, :, None] * (w @ t)[:, None, :]
    difference = rows * joint - product
    # exact for counts below 2**26 rows; probabilities round
    difference[np.abs(difference) <= TIED * np.maximum(rows * joint, product)] = 0.0
    return np.sign(difference).astype(np.int64)


def _joint(weights: Floats, left: Floats, right: Floats) -> Floats:
    """``sum_i w[b, i] left[i, j] right[i, k]``: ``[b, J, K]``, as one matrix product."""
    scaled = weights[:, None, :] * left.T[None]
    return np.asarray((scaled.reshape(-1, len(left)) @ right).reshape(len(weights), left.shape[1], right.shape[1]))


def _shares(table: _Table, weights: Floats, seed_weights: Floats) -> _Shares:
    a, t = table.a, table.t
    joint = _joint(weights, a, t)
    total = weights.sum(axis=1)[:, None]
    predicted_joint = np.stack(
        [_joint(weights, a, p) if table.forward else _joint(weights, p, t) for p in table.p], axis=1
    )
    if table.forward:
        support = np.repeat((weights @ a)[:, :, None], t.shape[1], axis=2)
        shift = np.stack([(weights @ p - weights @ t) / total for p in table.p], axis=1)[:, :, None, :]
    else:
        support = np.repeat((weights @ t)[:, None, :], a.shape[1], axis=1)
        shift = np.stack([(weights @ p - weights @ a) / total for p in table.p], axis=1)[:, :, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        given = np.where(support > 0, joint / support, np.nan)
        predicted = np.where(support[:, None] > 0, predicted_joint / support[:, None], np.nan)
    return _Shares(given, predicted, support, np.broadcast_to(shift, predicted.shape), seed_weights)


def _summary(shares: _Shares, signs: Any, supported: Mask) -> Floats:
    """Per weighting: signed mean, absolute mean, rest, per-attribute means, then every pair: ``[b, 3 + A + A T]``."""
    b = len(shares.given)
    delta = shares.predicted - shares.given[:, None]  # [b, s, A, T]
    mean_delta = _over_seeds(delta, shares.seed_weights)
    mean_absolute = _over_seeds(np.abs(delta), shares.seed_weights)
    mean_rest = _over_seeds(delta - shares.shift, shares.seed_weights)
    signed = np.where(supported, signs * mean_delta, np.nan)
    columns = [
        _nanmean(signed.reshape(b, -1)),
        _nanmean(np.where(supported, mean_absolute, np.nan).reshape(b, -1)),
        _nanmean(np.where(supported, signs * mean_rest, np.nan).reshape(b, -1)),
    ]
    per_attribute = np.stack([_nanmean(signed[:, i]) for i in range(signed.shape[1])], axis=1)
    return np.concatenate([np.stack(columns, axis=1), per_attribute, signed.reshape(b, -1)], axis=1)


def _over_seeds(values: Floats, weights: Floats) -> Floats:
    if values.shape[1] == 1:
        return values[:, 0]
    return np.asarray(np.einsum("bsij,bs->bij", values, weights / weights.sum(axis=1, keepdims=True)))


def _nanmean(values: Floats) -> Floats:
    defined = np.isfinite(values)
    count = defined.sum(axis=1)
    total = np.where(defined, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _replicates(table: _Table, signs: Any, supported: Mask, draws: int, rng: np.random.Generator) -> Floats:
    parts = []
    size = len(table.a) * (table.a.shape[1] + (0 if table.forward else table.seeds * table.a.shape[1]) + 1)
    for block in draw_blocks(draws, size):
        weights = _draw(table.counts, block, rng)
        seeds = draw_counts(table.seeds, block, rng) if table.seeds > 1 else np.ones((block, 1))
        parts.append(_summary(_shares(table, weights, seeds), signs, supported))
    return np.concatenate(parts) if parts else np.zeros((0, 0))


def _ends(replicates: Floats, observed: Floats, level: float, n: int, draws: int) -> tuple[Floats, Floats]:
    if not draws:
        nothing = np.full(len(observed), np.nan)
        return nothing, nothing
    low, high = interval(replicates, observed, level=level, method="percentile", units=max(n, 2))
    return low, high


def _stability(deciding: tuple[Floats, Floats, Floats], signs: Any, draws: int, rng: np.random.Generator) -> Floats:
    a, t, counts = deciding
    if not draws:
        return np.full(signs.shape, np.nan)
    same = np.zeros(signs.shape)
    for block in draw_blocks(draws, len(a) * (a.shape[1] + 1)):
        same += (_signs(a, t, _draw(counts, block, rng)) == signs).sum(axis=0)
    return np.where(signs == 0, 0.0, same / draws)


def _pair_p(table: _Table, supported: Mask) -> Floats:
    """Two-sided p of delta = 0 per supported pair of a single run."""
    p = np.full(supported.shape, np.nan)
    if table.seeds > 1:
        return p
    guess = table.p[0]
    for i, j in zip(*np.nonzero(supported), strict=True):
        weight = table.a[:, i] if table.forward else table.t[:, j]
        difference = guess[:, j] - table.t[:, j] if table.forward else guess[:, i] - table.a[:, i]
        kept = weight > 0
        p[i, j] = _paired_p(difference[kept], weight[kept], table.counts[kept], exact=table.binary)
    return p


def _paired_p(difference: Floats, weight: Floats, counts: Floats, *, exact: bool) -> float:
    if exact:
        up, down = int(counts[difference > 0].sum()), int(counts[difference < 0].sum())
        return min(1.0, 2.0 * float(bdtr(min(up, down), up + down, 0.5))) if up + down else 1.0
    values = difference * weight
    if len(values) < 2:
        return math.nan
    spread = float(values.std(ddof=1))
    if not spread:
        return 1.0 if not values.any() else 0.0
    t = abs(float(values.mean())) / (spread / math.sqrt(len(values)))
    return 2.0 * float(stdtr(len(values) - 1, -t))


def _notes(erased: bool, covered: float, covered_given: float, supported: bool) -> tuple[str, ...]:
    notes = []
    if erased:
        notes.append(
            f"erasure: predictions name a column in {covered:.1%} of rows, labels in {covered_given:.1%}; a value "
            "below zero then says that nothing is named, not that bias is gone"
        )
    if not supported:
        notes.append("undefined: no pair has support")
    return tuple(notes)


def _pairs(
    table: _Table,
    whole: _Shares,
    sign: tuple[Any, Floats],
    supported: Mask,
    values: tuple[Floats, Floats, Floats],
    names: tuple[tuple[str, ...], tuple[str, ...]],
) -> Pairs:
    shape = supported.shape
    signed, low, high = (value[3 + shape[0] :].reshape(shape) for value in values)
    predicted = whole.predicted[0].mean(axis=0)
    p = _pair_p(table, supported)
    return Pairs(
        given=whole.given[0],
        predicted=predicted,
        delta=predicted - whole.given[0],
        sign=sign[0],
        signed=signed,
        low=low,
        high=high,
        support=whole.support[0],
        supported=supported,
        small=supported & (whole.support[0] < FEW),
        stable=sign[1],
        unstable=sign[1] < STABLE,
        p=p,
        p_holm=holm(p.ravel()).reshape(shape),
        p_bh=benjamini_hochberg(p.ravel()).reshape(shape),
        base_shift=whole.shift[0].mean(axis=0),
        attributes=names[0],
        tasks=names[1],
    )
