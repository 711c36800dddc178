"""What a policy decided: which rows are kept, and for every dropped row why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ledger import Ledger
from .rows import Floats, Ints

REASONS = (
    "unique", "chosen", "duplicate", "exact duplicate", "trimmed to size", "refilled to size",
    "duplicate of the kept set",
)  # fmt: skip
UNIQUE, CHOSEN, DUPLICATE, EXACT, TRIMMED, REFILLED, COVERED = range(len(REASONS))


@dataclass(frozen=True)
class KeepList:
    """Rows to keep, and the reason for each.

    Attributes
    ----------
    kept : bool [n]
    witness : int64 [n]
        Of a dropped row the row that it duplicates, -1 of a kept row or one trimmed to size. Under ``semdedup`` the
        witness itself may have been dropped; under the other policies it is kept. ``-2 - r`` names row r of the kept
        set that a run was held against, whose ids are `others`.
    similarity : float64 [n]
        Cosine with the witness, NaN without one.
    reasons : int8 [n]
        Index into `REASONS`; `reason` gives the words.
    policy : str
    threshold : float
        Duplicates are pairs with a cosine above it.
    requested : float or None
        The share that was asked for, when one was.
    ledger : Ledger or None
        Concept scores of what is kept, when there are concepts.
    settings : mapping
        Everything else that decided.
    """

    kept: NDArray[np.bool_]
    witness: Ints
    similarity: Floats
    reasons: NDArray[np.int8]
    policy: str
    threshold: float
    requested: float | None = None
    ledger: Ledger | None = None
    ids: Any = field(default=None, repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    others: Any = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.kept)

    def __repr__(self) -> str:
        kept = f"{int(self.kept.sum()):,} of {len(self):,} kept"
        return f"KeepList({kept}, policy {self.policy!r}, threshold {self.threshold:.6g})"

    @property
    def reason(self) -> NDArray[np.str_]:
        """The reason of every row, in words."""
        return np.array(REASONS)[self.reasons]

    @property
    def reached(self) -> float:
        """Share of rows that is kept."""
        return float(self.kept.mean()) if len(self.kept) else 0.0

    def witness_name(self, row: int) -> Any:
        """Id of the witness of a row (a number where there are no ids), None without one."""
        w = int(self.witness[row])
        if w == -1:
            return None
        names, place = (self.ids, w) if w >= 0 else (self.others, -2 - w)
        if names is None:
            return place
        return str(names[place].as_py()) if hasattr(names[place], "as_py") else names[place]

    @property
    def kept_ids(self) -> tuple[Any, ...]:
        """Ids of kept rows (row numbers where there are none), in row order."""
        rows = np.flatnonzero(self.kept)
        return tuple(rows.tolist()) if self.ids is None else tuple(np.asarray(self.ids)[rows].tolist())

    def describe(self) -> str:
        """Policy, size and reasons in one line."""
        counts = np.bincount(self.reasons, minlength=len(REASONS))
        parts = ", ".join(f"{name} {count}" for name, count in zip(REASONS, counts, strict=True) if count)
        asked = "" if self.requested is None else f" (asked for {self.requested:.1%})"
        return (
            f"{self.policy} at cosine {self.threshold:.6g}: {int(self.kept.sum())} of {len(self)} kept, "
            f"{self.reached:.1%}{asked}; {parts}"
        )
