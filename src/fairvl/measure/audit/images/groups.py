"""The groups of every attribute: all that may occur, the target they are held to, and whom explicit prompts name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....errors import GroupError
from ....stats.codes import as_text, natural_key, unknown_label
from ....stats.shares import Target
from ...generation import Confusion
from .labelling import Labels
from .measured import CONCEPT
from .table import ImageTable


def groups_of(
    name: str, given: Mapping[str, Sequence[str]] | None, labels: Mapping[str, Labels], targets: Mapping[str, Target],
    confusions: Mapping[str, Confusion], images: ImageTable,
) -> tuple[str, ...]:  # fmt: skip
    """All groups of an attribute: given ones, or those of target, judge, truth set and labels together."""
    seen = {label for part in labels.values() for label in part.answers[name].groups}
    if given is not None and name in given:
        groups = tuple(dict.fromkeys(str(as_text(label)) for label in given[name]))
    else:
        wanted = (
            seen | {label for label, _ in targets[name].given} if name in targets else seen | named_subjects(images)
        )
        if name in confusions:
            wanted |= set(confusions[name].labels)
        groups = tuple(sorted(wanted, key=natural_key))
    if len(groups) < 2 and name != CONCEPT:
        raise GroupError(
            f"only {list(groups) or 'no group'} of {name!r} occurs, so no share says anything. Name all groups with "
            f"groups={{{name!r}: [...]}} (--groups {name}=A,B)."
        )
    for label in sorted(seen):
        if label not in groups:
            raise GroupError(unknown_label(label, groups, name))
    return groups


def named_subjects(images: ImageTable) -> set[str]:
    """What the prompts are about, where the table says it: one that is not said is the prompt itself, no class."""
    return {c for c, prompt in zip(images.concepts, images.prompts, strict=True) if c != prompt}


def expected_of(
    images: ImageTable, groups: Mapping[str, tuple[str, ...]], *, chosen: bool = False
) -> dict[str, tuple[str | None, ...]]:
    """Expected groups by attribute; those of the plain column go to the attribute that knows them.

    Where the attributes were `chosen`, columns that speak of others only are left aside.
    """
    found: dict[str, list[str | None]] = {}
    for name, values in images.expected.items():
        if name and name not in groups:
            if chosen:
                continue
            raise GroupError(unknown_label(name, list(groups), kind="attribute of an expected group"))
        known = {n: groups[n] for n in ([name] if name else groups) if n != CONCEPT}
        every = [group for labels in known.values() for group in labels]
        if chosen and not any(label in every for label in values):
            continue
        for row, label in enumerate(values):
            if label is None:
                continue
            owners = [n for n, labels in known.items() if label in labels]
            if len(owners) != 1:
                what = unknown_label(label, every, name, kind="expected group")
                if owners:
                    what = f"the expected group {label!r} is one of {owners}; say which with expected_ATTRIBUTE."
                raise GroupError(f"{images.ids[row]!r}: {what}")
            found.setdefault(owners[0], [None] * len(images))[row] = label
    return {name: tuple(values) for name, values in found.items()}


def targets_of(target: Any, names: Sequence[str]) -> dict[str, Target]:
    """One target for each attribute."""
    by_attribute = isinstance(target, Mapping) and set(target) & set(names)
    if by_attribute and (unknown := [n for n in target if n not in names]):
        raise GroupError(unknown_label(str(unknown[0]), names, kind="attribute of a target"))
    if isinstance(target, Mapping) and not by_attribute and len(names) > 1:
        raise GroupError(f"one target with shares for the attributes {list(names)}; expected one for each by name.")
    return {name: Target.of(target.get(name, "uniform") if by_attribute else target) for name in names}
