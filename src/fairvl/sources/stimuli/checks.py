"""Checks shared by the files of this room: TOML, keys, texts, paths."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ...errors import BankError


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
