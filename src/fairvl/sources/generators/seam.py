"""What every generator is: prompts and seeds to images, and a card; and the checks that adapters share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import GeneratorError
from ...fingerprints import fingerprint

Images = NDArray[np.uint8]
LARGEST_SEED = 2**63 - 1


class PromptLengthWarning(UserWarning):
    """Prompts are longer than the window of a text tower; the model sees only their beginning."""


@dataclass(frozen=True, kw_only=True)
class GeneratorCard:
    """What produced an image: enough to make it again.

    Attributes
    ----------
    library, name, weights : str
        Adapter, model without paths of one machine, and the commit or hash of the weights.
    scheduler : str
        Class of the sampler and a fingerprint of its settings.
    steps : int
    guidance : float
        Weight of classifier-free guidance; at 1 the prompt alone decides.
    size : (height, width) in pixels
    dtype : str
        Precision of the computation.
    licence : str, optional
        Of the weights.
    repair : str
        Fingerprint of what fairvl changed in the pipeline; empty for the pipeline as it came.

    Examples
    --------
    >>> card = GeneratorCard(library="callable", name="mine", weights="v1", size=(8, 8))
    >>> GeneratorCard.from_dict(card.as_dict()) == card
    True
    """

    library: str
    name: str
    weights: str
    scheduler: str = ""
    steps: int = 1
    guidance: float = 1.0
    size: tuple[int, int]
    dtype: str = "float32"
    licence: str | None = None
    repair: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))

    @property
    def fingerprint(self) -> str:
        """Hash over every field."""
        return fingerprint(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return {**asdict(self), "size": list(self.size)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorCard:
        """A card from `as_dict`; fields that this version does not know are left out."""
        missing = [name for name in ("library", "name", "weights", "size") if name not in values]
        if missing:
            raise GeneratorError(f"generator card without {missing}; found the fields {sorted(values)}.")
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in known})


class Generator(ABC):
    """Turns prompts and seeds into images; image i depends on ``prompts[i]`` and ``seeds[i]`` alone."""

    @property
    @abstractmethod
    def card(self) -> GeneratorCard: ...

    @abstractmethod
    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Images:
        """Images uint8 ``[n, height, width, 3]``, one for each prompt with its seed."""

    def over_length(self, prompts: Sequence[str]) -> list[int]:
        """Positions of the prompts that a text tower sees only the beginning of; none where that is not known."""
        return []


def check_prompts(prompts: Iterable[Any]) -> list[str]:
    """`prompts` as a list of texts that say something."""
    if isinstance(prompts, str):
        raise GeneratorError("prompts: one string; expected a list of strings. Write [prompt].")
    listed = list(prompts)
    for place, prompt in enumerate(listed):
        if not isinstance(prompt, str) or not prompt.strip():
            raise GeneratorError(f"prompts: item {place} is {prompt!r}; expected a text that is not empty.")
    return listed


def check_seeds(seeds: Iterable[Any], n: int | None = None) -> list[int]:
    """`seeds` as whole numbers from 0, `n` of them where that is given."""
    if isinstance(seeds, (str, bytes)) or not isinstance(seeds, Iterable):
        raise GeneratorError(f"seeds: {seeds!r}; expected a list of whole numbers.")
    listed = list(seeds)
    for place, seed in enumerate(listed):
        whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
        if not whole or not 0 <= seed <= LARGEST_SEED:
            raise GeneratorError(f"seeds: item {place} is {seed!r}; expected whole numbers from 0 to 2^63 - 1.")
    if n is not None and len(listed) != n:
        raise GeneratorError(f"{len(listed)} seeds for {n} prompts; expected one each.")
    return [int(seed) for seed in listed]


def check_images(images: Any, n: int, source: str) -> Images:
    """What a generator returned, as uint8 ``[n, h, w, 3]``."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[0] != n or array.shape[3] != 3:
        raise GeneratorError(
            f"{source} gave {array.dtype} of shape {array.shape}; expected uint8 ({n}, height, width, 3)."
        )
    return array
