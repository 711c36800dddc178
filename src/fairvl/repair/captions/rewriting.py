"""Neutral captions: every mention of a group by its neutral form, and what follows from that in grammar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

from ...errors import InputError
from ...sources.captions.grammar import Grammar, english
from ...sources.captions.lexicon import Lexicon, load_lexicon
from ...sources.captions.mentions import Mention, find_mentions
from ...sources.captions.parsing import Parser, Tags, load_parser
from ...sources.captions.spans import Edit, Rewrite, apply_edits
from ...sources.captions.tokens import Tokens, rough_words, tokenize
from .agreement import agreeing_verbs
from .coordination import Pair, joined_pair

_PRONOUNS = {
    "subject": "they", "object": "them", "determiner": "their", "possessive": "theirs", "reflexive": "themself",
}  # fmt: skip


@overload
def neutralize(texts: str, *, lexicon: str | Path | Lexicon = ..., parser: str | Parser | None = ...) -> Rewrite: ...
@overload
def neutralize(
    texts: list[str] | tuple[str, ...], *, lexicon: str | Path | Lexicon = ..., parser: str | Parser | None = ...
) -> list[Rewrite]: ...
def neutralize(
    texts: str | list[str] | tuple[str, ...],
    *,
    lexicon: str | Path | Lexicon = "gender-en",
    parser: str | Parser | None = None,
) -> Rewrite | list[Rewrite]:
    """Captions with every mention of a group in neutral words.

    Works on words, never inside them: nouns by the lexicon's neutral form in the same number; "her" and "his" by their
    role; verbs, articles and capitals in agreement; case, punctuation, spaces and clitics as they were. Names, titles,
    quotations, markup, compounds and fixed expressions stay ("king size bed"), and "male" and "female" said of animals
    and things. Swapping the genders of a caption gives the same neutral text; rewriting twice changes nothing more.

    Parameters
    ----------
    texts : str or sequence of str
        Captions in the lexicon's language; text in another one has no words to change and stays.
    lexicon : str, path or Lexicon
        "gender-en" (default), "race-en", "age-en", or a file of your own.
    parser : str or callable, optional
        "spacy:en_core_web_sm" and the like, or a function from a text to {where a word begins: its Penn tag}. It
        settles "her" and verbs far from their subject, which the rules guess; never required, and some hundred times
        slower.

    Returns
    -------
    Rewrite, or a list of them
        ``.text``, ``.spans`` (what changed, why, by which rule, how surely), ``.kept`` (what was looked at and left),
        and ``.restore()``, which gives the original back.

    Raises
    ------
    InputError
        Something that is not text.
    BankError
        The lexicon cannot be read, or is a list for comparison only ("paper-31"; see `published_rewrite`).

    Notes
    -----
    The task is that of Vanmassenhove, Emmery and Shterionov (2021, "NeuTral Rewriter") and of the captions in Cabello
    et al. (2023, section 3); the rules are our own.

    Examples
    --------
    >>> neutralize("A woman ties her shoe while she waits.").text
    'A person ties their shoe while they wait.'
    >>> [rewrite.text for rewrite in neutralize(["an actress", "a male connector"])]
    ['an actor', 'a male connector']
    """
    chosen = load_lexicon(lexicon)
    if not chosen.entries:
        from ...errors import BankError

        raise BankError(
            f"lexicon {chosen.id!r} holds published rows for comparison; use published_rewrite, or another lexicon."
        )
    tagger = load_parser(parser) if isinstance(parser, str) else parser
    if isinstance(texts, str):
        return _neutralize(texts, chosen, tagger)
    if not isinstance(texts, Iterable):
        raise InputError(f"texts: {texts!r}; expected a caption, or a list of captions.")
    return [_neutralize(text, chosen, tagger) for text in texts]


def _neutralize(text: str, lexicon: Lexicon, parser: Parser | None) -> Rewrite:
    if not isinstance(text, str):
        raise InputError(f"a caption is {type(text).__name__}; expected text.")
    if lexicon.triggers.isdisjoint(rough_words(text.lower())):
        return Rewrite(text, text)
    tokens = tokenize(text)
    tags = None if parser is None else parser(text)
    mentions = find_mentions(tokens, lexicon, tags)
    kept = [(place.index, place.group, place.why) for place in mentions.kept]
    if not mentions.found:
        return apply_edits(tokens, (), kept)
    return apply_edits(tokens, _Writer(tokens, english(), lexicon, tags).edits(mentions.found), kept)


class _Writer:
    """The edits of one caption."""

    def __init__(self, tokens: Tokens, grammar: Grammar, lexicon: Lexicon, tags: Tags | None) -> None:
        self.tags = tags
        self.tokens, self.grammar = tokens, grammar
        self.inflects = lexicon.language == "en"  # verbs and articles of other languages are left alone
        self.capitals = (
            lexicon.capitals
        )  # words of the lexicon are spelt with one, which says nothing about their place
        self.made: dict[int, Edit] = {}  # by first word

    def edits(self, found: Sequence[Mention]) -> list[Edit]:
        by_index = {mention.index: mention for mention in found}
        consumed: set[int] = set()
        for mention in found:
            if mention.index in consumed:
                continue
            if mention.role == "dropped":
                self._drop(mention, by_index, consumed)
                continue
            pair = joined_pair(self.tokens, mention, by_index, self.grammar)
            if pair is not None:
                consumed.add(pair.other.index)
                self._pair(mention, pair)
            else:
                self._single(mention)
        if self.inflects:
            self._articles()
        return list(self.made.values())

    def _add(self, edit: Edit) -> None:
        self.made[edit.first] = edit

    def _single(self, mention: Mention) -> None:
        i, entry, tokens = mention.index, mention.entry, self.tokens
        first = i
        if mention.role in ("noun", "phrase"):
            text, gap = self._noun(mention)
            self._add(Edit(i, i + mention.count - 1, text, mention.role, entry.group, mention.confidence, gap))
            return
        new = _PRONOUNS[mention.role] + self._clitic(mention)
        if mention.role == "subject" and i and tokens.gaps[i] == "/" and tokens.lower[i - 1] == "s":
            first = i - 1  # s/he
        self._add(Edit(first, i, self._cased(first, new), mention.role, entry.group, mention.confidence))
        if mention.role == "subject" and not mention.tail:
            self._agree(first, i)

    def _pair(self, mention: Mention, pair: Pair) -> None:
        text = pair.text or _PRONOUNS[pair.role]
        if pair.other.tail:
            text += "'" if text.endswith("s") else "'s"
        self._add(Edit(pair.first, pair.last, self._cased(pair.first, text), "coordination", "", 0.95))
        if pair.role == "subject" and pair.singular:
            self._agree(pair.first, pair.last)

    def _agree(self, first: int, last: int) -> None:
        if not self.inflects:
            return
        for word, form, confidence in agreeing_verbs(self.tokens, first, last, self.grammar, self.tags):
            text = _like(self.tokens.words[word], form)
            if "’" in self.tokens.words[word]:
                text = text.replace("'", "’")
            self._add(Edit(word, word, text, "agreement", "", confidence))

    def _noun(self, mention: Mention) -> tuple[str, str | None]:
        entry, tokens = mention.entry, self.tokens
        last = mention.index + mention.count - 1
        form, gap = (entry.neutral if mention.role == "phrase" else entry.form), None
        mark = "’" if "’" in tokens.words[last] else "'"
        if mention.tail in ("'s", "s"):
            form += mark if entry.plural and form.endswith("s") else mark + "s"
        elif mention.tail:
            form += tokens.words[last][-len(mention.tail) :]
        elif entry.plural and not form.endswith("s") and self._owns(last):  # the girls' hats, the children's hats
            form, gap = form + tokens.gaps[last + 1][0] + "s", tokens.gaps[last + 1][1:]
        elif entry.plural and self._before(mention.index) in ("a", "an", "one"):
            form += mark if form.endswith("s") else mark + "s"  # a boys team
        return self._cased(mention.index, form), gap

    def _owns(self, i: int) -> bool:
        return self.tokens.lower[i].endswith("s") and self.tokens.gaps[i + 1][:1] in ("'", "’")

    def _before(self, i: int) -> str:
        return self.tokens.lower[i - 1] if i and self.tokens.gaps[i] == " " else ""

    def _clitic(self, mention: Mention) -> str:
        if not mention.tail:
            return ""
        word = self.tokens.words[mention.index]
        mark = "’" if "’" in word else "'"
        if mention.tail != "'s":
            return mark + mention.tail[1:]
        after = next(self._words_after(mention.index), "")
        return mark + ("ve" if after in self.grammar.perfect else "re")

    def _words_after(self, i: int) -> Iterator[str]:
        for j in range(i + 1, len(self.tokens.lower)):
            if self.tokens.lower[j] not in self.grammar.adverbs:
                yield self.tokens.lower[j]

    def _drop(self, mention: Mention, by_index: dict[int, Mention], consumed: set[int]) -> None:
        """Drop an adjective with the gap after it; of "male and female students" both and what joins them."""
        tokens, i = self.tokens, mention.index
        last = i + mention.count - 1
        for j in (last + 1, last + 2):
            other = by_index.get(j)
            joined = j < len(tokens.lower) and (tokens.gaps[j] == "/" or tokens.lower[j - 1] in ("and", "or"))
            if other is not None and other.role == "dropped" and joined:
                last = j
                consumed.add(j)
                break
        self._add(Edit(i, last, "", "dropped", mention.entry.group, mention.confidence, ""))
        after = last + 1
        word = tokens.words[i]
        if word[0].isupper() and not word.isupper() and tokens.opens_sentence(i) and after not in by_index:
            text = tokens.words[after]
            if text[0].islower():
                self._add(Edit(after, after, text[0].upper() + text[1:], "capital"))

    def _articles(self) -> None:
        """a or an before what a change left in the next place."""
        words, lower, gaps = self.tokens.words, self.tokens.lower, self.tokens.gaps
        for first in list(self.made):
            k = first - 1
            if k < 0 or lower[k] not in ("a", "an") or not gaps[first].isspace() or k in self.made:
                continue
            after, at = self.made[first], first
            while after is not None and not after.text.strip():
                at = after.last + 1
                after = self.made.get(at)  # type: ignore[assignment]
            word = words[at] if after is None else after.text
            fitting = "an" if self.grammar.takes_an(word.split()[0]) else "a"
            if fitting != lower[k]:
                self._add(Edit(k, k, _like(words[k], fitting, single=words[first].isupper()), "article"))

    def _cased(self, i: int, text: str) -> str:
        word = self.tokens.words[i]
        if word.isupper() and len(word) > 1:
            return text.upper()
        if not word[0].isupper() or (self.capitals and not self.tokens.opens_sentence(i)):
            return text
        titled = " " in text and self._titled()
        return (
            " ".join(part[:1].upper() + part[1:] for part in text.split(" ")) if titled else text[0].upper() + text[1:]
        )

    def _titled(self) -> bool:
        capitals = [word[0].isupper() for word in self.tokens.words if word[0].isalpha()]
        return len(capitals) >= 3 and sum(capitals) > 0.6 * len(capitals)


def _like(original: str, text: str, *, single: bool = False) -> str:
    if original.isupper() and (len(original) > 1 or single):
        return text.upper()
    return text[0].upper() + text[1:] if original[0].isupper() else text
