"""Rows as the pass compares them: checked, of unit length, each different vector once, and one canonical cosine.

Two rows are compared with a fast float32 product first. Wherever that could decide wrongly, and for every
similarity that is handed out, the float64 product of `dots` decides: it depends on the two rows alone, so blocks,
threads and the order of rows cannot change a decision.
"""

from __future__ import annotations

import mmap
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import FloatArray, blocks, check_vectors
from ...errors import InputError

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.floating[Any]]

UNIT_TOLERANCE = 2e-3  # float16 rounds each coordinate by at most 2**-11 of its size
FIXED_POINT = 2.0**36  # sums of rows in whole multiples of 2**-36 are exact, so their order does not matter
_BLOCK = 4096
_CACHED = 2**16  # numbers of a block that stays in a core's cache


def prepared(vectors: ArrayLike, name: str = "vectors") -> tuple[Rows, int]:
    """Usable rows in their own dtype (float16 stays), and how many had to be brought to unit length.

    A row whose length is within 0.2 % of 1 is a unit row and is left bit for bit as it is.
    """
    array = np.asarray(vectors)
    if array.dtype in (np.float16, np.float32) and array.ndim == 2 and array.size and _all_unit(array):
        return np.ascontiguousarray(array), 0
    if array.dtype != np.float16 or array.ndim != 2:
        array = check_vectors(array, name)
    for block in blocks(len(array), _BLOCK):
        if array.dtype == np.float16:
            check_vectors(array[block], f"{name}[{block.start}:{block.stop}]")
    lengths = row_lengths(array)
    off = np.flatnonzero(np.abs(lengths - 1.0) > UNIT_TOLERANCE)
    if len(off):
        dtype = array.dtype if array.dtype != np.float16 else np.dtype(np.float32)
        array = np.array(array, dtype=dtype)
        for block in blocks(len(off), _BLOCK):
            wide = array[off[block]].astype(np.float64)
            wide /= np.abs(wide).max(axis=1, keepdims=True)  # squares neither overflow nor vanish
            array[off[block]] = wide / np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(array), len(off)


def _all_unit(array: Rows) -> bool:
    """Whether all lengths are plainly within the tolerance, so that no row needs a closer look."""
    with np.errstate(over="ignore", invalid="ignore"):
        for block in blocks(len(array), _BLOCK):
            rows = array[block].astype(np.float32, copy=False)
            squares = np.einsum("ij,ij->i", rows, rows)
            if not (np.abs(squares - 1.0) <= UNIT_TOLERANCE).all():  # of squares: half of what lengths may have
                return False
    return True


def row_lengths(rows: Rows) -> Floats:
    """Euclidean lengths in float64; infinite where a square overflows."""
    lengths = np.empty(len(rows))
    with np.errstate(over="ignore"):
        for block in blocks(len(rows), _BLOCK):
            wide = rows[block].astype(np.float64)
            lengths[block] = np.sqrt((wide * wide).sum(axis=1))
    return lengths


def dots(rows: Rows, first: Ints | None, second: Ints, others: Rows | None = None) -> Floats:
    """The canonical cosine of row pairs: float64 products summed along the row, nothing else involved.

    `others` holds the second rows when they are not `rows` themselves. Without `first`, every row has its second.
    """
    right = rows if others is None else others
    result = np.empty(len(second))
    size = max(16, _CACHED // rows.shape[1])
    for block in blocks(len(second), size):
        one = np.asarray(rows[block if first is None else first[block]], dtype=np.float64)
        two = np.asarray(right[second[block]], dtype=np.float64)
        np.einsum("ij,ij->i", one, two, out=result[block])  # both float64: einsum then sums a row in one piece
    return result


def similarity_to(rows: Rows, centroid: Floats) -> Floats:
    """Float64 product of every row with one vector, a row at a time as in `dots`."""
    result = np.empty(len(rows))
    centre = np.ascontiguousarray(centroid, dtype=np.float64)
    for block in blocks(len(rows), max(16, _CACHED // rows.shape[1])):
        np.einsum(
            "ij,ij->i", rows[block].astype(np.float64), np.broadcast_to(centre, rows[block].shape), out=result[block]
        )
    return result


def fixed_point_sum(rows: Rows) -> Ints:
    """Sum of unit rows ``int64 [d]`` in multiples of 2**-36: exact, so that no order of rows changes it."""
    total = np.zeros(rows.shape[1], np.int64)
    for block in blocks(len(rows), _BLOCK):
        total += np.rint(rows[block].astype(np.float64) * FIXED_POINT).astype(np.int64).sum(axis=0)
    return total


def mean_direction(rows: Rows) -> Floats:
    """The unit vector ``float64 [d]`` along the mean of unit rows; zeros when they cancel."""
    total = fixed_point_sum(rows).astype(np.float64)
    length = float(np.sqrt((total * total).sum()))
    return total / length if length > 0 else total


def representatives(rows: Rows) -> Ints:
    """For every row the number of the first row with the same bytes, ``int64 [n]``."""
    words = np.ascontiguousarray(rows).view(f"u{rows.dtype.itemsize}")
    first = np.arange(len(rows))
    # A few columns tell most rows apart; all columns are hashed, and compared, only where those are equal.
    few = _keys(words[:, :: max(1, words.shape[1] // 8)])
    _, inverse, count = np.unique(few, return_inverse=True, return_counts=True)
    alike = np.flatnonzero(count[inverse] > 1)
    if not len(alike):
        return first
    _, start, inverse = np.unique(_keys(words[alike]), return_index=True, return_inverse=True)
    first[alike] = alike[start[inverse]]
    rest = np.flatnonzero(first != np.arange(len(rows)))
    for block in blocks(len(rest), _BLOCK):
        mine = rest[block]
        unequal = (words[mine] != words[first[mine]]).any(axis=1)
        first[mine[unequal]] = mine[unequal]
    return first


def _keys(words: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint64]:
    """A 64-bit hash of every row of words."""
    odd = np.random.default_rng(5).integers(0, 2**63, words.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys = np.empty(len(words), np.uint64)
    for block in blocks(len(words), max(1, 2**18 // words.shape[1])):
        keys[block] = (words[block].astype(np.uint64) * odd).sum(axis=1, dtype=np.uint64)
    return keys


def tie_order(n: int, ids: Any) -> Ints:
    """Rank of every row among all rows by id, or by position when there are none; how every tie is broken."""
    if ids is None:
        return np.arange(n)
    names = np.asarray(ids)
    if names.ndim != 1 or len(names) != n:
        raise InputError(f"ids of shape {names.shape}; expected one id per row, ({n},).")
    if names.dtype.kind not in "iuUS":
        names = np.array([str(name) for name in names])
    order = np.argsort(names, kind="stable")
    twice = np.flatnonzero(names[order][1:] == names[order][:-1])
    if len(twice):
        raise InputError(
            f"ids: {len(twice)} repeat, first {str(names[order][twice[0]])!r}. Ids name rows and must be unique."
        )
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    return rank


def read_rows(view: Any, numbers: Ints) -> FloatArray:
    """Rows of a store's view in the order asked for, and the pages that were mapped for them given back.

    A row maps its neighbourhood of the file too; rows drawn from all over a store would count it whole as memory of
    the process.
    """
    by = np.argsort(numbers, kind="stable")
    out = np.empty((len(numbers), view.dim), np.result_type(view.dtype, np.float32))
    for block in blocks(len(by), _BLOCK // 2):
        out[by[block]] = view.read(numbers[by[block]])
        for mapped in view.shards:
            file = getattr(mapped, "_mmap", None)
            if file is not None:
                file.madvise(mmap.MADV_DONTNEED)
    return out


def float32_rows(rows: Rows) -> NDArray[np.float32]:
    """Rows for the fast product, contiguous."""
    return np.ascontiguousarray(rows, dtype=np.float32)


__all__ = [
    "FloatArray", "Floats", "Ints", "Rows", "dots", "fixed_point_sum", "float32_rows", "mean_direction", "prepared",
    "read_rows", "representatives", "row_lengths", "similarity_to", "tie_order",
]  # fmt: skip
