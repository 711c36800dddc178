"""Verbs that must change when "he" or "she" becomes "they"."""

from __future__ import annotations

from collections.abc import Iterator

from ...sources.captions.grammar import AUXILIARIES, Grammar, plain_form
from ...sources.captions.parsing import Tags
from ...sources.captions.tokens import Tokens

Change = tuple[int, str, float]  # word, new form in small letters, confidence
_STOPS = frozenset('.!?;:()[]…—–"“”')
_SUBJECTS = frozenset(["i", "he", "she", "it", "we", "they", "you", "who"])
_JOINERS = frozenset(["and", "or", "but", "then"])
_NO_SUBORDINATORS = frozenset(["and", "or", "but", "nor", "yet", "so"])
_BETWEEN = frozenset(["both", "all", "himself", "herself", "each", "then", "never", "not"])
_WEAK_CUES = frozenset(["in", "on", "of", "for", "with", "from"])


def agreeing_verbs(
    tokens: Tokens, first: int, last: int, grammar: Grammar, tags: Tags | None = None
) -> Iterator[Change]:
    """Changes for a subject that spans the words `first` to `last`: the inverted auxiliary, or the verbs after it."""
    lower = tokens.lower
    verb = _after_adverbs(tokens, last + 1, grammar)
    if verb is not None and lower[verb] == "who":  # he who laughs
        verb = _after_adverbs(tokens, verb + 1, grammar)
    if first and tokens.gaps[first] == " " and lower[first - 1] in AUXILIARIES:
        statement = verb is not None and plain_form(lower[verb]) in grammar.plain_verbs
        if not statement:
            yield first - 1, plain_form(lower[first - 1]) or "", 1.0
            return
    if verb is None:
        return
    word = lower[verb]
    form = plain_form(word)
    if form is None or (word in grammar.function_words and word not in grammar.auxiliaries):
        return
    yield verb, form, 1.0 if word in AUXILIARIES or form in grammar.verbs else 0.9
    yield from _joined_verbs(tokens, verb, grammar, tags)


def _after_adverbs(tokens: Tokens, j: int, grammar: Grammar) -> int | None:
    for k in range(j, min(j + 4, len(tokens.words))):
        if not tokens.gaps[k].isspace():
            return None
        word = tokens.lower[k]
        if word in grammar.adverbs or word in _BETWEEN or (word.endswith("ly") and word not in grammar.ly_adjectives):
            continue
        return k
    return None


def _joined_verbs(tokens: Tokens, verb: int, grammar: Grammar, tags: Tags | None) -> Iterator[Change]:
    """Further verbs of the same subject: "sits on a bench and reads a book"."""
    lower, gaps = tokens.lower, tokens.gaps
    k, after_phrase = verb + 1, False
    while k < len(lower):
        word = lower[k]
        if not _STOPS.isdisjoint(gaps[k]) or word in _SUBJECTS:
            return
        if word in grammar.conjunctions and word not in _NO_SUBORDINATORS:
            return
        if word in _JOINERS or "," in gaps[k]:
            start = k + 1 if word in _JOINERS else k
            candidate = _after_adverbs(tokens, start, grammar) if word in _JOINERS else k
            if candidate is not None and (confidence := _is_verb(tokens, candidate, k - 1 == verb, grammar, tags)):
                yield candidate, plain_form(lower[candidate]) or "", confidence
                verb, k, after_phrase = candidate, candidate, False
            elif start < len(lower) and (
                lower[start] in grammar.determiners or lower[start] in grammar.possessives or lower[start] in ("her",)
            ):
                after_phrase = True  # an object, or the subject of a new clause: its verb decides
        elif after_phrase and plain_form(word) in grammar.verbs and plain_form(word) not in grammar.nounlike:
            return
        k += 1


def _is_verb(tokens: Tokens, k: int, directly: bool, grammar: Grammar, tags: Tags | None) -> float:
    """How surely the word is a verb in the third person here; 0 where it is none, or rather a plural noun."""
    word = tokens.lower[k]
    base = plain_form(word)
    if base is None or (word in grammar.function_words and word not in AUXILIARIES):
        return 0.0
    if word in AUXILIARIES:
        return 1.0
    if tags is not None and (tag := tags.get(tokens.starts()[k], "")) in ("VBZ", "NNS"):
        return 0.95 if tag == "VBZ" else 0.0
    j = k + 1
    after = tokens.lower[j] if j < len(tokens.words) and tokens.gaps[j].isspace() else ""
    takes_object = after in grammar.determiners or after in grammar.possessives or after in ("his", "her", "him")
    if base not in grammar.verbs:
        return 0.7 if takes_object and not grammar.head(word) else 0.0
    if base not in grammar.nounlike:
        return 0.95
    if takes_object:
        return 0.9
    if after in _WEAK_CUES and k >= 2 and tokens.lower[k - 2].endswith("s") and not directly:
        return 0.0
    if after == "of":
        return 0.0
    if after in grammar.function_words or after.endswith("ly"):
        return 0.8
    if not after and (directly or _in_series(tokens, k, grammar)):
        return 0.7
    return 0.0


def _in_series(tokens: Tokens, k: int, grammar: Grammar) -> bool:
    """Whether the word stands between commas before another verb: "takes a photo, smiles, and walks away"."""
    if "," not in tokens.gaps[k] or k + 2 >= len(tokens.words) or "," not in tokens.gaps[k + 1]:
        return False
    return tokens.lower[k + 1] == "and" and plain_form(tokens.lower[k + 2]) in grammar.verbs
