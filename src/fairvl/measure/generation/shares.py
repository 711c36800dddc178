"""Shares of groups per prompt, as judged, as expected from probabilities, or corrected for the judge; and resamples.

Images are drawn with replacement within each prompt, and all arms of a comparison see the same draws. Images with equal
judgements are drawn together as one cell (`fairvl.stats.cells`), which is the same bootstrap at less cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import GroupError, InputError
from ...stats.bootstrap import interval
from ...stats.cells import Resampling, draw
from ...stats.codes import GroupCodes, encode
from ...stats.rates import divide, wilson
from .confusion import Confusion, clipped, draw_matrices, require_invertible, unmix, with_unlabelled

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Judgements:
    """What a judge said of every image: ``float64 [n, g + 1]``, rows sum to 1, the last column is "unlabelled"."""

    table: FloatArray
    labels: tuple[str, ...]
    hard: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, groups: Any, labels: Sequence[Any] | None) -> Judgements:
        """From labels ``[n]`` (missing: unlabelled), or probabilities ``[n, g]`` (a row of NaN) in the order of
        `labels`."""
        if isinstance(groups, Judgements):
            return groups
        if getattr(groups, "ndim", 1) == 2:
            if labels is None:
                raise InputError("probabilities [n, g] need labels= that name their columns.")
            names = encode(list(labels), expected=list(labels)).labels
            array = np.asarray(groups)
            return cls(with_unlabelled(array, len(array), len(names)), names, False)
        codes = encode(groups, expected=labels)
        if len(codes.labels) < 1:
            raise GroupError(f"none of {len(codes)} images has a group; expected at least one label.")
        g = len(codes.labels)
        return cls(np.eye(g + 1)[np.where(codes.codes < 0, g, codes.codes)], codes.labels, True, codes.notes)

    def take(self, rows: NDArray[Any]) -> Judgements:
        """The judgements of some images."""
        return replace(self, table=self.table[rows])


@dataclass(frozen=True, eq=False)
class PromptShares:
    """Shares ``[p, g]`` of each prompt's labelled images, NaN where a prompt has none, and resamples of them.

    `counts` ``[p, g + 1]`` are the images behind them, the unlabelled last; `replicates` is ``[draws, p, g]``.
    """

    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    observed: FloatArray
    replicates: FloatArray
    counts: FloatArray
    plain: bool  # hard labels as they are: score intervals hold
    level: float
    clipped: NDArray[np.bool_]

    @property
    def labelled(self) -> IntArray:
        """Labelled images of each prompt."""
        return np.asarray(np.rint(self.counts[:, :-1].sum(axis=1)), dtype=np.int64)

    @property
    def images(self) -> IntArray:
        """All images of each prompt."""
        return np.asarray(np.rint(self.counts.sum(axis=1)), dtype=np.int64)

    @property
    def units(self) -> int:
        """Images of a typical prompt, which widen the intervals of means where they are few."""
        return max(2, round(float(self.images.mean())))

    def ends(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Interval of every share, two arrays ``[p, g]``: Wilson's for hard labels, else percentile.

        A percentile interval holds the estimate; where no resample differs from it, it is Wilson's.
        """
        low, high = np.full(self.observed.shape, np.nan), np.full(self.observed.shape, np.nan)
        for p, n in enumerate(self.labelled):
            if n == 0:
                continue
            score = np.array([wilson(float(share * n), int(n), level) for share in np.clip(self.observed[p], 0, 1)])
            if self.plain:
                low[p], high[p] = score.T
                continue
            if not len(self.replicates) or n < 2:
                continue
            drawn = self.replicates[:, p]
            ends = interval(drawn, self.observed[p], level=level, method="percentile", units=int(n))
            still = np.nanmax(np.abs(drawn - self.observed[p]), axis=0) < 1e-12
            low[p] = np.where(still, score[:, 0], np.fmin(ends[0], self.observed[p]))
            high[p] = np.where(still, score[:, 1], np.fmax(ends[1], self.observed[p]))
        return low, high


def prompt_shares(
    arms: Sequence[Judgements], prompts: GroupCodes, plan: Resampling, confusion: Confusion | None = None
) -> list[PromptShares]:
    """Shares of each prompt for one or several judgements of the same rows, all on the same draws."""
    labels = arms[0].labels
    if any(arm.labels != labels for arm in arms):
        raise GroupError(f"the arms name different groups {[list(a.labels) for a in arms]}; expected the same. "
                         "Give labels=.")  # fmt: skip
    if len(prompts) != len(arms[0].table) or any(len(a.table) != len(prompts) for a in arms):
        raise InputError(
            f"{len(prompts)} prompts for {[len(a.table) for a in arms]} judgements; expected one of each for an image."
        )
    if prompts.n_missing:
        raise InputError(f"{prompts.n_missing} images have no prompt; expected one for each image.")
    if confusion is not None:
        confusion = reordered(confusion, labels)
        require_invertible(confusion)
    rng = np.random.default_rng(plan.seed)
    counts, drawn = sums(np.concatenate([arm.table for arm in arms], axis=1), prompts, plan, rng)
    matrices = None if confusion is None or not plan.draws else draw_matrices(confusion, plan.draws, rng)
    out = []
    for i, arm in enumerate(arms):
        part = slice(i * (len(labels) + 1), (i + 1) * (len(labels) + 1))
        observed, replicates = _normal(counts[..., part]), _normal(drawn[..., part])
        negative = np.zeros(len(observed), dtype=bool)
        if confusion is not None:
            raw = unmix(observed, confusion.rates[:, :-1])
            negative = np.asarray((raw < -1e-12).any(axis=1))
            observed = clipped(raw)
            if matrices is not None:
                replicates = clipped(unmix(replicates, matrices[:, None]))
        plain = arm.hard and confusion is None
        out.append(
            PromptShares(labels, prompts.labels, observed, replicates, counts[:, part], plain, plan.level, negative)
        )
    return out


def reordered(confusion: Confusion, labels: tuple[str, ...]) -> Confusion:
    """The same matrix with the groups in this order."""
    if set(confusion.labels) != set(labels):
        raise GroupError(
            f"the confusion matrix is of {list(confusion.labels)}, the images are judged to be of {list(labels)}; "
            "expected the same groups."
        )
    order = [confusion.labels.index(label) for label in labels]
    return replace(confusion, counts=confusion.counts[np.ix_(order, [*order, len(order)])], labels=labels)


def encode_prompts(prompts: Any) -> GroupCodes:
    """Prompt of every image as codes, in order of first appearance."""
    if isinstance(prompts, GroupCodes):
        return prompts
    codes = encode(prompts, name="prompt")
    first = list(dict.fromkeys(codes.labels[c] for c in codes.codes if c >= 0))
    return encode(codes, expected=first)


def _normal(counts: FloatArray) -> FloatArray:
    labelled = counts[..., :-1]
    return divide(labelled, labelled.sum(axis=-1, keepdims=True))


def sums(
    features: FloatArray, prompts: GroupCodes, plan: Resampling, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Sums of features over each prompt's images, ``[p, k]``, and under resampling ``[draws, p, k]``."""
    width, n_prompts = features.shape[1], len(prompts.labels)
    observed = np.zeros((n_prompts, width))
    drawn = np.zeros((plan.draws, n_prompts, width))
    order = np.argsort(prompts.codes, kind="stable")
    starts = np.searchsorted(prompts.codes[order], np.arange(n_prompts + 1))
    for p in range(n_prompts):
        rows = features[order[starts[p] : starts[p + 1]]]
        if not len(rows):
            continue
        cells, counts = np.unique(rows, axis=0, return_counts=True)
        observed[p] = counts @ cells
        if plan.draws:
            drawn[:, p] = draw(counts, plan.draws, rng) @ cells
    return observed, drawn
