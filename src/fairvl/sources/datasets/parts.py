"""The one dataset class: parts that read themselves, cut into shards of at most so many rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Protocol, final

from fairvl.errors import DatasetError
from fairvl.fingerprints import fingerprint
from fairvl.sources.datasets.record import Dataset, Problem, Record, Spec, Value
from fairvl.sources.datasets.table import check_unique, nearest


class Part(Protocol):
    """A range of records that one process can read alone: a folder, a tar, a parquet file."""

    @property
    def count(self) -> int: ...

    @property
    def identity(self) -> Any:
        """Plain values that change with the content and not with the place."""

    @property
    def problems(self) -> tuple[Problem, ...]: ...

    def ids(self) -> Iterable[str]: ...

    def read(self, start: int, stop: int) -> Iterator[Record]: ...


@final
class PartDataset:
    """Parts in order, at most `limit` records of them.

    `training_counts` maps an attribute to the rows of each of its values in the training split, where that is known.
    """

    def __init__(
        self, name: str, parts: Sequence[Part], *, options: Any = None, limit: int | None = None,
        training_counts: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:  # fmt: skip
        self._name, self._parts = name, tuple(parts)
        self.training_counts = dict(training_counts or {})
        counts: list[int] = []
        ids: list[str] = []
        identities: list[Any] = []
        problems: list[tuple[Problem, ...]] = []
        for part in self._parts:  # all about one part at once: a tar keeps its index for a moment only
            counts.append(part.count)
            ids.extend(part.ids())
            identities.append(part.identity)
            problems.append(part.problems)
        if not ids:
            raise DatasetError(f"{name!r} holds no record{_first([*chain(*problems)])}")
        check_unique(ids, where=repr(name))
        left = sum(counts) if limit is None else limit
        self._counts: list[int] = []
        for count in counts:
            self._counts.append(min(count, left))
            left -= self._counts[-1]
        self._problems = _handed_out(problems, self._counts)
        self._fingerprint = fingerprint({"options": options, "limit": limit, "parts": identities})

    def __repr__(self) -> str:
        return f"<{self._name}: {len(self):,} records, {len(self.problems):,} problems>"

    def __len__(self) -> int:
        return sum(self._counts)

    def __iter__(self) -> Iterator[Record]:
        for part, count in zip(self._parts, self._counts, strict=True):
            yield from part.read(0, count)

    @property
    def name(self) -> str:
        return self._name

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(chain(*self._problems))

    def shards(self, rows: int) -> tuple[Spec, ...]:
        if rows < 1:
            raise DatasetError(f"rows must be at least 1, found {rows}")
        return tuple(
            {"part": index, "start": start, "stop": min(start + rows, count)}
            for index, count in enumerate(self._counts)
            for start in range(0, count, rows)
        )

    def read(self, spec: Spec) -> Iterator[Record]:
        try:
            part, start, stop = int(spec["part"]), int(spec["start"]), int(spec["stop"])
            fits = 0 <= part < len(self._parts) and 0 <= start <= stop <= self._counts[part]
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"not a shard spec of {self._name!r}: {dict(spec)!r}") from error
        if not fits:
            raise DatasetError(f"{self._name!r} has no shard {dict(spec)!r}; it has changed since shards() was asked")
        return self._parts[part].read(start, stop)

    def skipped(self, spec: Spec) -> list[Problem]:
        return list(self._problems[spec["part"]]) if spec["start"] == 0 else []


@final
class Recoded:
    """A dataset with some attribute values replaced; everything else is handed through."""

    def __init__(self, dataset: Dataset, recode: Mapping[str, Mapping[Any, Value]]) -> None:
        self._dataset = dataset
        self._recode = {column: dict(values) for column, values in recode.items()}
        for column, values in self._recode.items():
            if not all(value is None or isinstance(value, (str, int, float, bool)) for value in values.values()):
                raise DatasetError(f"recode of {column!r} must map values to text, numbers or None, found {values!r}")
        first = next(iter(dataset), None)
        if first is not None:
            for column in self._recode:
                if column not in first.attributes:
                    raise DatasetError(
                        f"recode names the attribute {column!r}, which {dataset.name!r} lacks. "
                        + nearest(column, list(first.attributes))
                    )

    def __repr__(self) -> str:
        return f"{self._dataset!r} recoded by {self._recode}"

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]  # TypeError where the length is unknown

    def __iter__(self) -> Iterator[Record]:
        return map(self._apply, self._dataset)

    @property
    def training_counts(self) -> Mapping[str, Mapping[str, int]]:
        """Of the attributes whose values are not replaced."""
        counts: Mapping[str, Mapping[str, int]] = getattr(self._dataset, "training_counts", {})
        return {name: rows for name, rows in counts.items() if name not in self._recode}

    @property
    def name(self) -> str:
        return self._dataset.name

    @property
    def fingerprint(self) -> str:
        pairs = {
            column: sorted((repr(old), new) for old, new in values.items()) for column, values in self._recode.items()
        }
        return fingerprint({"dataset": self._dataset.fingerprint, "recode": pairs})

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self._dataset.problems

    def shards(self, rows: int) -> tuple[Spec, ...]:
        return self._dataset.shards(rows)

    def read(self, spec: Spec) -> Iterator[Record]:
        return map(self._apply, self._dataset.read(spec))

    def skipped(self, spec: Spec) -> list[Problem]:
        return self._dataset.skipped(spec)

    def _apply(self, record: Record) -> Record:
        attributes = dict(record.attributes)
        for column, values in self._recode.items():
            value = attributes.get(column)
            if value is not None:
                attributes[column] = values[value] if value in values else values.get(str(value), value)
        return Record(record.id, record.image, record.caption, attributes)


def _handed_out(problems: Sequence[Sequence[Problem]], counts: Sequence[int]) -> list[list[Problem]]:
    """Problems by part; those of a part that gives no record go to the next that does, or to the last."""
    giving = [index for index, count in enumerate(counts) if count]
    handed: list[list[Problem]] = [[] for _ in counts]
    for index, found in enumerate(problems):
        handed[next((later for later in giving if later >= index), giving[-1])].extend(found)
    return handed


def _first(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    return f"; {len(problems):,} entries cannot be used, the first is {problems[0].id!r}: {problems[0].reason}"
