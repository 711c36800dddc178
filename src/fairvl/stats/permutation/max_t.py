"""p-values corrected over many tests at once, by the distribution of the largest statistic under random splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .result import Floats, Tail, check_tail
from .sampled import split_masks

Seed: TypeAlias = int | np.random.Generator

_BLOCK_NUMBERS = 2**22


def max_t(
    tests: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    tail: Tail = "two-sided",
    draws: int = 9_999,
    seed: Seed = 0,
    step_down: bool = True,
) -> tuple[Floats, ...]:
    """Family-wise adjusted p-values of every row of every test (Westfall and Young's max-T).

    The statistic is the difference of means in standard deviations of its own permutation distribution, so that tests
    of different sizes compete on one scale. Tests of equal sizes share their random splits: rows (models) that saw
    the same units, and tests over the same units, keep the dependence between them.

    Parameters
    ----------
    tests
        Pairs of arrays ``[r, n]`` and ``[r, m]``: the units of x and y, one row per model. Sizes and numbers of rows
        may differ between tests; the order of units must agree between tests that share units.
    tail
        As `two_sample_p`.
    draws, seed
        Random splits per size, and their seed or generator.
    step_down
        True: each statistic is compared with the largest among those not larger than it (more power);
        False: with the largest of all. Both bound the chance of any false alarm.

    Returns
    -------
    tuple of (r,) arrays
        Adjusted p per test and row, at least ``1 / (draws + 1)``. A row with NaN, or without spread, is NaN and not
        part of the family.

    Raises
    ------
    InputError
        No test, shapes that do not agree, an empty group, an unknown tail, fewer than one draw.

    References
    ----------
    Westfall and Young (1993), "Resampling-based multiple testing", algorithms 2.8 and 4.1 (step-down).

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.arange(8.0)[None], np.arange(8.0)[None] + 9
    >>> [p.round(3).tolist() for p in max_t([(y, x), (x[:, :4], x[:, 4:])], draws=999)]
    [[0.001], [0.034]]
    """
    check_tail(tail)
    if draws < 1:
        raise InputError(f"draws={draws}; expected at least 1.")
    family = [_Test.of(x, y, tail, position) for position, (x, y) in enumerate(tests)]
    if not family:
        raise InputError("tests: none; expected at least one pair of arrays.")
    observed = np.concatenate([t.observed for t in family])
    ranked = np.argsort(-observed, kind="stable")[: np.count_nonzero(~np.isnan(observed))]
    hits = _exceedances(family, observed[ranked], ranked, tail, (draws, np.random.default_rng(seed)), step_down)
    adjusted = np.full(len(observed), np.nan)
    adjusted[ranked] = np.maximum.accumulate((hits + 1) / (draws + 1))
    return tuple(np.split(adjusted, np.cumsum([len(t.observed) for t in family])[:-1]))


class _Test:
    """Values scaled so that a sum over x is the standardised statistic; NaN rows keep their place."""

    def __init__(self, values: Floats, n_x: int, observed: Floats):
        self.values, self.n_x, self.observed = values, n_x, observed

    @classmethod
    def of(cls, values_x: ArrayLike, values_y: ArrayLike, tail: Tail, position: int) -> _Test:
        x, y = (np.asarray(v, dtype=np.float64) for v in (values_x, values_y))
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in (x.shape[1], y.shape[1]):
            raise InputError(
                f"test {position}: shapes {x.shape} and {y.shape}; expected [r, n] and [r, m] with units on both sides."
            )
        n_x, n_y = x.shape[1], y.shape[1]
        values = np.concatenate([x, y], axis=1)
        values = values - values.mean(axis=1, keepdims=True)
        squares = (values**2).sum(axis=1)
        flat = ~(np.ptp(values, axis=1) > 1e-12 * np.abs(x).max(axis=1))
        n = n_x + n_y
        scale = np.sqrt(np.where(flat, np.nan, squares) * n_x * n_y / (n * (n - 1)))
        values = values / scale[:, None]
        observed = values[:, :n_x].sum(axis=1)
        signed = {"greater": observed, "less": -observed, "two-sided": np.abs(observed)}
        return cls(np.where(np.isnan(values), 0.0, values), n_x, signed[tail])


def _exceedances(
    family: list[_Test],
    observed: Floats,
    ranked: NDArray[np.intp],
    tail: Tail,
    sampling: tuple[int, np.random.Generator],
    step_down: bool,
) -> NDArray[np.int64]:
    """How often the largest drawn statistic among those ranked at or below each one reaches the observed one."""
    draws, rng = sampling
    hits = np.zeros(len(ranked), dtype=np.int64)
    widest = max(len(ranked), *(t.values.shape[1] for t in family))
    threshold = (observed - 1e-9 * np.maximum(np.abs(observed), 1.0))[:, None]
    size = max(1, _BLOCK_NUMBERS // max(widest, 1))
    for start in range(0, draws, size):
        b = min(size, draws - start)
        masks: dict[tuple[int, int], Floats] = {}
        for n_x, n in dict.fromkeys((t.n_x, t.values.shape[1]) for t in family):
            masks[n_x, n] = split_masks(n_x, n, b, rng).astype(np.float64)
        drawn = np.concatenate([t.values @ masks[t.n_x, t.values.shape[1]] for t in family])[ranked]
        if tail == "two-sided":
            np.abs(drawn, out=drawn)
        elif tail == "less":
            np.negative(drawn, out=drawn)
        if step_down:
            np.maximum.accumulate(drawn[::-1], axis=0, out=drawn[::-1])
            hits += np.count_nonzero(drawn >= threshold, axis=1)
        elif len(drawn):
            hits += np.count_nonzero(drawn.max(axis=0) >= threshold, axis=1)
    return hits
