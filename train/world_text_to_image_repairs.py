"""The repairs that the experiment compares, each from text states alone: states of prompts -> states to draw from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from world_text_to_image_drawer import Drawer

from fairvl.repair.debias import Bypass, BypassOperator, CalibratedProjection, Leace, Operator, OrthogonalProjection
from fairvl.sources.world.text_to_image import LITERAL, NAMED, gender_pairs, with_article

Repair = Callable[[np.ndarray, list[str]], np.ndarray]


@dataclass(frozen=True, eq=False)
class Pairs:
    """States at end-of-text of the prompt pairs of some occupations."""

    drawer: Drawer
    occupations: tuple[str, ...]

    @cached_property
    def texts(self) -> tuple[list[str], list[str]]:
        male, female = zip(*gender_pairs(self.occupations), strict=True)
        return list(male), list(female)

    def at_end(self, texts: list[str]) -> np.ndarray:
        return self.drawer.states(texts)[np.arange(len(texts)), self.drawer.end(texts)]

    @cached_property
    def male(self) -> np.ndarray:
        return self.at_end(self.texts[0])

    @cached_property
    def female(self) -> np.ndarray:
        return self.at_end(self.texts[1])

    @cached_property
    def axis(self) -> np.ndarray:
        """Unit mean difference, female minus male."""
        mean = (self.female - self.male).mean(0)
        return mean / np.linalg.norm(mean)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Mean coordinates of the male and the female prompts on the axis."""
        return float((self.male @ self.axis).mean()), float((self.female @ self.axis).mean())

    def position(self, texts: list[str]) -> np.ndarray:
        """0 where the male prompts lie on average, 1 where the female ones do."""
        low, high = self.ends
        return (self.at_end(texts) @ self.axis - low) / (high - low)


def on_tokens(drawer: Drawer, operator: Callable[[np.ndarray], np.ndarray], tokens: str = "all") -> Repair:
    """`operator` on every token, on the first end-of-text token, or from it on."""

    def repair(states: np.ndarray, texts: list[str]) -> np.ndarray:
        changed = np.asarray(operator(states.reshape(-1, states.shape[-1]))).reshape(states.shape)
        place, end = np.arange(states.shape[1]), drawer.end(texts)[:, None]
        chosen = {"all": place >= 0 * end, "end": place == end, "from_end": place >= end}[tokens]
        return np.where(chosen[..., None], changed, states)

    return repair


def calibrated(pairs: Pairs, lam: float) -> Operator:
    """The paper's generative form, (I + lam M)^-1."""
    return CalibratedProjection(lam=lam).fit(None, pairs.male, pairs.female)


def orthogonal(pairs: Pairs, subspace: str = "pairs") -> Operator:
    return OrthogonalProjection(subspace=subspace).fit(
        np.concatenate([pairs.male, pairs.female]), pairs.male, pairs.female
    )


def leace(pairs: Pairs) -> Operator:
    n = len(pairs.occupations)
    return Leace().fit(np.concatenate([pairs.male, pairs.female]), ["male"] * n + ["female"] * n)


def along(pairs: Pairs, strength: float, shift: float = 0.0) -> Repair:
    """Move every prompt along the axis, from its end-of-text on, by one amount read off its own end-of-text state.

    Its position c (0 male, 1 female) becomes 0.5 + shift - strength * (c - 0.5). Strength 0 puts it on the middle
    plane; above 0 it goes beyond, against what the denoiser has learnt of the occupation on its own. The shift moves
    all prompts alike: the denoiser's own middle need not be that of the text.
    """
    low, high = pairs.ends

    def repair(states: np.ndarray, texts: list[str]) -> np.ndarray:
        found = (states[np.arange(len(texts)), pairs.drawer.end(texts)] @ pairs.axis - low) / (high - low)
        aims = 0.5 + shift - strength * (found - 0.5)
        return _moved(pairs, states, texts, (aims - found) * (high - low))

    return repair


def sides(pairs: Pairs, n: int, reach: float = 1.0) -> Repair:
    """Even pictures of a prompt to position 0.5 - reach, odd ones to 0.5 + reach: [prompts, n, tokens, d]."""
    low, high = pairs.ends

    def repair(states: np.ndarray, texts: list[str]) -> np.ndarray:
        found = (states[np.arange(len(texts)), pairs.drawer.end(texts)] @ pairs.axis - low) / (high - low)
        both = [_moved(pairs, states, texts, (aim - found) * (high - low)) for aim in (0.5 - reach, 0.5 + reach)]
        return np.stack([both[i % 2] for i in range(n)], axis=1)

    return repair


def _moved(pairs: Pairs, states: np.ndarray, texts: list[str], by: np.ndarray) -> np.ndarray:
    """Every state from end-of-text on by the prompt's own length along the axis."""
    after = np.arange(states.shape[1]) >= pairs.drawer.end(texts)[:, None]
    return states + after[..., None] * by[:, None, None] * pairs.axis


def mean_of_both(drawer: Drawer, occupations: list[str]) -> np.ndarray:
    """Mean of the states of the male and the female prompt."""
    male, female = zip(*gender_pairs(tuple(occupations)), strict=True)
    return (drawer.states(list(male)) + drawer.states(list(female))) / 2


def bypass(
    drawer: Drawer, operator: Operator, plain: tuple[str, ...], explicit: tuple[str, ...], nouns: int | None = None
) -> BypassOperator:
    """`operator` with a band fitted on neutral prompts of the occupations `plain`.

    Its margin is fitted on explicit prompts of the occupations `explicit` and of the first `nouns` nouns a side.
    """
    neutral, words, named, labels, named_words = [], [], [], [], []
    for job in plain:
        for form in ("a photo of {}", "a picture of {}", "a portrait of {}", "{}"):
            neutral.append(form.format(with_article(job)))
            words.append(job)
    for side in ("female", "male"):
        for noun in (LITERAL[side][0], *NAMED[side][:nouns]):
            named.append(f"a photo of {with_article(noun)}")
            labels.append(side)
            named_words.append(noun)
        for job in explicit:
            named.append(f"a photo of a {side} {job}")
            labels.append(side)
            named_words.append(job)
    ends = [drawer.states(t)[np.arange(len(t)), drawer.end(t)] for t in (neutral, named)]
    return Bypass().fit(operator, ends[0], ends[1], labels, neutral_words=words, words=named_words)
