"""Reading banks: small TOML files, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import BankError
from ...fingerprints import fingerprint
from ..documents import check_head, check_keys, check_texts, read_document, shipped
from .bank import Bank, BankTest, PairRule, PromptSet
from .wording import check_template

KINDS = ("debias", "zero-shot", "association", "retrieval", "harm", "words", "paper", "lexicon")
_REQUIRED = {"id": str, "name": str, "version": int, "source": str, "licence": str, "language": str, "kind": str}
_OPTIONAL = {
    "orientation": str, "attribute": str, "note": str, "templates": list, "sets": dict, "pairs": list, "tests": list,
    "plurals": dict,
}  # fmt: skip
_SET_KEYS = {"words", "templates", "prompts", "polarity", "tags", "flags", "note"}
_PAIR_KEYS = {"left", "right", "templates", "contexts", "contexts_from", "lowercase"}
_TEST_KEYS = {"name", "x", "y", "a", "b", "category", "note"}


def list_banks() -> tuple[str, ...]:
    """Ids of the banks that ship with the package, sorted.

    Examples
    --------
    >>> "debias-gender" in list_banks()
    True
    """
    return tuple(shipped(__package__, "banks"))


def load_bank(name_or_path: str | Path) -> Bank:
    """A shipped bank by its id, or the bank in a ``.toml`` file.

    Raises
    ------
    BankError
        No such bank, not TOML, unknown or missing keys, wrong types, an empty set, a test of a set that is not there.
    """
    document, where, _ = read_document(name_or_path, "bank", __package__, "banks")
    check_head(document, _REQUIRED, _OPTIONAL, where)
    if document["kind"] not in KINDS:
        raise BankError(f"{where}: kind {document['kind']!r}; expected one of {', '.join(KINDS)}.")
    templates = _templates(document.get("templates", ["{}"]), where)
    sets = {name: _read_set(name, value, where) for name, value in document.get("sets", {}).items()}
    pairs = tuple(_read_pairs(row, sets, where) for row in document.get("pairs", ()))
    if not sets and not pairs:
        raise BankError(f"{where}: no sets and no pairs; expected at least one.")
    return Bank(
        **{key: document[key] for key in _REQUIRED},
        **{key: document[key] for key in ("orientation", "attribute", "note") if key in document},
        templates=templates,
        sets=sets,
        pair_rules=pairs,
        tests=tuple(_read_test(row, sets, where) for row in document.get("tests", ())),
        plurals=_text_table(document.get("plurals", {}), f"{where}: plurals"),
        fingerprint=fingerprint(document),
    )


def _read_set(name: str, value: Any, where: str) -> PromptSet:
    where = f"{where}, set {name!r}"
    row = {"words": value} if isinstance(value, list) else value
    check_keys(row, _SET_KEYS, where)
    words = check_texts(row.get("words", []), f"{where}: words")
    given = row.get("prompts", [])
    if isinstance(given, Mapping):
        sentences = tuple((base, check_texts(value, f"{where}: prompts.{base}")) for base, value in given.items())
    else:
        sentences = tuple((text, (text,)) for text in check_texts(given, f"{where}: prompts"))
    if not words and not any(texts for _, texts in sentences):
        raise BankError(f"{where}: empty; expected words or prompts.")
    return PromptSet(
        name=name,
        words=words,
        templates=_templates(row["templates"], where) if "templates" in row else (),
        sentences=sentences,
        polarity=_text(row.get("polarity", ""), f"{where}: polarity"),
        tags=check_texts(row.get("tags", []), f"{where}: tags"),
        flags=_text_table(row.get("flags", {}), f"{where}: flags"),
        note=_text(row.get("note", ""), f"{where}: note"),
    )


def _read_pairs(row: Any, sets: Mapping[str, PromptSet], where: str) -> PairRule:
    where = f"{where}, pairs"
    check_keys(row, _PAIR_KEYS, where)
    left, right = (check_texts(row.get(side, []), f"{where}: {side}") for side in ("left", "right"))
    if not left or len(left) != len(right):
        raise BankError(f"{where}: {len(left)} left and {len(right)} right; expected the same number, at least one.")
    contexts = check_texts(row.get("contexts", []), f"{where}: contexts")
    if origin := row.get("contexts_from"):
        if origin not in sets:
            raise BankError(f"{where}: contexts_from {origin!r} is no set of this bank.")
        contexts += sets[origin].words
    return PairRule(
        left, right, _templates(row.get("templates", ["{}"]), where, context=True), contexts or ("",),
        bool(row.get("lowercase", False)),
    )  # fmt: skip


def _read_test(row: Any, sets: Mapping[str, PromptSet], where: str) -> BankTest:
    check_keys(row, _TEST_KEYS, f"{where}, tests")
    values = {key: _text(value, f"{where}, tests: {key}") for key, value in row.items()}
    for side in ("name", "x", "y", "a", "b"):
        if side not in values:
            raise BankError(f"{where}: a test without {side!r}; expected name, x, y, a and b.")
        if side != "name" and values[side] not in sets:
            raise BankError(f"{where}, test {values['name']!r}: {side} = {values[side]!r} is no set of this bank.")
    if values.get("category", "social") not in ("social", "control"):
        raise BankError(f"{where}, test {values['name']!r}: category must be 'social' or 'control'.")
    return BankTest(**values)


def _templates(values: Any, where: str, *, context: bool = False) -> tuple[str, ...]:
    templates = check_texts(values, f"{where}: templates")
    if not templates:
        raise BankError(f"{where}: templates are empty; leave them out for the bare word.")
    for template in templates:
        check_template(template, where, context=context)
    return templates


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BankError(f"{where}: {value!r}; expected a text.")
    return value


def _text_table(values: Any, where: str) -> Mapping[str, str]:
    if not isinstance(values, Mapping):
        raise BankError(f"{where}: {values!r}; expected a table of texts.")
    return MappingProxyType({key: _text(value, f"{where}.{key}") for key, value in values.items()})
