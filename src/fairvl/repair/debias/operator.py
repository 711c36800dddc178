"""The type that closed-form debiasers return: a frozen affine map of row vectors.

In factored form the map is ``x - (((x - centre) @ right.T) * scale) @ left.T``; where the factors would be
wider than half the space it is the dense ``(x - centre) @ dense.T + centre``. A *vanished* vector is one that
the map sends to zero within rounding: it has no direction left, and is returned as exact zeros.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from ...errors import OperatorError
from .base import F64, Operator, Space, frozen
from .header import OperatorHeader


@dataclass(frozen=True, eq=False)
class LinearOperator(Operator):
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
        left, right = frozen(self.left, "left", 2, order="F"), frozen(self.right, "right", 2)
        dim, rank = left.shape
        if right.shape != (rank, dim):
            raise OperatorError(f"left {left.shape} and right {right.shape} do not fit; expected [d, r] and [r, d].")
        centre = np.zeros(dim) if self.centre is None else self.centre
        arrays = {"left": left, "right": right, "centre": frozen(centre, "centre", 1)}
        if self.scale is not None:
            arrays["scale"] = frozen(self.scale, "scale", 1)
        if self.tridiagonal is not None:
            arrays["tridiagonal"] = frozen(self.tridiagonal, "tridiagonal", 2)
        if self.dense is not None:
            arrays["dense"] = frozen(self.dense, "dense", 2, order="F")
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

    def arrays(self) -> dict[str, F64]:
        """The arrays that define the map, by name."""
        factors = ("centre", "left", "right", "scale", "tridiagonal")
        names = ("centre", "dense") if self.dense is not None else factors
        return {name: array for name in names if (array := getattr(self, name)) is not None}

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
        return super().pair_spectrum() if self.spectrum_source is None else self.spectrum_source()

    def reweighted(
        self, header: OperatorHeader, *, scale: ArrayLike, tridiagonal: ArrayLike | None = None
    ) -> LinearOperator:
        """The operator with the same factors, shared and not checked again, and other weights between them."""
        rank = self.left.shape[1]
        weights = {"scale": frozen(scale, "scale", 1)}
        if tridiagonal is not None:
            weights["tridiagonal"] = frozen(tridiagonal, "tridiagonal", 2)
        if self.dense is not None or any(array.shape[-1] != rank for array in weights.values()):
            raise OperatorError(f"expected weights for the {rank} factors of this operator.")
        twin = copy.copy(self)
        for name, value in (*weights.items(), ("header", header)):
            object.__setattr__(twin, name, value)
        return twin

    @property
    def affine(self) -> bool:
        """Whether the map moves about a centre, so that it is not a matrix alone."""
        return self.centre is not None and bool(self.centre.any())

    def linear(self) -> LinearOperator:
        """The same matrix about zero: group means that were equal stay equal, but vectors move further.

        An affine operator cannot be folded into the weights of a model that normalises afterwards; this one can.
        """
        twin = copy.copy(self)
        object.__setattr__(twin, "centre", frozen(np.zeros(self.dim), "centre", 1))
        return twin.described(notes=(*self.card.notes, "without its centre")) if self.affine else twin

    def _storage(self) -> str:
        return "factors" if self.dense is None else "dense"

    def _map(self, rows: Any, space: Space) -> Any:
        centre = space.array(cast(F64, self.centre)) if self.affine else None
        base = rows if centre is None else rows - centre
        if self.dense is not None:
            result = base @ space.array(self.dense).T
            return result if centre is None else result + centre
        inner = base @ space.array(self.right).T
        if space.lib is np:
            inner = self._between(inner)
        elif self.tridiagonal is not None:
            inner = inner @ space.array(self._between(np.eye(len(self.right))))
        elif self.scale is not None:
            inner = inner * space.array(self.scale)
        result = inner @ space.array(self.left).T
        return np.subtract(rows, result, out=result) if space.lib is np else rows - result

    def _between(self, inner: Any) -> Any:
        """What stands between the factors, applied to rows ``[n, r]``."""
        if self.tridiagonal is not None:
            from scipy.linalg import solveh_banded

            solved = solveh_banded(self.tridiagonal, inner.T.astype(np.float64), lower=True, check_finite=False)
            inner = inner - solved.T.astype(inner.dtype)
        if self.scale is not None:
            inner = inner * self.scale.astype(inner.dtype, copy=False)
        return inner
