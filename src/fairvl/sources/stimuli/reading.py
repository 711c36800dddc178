"""Reading registries: small TOML files, checked key by key, resolved to stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BankError
from ...fingerprints import fingerprint
from ..documents import check_head, check_keys, check_text, check_texts, read_document, shipped
from ..prompts import Bank
from .choosing import Chooser, Source, read_set
from .manifests import OwnCopies
from .pictures import EmojiFolder
from .registry import ORDERS, Case, Registry, StimulusSet

_REQUIRED = {"id": str, "version": int, "source": str, "licence": str, "sets": dict, "tests": list}
_OPTIONAL = {"name": str, "orientation": str, "note": str, "attributes": dict, "flags": list}
_TEST_KEYS = {"name", "topic", "category", "text", "image", "attributes", "orders", "note"}
_FLAG_KEYS = {"set", "stimuli", "says", "topics"}


def list_registries() -> tuple[str, ...]:
    """Ids of the registries that ship with the package, sorted.

    Examples
    --------
    >>> "eat26" in list_registries()
    True
    """
    return tuple(shipped(__package__, "registries"))


def load_registry(
    name: str | Path = "eat26",
    *,
    images: str | Path | None = None,
    emoji: str | Path | None = None,
    stand_ins: bool = True,
) -> Registry:
    """A shipped registry by its id, or the registry in a ``.toml`` file, with its stimuli.

    Parameters
    ----------
    name : str or path
        ``"eat26"``, another of `list_registries`, or a file that ends in ``.toml``.
    images : path, optional
        Folder with the user's own copies of pictures that may not be shipped. Each pair of sets (x and y, a and b) uses
        them when both are there; a pair is never half real.
    emoji : path, optional
        Folder of noto-emoji; its pictures are then the stand-ins, where both sides of a pair name some.
    stand_ins : bool
        Whether pictures that the user does not hold are replaced by free ones (marked `stand_in`). When False, such
        cases stay in the registry with the reason in `missing`.

    Returns
    -------
    Registry

    Raises
    ------
    BankError
        No such registry, not TOML, unknown or missing keys, wrong types, an unknown set or bank, a test given twice.
    DatasetError
        A picture of the user's own that disagrees with its manifest or cannot be decoded.

    Examples
    --------
    >>> registry = load_registry("eat26")
    >>> len(registry.cases), registry.case("flower-insect", "text-text").x.texts()[0]
    (26, 'This is an aster.')
    """
    document, place, folder = read_document(name, "registry", __package__, "registries")
    check_head(document, _REQUIRED, _OPTIONAL, place)
    pictures = EmojiFolder(emoji) if emoji else None
    try:
        choose = Chooser(OwnCopies(images) if images else None, pictures, stand_ins)
        return _resolve(document, place, folder, choose)
    finally:
        if pictures:
            pictures.close()


@dataclass(frozen=True)
class _Flag:
    """Stimuli of one set that carry the content of some topics ("" of `topics`: of all)."""

    set: str
    stimuli: tuple[str, ...]
    says: str
    topics: tuple[str, ...]

    def on(self, side: StimulusSet, topic: str) -> tuple[str, ...]:
        if side.name != self.set or side.stand_in or (self.topics and topic not in self.topics):
            return ()
        return tuple(f"{name}: {self.says}" for name in self.stimuli if name in side.labels)


def _resolve(document: Mapping[str, Any], place: str, folder: Path | None, choose: Chooser) -> Registry:
    banks: dict[str, Bank] = {}
    terms = (document["source"], document["licence"])
    sets = {name: read_set(name, row, place, folder, banks, terms) for name, row in document["sets"].items()}
    flags = tuple(_read_flag(row, sets, place) for row in document.get("flags", ()))
    defaults = _pairs(document.get("attributes", {}), sets, f"{place}, attributes")
    cases: list[Case] = []
    for row in document["tests"]:
        cases += _read_test(row, sets, defaults, flags, choose, place)
    _refuse_repeats(cases, place)
    cases.sort(key=lambda case: ORDERS.index(case.order))
    contents = [document, {name: bank.fingerprint for name, bank in banks.items()}, choose.recipes]
    return Registry(
        id=document["id"],
        version=document["version"],
        fingerprint=fingerprint(contents),
        cases=tuple(cases),
        **{key: document.get(key, "") for key in ("name", "source", "licence", "orientation", "note")},
    )


def _read_test(
    row: Any,
    sets: Mapping[str, Source],
    defaults: Mapping[str, tuple[Source, Source]],
    flags: Sequence[_Flag],
    choose: Chooser,
    place: str,
) -> list[Case]:
    check_keys(row, _TEST_KEYS, f"{place}, tests")
    name = check_text(row, "name", f"{place}, tests")
    place = f"{place}, test {name!r}"
    topic, category = (
        check_text(row, "topic", place, default=name),
        check_text(row, "category", place, default="social"),
    )
    if category not in ("social", "control"):
        raise BankError(f"{place}: category = {category!r}; expected 'social' or 'control'.")
    targets = _pairs({key: row[key] for key in ("text", "image") if key in row}, sets, place)
    attributes = {**defaults, **_pairs(row.get("attributes", {}), sets, f"{place}, attributes")}
    possible = [order for order in ORDERS if order.split("-")[0] in targets and order.split("-")[1] in attributes]
    orders = check_texts(row.get("orders", possible), f"{place}: orders")
    if not orders or set(orders) - set(possible) or len(set(orders)) != len(orders):
        raise BankError(f"{place}: orders {list(orders)}; with the sets given, expected some of {possible}, each once.")
    cases = []
    for order in orders:
        x, y = choose.pair(*targets[order.split("-")[0]])
        a, b = choose.pair(*attributes[order.split("-")[1]])
        sides = (x, y, a, b)
        said = dict.fromkeys(text for flag in flags for side in sides for text in flag.on(side, topic))
        reasons = {side.missing: [s.name for s in sides if s.missing == side.missing] for side in sides if side.missing}
        missing = "; ".join(f"{', '.join(map(repr, names))}: {why}" for why, names in reasons.items())
        note = check_text(row, "note", place, default="")
        cases.append(Case(name, topic, category, order, x, y, a, b, missing, tuple(said), note))  # type: ignore[arg-type]
    return cases


def _pairs(row: Any, sets: Mapping[str, Source], place: str) -> dict[str, tuple[Source, Source]]:
    check_keys(row, {"text", "image"}, place)
    found = {}
    for modality, names in row.items():
        names = check_texts(names, f"{place}: {modality}")
        if len(names) != 2 or names[0] == names[1]:
            raise BankError(f"{place}: {modality} = {list(names)}; expected the names of two different sets.")
        for name in names:
            if name not in sets:
                raise BankError(f"{place}: {modality} names {name!r}, which is no set; the sets are {', '.join(sets)}.")
            if sets[name].modality != modality:
                raise BankError(f"{place}: {modality} names {name!r}, which is a set of {sets[name].modality}s.")
        found[modality] = (sets[names[0]], sets[names[1]])
    return found


def _read_flag(row: Any, sets: Mapping[str, Source], place: str) -> _Flag:
    place = f"{place}, flags"
    check_keys(row, _FLAG_KEYS, place)
    name = check_text(row, "set", place)
    if name not in sets:
        raise BankError(f"{place}: {name!r} is no set of this registry.")
    stimuli, topics = (check_texts(row.get(key, []), f"{place}: {key}") for key in ("stimuli", "topics"))
    if text := sets[name].text:
        known: set[str] = set(text.labels)
    else:
        known = {file for file, _ in listed.files} if (listed := sets[name].own) else set(stimuli)
    if unknown := set(stimuli) - known:
        raise BankError(f"{place}: set {name!r} has no stimuli {sorted(unknown)}.")
    return _Flag(name, stimuli, check_text(row, "says", place), topics)


def _refuse_repeats(cases: Sequence[Case], place: str) -> None:
    names: set[tuple[str, str]] = set()
    contents: dict[tuple[str, ...], Case] = {}
    for case in cases:
        if (case.test, case.order) in names:
            raise BankError(f"{place}: test {case.test!r} stands twice; give each its own name.")
        names.add((case.test, case.order))
        earlier = contents.setdefault(tuple(side.name for side in case.sides), case)
        if earlier is not case:
            raise BankError(f"{place}: {case.test!r} and {earlier.test!r} are the same test in order {case.order}.")
