"""Images on their way into a fusion model, and the settings file that says how they get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import EncoderError, FusionError
from ..encoders.images import PixelTransform, to_rgb

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
RESAMPLE = {int(value): value.name.lower() for value in Image.Resampling}


def squash(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> PixelTransform:
    """Resize both sides to `size` and normalise."""
    red, green, blue = mean
    return PixelTransform("squash", (size, size), (size, size), "bicubic", (red, green, blue), (std[0], std[1], std[2]))


def check_images(images: Any) -> Any:
    """`images` as something to iterate: a list, or one array ``[n, h, w, 3]``."""
    if isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim != 4):
        raise FusionError("images: one image; expected a list of images. Write [image].")
    if isinstance(images, (str, bytes, Mapping)):
        raise FusionError(f"images: {type(images).__name__}; expected a list of PIL images or uint8 arrays [h, w, 3].")
    return images


def pictures(images: Any) -> list[Image.Image]:
    """`images` in RGB; the one that is no image is named."""
    found = []
    for place, image in enumerate(check_images(images)):
        try:
            found.append(to_rgb(image))
        except EncoderError as error:
            raise FusionError(f"images: item {place}: {error}") from None
    return found


def to_pixels(transform: PixelTransform, images: Sequence[Any], device: Any) -> Any:
    """Normalised float32 tensor ``[n, 3, h, w]``."""
    arrays = [transform(image) for image in pictures(images)]
    batch = np.stack(arrays) if arrays else np.zeros((0, *transform.crop, 3), np.uint8)
    return transform.to_input(batch, device)


@dataclass(frozen=True)
class ShortestEdge:
    """ViLT's resize: the shorter side to `edge`, the longer to at most 1333 / 800 of it, both a multiple of `divisor`.

    Images keep their ratio, so they differ in size; a batch is padded below and to the right.
    """

    edge: int
    divisor: int
    resample: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Any) -> NDArray[np.uint8]:
        """`image` as uint8 ``[height, width, 3]``, resized, not normalised."""
        picture = to_rgb(image)
        height, width = self.resized(picture.size[1], picture.size[0])
        return np.array(picture.resize((width, height), Image.Resampling[self.resample.upper()]), dtype=np.uint8)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize."""
        scale = self.edge / min(height, width)
        sides = [self.edge if side == min(height, width) else scale * side for side in (height, width)]
        longest = int(1333 / 800 * self.edge)
        if max(sides) > longest:
            sides = [side * longest / max(sides) for side in sides]
        high, wide = (max(self.divisor, int(side + 0.5) // self.divisor * self.divisor) for side in sides)
        return high, wide

    def stack(self, images: Sequence[Any], device: Any) -> tuple[Any, Any]:
        """Normalised float32 ``[n, 3, h, w]``, zero where padded, and the sizes int64 ``[n, 2]`` of the images."""
        import torch

        arrays = [self(image) for image in pictures(images)]
        sizes = np.array([array.shape[:2] for array in arrays], dtype=np.int64).reshape(-1, 2)
        high, wide = sizes.max(axis=0) if len(sizes) else (self.edge, self.edge)
        pixels = np.zeros((len(arrays), 3, high, wide), np.float32)
        for row, array in zip(pixels, arrays, strict=True):
            normal = (array / np.float32(255) - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
            row[:, : array.shape[0], : array.shape[1]] = normal.transpose(2, 0, 1)
        return torch.from_numpy(pixels).to(device), torch.from_numpy(sizes).to(device)

    def settings(self) -> dict[str, Any]:
        """The contents of a ``preprocessor_config.json`` of transformers."""
        return {
            "image_processor_type": "ViltImageProcessor",
            "do_resize": True,
            "size": {"shortest_edge": self.edge},
            "size_divisor": self.divisor,
            "resample": int(Image.Resampling[self.resample.upper()]),
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_pad": True,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], source: str) -> ShortestEdge:
        """The transform that a ``preprocessor_config.json`` describes."""
        size = settings.get("size")
        edge = size.get("shortest_edge") if isinstance(size, dict) else size
        mean, std = settings.get("image_mean", HALF), settings.get("image_std", HALF)
        if not isinstance(edge, int) or edge < 1 or len(mean) != 3 or len(std) != 3:
            raise FusionError(
                f"{source}: image settings with size {size!r}, mean {mean!r} and std {std!r}; expected a shortest edge "
                "and three numbers each."
            )
        filters = RESAMPLE.get(int(settings.get("resample", 3)), "bicubic")
        return cls(edge, int(settings.get("size_divisor", 32)), filters, tuple(mean), tuple(std))


def processor_settings(transform: PixelTransform, kind: str) -> dict[str, Any]:
    """`transform` as the contents of a ``preprocessor_config.json`` of transformers."""
    return {
        "image_processor_type": kind,
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": transform.size[0], "width": transform.size[1]},
        "resample": int(Image.Resampling[transform.resample.upper()]),
        "do_rescale": True,
        "rescale_factor": transform.scale,
        "do_normalize": True,
        "image_mean": list(transform.mean),
        "image_std": list(transform.std),
    }


def from_settings(settings: Mapping[str, Any], source: str) -> PixelTransform:
    """The transform that a ``preprocessor_config.json`` describes: both sides resized to a fixed size."""
    size = settings.get("size")
    if isinstance(size, int):
        size = {"height": size, "width": size}
    mean, std = settings.get("image_mean"), settings.get("image_std")
    if not isinstance(size, dict) or not size.get("height") or not size.get("width") or not mean or not std:
        raise FusionError(
            f"{source}: image settings with size {size!r}, mean {mean!r} and std {std!r}; expected a height, a width, "
            "and three numbers each, as preprocessor_config.json of this family has them."
        )
    shape = (int(size["height"]), int(size["width"]))
    means, stds = (tuple(float(value) for value in values) for values in (mean, std))
    return PixelTransform(
        "squash", shape, shape, RESAMPLE.get(int(settings.get("resample", 3)), "bicubic"), means, stds,  # type: ignore[arg-type]
        scale=float(settings.get("rescale_factor", 1 / 255)),
    )  # fmt: skip
