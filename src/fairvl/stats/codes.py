"""Group codes: the integer group of every row, the names those integers stand for, the rows without a group.

Missing (None, NaN, NaT, pandas' NA, empty or blank text) is a category that is reported and never imputed: its code
is -1 and its name, where it is shown, is ``"(missing)"``. A group that nobody belongs to stays in `labels` with
count 0 when the data name it: an expected label, an unused category, an empty crossing.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GroupError

MISSING = "(missing)"
SEPARATOR = " & "
MAX_CROSSINGS = 4096

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class GroupCodes:
    """Rows as integers.

    Parameters
    ----------
    codes
        ``int64 [n]``: the place of each row's group in `labels`, -1 where it is missing.
    labels
        Names of the groups in a fixed order (expected order, category order, numeric or natural order).
    name
        The attribute, for example ``"gender"``; of a crossing, ``"gender & age"``.
    columns
        The single attributes of a crossing, in order; empty for a single attribute.
    notes
        What was done to the labels that a reader must know.
    """

    codes: Codes
    labels: tuple[str, ...]
    name: str = ""
    columns: tuple[GroupCodes, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        codes = np.array(self.codes, dtype=np.int64)
        if codes.ndim != 1:
            raise GroupError(f"group codes of shape {codes.shape}; expected one code per row.")
        if codes.size and (codes.min() < -1 or codes.max() >= len(self.labels)):
            raise GroupError(
                f"group codes from {codes.min()} to {codes.max()} for {len(self.labels)} labels; "
                "expected places in the labels, and -1 for missing."
            )
        codes.setflags(write=False)
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "labels", tuple(self.labels))

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def counts(self) -> Codes:
        """Rows per label, ``int64 [len(labels)]``; rows without a group are not in it."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels)).astype(np.int64)
        counts.setflags(write=False)
        return counts

    @property
    def n_missing(self) -> int:
        """Rows without a group."""
        return int(np.count_nonzero(self.codes < 0))

    @property
    def absent(self) -> tuple[str, ...]:
        """Labels that no row has."""
        return tuple(label for label, count in zip(self.labels, self.counts, strict=True) if count == 0)

    def column(self, name: str) -> GroupCodes:
        """A single attribute of a crossing by its name (or this one, by its own)."""
        if name == self.name:
            return self
        for column in self.columns:
            if column.name == name:
                return column
        raise GroupError(f"no attribute {name!r}; expected one of {[c.name for c in self.columns] or [self.name]}.")

    def reported(self) -> GroupCodes:
        """The same rows with missing as a last category of its own, when any row is missing."""
        if not self.n_missing:
            return self
        codes = np.where(self.codes < 0, len(self.labels), self.codes)
        return GroupCodes(codes, (*self.labels, MISSING), self.name, self.columns, self.notes)

    def take(self, rows: NDArray[Any]) -> GroupCodes:
        """The given rows (an index or a boolean mask) under the same labels."""
        return GroupCodes(self.codes[rows], self.labels, self.name, tuple(c.take(rows) for c in self.columns))


def encode(groups: Any, *, name: str = "", expected: Sequence[Any] | None = None) -> GroupCodes:
    """Integer codes of group labels.

    Parameters
    ----------
    groups
        One label per row (any sequence, array, pandas or Arrow column; text, whole numbers or booleans), or a mapping
        or frame of such columns, which is crossed: ``"female & 20-29"``. A crossing lists every combination of the
        labels of its columns, empty ones included (only the observed ones beyond 4,096 combinations); a row that
        lacks any of its labels is missing in the crossing and keeps the others in `columns`. `GroupCodes` pass through.
    name
        Name of the attribute.
    expected
        Every label that may occur, in the order wanted. A label outside it is an error that names the nearest one; a
        label without rows stays, with count 0.

    Notes
    -----
    Labels are text: 1, 1.0 and True are ``"1"``, ``"1"`` and ``"True"``. Labels that differ only by Unicode form
    become one (NFC), and `notes` says so. Without `expected`, categories keep the order of a categorical column, and
    all else is sorted with numbers inside text compared as numbers ("3-9" before "10-19").

    Raises
    ------
    GroupError
        No rows, columns of different lengths, a table given as an array, labels that cannot be told apart, or a label
        that is not expected.

    Examples
    --------
    >>> encode(["b", "a", None, "b"]).codes.tolist()
    [1, 0, -1, 1]
    >>> crossing = encode({"gender": ["f", "m", "f"], "age": ["20-29", "3-9", None]})
    >>> crossing.labels
    ('f & 3-9', 'f & 20-29', 'm & 3-9', 'm & 20-29')
    >>> crossing.codes.tolist(), crossing.column("gender").codes.tolist()
    ([1, 2, -1], [0, 1, 0])
    """
    if isinstance(groups, GroupCodes):
        result = groups if not name else GroupCodes(groups.codes, groups.labels, name, groups.columns, groups.notes)
        return result if expected is None else _reindex(result, expected)
    columns = _columns(groups)
    if columns is None:
        return _encode_column(groups, name, expected)
    if not columns:
        raise GroupError("a table of groups without columns; expected at least one attribute.")
    if expected is not None and len(columns) > 1:
        raise GroupError("expected= names the labels of one attribute; encode the columns of a crossing one by one.")
    singles = [
        encode(values, name=str(key), expected=expected)
        if isinstance(values, GroupCodes)
        else _encode_column(values, str(key), expected)
        for key, values in columns.items()
    ]
    if len(singles) == 1:
        return singles[0] if not name else encode(singles[0], name=name)
    return _cross(singles, name)


def as_text(value: object) -> str | None:
    """A label as text (NFC), None when it is missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = unicodedata.normalize("NFC", value)
        return None if not text.strip() or text == MISSING else text
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if math.isnan(number):
            return None
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(value, np.datetime64) and np.isnat(value):
        return None
    if isinstance(value, (list, tuple, set, dict, np.ndarray)):
        raise GroupError(
            f"a group label is a {type(value).__name__}; expected text or a number. "
            "For crossings pass a mapping or frame of columns."
        )
    return unicodedata.normalize("NFC", str(value))


def natural_key(label: str) -> tuple[tuple[int, float, str], ...]:
    """Sort key under which numbers inside text compare as numbers."""
    try:
        whole = float(label)
    except ValueError:
        whole = math.nan
    if math.isfinite(whole):
        return ((0, whole, label),)
    parts = re.split(r"(\d+)", label)
    return tuple((0, float(p), p) if p.isdecimal() else (1, 0.0, p) for p in parts if p)


def _columns(groups: Any) -> dict[Any, Any] | None:
    """The columns of a mapping or frame; None for a single column."""
    if isinstance(groups, Mapping):
        return dict(groups)
    if hasattr(groups, "column_names") and hasattr(groups, "column"):  # pyarrow.Table
        return {key: groups.column(key) for key in groups.column_names}
    if hasattr(groups, "columns") and hasattr(groups, "__getitem__"):  # pandas, polars
        return {key: groups[key] for key in groups.columns}
    return None


def _values(column: Any, name: str) -> tuple[list[Any], list[Any] | None]:
    """Python values of a column, and its categories when it has them."""
    where = f"groups {name!r}" if name else "groups"
    if isinstance(column, (str, bytes)) or not hasattr(column, "__len__"):
        if isinstance(column, Iterable) and not isinstance(column, (str, bytes)):
            return list(column), None
        raise GroupError(f"{where}: found {type(column).__name__}; expected one label per row.")
    categories = getattr(getattr(column, "dtype", None), "categories", None)
    if hasattr(column, "to_pylist"):  # pyarrow
        return column.to_pylist(), None
    if categories is None and not isinstance(column, np.ndarray):
        shape = getattr(column, "shape", None)
        if shape is not None and len(shape) == 1:  # pandas or polars series, tensors
            column = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    if isinstance(column, np.ndarray):
        if column.ndim != 1:
            raise GroupError(
                f"{where}: an array of shape {column.shape}; expected one label per row. "
                "For crossings pass a mapping or frame of columns."
            )
        return column.tolist(), None
    return list(column), None if categories is None else list(categories)


def factorize(column: Any, name: str = "") -> tuple[Codes, list[str], list[str]]:
    """Codes, sorted text labels and notes of one column; missing is -1."""
    values, categories = _values(column, name)
    index: dict[tuple[bool, Any], int] = {}
    try:
        codes = np.fromiter(
            (index.setdefault((type(v) is bool, v), len(index)) for v in values), dtype=np.int64, count=len(values)
        )
    except TypeError:
        bad = next(v for v in values if not getattr(v, "__hash__", None))
        as_text(bad)  # raises with what to do
        raise
    where = f"groups {name!r}" if name else "groups"
    texts: list[str | None] = []
    origins: dict[str, list[Any]] = {}
    for _, value in index:
        text = as_text(value)
        texts.append(text)
        if text is not None:
            origins.setdefault(text, []).append(value)
    notes = []
    for text, raw in origins.items():
        if len({isinstance(value, (str, bytes)) for value in raw}) > 1 or len({type(v) is bool for v in raw}) > 1:
            raise GroupError(
                f"{where}: {text!r} occurs both as text and as another type; these cannot be told apart. "
                "Give labels of one type."
            )
        if len({value for value in raw if isinstance(value, str)}) > 1:
            notes.append(f"{len(raw)} spellings of {text!r} that differ only by Unicode form were taken as one")
    labels = sorted(origins, key=natural_key)
    if categories is not None:
        ordered = [text for text in map(as_text, categories) if text is not None]
        labels = list(dict.fromkeys(ordered + labels))
    place = {label: i for i, label in enumerate(labels)}
    lookup = np.array([-1 if text is None else place[text] for text in texts], dtype=np.int64)
    return (lookup[codes] if len(codes) else codes), labels, notes


def _encode_column(column: Any, name: str, expected: Sequence[Any] | None) -> GroupCodes:
    codes, labels, notes = factorize(column, name)
    if not len(codes):
        raise GroupError(f"groups{f' {name!r}' if name else ''}: no rows; expected at least one label.")
    result = GroupCodes(codes, tuple(labels), name, (), tuple(notes))
    return result if expected is None else _reindex(result, expected)


def _reindex(groups: GroupCodes, expected: Sequence[Any]) -> GroupCodes:
    """The same rows under the expected labels, in their order."""
    if isinstance(expected, str):
        raise GroupError(f"expected={expected!r} is one text; expected a sequence of labels.")
    wanted = [as_text(label) for label in expected]
    labels = [label for label in wanted if label is not None]
    if len(labels) != len(wanted) or len(set(labels)) != len(labels):
        raise GroupError(f"expected={list(expected)!r} holds a missing or repeated label; expected distinct labels.")
    place = {label: i for i, label in enumerate(labels)}
    lookup = np.full(len(groups.labels) + 1, -1, dtype=np.int64)  # the last entry serves code -1
    for i, (label, count) in enumerate(zip(groups.labels, groups.counts, strict=True)):
        if label in place:
            lookup[i] = place[label]
        elif count:
            raise GroupError(unknown_label(label, labels, groups.name))
    return GroupCodes(lookup[groups.codes], tuple(labels), groups.name, groups.columns, groups.notes)


def unknown_label(label: str, labels: Sequence[str], name: str = "", *, kind: str = "group label") -> str:
    """Message for a label that is not among the known ones; it names the nearest."""
    lower = {known.lower(): known for known in reversed(labels)}
    near = difflib.get_close_matches(label.lower(), list(lower), n=1, cutoff=0.5)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    where = f" in {name!r}" if name else ""
    return f"unknown {kind} {label!r}{where}; expected one of {list(labels)}.{hint}"


def _cross(singles: list[GroupCodes], name: str) -> GroupCodes:
    lengths = {c.name: len(c) for c in singles}
    if len(set(lengths.values())) > 1:
        raise GroupError(f"columns of different lengths {lengths}; expected one row per column and row.")
    sizes = tuple(len(c.labels) for c in singles)
    notes = [f"{c.name}: {note}" for c in singles for note in c.notes]
    missing = np.logical_or.reduce([c.codes < 0 for c in singles])
    flat = np.zeros(len(missing), dtype=np.int64)
    for c in singles:
        flat = flat * len(c.labels) + np.maximum(c.codes, 0)
    if math.prod(sizes) <= MAX_CROSSINGS:
        labels = [SEPARATOR.join(parts) for parts in itertools.product(*(c.labels for c in singles))]
    else:
        observed, flat_known = np.unique(flat[~missing], return_inverse=True)
        flat[~missing] = flat_known
        places = np.unravel_index(observed, sizes)
        labels = [
            SEPARATOR.join(c.labels[p] for c, p in zip(singles, row, strict=True)) for row in zip(*places, strict=True)
        ]
        notes.append(f"{math.prod(sizes)} combinations; only the {len(labels)} observed ones are listed")
    if len(set(labels)) != len(labels):
        raise GroupError(
            f"two crossings have the same name because a label holds {SEPARATOR!r}; "
            f"rename the labels of {list(lengths)}."
        )
    flat[missing] = -1
    title = name or SEPARATOR.join(c.name for c in singles)
    return GroupCodes(flat, tuple(labels), title, tuple(singles), tuple(notes))
