"""A bank: prompts, word lists and stimuli with their passport, frozen; and the plan that expands them.

A *set* is words put into templates, or sentences taken as they stand. Its *base words* are the units of resampling:
25 words in 6 templates are 25 draws, not 150.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ...errors import BankError
from .wording import fill


@dataclass(frozen=True)
class Prompts:
    """The sentences of one set: `words` and `templates` say, per sentence, which base word and template made it.

    Codes count from 0; a sentence that was given as it stands has template -1.
    """

    texts: tuple[str, ...]
    words: tuple[int, ...]
    templates: tuple[int, ...]
    base_words: tuple[str, ...]


@dataclass(frozen=True)
class PairPrompts:
    """Sentences that differ in the attribute only: ``left[i]`` against ``right[i]``."""

    left: tuple[str, ...]
    right: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Every distinct prompt once, in first-seen order, and the rows of each set: encode once, index after."""

    texts: tuple[str, ...]
    rows: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class PromptSet:
    """One named set of a bank."""

    name: str
    words: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    sentences: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (base word, its sentences)
    polarity: str = ""
    tags: tuple[str, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)  # word -> what else it says
    note: str = ""


@dataclass(frozen=True)
class PairRule:
    """How pairs are made: each left word against the right word at its place, in every context and template."""

    left: tuple[str, ...]
    right: tuple[str, ...]
    templates: tuple[str, ...] = ("{}",)
    contexts: tuple[str, ...] = ("",)
    lowercase: bool = False


@dataclass(frozen=True)
class BankTest:
    """An association test: target sets x and y, attribute sets a and b, with its orientation and group."""

    name: str
    x: str
    y: str
    a: str
    b: str
    category: str = "social"
    note: str = ""


@dataclass(frozen=True)
class Bank:
    """Prompts and word lists with id, version, source, licence, language and orientation.

    `fingerprint` is the hash of everything that the file says; it travels with every number that rests on the bank.

    Examples
    --------
    >>> from fairvl.sources.prompts import load_bank
    >>> load_bank("zero-shot-gender").prompts("female").texts[0]
    'a photo of a woman'
    """

    id: str
    name: str
    version: int
    source: str
    licence: str
    language: str
    kind: str
    orientation: str = ""
    attribute: str = ""
    note: str = ""
    templates: tuple[str, ...] = ("{}",)
    sets: Mapping[str, PromptSet] = field(default_factory=dict)
    pair_rules: tuple[PairRule, ...] = ()
    tests: tuple[BankTest, ...] = ()
    plurals: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sets", MappingProxyType(dict(self.sets)))
        object.__setattr__(self, "plurals", MappingProxyType(dict(self.plurals)))

    def prompts(self, name: str) -> Prompts:
        """The sentences of one set, word by word, then the sentences that stand as they are.

        Raises
        ------
        BankError
            The bank has no set of that name.
        """
        chosen = self._set(name)
        texts, words, templates = [], [], []
        for code, word in enumerate(chosen.words):
            for number, template in enumerate(chosen.templates or self.templates):
                texts.append(fill(template, word, irregular=self.plurals))
                words.append(code)
                templates.append(number)
        bases = list(chosen.words)
        for base, sentences in chosen.sentences:
            for sentence in sentences:
                texts.append(sentence)
                words.append(len(bases))
                templates.append(-1)
            bases.append(base)
        return Prompts(tuple(texts), tuple(words), tuple(templates), tuple(bases))

    def pairs(self) -> PairPrompts:
        """All pairs of the bank: word pair by word pair, then context, then template."""
        left, right = [], []
        for rule in self.pair_rules:
            for words in zip(rule.left, rule.right, strict=True):
                for context in rule.contexts:
                    for template in rule.templates:
                        made = [fill(template, word, context=context, irregular=self.plurals) for word in words]
                        left.append(made[0].lower() if rule.lowercase else made[0])
                        right.append(made[1].lower() if rule.lowercase else made[1])
        return PairPrompts(tuple(left), tuple(right))

    def plan(self, names: Sequence[str] | None = None) -> Plan:
        """The distinct sentences of several sets (all by default), and which rows belong to which set."""
        index: dict[str, int] = {}
        rows = {}
        for name in self.sets if names is None else names:
            rows[name] = tuple(index.setdefault(text, len(index)) for text in self.prompts(name).texts)
        return Plan(tuple(index), MappingProxyType(rows))

    def _set(self, name: str) -> PromptSet:
        if name not in self.sets:
            raise BankError(f"bank {self.id!r} has no set {name!r}; it has {', '.join(self.sets) or 'none'}.")
        return self.sets[name]
