"""Ordered groups and numeric attributes (age, skin-tone scales): slope per unit, and means in stated bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..errors import GroupError, InputError
from ..stats.cells import (
    Cells,
    FloatArray,
    IntArray,
    Resampled,
    Resampling,
    Seed,
    bootstrap,
    row_counts,
    summarise,
    without_interval,
)
from ..stats.codes import as_text, factorize, unknown_label
from ..stats.estimate import Estimate
from ..stats.rates import divide


@dataclass(frozen=True)
class Bin:
    """Mean outcome of the rows with ``low <= attribute < high`` (the last bin holds its upper end too)."""

    label: str
    low: float
    high: float
    mean: Estimate


@dataclass(frozen=True, eq=False)
class Trend:
    """Least-squares line of an outcome on a numeric attribute: `slope` per unit, `intercept` at 0, means per bin."""

    slope: Estimate
    intercept: Estimate
    bins: tuple[Bin, ...]
    method: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TrendComparison:
    """The trend before and after, and after minus before on the same rows."""

    before: Trend
    after: Trend
    difference: Trend


def trend(
    outcome: ArrayLike,
    attribute: Any,
    *,
    order: Mapping[Any, float] | None = None,
    bins: Sequence[float] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    interval: Literal["percentile", "bca"] = "percentile",
) -> Trend:
    """Slope of a per-row outcome (0/1 correct, or a score) per unit of a numeric attribute, and its mean by bin.

    Parameters
    ----------
    outcome
        ``[n]`` numbers or booleans.
    attribute
        ``[n]`` numbers, or with `order` ``[n]`` labels. Missing ones are left out and counted in `notes`.
    order
        Label to number, for ordered groups: ``{"0-2": 1, "3-9": 6, "10-19": 15}``. The numbers are a choice that
        decides the slope; every label of the data needs one, and without `bins` every label is its own bin.
    bins
        Increasing edges; ``[0, 20, 40]`` gives ``[0, 20)`` and ``[20, 40]``. Rows outside are an error. Default: one
        bin per value up to 12 distinct values, none beyond.
    n_boot, level, seed, interval
        Bootstrap of rows (attribute and outcome together), so the line need not be true for the interval to hold.

    Raises
    ------
    InputError
        Lengths that differ, NaN, one distinct value, edges that do not increase or do not hold every row.

    Examples
    --------
    >>> result = trend([0, 0, 1, 1], [0.0, 1.0, 2.0, 3.0], n_boot=0)
    >>> round(result.slope.value, 3), [b.mean.value for b in result.bins]
    (0.4, [0.0, 0.0, 1.0, 1.0])
    """
    return _trends((outcome,), attribute, order, bins, Resampling(n_boot, level, seed, interval))[0]


def compare_trends(
    outcome_before: ArrayLike,
    outcome_after: ArrayLike,
    attribute: Any,
    *,
    order: Mapping[Any, float] | None = None,
    bins: Sequence[float] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    interval: Literal["percentile", "bca"] = "percentile",
) -> TrendComparison:
    """`trend` before and after on the same rows; least squares is linear, so the difference is the trend of the
    difference of the outcomes."""
    before, after = (np.asarray(o) for o in (outcome_before, outcome_after))
    if before.shape != after.shape:
        raise InputError(f"outcomes of shapes {before.shape} and {after.shape}; expected equal shapes.")
    change = _outcome(after) - _outcome(before)
    plan = Resampling(n_boot, level, seed, interval)
    return TrendComparison(*_trends((before, after, change), attribute, order, bins, plan))


def _outcome(outcome: ArrayLike) -> FloatArray:
    array = np.asarray(outcome)
    if array.dtype.kind not in "fiub" or array.ndim != 1 or not len(array):
        raise InputError(f"outcome of dtype {array.dtype} and shape {array.shape}; expected one number per row.")
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"outcome: {np.count_nonzero(~np.isfinite(values))} rows are NaN or infinite. Drop them.")
    return values


def _numbers(attribute: Any, order: Mapping[Any, float] | None) -> tuple[FloatArray, dict[float, str]]:
    """The attribute as numbers (NaN: missing), and the label of each number where labels were given."""
    if order is None:
        raw = getattr(attribute, "to_numpy", lambda: attribute)()
        if np.asarray(raw).dtype.kind == "O":
            raw = [np.nan if as_text(v) is None else v for v in raw]
        try:
            values = np.asarray(raw, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("the attribute holds labels; give order=, a mapping of each label to a number.") from None
        if values.ndim != 1 or np.isinf(values).any():
            raise InputError(f"attribute of shape {values.shape}; expected one finite number per row.")
        return values, {}
    numbers = {as_text(label): float(number) for label, number in order.items()}
    if None in numbers or not np.isfinite(list(numbers.values())).all():
        raise InputError(f"order={dict(order)!r}; expected a finite number per label.")
    codes, labels, _ = factorize(attribute, "attribute")
    for label in labels:
        if label not in numbers:
            raise GroupError(unknown_label(label, [str(known) for known in numbers]))
    lookup = np.array([*(numbers[label] for label in labels), np.nan])
    names = {number: str(label) for label, number in numbers.items()}
    return lookup[codes], names if len(names) == len(numbers) else {}


def _bin_codes(
    x: FloatArray, bins: Sequence[float] | None, names: Mapping[float, str]
) -> tuple[IntArray, list[tuple[str, float, float]]]:
    """Bin of every row, and each bin's label and edges."""
    if bins is None:
        distinct = np.array(sorted(names)) if names else np.unique(x)
        if len(distinct) > 12 and not names:
            return np.zeros(len(x), dtype=np.int64), []
        labels = [(names.get(float(v), f"{v:g}"), float(v), float(v)) for v in distinct]
        return np.searchsorted(distinct, x).astype(np.int64), labels
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise InputError(f"bins={list(bins)}; expected at least two increasing edges.")
    if x.min() < edges[0] or x.max() > edges[-1]:
        raise InputError(f"the attribute runs from {x.min():g} to {x.max():g}; expected bins={list(bins)} to hold it.")
    codes = np.minimum(np.searchsorted(edges, x, side="right") - 1, len(edges) - 2)
    last = len(edges) - 2
    labels = [
        (f"[{low:g}, {high:g}{']' if i == last else ')'}", float(low), float(high))
        for i, (low, high) in enumerate(pairwise(edges))
    ]
    return codes.astype(np.int64), labels


def _trends(
    outcomes: Sequence[ArrayLike],
    attribute: Any,
    order: Mapping[Any, float] | None,
    bins: Sequence[float] | None,
    plan: Resampling,
) -> list[Trend]:
    """A trend per outcome, all from the same resamples."""
    columns = [_outcome(outcome) for outcome in outcomes]
    x, names = _numbers(attribute, order)
    if any(len(y) != len(x) for y in columns):
        raise InputError(f"{len(columns[0])} outcomes and {len(x)} attributes; expected one each per row.")
    known = ~np.isnan(x)
    notes = () if known.all() else (f"{np.count_nonzero(~known)} rows without the attribute were left out",)
    x, columns = x[known], [y[known] for y in columns]
    if len(np.unique(x)) < 2:
        raise InputError(f"the attribute has {len(np.unique(x))} distinct values; a slope needs two or more.")
    codes, edges = _bin_codes(x, bins, names)
    rows, multiplicity = np.unique(np.column_stack([x, *columns]), axis=0, return_counts=True)
    distinct, first = np.unique(x, return_index=True)
    bin_of = codes[first[np.searchsorted(distinct, rows[:, 0])]]
    statistic = _Sums.of(rows[:, 0], rows[:, 1:], bin_of, len(edges))
    values = _bootstrap(rows, multiplicity.astype(np.int64), statistic, plan)
    counts = np.bincount(codes, minlength=max(len(edges), 1))
    result = []
    width = 2 + len(edges)
    for i in range(len(columns)):
        slope, intercept = (values.estimate(i * width + j, len(x)) for j in range(2))
        means = tuple(
            Bin(*edge, values.estimate(i * width + 2 + j, int(counts[j]), "" if counts[j] else "no rows"))
            for j, edge in enumerate(edges)
        )
        result.append(Trend(slope, intercept, means, values.method, notes))
    return result


@dataclass(frozen=True, eq=False)
class _Sums:
    """Weights [b, c] to slope, intercept and bin means of every outcome, through sums of products."""

    products: FloatArray  # [c, 3 + 2 * outcomes + bins * (1 + outcomes)]
    outcomes: int
    bins: int
    centre: float

    @classmethod
    def of(cls, x: FloatArray, y: FloatArray, bin_of: IntArray, bins: int) -> _Sums:
        centre = float(x.mean())  # centred, so that large attributes (years) lose no digits
        u = x - centre
        parts = [np.ones((len(x), 1)), u[:, None], (u * u)[:, None], y, u[:, None] * y]
        if bins:
            member = np.eye(bins)[bin_of]
            parts += [member, *(member * y[:, i : i + 1] for i in range(y.shape[1]))]
        return cls(np.concatenate(parts, axis=1), y.shape[1], bins, centre)

    def __call__(self, weights: FloatArray) -> FloatArray:
        sums = weights @ self.products
        n, u, uu = sums[:, 0], sums[:, 1], sums[:, 2]
        spread = uu - u * u / n
        spread = np.where(spread > 1e-12 * np.maximum(uu, 1e-300), spread, 0.0)
        m, b = self.outcomes, self.bins
        out = []
        for i in range(m):
            y, uy = sums[:, 3 + i], sums[:, 3 + m + i]
            slope = divide(uy - u * y / n, spread)
            out += [slope, y / n - slope * (u / n + self.centre)]
            if b:
                rows = sums[:, 3 + 2 * m : 3 + 2 * m + b]
                total = sums[:, 3 + 2 * m + (1 + i) * b : 3 + 2 * m + (2 + i) * b]
                out += list(divide(total, rows).T)
        return np.stack(out, axis=1)


def _bootstrap(rows: FloatArray, multiplicity: IntArray, statistic: _Sums, plan: Resampling) -> Resampled:
    """Over cells where values repeat (ordered groups, 0/1 outcomes), over rows where they do not."""
    n = int(multiplicity.sum())
    if 4 * len(rows) <= n:
        cells = Cells(np.arange(len(rows))[:, None], multiplicity, (len(rows),))
        return bootstrap(cells, statistic, plan)
    weights = multiplicity.astype(np.float64)
    observed = statistic(weights[None])[0]
    if not plan.draws:
        return without_interval(observed, plan)
    rng = np.random.default_rng(plan.seed)
    owner = np.repeat(np.arange(len(rows)), multiplicity)
    fold = np.searchsorted(owner, np.arange(len(rows)))
    replicates = np.concatenate(
        [statistic(np.add.reduceat(drawn, fold, axis=1)) for drawn in row_counts(n, plan.draws, rng)]
    )
    if plan.method == "percentile":
        return summarise(observed, replicates, plan, "rows")
    left_out = []
    for start in range(0, len(rows), 256):
        some = np.arange(start, min(start + 256, len(rows)))
        without = np.repeat(weights[None], len(some), axis=0)
        without[np.arange(len(some)), some] -= 1.0
        left_out.append(statistic(without))
    return summarise(observed, replicates, plan, "rows", np.concatenate(left_out), multiplicity)
