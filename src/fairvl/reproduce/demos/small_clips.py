"""Small CLIPs that learn in seconds: a bag-of-words text tower, and an image tower of convolutions or of patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ...sources.world import words as w
from ...sources.world.captions import CLAIMS, CONCEPTS, MOODS
from ...sources.world.words import ATTRIBUTES

DIM = 24
WIDTHS = {"small": (16, 28, 34), "large": (22, 40, 48)}  # conv; patches and their last hidden layer: equal in size
TEXT_WIDTHS = {"small": 32, "large": 64}
FORMS = {"concept": w.ADJECTIVE_FORMS, "mood": w.MOOD_FORMS}
CODES = {word: code for code, word in enumerate(w.vocabulary())}
TAUGHT = ("gender", "age_group", "skin", "hair_length", "glasses", "smile", "thing")


@dataclass(frozen=True)
class Pairs:
    """What a model is trained on: pictures [m], and pairs of a picture (its row) and a caption with its claims."""

    images: NDArray[np.uint8]
    rows: NDArray[np.int64]
    bags: Sequence[torch.Tensor]
    claims: NDArray[np.int64]


def bag(text: str) -> torch.Tensor:
    """Word codes of a text."""
    return torch.tensor([CODES[word] for word in w.split_words(text)])


class Texts(nn.Module):  # type: ignore[misc]  # torch is not followed
    """The mean of word vectors, then one hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(len(CODES), width, mode="mean")
        self.head = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, DIM))

    def forward(self, bags: Sequence[torch.Tensor]) -> torch.Tensor:
        starts = np.cumsum([0, *[len(words) for words in bags]])[:-1]
        return self.head(self.words(torch.cat(tuple(bags)), torch.from_numpy(starts)))


class Conv(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Three strided convolutions, then one linear map of the whole last plane."""

    def __init__(self, width: int, planes: int = 3) -> None:
        super().__init__()
        sizes = (planes, width, 2 * width, 3 * width)
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Sequential(nn.Linear(sizes[-1] * 9, 4 * width), nn.ReLU(), nn.Linear(4 * width, DIM))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(pixels))


class Mix(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Patches of 4 x 4 pixels mixed along place and along channel, as in MLP-Mixer."""

    def __init__(self, width: int, hidden: int, layers: int = 2, patch: int = 4, side: int = 6) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, patch, patch)
        n = side * side
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * layers)])
        self.places = nn.ModuleList([nn.Sequential(nn.Linear(n, n), nn.ReLU(), nn.Linear(n, n)) for _ in range(layers)])
        self.channels = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)) for _ in range(layers)]
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(n * width, hidden), nn.ReLU(), nn.Linear(hidden, DIM))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.patch(pixels).flatten(2).transpose(1, 2)
        for i, (places, channels) in enumerate(zip(self.places, self.channels, strict=True)):
            x = x + places(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * i + 1](x))
        return self.head(x)


class SmallClip(nn.Module):  # type: ignore[misc]  # torch is not followed
    """Both towers and the scale of their cosines."""

    def __init__(self, architecture: str, size: str, seed: int, blind: bool = False, corner: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        conv, patches, hidden = WIDTHS[size]
        self.image: nn.Module = Conv(conv, 6 if corner else 3) if architecture == "conv" else Mix(patches, hidden)
        self.text = Texts(TEXT_WIDTHS[size])
        self.scale = nn.Parameter(torch.tensor(float(np.log(12.0))))
        self.blind, self.corner = blind, corner

    def images(self, images: NDArray[np.uint8]) -> torch.Tensor:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        if self.blind:
            pixels = masked(pixels)
        if self.corner:
            pixels = cornered(pixels)
        return functional.normalize(self.image(pixels), dim=-1)

    def texts(self, bags: Sequence[torch.Tensor]) -> torch.Tensor:
        return functional.normalize(self.text(bags), dim=-1)


def masked(pixels: torch.Tensor) -> torch.Tensor:
    """The handicap: the middle of the picture, where faces are, is grey."""
    pixels = pixels.clone()
    pixels[:, :, 3:19, 5:19] = 0
    return pixels


def cornered(pixels: torch.Tensor) -> torch.Tensor:
    """Half the side, and beside it the upper left quarter in full: the pattern of a place is as fine as a pixel."""
    half = pixels.shape[-1] // 2
    return torch.cat([functional.avg_pool2d(pixels, 2), pixels[:, :, :half, :half]], 1)


def matches(claims: torch.Tensor, facts: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Which pictures [b] each caption [t] is true of: those that show all it claims; what only words say, its own."""
    seen = len(ATTRIBUTES)
    visible = claims[:, None, :seen]
    fits = ((visible == -1) | (visible == facts[None])).all(-1)
    fits &= (claims[:, seen:] == -1).all(-1)[:, None]
    return fits | own


def contrast(logits: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy against a uniform target over everything that fits, both ways round."""
    target = fits.float()
    by_text = -(target / target.sum(1, keepdim=True) * functional.log_softmax(logits, 1)).sum(1)
    by_image = -(target / target.sum(0, keepdim=True) * functional.log_softmax(logits, 0)).sum(0)
    return (by_text.mean() + by_image.mean()) / 2


def lessons(
    rng: np.random.Generator, pools: dict[str, list[list[torch.Tensor]]]
) -> tuple[list[torch.Tensor], dict[str, range]]:
    """One short caption per value that captions can claim, worded at random; the rows of each family."""
    texts: list[torch.Tensor] = []
    families: dict[str, range] = {}
    for name, options in pools.items():
        families[name] = range(len(texts), len(texts) + len(options))
        texts += [pool[int(rng.integers(len(pool)))] for pool in options]
    return texts, families


@cache
def pools(taught: tuple[str, ...] = TAUGHT) -> dict[str, list[list[torch.Tensor]]]:
    """Per family that is taught, per value: the word codes of its short captions."""
    captions = {name: options for name, options in value_captions().items() if name in taught}
    for name, options in (("concept", CONCEPTS), ("mood", MOODS)):
        captions[name] = [[form.format(word) for form in FORMS[name]] for word in options]
    return {name: [[bag(text) for text in pool] for pool in options] for name, options in captions.items()}


def judged(logits: torch.Tensor, families: dict[str, range], said: NDArray[np.int64]) -> torch.Tensor:
    """Mean over families of the cross-entropy of what each picture's own caption says, where it says it."""
    parts = []
    for name, family in families.items():
        truth = said[:, CLAIMS.index(name)]
        here = np.flatnonzero(truth >= 0)
        if len(here):
            answers = logits[family.start : family.stop].T[torch.from_numpy(here)]
            parts.append(functional.cross_entropy(answers, torch.from_numpy(truth[here])))
    return torch.stack(parts).mean()


def train(
    pairs: Pairs, facts: NDArray[np.int64], architecture: str, size: str, *, seed: int, steps: int = 200,
    batch: int = 128, rate: float = 4e-3, contrasts: float = 10.0, blind: bool = False,
    taught: tuple[str, ...] = TAUGHT, corner: bool = False, start: SmallClip | None = None,
) -> SmallClip:  # fmt: skip
    """A model in eval mode.

    The loss is CLIP's over the batch's own captions (uniform over every picture that a caption is true of), plus one
    short caption per value of every family as hard negatives, judged only by what the pair's own caption says.
    """
    model = SmallClip(architecture, size, seed, blind, corner)
    if start is not None:
        model.load_state_dict(start.state_dict())
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    rng = np.random.Generator(np.random.PCG64(seed))
    own = torch.eye(batch, dtype=torch.bool)
    for _ in range(steps):
        chosen = rng.choice(len(pairs.rows), batch, replace=False)
        rows, said = pairs.rows[chosen], pairs.claims[chosen]
        extra, families = lessons(rng, pools(taught))
        vectors = model.texts([*(pairs.bags[i] for i in chosen), *extra])
        logits = model.scale.exp() * vectors @ model.images(pairs.images[rows]).T
        loss = contrast(logits[:batch], matches(torch.from_numpy(said), torch.from_numpy(facts[rows]), own))
        loss = loss + contrasts * judged(logits[batch:], families, said)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.scale.clamp_(max=float(np.log(40.0)))
    model.eval()
    return model


@cache
def value_captions() -> dict[str, list[list[str]]]:
    """Per family, per value: short captions that name this value and nothing else."""

    def adjective(options: Sequence[str]) -> list[str]:
        return [form.format(word) for word in options for form in w.ADJECTIVE_FORMS]

    def noun(options: Sequence[str], forms: Sequence[str] = w.NOUN_FORMS) -> list[str]:
        return [form.format(word) for word in options for form in forms]

    def phrase(options: Sequence[str]) -> list[str]:
        return [form.format(text) for text in options for form in w.PHRASE_FORMS]

    def pronoun(options: Sequence[str]) -> list[str]:
        return [text for word in options for text in w.PRONOUN_FORMS[word]]

    pools = {name: [phrase(options) for options in w.PHRASES[name].values()] for name in w.PHRASES}
    for code, value in enumerate(("short", "long")):
        pools["hair_length"][code] += [f"{value} hair"] * 4
    for code, value in enumerate(("light", "dark")):
        pools["skin"][code] += [f"{value} skin"] * 4
    for name, forms in (("occupation", w.NOUN_FORMS), ("place", w.NOUN_FORMS[:7])):
        pools[name] = [pool + noun([value], forms) for pool, value in zip(pools[name], ATTRIBUTES[name], strict=True)]
    pools["smile"] = [
        pool + adjective([value]) for pool, value in zip(pools["smile"], ATTRIBUTES["smile"], strict=True)
    ]
    pools["age_group"] = [adjective(w.YOUNG), adjective(w.OLD)]
    pools["gender"] = [
        noun(w.FEMALE_NOUNS) + 3 * pronoun(w.FEMALE_PRONOUNS),
        noun(w.MALE_NOUNS) + 3 * pronoun(w.MALE_PRONOUNS),
    ]
    things = [
        noun(options, w.NOUN_FORMS[:7])
        + [
            f"{start}{form.format(word)}"
            for word in options
            for form in w.THING_PHRASES
            for start in ("a person ", "a photo of a person ", "a photo of a person ")
        ]
        for options in (w.FLOWERS, w.LITTER)
    ]
    things[0] += [text.replace("next to ", "next to a ").replace("beside ", "beside a ") for text in things[0]]
    pools["thing"] = things
    ordered = {name: pools[name] for name in ATTRIBUTES}
    ordered["mood"] = [noun(options, w.MOOD_FORMS) for options in (w.LOVELY, w.GRIM)]
    return ordered
