"""What changed in a caption, place by place, so that it can be read, counted and undone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...errors import InputError
from .tokens import Tokens

WHY = {
    "noun": "a noun that names a group, by its neutral form",
    "phrase": "several words that name a group, by their neutral form",
    "dropped": "said of a person whom the next noun names already",
    "subject": "a subject pronoun",
    "object": "an object pronoun",
    "determiner": "a possessive before its noun",
    "possessive": "a possessive that stands alone",
    "reflexive": "a reflexive pronoun",
    "coordination": "two words with one neutral form, joined",
    "agreement": "the verb of a pronoun that is plural now",
    "article": "a or an before a changed word",
    "capital": "first word now that the one before it is gone",
    "mask": "a word that names a group, masked",
}


class Span(NamedTuple):
    """One change: ``original[start:end]`` became ``text[new_start:new_end]``.

    `group` is the group that the original words name (empty for agreement, articles and capitals), `confidence` is 1
    where the rule leaves no doubt.
    """

    start: int
    end: int
    new_start: int
    new_end: int
    original: str
    replacement: str
    rule: str
    group: str
    confidence: float

    @property
    def why(self) -> str:
        """The rule in words."""
        return WHY[self.rule]


class KeptSpan(NamedTuple):
    """A word of the lexicon that was left alone: ``original[start:end]``, and why."""

    start: int
    end: int
    original: str
    group: str
    why: str


class Rewrite(NamedTuple):
    """A rewritten caption with everything that changed and what was looked at and kept.

    Examples
    --------
    >>> from fairvl.repair.captions import neutralize
    >>> rewrite = neutralize("He sits on a king size bed.")
    >>> rewrite.text, rewrite.restore()
    ('They sit on a king size bed.', 'He sits on a king size bed.')
    >>> [(span.original, span.replacement, span.rule) for span in rewrite.spans]
    [('He', 'They', 'subject'), ('sits', 'sit', 'agreement')]
    >>> [(kept.original, kept.why) for kept in rewrite.kept]
    [('king', 'expression')]
    """

    original: str
    text: str
    spans: tuple[Span, ...] = ()
    kept: tuple[KeptSpan, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything changed."""
        return bool(self.spans)

    def restore(self) -> str:
        """The original, rebuilt from `text` and `spans` alone.

        Raises
        ------
        InputError
            The spans do not belong to the text.
        """
        return restore(self.text, self.spans)


def restore(text: str, spans: Sequence[Span]) -> str:
    """Undo `spans` in `text`."""
    pieces, at = [], 0
    for span in spans:
        if text[span.new_start : span.new_end] != span.replacement or span.new_start < at:
            raise InputError(
                f"the text has {text[span.new_start : span.new_end]!r} where the spans expect {span.replacement!r}; "
                "expected the text and the spans of one rewrite."
            )
        pieces += [text[at : span.new_start], span.original]
        at = span.new_end
    return "".join([*pieces, text[at:]])


@dataclass(slots=True, eq=False)
class Edit:
    """Replaces the words `first` to `last`, and the gap after them when `gap` is set."""

    first: int
    last: int
    text: str
    rule: str
    group: str = ""
    confidence: float = 1.0
    gap: str | None = None


def apply_edits(tokens: Tokens, edits: Iterable[Edit], kept: Iterable[tuple[int, str, str]] = ()) -> Rewrite:
    """The text with all edits made; they must not overlap."""
    parts = tokens.parts
    pieces: list[str] = []
    spans: list[Span] = []
    part = at = new = 0
    for edit in sorted(edits, key=_first):
        begin, end = 2 * edit.first + 1, 2 * edit.last + 2
        before = "".join(parts[part:begin])
        text = edit.text
        if edit.gap is not None:  # the gap that follows is part of the change
            end += 1
            text += edit.gap
        original = "".join(parts[begin:end])
        at += len(before)
        new += len(before)
        spans.append(
            Span(at, at + len(original), new, new + len(text), original, text, edit.rule, edit.group, edit.confidence)
        )
        pieces += (before, text)
        at += len(original)
        new += len(text)
        part = end
    pieces.append("".join(parts[part:]))
    return Rewrite(tokens.text, "".join(pieces), tuple(spans), kept_spans(tokens, kept))


def kept_spans(tokens: Tokens, kept: Iterable[tuple[int, str, str]]) -> tuple[KeptSpan, ...]:
    """Kept words, as (word, group, why), with their places."""
    listed = list(kept)
    if not listed:
        return ()
    starts, words = tokens.starts(), tokens.words
    return tuple(KeptSpan(starts[i], starts[i] + len(words[i]), words[i], group, why) for i, group, why in listed)


def _first(edit: Edit) -> int:
    return edit.first
