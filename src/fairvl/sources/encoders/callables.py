"""A user's own functions as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

from PIL import Image

from ...errors import EncoderError
from .images import check_images, probe_images, to_rgb
from .seam import Encoder, EncoderCard, Vectors, as_vectors, check_texts, empty_vectors

ImageFunction = Callable[[list[Image.Image]], Any]
TextFunction = Callable[[list[str]], Any]


@final
class CallableEncoder:
    """An encoder made of one or two functions; see `encoder`."""

    def __init__(self, card: EncoderCard, image_fn: ImageFunction | None, text_fn: TextFunction | None) -> None:
        self.card = card
        self._image_fn = image_fn
        self._text_fn = text_fn

    def encode_images(self, images: Sequence[Any]) -> Vectors:
        """``image_fn`` of the images, converted to RGB first."""
        if self._image_fn is None:
            raise EncoderError(f"{self.card.name} has no image side: it was built without image_fn.")
        pictures = [to_rgb(image) for image in check_images(images)]
        if not pictures:
            return empty_vectors(self.card.dim)
        return as_vectors(self._image_fn(pictures), len(pictures), "image_fn", dim=self.card.dim)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """``text_fn`` of the texts."""
        if self._text_fn is None:
            raise EncoderError(f"{self.card.name} has no text side: it was built without text_fn.")
        checked = check_texts(texts)
        if not checked:
            return empty_vectors(self.card.dim)
        return as_vectors(self._text_fn(checked), len(checked), "text_fn", dim=self.card.dim)


def encoder(
    *,
    image_fn: ImageFunction | None = None,
    text_fn: TextFunction | None = None,
    card: EncoderCard | None = None,
    name: str = "custom",
) -> Encoder:
    """An encoder from your own functions.

    Parameters
    ----------
    image_fn : callable, optional
        List of RGB PIL images to an array or tensor ``[n, d]``.
    text_fn : callable, optional
        List of strings to an array or tensor ``[n, d]``, in the same space.
    card : EncoderCard, optional
        What the functions are. Without it a minimal card is made: `name`, and the width found by encoding one probe.
    name : str
        Name on a card made here.

    Returns
    -------
    Encoder
        Its output is float32; rows, width and finiteness are checked on every call.

    Raises
    ------
    EncoderError
        Neither function given, or the two return different widths.

    Examples
    --------
    >>> import numpy as np
    >>> lengths = encoder(text_fn=lambda texts: np.array([[len(text), 1.0] for text in texts]), name="lengths")
    >>> lengths.encode_texts(["a", "abc"]).tolist()
    [[1.0, 1.0], [3.0, 1.0]]
    """
    if image_fn is None and text_fn is None:
        raise EncoderError("encoder() got no function; expected image_fn=, text_fn= or both.")
    for label, function in (("image_fn", image_fn), ("text_fn", text_fn)):
        if function is not None and not callable(function):
            raise EncoderError(f"{label} is {type(function).__name__}; expected a callable.")
    sides = tuple(side for side, function in (("image", image_fn), ("text", text_fn)) if function is not None)
    if card is not None:
        if set(card.modalities) != set(sides):
            raise EncoderError(f"the card says modalities {card.modalities}, the functions given are for {sides}.")
        return CallableEncoder(card, image_fn, text_fn)
    widths: dict[str, int] = {}
    if image_fn is not None:
        widths["image_fn"] = as_vectors(image_fn(probe_images()[-1:]), 1, "image_fn").shape[1]
    if text_fn is not None:
        widths["text_fn"] = as_vectors(text_fn(["a person"]), 1, "text_fn").shape[1]
    if len(set(widths.values())) > 1:
        raise EncoderError(f"the functions return different widths {widths}; expected vectors of one space.")
    made = EncoderCard(
        library="callable", name=name, weights="given", dim=next(iter(widths.values())), modalities=sides
    )
    return CallableEncoder(made, image_fn, text_fn)
