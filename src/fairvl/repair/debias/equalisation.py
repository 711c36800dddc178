"""Per-query equalisation: make every query equally similar to a reference of each group, in closed form.

For a query q and group references ``r_1 ... r_g``, with C the rows ``r_a - r_1``, the nearest vector to q that has the
same product with all references is ``q - C.T (C C.T)^+ C q``. The references of a query are the means of the `nearest`
labelled vectors of each group that are most similar to it; with all of them they are one set for every query, and the
map is a projection. It is the exact solution of what BendVLM (NeurIPS 2024) looks for with a numeric optimiser per
query; the derivation is this project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError, OperatorError
from .base import F64, NumpySpace, Operator, Space, frozen, unit_doubles
from .header import OperatorHeader
from .labels import Labels, named_groups
from .operator import LinearOperator
from .projection import joint_basis, remove_basis

MAX_REFERENCES = 100_000


@dataclass(frozen=True)
class Equalisation:
    """Make queries equally similar to every group of a labelled reference set.

    Parameters
    ----------
    nearest : int, optional
        How many reference vectors of a group, those most similar to the query, make its reference. None takes the
        whole group: then the references do not depend on the query and `fit` returns a `LinearOperator`.

    Notes
    -----
    Guarantee: the products of a repaired query with the references of its groups are equal, to rounding, and no vector
    with that property is nearer to the query. With several attributes it holds inside each of them at once.

    Examples
    --------
    >>> images = np.array([[1.0, 0.2, 0.0], [0.0, 0.2, 1.0]])
    >>> operator = Equalisation().fit(images, ["female", "male"])
    >>> after = operator(np.array([[0.9, 0.3, 0.1]]))
    >>> bool(np.allclose(after @ images[0], after @ images[1]))
    True
    """

    nearest: int | None = None

    def __post_init__(self) -> None:
        if self.nearest is not None and (isinstance(self.nearest, bool) or self.nearest < 1):
            raise InputError(f"nearest={self.nearest!r}; expected a number of references from 1, or None for all.")

    def fit(self, vectors: ArrayLike, labels: Labels) -> LinearOperator | EqualisingOperator:
        """The operator for reference `vectors` ``[n, d]`` of the groups `labels` ``[n]`` (or a mapping of attributes).

        Raises
        ------
        InputError
            A group with fewer vectors than `nearest`, one group only, or more than 100,000 references.
        """
        rows = unit_doubles(vectors, "vectors")
        groups = named_groups(labels, len(rows))
        if self.nearest is None:
            means = []
            for codes in groups.values():
                present = np.unique(codes.codes[codes.codes >= 0])
                mean = np.stack([rows[codes.codes == code].mean(axis=0) for code in present])
                means.append(mean - mean.mean(axis=0))
            basis = joint_basis(means)
            header = self._header(rows, len(basis), "equally similar to the mean of every group of the references")
            return remove_basis(basis, header)
        if len(rows) > MAX_REFERENCES:
            raise InputError(f"vectors: {len(rows)} references; expected at most {MAX_REFERENCES}. Take a sample.")
        for name, codes in groups.items():
            for label, count in zip(codes.labels, codes.counts, strict=True):
                if 0 < count < self.nearest:
                    raise InputError(
                        f"labels: {name or 'group'} {label!r} has {count} references; expected at least nearest="
                        f"{self.nearest}."
                    )
        members = [
            np.where(np.arange(len(codes.labels))[:, None] == codes.codes, 1, 0)[codes.counts > 0]
            for codes in groups.values()
        ]
        attribute = np.repeat(np.arange(len(members)), [len(m) for m in members])
        rank = len(attribute) - len(members)
        header = self._header(rows, rank, f"equally similar to the {self.nearest} nearest references of every group")
        return EqualisingOperator(rows, np.concatenate(members).astype(np.float64), attribute, self.nearest, header)

    def _header(self, rows: F64, rank: int, guarantee: str) -> OperatorHeader:
        parameters = {} if self.nearest is None else {"nearest": self.nearest}
        return OperatorHeader(
            method="equalised",
            dim=rows.shape[1],
            rank=rank,
            subspace="pairs",
            n_prompts=len(rows),
            guarantees=(guarantee,),
            parameters=parameters,
        )


@dataclass(frozen=True, eq=False)
class EqualisingOperator(Operator):
    """Equalisation against the nearest references of each query.

    Parameters
    ----------
    references : (m, d) array
        Unit rows.
    members : (g, m) array of 0 and 1
        Which references belong to a group.
    attribute : (g,) integers
        Which attribute a group is a value of.
    nearest : int
    """

    references: F64
    members: F64
    attribute: NDArray[np.int64]
    nearest: int
    header: OperatorHeader | None = None

    def __post_init__(self) -> None:
        references, members = frozen(self.references, "references", 2), frozen(self.members, "members", 2)
        attribute = np.array(self.attribute, dtype=np.int64)
        attribute.setflags(write=False)
        if members.shape != (len(attribute), len(references)) or not np.isin(members, (0.0, 1.0)).all():
            raise OperatorError(f"members {members.shape}; expected 0 or 1 for {len(attribute)} groups and references.")
        if self.nearest < 1 or (members.sum(axis=1) < self.nearest).any():
            raise OperatorError(f"nearest={self.nearest}: some group has fewer references.")
        for name, value in (("references", references), ("members", members), ("attribute", attribute)):
            object.__setattr__(self, name, value)
        if self.header is None:
            rank = len(attribute) - len(np.unique(attribute))
            object.__setattr__(self, "header", OperatorHeader("equalised", references.shape[1], rank))

    @property
    def block_rows(self) -> int:  # type: ignore[override]
        """Rows at a time: the similarities to all references fit into about 64 MB."""
        width = len(self.references) + self.nearest * self.dim + len(self.members) * self.dim
        return int(max(1, min(4096, 8_000_000 // width)))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {
            "references": self.references,
            "members": self.members,
            "attribute": self.attribute.astype(np.float64),
            "nearest": np.array([float(self.nearest)]),
        }

    def group_references(self, queries: ArrayLike) -> F64:
        """The reference of each group for each query: ``[n, g, d]``."""
        rows = unit_doubles(queries, "queries")
        return np.asarray(self._references(rows, NumpySpace(np.dtype(np.float64))))

    def _references(self, rows: Any, space: Space) -> Any:
        lib, references = space.lib, space.array(self.references)
        similar = rows @ references.T
        out = []
        for group in range(len(self.members)):
            own = np.flatnonzero(self.members[group])
            mine = references[own]
            if len(own) == self.nearest:
                out.append(mine.mean(0)[None, :] + 0.0 * rows)
            else:
                chosen = space.top(similar[:, own], self.nearest)
                out.append(mine[chosen].mean(1))
        return lib.stack(out, 1)

    def _map(self, rows: Any, space: Space) -> Any:
        lib = space.lib
        # The differences of references are small: they are taken, and the small systems solved, in float64.
        references, query = space.double(self._references(rows, space)), space.double(rows)
        differences = []
        for value in np.unique(self.attribute):
            own = np.flatnonzero(self.attribute == value)
            differences.append(references[:, own[1:]] - references[:, own[:1]])
        c = lib.concatenate(differences, 1)
        gram = lib.einsum("nad,nbd->nab", c, c)
        weights = lib.einsum("nab,nb->na", lib.linalg.pinv(gram, 1e-10, True), lib.einsum("nad,nd->na", c, query))
        return space.back(query - lib.einsum("na,nad->nd", weights, c))
