"""Where a caption names a group, in which role, and where a word of the lexicon names something else.

Everything that reads or rewrites captions stands on `find_mentions`: groups, masks and neutral text cannot disagree on
what is a mention.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from .grammar import ANIMAL, BODY, GROUP, PERSON, THING, english, is_plural, plain_form
from .lexicon import UNMARKED, Entry, Lexicon, Phrase, load_lexicon
from .parsing import Tags
from .roles import her_role, his_role
from .tokens import Tokens, blocked

_CLITICS = ("'s", "'ll", "'d", "'ve", "'re")
_VERB_BEFORE = frozenset("to will would can could must should shall may might they we you who people".split())  # noqa: SIM905
SPACES = frozenset([" ", "  ", "   ", "\u00a0", "\t"])
HYPHENS = frozenset(["-", "‐", "‑"])
_AND = frozenset(["and", "or", "nor"])


class Mention(NamedTuple):
    """One place where a caption names a group.

    Attributes
    ----------
    index, count : int
        First word and number of words.
    role : str
        "noun", "dropped" (an adjective, or a noun used as one), "phrase", "subject", "object", "determiner",
        "possessive", "reflexive".
    tail : str
        What is joined to the word: "'s" and the like.
    confidence : float
        1 where the rule leaves no doubt; lower where a parser could decide otherwise.
    """

    index: int  # type: ignore[assignment]
    entry: Entry
    role: str
    tail: str = ""
    count: int = 1  # type: ignore[assignment]
    confidence: float = 1.0


class Kept(NamedTuple):
    """A word of the lexicon that stays, and why: "name", "quotation", "markup", "compound", "expression", "thing",
    "animal", "verb", "game", "label", "language", "unclear"."""

    index: int  # type: ignore[assignment]
    group: str
    why: str


class Mentions(NamedTuple):
    """All mentions of a caption in order, and what was looked at and left alone."""

    found: tuple[Mention, ...]
    kept: tuple[Kept, ...]


def find_mentions(tokens: Tokens, lexicon: Lexicon, tags: Tags | None = None) -> Mentions:
    """Mentions of the lexicon's groups in a tokenised caption; `tags` of a parser settle "her" where given."""
    return _Search(tokens, lexicon, tags).run()


class _Search:
    def __init__(self, tokens: Tokens, lexicon: Lexicon, tags: Tags | None) -> None:
        self.tags = tags
        self.tokens, self.lexicon, self.grammar = tokens, lexicon, english()
        self.words, self.lower, self.gaps = tokens.words, tokens.lower, tokens.gaps
        self.casing = ""  # decided when first needed
        self.found: list[Mention] = []
        self.kept: list[Kept] = []

    def run(self) -> Mentions:
        phrases, lower = self.lexicon.phrases, self.lower
        block: dict[int, str] | None = None
        done = -1
        known = self.lexicon.known
        marked = "'" in self.tokens.text or "’" in self.tokens.text
        for i in [i for i, word in enumerate(lower) if word in known or (marked and "'" in word)]:
            if i <= done:
                continue
            entry, tail = self._entry(lower[i])
            if entry is None and lower[i] not in phrases:
                continue
            if block is None:
                block = blocked(self.tokens)
            group = entry.group if entry else ""
            if i in block:
                self._keep(i, group, block[i])
                continue
            if self._beside(i):
                if (phrase := self._phrase(i, self.lexicon.kept)) is not None:
                    self._keep(i, group, "expression")
                    done = i - phrase.offset + len(phrase.words) - 1
                    continue
                if (phrase := self._phrase(i, phrases)) is not None:
                    self._whole(i, phrase)
                    done = i + len(phrase.words) - 1
                    continue
            if entry is not None:
                self._classify(i, entry, tail)
        return Mentions(tuple(self.found), tuple(self.kept))

    def _entry(self, word: str) -> tuple[Entry | None, str]:
        entries = self.lexicon.entries
        if (entry := entries.get(word)) is not None:
            return entry, ""
        base, mark, rest = word.rpartition("'")
        if mark:
            return (entries.get(base), mark + rest) if mark + rest in _CLITICS else (None, "")
        return (entries.get(UNMARKED[word]), "s") if word in UNMARKED else (None, "")

    def _beside(self, i: int) -> bool:
        """Whether a word beside this one could make a phrase of the two."""
        lower = self.lower
        near = self.lexicon.neighbours.get(lower[i]) or self.lexicon.neighbours.get(lower[i].removesuffix("'s"))
        if near is None:
            return False
        return (i + 1 < len(lower) and lower[i + 1] in near) or (i > 0 and lower[i - 1] in near)

    def _whole(self, i: int, phrase: Phrase) -> None:
        entry = Entry(" ".join(phrase.words), "phrase", phrase.group, phrase.neutral)
        if not self.lexicon.capitals and self._is_name(i, entry):
            return self._keep(i, phrase.group, "name")
        last = i + len(phrase.words) - 1
        tail = "'s" if self.lower[last].endswith("'s") else ""
        if phrase.adjective and not tail:
            kind = self._kind_after(last)
            if kind in (PERSON, GROUP, BODY):
                self.found.append(Mention(i, entry, "dropped", "", len(phrase.words)))
                return None
            if kind or not phrase.neutral:
                return self._keep(i, phrase.group, kind or "unclear")
        self.found.append(Mention(i, entry, "phrase", tail, len(phrase.words)))
        return None

    def _keep(self, i: int, group: str, why: str) -> None:
        if group:
            self.kept.append(Kept(i, group, why))

    def _phrase(self, i: int, table: Mapping[str, tuple[Phrase, ...]]) -> Phrase | None:
        word = self.lower[i]
        options = table.get(word) or table.get(word.removesuffix("'s"), ())
        for phrase in options:
            start = i - phrase.offset
            stop = start + len(phrase.words)
            if start < 0 or stop > len(self.lower):
                continue
            found = self.lower[start:stop]
            same = tuple(found) == phrase.words or (*found[:-1], found[-1].removesuffix("'s")) == phrase.words
            if same and all(self.gaps[j] in SPACES or self.gaps[j] in ("-", " & ") for j in range(start + 1, stop)):
                return phrase
        return None

    def _classify(self, i: int, entry: Entry, tail: str) -> None:
        kind = entry.kind
        hyphened = self.gaps[i] in HYPHENS or self.gaps[i + 1] in HYPHENS
        if hyphened and not (kind == "noun" and self._kin_compound(i)):
            return self._keep(i, entry.group, "compound")
        if "_" in self.gaps[i][-1:] or "_" in self.gaps[i + 1][:1]:
            return self._keep(i, entry.group, "compound")
        if not self.lexicon.capitals and self._is_name(i, entry):
            return self._keep(i, entry.group, "name")
        if self._foreign(i):
            return self._keep(i, entry.group, "language")
        if kind == "noun":
            if tail == "s" and not entry.plural and not self._owner(i):
                return self._keep(i, entry.group, "verb")
            if why := self._no_person(i, entry, tail):
                return self._keep(i, entry.group, why)
            role = "dropped" if "attributive" in entry.flags and not tail and self._attributive(i, entry) else "noun"
            self.found.append(Mention(i, entry, role, tail, confidence=0.95 if role == "dropped" else 1.0))
        elif kind == "adjective":
            role, why, confidence = self._adjective(i, tail)
            if why:
                return self._keep(i, entry.group, why)
            if role == "noun" and not entry.neutral:
                return self._keep(i, entry.group, "unclear")
            self.found.append(Mention(i, entry, role, tail, confidence=confidence))
        elif kind == "role":
            if tail == "'s":  # her's, for hers
                self.found.append(Mention(i, entry, "possessive", "", confidence=0.9))
                return None
            if self.tags is not None and entry.word == "her":
                tag = self.tags.get(self.tokens.starts()[i], "")
                if tag in ("PRP", "PRP$"):
                    role = "determiner" if tag == "PRP$" else "object"
                    self.found.append(Mention(i, entry, role, tail, confidence=0.95))
                    return None
            role, confidence = (her_role if entry.word == "her" else his_role)(self.tokens, i, self.grammar)
            self.found.append(Mention(i, entry, role, tail, confidence=confidence))
        else:
            self.found.append(Mention(i, entry, kind, tail))
        return None

    def _foreign(self, i: int) -> bool:
        """Whether the words beside this one are rather another language's: "avec son chien"."""
        if self.lexicon.language != "en":
            return False
        beside = (*self.lower[max(i - 1, 0) : i], *self.lower[i + 1 : i + 2])
        if self.grammar.foreign.isdisjoint(beside):
            return False
        return self.grammar.function_words.isdisjoint(beside)

    # Names

    def _case(self) -> str:
        """ "upper", "title" or "plain": whether capitals of this caption can tell a name."""
        if not self.casing:
            text = self.tokens.text
            content = [w for w, low in zip(self.words[1:], self.lower[1:], strict=True)
                       if low not in self.grammar.function_words and w[0].isalpha()]  # fmt: skip
            if text.isupper() and sum(map(str.isalpha, text)) > 1:
                self.casing = "upper"
            elif len(content) >= 3 and all(w[0].isupper() for w in content) and self.words[0][0].isupper():
                self.casing = "title"
            else:
                self.casing = "plain"
        return self.casing

    def _is_name(self, i: int, entry: Entry) -> bool:
        word = self.words[i]
        if not word[0].isupper():
            return False
        case = self._case()
        if case == "upper":
            return False
        pronoun = entry.kind not in ("noun", "adjective", "phrase")
        titled = "title" in entry.flags
        opens = self.tokens.opens_sentence(i)
        if case == "title":
            return titled
        if opens:
            if pronoun:
                return False
            return titled or self._next_is_capital(i)
        if pronoun or titled or self._next_is_capital(i) or i == 0 or word.isupper():
            return True
        before = self.lower[i - 1]
        counted = before in ("a", "an", "one", "two", "three", "male", "female") or before in self.grammar.demonyms
        return not (counted and self.gaps[i] == " ")

    def _next_is_capital(self, i: int) -> bool:
        j = i + 1
        if j >= len(self.words) or self.gaps[j] not in SPACES or not self.words[j][0].isupper():
            return False
        low = self.lower[j]
        return low not in self.grammar.demonyms and low not in self.lexicon.entries and not self.words[j].isupper()

    # Nouns

    def _kin_compound(self, i: int) -> bool:
        lower, gaps, lexicon = self.lower, self.gaps, self.lexicon
        first = last = i
        while first > 0 and gaps[first] == "-":
            first -= 1
        while last + 1 < len(lower) and gaps[last + 1] == "-":
            last += 1
        before, after = lower[first:i], "-".join(lower[i + 1 : last + 1]).removesuffix("'s")
        others = [word.removesuffix("'s") for word in (*before, *lower[i + 1 : last + 1])]
        if len(others) == 1 and (other := lexicon.entries.get(others[0])) is not None and other.kind == "noun":
            return True
        fits_before = not before or all(word in lexicon.before_hyphen for word in before)
        return fits_before and (not after or after in lexicon.after_hyphen)

    def _owner(self, i: int) -> bool:
        """Whether a word such as "mans" is a possessive and not a verb."""
        after = self.lower[i + 1] if i + 1 < len(self.lower) and self.gaps[i + 1] in SPACES else ""
        before = self.lower[i - 1] if i else ""
        return bool(after) and after not in self.grammar.function_words and (
            self.lower[i] != "mans" or before in self.grammar.determiners
        )  # fmt: skip

    def _no_person(self, i: int, entry: Entry, tail: str) -> str:
        """Why a noun of the lexicon is said of no person here, or an empty text."""
        lower, grammar = self.lower, self.grammar
        before = lower[i - 1] if i else ""
        after = lower[i + 1] if i + 1 < len(lower) and self.gaps[i + 1] in SPACES else ""
        if entry.word in self.lexicon.pieces and not self.lexicon.games.isdisjoint(lower):
            return "game"
        if after in self.lexicon.labelled and (
            (tail in ("'s", "s") and entry.plural) or (entry.plural and self._plural_possessive(i))
        ):
            return "label"
        if entry.plural and after in self.lexicon.labelled and lower[i].endswith("s") and after not in grammar.verbs:
            return "label"  # ladies shoes
        if entry.plural and self._plural_possessive(i) and self._after_apostrophe(i) in self.lexicon.labelled:
            return "label"
        if "uncounted" in entry.flags and before.isdigit():
            return "thing"
        determined = after in grammar.determiners or after in grammar.possessives or after in ("his", "her")
        verb = before in _VERB_BEFORE or (is_plural(before) and before not in grammar.function_words)
        if "verb" in entry.flags and determined and verb and not tail and not entry.plural:
            return "verb"
        if "determined" in entry.flags and determined and not tail:
            settled = before in grammar.determiners or before in grammar.possessives or before in _AND
            if not settled and (before or entry.plural):
                return "verb"
        if "kin" in entry.flags and not tail and grammar.head(after) == ANIMAL and is_plural(after) == entry.plural:
            return "" if after in ("fish", "fly") else "animal"
        return ""

    def _plural_possessive(self, i: int) -> bool:
        return self.lower[i].endswith("s") and self.gaps[i + 1][:1] in ("'", "’")

    def _after_apostrophe(self, i: int) -> str:
        return self.lower[i + 1] if i + 1 < len(self.lower) and self.gaps[i + 1][1:] in SPACES else ""

    def _attributive(self, i: int, entry: Entry) -> bool:
        """ "woman driver", "women soldiers": the last of the nouns for persons that follow has this word's number."""
        grammar, last = self.grammar, ""
        for j in range(i + 1, min(i + 4, len(self.lower))):
            word = self.lower[j].removesuffix("'s")
            if self.gaps[j] not in SPACES or word in self.lexicon.entries:
                break
            if grammar.head(word) == PERSON:
                last = word
            elif j > i + 1 or not self._may_modify(word):  # "construction" in "woman construction worker"
                break
        return bool(last) and is_plural(last) == entry.plural and last not in ("police", "security", "graphic")

    def _may_modify(self, word: str) -> bool:
        grammar = self.grammar
        if grammar.head(word) or word in grammar.function_words or word in grammar.verbs or word in grammar.past:
            return False
        return word.isalpha() and plain_form(word) is None and not word.endswith(("ed", "ing", "ly"))

    # Adjectives

    def _adjective(self, i: int, tail: str) -> tuple[str, str, float]:
        """(role, reason to keep it, confidence) of a word such as "male", which is an adjective or a noun."""
        if tail:
            return "noun", "", 1.0
        lower = self.lower
        j = i + 1
        if j + 1 < len(lower) and lower[j] in _AND and self._is_adjective(j + 1):
            return self._adjective(j + 1, "") if self._kind_after(j + 1) else ("noun", "", 0.9)
        if j < len(lower) and self.gaps[j] == "/" and self._is_adjective(j):
            return self._adjective(j, "")
        kind = self._kind_after(i)
        if kind in (PERSON, GROUP, BODY):
            return "dropped", "", 1.0
        if kind in (ANIMAL, THING):
            return "", kind, 1.0
        after = lower[j] if j < len(lower) and self.gaps[j] in SPACES else ""
        if not after or after in self.grammar.function_words or after.endswith(("ing", "ly", "ed")):
            return "noun", "", 0.9
        if after in self.grammar.verbs or plain_form(after) in self.grammar.verbs:
            return "noun", "", 0.9
        return "", "unclear", 0.0

    def _is_adjective(self, j: int) -> bool:
        entry = self.lexicon.entries.get(self.lower[j])
        return entry is not None and entry.kind == "adjective"

    def _kind_after(self, i: int) -> str:
        """What the noun names that the adjective at `i` belongs to; empty where none is found."""
        found = ""
        for j in range(i + 1, min(i + 5, len(self.lower))):
            if self.gaps[j] not in SPACES and self.gaps[j] != "-":
                break
            word = self.lower[j].removesuffix("'s")
            entry = self.lexicon.entries.get(word)
            if word in self.grammar.function_words:
                break
            kind = PERSON if entry is not None and entry.kind == "noun" else self._head(word)
            if kind:
                found = kind
            elif (
                found
                or (word.endswith("s") and plain_form(word) in self.grammar.verbs)
                or (word.endswith("ing") and not self._modifies(j))
            ):
                break
        return found

    def _modifies(self, j: int) -> bool:
        """ "building" in "a male building inspector", but not "teaching" in "a male teaching students"."""
        after = self.lower[j + 1] if j + 1 < len(self.lower) and self.gaps[j + 1] in SPACES else ""
        return self.lower[j] in self.grammar.modifiers and self.grammar.head(after) == PERSON

    def _head(self, word: str) -> str:
        return self.grammar.head(word) or (PERSON if word in _persons() else "")


@lru_cache(maxsize=1)
def _persons() -> frozenset[str]:
    # a word for a person in another attribute's lexicon is a person all the same: "an old woman", "a white man"
    return frozenset(word for word, entry in load_lexicon("gender-en").entries.items() if entry.kind == "noun")
