"""The arms: which images a classifier sees, and how often. All arms get the same steps and batches.

``baseline``    the real images as they are;
``augmented``   real images and verified edits;
``reweighted``  real images, each cell (label, group) drawn as often as the largest group of its label;
``duplicated``  real images and, for every edit, one more copy of a real image of the cell that the edit filled;
``unedited``    real images and the sources of the edits, through the editor at strength 0, with their own groups;
``aggravated``  real images and edits into the group that is the largest already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .data import Labelled

ARMS = ("baseline", "augmented", "reweighted", "duplicated", "unedited", "aggravated")


@dataclass(frozen=True, eq=False)
class Mix:
    """What one arm draws from: rows of a set, repeated rows as often as they count, and weights where they differ."""

    name: str
    data: Labelled
    rows: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    def batch(self, step: int, size: int, seed: int) -> NDArray[np.int64]:
        """Rows of one step: shuffled passes over all rows, or weighted draws."""
        if self.weights is not None:
            rng = np.random.default_rng([seed, step, 1])
            return self.rows[rng.choice(len(self.rows), size, p=self.weights)]
        n, places = len(self.rows), np.arange(step * size, (step + 1) * size)
        out = np.empty(size, np.int64)
        for turn in np.unique(places // n):
            order = np.random.default_rng([seed, int(turn)]).permutation(n)
            here = places // n == turn
            out[here] = order[places[here] % n]
        return self.rows[out]

    def counts(self) -> dict[str, int]:
        """Images by cell, as "label, group"."""
        cells = Counter(f"{self.data.labels[row]}, {self.data.groups[row]}" for row in self.rows.tolist())
        return dict(sorted(cells.items()))


def make_mixes(arms: Sequence[str], real: Labelled, extra: Mapping[str, Labelled], *, seed: int = 0) -> dict[str, Mix]:
    """The mix of every arm; `extra` holds "augmented", "unedited" and "aggravated" images where there are any.

    Raises
    ------
    InputError
        An unknown arm, or one whose images were not given.
    """
    unknown = [name for name in arms if name not in ARMS]
    if unknown or not arms or len(set(arms)) < len(arms):
        raise InputError(f"arms {list(arms)}; expected some of {', '.join(ARMS)}, each once.")
    mixes: dict[str, Mix] = {}
    for name in arms:
        needs = "augmented" if name == "duplicated" else name
        if name not in ("baseline", "reweighted") and needs not in extra:
            raise InputError(f"the arm {name!r} needs images that were not given: pass {_GIVEN[needs]}=.")
        if name == "reweighted":
            mixes[name] = Mix(name, real, np.arange(len(real)), _weights(real))
        elif name == "duplicated":
            mixes[name] = Mix(name, real, _with_copies(real, extra["augmented"], seed))
        else:
            both = real if name == "baseline" else joined(real, extra[name])
            mixes[name] = Mix(name, both, np.arange(len(both)))
    return mixes


_GIVEN = {"augmented": "augmented", "unedited": "augmented", "aggravated": "aggravated"}


def joined(first: Labelled, second: Labelled) -> Labelled:
    """Two sets as one."""
    images = np.concatenate([first.images, second.images])
    return Labelled(
        images, first.labels + second.labels, first.groups + second.groups, first.ids + second.ids,
        first.kinds + second.kinds, first.left_out, first.name,
    )  # fmt: skip


def _cells(data: Labelled) -> list[tuple[str, str]]:
    return list(zip(data.labels, data.groups, strict=True))


def _weights(real: Labelled) -> NDArray[np.float64]:
    counts = Counter(_cells(real))
    largest = {label: max(n for (y, _), n in counts.items() if y == label) for label in set(real.labels)}
    weights = np.array([largest[cell[0]] / counts[cell] for cell in _cells(real)])
    return np.asarray(weights / weights.sum())


def _with_copies(real: Labelled, edits: Labelled, seed: int) -> NDArray[np.int64]:
    """Rows of all real images and of as many copies per cell as there are edits."""
    rng = np.random.default_rng([seed, 2])
    where = _cells(real)
    rows = [np.arange(len(real))]
    for cell, n in sorted(Counter(_cells(edits)).items()):
        own = np.array([row for row, other in enumerate(where) if other == cell], dtype=np.int64)
        if not len(own):
            raise InputError(f"the arm 'duplicated' has no real image of {cell} to copy; leave it out.")
        whole, rest = divmod(n, len(own))  # as evenly as the numbers allow
        rows += [np.tile(own, whole), rng.choice(own, rest, replace=False)]
    return np.concatenate(rows)
