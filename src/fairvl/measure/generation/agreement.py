"""Means of one number per image over prompts: does an explicit prompt get whom it names, does an image show its prompt.

*Agreement* is the share of a prompt's labelled images whose judged group is the one that the prompt names. *Fidelity*
is the cosine of image and prompt under an encoder of its own (CLIPScore without its factor and its cut at 0, Hessel et
al. 2021, equation 1). Means give every prompt the same weight; *worst* is the lowest prompt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import GroupError, InputError
from ...stats.bootstrap import Seed, interval
from ...stats.cells import FEW, Resampling
from ...stats.codes import as_text, unknown_label
from ...stats.estimate import Estimate
from ...stats.rates import divide, wilson
from .confusion import Confusion
from .frame import over_units
from .shares import FloatArray, IntArray, Judgements, encode_prompts, prompt_shares, sums


@dataclass(frozen=True, eq=False)
class PromptMeans:
    """A mean per prompt, over prompts, and of the lowest prompt; in a difference, after minus before.

    `mean` has an interval over images, `over_prompts` is the same mean with the prompts as sampled units. `bounds` say
    where each mean lies however the unlabelled images turn out; ``"(mean)"`` over prompts; empty where that is unknown.
    """

    by_prompt: Mapping[str, Estimate]
    mean: Estimate
    worst: Estimate
    worst_prompt: str
    over_prompts: Estimate
    bounds: Mapping[str, tuple[float, float]]
    without: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PromptMeansComparison:
    """Before, after, and after minus before on the same resamples of paired images."""

    before: PromptMeans
    after: PromptMeans
    difference: PromptMeans


def agreement(
    groups: Any, expected: Sequence[Any], prompts: Any, *, labels: Sequence[Any] | None = None,
    confusion: Confusion | None = None, n_boot: int = 1000, level: float = 0.95, seed: Seed = 0,
) -> PromptMeans:  # fmt: skip
    """Share of images of the group that their prompt names, per prompt, mean and worst.

    Parameters
    ----------
    groups, prompts, labels, confusion
        As in `representation`: labels ``[n]`` or probabilities ``[n, g]``.
    expected
        ``[n]`` the group that the prompt of each image names; one per prompt.

    Raises
    ------
    GroupError
        An expected group that is not among the labels.
    InputError
        A prompt that expects two groups or none.

    Examples
    --------
    >>> found = agreement(["f", "f", "m", "m"], ["f", "f", "f", "m"], ["a woman"] * 3 + ["a man"])
    >>> round(found.mean.value, 3), found.worst_prompt
    (0.833, 'a woman')
    """
    return _agreements([groups], expected, prompts, labels, confusion, Resampling(n_boot, level, seed))[0]


def compare_agreement(
    groups_before: Any, groups_after: Any, expected: Sequence[Any], prompts: Any, *,
    labels: Sequence[Any] | None = None, confusion: Confusion | None = None, n_boot: int = 1000, level: float = 0.95,
    seed: Seed = 0,
) -> PromptMeansComparison:  # fmt: skip
    """`agreement` before and after for paired images, and after minus before."""
    plan = Resampling(n_boot, level, seed)
    return PromptMeansComparison(
        *_agreements([groups_before, groups_after], expected, prompts, labels, confusion, plan)
    )


def prompt_means(
    values: ArrayLike, prompts: Any, *, n_boot: int = 1000, level: float = 0.95, seed: Seed = 0
) -> PromptMeans:
    """Mean of one number per image (NaN: not measured) by prompt, with a percentile bootstrap within prompts.

    Examples
    --------
    >>> prompt_means([0.2, 0.4, 0.1], ["a", "a", "b"], n_boot=0).mean.value
    0.2
    """
    return _means([values], prompts, Resampling(n_boot, level, seed))[0]


def compare_prompt_means(
    values_before: ArrayLike, values_after: ArrayLike, prompts: Any, *, n_boot: int = 1000, level: float = 0.95,
    seed: Seed = 0,
) -> PromptMeansComparison:  # fmt: skip
    """`prompt_means` before and after for paired images, and after minus before."""
    return PromptMeansComparison(*_means([values_before, values_after], prompts, Resampling(n_boot, level, seed)))


@dataclass(frozen=True, eq=False)
class _Values:
    """One arm: a mean per prompt ``[p]``, resamples ``[draws, p]``, images behind it, and images without a value."""

    observed: FloatArray
    replicates: FloatArray
    n: IntArray
    missing: IntArray
    counted: bool  # hard labels: score intervals hold
    share: bool


def _agreements(
    arms: Sequence[Any], expected: Sequence[Any], prompts: Any, labels: Sequence[Any] | None,
    confusion: Confusion | None, plan: Resampling,
) -> list[PromptMeans]:  # fmt: skip
    codes = encode_prompts(prompts)
    wanted = [as_text(label) for label in expected]
    if len(wanted) != len(codes):
        raise InputError(f"{len(wanted)} expected groups for {len(codes)} images; expected one each.")
    named: dict[str, str] = {}
    for code, label in zip(codes.codes, wanted, strict=True):
        prompt = codes.labels[code]
        if label is None or named.setdefault(prompt, label) != label:
            found = "no group" if label is None else f"both {named[prompt]!r} and {label!r}"
            raise InputError(f"the prompt {prompt!r} expects {found}; expected one group for each prompt.")
    if labels is None:
        labels = sorted({*named.values(), *(label for arm in arms for label in Judgements.of(arm, None).labels)})
    judged = [Judgements.of(arm, labels) for arm in arms]
    for label in named.values():
        if label not in judged[0].labels:
            raise GroupError(unknown_label(label, judged[0].labels, kind="expected group"))
    columns = np.array([judged[0].labels.index(named[prompt]) for prompt in codes.labels])
    rows = np.arange(len(columns))
    values = []
    for part in prompt_shares(judged, codes, plan, confusion):
        missing = part.images - part.labelled
        picked = (part.observed[rows, columns], part.replicates[:, rows, columns])
        values.append(_Values(*picked, part.labelled, missing, part.plain, True))
    return _frames(values, codes.labels, plan)


def _means(arms: Sequence[ArrayLike], prompts: Any, plan: Resampling) -> list[PromptMeans]:
    codes = encode_prompts(prompts)
    arrays = [np.asarray(arm, dtype=np.float64) for arm in arms]
    if any(array.shape != (len(codes),) for array in arrays):
        raise InputError(f"values of shapes {[a.shape for a in arrays]} for {len(codes)} images; expected one each.")
    known = [np.isfinite(array) for array in arrays]
    columns = [column for array, k in zip(arrays, known, strict=True) for column in (np.where(k, array, 0.0), k)]
    features = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    observed, drawn = sums(features, codes, plan, np.random.default_rng(plan.seed))
    images = np.bincount(codes.codes, minlength=len(codes.labels))
    values = []
    for i in range(len(arms)):
        n = np.asarray(np.rint(observed[:, 2 * i + 1]), dtype=np.int64)
        mean = divide(observed[:, 2 * i], observed[:, 2 * i + 1])
        values.append(_Values(mean, divide(drawn[..., 2 * i], drawn[..., 2 * i + 1]), n, images - n, False, False))
    return _frames(values, codes.labels, plan)


def _frames(values: Sequence[_Values], prompts: Sequence[str], plan: Resampling) -> list[PromptMeans]:
    frames = [_frame(v, prompts, plan) for v in values]
    if len(values) == 2:
        before, after = values
        moved = _Values(
            after.observed - before.observed,
            after.replicates - before.replicates,
            np.minimum(before.n, after.n),
            np.maximum(before.missing, after.missing),
            False,
            False,
        )
        worst = _worst_change(values, frames, prompts, plan)
        frames.append(_frame(moved, prompts, plan, worst))
    return frames


def _frame(v: _Values, prompts: Sequence[str], plan: Resampling, worst: Estimate | None = None) -> PromptMeans:
    ends = [_ends(v, p, plan.level, plan) for p in range(len(prompts))]
    by_prompt = {prompt: ends[p] for p, prompt in enumerate(prompts)}
    known = np.isfinite(v.observed)
    notes = [f"{np.count_nonzero(~known)} prompts have no image with a value"] * bool((~known).any())
    name = ""
    if worst is None:
        worst, name = _worst(v, prompts, plan)
    bounds = {}
    if v.share:
        n = np.maximum(v.n + v.missing, 1)
        low = np.where(known, v.observed, 0.0) * v.n / n
        high = low + v.missing / n
        bounds = {prompt: (float(low[p]), float(high[p])) for p, prompt in enumerate(prompts)}
        bounds["(mean)"] = (float(low.mean()), float(high.mean()))
    return PromptMeans(
        MappingProxyType(by_prompt), _mean(v, known, plan), worst, name, over_units(v.observed, plan),
        MappingProxyType(bounds), int(v.missing.sum()), tuple(notes),
    )  # fmt: skip


def _ends(v: _Values, p: int, level: float, plan: Resampling) -> Estimate:
    value, n = float(v.observed[p]), int(v.n[p])
    if math.isnan(value):
        return Estimate(value, n=n, level=level, note="no image with a value")
    if v.counted:
        low, high = wilson(value * n, n, level)
        return Estimate(value, low, high, n, level, "Wilson", "one image" if n == 1 else "")
    if n < 2 or not plan.draws:
        return Estimate(value, n=n, level=level, note="one image: no interval" if n < 2 else "no interval: n_boot is 0")
    return _percentile(value, v.replicates[:, p], n, n, level, plan)


def _percentile(value: float, drawn: FloatArray, n: int, units: int, level: float, plan: Resampling) -> Estimate:
    low, high = interval(drawn, value, level=level, method="percentile", units=units if units < FEW else None)
    method = f"percentile, images within prompts, {plan.draws} draws"
    return Estimate(value, min(low, value), max(high, value), n, level, method)


def _mean(v: _Values, known: NDArray[np.bool_], plan: Resampling) -> Estimate:
    n = int(v.n.sum())
    if not known.any():
        return Estimate(math.nan, n=n, level=plan.level, note="no image with a value")
    value = float(v.observed[known].mean())
    if v.counted:  # wider than needed: that prompts are strata would only narrow it
        return Estimate(value, *wilson(value * n, n, plan.level), n, plan.level, "Wilson over all images")
    units = max(2, round(n / int(known.sum())))
    if not plan.draws:
        return Estimate(value, n=n, level=plan.level, note="no interval: n_boot is 0")
    drawn = v.replicates[:, known]
    mean = divide(np.where(np.isnan(drawn), 0.0, drawn).sum(axis=1), np.isfinite(drawn).sum(axis=1).astype(float))
    return _percentile(value, mean, n, units, plan.level, plan)


def _worst(v: _Values, prompts: Sequence[str], plan: Resampling) -> tuple[Estimate, str]:
    """The lowest prompt, with ends that cover all prompts at once (Bonferroni)."""
    if np.isnan(v.observed).all():
        return Estimate(math.nan, level=plan.level, note="no image with a value"), ""
    place = int(np.nanargmin(v.observed))
    known = np.flatnonzero(np.isfinite(v.observed))
    together = 1 - (1 - plan.level) / len(known)
    ends = [_ends(v, int(p), together, plan) for p in known]
    value, n = float(v.observed[place]), int(v.n[place])
    low, high = (float(np.fmin.reduce([getattr(e, end) for e in ends])) for end in ("low", "high"))
    note = ends[int(np.flatnonzero(known == place)[0])].note if math.isnan(low) else ""
    method = f"{ends[0].method or 'none'}, all prompts at once"
    return Estimate(value, min(low, value), max(high, value), n, plan.level, method, note), prompts[place]


def _worst_change(
    values: Sequence[_Values], frames: Sequence[PromptMeans], prompts: Sequence[str], plan: Resampling
) -> Estimate:
    """After's lowest prompt minus before's, these prompts held fixed."""
    if any(not frame.worst_prompt for frame in frames):
        return Estimate(math.nan, level=plan.level, note="no image with a value in one arm")
    places = [list(prompts).index(frame.worst_prompt) for frame in frames[:2]]
    n = int(min(v.n[p] for v, p in zip(values, places, strict=True)))
    value = float(frames[1].worst.value - frames[0].worst.value)
    if not plan.draws or n < 2:
        return Estimate(value, n=n, level=plan.level, note="no interval: too few images or draws")
    drawn = values[1].replicates[:, places[1]] - values[0].replicates[:, places[0]]
    return _percentile(value, drawn, n, n, plan.level, plan)
