"""The neutral rewriting of Cabello et al. (2023) as released, with its faults; for comparison with the paper only."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InputError
from ...sources.captions.lexicon import load_lexicon

_COLUMNS = {"female": 1, "male": 0}  # rows hold male, female, neutral


def published_table() -> dict[str, str]:
    """The published words and their neutral forms as a plain dictionary reads them: the later of two rows wins.

    Examples
    --------
    >>> table = published_table()
    >>> table["her"], table["aunt"], table["men"]
    ('their', 'pbling', 'someone')
    """
    return {word: neutral for *words, neutral in load_lexicon("paper-31").rows for word in words}


def published_rewrite(text: str, *, group: str, subjects: Sequence[str] = ()) -> str:
    """The released rewriting of one caption: small letters, and faults and all.

    Words that a parser found as subject, root or attribute are replaced by the table. Where it found none, every word
    of the image's group is replaced wherever its letters occur, row by row: inside other words ("man" in "woman"), and
    inside what an earlier row has just written ("son" in "person").

    Parameters
    ----------
    text : str
    group : str
        Group of the image: "female", "male", "neutral" or "unknown". The released code compares with the word "Unsure"
        where its data say "Neutral", so a neutral image is never rewritten.
    subjects : sequence of str
        Words at subject, root or attribute positions.

    Examples
    --------
    >>> published_rewrite("A woman and a man", group="male")
    'a woperkid and a perkid'
    >>> published_rewrite("A man and his dog", group="male", subjects=["man"])
    'a person and his dog'
    """
    if group not in ("female", "male", "neutral", "unknown"):
        raise InputError(f"group={group!r}; expected female, male, neutral or unknown.")
    rows = load_lexicon("paper-31").rows
    lowered = text.lower()
    table = published_table()
    if chosen := {word.lower() for word in subjects} & set(table):
        return " ".join(table[word] if word in chosen else word for word in lowered.split())
    if group in _COLUMNS:
        for row in rows:
            lowered = lowered.replace(row[_COLUMNS[group]], row[2])
    return lowered
