"""Manifests: which pictures a published set holds, and the loader of the user's own copies.

A manifest says names, hashes where they are known, source and licence; it never holds a picture. A published manifest
whose hashes are empty is *unverified*: `stimuli_manifest` writes the user's own one, with hashes, beside the pictures,
and from then on every picture is held against it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from ...atomic import write_atomic
from ...errors import BankError, DatasetError
from ...fingerprints import file_hash
from ..datasets.decode import MAX_BYTES, decode_image
from ..documents import check_keys, check_text, parse_toml, safe_path
from .registry import image_key

OWN_MANIFEST = "stimuli.toml"
LARGEST_FILE = 8 << 20
MOST_FILES = 100_000
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MANIFEST_KEYS = {"id", "version", "source", "licence", "note", "sets"}
_SET_KEYS = {"folders", "count", "files", "flags", "note"}
_FILE_KEYS = {"name", "sha256"}


@dataclass(frozen=True)
class PictureList:
    """What a published picture set holds: file names in order, or how many files one folder has.

    `folders` are the places below the user's folder where they may lie, first match wins. `files` may be empty: then
    all pictures of the folder are meant, sorted by name, and `count` says how many there should be (0: not known).
    """

    name: str
    source: str
    licence: str
    folders: tuple[str, ...]
    count: int = 0
    files: tuple[tuple[str, str], ...] = ()  # (name, sha256 or "")
    flags: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""


def read_picture_list(reference: str, folder: Path | None, place: str) -> PictureList:
    """``manifest:set`` of a shipped manifest, or of a ``.toml`` file beside the registry.

    Raises
    ------
    BankError
        No such manifest or set, unknown keys, a path that leaves the folder, a name twice, a hash that is none.
    """
    where, _, name = reference.rpartition(":")
    if where.endswith(".toml"):
        path = (folder or Path()) / safe_path(where, place)
        if folder is None or not path.is_file() or path.stat().st_size > LARGEST_FILE:
            raise BankError(f"{place}: no manifest {where!r} of at most {LARGEST_FILE} bytes beside the registry.")
        content = path.read_bytes()
    else:
        shipped = files(__package__).joinpath("manifests").joinpath(f"{where}.toml")
        if not re.fullmatch(r"[a-z0-9-]+", where) or not shipped.is_file():
            raise BankError(f"{place}: images = {reference!r}; expected MANIFEST:SET, as in 'ieat:flower'.")
        content = shipped.read_bytes()
    place = f"manifest {where}"
    document = parse_toml(content, place)
    check_keys(document, _MANIFEST_KEYS, place)
    rows = document.get("sets", {})
    if not isinstance(rows, Mapping) or name not in rows:
        raise BankError(f"{place}: no set {name!r}; it has {', '.join(rows) or 'none'}.")
    place = f"{place}, set {name!r}"
    check_keys(rows[name], _SET_KEYS, place)
    return _picture_list(
        name, rows[name], check_text(document, "source", place), check_text(document, "licence", place), place
    )


def _picture_list(name: str, row: Mapping[str, Any], source: str, licence: str, place: str) -> PictureList:
    folders, count, listed = row.get("folders", [""]), row.get("count", 0), row.get("files", [])
    if not isinstance(folders, list) or not folders or not isinstance(listed, list):
        raise BankError(f"{place}: folders and files must be lists, folders not empty.")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MOST_FILES:
        raise BankError(f"{place}: count = {count!r}; expected a whole number, 0 where it is not known.")
    found: list[tuple[str, str]] = []
    for item in listed:
        entry = {"name": item} if isinstance(item, str) else item
        check_keys(entry, _FILE_KEYS, place)
        path, sha256 = safe_path(entry.get("name", ""), place), entry.get("sha256", "")
        if sha256 and (not isinstance(sha256, str) or not _SHA256.fullmatch(sha256)):
            raise BankError(f"{place}: sha256 of {path!r} is {sha256!r}; expected 64 hex digits, or none.")
        found.append((path, sha256))
    names = [_plain(path) for path, _ in found]
    if twice := sorted({item for item in names if names.count(item) > 1}):
        raise BankError(f"{place}: {twice} stand twice; each picture is listed once.")
    if count and found and count != len(found):
        raise BankError(f"{place}: count = {count}, but {len(found)} files are listed.")
    flags = row.get("flags", {})
    if not isinstance(flags, Mapping) or not all(isinstance(value, str) for value in flags.values()):
        raise BankError(f"{place}: flags; expected a table of texts.")
    places = tuple("" if item in ("", ".") else safe_path(item, place) for item in folders)
    return PictureList(name, source, licence, places, count, tuple(found), dict(flags))


def _plain(name: str) -> str:
    """How names are compared: without suffix, blanks at either end, and case."""
    path = PurePosixPath(name)
    stem = path.stem if path.suffix.strip().lower() in SUFFIXES else path.name
    return str(path.with_name(stem.strip() or stem)).lower()


class OwnCopies:
    """The user's folder of pictures, read only when asked, never outside of it."""

    def __init__(self, folder: str | Path) -> None:
        self.root = Path(folder)
        if not self.root.is_dir():
            raise DatasetError(f"images={self.root}: no such folder; expected your own copies of the pictures.")
        self.known = _read_own(self.root)

    def find(self, wanted: PictureList) -> tuple[tuple[str, Path], ...] | None:
        """(label, file) per picture, or None where the folder has none of them.

        Raises
        ------
        DatasetError
            Some of the pictures are there and some not, or the number is not the published one.
        """
        for folder in wanted.folders:
            place = self.root / folder
            if not place.is_dir():
                continue
            here = _pictures(place)
            if wanted.files:
                by_name = {_plain(path.name): path for path in here}
                names = {_plain(PurePosixPath(name).name) for name, _ in wanted.files}
                if twice := sorted({by_name[name].stem for name in names if _count(here, name) > 1}):
                    raise DatasetError(f"{place}: more than one file each is called {twice}; keep one of them.")
                found = [(name, by_name.get(_plain(PurePosixPath(name).name))) for name, _ in wanted.files]
                absent = [name for name, path in found if path is None]
                if len(absent) == len(found):
                    continue
                if absent:
                    raise DatasetError(
                        f"{place}: {len(absent)} of the {len(found)} pictures of {wanted.name!r} are missing: "
                        f"{', '.join(absent[:5])}{', ...' if len(absent) > 5 else ''}. "
                        "Add them, or take the folder away."
                    )
                return tuple((name.strip(), path) for name, path in found if path is not None)
            if here:
                if wanted.count and len(here) != wanted.count:
                    raise DatasetError(
                        f"{place}: {len(here)} pictures; the published set {wanted.name!r} has {wanted.count}."
                    )
                return tuple((_stem(path), path) for path in here)
        return None

    def reader(self, path: Path, expected: str) -> tuple[str, Callable[[], bytes]]:
        """Key of one file and a function that reads it, after a check of place, hash and pixels."""
        data = self._checked(path)
        key = image_key(data)
        digest = key[2:]
        name = path.relative_to(self.root).as_posix()
        for said, by in ((expected, "the published manifest"), (self.known.get(name, ""), OWN_MANIFEST)):
            if said and said != digest:
                raise DatasetError(
                    f"{path}: sha256 {digest[:12]}..., but {by} says {said[:12]}...; it is another file."
                )
        if self.known and name not in self.known:
            raise DatasetError(
                f"{path} is not in {OWN_MANIFEST}; write it again with stimuli_manifest({str(self.root)!r})."
            )
        try:
            decode_image(data)
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from None
        return key, partial(self._checked, path)

    def _checked(self, path: Path) -> bytes:
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise DatasetError(f"{path} leads out of {self.root}; links out of the folder are not followed.")
        try:
            if path.stat().st_size > MAX_BYTES:
                raise DatasetError(f"{path}: {path.stat().st_size:,} bytes, over the cap of {MAX_BYTES:,}")
            return path.read_bytes()
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None


def stimuli_manifest(folder: str | Path, *, source: str = "", licence: str = "") -> Path:
    """Write ``stimuli.toml`` with the SHA-256 of every picture below `folder`; later loads are held against it.

    Parameters
    ----------
    folder : path
        The user's own copies, in any folders.
    source, licence : str
        Said in the file, for the reader.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    DatasetError
        No such folder, no pictures, too many, or a picture that cannot be decoded.

    Examples
    --------
    >>> import tempfile
    >>> from fairvl.sources.stimuli.png import png_bytes
    >>> import numpy as np
    >>> place = Path(tempfile.mkdtemp())
    >>> _ = (place / "Lake 2.png").write_bytes(png_bytes(np.zeros((4, 4, 3), np.uint8)))
    >>> stimuli_manifest(place).name
    'stimuli.toml'
    """
    root = Path(folder)
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder.")
    found = _pictures(root, deep=True)
    if not found:
        raise DatasetError(f"{root}: no pictures; expected files that end in {', '.join(SUFFIXES)}.")
    lines = [f"source = {_quoted(source or 'own copies')}", f"licence = {_quoted(licence or 'as obtained')}", ""]
    for path in found:
        name = path.relative_to(root).as_posix()
        safe_path(name, str(root))
        try:
            decode_image(path.read_bytes())
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from None
        lines += ["[[files]]", f"name = {_quoted(name)}", f'sha256 = "{file_hash(path)}"', ""]
    write_atomic(root / OWN_MANIFEST, "\n".join(lines))
    return root / OWN_MANIFEST


def _read_own(root: Path) -> dict[str, str]:
    path = root / OWN_MANIFEST
    if not path.is_file():
        return {}
    if path.stat().st_size > LARGEST_FILE:
        raise BankError(f"{path}: {path.stat().st_size} bytes; a manifest has at most {LARGEST_FILE}.")
    document = parse_toml(path.read_bytes(), str(path))
    check_keys(document, {"source", "licence", "files"}, str(path))
    known: dict[str, str] = {}
    if not isinstance(rows := document.get("files", []), list):
        raise BankError(f"{path}: files; expected a list of tables.")
    for row in rows:
        check_keys(row, _FILE_KEYS, str(path))
        name, sha256 = safe_path(row.get("name", ""), str(path)), row.get("sha256", "")
        if name in known or not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise BankError(f"{path}: {name!r} stands twice, or its sha256 {sha256!r} is not 64 hex digits.")
        known[name] = sha256
    return known


def _pictures(folder: Path, *, deep: bool = False) -> list[Path]:
    found = []
    for path in folder.rglob("*") if deep else folder.iterdir():
        if path.suffix.strip().lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            found.append(path)
            if len(found) > MOST_FILES:
                raise DatasetError(f"{folder}: over {MOST_FILES:,} pictures; expected a folder of stimuli.")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _count(paths: list[Path], name: str) -> int:
    return sum(_plain(path.name) == name for path in paths)


def _stem(path: Path) -> str:
    return path.stem.strip() or path.name


def _quoted(text: str) -> str:
    special = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return (
        '"' + "".join(special.get(c, c if ord(c) >= 32 and ord(c) != 127 else f"\\u{ord(c):04x}") for c in text) + '"'
    )
