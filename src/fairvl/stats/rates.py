"""Metrics of class counts: one-vs-rest rates, their means over classes, their spread over groups.

Accuracy, every rate, precision and F1 depend on a confusion matrix through three vectors only: per class the
*truths*, the *predictions* and the *hits* (both at once). Arrays are ``[..., groups, classes]`` in float64; a rate
whose denominator is 0 is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .codes import unknown_label

FloatArray = NDArray[np.float64]


def divide(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """Quotient, NaN where the denominator is 0."""
    quotient: FloatArray = np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan)
    np.divide(top, bottom, out=quotient, where=bottom > 0)
    return quotient


def mean_defined(values: FloatArray) -> FloatArray:
    """Mean over the last axis without NaN; NaN where nothing is defined."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0.0).sum(-1), defined.sum(-1).astype(np.float64))


def _of_rows(part: FloatArray, truths: FloatArray) -> FloatArray:
    return divide(part, truths.sum(-1, keepdims=True))


def _of_rest(part: FloatArray, truths: FloatArray) -> FloatArray:
    return divide(part, truths.sum(-1, keepdims=True) - truths)


# One-vs-rest rates per class from truths t, predictions p and hits h.
_RATES: dict[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "selection_rate": lambda t, p, h: _of_rows(p, t),
    "base_rate": lambda t, p, h: _of_rows(t, t),
    "true_positive_rate": lambda t, p, h: divide(h, t),
    "false_negative_rate": lambda t, p, h: divide(t - h, t),
    "false_positive_rate": lambda t, p, h: _of_rest(p - h, t),
    "true_negative_rate": lambda t, p, h: _of_rest(t.sum(-1, keepdims=True) - t - p + h, t),
    "precision": lambda t, p, h: divide(h, p),
    "recall": lambda t, p, h: divide(h, t),
    "f1": lambda t, p, h: divide(2 * h, t + p),
}
LOWER_IS_BETTER: tuple[str, ...] = ("false_negative_rate", "false_positive_rate")
METRICS: tuple[str, ...] = ("accuracy", "balanced_accuracy", *_RATES)


def rates(name: str, truths: FloatArray, predictions: FloatArray, hits: FloatArray) -> FloatArray:
    """The named one-vs-rest rate of every class, ``[..., groups, classes]``."""
    return _RATES[name](truths, predictions, hits)


def metric(
    name: str, truths: FloatArray, predictions: FloatArray, hits: FloatArray, positive: int | None
) -> FloatArray:
    """The named metric per group, ``[..., groups]``; rates are those of class `positive`, or with None the mean over
    the classes for which they are defined (macro)."""
    if name == "accuracy":
        return divide(hits.sum(-1), truths.sum(-1))
    if name == "balanced_accuracy":  # mean recall over the classes that occur
        return mean_defined(divide(hits, truths))
    values = _RATES[name](truths, predictions, hits)
    return mean_defined(values) if positive is None else values[..., positive]


def check_metric(name: object, *, has_positive: bool) -> str:
    """The metric's name, if it is known and defined for these classes."""
    if name not in METRICS:
        raise InputError(unknown_label(str(name), METRICS, kind="metric"))
    if name in ("selection_rate", "base_rate") and not has_positive:
        raise InputError(f"{name} needs positive=, the class it is about.")
    return str(name)


def over_classes(gaps: FloatArray, agg: str) -> FloatArray:
    """Largest or mean of the defined gaps, [b]."""
    if agg not in ("max", "mean"):
        raise InputError(f"agg={agg!r}; expected 'max' or 'mean'.")
    return np.asarray(np.fmax.reduce(gaps, axis=-1)) if agg == "max" else mean_defined(gaps)


def wilson(hits: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a share (Wilson 1927); NaN without rows.

    Examples
    --------
    >>> tuple(round(end, 4) for end in wilson(0, 20))
    (0.0, 0.1611)
    """
    from scipy.special import ndtri

    if n == 0:
        return math.nan, math.nan
    z = float(ndtri((1 + level) / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == n else centre + half)
