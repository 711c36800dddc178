"""A caption as words and what stands between them, and the places in it that no rule may touch."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

_ASCII = re.compile(r"([A-Za-z0-9]+(?:'[A-Za-z0-9]+)*)")
_ANY = re.compile(r"((?:[^\W_]|[̀-ͯ])+(?:['’](?:[^\W_]|[̀-ͯ])+)*)")
_BLOCKS = re.compile(r"[\"“”«»‘'<@/]")
_QUOTED = re.compile(
    r"(?<!\w)\"(?=\S)[^\"]*?(?<=\S)\"(?!\w)|“[^“”]*”|«[^«»]*»|‘(?=\S)[^‘]*?(?<=\S)’(?!\w)"
    r"|(?<!\w)'(?=\S)[^']*(?:(?<=\w)'(?=\w)[^']*)*(?<=\S)'(?!\w)"
)
_TAG = re.compile(r"<[^<>]*>")
_CHUNK = re.compile(r"\S+")
_ADDRESS = re.compile(
    r"://|www\.|\w@\w|^@\w|\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|com|org|net|html?|php|info)\b", re.IGNORECASE
)
_SPACED = {ord(sign): " " for sign in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~0123456789’‘“”…—–«»‐‑·•"}
TERMINALS = frozenset('.!?:;\n…"“(«[{<>—–#*•|/')
ABBREVIATIONS = frozenset("mr mrs ms mx dr st prof jr sr vs no mt capt lt col gen rev".split())  # noqa: SIM905


@dataclass(slots=True, eq=False)
class Tokens:
    """Words of a caption, and the gaps around them: ``gaps[0] words[0] gaps[1] ... words[-1] gaps[-1]`` is the text.

    Examples
    --------
    >>> tokens = tokenize("A girl's sitting.")
    >>> tokens.words, tokens.gaps
    (['A', "girl's", 'sitting'], ['', ' ', ' ', '.'])
    """

    text: str
    words: list[str]
    gaps: list[str]
    lower: list[str]  # small letters, composed, with straight apostrophes
    parts: list[str]  # gaps and words in turn

    def starts(self) -> list[int]:
        """Where each word begins in the text."""
        return list(accumulate(map(len, self.parts)))[0:-1:2]

    def opens_sentence(self, index: int) -> bool:
        """Whether a capital at this word says nothing: it stands first, or after a full stop and the like."""
        if index == 0:
            return True
        if TERMINALS.isdisjoint(self.gaps[index]):
            return False
        return not (self.gaps[index].startswith(".") and self.lower[index - 1] in ABBREVIATIONS)


def rough_words(lowered: str) -> list[str]:
    """Pieces of a text in small letters: enough to see that it holds no word of a lexicon."""
    return lowered.translate(_SPACED).split()


def tokenize(text: str) -> Tokens:
    """Words and gaps of a text; apostrophes inside a word belong to it, hyphens part words."""
    if text.isascii():
        parts = _ASCII.split(text)
        words = parts[1::2]
        return Tokens(text, words, parts[0::2], [word.lower() for word in words], parts)
    parts = _ANY.split(text)
    words = parts[1::2]
    lower = [unicodedata.normalize("NFC", word).lower().replace("’", "'") for word in words]
    return Tokens(text, words, parts[0::2], lower, parts)


def blocked(tokens: Tokens) -> dict[int, str]:
    """Words inside quotations, and inside markup, addresses and file names, with the reason."""
    text = tokens.text
    if _BLOCKS.search(text) is None and "." not in text[:-1]:
        return {}
    ranges = [(match.start(), match.end(), "markup") for match in _TAG.finditer(text)]
    if _ADDRESS.search(text):
        ranges += [(m.start(), m.end(), "markup") for m in _CHUNK.finditer(text) if _ADDRESS.search(m[0])]
    whole = text.strip()
    for match in _QUOTED.finditer(text):
        if match[0] != whole:  # a caption that is quoted as a whole is a habit of table files
            ranges.append((match.start(), match.end(), "quotation"))
    if not ranges:
        return {}
    starts = tokens.starts()
    return {
        index: why
        for start, end, why in ranges
        for index in range(bisect_left(starts, start), bisect_left(starts, end))
    }
