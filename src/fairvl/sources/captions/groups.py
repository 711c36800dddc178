"""The group that a caption, or an image with several captions, names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from .grammar import PERSON, english
from .lexicon import Lexicon, load_lexicon
from .mentions import find_mentions
from .tokens import Tokens, rough_words, tokenize

NEUTRAL, MIXED, UNKNOWN = "neutral", "mixed", "unknown"
AGREEING = 3
_NEUTRAL_PRONOUNS = frozenset(["someone", "somebody", "everyone", "everybody", "themself", "anyone", "anybody"])


@dataclass(frozen=True)
class CaptionGroup:
    """The group of a caption with the rule that found it.

    Attributes
    ----------
    group : str
        A group of the lexicon ("female", "male"), "neutral" (a person without a group), "mixed" (several groups) or
        "unknown" (no person that the rules know).
    rule : str
        "named" (a noun or adjective), "pronoun" (pronouns only), "several", "person", "none"; for an image "agreeing",
        "majority", "minority", "several", "none".
    confidence : float
        1 where the words leave no doubt.
    votes : mapping of group to count
    """

    group: str
    rule: str
    confidence: float
    votes: tuple[tuple[str, int], ...] = ()


def caption_group(text: str, *, lexicon: str | Path | Lexicon = "gender-en") -> str:
    """The group that a caption names: "female", "male", "neutral", "mixed" or "unknown".

    Every mention counts, wherever it stands in the sentence ("a ball hit by a woman"). Words in names and quotations,
    and words said of animals and things, do not count. "neutral" is a person without a group; "unknown" a caption in
    which the rules see no person. The result describes the text, never the person in the image.

    Examples
    --------
    >>> [caption_group(text) for text in ("A ball hit by a woman", "A nurse", "A man and a girl", "A king size bed")]
    ['female', 'neutral', 'mixed', 'unknown']
    """
    return group_of(text, lexicon=lexicon).group


def group_of(text: str, *, lexicon: str | Path | Lexicon = "gender-en") -> CaptionGroup:
    """As `caption_group`, with rule, confidence and the number of mentions per group.

    Examples
    --------
    >>> group_of("She waves.")
    CaptionGroup(group='female', rule='pronoun', confidence=0.9, votes=(('female', 1),))
    """
    if not isinstance(text, str):
        raise InputError(f"a caption is {type(text).__name__}; expected text.")
    chosen = load_lexicon(lexicon)
    lowered = text.lower()
    if chosen.triggers.isdisjoint(rough_words(lowered)):
        return _without_mention(tokenize(text), chosen)
    tokens = tokenize(text)
    found = find_mentions(tokens, chosen).found
    if not found:
        return _without_mention(tokens, chosen)
    votes = Counter(mention.entry.group for mention in found)
    counted = tuple(sorted(votes.items()))
    if len(votes) > 1:
        return CaptionGroup(MIXED, "several", 1.0, counted)
    named = any(mention.entry.kind in ("noun", "adjective", "phrase") for mention in found)
    certain = max(mention.confidence for mention in found)
    return CaptionGroup(found[0].entry.group, "named" if named else "pronoun", certain if named else 0.9, counted)


def _without_mention(tokens: Tokens, lexicon: Lexicon) -> CaptionGroup:
    grammar = english()
    for word in tokens.lower:
        bare = word.removesuffix("'s")
        if bare in lexicon.neutral_words or grammar.heads.get(bare) == PERSON or bare in _NEUTRAL_PRONOUNS:
            return CaptionGroup(NEUTRAL, "person", 0.9)
    return CaptionGroup(UNKNOWN, "none", 1.0)


def image_group(
    captions: Sequence[str], *, agreeing: int = AGREEING, lexicon: str | Path | Lexicon = "gender-en"
) -> CaptionGroup:
    """The group of an image from all of its captions.

    Captions that name no person are silent. Of the others: all of one group give that group; else a group that at
    least `agreeing` captions name alone gives it; else one gender named in fewer captions than that gives "neutral";
    several give "mixed". With fewer captions than `agreeing`, all of those that speak must agree.

    Raises
    ------
    InputError
        No captions, or `agreeing` below 1.

    Examples
    --------
    >>> image_group(["A man runs", "A runner", "Somebody runs", "A man in red", "He runs"]).group
    'male'
    >>> image_group(["A man runs", "A runner", "Somebody runs"]).group
    'neutral'
    """
    if isinstance(captions, str) or not captions:
        raise InputError(f"captions={captions!r}; expected a list with at least one caption.")
    return combine_groups([group_of(text, lexicon=lexicon).group for text in captions], agreeing=agreeing)


def combine_groups(groups: Sequence[str], *, agreeing: int = AGREEING) -> CaptionGroup:
    """The group of an image from the groups of its captions; see `image_group`."""
    if agreeing < 1:
        raise InputError(f"agreeing={agreeing}; expected at least 1.")
    votes = Counter(groups)
    counted = tuple(sorted(votes.items()))
    speaking = {group: count for group, count in votes.items() if group != UNKNOWN}
    if not speaking:
        return CaptionGroup(UNKNOWN, "none", 1.0, counted)
    if len(speaking) == 1:
        return CaptionGroup(next(iter(speaking)), "agreeing", 1.0, counted)
    total = sum(speaking.values())
    clear = [(count, group) for group, count in speaking.items() if count >= agreeing and group not in (MIXED, NEUTRAL)]
    if len(clear) == 1:
        return CaptionGroup(clear[0][1], "majority", clear[0][0] / total, counted)
    named = [group for group in speaking if group != NEUTRAL]
    if MIXED in named or len(named) > 1:
        return CaptionGroup(MIXED, "several", 1 - max(speaking.values()) / total, counted)
    return CaptionGroup(NEUTRAL, "minority", speaking.get(NEUTRAL, 0) / total, counted)
