"""The world as datasets: ``world:portraits?n=5000&bias=0.9``, ``world:faces?n=400&plant=skin-smile``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from fairvl.errors import DatasetError, InputError
from fairvl.fingerprints import canonical_json, fingerprint
from fairvl.sources.datasets.record import Problem, Record, Value

from .faces import face_blocks
from .generator import BLOCK, SPLITS, Portraits, portrait_blocks
from .spec import Plant, WorldSpec
from .words import ATTRIBUTES

DRAWING_VERSION = 1  # counts up when the same spec and seed give other pictures or captions


@dataclass(frozen=True)
class WorldPortraits:
    """Records of a drawn world; pictures are drawn when they are asked for.

    Parameters
    ----------
    spec : WorldSpec
    n : int
        Number of records.
    seed : int
    split : {"train", "test", "judge", "validation"}
    name : str
        What the dataset is called in results.
    cut : bool
        Aligned faces (see `fairvl.sources.world.faces`) instead of whole portraits.

    Examples
    --------
    >>> data = WorldPortraits(WorldSpec.biased(0.9), 3, seed=1, split="test")
    >>> [record.id for record in data], len(data.shards(2))
    (['test-1-000000', 'test-1-000001', 'test-1-000002'], 2)
    """

    spec: WorldSpec
    n: int
    seed: int = 0
    split: str = "train"
    name: str = field(default="world:portraits")
    cut: bool = False

    @property
    def fingerprint(self) -> str:
        """Of everything that the records follow from."""
        parts = [self.spec.as_dict(), self.n, self.seed, self.split, DRAWING_VERSION, *(["faces"] if self.cut else [])]
        return fingerprint(parts)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """None: every record is drawn."""
        return ()

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Record]:
        return self._rows(0, self.n)

    def shards(self, rows: int) -> tuple[Mapping[str, Any], ...]:
        """JSON-able row ranges of at most `rows` records."""
        if rows < 1:
            raise InputError(f"a shard holds at least 1 row; found rows={rows}")
        return tuple({"start": start, "stop": min(start + rows, self.n)} for start in range(0, self.n, rows))

    def read(self, spec: Mapping[str, Any]) -> Iterator[Record]:
        """The records of one shard."""
        start, stop = int(spec["start"]), int(spec["stop"])
        if not 0 <= start <= stop <= self.n:
            raise DatasetError(f"rows {start} to {stop} are not in {self.name}, which has {self.n}")
        return self._rows(start, stop)

    def skipped(self, spec: Mapping[str, Any]) -> list[Problem]:
        """Nothing is ever skipped."""
        return []

    def _rows(self, start: int, stop: int) -> Iterator[Record]:
        text = canonical_json(self.spec.as_dict())
        row = start
        while row < stop:
            count = min(BLOCK - row % BLOCK, stop - row)
            block = next(portrait_blocks(self.spec, count, self.seed, split=self.split, start=row, images=False))
            for i in range(count):
                yield Record(
                    id=f"{self.split}-{self.seed}-{row + i:06d}",
                    image=partial(_picture, text, self.seed, self.split, row + i, self.cut),
                    caption=block.captions[i],
                    attributes=_plain(block, i),
                )
            row += count


def _plain(block: Portraits, i: int) -> dict[str, Value]:
    return {name: values[i].item() for name, values in block.attributes.items()}


def _picture(spec: str, seed: int, split: str, row: int, cut: bool = False) -> bytes:
    from PIL import Image

    image = _block(spec, seed, split, row // BLOCK, cut).images[row % BLOCK]
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG", compress_level=1)
    return file.getvalue()


@lru_cache(maxsize=2)  # records are read in order, so the block at hand serves the next 255 pictures
def _block(spec: str, seed: int, split: str, block: int, cut: bool) -> Portraits:
    world = WorldSpec.from_dict(json.loads(spec))
    blocks = face_blocks if cut else portrait_blocks
    return next(blocks(world, BLOCK, seed, split=split, start=block * BLOCK))


_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "n": int,
    "bias": float,
    "seed": int,
    "split": str,
    "duplicates": float,
    "label_noise": float,
    "occlusion": float,
    "size": int,
}


def portraits_dataset(query: Mapping[str, str] | str) -> WorldPortraits:
    """The dataset of ``world:portraits?...``.

    Parameters
    ----------
    query : mapping of str to str, or "key=value&key=value"
        ``n`` (5000), ``bias`` (0.8: strength of the planted gender bias), ``seed`` (0), ``split`` ("test"),
        ``duplicates`` (share of near-copies among pictures of men, 0), ``label_noise`` (share of wrong labels of every
        attribute, 0), ``occlusion`` (0.5), ``size`` (48).

    Raises
    ------
    DatasetError
        An unknown option, or a value that is not usable.

    Examples
    --------
    >>> len(portraits_dataset({"n": "10", "bias": "0.9"}))
    10
    """
    query, values = _values(query, _OPTIONS, "world:portraits")
    n, seed, split = values.pop("n", 5000), values.pop("seed", 0), values.pop("split", "test")
    changes: dict[str, Any] = {key: values[key] for key in ("occlusion", "size") if key in values}
    if "duplicates" in values:
        changes["duplicates"] = {"male": values["duplicates"]}
    if "label_noise" in values:
        changes["label_noise"] = dict.fromkeys(WorldSpec().order(), values["label_noise"])
    try:
        spec = WorldSpec.biased(values.get("bias", 0.8), **changes)
    except InputError as error:
        raise DatasetError(f"world:portraits: {error}") from None
    return WorldPortraits(spec, n, seed, split, _named("world:portraits", query))


_FACE_OPTIONS: Mapping[str, Callable[[str], Any]] = {
    "n": int, "plant": str, "agreement": float, "seed": int, "split": str,
}  # fmt: skip


def faces_dataset(query: Mapping[str, str] | str) -> WorldPortraits:
    """The dataset of ``world:faces?...``: aligned faces of 32 pixels.

    Parameters
    ----------
    query : mapping of str to str, or "key=value&key=value"
        ``n`` (1000), ``plant`` (none; ``skin-smile`` ties two attributes of two values), ``agreement`` (0.9: share in
        which the first values, or the second ones, go together), ``seed`` (0), ``split`` ("test").

    Raises
    ------
    DatasetError
        An unknown option or attribute, or a value that is not usable.

    Examples
    --------
    >>> data = faces_dataset("n=200&plant=skin-smile&agreement=1")
    >>> sorted({(one.attributes["skin"], one.attributes["smile"]) for one in data})
    [('dark', 'serious'), ('light', 'smiling')]
    """
    query, values = _values(query, _FACE_OPTIONS, "world:faces")
    agreement, plants = values.get("agreement", 0.9), []
    if "plant" in values:
        pair = values["plant"].split("-")
        two = [name for name, told in ATTRIBUTES.items() if len(told) == 2]
        if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(two) or not 0 <= agreement <= 1:
            raise DatasetError(
                f"world:faces: plant={values['plant']!r}, agreement={agreement}; expected ATTRIBUTE-LABEL, two of "
                f"{', '.join(two)}, and a share."
            )
        (low, high), (first, second) = (ATTRIBUTES[name] for name in pair)
        plants = [Plant(pair[0], pair[1], 2 * agreement - 1, {low: (first,), high: (second,)})]
    try:
        spec = WorldSpec(plants=tuple(plants))
    except InputError as error:
        raise DatasetError(f"world:faces: {error}") from None
    n, seed, split = values.get("n", 1000), values.get("seed", 0), values.get("split", "test")
    return WorldPortraits(spec, n, seed, split, _named("world:faces", query), cut=True)


def _values(
    query: Mapping[str, str] | str, options: Mapping[str, Callable[[str], Any]], name: str
) -> tuple[Mapping[str, str], dict[str, Any]]:
    """The options as texts and as values."""
    if isinstance(query, str):
        pairs = [item.partition("=") for item in query.split("&") if item]
        query = {key: value for key, _, value in pairs}
    unknown = sorted(set(query) - set(options))
    if unknown:
        raise DatasetError(f"{name} has no option {unknown[0]!r}; it has {', '.join(options)}")
    values: dict[str, Any] = {}
    for key, text in query.items():
        try:
            values[key] = options[key](text)
        except ValueError:
            raise DatasetError(f"{name}: {key}={text!r} is not usable; expected {options[key].__name__}") from None
    if values.get("n", 1) < 1 or values.get("seed", 0) < 0 or values.get("split", "test") not in SPLITS:
        raise DatasetError(f"{name} needs n >= 1, seed >= 0 and split one of {', '.join(SPLITS)}")
    return query, values


def _named(name: str, query: Mapping[str, str]) -> str:
    return (f"{name}?" + "&".join(f"{key}={text}" for key, text in sorted(query.items()))).rstrip("?")
