"""Rows of predictions brought to the order of the labels: by id, one to one, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError


def join_rows(ids: Sequence[Hashable], predicted_ids: Sequence[Hashable]) -> NDArray[np.int64]:
    """The row of the prediction of each label, ``int64 [n]``; sorting both sides would hide a row that is missing.

    Raises
    ------
    InputError
        An id twice on either side, a label without prediction, a prediction for an unknown id.

    Examples
    --------
    >>> join_rows(["q1", "q2", "q3"], ["q3", "q1", "q2"]).tolist()
    [1, 2, 0]
    """
    for name, side in (("labels", ids), ("predictions", predicted_ids)):
        if twice := [key for key, count in Counter(side).items() if count > 1]:
            raise InputError(f"{name}: {len(twice)} ids occur twice, such as {twice[0]!r}; expected one row per id.")
    place = {key: row for row, key in enumerate(predicted_ids)}
    if lost := [key for key in ids if key not in place]:
        raise InputError(f"{len(lost)} labelled ids have no prediction, such as {lost[0]!r}; expected one each.")
    if len(place) > len(ids):
        known = set(ids)
        unknown = [key for key in place if key not in known]
        raise InputError(
            f"{len(unknown)} predictions are for unknown ids, such as {unknown[0]!r}; expected the ids of the labels."
        )
    return np.array([place[key] for key in ids], dtype=np.int64)
