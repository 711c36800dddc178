"""What one arm shows, with its intervals: shares and distances by prompt, their means and the worst."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ...stats.bootstrap import interval
from ...stats.cells import FEW, Resampling
from ...stats.estimate import Estimate
from ...stats.rates import divide, wilson
from ...stats.shares import Target
from ...stats.spread import quantile
from .metrics import DISTANCES, Measured, both_ways, widening
from .shares import FloatArray, PromptShares


@dataclass(frozen=True, eq=False)
class Representation:
    """Who the images show; in a difference every number is after minus before.

    Attributes
    ----------
    shares : prompt -> group -> Estimate
    by_prompt : metric -> prompt -> Estimate
    mean_shares : group -> Estimate
        Mean over prompts: a repair that overshoots on most prompts shows here.
    mean, worst : metric -> Estimate
        Over prompts, with intervals over the images of these prompts.
    over_prompts : metric, or ``share: GROUP`` -> Estimate
        The same means with the prompts as the units that were sampled: what to expect of other prompts of the kind.
    worst_prompt : metric -> prompt
    unlabelled : prompt -> Estimate
        Share of images without a label; ``"(all)"`` over all of them.
    bounds : prompt -> group -> (low, high)
        The share if no, or every, unlabelled image of the prompt were of the group; ``"(mean)"`` over prompts.
    distance_bounds : metric -> prompt -> (low, high)
        The same for the parity gap and the total variation.
    """

    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    target: str
    target_shares: Mapping[str, float]
    shares: Mapping[str, Mapping[str, Estimate]]
    by_prompt: Mapping[str, Mapping[str, Estimate]]
    mean_shares: Mapping[str, Estimate]
    mean: Mapping[str, Estimate]
    worst: Mapping[str, Estimate]
    over_prompts: Mapping[str, Estimate]
    worst_prompt: Mapping[str, str]
    unlabelled: Mapping[str, Estimate]
    bounds: Mapping[str, Mapping[str, tuple[float, float]]]
    distance_bounds: Mapping[str, Mapping[str, tuple[float, float]]]
    method: str
    notes: tuple[str, ...] = ()


def frame_of(m: Measured, goal: Target, plan: Resampling, notes: tuple[str, ...]) -> Representation:
    shares, level = m.shares, plan.level
    low, high = shares.ends(level)
    n = shares.labelled
    how = "Wilson" if shares.plain else f"percentile, images, {len(shares.replicates)} draws"
    estimates = {
        prompt: frozen({
            label: _estimate(shares.observed[p, a], low[p, a], high[p, a], n[p], level, how)
            for a, label in enumerate(shares.labels)
        })
        for p, prompt in enumerate(shares.prompts)
    }  # fmt: skip
    by_prompt, mean, worst, worst_prompt, over = {}, {}, {}, {}, {}
    for metric in m.names:
        value, ends = m.values(metric), m.ends(metric, level)
        by_prompt[metric] = frozen({
            prompt: _estimate(value[p], ends[0][p], ends[1][p], n[p], level, _method(m, metric), _why(value[p]))
            for p, prompt in enumerate(shares.prompts)
        })  # fmt: skip
        mean[metric] = _mean(m, metric, plan)
        worst[metric], worst_prompt[metric] = _worst(m, metric, level)
        over[metric] = over_units(value, plan)
    observed, drawn = mean_over_prompts(shares.observed[None])[0], mean_over_prompts(shares.replicates)
    mean_shares = {
        label: _mean_share(float(observed[a]), drawn[:, a], shares, plan) for a, label in enumerate(shares.labels)
    }
    over |= {f"share: {label}": over_units(shares.observed[:, a], plan) for a, label in enumerate(shares.labels)}
    bounds, distance_bounds = _bounds(m)
    return Representation(
        shares.labels, shares.prompts, goal.describe(), target_shares(m), frozen(estimates), frozen(by_prompt),
        frozen(mean_shares), frozen(mean), frozen(worst), frozen(over), frozen(worst_prompt),
        _unlabelled(shares, level), bounds, distance_bounds, f"images within prompts, {plan.draws} draws",
        (*notes, *_notes(shares)),
    )  # fmt: skip


def target_shares(m: Measured) -> Mapping[str, float]:
    return frozen({label: float(share) for label, share in zip(m.shares.labels, m.target, strict=True)})


def frozen(table: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(table))


def _estimate(value: float, low: float, high: float, n: int, level: float, method: str, note: str = "") -> Estimate:
    if math.isnan(value):
        note = note or "no labelled image"
    elif math.isnan(low):
        note = note or ("one image: no interval" if n < 2 else "no interval: n_boot is 0")
    elif n < 2:
        note = note or "one image"
    return Estimate(float(value), float(low), float(high), int(n), level, method, note)


def _why(value: float) -> str:
    return "a group is never drawn; see smoothing=" if math.isinf(value) else ""


def _method(m: Measured, metric: str) -> str:
    if metric != "entropy" and m.shares.plain and (len(m.shares.labels) == 2 or metric not in DISTANCES):
        return "from the shares' Wilson intervals"
    return f"percentile, images, {len(m.shares.replicates)} draws"


def _mean(m: Measured, metric: str, plan: Resampling) -> Estimate:
    """Mean over prompts: a band towards the target, honest where a prompt is on it, and percentiles away from it."""
    values = m.values(metric)
    known = np.isfinite(values)
    total = int(m.shares.labelled.sum())
    method = f"band, images within prompts, {plan.draws} draws"
    if not known.all() or not known.any():
        value = float(np.mean(values[~np.isnan(values)])) if (~np.isnan(values)).any() else math.nan
        if math.isinf(value) or not known.any():
            lost = int((~known).sum())
            note = f"undefined or infinite for {lost} of {len(values)} prompts"
            return Estimate(value, math.nan, math.nan, total, plan.level, "none", note)
    value = float(values[known].mean())
    if not plan.draws:
        return Estimate(value, math.nan, math.nan, total, plan.level, "none", "no interval: n_boot is 0")
    note = "" if known.all() else f"{int((~known).sum())} prompts without a labelled image are left out"
    units = m.shares.units
    if metric == "entropy":
        low, high = both_ways(mean_over_prompts(m.fixed(metric)[:, known, None])[:, 0], value, plan.level, units)
        return Estimate(value, low, high, total, plan.level, method.replace("band", "percentile"), note)
    clear = m.clear(metric)[known]
    errors = m.fixed(metric)[:, known] - values[known]
    errors = np.where(np.isfinite(errors), errors, 0.0)
    moved = np.abs(errors[:, clear].sum(axis=1)) + m.absolute(metric)[:, known][:, ~clear].sum(axis=1)
    half = quantile(moved / len(errors[0]), plan.level) * widening(units, plan.level)
    if half == 0 and total:
        half = 2 * DISTANCES.get(metric, 0.5) * (1 - wilson(total, total, plan.level)[0])
    most = 1.0 if metric in DISTANCES else math.inf
    drawn = mean_over_prompts(m.again(metric)[:, known, None])[:, 0]
    drawn = np.where(np.isfinite(drawn), drawn, np.nan)
    ends = interval(drawn, value, level=plan.level, method="percentile", units=units if units < FEW else None)
    low, high = value - half, value + half
    if metric == "min_skew":  # the mirror image of the others: it is never above 0
        low, high = max(low, min(ends[0], value)), min(high, 0.0)
    else:
        low, high = max(low, 0.0), min(high, max(ends[1], value), most)
    return Estimate(value, low, high, total, plan.level, method, note)


def _worst(m: Measured, metric: str, level: float) -> tuple[Estimate, str]:
    """The prompt furthest from the target, with ends that cover all prompts at once."""
    values = m.values(metric)
    if np.isnan(values).all():
        return Estimate(math.nan, note="no labelled image"), ""
    lowest = metric in ("min_skew", "entropy")
    place = int(np.nanargmin(values) if lowest else np.nanargmax(values))
    together = 1 - (1 - level) / max(int(np.count_nonzero(~np.isnan(values))), 1)
    ends = m.ends(metric, together)
    pick: Callable[..., Any] = np.fmin.reduce if lowest else np.fmax.reduce
    low, high = float(pick(ends[0])), float(pick(ends[1]))
    low, high = (min(low, float(values[place])), max(high, float(values[place])))
    n = int(m.shares.labelled[place])
    method = f"{_method(m, metric)}, all prompts at once"
    return _estimate(values[place], low, high, n, level, method, _why(values[place])), m.shares.prompts[place]


def over_units(values: FloatArray, plan: Resampling) -> Estimate:
    """Mean of one value per prompt, with the prompts as the units that are resampled."""
    known = values[np.isfinite(values)]
    method = f"percentile, prompts, {plan.draws} draws"
    if len(known) < 2 or len(known) < np.count_nonzero(~np.isnan(values)):
        note = "needs two prompts with finite values"
        return Estimate(math.nan, math.nan, math.nan, len(known), plan.level, "none", note)
    value = float(known.mean())
    if not plan.draws:
        return Estimate(value, math.nan, math.nan, len(known), plan.level, "none", "no interval: n_boot is 0")
    rng = np.random.default_rng(plan.seed)
    drawn = known[rng.integers(len(known), size=(plan.draws, len(known)))].mean(axis=1)
    low, high = interval(drawn, value, level=plan.level, method="percentile", units=len(known))
    return Estimate(value, low, high, len(known), plan.level, method)


def mean_over_prompts(replicates: FloatArray) -> FloatArray:
    """Mean over prompts of ``[draws, p, k]``, prompts without a labelled image left out."""
    known = np.isfinite(replicates)
    total = np.where(known, replicates, 0.0).sum(axis=1)
    return divide(total, known.sum(axis=1).astype(np.float64))


def _mean_share(value: float, drawn: FloatArray, shares: PromptShares, plan: Resampling) -> Estimate:
    n = int(shares.labelled.sum())
    if not n or not plan.draws:
        note = "no interval: n_boot is 0" if n else "no labelled image"
        return Estimate(value, math.nan, math.nan, n, plan.level, "none", note)
    units = shares.units if shares.units < FEW else None
    low, high = interval(drawn, value, level=plan.level, method="percentile", units=units)
    if np.nanmax(np.abs(drawn - value)) < 1e-12:
        low, high = wilson(value * n, n, plan.level)
    ends = (min(low, value), max(high, value))
    return Estimate(value, *ends, n, plan.level, f"percentile, images within prompts, {plan.draws} draws")


def _unlabelled(shares: PromptShares, level: float) -> Mapping[str, Estimate]:
    def share(gone: int, n: int) -> Estimate:
        return Estimate(gone / n if n else math.nan, *wilson(gone, n, level), n, level, "Wilson")

    images, labelled = shares.images, shares.labelled
    table = {prompt: share(int(images[p] - labelled[p]), int(images[p])) for p, prompt in enumerate(shares.prompts)}
    return frozen({"(all)": share(int((images - labelled).sum()), int(images.sum())), **table})


def _bounds(
    m: Measured,
) -> tuple[Mapping[str, Mapping[str, tuple[float, float]]], Mapping[str, Mapping[str, tuple[float, float]]]]:
    """Shares and distances for every way to label the unlabelled; the judge's own mistakes apart."""
    shares = m.shares
    n = shares.counts.sum(axis=1, keepdims=True)
    gone = shares.counts[:, -1:] / n
    low = np.where(np.isnan(shares.observed), 0.0, shares.observed) * (1 - gone)
    high = low + gone
    table = {
        prompt: frozen({label: (float(low[p, a]), float(high[p, a])) for a, label in enumerate(shares.labels)})
        for p, prompt in enumerate(shares.prompts)
    }
    table["(mean)"] = frozen(
        {label: (float(low[:, a].mean()), float(high[:, a].mean())) for a, label in enumerate(shares.labels)}
    )
    distances = {}
    for metric in [name for name in m.names if name in DISTANCES]:
        goal = m.goal(metric)[0]
        least = 2 * DISTANCES[metric] * np.maximum(low - goal, 0.0).sum(axis=1)
        one = low[:, None] + gone[:, None] * np.eye(len(goal))  # all unlabelled to one group: a convex maximum
        most = (DISTANCES[metric] * np.abs(one - goal).sum(axis=2)).max(axis=1)
        ends = {prompt: (float(least[p]), float(most[p])) for p, prompt in enumerate(shares.prompts)}
        distances[metric] = frozen({**ends, "(mean)": (float(least.mean()), float(most.mean()))})
    return frozen(table), frozen(distances)


def _notes(shares: PromptShares) -> list[str]:
    notes = []
    for count, what in (
        (
            int((shares.images == 1).sum()),
            "have one image: no interval of their own, and none of their spread in means",
        ),
        (int((shares.labelled == 0).sum()), "have no labelled image and are left out of means"),
        (int(shares.clipped.sum()), "had a negative corrected share, which was set to 0"),
    ):
        if count:
            notes.append(f"{count} of {len(shares.prompts)} prompts {what}")
    return notes
