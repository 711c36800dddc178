"""Pictures that need no licence: portraits of the built-in world, and things drawn by our own code."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from ...errors import BankError, DatasetError, FairVLError
from ...fingerprints import canonical_json, fingerprint
from ..world.dataset import DRAWING_VERSION, portraits_dataset
from ..world.generator import portraits
from ..world.spec import WorldSpec
from ..world.words import ATTRIBUTES
from .drawing import KINDS, VERSION, draw_things
from .png import png_bytes
from .registry import image_key

MOST_PICTURES = 2000
LARGEST_EMOJI = 1 << 20


@dataclass(frozen=True)
class Pictures:
    """Pictures of one set: what each is called, how to get its bytes, and a name for where they come from."""

    labels: tuple[str, ...]
    load: tuple[Callable[[], bytes], ...]
    recipe: str
    source: str
    licence: str


def world_pictures(query: str, where: Mapping[str, str], *, place: str) -> Pictures:
    """Portraits ``n=..&seed=..&size=..`` of the world on which the attributes of `where` have the given values.

    Options are those of ``world:portraits``; `n` is the number of pictures, and `bias` is 0 unless given, so that
    nothing but `where` tells two sets with different seeds apart.
    """
    values = _query(query, {"n", "seed", "size", "split", "bias", "occlusion", "duplicates"}, place)
    n = _whole(values, "n", place, low=1)
    for name, value in where.items():
        if name not in ATTRIBUTES or value not in ATTRIBUTES[name]:
            known = {key: list(known) for key, known in ATTRIBUTES.items()}
            raise BankError(f"{place}: where {name} = {value!r} is nothing the world draws; it draws {known}.")
    try:
        data = portraits_dataset({"bias": "0", **values})
        shares = {name: {other: float(other == value) for other in ATTRIBUTES[name]} for name, value in where.items()}
        spec = WorldSpec.from_dict({**data.spec.as_dict(), "shares": shares})
    except BankError:
        raise
    except FairVLError as error:
        raise BankError(f"{place}: {error}") from None
    world = canonical_json(spec.as_dict())

    def loader(i: int) -> Callable[[], bytes]:
        return lambda: _world_bytes(world, n, data.seed, data.split)[i]

    said = ", ".join(where.values()) or "portrait"
    return Pictures(
        labels=tuple(f"{said} {i + 1}" for i in range(n)),
        load=tuple(loader(i) for i in range(n)),
        recipe=fingerprint(["world", DRAWING_VERSION, spec.as_dict(), n, data.seed, data.split]),
        source="the built-in world: portraits drawn by code, with perceived attributes planted; no real persons",
        licence="Apache-2.0",
    )


@lru_cache(maxsize=64)
def _world_bytes(world: str, n: int, seed: int, split: str) -> tuple[bytes, ...]:
    spec = WorldSpec.from_dict(json.loads(world))
    return tuple(png_bytes(image) for image in portraits(spec, n, seed, split=split).images)


def drawn_pictures(text: str, *, place: str) -> Pictures:
    """Pictures ``KIND?n=..&seed=..&size=..`` of things, drawn by our own code: see `fairvl.sources.stimuli.drawing`."""
    kind, _, query = text.partition("?")
    if kind not in KINDS:
        raise BankError(f"{place}: nothing draws {kind!r}; expected one of {', '.join(KINDS)}, as in 'flower?n=35'.")
    values = _query(query, {"n", "seed", "size"}, place)
    n = _whole(values, "n", place, low=1)
    seed, size = _whole(values, "seed", place, default=0), _whole(values, "size", place, low=16, default=96)
    if size > 512:
        raise BankError(f"{place}: size={size}; expected at most 512 pixels.")

    def loader(i: int) -> Callable[[], bytes]:
        return lambda: _drawn_bytes(kind, n, seed, size)[i]

    return Pictures(
        labels=tuple(f"{kind} {i + 1}" for i in range(n)),
        load=tuple(loader(i) for i in range(n)),
        recipe=fingerprint(["drawn", VERSION, kind, n, seed, size]),
        source="drawn by fairvl",
        licence="Apache-2.0",
    )


@lru_cache(maxsize=64)
def _drawn_bytes(kind: str, n: int, seed: int, size: int) -> tuple[bytes, ...]:
    return tuple(png_bytes(image) for image in draw_things(kind, n, seed=seed, size=size))


class EmojiFolder:
    """Emoji pictures in the layout of noto-emoji: ``png/72/emoji_u1f339.png``, the same flat, or in ``png72.zip``."""

    def __init__(self, folder: str | Path) -> None:
        self.root = Path(folder)
        if not self.root.is_dir():
            raise DatasetError(f"emoji={self.root}: no such folder; expected pictures of noto-emoji.")
        self.archive = self.root / "png72.zip"
        self._open: zipfile.ZipFile | None = None
        places = [self.root / "png" / size for size in ("72", "128", "512")] + [self.root]
        self.place = next((place for place in places if any(place.glob("emoji_u*.png"))), None)
        if self.place is None and not self.archive.is_file():
            raise DatasetError(f"emoji={self.root}: neither emoji_u*.png, png/72 nor png72.zip is there.")

    def pictures(self, codes: Mapping[str, str]) -> Pictures:
        """The pictures of {label: code points}, as ``{ rose = "1f339" }``."""
        held = [self._bytes(f"emoji_u{code}.png") for code in codes.values()]
        return Pictures(
            labels=tuple(codes),
            load=tuple(partial(bytes, data) for data in held),
            recipe=fingerprint(["emoji", *map(image_key, held)]),
            source="noto-emoji, from your folder",
            licence="Apache-2.0",
        )

    def _bytes(self, name: str) -> bytes:
        try:
            if self.place is not None:
                with open(self.place / name, "rb") as file:
                    data = file.read(LARGEST_EMOJI + 1)
                if len(data) > LARGEST_EMOJI:
                    raise DatasetError(f"{self.place / name}: over {LARGEST_EMOJI:,} bytes.")
                return data
            if self._open is None:
                self._open = zipfile.ZipFile(self.archive)
            member = self._open.getinfo(name)
            if member.file_size > LARGEST_EMOJI:
                raise DatasetError(f"{self.archive}: {name} has {member.file_size:,} bytes, over {LARGEST_EMOJI:,}.")
            return self._open.read(member)
        except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise DatasetError(f"emoji={self.root}: {name} cannot be read ({error}).") from None

    def close(self) -> None:
        """Close the archive, when there is one."""
        if self._open is not None:
            self._open.close()
            self._open = None


def _query(query: str, known: set[str], place: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        key, equals, value = item.partition("=")
        if not equals or key not in known or key in values:
            raise BankError(
                f"{place}: {item!r}; expected each of {', '.join(sorted(known))} at most once, as key=value."
            )
        values[key] = value
    return values


def _whole(values: Mapping[str, str], key: str, place: str, *, low: int = 0, default: int | None = None) -> int:
    if key not in values and default is not None:
        return default
    text = values.get(key, "")
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < low or (key == "n" and int(text) > MOST_PICTURES):
        limit = f" to {MOST_PICTURES}" if key == "n" else " or more"
        raise BankError(f"{place}: {key}={text!r}; expected a whole number, {low}{limit}.")
    return int(text)
