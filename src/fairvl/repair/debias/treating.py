"""One ``.npy`` file of a store through an operator, block by block.

A block is small enough to stay in a core's cache, where a pass over it is cheap; what remains is the number of passes.
Lengths of rows are therefore taken only where something hangs on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import blas

from ...arrays import blocks
from ...errors import InputError, StoreError
from ...sources.store.layout import read_header
from ...sources.store.write import UNIT_TOLERANCE
from .base import Operator, vanishing
from .halves import LARGEST, narrow, widen
from .operator import LinearOperator

BLOCK_BYTES = 1 << 19  # of float32 at a time
SAMPLE = 32  # coordinates that clear most rows of having vanished


@dataclass(frozen=True)
class Treated:
    """Rows after an operator, in the dtype of the arithmetic.

    Attributes
    ----------
    rows : (n, d) array
        NaN where a row is missing.
    vanished, missing : int
        How many rows became zero, and how many were not there.
    bound : float
        No coordinate is larger; infinity where that is not known.
    """

    rows: Any
    vanished: int
    missing: int
    bound: float


Kernel = Callable[[Any], Treated]


def treat_file(operator: Operator, source: Path, target: Path, *, renormalise: bool = False) -> tuple[int, int, bool]:
    """The rows of one ``.npy`` file after `operator`, in its dtype; rows vanished, rows missing, all of unit length."""
    header = read_header(source)
    dtype = header.dtype
    rows_at_once = max(1, BLOCK_BYTES // (4 * header.dim))
    kernel = _kernel(operator, dtype, rows_at_once)
    vanished, missing, unit = 0, 0, True
    buffer, spare = np.empty((rows_at_once, header.dim), dtype), np.empty((rows_at_once, header.dim), np.uint32)
    with open(source, "rb") as given, open(target, "wb") as made:
        given.seek(header.offset)
        np.lib.format.write_array_header_1_0(
            made, {"descr": dtype.str, "fortran_order": False, "shape": (header.rows, header.dim)}
        )
        for block in blocks(header.rows, rows_at_once):
            rows: Any = buffer[: block.stop - block.start]
            given.readinto(rows.reshape(-1).view(np.uint8))
            try:
                done = kernel(rows)
            except InputError as error:
                raise StoreError(f"{source}: rows {block.start} to {block.stop}: {error}") from None
            if renormalise:
                length = _lengths(done.rows)[:, None]
                np.divide(done.rows, length, out=done.rows, where=length > 0)
            unit = unit and _of_unit_length(done)
            stored = _stored(done, rows, spare[: len(rows)])
            if stored is None:
                raise StoreError(
                    f"{source}: a vector between rows {block.start} and {block.stop} does not fit into {dtype} after "
                    "the operator. Store the vectors as float32 first."
                )
            made.write(stored.reshape(-1).view(np.uint8))
            vanished, missing = vanished + done.vanished, missing + done.missing
    return vanished, missing, unit


def _lengths(rows: Any) -> Any:
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def _of_unit_length(done: Treated) -> bool:
    length = _lengths(done.rows)
    if done.missing:
        length = length[~np.isnan(length)]
    return bool((np.abs(length - 1.0) <= UNIT_TOLERANCE).all())


def _stored(done: Treated, out: Any, spare: Any) -> Any:
    """Rows in the dtype of the file, in the place of the rows that were read; None where one does not fit."""
    if out.dtype == np.float16 and done.rows.dtype == np.float32 and not done.missing and done.bound < LARGEST:
        narrow(done.rows, spare, out)
        return out
    with np.errstate(over="ignore", invalid="ignore"):
        out[...] = done.rows
    return None if np.isinf(out).any() else out


def _kernel(operator: Operator, dtype: np.dtype[Any], rows_at_once: int) -> Kernel:
    compute = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    if isinstance(operator, LinearOperator) and operator.dense is None and operator.tridiagonal is None:
        return _factored(operator, dtype, compute, rows_at_once)
    return partial(_general, operator, compute)


def _general(operator: Operator, compute: np.dtype[Any], rows: Any) -> Treated:
    absent = np.isnan(rows).all(axis=1)
    result = np.full(rows.shape, np.nan, compute)
    treated = operator(rows[~absent])
    result[~absent] = treated
    gone = int((~treated.any(axis=1) & rows[~absent].any(axis=1)).sum())
    return Treated(result, gone, int(absent.sum()), float(np.abs(result).max(initial=0.0, where=~absent[:, None])))


def _factored(
    operator: LinearOperator, dtype: np.dtype[Any], compute: np.dtype[Any], rows_at_once: int
) -> Kernel:  # fmt: skip
    right = np.ascontiguousarray(operator.right.T, compute)
    left = operator.left if operator.scale is None else operator.left * operator.scale
    left_columns = np.asfortranarray(left, compute)
    gemm = blas.sgemm if compute == np.float32 else blas.dgemm
    buffer = np.empty((rows_at_once, operator.dim), compute)
    centre = np.zeros(operator.dim) if operator.centre is None else operator.centre
    shift = (centre @ operator.right.T).astype(compute)
    limit = vanishing(float(np.finfo(compute).eps), float(np.finfo(dtype).eps), operator.dim)
    reach = float(np.linalg.norm(left, 2)) if left.size else 0.0
    tiny = np.finfo(compute).tiny

    def kernel(rows: Any) -> Treated:
        wide = buffer[: len(rows)]
        largest = math.inf
        if rows.dtype == np.float16:
            largest = widen(rows, wide)
        else:
            np.copyto(wide, rows)
        with np.errstate(invalid="ignore"):  # infinity times zero is found below
            inner = wide @ right
            inner -= shift
        removed = np.einsum("ij,ij->i", inner, inner)
        absent = 0
        if not np.isfinite(removed).all():
            absent = _count_missing(wide)
        gemm(-1.0, left_columns, inner.T, beta=1.0, c=wide.T, overwrite_c=1)  # in place: wide -= inner @ left.T
        # |x| <= |after| + |removed|: only rows that this bound cannot clear are held against their own length, and
        # some coordinates of what is left are enough to clear a row.
        bound = np.maximum((2.0 * limit * reach) ** 2 * removed, tiny)
        some = wide[:, :SAMPLE]
        near = np.flatnonzero(np.einsum("ij,ij->i", some, some) <= bound)
        gone = _zero_what_vanished(wide, rows, near, limit) if len(near) else 0
        return Treated(wide, gone, absent, largest + reach * float(np.sqrt(removed.max(initial=0.0))))

    return kernel


def _count_missing(wide: Any) -> int:
    bad, missing = ~np.isfinite(wide).all(axis=1), np.isnan(wide).all(axis=1)
    if (bad & ~missing).any():
        raise InputError(f"{int((bad & ~missing).sum())} vectors hold NaN or infinity. Embed them again.")
    return int(missing.sum())


def _zero_what_vanished(wide: Any, rows: Any, near: Any, limit: float) -> int:
    """Set rows `near` of `wide` to zero where only rounding is left of `rows`; how many were not zero before."""
    given, left = rows[near].astype(wide.dtype), wide[near]
    own, square = np.einsum("ij,ij->i", given, given), np.einsum("ij,ij->i", left, left)
    zero = square <= limit**2 * own
    wide[near[zero]] = 0.0
    return int((own[zero] > 0).sum())
