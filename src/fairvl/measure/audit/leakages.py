"""What a linear probe still reads: the attribute from image vectors and from text vectors, before and after.

A repair of the text side leaves image vectors as they were: the probe on images shows that the attribute is still
there for anyone who looks, whatever the prompts no longer say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import FloatArray
from ...findings import Finding
from ...stats.codes import encode
from ...stats.estimate import Estimate
from ..leakage import ProbeResult, compare_probes, probe
from .arms import Arm, Setting, rows
from .suite import Leakage

FOLDS = 5
MAX_IMAGES = 4_000  # more rows would only narrow an interval that is narrow already


def leakage_findings(setting: Setting) -> list[Finding]:
    """Probe accuracy beside its chance level, for each attribute the suite probes; a text probe that cannot run says
    why."""
    found: list[Finding] = []
    for leakage in setting.suite.leakages:
        found += _texts(setting, leakage)
        found += _images(setting, leakage)
    return found


def _texts(setting: Setting, leakage: Leakage) -> list[Finding]:
    if not leakage.texts:
        return []
    few = [s.name for s in leakage.texts if s.n_words < FOLDS]
    reason = setting.texts.missing(leakage.texts)
    if not reason and few:
        reason = f"not run: fewer than {FOLDS} words in {', '.join(few)}"
    if reason:
        extra: dict[str, Any] = {"modality": "text", "role": "diagnostic"}
        nothing = Estimate(float("nan"), n=0, note=reason)
        return rows("probe_accuracy", "share", "", nothing, {}, attribute=leakage.attribute, extra=extra)
    labels = [s.name for s in leakage.texts for _ in s.texts]
    clusters = [f"{s.name}/{word}" for s in leakage.texts for word in s.words]
    chosen = [row for s in leakage.texts for row in setting.texts.rows(s)]
    vectors = {arm.repair: arm.texts[chosen] for arm in (setting.before, *setting.after)}
    return _findings(setting, leakage.attribute, "text", vectors, labels, clusters)


def _images(setting: Setting, leakage: Leakage) -> list[Finding]:
    images = setting.images
    if images is None or leakage.attribute not in images.groups:
        return []
    codes = images.groups[leakage.attribute]
    units = np.arange(len(codes)) if images.units is None else images.units.codes
    present = [
        label for code, label in enumerate(codes.labels) if len(np.unique(units[codes.codes == code])) >= FOLDS
    ]  # fmt: skip
    if len(present) < 2:
        return []
    keep = np.flatnonzero(np.isin(codes.codes, [codes.labels.index(label) for label in present]))
    if len(keep) > MAX_IMAGES:
        keep = np.sort(np.random.default_rng(setting.seed).choice(keep, MAX_IMAGES, replace=False))
    labels = [codes.labels[code] for code in codes.codes[keep]]

    def vectors(arm: Arm) -> FloatArray:
        assert arm.images is not None
        return arm.images[keep]

    arms = {arm.repair: vectors(arm) for arm in (setting.before, *setting.after)}
    clusters = None if images.units is None else [str(unit) for unit in units[keep]]
    return _findings(setting, leakage.attribute, "image", arms, labels, clusters)


def _findings(
    setting: Setting, attribute: str, modality: str, vectors: dict[str, FloatArray], labels: list[str],
    clusters: list[str] | None,
) -> list[Finding]:  # fmt: skip
    codes = encode(labels, name=attribute)
    options: dict[str, Any] = {
        "folds": FOLDS, "seed": setting.seed, "n_boot": setting.draws, "level": setting.level,
        "clusters": encode(clusters).codes if clusters else None,
    }  # fmt: skip
    start = vectors.pop("")
    arms: dict[str, tuple[Estimate, Estimate]] = {}
    first: ProbeResult | None = None
    for name, after in vectors.items():
        if first is not None and np.array_equal(start, after):
            unchanged = Estimate(0.0, 0.0, 0.0, first.accuracy.n, setting.level, first.accuracy.method, "same vectors")
            arms[name] = (first.accuracy, unchanged)
            continue
        paired = compare_probes(start, after, codes, **options)
        first = paired.before
        arms[name] = (paired.after.accuracy, paired.difference.accuracy)
    if first is None:
        first = probe(start, codes, **options)
    extra: dict[str, Any] = {"modality": modality, "chance": round(first.chance, 6), "role": "diagnostic"}
    return rows(
        "probe_accuracy", "share", f"probe/{attribute}/{modality}", first.accuracy, arms,
        attribute=attribute, extra=extra, seed=setting.seed,
    )  # fmt: skip
