"""People among the emoji: which are trained on, which are held out, and the true counterfactuals of each drawing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from emoji_clip import TONES, read_pixels, read_rows, root, split
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]
SIZE, COPIES = 64, 8
GENDERS = ("woman", "man")
GROUPS = {"light": "light", "medium-light": "light", "medium": "medium", "medium-dark": "dark", "dark": "dark"}
"""The three groups of skin tone that judges read and edits cross."""
MIRROR = dict(zip(TONES, reversed(TONES), strict=True))
PARTS = re.compile(
    r"\b(hands?|finger|fingers|fist|thumbs|ear|nose|leg|foot|palms?|biceps|nail|selfie|salute|gesture|horns|kiss|"
    r"couple|handshake|index)\b"
)


@dataclass(frozen=True, eq=False)
class People:
    """Drawings and what is known of them, one row each.

    Attributes
    ----------
    images : uint8 [n, 64, 64, 3]
        Over white.
    gender, tone, concept, file : str [n]
        `gender` is "woman", "man" or something else; `tone` one of five.
    """

    images: Images
    gender: NDArray[np.str_]
    tone: NDArray[np.str_]
    concept: NDArray[np.str_]
    file: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def truth(self) -> dict[str, NDArray[np.str_]]:
        """What judges read: gender, and skin tone in three groups."""
        return {"gender": self.gender, "skin": np.array([GROUPS[tone] for tone in self.tone])}

    def take(self, rows: Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]) -> People:
        """Some of the rows."""
        index = np.arange(len(self))[np.asarray(rows)]
        return People(*(getattr(self, name)[index] for name in ("images", "gender", "tone", "concept", "file")))

    def counterfactual(self, attribute: str) -> NDArray[np.int64]:
        """For each row the row of the same concept with the other gender, or with the mirrored tone of five."""
        cells = {cell: i for i, cell in enumerate(zip(self.concept, self.gender, self.tone, strict=True))}
        other = dict(zip(GENDERS, reversed(GENDERS), strict=True))
        found = []
        for concept, gender, tone in cells:
            wanted = (concept, other[gender], tone) if attribute == "gender" else (concept, gender, MIRROR[tone])
            found.append(cells[wanted])
        return np.array(found, dtype=np.int64)


def people(data: Path) -> tuple[People, People]:
    """The people to train on and the held-out ones.

    Held out are whole concepts, by the rule of `emoji_clip.split`: every image of a crossed concept whose hash says so,
    and no row to train on mentions one. Trained on are all drawings of one person with one of five tones, also those
    that are of neither gender.
    """
    rows = read_rows(data)
    train, audit = split(rows)
    kept = [r for r in train if r["skin_tone"] in TONES and (r["gender"] or not PARTS.search(r["name"]))]
    return _people(data, kept), _people(data, audit)


def half(concepts: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which rows are of the second half of concepts: those whose SHA-256 has an odd second byte; mirrors together."""
    return np.array([hashlib.sha256(root(str(c)).encode()).digest()[1] % 2 == 1 for c in concepts])


def varied(images: Images, copies: int = COPIES, seed: int = 0) -> Images:
    """Each image as it is and `copies` - 1 times at another size and place, on white."""
    rng = np.random.default_rng(seed)
    found = [images]
    for _ in range(copies - 1):
        made = np.full_like(images, 255)
        for canvas, image in zip(made, images, strict=True):
            side = int(rng.integers(round(0.82 * SIZE), round(1.06 * SIZE) + 1))
            small = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
            slack = SIZE - side
            top, left = (int(v) for v in rng.integers(min(slack, 0) - 3, max(slack, 0) + 4, 2))
            high, low = max(top, 0), max(left, 0)
            part = small[high - top : SIZE - top, low - left : SIZE - left]
            canvas[high : high + part.shape[0], low : low + part.shape[1]] = part
        found.append(made)
    return np.concatenate(found)


def _people(data: Path, rows: list[dict[str, str]]) -> People:
    large = read_pixels(data, rows).permute(0, 2, 3, 1).numpy()
    images = [np.asarray(Image.fromarray(one).resize((SIZE, SIZE), Image.Resampling.LANCZOS)) for one in large]
    columns = [np.array([row[name] for row in rows]) for name in ("gender", "skin_tone", "concept", "file")]
    return People(np.stack(images), *columns)
