"""What every image editor is: encode, edit, decode, capabilities and a card; and what paths need of a code space.

Strength is signed everywhere: the sign says towards which pole (+ the positive, - the negative one), the size how far.
For an editor with a code space it is the length of the way in z-normalised codes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ...errors import EncoderError, InputError
from ...fingerprints import fingerprint
from ...sources.encoders.images import to_rgb

CAPABILITIES = frozenset({"code_space", "continuous", "invertible", "differentiable", "samples"})
"""`code_space`: codes that a path moves; `continuous`: any strength; `invertible`: strength 0 gives the image back;
`differentiable`: decoding has a gradient; `samples`: draws images of its own."""


class LeftOutWarning(UserWarning):
    """Images that could not be used."""


Images = NDArray[np.uint8]
Codes = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class EditorCard:
    """What edited an image: enough to do it again.

    Attributes
    ----------
    family : str
        ``diffae``, or the class of a diffusers pipeline.
    name, weights : str
        Model without paths of one machine, and the fingerprint of its weights.
    size : int
        Side of the square images in pixels.
    licence : str, optional
        Of the weights.
    training_data : str, optional
    settings : mapping
        Everything else that decides the pixels: steps, scheduler, precision.

    Examples
    --------
    >>> card = EditorCard(family="diffae", name="mine", weights="v1", size=32)
    >>> EditorCard.from_dict(card.as_dict()) == card
    True
    """

    family: str
    name: str
    weights: str
    size: int
    licence: str | None = None
    training_data: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Hash over every field."""
        return fingerprint(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**asdict(self), "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EditorCard:
        """A card from `as_dict`; fields that this version does not know are left out."""
        missing = [name for name in ("family", "name", "weights", "size") if name not in values]
        if missing:
            raise InputError(f"editor card without {missing}; found the fields {sorted(values)}.")
        known = {one.name for one in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


@dataclass(frozen=True, eq=False)
class State:
    """Images as an editor holds them between `encode` and `decode`, one row an image.

    Attributes
    ----------
    codes : float32 [n, d], optional
        Semantic codes, in the model's own scale.
    noise : float32 [n, ...], optional
        The rest of each image: the noise from which the sampler starts. The same before and after an edit.
    images : uint8 [n, h, w, 3], optional
        The images themselves, for editors that need them.
    seeds : tuple of int
        One per image; whatever is random follows from it.
    instructions : tuple of str
        What instruction editors were told, one per image; empty before an edit.
    strengths : float32 [n], optional
        What `edit` was asked for last.
    """

    codes: Codes | None = None
    noise: Codes | None = None
    images: Images | None = None
    seeds: tuple[int, ...] = ()
    instructions: tuple[str, ...] = ()
    strengths: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(value) for name, value in self._rows().items()}
        if not lengths:
            raise InputError("an editing state needs codes, noise, images or seeds; all are missing.")
        if len(set(lengths.values())) > 1:
            raise InputError(f"an editing state holds {lengths} rows; expected the same number of each.")

    def _rows(self) -> dict[str, Any]:
        held = {one.name: getattr(self, one.name) for one in fields(self)}
        empty = {name for name, value in held.items() if value is None or (isinstance(value, tuple) and not value)}
        return {name: value for name, value in held.items() if name not in empty}

    def __len__(self) -> int:
        return len(next(iter(self._rows().values())))

    def take(self, rows: Sequence[int] | slice | NDArray[Any]) -> State:
        """The state of some of the images."""
        index = np.arange(len(self))[rows]
        parts: dict[str, Any] = {}
        for name, value in self._rows().items():
            parts[name] = tuple(value[i] for i in index) if isinstance(value, tuple) else value[index]
        return replace(self, **parts)


@runtime_checkable
class Path(Protocol):
    """A way through a code space: `PathModel.path` gives one for each attribute."""

    @property
    def attribute(self) -> str: ...

    def __call__(self, codes: Codes, strength: float | NDArray[Any]) -> Codes:
        """Codes [n, d] moved by a signed length, in z-normalised units; one strength, or one per row."""


class Editor(ABC):
    """Turns images into others that differ in one thing. Image i depends on image i, its seed and its edit alone."""

    capabilities: frozenset[str] = frozenset()

    @property
    @abstractmethod
    def card(self) -> EditorCard: ...

    @abstractmethod
    def encode(self, images: Sequence[Any], *, seeds: Sequence[int] | None = None) -> State:
        """Images (PIL or uint8 [n, h, w, 3]) as a state; `seeds`, one per image, default to 0, 1, 2 ..."""

    def again(self, images: Sequence[Any], state: State, seeds: Sequence[int]) -> State:
        """What `encode` gives of the same images with other seeds; `state`, of any seeds, may save the work."""
        return self.encode(images, seeds=seeds)

    @abstractmethod
    def edit(self, state: State, change: Path | str, strength: float | ArrayLike = 1.0) -> State:
        """The state moved along a path, or told an instruction, by a signed strength (one, or one per image)."""

    @abstractmethod
    def decode(self, state: State) -> Images:
        """Images uint8 ``[n, size, size, 3]`` of a state."""

    def require(self, *capabilities: str) -> None:
        """Refuse to go on without what is needed.

        Raises
        ------
        InputError
            The editor lacks a capability; the message names those that it has.
        """
        missing = sorted(set(capabilities) - self.capabilities)
        if missing:
            raise InputError(
                f"{self.card.family} ({self.card.name}) cannot: {', '.join(missing)}. It has "
                f"{', '.join(sorted(self.capabilities)) or 'none of the optional capabilities'}. Choose an editor "
                "that has it (DiffAE has them all), or leave out what asks for it."
            )


@dataclass(frozen=True, eq=False)
class CodeStats:
    """Statistics of codes, per dimension, float64 [d]: what z-normalisation and the first supports follow from."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, codes: ArrayLike) -> CodeStats:
        """Of codes [n, d]; a dimension that never varies gets a deviation of 1."""
        values = np.asarray(codes, dtype=np.float64)
        if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
            raise InputError(f"codes {values.shape}; expected at least two rows [n, d] of finite numbers.")
        spread = values.std(axis=0)
        return cls(values.mean(axis=0), np.where(spread > 0, spread, 1.0), values.min(axis=0), values.max(axis=0))

    def normalise(self, codes: Any) -> Any:
        """Codes as standard scores (arrays; for tensors pass statistics as tensors)."""
        return (codes - self.mean) / self.std

    def restore(self, scores: Any) -> Any:
        """The inverse of `normalise`."""
        return scores * self.std + self.mean


class CodeSpace(Protocol):
    """All that the path learner sees of a model."""

    @property
    def dim(self) -> int: ...

    @property
    def stats(self) -> CodeStats: ...

    def sample(self, n: int, seed: int) -> Codes:
        """Codes [n, dim] of the model's own distribution, in its own scale."""

    def noise(self, n: int, seed: int) -> Codes:
        """What `render` starts from, [n, ...]."""

    def render(self, codes: Any, noise: Any, *, steps: int = 20, grad_last: int = 0) -> Any:
        """Tensor ``[n, 3, h, w]`` in [-1, 1] of codes; gradients flow through the last `grad_last` of `steps` steps."""


@dataclass(frozen=True)
class Dipole:
    """Two texts that differ in one attribute, and texts of what must stay.

    Parameters
    ----------
    positive, negative : str or sequence of str
        The poles. Several texts of a pole are averaged; repeat a dipole across groups ("a photo of an old woman", "a
        photo of an old man") so that the groups cancel.
    attribute : str
        Name of the path.
    keep : sequence of (str, str)
        Dipoles of attributes that the path must not move.

    Examples
    --------
    >>> Dipole("a photo of an old person", "a photo of a young person", "age").positive
    ('a photo of an old person',)
    """

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    attribute: str
    keep: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("positive", "negative"):
            value = getattr(self, name)
            texts = (value,) if isinstance(value, str) else tuple(value)
            if not texts or any(not isinstance(text, str) or not text.strip() for text in texts):
                raise InputError(f"dipole {self.attribute!r}: {name} {value!r}; expected a text, or several.")
            object.__setattr__(self, name, texts)
        if not isinstance(self.attribute, str) or not self.attribute.strip():
            raise InputError(f"dipole attribute {self.attribute!r}; expected the name of what changes.")
        pairs = tuple(tuple(pair) for pair in self.keep)
        object.__setattr__(self, "keep", pairs)
        for left, right in (("; ".join(self.positive), "; ".join(self.negative)), *_two(pairs, self.attribute)):
            if left.strip().lower() == right.strip().lower():
                raise InputError(
                    f"dipole {self.attribute!r}: both poles say {left!r}. A path needs two texts that differ."
                )


def _two(pairs: tuple[Any, ...], attribute: str) -> list[tuple[str, str]]:
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(text, str) and text.strip() for text in pair):
            raise InputError(f"dipole {attribute!r}: keep {pair!r}; expected two texts.")
    return [(left, right) for left, right in pairs]


def check_seeds(seeds: Sequence[int] | None, n: int) -> tuple[int, ...]:
    """`seeds` as a tuple of `n` whole numbers from 0; 0, 1, 2 ... when None."""
    if seeds is None:
        return tuple(range(n))
    listed = list(seeds)
    whole = all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) and 0 <= s < 2**63 for s in listed)
    if len(listed) != n or not whole:
        raise InputError(f"seeds {listed[:5]} for {n} images; expected one whole number from 0 for each image.")
    return tuple(int(s) for s in listed)


def check_strength(strength: float | ArrayLike, n: int) -> NDArray[np.float32]:
    """`strength` as float32 [n]: one number for all images, or one each."""
    values = np.asarray(strength, dtype=np.float32)
    if values.shape not in ((), (n,)) or not np.isfinite(values).all():
        raise InputError(
            f"strength of shape {values.shape}; expected one finite number, or one for each of {n} images."
        )
    return np.ascontiguousarray(np.broadcast_to(values, (n,)))


def square_images(images: Sequence[Any] | Images, size: int, *, fit: str = "refuse") -> Images:
    """Images as a model of side `size` takes them, uint8 ``[n, size, size, 3]``.

    Grey becomes three channels, transparency is laid over white, 16-bit values keep their high byte. Larger images are
    reduced, smaller ones enlarged (Lanczos).

    Parameters
    ----------
    images : sequence of PIL images or arrays, or uint8 array [n, h, w, 3]
    size : int
    fit : "refuse", "crop" or "pad"
        What to do with images that are not square: an error, their central square, or white margins.

    Raises
    ------
    InputError
        No images, an image that cannot be read as RGB, or one that is not square.

    Examples
    --------
    >>> square_images([Image.new("L", (8, 8), 200)], 4).shape
    (1, 4, 4, 3)
    """
    if fit not in ("refuse", "crop", "pad"):
        raise InputError(f"fit={fit!r}; expected 'refuse', 'crop' or 'pad'.")
    if isinstance(images, np.ndarray) and (images.ndim != 4 or images.dtype != np.uint8):
        raise InputError(f"images {images.dtype} {images.shape}; expected uint8 [n, height, width, 3], or a list.")
    listed = list(images)
    if not listed:
        raise InputError("no images; expected at least one.")
    return np.stack([_square(image, place, size, fit) for place, image in enumerate(listed)])


def _square(image: Any, place: int, size: int, fit: str) -> Images:
    try:
        picture = to_rgb(image)
    except EncoderError as error:
        raise InputError(f"image {place}: {error}") from error
    width, height = picture.size
    if width != height:
        if fit == "refuse":
            raise InputError(
                f"image {place} is {width} x {height}; this editor takes square images of {size} x {size}. Crop it, "
                "or load the editor with fit='crop' (central square) or fit='pad' (white margins)."
            )
        picture = _made_square(picture, fit)
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(picture, dtype=np.uint8)


def _made_square(picture: Image.Image, fit: str) -> Image.Image:
    width, height = picture.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return picture.crop((left, top, left + side, top + side))
    side = max(width, height)
    sheet = Image.new("RGB", (side, side), (255, 255, 255))
    sheet.paste(picture, ((side - width) // 2, (side - height) // 2))
    return sheet
