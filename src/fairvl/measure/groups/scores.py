"""Scores per row by group: a mean instead of a share, for what is neither right nor wrong (VQA's soft accuracy, hits).

Rows that belong together (questions about one image, captions of one image) are resampled together. What is drawn are
*kinds* of such units: units with the same rows per group and the same sums of scores are one cell, so that the cost
follows the number of different units and the result is that of drawing units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import InputError
from ...stats.bootstrap import unit_codes
from ...stats.cells import Cells, FloatArray, Resampled, Resampling, Seed, bootstrap
from ...stats.codes import GroupCodes
from ...stats.rates import divide
from ...stats.spread import Extremes
from .frames import Kind, frame_units, frame_vector, group_codes, join, join_units, make_comparison, make_frame
from .result import MINIMUM, Comparison, GroupFrame


def disaggregate_scores(
    scores: ArrayLike,
    groups: Any,
    *,
    units: ArrayLike | None = None,
    name: str = "mean score",
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    minimum: int = MINIMUM,
    higher_is_better: bool = True,
) -> GroupFrame:
    """Mean score overall, by group, and its difference (the *range* over groups), ratio and worst, with intervals.

    Parameters
    ----------
    scores
        ``[n]``, finite; for example `fairvl.measure.tasks.vqa_soft_accuracy`.
    groups
        ``[n]`` labels, a mapping or frame of columns (crossed), or `GroupCodes`.
    units
        ``[n]`` labels of what is resampled (the image that a question is about); every row by itself when None.
    name
        What the score is called in the frame.
    n_boot, level, seed, minimum, higher_is_better
        As in `disaggregate`; percentile intervals, simultaneous bands with more than two groups.

    Raises
    ------
    InputError
        Lengths that differ, scores that are not finite.
    GroupError
        No row has a group.

    Examples
    --------
    >>> frame = disaggregate_scores([1.0, 0.6, 0.3, 0.3], ["a", "a", "b", "b"], n_boot=0)
    >>> round(frame.overall.value, 3), round(frame.difference.value, 3), frame.worst_group
    (0.55, 0.5, 'b')
    """
    codes = group_codes(groups)
    table = _Units.of((scores,), codes, units)
    values, kind = _resample(table, codes, name, higher_is_better, Resampling(n_boot, level, seed))
    return make_frame(values, 0, 0, kind, codes, minimum)


def compare_scores(
    before: ArrayLike,
    after: ArrayLike,
    groups: Any,
    *,
    units: ArrayLike | None = None,
    name: str = "mean score",
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    minimum: int = MINIMUM,
    higher_is_better: bool = True,
) -> Comparison:
    """`disaggregate_scores` before and after on the same rows, and after minus before on the same resamples.

    Examples
    --------
    >>> paired = compare_scores([1, 0, 1, 0], [1, 0, 1, 1], ["a", "a", "b", "b"], n_boot=0)
    >>> paired.difference.overall.value, paired.difference.difference.value
    (0.25, 0.5)
    """
    codes = group_codes(groups)
    table = _Units.of((before, after), codes, units)
    values, kind = _resample(table, codes, name, higher_is_better, Resampling(n_boot, level, seed))
    return make_comparison(values, kind, codes, minimum)


@dataclass(frozen=True, eq=False)
class _Units:
    """Different kinds of units: how often each occurs, its rows per shown group, its sums of scores per arm."""

    counts: np.ndarray[Any, np.dtype[np.int64]]
    rows: FloatArray  # [kinds, groups]
    sums: FloatArray  # [arms, kinds, groups]

    @classmethod
    def of(cls, arms: tuple[ArrayLike, ...], groups: GroupCodes, units: ArrayLike | None) -> _Units:
        columns = [np.asarray(arm, dtype=np.float64) for arm in arms]
        for column in columns:
            if column.shape != (len(groups),) or not np.isfinite(column).all():
                raise InputError(
                    f"scores of shape {column.shape} for {len(groups)} groups; expected one finite number per row."
                )
        code = unit_codes(len(groups) if units is None else units, name="units")
        if len(code) != len(groups):
            raise InputError(f"{len(code)} units for {len(groups)} rows; expected one label per row.")
        shown = groups.reported()
        g, place = len(shown.labels), code * len(shown.labels) + shown.codes
        size = (int(code.max()) + 1) * g
        weights = (np.ones(len(code)), *columns)
        tables = [np.bincount(place, weights=w, minlength=size).reshape(-1, g) for w in weights]
        kinds, counts = np.unique(np.concatenate(tables, axis=1).astype(np.float64), axis=0, return_counts=True)
        rows, *sums = np.split(kinds, len(tables), axis=1)
        return cls(counts.astype(np.int64), rows, np.stack(sums))


def _resample(table: _Units, groups: GroupCodes, name: str, higher: bool, plan: Resampling) -> tuple[Resampled, Kind]:
    """The frame vectors of all arms under resampling of units."""
    known = len(groups.labels)

    def means(counts: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
        rows = counts @ table.rows
        total = [counts @ sums for sums in table.sums]
        return [(divide(s.sum(axis=1), rows.sum(axis=1)), divide(s, rows)) for s in total]

    once = means(table.counts.astype(np.float64)[None])
    extremes = [Extremes.of(by_group[:, :known]) for _, by_group in once]

    def statistic(counts: FloatArray) -> FloatArray:
        vectors = [frame_vector(*mean, e, higher) for mean, e in zip(means(counts), extremes, strict=True)]
        return join([(vector, vector[:, :0]) for vector in vectors])

    kinds = np.arange(len(table.counts))[:, None]
    units = table.counts @ (table.rows > 0)  # units that show a group, which its value rests on
    first = [frame_vector(*mean, e, higher)[0] for mean, e in zip(once, extremes, strict=True)]
    behind = join_units([frame_units(v, units.astype(np.float64), known) for v in first])
    behind[0] = table.counts.sum()
    cells = Cells(kinds, table.counts, (len(kinds),))
    made = bootstrap(cells, statistic, plan, width=2 * table.rows.size, units=behind)
    bounded = bool(((table.sums >= 0) & (table.sums <= table.rows)).all())
    return made, Kind(name, higher, tuple(units.astype(np.float64) for _ in first) if bounded else None)
