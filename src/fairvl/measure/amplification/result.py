"""What an amplification measurement returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...stats.estimate import Estimate

Direction: TypeAlias = Literal["a->t", "t->a"]
Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pairs:
    """One value per (attribute, task) pair; every array is ``[A, T]``.

    Parameters
    ----------
    given, predicted
        Conditional share in the labels and in the predictions: P(task | attribute) for "a->t", P(attribute | task) for
        "t->a". With several seeds `predicted` is the mean over them.
    delta
        ``predicted - given``; NaN without support.
    sign
        +1 where attribute and task go together more often than independence has it in the labels that decide the
        direction, -1 where less often, 0 on a tie.
    signed
        ``sign * delta``: above zero is amplification.
    low, high
        Bootstrap interval of `signed`, the sign held fixed.
    support
        Rows (or expected rows, for probabilities) that the pair is conditioned on.
    supported
        Pairs that enter the means: support of at least `minimum_support`.
    small
        Supported pairs of fewer than 30 rows: their values say little.
    stable
        Share of bootstrap replicates of the deciding labels in which the sign is the same.
    unstable
        Pairs whose sign is kept in fewer than 95 % of them, ties included.
    p, p_holm, p_bh
        Two-sided p of ``delta = 0`` per supported pair and its corrections over pairs: the exact McNemar test for 0/1
        arrays, a t test of paired differences for probabilities. NaN with several seeds.
    base_shift
        What a change of the predicted rates alone explains: the overall predicted rate of the predicted column minus
        its overall rate in the labels; ``delta - base_shift`` is the rest.
    """

    given: Floats
    predicted: Floats
    delta: Floats
    sign: NDArray[np.int64]
    signed: Floats
    low: Floats
    high: Floats
    support: Floats
    supported: Mask
    small: Mask
    stable: Floats
    unstable: Mask
    p: Floats
    p_holm: Floats
    p_bh: Floats
    base_shift: Floats
    attributes: tuple[str, ...]
    tasks: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[str, str, float, float, float]]:
        """Supported pairs as ``(attribute, task, signed, low, high)``, attributes first."""
        for a, t in zip(*np.nonzero(self.supported), strict=True):
            yield (
                self.attributes[a],
                self.tasks[t],
                float(self.signed[a, t]),
                float(self.low[a, t]),
                float(self.high[a, t]),
            )


@dataclass(frozen=True, eq=False)
class Amplification:
    """Bias amplification in one direction.

    Parameters
    ----------
    value, low, high
        Mean of ``sign * delta`` over supported pairs, with its bootstrap interval. NaN when no pair has support.
    absolute
        Mean of ``|delta|`` over the same pairs: change in either direction. Resampling noise only adds to it, so its
        interval lies too high where little changes; read it beside `value`.
    variance
        Variance of ``delta`` over supported pairs (the multi-attribute companion value).
    rest
        Mean of ``sign * (delta - base_shift)``: what is left when the shift of the overall rates is taken out.
    per_attribute
        Mean over tasks for each attribute; multiply by the number of supported tasks for a sum.
    coverage, coverage_given
        Share of rows with any predicted column on the predicted side, and the same in the labels (for probabilities
        the mean of the row sums, at most 1).
    rate_shift
        Predicted minus given overall rate of each column of the predicted side.
    erasure
        True when the predictions name a column for fewer than `erasure_below` times the rows that the labels do: a
        negative `value` then says that groups (or tasks) are no longer named, not that bias is gone.
    n, n_pairs, n_unsupported, seeds
        Rows; supported pairs; pairs left out for lack of support; number of prediction runs.
    """

    direction: Direction
    value: float
    low: float
    high: float
    absolute: Estimate
    rest: Estimate
    variance: float
    per_attribute: tuple[Estimate, ...]
    pairs: Pairs
    coverage: float
    coverage_given: float
    rate_shift: Floats
    erasure: bool
    n: int
    n_pairs: int
    n_unsupported: int
    seeds: int
    level: float
    draws: int
    seed: int
    sign_from: Literal["labels", "train"]
    notes: tuple[str, ...] = ()

    @property
    def estimate(self) -> Estimate:
        """`value` with its interval."""
        note = "; ".join(self.notes)
        return Estimate(self.value, self.low, self.high, self.n, self.level, f"percentile, {self.draws} draws", note)
