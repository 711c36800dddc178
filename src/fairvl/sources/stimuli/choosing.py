"""Sets as a registry says them, and which pictures stand for them: the user's own, or free ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BankError
from ..documents import check_keys, check_text, check_texts, safe_path
from ..prompts import Bank, Prompts, PromptSet, load_bank
from ..prompts.wording import check_template
from .manifests import OwnCopies, PictureList, read_picture_list
from .pictures import EmojiFolder, Pictures, drawn_pictures, world_pictures
from .registry import Modality, StimulusSet, image_key, text_key

_TEXT_KEYS = {"bank", "without", "words", "templates", "texts", "source", "licence", "note"}
_IMAGE_KEYS = {"images", "world", "where", "drawn", "emoji", "note"}
_CODE_POINTS = re.compile(r"[0-9a-f]{2,6}(_[0-9a-f]{2,6})*")


@dataclass(frozen=True)
class Source:
    """One set as the file says it, before its pictures are chosen."""

    name: str
    text: StimulusSet | None = None
    own: PictureList | None = None
    free: Pictures | None = None
    emoji: Mapping[str, str] = field(default_factory=dict)  # label -> code points

    @property
    def modality(self) -> Modality:
        return "image" if self.text is None else "text"


def read_set(
    name: str, row: Any, place: str, folder: Path | None, banks: dict[str, Bank], terms: tuple[str, str]
) -> Source:
    """One table of ``[sets]``. `terms` are the source and licence of the registry, for texts written in it."""
    place = f"{place}, set {name!r}"
    check_keys(row, _TEXT_KEYS | _IMAGE_KEYS, place)
    if set(row) & {"bank", "words", "texts"}:
        check_keys(row, _TEXT_KEYS, place)
        return Source(name, text=_text_set(name, row, place, folder, banks, terms))
    check_keys(row, _IMAGE_KEYS, place)
    if not set(row) & {"images", "world", "drawn"}:
        raise BankError(f"{place}: nothing in it; expected bank, words, texts, images, world or drawn.")
    emoji = row.get("emoji", {})
    if not isinstance(emoji, Mapping) or not all(
        isinstance(v, str) and _CODE_POINTS.fullmatch(v) for v in emoji.values()
    ):
        raise BankError(f"{place}: emoji = {emoji!r}; expected a table such as {{ rose = '1f339' }}.")
    if {"world", "drawn"} <= set(row) or ("where" in row and "world" not in row):
        raise BankError(f"{place}: expected world (with where) or drawn, not both.")
    own = read_picture_list(check_text(row, "images", place), folder, place) if "images" in row else None
    free: Pictures | None = None
    if "world" in row:
        where = row.get("where", {})
        if not isinstance(where, Mapping):
            raise BankError(f"{place}: where = {where!r}; expected a table such as {{ gender = 'female' }}.")
        free = world_pictures(check_text(row, "world", place), where, place=place)
    elif "drawn" in row:
        free = drawn_pictures(check_text(row, "drawn", place), place=place)
    return Source(name, own=own, free=free, emoji=emoji)


def _text_set(
    name: str, row: Mapping[str, Any], place: str, folder: Path | None, banks: dict[str, Bank], terms: tuple[str, str]
) -> StimulusSet:
    if sum(key in row for key in ("bank", "words", "texts")) != 1 or ("templates" in row and "words" not in row):
        raise BankError(f"{place}: expected exactly one of bank, words (with templates) and texts.")
    if "bank" in row:
        reference = check_text(row, "bank", place)
        where, _, member = reference.rpartition(":")
        if not where or not member:
            raise BankError(f"{place}: bank = {reference!r}; expected BANK:SET, as in 'association-text:flowers'.")
        if where not in banks:
            banks[where] = load_bank((folder or Path()) / safe_path(where, place) if where.endswith(".toml") else where)
        bank = banks[where]
    else:
        words = check_texts(row.get("words", []), f"{place}: words")
        templates = check_texts(row.get("templates", []), f"{place}: templates")
        texts = check_texts(row.get("texts", []), f"{place}: texts")
        for template in templates:
            check_template(template, place)
        member, made = name, PromptSet(name, words, templates, tuple((text, (text,)) for text in texts))
        source, licence = (
            check_text(row, key, place, default=said) for key, said in zip(("source", "licence"), terms, strict=True)
        )
        bank = Bank("", "", 1, source, licence, "", "association", sets={name: made})
    prompts = _without(bank.prompts(member), check_texts(row.get("without", []), f"{place}: without"), place)
    return StimulusSet(
        name=name,
        modality="text",
        keys=tuple(text_key(text) for text in prompts.texts),
        words=prompts.words,
        templates=prompts.templates,
        source=check_text(row, "source", place, default=bank.source),
        licence=check_text(row, "licence", place, default=bank.licence),
        flags=tuple(f"{word}: {says}" for word, says in bank.sets[member].flags.items()),
        labels=tuple(prompts.base_words[word] for word in prompts.words),
        _texts=prompts.texts,
    )


def _without(prompts: Prompts, absent: tuple[str, ...], place: str) -> Prompts:
    if unknown := [text for text in absent if text not in prompts.texts]:
        raise BankError(f"{place}: without names {unknown}, which the set does not hold.")
    kept = [i for i, text in enumerate(prompts.texts) if text not in absent]
    if not kept:
        raise BankError(f"{place}: no sentences are left; expected at least one.")
    columns = (prompts.texts, prompts.words, prompts.templates)
    texts, words, templates = (tuple(column[i] for i in kept) for column in columns)
    return Prompts(texts, words, templates, prompts.base_words)  # type: ignore[arg-type]


class Chooser:
    """Resolves pairs of sets: the user's own pictures where both sides are there, else free ones; never half real."""

    def __init__(self, own: OwnCopies | None, emoji: EmojiFolder | None, stand_ins: bool) -> None:
        self.own, self.emoji, self.stand_ins = own, emoji, stand_ins
        self.recipes: dict[str, Any] = {}  # set -> what its stimuli follow from
        self._made: dict[str, StimulusSet] = {}
        self._found: dict[str, tuple[tuple[str, Path], ...] | None] = {}

    def pair(self, left: Source, right: Source) -> tuple[StimulusSet, StimulusSet]:
        """Stimuli of both sides: both published or the registry's own, both stand-ins, or both missing."""
        if left.text is not None and right.text is not None:
            return left.text, right.text
        sides = (left, right)
        if all(side.own is None or self._files(side) is not None for side in sides):
            return self._make(left, "own"), self._make(right, "own")
        if self.stand_ins and self.emoji is not None and all(side.emoji for side in sides):
            return self._make(left, "emoji"), self._make(right, "emoji")
        if self.stand_ins and all(side.free is not None for side in sides):
            return self._make(left, "free"), self._make(right, "free")
        return self._missing(left), self._missing(right)

    def _files(self, side: Source) -> tuple[tuple[str, Path], ...] | None:
        if self.own is None or side.own is None:
            return None
        if side.name not in self._found:
            self._found[side.name] = self.own.find(side.own)
        return self._found[side.name]

    def _make(self, side: Source, kind: str) -> StimulusSet:
        name = f"{side.name} ({kind})"
        if name not in self._made:
            if kind == "own" and side.own is not None:
                made = self._own(side)
                self.recipes[name] = made.keys
            else:
                pictures = self.emoji.pictures(side.emoji) if kind == "emoji" and self.emoji else side.free
                assert pictures is not None
                made = _picture_set(side.name, pictures, stand_in=side.own is not None)
                self.recipes[name] = pictures.recipe
            self._made[name] = made
        return self._made[name]

    def _own(self, side: Source) -> StimulusSet:
        files, listed = self._files(side), side.own
        assert self.own is not None
        assert files is not None
        assert listed is not None
        hashes = dict(listed.files)
        read = [self.own.reader(path, hashes.get(name, "")) for name, path in files]
        keys = tuple(key for key, _ in read)
        return StimulusSet(
            name=side.name,
            modality="image",
            keys=keys,
            words=tuple(range(len(files))),
            templates=(-1,) * len(files),
            source=listed.source,
            licence=listed.licence,
            labels=tuple(label.strip() for label, _ in files),
            flags=tuple(f"{name}: {says}" for name, says in listed.flags.items()),
            unverified=not self.own.known and not all(hashes.get(name) for name, _ in files),
            _images=tuple(load for _, load in read),
        )

    def _missing(self, side: Source) -> StimulusSet:
        wanted = side.own
        if wanted is None or self._files(side) is not None:
            why = "the other side of the pair is missing"
        elif self.own is None:
            why = "needs your own copies; give images=FOLDER"
        else:
            why = f"not in {self.own.root}, in none of the folders {[folder or '.' for folder in wanted.folders]}"
        source, licence = (wanted.source, wanted.licence) if wanted else ("", "")
        return StimulusSet(side.name, "image", (), (), (), source, licence, missing=why)


def _picture_set(name: str, pictures: Pictures, *, stand_in: bool) -> StimulusSet:
    return StimulusSet(
        name=name,
        modality="image",
        keys=tuple(image_key(load()) for load in pictures.load),
        words=tuple(range(len(pictures.load))),
        templates=(-1,) * len(pictures.load),
        source=pictures.source,
        licence=pictures.licence,
        stand_in=stand_in,
        labels=pictures.labels,
        _images=pictures.load,
    )
