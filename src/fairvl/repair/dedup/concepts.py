"""Concept scores: calibrated prototypes, labels, crossings, and the gate that says whether they apply at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.codes import GroupCodes, encode
from ...stats.shares import Target
from .rows import Floats


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


def as_scores(concepts: Any, n: int) -> tuple[Floats, tuple[str, ...], NDArray[np.bool_]]:
    """Scores, names of the concepts, and which rows they apply to; labels become scores of 0 and 1."""
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
