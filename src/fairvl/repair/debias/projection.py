"""Closed-form removal of the directions that biased prompts span, with and without calibration on pairs.

Notation (rows are unit vectors): `A` prompts ``[k, d]``, `D` rows ``left[i] - right[i]`` ``[s, d]``,
``M = D.T @ D / s``, `B` an orthonormal basis of the removed row space.

* orthogonal: ``P0 = I - B.T @ B``
* calibrated: ``P = P0 @ inv(I + lam M)``, the minimiser of ``|P - P0|^2 + lam / s * sum |P left_i - P right_i|^2``

Source: Chuang, Jampani, Li, Torralba and Jegelka (2023), "Debiasing Vision-Language Models via Biased Prompts",
arXiv 2302.00070, sections 4.1 and 4.2. P is neither symmetric nor idempotent in general: apply it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import blas, lapack, solve_triangular

from ...arrays import check_vectors
from ...errors import InputError
from .base import F64
from .header import OperatorHeader
from .operator import LinearOperator

SUBSPACES = ("span", "centred", "pairs")
UNIT_SLACK = 1e-6
# Above this product the regularised Gram matrix is too ill-conditioned for Cholesky; an exact SVD takes over.
LARGEST_CONDITION = 1e9


@dataclass(frozen=True)
class OrthogonalProjection:
    """Remove the subspace that biased prompts span: ``P0 = I - A.T (A A.T)^+ A``.

    Parameters
    ----------
    subspace : {"span", "centred", "pairs"}
        ``span`` (the paper): the span of the raw prompts; with the large mean that all CLIP texts share it removes
        content too. ``centred``: the span of prompts minus their mean. ``pairs``: the span of the pair differences
        ``left - right``, or, without pairs, of all differences between prompts (the same space as ``centred``).
    rank_tolerance : float, optional
        Singular values at or below this share of the largest count as zero. By default ``max(k, d) * eps`` of the
        dtype given (float16 counts as float32), so that a prompt given twice changes nothing.

    Notes
    -----
    Guarantee: the result is orthogonal to every removed direction (``B @ P0 == 0``), symmetric and idempotent. It says
    nothing about directions that the prompts do not span, and nothing about images.

    Examples
    --------
    >>> operator = OrthogonalProjection().fit(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    >>> operator.rank, operator(np.array([[0.6, 0.8, 0.0]])).tolist()
    (1, [[0.0, 0.8, 0.0]])
    """

    subspace: str = "span"
    rank_tolerance: float | None = None

    def __post_init__(self) -> None:
        _check_options(self.subspace, self.rank_tolerance)

    def fit(self, prompts: ArrayLike, left: ArrayLike | None = None, right: ArrayLike | None = None) -> LinearOperator:
        """The projection for `prompts` ``[k, d]``, any k; `left`, `right` ``[s, d]`` serve ``subspace="pairs"`` only.

        Rows are brought to unit length first (rows within 1e-6 of it are taken as they are).

        Raises
        ------
        InputError
            Empty, not rectangular, NaN or infinite, a zero row, or no direction left to remove.
        """
        rows, eps = _unit_rows(prompts, "prompts")
        pairs = None
        if left is not None or right is not None:
            pairs = _Pairs.of(left, right, rows.shape[1])
        basis, singular_values = _removed(rows, pairs, self.subspace, self.rank_tolerance, eps)
        header = OperatorHeader(
            method="orthogonal",
            dim=rows.shape[1],
            rank=len(basis),
            subspace=self.subspace,
            n_prompts=len(rows),
            n_pairs=0 if pairs is None else len(pairs.rows),
            guarantees=(f"orthogonal to the removed {self.subspace} of the prompts", "symmetric", "idempotent"),
            singular_values=tuple(singular_values.tolist()),
        )
        return _orthogonal(basis, header)


@dataclass(frozen=True)
class CalibratedProjection:
    """Remove what prompts span, and pull pairs together that differ in the attribute only: ``P0 (I + lam M)^-1``.

    Parameters
    ----------
    lam : float
        Weight of the pairs, 0 (gives ``P0``) to infinity (gives ``P0 (I - Pi_D)``, a supported limit). It is not
        scale-free: the default 1000 belongs to unit rows, which `fit` makes; `diagnose()` shows what it does.
    subspace : {"span", "centred", "pairs"}
        As in `OrthogonalProjection`. With ``pairs`` the pair differences are removed outright, whatever `lam`.
    rank_tolerance : float, optional
        As in `OrthogonalProjection`.

    Notes
    -----
    Guarantee: ``P (I + lam M) == P0``, and the removed directions stay removed (``B @ P == 0``). P is in general
    neither symmetric nor idempotent. With ``prompts=None`` there is no P0: the generative form ``(I + lam M)^-1``.

    Cost: `fit` is one Cholesky solve of the s x s Gram matrix (of d x d where the result is dense anyway, that is
    where prompts and pairs reach ``d / 2``; no other case forms a d x d array).

    Examples
    --------
    >>> eye = np.eye(4)
    >>> operator = CalibratedProjection(lam=3.0).fit(eye[:1], eye[1:2], eye[2:3])
    >>> np.round(operator(np.array([[0.0, 1.0, -1.0, 0.0]])), 3).tolist()
    [[0.0, 0.143, -0.143, 0.0]]
    """

    lam: float = 1000.0
    subspace: str = "span"
    rank_tolerance: float | None = None

    def __post_init__(self) -> None:
        _check_options(self.subspace, self.rank_tolerance)
        _check_lam(self.lam)

    def fit(self, prompts: ArrayLike | None, left: ArrayLike, right: ArrayLike) -> LinearOperator:
        """The operator for `prompts` ``[k, d]`` and pairs ``left[i], right[i]`` ``[s, d]``; any k, any s > 0.

        A pair of equal vectors is allowed: it adds nothing to M but counts in s, and the header notes it.

        Raises
        ------
        InputError
            Empty prompts, no pairs (use `OrthogonalProjection`), unequal lengths, NaN, infinity, a zero row.
        """
        problem = _Problem.of(self, prompts, left, right)
        pairs, lam = problem.pairs, self.lam
        if lam == 0 or not pairs.rows.any():
            return _orthogonal(problem.basis, problem.header(lam), pairs.spectrum_source())
        if lam * pairs.largest > LARGEST_CONDITION:
            return _from_path(problem, _svd_factor(pairs), lam)
        if 2 * (len(problem.basis) + len(pairs.rows)) >= problem.dim:
            return _dense_solve(problem, lam)
        return _woodbury(problem, lam)

    def path(
        self, prompts: ArrayLike | None, left: ArrayLike, right: ArrayLike, lams: Iterable[float]
    ) -> tuple[LinearOperator, ...]:
        """The operators of all `lams`, in their order, from one factorisation; their factors are shared.

        They equal `fit` for each lambda to about 1e-12. Factors are kept even where a dense matrix would be stored for
        one lambda: shared, they are smaller than two matrices.
        """
        values = [float(_check_lam(lam)) for lam in lams]
        problem = _Problem.of(self, prompts, left, right)
        largest = problem.pairs.largest
        shared = exact = None
        operators = []
        for lam in values:
            if lam * largest > LARGEST_CONDITION:
                exact = exact or _svd_factor(problem.pairs).shaped(problem)
                operators.append(exact.operator(problem, lam))
            else:
                shared = shared or _gram_factor(problem.pairs).shaped(problem)
                operators.append(shared.operator(problem, lam))
        return tuple(operators)


def random_projection(dim: int, rank: int, seed: int | np.random.Generator = 0) -> LinearOperator:
    """Orthogonal projection that removes `rank` directions drawn uniformly: the control for a repair of equal rank.

    Examples
    --------
    >>> random_projection(8, 2, seed=1).diagnose(np.eye(8)).rank
    2
    """
    if not 0 < rank <= dim:
        raise InputError(f"rank {rank}; expected 1 to {dim}, the width of the vectors.")
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((dim, rank)))[0].T
    header = OperatorHeader(
        method="random",
        dim=dim,
        rank=rank,
        subspace="random",
        seed=seed if isinstance(seed, int) else None,
        guarantees=("symmetric", "idempotent"),
    )
    return _orthogonal(np.ascontiguousarray(basis), header)


def random_control(operator: LinearOperator, seed: int | np.random.Generator = 0) -> LinearOperator:
    """A random projection that removes as much as `operator` does: of its effective rank, rounded, at least 1.

    Examples
    --------
    >>> random_control(OrthogonalProjection().fit(np.eye(8)[:3])).rank
    3
    """
    return random_projection(operator.dim, max(1, round(operator.effective_rank)), seed)


def joint_basis(parts: Sequence[ArrayLike]) -> F64:
    """Orthonormal basis ``[r, d]`` of the span of all rows of all `parts`; their order does not matter.

    Removing it treats several attributes at once. Removing one after the other is something else: it depends on the
    order, and the first may come back.

    Examples
    --------
    >>> joint_basis([[[2.0, 0.0, 0.0]], [[1.0, 1.0, 0.0]]]).shape
    (2, 3)
    """
    bases = []
    for part in parts:
        rows = np.atleast_2d(np.asarray(part, dtype=np.float64))
        values, basis = _thin_svd(rows)
        rounding = max(rows.shape) * float(np.finfo(np.float64).eps)
        keep = values > max(rounding * values[0], rounding)
        if not keep.any():
            raise InputError("the groups do not differ, so no direction is left to remove. Check their prompts.")
        bases.append(basis[keep])
    if len(bases) == 1:
        return np.ascontiguousarray(bases[0])
    values, basis = _thin_svd(np.concatenate(bases))
    return np.ascontiguousarray(basis[values > max(basis.shape) * np.finfo(np.float64).eps * values[0]])


def remove_basis(basis: F64, header: OperatorHeader) -> LinearOperator:
    """``I - basis.T @ basis`` for an orthonormal basis ``[r, d]``."""
    return _orthogonal(basis, header)


def join(*operators: LinearOperator) -> LinearOperator:
    """One projection that removes all that several projections remove: the join of their removed subspaces.

    ``join(a, b)`` equals ``join(b, a)`` and ``join(a, a)`` equals ``a``; the product of the two matrices has neither
    property.

    Raises
    ------
    InputError
        An operator that is not an orthogonal projection (a calibrated one, say): fit those jointly instead.

    Examples
    --------
    >>> first, second = (OrthogonalProjection().fit(np.eye(4)[[i]]) for i in (0, 2))
    >>> join(first, second).rank
    2
    """
    if not operators:
        raise InputError("join() of no operators; expected at least one.")
    dims = {operator.dim for operator in operators}
    if len(dims) > 1:
        raise InputError(f"join of operators of widths {sorted(dims)}; expected one width.")
    parts = []
    for operator in operators:
        matrix = operator.matrix()
        if operator.affine or abs(matrix @ matrix - matrix).max() > 1e-8 or abs(matrix - matrix.T).max() > 1e-8:
            raise InputError(
                f"join: the {operator.card.method} operator is no orthogonal projection, so it removes no subspace "
                "outright. Fit several attributes together: debias(attribute=[...]), or a mapping of labels."
            )
        parts.append(np.eye(operator.dim) - matrix if operator.dense is not None else operator.right)
    basis = joint_basis(parts)
    cards = [operator.card for operator in operators]
    header = OperatorHeader(
        method="joint",
        dim=operators[0].dim,
        rank=len(basis),
        attribute=", ".join(dict.fromkeys(card.attribute for card in cards if card.attribute)),
        encoder=cards[0].encoder if all(card.encoder == cards[0].encoder for card in cards) else {},
        guarantees=("orthogonal to all that its parts remove", "symmetric", "idempotent"),
    )
    return _orthogonal(basis, header)


@dataclass(frozen=True)
class _Pairs:
    """Differences of unit rows; `rows` ``[s, d]``, M is their Gram matrix over s."""

    rows: F64
    eps: float
    largest: float  # an upper bound of the largest eigenvalue of M
    n_equal: int

    @classmethod
    def of(cls, left: ArrayLike | None, right: ArrayLike | None, dim: int | None) -> _Pairs:
        if left is None or right is None:
            raise InputError("pairs need both left and right; only one was given.")
        hint = "a calibration needs at least one pair; without pairs use OrthogonalProjection"
        if len(np.shape(left)) == 0 or np.shape(left)[0] == 0:
            raise InputError(f"left: no vectors; {hint}.")
        a, a_eps = _unit_rows(left, "left", dim)
        b, b_eps = _unit_rows(right, "right", a.shape[1])
        if len(a) != len(b):
            raise InputError(f"left has {len(a)} rows, right {len(b)}; expected pairs left[i], right[i].")
        rows = a - b
        square = np.einsum("ij,ij->i", rows, rows)
        return cls(rows, max(a_eps, b_eps), float(square.sum()) / len(rows), int((square == 0).sum()))

    def spectrum_source(self) -> partial[F64]:
        return partial(_spectrum, self.rows)


@dataclass(frozen=True)
class _Problem:
    """Checked input of a calibrated fit: everything that does not depend on lambda."""

    basis: F64
    pairs: _Pairs
    dim: int
    n_prompts: int
    subspace: str
    singular_values: tuple[float, ...]

    @classmethod
    def of(cls, spec: CalibratedProjection, prompts: ArrayLike | None, left: ArrayLike, right: ArrayLike) -> _Problem:
        if prompts is None:
            pairs = _Pairs.of(left, right, None)
            dim = pairs.rows.shape[1]
            return cls(np.empty((0, dim)), pairs, dim, 0, "", ())
        rows, eps = _unit_rows(prompts, "prompts")
        pairs = _Pairs.of(left, right, rows.shape[1])
        basis, values = _removed(rows, pairs, spec.subspace, spec.rank_tolerance, eps)
        return cls(basis, pairs, rows.shape[1], len(rows), spec.subspace, tuple(values.tolist()))

    def header(self, lam: float) -> OperatorHeader:
        equal = self.pairs.n_equal
        removed = (f"orthogonal to the removed {self.subspace} of the prompts",) if self.n_prompts else ()
        return OperatorHeader(
            method="calibrated",
            dim=self.dim,
            rank=len(self.basis),
            subspace=self.subspace,
            lam=float(lam),
            n_prompts=self.n_prompts,
            n_pairs=len(self.pairs.rows),
            guarantees=(*removed, "P (I + lam M) = P0"),
            singular_values=self.singular_values,
            notes=(f"{equal} of {len(self.pairs.rows)} pairs are equal vectors and add nothing",) if equal else (),
        )


@dataclass(frozen=True)
class _Factor:
    """Rows V and numbers that give ``(I + lam M)^-1 = I - V.T @ W(lam) @ V`` for every lambda.

    `kind` says what V and `values` are: ``eigen`` (orthonormal rows, eigenvalues of ``D.T @ D``), ``gram`` (rows
    ``U.T @ D``, the same eigenvalues; not divided by their length, so that small ones lose nothing) or ``tridiagonal``
    (orthonormal rows in which ``D.T @ D`` has the diagonal `values` and off-diagonal `off`).
    """

    kind: str
    rows: F64
    values: F64
    n_pairs: int
    off: F64 | None = None

    def weights(self, lam: float) -> F64:
        if self.kind == "gram":
            return np.asarray(1.0 / (self.n_pairs / lam + self.values)) if lam else np.zeros_like(self.values)
        if lam == np.inf:
            return np.ones_like(self.values)
        ridge = lam * self.values / self.n_pairs
        return np.asarray(ridge / (1.0 + ridge))

    def shaped(self, problem: _Problem) -> _Shaped:
        left, right = _after_projection(problem.basis, self.rows)
        source = problem.pairs.spectrum_source()
        shared = LinearOperator(left, right, header=problem.header(0.0), spectrum_source=source)
        return _Shaped(self, shared, len(problem.basis))


@dataclass(frozen=True)
class _Shaped:
    """The factors of ``P0 (I + lam M)^-1`` that all lambdas share."""

    factor: _Factor
    shared: LinearOperator
    n_basis: int

    def operator(self, problem: _Problem, lam: float) -> LinearOperator:
        factor, header, ones = self.factor, problem.header(lam), np.ones(self.n_basis)
        if factor.off is None:
            return self.shared.reweighted(header, scale=np.concatenate([ones, factor.weights(lam)]))
        # Between the factors stands I - inv(C): with C = 2 and weight 2, the basis rows count fully.
        ratio = lam / factor.n_pairs
        banded = np.zeros((2, self.n_basis + len(factor.values)))
        banded[0] = np.concatenate([2.0 * ones, 1.0 + ratio * factor.values])
        banded[1, self.n_basis : -1] = ratio * factor.off
        scale = np.concatenate([2.0 * ones, np.ones_like(factor.values)])
        return self.shared.reweighted(header, scale=scale, tridiagonal=banded)


def _from_path(problem: _Problem, factor: _Factor, lam: float) -> LinearOperator:
    shared = factor.shaped(problem).operator(problem, lam)
    if 2 * shared.left.shape[1] < problem.dim:
        return shared
    return LinearOperator.from_matrix(
        shared.matrix(), header=shared.header, spectrum_source=problem.pairs.spectrum_source()
    )


def _svd_factor(pairs: _Pairs) -> _Factor:
    values, rows = _thin_svd(pairs.rows)
    keep = values > max(pairs.rows.shape) * pairs.eps * values[0]
    return _Factor("eigen", rows[keep], values[keep] ** 2, len(pairs.rows))


def _gram_factor(pairs: _Pairs) -> _Factor:
    rows = pairs.rows
    n, dim = rows.shape
    if 2 * n < dim:
        values, vectors = np.linalg.eigh(rows @ rows.T)
        return _Factor("gram", vectors.T @ rows, np.maximum(values, 0.0), n)
    if dim < 3:
        values, vectors = np.linalg.eigh(rows.T @ rows)
        return _Factor("eigen", vectors.T, np.maximum(values, 0.0), n)
    # Tridiagonal is diagonal enough: a solve in it costs nothing, and the eigenvectors would double the work.
    gram = blas.dsyrk(1.0, rows.T, lower=1)
    size = int(lapack.dsytrd_lwork(dim, lower=1)[0])
    reflectors, diagonal, off, tau, _ = lapack.dsytrd(gram, lower=1, lwork=size, overwrite_a=1)
    inner, _, _ = lapack.dorgqr(reflectors[1:, :-1], tau, lwork=64 * dim)
    basis = np.zeros((dim, dim))
    basis[0, 0], basis[1:, 1:] = 1.0, inner.T
    return _Factor("tridiagonal", basis, diagonal, n, off)


def _after_projection(basis: F64, rows: F64) -> tuple[F64, F64]:
    """Factors of ``P0 (I - rows.T @ rows)``: left ``[B.T, P0 rows.T]`` in column order, right ``[B; rows]``."""
    right = np.concatenate([basis, rows])
    left = np.empty(right.T.shape, order="F")
    left.T[: len(basis)] = basis
    np.subtract(rows, (rows @ basis.T) @ basis, out=left.T[len(basis) :])
    for array in (left, right):
        array.setflags(write=False)
    return left, right


def _woodbury(problem: _Problem, lam: float) -> LinearOperator:
    rows, basis = problem.pairs.rows, problem.basis
    gram = rows @ rows.T
    gram[np.diag_indices_from(gram)] += len(rows) / lam
    lower, info = lapack.dpotrf(gram.T, lower=1, overwrite_a=1)
    if info:
        return _from_path(problem, _svd_factor(problem.pairs), lam)
    inner = solve_triangular(lower, rows, lower=True, check_finite=False)
    left, right = _after_projection(basis, inner)
    return LinearOperator(left, right, header=problem.header(lam), spectrum_source=problem.pairs.spectrum_source())


def _dense_solve(problem: _Problem, lam: float) -> LinearOperator:
    rows, basis = problem.pairs.rows, problem.basis
    gram = blas.dsyrk(lam / len(rows), rows.T, lower=1)
    gram[np.diag_indices_from(gram)] += 1.0
    lower, info = lapack.dpotrf(gram, lower=1, clean=0, overwrite_a=1)
    if info:
        return _from_path(problem, _svd_factor(problem.pairs), lam)
    inverse, _ = lapack.dpotri(lower, lower=1, overwrite_c=1)
    _mirror_upper(inverse.T)  # the solution is in the lower triangle, which is the upper one of the transpose
    if len(basis):
        # In place and without a d x d temporary: inverse -= basis.T @ (basis @ inverse).
        inverse = blas.dgemm(-1.0, basis.T, basis @ inverse, beta=1.0, c=inverse, overwrite_c=1)
    inverse.setflags(write=False)
    return LinearOperator.from_matrix(
        inverse, header=problem.header(lam), spectrum_source=problem.pairs.spectrum_source()
    )


def _mirror_upper(matrix: F64, block: int = 128) -> None:
    for start in range(0, len(matrix), block):
        stop = min(start + block, len(matrix))
        corner = matrix[start:stop, start:stop]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T


def _orthogonal(basis: F64, header: OperatorHeader, spectrum_source: partial[F64] | None = None) -> LinearOperator:
    rank, dim = basis.shape
    if 2 * rank < dim:
        return LinearOperator(basis.T, basis, header=header, spectrum_source=spectrum_source)
    matrix = np.zeros((dim, dim)) if rank == dim else np.eye(dim) - basis.T @ basis
    return LinearOperator.from_matrix(matrix, header=header, spectrum_source=spectrum_source)


def _removed(
    rows: F64, pairs: _Pairs | None, subspace: str, rank_tolerance: float | None, eps: float
) -> tuple[F64, F64]:
    """Orthonormal basis of the removed row space and the singular values that decided its rank."""
    if subspace == "pairs" and pairs is not None:
        rows, eps = pairs.rows, pairs.eps
    elif subspace != "span":
        rows = rows - rows.mean(axis=0)
    values, basis = _thin_svd(rows)
    tolerance = max(rows.shape) * eps if rank_tolerance is None else rank_tolerance
    # Differences of equal unit rows are rounding noise: their own largest value is no yardstick.
    floor = 0.0 if subspace == "span" else max(rows.shape) * eps
    keep = values > max(tolerance * values[0], floor)
    if not keep.any():
        raise InputError(
            f"subspace={subspace!r}: the {len(rows)} rows do not differ, so no direction is left to remove. "
            "Give at least two different prompts, or use subspace='span'."
        )
    return np.ascontiguousarray(basis[keep]), values


def _thin_svd(rows: F64) -> tuple[F64, F64]:
    if len(rows) > 2 * rows.shape[1]:
        rows = np.asarray(np.linalg.qr(rows, mode="r"))
    _, values, basis = np.linalg.svd(rows, full_matrices=False)
    return values, basis


def _spectrum(rows: F64) -> F64:
    n, dim = rows.shape
    values = np.linalg.eigvalsh(rows @ rows.T if n <= dim else rows.T @ rows)[::-1] / n
    return np.asarray(values[values > max(n, dim) * np.finfo(np.float64).eps * values[0]])


def _unit_rows(vectors: ArrayLike, name: str, dim: int | None = None) -> tuple[F64, float]:
    """Checked float64 rows of unit length (the input itself where it is that already) and the eps of its dtype."""
    if (
        isinstance(vectors, np.ndarray)
        and vectors.dtype == np.float64
        and vectors.ndim == 2
        and vectors.size
        and dim in (None, vectors.shape[1])
    ):
        length = np.einsum("ij,ij->i", vectors, vectors)
        if (np.abs(length - 1.0) < UNIT_SLACK).all():  # so all rows are finite and none is zero
            return vectors, _eps(vectors.dtype)
    rows = check_vectors(vectors, name, dim=dim)
    out = rows.astype(np.float64)
    with np.errstate(over="ignore"):
        length = np.sqrt(np.einsum("ij,ij->i", out, out))
    if not 1e-100 < length.min() <= length.max() < 1e100:  # some squares overflowed or vanished
        out /= np.abs(out).max(axis=1, keepdims=True)
        length = np.sqrt(np.einsum("ij,ij->i", out, out))
    off = np.abs(length - 1.0) > UNIT_SLACK
    if off.any():
        out /= np.where(off, length, 1.0)[:, None]
    return out, _eps(rows.dtype)


def _eps(dtype: np.dtype[np.floating]) -> float:
    return float(np.finfo(np.float64 if dtype == np.float64 else np.float32).eps)


def _check_options(subspace: str, rank_tolerance: float | None) -> None:
    if subspace not in SUBSPACES:
        raise InputError(f"subspace {subspace!r}; expected one of {', '.join(SUBSPACES)}.")
    if rank_tolerance is not None and not 0 <= rank_tolerance < 1:
        raise InputError(f"rank_tolerance {rank_tolerance}; expected a share of the largest singular value, 0 to 1.")


def _check_lam(lam: float) -> float:
    if not isinstance(lam, (int, float, np.integer, np.floating)) or isinstance(lam, bool) or not lam >= 0:
        raise InputError(f"lam {lam!r}; expected a number from 0 (no calibration) to infinity (its limit).")
    return float(lam)
