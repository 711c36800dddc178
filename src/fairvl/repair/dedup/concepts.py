"""Concept scores: calibrated prototypes, labels, crossings, and the gate that says whether they apply at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import blocks
from ...errors import InputError
from ...stats.codes import GroupCodes, encode
from ...stats.shares import Target
from .ledger import Ledger
from .rows import Floats, Ints

STRATA = 10  # pieces that the scores of a concept are cut into
MOST_STRATA = 300  # of all concepts together
_ROWS = 200_000


def membership(similarity: ArrayLike, *, temperature: float = 1.0, reference: ArrayLike | None = None) -> Floats:
    """Soft membership ``float64 [n, p]`` from similarities to prototypes: rows sum to 1.

    Every concept is first brought to mean 0 and standard deviation 1 over `reference` (default: the rows themselves):
    prototypes lie at different distances from all images, and only differences *within* a concept mean something.
    Then a softmax over the concepts of one attribute.

    Parameters
    ----------
    similarity : (n, p) array
        Cosines of rows with the p prototypes of one attribute.
    temperature : float
        Towards 0 the highest standardised concept takes all.
    reference : (m, p) array, optional
        Similarities that fix mean and spread, such as those of a sample of the store.

    Examples
    --------
    >>> membership([[0.30, 0.20], [0.28, 0.24]], temperature=0.5).round(2).tolist()
    [[0.98, 0.02], [0.02, 0.98]]
    """
    values = _matrix(similarity, "similarity")
    fixed = values if reference is None else _matrix(reference, "reference")
    if fixed.shape[1] != values.shape[1]:
        raise InputError(f"reference of {fixed.shape[1]} concepts; expected {values.shape[1]}.")
    if not temperature > 0:
        raise InputError(f"temperature={temperature}; expected a number above 0.")
    spread = fixed.std(axis=0)
    z = (values - fixed.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    z = z / temperature
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def relevance(people: ArrayLike, others: ArrayLike) -> NDArray[np.bool_]:
    """Whether a row is nearer to a prototype of the gate (a person) than to every alternative, ``bool [n]``.

    Parameters
    ----------
    people, others : (n, a), (n, b) arrays
        Cosines with prototypes of the same form, "a photo of a person" and "a photo of a landscape", say.
    """
    near, far = _matrix(people, "people"), _matrix(others, "others")
    if len(near) != len(far):
        raise InputError(f"people of {len(near)} rows, others of {len(far)}; expected the same rows.")
    return np.asarray(near.max(axis=1) > far.max(axis=1))


def crossed(scores: Mapping[str, ArrayLike]) -> Floats:
    """Membership in every combination of several attributes, as the product of their memberships, ``float64 [n, p]``.

    Examples
    --------
    >>> crossed({"gender": [[1.0, 0.0]], "age": [[0.25, 0.75]]}).tolist()
    [[0.25, 0.75, 0.0, 0.0]]
    """
    parts = [_matrix(values, name) for name, values in scores.items()]
    if not parts or len({len(part) for part in parts}) > 1:
        raise InputError("scores to cross: expected one [n, p] array per attribute, all of the same n.")
    result = parts[0]
    for part in parts[1:]:
        result = (result[:, :, None] * part[:, None, :]).reshape(len(part), -1)
    return result


@dataclass(frozen=True)
class Strata:
    """Where every score of the population is cut into pieces of about equal size, and the share in each piece.

    Kept rows whose *distribution* of scores is that of the population represent groups as it does, whatever a score
    says about a group. Equal means do not: whoever picks noisy scores until their mean is right picks their noise.

    Attributes
    ----------
    edges : float64 [p, b - 1]
    shares : float64 [p, b]
    """

    edges: Floats
    shares: Floats

    @classmethod
    def of(cls, scores: Floats, relevant: NDArray[np.bool_]) -> Strata | None:
        """Strata of the relevant rows; None where scores are 0 and 1 anyway, or concepts too many."""
        p = scores.shape[1]
        if p * STRATA > MOST_STRATA or not relevant.any() or bool(np.isin(scores, (0.0, 1.0)).all()):
            return None
        values = np.sort(scores[relevant], axis=0)
        edges = values[len(values) * np.arange(1, STRATA) // STRATA].T
        found = cls(np.ascontiguousarray(edges), np.zeros((p, STRATA)))
        counts = [np.bincount(column, minlength=STRATA) for column in found.codes(scores[relevant]).T]
        return cls(found.edges, np.array(counts) / len(values))

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Strata:
        """The strata that `plain` wrote."""
        return cls(np.array(values["edges"]), np.array(values["shares"]))

    def plain(self) -> dict[str, Any]:
        """As lists, for JSON."""
        return {"edges": self.edges.tolist(), "shares": self.shares.tolist()}

    def codes(self, scores: Floats) -> Ints:
        """Stratum of every score, ``int64 [n, p]``; equal scores lie in the same one."""
        columns = [np.searchsorted(edges, scores[:, j], side="right") for j, edges in enumerate(self.edges)]
        return np.stack(columns, axis=1).astype(np.int64)

    def rows(self, scores: Floats) -> Floats:
        """1 for the stratum that a score lies in, ``float64 [n, p * b]``."""
        p, b = self.shares.shape
        result = np.zeros((len(scores), p * b))
        np.put_along_axis(result, self.codes(scores) + np.arange(p) * b, 1.0, axis=1)
        return result


@dataclass(frozen=True)
class Concepts:
    """Concept scores of the rows, as arrays: from labels, a classifier or prototypes.

    Attributes
    ----------
    scores : float64 [n, p]
        Membership of every row in every concept; calibrated scores sum to 1 per row and attribute.
    relevant : bool [n]
        Rows that the concepts apply to at all (a person is there).
    target : float64 [p]
        Share that every concept should have among the relevant kept rows.
    strata : Strata, optional
        Then the distribution of scores is held to that of the population, instead of their mean to `target`.
    """

    scores: Floats
    relevant: NDArray[np.bool_]
    target: Floats
    strata: Strata | None = None

    @classmethod
    def of(cls, concepts: Any, n: int, *, relevant: ArrayLike | None = None, target: Any = "population") -> Concepts:
        """Concepts from whatever a caller gives: scores, labels or GroupCodes of `n` rows."""
        scores, labels, known = as_scores(concepts, n)
        if relevant is not None:
            asked = np.asarray(relevant)
            if asked.shape != (n,) or asked.dtype != np.bool_:
                raise InputError(f"relevant of shape {asked.shape}, dtype {asked.dtype}; expected booleans ({n},).")
            known = known & asked
        shares = target_shares(target, scores, known, labels)
        source = isinstance(target, (str, Target)) and Target.of(target).kind == "population"
        return cls(scores, known, shares, Strata.of(scores, known) if source else None)

    def take(self, rows: Any) -> Concepts:
        """Those of some rows."""
        scores = np.asarray(self.scores[rows], np.float64)
        return Concepts(scores, np.asarray(self.relevant[rows]), self.target, self.strata)

    @property
    def empty(self) -> Ledger:
        """The ledger of nothing."""
        return Ledger.empty(self.scores.shape[1], 0 if self.strata is None else STRATA)

    @property
    def pulls(self) -> Floats:
        """How far keeping a row moves the ledger away from the target, ``float64 [n, q]``."""
        moved = self.scores - self.target
        if self.strata is not None:
            moved = self.strata.rows(self.scores) - self.strata.shares.ravel()
        return np.where(self.relevant[:, None], moved, 0.0)

    def ledger(self, kept: Any) -> Ledger:
        """The ledger of the rows `kept` (a mask or row numbers)."""
        rows = np.flatnonzero(kept) if np.asarray(kept).dtype == np.bool_ else np.asarray(kept, dtype=np.int64)
        total = self.empty
        for block in blocks(len(rows), _ROWS):
            mine = self.take(rows[block])
            found = Ledger.of(mine.scores, mine.relevant)
            if self.strata is not None:
                counts = self.strata.rows(mine.scores[mine.relevant]).sum(axis=0).reshape(self.strata.shares.shape)
                found = Ledger(found.count, found.sums, counts)
            total = total + found
        return total

    def drift(self, kept: Ledger) -> Floats:
        """How far the ledger is from the target, in rows, ``float64 [q]``: the sum of the pulls of what it holds."""
        if self.strata is None:
            return kept.sums - kept.count * self.target
        if kept.strata is None or kept.strata.shape != self.strata.shares.shape:
            raise InputError("start=: a ledger without strata; expected that of a select() over the same concepts.")
        return np.asarray((kept.strata - kept.count * self.strata.shares).ravel())


@dataclass(frozen=True)
class ConceptScores:
    """Concept scores that know their names and the rows they apply to.

    Attributes
    ----------
    names : tuple of str
    scores : float64 [n, p]
    relevant : bool [n]
    """

    names: tuple[str, ...]
    scores: Floats
    relevant: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.scores)


def as_scores(concepts: Any, n: int) -> tuple[Floats, tuple[str, ...], NDArray[np.bool_]]:
    """Scores, names of the concepts, and which rows they apply to; labels become scores of 0 and 1."""
    if isinstance(concepts, ConceptScores):
        if len(concepts) != n:
            raise InputError(f"concepts of {len(concepts)} rows; expected one per row, {n}.")
        return _matrix(concepts.scores, "concepts"), concepts.names, np.asarray(concepts.relevant, bool)
    array = None if isinstance(concepts, GroupCodes) else np.asarray(concepts, dtype=None)
    if array is not None and array.ndim == 2 and array.dtype.kind in "fiub":
        scores = _matrix(array, "concepts")
        if len(scores) != n:
            raise InputError(f"concepts of {len(scores)} rows; expected one per row, {n}.")
        return scores, tuple(str(i) for i in range(scores.shape[1])), np.ones(n, bool)
    codes = encode(concepts)
    if len(codes) != n:
        raise InputError(f"concepts: {len(codes)} labels; expected one per row, {n}.")
    known = codes.codes >= 0
    scores = np.zeros((n, len(codes.labels)))
    scores[np.flatnonzero(known), codes.codes[known]] = 1.0
    return scores, codes.labels, known


def target_shares(target: Any, scores: Floats, relevant: NDArray[np.bool_], labels: tuple[str, ...]) -> Floats:
    """Target share of every concept: population (mean score of relevant rows), uniform, or given."""
    p = scores.shape[1]
    if not isinstance(target, (str, Mapping, Target)):
        shares = np.asarray(target, dtype=np.float64)
        if shares.shape != (p,) or not np.isfinite(shares).all() or (shares < 0).any() or shares.sum() <= 0:
            raise InputError(f"target of shape {shares.shape}; expected {p} shares that are not negative.")
        return shares
    asked = Target.of(target)
    if asked.kind == "population":
        return scores[relevant].mean(axis=0) if relevant.any() else np.zeros(p)
    if asked.kind == "uniform":
        return np.full(p, 1.0 / p)
    given = dict(asked.given)
    if set(given) != set(labels):
        raise InputError(f"target names {sorted(given)}; expected the concepts {list(labels)}.")
    return np.array([given[label] for label in labels])


def _matrix(values: ArrayLike, name: str) -> Floats:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not a rectangular array of numbers ({error}); expected [n, p].") from error
    if array.ndim != 2 or array.shape[1] == 0 or not np.isfinite(array).all():
        raise InputError(f"{name} of shape {array.shape}; expected finite numbers [n, p].")
    return array
