"""The products of the pass on other libraries: torch (any device, low precision as a filter) and faiss.

They only propose. What they find is checked in float32 and, near the threshold or between two centroids, decided by
the same float64 product as everywhere, so results do not depend on the library or the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import blocks
from ...errors import InputError, missing_extra
from .bound import LENGTH, product_error
from .pairs import Found, tiles
from .rows import Ints

# Unit roundoff, and the largest error of a number below the smallest normal one.
PRECISIONS = {"float32": (0.0, 0.0), "bfloat16": (2.0**-8, 2.0**-134), "float16": (2.0**-11, 2.0**-25)}
BLOCK_ON_GPU = 8192
CHECKED = 2**16  # pairs that are checked at once
BACKENDS = ("numpy", "faiss", "torch")


def precision_slack(dim: int, precision: str) -> float:
    """How far the product of two unit rows in this precision can be from the exact one.

    Rows are rounded, products summed in float32, the sum rounded.
    """
    unit, least = PRECISIONS[precision]
    rounding: float = 2 * unit + unit * unit + 2 * least * math.sqrt(dim)
    total = (rounding + product_error(dim)) * LENGTH**2
    return total + unit * (LENGTH**2 + total) + least


def torch_device(device: str) -> tuple[Any, Any]:
    """Torch and the device of that name.

    Raises
    ------
    MissingExtraError
        Torch is not installed.
    InputError
        There is no such device.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise missing_extra("torch", "models") from error
    try:
        place = torch.device(device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"device={device!r}: {said}. Expected one that torch finds, such as 'cpu' or 'cuda'."
        ) from None
    return torch, place


def best_precision(device: str) -> str:
    """The precision that filters fastest: half precision on a GPU and on processors with matrix tiles."""
    torch, place = torch_device(device)
    if place.type == "cuda":
        return "float16"
    tiles_there = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return "bfloat16" if tiles_there is not None and tiles_there() else "float32"


def close_pairs_on(
    device: str, rows: NDArray[np.float32], threshold: float, guard: float, *, block: int, precision: str = "auto"
) -> Iterator[Found]:
    """As `close_pairs`, with torch on `device`: pairs whose float32 product is above ``threshold - guard``."""
    torch, place = torch_device(device)
    precision = best_precision(device) if precision == "auto" else precision
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r}; expected 'auto', {', '.join(map(repr, PRECISIONS))}.")
    least = threshold - guard
    bar = least - (precision_slack(rows.shape[1], precision) if precision != "float32" else 0.0)
    block = max(block, BLOCK_ON_GPU) if place.type != "cpu" else block
    with _full_sums(torch), torch.inference_mode():
        whole = torch.from_numpy(rows).to(place)
        low = whole if precision == "float32" else whole.to(getattr(torch, precision))
        for mine, others in tiles(len(rows), len(rows), block, triangle=True):
            product = low[mine] @ low[others].T
            hit = torch.nonzero(product.amax(dim=1) > bar).ravel()
            if not len(hit):
                continue
            place_of, second = torch.nonzero(product[hit] > bar, as_tuple=True)
            first, second = hit[place_of] + mine.start, second + others.start
            if others == mine:
                later = first < second
                first, second = first[later], second[later]
            for part in blocks(len(first), CHECKED):
                one, two = first[part], second[part]
                similarity = (whole[one] * whole[two]).sum(dim=1)
                close = similarity > least
                if bool(close.any()):
                    yield _host(one[close]), _host(two[close]), _host(similarity[close])


def nearest_two(backend: str) -> Callable[[NDArray[np.float32], NDArray[np.float32]], tuple[Ints, NDArray[np.float32]]]:
    """A function ``(rows, centroids) -> number of the nearest, its product minus that of the next`` of a library."""
    name, _, device = backend.partition(":")
    if name == "faiss":
        return _nearest_by_faiss
    if name == "torch":
        torch, place = torch_device(device or "cpu")

        def search(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> tuple[Ints, NDArray[np.float32]]:
            with _full_sums(torch), torch.inference_mode():
                product = torch.from_numpy(rows).to(place) @ torch.from_numpy(centres).to(place).T
                value, number = product.topk(min(2, len(centres)), dim=1)
                return _host(number[:, 0]), _gap(_host(value))

        return search
    raise InputError(f"backend={backend!r}; expected one of {', '.join(BACKENDS)}, or 'torch:DEVICE'.")


def _nearest_by_faiss(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> tuple[Ints, NDArray[np.float32]]:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise missing_extra("faiss", "faiss") from error
    index = faiss.IndexFlatIP(centres.shape[1])
    index.add(np.ascontiguousarray(centres))
    value, number = index.search(np.ascontiguousarray(rows), min(2, len(centres)))
    return number[:, 0].astype(np.int64), _gap(value)


def _gap(value: NDArray[np.float32]) -> NDArray[np.float32]:
    if value.shape[1] == 1:
        return np.full(len(value), np.inf, np.float32)
    return np.asarray(value[:, 0] - value[:, 1])


def _host(tensor: Any) -> NDArray[Any]:
    array: NDArray[Any] = tensor.cpu().numpy()
    return array


class _full_sums:
    """Sums in float32 while it is open: no TF32, no reductions in half precision on a GPU."""

    def __init__(self, torch: Any) -> None:
        self._matmul = torch.backends.cuda.matmul
        self._names = (
            "allow_tf32", "allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction",
        )  # fmt: skip

    def __enter__(self) -> None:
        self._before = [getattr(self._matmul, name) for name in self._names]
        for name in self._names:
            setattr(self._matmul, name, False)

    def __exit__(self, *_: object) -> None:
        for name, value in zip(self._names, self._before, strict=True):
            setattr(self._matmul, name, value)
