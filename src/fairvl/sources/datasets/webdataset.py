"""``webdataset:``: tars as img2dataset writes them, members grouped by name up to the first dot."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fairvl.errors import DatasetError
from fairvl.fingerprints import file_hash
from fairvl.sources.datasets.decode import MAX_BYTES
from fairvl.sources.datasets.files import IMAGE_SUFFIXES, REFUSED_IMAGE_SUFFIXES, FileSlice, Missing
from fairvl.sources.datasets.patterns import expand
from fairvl.sources.datasets.record import Problem, Record, Value
from fairvl.sources.datasets.table import choose, nearest, parquet_schema, plain_value, read_table
from fairvl.sources.datasets.tar import Member, tar_members

MAX_TEXT_BYTES = 1024 * 1024
_IMAGES = tuple(suffix[1:] for suffix in (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".jfif"))
_LOOKALIKES = IMAGE_SUFFIXES | REFUSED_IMAGE_SUFFIXES
_REMOTE = re.compile(r"pipe:|[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Group:
    """The members that share one key."""

    key: str
    members: Mapping[str, Member]


@dataclass(frozen=True)
class TarIndex:
    """What one tar holds, from its headers."""

    groups: tuple[Group, ...]
    repeated: tuple[str, ...]
    problems: tuple[Problem, ...]
    seal: str


@dataclass(frozen=True)
class TarPart:
    """One tar, with the parquet file of the same name beside it when there is one."""

    path: str
    size: int
    changed: int
    sidecar: str | None
    options: tuple[tuple[str, str], ...]

    @property
    def index(self) -> TarIndex:
        return _index(self.path, self.size, self.changed, dict(self.options).get("image"))

    @property
    def count(self) -> int:
        return len(self.index.groups)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.index.problems

    @property
    def identity(self) -> Any:
        sidecar = None if self.sidecar is None else file_hash(self.sidecar)
        return {"name": Path(self.path).name, "size": self.size, "members": self.index.seal, "sidecar": sidecar}

    def ids(self) -> Iterable[str]:
        if dict(self.options).get("id") in (None, "path"):
            yield from (self._id(group.key) for group in self.index.groups)
        else:
            yield from (record.id for record in self.read(0, self.count))
        yield from (self._id(key) for key in self.index.repeated)

    def read(self, start: int, stop: int) -> Iterator[Record]:
        index = self.index
        pictured = any(_image_of(group, self._image) for group in index.groups)
        sidecar = {} if self.sidecar is None else _sidecar(self.sidecar, os.stat(self.sidecar).st_mtime_ns)
        for group in index.groups[start:stop]:
            yield self._record(group, sidecar.get(group.key), pictured)

    @property
    def _image(self) -> str | None:
        return dict(self.options).get("image")

    def _id(self, key: str) -> str:
        return f"{Path(self.path).stem}/{key}" if dict(self.options).get("id") == "path" else key

    def _record(self, group: Group, row: dict[str, Value] | None, pictured: bool) -> Record:
        options = dict(self.options)
        broken: str | None = None
        attributes: dict[str, Value] = {}
        caption: str | None = None
        try:
            if row is not None:
                attributes = dict(row)
            elif "json" in group.members:
                attributes = _plain_json(self._text(group.members["json"]))
            if "cls" in group.members:
                attributes["cls"] = self._text(group.members["cls"]).strip() or None
            if "txt" in group.members and "caption" not in options:
                caption = self._text(group.members["txt"])
        except DatasetError as error:
            broken = str(error)
        listed = attributes.pop(options.get("caption", "caption"), None)
        caption = (None if listed is None else str(listed)) if caption is None else caption
        id_ = self._id(group.key)
        if (field := options.get("id")) not in (None, "path") and broken is None:
            value = attributes.pop(str(field), None)
            if value is None:
                where = f"{Path(self.path).name}: the record {group.key!r}"
                raise DatasetError(f"{where} has no {field!r}. {nearest(str(field), list(attributes))}")
            id_ = str(value)
        member = _image_of(group, self._image)
        if broken is not None:
            return Record(id_, Missing(broken), None, {})
        if member is None:
            return Record(
                id_, Missing("the tar holds no image for this key") if pictured else None, caption, attributes
            )
        if member.size > MAX_BYTES:
            return Record(id_, Missing(f"the member declares {member.size:,} bytes, over the cap"), caption, attributes)
        return Record(id_, FileSlice(self.path, member.offset, member.size), caption, attributes)

    def _text(self, member: Member) -> str:
        if member.size > MAX_TEXT_BYTES:
            raise DatasetError(f"{member.name!r} declares {member.size:,} bytes, over the cap of {MAX_TEXT_BYTES:,}")
        try:
            return FileSlice(self.path, member.offset, member.size)().decode()
        except UnicodeDecodeError as error:
            raise DatasetError(f"{member.name!r} is not UTF-8 text") from error


def tar_parts(place: str, options: Mapping[str, str]) -> list[TarPart]:
    """One part per tar of a pattern with ``{00000..00099}``, ``{a,b}``, ``*`` or ``?``."""
    if _REMOTE.match(place):
        raise DatasetError(
            f"webdataset reads files on this machine only, found {place[:80]!r}; `pipe:` and URLs are never opened. "
            "Download the tars first"
        )
    paths = [Path(text).expanduser() for text in expand(place)]
    absent = [path for path in paths if not path.is_file()]
    if absent:
        raise DatasetError(f"{len(absent):,} of {len(paths):,} tars do not exist, the first is {str(absent[0])!r}")
    parts = []
    for path in paths:
        state, sidecar = path.stat(), path.with_suffix(".parquet")
        beside = str(sidecar.absolute()) if sidecar.is_file() else None
        if beside is not None:
            choose(parquet_schema(sidecar).names, "key", (), f"{sidecar.name} (beside {path.name})")
        parts.append(
            TarPart(str(path.absolute()), state.st_size, state.st_mtime_ns, beside, tuple(sorted(options.items())))
        )
    return parts


@lru_cache(maxsize=8)
def _index(path: str, size: int, changed: int, image: str | None) -> TarIndex:
    members, problems = tar_members(Path(path))
    read = {*_IMAGES, "json", "txt", "cls", *([] if image is None else [image])}
    named: dict[str, dict[str, Member]] = {}
    repeated: list[str] = []
    seal = hashlib.sha256()
    for member in members:
        seal.update(f"{member.name}\0{member.size}\n".encode())
        key, suffix = _key(member.name, image)
        if key and (suffix in read or f".{suffix.rpartition('.')[2]}" in _LOOKALIKES):
            if suffix in named.setdefault(key, {}):
                repeated.append(key)
            named[key][suffix] = member
    groups: list[Group] = []
    for key, by_suffix in named.items():
        group = Group(key, by_suffix)
        unread = [member.name for suffix, member in by_suffix.items() if suffix not in read]
        if unread and _image_of(group, image) is None:
            reason = f"{unread[0]!r} is not read: an image suffix must follow the first dot ({', '.join(_IMAGES)})"
            problems.append(Problem(key, reason))
        else:
            groups.append(group)
    return TarIndex(tuple(groups), tuple(dict.fromkeys(repeated)), tuple(problems), seal.hexdigest())


def _key(name: str, image: str | None) -> tuple[str, str]:
    folder, _, base = name.removeprefix("./").rpartition("/")
    stem, _, suffix = base.partition(".")
    key = f"{folder}/{stem}" if folder and stem else stem
    return key, suffix if suffix == image else suffix.lower()


def _image_of(group: Group, image: str | None) -> Member | None:
    wanted = _IMAGES if image is None else (image,)
    return next((group.members[suffix] for suffix in wanted if suffix in group.members), None)


@lru_cache(maxsize=4)
def _sidecar(path: str, changed: int) -> dict[str, dict[str, Value]]:
    table = read_table(path, id_column="key")
    names = [name for name in table if name != "key"]
    rows = zip(*(table[name] for name in names), strict=True) if names else ((),) * len(table["key"])
    return {str(key): dict(zip(names, row, strict=True)) for key, row in zip(table["key"], rows, strict=True)}


def _plain_json(text: str) -> dict[str, Value]:
    try:
        content = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"its .json is not valid: {error}"[:200]) from error
    if not isinstance(content, dict):
        raise DatasetError(f"its .json holds a {type(content).__name__}, expected an object of attributes")
    return {
        key: _plain_number(plain_value(value))
        for key, value in content.items()
        if key != "key" and (value is None or isinstance(value, (str, bool, int, float)))
    }


def _plain_number(value: Value) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, int) and abs(value) >= 2**63 else value
