"""Disparity of recognition: how much better a class is recognised in one group of people than in another.

The *gap* of a class is the recall of the group with the highest recall minus that of the lowest (equality of
opportunity, class by class). Its mean and its largest value over classes are what FACET-style evaluations print. A
class that fewer than two groups show has no gap; it is named and left out, never counted as 0.

Extremes are those of the data: which group is best and worst in a class, and which class is worst, is decided once and
held fixed under resampling, so an interval that reaches below 0 says that the order is not sure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GroupError, InputError
from ..stats.cells import FloatArray, Resampling, Seed, Totals, bootstrap, tabulate
from ..stats.codes import GroupCodes, encode, factorize, natural_key
from ..stats.estimate import Estimate
from ..stats.rates import divide, mean_defined
from ..stats.spread import Extremes

MINIMUM = 30  # rows of a group in a class; with fewer the class is named in `few`


@dataclass(frozen=True, eq=False)
class Disparity:
    """Gaps of recall per class, their mean and the largest.

    Attributes
    ----------
    by_class : mapping of class to Estimate
        Gap of every class that occurs, in shares of 1; NaN where fewer than two groups show it.
    mean, worst : Estimate
        Over the classes that have a gap.
    worst_class : str
    best_group, worst_group : mapping of class to group
    recall : mapping of class to mapping of group to float
        NaN where no row of a group is of the class.
    few : tuple of str
        Classes that some group shows in fewer than `minimum` rows.
    """

    by_class: Mapping[str, Estimate]
    mean: Estimate
    worst: Estimate
    worst_class: str
    best_group: Mapping[str, str]
    worst_group: Mapping[str, str]
    recall: Mapping[str, Mapping[str, float]]
    few: tuple[str, ...]


def recall_disparity(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: Any,
    *,
    minimum: int = MINIMUM,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
) -> Disparity:
    """Gap of recall between groups, per class, with its mean and worst class.

    Parameters
    ----------
    y_true, y_pred : (n,) labels
        The class of each row, and the one that a model gave it.
    groups : (n,) labels, mapping or frame of columns (crossed), or GroupCodes
        Rows without a group are left out.
    minimum : int
        Rows per group and class below which a class is named in `few`; it stays in every number.
    n_boot, level, seed
        Percentile bootstrap over rows (by cell counts); 0 gives no intervals.

    Raises
    ------
    InputError
        Lengths that differ, or a row without a label.
    GroupError
        Fewer than two groups among the rows.

    References
    ----------
    Gustafson et al. (2023), "FACET: Fairness in Computer Vision Evaluation Benchmark", section 4: disparity of a class
    is the difference of recall between two groups. With more than two groups we take the largest difference.

    Examples
    --------
    >>> truth, seen = ["nurse"] * 4 + ["pilot"] * 4, ["nurse"] * 3 + ["pilot"] * 5
    >>> found = recall_disparity(truth, seen, ["f", "f", "m", "m"] * 2, n_boot=0)
    >>> found.worst_class, found.worst.value, found.mean.value
    ('nurse', 0.5, 0.25)
    """
    shown = encode(groups)
    truth, hit, classes = _checked(y_true, y_pred, shown)
    kept = shown.codes >= 0
    shape = (len(classes), len(shown.labels), 2)
    table = tabulate(truth[kept], shown.codes[kept], hit[kept], shape=shape)
    cell_class, cell_group, cell_hit = table.coordinates.T
    index = cell_class * shape[1] + cell_group
    totals = Totals.of(index, shape[0] * shape[1])
    hits = Totals.of(np.where(cell_hit == 1, index, -1), shape[0] * shape[1])

    def recalls(counts: FloatArray) -> FloatArray:
        return divide(hits(counts), totals(counts)).reshape(-1, shape[0], shape[1])

    once = table.counts.astype(np.float64)[None]
    rows = totals(once).reshape(shape[:2])
    observed = recalls(once)
    extremes = _apart(Extremes.of(observed[0]))
    gaps = extremes.gaps(observed)[0]
    if np.isnan(gaps).all():
        raise GroupError("no class is shown by two groups; its gap is undefined. Look at other groups.")
    widest = int(np.nanargmax(gaps))
    ends = np.stack([extremes.lowest, extremes.highest], axis=1)
    behind = np.take_along_axis(rows, ends, axis=1).min(axis=1)
    behind = np.where(np.isnan(gaps), np.inf, behind)

    def statistic(counts: FloatArray) -> FloatArray:
        each = extremes.gaps(recalls(counts))
        return np.column_stack([each, mean_defined(each), each[:, widest]])

    units = np.concatenate([behind, [behind.min(), behind[widest]]])
    made = bootstrap(table, statistic, Resampling(n_boot, level, seed), width=2 * index.size, units=units)
    number = rows.sum(axis=1).astype(int)
    few = tuple(c for c, r in zip(classes, rows, strict=True) if (r[shown.counts > 0] < minimum).any())
    alone = "fewer than two groups show this class"
    estimates = [made.estimate(i, int(number[i]), alone if np.isnan(gaps[i]) else "") for i in range(len(classes))]
    used = int(number[~np.isnan(gaps)].sum())
    lost = int(np.isnan(gaps).sum())
    note = f"{lost} of {len(classes)} classes are shown by fewer than two groups and left out" if lost else ""
    freeze = MappingProxyType
    return Disparity(
        freeze(dict(zip(classes, estimates, strict=True))),
        made.estimate(len(classes), used, note),
        made.estimate(len(classes) + 1, int(number[widest]), note),
        classes[widest],
        freeze({c: shown.labels[i] for c, i in zip(classes, extremes.highest, strict=True)}),
        freeze({c: shown.labels[i] for c, i in zip(classes, extremes.lowest, strict=True)}),
        freeze(
            {c: dict(zip(shown.labels, r.tolist(), strict=True)) for c, r in zip(classes, observed[0], strict=True)}
        ),
        few,
    )


def _checked(
    y_true: ArrayLike, y_pred: ArrayLike, groups: GroupCodes
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Class of every row, whether the prediction is right (1 or 0), and the classes."""
    columns = [factorize(values, name)[:2] for values, name in ((y_true, "y_true"), (y_pred, "y_pred"))]
    for (codes, _), name in zip(columns, ("y_true", "y_pred"), strict=True):
        if len(codes) != len(groups):
            raise InputError(f"{name} has {len(codes)} rows and groups {len(groups)}; expected one per row.")
        if missing := np.count_nonzero(codes < 0):
            raise InputError(f"{name}: {missing} rows have no label, first row {np.argmax(codes < 0)}. Drop them.")
    if np.count_nonzero(groups.counts) < 2:
        raise GroupError(f"rows of {np.count_nonzero(groups.counts)} groups; a gap needs two or more.")
    classes = sorted(columns[0][1], key=natural_key)
    place = {label: i for i, label in enumerate(classes)}
    truth, predicted = (np.array([place.get(label, -1) for label in labels])[codes] for codes, labels in columns)
    return truth, (truth == predicted).astype(np.int64), classes


def _apart(extremes: Extremes) -> Extremes:
    """Where all groups are level, two different ones: a group held against itself would never vary."""
    level = (extremes.lowest == extremes.highest) & (extremes.defined > 1)
    last = extremes.observed.shape[1] - 1 - (~np.isnan(extremes.observed))[:, ::-1].argmax(axis=1)
    return replace(extremes, highest=np.where(level, last, extremes.highest))
