"""Selective feature imputation (SFID): the coordinates that tell groups apart get the value of undecided rows.

A random forest learns the groups from the vectors. Its `features` most important coordinates are replaced, in every
vector, by their mean over the rows that the forest is least sure about.

Source: Jung, Jang and Wang (NeurIPS 2024), "A Unified Debiasing Approach for Vision-Language Models across Modalities
and Tasks", arXiv 2410.07593. It depends on the basis: bias that is spread over many coordinates stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import check_vectors
from ...errors import InputError
from .forest import grow_forest
from .header import AS_GIVEN, OperatorHeader
from .labels import Labels, named_groups
from .operator import LinearOperator

LEAST = 0.05  # of the rows are called undecided where fewer are below the confidence asked for


@dataclass(frozen=True)
class FeatureImputation:
    """Replace the coordinates that tell groups apart by what they are in undecided vectors.

    Parameters
    ----------
    features : int
        Coordinates to impute, per attribute (the paper: 50 to 100 of 512 to 1024).
    confidence : float
        A row is undecided where the share of out-of-bag votes for its most likely group is below this.
    trees, seed : int
        Of the forest.

    Notes
    -----
    Guarantee: the imputed coordinates are the same constant in every vector, so they say nothing. The other
    coordinates are untouched, and nothing is promised about what they say together. Several attributes impute the
    union of their coordinates; one that two of them choose gets the mean of both values.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(["a", "b"], 100)
    >>> vectors = rng.normal(size=(200, 8))
    >>> vectors[:, 3] += np.where(labels == "a", 2.0, -2.0)
    >>> operator = FeatureImputation(features=1).fit(vectors, labels)
    >>> after = operator(vectors)
    >>> bool(np.ptp(after[:, 3]) < 1e-12), bool((after[:, :3] == vectors[:, :3]).all())
    (True, True)
    """

    features: int = 50
    confidence: float = 0.7
    trees: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.features, bool) or self.features < 1 or self.trees < 1:
            raise InputError(f"features={self.features!r}, trees={self.trees!r}; expected whole numbers from 1.")
        if not 0.0 < self.confidence <= 1.0:
            raise InputError(f"confidence={self.confidence}; expected a share in (0, 1].")

    def fit(self, vectors: ArrayLike, labels: Labels) -> LinearOperator:
        """The operator for `vectors` ``[n, d]`` (as they are) with categories `labels` ``[n]`` or several attributes.

        Raises
        ------
        InputError
            More features than coordinates, fewer than two groups, fewer than 10 labelled vectors.
        """
        rows = check_vectors(vectors, minimum=10, zero_ok=True).astype(np.float64)
        dim = rows.shape[1]
        if self.features > dim:
            raise InputError(f"features={self.features}; the vectors have {dim} coordinates.")
        values: dict[int, list[float]] = {}
        undecided: dict[str, int] = {}
        for attribute, groups in named_groups(labels, len(rows)).items():
            known = groups.codes >= 0
            _, codes = np.unique(groups.codes[known], return_inverse=True)
            forest = grow_forest(rows[known], codes.astype(np.int64), trees=self.trees, seed=self.seed)
            chosen = np.sort(np.argsort(-forest.importance, kind="stable")[: self.features])
            sure = np.nan_to_num(forest.shares.max(axis=1), nan=1.0)
            least = max(1, round(LEAST * len(sure)))
            low = sure < self.confidence
            if low.sum() < least:
                low = np.isin(np.arange(len(sure)), np.argsort(sure, kind="stable")[:least])
            undecided[attribute or "labels"] = int(low.sum())
            for coordinate, value in zip(chosen.tolist(), rows[known][low][:, chosen].mean(axis=0), strict=True):
                values.setdefault(coordinate, []).append(float(value))
        coordinates = sorted(values)
        left, centre = np.zeros((dim, len(coordinates))), np.zeros(dim)
        left[coordinates, np.arange(len(coordinates))] = 1.0
        centre[coordinates] = [float(np.mean(values[c])) for c in coordinates]
        header = OperatorHeader(
            method="imputation",
            dim=dim,
            rank=len(coordinates),
            seed=self.seed,
            n_prompts=len(rows),
            normalisation=AS_GIVEN,
            guarantees=("the imputed coordinates are constant",),
            parameters={"features": self.features, "confidence": self.confidence, "undecided": undecided},
        )
        return LinearOperator.from_factors(left, left.T, centre, header=header)
