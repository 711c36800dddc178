"""Images named by a table, or found by name, in a folder or a zip archive; both are read in place."""

from __future__ import annotations

import hashlib
import os
import posixpath
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fairvl.errors import DatasetError
from fairvl.fingerprints import file_hash
from fairvl.sources.datasets.decode import MAX_BYTES
from fairvl.sources.datasets.files import (
    IMAGE_SUFFIXES,
    REFUSED_IMAGE_SUFFIXES,
    Missing,
    WholeFile,
    ZipMember,
    unsafe_name,
)
from fairvl.sources.datasets.record import Problem, Record, Value
from fairvl.sources.datasets.table import read_table, require_column

PATH_COLUMNS = ("path", "file", "file_name", "filename", "filepath", "image_path", "img_path", "image")
MAX_MEMBERS = 5_000_000
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})

Locator = Callable[[], bytes]


@dataclass(frozen=True)
class Listing:
    """The rows of a table, or the names found, before they are tied to bytes."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    captions: tuple[str | None, ...] | None = None
    columns: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, eq=False)
class ListedPart:
    """A listing whose images `locate` finds by name."""

    listing: Listing
    locate: Callable[[str], Locator]
    identity: Any

    @property
    def count(self) -> int:
        return len(self.listing.ids)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.listing.problems

    def ids(self) -> Iterable[str]:
        return self.listing.ids

    def read(self, start: int, stop: int) -> Iterator[Record]:
        listing = self.listing
        for row in range(start, stop):
            yield Record(
                listing.ids[row],
                self.locate(listing.names[row]),
                None if listing.captions is None else listing.captions[row],
                {name: values[row] for name, values in listing.columns.items()},
            )


def folder_part(folder: Path, options: Mapping[str, str]) -> ListedPart:
    """``folder:DIR``: with ``metadata=``, the rows of that table; without, every image below, sorted by name."""
    if not folder.is_dir():
        raise DatasetError(f"no such folder: {str(folder)!r}. Give the folder that holds the images")
    locate = in_folder(folder)
    if "metadata" in options:
        listing, seal = _from_table(_beside(folder, options["metadata"]), options)
    else:
        listing, seal = _from_names(_walk(folder), f"folder {str(folder)!r}"), None
    return ListedPart(listing, locate, {"metadata": seal, "files": sizes_hash(locate, listing.names)})


def zip_part(archive: Path, options: Mapping[str, str]) -> ListedPart:
    """``zip:FILE``: as a folder, from the members of an archive, never extracted."""
    if not archive.is_file():
        raise DatasetError(f"no such archive: {str(archive)!r}. Give the path of a .zip file")
    members, refused = _zip_members(archive)
    locate = _InZip(members, refused)
    if "metadata" in options:  # the table decides what the records are; a row that names a refused member says so
        listing, seal = _from_table(_beside(archive.parent, options["metadata"]), options)
    else:
        listing, seal = _from_names(members, archive.name, [Problem(name, why) for name, why in refused.items()]), None
    contents = hashlib.sha256()
    for name in sorted(members):
        contents.update(f"{name}\0{members[name].size}\0{members[name].crc}\n".encode())
    return ListedPart(listing, locate, {"metadata": seal, "members": contents.hexdigest()})


@dataclass(frozen=True)
class InFolder:
    """Finds a file below a folder by its relative name."""

    folder: str

    def __call__(self, name: str) -> Locator:
        return WholeFile(os.path.join(self.folder, name))


@dataclass(frozen=True, eq=False)
class _InZip:
    members: Mapping[str, ZipMember]
    refused: Mapping[str, str]

    def __call__(self, name: str) -> Locator:
        return self.members.get(name) or Missing(self.refused.get(name, "the archive holds no member of this name"))


def in_folder(folder: Path) -> InFolder:
    """The locator of the files below `folder`."""
    return InFolder(str(folder.absolute()))


def sizes_hash(locate: InFolder, names: Iterable[str]) -> str:
    """A hash of names and file sizes, -1 where there is no file."""
    sizes = hashlib.sha256()
    for name in names:
        sizes.update(f"{name}\0{_size(locate, name)}\n".encode())
    return sizes.hexdigest()


def _size(locate: InFolder, name: str) -> int:
    try:
        return os.stat(os.path.join(locate.folder, name)).st_size
    except (OSError, ValueError):
        return -1


def _beside(folder: Path, name: str) -> Path:
    inside = folder / name
    return inside if inside.exists() or not Path(name).exists() else Path(name)


def _walk(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = Path(place).relative_to(folder)
        for name in files:
            if not name.startswith("."):
                yield (relative / name).as_posix()


def _from_names(names: Iterable[str], where: str, problems: Iterable[Problem] = ()) -> Listing:
    good: list[str] = []
    problems = list(problems)
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in REFUSED_IMAGE_SUFFIXES:
            problems.append(Problem(name, f"{suffix} images are not read; convert them to PNG, JPEG or WebP"))
        elif suffix in IMAGE_SUFFIXES and (reason := unsafe_name(name)):
            problems.append(Problem(ascii(name), reason))
        elif suffix in IMAGE_SUFFIXES:
            good.append(name)
    if not good and not problems:
        raise DatasetError(f"{where} holds no image; accepted suffixes: {', '.join(sorted(IMAGE_SUFFIXES))}")
    good.sort()
    return Listing(tuple(good), tuple(good), problems=tuple(sorted(problems, key=lambda problem: problem.id)))


def _from_table(path: Path, options: Mapping[str, str]) -> tuple[Listing, str]:
    strings = [*PATH_COLUMNS, "id", "caption", *(options[key] for key in ("id", "image", "caption") if key in options)]
    table = read_table(path, strings=strings)
    image = options.get("image") or next((name for name in PATH_COLUMNS if name in table), None)
    if image is None:
        raise DatasetError(
            f"{path.name} has no column of file names; expected one of {', '.join(PATH_COLUMNS)}, "
            f"or name it with image=. There is: {', '.join(map(repr, table))}"
        )
    names = require_column(table, image, where=path.name)
    id_column = options.get("id") or ("id" if "id" in table else image)
    ids = require_column(table, id_column, where=path.name)
    caption = options.get("caption") or ("caption" if "caption" in table else None)
    captions = None if caption is None else require_column(table, caption, where=path.name)
    rows, problems, inside = [], [], {}
    for row, (id_, name) in enumerate(zip(ids, names, strict=True)):
        if id_ is None or name is None:
            problems.append(
                Problem(str(id_ or f"row {row + 1}"), f"the row has no {id_column if id_ is None else image}")
            )
        elif reason := unsafe_name(str(name)):
            problems.append(Problem(str(id_), f"{reason}; name files relative to the folder"))
        else:
            rows.append(row)
            inside[row] = posixpath.normpath(str(name))
    listing = Listing(
        tuple(str(ids[row]) for row in rows),
        tuple(inside[row] for row in rows),
        None if captions is None else tuple(None if captions[row] is None else str(captions[row]) for row in rows),
        {
            name: [values[row] for row in rows]
            for name, values in table.items()
            if name not in {image, id_column, caption}
        },
        tuple(problems),
    )
    return listing, file_hash(path)


def _zip_members(archive: Path) -> tuple[dict[str, ZipMember], dict[str, str]]:
    try:
        with zipfile.ZipFile(archive) as file:
            entries = file.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise DatasetError(f"{archive.name} is not a readable zip archive: {error}") from error
    if len(entries) > MAX_MEMBERS:
        raise DatasetError(f"{archive.name} lists {len(entries):,} members, over the cap of {MAX_MEMBERS:,}")
    members: dict[str, ZipMember] = {}
    refused: dict[str, str] = {}
    for entry in entries:
        suffix = PurePosixPath(entry.filename).suffix.lower()
        if entry.is_dir() or suffix not in IMAGE_SUFFIXES | REFUSED_IMAGE_SUFFIXES | _ARCHIVES:
            continue
        reason = unsafe_name(entry.filename) or _unfit(entry, suffix)
        if reason is None and entry.filename in members:
            raise DatasetError(f"{archive.name} holds two members named {entry.filename!r}; make their names unique")
        if reason is not None:
            refused[entry.filename] = reason
            continue
        members[entry.filename] = ZipMember(
            str(archive.absolute()),
            entry.header_offset,
            entry.compress_size,
            entry.file_size,
            entry.compress_type == zipfile.ZIP_DEFLATED,
            entry.CRC,
        )
    return members, refused


def _unfit(entry: zipfile.ZipInfo, suffix: str) -> str | None:
    if suffix in _ARCHIVES:
        return "an archive inside an archive is not opened"
    if suffix in REFUSED_IMAGE_SUFFIXES:
        return f"{suffix} images are not read; convert them to PNG, JPEG or WebP"
    if entry.flag_bits & 0x1:
        return "it is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"compression method {entry.compress_type} is not read; store or deflate it"
    if max(entry.file_size, entry.compress_size) > MAX_BYTES:
        return f"it declares {entry.file_size:,} bytes, over the cap of {MAX_BYTES:,}"
    if (entry.external_attr >> 16) & 0o170000 == 0o120000:
        return "it is a link"
    return None
