"""Two target sets against two attribute sets: effect size, test, replicates, before and after."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import unit_rows
from ...errors import InputError
from ...stats import bootstrap
from ...stats.bootstrap import IntervalMethod
from ...stats.estimate import Estimate
from ...stats.permutation import DRAWS, EXACT_LIMIT, Method, PermutationP, Tail, check_tail
from ...stats.published_tests import N_SAMPLES, Preset, published_p
from ...stats.two_samples import standardised
from .anatomy import (
    Anatomy,
    Clusters,
    Resampled,
    Seed,
    bootstrap_interval,
    check_choice,
    check_ddof,
    check_preset,
    check_sets,
    fixed_seed,
    interval_for,
    permutation_p,
    resolve_ddof,
    splits_rng,
)
from .result import AssociationResult, Comparison

Floats: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]


def associations(w: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats:
    """Mean cosine with `a` minus mean cosine with `b`, for every row of `w`.

    Parameters
    ----------
    w : (n, d) array
    a, b : (p, d) and (q, d) arrays

    Returns
    -------
    (n,) float64 array, between -2 and 2

    Examples
    --------
    >>> associations([[1.0, 0.0], [1.0, 1.0]], [[2.0, 0.0]], [[0.0, 3.0]]).round(3).tolist()
    [1.0, 0.0]
    """
    w, a, b = (unit_rows(v) for v in check_sets(w, a, b, names="wab"))
    scores: Floats = w @ (a.mean(axis=0) - b.mean(axis=0))
    return scores


def effect_size(x: ArrayLike, y: ArrayLike, a: ArrayLike, b: ArrayLike, *, ddof: int = 1) -> float:
    """Differential association of two target sets, in standard deviations.

    ``(mean_x s - mean_y s) / SD s``, the SD over both target sets together. It is not Cohen's d: the
    spread is not pooled within sets, so values saturate near 2; with N stimuli in two equal sets,
    ``|d| <= 2 sqrt((N - 1) / N)`` for ddof 1 and ``|d| <= 2`` for ddof 0.

    Parameters
    ----------
    x, y : (n, d) and (m, d) arrays
        Target vectors; they need not have unit length.
    a, b : (p, d) and (q, d) arrays
        Attribute vectors of the same encoder; one vector is allowed.
    ddof
        1 (sample SD, the convention of most of the field) or 0 (population SD).

    Returns
    -------
    float
        Positive when `x` is closer to `a` than `y` is; NaN when all associations are equal.

    Raises
    ------
    InputError
        An empty set, a zero vector, NaN or infinity, widths that differ, another ddof.

    References
    ----------
    Caliskan, Bryson and Narayanan (2017), Science 356, the WEAT effect size. The paper writes "std-dev";
    ddof 1 is what reproduces published values.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.array([[1.0, 0.1], [1.0, 0.2]]), np.array([[0.1, 1.0], [0.2, 1.0]])
    >>> round(effect_size(x, y, a=x[:1], b=y[:1]), 3)
    1.728
    """
    x, y, a, b = check_sets(x, y, a, b)
    return float(standardised(associations(x, a, b)[:, None], associations(y, a, b)[:, None], check_ddof(ddof))[0])


def association_test(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    tail: Tail = "greater",
    preset: Preset | None = None,
    seed: Seed = 0,
    permute: Resampled = "targets",
    ddof: int | None = None,
    level: float = 0.95,
    interval: IntervalMethod | None = None,
    draws: int = 2000,
    resample: Resampled = "targets",
    clusters: Clusters | None = None,
    method: Method = "auto",
    exact_limit: int = EXACT_LIMIT,
    permutations: int | None = None,
) -> AssociationResult[float]:
    """Effect size, permutation p-value and bootstrap interval of one association test.

    Parameters
    ----------
    x, y, a, b
        As in `effect_size`.
    tail
        "greater" (x closer to a than y is), "less" or "two-sided".
    preset
        One of the conventions in the module's table; None is the package's own.
    permute
        What is exchangeable under the null: "targets" between X and Y, "attributes" between A and B, or
        "both" at once (always sampled). The p-value is that of the difference of means.
    ddof
        1 unless given or set by the preset.
    interval, level, draws, resample
        Bootstrap over the stimuli of the target sets, the attribute sets, or both, each set a stratum.
        None takes the one that covers best (docs/validity.md): "bca", but "percentile", which errs on the long
        side, where attributes are resampled: few, noisy attributes also pull d itself towards 0.
    clusters
        Four sequences (for x, y, a, b; None where stimuli stand alone): the base word or template of each
        stimulus. Clusters are resampled and permuted whole: 150 sentences from 25 words are 25 units. The
        p-value then compares means of cluster means.
    method, exact_limit, permutations
        How p is found (see `fairvl.stats.permutation`): "auto" counts up to `exact_limit` splits exactly, and draws
        `permutations` (99,999, or the preset's) beyond that.
    seed
        Seed or generator; the same seed and sizes give the same resampling.

    Returns
    -------
    AssociationResult

    Raises
    ------
    InputError
        Unusable vectors, clusters that do not match the sets, options a preset does not allow.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> a, b = np.eye(8)[:1], np.eye(8)[1:2]
    >>> x, y = rng.normal(size=(12, 8)) + a, rng.normal(size=(12, 8)) + b
    >>> result = association_test(x, y, a, b)
    >>> result.p_method, result.p < 0.05, result.low > 0
    ('exact (meet in the middle)', True, True)
    """
    sets = check_sets(x, y, a, b)
    ddof = resolve_ddof(ddof, preset)
    check_tail(tail)
    check_choice(permute, "permute", Resampled)
    test = Anatomy.of(sets, ddof, clusters)
    interval = interval_for(interval, resample)
    seed = fixed_seed(seed)
    observed = test.observed()
    if preset is None:
        found = permutation_p(test, permute, tail, method, exact_limit, permutations or DRAWS, seed)
    else:
        check_preset(preset, tail, permute, method, test)
        found = published_p(preset, test.s_x, test.s_y, tail, permutations or N_SAMPLES[preset], splits_rng(seed))
    notes = test.notes(resample)
    if math.isnan(observed):
        notes.insert(0, "all associations are equal: effect size and p are undefined")
        found = PermutationP(math.nan, found.method, math.nan, found.floor, found.n_permutations)
    elif found.floor > 1 - level:
        notes.append(f"the smallest p these sizes allow is {found.floor:.3g}")
    low, high, undefined = bootstrap_interval(test, observed, resample, interval, level, draws, seed)
    if undefined:
        notes.append(f"{undefined:.1%} of the bootstrap replicates have no spread and were left out")
    return AssociationResult(
        effect_size=observed,
        p=found.p,
        low=low,
        high=high,
        n=test.n_units,
        p_method=found.method,
        p_floor=found.floor,
        p_error=found.error,
        interval_method=f"{interval} over {resample}",
        level=level,
        ddof=ddof,
        tail=tail,
        sizes=test.sizes,
        undefined=undefined,
        preset=preset or "",
        note="; ".join(notes),
    )


def raw_score(x: ArrayLike, y: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Sum of the associations of `x` minus that of `y`: the unstandardised test statistic (WEFE's score).

    Examples
    --------
    >>> raw_score([[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0]], [[0.0, 1.0]])
    2.0
    """
    x, y, a, b = check_sets(x, y, a, b)
    return float(associations(x, a, b).sum() - associations(y, a, b).sum())


def effect_size_replicates(
    x: ArrayLike,
    y: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    draws: int = 2000,
    seed: Seed = 0,
    ddof: int = 1,
    resample: Resampled = "targets",
    clusters: Clusters | None = None,
) -> Floats:
    """Effect size under `draws` resamplings, ``[draws]``; NaN where a resample has no spread.

    Which stimuli a draw holds depends on set sizes, clusters and an integer seed alone, so replicates of two
    encoders, or of one before and after a repair, are paired draw by draw.

    Raises
    ------
    InputError
        Unusable vectors, or no set with two units to resample.
    """
    test = Anatomy.of(check_sets(x, y, a, b), check_ddof(ddof), clusters)
    if not test.strata(resample):
        raise InputError(
            f"resample={resample!r}: nothing to resample; expected two units or more in each target set "
            "(or in an attribute set, when only attributes are resampled)."
        )
    return test.replicates(draws, fixed_seed(seed), resample)


def compare_associations(
    before: Vectors,
    after: Vectors,
    *,
    seed: Seed = 0,
    level: float = 0.95,
    interval: IntervalMethod | None = None,
    draws: int = 2000,
    resample: Resampled = "targets",
    clusters: Clusters | None = None,
    ddof: int | None = None,
    **options: Any,
) -> Comparison:
    """The same association test on two encodings of the same stimuli, and the paired difference.

    Parameters
    ----------
    before, after : (x, y, a, b)
        Vectors of the same stimuli in the same order; widths may differ between the two.
    options
        Further keywords of `association_test`.

    Returns
    -------
    Comparison
        `.before`, `.after`, and `.difference`: after minus before, signed, with the interval of a bootstrap
        that resamples the same stimuli on both sides.

    Raises
    ------
    InputError
        Sets of different sizes, or as `association_test`.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> a, b = np.eye(8)[:1], np.eye(8)[1:2]
    >>> x, y = rng.normal(size=(20, 8)), rng.normal(size=(20, 8))
    >>> biased = x + 3 * a
    >>> compare_associations((biased, y, a, b), (x, y, a, b)).difference.high < 0
    True
    """
    arms = [check_sets(*before), check_sets(*after)]
    for name, old, new in zip("xyab", *arms, strict=True):
        if len(old) != len(new):
            raise InputError(
                f"{name}: {len(old)} stimuli before, {len(new)} after; a paired comparison needs the same stimuli."
            )
    seed, interval = fixed_seed(seed), interval_for(interval, resample)
    shared: dict[str, Any] = {"seed": seed, "level": level, "interval": interval, "draws": draws, "ddof": ddof}
    shared |= {"resample": resample, "clusters": clusters} | options
    first, second = (association_test(*arm, **shared) for arm in arms)
    tests = [Anatomy.of(arm, first.ddof, clusters) for arm in arms]
    value = second.effect_size - first.effect_size
    low = high = math.nan
    if tests[0].strata(resample) and not math.isnan(value):
        old, new = (test.replicates(draws, seed, resample) for test in tests)
        jackknife = None
        if interval == "bca":
            jackknife = tests[1].jackknife(resample) - tests[0].jackknife(resample)
        low, high = bootstrap.interval(
            new - old, value, level=level, method=interval, jackknife=jackknife, units=tests[0].smallest(resample)
        )
    note = "; ".join(dict.fromkeys(n for n in (first.note, second.note) if n))
    method = f"paired {interval} over {resample}"
    return Comparison(first, second, Estimate(value, low, high, first.n, level, method, note))
