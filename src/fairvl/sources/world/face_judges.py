"""Two judges of the world's aligned faces: small networks that know the drawing code's truth, nothing else.

They differ in architecture, training pictures and seed, so that one can choose a strength and the other score it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .faces import SIZE
from .words import ATTRIBUTES

JUDGED = ("age_group", "skin", "glasses", "gender", "hair_length", "smile")
CLASSES = {name: tuple(ATTRIBUTES[name]) for name in JUDGED}
FOLDER = Path(__file__).parent / "models" / "diffae"
NAMES = ("a", "b")
BATCH = 256


def network(name: str) -> Any:
    """The untrained network of a judge: logits of the values of each attribute of `JUDGED`, [n, 12]."""
    from torch import nn

    outputs = sum(len(values) for values in CLASSES.values())
    layers: list[Any] = []
    if name == "a":  # strided convolutions, every place has weights of its own
        for before, after in ((3, 24), (24, 32), (32, 48)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(48 * 16, outputs))
    if name == "b":  # wide kernels, pooling by maxima, a hidden layer
        for before, after in ((3, 20), (20, 40)):
            layers += [nn.Conv2d(before, after, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(2)]
        pooled = [nn.Conv2d(40, 24, 1), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 64, 64), nn.ReLU()]
        return nn.Sequential(*layers, *pooled, nn.Linear(64, outputs))
    raise InputError(f"judge {name!r}; the world has judges {NAMES}.")


class FaceJudge:
    """Reads perceived attributes off faces: ``judge(images) -> {attribute: probabilities [n, values]}``.

    Parameters
    ----------
    name : "a" or "b"
    weights : path, optional
        Default: the shipped ones.
    """

    classes = CLASSES

    def __init__(self, name: str = "a", weights: Path | str | None = None) -> None:
        from safetensors.torch import load_file

        self.name = f"world:face-judge-{name}"
        self.network = network(name)
        path = Path(weights) if weights is not None else FOLDER / f"judge-{name}.safetensors"
        self.network.load_state_dict({key: values.float() for key, values in load_file(path).items()})
        self.network.eval()

    def __call__(self, images: ArrayLike) -> dict[str, NDArray[np.float64]]:
        import torch

        pictures = np.asarray(images)
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[1:] != (SIZE, SIZE, 3):
            raise InputError(f"faces {pictures.dtype} {pictures.shape}; expected uint8 [n, {SIZE}, {SIZE}, 3].")
        parts = []
        with torch.no_grad():
            for start in range(0, len(pictures), BATCH):
                batch = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH]))
                parts.append(self.network(batch.permute(0, 3, 1, 2).float() / 127.5 - 1).double())
        logits = torch.cat(parts) if parts else torch.zeros((0, sum(map(len, CLASSES.values())))).double()
        pieces = logits.split([len(values) for values in CLASSES.values()], dim=1)
        return {name: piece.softmax(dim=1).numpy() for name, piece in zip(CLASSES, pieces, strict=True)}

    def read(self, images: ArrayLike) -> dict[str, NDArray[np.str_]]:
        """The most probable value of every attribute."""
        return {name: np.array(CLASSES[name])[shares.argmax(axis=1)] for name, shares in self(images).items()}
