"""Factors: covariates of the models as columns of a design, a column per level and no hidden baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..sources.datasets.table import nearest
from .table import ResultTable

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

DEFAULT_FACTORS = ("dataset_family", "architecture_family", "params_m", "dataset_size", "filtering")
LOGARITHMIC = ("params_m", "dataset_size")
MISSING = "(missing)"
GRAND_MEAN = "grand mean"
ALPHABETICAL = "alphabetical"
UNFILTERED = ("none",)
UNKNOWN_FILTERING = ("unknown", MISSING)


@dataclass(frozen=True, eq=False)
class Factor:
    """A covariate over models: levels with codes, or numbers (on the natural log scale where `log`).

    `reference` is the level that contrasts are taken against; empty for the grand mean of the levels.
    """

    name: str
    levels: tuple[str, ...] = ()
    codes: NDArray[np.int64] | None = None
    numbers: Floats | None = None
    log: bool = False
    reference: str = ""

    @property
    def label(self) -> str:
        """The name with its scale."""
        return f"ln {self.name}" if self.log else self.name

    @property
    def known(self) -> Mask:
        """Models that have a value; a missing level is a level of its own."""
        if self.numbers is not None:
            present: Mask = ~np.isnan(self.numbers)
            return present
        assert self.codes is not None
        return np.ones(len(self.codes), dtype=bool)

    def present_levels(self, keep: Mask) -> list[int]:
        """Codes of the levels that the kept models have; empty for numbers."""
        return [] if self.codes is None else [int(code) for code in np.unique(self.codes[keep])]

    def count(self, level: str, keep: Mask) -> int:
        """Kept models at a level; all kept models for numbers."""
        return int(keep.sum()) if self.codes is None else int((self.codes[keep] == self.levels.index(level)).sum())

    def varies(self, keep: Mask) -> bool:
        """True when the kept models differ in it."""
        if self.numbers is not None:
            values = self.numbers[keep]
            return len(values) > 1 and bool(np.ptp(values) > 1e-12 * max(1.0, float(np.abs(values).max())))
        return len(self.present_levels(keep)) > 1

    def columns(self, keep: Mask) -> Floats:
        """Design columns of the kept models: an indicator per present level, or standardised numbers."""
        if self.numbers is not None:
            values = self.numbers[keep]
            standardised: Floats = ((values - values.mean()) / values.std())[:, None]
            return standardised
        assert self.codes is not None
        indicators: Floats = (self.codes[keep][:, None] == np.array(self.present_levels(keep))).astype(np.float64)
        return indicators

    def contrasts(self, keep: Mask) -> tuple[list[str], Floats]:
        """Names and weights [k, columns] of what is reported: the slope, or levels against their reference."""
        if self.numbers is not None:
            return [self.name], np.ones((1, 1))
        names = [self.levels[code] for code in self.present_levels(keep)]
        identity = np.eye(len(names))
        if not self.reference:
            return names, identity - 1 / len(names)
        if self.reference not in names:
            return names, np.full((len(names), len(names)), np.nan)
        base = names.index(self.reference)
        others = [i for i in range(len(names)) if i != base]
        return [names[i] for i in others], identity[others] - identity[base]


def factors_of(
    table: ResultTable, names: Sequence[str] | None = None, reference: str | Mapping[str, str] | None = None
) -> tuple[Factor, ...]:
    """The factors of a study.

    Parameters
    ----------
    names
        Columns of the covariates. Default: those of dataset_family, architecture_family, params_m, dataset_size and
        filtering that the covariates have and that are not empty.
    reference
        None for the grand mean; a mapping from factor to level; "alphabetical" for the first level of every factor,
        as statistical packages pick it unasked.

    Raises
    ------
    InputError
        A column or level that does not exist, a size that is not above 0.
    """
    if names is None:
        chosen = [n for n in DEFAULT_FACTORS if any(cell is not None for cell in table.covariates.get(n, ()))]
    else:
        chosen = list(dict.fromkeys(names))
        for name in chosen:
            if name not in table.covariates:
                raise InputError(f"no covariate {name!r} to use as a factor. " + nearest(name, list(table.covariates)))
    factors = tuple(_factor(name, table.covariates[name], table.models) for name in chosen)
    return tuple(_with_reference(factor, reference) for factor in _checked(factors, reference))


def _checked(factors: tuple[Factor, ...], reference: str | Mapping[str, str] | None) -> tuple[Factor, ...]:
    if isinstance(reference, str) and reference not in (GRAND_MEAN, ALPHABETICAL):
        raise InputError(
            f"reference {reference!r}; expected 'grand mean', a mapping such as "
            "{'dataset_family': 'laion'}, or 'alphabetical'."
        )
    if isinstance(reference, Mapping):
        levelled = [factor.name for factor in factors if factor.levels]
        for name in reference:
            if name not in levelled:
                raise InputError(
                    f"reference= names {name!r}, which is no factor with levels. " + nearest(name, levelled)
                )
    return factors


def _factor(name: str, cells: Sequence[Any], models: Sequence[str]) -> Factor:
    present = [cell for cell in cells if cell is not None]
    if present and all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in present):
        numbers = np.array([math.nan if cell is None else float(cell) for cell in cells])
        log = name in LOGARITHMIC
        if np.isinf(numbers).any() or (log and (numbers <= 0).any()):
            wrong = int(np.flatnonzero(np.isinf(numbers) | (numbers <= 0))[0])
            raise InputError(
                f"{name} of model {models[wrong]!r} is {numbers[wrong]:g}; expected a number above 0, or an empty cell."
            )
        return Factor(name, numbers=np.log(numbers) if log else numbers, log=log)
    if name in LOGARITHMIC and present:
        wrong_cell = next(cell for cell in present if not isinstance(cell, (int, float)))
        raise InputError(f"{name} of a model is {wrong_cell!r}; expected numbers, or empty cells.")
    labels = [MISSING if cell is None else str(cell) for cell in cells]
    levels = tuple(sorted(set(labels)))
    return Factor(name, levels, np.array([levels.index(label) for label in labels], dtype=np.int64))


def _with_reference(factor: Factor, reference: str | Mapping[str, str] | None) -> Factor:
    if reference is None or reference == GRAND_MEAN or not factor.levels:
        return factor
    if isinstance(reference, str):
        level = factor.levels[0]
    elif factor.name not in reference:
        return factor
    else:
        level = reference[factor.name]
        if level not in factor.levels:
            raise InputError(f"{factor.name} has no level {level!r} to refer to. " + nearest(level, factor.levels))
    return Factor(factor.name, factor.levels, factor.codes, factor.numbers, factor.log, level)


def layout(factors: Sequence[Factor], keep: Mask) -> tuple[Floats, dict[str, slice]]:
    """The design of several factors, a constant first, and where each factor's columns are."""
    parts, places, at = [np.ones((int(keep.sum()), 1))], {}, 1
    for factor in factors:
        columns = factor.columns(keep)
        places[factor.name] = slice(at, at + columns.shape[1])
        at += columns.shape[1]
        parts.append(columns)
    return np.column_stack(parts), places
