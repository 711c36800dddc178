"""Before and after: the vectors of each arm, and the rows that one measurement writes for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import FloatArray
from ...findings import Finding, Scalar
from ...stats.codes import GroupCodes, encode
from ...stats.estimate import Estimate
from .material import Images, Texts
from .pairs import Pairs
from .suite import ImageSet, Suite, TextSet


@dataclass(frozen=True)
class Arm:
    """Vectors under one repair (or none): texts aligned with `Texts.index`, unit images with `Images.ids`.

    Repaired texts keep the length that the repair left them: a text that lost most of itself weighs less in a mean.
    """

    repair: str
    texts: FloatArray
    images: FloatArray | None
    captions: FloatArray | None = None  # aligned with `Pairs.texts`


@dataclass(frozen=True)
class Setting:
    """Everything a part of the audit needs; frozen, so that parts cannot disturb each other."""

    suite: Suite
    images: Images | None
    texts: Texts
    before: Arm
    after: tuple[Arm, ...]
    treated: frozenset[str]
    draws: int
    level: float
    seed: int
    crossings: int = 2
    pairs: Pairs | None = None

    def stimuli(self, stimuli: TextSet | ImageSet, arm: Arm, *, half: bool | None = None) -> FloatArray:
        """Vectors of a stimulus set under an arm; `half` takes that half of the images only."""
        if isinstance(stimuli, TextSet):
            return arm.texts[self.texts.rows(stimuli)]
        assert arm.images is not None
        return arm.images[self.image_rows(stimuli, half)]

    def image_rows(self, stimuli: ImageSet, half: bool | None) -> NDArray[np.int64]:
        """Rows of the images of a set, or of that half of them."""
        assert self.images is not None
        groups = self.images.groups[stimuli.attribute]
        wanted = [i for i, label in enumerate(groups.labels) if label in stimuli.value.split("|")]
        chosen = np.isin(groups.codes, wanted)
        return np.flatnonzero(chosen if half is None else chosen & (self.images.halves == half))

    def units(self, stimuli: TextSet | ImageSet, *, half: bool | None = None) -> Sequence[int] | None:
        """Unit of resampling of every stimulus: its base word, or what the suite says belongs together."""
        if isinstance(stimuli, TextSet):
            return stimuli.words
        units: GroupCodes | None = self.images.units if self.images is not None else None
        return None if units is None else units.codes[self.image_rows(stimuli, half)].tolist()

    def role(self, attribute: str, otherwise: str = "fairness") -> str:
        """The role of a level (an accuracy, say): utility, unless it reads what the repair was asked to remove."""
        return "diagnostic" if attribute in self.treated else otherwise


def crossed(groups: Mapping[str, GroupCodes], most: int) -> Iterator[tuple[str, GroupCodes]]:
    """Every attribute that has members, then every crossing of up to `most` of them, with its name."""
    for size in range(1, most + 1):
        for names in itertools.combinations(groups, size):
            codes = encode({name: groups[name] for name in names}) if size > 1 else groups[names[0]]
            if np.count_nonzero(codes.counts):
                yield " & ".join(names), codes


def rows(
    metric: str, unit: str, pair_id: str, before: Estimate, after: Mapping[str, tuple[Estimate, Estimate]],
    *, extra: Mapping[str, Scalar] | None = None, **columns: Any,
) -> list[Finding]:  # fmt: skip
    """Findings of one measurement: one row without repairs; else before, and after and difference per repair.

    `after` maps the name of a repair to its (after, difference) estimates.
    """
    free = dict(extra or {})
    arm = "before" if after else ""
    out = [_row(metric, unit, pair_id, before, arm, "", free, columns)]
    for repair, (value, difference) in after.items():
        out.append(_row(metric, unit, pair_id, value, "after", repair, free, columns))
        out.append(_row(metric, unit, pair_id, difference, "difference", repair, free, columns))
    return out


def _row(
    metric: str, unit: str, pair_id: str, estimate: Estimate, arm: str, repair: str,
    extra: Mapping[str, Scalar], columns: Mapping[str, Any],
) -> Finding:  # fmt: skip
    defined = not (math.isnan(estimate.low) or math.isnan(estimate.high))
    note = "; ".join(str(part) for part in (columns.get("note", ""), estimate.note) if part)
    if not note and (not defined or math.isnan(estimate.value)):
        note = "no interval: too few rows"
    fixed = {k: v for k, v in columns.items() if k not in ("note", "p")}
    return Finding(
        metric, estimate.value, unit, estimate.n,
        low=estimate.low if defined else None, high=estimate.high if defined else None,
        level=estimate.level if defined else None, method=estimate.method, note=note,
        arm=arm, pair_id=pair_id if arm else "", extra={**extra, "repair": repair}, **fixed,
    )  # fmt: skip
