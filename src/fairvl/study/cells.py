"""What a study prints of itself: cells (topic x order) of effect sizes, correlations, coefficients; and their sums.

A cell keeps mean, standard deviation and rows, which is enough for every pooled mean and variance, because a sum of
squares splits into within and between cells.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, SourceError
from ..stats.correlation import t_p
from ..stats.multiplicity import benjamini_hochberg, benjamini_yekutieli, holm

Correction: TypeAlias = Literal["none", "holm", "bh", "by"]
ORDER_NAMES = {
    "all image": "image-image",
    "all text": "text-text",
    "image as target": "image-text",
    "text as target": "text-image",
}
TOPIC_NAMES = {"Insect-Flower": "Flower-Insect"}


@dataclass(frozen=True)
class Cell:
    """Effect sizes of one topic in one order: mean, sample standard deviation (ddof 1), rows."""

    topic: str
    order: str
    mean: float
    sd: float
    n: int


@dataclass(frozen=True)
class CorrelationCell:
    """Correlation of effect size and score in one cell; `starred` says whether it is printed as significant."""

    topic: str
    order: str
    r: float
    n: int = 0
    starred: bool | None = None


@dataclass(frozen=True)
class Coefficient:
    """One printed term of a fitted model; a variance term has no z and p."""

    term: str
    estimate: float
    standard_error: float
    z: float
    p: float


@dataclass(frozen=True)
class Pooled:
    """Moments of all rows of some cells: `variance` over all rows (ddof 1), `within` cells only."""

    n: int
    mean: float
    variance: float
    within: float

    @property
    def sd(self) -> float:
        """Standard deviation over all rows."""
        return math.sqrt(self.variance)


def pool(cells: Iterable[Cell], *, topic: str | None = None, order: str | None = None) -> Pooled:
    """Mean and variance over the rows behind cells.

    Parameters
    ----------
    cells : iterable of Cell
    topic, order : str, optional
        Only these cells.

    Returns
    -------
    Pooled
        ``variance = (sum (n_c - 1) s_c^2 + sum n_c (m_c - m)^2) / (N - 1)`` and
        ``within = sum (n_c - 1) s_c^2 / (N - cells)``, both in float64.

    Raises
    ------
    InputError
        When no cell is left, or fewer than two rows.

    Examples
    --------
    >>> pool([Cell("Age", "text-text", 0.5, 0.1, 3), Cell("Race", "text-text", -0.5, 0.1, 3)]).variance
    0.308
    """
    chosen = [cell for cell in cells if topic in (None, cell.topic) and order in (None, cell.order)]
    n = sum(cell.n for cell in chosen)
    if n < 2 or any(cell.n < 1 for cell in chosen):
        raise InputError(
            f"{len(chosen)} cells with {n} rows of topic {topic!r} and order {order!r}; expected at least two rows, "
            "and one in each cell. Check the names of topics and orders in the table of cells."
        )
    mean = math.fsum(cell.n * cell.mean for cell in chosen) / n
    inside = math.fsum((cell.n - 1) * cell.sd**2 for cell in chosen)
    between = math.fsum(cell.n * (cell.mean - mean) ** 2 for cell in chosen)
    degrees = n - len(chosen)
    return Pooled(n, mean, (inside + between) / (n - 1), inside / degrees if degrees else math.nan)


def reduction(before: Iterable[Cell], after: Iterable[Cell], *, order: str | None = None) -> float:
    """Share by which the variance over all rows fell; negative where it rose.

    Examples
    --------
    >>> one, two = Cell("Age", "text-text", 0.0, 1.0, 9), Cell("Age", "text-text", 0.0, 0.9, 9)
    >>> round(reduction([one], [two]), 2)
    0.19
    """
    return 1.0 - pool(after, order=order).variance / pool(before, order=order).variance


def critical_correlation(n: int, *, alpha: float = 0.05) -> float:
    """Smallest absolute Pearson correlation that is significant, two-sided, over n pairs.

    Raises
    ------
    InputError
        For fewer than three pairs, or alpha outside (0, 1).

    Examples
    --------
    >>> [round(critical_correlation(n), 4) for n in (131, 262, 393)]
    [0.1716, 0.1212, 0.0989]
    """
    from scipy.special import stdtrit

    if n < 3 or not 0 < alpha < 1:
        raise InputError(f"n = {n}, alpha = {alpha}; expected at least 3 pairs and alpha between 0 and 1.")
    t = float(stdtrit(n - 2, 1 - alpha / 2))
    return t / math.sqrt(n - 2 + t * t)


def correlation_p(r: float, n: int) -> float:
    """Two-sided p-value of a Pearson correlation over n pairs, by Student's t with n - 2 degrees of freedom.

    Examples
    --------
    >>> round(correlation_p(critical_correlation(131), 131), 12)
    0.05
    """
    if n < 3 or not -1 <= r <= 1:
        raise InputError(f"r = {r} over {n} pairs; expected r between -1 and 1 and at least 3 pairs.")
    return t_p(r, n - 2)


def significant(
    cells: Sequence[CorrelationCell], *, n: int | None = None, correction: Correction = "none", alpha: float = 0.05
) -> NDArray[np.bool_]:
    """Which correlations are significant.

    Parameters
    ----------
    cells : sequence of CorrelationCell
    n : int, optional
        Pairs behind each correlation, for example the number of models; by default each cell's own `n`.
    correction : {"none", "holm", "bh", "by"}
        Over the cells given.
    alpha : float
        Level.

    Returns
    -------
    (cells,) bool array
    """
    adjust = {"holm": holm, "bh": benjamini_hochberg, "by": benjamini_yekutieli}
    p = np.array([correlation_p(cell.r, cell.n if n is None else n) for cell in cells])
    if correction != "none":
        if correction not in adjust:
            raise InputError(f"correction {correction!r}; expected one of {['none', *adjust]}.")
        p = adjust[correction](p)
    return p < alpha


def attainable_p(p: float, n: int, m: int | None = None) -> float:
    """The attainable p-value of an exact permutation test nearest to a printed one: a multiple of 1 / C(n + m, n).

    A printed exact p times the number of partitions is an integer, up to the rounding of the print.

    Parameters
    ----------
    p : float
        As printed.
    n, m : int
        Stimuli of either side; `m` is `n` when not given.

    Raises
    ------
    InputError
        For a p outside [0, 1] or an empty side.

    Examples
    --------
    >>> attainable_p(0.0011, 6) == 1 / 924, attainable_p(0.5, 4) == 0.5
    (True, True)
    """
    m = n if m is None else m
    if not 0 <= p <= 1 or n < 1 or m < 1:
        raise InputError(f"p = {p} with {n} and {m} stimuli; expected p between 0 and 1 and at least one on each side.")
    partitions = math.comb(n + m, n)
    return max(round(Fraction(p) * partitions), 1) / partitions  # exact: a count may exceed every float


def read_cells(path: Path | str) -> tuple[Cell, ...]:
    """Cells from a CSV with columns ``topic`` (or cat, category), ``order``, ``mean`` (m), ``sd``, ``n``.

    Raises
    ------
    SourceError
        When the file is absent, lacks a column, holds no number where one is due, or has a cell twice.
    """
    names = {
        "topic": ("topic", "cat", "category"),
        "order": ("order",),
        "mean": ("mean", "m"),
        "sd": ("sd",),
        "n": ("n",),
    }
    found = []
    for row in _table(path, names):
        mean, sd = _floats(path, row, "mean", "sd")
        found.append(Cell(_topic(row["topic"]), _order(row["order"]), mean, sd, _count(path, row)))
    return tuple(found)


def read_correlations(path: Path | str, *, cells: Iterable[Cell] = ()) -> tuple[CorrelationCell, ...]:
    """Correlations from a CSV with columns ``topic``, ``order``, ``r``, and where known ``n`` and ``starred``.

    A cell without `n` takes the rows of the same cell in `cells`.
    """
    names = {"topic": ("topic", "cat", "category"), "order": ("order",), "r": ("r",)}
    optional = {"n": ("n",), "starred": ("starred", "starred_p_lt_0.05")}
    rows_of = {(cell.topic, cell.order): cell.n for cell in cells}
    found = []
    for row in _table(path, names, optional):
        topic, order = _topic(row["topic"]), _order(row["order"])
        n = _count(path, row) if row.get("n") else rows_of.get((topic, order), 0)
        starred = None if not row.get("starred") else row["starred"].lower() in ("1", "true", "yes", "*")
        found.append(CorrelationCell(topic, order, _floats(path, row, "r")[0], n, starred))
    return tuple(found)


def read_coefficients(path: Path | str) -> tuple[Coefficient, ...]:
    """Terms of a printed model from a CSV with columns ``term``, ``coef``, ``se``, ``z``, ``p``; a gap is NaN."""
    names = {name: (name,) for name in ("term", "coef", "se", "z", "p")}
    rows = _table(path, names, unique=("term",))
    return tuple(Coefficient(row["term"], *_floats(path, row, "coef", "se", "z", "p")) for row in rows)


def _table(
    path: Path | str,
    names: Mapping[str, tuple[str, ...]],
    optional: Mapping[str, tuple[str, ...]] | None = None,
    unique: tuple[str, ...] = ("topic", "order"),
) -> list[dict[str, str]]:
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"{path}: no such file; expected a CSV with the columns {', '.join(names)}.")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        column = {
            name: next((a for a in also if a in header), "") for name, also in {**names, **(optional or {})}.items()
        }
        if missing := [name for name in names if not column[name]]:
            raise SourceError(f"{path}: no column {missing}; expected {', '.join(names)}, found {', '.join(header)}.")
        rows = [{name: (row[c] or "").strip() for name, c in column.items() if c} for row in reader]
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        key = tuple(row[name] for name in unique)
        if key in seen:
            raise SourceError(f"{path}: {' / '.join(key)} stands there twice; expected one row each. Remove one.")
        seen.add(key)
    return rows


def _floats(path: Path | str, row: Mapping[str, str], *names: str) -> list[float]:
    try:
        return [float(row[name]) if row[name] or name not in ("z", "p", "se") else math.nan for name in names]
    except ValueError as error:
        raise SourceError(f"{path}: {dict(row)}: {error}; expected numbers in {', '.join(names)}.") from None


def _count(path: Path | str, row: Mapping[str, str]) -> int:
    number = _floats(path, row, "n")[0]
    if not number.is_integer() or number < 1:
        raise SourceError(f"{path}: {dict(row)}: n is {number}; expected a count of at least 1.")
    return int(number)


def _topic(name: str) -> str:
    return TOPIC_NAMES.get(name, name)


def _order(name: str) -> str:
    return ORDER_NAMES.get(name, name)
