"""Lexicons: which words name a group, what their neutral form is, and which fixed expressions only look like them.

A lexicon is a TOML file with its passport, shipped (``gender-en``, ``race-en``, ``age-en``) or the user's own. What is
true of a language whatever the attribute (closed word classes, what a noun names) stands apart, in `grammar`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import BankError
from ...fingerprints import fingerprint
from ..documents import check_head, check_keys, check_text, check_texts, read_document, shipped

FOLDER = "lexicons"
UNMARKED = {"mens": "men", "womens": "women", "mans": "man", "womans": "woman"}  # possessives without their sign
_REQUIRED = {"id": str, "name": str, "version": int, "language": str, "attribute": str, "groups": list, "source": str,
             "licence": str}  # fmt: skip
_OPTIONAL = {"note": str, "nouns": list, "adjectives": dict, "pronouns": dict, "phrases": dict, "hyphens": dict,
             "kept": dict, "capitals": str, "rows": list}  # fmt: skip
_FLAGS = {"attributive", "title", "determined", "uncounted", "verb", "kin"}
_KEPT = {"phrases", "labelled", "games", "pieces"}
_PRONOUNS = {"subject", "object", "reflexive", "possessive", "role"}


@dataclass(frozen=True)
class Entry:
    """One form of one word.

    Attributes
    ----------
    kind : str
        "noun", "adjective", or a kind of pronoun: "subject", "object", "reflexive", "possessive", "role".
    group : str
        The group that the word names.
    neutral, neutral_plural : str
        Its neutral forms; of a pronoun, empty.
    plural : bool
    flags : frozenset of str
    """

    word: str
    kind: str
    group: str
    neutral: str = ""
    neutral_plural: str = ""
    plural: bool = False
    flags: frozenset[str] = frozenset()

    @property
    def form(self) -> str:
        """The neutral form in this word's number."""
        return self.neutral_plural if self.plural else self.neutral


@dataclass(frozen=True)
class Phrase:
    """Several words that count as one: to be kept as they are, or replaced as a whole."""

    words: tuple[str, ...]
    offset: int  # where in it the word stands under which it is found
    group: str = ""
    neutral: str = ""
    adjective: bool = False  # dropped before a person ("Middle Eastern")


@dataclass(frozen=True)
class Lexicon:
    """Words of one attribute in one language, by their form in small letters.

    Examples
    --------
    >>> lexicon = load_lexicon("gender-en")
    >>> lexicon.entries["waitresses"].form, lexicon.entries["waitresses"].group
    ('servers', 'female')
    """

    id: str
    name: str
    version: int
    language: str
    attribute: str
    groups: tuple[str, ...]
    source: str
    licence: str
    note: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)
    phrases: Mapping[str, tuple[Phrase, ...]] = field(default_factory=dict)  # by one of their words
    kept: Mapping[str, tuple[Phrase, ...]] = field(default_factory=dict)
    labelled: frozenset[str] = frozenset()
    games: frozenset[str] = frozenset()
    pieces: frozenset[str] = frozenset()
    before_hyphen: frozenset[str] = frozenset()
    after_hyphen: tuple[str, ...] = ()
    capitals: bool = False
    rows: tuple[tuple[str, ...], ...] = ()
    fingerprint: str = ""
    neighbours: Mapping[str, frozenset[str]] = field(default_factory=dict)  # what stands beside a word in its phrases
    triggers: frozenset[str] = frozenset()  # a caption with none of these has nothing to look at
    known: frozenset[str] = frozenset()  # every form that can begin a mention
    neutral_words: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[Any, ...]:  # mapping proxies do not travel between processes
        values = [getattr(self, name) for name in self.__dataclass_fields__]
        return Lexicon, tuple(dict(value) if isinstance(value, MappingProxyType) else value for value in values)


def list_lexicons() -> tuple[str, ...]:
    """Ids of the lexicons that ship with the package, sorted.

    Examples
    --------
    >>> list_lexicons()
    ('age-en', 'gender-en', 'paper-31', 'race-en')
    """
    return tuple(name for name in shipped(__package__, FOLDER) if name not in ("grammar-en", "heads-en"))


def load_lexicon(name_or_path: str | Path | Lexicon = "gender-en") -> Lexicon:
    """A shipped lexicon by its id, or the one in a ``.toml`` file.

    Raises
    ------
    BankError
        No such lexicon, not TOML, unknown or missing keys, one word twice, a group that `groups` does not name.
    """
    if isinstance(name_or_path, Lexicon):
        return name_or_path
    if str(name_or_path).endswith(".toml"):
        return _read(name_or_path)  # a file of the user's own may change while we run
    return _cached(str(name_or_path))


@lru_cache(maxsize=8)
def _cached(name: str) -> Lexicon:
    if name in ("grammar-en", "heads-en"):
        raise BankError(f"{name!r} describes the language, not a group; expected one of {', '.join(list_lexicons())}.")
    return _read(name)


def _read(name_or_path: str | Path) -> Lexicon:
    document, where, _ = read_document(name_or_path, "lexicon", __package__, FOLDER)
    check_head(document, _REQUIRED, _OPTIONAL, where)
    groups = check_texts(document["groups"], f"{where}: groups")
    entries: dict[str, Entry] = {}
    for entry in _entries(document, groups, where):
        if entries.get(entry.word, entry) != entry:
            raise BankError(f"{where}: {entry.word!r} stands twice; a word has one group and one neutral form.")
        entries[entry.word] = entry
    spaced = [entry for word, entry in entries.items() if " " in word]
    kept = document.get("kept", {})
    check_keys(kept, _KEPT, f"{where}: kept")
    kept_texts = check_texts(kept.get("phrases", []), f"{where}: kept.phrases")
    replaced = list(_replaced(document.get("phrases", {}), groups, where))
    hyphens = document.get("hyphens", {})
    check_keys(hyphens, {"before", "after"}, f"{where}: hyphens")
    rows = tuple(check_texts(row, f"{where}: rows") for row in document.get("rows", ()))
    if any(len(row) != len(groups) + 1 for row in rows):
        raise BankError(f"{where}: rows must name one word per group and the neutral one.")
    if not entries and not rows:
        raise BankError(f"{where}: no nouns, adjectives, pronouns or rows; expected at least one.")
    kept_phrases = _by_word([Phrase(tuple(text.split()), 0) for text in kept_texts], entries)
    phrases = _by_word([Phrase(words, 0, group, neutral) for words, group, neutral in replaced], {})
    triggers = {piece for word in entries for piece in word.replace("'", " ").split()[:1]} | set(phrases)
    triggers |= {bare for bare, marked in UNMARKED.items() if marked in entries}
    return Lexicon(
        **{key: document[key] for key in ("id", "name", "version", "language", "attribute", "source", "licence")},
        groups=groups,
        note=document.get("note", "").strip(),
        entries=MappingProxyType({word: entry for word, entry in entries.items() if " " not in word}),
        phrases=MappingProxyType({**phrases, **_spaced(spaced, phrases)}),
        kept=MappingProxyType(kept_phrases),
        neighbours=MappingProxyType(_neighbours(kept_phrases, phrases, _spaced(spaced, phrases))),
        labelled=frozenset(check_texts(kept.get("labelled", []), f"{where}: kept.labelled")),
        games=frozenset(check_texts(kept.get("games", []), f"{where}: kept.games")),
        pieces=frozenset(check_texts(kept.get("pieces", []), f"{where}: kept.pieces")),
        before_hyphen=frozenset(check_texts(hyphens.get("before", []), f"{where}: hyphens.before")),
        after_hyphen=check_texts(hyphens.get("after", []), f"{where}: hyphens.after"),
        capitals=document.get("capitals") == "expected",
        rows=rows,
        fingerprint=fingerprint(document),
        triggers=frozenset(triggers),
        known=frozenset([*entries, *phrases, *_spaced(spaced, phrases), *UNMARKED]),
        neutral_words=frozenset(
            word for entry in entries.values() for form in (entry.neutral, entry.neutral_plural) if form
            for word in form.split()[-1:]
        ),
    )  # fmt: skip


def _entries(document: Mapping[str, Any], groups: tuple[str, ...], where: str) -> Iterator[Entry]:
    adjectives = document.get("adjectives", {})
    check_keys(adjectives, {"noun", *groups}, f"{where}: adjectives")
    described = {
        word: group
        for group in groups
        for word in check_texts(adjectives.get(group, []), f"{where}: adjectives.{group}")
    }
    as_noun = dict.fromkeys(described, _forms(adjectives["noun"], where) if adjectives.get("noun") else ("", ""))
    for row in document.get("nouns", ()):
        check_keys(row, {"neutral", "flags", *groups}, f"{where}: nouns")
        forms = _forms(check_text(row, "neutral", f"{where}: nouns"), where)
        flags, known = row.get("flags", {}), set()
        for group in groups:
            for text in check_texts(row.get(group, []), f"{where}: nouns.{group}"):
                single, plural = _forms(text, where)
                known.add(single)
                marks = frozenset(flags.get(single, ()))
                if marks - _FLAGS:
                    raise BankError(f"{where}: unknown flags {sorted(marks - _FLAGS)}; expected {sorted(_FLAGS)}.")
                if single in described:
                    as_noun[single] = forms
                else:
                    yield Entry(single, "noun", group, *forms, False, marks)
                if plural != single:
                    yield Entry(plural, "noun", group, *forms, True, marks)
        if set(flags) - known:
            raise BankError(f"{where}: flags for {sorted(set(flags) - known)}, which no group lists.")
    for word, group in described.items():
        yield Entry(word, "adjective", group, *as_noun[word])
        if adjectives.get("noun") and document["attribute"] == "gender":
            yield Entry(word + "s", "noun", group, *as_noun[word], True)
    pronouns = document.get("pronouns", {})
    check_keys(pronouns, _PRONOUNS, f"{where}: pronouns")
    for kind, words in pronouns.items():
        for word, group in words.items():
            if group not in groups:
                raise BankError(f"{where}: pronoun {word!r} of group {group!r}; expected one of {', '.join(groups)}.")
            yield Entry(word, kind, group)


def _forms(text: str, where: str) -> tuple[str, str]:
    single, slash, plural = text.partition("/")
    if not slash or "/" in plural:
        raise BankError(f"{where}: {text!r}; expected singular/plural.")
    return single, plural


def _replaced(
    table: Mapping[str, Mapping[str, str]], groups: tuple[str, ...], where: str
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    check_keys(table, set(groups), f"{where}: phrases")
    for group, phrases in table.items():
        for text, neutral in phrases.items():
            yield tuple(text.split()), group, neutral


def _spaced(entries: list[Entry], have: Mapping[str, tuple[Phrase, ...]]) -> dict[str, tuple[Phrase, ...]]:
    found: dict[str, tuple[Phrase, ...]] = {}
    for entry in entries:
        words = tuple(entry.word.split())
        phrase = Phrase(words, 0, entry.group, entry.form, entry.kind == "adjective")
        found[words[0]] = (*found.get(words[0], have.get(words[0], ())), phrase)
    return {word: tuple(sorted(phrases, key=lambda p: -len(p.words))) for word, phrases in found.items()}


def _by_word(phrases: list[Phrase], entries: Mapping[str, Entry]) -> dict[str, tuple[Phrase, ...]]:
    """Phrases under every word of theirs that is an entry, or under their first word; the longest first."""
    found: dict[str, list[Phrase]] = {}
    for phrase in phrases:
        for offset, word in enumerate(phrase.words):
            base = word.removesuffix("'s")
            if base in entries or word in entries:
                found.setdefault(base if base in entries else word, []).append(
                    Phrase(phrase.words, offset, phrase.group, phrase.neutral)
                )
        if not any(word in entries or word.removesuffix("'s") in entries for word in phrase.words):
            found.setdefault(phrase.words[0], []).append(phrase)
    return {word: tuple(sorted(listed, key=lambda p: -len(p.words))) for word, listed in found.items()}


def _neighbours(*tables: Mapping[str, tuple[Phrase, ...]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for table in tables:
        for word, phrases in table.items():
            for phrase in phrases:
                at = phrase.offset
                beside = (*phrase.words[max(at - 1, 0) : at], *phrase.words[at + 1 : at + 2])
                found.setdefault(word, set()).update(beside, (text + "'s" for text in beside))
    return {word: frozenset(words) for word, words in found.items()}
