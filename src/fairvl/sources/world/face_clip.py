"""A small encoder of the world's aligned faces and of short texts about them: what supervises paths.

Unlike `world:clip`, which saw scenes, it was trained on faces of 32 pixels, blurred, noisy and redrawn ones among
them, so that its gradient asks for what a face shows and not for a texture. It never judges.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import EncoderError
from ...fingerprints import file_hash
from ..encoders.images import to_rgb
from ..encoders.seam import EncoderCard, check_texts
from .faces import SIZE

WORDS = (
    "a", "an", "photo", "of", "the", "face", "person", "man", "woman", "old", "young", "with", "dark", "light", "skin",
    "long", "short", "hair", "wearing", "glasses", "without", "smiling", "not", "and",
)  # fmt: skip
DIM = 48
WEIGHTS = Path(__file__).parent / "models" / "diffae" / "face-clip.safetensors"
BATCH = 256


def network() -> Any:
    """The untrained towers: images ``[n, 3, 32, 32]`` in [0, 1], and bags of words and of neighbouring words."""
    from torch import nn

    layers: list[Any] = []
    for before, after in ((3, 32), (32, 48), (48, 64)):
        layers += [nn.Conv2d(before, after, 3, 1, 1), nn.GroupNorm(8, after), nn.SiLU()]
        layers += [nn.Conv2d(after, after, 4, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
    image = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * (SIZE // 8) ** 2, DIM))
    rows = len(WORDS) * (len(WORDS) + 1)
    text = nn.Sequential(nn.EmbeddingBag(rows, DIM), nn.Linear(DIM, 128), nn.SiLU(), nn.Linear(128, DIM))
    return nn.ModuleDict({"image": image, "text": text})


def tokens(text: str) -> list[int]:
    """Rows of the embedding: the words, then the pairs of neighbours ("dark skin" is no "dark" and no "skin").

    Raises
    ------
    EncoderError
        A word that the encoder was never taught, or no word.
    """
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    unknown = sorted(set(words) - set(WORDS))
    if unknown or not words:
        raise EncoderError(
            f"world:face-clip does not know {', '.join(unknown) or 'an empty text'} in {text!r}; it knows "
            f"{', '.join(WORDS)}."
        )
    ids = [WORDS.index(word) for word in words]
    return ids + [len(WORDS) * (1 + left) + right for left, right in pairwise(ids)]


def text_vectors(net: Any, texts: Sequence[str]) -> Any:
    """Unit vectors [n, 48] of texts, with gradients."""
    import torch
    from torch.nn import functional

    rows = [tokens(text) for text in texts]
    ends = np.cumsum([0, *(len(row) for row in rows)])
    flat = torch.tensor([token for row in rows for token in row])
    bag = net["text"][0](flat, torch.from_numpy(ends[:-1]))
    return functional.normalize(bag + net["text"][1:](bag), dim=1)


def image_vectors(net: Any, pixels: Any) -> Any:
    """Unit vectors [n, 48] of pixels in [0, 1], with gradients."""
    from torch.nn import functional

    if tuple(pixels.shape[1:]) != (3, SIZE, SIZE):
        pixels = functional.interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return functional.normalize(net["image"](pixels * 2 - 1), dim=1)


class FaceClip:
    """Vectors of faces and of texts made of `WORDS`.

    Parameters
    ----------
    weights : path, optional
        Default: the shipped ones.

    Examples
    --------
    >>> FaceClip().encode_texts(["a photo of an old person", "a young person"]).shape
    (2, 48)
    """

    def __init__(self, weights: Path | str = WEIGHTS) -> None:
        from safetensors.torch import load_file

        self._net = network()
        self._net.load_state_dict({key: values.float() for key, values in load_file(weights).items()})
        self._net.eval().requires_grad_(False)
        count = sum(values.numel() for values in self._net.parameters())
        self._card = EncoderCard(
            library="world", name="face-clip", weights=file_hash(Path(weights)), dim=DIM, parameters=count,
            training_data="fairvl world (synthetic)", licence="Apache-2.0",
        )  # fmt: skip

    @property
    def card(self) -> EncoderCard:
        return self._card

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors [n, 48]; every word must be one of `WORDS`."""
        import torch

        listed = check_texts(texts)
        with torch.no_grad():
            found: NDArray[np.float32] = text_vectors(self._net, listed).numpy() if listed else _none()
        return found

    def encode_images(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Unit vectors [n, 48] of faces: PIL images or uint8 [n, h, w, 3], reduced or enlarged to 32 pixels."""
        import torch

        pictures = [image if isinstance(image, np.ndarray) else np.asarray(to_rgb(image)) for image in images]
        parts = []
        for start in range(0, len(pictures), BATCH):
            batch = [
                torch.from_numpy(np.ascontiguousarray(one)).permute(2, 0, 1) for one in pictures[start : start + BATCH]
            ]
            if len({one.shape for one in batch}) == 1:
                parts.append(self.encode_pixels(torch.stack(batch).float() / 255))
            else:
                parts += [self.encode_pixels(one[None].float() / 255) for one in batch]
        found: NDArray[np.float32] = torch.cat(parts).numpy() if parts else _none()
        return found

    def encode_pixels(self, pixels: Any) -> Any:
        """Differentiable unit vectors of a float tensor [n, 3, h, w] in [0, 1]."""
        return image_vectors(self._net, pixels)


def _none() -> NDArray[np.float32]:
    return np.zeros((0, DIM), dtype=np.float32)
