"""English as the rules need it: closed word classes, what a noun names, forms of verbs, a or an."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..documents import read_document

PERSON, BODY, ANIMAL, THING, GROUP = "person", "body", "animal", "thing", "group"


@dataclass(frozen=True)
class Grammar:
    """Word classes of one language as sets of small-letter forms."""

    determiners: frozenset[str]
    possessives: frozenset[str]
    prepositions: frozenset[str]
    conjunctions: frozenset[str]
    auxiliaries: frozenset[str]
    pronouns: frozenset[str]
    adverbs: frozenset[str]
    ly_adjectives: frozenset[str]
    verbs: frozenset[str]
    nounlike: frozenset[str]
    plain_verbs: frozenset[str]  # verbs whose form in -s is hardly ever a noun
    bare_verb_after: frozenset[str]
    two_objects_after: frozenset[str]
    an_before: frozenset[str]
    a_before: tuple[str, ...]
    perfect: frozenset[str]
    past: frozenset[str]
    demonyms: frozenset[str]
    foreign: frozenset[str]
    modifiers: frozenset[str]
    function_words: frozenset[str]
    heads: dict[str, str]
    endings: tuple[str, ...]

    def head(self, word: str) -> str:
        """What the noun `word` names: "person", "body", "animal", "thing", "group", or "" when not known."""
        return self.heads.get(word) or self._by_ending(word)

    def _by_ending(self, word: str) -> str:
        single = word[:-1] if word.endswith("s") else word
        return PERSON if len(single) > 5 and single.endswith(self.endings) else ""

    def takes_an(self, word: str) -> bool:
        """Whether the indefinite article before `word` is "an"."""
        lower = word.lower()
        if lower in self.an_before:
            return True
        if lower[:1] not in "aeiou":
            return False
        if lower.startswith(("unim", "unin", "unid")):
            return True
        return not (lower in self.a_before or lower.startswith(("uni", "eu", "use")))


@lru_cache(maxsize=1)
def english() -> Grammar:
    """The shipped English word classes."""
    words, _, _ = read_document("grammar-en", "lexicon", __package__, "lexicons")
    nouns, _, _ = read_document("heads-en", "lexicon", __package__, "lexicons")
    sets = {
        key: frozenset(value.split())
        for key, value in words.items()
        if key not in ("id", "name", "version", "language", "source", "licence", "a_before")
    }
    function_words = (
        sets["determiners"] | sets["possessives"] | sets["prepositions"] | sets["conjunctions"] | sets["auxiliaries"]
        | sets["pronouns"] | sets["adverbs"]
    )  # fmt: skip
    heads: dict[str, str] = {}
    for key, kind in (
        ("persons", PERSON), ("collectives", GROUP), ("body", BODY), ("animals", ANIMAL), ("things", THING),
    ):  # fmt: skip
        for word in nouns[key].split():
            for form in (word, *plurals(word)):
                heads[form] = kind
    heads["people"] = PERSON
    for key in ("bare_verb_after", "two_objects_after"):
        sets[key] = frozenset(form for verb in sets[key] for form in verb_forms(verb))
    return Grammar(
        **sets, plain_verbs=sets["verbs"] - sets["nounlike"], a_before=tuple(words["a_before"].split()),
        function_words=function_words, heads=heads,
        endings=tuple(nouns["endings"].split()),
    )  # fmt: skip


def verb_forms(verb: str) -> tuple[str, ...]:
    """Every form of a verb."""
    past, participle = _IRREGULAR.get(verb, (verb + ("d" if verb.endswith("e") else "ed"),) * 2)
    third = {"have": "has"}.get(verb) or plurals(verb)[0]
    stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
    return verb, third, past, participle, stem + ("ting" if verb == "let" else "ing")


def plurals(word: str) -> tuple[str, ...]:
    """The regular plural of a noun."""
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return (word[:-1] + "ies",)
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return (word + "es",)
    return (word + "s",)


def is_plural(word: str) -> bool:
    """Whether a noun is plural by its form."""
    return word in ("people", "children", "men", "women", "police", "personnel", "staff") or (
        word.endswith("s") and not word.endswith(("ss", "us", "is"))
    )


_IRREGULAR = {
    "give": ("gave", "given"), "see": ("saw", "seen"), "make": ("made", "made"), "bring": ("brought", "brought"),
    "buy": ("bought", "bought"), "send": ("sent", "sent"), "feel": ("felt", "felt"), "hear": ("heard", "heard"),
    "have": ("had", "had"), "let": ("let", "let"),
}  # fmt: skip
_BASES = {
    "is": "are", "was": "were", "has": "have", "does": "do", "goes": "go", "isn't": "aren't", "wasn't": "weren't",
    "hasn't": "haven't", "doesn't": "don't", "undergoes": "undergo", "dies": "die", "lies": "lie", "ties": "tie",
    "unties": "untie", "aches": "ache", "tiptoes": "tiptoe", "canoes": "canoe", "hoes": "hoe", "focuses": "focus",
    "quizzes": "quiz", "waltzes": "waltz", "overdoes": "overdo", "redoes": "redo", "outdoes": "outdo", "vies": "vie",
    "skis": "ski", "says": "say",
}  # fmt: skip
AUXILIARIES = ("is", "was", "has", "does", "isn't", "wasn't", "hasn't", "doesn't")
_NO_VERB_IN_S = frozenset(
    """
    its his this thus us plus yes less unless hers ours theirs yours as perhaps besides afterwards towards always
    sometimes across alas whereas backwards forwards upwards downwards sideways nowadays indoors outdoors upstairs
    downstairs
    """.split()  # noqa: SIM905 - a list of words reads better unquoted
)


def plain_form(verb: str) -> str | None:
    """The form that goes with "they" of a verb in the third person singular; None for any other word.

    Examples
    --------
    >>> [plain_form(word) for word in ("carries", "watches", "is", "uses", "kiss", "walked")]
    ['carry', 'watch', 'are', 'use', None, None]
    """
    if (known := _BASES.get(verb)) is not None:
        return known
    if len(verb) < 4 or not verb.endswith("s") or verb.endswith(("ss", "us", "is", "'s")) or verb in _NO_VERB_IN_S:
        return None
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if verb.endswith(("sses", "shes", "xes", "zzes", "ches", "oes")):
        return verb[:-2]
    return verb[:-1]
