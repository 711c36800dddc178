"""An association test taken apart: checked sets, associations, units of resampling and of permutation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import FloatArray, check_vectors, unit_rows
from ...errors import InputError
from ...stats.bootstrap import (
    IntervalMethod,
    draw_blocks,
    draw_counts,
    interval,
    stratified_jackknife,
    undefined_share,
    unit_codes,
)
from ...stats.permutation import Method, PermutationP, Tail, bilinear_p, two_sample_p
from ...stats.published_tests import Preset
from ...stats.two_samples import left_out, resampled, standardised, sums_by, unit_means, unit_moments, weighted

Floats: TypeAlias = NDArray[np.float64]
Seed: TypeAlias = int | np.random.Generator
Resampled: TypeAlias = Literal["targets", "attributes", "both"]
Clusters: TypeAlias = Sequence[ArrayLike | None]


@dataclass(frozen=True)
class Anatomy:
    """One association test taken apart: unit vectors, associations, units of resampling."""

    s_x: Floats
    s_y: Floats
    unit: tuple[Floats, ...]
    codes: tuple[NDArray[np.int64], ...]
    ddof: int

    @classmethod
    def of(cls, sets: tuple[FloatArray, ...], ddof: int, clusters: Clusters | None) -> Anatomy:
        unit = tuple(unit_rows(v).astype(np.float64, copy=False) for v in sets)
        direction = unit[2].mean(axis=0) - unit[3].mean(axis=0)
        codes = cluster_codes(clusters, tuple(len(u) for u in unit), "xyab")
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
        check_choice(resample, "resample", Resampled)
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
        rows = [{row.tobytes() for row in unit} for unit in self.unit]
        for name, unit, distinct in zip("xyab", self.unit, rows, strict=True):
            if repeated := len(unit) - len(distinct):
                notes.append(f"{repeated} duplicates in {name} count again")
        if shared := len(rows[0] & rows[1]):
            notes.append(f"{shared} stimuli are in both target sets")
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
                values.append(self.without_attributes(i))
        return stratified_jackknife(values)

    def without_attributes(self, which: int) -> Floats:
        """Effect sizes [units] without each unit of a (which=2) or b (3) in turn."""
        weights: list[Floats | None] = [None, None]
        weights[which - 2] = 1 - np.eye(self.units[which])
        s_x, s_y = self._associations(weights[0], weights[1], self.units[which])
        return weighted((s_x, None), (s_y, None), self.ddof)

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


def check_sets(*sets: ArrayLike, names: str = "xyab") -> tuple[FloatArray, ...]:
    """The sets as float arrays of one width."""
    first = check_vectors(sets[0], names[0])
    rest = (check_vectors(v, name, dim=first.shape[1]) for v, name in zip(sets[1:], names[1:], strict=True))
    return (first, *rest)


def check_ddof(ddof: int) -> int:
    if ddof not in (0, 1):
        raise InputError(f"ddof={ddof!r}; expected 1 (sample SD) or 0 (population SD).")
    return ddof


def check_choice(value: str, name: str, choices: Any) -> None:
    if value not in get_args(choices):
        raise InputError(f"{name}={value!r}; expected one of {get_args(choices)}.")


def resolve_ddof(ddof: int | None, preset: Preset | None) -> int:
    if preset is None:
        return check_ddof(1 if ddof is None else ddof)
    check_choice(preset, "preset", Preset)
    convention = 0 if preset == "wefe" else 1
    if ddof not in (None, convention):
        raise InputError(f"ddof={ddof} with preset={preset!r}, whose convention is ddof={convention}. Leave one out.")
    return convention


def fixed_seed(seed: Seed) -> int:
    """An integer seed; a generator gives its next one, so that paired resamplings can share it."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63))
    if seed < 0:
        raise InputError(f"seed={seed}; expected 0 or more.")
    return int(seed)


def splits_rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 4])  # streams 0 to 3 resample the four sets


def cluster_codes(clusters: Clusters | None, sizes: tuple[int, ...], names: str) -> tuple[NDArray[np.int64], ...]:
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


def permutation_p(
    test: Anatomy, permute: Resampled, tail: Tail, method: Method, exact_limit: int, draws: int, seed: int
) -> PermutationP:
    rng = splits_rng(seed)
    if permute == "both":
        if method not in ("auto", "sample"):
            raise InputError(f'method={method!r} with permute="both", which is always sampled. Leave one out.')
        means = [unit_means(u, c) for u, c in zip(test.unit, test.codes, strict=True)]
        cosines = np.concatenate(means[:2]) @ np.concatenate(means[2:]).T
        return bilinear_p(cosines, test.units[0], test.units[2], tail=tail, draws=draws, seed=rng)
    if permute == "targets":
        x, y = test.s_x, test.s_y
        codes = test.codes[:2]
    else:
        direction = test.unit[0].mean(axis=0) - test.unit[1].mean(axis=0)
        x, y = test.unit[2] @ direction, test.unit[3] @ direction
        codes = test.codes[2:]
    x, y = (unit_means(v[:, None], c)[:, 0] for v, c in zip((x, y), codes, strict=True))
    return two_sample_p(x, y, tail=tail, method=method, exact_limit=exact_limit, draws=draws, seed=rng)


def interval_for(method: IntervalMethod | None, resample: Resampled) -> IntervalMethod:
    """The interval that covers best (docs/validity.md): BCa is too short where attributes are resampled too."""
    return method or ("bca" if resample == "targets" else "percentile")


def bootstrap_interval(
    test: Anatomy, observed: float, resample: Resampled, method: IntervalMethod, level: float, draws: int, seed: int
) -> tuple[float, float, float]:
    """Interval of the effect size, and the share of replicates without spread; NaN and 0 without an interval."""
    if not test.strata(resample) or math.isnan(observed):
        return math.nan, math.nan, 0.0
    replicates = test.replicates(draws, seed, resample)
    jackknife = test.jackknife(resample) if method == "bca" else None
    low, high = interval(
        replicates, observed, level=level, method=method, jackknife=jackknife, units=test.smallest(resample)
    )
    return low, high, undefined_share(replicates)


def check_preset(preset: Preset, tail: Tail, permute: Resampled, method: Method, test: Anatomy) -> None:
    if permute != "targets":
        raise InputError(f"permute={permute!r} with preset={preset!r}, which permutes targets. Leave one out.")
    if method != "auto":
        raise InputError(f"method={method!r} with preset={preset!r}, which has its own. Leave one out.")
    if preset in ("sent-bias", "ieat"):
        if len(test.s_x) != len(test.s_y):
            raise InputError(
                f"preset={preset!r} needs target sets of equal size; found {len(test.s_x)} and {len(test.s_y)}. "
                "The package's own test (preset=None) takes unequal sizes."
            )
        if tail != "greater":
            raise InputError(f"tail={tail!r} with preset={preset!r}, which tests the upper tail. Leave one out.")
