"""Bootstrap over cell counts: resampling rows, at a cost that does not depend on how many rows there are.

A metric that only counts (accuracy, rates, shares) depends on the rows through a contingency table. Drawing n rows with
replacement and counting them is a multinomial draw of the table's cells, so drawing the cells is the row bootstrap
itself, not an approximation of it. Leaving out one row is leaving out one from its cell, so the jackknife that BCa
needs has one value per non-empty cell, with the cell's count as its multiplicity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .bootstrap import IntervalMethod, interval
from .estimate import Estimate

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Seed: TypeAlias = int | np.random.Generator
Statistic: TypeAlias = Callable[[FloatArray], FloatArray]  # counts [b, c] -> values [b, m]

FEW = 300  # rows; beyond, a t quantile differs from a normal one by less than half a percent
BLOCK_ELEMENTS = 1 << 21  # float64 numbers held per block of draws


@dataclass(frozen=True, eq=False)
class Cells:
    """The non-empty cells of a contingency table.

    Parameters
    ----------
    coordinates
        ``int64 [c, axes]``: the codes of each cell, in lexicographic order.
    counts
        ``int64 [c]``: rows per cell, all positive.
    shape
        Number of codes per axis.
    """

    coordinates: IntArray
    counts: IntArray
    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        """Rows behind the table."""
        return int(self.counts.sum())

    def totals(self, index: IntArray, size: int) -> Totals:
        """The linear map from cell counts to the `size` sums that `index` ``[c]`` assigns the cells to (-1: none)."""
        return Totals.of(index, size)


@dataclass(frozen=True, eq=False)
class Totals:
    """Sums of cells: ``[b, c]`` counts to ``[b, size]`` totals."""

    size: int
    dense: FloatArray | None  # [c, size] indicator where that is small, for one matrix product
    order: IntArray
    starts: IntArray
    filled: IntArray

    @classmethod
    def of(cls, index: IntArray, size: int) -> Totals:
        used = np.flatnonzero(index >= 0)
        order = used[np.argsort(index[used], kind="stable")]
        filled, starts = np.unique(index[order], return_index=True)
        dense = None
        if len(index) * size <= 1 << 16:
            dense = np.zeros((len(index), size))
            dense[used, index[used]] = 1.0
        return cls(size, dense, order, starts.astype(np.int64), filled)

    def __call__(self, counts: FloatArray) -> FloatArray:
        if self.dense is not None:
            return counts @ self.dense
        out = np.zeros((len(counts), self.size))
        if len(self.order):
            out[:, self.filled] = np.add.reduceat(counts[:, self.order], self.starts, axis=1)
        return out


def tabulate(*codes: ArrayLike, shape: tuple[int, ...]) -> Cells:
    """Count rows per combination of codes; every code array is ``[n]`` with values in ``range(shape[axis])``.

    Examples
    --------
    >>> table = tabulate([0, 0, 1], [1, 1, 0], shape=(2, 2))
    >>> table.coordinates.tolist(), table.counts.tolist()
    ([[0, 1], [1, 0]], [2, 1])
    """
    arrays = [np.asarray(c, dtype=np.int64) for c in codes]
    if len(arrays) != len(shape) or len({a.shape for a in arrays}) != 1 or arrays[0].ndim != 1:
        raise InputError(
            f"codes of shapes {[a.shape for a in arrays]} for a table of shape {shape}; expected [n] each."
        )
    if not len(arrays[0]):
        raise InputError("no rows to count; expected at least one.")
    size = math.prod(shape)
    flat = np.ravel_multi_index(tuple(arrays), shape)
    if size <= 4 * len(flat) + 1024:
        every = np.bincount(flat, minlength=size)
        filled = np.flatnonzero(every)
        counts = every[filled]
    else:
        filled, counts = np.unique(flat, return_counts=True)
    coordinates = np.stack(np.unravel_index(filled, shape), axis=1).astype(np.int64)
    return Cells(coordinates, counts.astype(np.int64), tuple(shape))


def draw(counts: IntArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """`draws` multinomial resamples of cell counts, ``float64 [draws, c]``, each with the same total."""
    n = int(counts.sum())
    return rng.multinomial(n, counts / n, size=draws).astype(np.float64)


def row_counts(n: int, draws: int, rng: np.random.Generator) -> Iterator[FloatArray]:
    """Blocks ``float64 [b, n]`` of how often each of n rows is drawn, for what depends on more than cells."""
    block = max(1, BLOCK_ELEMENTS // n)
    for start in range(0, draws, block):
        b = min(block, draws - start)
        drawn = rng.integers(n, size=(b, n))
        drawn += n * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Resampled:
    """Observed values and interval ends of m statistics, each ``[m]``, and how they were made."""

    observed: FloatArray
    low: FloatArray
    high: FloatArray
    undefined: IntArray  # replicates in which the statistic was undefined
    draws: int
    level: float
    method: str
    replicates: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))  # [draws, all components]

    def estimate(self, i: int, n: int, note: str = "") -> Estimate:
        """Statistic `i` as an `Estimate` that rests on `n` rows."""
        notes = [note] if note else []
        if math.isnan(self.observed[i]):
            if not notes:
                notes.append("undefined on these rows")
        elif self.undefined[i]:
            notes.append(f"undefined in {self.undefined[i]} of {self.draws} replicates, which were left out")
        if not math.isnan(self.observed[i]) and math.isnan(self.low[i]):
            notes.append("no interval" if self.draws else "no interval: n_boot is 0")
        return Estimate(
            float(self.observed[i]),
            float(self.low[i]),
            float(self.high[i]),
            n,
            self.level,
            self.method,
            "; ".join(notes),
        )


@dataclass(frozen=True)
class Resampling:
    """How to resample: number of draws (0: no intervals), confidence level, seed, ``"percentile"`` or ``"bca"``."""

    draws: int = 1000
    level: float = 0.95
    seed: Seed = 0
    method: IntervalMethod = "percentile"

    def __post_init__(self) -> None:
        if self.draws < 0:
            raise InputError(f"{self.draws} bootstrap draws; expected 0 (no interval) or more, usually 1000.")
        if not 0 < self.level < 1:
            raise InputError(f"level {self.level}; expected a share between 0 and 1, for example 0.95.")
        if self.method not in ("percentile", "bca"):
            raise InputError(f"interval {self.method!r}; expected 'percentile' or 'bca'.")


def bootstrap(
    cells: Cells,
    statistic: Statistic,
    resampling: Resampling | None = None,
    *,
    width: int = 0,
    extra: int = 0,
    units: FloatArray | None = None,
) -> Resampled:
    """Interval of every component of a statistic of cell counts.

    Parameters
    ----------
    cells
        The table.
    statistic
        Maps counts ``[b, c]`` (one resample per row, columns as in `cells`) to values ``[b, m]``; NaN is undefined.
    resampling
        Draws, level, seed and method; 1,000 percentile draws at 95 % by default.
    width
        Numbers per resample that the statistic holds at once, so that memory stays bounded.
    extra
        That many trailing components get no interval and are kept in `Resampled.replicates` only.
    units
        Rows that each other component rests on, which widen percentile intervals where they are few (`interval`).

    Examples
    --------
    >>> table = tabulate([0] * 40 + [1] * 60, shape=(2,))
    >>> share = bootstrap(table, lambda counts: counts[:, :1] / counts.sum(axis=1, keepdims=True)).estimate(0, 100)
    >>> share.value, round(share.low, 2), round(share.high, 2)
    (0.4, 0.3, 0.5)
    """
    plan = resampling or Resampling()
    observed = statistic(cells.counts.astype(np.float64)[None])[0]
    if not plan.draws:
        return without_interval(observed, plan, extra)
    rng = np.random.default_rng(plan.seed)
    block = max(1, BLOCK_ELEMENTS // max(len(cells.counts), width, 1))
    replicates = np.concatenate(
        [statistic(draw(cells.counts, min(block, plan.draws - start), rng)) for start in range(0, plan.draws, block)]
    )
    if plan.method == "percentile":
        return summarise(observed, replicates, plan, "cell counts", extra=extra, units=units)
    left_out = jackknife_cells(cells, statistic, block)
    return summarise(observed, replicates, plan, "cell counts", left_out, cells.counts, extra)


def jackknife_cells(cells: Cells, statistic: Statistic, block: int = 256) -> FloatArray:
    """The statistic with one row of each cell left out, ``[c, m]``; a cell's value counts as often as it has rows."""
    parts = []
    for start in range(0, len(cells.counts), block):
        rows = np.arange(start, min(start + block, len(cells.counts)))
        left = np.repeat(cells.counts[None].astype(np.float64), len(rows), axis=0)
        left[np.arange(len(rows)), rows] -= 1.0
        parts.append(statistic(left))
    return np.concatenate(parts)


def summarise(
    observed: FloatArray,
    replicates: FloatArray,
    plan: Resampling,
    unit: str,
    jackknife: FloatArray | None = None,
    multiplicity: NDArray[Any] | None = None,
    extra: int = 0,
    units: FloatArray | None = None,
) -> Resampled:
    """Intervals of m statistics from replicates ``[draws, m]``; `unit` names what was resampled, `units` and `extra`
    are those of `bootstrap`."""
    finite = np.isfinite(replicates)
    kept = slice(0, replicates.shape[1] - extra)
    usable = np.where(finite, replicates, np.nan)[:, kept]
    low, high = np.empty(usable.shape[1]), np.empty(usable.shape[1])
    few = np.zeros(usable.shape[1])  # 0: many, no widening
    if units is not None and plan.method == "percentile":
        few = np.where(units < FEW, np.maximum(units, 2), 0)
    for count in np.unique(few):
        columns = np.flatnonzero(few == count)
        low[columns], high[columns] = interval(
            usable[:, columns],
            observed[columns],
            level=plan.level,
            method=plan.method,
            jackknife=None if jackknife is None else jackknife[:, columns],
            jackknife_weights=multiplicity,
            units=int(count) or None,
        )
    gone = ~np.isfinite(observed[kept])
    return Resampled(
        observed[kept],
        np.where(gone, np.nan, low),
        np.where(gone, np.nan, high),
        np.count_nonzero(~finite, axis=0)[kept],
        len(replicates),
        plan.level,
        f"{plan.method}, {unit}, {len(replicates)} draws",
        replicates,
    )


def without_interval(observed: FloatArray, plan: Resampling, extra: int = 0) -> Resampled:
    """Observed values alone."""
    values = observed[: len(observed) - extra]
    nothing = np.full(len(values), np.nan)
    return Resampled(values, nothing, nothing, np.zeros(len(values), dtype=np.int64), 0, plan.level, "none")
