"""Who generated images show: shares per prompt against a target, their distance from it, and means over prompts.

For shares q of the labelled images of one prompt and target shares t:

* ``parity_gap``: ``|2 q - 1|`` for two groups, 0 at equal shares, 1 when only one group is drawn; no target enters.
* ``total_variation``: ``1/2 sum_a |q_a - t_a|``, for any number of groups: the share of images that would have to
  change group. For two groups and a uniform target it is half the parity gap.
* ``max_skew``, ``min_skew``: largest and smallest ``ln(q_a / t_a)``, in nats, with ``smoothing`` images added to every
  group (default 0: a group that is never drawn has MinSkew -inf). As in `fairvl.measure.ranking`.
* ``entropy``: ``-sum_a q_a ln q_a / ln g`` for g groups, 1 at equal shares, 0 when only one group is drawn.

Means give every prompt the same weight. *Worst* is the prompt furthest from the target.

Bianchi et al. (2023), "Easily Accessible Text-to-Image Generation Amplifies Demographic Stereotypes at Large Scale"
(shares by occupation); Geyik, Ambler and Kenthapadi (2019) for the skews.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...stats.bootstrap import Seed, interval
from ...stats.cells import Resampling
from ...stats.codes import encode
from ...stats.estimate import Estimate
from ...stats.rates import divide, wilson
from ...stats.shares import Target, TargetLike
from ...stats.spread import quantile
from .confusion import Confusion
from .metrics import DISTANCES, FEW, Measured, both_ways, measured, widening
from .shares import Judgements, PromptShares, encode_prompts, prompt_shares

FloatArray = NDArray[np.float64]


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


@dataclass(frozen=True, eq=False)
class RepresentationComparison:
    """Before, after, and after minus before on the same resamples of paired images."""

    before: Representation
    after: Representation
    difference: Representation


def representation(
    groups: Any,
    prompts: Any,
    *,
    labels: Sequence[Any] | None = None,
    target: TargetLike = "uniform",
    confusion: Confusion | None = None,
    smoothing: float = 0.0,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
) -> Representation:
    """Shares of groups among the images of every prompt, and how far they are from a target.

    Parameters
    ----------
    groups
        ``[n]`` labels, missing where the judge gave none; or probabilities ``[n, g]`` in the order of `labels` (rows of
        NaN where it gave none), which give expected shares.
    prompts
        ``[n]`` the prompt of every image.
    labels
        All groups, also those that no image shows.
    target
        ``"uniform"``, ``"population"`` (all labelled images of all prompts here) or shares per group.
    confusion
        The judge's, to correct every number for (`correct_shares`); negative shares are clipped to 0.
    smoothing
        Images added to every group before a logarithm is taken.
    n_boot, level, seed
        Images are resampled within prompts; 0 draws leave the intervals that need none.

    Notes
    -----
    Shares of hard labels have Wilson intervals. Two groups: intervals of gaps and skews follow from that of the share,
    so they reach 0 where the share's holds the target. Means of distances and skews: towards the target a
    band as in `fairvl.stats.spread` (signed errors where a prompt's side of the target is clear, absolute ones where it
    is not), away from it the percentile, which noise only moves outwards.
    *Worst* covers all prompts at once (Bonferroni). Entropy of more than two groups, and its mean: percentile and its
    mirror image, the wider one.

    Raises
    ------
    GroupError
        No label at all, unknown labels, a target that names other groups.
    InputError
        Lengths that differ, an image without a prompt, a judge that cannot tell the groups apart.

    Examples
    --------
    >>> found = representation(["f"] * 9 + ["m"] * 31, ["a nurse"] * 10 + ["a pilot"] * 30)
    >>> found.shares["a nurse"]["f"].value, round(found.mean["parity_gap"].value, 3)
    (0.9, 0.9)
    >>> found.worst_prompt["parity_gap"], round(found.by_prompt["max_skew"]["a nurse"].value, 4)  # ln(0.9 / 0.5)
    ('a pilot', 0.5878)
    """
    plan = Resampling(n_boot, level, seed)
    return _frames([groups], prompts, labels, target, confusion, smoothing, plan)[0]


def compare_representation(
    groups_before: Any,
    groups_after: Any,
    prompts: Any,
    *,
    labels: Sequence[Any] | None = None,
    target: TargetLike = "uniform",
    confusion: Confusion | None = None,
    smoothing: float = 0.0,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
) -> RepresentationComparison:
    """`representation` before and after, row i of both from the same prompt and seed, and the paired difference.

    A difference holds the side of the target (and the most skewed group, and the worst prompt) of each arm fixed.
    """
    arms = [groups_before, groups_after]
    plan = Resampling(n_boot, level, seed)
    before, after, difference = _frames(arms, prompts, labels, target, confusion, smoothing, plan)
    return RepresentationComparison(before, after, difference)


def _frames(
    arms: Sequence[Any], prompts: Any, labels: Sequence[Any] | None, target: TargetLike, confusion: Confusion | None,
    smoothing: float, plan: Resampling,
) -> list[Representation]:  # fmt: skip
    if not (smoothing >= 0 and math.isfinite(smoothing)):
        raise InputError(f"smoothing={smoothing}; expected a number of images, 0 or more.")
    goal = Target.of(target)
    names = list(labels) if labels is not None else None
    if names is None and goal.kind == "given":
        names = [label for label, _ in goal.given]
    if names is None and len(arms) > 1:
        both = [Judgements.of(arm, None).labels for arm in arms]
        names = list(encode([label for part in both for label in part]).labels)
    codes = encode_prompts(prompts)
    judged = [Judgements.of(arm, names) for arm in arms]
    shares = prompt_shares(judged, codes, plan, confusion)
    arms_measured = [measured(part, goal, smoothing) for part in shares]
    notes = tuple(dict.fromkeys(note for arm in judged for note in arm.notes))
    frames = [_frame(m, goal, plan, notes) for m in arms_measured]
    if len(frames) == 2:
        frames.append(_difference(arms_measured, frames, goal, plan))
    return frames


def _frame(m: Measured, goal: Target, plan: Resampling, notes: tuple[str, ...]) -> Representation:
    shares, level = m.shares, plan.level
    low, high = shares.ends(level)
    n = shares.labelled
    how = "Wilson" if shares.plain else f"percentile, images, {len(shares.replicates)} draws"
    estimates = {
        prompt: _frozen({
            label: _estimate(shares.observed[p, a], low[p, a], high[p, a], n[p], level, how)
            for a, label in enumerate(shares.labels)
        })
        for p, prompt in enumerate(shares.prompts)
    }  # fmt: skip
    by_prompt, mean, worst, worst_prompt, over = {}, {}, {}, {}, {}
    for metric in m.names:
        value, ends = m.values(metric), m.ends(metric, level)
        by_prompt[metric] = _frozen({
            prompt: _estimate(value[p], ends[0][p], ends[1][p], n[p], level, _method(m, metric), _why(value[p]))
            for p, prompt in enumerate(shares.prompts)
        })  # fmt: skip
        mean[metric] = _mean(m, metric, plan)
        worst[metric], worst_prompt[metric] = _worst(m, metric, level)
        over[metric] = over_units(value, plan)
    observed, drawn = _mean_replicates(shares.observed[None])[0], _mean_replicates(shares.replicates)
    mean_shares = {
        label: _mean_share(float(observed[a]), drawn[:, a], shares, plan) for a, label in enumerate(shares.labels)
    }
    over |= {f"share: {label}": over_units(shares.observed[:, a], plan) for a, label in enumerate(shares.labels)}
    bounds, distance_bounds = _bounds(m)
    return Representation(
        shares.labels, shares.prompts, goal.describe(), _target_shares(m), _frozen(estimates), _frozen(by_prompt),
        _frozen(mean_shares), _frozen(mean), _frozen(worst), _frozen(over), _frozen(worst_prompt),
        _unlabelled(shares, level), bounds, distance_bounds, f"images within prompts, {plan.draws} draws",
        (*notes, *_notes(shares)),
    )  # fmt: skip


def _target_shares(m: Measured) -> Mapping[str, float]:
    return _frozen({label: float(share) for label, share in zip(m.shares.labels, m.target, strict=True)})


def _frozen(table: Mapping[str, Any]) -> Mapping[str, Any]:
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
        low, high = both_ways(_mean_replicates(m.fixed(metric)[:, known, None])[:, 0], value, plan.level, units)
        return Estimate(value, low, high, total, plan.level, method.replace("band", "percentile"), note)
    clear = m.clear(metric)[known]
    errors = m.fixed(metric)[:, known] - values[known]
    errors = np.where(np.isfinite(errors), errors, 0.0)
    moved = np.abs(errors[:, clear].sum(axis=1)) + m.absolute(metric)[:, known][:, ~clear].sum(axis=1)
    half = quantile(moved / len(errors[0]), plan.level) * widening(units, plan.level)
    if half == 0 and total:
        half = 2 * DISTANCES.get(metric, 0.5) * (1 - wilson(total, total, plan.level)[0])
    most = 1.0 if metric in DISTANCES else math.inf
    drawn = _mean_replicates(m.again(metric)[:, known, None])[:, 0]
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


def _mean_replicates(replicates: FloatArray) -> FloatArray:
    """Mean over prompts of ``[draws, p, k]``, prompts without a labelled image left out."""
    known = np.isfinite(replicates)
    total = np.where(known, replicates, 0.0).sum(axis=1)
    return divide(total, known.sum(axis=1).astype(np.float64))


def _mean_share(value: float, drawn: FloatArray, shares: PromptShares, plan: Resampling) -> Estimate:
    n = int(shares.labelled.sum())
    if not plan.draws:
        return Estimate(value, math.nan, math.nan, n, plan.level, "none", "no interval: n_boot is 0")
    units = shares.units if shares.units < FEW else None
    low, high = interval(drawn, value, level=plan.level, method="percentile", units=units)
    if np.nanmax(np.abs(drawn - value)) < 1e-12:
        low, high = wilson(value * n, n, plan.level)
    ends = (min(low, value), max(high, value))
    return Estimate(value, *ends, n, plan.level, f"percentile, images within prompts, {plan.draws} draws")


def _difference(
    arms: Sequence[Measured], frames: Sequence[Representation], goal: Target, plan: Resampling
) -> Representation:
    before, after = arms
    first = before.shares
    n = np.minimum(first.labelled, after.shares.labelled)

    def paired(value: float, drawn: FloatArray, n: int, units: int) -> Estimate:
        if not math.isfinite(value):
            return Estimate(math.nan, note="undefined or infinite in one arm", n=n, level=plan.level)
        if not plan.draws or units < 2:
            note = "one image: no interval" if plan.draws else "no interval: n_boot is 0"
            return Estimate(value, n=n, level=plan.level, note=note)
        infinite = ~np.isfinite(drawn)
        usable = np.where(infinite, np.nan, drawn)
        low, high = interval(usable, value, level=plan.level, method="percentile", units=units if units < FEW else None)
        note = f"undefined in {infinite.sum()} of {plan.draws} draws, which are left out" if infinite.any() else ""
        if not math.isnan(low):
            low, high = min(low, value), max(high, value)
        return Estimate(value, low, high, n, plan.level, f"percentile, paired images, {plan.draws} draws", note)

    moved = after.shares.observed - first.observed
    drawn = after.shares.replicates - first.replicates
    prompts, labels = list(enumerate(first.prompts)), list(enumerate(first.labels))
    total = int(n.sum())
    shares = {
        prompt: _frozen({label: paired(moved[p, a], drawn[:, p, a], int(n[p]), int(n[p])) for a, label in labels})
        for p, prompt in prompts
    }
    by_prompt, mean, worst, over = {}, {}, {}, {}
    for metric in before.names:
        with np.errstate(invalid="ignore"):
            change = after.values(metric) - before.values(metric)
            draws = after.fixed(metric) - before.fixed(metric) if plan.draws else np.zeros((0, len(change)))
        by_prompt[metric] = _frozen(
            {prompt: paired(change[p], draws[:, p], int(n[p]), int(n[p])) for p, prompt in prompts}
        )
        value = float(frames[1].mean[metric].value - frames[0].mean[metric].value)
        mean[metric] = paired(value, _mean_replicates(draws[:, :, None])[:, 0], total, first.units)
        over[metric] = over_units(change, plan)
        places = [first.prompts.index(f.worst_prompt[metric]) if f.worst_prompt[metric] else 0 for f in frames[:2]]
        value = float(frames[1].worst[metric].value - frames[0].worst[metric].value)
        held = after.fixed(metric)[:, places[1]] - before.fixed(metric)[:, places[0]] if plan.draws else np.zeros(0)
        worst[metric] = paired(value, held, int(min(n[places])), int(min(n[places])))
    means, centre = _mean_replicates(drawn), _mean_replicates(moved[None])[0]
    mean_shares = {label: paired(float(centre[a]), means[:, a], total, first.units) for a, label in labels}
    over |= {f"share: {label}": over_units(moved[:, a], plan) for a, label in labels}
    return Representation(
        first.labels, first.prompts, goal.describe(), _target_shares(before), _frozen(shares), _frozen(by_prompt),
        _frozen(mean_shares), _frozen(mean), _frozen(worst), _frozen(over), _frozen({}),
        _frozen({}), _frozen({}), _frozen({}), f"paired images within prompts, {plan.draws} draws", frames[0].notes,
    )  # fmt: skip


def _unlabelled(shares: PromptShares, level: float) -> Mapping[str, Estimate]:
    def share(gone: int, n: int) -> Estimate:
        return Estimate(gone / n if n else math.nan, *wilson(gone, n, level), n, level, "Wilson")

    images, labelled = shares.images, shares.labelled
    table = {prompt: share(int(images[p] - labelled[p]), int(images[p])) for p, prompt in enumerate(shares.prompts)}
    return _frozen({"(all)": share(int((images - labelled).sum()), int(images.sum())), **table})


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
        prompt: _frozen({label: (float(low[p, a]), float(high[p, a])) for a, label in enumerate(shares.labels)})
        for p, prompt in enumerate(shares.prompts)
    }
    table["(mean)"] = _frozen(
        {label: (float(low[:, a].mean()), float(high[:, a].mean())) for a, label in enumerate(shares.labels)}
    )
    distances = {}
    for metric in [name for name in m.names if name in DISTANCES]:
        goal = m.goal(metric)[0]
        least = 2 * DISTANCES[metric] * np.maximum(low - goal, 0.0).sum(axis=1)
        one = low[:, None] + gone[:, None] * np.eye(len(goal))  # all unlabelled to one group: a convex maximum
        most = (DISTANCES[metric] * np.abs(one - goal).sum(axis=2)).max(axis=1)
        ends = {prompt: (float(least[p]), float(most[p])) for p, prompt in enumerate(shares.prompts)}
        distances[metric] = _frozen({**ends, "(mean)": (float(least.mean()), float(most.mean()))})
    return _frozen(table), _frozen(distances)


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
