"""NLVR2: whether a sentence holds for a pair of images; accuracy by example and consistency by sentence."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

_TRUE, _FALSE = ("true", "1", "1.0", "yes"), ("false", "0", "0.0", "no")


@dataclass(frozen=True, eq=False)
class Consistency:
    """One score per sentence: 1.0 where every example of it is right.

    `rows` is the first example of each sentence, which has its group; `examples` how many it has.
    """

    scores: NDArray[np.float64]
    rows: NDArray[np.int64]
    examples: NDArray[np.int64]


def nlvr2_accuracy(predicted: Sequence[Any], labels: Sequence[Any]) -> NDArray[np.float64]:
    """1.0 where the predicted truth value is the label, else 0.0; ``float64 [n]``. Booleans, 0/1, "True", "False".

    Examples
    --------
    >>> nlvr2_accuracy(["True", False, 1], [True, "True", "true"]).tolist()
    [1.0, 0.0, 1.0]
    """
    if len(predicted) != len(labels) or not len(labels):
        raise InputError(f"{len(predicted)} predictions and {len(labels)} labels; expected one each, at least one.")
    pairs = zip(predicted, labels, strict=True)
    return np.array([float(_truth(p, row) == _truth(t, row)) for row, (p, t) in enumerate(pairs)])


def nlvr2_consistency(correct: Sequence[Any] | NDArray[Any], sentences: Sequence[Hashable]) -> Consistency:
    """Share-ready scores per unique sentence: all of its examples right, or not.

    Parameters
    ----------
    correct
        ``[n]`` scores of `nlvr2_accuracy`.
    sentences
        ``[n]`` what tells sentences apart: the set and sentence numbers of the identifier (see the ``nlvr2:`` layout),
        or the text.

    References
    ----------
    Suhr et al. (2019), "A corpus for reasoning about natural language grounded in photographs", section 5.

    Examples
    --------
    >>> nlvr2_consistency([1, 1, 1, 0], ["s1", "s1", "s2", "s2"]).scores.tolist()
    [1.0, 0.0]
    """
    right = np.asarray(correct, dtype=np.float64)
    if right.shape != (len(sentences),) or not np.isin(right, (0.0, 1.0)).all():
        raise InputError(f"correct of shape {right.shape} for {len(sentences)} sentences; expected a 0 or 1 for each.")
    first: dict[Hashable, int] = {}
    codes = np.array([first.setdefault(s, len(first)) for s in sentences], dtype=np.int64)
    rows = np.unique(codes, return_index=True)[1].astype(np.int64)
    examples = np.bincount(codes).astype(np.int64)
    scores = (np.bincount(codes, weights=right) == examples).astype(np.float64)
    return Consistency(scores, rows, examples)


def _truth(value: Any, row: int) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise InputError(f"row {row}: {value!r} is no truth value; expected True or False.")
