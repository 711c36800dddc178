"""What is wrong, or worth knowing, about a bank before a number rests on it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...arrays import unit_rows
from .bank import Bank
from .reading import load_bank
from .wording import article

if TYPE_CHECKING:
    from ..encoders import Encoder

NEAR = 0.995
_A_OR_AN = re.compile(r"\b(an?) ([A-Za-z]+)", re.IGNORECASE)


@dataclass(frozen=True)
class LintFinding:
    """One observation: `kind` names the rule, `where` the set, pair or test, `texts` what it is about."""

    kind: Literal[
        "duplicate", "shared", "unbalanced", "equal-pair", "article", "target-content", "over-length", "unknown-words",
        "near-collinear", "spacing",
    ]  # fmt: skip
    where: str
    message: str
    texts: tuple[str, ...] = ()


def lint(bank: Bank, encoder: Encoder | None = None) -> tuple[LintFinding, ...]:
    """Look for duplicates, unbalanced or equal pairs, wrong articles and attribute words that carry target content.

    With an `encoder`, also for texts over its context length, words it does not know, and prompts of one set whose
    vectors have a cosine above 0.995 (they count as one prompt, whatever their number).

    Examples
    --------
    >>> [finding.kind for finding in lint(load_bank("valence-nrc-vad"))][:1]
    ['target-content']
    """
    findings = [*_texts(bank), *_balance(bank), *_content(bank)]
    if encoder is not None:
        findings += _encoded(bank, encoder)
    return tuple(findings)


def _texts(bank: Bank) -> Iterator[LintFinding]:
    for name in bank.sets:
        texts = bank.prompts(name).texts
        for text, count in Counter(texts).items():
            if count > 1:
                yield LintFinding("duplicate", name, f"{text!r} stands {count} times", (text,))
        yield from _wording(texts, name)
    pairs = bank.pairs()
    yield from _wording(tuple(dict.fromkeys(pairs.left + pairs.right)), "pairs")
    for both, count in Counter(zip(pairs.left, pairs.right, strict=True)).items():
        if count > 1:
            yield LintFinding("duplicate", "pairs", f"{both} stands {count} times", both)
        if both[0] == both[1]:
            yield LintFinding("equal-pair", "pairs", f"{both[0]!r} is paired with itself", both[:1])


def _wording(texts: Sequence[str], where: str) -> Iterator[LintFinding]:
    for text in texts:
        if text != " ".join(text.split()):
            yield LintFinding("spacing", where, f"{text!r} has blanks at its ends or doubled", (text,))
        for match in _A_OR_AN.finditer(text):
            if match.group(1).lower() != article(match.group(2)):
                yield LintFinding("article", where, f"{match.group(0)!r} in {text!r}", (text,))


def _opposed(bank: Bank) -> list[tuple[str, tuple[str, ...]]]:
    """Groups of sets that a number compares with each other."""
    groups = [(test.name, sides) for test in bank.tests for sides in ((test.x, test.y), (test.a, test.b))]
    whole = [(bank.kind, tuple(bank.sets))] if bank.kind in ("debias", "zero-shot", "harm") else []
    return [*groups, *whole]


def _balance(bank: Bank) -> Iterator[LintFinding]:
    for where, names in _opposed(bank):
        texts = {name: bank.prompts(name).texts for name in names}
        if len({len(prompts) for prompts in texts.values()}) > 1:
            listed = ", ".join(f"{name} {len(prompts)}" for name, prompts in texts.items())
            yield LintFinding("unbalanced", where, f"opposed sets of different size: {listed}")
        seen: dict[str, str] = {}
        for name, prompts in texts.items():
            for text in dict.fromkeys(prompts):
                if text in seen:
                    yield LintFinding("shared", where, f"{text!r} stands in {seen[text]!r} and {name!r}", (text,))
                seen.setdefault(text, name)


def _content(bank: Bank) -> Iterator[LintFinding]:
    for name, chosen in bank.sets.items():
        for word, reason in chosen.flags.items():
            yield LintFinding("target-content", name, f"{word!r}: {reason}", (word,))
    groups = {} if bank.kind == "lexicon" else _group_words()
    for test in bank.tests:
        targets = {word.lower() for side in (test.x, test.y) for word in bank.prompts(side).base_words}
        for side in (test.a, test.b):
            words = [word for word in bank.prompts(side).base_words if word not in bank.sets[side].flags]
            # A set made of group words is meant to name the group; in another set one such word is contamination.
            named = [word for word in words if word.lower() in groups]
            stray = set(named) if test.category == "social" and 2 * len(named) < len(words) else set()
            for word in words:
                if word.lower() in targets:
                    yield LintFinding("target-content", test.name, f"{word!r} is target and attribute", (word,))
                elif word in stray:
                    yield LintFinding("target-content", test.name, f"{word!r} is a {groups[word.lower()]}", (word,))


def _group_words() -> dict[str, str]:
    lexicon = load_bank("group-terms")
    return {word: name for name, chosen in lexicon.sets.items() for word in chosen.words}


def _encoded(bank: Bank, encoder: Encoder) -> list[LintFinding]:
    findings = []
    over_length = getattr(encoder, "over_length", None)
    unknown_words = getattr(encoder, "unknown_words", None)
    sets = {name: bank.prompts(name).texts for name in bank.sets}
    pairs = bank.pairs()
    if pairs.left:
        sets["pairs"] = tuple(dict.fromkeys(pairs.left + pairs.right))
    for name, texts in sets.items():
        if over_length and (rows := over_length(list(texts))):
            cut = tuple(texts[row] for row in rows)
            findings.append(LintFinding("over-length", name, f"{len(cut)} texts exceed the context length", cut))
        if unknown_words and (words := unknown_words(list(texts))):
            known = ", ".join(words)
            findings.append(LintFinding("unknown-words", name, f"the encoder does not know {known}", tuple(words)))
            continue
        if name != "pairs":
            findings += _near(name, tuple(dict.fromkeys(texts)), encoder)
    return findings


def _near(name: str, texts: tuple[str, ...], encoder: Encoder) -> list[LintFinding]:
    if len(texts) < 2:
        return []
    rows = unit_rows(encoder.encode_texts(texts))
    cosine = np.triu(rows @ rows.T, 1)
    return [
        LintFinding(
            "near-collinear", name, f"cosine {cosine[i, j]:.4f}: {texts[i]!r}, {texts[j]!r}", (texts[i], texts[j])
        )
        for i, j in np.argwhere(cosine > NEAR).tolist()
    ]
