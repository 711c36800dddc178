"""Group metrics of labels and predictions as findings: zero-shot tasks, and predictions that were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...findings import Finding
from ...stats.codes import MISSING, GroupCodes, encode
from ...stats.estimate import Estimate
from ...stats.rates import wilson
from ..groups import GroupSummary, compare_summary, group_summary
from ..reweighted import adjusted_accuracy, adjusted_change
from ..trends import compare_trends, trend
from ..zeroshot import classify, prototypes
from .amplifications import Training, amplification_findings
from .arms import Arm, Setting, crossed, rows
from .suite import Classification

MEASURES = (
    "worst_group_accuracy", "accuracy_gap", "average_worst_gap", "equal_opportunity_difference",
    "equalized_odds_difference", "equalized_odds_difference_mean",
)  # fmt: skip
CROSSING_MEASURES = MEASURES[:2]


def classification_findings(setting: Setting) -> list[Finding]:
    """Every zero-shot task whose labels the data have, by every attribute they have."""
    found: list[Finding] = []
    for task in setting.suite.classifications:
        if setting.images is None or task.attribute not in setting.images.groups:
            continue
        if reason := setting.texts.missing(task.prompts):
            nothing = Estimate(float("nan"), n=0, note=reason)
            found += rows(
                "accuracy", "share", "", nothing, {}, groups="(all)", extra={"task": task.task, "role": "utility"}
            )
            continue
        found += _task_findings(setting, task)
    return found


def zero_shot(setting: Setting, task: Classification, arm: Arm) -> np.ndarray[Any, np.dtype[np.str_]]:
    """The class each image is given, by name."""
    rows_of = [setting.texts.rows(prompts) for prompts in task.prompts]
    codes = np.repeat(np.arange(len(rows_of)), [len(r) for r in rows_of])
    classes = prototypes(arm.texts[np.concatenate(rows_of)], codes, len(rows_of))
    assert arm.images is not None
    return np.array(task.classes)[classify(classes, arm.images, unit_images=True)]


def _task_findings(setting: Setting, task: Classification) -> list[Finding]:
    assert setting.images is not None
    truth = setting.images.groups[task.attribute]
    known = np.array([label in task.classes for label in truth.labels] + [False])[truth.codes]
    if not known.any():
        nothing = Estimate(float("nan"), n=0, note=f"not run: no image is labelled as one of {', '.join(task.classes)}")
        return rows("accuracy", "share", "", nothing, {}, groups="(all)", extra={"task": task.task, "role": "utility"})
    labels = np.array([*truth.labels, MISSING])[truth.codes[known]]
    predicted = {arm.repair: zero_shot(setting, task, arm)[known] for arm in (setting.before, *setting.after)}
    before = predicted.pop("")
    names = [name for name in setting.images.sensitive if name != task.attribute]
    groups = {name: setting.images.groups[name].take(known) for name in names}
    numbers = {name: values[known] for name, values in setting.images.numbers.items()}
    options: dict[str, Any] = {
        "task": task.task, "draws": setting.draws, "level": setting.level, "seed": setting.seed,
    }  # fmt: skip
    found = label_findings(
        labels, before, predicted, groups, role=setting.role(task.attribute, "utility"), crossings=setting.crossings,
        training=setting.images.training_counts, **options,
    )  # fmt: skip
    return found + trend_findings(labels, before, predicted, numbers, **options)


def label_findings(
    truth: Any, before: Any, after: Mapping[str, Any], groups: Mapping[str, GroupCodes], *, task: str,
    role: str, draws: int, level: float, seed: int, crossings: int,
    training: Mapping[str, Mapping[str, int]] | None = None,
) -> list[Finding]:  # fmt: skip
    """Accuracy by group, worst group and gaps, for each attribute and each crossing of up to `crossings` of them.

    Where `training` holds the training counts of an attribute's groups, accuracy weighted by them too.
    """
    found: list[Finding] = []
    everybody = ("", encode(["(all)"] * len(truth)))
    for attribute, codes in list(crossed(groups, crossings)) or [everybody]:
        options: dict[str, Any] = {"n_boot": draws, "level": level, "seed": seed}
        pairs = {name: compare_summary(truth, before, y, codes, **options) for name, y in after.items()}
        first = next(iter(pairs.values())).before if pairs else group_summary(truth, before, codes, **options)
        arms = {name: (pair.after, pair.difference) for name, pair in pairs.items()}
        extra: dict[str, Any] = {"task": task}
        columns: dict[str, Any] = {"attribute": attribute, "seed": seed}
        if not found:
            found += rows(
                "accuracy", "share", f"{task}/accuracy", _share(first.accuracy.overall),
                {name: (_share(a.accuracy.overall), d.accuracy.overall) for name, (a, d) in arms.items()},
                extra=extra | {"role": role}, groups="(all)", seed=seed,
            )  # fmt: skip
        if attribute:
            found += _by_group(first, arms, f"{task}/{attribute}", extra, columns)
            for measure in CROSSING_MEASURES if " & " in attribute else MEASURES:
                found += _aggregate(measure, first, arms, f"{task}/{attribute}", extra, columns)
        if counts := (training or {}).get(attribute):
            right = {name: np.asarray(y) == truth for name, y in {"": before, **after}.items()}
            own = {name: adjusted_accuracy(hits, codes, counts, level=level) for name, hits in right.items()}
            change = {name: adjusted_change(right[""], right[name], codes, counts, level=level) for name in after}
            found += rows(
                "adjusted_accuracy", "share", f"{task}/{attribute}/adjusted_accuracy", own[""],
                {name: (own[name], change[name]) for name in after},
                extra=extra | {"role": "utility"}, groups="(all)", **columns,
            )  # fmt: skip
    return found


def _share(estimate: Estimate) -> Estimate:
    """A share of 0 or 1 has no spread to resample: its interval is Wilson's."""
    if estimate.value not in (0.0, 1.0) or estimate.low != estimate.high:
        return estimate
    low, high = wilson(round(estimate.value * estimate.n), estimate.n, estimate.level)
    return replace(estimate, low=low, high=high, method="wilson")


def _aggregate(
    measure: str, first: GroupSummary, arms: Mapping[str, tuple[GroupSummary, GroupSummary]], pair: str,
    extra: Mapping[str, Any], columns: Mapping[str, Any],
) -> list[Finding]:  # fmt: skip
    """One measure over groups; every row names the groups of its own arm, which a repair may change."""
    found = rows(
        measure, "share", f"{pair}/{measure}", first.measures[measure],
        {name: (a.measures[measure], d.measures[measure]) for name, (a, d) in arms.items()},
        extra=dict(extra) | {"role": "fairness"}, **columns,
    )  # fmt: skip
    named: list[Finding] = []
    for row in found:
        own = first if row.arm in ("", "before") else arms[str(row.extra["repair"])][0]
        groups, few = _which(measure, own), _few(measure, own)
        if row.arm == "difference" and (start := _which(measure, first)) != groups:
            groups = f"{start}, then {groups}"
        named.append(replace(row, groups=groups, note="; ".join(part for part in (few, row.note) if part)))
    return named


def _by_group(
    first: GroupSummary, arms: Mapping[str, tuple[GroupSummary, GroupSummary]], pair: str,
    extra: Mapping[str, Any], columns: Mapping[str, Any],
) -> list[Finding]:  # fmt: skip
    found: list[Finding] = []
    for label, estimate in first.accuracy.by_group.items():
        if not estimate.n:
            continue  # a combination nobody belongs to; the frame lists it, the report would only be longer
        note = f"fewer than {first.accuracy.minimum} rows" if label in first.accuracy.small else ""
        found += rows(
            "accuracy", "share", f"{pair}/{label}", estimate,
            {name: (a.accuracy.by_group[label], d.accuracy.by_group[label]) for name, (a, d) in arms.items()},
            extra=dict(extra) | {"role": "diagnostic"}, groups=label, note=note, **columns,
        )  # fmt: skip
    return found


def _which(measure: str, summary: GroupSummary) -> str:
    if measure == "worst_group_accuracy":
        return summary.accuracy.worst_group
    if measure == "accuracy_gap":
        return f"{summary.accuracy.best_group} - {summary.accuracy.worst_group}"
    return "(largest gap)"


def _few(measure: str, summary: GroupSummary) -> str:
    few = {summary.accuracy.worst_group, summary.accuracy.best_group} & set(summary.accuracy.small)
    named = measure in CROSSING_MEASURES and (measure == "accuracy_gap" or summary.accuracy.worst_group in few)
    return f"fewer than {summary.accuracy.minimum} rows in {', '.join(sorted(few))}" if few and named else ""


def trend_findings(
    truth: Any, before: Any, after: Mapping[str, Any], numbers: Mapping[str, Any], *, task: str, draws: int,
    level: float, seed: int,
) -> list[Finding]:  # fmt: skip
    """Slope of being right on each numeric attribute that varies, for example accuracy per year of age."""
    found: list[Finding] = []
    right = np.asarray(before) == truth
    options: dict[str, Any] = {"n_boot": draws, "level": level, "seed": seed}
    for attribute, values in numbers.items():
        if len(np.unique(values[~np.isnan(values)])) < 2:
            continue
        arms = {}
        for name, y in after.items():
            paired = compare_trends(right, np.asarray(y) == truth, values, **options)
            arms[name] = (paired.after.slope, paired.difference.slope)
        found += rows(
            "slope", "per unit", f"{task}/slope/{attribute}", trend(right, values, **options).slope,
            arms, extra={"task": task, "role": "fairness"}, attribute=attribute, seed=seed,
        )  # fmt: skip
    return found


def prediction_findings(
    truth: Sequence[str], predicted: Sequence[str], groups: Mapping[str, GroupCodes], numbers: Mapping[str, Any], *,
    task: str, draws: int, level: float, seed: int, crossings: int, after: Mapping[str, Sequence[str]] | None = None,
    train: Training | None = None,
) -> list[Finding]:  # fmt: skip
    """Findings of stored labels and predictions; `after` holds the same rows predicted after each repair.

    `train` decides the signs of amplification (`amplification_findings`).
    """
    y_true, y_pred = np.array(truth), np.array(predicted)
    arms = {name: np.array(values) for name, values in (after or {}).items()}
    options: dict[str, Any] = {"task": task, "draws": draws, "level": level, "seed": seed}
    found = label_findings(y_true, y_pred, arms, groups, role="utility", crossings=crossings, **options)
    found += trend_findings(y_true, y_pred, arms, numbers, **options)
    return found + amplification_findings(y_true, y_pred, arms, groups, train=train, **options)
