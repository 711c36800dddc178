"""One association test for all models at once: what they share (masks, resamples) is made once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats import bootstrap
from ...stats.bootstrap import IntervalMethod, undefined_share
from ...stats.permutation import (
    DRAWS,
    Method,
    PermutationP,
    Tail,
    check_tail,
    economical_methods,
    smallest_p,
    two_sample_ps,
)
from ...stats.permutation import max_t as _max_t
from ...stats.two_samples import IDENTICAL, left_out, standardised, unit_means, unit_moments
from .anatomy import Resampled, Seed, check_choice, check_ddof, cluster_codes, fixed_seed, interval_for, splits_rng
from .sweep_bootstrap import Sides, replicates_and_jackknife

Floats: TypeAlias = NDArray[np.float64]
Pair: TypeAlias = tuple[ArrayLike | None, ArrayLike | None]


@dataclass(frozen=True)
class PopulationResult:
    """One test of many models: arrays ``[models]``, and what they have in common.

    `p_low` and `p_high` are proven bounds on the exact p (equal to it where it was counted, NaN where no bound is
    proven), `p_methods` how each p was found and `p_method` how most were. `n` counts the target units (base words
    where clusters were given), `units` those of each side. A model with NaN, or without spread, is NaN in every column
    and says so in `notes`; `note` is what holds for all.
    """

    effect_size: Floats
    p: Floats
    low: Floats
    high: Floats
    p_error: Floats
    p_low: Floats
    p_high: Floats
    undefined: Floats
    p_methods: tuple[str, ...]
    p_method: str
    p_floor: float
    n: int
    units: tuple[int, int]
    interval_method: str
    level: float
    ddof: int
    tail: str
    seed: int
    notes: tuple[str, ...]
    note: str = ""


class Cosines(NamedTuple):
    """Cosines of every target with every attribute stimulus: ``[models, n, p]`` for x-a, and so on."""

    x_a: ArrayLike
    x_b: ArrayLike
    y_a: ArrayLike
    y_b: ArrayLike


def population_tests(
    s_x: ArrayLike,
    s_y: ArrayLike,
    *,
    clusters: Pair | None = None,
    templates: Pair | None = None,
    cosines: Cosines | Sequence[ArrayLike] | None = None,
    attribute_clusters: Pair | None = None,
    resample: Resampled = "targets",
    tail: Tail = "two-sided",
    method: Method = "auto",
    draws: int = 1000,
    permutations: int = DRAWS,
    interval: IntervalMethod | None = None,
    level: float = 0.95,
    ddof: int = 1,
    seed: Seed = 0,
) -> PopulationResult:
    """Effect sizes, permutation p-values and bootstrap intervals of one test, for all models at once.

    Every model sees the same splits and the same resamples, so that models can be compared pair by pair and a hundred
    cost little more than one. A model's numbers do not depend on which others are there, except that p is counted
    exactly for fewer units where there are more models (see `method`).

    Parameters
    ----------
    s_x, s_y : (models, n) and (models, m) arrays
        Associations of the target stimuli (see `associations`).
    clusters
        Base word of each stimulus of x and of y. Clusters are permuted and resampled whole; the p-value compares means
        of cluster means, the effect size those of stimuli.
    templates
        Template of each stimulus of x and of y, under common labels. Words and templates are then both resampled, a
        stimulus counting (draws of its word) x (draws of its template). Needs `clusters`.
    cosines, attribute_clusters
        Cosines behind the associations and the base words of the attribute stimuli; needed, and only used, to
        resample attributes.
    resample
        "targets", "attributes" or "both".
    tail, permutations
        As `association_test`.
    method
        As `two_sample_ps`, but "auto" means: exact where all models together cost seconds (18 + 18 units for 131
        models), else the saddlepoint; random splits only where a side has fewer than 8 units or distinct values.
    draws, interval, level, ddof, seed
        As `association_test`.

    Returns
    -------
    PopulationResult

    Raises
    ------
    InputError
        Shapes that do not agree, unknown options, attributes resampled without cosines.

    References
    ----------
    Owen (2007), "The pigeonhole bootstrap", Ann. Appl. Stat. 1, for crossed words and templates; its intervals err on
    the long side.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> s_x, s_y = rng.normal(0.5, 1, (3, 12)), rng.normal(0, 1, (3, 12))
    >>> found = population_tests(s_x, s_y)
    >>> found.effect_size.shape, found.p_method, found.n
    ((3,), 'exact (meet in the middle)', 24)
    """
    check_tail(tail)
    check_ddof(ddof)
    check_choice(resample, "resample", Resampled)
    x, y = _check_associations(s_x, s_y)
    codes = cluster_codes(clusters, (x.shape[1], y.shape[1]), "xy")
    seed, interval = fixed_seed(seed), interval_for(interval, resample)
    sides = Sides.of(x, y, codes, templates, clusters, cosines, attribute_clusters, resample)
    observed, usable, notes = _observed(x, y, ddof, sides)
    p = _permutation_ps(x[usable], y[usable], codes, tail, method, permutations, seed)
    low, high, undefined = (np.full(len(x), v) for v in (math.nan, math.nan, 0.0))
    if usable.any() and sides.strata:
        drawn, jackknife = replicates_and_jackknife(sides.take(usable), draws, seed, ddof, interval)
        undefined[usable] = undefined_share(drawn)
        low[usable], high[usable] = bootstrap.interval(
            drawn, observed[usable], level=level, method=interval, jackknife=jackknife, units=sides.smallest
        )
    for model in np.flatnonzero(undefined > 0):
        notes[model] = f"{undefined[model]:.1%} of the bootstrap replicates have no spread and were left out"
    floor = min(f.floor for f in p) if p else smallest_p(sides.units[0], sides.units[1], tail)
    shared = sides.notes()
    if floor > 1 - level:
        shared.append(f"the smallest p these sizes allow is {floor:.3g}")
    methods = _placed([f.method for f in p], usable, "")
    return PopulationResult(
        effect_size=observed,
        low=low,
        high=high,
        **{name: _placed([getattr(f, field) for f in p], usable, math.nan) for name, field in _P_COLUMNS.items()},
        undefined=undefined,
        p_methods=tuple(methods),
        p_method=max((f.method for f in p), key=[f.method for f in p].count, default=""),
        p_floor=floor,
        n=sum(sides.units[:2]),
        units=(sides.units[0], sides.units[1]),
        interval_method=f"{interval} over {sides.resampled}",
        level=level,
        ddof=ddof,
        tail=tail,
        seed=seed,
        notes=tuple(notes),
        note="; ".join(shared),
    )


_P_COLUMNS = {"p": "p", "p_error": "error", "p_low": "low", "p_high": "high"}


def max_t(
    tests: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    clusters: Sequence[Pair | None] | None = None,
    tail: Tail = "two-sided",
    draws: int = 9_999,
    seed: Seed = 0,
    step_down: bool = True,
) -> tuple[Floats, ...]:
    """Adjusted p of every model in every test of a sweep, from splits that models and tests of equal size share.

    Parameters
    ----------
    tests
        Per test the associations ``(s_x [models, n], s_y [models, m])``.
    clusters
        Per test the base words of x and y, as `population_tests`; None where stimuli stand alone.
    tail, draws, seed, step_down
        As `fairvl.stats.permutation.max_t`.

    Returns
    -------
    tuple of (models,) arrays, NaN where a model's associations are undefined or all equal

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> tests = [(rng.normal(2 * (i == 0), 1, (2, 10)), rng.normal(size=(2, 10))) for i in range(3)]
    >>> [bool((p < 0.05).all()) for p in max_t(tests, draws=499)]
    [True, False, False]
    """
    given = [None] * len(tests) if clusters is None else list(clusters)
    if len(given) != len(tests):
        raise InputError(f"clusters: {len(given)} pairs for {len(tests)} tests; expected one per test.")
    units = []
    for (s_x, s_y), labels in zip(tests, given, strict=True):
        x, y = _check_associations(s_x, s_y)
        codes = cluster_codes(labels, (x.shape[1], y.shape[1]), "xy")
        both = np.concatenate([x, y], axis=1)
        undefined = ~np.isfinite(both).all(axis=1)
        undefined |= np.ptp(np.where(undefined[:, None], 0.0, both), axis=1) <= IDENTICAL
        pair = [unit_means(np.where(undefined[:, None], np.nan, s).T, c).T for s, c in zip((x, y), codes, strict=True)]
        units.append((pair[0], pair[1]))
    return _max_t(units, tail=tail, draws=draws, seed=seed, step_down=step_down)


def population_influence(
    s_x: ArrayLike, s_y: ArrayLike, *, clusters: Pair | None = None, ddof: int = 1
) -> tuple[Floats, Floats]:
    """Effect sizes ``[models, units]`` without each target unit (stimulus or base word) of x, and of y, in turn.

    Examples
    --------
    >>> x, y = population_influence([[1.0, 1.1, 5.0]], [[0.0, 0.2, 0.1]])
    >>> int(abs(x - x.mean()).argmax())
    2
    """
    x, y = _check_associations(s_x, s_y)
    codes = cluster_codes(clusters, (x.shape[1], y.shape[1]), "xy")
    without = left_out(unit_moments(x.T, y.T, codes[0], codes[1]), check_ddof(ddof))
    return without[0].T, without[1].T


def _check_associations(s_x: ArrayLike, s_y: ArrayLike) -> tuple[Floats, Floats]:
    arrays: list[NDArray[Any]] = [np.asarray(s) for s in (s_x, s_y)]
    for name, array in zip(("s_x", "s_y"), arrays, strict=True):
        if array.ndim != 2 or array.dtype.kind not in "iuf":
            raise InputError(
                f"{name}: shape {array.shape}, dtype {array.dtype}; expected numbers [models, stimuli], "
                "one row of associations per model."
            )
        if 0 in array.shape:
            raise InputError(f"{name}: shape {array.shape}; expected at least one model and one stimulus.")
    if len(arrays[0]) != len(arrays[1]):
        raise InputError(f"s_x has {len(arrays[0])} models, s_y {len(arrays[1])}; expected the same models in both.")
    return arrays[0].astype(np.float64), arrays[1].astype(np.float64)


def _observed(x: Floats, y: Floats, ddof: int, sides: Sides) -> tuple[Floats, NDArray[np.bool_], list[str]]:
    """Effect sizes, the models that have one, and why the others have none."""
    finite = sides.finite()
    observed = np.full(len(x), math.nan)
    observed[finite] = standardised(x[finite].T, y[finite].T, ddof)
    notes = [""] * len(x)
    for model in np.flatnonzero(np.isnan(observed)):
        why = "all associations are equal" if finite[model] else "an association is NaN or infinite"
        notes[model] = f"{why}: effect size and p are undefined"
    usable: NDArray[np.bool_] = ~np.isnan(observed)
    return observed, usable, notes


def _permutation_ps(
    x: Floats,
    y: Floats,
    codes: tuple[NDArray[np.int64], ...],
    tail: Tail,
    method: Method,
    permutations: int,
    seed: int,
) -> tuple[PermutationP, ...]:
    if len(x) == 0:
        return ()
    x, y = (unit_means(s.T, c).T for s, c in zip((x, y), codes, strict=True))
    methods = np.array(economical_methods(x, y) if method == "auto" else [method] * len(x))
    found: dict[int, PermutationP] = {}
    for chosen in dict.fromkeys(methods.tolist()):
        rows = np.flatnonzero(methods == chosen)
        ps = two_sample_ps(x[rows], y[rows], tail=tail, method=chosen, draws=permutations, seed=splits_rng(seed))
        found.update(zip(rows.tolist(), ps, strict=True))
    return tuple(found[row] for row in range(len(x)))


def _placed(values: list[Any], usable: NDArray[np.bool_], missing: Any) -> Any:
    """The values in the places of the usable models: an array of floats, or a list of strings."""
    found = iter(values)
    placed = [next(found) if u else missing for u in usable]
    return placed if isinstance(missing, str) else np.array(placed, dtype=np.float64)
