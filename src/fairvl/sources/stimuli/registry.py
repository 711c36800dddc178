"""What a registry of association tests is made of, frozen: stimulus sets, cases, the registry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ...errors import DatasetError, InputError

Modality = Literal["text", "image"]
ORDERS = ("image-image", "text-text", "image-text", "text-image")
"""Modality of the targets, then of the attributes, in the order of the paper's table."""


def text_key(text: str) -> str:
    """Content key of a text: ``t:`` and the SHA-256 of its UTF-8 bytes."""
    return "t:" + hashlib.sha256(text.encode("utf-8")).hexdigest()


def image_key(data: bytes) -> str:
    """Content key of an encoded picture: ``i:`` and the SHA-256 of its bytes."""
    return "i:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class StimulusSet:
    """One side of a test.

    Attributes
    ----------
    name : str
        Name of the set in its registry.
    modality : {"text", "image"}
    keys : tuple of str
        Content key per stimulus. Empty when the set is missing here.
    words, templates : tuple of int
        Clusters: code of the base word and of the template of each sentence, from 0. A sentence given as it stands has
        template -1; each picture is its own word, template -1.
    source, licence : str
        Where the stimuli come from, and under which terms.
    stand_in : bool
        Whether this is a free replacement of a published set that the user does not hold.
    flags : tuple of str
        Stimuli that say something else than their pole: "terrorist: names persons, ...".
    labels : tuple of str
        Per stimulus, what a reader calls it: the base word, or the picture's name.
    unverified : bool
        Whether these are the user's own copies of which no manifest says a hash.
    missing : str
        Why the set is empty; "" when it is not.
    """

    name: str
    modality: Modality
    keys: tuple[str, ...]
    words: tuple[int, ...]
    templates: tuple[int, ...]
    source: str
    licence: str
    stand_in: bool = False
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    unverified: bool = False
    missing: str = ""
    _texts: tuple[str, ...] = field(default=(), repr=False, compare=False)
    _images: tuple[Callable[[], bytes], ...] = field(default=(), repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.keys)

    def texts(self) -> tuple[str, ...]:
        """The sentences of a text set, in the order of `keys`.

        Raises
        ------
        InputError
            This is a set of pictures.
        """
        if self.modality != "text":
            raise InputError(f"{self.name!r} is a set of pictures; use image(position) for their bytes.")
        return self._texts

    def image(self, position: int) -> bytes:
        """The encoded bytes of one picture, read or drawn now, and held against its key.

        Raises
        ------
        InputError
            This is a set of texts, or it has no such position.
        DatasetError
            The file changed, or went away, since the registry was loaded.
        """
        if self.modality != "image":
            raise InputError(f"{self.name!r} is a set of texts; use texts().")
        if not 0 <= position < len(self._images):
            raise InputError(f"{self.name!r} has pictures 0 to {len(self._images) - 1}; found position {position}.")
        data = self._images[position]()
        if image_key(data) != self.keys[position]:
            raise DatasetError(
                f"{self.name!r}, picture {self.labels[position]!r}: its bytes changed since the registry was loaded; "
                "load the registry again."
            )
        return data


@dataclass(frozen=True)
class Case:
    """One association test in one order of modalities.

    Positive d means that `x` is nearer to `a` (pleasant) than `y` is. `missing` says why the case cannot run here, and
    is "" when it can. `flags` are the stimuli whose content is that of the targets of this test.
    """

    test: str
    topic: str
    category: Literal["social", "control"]
    order: str
    x: StimulusSet
    y: StimulusSet
    a: StimulusSet
    b: StimulusSet
    missing: str = ""
    flags: tuple[str, ...] = ()
    note: str = ""

    @property
    def sides(self) -> tuple[StimulusSet, StimulusSet, StimulusSet, StimulusSet]:
        """x, y, a and b."""
        return self.x, self.y, self.a, self.b

    @property
    def stand_in(self) -> bool:
        """Whether any of the four sets is a free replacement of the published one."""
        return any(side.stand_in for side in self.sides)


@dataclass(frozen=True)
class Registry:
    """Association tests with their stimuli.

    `fingerprint` covers the file, the banks behind it and every stimulus: text by its words, the user's own pictures by
    their bytes, drawn ones by the recipe. It differs where any number could.
    """

    id: str
    version: int
    fingerprint: str
    cases: tuple[Case, ...]
    name: str = ""
    source: str = ""
    licence: str = ""
    orientation: str = ""
    note: str = ""

    def case(self, test: str, order: str) -> Case:
        """The case of one test in one order.

        Raises
        ------
        InputError
            There is none.
        """
        found = [case for case in self.cases if (case.test, case.order) == (test, order)]
        if not found:
            known = ", ".join(f"{case.test} ({case.order})" for case in self.cases)
            raise InputError(f"registry {self.id!r} has no test {test!r} in order {order!r}; it has {known}.")
        return found[0]
