"""Bias amplification of stored predictions: do they tie classes to groups more strongly than the labels do?

Direction A->T: per group, the share predicted as a class minus the share labelled so. With the attribute itself as the
predicted column and a task as the group column this is T->A: the deltas are the same, pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ...findings import Finding
from ...stats.codes import GroupCodes
from ...stats.estimate import Estimate
from ..amplification import Amplification, amplification_change, directional_amplification, one_hot
from .arms import rows

SUPPORT = 30  # rows of a group; fewer leave its pairs out
MOST_CLASSES = 100
MOST_PAIRS = 60

VALUES = ("amplification", "amplification_beyond_rates")
Training: TypeAlias = Mapping[str, tuple[Sequence[str | None], Sequence[str | None]]]


def amplification_findings(
    truth: Any, before: Any, after: Mapping[str, Any], groups: Mapping[str, GroupCodes], *, task: str, draws: int,
    level: float, seed: int, train: Training | None = None,
) -> list[Finding]:  # fmt: skip
    """Amplification for each attribute with two groups, before, after and their paired difference.

    `train` holds, per attribute, the groups and the labels of training rows, which then decide the signs.
    """
    labels, counts = np.unique(np.asarray(truth), return_counts=True)
    order = sorted(range(len(labels)), key=lambda i: (-counts[i], labels[i]))
    classes = [str(labels[i]) for i in sorted(order[:MOST_CLASSES])]
    found: list[Finding] = []
    if len(classes) < 2:
        return found
    tasks = one_hot(truth, columns=classes)[0]
    said = {name: one_hot(y, columns=classes)[0] for name, y in {"": before, **after}.items()}
    for attribute, codes in groups.items():
        if attribute == task or np.count_nonzero(codes.counts) < 2:
            continue
        people = one_hot([None if c < 0 else codes.labels[c] for c in codes.codes], columns=codes.labels)[0]
        options: dict[str, Any] = {
            "minimum_support": SUPPORT, "attribute_names": codes.labels, "task_names": classes, "n_boot": draws,
            "level": level, "seed": seed,
        }  # fmt: skip
        known = (train or {}).get(attribute)
        if known is not None:
            options["train"] = (one_hot(known[0], columns=codes.labels)[0], one_hot(known[1], columns=classes)[0])
        own = {name: directional_amplification(people, tasks, p, **options) for name, p in said.items()}
        changes = {name: amplification_change(people, tasks, said[""], said[name], **options) for name in after}
        cut = f"the {len(classes)} most frequent of {len(labels)} classes" if len(labels) > len(classes) else ""
        signs = "signs from these labels" if known is None else f"signs from {len(known[0])} training rows"
        found += _attribute_findings(own, changes, attribute, task, [cut, signs], seed)
    return found


def _attribute_findings(
    own: Mapping[str, Amplification], changes: Mapping[str, Amplification], attribute: str, task: str,
    about: list[str], seed: int,
) -> list[Finding]:  # fmt: skip
    pair, columns = f"{task}/{attribute}", {"attribute": attribute, "seed": seed}
    first = own[""]
    if first.n_unsupported:
        about.append(f"{first.n_unsupported} pairs of groups with fewer than {SUPPORT} rows left out")
    if unstable := int((first.pairs.unstable & first.pairs.supported).sum()):
        about.append(f"the sign of {unstable} of {first.n_pairs} pairs is not sure")
    note = "; ".join(filter(None, about))
    extra: dict[str, Any] = {"task": task, "role": "fairness", "direction": "a->t", "pairs": first.n_pairs}
    found: list[Finding] = []
    for metric in VALUES:
        arms = {name: (_value(own[name], metric), _value(changes[name], metric)) for name in changes}
        made = rows(
            metric, "share", f"{pair}/{metric}", _value(first, metric), arms, extra=extra, groups="(all)", note=note,
            **columns,
        )  # fmt: skip
        found += [_covered(row, own) for row in made]
    sizes = {
        name: (value.absolute, _apart(first.absolute, value.absolute)) for name, value in own.items() if name
    }  # fmt: skip
    found += rows(
        "amplification_absolute", "share", f"{pair}/amplification_absolute", first.absolute, sizes, extra=extra,
        groups="(all)", note=note, **columns,
    )  # fmt: skip
    inner = {"task": task, "role": "diagnostic", "direction": "a->t"}
    for i, group in enumerate(first.pairs.attributes):
        size = int(first.pairs.support[i].max())
        by_group = {name: (_group(own[name], i, size), _group(changes[name], i, size)) for name in changes}
        lost = "" if first.pairs.supported[i].any() else f"fewer than {SUPPORT} rows"
        found += rows(
            "amplification_by_group", "share", f"{pair}/amplification/{group}", _group(first, i, size), by_group,
            extra=inner | {"over": "mean over classes"}, groups=group, note=lost, **columns,
        )  # fmt: skip
    return found + _pair_findings(own, changes, pair, inner, columns)


def _pair_findings(
    own: Mapping[str, Amplification], changes: Mapping[str, Amplification], pair: str, extra: Mapping[str, Any],
    columns: Mapping[str, Any],
) -> list[Finding]:  # fmt: skip
    """The largest pairs by themselves, with exact McNemar p and Holm's correction over all pairs."""
    first = own[""].pairs
    size = np.where(first.supported, np.abs(np.stack([a.pairs.delta for a in own.values()])).max(axis=0), -1.0)
    chosen = [p for p in np.argsort(-size, axis=None, kind="stable")[:MOST_PAIRS] if size.flat[p] >= 0]
    left = int(first.supported.sum()) - len(chosen)
    found: list[Finding] = []
    for flat in chosen:
        i, j = divmod(int(flat), size.shape[1])
        arms = {name: (_pair(own[name], i, j), _pair(changes[name], i, j)) for name in changes}
        unsure = "the sign is not sure" if first.unstable[i, j] else ""
        marks = [unsure, f"{left} smaller pairs not listed" if left else ""]
        made = rows(
            "amplification_pair", "share", f"{pair}/{first.attributes[i]}/{first.tasks[j]}", _pair(own[""], i, j), arms,
            extra=dict(extra) | {"label": first.tasks[j], "sign": int(first.sign[i, j])}, groups=first.attributes[i],
            note="; ".join(filter(None, marks)), **columns,
        )  # fmt: skip
        found += [_tested(row, own, changes, i, j) for row in made]
    return found


def _tested(
    row: Finding, own: Mapping[str, Amplification], changes: Mapping[str, Amplification], i: int, j: int
) -> Finding:
    """The row with the p-value of its arm, raw and corrected over all pairs."""
    repair = str(row.extra["repair"])
    of = changes[repair] if row.arm == "difference" else own[repair]
    p, adjusted = float(of.pairs.p[i, j]), float(of.pairs.p_holm[i, j])
    return row if math.isnan(p) else replace(row, p=p, p_adjusted=adjusted)


def _group(amplification: Amplification, i: int, size: int) -> Estimate:
    return replace(amplification.per_attribute[i], n=size, note="")


def _pair(amplification: Amplification, i: int, j: int) -> Estimate:
    p = amplification.pairs
    low, high = float(p.low[i, j]), float(p.high[i, j])
    return Estimate(
        float(p.signed[i, j]), low, high, int(p.support[i, j]), amplification.level, amplification.estimate.method
    )


def _value(amplification: Amplification, metric: str) -> Estimate:
    estimate = amplification.estimate if metric == "amplification" else amplification.rest
    return replace(estimate, note="" if math.isfinite(estimate.value) else "no group has enough rows")


def _apart(before: Estimate, after: Estimate) -> Estimate:
    note = "no interval: sizes of changes are not paired; see the signed difference"
    return Estimate(after.value - before.value, n=after.n, level=after.level, note=note)


def _covered(row: Finding, own: Mapping[str, Amplification]) -> Finding:
    """The row with the coverage of its arm, and the warning that nothing is named any more."""
    arm = own[str(row.extra["repair"])]
    warning = "; ".join(arm.notes) if arm.erasure else ""
    note = "; ".join(filter(None, (warning, row.note)))
    return replace(row, note=note, extra={**row.extra, "coverage": arm.coverage, "erasure": arm.erasure})
