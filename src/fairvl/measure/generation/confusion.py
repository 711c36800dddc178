"""What a judge confuses, measured on images whose group is known, and the shares that remain once that is undone.

With ``M[t, j]`` the probability that the judge calls an image of group t a j, true shares p show as ``q = p M``. So
``p = q M^-1``: the matrix method of Rogan and Gladen (1978), "Estimating prevalence from the results of a screening
test", for any number of groups. Images that the judge leaves unlabelled stay in the rows of M, so that a judge that
gives up on one group more often than on another is corrected for as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import GroupError, InputError
from ...stats.bootstrap import Seed, interval
from ...stats.codes import encode, unknown_label
from ...stats.rates import wilson

FloatArray = NDArray[np.float64]

MAX_CONDITION = 10.0  # two groups told apart in 55 of 100 cases: an error in a share grows tenfold
PRIOR = 0.5  # Jeffreys: a judge without an error in n images is not taken to be without error


@dataclass(frozen=True, eq=False)
class Confusion:
    """What a judge made of images whose group is known.

    Parameters
    ----------
    counts
        ``float64 [g, g + 1]``: images of group t (row) that were judged j (column), and in the last column those left
        unlabelled. Whole numbers for labels, sums of probabilities for soft ones.
    labels
        Names of the groups, for rows and columns alike.
    name
        The attribute.
    """

    counts: FloatArray
    labels: tuple[str, ...]
    name: str = ""

    def __post_init__(self) -> None:
        counts = np.array(self.counts, dtype=np.float64)
        labels = tuple(str(label) for label in self.labels)
        if counts.shape != (len(labels), len(labels) + 1) or len(labels) < 2 or len(set(labels)) != len(labels):
            raise InputError(
                f"confusion counts of shape {counts.shape} for the groups {list(labels)}; expected [g, g + 1] for g "
                "distinct groups, at least two: the last column counts the unlabelled."
            )
        if not np.isfinite(counts).all() or (counts < 0).any():
            raise InputError("confusion counts hold negative or undefined numbers; expected counts of images.")
        if empty := [label for label, row in zip(labels, counts, strict=True) if row.sum() <= 0]:
            raise GroupError(
                f"the truth set holds no image of {empty}; what the judge makes of them is unknown. Add such images, "
                "or leave these groups out."
            )
        counts.setflags(write=False)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "labels", labels)

    @property
    def n(self) -> int:
        """Images of the truth set."""
        return round(float(self.counts.sum()))

    @property
    def rates(self) -> FloatArray:
        """``[g, g + 1]``: what becomes of an image of each group; rows sum to 1."""
        return np.asarray(self.counts / self.counts.sum(axis=1, keepdims=True))

    @property
    def condition(self) -> float:
        """Condition number of the labelled part, 1 for a perfect judge: how much an error in q can grow in p."""
        return float(np.linalg.cond(self.rates[:, :-1]))

    def ends(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Wilson interval of every rate, two arrays ``[g, g + 1]``."""
        rows = self.counts.sum(axis=1)
        found = [[wilson(float(cell), round(float(n)), level) for cell in row]
                 for row, n in zip(self.counts, rows, strict=True)]  # fmt: skip
        low, high = np.moveaxis(np.array(found), 2, 0)
        return low, high


@dataclass(frozen=True, eq=False)
class CorrectedShares:
    """Shares with the judge's confusion undone.

    `shares`, `low` and `high` have the shape of what was given; `raw` is that, in shares. `clipped` says which rows had
    a negative share that was set to 0 (the others then scaled to sum 1). NaN ends: the interval is not defined.
    """

    shares: FloatArray
    low: FloatArray
    high: FloatArray
    raw: FloatArray
    n: NDArray[np.int64]
    clipped: NDArray[np.bool_]
    labels: tuple[str, ...]
    level: float
    method: str


def confusion_matrix(truth: Any, judged: Any, *, labels: Sequence[Any] | None = None, name: str = "") -> Confusion:
    """What a judge made of images of known group.

    Parameters
    ----------
    truth
        ``[n]`` true labels; a row without one is left out.
    judged
        ``[n]`` labels that the judge gave, missing where it gave none; or probabilities ``[n, g]`` in the order of
        `labels` (then required), a row of NaN where it gave none.
    labels
        The groups and their order; by default all that occur, sorted.

    Raises
    ------
    InputError
        Lengths that differ, probabilities that do not sum to 1.
    GroupError
        No truth image of a group that the judge uses, or a label that is not expected.

    Examples
    --------
    >>> matrix = confusion_matrix(["f", "f", "f", "m", "m"], ["f", "f", "m", "m", None])
    >>> matrix.counts.tolist()
    [[2.0, 1.0, 0.0], [0.0, 1.0, 1.0]]
    """
    soft = np.asarray(judged) if getattr(judged, "ndim", 0) == 2 else None
    if soft is not None and labels is None:
        raise InputError("judged holds probabilities [n, g]; expected labels= that name its columns.")
    if labels is None:
        both = [encode(truth), encode(judged)]
        known = [str(label) for codes in both for label in codes.labels]
        labels = encode(known).labels
    real = encode(truth, expected=labels, name=name)
    g = len(real.labels)
    if soft is None:
        called = encode(judged, expected=labels, name=name)
        if len(called) != len(real):
            raise InputError(f"{len(called)} judged labels for {len(real)} true ones; expected one for each image.")
        table = np.eye(g + 1)[np.where(called.codes < 0, g, called.codes)]
    else:
        table = with_unlabelled(soft, len(real), g)
    counts = np.zeros((g, g + 1))
    present = real.codes >= 0
    np.add.at(counts, real.codes[present], table[present])
    return Confusion(counts, real.labels, name or real.name)


def correct_shares(
    shares: ArrayLike | Mapping[Any, float],
    confusion: Confusion,
    *,
    n: ArrayLike | None = None,
    clip: bool = True,
    draws: int = 2000,
    level: float = 0.95,
    seed: Seed = 0,
    max_condition: float = MAX_CONDITION,
) -> CorrectedShares:
    """Shares of groups with the judge's confusion undone, and intervals that carry the doubt about both.

    Parameters
    ----------
    shares
        ``[g]`` or ``[p, g]`` (one row per prompt), groups in the order of ``confusion.labels``, or a mapping of group
        to share: counts of labelled images, or with `n` shares of them.
    confusion
        The judge's, from `confusion_matrix`.
    n
        Labelled images behind each row when `shares` are shares.
    clip
        Set negative shares to 0 and scale the others to sum 1. False leaves them, which keeps means unbiased.
    draws, level, seed
        Percentile bootstrap. Every draw resamples the images of each row and, once for all rows, the images of the
        truth set: a Dirichlet draw per true group with 1/2 added to every count, so that a judge without a mistake in n
        images is not taken to be without mistakes. The estimate itself adds nothing. 0 draws give no interval.
    max_condition
        Condition number above which the matrix is refused.

    Raises
    ------
    InputError
        A matrix that cannot be inverted or nearly so, shares that are none, `n` missing or not positive.
    GroupError
        A mapping with other groups than the matrix.

    Examples
    --------
    A judge that calls 1 in 10 women a man and never a man a woman sees 45 % women where there are half:

    >>> judge = Confusion([[90, 10, 0], [0, 100, 0]], ("f", "m"))
    >>> found = correct_shares([90, 110], judge)
    >>> found.shares.round(3).tolist(), bool(found.low[0] < 0.5 < found.high[0])
    ([0.5, 0.5], True)
    """
    rows, sizes = _rows_of(shares, confusion, n)
    require_invertible(confusion, max_condition)
    matrix = confusion.rates[:, :-1]
    raw = unmix(rows, matrix)
    values = clipped(raw) if clip else raw
    low, high = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    if draws:
        rng = np.random.default_rng(seed)
        matrices = draw_matrices(confusion, draws, rng)
        for i, (row, size) in enumerate(zip(rows, sizes, strict=True)):
            drawn = unmix(rng.multinomial(size, row, size=draws) / size, matrices)
            drawn[np.linalg.cond(matrices) > max_condition] = np.nan
            drawn = clipped(drawn) if clip else drawn
            ends = interval(drawn, values[i], level=level, method="percentile", units=int(size) if size > 1 else None)
            low[i], high[i] = np.fmin(ends[0], values[i]), np.fmax(ends[1], values[i])
    take: Any = 0 if isinstance(shares, Mapping) or np.ndim(shares) < 2 else slice(None)
    method = f"percentile, images and truth set, {draws} draws" if draws else "none"
    negative = np.asarray((raw < -1e-12).any(axis=1) & clip)
    return CorrectedShares(
        values[take], low[take], high[take], rows[take], sizes, negative, confusion.labels, level, method
    )


def require_invertible(confusion: Confusion, max_condition: float = MAX_CONDITION) -> None:
    """Refuse a judge that hardly tells the groups apart."""
    condition = confusion.condition
    if condition > max_condition:
        held = "singular" if not math.isfinite(condition) or condition > 1e12 else "nearly singular"
        raise InputError(
            f"the judge's confusion matrix of {confusion.name or 'the groups'} is {held} (condition number "
            f"{condition:.3g}, at most {max_condition:g} is accepted): it hardly tells {list(confusion.labels)} apart, "
            "so its shares cannot be corrected. Use a better judge, or fewer groups."
        )


def unmix(shares: FloatArray, matrix: FloatArray) -> FloatArray:
    """``q M^-1`` scaled to sum 1; shares ``[..., g]``, matrices ``[g, g]`` or one per leading index ``[..., g, g]``.

    The scale makes up for images left unlabelled: q is over the labelled ones, rows of M are over all.
    """
    turned = np.swapaxes(matrix, -1, -2)
    solved = np.linalg.solve(turned, shares[..., None])[..., 0]
    total = solved.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(solved, total, out=np.full_like(solved, np.nan), where=total > 0))


def clipped(shares: FloatArray) -> FloatArray:
    """Negative shares set to 0, rows scaled to sum 1; NaN stays."""
    kept = np.maximum(shares, 0.0)
    return np.asarray(kept / kept.sum(axis=-1, keepdims=True))


def draw_matrices(confusion: Confusion, draws: int, rng: np.random.Generator) -> FloatArray:
    """Labelled parts ``[draws, g, g]`` of matrices that the truth set allows, one Dirichlet draw per true group."""
    columns = confusion.counts.shape[1]
    if not confusion.counts[:, -1].any():
        columns -= 1  # a judge that never gave up is not asked how often it would
    gamma = rng.gamma(confusion.counts[:, :columns] + PRIOR, size=(draws, len(confusion.labels), columns))
    rates = gamma / gamma.sum(axis=2, keepdims=True)
    return np.asarray(rates[:, :, : len(confusion.labels)])


def with_unlabelled(probabilities: NDArray[Any], rows: int, g: int) -> FloatArray:
    """Probabilities ``[n, g]`` with a last column that is 1 where a row is NaN, 0 elsewhere."""
    if probabilities.dtype.kind not in "fiub" or probabilities.shape != (rows, g):
        raise InputError(
            f"probabilities of dtype {probabilities.dtype} and shape {probabilities.shape}; expected numbers, "
            f"one row for each of {rows} images and one column for each of {g} groups."
        )
    table = probabilities.astype(np.float64)
    gone = np.isnan(table).any(axis=1)
    known = table[~gone]
    if known.size and ((known < -1e-6).any() or not np.allclose(known.sum(axis=1), 1.0, atol=1e-3)):
        raise InputError("probabilities that are negative or do not sum to 1 over the groups; expected both.")
    full = np.zeros((rows, g + 1))
    full[~gone, :g] = known / known.sum(axis=1, keepdims=True)
    full[gone, g] = 1.0
    return full


def _rows_of(
    shares: ArrayLike | Mapping[Any, float], confusion: Confusion, n: ArrayLike | None
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Shares ``[p, g]`` and the labelled images behind each row."""
    labels = confusion.labels
    if isinstance(shares, Mapping):
        named = {str(key): value for key, value in shares.items()}
        for label in named:
            if label not in labels:
                raise GroupError(unknown_label(label, labels, confusion.name))
        if lost := [label for label in labels if label not in named]:
            raise GroupError(f"shares of {list(named)} lack {lost}, which the confusion matrix has.")
        shares = [named[label] for label in labels]
    rows = np.atleast_2d(np.asarray(shares, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != len(labels):
        raise InputError(f"shares of shape {np.shape(shares)}; expected [g] or [p, g] for the groups {list(labels)}.")
    totals = rows.sum(axis=1)
    if not np.isfinite(rows).all() or (rows < 0).any() or (totals <= 0).any():
        raise InputError("shares that are negative, undefined or all 0; expected counts, or shares with n=.")
    if n is None:
        if not np.array_equal(rows, np.rint(rows)):
            raise InputError("shares without n=, the labelled images behind them; expected n=, or counts of images.")
        sizes = totals.astype(np.int64)
    else:
        if not np.allclose(totals, 1.0, atol=1e-6):
            raise InputError(f"shares that sum to {totals[0]:.6g}; expected 1. Leave n= out for counts of images.")
        sizes = np.broadcast_to(np.asarray(n, dtype=np.float64), (len(rows),)).round().astype(np.int64)
        if (sizes < 1).any():
            raise InputError(f"n={n}; expected the labelled images behind each row, 1 or more.")
    return rows / totals[:, None], sizes
