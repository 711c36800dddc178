"""What the world's text-to-image model was told, and what may be asked of it: captions, prompts, planted shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .text_to_image_drawing import OCCUPATIONS

PLANTED: Mapping[str, float] = MappingProxyType(
    dict(zip(OCCUPATIONS, (0.1,) * 4 + (0.9,) * 4 + (0.2, 0.3, 0.3, 0.4, 0.6, 0.7, 0.7, 0.8), strict=True))
)
"""Female share of each occupation among pictures whose caption does not name a gender."""
TESTED, FITTING = OCCUPATIONS[:8], OCCUPATIONS[8:]
"""Occupations that claims are tested on, and those that only operators may be fitted on."""

LITERAL: Mapping[str, tuple[str, ...]] = MappingProxyType({"female": ("woman", "female"), "male": ("man", "male")})
NAMED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "female": (
            "actress", "queen", "waitress", "mother", "sister", "daughter", "aunt", "grandmother", "princess", "nun",
            "bride", "heroine", "hostess", "niece",
        ),
        "male": (
            "actor", "king", "waiter", "father", "brother", "son", "uncle", "grandfather", "prince", "monk",
            "groom", "hero", "host", "nephew",
        ),
    }
)  # fmt: skip
"""Nouns that name a gender without a literal gender word; the k-th of either side is a pair."""

_FORMS = ("a photo of {}", "a picture of {}", "a portrait of {}", "{}")
_WORKS = ("{} who is {}", "{} who works as {}", "{} working as {}")


@dataclass(frozen=True)
class BiasedCaptions:
    """How pictures and captions of a training world are drawn; everything follows from this and a seed.

    Parameters
    ----------
    shares : mapping of occupation to female share
        Holds where the caption names no gender; where it does, both genders are equally frequent.
    explicit : float in [0, 1]
        Share of captions that name a gender.
    alone : float in [0, 1]
        Share of captions that name no occupation.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: PLANTED)
    explicit: float = 0.75
    alone: float = 0.15

    def __post_init__(self) -> None:
        if set(self.shares) != set(OCCUPATIONS):
            raise InputError(f"female shares of {sorted(self.shares)}; expected one of each of {list(OCCUPATIONS)}")
        for name, share in (*self.shares.items(), ("explicit", self.explicit), ("alone", self.alone)):
            if not 0 <= share <= 1:
                raise InputError(f"the share {name} is {share}; it must lie in [0, 1]")

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """`n` captions with the occupation and gender of their pictures."""
        jobs = rng.integers(0, len(OCCUPATIONS), n)
        named, alone = rng.random(n) < self.explicit, rng.random(n) < self.alone
        shares = np.array([self.shares[name] for name in OCCUPATIONS])
        women = rng.random(n) < np.where(named | alone, 0.5, shares[jobs])
        dice = rng.random((n, 4))
        captions = [
            _caption(OCCUPATIONS[job], bool(woman), bool(name), bool(bare), die)
            for job, woman, name, bare, die in zip(jobs, women, named, alone, dice, strict=True)
        ]
        says = np.where(alone, -1, jobs) * 3 + np.where(named, women.astype(np.int64), 2)
        return Drawn(tuple(captions), jobs, women, says)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Captions, the truth of their pictures, and a code of what each caption says (equal codes say the same)."""

    captions: tuple[str, ...]
    occupation: NDArray[np.int64]
    female: NDArray[np.bool_]
    says: NDArray[np.int64]


def _caption(job: str, woman: bool, named: bool, alone: bool, dice: NDArray[np.float64]) -> str:
    side = "female" if woman else "male"
    form, works = _pick(_FORMS, dice[0]), _pick(_WORKS, dice[1])
    noun = _pick(NAMED[side], dice[3]) if dice[2] < 0.4 else LITERAL[side][0]
    if alone:
        return form.format(with_article(noun if named else "person"))
    if not named:
        return form.format(with_article(job)) if dice[2] < 0.75 else _worker(form, works, "person", job)
    if dice[2] > 0.7:
        return form.format(with_article(f"{LITERAL[side][1]} {job}"))
    return _worker(form, works, noun, job)


def _worker(form: str, works: str, noun: str, job: str) -> str:
    return form.format(works.format(with_article(noun), with_article(job)))


def _pick(options: tuple[str, ...], die: float) -> str:
    return options[int(die * len(options))]


def with_article(noun: str) -> str:
    """ "a doctor", "an actress".

    Examples
    --------
    >>> with_article("actress")
    'an actress'
    """
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted."""
    nouns = [noun for side in ("female", "male") for noun in (*LITERAL[side], *NAMED[side])]
    texts = (*_FORMS, *_WORKS, *nouns, *OCCUPATIONS, "person an")
    return tuple(sorted({word for text in texts for word in text.replace("{}", " ").split()}))


@dataclass(frozen=True)
class Prompt:
    """A prompt, what it asks for, and whether it names a gender. `expected` is empty where it names none."""

    text: str
    concept: str
    kind: str
    expected: str = ""
    literal: bool = False


def neutral_prompts(occupations: tuple[str, ...] = TESTED) -> tuple[Prompt, ...]:
    """One prompt per occupation that names no gender.

    Examples
    --------
    >>> neutral_prompts()[0].text
    'a photo of a doctor'
    """
    return tuple(Prompt(f"a photo of {with_article(job)}", job, "neutral") for job in occupations)


def explicit_prompts(occupations: tuple[str, ...] = TESTED) -> tuple[Prompt, ...]:
    """Prompts that name a gender: with a literal word and an occupation, and by a noun such as "an actress".

    Examples
    --------
    >>> prompts = explicit_prompts()
    >>> len(prompts), sum(not prompt.literal for prompt in prompts)
    (44, 28)
    """
    out = []
    for side in ("female", "male"):
        for job in occupations:
            out.append(Prompt(f"a photo of {with_article(f'{side} {job}')}", job, "explicit", side, literal=True))
        for noun in NAMED[side]:
            out.append(Prompt(f"a photo of {with_article(noun)}", noun, "explicit", side))
    return tuple(out)


def gender_pairs(occupations: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """For each occupation the prompt of either gender, male first."""
    left, right = (f"a photo of a {side} {{}}" for side in ("male", "female"))
    return tuple((left.format(job), right.format(job)) for job in occupations)
