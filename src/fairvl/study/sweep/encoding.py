"""Each distinct stimulus through one encoder, once: from the cache, or encoded in batches and kept.

A stimulus that the encoder cannot answer for (NaN, an unknown word, a picture that does not decode) has a reason
instead of a vector, and takes no other stimulus with it. An encoder whose vectors depend on the batch, or on chance,
is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import EncoderError, FairVLError
from ...sources.datasets.decode import decode_image
from ...sources.encoders import TextLengthWarning
from ...sources.stimuli import Registry, StimulusSet
from .cache import VectorCache

Vectors = NDArray[np.float32]
TEXTS_PER_CALL = 256
IMAGES_PER_CALL = 32
PIXELS_PER_CALL = 32_000_000  # decoded pictures held at once, about 100 MB
TOLERANCE = 1e-5
PROBED = 4
PROBE_BATCH = 32
REASON_CHARS = 600  # what helps stands at the end of a message


@dataclass(frozen=True)
class Stimulus:
    """Where one stimulus is: a set, and its position there."""

    key: str
    home: StimulusSet
    position: int

    @property
    def modality(self) -> str:
        return self.home.modality


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: keys with their vectors, lasting and passing reasons of the others."""

    keys: list[str] = field(default_factory=list)
    vectors: Vectors | None = None
    failed: dict[str, str] = field(default_factory=dict)
    passing: dict[str, str] = field(default_factory=dict)

    def __add__(self, other: Outcome) -> Outcome:
        parts = [o.vectors for o in (self, other) if o.vectors is not None and len(o.vectors)]
        return Outcome(
            self.keys + other.keys,
            np.concatenate(parts) if parts else None,
            self.failed | other.failed,
            self.passing | other.passing,
        )


def distinct_stimuli(registry: Registry) -> dict[str, Stimulus]:
    """Every stimulus of the cases that can run, once, by content key."""
    found: dict[str, Stimulus] = {}
    for case in registry.cases:
        if case.missing:
            continue
        for side in (case.x, case.y, case.a, case.b):
            for position, key in enumerate(side.keys):
                if key not in found:
                    found[key] = Stimulus(key, side, position)
    return found


def encode_stimuli(encoder: Any, stimuli: dict[str, Stimulus], cache: VectorCache) -> int:
    """Bring every stimulus into `cache`; the number that had to be encoded.

    Raises
    ------
    EncoderError
        Its vectors depend on the batch or on chance.
    """
    encoded = 0
    for modality in ("text", "image"):
        pending = [s for key, s in stimuli.items() if s.modality == modality and key not in cache]
        if not pending:
            continue
        if modality not in getattr(encoder.card, "modalities", ("image", "text")):
            cache.add([], _none(encoder), {s.key: f"the encoder has no {modality} side" for s in pending})
            continue
        chunks = _text_chunks(encoder, pending, cache) if modality == "text" else _image_chunks(encoder, pending, cache)
        probed = False
        for keys, items, encode in chunks:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TextLengthWarning)  # the rows say it, test by test
                outcome = _isolating(encode, keys, items)
            if not outcome.keys and not probed and len(keys) > 1:  # nothing works: do not ask thousands of times
                reason = f"no {modality} could be encoded: {next(iter((outcome.failed | outcome.passing).values()))}"
                cache.failed.update((s.key, reason) for s in pending if s.key not in cache)
                encoded += len(keys)
                break
            if outcome.vectors is not None and outcome.keys and not probed:
                succeeded = set(outcome.keys)
                good = [item for key, item in zip(keys, items, strict=True) if key in succeeded]
                _require_steady(encode, good, outcome.vectors, f"{encoder.card.name}, {modality}s")
                probed = True
            encoded += len(keys)
            cache.failed.update(outcome.passing)
            cache.add(outcome.keys, _none(encoder) if outcome.vectors is None else outcome.vectors, outcome.failed)
    return encoded


def over_length(encoder: Any, stimuli: dict[str, Stimulus]) -> frozenset[str]:
    """Keys of the texts that are longer than the encoder's context."""
    ask = getattr(encoder, "over_length", None)
    texts = [stimulus for stimulus in stimuli.values() if stimulus.modality == "text"]
    if ask is None or not texts:
        return frozenset()
    return frozenset(texts[position].key for position in ask(_texts(texts)))


def require_steady(encoder: Any, *, texts: Sequence[str] = (), images: Sequence[Any] = ()) -> None:
    """Refuse an encoder whose vectors depend on the batch or on chance.

    Each modality is encoded twice in a batch of 32 and once one by one; the three agree to 1e-5 of a vector's length.
    Batch normalisation or dropout left in training mode does not pass.

    Raises
    ------
    EncoderError
        Results differ, or a batch of one cannot be encoded.

    Examples
    --------
    >>> from fairvl.sources.encoders import FakeEncoder
    >>> require_steady(FakeEncoder(), texts=["a flower", "an insect"])
    """
    for encode, items in ((encoder.encode_texts, list(texts)), (encoder.encode_images, list(images))):
        if items:
            batch = [items[i % len(items)] for i in range(PROBE_BATCH)]
            _require_steady(encode, batch, np.asarray(encode(batch)), encoder.card.name)


def _require_steady(encode: Callable[[Any], Any], items: Sequence[Any], vectors: Vectors, name: str) -> None:
    few = min(PROBED, len(items))
    size = min(PROBE_BATCH, max(len(items), 2))
    again = [items[i % len(items)] for i in range(size)]
    advice = "It is probably in training mode (dropout, batch normalisation); call model.eval() first."
    try:
        batch = np.asarray(encode(again))[:few]
        singly = np.concatenate([np.asarray(encode([item])) for item in items[:few]])
    except Exception as error:
        raise EncoderError(f"{name}: cannot be encoded one by one ({said(error)}). {advice}") from error
    length = max(float(np.linalg.norm(vectors[:few].astype(np.float64), axis=1).max()), 1e-30)
    for other, what in ((batch, "encoded again"), (singly, "encoded one by one")):
        largest = float(np.abs(other.astype(np.float64) - vectors[:few]).max()) / length
        if not largest <= TOLERANCE:
            raise EncoderError(
                f"{name}: vectors change by {largest:.1e} of their length when {what}; at most {TOLERANCE:.0e} is "
                f"rounding. {advice}"
            )


def _text_chunks(encoder: Any, pending: Sequence[Stimulus], cache: VectorCache) -> Iterator[Any]:
    # Stored vectors answer for what they hold, and for nothing else.
    known = getattr(encoder, "texts", None) if hasattr(encoder, "encode_ids") else None
    ask = getattr(encoder, "unknown_words", None)
    unknown: dict[str, str] = {}
    if known is not None:
        held = set(known)
        unknown = {s.key: f"no stored vector for {t!r}" for s, t in _with_text(pending) if t not in held}
    elif ask is not None:
        for stimulus, text in _with_text(pending):
            if words := ask([text]):
                unknown[stimulus.key] = f"unknown to the vocabulary: {', '.join(words[:3])}"
    if unknown:
        cache.add([], _none(encoder), unknown)
    pending = [stimulus for stimulus in pending if stimulus.key not in unknown]
    for start in range(0, len(pending), TEXTS_PER_CALL):
        part = pending[start : start + TEXTS_PER_CALL]
        yield [s.key for s in part], _texts(part), encoder.encode_texts


def _image_chunks(encoder: Any, pending: Sequence[Stimulus], cache: VectorCache) -> Iterator[Any]:
    by_id = getattr(encoder, "encode_ids", None)
    if by_id is not None:  # stored vectors: an image is known by its content key
        held = set(getattr(encoder, "ids", ()))
        unknown = {s.key: "no stored vector for this image" for s in pending if s.key not in held}
        if unknown:
            cache.add([], _none(encoder), unknown)
        keys = [s.key for s in pending if s.key in held]
        if keys:
            yield keys, keys, by_id
        return
    keys = []
    images: list[Any] = []
    pixels = 0
    for stimulus in pending:
        try:
            image = decode_image(stimulus.home.image(stimulus.position))
        except FairVLError as error:
            cache.failed[stimulus.key] = said(error)  # not kept on disk: the file may be put right
            continue
        if keys and (len(keys) == IMAGES_PER_CALL or pixels + image.width * image.height > PIXELS_PER_CALL):
            yield keys, images, encoder.encode_images
            keys, images, pixels = [], [], 0
        keys.append(stimulus.key)
        images.append(image)
        pixels += image.width * image.height
    if keys:
        yield keys, images, encoder.encode_images


def _isolating(encode: Callable[[Any], Any], keys: Sequence[str], items: Sequence[Any]) -> Outcome:
    """Encode a batch; where it fails, halves of it, so that only the stimuli at fault go without a vector."""
    try:
        vectors = np.array(encode(items), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(items):
            raise EncoderError(f"the encoder gave shape {vectors.shape} for {len(items)} inputs.")
    except Exception as error:
        if len(items) > 1:
            half = len(items) // 2
            return _isolating(encode, keys[:half], items[:half]) + _isolating(encode, keys[half:], items[half:])
        reason = {keys[0]: said(error)}
        lasting = isinstance(error, FairVLError)  # any other error (out of memory, say) may be gone next time
        return Outcome(failed=reason) if lasting else Outcome(passing=reason)
    good = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    failed = {
        key: "the encoder gave a zero vector" if np.isfinite(row).all() else "the encoder gave NaN or infinity"
        for key, row, fine in zip(keys, vectors, good, strict=True)
        if not fine
    }
    return Outcome([key for key, fine in zip(keys, good, strict=True) if fine], vectors[good], failed)


def _with_text(stimuli: Sequence[Stimulus]) -> Iterator[tuple[Stimulus, str]]:
    return zip(stimuli, _texts(stimuli), strict=True)


def _texts(stimuli: Sequence[Stimulus]) -> list[str]:
    held: dict[int, tuple[str, ...]] = {}
    return [held.setdefault(id(s.home), s.home.texts())[s.position] for s in stimuli]


def _none(encoder: Any) -> Vectors:
    return np.zeros((0, int(getattr(encoder.card, "dim", 1) or 1)), dtype=np.float32)


def said(error: BaseException) -> str:
    """An error in one short line."""
    text = " ".join((str(error) if isinstance(error, FairVLError) else f"{type(error).__name__}: {error}").split())
    return text if len(text) <= REASON_CHARS else text[: REASON_CHARS - 3] + "..."
