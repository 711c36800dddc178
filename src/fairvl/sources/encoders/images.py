"""Images on their way into a model: RGB, resized and cropped, without torch until the tensor is needed.

Resizing is done by Pillow on 8-bit pixels, as the models were trained; the array that leaves `preprocess` is uint8, so
that worker processes need no torch and send a quarter of the bytes. Normalisation happens beside the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import EncoderError

ResizeMode = Literal["shortest", "squash", "none"]
Rounding = Literal["floor", "even"]
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
PROBE_SIZES = ((97, 131), (131, 98), (23, 17), (224, 224))


class Transform(Protocol):
    """One image to one array (CPU, picklable), and a stack of those arrays to the model's input."""

    def __call__(self, image: Any) -> NDArray[Any]: ...

    def to_input(self, batch: NDArray[Any], device: Any) -> Any: ...

    def describe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class PixelTransform:
    """Resize, centre crop and normalise, as a value: its fields say everything it does.

    Attributes
    ----------
    resize : {"shortest", "squash", "none"}
        Shorter side to ``size[0]`` with the ratio kept, both sides to `size`, or nothing.
    size : tuple of int
        Height and width to resize to; for ``shortest`` both are the target of the shorter side.
    crop : tuple of int
        Height and width of the centre crop, the model's input.
    resample : str
        Pillow's name of the filter: ``bicubic``, ``bilinear``, ``lanczos``, ``nearest``, ``box``, ``hamming``.
    rounding : {"floor", "even"}
        Where an odd margin goes: transformers rounds down, torchvision half to even.
    mean, std, scale
        The model sees ``(pixel * scale - mean) / std``.
    """

    resize: ResizeMode
    size: tuple[int, int]
    crop: tuple[int, int]
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    scale: float = 1 / 255
    rounding: Rounding = "floor"

    def __call__(self, image: Any) -> NDArray[np.uint8]:
        """`image` as uint8 ``[height, width, 3]``, resized and cropped, not normalised."""
        picture = to_rgb(image)
        width, height = picture.size
        if self.resized(height, width) != (height, width):
            target = self.resized(height, width)
            picture = picture.resize((target[1], target[0]), Image.Resampling[self.resample.upper()])
            height, width = target
        top, left = self.corner(height, width)
        if (height, width) != self.crop:
            picture = picture.crop((left, top, left + self.crop[1], top + self.crop[0]))  # outside is black
        return np.array(picture, dtype=np.uint8)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize."""
        if self.resize == "none":
            return height, width
        if self.resize == "squash":
            return self.size
        short = self.size[0]
        if height <= width:
            return short, int(short * width / height)
        return int(short * height / width), short

    def corner(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of the crop; negative where the image is smaller than the crop."""
        margins = (height - self.crop[0], width - self.crop[1])
        if self.rounding == "floor":
            return margins[0] // 2, margins[1] // 2
        return round(margins[0] / 2), round(margins[1] / 2)

    def to_input(self, batch: NDArray[Any], device: Any) -> Any:
        """uint8 ``[n, h, w, 3]`` to a normalised float32 tensor ``[n, 3, h, w]`` on `device`."""
        import torch

        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (*self.crop, 3):
            raise EncoderError(
                f"preprocessed batch of {batch.dtype} {batch.shape}; expected uint8 (n, {self.crop[0]}, "
                f"{self.crop[1]}, 3), a stack of what encoder.preprocess returns."
            )
        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(device)
        return self.normalise(pixels.permute(0, 3, 1, 2).to(torch.float32).contiguous() / 255)

    def normalise(self, pixels: Any) -> Any:
        """Float tensor ``[n, 3, h, w]`` in [0, 1] as the model expects it; differentiable."""
        import torch

        shape = (1, 3, 1, 1)
        mean = torch.tensor(self.mean, dtype=pixels.dtype, device=pixels.device).reshape(shape)
        std = torch.tensor(self.std, dtype=pixels.dtype, device=pixels.device).reshape(shape)
        if abs(self.scale * 255 - 1) > 1e-9:
            pixels = pixels * (self.scale * 255)
        return (pixels - mean) / std

    def resize_pixels(self, pixels: Any) -> Any:
        """Float tensor ``[n, 3, h, w]`` resized and cropped like an image, differentiably.

        Equal to the 8-bit path where no resize is needed; elsewhere it lacks only Pillow's rounding to whole levels.
        """
        from torch.nn import functional

        height, width = int(pixels.shape[-2]), int(pixels.shape[-1])
        target = self.resized(height, width)
        if target != (height, width):
            if self.resample not in ("bicubic", "bilinear"):
                raise EncoderError(
                    f"encode_pixels got {height} x {width} pixels and the model resizes with {self.resample!r}, which "
                    f"is not differentiable here. Pass pixels of {self.crop[0]} x {self.crop[1]}."
                )
            pixels = functional.interpolate(
                pixels, size=target, mode=self.resample, align_corners=False, antialias=True
            )
            pixels = pixels.clamp(0, 1)  # bicubic overshoots; 8-bit pixels cannot
            height, width = target
        top, left = self.corner(height, width)
        bottom, right = top + self.crop[0], left + self.crop[1]
        pads = [max(0, -left), max(0, right - width), max(0, -top), max(0, bottom - height)]
        if any(pads):
            pixels = functional.pad(pixels, pads)
        top, left = top + pads[2], left + pads[0]
        return pixels[..., top : top + self.crop[0], left : left + self.crop[1]]

    def describe(self) -> dict[str, Any]:
        """The resolved settings as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class LibraryTransform:
    """A transform that the library or the user brought: ``PIL RGB image -> tensor or array [3, h, w]``."""

    function: Callable[[Any], Any]

    def __call__(self, image: Any) -> NDArray[np.float32]:
        """`image` as the transform's own float32 array."""
        output = self.function(to_rgb(image))
        if hasattr(output, "detach"):
            output = output.detach().cpu().numpy()
        return np.asarray(output, dtype=np.float32)

    def to_input(self, batch: NDArray[Any], device: Any) -> Any:
        """Float ``[n, 3, h, w]`` as a float32 tensor on `device`."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32)).to(device)

    def describe(self) -> dict[str, Any]:
        """The transform's own printed form; its output on the probe is what tells two of them apart."""
        text = repr(self.function)
        return {"transform": type(self.function).__name__ if " at 0x" in text else text}


def to_rgb(image: Any) -> Image.Image:
    """A PIL image of any mode, or a uint8 array ``[h, w, 3]`` or ``[h, w]``, as a PIL image in RGB.

    As `decode_image` does for files: of 16-bit grey the upper eight bits count (Pillow alone would clip it), and
    transparency is laid over white (a bare ``convert("RGB")`` would show whatever colour the transparent pixels hide).
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise EncoderError(
                f"image array of {image.dtype} {image.shape}; expected uint8 [h, w, 3] or [h, w]. "
                "Scale floats in [0, 1] by 255, move channels to the end."
            )
        if 0 in image.shape:
            raise EncoderError(f"image array of shape {image.shape} holds no pixel.")
        return Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    if not isinstance(image, Image.Image):
        raise EncoderError(
            f"image is {type(image).__name__}; expected a PIL image or a uint8 array [h, w, 3]. "
            "Open files first, e.g. with PIL.Image.open."
        )
    try:
        if image.mode == "RGB" and "transparency" not in image.info:
            image.load()
            return image
        if image.mode.startswith("I;16"):
            return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8)).convert("RGB")
        if image.mode in ("I", "F"):
            raise EncoderError(
                f"image of mode {image.mode!r}, whose range is unknown; expected 8-bit pixels. Scale it."
            )
        if image.mode in WITH_ALPHA or "transparency" in image.info:
            alpha = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", alpha.size, "white"), alpha).convert("RGB")
        return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise EncoderError(f"image cannot be decoded: {error}. Decode it before encoding, or leave it out.") from error


def check_images(images: Iterable[Any]) -> Sequence[Any] | NDArray[Any]:
    """`images` as a sequence, after checking that it is not one image."""
    if isinstance(images, Image.Image):
        raise EncoderError("encode_images got one image; expected a list of images. Write [image].")
    if isinstance(images, np.ndarray):
        if images.ndim != 4:
            raise EncoderError(
                f"encode_images got an array of shape {images.shape}; expected [n, h, w, 3], or a list of images. "
                "For one image write [image]."
            )
        return images
    try:
        return list(images)
    except TypeError as error:
        raise EncoderError(f"encode_images got {type(images).__name__}; expected a list of images.") from error


def stack(transform: Transform, images: Iterable[Any]) -> NDArray[Any]:
    """The transformed images as one array."""
    arrays = [transform(image) for image in images]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise EncoderError(
            f"the transform returned images of different shapes {sorted(shapes)[:3]}; expected one shape. "
            "Give it a resize and a crop."
        )
    return np.stack(arrays)


def probe_images() -> list[Image.Image]:
    """Fixed pictures from integer arithmetic, in sizes that show resizing, cropping and its rounding."""
    pictures = []
    for height, width in PROBE_SIZES:
        y, x, channel = np.ogrid[:height, :width, :3]
        pixels = ((x * 7 + y * 13 + channel * 50) ^ (x * y // 3)) & 255
        pictures.append(Image.fromarray(pixels.astype(np.uint8)))
    return pictures


def probe_hash(transform: Transform) -> str:
    """Hash of what `transform` makes of the probe images; floats count to the fourth decimal."""
    digest = hashlib.sha256()
    for picture in probe_images():
        array = transform(picture)
        digest.update(repr(array.shape).encode())
        if array.dtype.kind == "f":
            array = np.rint(array.astype(np.float64) * 1e4).astype(np.int64)
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def agrees(transform: PixelTransform, library: Callable[[Image.Image], Any], tolerance: float = 1e-4) -> bool:
    """Whether `transform` gives the model the same numbers as the library's own transform, on every probe."""
    for picture in probe_images():
        ours = transform.to_input(transform(picture)[None], "cpu")[0].numpy()
        theirs = np.asarray(library(picture))
        if ours.shape != theirs.shape or np.abs(ours - theirs).max() > tolerance:
            return False
    return True
