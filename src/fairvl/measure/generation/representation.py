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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from ...stats.bootstrap import Seed
from ...stats.cells import Resampling
from ...stats.codes import encode
from ...stats.shares import Target, TargetLike
from .confusion import Confusion
from .difference import difference_of
from .frame import Representation, frame_of
from .metrics import measured
from .shares import Judgements, encode_prompts, prompt_shares


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
    frames = [frame_of(m, goal, plan, notes) for m in arms_measured]
    if len(frames) == 2:
        frames.append(difference_of(arms_measured, frames, goal, plan))
    return frames
