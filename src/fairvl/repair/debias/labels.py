"""Labels of vectors for one attribute or several, as codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.codes import GroupCodes, encode

Labels: TypeAlias = Sequence[Any] | ArrayLike | Mapping[str, Sequence[Any]]


def named_groups(labels: Labels, n: int, *, minimum: int = 2) -> dict[str, GroupCodes]:
    """Group codes per attribute; one sequence of labels is the attribute "" and a missing label is no group.

    Raises
    ------
    InputError
        Another number of labels than `n`, or fewer than `minimum` different ones.
    """
    given = labels if isinstance(labels, Mapping) else {"": labels}
    if not given:
        raise InputError("labels: no attribute; expected labels [n], or a mapping of attributes to labels.")
    out: dict[str, GroupCodes] = {}
    for name, values in given.items():
        array = np.asarray(values, dtype=object)
        if array.ndim != 1 or len(array) != n:
            raise InputError(
                f"labels{f' of {name!r}' if name else ''}: shape {array.shape}; expected one per vector, ({n},). "
                "Several attributes go in as a mapping of name to labels."
            )
        codes = encode(array.tolist(), name=str(name) or "labels")
        present = np.unique(codes.codes[codes.codes >= 0])
        if len(present) < minimum:
            raise InputError(
                f"labels{f' of {name!r}' if name else ''}: {len(present)} groups among {n} vectors; expected at least "
                f"{minimum}. There is nothing to remove where all belong together."
            )
        out[str(name)] = codes
    return out


def named_labels(labels: Labels, n: int) -> dict[str, NDArray[np.int64]]:
    """As `named_groups`, the codes alone (-1 is missing)."""
    return {name: codes.codes.astype(np.int64) for name, codes in named_groups(labels, n).items()}
