"""After minus before, on the same resamples of paired images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...stats.bootstrap import interval
from ...stats.cells import FEW, Resampling
from ...stats.estimate import Estimate
from ...stats.shares import Target
from .frame import Representation, frozen, mean_over_prompts, over_units, target_shares
from .metrics import Measured
from .shares import FloatArray


def difference_of(
    arms: Sequence[Measured], frames: Sequence[Representation], goal: Target, plan: Resampling
) -> Representation:
    """Every number of `Representation` as a change; a mean is over the prompts that both arms have images of."""
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

    def place(frame: Representation, metric: str) -> int:
        return first.prompts.index(frame.worst_prompt[metric]) if frame.worst_prompt[metric] else 0

    moved = after.shares.observed - first.observed
    drawn = after.shares.replicates - first.replicates
    prompts, labels = list(enumerate(first.prompts)), list(enumerate(first.labels))
    total = int(n.sum())
    shares = {
        prompt: frozen({label: paired(moved[p, a], drawn[:, p, a], int(n[p]), int(n[p])) for a, label in labels})
        for p, prompt in prompts
    }
    by_prompt, mean, worst, over = {}, {}, {}, {}
    for metric in before.names:
        held = [place(frame, metric) for frame in frames[:2]]
        with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN
            change = after.values(metric) - before.values(metric)
            ends = (before.fixed(metric), after.fixed(metric)) if plan.draws else (np.zeros((0, len(change))),) * 2
            draws, worst_draws = ends[1] - ends[0], ends[1][:, held[1]] - ends[0][:, held[0]]
        by_prompt[metric] = frozen(
            {prompt: paired(change[p], draws[:, p], int(n[p]), int(n[p])) for p, prompt in prompts}
        )
        both = ~np.isnan(before.values(metric)) & ~np.isnan(after.values(metric))
        value = float(change[both].mean()) if both.any() else math.nan
        made = paired(value, mean_over_prompts(draws[:, both, None])[:, 0], total, first.units)
        alone = f"{np.count_nonzero(~both)} prompts without a labelled image in one arm are left out"
        mean[metric] = made if both.all() else replace(made, note="; ".join(filter(None, (alone, made.note))))
        over[metric] = over_units(change, plan)
        value = float(frames[1].worst[metric].value - frames[0].worst[metric].value)
        size = int(min(n[held]))
        worst[metric] = paired(value, worst_draws, size, size)
    means, centre = mean_over_prompts(drawn), mean_over_prompts(moved[None])[0]
    mean_shares = {label: paired(float(centre[a]), means[:, a], total, first.units) for a, label in labels}
    over |= {f"share: {label}": over_units(moved[:, a], plan) for a, label in labels}
    return Representation(
        first.labels, first.prompts, goal.describe(), target_shares(before), frozen(shares), frozen(by_prompt),
        frozen(mean_shares), frozen(mean), frozen(worst), frozen(over), frozen({}),
        frozen({}), frozen({}), frozen({}), f"paired images within prompts, {plan.draws} draws", frames[0].notes,
    )  # fmt: skip
