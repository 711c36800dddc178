"""A population of small CLIPs trained on worlds, as the vectors they made of the registry ``world-eat``.

`population` loads one as an encoder (``world:population/NAME`` on the command line); no torch. The models come from
``train/world_sweeps.py``, which also says what was planted; their covariates stand in ``models.csv`` beside the vectors
and their zero-shot accuracy in ``performance.csv``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ....atomic import write_atomic
from ....errors import EncoderError
from ...encoders.images import check_images, to_rgb
from ...encoders.seam import EncoderCard, Vectors, check_texts, empty_vectors

__all__ = ["MODELS", "PERFORMANCE", "PopulationEncoder", "population", "population_names", "write_population"]

FOLDER = Path(__file__).parent
VECTORS = "vectors.safetensors"
MODELS, PERFORMANCE = "models.csv", "performance.csv"
GRID = 6  # a picture is known by the mean colours of 6 x 6 fields, which no rounding of a drawing changes much
TOLERANCE = 3


def population(name: str, *, folder: str = "") -> PopulationEncoder:
    """One of the stored models, as an encoder that answers for the stimuli of ``world-eat``.

    Parameters
    ----------
    name : str
        See `population_names`.
    folder : path, optional
        Another population, written by `write_population`; default: the shipped one.

    Raises
    ------
    EncoderError
        No model of that name; not a folder of a population.

    Examples
    --------
    >>> encoder = population(population_names()[0])
    >>> encoder.encode_texts(["a kind person"]).shape[0]
    1
    """
    held = _read(Path(folder) if folder else FOLDER)
    if name not in held.names:
        near = get_close_matches(name, held.names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else f" They are {', '.join(held.names[:4])}, ..."
        raise EncoderError(f"world:population/{name}: none of the {len(held.names)} stored models.{hint}")
    return PopulationEncoder(held, name)


def population_names(folder: Path | str | None = None) -> tuple[str, ...]:
    """Names of the stored models, in the order in which they were trained."""
    return _read(Path(folder) if folder else FOLDER).names


def write_population(
    folder: Path | str, names: Sequence[str], texts: Sequence[str], pictures: NDArray[np.uint8], *,
    text_vectors: NDArray[Any], picture_vectors: NDArray[Any],
) -> None:  # fmt: skip
    """Write ``vectors.safetensors`` of a population.

    Parameters
    ----------
    names, texts : sequences of m and t str
    pictures : uint8 [p, side, side, 3]
    text_vectors, picture_vectors : arrays [m, t, d] and [m, p, d]
        Stored as float16.
    """
    from safetensors.numpy import save

    tensors = {
        "texts": np.asarray(text_vectors, np.float16),
        "pictures": np.asarray(picture_vectors, np.float16),
        "fields": np.stack([_fields(picture) for picture in pictures]),
    }
    metadata = {"names": json.dumps(list(names)), "texts": json.dumps(list(texts))}
    write_atomic(Path(folder) / VECTORS, save(tensors, metadata))


class _Population:
    """The content of one file of vectors."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
        self.names: tuple[str, ...] = tuple(json.loads(metadata["names"]))
        self.texts = {text: row for row, text in enumerate(json.loads(metadata["texts"]))}
        self.text_vectors, self.picture_vectors = tensors["texts"], tensors["pictures"]
        self.fields = tensors["fields"].astype(np.int16)

    @cached_property
    def rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}


@lru_cache(maxsize=4)
def _open(file: str, changed: int) -> _Population:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as held:
            return _Population({key: held.get_tensor(key) for key in held.keys()}, held.metadata() or {})  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise EncoderError(f"{file}: not the vectors of a population ({error}).") from error


def _read(folder: Path) -> _Population:
    file = folder / VECTORS
    if not file.is_file():
        raise EncoderError(f"{folder}: no {VECTORS}; expected a folder that train/world_sweeps.py wrote.")
    return _open(str(file), file.stat().st_mtime_ns)


def _fields(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean colours of 6 x 6 fields, uint8 [108]."""
    edges = [np.linspace(0, size, GRID + 1).round().astype(int) for size in picture.shape[:2]]
    means = [
        picture[top:bottom, left:right].reshape(-1, 3).mean(0)
        for top, bottom in zip(edges[0], edges[0][1:], strict=False)
        for left, right in zip(edges[1], edges[1][1:], strict=False)
    ]
    return np.concatenate(means).round().astype(np.uint8)


@final
class PopulationEncoder:
    """Stored vectors of one model: texts by exact string, pictures by how they look; everything else is refused."""

    def __init__(self, held: _Population, name: str) -> None:
        row = held.rows[name]
        self._held, self._texts, self._pictures = held, held.text_vectors[row], held.picture_vectors[row]
        digest = hashlib.sha256(self._texts.tobytes() + self._pictures.tobytes()).hexdigest()[:16]
        self.card = EncoderCard(
            library="stored", name=f"world:population/{name}", weights=f"sha256:{digest}", dim=self._texts.shape[1],
            training_data="fairvl world (synthetic)", licence="Apache-2.0",
        )  # fmt: skip

    def encode_texts(self, texts: Iterable[str]) -> Vectors:
        """float32 ``[n, d]`` of texts of ``world-eat``."""
        wanted = check_texts(texts)
        if unknown := [text for text in wanted if text not in self._held.texts]:
            near = get_close_matches(unknown[0], self._held.texts, n=1)
            raise EncoderError(
                f"{self.card.name}: no stored vector for {unknown[0]!r}{f' (nearest: {near[0]!r})' if near else ''}. "
                "It answers for the stimuli of the registry world-eat only."
            )
        if not wanted:
            return empty_vectors(self.card.dim)
        found: Vectors = self._texts[[self._held.texts[text] for text in wanted]].astype(np.float32)
        return found

    def encode_images(self, images: Sequence[Any]) -> Vectors:
        """float32 ``[n, d]`` of pictures of ``world-eat``."""
        rows = []
        for image in check_images(images):
            seen = _fields(np.asarray(to_rgb(image))).astype(np.int16)
            distance = np.abs(self._held.fields - seen).max(axis=1)
            rows.append(int(np.argmin(distance)))
            if distance[rows[-1]] > TOLERANCE:
                raise EncoderError(
                    f"{self.card.name}: no stored vector for this picture. It answers for the stimuli of the registry "
                    "world-eat only."
                )
        return self._pictures[rows].astype(np.float32) if rows else empty_vectors(self.card.dim)
