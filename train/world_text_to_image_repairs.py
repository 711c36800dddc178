"""The repairs that the experiment compares, each from text states alone: states of prompts -> states to draw from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from world_text_to_image_drawer import Drawer

from fairvl.repair.debias import Bypass, BypassOperator, CalibratedProjection, Leace, Operator, OrthogonalProjection
from fairvl.sources.world.text_to_image import LITERAL, NAMED, OCCUPATIONS, explicit_prompts, gender_pairs, with_article

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
    return OrthogonalProjection(subspace=subspace).fit(np.concatenate([pairs.male, pairs.female]), pairs.male, pairs.female)


def leace(pairs: Pairs) -> Operator:
    n = len(pairs.occupations)
    return Leace().fit(np.concatenate([pairs.male, pairs.female]), ["male"] * n + ["female"] * n)


def along(pairs: Pairs, strength: float) -> Repair:
    """Move every prompt along the axis, from its end-of-text on, by one amount read off its own end-of-text state.

    Its coordinate c becomes middle - strength * (c - middle): 0 puts it on the middle plane, above 0 it goes beyond,
    against what the denoiser has learnt of the occupation on its own.
    """

    def repair(states: np.ndarray, texts: list[str]) -> np.ndarray:
        end = pairs.drawer.end(texts)
        found = states[np.arange(len(texts)), end] @ pairs.axis - sum(pairs.ends) / 2
        change = -(1 + strength) * found[:, None] * pairs.axis
        after = np.arange(states.shape[1]) >= end[:, None]
        return states + after[..., None] * change[:, None, :]

    return repair


def sides(pairs: Pairs, n: int) -> Repair:
    """To the male end for the even pictures of a prompt and to the female end for the odd: [prompts, n, tokens, d]."""

    def repair(states: np.ndarray, texts: list[str]) -> np.ndarray:
        end = pairs.drawer.end(texts)
        found = states[np.arange(len(texts)), end] @ pairs.axis
        after = np.arange(states.shape[1]) >= end[:, None]
        both = [
            states + after[..., None] * (aim - found)[:, None, None] * pairs.axis for aim in pairs.ends
        ]
        return np.stack([both[i % 2] for i in range(n)], axis=1)

    return repair


def mean_of_both(drawer: Drawer, occupations: list[str]) -> np.ndarray:
    """Mean of the states of the male and the female prompt."""
    male, female = zip(*gender_pairs(tuple(occupations)), strict=True)
    return (drawer.states(list(male)) + drawer.states(list(female))) / 2


def bypass(drawer: Drawer, operator: Operator, occupations: tuple[str, ...], nouns: int | None = None) -> BypassOperator:
    """`operator` with a band fitted on neutral and explicit prompts of `occupations` and the first `nouns` nouns."""
    neutral, words, named, labels, named_words = [], [], [], [], []
    for job in occupations:
        for form in ("a photo of {}", "a picture of {}", "a portrait of {}", "{}"):
            neutral.append(form.format(with_article(job)))
            words.append(job)
    for side in ("female", "male"):
        for noun in (LITERAL[side][0], *NAMED[side][:nouns]):
            named.append(f"a photo of {with_article(noun)}")
            labels.append(side)
            named_words.append(noun)
        for job in occupations:
            named.append(f"a photo of a {side} {job}")
            labels.append(side)
            named_words.append(job)
    ends = [drawer.states(t)[np.arange(len(t)), drawer.end(t)] for t in (neutral, named)]
    return Bypass().fit(operator, ends[0], ends[1], labels, neutral_words=words, words=named_words)
