"""The roles of "her" and "his": object, determiner or pronoun, from the words around them."""

from __future__ import annotations

from .grammar import ANIMAL, PERSON, Grammar, is_plural, plain_form
from .tokens import Tokens

# Function words that stand before a noun as well: "her two dogs", "his only child".
_BEFORE_NOUNS = frozenset(
    "own one two three four five six seven eight nine ten few several many every first only very most once".split()  # noqa: SIM905
)
_SURE, _LIKELY, _GUESS = 1.0, 0.9, 0.6


def her_role(tokens: Tokens, i: int, grammar: Grammar) -> tuple[str, float]:
    """ "object" ("looks at her") or "determiner" ("her hat"), with a confidence."""
    after = _next(tokens, i)
    if after is None:
        return "object", _SURE
    following = _next(tokens, i + 1)
    ends = following is None or following in grammar.function_words
    if after in _BEFORE_NOUNS and (after == "own" or not ends or following in _BEFORE_NOUNS):
        return "determiner", _SURE if after == "own" else _LIKELY
    if after in grammar.function_words and not _joined(tokens, i + 1):
        return "object", _SURE if after not in ("like", "past", "outside", "inside", "first", "well") else _LIKELY
    if after.endswith("ing") and len(after) > 4:
        return ("object", _LIKELY) if ends else ("determiner", _LIKELY)
    if after.endswith("ly") and after not in grammar.ly_adjectives:
        return ("object", _LIKELY) if ends else ("determiner", _LIKELY)
    if i and tokens.gaps[i] == "/" and tokens.lower[i - 1] == "she":
        return "object", _LIKELY
    before = tokens.lower[i - 1] if i and tokens.gaps[i] == " " else ""
    if after in grammar.verbs and before in grammar.bare_verb_after:
        if ends or (following is not None and following.endswith("ly")):
            return "object", _GUESS
        if after not in grammar.nounlike:
            return "object", _GUESS
    given = before in grammar.two_objects_after and is_plural(after) and ends
    if given and grammar.head(after) not in (PERSON, ANIMAL):
        return "object", _GUESS
    return "determiner", _LIKELY


def his_role(tokens: Tokens, i: int, grammar: Grammar) -> tuple[str, float]:
    """ "determiner" ("his hat") or "possessive" ("a friend of his"), with a confidence."""
    after = _next(tokens, i)
    if after is None:
        return "possessive", _SURE
    if after in grammar.function_words and after not in _BEFORE_NOUNS and not _joined(tokens, i + 1):
        return "possessive", _LIKELY
    if (
        i
        and tokens.lower[i - 1] == "of"
        and (after in grammar.past or after.endswith("ed") or plain_form(after) in grammar.plain_verbs)
    ):
        return "possessive", _GUESS
    return "determiner", _SURE


def _next(tokens: Tokens, i: int) -> str | None:
    """The next word, small letters, unless punctuation stands before it."""
    j = i + 1
    if j >= len(tokens.words) or tokens.gaps[j].strip(" \t\u00a0\"“'‘"):
        return None
    return tokens.lower[j]


def _joined(tokens: Tokens, j: int) -> bool:
    return tokens.gaps[j + 1][:1] == "-" and len(tokens.gaps[j + 1]) == 1
