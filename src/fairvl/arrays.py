"""Checked arrays of vectors: what a usable set of embeddings is, unit rows, cosines, row blocks.

Dtype policy: embeddings travel as float16 or float32, comparisons are made in float32 or better,
statistics accumulate in float64. A function that returns embeddings returns the dtype it was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError

FloatArray = NDArray[np.floating[Any]]


def check_vectors(
    vectors: ArrayLike, name: str = "vectors", *, dim: int | None = None, minimum: int = 1, zero_ok: bool = False
) -> FloatArray:
    """`vectors` as a two-dimensional float array of finite rows; float16 is widened to float32.

    One vector ``[d]`` becomes ``[1, d]``. No copy is made where none is needed.

    Raises
    ------
    InputError
        Not numeric, not two-dimensional, fewer than `minimum` rows, another width than `dim`,
        NaN or infinity, or (unless `zero_ok`) a row of zeros, which has no direction.
    """
    try:
        array = np.asarray(vectors)
    except ValueError as error:
        raise InputError(f"{name}: rows of different lengths; expected a rectangular array [n, d].") from error
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise InputError(f"{name}: dtype {array.dtype} is not numeric; expected float vectors [n, d].")
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.ndim == 1 and array.size:
        array = array[None, :]
    if array.ndim != 2:
        raise InputError(f"{name}: shape {array.shape}; expected two dimensions [n, d].")
    if len(array) < minimum:
        raise InputError(f"{name}: {len(array)} vectors; expected at least {minimum}.")
    if array.shape[1] == 0:
        raise InputError(f"{name}: vectors of width 0; expected at least one coordinate.")
    if dim is not None and array.shape[1] != dim:
        raise InputError(
            f"{name}: width {array.shape[1]}; expected {dim}. All vectors of one call come from one encoder."
        )
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        raise InputError(f"{name}: {len(bad)} rows hold NaN or infinity, first row {bad[0]}. Drop or re-encode them.")
    if not zero_ok:
        zero = np.flatnonzero(~array.any(axis=1))
        if len(zero):
            raise InputError(
                f"{name}: {len(zero)} rows are zero, first row {zero[0]}; a zero vector has no direction. "
                "Drop or re-encode them."
            )
    return array


def unit_rows(vectors: ArrayLike, name: str = "vectors", *, dtype: type[np.floating[Any]] = np.float64) -> FloatArray:
    """Rows of `vectors` divided by their Euclidean length, computed and returned in `dtype`.

    Examples
    --------
    >>> unit_rows([[3.0, 4.0]]).tolist()
    [[0.6, 0.8]]
    """
    array = check_vectors(vectors, name).astype(dtype)
    array /= np.abs(array).max(axis=1, keepdims=True)  # so that squares neither overflow nor vanish
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return array


def blocks(n_rows: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most `size` rows that cover ``range(n_rows)``."""
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
