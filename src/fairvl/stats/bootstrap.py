"""Bootstrap: weights that resample units or clusters, and intervals from replicates.

A *unit* is what was sampled from a population: a base word with all its templates, an image, a person.
Units are drawn with replacement within each *stratum* (a target set, a group); a replicate is the
statistic under the drawn counts. Drawing counts instead of rows turns most statistics into one
matrix product, ``counts [draws, units] @ per-unit sums``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

Floats: TypeAlias = NDArray[np.float64]
Seed: TypeAlias = int | np.random.Generator
IntervalMethod: TypeAlias = Literal["bca", "percentile"]

_BLOCK_BYTES = 32 * 2**20
TIED = 1e-9  # relative difference that float64 sums in another order stay far below
_LEAST_DEFINED = 0.5  # an interval from fewer than half of the replicates would describe the lucky ones


def interval(
    replicates: ArrayLike,
    observed: ArrayLike,
    *,
    level: float = 0.95,
    method: IntervalMethod = "bca",
    jackknife: ArrayLike | None = None,
    jackknife_weights: ArrayLike | None = None,
    units: int | None = None,
) -> tuple[Any, Any]:
    """Two-sided bootstrap interval, of one statistic or of many at once.

    Parameters
    ----------
    replicates : (draws,) or (draws, m) array
        The statistic under resampling. NaN replicates are left out (see `undefined_share`).
    observed : float or (m,) array
        The statistic of the data.
    method
        "percentile": quantiles of the replicates. "bca": the same quantiles moved for median bias and
        for a standard error that changes with the parameter.
    jackknife : (n,) or (n, m) array, for "bca"
        The statistic without each unit in turn. NaN values are left out. With several strata pass
        what `stratified_jackknife` returns.
    jackknife_weights : (n,) array
        How many units share each jackknife value (rows per cell of a table of counts); one each by default.
    units : for "percentile"
        Units of the smallest stratum. The quantiles then move outwards, as t quantiles with ``units - 1``
        degrees of freedom and a variance that resampling understates by ``(units - 1) / units`` ask for;
        without it small samples give intervals that are too short. "bca" leaves it alone.

    Returns
    -------
    (low, high)
        Floats, or arrays ``[m]``. NaN where `observed` is NaN or fewer than half of the replicates are defined.

    Raises
    ------
    InputError
        No replicates, shapes that do not agree, a level outside (0, 1), "bca" without a jackknife.

    References
    ----------
    Efron (1987), "Better bootstrap confidence intervals", JASA 82, equations 2.3 and 6.6. Hesterberg (2015),
    "What teachers should know about the bootstrap", Am. Stat. 69, expanded percentile interval. Quantiles
    are order statistics at ``p (draws + 1)``, interpolated linearly.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.arange(20.0)
    >>> draws = np.random.default_rng(0).choice(values, size=(2000, 20)).mean(axis=1)
    >>> low, high = interval(draws, values.mean(), method="percentile")
    >>> bool(6.5 < low < 7.5 and 11.5 < high < 12.5)
    True
    """
    if not 0 < level < 1:
        raise InputError(f"level={level}; expected a number between 0 and 1, for example 0.95.")
    if method not in get_args(IntervalMethod):
        raise InputError(f"interval method {method!r}; expected one of {get_args(IntervalMethod)}.")
    values = np.asarray(replicates, dtype=np.float64)
    centre = np.asarray(observed, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) == 0 or centre.shape != values.shape[1:]:
        raise InputError(
            f"replicates of shape {values.shape}, observed of shape {centre.shape}; expected [draws] and a number, "
            "or [draws, m] and [m], with at least one draw."
        )
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "percentile" and units is not None:
        tails = _expanded(tails, units)
    columns, centres = (values[:, None], centre[None]) if values.ndim == 1 else (values, centre)
    shares = np.repeat(tails[:, None], len(centres), axis=1)
    if method == "bca":
        if jackknife is None:
            raise InputError('method="bca" needs the jackknife values. Pass jackknife=, or use method="percentile".')
        left_out = np.asarray(jackknife, dtype=np.float64)
        left_out = left_out[:, None] if values.ndim == 1 and left_out.ndim == 1 else left_out
        if left_out.ndim != 2 or left_out.shape[1] != len(centres):
            raise InputError(f"jackknife of shape {left_out.shape}; expected [n] or [n, {len(centres)}].")
        weights = np.ones(len(left_out)) if jackknife_weights is None else np.asarray(jackknife_weights, np.float64)
        if weights.shape != left_out.shape[:1] or not (weights >= 0).all():
            raise InputError(f"jackknife_weights of shape {weights.shape}; expected {len(left_out)} numbers >= 0.")
        shares = _bca_shares(columns, centres, left_out, weights[:, None], tails)
    ends = _quantiles(columns, shares)
    ends[:, np.isnan(centres) | (np.isnan(columns).mean(axis=0) > 1 - _LEAST_DEFINED)] = np.nan
    if values.ndim == 1:
        return float(ends[0, 0]), float(ends[1, 0])
    return ends[0], ends[1]


def undefined_share(replicates: ArrayLike) -> Any:
    """Share of replicates that are NaN: a float, or ``[m]`` for replicates ``[draws, m]``."""
    share = np.isnan(np.asarray(replicates, dtype=np.float64)).mean(axis=0)
    return float(share) if share.ndim == 0 else share


def unit_codes(units: int | ArrayLike, *, name: str = "clusters") -> NDArray[np.int64]:
    """Unit of each row as codes 0 .. k-1 in order of first use; an integer n means n rows of their own."""
    if isinstance(units, (int, np.integer)):
        if units < 1:
            raise InputError(f"{name}: {units} units; expected at least 1.")
        return np.arange(int(units), dtype=np.int64)
    labels = np.asarray(units)
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"{name}: shape {labels.shape}; expected one label per row.")
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise InputError(f"{name}: missing labels; every row needs the unit it was sampled with.")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def resample_counts(units: int | ArrayLike, draws: int, rng: np.random.Generator) -> Floats:
    """Multinomial counts ``[draws, rows]``: how often each row is drawn when its unit is.

    Parameters
    ----------
    units
        Number of rows that are units of their own, or a label per row; rows that share a label
        (templates of a word) are drawn together.

    Examples
    --------
    >>> import numpy as np
    >>> counts = resample_counts(["cat", "cat", "dog"], 5, np.random.default_rng(0))
    >>> bool((counts[:, 0] == counts[:, 1]).all()), (counts[:, 1] + counts[:, 2]).tolist()
    (True, [2.0, 2.0, 2.0, 2.0, 2.0])
    """
    codes = unit_codes(units)
    counts = draw_counts(int(codes.max()) + 1, draws, rng)
    return counts if isinstance(units, (int, np.integer)) else counts[:, codes]


def draw_counts(n_units: int, draws: int, rng: np.random.Generator) -> Floats:
    """Counts ``[draws, n_units]`` of `n_units` draws with replacement; drawn in blocks, they are the same counts."""
    drawn = rng.integers(n_units, size=(draws, n_units)) + n_units * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * n_units).reshape(draws, n_units).astype(np.float64)


def draw_blocks(draws: int, numbers_per_draw: int) -> Iterator[int]:
    """Sizes of the blocks that `draws` fall into when one draw needs that many float64 numbers (32 MiB a block)."""
    rows = max(1, _BLOCK_BYTES // (8 * max(numbers_per_draw, 1)))
    for start in range(0, draws, rows):
        yield min(rows, draws - start)


def stratified_jackknife(strata: list[Floats]) -> Floats:
    """Delete-one values of several strata, scaled so that `interval` sees one sample.

    Parameters
    ----------
    strata
        Per stratum ``[k]`` or ``[k, m]``: the statistic without each of its k units. NaN is left out.

    Notes
    -----
    The acceleration of a statistic of several samples is ``sum l**3 / (6 (sum l**2)**1.5)`` with the
    empirical influence of a unit divided by its stratum's size, ``l = (k - 1) / k (mean - value)``
    (Davison and Hinkley 1997, section 5.3.2 with 3.2.1). Strata of one unit have no influence.
    """
    parts = []
    for values in strata:
        k = len(values)
        if k > 1:
            defined = np.isfinite(values)
            total = np.where(defined, values, 0.0).sum(axis=0)
            parts.append((k - 1) / k * (values - total / np.maximum(defined.sum(axis=0), 1)))
    if not parts:
        raise InputError("every stratum has one unit; a jackknife needs two or more.")
    return np.concatenate(parts)


def _expanded(tails: Floats, units: int) -> Floats:
    from scipy.special import ndtr, stdtrit

    if units < 2:
        raise InputError(f"units={units}; an interval needs two units or more in every stratum.")
    widened: Floats = ndtr(math.sqrt(units / (units - 1)) * stdtrit(units - 1, tails))
    return widened


def _bca_shares(replicates: Floats, observed: Floats, jackknife: Floats, weights: Floats, tails: Floats) -> Floats:
    """Tail probabilities [2, m] at which the BCa interval reads the replicates."""
    from scipy.special import ndtr, ndtri

    defined = np.maximum((~np.isnan(replicates)).sum(axis=0), 1)
    # a resample that holds the sample itself is a tie, whatever the order of its sums
    tie = TIED * np.maximum(np.abs(observed), np.fmax.reduce(np.abs(replicates), axis=0))
    below = 0.5 * ((replicates < observed - tie).sum(axis=0) + (replicates <= observed + tie).sum(axis=0))
    bias = ndtri(np.clip(below / defined, 0.5 / defined, 1 - 0.5 / defined))
    present = np.isfinite(jackknife)
    units = np.maximum((weights * present).sum(axis=0), 1)
    mean = (weights * np.where(present, jackknife, 0.0)).sum(axis=0) / units
    influence = np.where(present, mean - jackknife, 0.0)
    # divided by the largest first: cubes of tiny influences would underflow
    influence = influence / np.maximum(np.abs(influence).max(axis=0), np.finfo(np.float64).tiny)
    spread = (weights * influence**2).sum(axis=0)
    acceleration = (weights * influence**3).sum(axis=0) / (6 * np.maximum(spread, 1e-100) ** 1.5)
    z = bias + ndtri(tails)[:, None]
    shares: Floats = ndtr(bias + z / np.maximum(1 - acceleration * z, 1e-3))
    return shares


def _quantiles(replicates: Floats, shares: Floats) -> Floats:
    """Order statistics of each column at its own shares [2, m], NaN left out."""
    ends = np.full(shares.shape, np.nan)
    columns = max(1, _BLOCK_BYTES // (8 * len(replicates)))
    for start in range(0, replicates.shape[1], columns):
        block = slice(start, start + columns)
        ordered = np.sort(replicates[:, block], axis=0)  # NaN sorts last
        defined = (~np.isnan(ordered)).sum(axis=0)
        last = np.maximum(defined - 1, 0)
        position = np.clip(shares[:, block] * (defined + 1) - 1, 0, last)
        lower = np.floor(position).astype(np.int64)
        low = np.take_along_axis(ordered, lower, axis=0)
        high = np.take_along_axis(ordered, np.minimum(lower + 1, last), axis=0)
        ends[:, block] = np.where(defined > 0, low + (position - lower) * (high - low), math.nan)
    return ends
