"""Zero-shot classification and retrieval scores: what an encoder says when it is only asked with prompts.

A class is described by prompts; its *prototype* is the unit mean of their unit vectors. An image belongs to the class
whose prototype has the largest cosine with it; equal cosines go to the class that is listed first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import FloatArray, check_vectors, unit_rows
from ..errors import InputError


def prototypes(vectors: ArrayLike, codes: ArrayLike, n_classes: int) -> FloatArray:
    """Unit mean of each class's prompt vectors, float32 ``[n_classes, d]``.

    Prompt vectors are averaged as given (so a repaired vector that lost length weighs less), then the mean is
    brought to unit length. A class whose mean vanishes keeps a zero row: its cosine with everything is 0.

    Parameters
    ----------
    vectors : (p, d) array
        Prompt vectors, unit length before any repair.
    codes : (p,) integers in ``range(n_classes)``
        Class of each prompt.

    Raises
    ------
    InputError
        A class has no prompt, or the lengths disagree.

    Examples
    --------
    >>> import numpy as np
    >>> prototypes([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [0, 1, 1], 2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    rows = check_vectors(vectors, "prompt vectors", zero_ok=True).astype(np.float64)
    codes = np.asarray(codes, dtype=np.int64)
    if codes.shape != (len(rows),):
        raise InputError(f"{len(rows)} prompt vectors but {codes.shape} class codes; expected one code per vector.")
    counts = np.bincount(codes, minlength=n_classes)
    if len(counts) > n_classes or not counts.all():
        raise InputError(f"prompts per class are {counts.tolist()}; expected at least one for each of {n_classes}.")
    means = np.zeros((n_classes, rows.shape[1]))
    np.add.at(means, codes, rows)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    # A repaired prompt that should vanish leaves rounding noise, which must not become a direction.
    vanished = lengths <= 1e-6 * counts[:, None]
    unit: FloatArray = np.divide(means, lengths, out=np.zeros_like(means), where=~vanished).astype(np.float32)
    return unit


def scores(queries: ArrayLike, images: ArrayLike, *, unit_images: bool = False) -> FloatArray:
    """Cosine of every query with every image, float32 ``[q, n]``; `queries` are prototypes (unit or zero rows)."""
    q = check_vectors(queries, "queries", zero_ok=True)
    v = np.asarray(images, dtype=np.float32) if unit_images else unit_rows(images, "image vectors", dtype=np.float32)
    if q.shape[1] != v.shape[1]:
        raise InputError(f"queries have width {q.shape[1]}, images {v.shape[1]}; both must come from one encoder.")
    product: FloatArray = q.astype(np.float32) @ v.T
    return product


def classify(class_prototypes: ArrayLike, images: ArrayLike, *, unit_images: bool = False) -> NDArray[np.int64]:
    """Index of the nearest class of every image, ``[n]``; equal cosines go to the class listed first.

    Examples
    --------
    >>> classify([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.1], [0.1, 3.0]]).tolist()
    [0, 1]
    """
    nearest: NDArray[np.int64] = scores(class_prototypes, images, unit_images=unit_images).argmax(axis=0)
    return nearest
