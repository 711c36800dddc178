"""What every operator can do, linear or not: be applied, saved, loaded, diagnosed, wrapped around an encoder."""

from __future__ import annotations

import copy
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import FloatArray, blocks, check_vectors, unit_rows
from ...errors import InputError, OperatorError
from ...fingerprints import fingerprint
from .header import Diagnosis, OperatorHeader

if TYPE_CHECKING:
    from ...sources.encoders import Encoder
    from .wrapped import WrappedEncoder

F64 = NDArray[np.float64]
BLOCK_ROWS = 65_536


class Operator(ABC):
    """A frozen map of vectors ``[..., d]`` to vectors of the same width, with a header that says where it is from.

    It keeps the dtype it is given, computes in float32 for float16, bfloat16 and float32 input and in float64 for
    float64, and does not renormalise. A vector that *vanishes* (nothing but rounding is left of it) comes back as
    exact zeros. Apply it once: most of these maps are not idempotent.
    """

    header: OperatorHeader | None
    block_rows = BLOCK_ROWS

    @property
    def dim(self) -> int:
        """Width of the vectors that the operator takes."""
        return self.card.dim

    @property
    def card(self) -> OperatorHeader:
        """The header, which is always there after construction."""
        return cast(OperatorHeader, self.header)

    @property
    def rank(self) -> int:
        """Number of directions removed outright (or, for an operator that is not linear, acted on)."""
        return self.card.rank

    @property
    def effective_rank(self) -> float:
        """How many directions go in all; for an operator that is not linear its rank."""
        return float(self.rank)

    @property
    def applies_to_images(self) -> bool:
        """Whether image vectors are meant to go through the operator as text vectors do."""
        return self.card.images

    @property
    def fingerprint(self) -> str:
        """Short name of the map and its provenance: the same for an operator and its saved copy."""
        header = {name: value for name, value in self.card.as_dict().items() if name != "pair_spectrum"}
        arrays = {name: fingerprint(np.ascontiguousarray(array).tobytes()) for name, array in self.arrays().items()}
        return fingerprint({"header": header, "arrays": arrays})

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays that define the map, by name."""

    @abstractmethod
    def _map(self, rows: Any, space: Space) -> Any:
        """The map on checked float rows ``[n, d]`` of NumPy or torch."""

    def __call__(self, vectors: Any) -> Any:
        """Apply to vectors ``[..., d]``, NumPy or torch; same dtype (and device) out, not renormalised.

        Raises
        ------
        InputError
            Another width than the operator's, NaN or infinity, not numeric.
        """
        torch = sys.modules.get("torch")  # a tensor can only come from a torch that is loaded
        if torch is not None and isinstance(vectors, torch.Tensor):
            return self._apply_torch(vectors)
        given = np.asarray(vectors)
        if given.ndim == 0 or given.shape[-1] != self.dim:
            raise InputError(f"vectors: shape {given.shape}; expected a last axis of {self.dim}, the operator's width.")
        if given.size == 0:
            return given.astype(given.dtype if given.dtype.kind == "f" else np.float64)
        rows = check_vectors(given.reshape(-1, self.dim), dim=self.dim, zero_ok=True)
        out_dtype = given.dtype if given.dtype.kind == "f" else rows.dtype
        result = np.empty(rows.shape, out_dtype)
        for block in blocks(len(rows), self.block_rows):
            result[block] = self._apply_rows(rows[block], float(np.finfo(out_dtype).eps))
        return result.reshape(given.shape)

    def vanished(self, vectors: ArrayLike) -> NDArray[np.bool_]:
        """Which vectors ``[n, d]`` the operator sends to zero although they are not zero themselves: bool ``[n]``."""
        rows = np.atleast_2d(np.asarray(vectors))
        return np.asarray(~np.any(self(rows), axis=-1) & np.any(rows, axis=-1))

    def pair_spectrum(self) -> F64:
        """Eigenvalues of the pair matrix ``M = D.T @ D / |S|`` above rounding, largest first (empty without pairs)."""
        return np.array(self.card.pair_spectrum, dtype=np.float64)

    def diagnose(self, vectors: ArrayLike | None = None, held_out: ArrayLike | None = None) -> Diagnosis:
        """Rank, spectra, retained norm on `vectors` ``[n, d]`` and leakage to `held_out` prompts ``[m, d]``, m >= 2.

        Examples
        --------
        >>> from fairvl.repair.debias import LinearOperator
        >>> operator = LinearOperator(np.array([[1.0], [0.0], [0.0]]), np.array([[1.0, 0.0, 0.0]]))
        >>> operator.diagnose(np.eye(3)).retained_norm
        0.6666666666666666
        """
        spectrum = self.pair_spectrum()
        lam = self.card.lam
        with np.errstate(over="ignore"):
            shrink = np.ones_like(spectrum) if lam is None else 1.0 / (1.0 + lam * spectrum)
        retained = smallest = leakage = None
        if vectors is not None:
            rows = check_vectors(vectors, dim=self.dim).astype(np.float64)
            ratio = np.linalg.norm(self(rows), axis=1) / np.linalg.norm(rows, axis=1)
            retained, smallest = float(ratio.mean()), float(ratio.min())
        if held_out is not None:
            rows = unit_rows(check_vectors(held_out, "held_out", dim=self.dim, minimum=2)).astype(np.float64)
            before = np.linalg.norm(rows - rows.mean(axis=0))
            after = self(rows)
            leakage = float(np.linalg.norm(after - after.mean(axis=0)) / before) if before else float("nan")
        return Diagnosis(
            rank=self.rank,
            effective_rank=self.effective_rank,
            dim=self.dim,
            storage=self._storage(),
            singular_values=np.array(self.card.singular_values),
            pair_spectrum=spectrum,
            shrink=shrink,
            retained_norm=retained,
            smallest_retained_norm=smallest,
            leakage=leakage,
        )

    def described(self, **changes: Any) -> Self:
        """The same map with header fields replaced (attribute, prompts, bank, encoder, notes ...)."""
        twin = copy.copy(self)
        object.__setattr__(twin, "header", replace(self.card, **changes))
        return twin

    def save(self, path: Path | str) -> None:
        """Write one safetensors file, whole or not at all; see `operator_file.write_operator`."""
        from .operator_file import write_operator

        write_operator(self, path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read an operator that `save` wrote; anything else raises OperatorError. `Operator.load` reads every kind."""
        from .operator_file import read_operator

        operator = read_operator(path)
        if not isinstance(operator, cls):
            raise OperatorError(
                f"{path}: holds a {operator.card.method} operator ({type(operator).__name__}), not a {cls.__name__}. "
                "Read it with Operator.load."
            )
        return operator

    def wrap(
        self, encoder: Encoder, *, images: bool | None = None, allow_other_encoder: bool = False
    ) -> WrappedEncoder:
        """`encoder` with its text vectors (and, if `images`, its image vectors) sent through this operator.

        By default images go through where the operator is meant for them (`applies_to_images`).

        Raises
        ------
        OperatorError
            The encoder has another width, or (unless `allow_other_encoder`) another card than the one fitted on.
        """
        from .wrapped import wrap

        both = self.applies_to_images if images is None else images
        return wrap(self, encoder, images=both, allow_other_encoder=allow_other_encoder)

    def attach(self, pipeline: Any, **options: Any) -> Any:
        """`pipeline` (of diffusers) with its text states sent through this operator; see `pipelines.attach`."""
        from .pipelines import attach

        return attach(self, pipeline, **options)

    def _storage(self) -> str:
        return "factors"

    def _apply_rows(self, rows: FloatArray, eps_out: float) -> FloatArray:
        result = self._map(rows, NumpySpace(rows.dtype))
        limit = vanishing(float(np.finfo(rows.dtype).eps), eps_out, self.dim)
        square = np.einsum("ij,ij->i", result, result)
        result[square <= limit**2 * np.einsum("ij,ij->i", rows, rows)] = 0.0
        return np.asarray(result)

    def _apply_torch(self, vectors: Any) -> Any:
        torch = sys.modules["torch"]
        if vectors.ndim == 0 or vectors.shape[-1] != self.dim:
            raise InputError(
                f"vectors: shape {tuple(vectors.shape)}; expected a last axis of {self.dim}, the operator's width."
            )
        if not vectors.dtype.is_floating_point:
            raise InputError(f"vectors: dtype {vectors.dtype}; expected a floating dtype.")
        if not bool(torch.isfinite(vectors).all()):
            raise InputError("vectors: NaN or infinity. Drop or re-encode these rows.")
        dtype = torch.float64 if vectors.dtype == torch.float64 else torch.float32
        rows = vectors.reshape(-1, self.dim).to(dtype)
        space = TorchSpace(torch, dtype, vectors.device)
        parts = [self._map(rows[block], space) for block in blocks(len(rows), self.block_rows)]
        result = torch.cat(parts) if parts else rows
        limit = vanishing(torch.finfo(dtype).eps, torch.finfo(vectors.dtype).eps, self.dim)
        with torch.no_grad():
            zero = result.norm(dim=-1, keepdim=True) <= limit * rows.norm(dim=-1, keepdim=True)
        return result.masked_fill(zero, 0.0).to(vectors.dtype).reshape(vectors.shape)


class NumpySpace:
    """The few things that a map says differently in NumPy and in torch; here NumPy."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.lib: Any = np
        self.dtype: Any = dtype

    def array(self, constant: NDArray[Any]) -> Any:
        """A float constant of the operator in the dtype (and on the device) of the vectors."""
        return constant.astype(self.dtype, copy=False)

    def length(self, rows: Any) -> Any:
        """Euclidean lengths ``[n, 1]``."""
        return np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]

    def top(self, values: Any, k: int) -> Any:
        """Positions ``[n, k]`` of the k largest of each row; which of equal ones is open."""
        return np.argpartition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k :]

    def double(self, array: Any) -> Any:
        """The same numbers in float64."""
        return array.astype(np.float64)

    def back(self, array: Any) -> Any:
        """Float64 numbers in the dtype of the vectors again."""
        return array.astype(self.dtype)


class TorchSpace(NumpySpace):
    """The same for tensors, on their device; gradients flow."""

    def __init__(self, torch: Any, dtype: Any, device: Any) -> None:
        self.lib, self.dtype, self.device = torch, dtype, device

    def array(self, constant: NDArray[Any]) -> Any:
        return self.lib.from_numpy(np.array(constant)).to(device=self.device, dtype=self.dtype)

    def length(self, rows: Any) -> Any:
        return self.lib.linalg.vector_norm(rows, dim=-1, keepdim=True)

    def top(self, values: Any, k: int) -> Any:
        return self.lib.topk(values, k, dim=1).indices

    def double(self, array: Any) -> Any:
        return array.double()

    def back(self, array: Any) -> Any:
        return array.to(self.dtype)


Space = NumpySpace


def vanishing(eps_compute: float, eps_given: float, dim: int) -> float:
    # Below this share of its length, what is left of a vector is the rounding of the product or of the input itself.
    return max(8.0 * eps_compute * math.sqrt(dim), eps_given)


def unit_doubles(vectors: ArrayLike, name: str, *, dim: int | None = None, minimum: int = 1) -> F64:
    """Checked rows of unit length in float64."""
    return np.asarray(unit_rows(check_vectors(vectors, name, dim=dim, minimum=minimum), name), np.float64)


def frozen(array: ArrayLike, name: str, ndim: int, order: Literal["C", "F"] = "C") -> F64:
    """A read-only float64 copy; one layout per array, so that a loaded operator adds in the order of the saved one."""
    given = np.asarray(array)
    if given.dtype.kind not in "fiu" or given.ndim != ndim:
        raise OperatorError(f"{name}: {given.dtype} array with {given.ndim} axes; expected float with {ndim}.")
    ready = given.dtype == np.float64 and given.flags.owndata and not given.flags.writeable
    contiguous = given.flags.c_contiguous if order == "C" else given.flags.f_contiguous
    if not (ready and contiguous):
        given = np.array(given, dtype=np.float64, order=order)
    if not np.isfinite(given).all():
        raise OperatorError(f"{name}: holds NaN or infinity; an operator must be finite.")
    given.setflags(write=False)
    return given
