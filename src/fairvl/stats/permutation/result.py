"""A permutation p-value, what it may be, and when two sums are tied."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Floats: TypeAlias = NDArray[np.float64]
Tail: TypeAlias = Literal["greater", "less", "two-sided"]

ENUMERATED = "exact (enumeration)"
MATCHED = "exact (meet in the middle)"
LATTICE = "counted on a lattice"
SADDLEPOINT = "saddlepoint"
SAMPLED = "sampled"

LEAST = float(np.finfo(np.float64).tiny)  # stands for every p below what float64 can hold


@dataclass(frozen=True, slots=True)
class PermutationP:
    """A permutation p-value and how far it can be trusted.

    `error` is the standard error of a sampled p, the likely error of a saddlepoint p, half the bracket of a lattice
    count, and 0 for an exact p; `floor` is the smallest p that this method can return for these sizes,
    `n_permutations` the splits counted, drawn or approximated. `low` and `high` are proven bounds on the exact p
    (NaN where the method proves none).
    """

    p: float
    method: str
    error: float
    floor: float
    n_permutations: int
    low: float = math.nan
    high: float = math.nan

    @property
    def is_exact(self) -> bool:
        """True when every split was counted."""
        return self.method in (ENUMERATED, MATCHED)


def counted_p(hits: int, n_x: int, n_y: int, tail: Tail, method: str) -> PermutationP:
    """The exact p of `hits` among all splits."""
    splits = math.comb(n_x + n_y, n_x)
    p = max(hits / splits, LEAST)
    return PermutationP(p, method, 0.0, smallest_p(n_x, n_y, tail), splits, p, p)


def sampled_p(hits: int, draws: int) -> PermutationP:
    """The p of `hits` among `draws` random splits; the observed split is one of them, so p is never 0."""
    p = (hits + 1) / (draws + 1)
    return PermutationP(p, SAMPLED, math.sqrt(p * (1 - p) / draws), 1 / (draws + 1), draws)


def smallest_p(n_x: int, n_y: int, tail: Tail = "greater") -> float:
    """The smallest p that any method can find for these sizes: one split of all.

    Two-sided and of equal sizes it is two: exchanging the sides turns the sign and nothing else.

    Examples
    --------
    >>> smallest_p(6, 6) == 1 / 924, smallest_p(6, 6, "two-sided") == 2 / 924
    (True, True)
    """
    splits = 2 if tail == "two-sided" and n_x == n_y else 1
    return max(splits / math.comb(n_x + n_y, n_x), LEAST)


def check_tail(tail: str) -> None:
    """Raise InputError unless `tail` is one of the three."""
    if tail not in get_args(Tail):
        raise InputError(f"tail={tail!r}; expected one of {get_args(Tail)}.")


def tie_tolerance(values: Floats) -> Floats:
    """Largest difference of two sums of `values` [..., n] that rounding alone can explain, generously."""
    deviations = np.abs(values - values.mean(axis=-1, keepdims=True)).sum(axis=-1)
    rounding = 8 * np.finfo(np.float64).eps * np.abs(values).sum(axis=-1)
    tolerance: Floats = 1e-11 * deviations + rounding
    return tolerance


@dataclass(frozen=True)
class Rows:
    """Rows of pooled values [r, n] centred per row, the sums of their first `n_x`, and what counts as a tie.

    Centred, a sum over x has the sign of the difference of means, and the sum over y is its negative.
    """

    values: Floats
    n_x: int
    observed: Floats
    tolerance: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats) -> Rows:
        values = np.concatenate([x, y], axis=1)
        tolerance = tie_tolerance(values)
        values = values - values.mean(axis=1, keepdims=True)
        return cls(values, x.shape[1], values[:, : x.shape[1]].sum(axis=1), tolerance)

    @property
    def n_y(self) -> int:
        return int(self.values.shape[1]) - self.n_x

    def take(self, rows: NDArray[np.intp]) -> Rows:
        return Rows(self.values[rows], self.n_x, self.observed[rows], self.tolerance[rows])

    def upper_tails(self, tail: Tail) -> tuple[list[tuple[Floats, Floats]], NDArray[np.bool_]]:
        """The tails to count as (values [r, n], threshold [r]): splits whose sum over x reaches the threshold.

        With them the rows for which every split is extreme (two-sided, and the observed difference is none).
        """
        if tail == "less":
            return [(-self.values, -self.observed - self.tolerance)], np.zeros(len(self.values), dtype=bool)
        if tail == "greater":
            return [(self.values, self.observed - self.tolerance)], np.zeros(len(self.values), dtype=bool)
        threshold = np.abs(self.observed) - self.tolerance
        return [(self.values, threshold), (-self.values, threshold)], threshold <= 0
