"""How far each image must be moved: the smallest strength at which a judge sees the change, by bisection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .judges import Images, Judge
from .seam import Editor, State


@dataclass(frozen=True, kw_only=True)
class AdaptiveStrength:
    """Doubling from `start` until the judge's margin is crossed, then bisection.

    Attributes
    ----------
    start, maximum : float
        First strength tried, and the largest (lengths in z-normalised codes for editors with a code space).
    bisections : int
    margin : float
        Of the chooser: probability of the wanted group minus that of the next. Above the gate's own margin, so that an
        edit is not chosen at the very edge of what the gate lets pass.
    reach : float
        The strength that is used, as a multiple of the one found. 1 stops where the judge is convinced: the mildest
        edit, but edited images then crowd at the border between the groups, and whoever learns from them can still tell
        the groups by *how* dark or old a face is. 2 with a margin of 0 mirrors each image at the border, as far on the
        other side as it came from.
    """

    start: float = 1.0
    maximum: float = 16.0
    bisections: int = 4
    margin: float = 0.5
    reach: float = 1.0

    def __post_init__(self) -> None:
        shape = 0 < self.start <= self.maximum and self.bisections >= 0 and self.reach >= 1
        if not shape or not -1 <= self.margin < 1:
            raise InputError(
                f"start={self.start}, maximum={self.maximum}, bisections={self.bisections}, margin={self.margin}, "
                f"reach={self.reach}; expected 0 < start <= maximum, bisections from 0, a margin from -1 to 1 and a "
                "reach from 1."
            )

    def choose(
        self,
        editor: Editor,
        state: State,
        change: Any,
        sign: float,
        judge: Judge,
        attribute: str,
        wanted: Sequence[str],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], Images]:
        """Per image the strength (positive), whether the margin was crossed on the way, and the edit at that strength.

        An image that never crosses gets `maximum`. Among the strengths tried, the first that crosses bounds the
        bisection, so a response that falls again later does no harm.
        """
        n = len(state)
        low, high = np.zeros(n), np.full(n, self.start)
        crossed = np.zeros(n, dtype=bool)
        images: Images | None = None
        open_rows = np.arange(n)
        while len(open_rows):
            made, there = self._try(editor, state, change, sign, judge, attribute, wanted, open_rows, high)
            images = np.empty((n, *made.shape[1:]), np.uint8) if images is None else images
            images[open_rows] = made
            crossed[open_rows[there]] = True
            open_rows = open_rows[~there & (high[open_rows] < self.maximum)]
            low[open_rows] = high[open_rows]
            high[open_rows] = np.minimum(2 * high[open_rows], self.maximum)
        assert images is not None
        rows = np.flatnonzero(crossed)
        for _ in range(self.bisections if len(rows) else 0):
            middle = (low + high) / 2
            made, there = self._try(editor, state, change, sign, judge, attribute, wanted, rows, middle)
            images[rows[there]] = made[there]
            high[rows[there]] = middle[rows[there]]
            low[rows[~there]] = middle[rows[~there]]
        if self.reach > 1 and len(rows):
            high[rows] = np.minimum(high[rows] * self.reach, self.maximum)
            images[rows], _ = self._try(editor, state, change, sign, judge, attribute, wanted, rows, high)
        return high.astype(np.float32), crossed, images

    def _try(
        self,
        editor: Editor,
        state: State,
        change: Any,
        sign: float,
        judge: Judge,
        attribute: str,
        wanted: Sequence[str],
        rows: NDArray[np.int64],
        strengths: NDArray[np.float64],
    ) -> tuple[Images, NDArray[np.bool_]]:
        made = editor.decode(editor.edit(state.take(rows), change, sign * strengths[rows].astype(np.float32)))
        margin = judge.margin(judge.read(made), attribute, [wanted[i] for i in rows])
        return made, margin >= self.margin

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
