"""p-values corrected for having asked many questions.

Holm bounds the chance of any false alarm in the family, whatever the dependence. Benjamini-Hochberg
bounds the expected share of false alarms among the alarms (independent or positively dependent tests);
Benjamini-Yekutieli does so whatever the dependence. A NaN p (an undefined test) stays NaN and is not counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

Floats = NDArray[np.float64]


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values, in the order given.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values, order, ranks = _ordered(p)
    m = len(order)
    return _restored(values, order, np.maximum.accumulate((m - ranks + 1) * values[order]))


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Benjamini-Hochberg step-up adjusted p-values, in the order given.

    References
    ----------
    Benjamini and Hochberg (1995), "Controlling the false discovery rate", J. R. Statist. Soc. B 57.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    values, order, ranks = _ordered(p)
    m = len(order)
    return _restored(values, order, np.minimum.accumulate((m / ranks * values[order])[::-1])[::-1])


def benjamini_yekutieli(p: ArrayLike) -> Floats:
    """Benjamini-Yekutieli adjusted p-values: the false discovery rate under any dependence.

    References
    ----------
    Benjamini and Yekutieli (2001), Ann. Statist. 29, theorem 1.3.

    Examples
    --------
    >>> benjamini_yekutieli([0.01, 0.04, 0.03]).round(3).tolist()
    [0.055, 0.073, 0.073]
    """
    values, order, ranks = _ordered(p)
    m = len(order)
    harmonic = float((1 / ranks).sum())
    return _restored(values, order, np.minimum.accumulate((harmonic * m / ranks * values[order])[::-1])[::-1])


def _ordered(p: ArrayLike) -> tuple[Floats, NDArray[np.intp], Floats]:
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"p-values of shape {values.shape}; expected one dimension. Ravel the family first.")
    if ((values < 0) | (values > 1)).any():
        raise InputError(f"p-values lie between 0 and 1; found {values.min()} to {values.max()}.")
    order = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]
    return values, order, np.arange(1.0, len(order) + 1)


def _restored(values: Floats, order: NDArray[np.intp], adjusted: Floats) -> Floats:
    result = np.full(len(values), np.nan)
    result[order] = np.minimum(adjusted, 1.0)
    return result
