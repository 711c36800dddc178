"""The association tests of a suite, before and after, with Holm's correction over the tests of one arm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...arrays import FloatArray
from ...findings import Finding
from ...stats.estimate import Estimate
from ...stats.multiplicity import holm
from ..association import AssociationResult, association_test, compare_associations
from .arms import Arm, Setting, rows
from .suite import Association, ImageSet, TextSet

IMAGE_PERMUTATIONS = 9_999  # image sets are large: their p is sampled


def association_findings(setting: Setting) -> list[Finding]:
    """One finding per test and arm; a test that cannot run says why in its note."""
    found: list[Finding] = []
    for test in setting.suite.associations:
        found += _findings(setting, test)
    return _corrected(found)


def _findings(setting: Setting, test: Association) -> list[Finding]:
    extra: dict[str, Any] = {
        "test": test.test, "category": test.category, "role": "fairness" if test.category == "social" else "utility",
        "x": test.x.name, "y": test.y.name, "a": test.a.name, "b": test.b.name,
    }  # fmt: skip
    columns: dict[str, Any] = {
        "order": test.order, "attribute": test.attribute, "groups": f"{test.x.name} | {test.y.name}",
        "seed": setting.seed,
    }  # fmt: skip
    if reason := _obstacle(setting, test):
        nothing = Estimate(float("nan"), n=0, note=reason)
        return rows("effect_size", "standard deviations", "", nothing, {}, extra=extra, **columns)
    options: dict[str, Any] = {
        "tail": "two-sided", "seed": setting.seed, "draws": setting.draws, "level": setting.level,
        "clusters": tuple(setting.units(s, half=h) for s, h in zip(_sets(test), _halves(test), strict=True)),
        "permutations": IMAGE_PERMUTATIONS,
    }  # fmt: skip
    before = _vectors(setting, test, setting.before)
    pair_id = f"association/{test.test}/{test.order}"
    first: AssociationResult[float] | None = None
    ps: dict[str, float] = {}
    arms: dict[str, tuple[Estimate, Estimate]] = {}
    for arm in setting.after:
        after = _vectors(setting, test, arm)
        if reason := _vanished(test, after):
            nothing = Estimate(float("nan"), n=0, note=reason)
            arms[arm.repair] = nothing, nothing
            continue
        compared = compare_associations(before, after, **options)
        first, ps[arm.repair] = compared.before, compared.after.p
        arms[arm.repair] = _estimate(compared.after), compared.difference
    if first is None:
        first = association_test(*before, **options)
    ps[""] = first.p
    found = rows("effect_size", "standard deviations", pair_id, _estimate(first), arms, extra=extra, **columns)
    return [replace(f, p=ps.get(str(f.extra["repair"]))) if f.arm != "difference" else f for f in found]


def _vectors(setting: Setting, test: Association, arm: Arm) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    x, y, a, b = (setting.stimuli(s, arm, half=h) for s, h in zip(_sets(test), _halves(test), strict=True))
    return x, y, a, b


def _sets(test: Association) -> tuple[TextSet | ImageSet, ...]:
    return test.x, test.y, test.a, test.b


def _halves(test: Association) -> tuple[bool | None, ...]:
    """Where targets and attributes are both images they come from different halves: no image meets itself."""
    return (True, True, False, False) if test.order == "image-image" else (None,) * 4


def _obstacle(setting: Setting, test: Association) -> str:
    sets = _sets(test)
    if reason := setting.texts.missing(s for s in sets if isinstance(s, TextSet)):
        return reason
    for s in sets:
        if not isinstance(s, ImageSet):
            continue
        if setting.images is None or setting.before.images is None:
            return "not run: no images were given"
        if s.attribute not in setting.images.groups:
            return f"not run: the images have no {s.attribute} labels"
    vectors = _vectors(setting, test, setting.before)
    if small := [s.name for s, v in zip(sets, vectors, strict=True) if isinstance(s, ImageSet) and len(v) < 2]:
        return f"not run: fewer than two images of {', '.join(small)}"
    return ""


def _vanished(test: Association, vectors: tuple[FloatArray, ...]) -> str:
    """Which sets hold stimuli that a repair left without a direction."""
    lost = {s.name: n for s, v in zip(_sets(test), vectors, strict=True) if (n := int((~v.any(axis=1)).sum()))}
    said = ", ".join(f"{n} of {name}" for name, n in lost.items())
    return f"not run: the repair sends stimuli to zero ({said}), which then have no cosine" if lost else ""


def _estimate(result: AssociationResult[float]) -> Estimate:
    return Estimate(
        result.effect_size, result.low, result.high, result.n, result.level, result.method, result.note
    )  # fmt: skip


def _corrected(found: list[Finding]) -> list[Finding]:
    """Holm over the social tests of one arm and repair, and over the controls apart."""
    families: dict[tuple[object, ...], list[int]] = {}
    for index, row in enumerate(found):
        if row.p is not None and row.p == row.p:
            families.setdefault((row.arm, row.extra["repair"], row.extra["category"]), []).append(index)
    for members in families.values():
        adjusted = holm([p for i in members if (p := found[i].p) is not None])
        for i, p in zip(members, adjusted, strict=True):
            found[i] = replace(found[i], p_adjusted=float(p))
    return found
