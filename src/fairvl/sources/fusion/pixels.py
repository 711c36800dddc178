"""Images on their way into a fusion model, and the settings file that says how they get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...errors import FusionError
from ..encoders.images import PixelTransform

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
RESAMPLE = {int(value): value.name.lower() for value in Image.Resampling}


def squash(size: int, mean: tuple[float, ...], std: tuple[float, ...]) -> PixelTransform:
    """Resize both sides to `size` and normalise."""
    red, green, blue = mean
    return PixelTransform("squash", (size, size), (size, size), "bicubic", (red, green, blue), (std[0], std[1], std[2]))


def check_images(images: Sequence[Any]) -> Sequence[Any]:
    """`images` as something to iterate: a list, or one array ``[n, h, w, 3]``."""
    if isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim != 4):
        raise FusionError("images: one image; expected a list of images. Write [image].")
    if isinstance(images, (str, bytes, Mapping)):
        raise FusionError(f"images: {type(images).__name__}; expected a list of PIL images or uint8 arrays [h, w, 3].")
    return images


def to_pixels(transform: PixelTransform, images: Sequence[Any], device: Any) -> Any:
    """Normalised float32 tensor ``[n, 3, h, w]``."""
    arrays = [transform(image) for image in check_images(images)]
    batch = np.stack(arrays) if arrays else np.zeros((0, *transform.crop, 3), np.uint8)
    return transform.to_input(batch, device)


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
