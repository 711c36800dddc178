"""Batches read, decoded and preprocessed ahead of the model, in order, by processes that may die.

A decoder that crashes takes its process with it and nothing else: the batch is tried again, then record by record, and
a picture that kills its process twice is left out like any other that cannot be decoded.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, EncoderError
from ...jobs import worker_pool
from ..datasets import Dataset, decode_image

Spec = Mapping[str, Any]
MAX_ASPECT = 200  # a picture of 1 x 60000, resized to 224 on its short side, would need gigabytes
NICENESS = 5  # a decoder gives way to the model; whenever the model has to wait, the core is the decoder's


@dataclass
class Part:
    """One batch: rows that stay, and what was left out with its reason."""

    ids: list[str] = field(default_factory=list)
    captions: list[str | None] = field(default_factory=list)
    attributes: list[dict[str, Any]] = field(default_factory=list)
    has_image: list[bool] = field(default_factory=list)
    images: Any = None  # preprocessed [k, ...], or a list of uint8 arrays [h, w, 3]
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Reader:
    """How specs become parts; sent to every worker once."""

    dataset: Dataset
    preprocess: Callable[[Any], NDArray[Any]] | None
    kinds: tuple[str, ...]

    def __call__(self, spec: Spec, only: int | None = None) -> Part:
        """All records of one spec, or only the one at a position."""
        part = Part()
        images: list[NDArray[Any]] = []
        for position, record in enumerate(self.dataset.read(spec)):
            if only not in (None, position):
                continue
            source = record.image if "image" in self.kinds else None
            caption = record.caption if "text" in self.kinds else None
            if source is None and caption is None:
                part.skipped.append((clean(record.id), f"has no {' and no '.join(_nouns(self.kinds))}"))
                continue
            if source is not None:
                try:
                    images.append(_prepared(source(), self.preprocess))
                except DatasetError as error:
                    part.skipped.append((clean(record.id), clean(str(error))))
                    continue
            part.ids.append(clean(record.id))
            part.captions.append(None if record.caption is None else clean(record.caption))
            part.attributes.append({clean(str(key)): _plain(value) for key, value in record.attributes.items()})
            part.has_image.append(source is not None)
        part.images = images if self.preprocess is None else _stacked(images, part)
        return part


def read_ahead(reader: Reader, specs: Iterable[Spec], workers: int) -> Generator[Part, None, None]:
    """The parts of `specs` in order, a few of them always under way in other processes.

    Where the reader cannot be sent to another process, or with 0 workers, threads of this one do it.
    """
    try:
        payload = pickle.dumps(reader) if workers else None
    except (pickle.PicklingError, AttributeError, TypeError):
        payload = None
    if payload is None:
        yield from _in_threads(reader, iter(specs), max(1, workers))
    else:
        yield from _in_processes(reader, payload, iter(specs), workers)


def _in_threads(reader: Reader, specs: Iterator[Spec], workers: int) -> Iterator[Part]:
    pool = ThreadPoolExecutor(workers)
    try:
        running: deque[Future[Part]] = deque()
        while True:
            while len(running) <= workers and (spec := next(specs, None)) is not None:
                running.append(pool.submit(reader, spec))
            if not running:
                return
            yield running.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_processes(reader: Reader, payload: bytes, specs: Iterator[Spec], workers: int) -> Iterator[Part]:
    ahead = 2 * workers + 1
    waiting: deque[Spec] = deque()  # begun and not delivered yet
    deaths = 0
    while True:
        started = False
        try:
            with worker_pool(workers, _begin, (payload,), niceness=NICENESS) as pool:
                pool.submit(os.getpid).result()  # what stops every process from starting is no picture's fault
                started = True
                running = deque(pool.submit(_read, spec) for spec in waiting)
                while True:
                    while len(waiting) < ahead and (spec := next(specs, None)) is not None:
                        waiting.append(spec)
                        running.append(pool.submit(_read, spec))
                    if not waiting:
                        return
                    part = running.popleft().result()
                    waiting.popleft()
                    deaths = 0
                    yield part
        except BrokenProcessPool:
            if not started:
                raise
            deaths += 1
        if deaths == 2:  # once may be bad luck
            deaths = 0
            yield _one_by_one(reader, payload, waiting.popleft())


def _one_by_one(reader: Reader, payload: bytes, spec: Spec) -> Part:
    records = [clean(record.id) for record in reader.dataset.read(spec)]
    parts: list[Part] = []
    deaths = 0
    while len(parts) < len(records):
        try:
            with worker_pool(1, _begin, (payload,), niceness=NICENESS) as pool:
                while len(parts) < len(records):
                    parts.append(pool.submit(_read, spec, len(parts)).result())
                    deaths = 0
        except BrokenProcessPool:
            deaths += 1
            if deaths == 2:
                deaths = 0
                parts.append(Part(skipped=[(records[len(parts)], "the decoding process died on it, twice")]))
    whole = Part()
    for part in parts:
        whole.ids += part.ids
        whole.captions += part.captions
        whole.attributes += part.attributes
        whole.has_image += part.has_image
        whole.skipped += part.skipped
    images = [image for part in parts if part.images is not None for image in part.images]
    whole.images = images if reader.preprocess is None else _stacked(images, whole)
    return whole


_state: dict[str, Reader] = {}


def _begin(payload: bytes) -> None:
    _state["reader"] = pickle.loads(payload)  # noqa: S301 - made by our own parent process a moment ago
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)  # one picture at a time: more threads only fight the model for cores


def _read(spec: Spec, only: int | None = None) -> Part:
    return _state["reader"](spec, only)


def _prepared(data: bytes, preprocess: Callable[[Any], NDArray[Any]] | None) -> NDArray[Any]:
    picture = decode_image(data)
    if max(picture.size) > MAX_ASPECT * min(picture.size):
        raise DatasetError(f"the image is {picture.width} x {picture.height}, narrower than 1 to {MAX_ASPECT}")
    return np.asarray(picture if preprocess is None else preprocess(picture))


def _stacked(images: list[NDArray[Any]], part: Part) -> NDArray[Any] | None:
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise EncoderError(
            f"preprocess gave arrays of shapes {sorted(shapes)[:3]} in one batch, first record "
            f"{part.ids[part.has_image.index(True)]!r}; a model needs one shape. Crop or resize in preprocess."
        )
    return np.stack(images) if images else None


def _nouns(kinds: Sequence[str]) -> list[str]:
    return ["image" if kind == "image" else "caption" for kind in kinds]


def clean(text: str) -> str:
    """`text` as valid Unicode: file names may hold bytes that are none, parquet may not."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return None if np.isnan(value) else value
    return clean(str(value))
