"""The one type that every closed-form debiaser returns: a frozen affine map of row vectors.

In factored form the map is ``x - (((x - centre) @ right.T) * scale) @ left.T``; where the factors would be
wider than half the space it is the dense ``(x - centre) @ dense.T + centre``. A *vanished* vector is one that
the map sends to zero within rounding: it has no direction left, and is returned as exact zeros.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arrays import FloatArray, blocks, check_vectors, unit_rows
from ...errors import InputError, OperatorError
from ...fingerprints import fingerprint

if TYPE_CHECKING:
    from ...sources.encoders import Encoder
    from .wrapped import WrappedEncoder

F64 = NDArray[np.float64]
BLOCK_ROWS = 65_536
UNIT = "rows of unit length in; not renormalised after"


@dataclass(frozen=True)
class OperatorHeader:
    """Where an operator comes from and what it promises; travels inside its file.

    `normalisation` is the convention that `lam` depends on: lam = 1000 on unit rows is lam = 1.11 on rows of norm 30.
    """

    method: str
    dim: int
    rank: int
    attribute: str = ""
    subspace: str = ""
    lam: float | None = None
    seed: int | None = None
    n_prompts: int = 0
    n_pairs: int = 0
    prompts: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    bank: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    normalisation: str = UNIT
    guarantees: tuple[str, ...] = ()
    singular_values: tuple[float, ...] = ()
    pair_spectrum: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "bank", MappingProxyType(dict(self.bank)))
        object.__setattr__(self, "encoder", MappingProxyType(dict(self.encoder)))

    def __reduce__(self) -> tuple[Any, ...]:  # a mapping proxy cannot be pickled
        return (rebuild_header, (self.as_dict(),))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite `lam` is the text "inf"."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["bank"], values["encoder"] = dict(self.bank), dict(self.encoder)
        if self.lam == np.inf:
            values["lam"] = "inf"
        return values


def rebuild_header(values: Mapping[str, Any]) -> OperatorHeader:
    values = dict(values)
    if values.get("lam") == "inf":
        values["lam"] = np.inf
    return OperatorHeader(**values)


@dataclass(frozen=True)
class Diagnosis:
    """What an operator removes, how strongly, and what it costs.

    Attributes
    ----------
    rank : int
        Directions that are removed outright (the numerical rank of the prompts).
    effective_rank : float
        ``d - |P|_F^2``: the directions that are only shrunk are counted in part.
    singular_values : array
        Of the prompt matrix, as the rank rule saw it.
    pair_spectrum, shrink : arrays
        Eigenvalues ``mu_i`` of the pair matrix M above rounding, largest first, and the factor
        ``1 / (1 + lam mu_i)`` by which the calibration shrinks each direction.
    retained_norm, smallest_retained_norm : float or None
        Mean and minimum of ``|operator(v)| / |v|`` over the given vectors.
    leakage : float or None
        Share of the spread between held-out prompts (as unit rows) that survives: 0 removed, 1 untouched.
    """

    rank: int
    effective_rank: float
    dim: int
    storage: str
    singular_values: FloatArray
    pair_spectrum: FloatArray
    shrink: FloatArray
    retained_norm: float | None = None
    smallest_retained_norm: float | None = None
    leakage: float | None = None


@dataclass(frozen=True, eq=False)
class LinearOperator:
    """A frozen affine map of row vectors, low-rank where that is cheaper than a matrix.

    Parameters
    ----------
    left : (d, r) array
    right : (r, d) array
    centre : (d,) array, optional
        Zero when left out, as for the projections.
    scale : (r,) array, optional
        Weights between the factors, ones when left out: operators of one lambda path share `left` and `right`.
    tridiagonal : (2, r) array, optional
        Diagonal and lower off-diagonal (last entry unused) of a symmetric positive definite matrix C; then
        ``I - inv(C)`` stands between the factors, before `scale`. Only a lambda path over many pairs uses it.
    dense : (d, d) array, optional
        Stored instead of factors where ``r >= d / 2``; then `left` and `right` have no columns and rows.
    header : OperatorHeader, optional

    Notes
    -----
    Arrays are copied and read-only. The map keeps the dtype it is given, computes in float32 for float16, bfloat16 and
    float32 input and in float64 for float64, and does not renormalise. Take care to apply it once: a calibrated
    operator is not idempotent.

    Examples
    --------
    >>> operator = LinearOperator(np.array([[1.0], [0.0], [0.0]]), np.array([[1.0, 0.0, 0.0]]))
    >>> operator(np.array([[3.0, 4.0, 0.0]])).tolist()
    [[0.0, 4.0, 0.0]]
    """

    left: F64
    right: F64
    centre: F64 | None = None
    scale: F64 | None = None
    tridiagonal: F64 | None = None
    dense: F64 | None = None
    header: OperatorHeader | None = None
    spectrum_source: Callable[[], F64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        left, right = _frozen(self.left, "left", 2, order="F"), _frozen(self.right, "right", 2)
        dim, rank = left.shape
        if right.shape != (rank, dim):
            raise OperatorError(f"left {left.shape} and right {right.shape} do not fit; expected [d, r] and [r, d].")
        centre = np.zeros(dim) if self.centre is None else self.centre
        arrays = {"left": left, "right": right, "centre": _frozen(centre, "centre", 1)}
        if self.scale is not None:
            arrays["scale"] = _frozen(self.scale, "scale", 1)
        if self.tridiagonal is not None:
            arrays["tridiagonal"] = _frozen(self.tridiagonal, "tridiagonal", 2)
        if self.dense is not None:
            arrays["dense"] = _frozen(self.dense, "dense", 2, order="F")
        for name, shape in (
            ("centre", (dim,)),
            ("scale", (rank,)),
            ("tridiagonal", (2, rank)),
            ("dense", (dim, dim)),
        ):
            if name in arrays and arrays[name].shape != shape:
                raise OperatorError(f"{name}: shape {arrays[name].shape}; expected {shape}.")
        if self.dense is not None and rank:
            raise OperatorError("give either factors or a dense matrix, not both.")
        for name, array in arrays.items():
            object.__setattr__(self, name, array)
        if self.header is None:
            object.__setattr__(self, "header", OperatorHeader(method="custom", dim=dim, rank=rank, normalisation=""))
        elif self.header.dim != dim:
            raise OperatorError(f"header says dim {self.header.dim}, the arrays have {dim}.")

    @classmethod
    def from_factors(
        cls, left: ArrayLike, right: ArrayLike, centre: ArrayLike | None = None, *, header: OperatorHeader | None = None
    ) -> LinearOperator:
        """The operator of these factors, stored dense where ``r >= d / 2`` (the cheaper form)."""
        left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
        centre = None if centre is None else np.asarray(centre, np.float64)
        dim, rank = left.shape
        if 2 * rank < dim:
            return cls(left, right, centre, header=header)
        if header is None:
            header = OperatorHeader(method="custom", dim=dim, rank=rank, normalisation="")
        return cls.from_matrix(np.eye(dim) - left @ right, centre, header=header)

    @classmethod
    def from_matrix(
        cls,
        dense: ArrayLike,
        centre: ArrayLike | None = None,
        *,
        header: OperatorHeader | None = None,
        spectrum_source: Callable[[], F64] | None = None,
    ) -> LinearOperator:
        """The operator ``(x - centre) @ dense.T + centre``."""
        matrix = np.asarray(dense, np.float64)
        dim = len(matrix)
        return cls(
            np.empty((dim, 0)),
            np.empty((0, dim)),
            None if centre is None else np.asarray(centre, np.float64),
            dense=matrix,
            header=header,
            spectrum_source=spectrum_source,
        )

    @property
    def dim(self) -> int:
        """Width of the vectors that the operator takes."""
        return len(self.left)

    @property
    def rank(self) -> int:
        """Number of directions removed outright."""
        return self.card.rank

    @property
    def card(self) -> OperatorHeader:
        """The header, which is always there after construction."""
        return cast(OperatorHeader, self.header)

    @property
    def fingerprint(self) -> str:
        """Short name of the map and its provenance: the same for an operator and its saved copy."""
        header = {name: value for name, value in self.card.as_dict().items() if name != "pair_spectrum"}
        arrays = {name: fingerprint(np.ascontiguousarray(array).tobytes()) for name, array in self.arrays().items()}
        return fingerprint({"header": header, "arrays": arrays})

    def arrays(self) -> dict[str, F64]:
        """The arrays that define the map, by name."""
        factors = ("centre", "left", "right", "scale", "tridiagonal")
        names = ("centre", "dense") if self.dense is not None else factors
        return {name: array for name in names if (array := getattr(self, name)) is not None}

    def __call__(self, vectors: Any) -> Any:
        """Apply to vectors ``[..., d]``, NumPy or torch; same dtype (and device) out, not renormalised.

        A vector that vanishes comes back as exact zeros, never as rounding noise.

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
        for block in blocks(len(rows), BLOCK_ROWS):
            result[block] = self._apply_rows(rows[block], float(np.finfo(out_dtype).eps))
        return result.reshape(given.shape)

    def vanished(self, vectors: ArrayLike) -> NDArray[np.bool_]:
        """Which vectors ``[n, d]`` the operator sends to zero although they are not zero themselves: bool ``[n]``."""
        rows = np.atleast_2d(np.asarray(vectors))
        return np.asarray(~np.any(self(rows), axis=-1) & np.any(rows, axis=-1))

    def matrix(self) -> F64:
        """The ``d x d`` linear part, float64: ``operator(v) == v @ matrix().T`` when the centre is zero."""
        if self.dense is not None:
            return np.array(self.dense, order="C")
        return np.asarray(np.eye(self.dim) - self.left @ self._between(self.right.T).T)

    @property
    def effective_rank(self) -> float:
        """``d - |P|_F^2``: how many directions go in all, those that are only shrunk counted in part.

        A projection has its rank here; a random projection of this rank costs isotropic vectors as much length.
        """
        if self.dense is not None or self.tridiagonal is not None:
            return self.dim - float(np.square(self.matrix()).sum())
        left = self.left if self.scale is None else self.left * self.scale
        removed = float(np.einsum("dr,rd->", left, self.right))
        return 2.0 * removed - float(np.sum((left.T @ left) * (self.right @ self.right.T)))

    def pair_spectrum(self) -> F64:
        """Eigenvalues of the pair matrix ``M = D.T @ D / |S|`` above rounding, largest first (empty without pairs)."""
        if self.spectrum_source is None:
            return np.array(self.card.pair_spectrum, dtype=np.float64)
        return self.spectrum_source()

    def diagnose(self, vectors: ArrayLike | None = None, held_out: ArrayLike | None = None) -> Diagnosis:
        """Rank, spectra, retained norm on `vectors` ``[n, d]`` and leakage to `held_out` prompts ``[m, d]``, m >= 2.

        Examples
        --------
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
            storage="factors" if self.dense is None else "dense",
            singular_values=np.array(self.card.singular_values),
            pair_spectrum=spectrum,
            shrink=shrink,
            retained_norm=retained,
            smallest_retained_norm=smallest,
            leakage=leakage,
        )

    def reweighted(
        self, header: OperatorHeader, *, scale: ArrayLike, tridiagonal: ArrayLike | None = None
    ) -> LinearOperator:
        """The operator with the same factors, shared and not checked again, and other weights between them."""
        rank = self.left.shape[1]
        weights = {"scale": _frozen(scale, "scale", 1)}
        if tridiagonal is not None:
            weights["tridiagonal"] = _frozen(tridiagonal, "tridiagonal", 2)
        if self.dense is not None or any(array.shape[-1] != rank for array in weights.values()):
            raise OperatorError(f"expected weights for the {rank} factors of this operator.")
        twin = copy.copy(self)
        for name, value in (*weights.items(), ("header", header)):
            object.__setattr__(twin, name, value)
        return twin

    def described(self, **changes: Any) -> LinearOperator:
        """The same map with header fields replaced (attribute, prompts, bank, encoder, notes ...)."""
        twin = copy.copy(self)
        object.__setattr__(twin, "header", replace(self.card, **changes))
        return twin

    def save(self, path: Path | str) -> None:
        """Write one safetensors file, whole or not at all; see `operator_file.write_operator`."""
        from .operator_file import write_operator

        write_operator(self, path)

    @classmethod
    def load(cls, path: Path | str) -> LinearOperator:
        """Read an operator that `save` wrote; anything else raises OperatorError."""
        from .operator_file import read_operator

        return read_operator(path)

    def wrap(self, encoder: Encoder, *, images: bool = False, allow_other_encoder: bool = False) -> WrappedEncoder:
        """`encoder` with its text vectors (and its image vectors, if `images`) sent through this operator.

        Raises
        ------
        OperatorError
            The encoder has another width, or (unless `allow_other_encoder`) another card than the one fitted on.
        """
        from .wrapped import wrap

        return wrap(self, encoder, images=images, allow_other_encoder=allow_other_encoder)

    def _apply_rows(self, rows: FloatArray, eps_out: float) -> FloatArray:
        dtype = rows.dtype
        centre = self.centre
        moved = centre is not None and bool(centre.any())
        base = rows - cast(F64, centre).astype(dtype) if moved else rows
        if self.dense is not None:
            result = base @ self.dense.T.astype(dtype, copy=False)
            if moved:
                result += cast(F64, centre).astype(dtype)
        else:
            inner = self._between(base @ self.right.T.astype(dtype, copy=False))
            result = inner @ self.left.T.astype(dtype, copy=False)
            np.subtract(rows, result, out=result)
        limit = _vanishing(float(np.finfo(dtype).eps), eps_out, self.dim)
        square = np.einsum("ij,ij->i", result, result)
        result[square <= limit**2 * np.einsum("ij,ij->i", rows, rows)] = 0.0
        return np.asarray(result)

    def _between(self, inner: FloatArray) -> FloatArray:
        """What stands between the factors, applied to rows ``[n, r]``."""
        if self.tridiagonal is not None:
            from scipy.linalg import solveh_banded

            solved = solveh_banded(self.tridiagonal, inner.T.astype(np.float64), lower=True, check_finite=False)
            inner = inner - solved.T.astype(inner.dtype)
        if self.scale is not None:
            inner = inner * self.scale.astype(inner.dtype, copy=False)
        return inner

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
        numpy_dtype = np.float64 if dtype == torch.float64 else np.float32

        def tensor(array: FloatArray) -> Any:
            return torch.from_numpy(np.array(array, numpy_dtype)).to(vectors.device)

        rows = vectors.to(dtype)
        base = rows - tensor(cast(F64, self.centre))
        if self.dense is not None:
            result = base @ tensor(self.dense).T + tensor(cast(F64, self.centre))
        else:
            inner = base @ tensor(self.right).T
            if self.tridiagonal is not None:
                inner = inner @ tensor(self._between(np.eye(len(self.right))))
            elif self.scale is not None:
                inner = inner * tensor(self.scale)
            result = rows - inner @ tensor(self.left).T
        limit = _vanishing(torch.finfo(dtype).eps, torch.finfo(vectors.dtype).eps, self.dim)
        with torch.no_grad():
            zero = result.norm(dim=-1, keepdim=True) <= limit * rows.norm(dim=-1, keepdim=True)
        return result.masked_fill(zero, 0.0).to(vectors.dtype)


def _vanishing(eps_compute: float, eps_given: float, dim: int) -> float:
    # Below this share of its length, what is left of a vector is the rounding of the product or of the input itself.
    return max(8.0 * eps_compute * math.sqrt(dim), eps_given)


def _frozen(array: ArrayLike, name: str, ndim: int, order: Literal["C", "F"] = "C") -> F64:
    # One layout per array, so that a loaded operator adds in the order of the one that was saved.
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
