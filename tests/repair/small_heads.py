"""Drawn heads with known truth, an editor of skin tone that is exact by construction, and judges that read pixels."""

import io
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from fairvl.repair.editing import Editor, EditorCard, State, square_images
from fairvl.repair.editing.judges import Judge
from fairvl.repair.editing.seam import check_seeds, check_strength
from fairvl.sources.datasets.record import Record

SIZE = 32
LIGHT, DARK = np.array([242.0, 204.0, 176.0]), np.array([84.0, 51.0, 33.0])
RED = np.array([220.0, 20.0, 30.0])
CLASSES = {"tone": ("light", "dark"), "hat": ("none", "hat"), "old": ("young", "old")}


def draw(n, seed=0, tone=None, hat=None, cue=(1.0, 1.0)):
    """Images and labels; `tone`, `hat` are 0/1 arrays or drawn evenly. `cue` bounds how opaque a hat is."""
    rng = np.random.default_rng(seed)
    labels = {"tone": tone, "hat": hat, "old": None}
    labels = {name: rng.integers(0, 2, n) if v is None else np.asarray(v) for name, v in labels.items()}
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    images = np.empty((n, SIZE, SIZE, 3))
    for i in range(n):
        images[i] = rng.uniform([0, 70, 90], [60, 160, 220])  # bluish, far from skin and hat
        cx, cy, radius = rng.uniform(13, 19), rng.uniform(15, 19), rng.uniform(6, 9)
        head = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        images[i][head] = (LIGHT, DARK)[labels["tone"][i]]
        opaque = rng.uniform(*cue)
        if labels["old"][i]:
            images[i][head & (y > cy + radius / 2)] = (150, 150, 150)
        block = (np.abs(x - cx) < radius * 0.8) & (y < cy - radius * 0.5) & (y > cy - radius * 1.2)
        if labels["hat"][i]:
            images[i][block] = (1 - opaque) * images[i][block] + opaque * RED
    noise = rng.normal(0, 3, images.shape)
    named = {name: [CLASSES[name][v] for v in values] for name, values in labels.items()}
    return np.clip(images + noise, 0, 255).astype(np.uint8), named


def correlated(n, strength, seed=0):
    """Tone and hat codes that agree with probability `strength`."""
    rng = np.random.default_rng([seed, 7])
    tone = rng.integers(0, 2, n)
    return tone, np.where(rng.random(n) < strength, tone, 1 - tone)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Heads:
    """A dataset of images in memory."""

    images: np.ndarray
    labels: dict
    fingerprint: str = "heads"
    name: str = "heads"
    broken: dict = field(default_factory=dict)
    problems: tuple = ()

    def __len__(self):
        return len(self.images)

    def __iter__(self):
        return self.read({"start": 0, "stop": len(self)})

    def shards(self, rows):
        return tuple({"start": a, "stop": min(a + rows, len(self))} for a in range(0, len(self), rows))

    def read(self, spec):
        for i in range(spec["start"], spec["stop"]):
            data = self.broken.get(i) or png(self.images[i])
            yield Record(f"h{i:05d}", lambda data=data: data, None, {k: v[i] for k, v in self.labels.items()})

    def skipped(self, spec):
        return []


def skin(images):
    """Per pixel: where on the way from light (0) to dark (1) it lies, and whether it is skin at all."""
    axis = DARK - LIGHT
    place = (images - LIGHT) @ axis / (axis @ axis)
    off = np.abs(images - (LIGHT + place[..., None] * axis)).max(axis=-1)
    return place, (off < 22) & (place > -0.15) & (place < 1.15)


class ToneEditor(Editor):
    """Moves skin pixels towards dark (strength > 0) or light (< 0); strength 1 is the whole way.

    `spoils` is the share of images (by their seed) in which it also removes the hat.
    """

    capabilities = frozenset({"continuous", "invertible"})

    def __init__(self, spoils=0.0, ignores=0.0, fit="refuse"):
        self.spoils, self.ignores, self.fit = spoils, ignores, fit
        self.decoded = 0

    @property
    def card(self):
        settings = {"spoils": self.spoils, "ignores": self.ignores}
        return EditorCard(family="tone", name="tone", weights="none", size=SIZE, settings=settings)

    def encode(self, images, *, seeds=None):
        squares = square_images(images, SIZE, fit=self.fit)
        return State(images=squares, seeds=check_seeds(seeds, len(squares)))

    def edit(self, state, change, strength=1.0):
        amount = check_strength(strength, len(state))
        images = state.images.astype(float)
        place, mask = skin(images)
        way = np.clip(place + amount[:, None, None], 0, 1) - place
        for i, seed in enumerate(state.seeds):
            draw = np.random.default_rng(seed).random(2)
            if draw[0] < self.spoils:
                red = (images[i, ..., 0] > 150) & (images[i, ..., 1] < 110) & (images[i, ..., 2] < 110)
                images[i][red] = images[i, 0, 0]
            if draw[1] < self.ignores:
                way[i] = 0
        moved = images + way[..., None] * (DARK - LIGHT)
        images = np.where(mask[..., None], moved, images)
        return replace(state, images=np.clip(np.round(images), 0, 255).astype(np.uint8), strengths=amount)

    def decode(self, state):
        self.decoded += len(state)
        return state.images


def read(images):
    """Probabilities of every attribute, from pixels alone."""
    images = images.astype(float)
    place, mask = skin(images)
    n = np.maximum(mask.sum(axis=(1, 2)), 1)
    tone = (np.where(mask, place, 0).sum(axis=(1, 2)) / n).clip(0, 1)
    red = ((images[..., 0] > 150) & (images[..., 1] < 110) & (images[..., 2] < 110)).sum(axis=(1, 2))
    grey = (np.abs(images - 150).max(axis=-1) < 20).sum(axis=(1, 2))
    sure = {"tone": tone, "hat": 1 / (1 + np.exp(-(red - 8.0))), "old": 1 / (1 + np.exp(-(grey - 8.0)))}
    return {name: np.stack([1 - p, p], axis=1) for name, p in sure.items()}


def judge(name="truth", attributes=("tone", "hat", "old"), fingerprint=""):
    return Judge(name, {a: CLASSES[a] for a in attributes}, lambda x: {a: read(x)[a] for a in attributes}, fingerprint)


CHANGES = {"dark": ("darker skin", 1), "light": ("darker skin", -1)}
