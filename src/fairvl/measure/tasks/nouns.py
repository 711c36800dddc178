"""What is mentioned together with people: the most frequent nouns of captions, as tasks of intrinsic amplification.

Words are compared whole, in small letters, a plural with its singular. There is no parser: a word is a noun of the
corpus when at least half of its occurrences stand where noun phrases end (directly before a function word, punctuation
or the end), and one of them after a determiner or a number. Forms in -ing and -ed are no nouns, but for a list
("building"). Words of the lexicon (man, she, king) and words that name persons (doctor, crowd) are never tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...sources.captions import Lexicon, caption_group, load_lexicon, tokenize
from ...sources.captions.grammar import GROUP, PERSON, english, plurals

_COUNTS = frozenset("two three four five six seven eight nine ten several many few some".split())  # noqa: SIM905
_LINKS = frozenset(("next", "close", "full", "due", "able", "ahead"))  # before "to" and "of"
_ING = """
awning bedding building ceiling clothing covering crossing drawing dressing earring evening flooring frosting housing
icing landing lighting lightning lining meeting morning painting parking plumbing pudding railing ring setting siding
sling spring string stuffing swing thing topping wedding wing wiring writing
"""
_ING_NOUNS = frozenset(_ING.split())
_PRONOUNS = frozenset("someone somebody anyone anybody everyone everybody people person persons".split())  # noqa: SIM905


def top_nouns(
    captions: Iterable[str], *, count: int = 100, people_only: bool = True, lexicon: str | Path | Lexicon = "gender-en"
) -> tuple[str, ...]:
    """The nouns that stand in most captions, most frequent first (ties by the alphabet), singular.

    Parameters
    ----------
    captions
        Captions of the *training* data.
    count
        How many nouns at most (the published test takes 100).
    people_only
        Count only captions that name a person (`caption_group` is not "unknown").

    Examples
    --------
    >>> top_nouns(["A man with a red dog.", "A woman holds two dogs", "A girl near the bus", "A red bus"], count=3)
    ('dog', 'bus')
    """
    if count < 1:
        raise InputError(f"count={count}; expected at least 1.")
    chosen = load_lexicon(lexicon)
    found: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    sure: Counter[str] = Counter()
    every: Counter[str] = Counter()
    known: set[str] = set()
    for text in captions:
        if people_only and caption_group(text, lexicon=chosen) == "unknown":
            continue
        words, closing, determined = _nouns(text, chosen)
        known.update(words)
        every.update(words)
        ends.update(closing)
        sure.update(determined)
        found.update(set(words))
    singular = _singulars(known)
    for counts in (found, ends, sure, every):
        for word, form in singular.items():
            if word != form:
                counts[form] += counts.pop(word, 0)
    nouns = [word for word, times in found.items() if times and sure[word] and ends[word] * 2 >= every[word]]
    return tuple(sorted(nouns, key=lambda word: (-found[word], word))[:count])


def noun_columns(captions: Sequence[str], nouns: Sequence[str]) -> NDArray[np.float64]:
    """Whether each caption has each noun or its plural, as whole words: ``float64 [n, len(nouns)]`` of 0 and 1.

    A noun of several words must stand there in a row, without punctuation between them.

    Examples
    --------
    >>> noun_columns(["Two cats", "A catcher", "A hot dog"], ["cat", "hot dog"]).tolist()
    [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    wanted = [tuple(word.lower() for word in tokenize(noun).words) for noun in nouns]
    if not wanted or not all(wanted) or len(set(wanted)) < len(wanted):
        raise InputError(f"nouns {list(nouns)[:8]}; expected at least one, all different.")
    forms = [{noun, *((*noun[:-1], form) for form in plurals(noun[-1]))} for noun in wanted]
    by_first: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for column, own in enumerate(forms):
        for form in own:
            by_first.setdefault(form[0], []).append((column, form))
    out = np.zeros((len(captions), len(wanted)))
    for row, text in enumerate(captions):
        if not isinstance(text, str):
            raise InputError(f"caption {row} is {type(text).__name__}; expected text.")
        tokens = tokenize(text)
        words = [word.removesuffix("'s") for word in tokens.lower]
        for i, word in enumerate(words):
            for column, form in by_first.get(word, ()):
                joined = not any(gap.strip(" -") for gap in tokens.gaps[i + 1 : i + len(form)])
                if joined and tuple(words[i : i + len(form)]) == form:
                    out[row, column] = 1.0
    return out


def _nouns(text: str, lexicon: Lexicon) -> tuple[list[str], list[str], list[str]]:
    """Words of a caption that could be nouns, those that end a noun phrase, and those of them with a determiner."""
    grammar = english()
    tokens = tokenize(text)
    lower = [word.removesuffix("'s") for word in tokens.lower]
    words, closing, determined = [], [], []
    opened = -1  # where the phrase began
    for i, word in enumerate(lower):
        if tokens.gaps[i].strip():
            opened = -1
        if word in grammar.determiners or word in grammar.possessives or word in _COUNTS or word.isdigit():
            opened = i
            continue
        if word in grammar.function_words or word in _LINKS:
            opened = -1
            continue
        after = "" if i + 1 == len(lower) or tokens.gaps[i + 1].strip() else lower[i + 1]
        last = (
            not after or after in grammar.function_words or after in _LINKS or _is_participle(after)
        )  # "a dog standing"
        person = word in lexicon.known or word in _PRONOUNS or grammar.head(word) in (PERSON, GROUP)
        if len(word) > 1 and word.isalpha() and not person:
            words.append(word)
            if last and not _is_participle(word):
                closing.append(word)
                if opened >= 0:
                    determined.append(word)
        if last or person:
            opened = -1
    return words, closing, determined


def _is_participle(word: str) -> bool:
    return (word.endswith("ing") and len(word) > 4 and word not in _ING_NOUNS) or (
        word.endswith("ed") and len(word) > 5
    )


def _singulars(words: set[str]) -> dict[str, str]:
    """Each word with the singular that occurs too."""
    found = {word: word for word in words}
    for word in words:
        for plural in plurals(word):
            if plural in words:
                found[plural] = word
    return found
