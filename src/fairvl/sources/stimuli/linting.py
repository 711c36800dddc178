"""What is wrong, or worth knowing, about the cases of a registry before a number rests on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...stats.permutation import Tail, smallest_p
from .registry import Case, Registry, StimulusSet

if TYPE_CHECKING:
    from ..encoders import Encoder


@dataclass(frozen=True)
class RegistryFinding:
    """One observation: `kind` names the rule, `where` the set or the case, `stimuli` what it is about."""

    kind: Literal[
        "duplicate", "shared", "both-poles", "target-content", "unbalanced", "few", "missing", "stand-in",
        "over-length", "unknown-words", "unverified",
    ]  # fmt: skip
    where: str
    message: str
    stimuli: tuple[str, ...] = ()


def lint_registry(
    registry: Registry,
    encoder: Encoder | None = None,
    *,
    models: int = 1,
    level: float = 0.05,
    tail: Tail = "two-sided",
) -> tuple[RegistryFinding, ...]:
    """Look for what makes the tests of a registry say less than they seem to.

    Kinds: a stimulus twice in a set ("duplicate"), in both targets ("shared") or both poles ("both-poles"); attribute
    stimuli that carry target content; unequal sizes of x and y, or of a and b, which some presets refuse
    ("unbalanced"); sets so small that no p, however clear the data, passes a Bonferroni correction over all cases and
    `models` ("few": base words and pictures, not sentences, are what is permuted); cases that cannot run, or run on
    stand-ins; own copies that no hash vouches for ("unverified").
    With an `encoder` also texts over its context length and words that it does not know.

    Parameters
    ----------
    registry : Registry
    encoder : Encoder, optional
    models : int
        Number of models of the sweep: the correction runs over cases x models.
    level : float
        Error rate that the correction keeps.
    tail : {"two-sided", "greater", "less"}
        Tail of the p-values, as `sweep` takes it.

    Returns
    -------
    tuple of RegistryFinding

    Examples
    --------
    >>> from fairvl.sources.stimuli import load_registry
    >>> found = lint_registry(load_registry("eat26", stand_ins=False), models=131)
    >>> sorted({finding.kind for finding in found})
    ['few', 'missing', 'target-content']
    """
    found: list[RegistryFinding] = []
    sides = {side.name: side for case in registry.cases for side in case.sides}
    for side in sides.values():
        found += _set(side)
        if encoder is not None and side.modality == "text":
            found += _encoded(side, encoder)
    tests = max(sum(not case.missing for case in registry.cases) * models, 1)
    for case in registry.cases:
        found += _case(case, level / tests, tail)
    return tuple(dict.fromkeys(found))


def _set(side: StimulusSet) -> Iterator[RegistryFinding]:
    counts = Counter(side.keys)
    twice = tuple(dict.fromkeys(side.labels[i] for i, key in enumerate(side.keys) if counts[key] > 1))
    if twice:
        count = sum(counts.values()) - len(counts)
        yield RegistryFinding("duplicate", side.name, f"{count} of {len(side)} stimuli repeat another one", twice)
    if side.unverified:
        yield RegistryFinding("unverified", side.name, "no hash says that these are the published pictures")


def _case(case: Case, share: float, tail: Tail) -> Iterator[RegistryFinding]:
    where = f"{case.test} ({case.order})"
    if case.missing:
        yield RegistryFinding("missing", where, case.missing)
        return
    for kind, left, right in (("shared", case.x, case.y), ("both-poles", case.a, case.b)):
        both = set(left.keys) & set(right.keys)
        if both:
            names = tuple(dict.fromkeys(left.labels[i] for i, key in enumerate(left.keys) if key in both))
            message = f"{len(both)} stimuli stand in both {left.name!r} and {right.name!r}"
            yield RegistryFinding(kind, where, message, names)  # type: ignore[arg-type]
        if len(left) != len(right):
            message = f"{left.name!r} has {len(left)} and {right.name!r} {len(right)} stimuli"
            yield RegistryFinding("unbalanced", where, message)
    across = {key for side in (case.x, case.y) for key in side.keys} & {k for s in (case.a, case.b) for k in s.keys}
    if across:
        yield RegistryFinding("shared", where, f"{len(across)} stimuli are targets and attributes at once")
    for flag in case.flags:
        yield RegistryFinding("target-content", where, flag, (flag.split(":")[0],))
    n_x, n_y = (len(set(side.words)) for side in (case.x, case.y))
    if (floor := smallest_p(n_x, n_y, tail)) > share:
        message = (
            f"the smallest p of {n_x} + {n_y} units is {floor:.2g}; a correction over the sweep asks for {share:.2g}"
        )
        yield RegistryFinding("few", where, message)
    if stand_ins := tuple(side.name for side in case.sides if side.stand_in):
        yield RegistryFinding("stand-in", where, "runs on free pictures, not on the published ones", stand_ins)


def _encoded(side: StimulusSet, encoder: Encoder) -> Iterator[RegistryFinding]:
    texts = list(side.texts())
    over_length = getattr(encoder, "over_length", None)
    unknown_words = getattr(encoder, "unknown_words", None)
    if over_length and (rows := over_length(texts)):
        cut = tuple(texts[row] for row in rows)
        yield RegistryFinding("over-length", side.name, f"{len(cut)} texts exceed the context length", cut)
    if unknown_words and (words := unknown_words(texts)):
        message = f"the encoder does not know {', '.join(words)}"
        yield RegistryFinding("unknown-words", side.name, message, tuple(words))
