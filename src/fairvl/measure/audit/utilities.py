"""What a model is good for: top-k accuracy and mean recall over classes of zero-shot tasks.

Retrieval recall stands in `recalls`. Both arms of a repair are compared image by image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import FloatArray as AnyFloats
from ...findings import Finding
from ...stats.cells import FloatArray, Resampling, Totals, bootstrap, tabulate
from ...stats.estimate import Estimate
from ...stats.rates import divide, mean_defined
from ..retrieval import hits_at_k, mean_hit
from ..zeroshot import prototypes, scores
from .arms import Arm, Setting, rows
from .suite import Classification

UTILITY = {
    "top_k_accuracy": "share of images whose class is among the k nearest; classes that tie at the border share places",
    "mean_per_class_recall": "mean over classes that occur; equal cosines go to the class listed first",
}


def utility_findings(setting: Setting) -> list[Finding]:
    """Top-k accuracy for every k that a task asks for, and mean per-class recall."""
    found: list[Finding] = []
    for task in setting.suite.classifications:
        if task.top and setting.images is not None and task.attribute in setting.images.groups:
            found += _task_findings(setting, task)
    return found


def class_scores(setting: Setting, task: Classification, arm: Arm) -> AnyFloats:
    """Cosine of every image with every class, ``[n, classes]``."""
    rows_of = [setting.texts.rows(prompts) for prompts in task.prompts]
    codes = np.repeat(np.arange(len(rows_of)), [len(r) for r in rows_of])
    classes = prototypes(arm.texts[np.concatenate(rows_of)], codes, len(rows_of))
    assert arm.images is not None
    return np.ascontiguousarray(scores(classes, arm.images, unit_images=True).T)


def mean_class_recall(
    truth: NDArray[np.int64], hits: Mapping[str, NDArray[np.bool_]], n_classes: int, plan: Resampling
) -> dict[str, tuple[Estimate, Estimate]]:
    """Mean recall over the classes that occur, per arm; the first arm is "before", the others are held against it.

    Every arm gets its own estimate and, but for the first, the paired difference from the first. Resampling is by cell
    counts (class x hit in every arm), so all arms see the same draws.
    """
    names = list(hits)
    table = tabulate(truth, *(hits[name].astype(np.int64) for name in names), shape=(n_classes, *(2 for _ in names)))
    of = Totals.of(table.coordinates[:, 0], n_classes)
    right = [Totals.of(np.where(column == 1, table.coordinates[:, 0], -1), n_classes) for column in
             table.coordinates[:, 1:].T]  # fmt: skip

    def statistic(counts: FloatArray) -> FloatArray:
        values = [mean_defined(divide(total(counts), of(counts))) for total in right]
        return np.column_stack([*values, *(value - values[0] for value in values[1:])])

    made = bootstrap(table, statistic, plan, width=n_classes)
    absent = n_classes - len(np.unique(truth))
    note = f"{absent} of {n_classes} classes have no image" if absent else ""
    n, k = len(truth), len(names)
    nothing = Estimate(float("nan"), note="no difference")
    return {
        name: (made.estimate(i, n, note), made.estimate(k + i - 1, n, note) if i else nothing)
        for i, name in enumerate(names)
    }


def _task_findings(setting: Setting, task: Classification) -> list[Finding]:
    assert setting.images is not None
    extra: dict[str, Any] = {"task": task.task, "role": setting.role(task.attribute, "utility")}
    if reason := setting.texts.missing(task.prompts):
        nothing = Estimate(float("nan"), n=0, note=reason)
        return rows("top_k_accuracy", "share", "", nothing, {}, groups="(all)", extra={**extra, "k": task.top[0]})
    given = setting.images.groups[task.attribute]
    place = {name: code for code, name in enumerate(task.classes)}
    truth = np.array([place.get(label, -1) for label in given.labels] + [-1])[given.codes]
    known = np.flatnonzero(truth >= 0)
    if not len(known):
        return []  # classification_findings says so
    truth = truth[known]
    columns: dict[str, Any] = {"groups": "(all)", "seed": setting.seed}
    if left := len(given) - len(known):
        columns["note"] = f"{left} images without a label of these classes left out"
    by_arm = {arm.repair: class_scores(setting, task, arm)[known] for arm in (setting.before, *setting.after)}
    found: list[Finding] = []
    for k in task.top:
        if k >= len(task.classes):
            continue  # every image would be a hit
        hits = {name: hits_at_k(values, truth, k=k) for name, values in by_arm.items()}
        means = {name: _mean(values, setting) for name, values in hits.items()}
        arms = {
            name: (means[name], _mean(values - hits[""], setting, paired=True)) for name, values in hits.items() if name
        }
        found += rows(
            "top_k_accuracy", "share", f"{task.task}/top-{k}", means[""], arms,
            extra={**extra, "k": k, "chance": k / len(task.classes)}, **columns,
        )  # fmt: skip
    right = {name: values.argmax(axis=1) == truth for name, values in by_arm.items()}
    plan = Resampling(setting.draws, setting.level, setting.seed)
    recalls = mean_class_recall(truth, right, len(task.classes), plan)
    before = recalls.pop("")[0]
    found += rows(
        "mean_per_class_recall", "share", f"{task.task}/mean_per_class_recall", before, recalls,
        extra={**extra, "chance": 1 / len(task.classes)}, **columns,
    )  # fmt: skip
    return found


def _mean(hits: NDArray[np.float64], setting: Setting, *, paired: bool = False) -> Estimate:
    units = np.arange(len(hits)) if paired else None
    return mean_hit(hits, units=units, n_boot=setting.draws, level=setting.level, seed=setting.seed)
