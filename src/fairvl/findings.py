"""Findings: the tidy table that every measurement returns and every report reads.

A *finding* is one measured number with its context: what, on how many, how surely, from what.
A finding without `n` does not exist, and one whose interval is undefined says why in `note`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from . import __version__
from .atomic import write_atomic
from .errors import FindingsError

if TYPE_CHECKING:
    import pyarrow

FORMAT = 1
ARMS = ("", "before", "after", "difference")
Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured number.

    Parameters
    ----------
    metric, value, unit
        What was measured, the number (NaN when undefined, never a stand-in), and its unit.
    n
        What the number rests on: images, stimuli, queries (the unit of resampling).
    low, high, level, method
        Interval, its confidence level, and how it was made ("bca", "percentile", "cell counts", ...).
    p, p_adjusted
        Raw p-value, and the one corrected over the tests of its family.
    groups, attribute, dataset, model, suite, suite_version, order
        Which groups of which attribute, in which data, of which model, by which suite; the modality
        order of an association test ("text-text", "image-image", "image-text", "text-image").
    arm, pair_id
        "before", "after" or "difference"; the three findings of one comparison share `pair_id`.
    seed, config_hash, package_version, note
        What is needed to get the number again, and what a reader must know about it.
    extra
        Free columns (scalars only), for example ``{"task": "glasses", "k": 100}``.
    """

    metric: str
    value: float
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str = ""
    p: float | None = None
    p_adjusted: float | None = None
    groups: str = ""
    attribute: str = ""
    dataset: str = ""
    model: str = ""
    suite: str = ""
    suite_version: str = ""
    order: str = ""
    arm: str = ""
    pair_id: str = ""
    seed: int | None = None
    config_hash: str = ""
    package_version: str = __version__
    note: str = ""
    extra: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            number = getattr(self, name)
            if number is not None:
                object.__setattr__(self, name, float(number))
        object.__setattr__(self, "n", int(self.n))
        object.__setattr__(self, "extra", MappingProxyType(dict(self.extra)))
        if not self.metric or not self.unit:
            raise FindingsError(f"a finding needs a metric and a unit; found {self.metric!r} in {self.unit!r}.")
        if self.n < 0:
            raise FindingsError(f"{self.metric}: n is {self.n}; expected 0 or more.")
        if self.arm not in ARMS:
            raise FindingsError(f"{self.metric}: arm {self.arm!r}; expected one of {ARMS}.")
        if (self.low is None) != (self.high is None):
            raise FindingsError(f"{self.metric}: an interval needs both ends; found {self.low} and {self.high}.")
        if self.low is not None and self.level is None:
            raise FindingsError(f"{self.metric}: an interval needs its level, for example 0.95.")
        if (math.isnan(self.value) or self.low is None) and not self.note:
            raise FindingsError(f"{self.metric}: a value or interval that is undefined needs a note that says why.")
        if clash := set(self.extra) & _COLUMN_SET:
            raise FindingsError(f"{self.metric}: free columns {sorted(clash)} have the names of fixed columns.")
        for name, value in self.extra.items():
            if not isinstance(value, (str, int, float, bool, type(None))):
                raise FindingsError(f"{self.metric}: free column {name!r} holds {type(value).__name__}, not a scalar.")

    def record(self) -> dict[str, Scalar]:
        """Flat dictionary, fixed columns first, free columns after; NaN becomes None, infinity "inf" or "-inf"."""
        row = {name: getattr(self, name) for name in COLUMNS} | dict(self.extra)
        return {k: _strict(v) if isinstance(v, float) else v for k, v in row.items()}


def _strict(number: float) -> float | str | None:
    """A number as strict JSON can hold it."""
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else str(number)


COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Finding) if f.name != "extra")
_COLUMN_SET = frozenset(COLUMNS) | {"extra"}
_NUMBERS = ("value", "low", "high", "level", "p", "p_adjusted")
_INFINITE = ("inf", "-inf")


@dataclass(frozen=True)
class Findings(Sequence[Finding]):
    """An immutable table of findings and the settings that made it.

    `settings` is any JSON-like mapping: resolved configuration, hashes, machine.

    Examples
    --------
    >>> table = Findings([Finding("accuracy", 0.9, "share", 100, 0.83, 0.95, 0.95, groups="women")])
    >>> len(table.where(metric="accuracy")), table.where(groups="men").rows
    (1, ())
    """

    rows: tuple[Finding, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, rows: Iterable[Finding] = (), settings: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "rows", tuple(rows))
        object.__setattr__(self, "settings", MappingProxyType(dict(settings or {})))

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Findings: ...
    def __getitem__(self, index: int | slice) -> Finding | Findings:
        return Findings(self.rows[index], self.settings) if isinstance(index, slice) else self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.rows)

    def __repr__(self) -> str:
        names = list(dict.fromkeys(row.metric for row in self.rows))
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        told = f": {', '.join(names[:6])}{more}" if names else ""
        return f"Findings({len(self)} finding{'s' * (len(self) != 1)}{told})"

    def __add__(self, other: Findings) -> Findings:
        return Findings(self.rows + other.rows, {**self.settings, **other.settings})

    def where(self, **columns: Scalar) -> Findings:
        """Rows whose columns (fixed or free) equal the given values."""
        return Findings((r for r in self.rows if all(column(r, k) == v for k, v in columns.items())), self.settings)

    def one(self, **columns: Scalar) -> Finding:
        """The only row that matches; an error when there is none or more than one."""
        found = self.where(**columns)
        if len(found) != 1:
            raise FindingsError(f"{len(found)} findings match {columns}; expected exactly one.")
        return found[0]

    def with_columns(self, **values: Any) -> Findings:
        """The same rows with columns set: fixed columns replaced, unknown names become free columns."""
        fixed = {k: v for k, v in values.items() if k in _COLUMN_SET}
        free = {k: v for k, v in values.items() if k not in _COLUMN_SET}
        return Findings((replace(r, **fixed, extra={**r.extra, **free}) for r in self.rows), self.settings)

    @property
    def columns(self) -> tuple[str, ...]:
        """Fixed columns, then the free columns in order of first use."""
        return COLUMNS + tuple(dict.fromkeys(name for row in self.rows for name in row.extra))

    def records(self) -> list[dict[str, Scalar]]:
        """One flat dictionary per row."""
        return [row.record() for row in self.rows]

    def to_json(self) -> str:
        """Strict JSON (no NaN) with the settings and every row."""
        document = {
            "fairvl_findings": FORMAT,
            "package_version": __version__,
            "settings": dict(self.settings),
            "findings": self.records(),
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1)

    def to_arrow(self) -> pyarrow.Table:
        """Arrow table with all columns; the settings travel as schema metadata."""
        import pyarrow as pa

        records = [
            {k: float(v) if v in _INFINITE and k in _NUMBERS else v for k, v in record.items()}
            for record in self.records()
        ]
        table = pa.table({name: [r.get(name) for r in records] for name in self.columns})
        return table.replace_schema_metadata(
            {"fairvl_findings": str(FORMAT), "settings": json.dumps(dict(self.settings))}
        )

    def write(self, path: Path | str) -> Path:
        """Write `.json`, `.parquet` or `.csv` (by suffix), whole or not at all."""
        path = Path(path)
        if path.suffix == ".json":
            write_atomic(path, self.to_json())
        elif path.suffix == ".parquet":
            import pyarrow.parquet as pq

            table = self.to_arrow()
            write_atomic(path, lambda file: pq.write_table(table, file))
        elif path.suffix == ".csv":
            write_atomic(path, self.to_csv())
        else:
            raise FindingsError(f"{path.name}: unknown suffix {path.suffix!r}; expected .json, .parquet or .csv.")
        return path

    def to_csv(self) -> str:
        """CSV text; a cell that a spreadsheet would run as a formula gets a leading quote."""
        import csv
        import io

        out = io.StringIO()
        writer = csv.DictWriter(out, self.columns, lineterminator="\n")
        writer.writeheader()
        for record in self.records():
            writer.writerow(
                {k: "'" + v if isinstance(v, str) and v[:1] in "=+-@\t\r" and v else v for k, v in record.items()}
            )
        return out.getvalue()

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]], settings: Mapping[str, Any] | None = None) -> Findings:
        """Findings from flat dictionaries, the inverse of `records`."""
        rows = []
        for record in records:
            fixed = {k: v for k, v in record.items() if k in COLUMNS}
            if fixed.get("value") is None:
                fixed["value"] = math.nan
            free = {k: v for k, v in record.items() if k not in COLUMNS and v is not None}
            try:
                rows.append(Finding(**fixed, extra=free))
            except TypeError as error:
                raise FindingsError(
                    f"a row of findings is malformed: {error}. Expected the columns {COLUMNS}."
                ) from None
        return cls(rows, settings)

    @classmethod
    def read(cls, path: Path | str) -> Findings:
        """Read what `write` wrote as JSON or parquet."""
        path = Path(path)
        if not path.is_file():
            raise FindingsError(f"{path}: no such file; expected findings written as .json or .parquet.")
        if path.suffix == ".json":
            try:
                document = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise FindingsError(f"{path}: not JSON ({error}); expected a findings file of fairvl.") from None
            if not isinstance(document, dict) or document.get("fairvl_findings") != FORMAT:
                raise FindingsError(f"{path}: not a findings file of format {FORMAT}; expected one written by fairvl.")
            return cls.from_records(document["findings"], document["settings"])
        if path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            try:
                table = pq.read_table(path)
            except (pa.ArrowInvalid, OSError) as error:
                raise FindingsError(f"{path}: not a readable parquet file ({error}).") from None
            metadata = table.schema.metadata or {}
            if metadata.get(b"fairvl_findings") != str(FORMAT).encode():
                raise FindingsError(f"{path}: not a findings file of format {FORMAT}; expected one written by fairvl.")
            return cls.from_records(table.to_pylist(), json.loads(metadata[b"settings"]))
        raise FindingsError(f"{path.name}: unknown suffix {path.suffix!r}; expected .json or .parquet.")


def column(row: Finding, name: str) -> Scalar:
    """A fixed or free column of a row; None when the row lacks it."""
    value: Scalar = getattr(row, name) if name in _COLUMN_SET else row.extra.get(name)
    return value
