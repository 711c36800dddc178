"""Embedding association tests: is one set of things closer to pleasant words than another?

Two *target sets* X and Y (flowers, insects; women, men) are compared by their *association* with two
*attribute sets* A and B (pleasant, unpleasant): ``s(w) = mean_a cos(w, a) - mean_b cos(w, b)``. The
effect size is the difference of the mean associations of X and Y in standard deviations of s over both
target sets together. Vectors may come from words, sentences or images of one encoder, in any mix.

Conventions (`preset=`):

=============  =======  ====================================  ==================================================
preset         SD       permuted                              p
=============  =======  ====================================  ==================================================
None           ddof 1   targets, attributes or both           exact where feasible, else (hits + 1) / (draws + 1)
"sent-bias"    ddof 1   targets, equal sizes only             >=; exact up to 100,000 splits, else (hits + 1) / draws
"ieat"         ddof 1   targets, equal sizes only             the same, up to 10,000 splits
"wefe"         ddof 0   targets, drawn *with replacement*     strict >, (hits + 1) / (draws + 1); its "two-sided"
                                                              compares with the signed score
"ml-eat"       ddof 1   associations                          the smaller tail of a normal fitted to 1,000 splits
=============  =======  ====================================  ==================================================

Everything is computed in float64 from raw vectors of any float dtype. Undefined values are NaN with a
note; unusable input raises InputError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import FloatArray, check_vectors, unit_rows
from ..errors import InputError
from ..stats import bootstrap
from ..stats.bootstrap import (
    IntervalMethod,
    draw_blocks,
    draw_counts,
    stratified_jackknife,
    undefined_share,
    unit_codes,
)
from ..stats.estimate import Estimate
from ..stats.permutation import (
    DRAWS,
    EXACT_LIMIT,
    PermutationP,
    Tail,
    check_tail,
    random_splits,
    sampled_p,
    tie_tolerance,
    two_sample_ps,
)
from ..stats.published_tests import N_SAMPLES, Preset, published_p
from ..stats.two_samples import left_out, resampled, standardised, sums_by, unit_means, unit_moments, weighted

Floats: TypeAlias = NDArray[np.float64]
Seed: TypeAlias = int | np.random.Generator
Resampled: TypeAlias = Literal["targets", "attributes", "both"]
Clusters: TypeAlias = Sequence[ArrayLike | None]
Vectors: TypeAlias = tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]
Number = TypeVar("Number", float, NDArray[np.float64])


@dataclass(frozen=True)
class AssociationResult(Generic[Number]):
    """An effect size with its p-value and interval.

    `n` counts the target units (base words where clusters were given, else stimuli); `sizes` the stimuli of
    the four sets. `p_floor` is the smallest p these sizes allow, `p_error` the standard error of a sampled p.
    `undefined` is the share of bootstrap replicates left out because their spread was zero.
    """

    effect_size: Number
    p: Number
    low: Number
    high: Number
    n: int
    p_method: str
    p_floor: float
    p_error: Number
    interval_method: str
    level: float
    ddof: int
    tail: str
    sizes: tuple[int, ...]
    undefined: Number
    preset: str = ""
    note: str = ""

    @property
    def method(self) -> str:
        """How p and interval were made, in words."""
        return f"p: {self.p_method}; interval: {self.interval_method}"


class Comparison(NamedTuple):
    """The same test before and after a repair, and the paired difference after minus before."""

    before: AssociationResult[float]
    after: AssociationResult[float]
    difference: Estimate


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
    w, a, b = (unit_rows(v) for v in _checked(w, a, b, names="wab"))
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
    x, y, a, b = _checked(x, y, a, b)
    return float(standardised(associations(x, a, b)[:, None], associations(y, a, b)[:, None], _check_ddof(ddof))[0])


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
    interval: IntervalMethod = "bca",
    draws: int = 2000,
    resample: Resampled = "targets",
    clusters: Clusters | None = None,
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
        "bca" is the more accurate; both are calibrated in docs/validity.md.
    clusters
        Four sequences (for x, y, a, b; None where stimuli stand alone): the base word or template of each
        stimulus. Clusters are resampled and permuted whole: 150 sentences from 25 words are 25 units. The
        p-value then compares means of cluster means.
    exact_limit, permutations
        Splits that are still counted exactly, and the number drawn beyond that (99,999, or the preset's).
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
    sets = _checked(x, y, a, b)
    ddof = _resolve_ddof(ddof, preset)
    check_tail(tail)
    _check_choice(permute, "permute", Resampled)
    test = _Test.of(sets, ddof, clusters)
    seed = _fixed(seed)
    observed = test.observed()
    notes = test.notes(resample)
    if preset is not None:
        _check_preset(preset, tail, permute, test)
        found = published_p(preset, test.s_x, test.s_y, tail, permutations or N_SAMPLES[preset], _splits_rng(seed))
    else:
        found = _permutation_p(test, permute, tail, exact_limit, permutations or DRAWS, seed)
    if math.isnan(observed):
        notes.insert(0, "all associations are equal: effect size and p are undefined")
        found = PermutationP(math.nan, found.method, math.nan, found.floor, found.n_permutations)
    elif found.floor > 1 - level:
        notes.append(f"the smallest p these sizes allow is {found.floor:.3g}")
    low = high = math.nan
    undefined = 0.0
    if test.strata(resample) and not math.isnan(observed):
        replicates = test.replicates(draws, seed, resample)
        undefined = undefined_share(replicates)
        jackknife = test.jackknife(resample) if interval == "bca" else None
        low, high = bootstrap.interval(
            replicates, observed, level=level, method=interval, jackknife=jackknife, units=test.smallest(resample)
        )
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
    x, y, a, b = _checked(x, y, a, b)
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
    test = _Test.of(_checked(x, y, a, b), _check_ddof(ddof), clusters)
    if not test.strata(resample):
        raise InputError(
            f"resample={resample!r}: nothing to resample; expected two units or more in each target set "
            "(or in an attribute set, when only attributes are resampled)."
        )
    return test.replicates(draws, _fixed(seed), resample)


def compare_associations(
    before: Vectors,
    after: Vectors,
    *,
    seed: Seed = 0,
    level: float = 0.95,
    interval: IntervalMethod = "bca",
    draws: int = 2000,
    resample: Resampled = "targets",
    clusters: Clusters | None = None,
    ddof: int = 1,
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
    arms = [_checked(*before), _checked(*after)]
    for name, old, new in zip("xyab", *arms, strict=True):
        if len(old) != len(new):
            raise InputError(
                f"{name}: {len(old)} stimuli before, {len(new)} after; a paired comparison needs the same stimuli."
            )
    seed = _fixed(seed)
    shared: dict[str, Any] = {"seed": seed, "level": level, "interval": interval, "draws": draws, "ddof": ddof}
    shared |= {"resample": resample, "clusters": clusters} | options
    first, second = (association_test(*arm, **shared) for arm in arms)
    tests = [_Test.of(arm, first.ddof, clusters) for arm in arms]
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


def single_category_test(
    w: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    tail: Tail = "greater",
    seed: Seed = 0,
    ddof: int = 1,
    level: float = 0.95,
    interval: IntervalMethod = "bca",
    draws: int = 2000,
    clusters: Sequence[ArrayLike | None] | None = None,
    exact_limit: int = EXACT_LIMIT,
    permutations: int = DRAWS,
) -> AssociationResult[Any]:
    """Association of single stimuli with A against B, in standard deviations (SC-EAT, WEFAT).

    ``(mean_a cos(w, a) - mean_b cos(w, b)) / SD cos(w, .)``, the SD over A and B together, per row of `w`.
    The p-value permutes the stimuli of A and B; the interval resamples them. All rows share both.

    Parameters
    ----------
    w : (d,) or (n, d) array
    clusters
        Two sequences, for a and b: base word or template of each attribute stimulus.

    Returns
    -------
    AssociationResult
        Floats for one vector ``[d]``, arrays ``[n]`` for rows ``[n, d]``. `n` counts the attribute units.

    Raises
    ------
    InputError
        As `association_test`.

    Examples
    --------
    >>> a, b = [[1.0, 0.2], [1.0, 0.1]], [[0.1, 1.0], [0.2, 1.0]]
    >>> round(single_category_test([1.0, 0.0], a, b).effect_size, 3)
    1.726
    """
    single = np.ndim(w) == 1
    check_tail(tail)
    w, a, b = (unit_rows(v) for v in _checked(w, a, b, names="wab"))
    x, y = a @ w.T, b @ w.T
    codes = _cluster_codes(clusters, (len(a), len(b)), "ab")
    observed = standardised(x, y, _check_ddof(ddof))
    undefined_rows = np.isnan(observed)
    found = two_sample_ps(
        unit_means(x, codes[0]).T,
        unit_means(y, codes[1]).T,
        tail=tail,
        exact_limit=exact_limit,
        draws=permutations,
        seed=_splits_rng(_fixed(seed)),
    )
    n_units = [int(c.max()) + 1 for c in codes]
    notes = [f"{undefined_rows.sum()} rows have equal cosines with all attributes"] if undefined_rows.any() else []
    low, high, undefined = (np.full(len(observed), v) for v in (np.nan, np.nan, 0.0))
    if min(n_units) > 1:
        moments = unit_moments(x, y, codes[0], codes[1])
        replicates = resampled(moments, draws, _fixed(seed), ddof)
        undefined = undefined_share(replicates)
        jackknife = stratified_jackknife(left_out(moments, ddof)) if interval == "bca" else None
        low, high = bootstrap.interval(
            replicates, observed, level=level, method=interval, jackknife=jackknife, units=min(n_units)
        )
    else:
        notes.append("an attribute set with one unit carries no interval")
    p, error = (np.where(undefined_rows, np.nan, [getattr(f, name) for f in found]) for name in ("p", "error"))
    columns = (observed, p, low, high, error, undefined)
    values = [float(c[0]) for c in columns] if single else list(columns)
    return AssociationResult(
        effect_size=values[0],
        p=values[1],
        low=values[2],
        high=values[3],
        n=sum(n_units),
        p_method=found[0].method,
        p_floor=found[0].floor,
        p_error=values[4],
        interval_method=f"{interval} over attributes",
        level=level,
        ddof=ddof,
        tail=tail,
        sizes=(len(w), 0, len(a), len(b)),
        undefined=values[5],
        note="; ".join(notes),
    )


@dataclass(frozen=True)
class _Test:
    """One association test taken apart: unit vectors, associations, units of resampling."""

    s_x: Floats
    s_y: Floats
    unit: tuple[Floats, ...]
    codes: tuple[NDArray[np.int64], ...]
    ddof: int

    @classmethod
    def of(cls, sets: tuple[FloatArray, ...], ddof: int, clusters: Clusters | None) -> _Test:
        unit = tuple(unit_rows(v).astype(np.float64, copy=False) for v in sets)
        direction = unit[2].mean(axis=0) - unit[3].mean(axis=0)
        codes = _cluster_codes(clusters, tuple(len(u) for u in unit), "xyab")
        return cls(unit[0] @ direction, unit[1] @ direction, unit, codes, ddof)

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(int(c.max()) + 1 for c in self.codes)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(c) for c in self.codes)

    @property
    def n_units(self) -> int:
        return sum(self.units[:2])

    def observed(self) -> float:
        return float(standardised(self.s_x[:, None], self.s_y[:, None], self.ddof)[0])

    def strata(self, resample: Resampled) -> tuple[int, ...]:
        """Which of the four sets are resampled; none where that would call one unit a population."""
        _check_choice(resample, "resample", Resampled)
        targets = (0, 1) if resample != "attributes" and min(self.units[:2]) > 1 else ()
        if resample == "targets" or (resample == "both" and not targets):
            return targets
        return targets + tuple(i for i in (2, 3) if self.units[i] > 1)

    def smallest(self, resample: Resampled) -> int:
        return min(self.units[i] for i in self.strata(resample))

    def notes(self, resample: Resampled) -> list[str]:
        notes = []
        if not self.strata(resample):
            what = "target" if resample != "attributes" else "attribute"
            notes.append(f"a {what} set with one unit carries no interval")
        if (fewest := min(self.units[2:])) < 3:
            few = "1 attribute stimulus carries" if fewest == 1 else f"{fewest} attribute stimuli carry"
            notes.append(f"{few} no interval over attributes")
        if any(u < len(c) for u, c in zip(self.units[:2], self.codes, strict=False)):
            notes.append(f"{self.units[0]} + {self.units[1]} clusters are the units of permutation and resampling")
        return notes

    def replicates(self, draws: int, seed: int, resample: Resampled) -> Floats:
        """Effect sizes [draws]; one stream of random numbers per set, so a set's draws depend on its own size."""
        if draws < 1:
            raise InputError(f"draws={draws}; expected at least 1.")
        strata = self.strata(resample)
        if not {2, 3} & set(strata):
            moments = unit_moments(self.s_x[:, None], self.s_y[:, None], self.codes[0], self.codes[1])
            return resampled(moments, draws, seed, self.ddof)[:, 0]
        rngs = [np.random.default_rng([seed, i]) for i in range(4)]
        rows = len(self.s_x) + len(self.s_y)
        parts = []
        for b in draw_blocks(draws, 4 * rows + sum(self.units)):
            weights = [draw_counts(k, b, rngs[i]) if i in strata else None for i, k in enumerate(self.units)]
            s_x, s_y = self._associations(weights[2], weights[3], b)
            w_x, w_y = (None if w is None else w[:, c] for w, c in zip(weights[:2], self.codes[:2], strict=True))
            parts.append(weighted((s_x, w_x), (s_y, w_y), self.ddof))
        return np.concatenate(parts)

    def jackknife(self, resample: Resampled) -> Floats:
        strata = self.strata(resample)
        values = []
        if 0 in strata:
            moments = unit_moments(self.s_x[:, None], self.s_y[:, None], self.codes[0], self.codes[1])
            values += [v[:, 0] for v in left_out(moments, self.ddof)]
        for i in (2, 3):
            if i in strata:
                weights: list[Floats | None] = [None, None]
                weights[i - 2] = 1 - np.eye(self.units[i])
                s_x, s_y = self._associations(weights[0], weights[1], self.units[i])
                values.append(weighted((s_x, None), (s_y, None), self.ddof))
        return stratified_jackknife(values)

    def _associations(self, w_a: Floats | None, w_b: Floats | None, b: int) -> tuple[Floats, Floats]:
        """Associations [n, b] and [m, b] of the targets under `b` weightings of the attribute units."""
        targets = np.concatenate(self.unit[:2])
        means = []
        for weights, unit, codes in ((w_a, self.unit[2], self.codes[2]), (w_b, self.unit[3], self.codes[3])):
            if weights is None:
                means.append(np.repeat((targets @ unit.mean(axis=0))[:, None], b, axis=1))
            else:
                cosines = targets @ sums_by(unit, codes).T
                means.append((cosines @ weights.T) / (weights @ np.bincount(codes)))
        scores = means[0] - means[1]
        return scores[: len(self.s_x)], scores[len(self.s_x) :]


def _checked(*sets: ArrayLike, names: str = "xyab") -> tuple[FloatArray, ...]:
    """The sets as float arrays of one width."""
    first = check_vectors(sets[0], names[0])
    rest = (check_vectors(v, name, dim=first.shape[1]) for v, name in zip(sets[1:], names[1:], strict=True))
    return (first, *rest)


def _check_ddof(ddof: int) -> int:
    if ddof not in (0, 1):
        raise InputError(f"ddof={ddof!r}; expected 1 (sample SD) or 0 (population SD).")
    return ddof


def _check_choice(value: str, name: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise InputError(f"{name}={value!r}; expected one of {get_args(choices)}.")


def _resolve_ddof(ddof: int | None, preset: Preset | None) -> int:
    if preset is None:
        return _check_ddof(1 if ddof is None else ddof)
    _check_choice(preset, "preset", Preset)
    convention = 0 if preset == "wefe" else 1
    if ddof not in (None, convention):
        raise InputError(f"ddof={ddof} with preset={preset!r}, whose convention is ddof={convention}. Leave one out.")
    return convention


def _fixed(seed: Seed) -> int:
    """An integer seed; a generator gives its next one, so that paired resamplings can share it."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if seed < 0:
        raise InputError(f"seed={seed}; expected 0 or more.")
    return int(seed)


def _splits_rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 4])  # streams 0 to 3 resample the four sets


def _cluster_codes(clusters: Clusters | None, sizes: tuple[int, ...], names: str) -> tuple[NDArray[np.int64], ...]:
    given = [None] * len(sizes) if clusters is None else list(clusters)
    if len(given) != len(sizes):
        raise InputError(f"clusters: {len(given)} sequences; expected {len(sizes)}, for {', '.join(names)}.")
    codes = []
    for labels, size, name in zip(given, sizes, names, strict=True):
        found = unit_codes(size if labels is None else labels, name=f"clusters of {name}")
        if len(found) != size:
            raise InputError(f"clusters of {name}: {len(found)} labels for {size} stimuli; expected one per stimulus.")
        codes.append(found)
    return tuple(codes)


def _permutation_p(
    test: _Test, permute: Resampled, tail: Tail, exact_limit: int, draws: int, seed: int
) -> PermutationP:
    rng = _splits_rng(seed)
    if permute == "both":
        return _joint_p(test, tail, draws, rng)
    if permute == "targets":
        x, y = test.s_x, test.s_y
        codes = test.codes[:2]
    else:
        direction = test.unit[0].mean(axis=0) - test.unit[1].mean(axis=0)
        x, y = test.unit[2] @ direction, test.unit[3] @ direction
        codes = test.codes[2:]
    means = [unit_means(v[:, None], c).T for v, c in zip((x, y), codes, strict=True)]
    return two_sample_ps(*means, tail=tail, exact_limit=exact_limit, draws=draws, seed=rng)[0]


def _joint_p(test: _Test, tail: Tail, draws: int, rng: np.random.Generator) -> PermutationP:
    """Targets and attributes permuted at once; the statistic is bilinear in the two splits."""
    means = [unit_means(u, c) for u, c in zip(test.unit, test.codes, strict=True)]
    cosines = np.concatenate(means[:2]) @ np.concatenate(means[2:]).T
    tolerance = tie_tolerance(cosines.ravel()) / cosines.size
    (n_x, n_y), (n_a, n_b) = test.units[:2], test.units[2:]

    def contrast(masks: Floats, n: int, m: int) -> Floats:
        return masks / n - (1 - masks) / m

    first = [np.repeat([[1.0, 0.0]], sizes, axis=1) for sizes in ((n_x, n_y), (n_a, n_b))]
    observed = float((contrast(first[0], n_x, n_y) @ cosines @ contrast(first[1], n_a, n_b).T)[0, 0])
    hits = 0
    for b in draw_blocks(draws, 3 * sum(test.units)):
        rows = np.concatenate(list(random_splits(n_x, n_y, b, rng)))
        columns = np.concatenate(list(random_splits(n_a, n_b, b, rng)))
        drawn = np.einsum("bn,bn->b", contrast(rows, n_x, n_y) @ cosines, contrast(columns, n_a, n_b))
        if tail == "two-sided":
            hits += int((np.abs(drawn) >= abs(observed) - tolerance).sum())
        else:
            sign = 1 if tail == "greater" else -1
            hits += int((sign * drawn >= sign * observed - tolerance).sum())
    return sampled_p(hits, draws)


def _check_preset(preset: Preset, tail: Tail, permute: Resampled, test: _Test) -> None:
    if permute != "targets":
        raise InputError(f"permute={permute!r} with preset={preset!r}, which permutes targets. Leave one out.")
    if preset in ("sent-bias", "ieat"):
        if len(test.s_x) != len(test.s_y):
            raise InputError(
                f"preset={preset!r} needs target sets of equal size; found {len(test.s_x)} and {len(test.s_y)}. "
                "The package's own test (preset=None) takes unequal sizes."
            )
        if tail != "greater":
            raise InputError(f"tail={tail!r} with preset={preset!r}, which tests the upper tail. Leave one out.")
