"""Backbones with a fresh head, losses, and images as their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, missing_extra
from ...sources.datasets.table import nearest

LOSSES = ("cross-entropy", "focal")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ALPHA, GAMMA = 0.25, 3.0


def build(backbone: str, classes: int, *, weights: str | None = None, seed: int = 0) -> Any:
    """A network from images [n, 3, h, w] to logits [n, classes], on the CPU.

    Parameters
    ----------
    backbone : str
        A classification model of torchvision ("mobilenet_v2", "resnet18", ...), its last layer exchanged; or "small":
        three strided convolutions with group normalisation, 24 thousand parameters, for images of 32 to 64 pixels.
    weights : str, optional
        Of torchvision ("DEFAULT", "IMAGENET1K_V1"), which downloads them. None: random, from `seed`.

    Raises
    ------
    InputError
        An unknown backbone (with the nearest), or weights for "small".
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if backbone == "small":
            if weights is not None:
                raise InputError("the backbone 'small' has no pretrained weights; leave weights out.")
            return _small(torch, classes)
        try:
            from torchvision import models
        except ModuleNotFoundError as error:
            raise missing_extra("torchvision", "models") from error
        known = models.list_models(models)
        if backbone not in known:
            raise InputError(f"no backbone {backbone!r}. {nearest(backbone, ['small', *known])}")
        try:
            module = models.get_model(backbone, weights=weights)
        except (KeyError, ValueError) as error:
            raise InputError(f"{backbone} has no weights {weights!r} ({error}).") from None
        return _with_head(torch, module, classes, backbone)


def _small(torch: Any, classes: int) -> Any:
    nn = torch.nn
    layers: list[Any] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(4, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def _with_head(torch: Any, module: Any, classes: int, name: str) -> Any:
    last = [(key, part) for key, part in module.named_modules() if isinstance(part, torch.nn.Linear)]
    if not last:
        raise InputError(f"the backbone {name!r} does not end in a linear layer; choose another.")
    key, layer = last[-1]
    parent = module.get_submodule(key.rpartition(".")[0]) if "." in key else module
    setattr(parent, key.rpartition(".")[2], torch.nn.Linear(layer.in_features, classes))
    return module


def as_input(images: NDArray[np.uint8], device: Any, flip: NDArray[np.bool_] | None = None) -> Any:
    """uint8 [n, h, w, 3] as a normalised float tensor [n, 3, h, w]; rows of `flip` are mirrored."""
    import torch

    values = np.ascontiguousarray(images)
    if flip is not None:
        values = values.copy()
        values[flip] = values[flip, :, ::-1]
    tensor = torch.from_numpy(values).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(one, device=device).view(1, 3, 1, 1) for one in (MEAN, STD))
    return (tensor - mean) / std


def loss_sum(kind: str, logits: Any, truth: Any) -> Any:
    """The loss added up over rows.

    "focal": ``-0.25 (1 - p)^3 log p`` of the true class's probability p (Lin et al. 2017, equation 5).
    """
    import torch

    logs = torch.log_softmax(logits.float(), dim=1).gather(1, truth[:, None])[:, 0]
    if kind == "focal":
        return (-ALPHA * (1 - logs.exp()) ** GAMMA * logs).sum()
    return -logs.sum()


def predict(module: Any, images: NDArray[np.uint8], device: Any, block: int = 256) -> NDArray[np.float32]:
    """Probabilities [n, classes], the module in evaluation mode."""
    import torch

    module.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), block):
            logits = module(as_input(images[start : start + block], device))
            parts.append(torch.softmax(logits.float(), dim=1).cpu().numpy())
    return np.concatenate(parts).astype(np.float32)
