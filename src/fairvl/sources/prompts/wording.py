"""From a template and a word to a sentence: articles and regular plurals of English, nothing cleverer.

A template holds ``{}`` (the word), ``{s}`` or ``{S}`` (its plural, as it is or at the start of a sentence),
``{context}`` (what a pair keeps fixed) and ``{a}`` or ``{A}`` ("a" or "an", by the word that follows). Anything else in
braces is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...errors import BankError

_FIELD = re.compile(r"\{([^{}]*)\}")
_ARTICLE = re.compile(r"(\{[aA]\})(\s+)(\S+)")
_SAID_WITH_VOWEL = re.compile(r"^(?:[aeiou]|hour|honest|honou?r|heir)", re.IGNORECASE)
_SAID_WITH_CONSONANT = re.compile(r"^(?:eu|uni(?!n|m)|use|usu|uti|one\b|once|u\b|ukr|ub)", re.IGNORECASE)
FIELDS = {"", "s", "S", "context", "a", "A"}


def article(word: str) -> str:
    """The indefinite article that `word` takes.

    Examples
    --------
    >>> [article(word) for word in ("old", "European", "honest", "Ukrainian", "nurse", "unkind")]
    ['an', 'a', 'an', 'a', 'a', 'an']
    """
    vowel = _SAID_WITH_VOWEL.match(word) and not _SAID_WITH_CONSONANT.match(word)
    return "an" if vowel else "a"


def plural(word: str, irregular: Mapping[str, str]) -> str:
    """The plural of an English noun: the bank's own form, or the regular one."""
    if word in irregular:
        return irregular[word]
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(?:s|x|z|ch|sh)$", word) else "s")


def check_template(template: str, where: str, *, context: bool = False) -> None:
    """Raise BankError where a template has no place for the word or a field that is not known."""
    fields = _FIELD.findall(template)
    if unknown := set(fields) - (FIELDS if context else FIELDS - {"context"}):
        raise BankError(f"{where}: template {template!r} has unknown fields {sorted(unknown)}; {{}} is the word.")
    if not {"", "s", "S"} & set(fields):
        raise BankError(f"{where}: template {template!r} has no {{}} for the word.")
    if "{" in _FIELD.sub("", template) or "}" in _FIELD.sub("", template):
        raise BankError(f"{where}: template {template!r} has an unmatched brace.")


def fill(template: str, word: str, *, context: str = "", irregular: Mapping[str, str] | None = None) -> str:
    """`template` with its fields filled.

    Examples
    --------
    >>> fill("{A} {} and the {s}", "orchid"), fill("{a} {context} {}", "man", context="old"), fill("{S}!", "lily")
    ('An orchid and the orchids', 'an old man', 'Lilies!')
    """
    many = plural(word, irregular or {})
    values = {"": word, "s": many, "S": many[:1].upper() + many[1:], "context": context}
    text = _FIELD.sub(lambda match: values.get(match.group(1), match.group(0)), template)
    return _ARTICLE.sub(_with_article, text)


def _with_article(match: re.Match[str]) -> str:
    chosen = article(match.group(3))
    return (chosen.capitalize() if match.group(1) == "{A}" else chosen) + match.group(2) + match.group(3)
