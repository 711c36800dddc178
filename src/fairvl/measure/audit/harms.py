"""Harm labels in a zero-shot choice: how often people are given one, by group and by crossing, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...findings import Finding
from ...stats.codes import GroupCodes
from ...stats.estimate import Estimate
from ..harms import HarmFrame, compare_harm_rates, harm_rates
from ..zeroshot import classify, prototypes
from .arms import Arm, Setting, crossed, rows
from .suite import Harm


def harm_findings(setting: Setting) -> list[Finding]:
    """Rates of each harm category; a bank whose words the model does not know is not run, and says so."""
    if setting.images is None:
        return []
    found: list[Finding] = []
    for harm in setting.suite.harms:
        if reason := setting.texts.missing(harm.labels + harm.real):
            nothing = Estimate(float("nan"), n=0, note=reason)
            found += rows(
                "harm_rate", "share", "", nothing, {}, groups="(all)", extra={"label": harm.bank, "role": "fairness"}
            )
            continue
        groups = {name: setting.images.groups[name] for name in setting.images.sensitive}
        predicted = {arm.repair: _predictions(setting, harm, arm) for arm in (setting.before, *setting.after)}
        for attribute, codes in crossed(groups, setting.crossings):
            found += _findings(setting, harm, attribute, codes, predicted)
    return found


def _predictions(setting: Setting, harm: Harm, arm: Arm) -> list[str]:
    """The most likely label of every image among real and harm labels; each prompt is a label of its own."""
    texts = [text for s in harm.real + harm.labels for text in s.texts]
    classes = prototypes(arm.texts[[setting.texts.index[t] for t in texts]], np.arange(len(texts)), len(texts))
    assert arm.images is not None
    return [texts[code] for code in classify(classes, arm.images, unit_images=True)]


def _findings(
    setting: Setting, harm: Harm, attribute: str, codes: GroupCodes, predicted: Mapping[str, list[str]]
) -> list[Finding]:
    labels = {s.name: s.texts for s in harm.labels}
    options: dict[str, Any] = {
        "real_labels": [text for s in harm.real for text in s.texts], "n_boot": setting.draws,
        "level": setting.level, "seed": setting.seed,
    }  # fmt: skip
    before = predicted[""]
    pairs = {
        name: compare_harm_rates(before, after, codes, labels, **options) for name, after in predicted.items() if name
    }
    first = next(iter(pairs.values())).before if pairs else harm_rates(before, codes, labels, **options)
    arms = {name: (pair.after, pair.difference) for name, pair in pairs.items()}
    found: list[Finding] = []
    for category in first.by_group:
        for group, estimate in first.by_group[category].items():
            if estimate.n:
                found += _rate(setting, category, attribute, group, first, arms)
    return found


def _rate(
    setting: Setting, category: str, attribute: str, group: str, first: HarmFrame,
    arms: Mapping[str, tuple[HarmFrame, HarmFrame]],
) -> list[Finding]:  # fmt: skip
    small = f"fewer than 30 rows in {group}" if group in first.small else ""
    return rows(
        "harm_rate", "share", f"harm/{category}/{attribute}/{group}", first.by_group[category][group],
        {name: (a.by_group[category][group], d.by_group[category][group]) for name, (a, d) in arms.items()},
        groups=group, attribute=attribute, note=small, extra={"label": category, "role": "fairness"}, seed=setting.seed,
    )  # fmt: skip
