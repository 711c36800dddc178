"""Replicates of effect sizes for all models at once, over words, templates and attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.bootstrap import IntervalMethod, draw_blocks, draw_counts, stratified_jackknife, unit_codes
from ...stats.two_samples import from_totals, left_out, resampled, sums_by, unit_moments, weighted
from .anatomy import Resampled, cluster_codes

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]
Pair: TypeAlias = tuple[ArrayLike | None, ArrayLike | None]


@dataclass(frozen=True)
class Sides:
    """What is resampled: associations [models, n], their units, and the cosines [models, n, p] behind them."""

    x: Floats
    y: Floats
    codes: tuple[Codes, ...]  # words of x and y, and of a and b where cosines are there
    templates: tuple[Codes, Codes] | None
    cosines: tuple[Floats, ...] | None
    strata: tuple[int, ...]  # which of x, y, a, b are resampled

    @classmethod
    def of(
        cls,
        x: Floats,
        y: Floats,
        codes: tuple[Codes, ...],
        templates: Pair | None,
        clusters: Pair | None,
        cosines: Sequence[ArrayLike] | None,
        attribute_clusters: Pair | None,
        resample: Resampled,
    ) -> Sides:
        """Checked sides; `codes` are those of the target clusters."""
        crossed = None if templates is None else _template_codes(templates, clusters, resample, (x, y))
        found = None
        if resample != "targets":
            if cosines is None:
                raise InputError(
                    f"resample={resample!r} needs cosines=(x_a, x_b, y_a, y_b), [models, targets, attribute stimuli]."
                )
            found = _check_cosines(cosines, x, y)
            codes += cluster_codes(attribute_clusters, (found[0].shape[2], found[1].shape[2]), "ab")
        units = [int(c.max()) + 1 for c in codes]
        targets = (0, 1) if resample != "attributes" and min(units[:2]) > 1 else ()
        attributes = tuple(i for i in range(2, len(codes)) if units[i] > 1)
        strata = targets if resample == "both" and not targets else targets + attributes
        return cls(x, y, codes, crossed, found, strata)

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(int(c.max()) + 1 for c in self.codes)

    @property
    def smallest(self) -> int:
        """Units of the smallest stratum."""
        fewest = min(self.units[i] for i in self.strata)
        return fewest if self.templates is None else min(fewest, self.n_templates)

    @property
    def n_templates(self) -> int:
        return 0 if self.templates is None else int(max(t.max() for t in self.templates)) + 1

    @property
    def resampled(self) -> str:
        """What is resampled, in words."""
        targets = "targets" if self.templates is None else "words x templates"
        names = [targets] * bool({0, 1} & set(self.strata)) + ["attributes"] * bool({2, 3} & set(self.strata))
        return " and ".join(names) or "nothing"

    def finite(self) -> NDArray[np.bool_]:
        """Models whose associations (and cosines) are all numbers."""
        arrays = (self.x, self.y, *(self.cosines or ()))
        finite = np.ones(len(self.x), dtype=np.bool_)
        for array in arrays:
            finite &= np.isfinite(array).reshape(len(array), -1).all(axis=1)
        return finite

    def take(self, models: NDArray[np.bool_]) -> Sides:
        cosines = None if self.cosines is None else tuple(c[models] for c in self.cosines)
        return replace(self, x=self.x[models], y=self.y[models], cosines=cosines)

    def notes(self) -> list[str]:
        """What holds for all models."""
        notes = [] if self.strata else ["a set with one unit carries no interval"]
        if any(u < len(c) for u, c in zip(self.units[:2], self.codes, strict=False)):
            notes.append(f"{self.units[0]} + {self.units[1]} clusters are the units of permutation and resampling")
        if self.templates is not None:
            notes.append(f"{self.n_templates} templates are resampled as well")
        return notes


def replicates_and_jackknife(
    sides: Sides, draws: int, seed: int, ddof: int, method: IntervalMethod
) -> tuple[Floats, Floats | None]:
    """Effect sizes [draws, models] under resampling, and what BCa needs beside them."""
    if draws < 1:
        raise InputError(f"draws={draws}; expected at least 1.")
    if {2, 3} & set(sides.strata):
        drawn = np.stack([_over_attributes(sides, model, draws, seed, ddof) for model in range(len(sides.x))], axis=1)
    elif sides.templates is not None:
        drawn = _crossed(sides, draws, seed, ddof)
    else:
        drawn = resampled(unit_moments(sides.x.T, sides.y.T, *sides.codes[:2]), draws, seed, ddof)
    if method != "bca":
        return drawn, None
    values = []
    if 0 in sides.strata:
        values += left_out(unit_moments(sides.x.T, sides.y.T, *sides.codes[:2]), ddof)
    if sides.templates is not None and sides.n_templates > 1:
        values.append(_without_templates(sides, ddof))
    for i in (2, 3):
        if i in sides.strata:
            values.append(np.stack([_without_attributes(sides, m, i, ddof) for m in range(len(sides.x))], axis=1))
    return drawn, stratified_jackknife(values)


def _template_codes(
    templates: Pair, clusters: Pair | None, resample: str, sides: tuple[Floats, Floats]
) -> tuple[Codes, Codes]:
    if clusters is None:
        raise InputError("templates without clusters; expected clusters=(words of x, words of y) as well.")
    if resample != "targets":
        raise InputError(f"templates with resample={resample!r}; templates are resampled with targets only.")
    labels = [np.asarray(t) for t in templates]
    for name, given, side in zip("xy", labels, sides, strict=True):
        if given.shape != (side.shape[1],):
            raise InputError(
                f"templates of {name}: shape {given.shape} for {side.shape[1]} stimuli; expected one per stimulus."
            )
    codes = unit_codes(np.concatenate(labels), name="templates")
    return codes[: len(labels[0])], codes[len(labels[0]) :]


def _check_cosines(cosines: Sequence[ArrayLike], x: Floats, y: Floats) -> tuple[Floats, ...]:
    arrays = tuple(np.asarray(c, dtype=np.float64) for c in cosines)
    if len(arrays) != 4 or any(a.ndim != 3 or a.shape[2] == 0 for a in arrays):
        raise InputError(
            f"cosines: shapes {[a.shape for a in arrays]}; expected four arrays [models, targets, attribute stimuli]: "
            "x-a, x-b, y-a, y-b."
        )
    for (a, b), s, name in ((arrays[:2], x, "x"), (arrays[2:], y, "y")):
        if a.shape[:2] != s.shape or b.shape[:2] != s.shape:
            raise InputError(f"cosines of {name}: shapes {a.shape} and {b.shape}; expected {s.shape} x attributes.")
        if not np.allclose(a.mean(axis=2) - b.mean(axis=2), s, atol=1e-3, equal_nan=True):
            raise InputError(
                f"cosines of {name}: their means differ from s_{name}. Pass the cosines that the associations are the "
                "means of, stimuli in the same order."
            )
    if arrays[0].shape[2] != arrays[2].shape[2] or arrays[1].shape[2] != arrays[3].shape[2]:
        raise InputError(f"cosines: shapes {[a.shape for a in arrays]}; x and y need the same attribute stimuli.")
    return arrays


def _streams(seed: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, i]) for i in (0, 1, 2, 3, 5)]  # 4 draws the splits


def _crossed(sides: Sides, draws: int, seed: int, ddof: int) -> Floats:
    """Replicates over words and templates: a stimulus counts once per drawn pair of its word and its template."""
    templates = sides.templates
    assert templates is not None
    rngs = _streams(seed)
    moments = unit_moments(sides.x.T, sides.y.T, np.arange(sides.x.shape[1]), np.arange(sides.y.shape[1]))
    parts = []
    for b in draw_blocks(draws, 4 * (sides.x.shape[1] + sides.y.shape[1]) + 8 * len(sides.x)):
        shared = draw_counts(sides.n_templates, b, rngs[4])
        totals = []
        for i, side in enumerate(moments):
            weights = draw_counts(sides.units[i], b, rngs[i])[:, sides.codes[i]] * shared[:, templates[i]]
            totals.append(((weights @ side[0])[:, None], weights @ side[1], weights @ side[2]))
        parts.append(from_totals(totals[0], totals[1], ddof))
    return np.concatenate(parts)


def _without_templates(sides: Sides, ddof: int) -> Floats:
    """Effect sizes [templates, models] without each template in turn, on both sides."""
    templates = sides.templates
    assert templates is not None
    moments = unit_moments(sides.x.T, sides.y.T, np.arange(sides.x.shape[1]), np.arange(sides.y.shape[1]))
    totals = []
    for codes, side in zip(templates, moments, strict=True):
        kept = 1.0 - (codes == np.arange(sides.n_templates)[:, None])
        totals.append(((kept @ side[0])[:, None], kept @ side[1], kept @ side[2]))
    return from_totals(totals[0], totals[1], ddof)


def _over_attributes(sides: Sides, model: int, draws: int, seed: int, ddof: int) -> Floats:
    """Replicates [draws] of one model; the seed makes the draws those of every other model."""
    rngs = _streams(seed)
    parts = []
    for b in draw_blocks(draws, 4 * (sides.x.shape[1] + sides.y.shape[1]) + sum(sides.units)):
        weights = [draw_counts(k, b, rngs[i]) if i in sides.strata else None for i, k in enumerate(sides.units)]
        s_x, s_y = _associations(sides, model, weights[2], weights[3], b)
        w_x, w_y = (None if w is None else w[:, c] for w, c in zip(weights[:2], sides.codes[:2], strict=True))
        parts.append(weighted((s_x, w_x), (s_y, w_y), ddof))
    return np.concatenate(parts)


def _without_attributes(sides: Sides, model: int, which: int, ddof: int) -> Floats:
    """Effect sizes [units] of one model without each unit of a (which=2) or b (3) in turn."""
    units = sides.units[which]
    weights: list[Floats | None] = [None, None]
    weights[which - 2] = 1 - np.eye(units)
    s_x, s_y = _associations(sides, model, weights[0], weights[1], units)
    return weighted((s_x, None), (s_y, None), ddof)


def _associations(sides: Sides, model: int, w_a: Floats | None, w_b: Floats | None, b: int) -> Iterator[Floats]:
    """Associations [n, b] of x and of y under `b` weightings of the attribute units."""
    assert sides.cosines is not None
    for pair in (sides.cosines[:2], sides.cosines[2:]):
        means = []
        for cosines, weights, codes in zip(pair, (w_a, w_b), sides.codes[2:], strict=True):
            if weights is None:
                means.append(np.repeat(cosines[model].mean(axis=1)[:, None], b, axis=1))
            else:
                sums = sums_by(cosines[model].T, codes)
                means.append((weights @ sums).T / (weights @ np.bincount(codes)))
        yield means[0] - means[1]
