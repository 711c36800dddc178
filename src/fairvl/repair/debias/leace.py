"""Erasure of what labels say: LEACE and the mean difference, from statistics that stream and merge.

With ``S`` the columns ``p_c (mu_c - mu)`` (the cross-covariance of vectors and one-hot labels) and ``Sigma`` the
covariance of the vectors, LEACE is ``x - S (S.T Sigma^-1 S)^+ S.T Sigma^-1 (x - mu)``: of all affine maps after which
no linear classifier beats the best constant, the one that moves vectors least. With ``Sigma = I`` it is the removal of
the span of the group means minus their mean.

Source: Belrose, Schneider-Joseph, Ravfogel, Cotterell, Raff and Biderman (2023), "LEACE: Perfect linear concept
erasure in closed form", arXiv 2306.03819, theorem 4.3 (there with the whitening square root of ``Sigma``; any root
gives the same map). Shrinkage: Bodnar, Gupta and Parolya (2014), arXiv 1308.2608.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, lapack, solve_triangular

from ...arrays import blocks, check_vectors
from ...errors import InputError
from .base import F64
from .header import AS_GIVEN, OperatorHeader
from .labels import Labels, named_groups
from .operator import LinearOperator
from .projection import joint_basis, remove_basis

CHUNK = 16_384
EXACT = 1e-9  # of the largest singular value: statistics are sums in float64
EXPLAINED = "no linear classifier of the vectors it was fitted on beats the best constant (group means are equal)"


class LabelledMoments:
    """Counts, means and scatter of labelled vectors in float64; `update` streams, `merge` joins two streams.

    Rows are centred on the mean of their chunk before they are squared (Chan, Golub and LeVeque), so that a large
    shared mean costs no digits. A row whose label of an attribute is missing counts in the covariance only.

    Examples
    --------
    >>> whole = LabelledMoments(2).update([[1.0, 0.0], [3.0, 4.0]], ["a", "b"])
    >>> first, second = LabelledMoments(2), LabelledMoments(2)
    >>> _ = first.update([[1.0, 0.0]], ["a"]), second.update([[3.0, 4.0]], ["b"])
    >>> bool((first.merge(second).scatter == whole.scatter).all()), whole.mean.tolist()
    (True, [2.0, 2.0])
    """

    def __init__(self, dim: int, *, scatter: bool = True) -> None:
        if isinstance(dim, bool) or dim < 1:
            raise InputError(f"dim={dim!r}; expected the width of the vectors, from 1.")
        self.dim, self.n = dim, 0
        self.mean: F64 = np.zeros(dim)
        self.scatter: F64 | None = np.zeros((dim, dim)) if scatter else None
        self.groups: dict[tuple[str, str], tuple[int, F64]] = {}  # count and mean

    def update(self, vectors: ArrayLike, labels: Labels) -> LabelledMoments:
        """Add `vectors` ``[n, dim]`` with `labels` ``[n]``, or a mapping of attributes to labels; any float dtype."""
        rows = check_vectors(vectors, dim=self.dim, zero_ok=True)
        named = named_groups(labels, len(rows), minimum=0)
        for block in blocks(len(rows), CHUNK):
            chunk = rows[block].astype(np.float64)
            mean = chunk.mean(axis=0)
            for attribute, codes in named.items():
                own = codes.codes[block]
                for code in np.unique(own[own >= 0]):
                    mine = chunk[own == code]
                    self._add_group((attribute, codes.labels[code]), len(mine), mine.mean(axis=0))
            chunk -= mean
            scatter = None if self.scatter is None else blas.dsyrk(1.0, chunk.T, lower=1)
            self._add(len(chunk), mean, scatter)
        return self

    def merge(self, other: LabelledMoments) -> LabelledMoments:
        """Add what another stream has seen; the order changes rounding only."""
        if (other.dim, other.scatter is None) != (self.dim, self.scatter is None):
            raise InputError(f"merge of moments of width {other.dim} into {self.dim}; expected equals of one kind.")
        for key, (count, mean) in other.groups.items():
            self._add_group(key, count, mean)
        self._add(other.n, other.mean, other.scatter)
        return self

    def _add(self, n: int, mean: F64, scatter: F64 | None) -> None:
        if n == 0:
            return
        delta = mean - self.mean
        total = self.n + n
        if self.scatter is not None and scatter is not None:
            self.scatter += np.tril(scatter)
            self.scatter += np.tril(np.outer(delta, delta)) * (self.n * n / total)
        self.mean = self.mean + delta * (n / total)
        self.n = total

    def _add_group(self, key: tuple[str, str], n: int, mean: F64) -> None:
        count, old = self.groups.get(key, (0, np.zeros(self.dim)))
        self.groups[key] = count + n, old + (mean - old) * (n / (count + n))

    def covariance(self, *, shrinkage: bool) -> F64:
        """Covariance ``[d, d]``: with Bessel's correction, or shrunk towards a multiple of the identity."""
        if self.scatter is None or self.n < 2:
            raise InputError(f"a covariance needs at least 2 vectors; {self.n} were given.")
        full = self.scatter + np.tril(self.scatter, -1).T
        return shrunk(full / self.n, self.n) if shrinkage else full / (self.n - 1)

    def by_attribute(self) -> dict[str, tuple[F64, F64]]:
        """Per attribute the counts ``[g]`` and means ``[g, d]`` of its groups, by name."""
        out: dict[str, tuple[F64, F64]] = {}
        for attribute in sorted({key[0] for key in self.groups}):
            keys = sorted(key for key in self.groups if key[0] == attribute)
            counts = np.array([self.groups[key][0] for key in keys], dtype=np.float64)
            if len(keys) < 2:
                raise InputError(
                    f"labels{f' of {attribute!r}' if attribute else ''}: one group only ({keys[0][1]!r}); expected at "
                    "least 2. There is nothing to remove where all belong together."
                )
            out[attribute] = counts, np.stack([self.groups[key][1] for key in keys])
        if not out:
            raise InputError("no labelled vectors; call update(vectors, labels) first.")
        return out

    def cross_covariance(self) -> F64:
        """Columns ``p_c (mu_c - mu)`` ``[d, g]`` over the groups of all attributes."""
        columns = []
        for counts, means in self.by_attribute().values():
            share = counts / counts.sum()
            columns.append(share[:, None] * (means - share @ means))
        return np.ascontiguousarray(np.concatenate(columns).T)


def shrunk(covariance: F64, n: int) -> F64:
    """Optimal linear shrinkage ``alpha S + beta I`` of a sample covariance of `n` vectors (arXiv 1308.2608, eq. 3.1).

    Examples
    --------
    >>> shrunk(np.diag([3.0, 1.0]), 10**9).round(6).tolist()
    [[3.0, 0.0], [0.0, 1.0]]
    """
    dim = len(covariance)
    trace = float(np.trace(covariance))
    spread = float(np.square(covariance).sum()) - trace**2 / dim  # zero for a multiple of the identity
    if spread <= np.finfo(np.float64).eps * trace**2:
        return np.asarray(np.eye(dim) * trace / dim)
    alpha = 1.0 - trace**2 / n / spread
    return np.asarray(alpha * covariance + (1.0 - alpha) * trace / dim * np.eye(dim))


@dataclass(frozen=True)
class Leace:
    """Least-squares concept erasure: the smallest affine edit after which labels cannot be read linearly.

    Parameters
    ----------
    shrinkage : bool
        Shrink the covariance towards a multiple of the identity, which keeps it well conditioned when there are few
        vectors per dimension. The guarantee does not depend on it; how little vectors move does.
    affine : bool
        Move about the mean of the vectors, as in the paper. Without it vectors move further, the guarantee stays, and
        the operator is a matrix that can be folded into the weights of a model.

    Notes
    -----
    Guarantee: on the vectors it was fitted on, all groups have one mean, so that no linear classifier beats a
    constant. It speaks of the vectors as they were given: normalising rows afterwards brings small differences back,
    and vectors of other texts or images are only as clean as the sample is large. Several attributes (a mapping of
    name to labels) are erased together, free of their order.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(["a", "b"], 100)
    >>> vectors = rng.normal(size=(200, 4)) + np.where(labels == "a", 1.0, -1.0)[:, None]
    >>> after = Leace().fit(vectors, labels)(vectors)
    >>> bool(abs(after[:100].mean(axis=0) - after[100:].mean(axis=0)).max() < 1e-12)
    True
    """

    shrinkage: bool = True
    affine: bool = True

    def fit(self, vectors: ArrayLike, labels: Labels) -> LinearOperator:
        """The operator for `vectors` ``[n, d]`` (as they are, not normalised) with categories `labels` ``[n]``.

        Raises
        ------
        InputError
            Fewer than two groups, another number of labels than vectors, NaN or infinity, group means that are equal.
        """
        rows = check_vectors(vectors, minimum=2, zero_ok=True)
        named_groups(labels, len(rows))
        return self.from_moments(LabelledMoments(rows.shape[1]).update(rows, labels))

    def moments(self, dim: int) -> LabelledMoments:
        """Empty statistics to stream vectors of width `dim` into; `from_moments` makes the operator of them."""
        return LabelledMoments(dim)

    def from_moments(self, moments: LabelledMoments) -> LinearOperator:
        """The operator of what `moments` have seen: equal to `fit` on all of it at once, to rounding."""
        cross = moments.cross_covariance()
        covariance = moments.covariance(shrinkage=self.shrinkage)
        root, inverse_root = _root(covariance)
        directions, values, _ = np.linalg.svd(inverse_root(cross, False), full_matrices=False)
        keep = _above_rounding(values, cross, moments)
        directions = directions[:, keep]
        header = _header("leace", moments, int(keep.sum()), values, {"shrinkage": self.shrinkage})
        centre = moments.mean if self.affine else None
        return LinearOperator.from_factors(root(directions), inverse_root(directions, True).T, centre, header=header)


@dataclass(frozen=True)
class MeanDifference:
    """Remove the span of group means minus their mean; for two groups the normalised difference of the means.

    Notes
    -----
    Guarantee: the groups of the vectors it was fitted on have one mean afterwards. It is what LEACE becomes with an
    isotropic covariance: symmetric and idempotent, free of any covariance, and further from the vectors than LEACE.

    Examples
    --------
    >>> operator = MeanDifference().fit([[1.0, 1.0], [1.0, -1.0]], ["a", "b"])
    >>> operator(np.array([[0.6, 0.8]])).round(12).tolist()
    [[0.6, 0.0]]
    """

    def fit(self, vectors: ArrayLike, labels: Labels) -> LinearOperator:
        """The operator for `vectors` ``[n, d]``, as they are, with categories `labels` ``[n]`` (or several)."""
        rows = check_vectors(vectors, minimum=2, zero_ok=True)
        named_groups(labels, len(rows))
        return self.from_moments(LabelledMoments(rows.shape[1], scatter=False).update(rows, labels))

    def from_moments(self, moments: LabelledMoments) -> LinearOperator:
        """The operator of what `moments` have seen."""
        differences = [means - means.mean(axis=0) for _, means in moments.by_attribute().values()]
        basis = joint_basis(differences)
        header = _header("mean-difference", moments, len(basis), np.empty(0), {})
        return remove_basis(basis, header)


def _header(
    method: str, moments: LabelledMoments, rank: int, values: F64, parameters: Mapping[str, bool]
) -> OperatorHeader:
    return OperatorHeader(
        method=method,
        dim=moments.dim,
        rank=rank,
        n_prompts=moments.n,
        normalisation=AS_GIVEN,
        guarantees=(EXPLAINED,),
        singular_values=tuple(values.tolist()),
        parameters=dict(parameters),
    )


def _above_rounding(values: F64, cross: F64, moments: LabelledMoments) -> NDArray[np.bool_]:
    length = np.linalg.norm(moments.mean) + np.sqrt(np.linalg.norm(cross))
    noise = np.linalg.norm(cross) <= 16 * np.finfo(np.float64).eps * length
    keep = np.asarray(values > EXACT * values[0])
    if noise or not keep.any():
        raise InputError(
            "labels: the groups have equal means, so there is nothing that a linear classifier could read. "
            "Check that labels and vectors are in the same order."
        )
    return keep


def _root(covariance: F64) -> tuple[Callable[[F64], F64], Callable[[F64, bool], F64]]:
    """Functions that multiply by a root R of the covariance (``R R.T``) and by its inverse (or that transposed)."""
    lower, info = lapack.dpotrf(covariance, lower=1, clean=1)
    scale = np.diagonal(covariance).max()
    if not info and np.diagonal(lower).min() ** 2 > len(covariance) * np.finfo(np.float64).eps * scale * 16:

        def root(columns: F64) -> F64:
            return np.asarray(lower @ columns)

        def inverse(columns: F64, transposed: bool) -> F64:
            return np.asarray(solve_triangular(lower, columns, lower=True, trans="T" if transposed else "N"))

        return root, inverse
    # Fewer vectors than dimensions and no shrinkage: the pseudo-inverse, on the range of the covariance.
    values, vectors = np.linalg.eigh(covariance)
    keep = values > values[-1] * len(values) * np.finfo(np.float64).eps
    own, size = vectors[:, keep], np.sqrt(values[keep])

    def wide_root(columns: F64) -> F64:
        return np.asarray((own * size) @ (own.T @ columns))

    def wide_inverse(columns: F64, _: bool) -> F64:
        return np.asarray((own / size) @ (own.T @ columns))

    return wide_root, wide_inverse
