"""Small TOML documents: those that ship with the package and the user's own, read and checked key by key.

Banks, registries, suites and manifests are such documents. Every mistake in one is a `BankError` that says where it is.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import BankError

LARGEST_FILE = 1 << 20


def shipped(package: str, folder: str) -> dict[str, Traversable]:
    """The ``.toml`` files of a folder of a package, by name."""
    found = files(package).joinpath(folder).iterdir()
    return {file.name.removesuffix(".toml"): file for file in sorted(found, key=str) if file.name.endswith(".toml")}


def read_document(name: str | Path, kind: str, package: str, folder: str) -> tuple[dict[str, Any], str, Path | None]:
    """A shipped document by its name, or the one in a ``.toml`` file.

    Returns
    -------
    (document, place, parent)
        The table, its place in words for messages ("bank weat"), and the folder of a file of the user's own.

    Raises
    ------
    BankError
        No such document, a file that is too large, not TOML.
    """
    path = Path(name)
    if path.suffix != ".toml":
        known = shipped(package, folder)
        if str(name) not in known:
            raise BankError(
                f"no {kind} {str(name)!r}; expected a file that ends in .toml, or one of {', '.join(known)}."
            )
        return parse_toml(known[str(name)].read_bytes(), f"{kind} {name}"), f"{kind} {name}", None
    if not path.is_file():
        raise BankError(f"{path}: no such {kind} file.")
    if path.stat().st_size > LARGEST_FILE:
        raise BankError(f"{path}: {path.stat().st_size} bytes; a {kind} has at most {LARGEST_FILE}.")
    return parse_toml(path.read_bytes(), f"{kind} {path}"), f"{kind} {path}", path.parent


def check_head(
    document: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type], place: str
) -> None:
    """Raise BankError where a document lacks a key, has one that is not known, or one of another type."""
    check_keys(document, set(required) | set(optional), place)
    if missing := [key for key in required if key not in document]:
        raise BankError(f"{place}: missing {', '.join(missing)}; every document says where it comes from.")
    for key, kind in {**required, **optional}.items():
        if key in document and (not isinstance(document[key], kind) or isinstance(document[key], bool)):
            raise BankError(f"{place}: {key} = {document[key]!r}; expected {kind.__name__}.")
    if empty := [key for key in required if key != "version" and not _filled(document[key])]:
        raise BankError(f"{place}: {', '.join(empty)} must not be empty.")


def _filled(value: Any) -> bool:
    return bool(value.strip() if isinstance(value, str) else value)


def parse_toml(content: bytes, place: str) -> dict[str, Any]:
    """TOML bytes as a table, or BankError."""
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BankError(f"{place}: not valid TOML ({error}).") from None


def check_keys(row: Any, known: set[str], place: str) -> None:
    """Raise BankError where `row` is no table, or has keys that are not known."""
    if not isinstance(row, Mapping):
        raise BankError(f"{place}: {row!r}; expected a table.")
    if unknown := set(row) - known:
        raise BankError(f"{place}: unknown keys {sorted(unknown)}; expected some of {sorted(known)}.")


def check_text(row: Mapping[str, Any], key: str, place: str, *, default: str | None = None) -> str:
    """The text under `key`, or BankError; without a default it must be there and not empty."""
    value = row.get(key, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise BankError(f"{place}: {key} = {value!r}; expected a text.")
    return value


def check_texts(values: Any, place: str) -> tuple[str, ...]:
    """A list of texts that are not empty, or BankError."""
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise BankError(f"{place}: {values!r}; expected a list of texts that are not empty.")
    return tuple(values)


def safe_path(value: Any, place: str) -> str:
    """A relative path with forward slashes that stays below its folder, or BankError."""
    if not isinstance(value, str) or not value.strip() or len(value) > 1024 or any(ord(c) < 32 for c in value):
        raise BankError(f"{place}: {value!r}; expected the relative path of a file.")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or ":" in value or not path.parts:
        raise BankError(f"{place}: {value!r} leaves its folder; expected a relative path without '..' and drive.")
    return value
