"""Stored vectors as an encoder: texts answer by exact string, images by id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from PIL import Image

from ...errors import EncoderError
from ..store import EmbeddingStore
from .seam import EncoderCard, Vectors, check_texts, empty_vectors

NEAREST_AMONG = 20_000  # difflib compares strings one by one
SAME_TEXT_TOLERANCE = 1e-2


@final
class StoredEncoder:
    """Answers from a folder: an EmbeddingStore, or a folder with stores ``images/`` and ``texts/``.

    A text is looked up by its exact string in the column ``caption`` (by id where there is no such column), an image by
    its id. What is not stored is an error that names the nearest entries: nothing is computed here.

    Raises
    ------
    EncoderError
        No store in the folder, or two stores of different encoders or widths.

    Examples
    --------
    >>> import tempfile
    >>> from fairvl.sources.store import write_store
    >>> folder = tempfile.mkdtemp() + "/texts"
    >>> _ = write_store(folder, ids=["t0"], text_vectors=[[3.0, 4.0]], columns={"caption": ["a nurse"]})
    >>> StoredEncoder(folder).encode_texts(["a nurse"]).tolist()
    [[3.0, 4.0]]
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self._images, self._texts = _open_sides(self._folder)
        self.card = _card(self._folder, self._images, self._texts)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the stored images."""
        return self._images.ids if self._images is not None else ()

    @property
    def image_store(self) -> EmbeddingStore | None:
        """The store of the images with its table; None where only texts are stored."""
        return self._images

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that can be encoded, each once."""
        return tuple(self._text_rows)

    def encode_ids(self, ids: Iterable[str]) -> Vectors:
        """float32 ``[n, d]`` of stored images by id."""
        if isinstance(ids, str):
            raise EncoderError("encode_ids got one string; expected a list of ids. Write [id].")
        wanted = list(ids)
        if self._images is None:
            raise EncoderError(f"{self.card.name}: the store holds no image vectors, only texts.")
        if not wanted:
            return empty_vectors(self.card.dim)
        unknown = [id_ for id_ in wanted if id_ not in self._image_rows]
        if unknown:
            raise EncoderError(_unknown(self.card.name, "image id", unknown, self._image_rows))
        rows = np.array([self._image_rows[id_] for id_ in wanted], dtype=np.int64)
        return np.asarray(self._images.image_vectors.read(rows), dtype=np.float32)

    def encode_images(self, images: Sequence[Any]) -> Vectors:
        """float32 ``[n, d]`` of stored images, named by ids or by records that have an ``id``."""
        if isinstance(images, (str, np.ndarray, Image.Image)):
            raise EncoderError(f"{self.card.name}: encode_images got {type(images).__name__}; expected a list of ids.")
        ids = [image if isinstance(image, str) else getattr(image, "id", None) for image in images]
        for image, id_ in zip(images, ids, strict=True):
            if not isinstance(id_, str):
                raise EncoderError(
                    f"{self.card.name} holds vectors, not a model: it knows images by id and got "
                    f"{type(image).__name__}. Pass ids or records, or encode with the model itself."
                )
        return self.encode_ids([id_ for id_ in ids if isinstance(id_, str)])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """float32 ``[n, d]`` of stored texts, by exact string."""
        wanted = check_texts(texts)
        if self._texts is None:
            raise EncoderError(f"{self.card.name}: the store holds no text vectors, only images.")
        if not wanted:
            return empty_vectors(self.card.dim)
        unknown = [text for text in wanted if text not in self._text_rows]
        if unknown:
            raise EncoderError(_unknown(self.card.name, "text", unknown, self._text_rows))
        for text in dict.fromkeys(wanted):
            self._check_repeated(text)
        rows = np.array([self._text_rows[text][0] for text in wanted], dtype=np.int64)
        return np.asarray(self._texts.text_vectors.read(rows), dtype=np.float32)

    @cached_property
    def _image_rows(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def _text_rows(self) -> dict[str, list[int]]:
        if self._texts is None:
            return {}
        store = self._texts
        strings = store.columns("caption").tolist() if "caption" in store.column_names else store.ids
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(strings):
            if isinstance(text, str):
                rows.setdefault(text, []).append(row)
        return rows

    def _check_repeated(self, text: str) -> None:
        rows = self._text_rows[text]
        if len(rows) == 1:
            return
        assert self._texts is not None
        vectors = self._texts.text_vectors.read(np.array(rows[:1000], dtype=np.int64))
        if np.abs(vectors - vectors[0]).max() > SAME_TEXT_TOLERANCE * float(np.abs(vectors[0]).max()):
            raise EncoderError(
                f"{self.card.name}: the text {text!r} is stored {len(rows)} times with different vectors; "
                "expected one vector per text. Embed again."
            )


def _open_sides(folder: Path) -> tuple[EmbeddingStore | None, EmbeddingStore | None]:
    if not folder.is_dir():
        raise EncoderError(
            f"stored: {str(folder)!r} is not a folder; expected a store, or a folder with images/, texts/."
        )
    parts = {side: folder / side for side in ("images", "texts") if (folder / side).is_dir()}
    if not parts:
        store = EmbeddingStore.open(folder)
        if not store.kinds:
            raise EncoderError(f"stored: {folder.name} holds no vectors; expected a store that `fairvl embed` wrote.")
        return (store if "image" in store.kinds else None), (store if "text" in store.kinds else None)
    images = EmbeddingStore.open(parts["images"]) if "images" in parts else None
    texts = EmbeddingStore.open(parts["texts"]) if "texts" in parts else None
    for part, side, kind in ((images, "images", "image"), (texts, "texts", "text")):
        if part is not None and kind not in part.kinds:
            raise EncoderError(f"stored: {folder.name}/{side} holds no {kind} vectors.")
    return images, texts


def _card(folder: Path, images: EmbeddingStore | None, texts: EmbeddingStore | None) -> EncoderCard:
    widths = {}
    if images is not None:
        widths["image"] = images.image_vectors.dim
    if texts is not None:
        widths["text"] = texts.text_vectors.dim
    if len(set(widths.values())) != 1:
        raise EncoderError(f"stored: {folder.name} has vectors of widths {widths}; expected one space of one encoder.")
    given = {key: value for store in (texts, images) if store is not None for key, value in store.card.items()}
    if images is not None and texts is not None:
        for field in ("library", "name", "weights", "revision"):
            pair = (images.card.get(field), texts.card.get(field))
            if images.card and texts.card and pair[0] != pair[1]:
                raise EncoderError(
                    f"stored: images and texts of {folder.name} come from different encoders "
                    f"({field}: {pair[0]!r} and {pair[1]!r}); their cosines mean nothing."
                )
    defaults = {"library": "stored", "name": f"stored:{folder.name}", "weights": "unknown"}
    dim = next(iter(widths.values()))
    return EncoderCard.from_dict({**defaults, **given, "dim": dim, "modalities": tuple(widths)})


def _unknown(name: str, kind: str, unknown: list[str], known: dict[str, Any]) -> str:
    entries = []
    candidates = list(known)[:NEAREST_AMONG]
    for text in unknown[:3]:
        near = get_close_matches(text, candidates, n=3, cutoff=0.5)
        entries.append(f"{text!r} (nearest: {', '.join(map(repr, near)) or 'none'})")
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    return (
        f"{name} does not hold {kind} {'; '.join(entries)}{more}. It answers only for the {len(known)} entries it "
        "stores, by exact string. Add them with the model that made the store."
    )
