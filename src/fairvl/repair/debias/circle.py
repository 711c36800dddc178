"""The closed-form circle method: every vector keeps as much of itself as it loses of the attribute, on both sides.

Rows are unit vectors. `B` is an orthonormal basis of the attribute space, the span of the differences between the
prototypes of its values. A vector is ``a`` times a unit vector inside that space plus ``b`` times one outside it,
``a**2 + b**2 = 1``. With ``E = a + (1 - b) / a`` the result is where the line ``E alpha + b beta = 1`` meets the unit
circle: ``alpha = (E - b sqrt(E**2 - a**2)) / (E**2 + b**2)`` inside and ``sqrt(1 - alpha**2)`` outside.

Source: "Closed-form ... with utility guarantees" (CVPR 2026), arXiv 2603.12998; the formula as in the project's own
derivation. For small ``a`` the inside part shrinks by ``(3 - sqrt(5)) / 2``, about 0.38; it never grows or turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import OperatorError
from .base import F64, Operator, Space, frozen, unit_doubles
from .header import UNIT, OperatorHeader
from .labels import Labels, named_labels
from .projection import joint_basis

UNTOUCHED = 1e-6  # an inside or outside part below this share of a vector is rounding


@dataclass(frozen=True, eq=False)
class CircleOperator(Operator):
    """The circle map for the attribute space of an orthonormal `basis` ``[r, d]``; see `CircleMethod`.

    Lengths are kept: a vector of another length than 1 is treated as its direction and gets its length back.
    """

    basis: F64
    header: OperatorHeader | None = None

    def __post_init__(self) -> None:
        basis = frozen(self.basis, "basis", 2)
        if not 0 < len(basis) <= basis.shape[1] or abs(basis @ basis.T - np.eye(len(basis))).max() > 1e-6:
            raise OperatorError(f"basis {basis.shape}: expected orthonormal rows [r, d], at least one.")
        object.__setattr__(self, "basis", basis)
        if self.header is None:
            object.__setattr__(self, "header", OperatorHeader("circle", basis.shape[1], len(basis), normalisation=UNIT))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"basis": self.basis}

    def _map(self, rows: Any, space: Space) -> Any:
        lib, basis = space.lib, space.array(self.basis)
        inside = (rows @ basis.T) @ basis
        outside = rows - inside
        length, a, b = space.length(rows), space.length(inside), space.length(outside)
        one = lib.ones_like(length)
        kept = (a <= UNTOUCHED * length) | (b <= UNTOUCHED * length)
        share = lib.where(kept, one * 0.5, a / lib.where(length > 0, length, one))
        alpha = _inside(lib, share)
        beta = lib.sqrt(1.0 - alpha**2)
        rest = lib.sqrt(1.0 - share**2)
        moved = inside * (alpha / share) + outside * (beta / rest)
        return lib.where(kept, rows, moved)


def _inside(lib: Any, a: Any) -> Any:
    b = lib.sqrt(1.0 - a**2)
    # 1 - b cancels where a is small: a**2 / (1 + b) is the same number, whole.
    e = a + a / (1.0 + b)
    return (e - b * lib.sqrt((e - a) * (e + a))) / (e**2 + b**2)


def utility_bound(before: ArrayLike, after: ArrayLike) -> F64:
    """Largest change of a cosine with anything else that replacing `before` by `after` can cause, per row: ``[n]``.

    With ``l = 1 - cos(before, after)`` it is ``sqrt(2 l)``, the distance of the unit vectors. When both sides are
    replaced, the cosine of an image with a text changes by at most the sum of their two bounds.

    Examples
    --------
    >>> utility_bound([[1.0, 0.0]], [[0.0, 1.0]]).round(3).tolist()
    [1.414]
    """
    gap = unit_doubles(before, "before") - unit_doubles(after, "after")
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", gap, gap)))


@dataclass(frozen=True)
class CircleMethod:
    """Shrink what vectors say about an attribute in closed form, on texts and images, with a bound on what is lost.

    Parameters
    ----------
    images : bool
        Whether image vectors are meant to go through the operator too, as in the paper; one-sided repair bends the
        alignment of the two sides.

    Notes
    -----
    Guarantee: with ``l`` = 1 - cosine of a vector with its result, the cosine of an image with a text changes by at
    most ``sqrt(2 l_image) + sqrt(2 l_text)`` (`utility_bound`); every product with a direction of the attribute space
    shrinks by one factor per vector, which lies in [0, 1]. The attribute is weakened, not erased.

    Examples
    --------
    >>> eye = np.eye(4)
    >>> operator = CircleMethod().fit(eye[:2], ["female", "male"])
    >>> after = operator(np.array([[0.6, -0.6, 0.52915, 0.0]]))
    >>> bool(0 < after[0, 0] < 0.6), round(float(np.linalg.norm(after)), 4)
    (True, 1.0)
    """

    images: bool = True

    def fit(self, vectors: ArrayLike, labels: Labels) -> CircleOperator:
        """The operator for prompt `vectors` ``[n, d]`` of the values `labels` ``[n]`` (or a mapping of attributes).

        The prototype of a value is the unit mean of its unit vectors; the attribute space of several attributes is the
        joint span of the differences inside each, free of their order.
        """
        rows = unit_doubles(vectors, "vectors")
        groups = named_labels(labels, len(rows))
        basis = joint_basis([prototype_differences(rows, codes) for codes in groups.values()])
        header = OperatorHeader(
            method="circle",
            dim=rows.shape[1],
            rank=len(basis),
            subspace="pairs",
            n_prompts=len(rows),
            images=self.images,
            guarantees=(
                "unit vectors stay unit; the part inside the attribute space never grows or turns",
                "a cosine of image and text changes by at most sqrt(2 l_image) + sqrt(2 l_text)",
            ),
        )
        return CircleOperator(basis, header)


def prototype_differences(rows: F64, codes: NDArray[np.int64]) -> F64:
    """Unit prototypes of the codes that occur, minus their mean."""
    means = np.stack([rows[codes == code].mean(axis=0) for code in np.unique(codes[codes >= 0])])
    unit = unit_doubles(means, "prototypes")
    return np.asarray(unit - unit.mean(axis=0))
