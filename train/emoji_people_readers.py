"""What reads emoji people: two judges of gender and skin tone, and the text-image encoder that supervises paths.

The judges differ in architecture, seed and training pictures (the training concepts are shared out between them). The
supervisor has a third architecture and sees all training concepts. None of them sees a held-out concept or anything
that the autoencoder made.

In these drawings women mostly wear purple and men green, and whatever reads colours reads gender off them. So there is
one more judge that sees no colours: pictures are made grey with random weights of red, green and blue in training, and
with equal ones afterwards.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from emoji_people import GENDERS, SIZE, Images, People, varied
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from fairvl.fingerprints import file_hash
from fairvl.repair.editing.judges import Judge
from fairvl.sources.encoders.seam import EncoderCard

CLASSES = {"gender": GENDERS, "skin": ("light", "medium", "dark")}
SEEDS = {"a": 21, "b": 22, "supervisor": 23, "grey": 24}
STEPS, BATCH, DIM = 900, 64, 64
WORDS = re.compile(r"[a-z-]+")


def network(name: str) -> nn.Module:
    """An untrained judge (logits of gender, then of skin tone) or image tower."""
    layers: list[nn.Module] = []
    outputs = DIM if name == "supervisor" else 5
    if name == "b":  # wide kernels, maxima, pooled places
        for before, after in ((3, 16), (16, 32), (32, 48)):
            layers += [nn.Conv2d(before, after, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(48, 64, 3, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
        return nn.Sequential(*layers, nn.Dropout(0.3), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, outputs))
    widths = (3, 32, 64, 96, 128) if name == "supervisor" else (3, 24, 32, 48, 64)
    for before, after in pairwise(widths):  # strided, every place has weights of its own
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * widths[-1], outputs))


def as_pixels(images: Images) -> torch.Tensor:
    """float32 [n, 3, h, w] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255


def disturbed(pixels: torch.Tensor) -> torch.Tensor:
    """Mirrored, blurred, noisy and brighter or darker at random, as decoded pictures are; in [0, 1] before."""
    n = len(pixels)
    shown = torch.where(torch.rand(n, 1, 1, 1) < 0.5, pixels.flip(3), pixels)
    soft = functional.avg_pool2d(functional.pad(shown, (1, 1, 1, 1), mode="replicate"), 3, 1)
    shown = torch.lerp(shown, soft, (torch.rand(n, 1, 1, 1) * 2 - 1).clamp(min=0))
    shown = shown + torch.randn_like(shown) * (torch.rand(n, 1, 1, 1) * 0.15 - 0.05).clamp(min=0)
    return shown * (0.95 + 0.1 * torch.rand(n, 1, 1, 1))


def grey(pixels: torch.Tensor, *, weights: str = "equal") -> torch.Tensor:
    """Three equal channels: the mean of red, green and blue, or with weights that are random for each picture."""
    n = len(pixels)
    drawn = torch.rand(n, 3, 1, 1) if weights == "random" else torch.ones(n, 3, 1, 1)
    return (pixels * drawn / drawn.sum(1, keepdim=True)).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def share_of(name: str, train: People) -> People:
    """The training drawings of one judge: concepts with an even (a) or odd (b) third byte of their SHA-256.

    The judge that sees no colours gets all of them: it neither chooses nor supervises.
    """
    if name == "grey":
        return train
    told = [c or f for c, f in zip(train.concept, train.file, strict=True)]
    odd = np.array([hashlib.sha256(str(one).encode()).digest()[2] % 2 for one in told])
    return train.take(odd == (name == "b"))


def _fit(module: nn.Module, loss: Callable[[NDArray[np.int64]], torch.Tensor], n: int, seed: int, steps: int) -> None:
    rng, rate = np.random.default_rng(seed), 2e-3
    optimiser = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=5e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    module.train()
    for _ in range(steps):
        value = loss(rng.integers(0, n, BATCH))
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    module.eval()


def train_judge(name: str, train: People, out: Path, steps: int = STEPS, copies: int = 6) -> None:
    """Train a judge on its share, and write ``judge-NAME.safetensors``."""
    seed, part = SEEDS[name], share_of(name, train)
    images = varied(part.images, copies, seed)
    truth = {key: np.tile(values, copies) for key, values in part.truth.items()}
    targets = [torch.from_numpy(_places(truth[key], values)) for key, values in CLASSES.items()]
    torch.manual_seed(seed)
    net = network(name)

    def loss(rows: NDArray[np.int64]) -> torch.Tensor:
        shown = as_pixels(images[rows])
        shown = disturbed(grey(shown, weights="random") if name == "grey" else shown)
        pieces = net(shown * 2 - 1).split([2, 3], dim=1)
        each = [functional.cross_entropy(p, t[rows], ignore_index=-1) for p, t in zip(pieces, targets, strict=True)]
        return each[0] + each[1]

    _fit(net, loss, len(images), seed, steps)
    out.mkdir(parents=True, exist_ok=True)
    save_file(net.state_dict(), out / f"judge-{name}.safetensors")


def _places(values: NDArray[np.str_], classes: Sequence[str]) -> NDArray[np.int64]:
    """Number of each value among `classes`; -1 for none of them."""
    return np.array([classes.index(v) if v in classes else -1 for v in values.tolist()], dtype=np.int64)


def load_judge(name: str, folder: Path) -> Judge:
    path = folder / f"judge-{name}.safetensors"
    net = network(name)
    net.load_state_dict(load_file(path))
    net.eval()

    def score(images: Images) -> dict[str, NDArray[np.float64]]:
        parts = []
        with torch.no_grad():
            for start in range(0, len(images), 256):
                shown = as_pixels(images[start : start + 256])
                parts.append(net((grey(shown) if name == "grey" else shown) * 2 - 1).double())
        gender, skin = torch.cat(parts).split([2, 3], dim=1)
        return {"gender": gender.softmax(1).numpy(), "skin": skin.softmax(1).numpy()}

    return Judge(f"emoji judge {name}", CLASSES, score, file_hash(path)[:16])


def answers(judge: Judge, images: Images) -> dict[str, NDArray[np.str_]]:
    """The most probable value of each attribute."""
    return {name: np.array(CLASSES[name])[p.argmax(axis=1)] for name, p in judge.read(images).items()}


class Supervisor:
    """A small text-image encoder of emoji people: words are averaged, pictures convolved; one space of 64 numbers."""

    def __init__(self, words: Sequence[str], seed: int = 0) -> None:
        self.words = {word: place for place, word in enumerate(words)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = nn.ModuleDict({"image": network("supervisor"), "text": nn.EmbeddingBag(len(words), DIM)})
            self.module.register_parameter("scale", nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32)))
        self.weights = f"random-{seed}"

    @property
    def card(self) -> EncoderCard:
        return EncoderCard(library="own", name="emoji-people-supervisor", weights=self.weights, dim=DIM)

    def text(self, texts: Sequence[str]) -> torch.Tensor:
        rows = [[self.words[w] for w in WORDS.findall(text.lower()) if w in self.words] for text in texts]
        starts = np.cumsum([0] + [len(row) for row in rows[:-1]])
        joined = torch.tensor([place for row in rows for place in row], dtype=torch.long)
        return functional.normalize(self.module["text"](joined, torch.from_numpy(starts)), dim=1)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with torch.no_grad():
            found: NDArray[np.float32] = self.text(texts).numpy()
        return found

    def encode_images(self, images: Sequence[Any]) -> NDArray[np.float32]:
        with torch.no_grad():
            parts = [
                self.encode_pixels(as_pixels(np.stack([np.asarray(image) for image in images[i : i + 256]])))
                for i in range(0, len(images), 256)
            ]
        found: NDArray[np.float32] = torch.cat(parts).numpy()
        return found

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Differentiable unit vectors of a float tensor [n, 3, 64, 64] in [0, 1]."""
        assert pixels.shape[1:] == (3, SIZE, SIZE), pixels.shape
        return functional.normalize(self.module["image"](pixels * 2 - 1), dim=1)

    @classmethod
    def load(cls, folder: Path) -> Supervisor:
        path = folder / "supervisor.safetensors"
        made = cls((folder / "supervisor-words.txt").read_text(encoding="utf-8").splitlines())
        made.module.load_state_dict(load_file(path))
        made.module.eval().requires_grad_(False)
        made.weights = file_hash(path)[:16]
        return made


def caption(gender: str, concept: str, tone: str) -> str:
    """What a drawing shows; any part may be left out by an empty text."""
    who = f"{gender or 'person'} {concept}".strip().lower()
    return f"{who}: {tone} skin tone" if tone else who


def train_supervisor(train: People, out: Path, steps: int = 2 * STEPS, copies: int = 6) -> None:
    """Train the supervisor and write it."""
    seed = SEEDS["supervisor"]
    images = varied(train.images, copies, seed)
    gender, concept, tone = (np.tile(v, copies) for v in (train.gender, train.concept, train.tone))
    told = [caption(str(g), str(c), str(t)) for g, c, t in zip(gender, concept, tone, strict=True)]
    model = Supervisor(sorted({word for text in told for word in WORDS.findall(text)}), seed)
    rng = np.random.default_rng([seed, 1])
    torch.manual_seed(seed)

    def loss(rows: NDArray[np.int64]) -> torch.Tensor:
        said = rng.random((3, len(rows))) < np.array([[0.7], [0.5], [0.8]])
        texts = [
            caption(str(gender[i]) if g else "", str(concept[i]) if c else "", str(tone[i]) if t else "")
            for i, g, c, t in zip(rows, *said, strict=True)
        ]
        codes = np.unique(texts, return_inverse=True)[1]
        same = torch.from_numpy((codes[:, None] == codes[None]).astype(np.float32))
        target = same / same.sum(1, keepdim=True)
        image = model.encode_pixels(disturbed(as_pixels(images[rows])))
        logits = model.module.scale.exp().clamp(max=50) * image @ model.text(texts).T
        return functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)

    _fit(model.module, loss, len(images), seed, steps)
    out.mkdir(parents=True, exist_ok=True)
    save_file(model.module.state_dict(), out / "supervisor.safetensors")
    (out / "supervisor-words.txt").write_text("\n".join(model.words) + "\n", encoding="utf-8")


def zero_shot(encoder: Supervisor) -> Judge:
    """The supervisor as a reader, to see what it knows; it never judges an edit."""
    prompts = {
        "gender": {g: [f"{g}: {t} skin tone" for t in ("light", "medium", "dark")] for g in GENDERS},
        "skin": {
            "light": ["light skin tone", "medium-light skin tone"],
            "medium": ["medium skin tone"],
            "dark": ["medium-dark skin tone", "dark skin tone"],
        },
    }
    return Judge.from_encoder(encoder, prompts, name="supervisor, zero-shot", temperature=0.1)
