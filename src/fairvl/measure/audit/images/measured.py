"""Rows of findings about generated images: shares, gaps, agreement and fidelity, before and after each repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....findings import Finding
from ....stats.codes import encode
from ....stats.estimate import Estimate
from ....stats.shares import Target
from ...generation import (
    Confusion,
    PromptMeans,
    Representation,
    agreement,
    compare_agreement,
    compare_prompt_means,
    compare_representation,
    prompt_means,
    representation,
)
from ..arms import rows
from .labelling import Labels
from .table import ImageTable

CONCEPT = "concept"
UNITS = {  # metric of the measurement -> (metric of the finding, unit)
    "parity_gap": ("parity_gap", "share"),
    "total_variation": ("total_variation", "share"),
    "max_skew": ("image_max_skew", "nats"),
    "min_skew": ("image_min_skew", "nats"),
    "entropy": ("image_entropy", "of the most"),
}
OVER = {"images": "these prompts, images resampled", "prompts": "prompts resampled"}


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything that the parts below need: the same images in every arm, the first arm under ""."""

    arms: Mapping[str, ImageTable]
    labels: Mapping[str, Labels]
    groups: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, Target]
    expected: Mapping[str, tuple[str | None, ...]]
    confusions: Mapping[str, Confusion]
    smoothing: float
    draws: int
    level: float
    seed: int

    @property
    def first(self) -> ImageTable:
        """The images before any repair."""
        return next(iter(self.arms.values()))

    @property
    def options(self) -> dict[str, Any]:
        """How to resample."""
        return {"n_boot": self.draws, "level": self.level, "seed": self.seed}

    def rows(self, kind: str) -> NDArray[np.int64]:
        """Rows of neutral, or of explicit prompts."""
        return np.flatnonzero([k == kind for k in self.first.kinds])

    def prompts(self, rows: NDArray[np.int64]) -> list[str]:
        """Their prompts."""
        return [self.first.prompts[row] for row in rows]

    def concept_of(self) -> dict[str, str]:
        """What each prompt is about; the prompt itself where that is not said."""
        return dict(zip(self.first.prompts, self.first.concepts, strict=True))


def attribute_findings(setting: Setting, attribute: str) -> list[Finding]:
    """Shares of one attribute over the neutral prompts, and whom the explicit ones get: as labelled, as expected from
    the judge's confidence, and corrected for its confusion."""
    found: list[Finding] = []
    for kind, judged, confusion in _readings(setting, attribute):
        neutral = setting.rows("neutral")
        if len(neutral):
            found += share_findings(setting, attribute, _part(judged, neutral), neutral, kind, confusion,
                                    setting.groups[attribute])  # fmt: skip
        wanted = setting.expected.get(attribute, ())
        explicit = np.array([row for row in setting.rows("explicit") if wanted and wanted[row]], dtype=np.int64)
        if len(explicit):
            named = [wanted[row] for row in explicit]
            found += agreement_findings(setting, attribute, _part(judged, explicit), explicit, named, kind, confusion,
                                        "explicit_accuracy", "explicit")  # fmt: skip
    return found


def concept_findings(setting: Setting) -> list[Finding]:
    """Whether images show what their prompt is about, where the table names it and the judge also says that."""
    concepts, known = setting.first.concepts, setting.groups[CONCEPT]
    said = [c != prompt or c in known for c, prompt in zip(concepts, setting.first.prompts, strict=True)]
    found: list[Finding] = []
    for kind, judged, confusion in _readings(setting, CONCEPT):
        for part in ("neutral", "explicit"):
            rows_of = np.array([row for row in setting.rows(part) if said[row]], dtype=np.int64)
            if len(rows_of):
                named = [concepts[row] for row in rows_of]
                found += agreement_findings(setting, CONCEPT, _part(judged, rows_of), rows_of, named, kind, confusion,
                                            "concept_accuracy", part)  # fmt: skip
    return found


def crossing_findings(setting: Setting, names: Sequence[str]) -> list[Finding]:
    """Shares of the crossings of several attributes, as labelled."""
    neutral = setting.rows("neutral")
    if not len(neutral):
        return []
    judged = {}
    for arm, labels in setting.labels.items():
        singles = {n: encode(labels.answers[n].labels, expected=setting.groups[n], name=n) for n in names}
        judged[arm] = encode(singles).take(neutral)
    groups = next(iter(judged.values())).labels
    return share_findings(setting, " & ".join(names), judged, neutral, "hard", None, groups, target=Target("uniform"))


def fidelity_findings(setting: Setting, cosines: Mapping[str, NDArray[Any]]) -> list[Finding]:
    """Cosine of image and prompt under an encoder of its own, over all prompts."""
    before, *after = cosines.items()
    prompts = list(setting.first.prompts)
    pairs = {name: compare_prompt_means(before[1], values, prompts, **setting.options) for name, values in after}
    frame = next(iter(pairs.values())).before if pairs else prompt_means(before[1], prompts, **setting.options)
    arms = {name: (pair.after, pair.difference) for name, pair in pairs.items()}
    about = {"prompt_kind": "all"}
    return mean_findings(setting, "prompt_fidelity", "cosine", "", frame, arms, about, "fidelity")


def confusion_findings(confusions: Mapping[str, Confusion], level: float) -> list[Finding]:
    """What the judge makes of images whose group is known."""
    found = []
    for attribute, confusion in confusions.items():
        low, high = confusion.ends(level)
        sizes = confusion.counts.sum(axis=1)
        for i, truth in enumerate(confusion.labels):
            for j, judged in enumerate((*confusion.labels, "(unlabelled)")):
                found.append(
                    Finding(
                        "judge_rate", confusion.rates[i, j], "share", round(float(sizes[i])), low[i, j], high[i, j],
                        level, "Wilson", groups=f"{truth} judged {judged}", attribute=attribute,
                        extra={"truth": truth, "judged": judged, "role": "diagnostic"},
                    )
                )  # fmt: skip
    return found


def share_findings(
    setting: Setting, attribute: str, judged: Mapping[str, Any], neutral: NDArray[np.int64], kind: str,
    confusion: Confusion | None, groups: Sequence[str], *, target: Target | None = None,
) -> list[Finding]:  # fmt: skip
    """Shares and distances of every neutral prompt, their means and worst, for one reading of the labels."""
    goal = target or setting.targets[attribute]
    options: dict[str, Any] = setting.options | {
        "labels": groups, "target": goal, "confusion": confusion, "smoothing": setting.smoothing,
    }  # fmt: skip
    prompts = setting.prompts(neutral)
    before, *after = judged.items()
    pairs = {name: compare_representation(before[1], part, prompts, **options) for name, part in after}
    frame = next(iter(pairs.values())).before if pairs else representation(before[1], prompts, **options)
    arms = {name: (pair.after, pair.difference) for name, pair in pairs.items()}
    extra: dict[str, Any] = {"labels": kind, "target": goal.describe()}
    columns: dict[str, Any] = {"attribute": attribute, "seed": setting.seed}
    base = f"images/{attribute}/{kind}"
    found = _by_prompt(setting, frame, arms, base, extra, columns)
    for label in frame.labels:
        found += rows(
            "mean_generated_share", "share", f"{base}/mean_share/{label}", frame.mean_shares[label],
            {name: (a.mean_shares[label], d.mean_shares[label]) for name, (a, d) in arms.items()},
            groups=label, extra=extra | {"over": OVER["images"], "role": "diagnostic",
                                         "target_share": frame.target_shares[label]}, **columns,
        )  # fmt: skip
    for metric in frame.mean:
        name, unit = UNITS[metric]
        for title, over in ((f"mean_{name}", "images"), (f"mean_{name}", "prompts"), (f"worst_{name}", "images")):
            found += rows(
                title, unit, f"{base}/{title}/{over}", _over(frame, metric, title, over),
                {r: (_over(a, metric, title, over), _over(d, metric, title, over)) for r, (a, d) in arms.items()},
                extra=extra | {"over": OVER[over], "role": "fairness", **_ends(frame, metric, title)}, **columns,
            )  # fmt: skip
    if kind == "hard":
        found += _unlabelled(setting, frame, arms, base, columns)
    return found


def agreement_findings(
    setting: Setting, attribute: str, judged: Mapping[str, Any], rows_of: NDArray[np.int64],
    expected: Sequence[str | None], kind: str, confusion: Confusion | None, metric: str, part: str,
) -> list[Finding]:  # fmt: skip
    """Share of images of whom, or what, their prompt names."""
    options: dict[str, Any] = setting.options | {"labels": setting.groups[attribute], "confusion": confusion}
    prompts = setting.prompts(rows_of)
    before, *after = judged.items()
    pairs = {name: compare_agreement(before[1], values, expected, prompts, **options) for name, values in after}
    frame = next(iter(pairs.values())).before if pairs else agreement(before[1], expected, prompts, **options)
    arms = {name: (pair.after, pair.difference) for name, pair in pairs.items()}
    about = {"labels": kind, "prompt_kind": part}
    return mean_findings(setting, metric, "share", attribute, frame, arms, about, f"{attribute}/{kind}/{part}")


def mean_findings(
    setting: Setting, metric: str, unit: str, attribute: str, frame: PromptMeans,
    arms: Mapping[str, tuple[PromptMeans, PromptMeans]], about: Mapping[str, Any], base: str,
) -> list[Finding]:  # fmt: skip
    """Rows per prompt, mean and worst of what is useful about the images."""
    columns: dict[str, Any] = {"attribute": attribute, "seed": setting.seed}
    plain = about.get("labels", "hard") == "hard"  # one reading speaks for the utility, the others stand beside it
    found: list[Finding] = []
    for prompt, estimate in frame.by_prompt.items():
        ends = dict(zip(("bound_low", "bound_high"), frame.bounds.get(prompt, ()), strict=False))
        found += rows(
            metric, unit, f"images/{base}/{metric}/{prompt}", estimate,
            {name: (a.by_prompt[prompt], d.by_prompt[prompt]) for name, (a, d) in arms.items()},
            extra={**about, "role": "diagnostic", "prompt": prompt, CONCEPT: setting.concept_of()[prompt], **ends},
            **columns,
        )  # fmt: skip
    for title, over in ((f"mean_{metric}", "images"), (f"mean_{metric}", "prompts"), (f"worst_{metric}", "images")):
        mean = plain and over == "images" and title.startswith("mean_")
        share = {**about, "role": "utility" if mean else "diagnostic"}
        found += rows(
            title, unit, f"images/{base}/{title}/{over}", _overall(frame, title, over),
            {name: (_overall(a, title, over), _overall(d, title, over)) for name, (a, d) in arms.items()},
            extra={**share, "over": OVER[over]}, **columns,
        )  # fmt: skip
    return found


def _readings(setting: Setting, attribute: str) -> list[tuple[str, dict[str, Any], Confusion | None]]:
    """The ways to read the judge's answers: hard labels, expected from its confidence, corrected for its confusion."""
    groups = setting.groups[attribute]
    hard = {
        arm: encode(labels.answers[attribute].labels, expected=groups, name=attribute)
        for arm, labels in setting.labels.items()
    }
    readings: list[tuple[str, dict[str, Any], Confusion | None]] = [("hard", hard, None)]
    soft = {arm: labels.answers[attribute].over(groups) for arm, labels in setting.labels.items()}
    if all(known for _, known in soft.values()):
        readings.append(("expected", {arm: table for arm, (table, _) in soft.items()}, None))
    if (confusion := setting.confusions.get(attribute)) is not None:
        readings.append(("corrected", hard, confusion))
    return readings


def _part(judged: Mapping[str, Any], rows_of: NDArray[np.int64]) -> dict[str, Any]:
    return {arm: j.take(rows_of) if hasattr(j, "codes") else j[rows_of] for arm, j in judged.items()}


def _by_prompt(
    setting: Setting, frame: Representation, arms: Mapping[str, tuple[Representation, Representation]], base: str,
    extra: Mapping[str, Any], columns: Mapping[str, Any],
) -> list[Finding]:  # fmt: skip
    concept = setting.concept_of()
    found: list[Finding] = []
    for prompt in frame.prompts:
        about = {**extra, "prompt": prompt, CONCEPT: concept[prompt]}
        for label in frame.labels:
            low, high = frame.bounds[prompt][label]
            found += rows(
                "generated_share", "share", f"{base}/share/{prompt}/{label}", frame.shares[prompt][label],
                {name: (a.shares[prompt][label], d.shares[prompt][label]) for name, (a, d) in arms.items()},
                groups=label, extra={**about, "role": "diagnostic", "bound_low": low, "bound_high": high,
                       "target_share": frame.target_shares[label]}, **columns,
            )  # fmt: skip
        for metric, table in frame.by_prompt.items():
            name, unit = UNITS[metric]
            found += rows(
                name, unit, f"{base}/{name}/{prompt}", table[prompt],
                {r: (a.by_prompt[metric][prompt], d.by_prompt[metric][prompt]) for r, (a, d) in arms.items()},
                extra={**about, "role": "fairness", **_ends(frame, metric, prompt)}, **columns,
            )  # fmt: skip
    return found


def _ends(frame: Representation, metric: str, place: str) -> dict[str, float]:
    """What a distance would be however the unlabelled images turn out; of means, the mean of the prompts' ends."""
    key = "(mean)" if place.startswith("mean_") else place
    if metric not in frame.distance_bounds or key not in frame.distance_bounds[metric]:
        return {}
    low, high = frame.distance_bounds[metric][key]
    return {"bound_low": low, "bound_high": high}


def _unlabelled(
    setting: Setting, frame: Representation, arms: Mapping[str, tuple[Representation, Representation]], base: str,
    columns: Mapping[str, Any],
) -> list[Finding]:  # fmt: skip
    """Share of images without a label; its change has Newcombe's square-and-add interval, which needs no pairs."""
    found: list[Finding] = []
    for prompt, before in frame.unlabelled.items():
        after = {}
        for name, (arm, _) in arms.items():
            later = arm.unlabelled[prompt]
            down = np.hypot(later.value - later.low, before.high - before.value)
            up = np.hypot(later.high - later.value, before.value - before.low)
            moved = later.value - before.value
            change = Estimate(moved, moved - down, moved + up, later.n, setting.level, "Newcombe, unpaired")
            after[name] = (later, change)
        about = {"prompt": prompt, "role": "diagnostic"}
        found += rows("unlabelled", "share", f"{base}/unlabelled/{prompt}", before, after, extra=about, **columns)
    return found


def _over(frame: Representation, metric: str, title: str, over: str) -> Estimate:
    """The mean over prompts, by either unit of resampling, or the worst prompt."""
    if title.startswith("worst_"):
        return _with_prompt(frame.worst[metric], frame.worst_prompt.get(metric, ""))
    return frame.mean[metric] if over == "images" else frame.over_prompts[metric]


def _overall(frame: PromptMeans, title: str, over: str) -> Estimate:
    if title.startswith("worst_"):
        return _with_prompt(frame.worst, frame.worst_prompt)
    return frame.mean if over == "images" else frame.over_prompts


def _with_prompt(estimate: Estimate, prompt: str) -> Estimate:
    notes = [f"prompt: {prompt}"] * bool(prompt) + [estimate.note] * bool(estimate.note)
    return replace(estimate, note="; ".join(notes))
