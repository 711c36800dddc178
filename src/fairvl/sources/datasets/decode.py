"""Bytes from strangers to one RGB picture, or a `DatasetError` with a short reason.

What is accepted: JPEG (MPO included), PNG, WebP, GIF and BMP. TIFF and everything else are refused: their decoders are
the widest attack surface and no layout that we read writes them.
The size is read from the header before any pixel is decoded; a truncated file is refused, never padded.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from fairvl.errors import DatasetError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 89_478_485  # Pillow's own warning level: 256 MiB of RGB
MAX_BYTES = 64 * 1024 * 1024
BACKGROUND = (255, 255, 255)

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OPAQUE = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})

# Warning filters belong to the whole process, so one thread at a time may change them.
_quiet = threading.Lock()


def _new_lock_in_child() -> None:
    # A child forked while another thread held the lock would wait for ever.
    global _quiet
    _quiet = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock_in_child)


def decode_image(
    data: bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    background: tuple[int, int, int] = BACKGROUND,
) -> Image.Image:
    """Decode one image to RGB, upright, 8 bits per channel; the same bytes always give the same pixels.

    The first frame of an animation is taken; the EXIF orientation is applied; transparency is laid over `background`
    (white); 16-bit values keep their high byte (0 and 65535 become 0 and 255), as Pillow does for 16-bit colour; CMYK
    is read by Adobe's inverted convention and converted by Pillow's plain formula. Colour profiles are not applied.
    Safe to call from threads and processes; no warning leaves it.

    Parameters
    ----------
    data : bytes
        The whole encoded file.
    max_pixels : int
        Width times height above which the file is refused from its header, before any pixel is decoded.
    max_bytes : int
        Length of `data` above which it is refused.
    background : tuple of 3 int
        Colour under transparent pixels, 0 to 255 each.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, with no metadata attached.

    Raises
    ------
    DatasetError
        The reason in one short line: not an accepted format, too large, truncated, or broken.

    Examples
    --------
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> file = BytesIO()
    >>> Image.new("L", (3, 2), 128).save(file, "PNG")
    >>> decode_image(file.getvalue()).getpixel((0, 0))
    (128, 128, 128)
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise DatasetError(f"an image must be given as bytes, found {type(data).__name__}")
    data = bytes(data)
    if not data:
        raise DatasetError("the image is empty (0 bytes)")
    if len(data) > max_bytes:
        raise DatasetError(f"the image has {len(data):,} bytes, over the cap of {max_bytes:,}")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise DatasetError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on, so files cut short would pass as partly grey; set it to False"
        )
    _refuse_large(_webp_size(data), max_pixels)
    try:
        with _warnings_held():
            image = Image.open(BytesIO(data), formats=FORMATS)
        _refuse_large(image.size, max_pixels)
        image.load()
        with _warnings_held():
            turn = _turn(image)
        picture = _to_rgb(image, background)
    except (DatasetError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DatasetError(f"the header declares more pixels than the cap of {max_pixels:,}: {error}") from error
    except UnidentifiedImageError as error:
        raise DatasetError(
            f"not a readable {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file (it starts with {data[:8]!r})"
        ) from error
    except Exception as error:  # decoders of broken bytes raise nearly anything
        raise DatasetError(f"the image cannot be decoded: {_short(error)}") from error
    return picture if turn is None else picture.transpose(turn)


@contextmanager
def _warnings_held() -> Iterator[None]:
    with _quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _refuse_large(size: tuple[int, int] | None, max_pixels: int) -> None:
    if size is not None and size[0] * size[1] > max_pixels:
        raise DatasetError(
            f"the header declares {size[0]:,} x {size[1]:,} pixels, over the cap of {max_pixels:,} pixels"
        )


def _webp_size(data: bytes) -> tuple[int, int] | None:
    # Pillow allocates a WebP's canvas while opening it, so its size must be known earlier.
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # broken metadata beside good pixels: the picture stays as stored
        return None


def _to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode in _DEEP:
        return _deep_to_rgb(image, background)
    if image.mode not in _OPAQUE | _WITH_ALPHA:
        raise DatasetError(f"pixel mode {image.mode!r} is not supported; save it as 8-bit RGB")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        alpha = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", alpha.size, (*background, 255)), alpha).convert("RGB")
    picture = image.convert("RGB")  # a copy, also of RGB
    picture.info.clear()  # what is handed out carries no EXIF, profile or text of the file
    return picture


def _deep_to_rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    values = np.asarray(image, dtype=np.uint16)
    pixels = np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    key = image.info.get("transparency")
    if isinstance(key, int):
        pixels[values == key] = background
    return Image.fromarray(pixels)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
