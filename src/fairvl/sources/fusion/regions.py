"""Where LXMERT's regions come from: a file, a detector, or, for small worlds, a grid of patches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import FusionError
from .pixels import pictures


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """Regions of one image.

    Attributes
    ----------
    features : float32 [k, d]
        One row per region (2,048 wide in the published files).
    boxes : float32 [k, 4]
        Left, top, right, bottom, as shares of the image's width and height.

    Examples
    --------
    >>> RegionFeatures([[1.0, 2.0]], [[0, 0, 0.5, 1]]).features.shape
    (1, 2)
    """

    features: NDArray[np.float32]
    boxes: NDArray[np.float32]

    def __post_init__(self) -> None:
        features, boxes = (np.array(value, dtype=np.float32) for value in (self.features, self.boxes))
        if features.ndim != 2 or not features.size or boxes.shape != (len(features), 4):
            raise FusionError(
                f"regions with features {features.shape} and boxes {boxes.shape}; expected [k, d] and [k, 4] with at "
                "least one region."
            )
        if not (np.isfinite(features).all() and np.isfinite(boxes).all()):
            raise FusionError("regions: NaN or infinity in features or boxes.")
        low, high = boxes[:, :2], boxes[:, 2:]
        if boxes.min() < 0 or boxes.max() > 1 + 1e-4 or (high < low).any():
            raise FusionError(
                f"regions: boxes from {boxes.min():g} to {boxes.max():g}; expected left, top, right, bottom as shares "
                "of the image, from 0 to 1, left before right and top before bottom. Divide pixels by width and height."
            )
        for name, array in (("features", features), ("boxes", boxes)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)


@dataclass(frozen=True)
class PatchRegions:
    """A grid of patches as regions: each patch's pixels in [-1, 1] through a fixed random linear map.

    For small worlds, where no detector is needed. With ``width`` equal to the number of values of a patch the map is
    the identity.
    """

    image_size: int = 32
    grid: int = 4
    width: int = 192
    seed: int = 0

    def __call__(self, images: Sequence[Any]) -> list[RegionFeatures]:
        side = self.image_size // self.grid
        values = 3 * side * side
        linear = None
        if values != self.width:
            drawn = np.random.default_rng(self.seed).standard_normal((values, self.width))
            linear = (drawn / np.sqrt(values)).astype(np.float32)
        edges = np.arange(self.grid + 1, dtype=np.float32) / self.grid
        top, left = (place.ravel() for place in np.meshgrid(edges[:-1], edges[:-1], indexing="ij"))
        boxes = np.stack([left, top, left + edges[1], top + edges[1]], axis=1)
        found = []
        for picture in pictures(images):
            if picture.size != (self.image_size, self.image_size):
                resized = picture.resize((self.image_size, self.image_size), Image.Resampling.BICUBIC)
            else:
                resized = picture
            pixels = np.asarray(resized, dtype=np.float32) / 127.5 - 1
            cut = pixels[: side * self.grid, : side * self.grid].reshape(self.grid, side, self.grid, side, 3)
            rows = cut.transpose(0, 2, 1, 3, 4).reshape(self.grid**2, values)
            found.append(RegionFeatures(rows if linear is None else rows @ linear, boxes))
        return found

    def describe(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {
            "kind": "patches", "image_size": self.image_size, "grid": self.grid, "width": self.width, "seed": self.seed
        }  # fmt: skip


RegionSource = Callable[[Sequence[Any]], list[RegionFeatures]]


def stack_regions(regions: Sequence[RegionFeatures], width: int, device: Any) -> dict[str, Any]:
    """Tensors ``features [n, k, d]``, ``boxes [n, k, 4]`` and ``mask [n, k]``, padded to the largest k."""
    import torch

    most = max((len(each.features) for each in regions), default=1)
    features = np.zeros((len(regions), most, width), np.float32)
    boxes = np.zeros((len(regions), most, 4), np.float32)
    mask = np.zeros((len(regions), most), np.float32)
    for place, each in enumerate(regions):
        k = len(each.features)
        if each.features.shape[1] != width:
            raise FusionError(
                f"regions of image {place} are {each.features.shape[1]} wide; the model reads {width}. Use features of "
                "the detector that it was trained with."
            )
        features[place, :k], boxes[place, :k], mask[place, :k] = each.features, each.boxes, 1
    arrays = {"features": features, "boxes": boxes, "mask": mask}
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
