"""What every encoder is: two methods and a card; and the checks that every adapter shares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...errors import EncoderError, missing_extra
from ...fingerprints import fingerprint

Vectors = NDArray[np.float32]
IDENTITY = ("library", "name", "weights", "revision")  # what decides whether vectors are comparable


class TextLengthWarning(UserWarning):
    """Texts are longer than the model's context; the model sees only their beginning."""


@dataclass(frozen=True, kw_only=True)
class EncoderCard:
    """What produced a vector: enough to load the same encoder again and to see that it changed.

    Attributes
    ----------
    library : str
        Adapter: ``open_clip``, ``transformers``, ``callable``, ``stored``, ``fake``, ...
    name : str
        Architecture or repository, without paths of one machine.
    weights : str
        Pretrained tag, file hash, or ``random``.
    revision : str, optional
        Commit of a hub repository, or seed of random weights.
    preprocessing : str, optional
        Fingerprint of the resolved image transform and tokenizer *and* of what they make of fixed probes, so that a
        silent change of a dependency shows.
    dim : int
        Width of a vector.
    dtype : str
        Precision of the computation; vectors are returned as float32.
    parameters, training_data, licence, context_length : optional
        Parameter count, tag of the training data, licence of the weights, longest text in tokens.
    modalities : tuple of str
        Which of ``image`` and ``text`` can be encoded.

    Examples
    --------
    >>> card = EncoderCard(library="callable", name="mine", weights="v1", dim=8)
    >>> EncoderCard.from_dict(card.as_dict()) == card
    True
    """

    library: str
    name: str
    weights: str
    revision: str | None = None
    preprocessing: str | None = None
    dim: int
    dtype: str = "float32"
    parameters: int | None = None
    training_data: str | None = None
    licence: str | None = None
    context_length: int | None = None
    modalities: tuple[str, ...] = ("image", "text")

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", tuple(self.modalities))
        if not set(self.modalities) <= {"image", "text"} or not self.modalities:
            raise EncoderError(f"card modalities {self.modalities}; expected 'image', 'text' or both.")
        if isinstance(self.dim, bool) or not isinstance(self.dim, int) or self.dim < 1:
            raise EncoderError(f"card dim {self.dim!r}; expected the width of a vector, a whole number from 1.")

    @property
    def fingerprint(self) -> str:
        """Hash over every field: two encoders with equal fingerprints are one encoder."""
        return fingerprint(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**asdict(self), "modalities": list(self.modalities)}

    def differences(self, other: Mapping[str, Any]) -> str:
        """What says that vectors under another card (as plain values) are not of this encoder; empty when nothing does.

        Examples
        --------
        >>> EncoderCard(library="callable", name="mine", weights="v2", dim=8).differences({"weights": "v1"})
        "weights 'v1' instead of 'v2'"
        """
        mine = ((name, getattr(self, name)) for name in IDENTITY if name in other)
        return ", ".join(f"{name} {other[name]!r} instead of {value!r}" for name, value in mine if other[name] != value)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EncoderCard:
        """A card from `as_dict`; fields that this version does not know are left out."""
        missing = [name for name in ("library", "name", "weights", "dim") if name not in values]
        if missing:
            raise EncoderError(f"encoder card without {missing}; found the fields {sorted(values)}.")
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


@runtime_checkable
class Encoder(Protocol):
    """Turns images and texts into vectors of one space. Rows are not unit length unless the model makes them so.

    Optional capabilities, asked for with ``getattr(encoder, name, None)``:

    * ``preprocess``: picklable ``PIL image -> array`` without a model, for worker processes;
    * ``encode_preprocessed(batch)``: the model's half of the same, ``-> float32 [n, d]``;
    * ``encode_pixels(tensor)``: differentiable, float ``[n, 3, h, w]`` in [0, 1] ``-> tensor [n, d]``;
    * ``over_length(texts)``: positions of the texts that exceed the context length;
    * ``unknown_words(texts)``: words that a closed vocabulary lacks.
    """

    @property
    def card(self) -> EncoderCard: ...

    def encode_images(self, images: Sequence[Any]) -> Vectors: ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors: ...


def check_texts(texts: Iterable[Any]) -> list[str]:
    """`texts` as a list, after checking that it is a sequence of strings and not one string."""
    if isinstance(texts, str):
        raise EncoderError("encode_texts got one string; expected a list of strings. Write [text].")
    try:
        checked = list(texts)
    except TypeError as error:
        raise EncoderError(f"encode_texts got {type(texts).__name__}; expected a list of strings.") from error
    for position, text in enumerate(checked):
        if not isinstance(text, str):
            raise EncoderError(
                f"encode_texts: item {position} is {type(text).__name__}; expected str. "
                "A missing caption is not a text: leave it out."
            )
    return checked


def as_vectors(output: Any, rows: int, source: str, *, dim: int | None = None) -> Vectors:
    """What a model or a user's function returned, as float32 ``[rows, d]`` of finite numbers."""
    if hasattr(output, "detach"):  # a torch tensor; torch itself need not be imported to know
        output = output.detach().cpu().float().numpy()
    try:
        array = np.asarray(output)
    except ValueError as error:
        raise EncoderError(f"{source} returned rows of different lengths; expected an array [n, d].") from error
    if array.dtype.kind not in "fiu":
        raise EncoderError(f"{source} returned dtype {array.dtype}; expected numbers.")
    if array.ndim != 2 or array.shape[0] != rows or (dim is not None and array.shape[1] != dim):
        expected = f"({rows}, {'d' if dim is None else dim})"
        raise EncoderError(f"{source} returned shape {array.shape}; expected {expected}, one row per input.")
    vectors = np.array(array, dtype=np.float32)  # a copy: later changes of the function's buffer stay outside
    if not np.isfinite(vectors).all():
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        raise EncoderError(f"{source} returned NaN or infinity in {len(bad)} rows, first row {bad[0]}.")
    return vectors


def empty_vectors(dim: int) -> Vectors:
    """What an empty list encodes to."""
    return np.zeros((0, dim), dtype=np.float32)


def need(package: str, extra: str = "models") -> ModuleType:
    """The imported optional package, or an error that names the extra to install."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] == package.split(".")[0]:
            raise missing_extra(package, extra) from error
        raise
