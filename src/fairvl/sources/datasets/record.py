"""What a dataset is: records with stable ids, cut into parts that any process can read alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

Value: TypeAlias = str | float | int | bool | None
Spec: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """One example.

    Attributes
    ----------
    id : str
        Unique in its dataset, also after Unicode normalisation (NFC); stable from run to run.
    image : callable or None
        Returns the encoded bytes when called, or raises `DatasetError` with a short reason. None: text only.
        Picklable.
    caption : str or None
    attributes : mapping
        Labels as they were given; a missing one is None, never guessed.
    """

    id: str
    image: Callable[[], bytes] | None = None
    caption: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Something in the source that cannot become a record, and why."""

    id: str
    reason: str


@runtime_checkable
class Dataset(Protocol):
    """An ordered set of records.

    Two channels carry what is wrong with single examples, and there is no third:

    * `record.image()`, and then `decode_image` on its bytes, raise `DatasetError`: the picture is missing or broken.
      Whoever decodes counts these by `record.id`.
    * `problems` lists what could not become a record at all (a tar member named ``../x.jpg``, a row without a file
      name). It is complete once the dataset is loaded; `skipped(spec)` hands each of them out with exactly one shard.

    What makes the whole source unusable (no such file, duplicate ids, an unknown column) raises `DatasetError` from
    `load_dataset`.
    A dataset may also offer ``__len__`` (ask with `len`, and expect `TypeError` where it is unknown), and
    ``training_counts`` (attribute to rows of each value in the training split; ask with `getattr`).
    """

    @property
    def name(self) -> str:
        """The string that loads it again, or a label when it came from an object."""

    @property
    def fingerprint(self) -> str:
        """Changes when names, sizes, metadata or options change; never depends on where the files lie or on times."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What could not become a record, each once."""

    def __iter__(self) -> Iterator[Record]: ...

    def shards(self, rows: int) -> tuple[Spec, ...]:
        """JSON-able specs of at most `rows` records each that together hold every record once, in order."""

    def read(self, spec: Spec) -> Iterator[Record]:
        """The records of one spec; needs nothing that another spec produced."""

    def skipped(self, spec: Spec) -> list[Problem]:
        """The problems handed out with this shard; over all shards, each once. Holds no state."""
