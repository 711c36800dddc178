"""Amplification after minus before, on the same resamples."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from .directional import directional_amplification
from .result import Amplification, Direction


def amplification_change(
    attributes: ArrayLike,
    tasks: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    *,
    direction: Direction = "a->t",
    train: tuple[ArrayLike, ArrayLike] | None = None,
    **options: Any,
) -> Amplification:
    """Directional amplification of `after` minus that of `before` over the same labels, per pair and on average.

    Both have the labels' signs and the labels' support, so the labels' own shares cancel: the difference is the same
    engine with the predictions before in the place of the labels. Every resample thus draws the same rows for both.
    ``value``, ``per_attribute`` and ``pairs.signed`` are differences; ``absolute`` is the mean size of the change from
    before to after (not a difference of absolute values); coverage is that of `after` against `before`.

    Parameters
    ----------
    attributes, tasks, direction, train, options
        As in `directional_amplification`; the signs come from `train`, else from these labels.
    before, after
        Predictions of the side that the direction names, one run each (of several seeds, compare means over seeds of
        the runs' own values).

    Examples
    --------
    >>> import numpy as np
    >>> a = np.repeat([[1, 0], [0, 1]], 50, axis=0)
    >>> t = np.r_[np.ones(30), np.zeros(20), np.ones(20), np.zeros(30)][:, None]
    >>> round(amplification_change(a, t, a[:, :1], t).value, 3)
    -0.4
    """
    signs = (attributes, tasks) if train is None else train
    if direction == "a->t":
        return directional_amplification(attributes, before, after, direction=direction, train=signs, **options)
    return directional_amplification(before, tasks, after, direction=direction, train=signs, **options)
