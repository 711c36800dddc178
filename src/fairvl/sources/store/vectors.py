"""The vectors of a store, memory-mapped: float16 on disk, float32 wherever one computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, StoreError
from .layout import ArrayFile


class VectorView:
    """All vectors of one part of a store as one array ``[n, dim]`` that is read only where asked.

    Reading gives float32 (float64 is kept) and refuses rows that hold NaN or infinity, unless
    ``missing="keep"``: a record without a caption has no text vector, and its row is NaN.

    Examples
    --------
    >>> import tempfile
    >>> from fairvl.sources.store import write_store
    >>> store = write_store(tempfile.mkdtemp() + "/s", ids=["a", "b", "c"], image_vectors=[[1, 0], [0, 1], [1, 0]])
    >>> store.image_vectors.shape, store.image_vectors.read([2, 1]).tolist()
    ((3, 2), [[1.0, 0.0], [0.0, 1.0]])
    >>> [block.shape for block in store.image_vectors.blocks(2)]
    [(2, 2), (1, 2)]
    """

    def __init__(self, files: tuple[ArrayFile, ...], name: str, folder: Path) -> None:
        self._files = files
        self._maps = [file.open() for file in files]
        self._starts = np.concatenate([[0], np.cumsum([file.rows for file in files])]).astype(np.int64)
        self._name = name
        self._folder = folder

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return int(self._starts[-1]), self._files[0].dim

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self._files[0].dim

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type on disk; what is read is float32 at least."""
        return self._files[0].dtype

    @property
    def shards(self) -> tuple[NDArray[Any], ...]:
        """The memory maps themselves, one per file, in the stored dtype and unchecked."""
        return tuple(self._maps)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"VectorView({self._name}: {self.shape[0]} x {self.dim} {self.dtype}, {len(self._files)} shards)"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.read()
        return array if dtype is None else array.astype(dtype)

    def blocks(self, rows: int, *, missing: str = "error") -> Iterator[NDArray[Any]]:
        """Consecutive blocks of exactly `rows` rows (the last may be shorter), whatever the shards are."""
        if rows < 1:
            raise InputError(f"blocks of {rows} rows; expected at least 1.")
        for start in range(0, len(self), rows):
            yield self.read(slice(start, min(start + rows, len(self))), missing=missing)

    def read(self, rows: Any = None, *, missing: str = "error") -> NDArray[Any]:
        """Rows as an array in memory: all, a slice, a list of row numbers or a boolean mask ``[n]``.

        Raises
        ------
        StoreError
            A row holds NaN or infinity and `missing` is "error".
        InputError
            A row number outside the store, or a mask of another length.
        """
        if missing not in ("error", "keep"):
            raise InputError(f"missing={missing!r}; expected 'error' or 'keep'.")
        chosen = self._chosen(rows)
        out = np.empty((len(chosen), self.dim), np.result_type(self.dtype, np.float32))
        if isinstance(chosen, range):
            for shard, array in enumerate(self._maps):
                low = max(chosen.start, int(self._starts[shard]))
                high = min(chosen.stop, int(self._starts[shard + 1]))
                if low < high:
                    offset = int(self._starts[shard])
                    out[low - chosen.start : high - chosen.start] = array[low - offset : high - offset]
        else:
            owner = np.searchsorted(self._starts, chosen, side="right") - 1
            for shard in np.unique(owner):
                mine = owner == shard
                out[mine] = self._maps[shard][chosen[mine] - self._starts[shard]]
        if missing == "error":
            self._refuse_not_finite(out, chosen)
        return out

    def present(self, rows: int = 65536) -> NDArray[np.bool_]:
        """Mask ``[n]``: rows that hold a finite vector."""
        masks = [np.isfinite(block).all(axis=1) for block in self.blocks(rows, missing="keep")]
        return np.concatenate(masks) if masks else np.zeros(0, bool)

    def _chosen(self, rows: Any) -> range | NDArray[np.int64]:
        n = len(self)
        if rows is None:
            return range(n)
        if isinstance(rows, slice):
            start, stop, step = rows.indices(n)
            return range(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
        index = np.asarray(rows)
        if index.dtype == bool:
            if index.shape != (n,):
                raise InputError(f"a mask of shape {index.shape}; expected one value per row of the store, ({n},).")
            return np.flatnonzero(index)
        if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
            raise InputError(f"rows of shape {index.shape} and dtype {index.dtype}; expected a list of row numbers.")
        index = index.astype(np.int64)
        if index.size and (index.min() < -n or index.max() >= n):
            raise InputError(f"row numbers {index.min()} to {index.max()}; the store has rows 0 to {n - 1}.")
        return np.where(index < 0, index + n, index)

    def _refuse_not_finite(self, out: NDArray[Any], chosen: range | NDArray[np.int64]) -> None:
        # A sum is finite only if every term is; the exact search runs only when it is not.
        with np.errstate(invalid="ignore", over="ignore"):
            if np.isfinite(out.sum(dtype=np.float64)):
                return
        bad = np.flatnonzero(~np.isfinite(out).all(axis=1))
        if len(bad):
            raise StoreError(
                f"{self._folder}: {len(bad)} of the {self._name} vectors read hold NaN or infinity, first row "
                f"{int(chosen[int(bad[0])])}. A record without a caption has no text vector: choose rows with "
                ".present(), or read with missing='keep'; otherwise embed again."
            )
