"""What has been kept so far: how many rows that carry a concept, and their scores summed.

Ledgers add up, so buckets can be worked on anywhere and merged in a fixed order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ...errors import InputError
from .rows import Floats

MODES = ("cluster", "rounds(n)", "global")


@dataclass(frozen=True)
class Ledger:
    """Counts and sums over kept rows.

    Attributes
    ----------
    count : float
        Kept rows that pass the relevance gate.
    sums : float64 [p]
        Their concept scores summed.
    strata : float64 [p, b], optional
        How many of them lie in each stratum of each score, see `Strata`.

    Examples
    --------
    >>> (Ledger(2.0, np.array([1.5, 0.5])) + Ledger(1.0, np.array([0.0, 1.0]))).shares.tolist()
    [0.5, 0.5]
    """

    count: float
    sums: Floats
    strata: Floats | None = None

    @classmethod
    def empty(cls, concepts: int, strata: int = 0) -> Ledger:
        """Nothing kept yet, of so many concepts with so many strata each."""
        return cls(0.0, np.zeros(concepts), np.zeros((concepts, strata)) if strata else None)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Ledger:
        """The ledger that `plain` wrote."""
        strata = values.get("strata")
        return cls(values["count"], np.array(values["sums"], float), None if strata is None else np.array(strata))

    def plain(self) -> dict[str, Any]:
        """As numbers and lists, for JSON."""
        strata = None if self.strata is None else self.strata.tolist()
        return {"count": self.count, "sums": self.sums.tolist(), "strata": strata}

    @classmethod
    def of(cls, scores: Floats, relevant: np.ndarray) -> Ledger:
        """The ledger of rows `scores` ``[k, p]`` of which `relevant` ``[k]`` count."""
        return cls(float(relevant.sum()), scores[relevant].sum(axis=0))

    def __add__(self, other: Ledger) -> Ledger:
        strata = None if self.strata is None or other.strata is None else self.strata + other.strata
        return Ledger(self.count + other.count, self.sums + other.sums, strata)

    def __sub__(self, other: Ledger) -> Ledger:
        strata = None if self.strata is None or other.strata is None else self.strata - other.strata
        return Ledger(self.count - other.count, self.sums - other.sums, strata)

    @property
    def shares(self) -> Floats:
        """Mean score per concept; NaN when nothing relevant is kept."""
        return self.sums / self.count if self.count else np.full(len(self.sums), np.nan)


def merged(ledgers: Iterable[Ledger], start: Ledger) -> Ledger:
    """The sum of ledgers, added in the order given."""
    for ledger in ledgers:
        start = start + ledger
    return start


def rounds(mode: str, parts: int) -> list[range]:
    """Which parts (clusters or buckets, by number) work beside each other, round after round.

    A part starts from the ledger as it stood when its round began; only the configuration decides the rounds.

    Examples
    --------
    >>> rounds("rounds(2)", 5), rounds("global", 2), rounds("cluster", 3)
    ([range(0, 3), range(3, 5)], [range(0, 1), range(1, 2)], [range(0, 3)])
    """
    match = re.fullmatch(r"rounds\((\d+)\)", mode)
    if mode == "cluster":
        number = 1
    elif mode == "global":
        number = parts
    elif match and int(match[1]) > 0:
        number = min(int(match[1]), parts)
    else:
        raise InputError(f"ledger={mode!r}; expected 'cluster', 'global' or 'rounds(n)' such as 'rounds(8)'.")
    edges = [-(-parts * i // max(number, 1)) for i in range(number + 1)]
    return [range(low, high) for low, high in pairwise(edges)]
