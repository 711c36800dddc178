"""Shares of groups, and the target distribution they are held against: population, uniform, or given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GroupError
from .codes import GroupCodes, as_text, encode, unknown_label

FloatArray = NDArray[np.float64]
TargetLike: TypeAlias = "Target | str | Mapping[Any, float]"


@dataclass(frozen=True)
class Target:
    """The distribution that a share is held against; the same three everywhere.

    ``Target("population")`` is the data that the selection was drawn from, ``Target("uniform")`` gives every listed
    group the same share, ``Target({"female": 0.5, "male": 0.5})`` is given. `Target.of` accepts all three forms.

    Examples
    --------
    >>> Target.of({"a": 1, "b": 3}).describe()
    'given (a 0.25, b 0.75)'
    >>> Target.of("uniform").shares(encode(["a", "a", "b"])).tolist()
    [0.5, 0.5]
    """

    kind: str = "population"
    given: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("population", "uniform", "given"):
            raise GroupError(
                f"target {self.kind!r}; expected 'population', 'uniform' or shares, "
                "for example {'female': 0.5, 'male': 0.5}."
            )
        if (self.kind == "given") != bool(self.given):
            raise GroupError("a given target needs its shares, and only a given target has them.")

    @classmethod
    def of(cls, target: TargetLike) -> Target:
        """A `Target` from a name, from shares or weights per group (scaled to sum 1), or from itself."""
        if isinstance(target, Target):
            return target
        if isinstance(target, str):
            return cls(target)
        if not isinstance(target, Mapping) or not target:
            raise GroupError(f"target {target!r}; expected 'population', 'uniform' or a mapping of group to share.")
        labels = [as_text(label) for label in target]
        values = np.array(list(target.values()), dtype=np.float64)
        if None in labels or len(set(labels)) != len(labels):
            raise GroupError(f"target {dict(target)!r} holds a missing or repeated label.")
        if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
            raise GroupError(f"target {dict(target)!r}; expected shares that are not negative and not all 0.")
        values = values / values.sum()
        return cls("given", tuple((str(k), float(v)) for k, v in zip(labels, values, strict=True)))

    def encode(self, groups: Any, *, name: str = "") -> GroupCodes:
        """Codes of `groups`; a given target also fixes which labels may occur, and their order."""
        codes = encode(groups, name=name)
        return encode(codes, expected=[label for label, _ in self.given]) if self.kind == "given" else codes

    def shares(self, groups: GroupCodes) -> FloatArray:
        """Target share per label, ``float64 [g]``, sum 1.

        Raises
        ------
        GroupError
            No row has a group, or a given target lacks a label of the data.
        """
        if self.kind == "population":
            return shares(groups)
        if not groups.labels:
            raise GroupError("no groups; expected at least one label.")
        if self.kind == "uniform":
            return np.full(len(groups.labels), 1.0 / len(groups.labels))
        known = dict(self.given)
        for label in groups.labels:
            if label not in known:
                raise GroupError(unknown_label(label, list(known), groups.name))
        if set(known) - set(groups.labels):
            raise GroupError(
                f"the target names {sorted(set(known) - set(groups.labels))}, which are not among the labels "
                f"{list(groups.labels)}. Encode the groups with `target.encode`, which keeps empty groups."
            )
        return np.array([known[label] for label in groups.labels])

    def describe(self) -> str:
        """The target in words, for a report."""
        if self.kind != "given":
            return self.kind
        return "given (" + ", ".join(f"{label} {share:.4g}" for label, share in self.given) + ")"


def shares(groups: GroupCodes, weights: ArrayLike | None = None) -> FloatArray:
    """Share of each label among the rows that have a group, ``float64 [g]``, sum 1.

    Examples
    --------
    >>> shares(encode(["a", "b", "b", None, "b"])).tolist()
    [0.25, 0.75]
    """
    known = groups.codes >= 0
    counts: FloatArray = groups.counts.astype(np.float64)
    if weights is not None:
        weight = np.asarray(weights, dtype=np.float64)
        if weight.shape != groups.codes.shape or not np.isfinite(weight).all() or (weight < 0).any():
            raise GroupError(
                f"weights of shape {weight.shape}; expected one weight >= 0 for each of {len(groups)} rows."
            )
        counts = np.bincount(groups.codes[known], weights=weight[known], minlength=len(groups.labels)).astype(float)
    if counts.sum() <= 0:
        raise GroupError(f"no row of {len(groups)} has a group; expected at least one label.")
    return np.asarray(counts / counts.sum(), dtype=np.float64)
