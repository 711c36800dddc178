"""Single stimuli (SC-EAT), or one target set as a whole (ST-EAT), against two attribute sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import unit_rows
from ...errors import InputError
from ...stats import bootstrap
from ...stats.bootstrap import IntervalMethod, stratified_jackknife, undefined_share
from ...stats.permutation import DRAWS, EXACT_LIMIT, Method, Tail, check_tail, two_sample_ps
from ...stats.two_samples import IDENTICAL, left_out, resampled, standardised, unit_means, unit_moments
from .anatomy import Seed, check_choice, check_ddof, check_sets, cluster_codes, fixed_seed, splits_rng
from .result import AssociationResult

Floats: TypeAlias = NDArray[np.float64]
Spread: TypeAlias = Literal["row", "matrix"]
Pair: TypeAlias = Sequence[ArrayLike | None]


def single_category_test(
    w: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    tail: Tail = "greater",
    seed: Seed = 0,
    ddof: int = 1,
    spread: Spread = "row",
    level: float = 0.95,
    interval: IntervalMethod = "bca",
    draws: int = 2000,
    clusters: Pair | None = None,
    method: Method = "auto",
    exact_limit: int = EXACT_LIMIT,
    permutations: int = DRAWS,
) -> AssociationResult[Any]:
    """Association of single stimuli with A against B, in standard deviations (SC-EAT, WEFAT).

    ``(mean_a cos(w, a) - mean_b cos(w, b)) / SD cos(w, .)``, the SD over A and B together, per row of `w`.
    The p-value permutes the stimuli of A and B; the interval resamples them. All rows share both.

    Parameters
    ----------
    w : (d,) or (n, d) array
    spread
        "row": the SD of the row's own cosines. "matrix": one SD over the cosines of all rows, as CLIP_bias divides
        when it is given several; with A and B of equal size, as it requires. The p-values are the same. Intervals take
        that SD as given.
    clusters
        Two sequences, for a and b: base word or template of each attribute stimulus.
    method, exact_limit, permutations
        As `association_test`.

    Returns
    -------
    AssociationResult
        Floats for one vector ``[d]``, arrays ``[n]`` for rows ``[n, d]``. `n` counts the attribute units.

    Raises
    ------
    InputError
        As `association_test`; "matrix" with A and B of different sizes.

    Examples
    --------
    >>> a, b = [[1.0, 0.2], [1.0, 0.1]], [[0.1, 1.0], [0.2, 1.0]]
    >>> round(single_category_test([1.0, 0.0], a, b).effect_size, 3)
    1.726
    """
    single = np.ndim(w) == 1
    w, a, b = (unit_rows(v) for v in check_sets(w, a, b, names="wab"))
    check_choice(spread, "spread", Spread)
    if spread == "matrix" and len(a) != len(b):
        raise InputError(f'spread="matrix" with {len(a)} and {len(b)} attribute stimuli; expected sets of equal size.')
    options: dict[str, Any] = {"tail": tail, "method": method, "exact_limit": exact_limit, "draws": permutations}
    found = _compare_cosines(
        (a @ w.T, b @ w.T), clusters, check_ddof(ddof), options, (level, interval, draws), fixed_seed(seed), spread
    )
    return _result(found, (len(w), 0, len(a), len(b)), single, "rows have equal cosines with all attributes")


def st_eat(
    targets: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    tail: Tail = "greater",
    seed: Seed = 0,
    ddof: int = 1,
    level: float = 0.95,
    interval: IntervalMethod = "bca",
    draws: int = 2000,
    clusters: Pair | None = None,
    method: Method = "auto",
    exact_limit: int = EXACT_LIMIT,
    permutations: int = DRAWS,
) -> AssociationResult[float]:
    """Association of one target set as a whole with A against B (ST-EAT, level 2 of ML-EAT).

    ``(mean_a m(a) - mean_b m(b)) / SD m`` with ``m(v)`` the mean cosine of v with the targets, the SD over A and B
    together. Attributes are permuted and resampled; the targets are given.

    Parameters
    ----------
    targets : (n, d) array
        One target set.
    clusters, and the rest
        As `single_category_test`.

    References
    ----------
    Wolfe et al. (2024), "ML-EAT: A Multilevel Embedding Association Test", AIES.

    Examples
    --------
    >>> a, b = [[1.0, 0.2], [1.0, 0.1]], [[0.1, 1.0], [0.2, 1.0]]
    >>> round(st_eat([[1.0, 0.0], [1.0, 0.1]], a, b).effect_size, 3)
    1.726
    """
    targets, a, b = (unit_rows(v) for v in check_sets(targets, a, b, names="xab"))
    mean = targets.mean(axis=0)[:, None]
    options: dict[str, Any] = {"tail": tail, "method": method, "exact_limit": exact_limit, "draws": permutations}
    found = _compare_cosines(
        (a @ mean, b @ mean), clusters, check_ddof(ddof), options, (level, interval, draws), fixed_seed(seed), "row"
    )
    return _result(found, (len(targets), 0, len(a), len(b)), True, "set has equal mean cosines with all attributes")


def _compare_cosines(
    cosines: tuple[Floats, Floats],
    clusters: Pair | None,
    ddof: int,
    options: dict[str, Any],
    resampling: tuple[float, IntervalMethod, int],
    seed: int,
    spread: Spread,
) -> dict[str, Any]:
    """Columns of an AssociationResult from cosines [p, n] with A and [q, n] with B."""
    check_tail(options["tail"])
    x, y = cosines
    level, interval, draws = resampling
    codes = cluster_codes(clusters, (len(x), len(y)), "ab")
    observed = standardised(x, y, ddof)
    found = two_sample_ps(
        *(unit_means(v, c).T for v, c in zip((x, y), codes, strict=True)), seed=splits_rng(seed), **options
    )
    units = [int(c.max()) + 1 for c in codes]
    low, high, undefined = (np.full(len(observed), v) for v in (np.nan, np.nan, 0.0))
    if min(units) > 1:
        moments = unit_moments(x, y, codes[0], codes[1])
        replicates = resampled(moments, draws, seed, ddof)
        undefined = undefined_share(replicates)
        jackknife = stratified_jackknife(left_out(moments, ddof)) if interval == "bca" else None
        low, high = bootstrap.interval(
            replicates, observed, level=level, method=interval, jackknife=jackknife, units=min(units)
        )
    if spread == "matrix":
        both = np.concatenate([x, y])
        whole = both.std(ddof=ddof) if np.ptp(both) > IDENTICAL else np.nan
        observed = (x.mean(axis=0) - y.mean(axis=0)) / whole
        low, high = (end * both.std(axis=0, ddof=ddof) / whole for end in (low, high))
    hidden = np.isnan(observed)
    p, error = (np.where(hidden, np.nan, [getattr(f, name) for f in found]) for name in ("p", "error"))
    return {
        "effect_size": observed, "p": p, "low": low, "high": high, "p_error": error, "undefined": undefined,
        "n": sum(units), "p_method": found[0].method, "p_floor": found[0].floor, "level": level, "ddof": ddof,
        "interval_method": f"{interval} over attributes", "tail": options["tail"],
        "note": "an attribute set with one unit carries no interval" if min(units) == 1 else "",
    }  # fmt: skip


def _result(found: dict[str, Any], sizes: tuple[int, ...], single: bool, why: str) -> AssociationResult[Any]:
    undefined = int(np.isnan(found["effect_size"]).sum())
    notes = [f"{undefined} {why}"] * bool(undefined) + [found["note"]] * bool(found["note"])
    columns = ("effect_size", "p", "low", "high", "p_error", "undefined")
    values = {name: float(found[name][0]) if single else found[name] for name in columns}
    return AssociationResult(**found | values | {"sizes": sizes, "note": "; ".join(notes)})
