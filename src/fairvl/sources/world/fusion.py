"""A world for models that read image and text together, whose bias amplification is known in closed form.

Six things are held by men and women in planted shares; whether a person is a man or a woman shows in a share of the
scenes; in some scenes the thing is hidden. A model that learned the world guesses the more frequent answer where it
sees nothing, and how much that amplifies follows from the plan alone. Near-ties (a share within a few points of one
half) make a trained model's guess a coin flip: `FusionWorld` takes them, but a test on them says nothing.

Scenes are drawn by quota, not by chance: every cell of (thing, gender, shown, hidden, word) holds its expected number,
rounded, so that a set of a few hundred scenes already has the planned shares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .fusion_drawing import COLOURS, OBJECTS, PLACES, draw_scenes

WORDS = ("man", "woman", "person")
FORMS = ("a {who} holds a {colour} {thing} in the {place}", "a {who} with a {colour} {thing} in the {place}")
ASKED = ("thing", "colour", "place")
QUESTIONS = ("what does the {who} hold", "what colour does the {who} hold", "where is the {who}")
SPLITS = ("train", "test", "questions", "asked", "gallery", "gallery test")  # disjoint streams of chance

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class FusionWorld:
    """The plan. Things are equally frequent; colour and place are free of everything.

    Attributes
    ----------
    man : tuple of float
        P(man | thing), one of each of `OBJECTS`; none may be one half.
    cue : float
        Share of scenes in which it shows whether the person is a man or a woman.
    hidden : float
        Share of scenes in which the thing is in a parcel.
    unnamed : float
        Share of captions (and questions) that say "person".
    """

    man: tuple[float, ...] = (0.8, 0.7, 0.6, 0.4, 0.3, 0.2)
    cue: float = 0.6
    hidden: float = 0.2
    unnamed: float = 0.15

    def __post_init__(self) -> None:
        shares = (*self.man, self.cue, self.hidden, self.unnamed)
        if len(self.man) != len(OBJECTS) or not all(0 <= share <= 1 for share in shares):
            raise InputError(
                f"man={self.man}, cue={self.cue}, hidden={self.hidden}, unnamed={self.unnamed}; expected "
                f"{len(OBJECTS)} shares of men and three other shares, all in [0, 1]."
            )
        if 0.5 in self.man:
            raise InputError(f"man={self.man}: at one half there is no more frequent gender to guess. Move it away.")

    def scenes(self, n: int, seed: int, *, split: str = "train") -> Scenes:
        """`n` scenes by quota, in random order."""
        return _drawn(self, n, _stream(seed, split), seed, SPLITS.index(split))

    def gallery(self, seed: int, *, split: str = "gallery test", triples: int = 96) -> Scenes:
        """Scenes for retrieval in which every caption fits one scene alone.

        So many triples of thing, colour and place (there are 96), each once; two in three with a man in one scene and a
        woman in another, both of whom show, the others with one person whose caption does not name a gender. Nothing is
        hidden.
        """
        if not 3 <= triples <= np.prod(_SIZES):
            raise InputError(f"triples={triples}; expected 3 to {np.prod(_SIZES)}.")
        rng = _stream(seed, split)
        whole = np.stack([a.ravel() for a in np.meshgrid(*map(range, _SIZES), indexing="ij")])
        thing, colour, place = (
            whole if triples == whole.shape[1] else whole[:, rng.permutation(whole.shape[1])[:triples]]
        )
        named = np.zeros(len(thing), bool)
        named[rng.permutation(len(thing))[: 2 * len(thing) // 3]] = True
        rows = np.concatenate([np.flatnonzero(named), np.flatnonzero(named), np.flatnonzero(~named)])
        pairs = int(named.sum())
        kind = np.repeat([0, 1, 2], [pairs, pairs, len(rows) - 2 * pairs])
        chance = rng.random(len(rows)) >= np.asarray(self.man)[thing[rows]]
        order = rng.permutation(len(rows))
        rows, kind = rows[order], kind[order]
        chance, shows = chance[order], (rng.random(len(rows)) < self.cue)
        return Scenes(
            thing[rows], colour[rows], place[rows], np.where(kind < 2, kind == 1, chance), (kind < 2) | shows,
            np.zeros(len(rows), bool), kind, rng.integers(0, len(FORMS), len(rows)), seed, SPLITS.index(split),
        )  # fmt: skip


_SIZES = (len(OBJECTS), len(COLOURS), len(PLACES))


@dataclass(frozen=True, eq=False)
class Scenes:
    """Scenes as columns: codes of thing, colour and place; woman, cue (it shows), hidden; the word that names them."""

    thing: Codes
    colour: Codes
    place: Codes
    woman: Flags
    cue: Flags
    hidden: Flags
    word: Codes
    form: Codes
    seed: int
    split: int

    def __len__(self) -> int:
        return len(self.thing)

    def pictures(self) -> NDArray[np.uint8]:
        """The scenes drawn, ``uint8 [n, 24, 24, 3]``."""
        return draw_scenes(
            self.thing, self.colour, self.place, self.woman, self.cue, self.hidden, self.seed, split=self.split
        )

    @property
    def ids(self) -> list[str]:
        """A name of each scene, unique over seeds and splits."""
        return [f"{SPLITS[self.split].replace(' ', '-')}-{self.seed}-{i:05d}" for i in range(len(self))]

    @property
    def groups(self) -> list[str]:
        """The group that each caption names: male, female or neutral."""
        return [("male", "female", "neutral")[word] for word in self.word]

    def captions(self, who: str | None = None) -> list[str]:
        """One caption each; `who` in place of the word that names the person."""
        return [
            FORMS[form].format(who=who or WORDS[word], thing=OBJECTS[t], colour=COLOURS[c], place=PLACES[p])
            for form, word, t, c, p in zip(self.form, self.word, self.thing, self.colour, self.place, strict=True)
        ]

    def questions(self, kind: str = "thing") -> list[str]:
        """A question about the thing, the colour or the place of each scene, with the word that names the person."""
        return [QUESTIONS[ASKED.index(kind)].format(who=WORDS[word]) for word in self.word]

    def answers(self, kind: str = "thing") -> list[str]:
        """The right answers."""
        names = {"thing": (self.thing, OBJECTS), "colour": (self.colour, COLOURS), "place": (self.place, PLACES)}
        codes, words = names[kind]
        return [words[code] for code in codes]


def vocabulary() -> list[str]:
    """Every word that captions, their neutral versions and questions use, sorted."""
    texts = [*FORMS, *QUESTIONS]
    words = {word for text in texts for word in text.split() if "{" not in word}
    return sorted(words | {*WORDS, *OBJECTS, *COLOURS, *PLACES})


def candidates() -> list[str]:
    """Every answer to every question."""
    return [*OBJECTS, *COLOURS, *PLACES]


def _stream(seed: int, split: str) -> np.random.Generator:
    if split not in SPLITS:
        raise InputError(f"split={split!r}; expected one of {SPLITS}.")
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(1000 + SPLITS.index(split),)))


def _drawn(world: FusionWorld, n: int, rng: np.random.Generator, seed: int, split: int) -> Scenes:
    if n < 1:
        raise InputError(f"n={n}; expected at least one scene.")
    shares = np.array(world.man)
    tables = (np.stack([shares, 1 - shares], 1), _two(world.cue), _two(world.hidden), _two(world.unnamed))
    expected = n / len(OBJECTS) * tables[0]
    for table in tables[1:]:
        expected = expected[..., None] * table
    counts = np.floor(expected).astype(np.int64).ravel()
    part = expected.ravel() - counts + rng.random(counts.size) * 1e-9  # ties by chance
    counts[np.argsort(-part)[: n - counts.sum()]] += 1
    cells = np.repeat(np.arange(counts.size), counts)[rng.permutation(n)]
    thing, woman, cue, hidden, unnamed = np.unravel_index(cells, expected.shape)
    return Scenes(
        thing.astype(np.int64), rng.integers(0, len(COLOURS), n), rng.integers(0, len(PLACES), n), woman == 1,
        cue == 0, hidden == 0, np.where(unnamed == 0, 2, woman).astype(np.int64), rng.integers(0, len(FORMS), n),
        seed, split,
    )  # fmt: skip


def _two(share: float) -> NDArray[np.float64]:
    return np.array([share, 1 - share])


# -- what a model that has learned the world does ---------------------------------------------------------------------


def best_gender(world: FusionWorld, scenes: Scenes) -> Codes:
    """0 (man) or 1 (woman) as the best guess from the picture and a caption that names the thing."""
    frequent = np.asarray(world.man) < 0.5
    return np.where(scenes.cue, scenes.woman, frequent[scenes.thing]).astype(np.int64)


def best_thing(world: FusionWorld, scenes: Scenes) -> Codes:
    """The best guess of the thing from the picture and a question that names the person; first of several best."""
    man = np.asarray(world.man)
    known = np.where(scenes.word < 2, scenes.word, np.where(scenes.cue, scenes.woman, 2))
    guess = np.array([np.argmax(man), np.argmin(man), 0])
    return np.where(scenes.hidden, guess[known], scenes.thing).astype(np.int64)


def pretrained_amplification(world: FusionWorld) -> float:
    """T->A amplification of the best guess of the masked person word.

    Where the person shows, the guess is right; elsewhere (a share 1 - c) it is the thing's more frequent gender:
    ``(1 - c) mean_t s_t (1[p_t > 1/2] - p_t)`` with ``s_t = sign(p_t - mean p)``. When half of all people are men this
    is ``(1 - c) mean_t min(p_t, 1 - p_t)``.

    Examples
    --------
    >>> round(pretrained_amplification(FusionWorld()), 12)
    0.12
    """
    p = np.asarray(world.man)
    return float((1 - world.cue) * np.mean(_signs(world) * ((p > 0.5) - p)))


def erased_amplification(world: FusionWorld) -> float:
    """T->A amplification of a model that names no gender: ``mean_t s_t (1 - 2 p_t) / 2``.

    Examples
    --------
    >>> round(erased_amplification(FusionWorld()), 12)
    -0.2
    """
    return float(np.mean(_signs(world) * (1 - 2 * np.asarray(world.man)) / 2))


def answer_amplification(world: FusionWorld) -> float:
    """A->T amplification of the best answers to "what does the man / woman hold?".

    A hidden thing (a share h) is guessed as the gender's most frequent one t*: per gender and thing the change is
    ``h (1[t = t*] - P(t | a))``; its mean with the signs of P(a, t) - P(a) P(t). Which of several best things is
    guessed changes nothing, as long as all of them lean to the gender.

    Examples
    --------
    >>> round(answer_amplification(FusionWorld(hidden=0.5)), 12)
    0.05
    """
    signed = []
    for share, sign in ((np.asarray(world.man), 1), (1 - np.asarray(world.man), -1)):
        given = share / share.sum()
        guessed = np.eye(len(share))[np.argmax(share)]
        signed.append(sign * _signs(world) * world.hidden * (guessed - given))
    return float(np.mean(signed))


def answer_scores(world: FusionWorld) -> dict[str, float]:
    """Share of right answers of the best guess to "what does the ... hold?", by the group that the question names.

    Examples
    --------
    >>> {group: round(score, 4) for group, score in answer_scores(FusionWorld(hidden=0.5)).items()}
    {'male': 0.6333, 'female': 0.6333, 'neutral': 0.6133}
    """
    man = np.asarray(world.man)
    men = float(man.mean())
    best = {"male": float(man.max() / man.sum()), "female": float((1 - man).max() / (1 - man).sum())}
    best["neutral"] = world.cue * (men * best["male"] + (1 - men) * best["female"]) + (1 - world.cue) / len(man)
    return {group: 1 - world.hidden + world.hidden * right for group, right in best.items()}


def _signs(world: FusionWorld) -> NDArray[np.float64]:
    p = np.asarray(world.man)
    difference = p - p.mean()
    return np.where(np.abs(difference) < 1e-12, 0.0, np.sign(difference))


SETTINGS = {
    "spec": FusionWorld(),
    "stronger": FusionWorld(man=(0.9, 0.8, 0.7, 0.3, 0.2, 0.1), cue=0.2),
    "shown": FusionWorld(cue=1.0),
}
"""The specification's own setting (0.12), a stronger one (0.16), and one in which the person always shows (0)."""
ASKING = replace(SETTINGS["spec"], hidden=0.5)
"""The world of the questions: half of the things are hidden, so that guesses matter."""
