"""Predictability amplification: a directional measure that also works where groups and tasks are balanced."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...stats.bootstrap import draw_blocks, draw_counts, interval
from ...stats.estimate import Estimate
from .directional import _joint, _table
from .result import Direction, Floats


@dataclass(frozen=True, eq=False)
class Predictability:
    """How much better one side predicts the other in a model's output than in the labels.

    `value` is the mean over supported pairs of ``(model - data) / (model + data)``, between -1 and 1; `model` and
    `data` are the mean predictabilities. `pairs` is the value per pair ``[A, T]``, NaN where both are 0 or a column is
    constant.
    """

    value: Estimate
    model: Estimate
    data: Estimate
    pairs: Floats
    direction: Direction


def predictability_amplification(
    attributes: ArrayLike,
    tasks: ArrayLike,
    predicted: ArrayLike,
    *,
    direction: Direction = "a->t",
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Predictability:
    """Change of predictability from labels of the model's own quality to its predictions.

    Predictability of a 0/1 column y from a 0/1 column x is ``Var(E[y | x]) / Var(y)`` (Goodman and Kruskal's tau): 0
    for independence, 1 when x tells y, whatever the rates. "a->t" predicts tasks from attributes, "t->a" the reverse. A
    model that errs predicts worse for that reason alone, so the labels' value is that of labels whose entries
    are flipped at the model's error rate for this column, in closed form: ``E[y]`` becomes ``p (1 - 2 q) + q`` and the
    covariance with x shrinks by ``1 - 2 q``.

    Parameters
    ----------
    attributes, tasks, predicted
        As in `directional_amplification`; 0/1 columns, one run.

    References
    ----------
    The idea, a bounded and directional change of predictability, is that of arXiv 2412.11060 (of which only the
    abstract was read); the formula is ours.

    Examples
    --------
    >>> import numpy as np
    >>> a = np.repeat([[1, 0], [0, 1]], 100, axis=0)
    >>> t = np.tile([[1], [0]], (100, 1))
    >>> tilted = t.copy()
    >>> tilted[1:60:2] = 1
    >>> result = predictability_amplification(a, t, tilted)
    >>> bool(result.value.value > 0.9), predictability_amplification(a, a[:, :1], a[:, :1]).value.value
    (True, 0.0)
    """
    table = _table(attributes, tasks, predicted, direction)
    x, y = (table.a, table.t) if table.forward else (table.t, table.a)
    guess = table.p[0]
    wrong = (guess - y) ** 2
    rng = np.random.default_rng(seed)
    observed = _values(np.ones((1, len(x))), x, y, guess, wrong)
    drawn = [
        _values(draw_counts(len(x), block, rng), x, y, guess, wrong)[0]
        for block in draw_blocks(n_boot, len(x) * (x.shape[1] + 1))
    ]
    summary = observed[0][0]
    low = high = np.full(3, np.nan)
    if n_boot:
        low, high = interval(np.concatenate(drawn), summary, level=level, method="percentile", units=max(len(x), 2))
    method = f"percentile, {n_boot} draws" if n_boot else "none"
    value, model, data = (
        Estimate(float(summary[i]), float(low[i]), float(high[i]), len(x), level, method) for i in range(3)
    )
    pairs = observed[1][0]
    return Predictability(value, model, data, pairs if table.forward else pairs.T, direction)


def _values(weights: Floats, x: Floats, y: Floats, guess: Floats, wrong: Floats) -> tuple[Floats, Floats]:
    n = weights.sum(axis=1)[:, None]
    rate_x, rate_y, rate_g = weights @ x / n, weights @ y / n, weights @ guess / n
    keep = 1.0 - 2.0 * (weights @ wrong / n)
    cov_y = _joint(weights, x, y) / n[:, :, None] - rate_x[:, :, None] * rate_y[:, None]
    cov_g = _joint(weights, x, guess) / n[:, :, None] - rate_x[:, :, None] * rate_g[:, None]
    flipped = rate_y * keep + (1.0 - keep) / 2.0
    data = _tau(cov_y * keep[:, None], rate_x, flipped)
    model = _tau(cov_g, rate_x, rate_g)
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = (model - data) / (model + data)
    flat = [v.reshape(len(weights), -1) for v in (pairs, model, data)]
    defined = [np.isfinite(v) for v in flat]
    summary = [
        np.where(d.any(axis=1), np.where(d, v, 0.0).sum(axis=1) / np.maximum(d.sum(axis=1), 1), np.nan)
        for v, d in zip(flat, defined, strict=True)
    ]
    return np.stack(summary, axis=1), pairs


def _tau(covariance: Floats, rate_x: Floats, rate_y: Floats) -> Floats:
    """``Var(E[y | x]) / Var(y) = cov^2 / (Var(x) Var(y))`` for 0/1 columns; NaN where a column is constant."""
    spread = (rate_x * (1 - rate_x))[:, :, None] * (rate_y * (1 - rate_y))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = np.where(spread > 1e-15, covariance**2 / spread, np.nan)
    return np.where(tau < 1e-15, 0.0, tau)
