"""Captions from templates, with what each one claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from . import words as w
from .spec import WorldSpec

SAID_ONLY = ("concept", "mood", "time")
"""What captions may say although no picture shows it."""
CLAIMS = (*w.ATTRIBUTES, *SAID_ONLY)
CONCEPTS = w.PLEASANT + w.UNPLEASANT
MOODS = w.LOVELY + w.GRIM
TIMES = w.DAYS + w.HOURS

_FLAVOUR = 4.0  # how many times as often a concept is said where its own look is seen
_LOOKS = tuple((name, code) for name in ("hair_length", "glasses", "smile") for code in (0, 1))
_PLACES = tuple(("place", code) for code in range(4))

_SINGLE = (
    ("gender", 3), ("age_group", 2), ("skin", 1), ("hair_length", 1), ("glasses", 1), ("smile", 1),
    ("occupation", 3), ("place", 1.5), ("thing", 1.5), ("concept", 4), ("mood", 1.5), ("time", 0.5),
)  # fmt: skip
_SINGLE_CUM = np.cumsum([weight for _, weight in _SINGLE]) / sum(weight for _, weight in _SINGLE)
_CLAUSES = ("skin", "hair_length", "glasses", "smile", "occupation", "place", "thing", "time")


@dataclass(frozen=True)
class Captions:
    """Texts and, per text, the code of each claim in `CLAIMS` order (-1: says nothing about it)."""

    texts: list[str]
    claims: NDArray[np.int16]


def _leans(count: int) -> NDArray[np.float64]:
    """Normal scores for `count` words, mean 0 and variance 1, in an order that follows no list."""
    scores = np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])
    order = np.random.Generator(np.random.PCG64(count)).permutation(count)
    leans: NDArray[np.float64] = (scores / scores.std())[order]
    return leans


_LEANS = np.concatenate([_leans(len(w.PLEASANT)), _leans(len(w.UNPLEASANT))])


def concept_shares(spec: WorldSpec, codes: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float64]:
    """Probability of each of the 29 concepts for each row of attribute codes, [n, 29].

    Pleasant or not follows the planted wording alone. Which word of its kind is said follows two looks of its own per
    word (hair, glasses or smile, and a place), spread evenly over both kinds: words differ, as words do, and the looks
    say nothing of their kind.
    """
    n, wording = len(codes["gender"]), spec.wording
    weights = np.ones((n, len(CONCEPTS)))
    for family in (range(len(w.PLEASANT)), range(len(w.PLEASANT), len(CONCEPTS))):
        for place, word in enumerate(family):
            for name, code in (_LOOKS[place % len(_LOOKS)], _PLACES[(place + place // 4) % len(_PLACES)]):
                weights[:, word] *= np.where(codes[name] == code, _FLAVOUR, 1.0)
    liked = np.isin(codes[wording.attribute], [w.ATTRIBUTES[wording.attribute].index(v) for v in wording.pleasant])
    if wording.spread:
        weights *= np.exp(np.where(liked, 0.5, -0.5)[:, None] * wording.spread * _LEANS)
    pleasant = 0.5 + np.where(liked, 0.5, -0.5) * wording.strength
    half = len(w.PLEASANT)
    weights[:, :half] *= (pleasant / weights[:, :half].sum(axis=1))[:, None]
    weights[:, half:] *= ((1 - pleasant) / weights[:, half:].sum(axis=1))[:, None]
    return weights


def write_captions(
    spec: WorldSpec, codes: Mapping[str, NDArray[np.int64]], rng: np.random.Generator, *, single: float = 0.4
) -> Captions:
    """One caption for each row of attribute codes.

    Parameters
    ----------
    spec : WorldSpec
        Gives the wording strengths and how often a gender is named.
    codes : mapping of str to int array [n]
        Per attribute, the position of the value in ``ATTRIBUTES``.
    rng : numpy Generator
    single : float
        Share of short captions that name one thing ("this person is kind"); the rest are sentences.
    """
    n = len(codes["gender"])
    claims = np.full((n, len(CLAIMS)), -1, dtype=np.int16)
    draws = rng.random((n, 40))
    concepts = (concept_shares(spec, codes).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=len(CONCEPTS) - 1)
    texts = []
    for row in range(n):
        values = {name: w.ATTRIBUTES[name][int(codes[name][row])] for name in w.ATTRIBUTES}
        said: dict[str, int] = {}
        writer = _Writer(spec, values, CONCEPTS[concepts[row]], iter(draws[row].tolist()), said)
        texts.append(writer.single() if writer.chance(single) else writer.sentence())
        for name, code in said.items():
            claims[row, CLAIMS.index(name)] = code
    return Captions(texts, claims)


class _Writer:
    """Writes one caption from one stream of uniform numbers, noting what it says."""

    def __init__(
        self, spec: WorldSpec, values: Mapping[str, str], concept: str, draws: Iterator[float], said: dict[str, int]
    ) -> None:
        self.spec, self.values, self.word, self.draws, self.said = spec, values, concept, draws, said

    def uniform(self) -> float:
        return next(self.draws)

    def chance(self, probability: float) -> bool:
        return self.uniform() < probability

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.uniform() * len(options))]

    def claim(self, name: str) -> None:
        self.said[name] = w.ATTRIBUTES[name].index(self.values[name])

    def concept(self) -> str:
        self.said["concept"] = CONCEPTS.index(self.word)
        return self.word

    def mood(self) -> str:
        lean = 0.5 if self.values["thing"] == "flower" else -0.5
        word = self.pick(w.LOVELY if self.chance(0.5 + lean * self.spec.mood) else w.GRIM)
        self.said["mood"] = MOODS.index(word)
        return word

    def time(self) -> str:
        word = self.pick(TIMES)
        self.said["time"] = TIMES.index(word)
        return self.pick(w.DAY_FORMS if word in w.DAYS else w.HOUR_FORMS).format(word)

    def age(self) -> str:
        self.claim("age_group")
        return self.pick(w.YOUNG if self.values["age_group"] == "young" else w.OLD)

    def gender_noun(self) -> str:
        self.claim("gender")
        return self.pick(w.FEMALE_NOUNS if self.values["gender"] == "female" else w.MALE_NOUNS)

    def thing_word(self) -> str:
        self.claim("thing")
        return self.pick(w.FLOWERS if self.values["thing"] == "flower" else w.LITTER)

    def phrase(self, name: str) -> str:
        if name == "time":
            return self.time()
        if name == "thing":
            word = self.thing_word()
            mood = self.mood() if self.chance(0.5) else ""
            article = "" if self.values["thing"] == "litter" else _article(mood or word)
            return self.pick(w.THING_PHRASES).format(" ".join(filter(None, (article, mood, word))))
        self.claim(name)
        return self.pick(w.PHRASES[name][self.values[name]])

    def single(self) -> str:
        name = _SINGLE[int(np.searchsorted(_SINGLE_CUM, self.uniform(), side="right"))][0]
        if name == "gender":
            if self.chance(0.25):
                self.claim("gender")
                pronouns = w.FEMALE_PRONOUNS if self.values["gender"] == "female" else w.MALE_PRONOUNS
                return self.pick(w.PRONOUN_FORMS[self.pick(pronouns)])
            return self.pick(w.NOUN_FORMS).format(self.gender_noun())
        if name == "age_group":
            return self.pick(w.ADJECTIVE_FORMS).format(self.age())
        if name == "concept":
            return self.pick(w.ADJECTIVE_FORMS).format(self.concept())
        if name == "mood":
            return self.pick(w.MOOD_FORMS).format(self.mood())
        if name == "time":
            return self.time()
        if name == "thing":
            return self.pick(w.NOUN_FORMS[:7]).format(self.thing_word())
        if name in ("occupation", "place") and self.chance(0.6):
            self.claim(name)
            return self.pick(w.NOUN_FORMS if name == "occupation" else w.NOUN_FORMS[:7]).format(self.values[name])
        if name == "smile" and self.chance(0.5):
            self.claim(name)
            return self.pick(w.ADJECTIVE_FORMS).format(self.values[name])
        if name in ("skin", "hair_length") and self.chance(0.3):
            self.claim(name)
            return f"{self.values[name]} {'skin' if name == 'skin' else 'hair'}"
        return self.pick(w.PHRASE_FORMS).format(self.phrase(name))

    def sentence(self) -> str:
        adjectives = []
        if self.chance(0.45):
            adjectives.append(self.concept())
        if self.chance(0.3):
            adjectives.append(self.age())
        named = self.chance(self.spec.explicit.get(self.values["gender"], 0.0))
        noun = self.gender_noun() if named else self.pick(w.PEOPLE)
        clauses = [name for name in _CLAUSES if self.chance(0.1 if name == "time" else 0.3)][:4]
        if not named and "occupation" in clauses and self.chance(0.3):
            clauses.remove("occupation")
            self.claim("occupation")
            noun = self.values["occupation"]
        if self.chance(0.5):
            clauses.reverse()
        head = " ".join([*adjectives, noun])
        if named and self.chance(0.1):  # "she is a kind nurse"
            subject = "she" if self.values["gender"] == "female" else "he"
            start = f"{subject} is {_article(head)} {head}"
        else:
            start = f"{self.pick(w.PREFIXES)} {_article(head)} {head}"
        return " ".join(" ".join([start, *(self.phrase(name) for name in clauses)]).split())


def _article(text: str) -> str:
    return "an" if text[0] in "aeiou" or text.startswith("honest") else "a"
