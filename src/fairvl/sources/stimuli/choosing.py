"""Sets as a registry says them, and which pictures stand for them: the user's own, or free ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BankError
from ..prompts import Bank, PromptSet, load_bank
from ..prompts.wording import check_template
from .checks import check_keys, check_text, check_texts, safe_path
from .manifests import OwnCopies, PictureList, read_picture_list
from .pictures import Pictures, drawn_pictures, world_pictures
from .registry import Modality, StimulusSet, image_key, text_key

_TEXT_KEYS = {"bank", "words", "templates", "texts", "source", "licence", "note"}
_IMAGE_KEYS = {"images", "world", "where", "drawn", "note"}


@dataclass(frozen=True)
class Source:
    """One set as the file says it, before its pictures are chosen."""

    name: str
    text: StimulusSet | None = None
    own: PictureList | None = None
    free: Pictures | None = None

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
    return Source(name, own=own, free=free)


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
        source, licence = (check_text(row, key, place, default=said) for key, said in zip(("source", "licence"), terms))
        bank = Bank("", "", 1, source, licence, "", "association", sets={name: made})
    prompts = bank.prompts(member)
    if not prompts.texts:
        raise BankError(f"{place}: no sentences; expected at least one.")
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


class Chooser:
    """Resolves pairs of sets: the user's own pictures where both sides are there, else free ones; never half real."""

    def __init__(self, own: OwnCopies | None, stand_ins: bool) -> None:
        self.own, self.stand_ins = own, stand_ins
        self.recipes: dict[str, Any] = {}  # set -> what its stimuli follow from
        self._made: dict[tuple[str, bool], StimulusSet] = {}
        self._found: dict[str, tuple[tuple[str, Path], ...] | None] = {}

    def pair(self, left: Source, right: Source) -> tuple[StimulusSet, StimulusSet]:
        """Stimuli of both sides: both published or the registry's own, both stand-ins, or both missing."""
        if left.text is not None and right.text is not None:
            return left.text, right.text
        sides = (left, right)
        real = all(side.own is None or self._files(side) is not None for side in sides)
        if not real and not (self.stand_ins and all(side.free is not None for side in sides)):
            return self._missing(left), self._missing(right)
        return self._make(left, real), self._make(right, real)

    def _files(self, side: Source) -> tuple[tuple[str, Path], ...] | None:
        if self.own is None or side.own is None:
            return None
        if side.name not in self._found:
            self._found[side.name] = self.own.find(side.own)
        return self._found[side.name]

    def _make(self, side: Source, real: bool) -> StimulusSet:
        if (side.name, real) not in self._made:
            self._made[side.name, real] = self._own(side) if real and side.own is not None else self._free(side)
        return self._made[side.name, real]

    def _free(self, side: Source) -> StimulusSet:
        assert side.free is not None
        self.recipes[f"{side.name} (free)"] = side.free.recipe
        return StimulusSet(
            name=side.name,
            modality="image",
            keys=tuple(image_key(load()) for load in side.free.load),
            words=tuple(range(len(side.free.load))),
            templates=(-1,) * len(side.free.load),
            source=side.free.source,
            licence=side.free.licence,
            stand_in=side.own is not None,
            labels=side.free.labels,
            _images=side.free.load,
        )

    def _own(self, side: Source) -> StimulusSet:
        files, listed = self._files(side), side.own
        assert self.own is not None and files is not None and listed is not None
        hashes = dict(listed.files)
        read = [self.own.reader(path, hashes.get(name, "")) for name, path in files]
        keys = tuple(key for key, _ in read)
        self.recipes[f"{side.name} (own)"] = keys
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
            _images=tuple(load for _, load in read),
        )

    def _missing(self, side: Source) -> StimulusSet:
        wanted = side.own
        if wanted is None or self._files(side) is not None:
            why = f"the other side of {side.name!r} is missing"
        elif self.own is None:
            why = f"{side.name!r} needs your own copies; give images=FOLDER"
        else:
            why = f"{side.name!r} is not in {self.own.root}: expected pictures in one of {list(wanted.folders)}"
        source, licence = (wanted.source, wanted.licence) if wanted else ("", "")
        return StimulusSet(side.name, "image", (), (), (), source, licence, missing=why)
