"""How many images of which group a set needs: arithmetic on counts, before anything is edited.

A *cell* is a value of the label that a classifier is to learn and a value of the protected attribute. A request takes
images of one cell and turns them into another cell of the same label. Real images are never changed or removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from ...errors import GroupError, InputError
from ...stats.codes import natural_key

Cell = tuple[str, str]
MODES = ("balance", "aggravate")


@dataclass(frozen=True)
class Request:
    """`n` images of `label` whose protected attribute changes from `source` to `to`."""

    label: str
    source: str
    to: str
    n: int

    @property
    def name(self) -> str:
        """How messages and tables name it."""
        return f"{self.label}: {self.source} -> {self.to}"


@dataclass(frozen=True)
class Plan:
    """Which edits a set needs.

    Attributes
    ----------
    counts : mapping of (label value, group) to int
        What is there, empty cells included.
    requests : tuple of Request
    mode : "balance", "aggravate" or "target"
    label, attribute : str
        Names of the two columns; `augment` needs them.
    notes : tuple of str
        Labels that were left as they are, and why.
    """

    counts: Mapping[Cell, int]
    requests: tuple[Request, ...]
    mode: str
    label: str = ""
    attribute: str = ""
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def from_counts(
        cls, counts: Any, mode: str | Mapping[Cell, int] = "balance", *, labels: Sequence[Any] | None = None,
        groups: Sequence[Any] | None = None, label: str = "", attribute: str = "", factor: float = 2.0,
    ) -> Plan:  # fmt: skip
        """The requests that bring counts n(y, a) to a target.

        Parameters
        ----------
        counts : mapping {(y, a): n}, or array [labels, groups]
            For an array, `labels` and `groups` name rows and columns (default: "0", "1", ...). For a mapping they
            fix the order and may name values that have no image.
        mode : "balance", "aggravate", or {(y, a): n}
            *balance*: within each label every group is filled to the largest, ``max_a n(y, a) - n(y, a)`` edits taken
            from the largest group (with two groups ``|n(y, 0) - n(y, 1)|``). *aggravate*, a control: `factor` times
            ``max_a n(y, a)`` edits into the largest group, taken from the others in proportion to their counts.
            A mapping gives the counts wanted in the end; cells left out stay as they are.
        factor : float
            Of "aggravate".

        Raises
        ------
        GroupError
            Fewer than two groups, a label whose edits have no source image.
        InputError
            Counts that are no whole numbers from 0, a target below what is there, an unknown mode or cell.

        Notes
        -----
        Ties: where the largest groups of a label are equal, the first in the order of `groups` is the source of
        "balance"; "aggravate" leaves such a label alone and says so.

        References
        ----------
        D'Inca et al., "Improving Fairness using Vision-Language Driven Image Augmentation" (WACV 2024), section 3.

        Examples
        --------
        >>> plan = Plan.from_counts([[576, 22], [30, 572]])
        >>> [(one.name, one.n) for one in plan.requests]
        [('0: 0 -> 1', 554), ('1: 1 -> 0', 542)]
        """
        table, rows, columns = _table(counts, labels, groups)
        if len(columns) < 2:
            raise GroupError(
                f"{attribute or 'the protected attribute'} has {len(columns)} group ({', '.join(columns)}); edits need "
                "two. Name the group that has no image with groups=."
            )
        notes: list[str] = []
        if isinstance(mode, Mapping):
            requests = _towards(table, {_cell(cell): n for cell, n in mode.items()}, rows, columns)
        elif mode == "balance":
            wanted = {(y, a): max(table[y, b] for b in columns) for y in rows for a in columns}
            requests = _towards(table, wanted, rows, columns)
        elif mode == "aggravate":
            if not factor > 0:
                raise InputError(f"factor={factor}; expected a positive number.")
            requests = _aggravated(table, rows, columns, factor, notes)
        else:
            raise InputError(f"mode={mode!r}; expected one of {MODES}, or counts wanted per (label, group).")
        kind = "target" if isinstance(mode, Mapping) else mode
        return cls(MappingProxyType(table), tuple(requests), kind, label, attribute, tuple(notes))

    @classmethod
    def from_dataset(
        cls, dataset: Any, mode: str | Mapping[Cell, int] = "balance", *, label: str, attribute: str,
        groups: Sequence[Any] | None = None, labels: Sequence[Any] | None = None, factor: float = 2.0,
    ) -> Plan:  # fmt: skip
        """`from_counts` of a dataset's records; records without one of the two values are not counted.

        Raises
        ------
        InputError
            No record has `label` or `attribute`.
        """
        counts = count_cells((record.attributes for record in dataset), label, attribute)
        return cls.from_counts(
            counts, mode, labels=labels, groups=groups, label=label, attribute=attribute, factor=factor
        )

    @property
    def n(self) -> int:
        """Edits asked for."""
        return sum(request.n for request in self.requests)

    @property
    def result(self) -> dict[Cell, int]:
        """Counts once every request is met."""
        after = dict(self.counts)
        for request in self.requests:
            after[request.label, request.to] += request.n
        return after

    def shortfall(self, pool: Mapping[Cell, int], variants: int = 1) -> dict[Request, int]:
        """Images by which a pool is too small even if every edit succeeded; empty when it suffices.

        One image can serve several requests, and each up to `variants` times.
        """
        missing = {one: one.n - variants * pool.get((one.label, one.source), 0) for one in self.requests}
        return {request: n for request, n in missing.items() if n > 0}

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "mode": self.mode,
            "label": self.label,
            "attribute": self.attribute,
            "counts": [[*cell, n] for cell, n in self.counts.items()],
            "requests": [[one.label, one.source, one.to, one.n] for one in self.requests],
            "notes": list(self.notes),
        }


def count_cells(attributes: Iterable[Mapping[str, Any]], label: str, attribute: str) -> dict[Cell, int]:
    """Rows per (label value, group), rows that lack one of them left out.

    Raises
    ------
    InputError
        No row has both.
    """
    counts: Counter[Cell] = Counter()
    seen: set[str] = set()
    for row in attributes:
        seen |= row.keys()
        y, a = row.get(label), row.get(attribute)
        if y is not None and a is not None:
            counts[str(y), str(a)] += 1
    if not counts:
        raise InputError(
            f"no record has both {label!r} and {attribute!r}; the attributes are {', '.join(sorted(seen)) or 'none'}."
        )
    return dict(counts)


def _cell(cell: Any) -> Cell:
    if not isinstance(cell, tuple) or len(cell) != 2:
        raise InputError(f"the cell {cell!r}; expected (label value, group).")
    return str(cell[0]), str(cell[1])


def _table(
    counts: Any, labels: Sequence[Any] | None, groups: Sequence[Any] | None
) -> tuple[dict[Cell, int], list[str], list[str]]:
    if isinstance(counts, Mapping):
        found = {_cell(cell): n for cell, n in counts.items()}
        rows = _names(labels, {y for y, _ in found}, "labels")
        columns = _names(groups, {a for _, a in found}, "groups")
    else:
        array = np.asarray(counts)
        if array.ndim != 2:
            raise InputError(f"counts of shape {array.shape}; expected [labels, groups], or a mapping.")
        rows = [str(name) for name in (range(array.shape[0]) if labels is None else labels)]
        columns = [str(name) for name in (range(array.shape[1]) if groups is None else groups)]
        if (len(rows), len(columns)) != array.shape:
            raise InputError(f"{len(rows)} labels and {len(columns)} groups for counts of shape {array.shape}.")
        found = {(y, a): array[i, j] for i, y in enumerate(rows) for j, a in enumerate(columns)}
    if len(set(rows)) < len(rows) or len(set(columns)) < len(columns):
        raise InputError(f"labels {rows} or groups {columns} repeat; expected each once.")
    table = {(y, a): _whole(found.get((y, a), 0), (y, a)) for y in rows for a in columns}
    if not sum(table.values()):
        raise InputError("all counts are 0; there is nothing to edit.")
    return table, rows, columns


def _names(given: Sequence[Any] | None, found: set[str], what: str) -> list[str]:
    if given is None:
        return sorted(found, key=natural_key)
    names = [str(name) for name in given]
    if unknown := found - set(names):
        raise InputError(f"counts hold {what} {sorted(unknown)} that {what}={names} does not name.")
    return names


def _whole(n: Any, cell: Cell) -> int:
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, float, np.integer, np.floating)) or n != n // 1:
        raise InputError(f"count of {cell}: {n!r}; expected a whole number from 0.")
    if n < 0:
        raise InputError(f"count of {cell}: {n}; expected a whole number from 0.")
    return int(n)


def _towards(
    table: Mapping[Cell, int], wanted: Mapping[Cell, int], rows: Sequence[str], columns: Sequence[str]
) -> list[Request]:
    if unknown := [cell for cell in wanted if cell not in table]:
        raise InputError(f"target for {unknown[0]}, which is no cell; labels are {rows}, groups {columns}.")
    requests = []
    for y in rows:
        for a in columns:
            n = _whole(wanted.get((y, a), table[y, a]), (y, a)) - table[y, a]
            if n < 0:
                raise InputError(
                    f"target {wanted[y, a]} for {(y, a)}, which has {table[y, a]} images already; a plan only adds."
                )
            others = [b for b in columns if b != a]
            source = max(others, key=lambda b: table[y, b])
            if n and not table[y, source]:
                raise GroupError(f"{n} images of {(y, a)} are wanted, and label {y!r} has no image in another group.")
            if n:
                requests.append(Request(y, source, a, n))
    return requests


def _aggravated(
    table: Mapping[Cell, int], rows: Sequence[str], columns: Sequence[str], factor: float, notes: list[str]
) -> list[Request]:
    requests = []
    for y in rows:
        most = max(table[y, a] for a in columns)
        largest = [a for a in columns if table[y, a] == most]
        if len(largest) > 1:
            notes.append(f"{y}: the groups {', '.join(largest)} are equally large; left alone")
            continue
        others = [a for a in columns if a != largest[0]]
        sizes = np.array([table[y, a] for a in others], dtype=np.float64)
        if not sizes.sum():
            raise GroupError(f"{y}: no image outside {largest[0]!r}; there is nothing to move into it.")
        total = round(factor * most)
        exact = total * sizes / sizes.sum()
        n = np.floor(exact).astype(int)
        for place in np.argsort(-(exact - n), kind="stable")[: total - n.sum()]:
            n[place] += 1
        requests += [Request(y, a, largest[0], int(k)) for a, k in zip(others, n, strict=True) if k]
    if not requests:
        raise InputError("aggravate: no label has a largest group; the counts are balanced already.")
    return requests
