"""Which stimulus, or base word, carries an effect size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...stats.two_samples import left_out, unit_moments
from .anatomy import Anatomy, Clusters, check_ddof, check_sets

Floats: TypeAlias = NDArray[np.float64]


class Unit(NamedTuple):
    """One stimulus or base word: its set, its label, the effect size without it, and by how much that changes."""

    set: str
    label: str
    without: float
    change: float


@dataclass(frozen=True)
class Influence:
    """Effect sizes without each unit of the sets x, y, a and b in turn; NaN for the only unit of a set.

    `labels` are the cluster labels given, else positions, in the order of first use.
    """

    effect_size: float
    x: Floats
    y: Floats
    a: Floats
    b: Floats
    labels: tuple[tuple[str, ...], ...]

    def ranked(self) -> tuple[Unit, ...]:
        """All units, the one whose absence changes the effect size most first."""
        units = [
            Unit(name, label, float(value), float(value) - self.effect_size)
            for name, labels in zip("xyab", self.labels, strict=True)
            for label, value in zip(labels, getattr(self, name), strict=True)
        ]
        return tuple(sorted((u for u in units if not np.isnan(u.change)), key=lambda u: -abs(u.change)))

    @property
    def flips(self) -> tuple[Unit, ...]:
        """Units without which the effect size changes sign."""
        return tuple(u for u in self.ranked() if u.without * self.effect_size < 0)


def influence(
    x: ArrayLike, y: ArrayLike, a: ArrayLike, b: ArrayLike, *, clusters: Clusters | None = None, ddof: int = 1
) -> Influence:
    """The effect size without each stimulus, or each base word with all its templates, in turn.

    Parameters
    ----------
    x, y, a, b, clusters, ddof
        As `association_test`. Templates as clusters give leave-one-template-out.

    Raises
    ------
    InputError
        As `association_test`.

    Examples
    --------
    >>> import numpy as np
    >>> a, b = np.eye(2)[:1], np.eye(2)[1:]
    >>> found = influence([[1, 0.1], [1, 0.2], [0.1, 1]], [[0.2, 1], [0.3, 1], [0.25, 1]], a, b)
    >>> found.ranked()[0].set, found.ranked()[0].label
    ('x', '2')
    """
    sets = check_sets(x, y, a, b)
    test = Anatomy.of(sets, check_ddof(ddof), clusters)
    targets = left_out(unit_moments(test.s_x[:, None], test.s_y[:, None], *test.codes[:2]), ddof)
    attributes = [test.without_attributes(i) if test.units[i] > 1 else np.full(1, np.nan) for i in (2, 3)]
    given = [None] * 4 if clusters is None else list(clusters)
    labels = tuple(_labels(g, len(s)) for g, s in zip(given, sets, strict=True))
    return Influence(test.observed(), targets[0][:, 0], targets[1][:, 0], attributes[0], attributes[1], labels)


def _labels(given: ArrayLike | None, size: int) -> tuple[str, ...]:
    values: Sequence[object] = range(size) if given is None else list(np.asarray(given).tolist())
    return tuple(dict.fromkeys(str(v) for v in values))
