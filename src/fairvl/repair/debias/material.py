"""What a fit works on: the prompts and pairs of banks as an encoder sees them, or labelled images."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BankError, InputError
from ...sources.prompts import Bank, load_bank
from .base import F64, unit_doubles

if TYPE_CHECKING:
    from ...sources.encoders import Encoder

MAX_IMAGES = 20_000  # means and covariances of more images would only narrow what is narrow already


@dataclass(frozen=True)
class Pair:
    """Two texts that differ in the attribute only, and the content they share: pairs of one content go together."""

    left: str
    right: str
    content: str
    words: tuple[str, str]  # that name the attribute


@dataclass(frozen=True)
class AttributeTexts:
    """The usable prompts of one attribute: a set per value, pairs, and what was left out."""

    attribute: str
    bank: Bank
    sets: Mapping[str, tuple[str, ...]]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]

    @property
    def valued(self) -> bool:
        """Whether the sets are the values of the attribute; a paper's bank lists spurious prompts without them."""
        return self.bank.kind != "paper"

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text once."""
        sides = (text for pair in self.pairs for text in (pair.left, pair.right))
        return tuple(dict.fromkeys([*(text for texts in self.sets.values() for text in texts), *sides]))

    def labelled(self) -> dict[str, str]:
        """Text to value: the sets, and the sides of pairs where there are two values (pairs follow their order)."""
        labels = self.of_sets()
        if len(self.sets) == 2:
            first, second = self.sets
            for pair in self.pairs:
                labels |= {pair.left: first, pair.right: second}
        return labels

    def of_sets(self) -> dict[str, str]:
        """Text to value, for prompts of the sets alone."""
        return {text: value for value, texts in self.sets.items() for text in texts}

    def words(self) -> dict[str, str]:
        """Text to the base word that names the attribute in it."""
        out = {pair.left: pair.words[0] for pair in self.pairs} | {pair.right: pair.words[1] for pair in self.pairs}
        for value in self.sets:
            prompts = self.bank.prompts(value)
            for text, word in zip(prompts.texts, prompts.words, strict=True):
                out[text] = prompts.base_words[word] if word >= 0 else text
        return out


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of texts, by text."""

    of: Mapping[str, F64]

    def rows(self, texts: Iterable[str]) -> F64:
        """Rows ``[n, d]`` of `texts`."""
        return np.stack([self.of[text] for text in texts])

    def prototypes(self, part: AttributeTexts) -> F64:
        """The mean of each set's unit vectors ``[values, d]``."""
        return np.stack([self.rows(texts).mean(axis=0) for texts in part.sets.values()])


def encoded(encoder: Encoder, texts: Iterable[str]) -> Vectors:
    """Unit vectors of the distinct `texts`."""
    distinct = list(dict.fromkeys(texts))
    if not distinct:
        return Vectors({})
    rows = unit_doubles(encoder.encode_texts(distinct), "encoded prompts")
    return Vectors(dict(zip(distinct, rows, strict=True)))


def attribute_texts(
    attribute: str, bank: str | Path | Bank | None, encoder: Encoder, *, pairs: bool, never: Collection[str] = ()
) -> AttributeTexts:
    """The prompts of the bank of `attribute` that `encoder` can read, and its pairs without the texts of `never`.

    Raises
    ------
    BankError
        No such bank, one set only, or nothing left of a set or of the pairs where they are needed.
    """
    chosen = bank if isinstance(bank, Bank) else load_bank(f"debias-{attribute}" if bank is None else bank)
    sets, notes = (_spurious_prompts if chosen.kind == "paper" else _usable_prompts)(chosen, encoder)
    found, more = _usable_pairs(chosen, encoder, never, needed=pairs)
    return AttributeTexts(attribute, chosen, sets, found, (*notes, *(more if pairs else ())))


def _usable_prompts(bank: Bank, encoder: Encoder) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The prompts of each set, without those that the encoder cannot read and the ones that oppose them."""
    if len(bank.sets) < 2:
        raise BankError(
            f"bank {bank.id!r} has {len(bank.sets)} sets; a debias bank has one per value of the attribute."
        )
    sets = [bank.prompts(name).texts for name in bank.sets]
    aligned = len({len(texts) for texts in sets}) == 1
    bad = [unreadable(texts, encoder) for texts in sets]
    out = set().union(*bad) if aligned else set()
    kept = [
        tuple(text for row, text in enumerate(texts) if row not in (out if aligned else own))
        for texts, own in zip(sets, bad, strict=True)
    ]
    if empty := [name for name, texts in zip(bank.sets, kept, strict=True) if not texts]:
        raise BankError(
            f"bank {bank.id!r}: the encoder {encoder.card.name!r} can read no prompt of {', '.join(empty)} (unknown "
            "words, or longer than its context). Give a bank in words that it knows."
        )
    dropped = sum(len(texts) for texts in sets) - sum(len(texts) for texts in kept)
    notes = (f"{dropped} prompts left out: the encoder cannot read them or the prompt they oppose",) if dropped else ()
    return dict(zip(bank.sets, kept, strict=True)), notes


def _spurious_prompts(bank: Bank, encoder: Encoder) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The prompts that a paper removes; none where it works with pairs alone."""
    if "spurious" not in bank.sets:
        return {}, ()
    texts = bank.prompts("spurious").texts
    bad = unreadable(texts, encoder)
    kept = tuple(text for row, text in enumerate(texts) if row not in bad)
    notes = (f"{len(bad)} prompts left out: the encoder cannot read them",) if bad else ()
    return ({"spurious": kept} if kept else {}), notes


def _usable_pairs(
    bank: Bank, encoder: Encoder, never: Collection[str], *, needed: bool
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    pairs = bank.pairs()
    if not pairs.left:
        if needed:
            raise BankError(f"bank {bank.id!r} has no pairs; the calibrated method needs them.")
        return (), ()
    bad = unreadable(pairs.left, encoder) | unreadable(pairs.right, encoder)
    sides = enumerate(zip(pairs.left, pairs.right, _contents(bank), strict=True))
    kept = tuple(
        Pair(left, right, *shared)
        for row, (left, right, shared) in sides
        if row not in bad and left not in never and right not in never
    )
    if not kept and needed:
        raise BankError(f"bank {bank.id!r}: the encoder {encoder.card.name!r} can read none of its pairs.")
    dropped = len(pairs.left) - len(kept)
    why = "the encoder cannot read them" + (", or the evaluation uses them" if never else "")
    return kept, ((f"{dropped} pairs left out: {why}",) if dropped else ())


def _contents(bank: Bank) -> list[tuple[str, tuple[str, str]]]:
    """What each pair shares (its context, or its words where there is none) and its words, as `Bank.pairs` orders."""
    return [
        (context or f"{left}/{right}", (left, right))
        for rule in bank.pair_rules
        for left, right in zip(rule.left, rule.right, strict=True)
        for context in rule.contexts
        for _ in rule.templates
    ]


def unreadable(texts: Sequence[str], encoder: Encoder) -> set[int]:
    """Rows of `texts` that hold unknown words or exceed the context length, as far as the encoder can tell."""
    bad: set[int] = set()
    over_length = getattr(encoder, "over_length", None)
    if over_length is not None:
        bad.update(over_length(list(texts)))
    unknown_words = getattr(encoder, "unknown_words", None)
    if unknown_words is not None and unknown_words(list(texts)):
        bad.update(row for row, text in enumerate(texts) if unknown_words([text]))
    stored = getattr(encoder, "texts", None)
    if stored is not None:
        known = frozenset(stored)
        bad.update(row for row, text in enumerate(texts) if text not in known)
    return bad


def labelled_images(
    encoder: Encoder, dataset: Any, attributes: Sequence[str], seed: int
) -> tuple[F64, dict[str, list[str | None]], str]:
    """Unit vectors of labelled images, their labels of each attribute, and the name of the data.

    Raises
    ------
    InputError
        The data have no column for an attribute.
    """
    from ...measure.audit.material import gather_images
    from ...measure.audit.suite import load_suite

    images = gather_images(encoder, dataset, load_suite("core"), None, lambda items, _: items)
    if images is None:
        raise InputError("references: no images; expected a labelled dataset or a store.")
    if lost := [name for name in attributes if name not in images.groups]:
        raise InputError(
            f"references: {images.dataset} has no labels of {', '.join(lost)}; found {', '.join(images.groups)}."
        )
    rows = np.arange(len(images.vectors))
    if len(rows) > MAX_IMAGES:
        rng = np.random.default_rng([seed, zlib.crc32(b"references")])
        rows = np.sort(rng.choice(rows, MAX_IMAGES, replace=False))
    labels = {}
    for name in attributes:
        groups = images.groups[name]
        names = [*groups.labels, None]
        labels[name] = [names[code] for code in groups.codes[rows]]
    return np.asarray(images.vectors[rows], np.float64), labels, images.dataset
