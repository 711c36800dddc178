"""Two words of different groups with one neutral form: "a man and a woman", "his or her", "boys and girls"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...sources.captions.grammar import Grammar
from ...sources.captions.mentions import SPACES, Mention
from ...sources.captions.tokens import Tokens

_AND = frozenset(["and"])
_OR = frozenset(["or", "nor"])
_ONE = frozenset(["a", "an", "one"])
_NOUNS = frozenset(["noun"])


@dataclass(frozen=True)
class Pair:
    """Two joined mentions that become one: the words `first` to `last`, and what they become.

    `role` is that of the result; `singular` says that verbs after it still follow a singular ("he or she walks").
    """

    first: int
    last: int
    text: str
    other: Mention
    role: str
    singular: bool


def joined_pair(tokens: Tokens, mention: Mention, by_index: Mapping[int, Mention], grammar: Grammar) -> Pair | None:
    """The pair that begins at `mention`, or None."""
    if mention.tail or mention.count > 1:
        return None
    found = _second(tokens, mention, by_index)
    if found is None:
        return None
    other, word, determiner = found
    if other.entry.group == mention.entry.group or other.count > 1:
        return None
    if mention.role == "noun":
        return _nouns(tokens, mention, other, word, determiner, grammar)
    if mention.role == "dropped" or other.role in ("dropped", "noun", "phrase") or determiner:
        return None
    role = _pronoun_role(mention, other)
    if not role:
        return None
    return Pair(mention.index, other.index, "", other, role, word in _OR)


def _second(tokens: Tokens, mention: Mention, by_index: Mapping[int, Mention]) -> tuple[Mention, str, str] | None:
    """The mention after "and", "or" or a slash, with that word and the determiner between them."""
    lower, gaps = tokens.lower, tokens.gaps
    i = mention.index
    if i + 1 >= len(lower):
        return None
    if gaps[i + 1] == "/":
        return (by_index[i + 1], "or", "") if i + 1 in by_index else None
    if gaps[i + 1] == " & ":
        return (by_index[i + 1], "and", "") if i + 1 in by_index else None
    if gaps[i + 1] == ", " and mention.entry.plural and i + 1 in by_index:
        return by_index[i + 1], "and", ""
    if gaps[i + 1] not in SPACES or lower[i + 1] not in _AND | _OR:
        return None
    for j, determiner in ((i + 2, ""), (i + 3, lower[i + 2] if i + 2 < len(lower) else "")):
        if j < len(lower) and j in by_index and all(gaps[k] in SPACES for k in range(i + 2, j + 1)):
            return by_index[j], lower[i + 1], determiner
        if j in by_index:
            return None
    return None


def _nouns(tokens: Tokens, first: Mention, other: Mention, word: str, determiner: str, grammar: Grammar) -> Pair | None:
    one, two = first.entry, other.entry
    if other.role != "noun" or one.neutral != two.neutral or one.plural != two.plural or not one.neutral:
        return None
    i = first.index
    before = tokens.lower[i - 1] if i and tokens.gaps[i] in SPACES else ""
    if word in _OR:
        same = determiner == before or (determiner in _ONE and before in _ONE) or not determiner
        return Pair(i, other.index, one.form, other, "noun", True) if same else None
    if one.plural:
        counted = before.isdigit() or before in grammar.determiners - {"the", "these", "those", "all", "some", "any"}
        fits = not determiner or determiner == before
        return Pair(i, other.index, one.form, other, "noun", False) if fits and not counted else None
    if before in _ONE:
        if determiner and determiner not in _ONE:
            return None
        return Pair(i - 1, other.index, f"two {one.neutral_plural}", other, "noun", False)
    if determiner and determiner != before:
        return None
    owned = before in grammar.possessives or before in ("her", "his") or before.endswith("'s")
    bare = not before or before in grammar.prepositions or before in grammar.conjunctions
    if before == "the" or owned or bare:
        return Pair(i, other.index, one.neutral_plural, other, "noun", False)
    return None


def _pronoun_role(first: Mention, other: Mention) -> str:
    kinds = {first.role, other.role}
    if kinds in ({"subject"}, {"reflexive"}):
        return first.role
    if first.entry.kind in ("role", "object", "possessive") and other.entry.kind in ("role", "object", "possessive"):
        return other.role
    return ""
