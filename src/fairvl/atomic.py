"""Files that are either whole or not there: temporary name, fsync, rename."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from .errors import JobError


def write_atomic(path: Path | str, content: bytes | str | Callable[[BinaryIO], None]) -> None:
    """Leave at `path` either what was there or all of `content`, whenever the process dies.

    Parameters
    ----------
    path : path
        Its parent folder is created when missing.
    content : bytes, str or callable
        The bytes (text is written as UTF-8), or a function that writes them to an open binary file.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> write_atomic(folder / "a.txt", "whole")
    >>> (folder / "a.txt").read_text(), len(list(folder.iterdir()))
    ('whole', 1)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable; a file system that cannot say so is left alone."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def require_writable(folder: Path | str) -> None:
    """Refuse an output folder that cannot be made or written before any work, and leave no trace of having tried.

    Raises
    ------
    JobError
        It is a file, or neither it nor a folder above it lets anything be written.
    """
    out = Path(folder)
    try:
        if out.exists() and not out.is_dir():
            raise JobError(f"{out}: is not a folder. Name another output folder.")
        above = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
        with TemporaryDirectory(dir=above, prefix=".writing-") as scratch:
            if above != out:
                Path(scratch, *out.absolute().relative_to(above).parts).mkdir(parents=True)
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise JobError(f"{out}: cannot be created or written; name another folder ({why}).") from None
