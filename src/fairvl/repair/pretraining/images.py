"""Images as a model's inputs: kept in memory where they fit, else decoded ahead of their step by threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError
from ...sources.datasets.decode import decode_image
from ...sources.fusion.scoring import join, take

KEEP = 2**29  # bytes of inputs that stay in memory


class Images:
    """Inputs of images by number; nothing depends on what is kept, on threads, or on the order of calls."""

    def __init__(
        self, model: Any, sources: Sequence[Any], ids: Sequence[str], *, workers: int = 2, keep: int = KEEP
    ) -> None:
        self.model = model
        self.sources = sources
        self.ids = ids
        self.keep = keep
        self.pool = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="fairvl-images")
        self.coming: dict[int, Future[Any]] = {}
        self.kept: Any = None
        self.there = np.zeros(len(sources), bool)
        self.even = True  # until two images have inputs of different shapes

    def __enter__(self) -> Images:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def ahead(self, numbers: Iterable[int]) -> None:
        """Begin to decode what the next step needs."""
        if self.kept is None:
            work = self._one if self.even else self._image
            for number in dict.fromkeys(int(n) for n in numbers):
                if number not in self.coming:
                    self.coming[number] = self.pool.submit(work, number)

    def inputs(self, numbers: NDArray[np.int64]) -> Any:
        """The model's inputs of these images, in this order."""
        if self.kept is None and not self.there.any():
            self._begin(int(numbers[0]))
        if self.kept is not None:
            missing = np.unique(numbers[~self.there[numbers]])
            if not len(missing) or self._put(missing, self.model.inputs([self._image(int(n)) for n in missing])):
                return _to(take(self.kept, _index(numbers)), self.model.device)
            self._uneven()
        self.ahead(numbers.tolist())
        found = {int(n): self.coming.pop(int(n)).result() for n in np.unique(numbers)}
        if self.even and len({_shapes(inputs) for inputs in found.values()}) > 1:
            self._uneven()
            return self.inputs(numbers)
        listed = [found[int(n)] for n in numbers]
        return _to(join(listed) if self.even else self.model.inputs(listed), self.model.device)

    def _uneven(self) -> None:
        """Images of different sizes: a batch has to be padded by the model, so images are kept ahead, not inputs."""
        self.kept, self.even = None, False
        self.coming.clear()

    def _begin(self, number: int) -> None:
        """Decide by the first image whether all of them can be kept."""
        first = self._one(number)
        tensors = list(first.values()) if isinstance(first, dict) else [first]
        self.there[number] = True
        if sum(t.numel() * t.element_size() for t in tensors) * len(self.sources) > self.keep:
            return

        def room(tensor: Any) -> Any:
            return tensor.new_zeros((len(self.sources), *tensor.shape[1:]), device="cpu")

        self.kept = {key: room(value) for key, value in first.items()} if isinstance(first, dict) else room(first)
        self._put(np.array([number]), first)

    def _put(self, numbers: NDArray[np.int64], inputs: Any) -> bool:
        """Keep inputs; False when their shape is not that of the others."""
        if _shapes(inputs) != _shapes(self.kept):
            return False
        if isinstance(inputs, dict):
            for key, value in inputs.items():
                self.kept[key][_index(numbers)] = value.cpu()
        else:
            self.kept[_index(numbers)] = inputs.cpu()
        self.there[numbers] = True
        return True

    def _one(self, number: int) -> Any:
        return self.model.inputs([self._image(number)])

    def _image(self, number: int) -> Any:
        source = self.sources[number]
        if not callable(source):
            return source
        try:
            return decode_image(source())
        except DatasetError as error:
            raise DatasetError(f"the image of {self.ids[number]!r} cannot be used: {error}") from error


def _shapes(inputs: Any) -> tuple[Any, ...]:
    """Shapes beyond the first axis."""
    if isinstance(inputs, dict):
        return tuple(tuple(value.shape[1:]) for value in inputs.values())
    return tuple(inputs.shape[1:])


def _index(numbers: NDArray[np.int64]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(numbers))


def _to(inputs: Any, device: Any) -> Any:
    if isinstance(inputs, dict):
        return {key: value.to(device) for key, value in inputs.items()}
    return inputs.to(device)
