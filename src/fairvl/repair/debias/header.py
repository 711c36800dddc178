"""What an operator says about itself: where it comes from, what it promises, what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from ...arrays import FloatArray

UNIT = "rows of unit length in; not renormalised after"
AS_GIVEN = "rows as they were given; not renormalised after"
LATER = ("images", "parameters")  # left out of files and fingerprints where they say nothing


@dataclass(frozen=True)
class OperatorHeader:
    """Where an operator comes from and what it promises; travels inside its file.

    `normalisation` is the convention that `lam` depends on: lam = 1000 on unit rows is lam = 1.11 on rows of norm 30.
    `images` says that image vectors are meant to go through the operator too; `parameters` are those of the method.
    """

    method: str
    dim: int
    rank: int
    attribute: str = ""
    subspace: str = ""
    lam: float | None = None
    seed: int | None = None
    n_prompts: int = 0
    n_pairs: int = 0
    prompts: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    bank: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    normalisation: str = UNIT
    guarantees: tuple[str, ...] = ()
    singular_values: tuple[float, ...] = ()
    pair_spectrum: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    images: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bank", "encoder", "parameters"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy cannot be pickled
        return (rebuild_header, (self.as_dict(),))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite `lam` is the text "inf"."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("bank", "encoder", "parameters"):
            values[name] = dict(values[name])
        values = {name: value for name, value in values.items() if value or name not in LATER}
        if self.lam == np.inf:
            values["lam"] = "inf"
        return values


def rebuild_header(values: Mapping[str, Any]) -> OperatorHeader:
    values = dict(values)
    if values.get("lam") == "inf":
        values["lam"] = np.inf
    return OperatorHeader(**values)


@dataclass(frozen=True)
class Diagnosis:
    """What an operator removes, how strongly, and what it costs.

    Attributes
    ----------
    rank : int
        Directions that are removed outright (the numerical rank of the prompts).
    effective_rank : float
        ``d - |P|_F^2``: the directions that are only shrunk are counted in part.
    singular_values : array
        Of the prompt matrix, as the rank rule saw it.
    pair_spectrum, shrink : arrays
        Eigenvalues ``mu_i`` of the pair matrix M above rounding, largest first, and the factor
        ``1 / (1 + lam mu_i)`` by which the calibration shrinks each direction.
    retained_norm, smallest_retained_norm : float or None
        Mean and minimum of ``|operator(v)| / |v|`` over the given vectors.
    leakage : float or None
        Share of the spread between held-out prompts (as unit rows) that survives: 0 removed, 1 untouched.
    """

    rank: int
    effective_rank: float
    dim: int
    storage: str
    singular_values: FloatArray
    pair_spectrum: FloatArray
    shrink: FloatArray
    retained_norm: float | None = None
    smallest_retained_norm: float | None = None
    leakage: float | None = None
