"""Columns of 0 and 1 from labels: one per group, or one per set of attributes that occur together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.codes import encode

Floats = NDArray[np.float64]


def one_hot(labels: Any, columns: Sequence[str] | None = None) -> tuple[Floats, tuple[str, ...]]:
    """Labels ``[n]`` as 0/1 columns ``float64 [n, k]`` with their names; a missing label is a row of zeros.

    Parameters
    ----------
    labels
        One label per row, None (or NaN) where there is none.
    columns
        Labels that get a column, in order; by default every label that occurs, in natural order. Rows with another
        label are rows of zeros too.

    Examples
    --------
    >>> one_hot(["man", "woman", None])[0].tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    codes = encode(labels, name="labels")
    names = tuple(codes.labels) if columns is None else tuple(str(c) for c in columns)
    if len(set(names)) < len(names):
        raise InputError(f"columns {names}: named twice; expected distinct labels.")
    place = {name: i for i, name in enumerate(names)}
    column = np.array([place.get(label, -1) for label in codes.labels] + [-1], dtype=np.int64)[codes.codes]
    out = np.zeros((len(column), len(names)))
    rows = np.flatnonzero(column >= 0)
    out[rows, column[rows]] = 1.0
    return out, names


@dataclass(frozen=True, eq=False)
class AttributeSets:
    """Sets of attributes as indicator columns.

    `columns` is ``float64 [n, sets]``: 1 where a row has every attribute of the set. `sets` holds the attributes of
    each column by position, `found` how many sets occurred at all (up to the size asked for), before the support rule.
    """

    columns: Floats
    sets: tuple[tuple[int, ...], ...]
    found: int

    def names(self, attributes: Sequence[str]) -> tuple[str, ...]:
        """Each set as the names of its attributes joined by a plus sign."""
        return tuple(" + ".join(attributes[i] for i in members) for members in self.sets)

    def of(self, attributes: ArrayLike) -> Floats:
        """The same sets as columns of other rows ``[m, A]`` (training rows, for the sign)."""
        return _contains(np.asarray(attributes, dtype=np.float64), self.sets)


def attribute_sets(
    attributes: ArrayLike, *, train: ArrayLike | None = None, max_size: int = 2, minimum_support: int = 30
) -> AttributeSets:
    """Sets of at most `max_size` attributes that occur together often enough, as indicator columns.

    Directional amplification on these columns is multi-attribute amplification: its published group-to-set value equals
    the single-attribute one on "contains all of m" columns.

    Parameters
    ----------
    attributes
        ``[n, A]`` of 0 and 1.
    train
        ``[m, A]``; when given a set must have the support there as well.
    max_size
        Largest set. The number of sets grows like ``A ** max_size``, so it is capped and what was found is reported.
    minimum_support
        Rows that must contain the whole set.

    References
    ----------
    Zhao, Andrews and Xiang (2023), "Men also do laundry: multi-attribute bias amplification", ICML.

    Examples
    --------
    >>> sets = attribute_sets([[1, 1, 0], [1, 1, 0], [1, 0, 1]], minimum_support=2)
    >>> sets.sets, sets.columns.tolist(), sets.found
    (((0,), (1,), (0, 1)), [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], 5)
    """
    table = _zero_one(attributes, "attributes")
    other = None if train is None else _zero_one(train, "train")
    if other is not None and other.shape[1] != table.shape[1]:
        raise InputError(f"train has {other.shape[1]} attributes, attributes has {table.shape[1]}; expected as many.")
    if max_size < 1 or minimum_support < 1:
        raise InputError(f"max_size={max_size}, minimum_support={minimum_support}; expected both to be 1 or more.")
    counts = _count_sets(table, max_size)
    trained = None if other is None else _count_sets(other, max_size)
    kept = sorted(
        (
            members
            for members, count in counts.items()
            if count >= minimum_support and (trained is None or trained[members] >= minimum_support)
        ),
        key=lambda members: (len(members), members),
    )
    return AttributeSets(_contains(table, tuple(kept)), tuple(kept), len(counts))


def _zero_one(array: ArrayLike, name: str) -> Floats:
    values = np.asarray(array, dtype=np.float64)
    if values.ndim != 2 or not np.isin(values, (0.0, 1.0)).all():
        raise InputError(f"{name}: shape {values.shape}; expected [n, A] of 0 and 1.")
    return values


def _count_sets(table: Floats, max_size: int) -> Counter[tuple[int, ...]]:
    rows, repeats = np.unique(table, axis=0, return_counts=True)
    counts: Counter[tuple[int, ...]] = Counter()
    for row, count in zip(rows, repeats, strict=True):
        present = np.flatnonzero(row).tolist()
        for size in range(1, min(max_size, len(present)) + 1):
            for members in combinations(present, size):
                counts[members] += int(count)
    return counts


def _contains(table: Floats, sets: tuple[tuple[int, ...], ...]) -> Floats:
    out = np.empty((len(table), len(sets)))
    for i, members in enumerate(sets):
        out[:, i] = table[:, list(members)].all(axis=1)
    return out
