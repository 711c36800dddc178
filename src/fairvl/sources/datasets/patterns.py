"""File name patterns: braces as the shell expands them, and ``*``."""

from __future__ import annotations

import glob
import os
import re
from itertools import product

from fairvl.errors import DatasetError

MAX_FILES = 1_000_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")


def expand(pattern: str) -> list[str]:
    """Names that a brace and ``*`` pattern stands for: braces in order, matches of ``*`` sorted.

    Examples
    --------
    >>> expand("{08..10}-{a,b}.tar")
    ['08-a.tar', '08-b.tar', '09-a.tar', '09-b.tar', '10-a.tar', '10-b.tar']
    """
    pieces = _BRACES.split(pattern)
    choices: list[list[str]] = []
    total = 1
    for position, piece in enumerate(pieces):
        choices.append(_choices(piece) if position % 2 else [piece])
        total *= len(choices[-1])
        if total > MAX_FILES:
            raise DatasetError(f"{pattern!r} stands for over {MAX_FILES:,} files; name fewer")
    names = ["".join(choice) for choice in product(*choices)]
    if not any(mark in pattern for mark in "*?["):
        return names
    found = [match for name in names for match in sorted(glob.glob(os.path.expanduser(name)))]
    if not found:
        raise DatasetError(f"no file matches {pattern!r}")
    return found


def _choices(inside: str) -> list[str]:
    bounds = _RANGE.fullmatch(inside)
    if bounds is None:
        return inside.split(",")
    first, last = int(bounds[1]), int(bounds[2])
    if not first <= last < first + MAX_FILES:
        raise DatasetError(f"the range {{{inside}}} must go up and name at most {MAX_FILES:,} files")
    return [str(number).zfill(len(bounds[1])) for number in range(first, last + 1)]
