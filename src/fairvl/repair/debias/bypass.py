"""A bypass for queries that name the attribute themselves: "a woman" must keep her meaning.

Whether a query names the attribute is read off the query's own vector, not its words: its coordinates along the
attribute are held against a band that neutral prompts fill. Inside the band the query is repaired, far outside it is
left alone, and in a margin between the two it is a smooth mixture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError, OperatorError
from ...stats.estimate import Estimate
from ...stats.rates import wilson
from .base import F64, Operator, Space, frozen, unit_doubles
from .circle import prototype_differences
from .header import OperatorHeader
from .labels import Labels, named_labels

FOLDS = 5
Band = tuple[F64, F64, F64, float, float]


@dataclass(frozen=True)
class Bypass:
    """Fit the band of an operator's attribute on neutral prompts, and its width on prompts that name the attribute.

    Parameters
    ----------
    alpha : float
        Share of neutral prompts that may lie outside the band, and of explicit ones inside the margin's end.

    Notes
    -----
    Coordinates are read along the differences between the prototypes of the values. The distance of a query is that
    of its coordinates from the neutral mean in units of the neutral spread. The band
    ends at its (1 - alpha) quantile over neutral prompts (the conformal one), the margin at the alpha quantile over
    explicit prompts; where the two overlap, both stand at the distance with the fewest errors on either side, and the
    header says so. `error_rates` are counted on prompts of words that the band was not fitted on.

    Examples
    --------
    >>> from fairvl.repair.debias import OrthogonalProjection
    >>> rng = np.random.default_rng(0)
    >>> women, men = rng.normal(size=(2, 40, 16)) * 0.1 + np.eye(16)[:1] + np.array([[[1.0]], [[-1.0]]]) * np.eye(16)[1]
    >>> neutral = rng.normal(size=(60, 16)) * 0.1 + np.eye(16)[0]
    >>> prompts, labels = np.concatenate([women, men]), ["female"] * 40 + ["male"] * 40
    >>> operator = OrthogonalProjection().fit(np.eye(16)[1:2])
    >>> kept = Bypass().fit(operator, neutral, prompts, labels)
    >>> bool(np.allclose(kept(women), women)), bool(np.allclose(kept(neutral), operator(neutral)))
    (True, False)
    """

    alpha: float = 0.05

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 0.5:
            raise InputError(f"alpha={self.alpha}; expected a share between 0 and 0.5.")

    def fit(
        self, operator: Operator, neutral: ArrayLike, prompts: ArrayLike, labels: Labels, *,
        neutral_words: Sequence[Any] | None = None, words: Sequence[Any] | None = None,
    ) -> BypassOperator:  # fmt: skip
        """`operator` with a bypass, from vectors of `neutral` ``[n, d]`` and of explicit `prompts` ``[m, d]``.

        Parameters
        ----------
        operator : Operator
            Any repair of queries; one that is meant for images too is refused, since images name nothing.
        labels : (m,) values of the attribute that the prompts name, or a mapping of attributes
        neutral_words, words : sequences, optional
            Base word of every prompt: error rates are counted by leaving out whole words.

        Raises
        ------
        InputError
            Fewer than 5 neutral prompts or words, other widths or lengths.
        """
        if operator.applies_to_images:
            raise InputError(
                f"a bypass is for queries, and the {operator.card.method} operator is meant for images too. "
                "Fit it with images=False."
            )
        plain = unit_doubles(neutral, "neutral", dim=operator.dim, minimum=FOLDS)
        named = unit_doubles(prompts, "prompts", dim=operator.dim, minimum=2)
        codes = list(named_labels(labels, len(named)).values())
        left, left_out = _folds(neutral_words, len(plain), "neutral_words"), _folds(words, len(named), "words")
        band, overlap = self._band(plain, named, codes)
        passed, lost = self._left_out(plain, named, codes, left, left_out)
        errors = {"neutral": [int(passed.sum()), len(passed)], "explicit": [int(lost.sum()), len(lost)]}
        notes = ("neutral and explicit prompts overlap along the attribute",) if overlap else ()
        inner = operator.card
        header = OperatorHeader(
            method=f"{inner.method} with bypass",
            dim=operator.dim,
            rank=inner.rank,
            attribute=inner.attribute,
            subspace=inner.subspace,
            lam=inner.lam,
            n_prompts=inner.n_prompts,
            bank=inner.bank,
            encoder=inner.encoder,
            guarantees=(
                "queries inside the neutral band are repaired, queries beyond the margin are left as they are",
            ),
            parameters={"alpha": self.alpha, "errors": errors},
            notes=(*inner.notes, *notes),
        )
        return BypassOperator(operator, *band, header=header)

    def _band(self, neutral: F64, named: F64, codes: Sequence[NDArray[np.int64]]) -> tuple[Band, bool]:
        functional = np.concatenate([prototype_differences(named, code) for code in codes])
        _, values, rows = np.linalg.svd(functional, full_matrices=False)
        functional = rows[values > 1e-9 * values[0]]
        coordinates = neutral @ functional.T
        centre = coordinates.mean(axis=0)
        scatter = np.atleast_2d(np.cov(coordinates.T))
        values, vectors = np.linalg.eigh(scatter)
        whiten = vectors.T / np.sqrt(np.maximum(values, 1e-9 * max(values[-1], 1e-12)))[:, None]
        inside = np.linalg.norm((coordinates - centre) @ whiten.T, axis=1)
        outside = np.linalg.norm((named @ functional.T - centre) @ whiten.T, axis=1)
        rank = min(len(inside), int(np.ceil((len(inside) + 1) * (1.0 - self.alpha))))
        low = float(np.sort(inside)[rank - 1])
        high = float(np.quantile(outside, self.alpha))
        overlap = high <= low
        if overlap:
            cuts = np.unique(np.concatenate([inside, outside]))
            errors = [(inside > cut).mean() + (outside <= cut).mean() for cut in cuts]
            low = high = float(cuts[int(np.argmin(errors))])
        return (functional, centre, whiten, low, high), overlap

    def _left_out(
        self, neutral: F64, named: F64, codes: Sequence[NDArray[np.int64]], left: NDArray[np.int64],
        left_out: NDArray[np.int64],
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
        """Neutral prompts that would pass unrepaired, and explicit ones that would be repaired, each when left out."""
        passed, lost = np.zeros(len(neutral), bool), np.zeros(len(named), bool)
        for fold in range(FOLDS):
            keep, held = left != fold, left_out != fold
            if any(len(np.unique(code[held & (code >= 0)])) < 2 for code in codes):
                held = np.ones(len(named), bool)  # too few words to leave one out
            band, _ = self._band(neutral[keep], named[held], [code[held] for code in codes])
            passed[~keep] = _weights(neutral[~keep], *band) >= 0.5
            lost[left_out == fold] = _weights(named[left_out == fold], *band) < 0.5
        return passed, lost


@dataclass(frozen=True, eq=False)
class BypassOperator(Operator):
    """`inner` for queries inside a band, nothing for queries far outside, a smooth mixture between; see `Bypass`."""

    inner: Operator
    functional: F64
    centre: F64
    whiten: F64
    low: float
    high: float
    header: OperatorHeader | None = None

    def __post_init__(self) -> None:
        for name, axes in (("functional", 2), ("centre", 1), ("whiten", 2)):
            object.__setattr__(self, name, frozen(getattr(self, name), name, axes))
        r = len(self.functional)
        if self.functional.shape[1] != self.inner.dim or self.centre.shape != (r,) or self.whiten.shape != (r, r):
            raise OperatorError(
                f"band {self.functional.shape}; expected [r, {self.inner.dim}] with its centre and spread."
            )
        if not 0.0 <= self.low <= self.high:
            raise OperatorError(f"band from {self.low} to {self.high}; expected 0 <= low <= high.")
        if self.header is None:
            header = OperatorHeader(f"{self.inner.card.method} with bypass", self.inner.dim, self.inner.rank)
            object.__setattr__(self, "header", header)

    @property
    def effective_rank(self) -> float:
        return self.inner.effective_rank

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        own = {"functional": self.functional, "centre": self.centre, "whiten": self.whiten}
        nested = {f"inner.{name}": array for name, array in self.inner.arrays().items()}
        return own | {"band": np.array([self.low, self.high])} | nested

    def kept(self, queries: ArrayLike) -> F64:
        """How much of each query ``[n, d]`` is left as it is: 0 repaired, 1 untouched."""
        return _weights(
            unit_doubles(queries, "queries"), self.functional, self.centre, self.whiten, self.low, self.high
        )

    @property
    def error_rates(self) -> dict[str, Estimate]:
        """Left-out shares with Wilson intervals: neutral prompts that pass unrepaired, explicit ones repaired."""
        out = {}
        for name, (k, n) in dict(self.card.parameters.get("errors", {})).items():
            low, high = wilson(k, n, 0.95)
            out[name] = Estimate(k / n, low, high, n, 0.95, "wilson")
        return out

    def described_errors(self) -> str:
        """The error rates in one line."""
        says = {"neutral": "neutral prompts left unrepaired", "explicit": "explicit prompts repaired away"}
        return "; ".join(
            f"{says[name]}: {rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%}, n {rate.n})"
            for name, rate in self.error_rates.items()
        )

    def _map(self, rows: Any, space: Space) -> Any:
        lib = space.lib
        length = space.length(rows)
        unit = rows / lib.where(length > 0, length, lib.ones_like(length))
        z = (unit @ space.array(self.functional).T - space.array(self.centre)) @ space.array(self.whiten).T
        weight = _smooth(lib, space.length(z), self.low, self.high)
        weight = lib.where(length > 0, weight, lib.zeros_like(weight))
        # Exactly the one or the other outside the margin, so that a bypassed query keeps every bit.
        mixed = self.inner(rows) * (1.0 - weight) + rows * weight
        return lib.where(weight >= 1.0, rows, mixed)


def _smooth(lib: Any, distance: Any, low: float, high: float) -> Any:
    if high <= low:
        return lib.where(distance > low, lib.ones_like(distance), lib.zeros_like(distance))
    t = lib.clip((distance - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _weights(unit: F64, functional: F64, centre: F64, whiten: F64, low: float, high: float) -> F64:
    distance = np.linalg.norm((unit @ functional.T - centre) @ whiten.T, axis=1)
    return np.asarray(_smooth(np, distance, low, high))


def _folds(words: Sequence[Any] | None, n: int, name: str) -> NDArray[np.int64]:
    """A fold for every prompt: prompts of one word share it; without words every prompt is its own."""
    given = list(range(n)) if words is None else list(words)
    if len(given) != n:
        raise InputError(f"{name}: {len(given)} words for {n} prompts; expected one each.")
    order = {word: place for place, word in enumerate(dict.fromkeys(given))}
    return np.array([order[word] % FOLDS for word in given], dtype=np.int64)
