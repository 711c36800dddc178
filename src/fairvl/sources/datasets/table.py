"""Tables of labels and predictions: CSV, TSV (both also gzipped) and parquet, read into plain lists."""

from __future__ import annotations

import csv
import gzip
import math
import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TextIO

from fairvl.errors import DatasetError
from fairvl.sources.datasets.record import Value

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
MAX_CELLS = 200_000_000
MAX_LINE = 4 * 1024 * 1024

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")  # a leading zero marks a code, not a number
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_CODE = re.compile(r"[+-]?0[0-9]")

Table = dict[str, list[Value]]


def read_table(
    path: Path | str,
    *,
    id_column: str | None = None,
    required: Sequence[str] = (),
    strings: Sequence[str] = (),
) -> Table:
    """Columns of a table on disk, a missing value as None.

    In CSV, an empty or blank cell and NaN (any case) are missing; every other cell is kept letter by letter. A column
    becomes numbers only when each present cell is written as a number; codes with leading zeros and whole numbers of
    more than 18 digits stay text. In parquet, NaN and null are missing, dates become ISO text, decimals floats;
    columns of bytes, lists or structs are left out, and asking for one is an error.

    Parameters
    ----------
    path : path
        ``.csv``, ``.csv.gz``, ``.tsv``, ``.tsv.gz`` (UTF-8, first line the names) or ``.parquet``.
    id_column : str, optional
        Kept as text, and checked: present in each row, no two alike after Unicode NFC.
    required : sequence of str
        Columns that must be there.
    strings : sequence of str
        Columns that stay text even when they look like numbers.

    Returns
    -------
    dict of str to list
        All lists equally long, at least one row.

    Raises
    ------
    DatasetError
        No such file, unknown suffix, empty, not UTF-8, a row of another length (with its line number), a column that
        is missing (the nearest names are given) or named twice, missing or duplicate ids.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("id,age,group\\n1,30,x\\n2,,NaN\\n")
    >>> read_table(path, id_column="id")
    {'id': ['1', '2'], 'age': [30, None], 'group': ['x', None]}
    """
    path = Path(path)
    suffix = table_suffix(path)
    if not path.is_file():
        raise DatasetError(f"no such table: {str(path)!r}. " + _siblings(path))
    text = {*strings, *([] if id_column is None else [id_column])}
    wanted = [*required, *([] if id_column is None else [id_column])]
    table = _read_parquet(path, text, wanted) if suffix == ".parquet" else _read_csv(path, suffix, text)
    for name in wanted:
        require_column(table, name, where=path.name)
    if not next(iter(table.values()), []):
        raise DatasetError(f"{path.name} has column names but no row")
    if id_column is not None:
        ids = table[id_column]
        absent = [row for row, id_ in enumerate(ids) if id_ is None]
        if absent:
            raise DatasetError(
                f"{path.name}: {len(absent):,} rows have no {id_column!r} (first: row {absent[0] + 1}); give each an id"
            )
        check_unique((str(id_) for id_ in ids), where=path.name)
    return table


def require_column(table: Table, name: str, *, where: str) -> list[Value]:
    """The column, or an error that names the nearest ones."""
    if name not in table:
        raise DatasetError(f"{where} has no column {name!r}. " + nearest(name, list(table)))
    return table[name]


def nearest(name: str, known: Sequence[str], *, show: int = 12) -> str:
    """One sentence: the close matches first, then what there is."""
    close = get_close_matches(name, known, n=3, cutoff=0.6)
    guess = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    more = f" and {len(known) - show} more" if len(known) > show else ""
    return f"{guess}There is: {', '.join(map(repr, known[:show])) or 'nothing'}{more}."


def choose(names: Sequence[str], asked: str | None, usual: Sequence[str], where: str) -> str | None:
    """The column that was asked for (an error when it is absent), else the first usual one that exists."""
    if asked is not None and asked not in names:
        raise DatasetError(f"{where} has no column {asked!r}. " + nearest(asked, names))
    return asked or next((name for name in usual if name in names), None)


def parquet_schema(path: Path) -> Any:
    """The Arrow schema of a parquet file, no two columns of one name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path.name} is not a readable parquet file: {error}") from error
    _check_names(schema.names, path)
    return schema


def check_unique(ids: Iterable[str], *, where: str) -> None:
    """Refuse ids that are equal after Unicode normalisation (NFC), with their count and examples."""
    seen: set[str] = set()
    twice: list[str] = []
    for id_ in ids:
        key = id_ if id_.isascii() else unicodedata.normalize("NFC", id_)
        if key in seen:
            twice.append(id_)
        seen.add(key)
    if twice:
        examples = ", ".join(repr(id_[:80]) for id_ in list(dict.fromkeys(twice[:1000]))[:3])
        raise DatasetError(
            f"{where} has {len(twice):,} duplicate ids (compared after Unicode NFC), such as {examples}. "
            "Ids must be unique: remove the repeats, or name another column with id="
        )


def table_suffix(path: Path) -> str:
    """Which of the accepted suffixes the path ends in."""
    name = path.name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise DatasetError(f"{path.name!r} is no table that can be read; accepted: {', '.join(SUFFIXES)}")


def _siblings(path: Path) -> str:
    if not path.parent.is_dir():
        return f"The folder {str(path.parent)!r} does not exist either."
    close = get_close_matches(path.name, [item.name for item in path.parent.iterdir()], n=3, cutoff=0.5)
    return f"Near it: {', '.join(map(repr, close))}." if close else "Give the path of an existing file."


def _read_csv(path: Path, suffix: str, text: set[str]) -> Table:
    delimiter = "\t" if suffix.startswith(".tsv") else ","
    opener = gzip.open if suffix.endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            names, rows = _rows(csv.reader(_lines(file, path), delimiter=delimiter, strict=True), path)
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path.name} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise DatasetError(f"{path.name} is not well-formed: {error}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path.name} cannot be read: {error}") from error
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {name: _typed(column, name in text) for name, column in zip(names, columns, strict=True)}


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    while line := file.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise DatasetError(f"{path.name} has a line of over {MAX_LINE:,} characters; is it a CSV?")
        yield line


def _rows(reader: Any, path: Path) -> tuple[list[str], list[list[str]]]:
    names = next(reader, None)
    if not names:
        raise DatasetError(f"{path.name} is empty; its first line must name the columns")
    names = [name.strip() for name in names]
    _check_names(names, path)
    rows: list[list[str]] = []
    for row in reader:
        if not row:
            continue
        if len(row) != len(names):
            raise DatasetError(
                f"{path.name}, line {reader.line_num}: {len(row)} cells for {len(names)} column names. "
                "Quote cells that hold the delimiter"
            )
        rows.append(row)
        if len(rows) * len(names) > MAX_CELLS:
            raise DatasetError(f"{path.name} has over {MAX_CELLS:,} cells; use parquet, or split it")
    return names, rows


def _check_names(names: Sequence[str], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(f"{path.name} names columns twice: {', '.join(map(repr, twice))}; rename one of each")


def _typed(cells: Sequence[str], as_text: bool) -> list[Value]:
    values = [None if not (bare := cell.strip()) or bare.lower() == "nan" else cell for cell in cells]
    present = [value.strip() for value in values if value is not None]
    if as_text or not present:
        return list(values)
    if all(_INTEGER.fullmatch(value) for value in present):
        return [None if value is None else int(value) for value in values]
    if all(_NUMBER.fullmatch(value) and not _CODE.match(value) for value in present):
        numbers = [None if value is None else float(value) for value in values]
        whole = any("." not in value and "e" not in value.lower() and len(value) > 18 for value in present)
        if not whole and all(number is None or math.isfinite(number) for number in numbers):
            return list(numbers)
    return list(values)


def _read_parquet(path: Path, text: set[str], wanted: Sequence[str]) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _check_names(schema.names, path)
            plain = [field.name for field in schema if is_plain(field.type)]
            for name in wanted:
                if name in schema.names and name not in plain:
                    raise DatasetError(
                        f"{path.name}: column {name!r} holds {schema.field(name).type}, not plain values"
                    )
            if file.metadata.num_rows * max(len(plain), 1) > MAX_CELLS:
                raise DatasetError(f"{path.name} has over {MAX_CELLS:,} cells; split it")
            if not schema.names:
                raise DatasetError(f"{path.name} has no column")
            columns = file.read(columns=plain)
            columns.validate(full=True)
            table = {name: plain_values(columns.column(name), name in text) for name in plain}
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path.name} is not a readable parquet file: {error}") from error
    if not table:
        raise DatasetError(f"{path.name} has no column of plain values, only {', '.join(map(repr, schema.names[:8]))}")
    return table


def is_plain(type_: Any) -> bool:
    """Whether an Arrow type holds text, numbers, truth values or dates, directly or dictionary-encoded."""
    import pyarrow.types as t

    if t.is_dictionary(type_):
        return is_plain(type_.value_type)
    checks = (t.is_string, t.is_large_string, t.is_string_view, t.is_boolean, t.is_integer, t.is_floating, t.is_decimal)
    return any(check(type_) for check in (*checks, t.is_temporal, t.is_null))


def plain_values(column: Any, as_text: bool = False) -> list[Value]:
    """An Arrow column as Python values; NaN and null become None."""
    return [plain_value(value, as_text) for value in column.to_pylist()]


def plain_value(value: Any, as_text: bool = False) -> Value:
    """One value as text, int, float, bool, or None for null, NaN and blank text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return value if value.strip() else None
    if as_text:
        return str(value)
    if isinstance(value, (bool, int, float)):
        return value
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if hasattr(value, "as_integer_ratio"):  # Decimal
        return float(value)
    return str(value)
