"""Whether captions stand beside their own labels, or beside those of the next row."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import DatasetError
from .groups import MIXED, NEUTRAL, UNKNOWN

MIN_LABELLED = 30
SHIFT_MARGIN = 0.2  # how much better a neighbour's label must fit before captions are called shifted
_SPELLINGS = {
    "f": "female", "woman": "female", "women": "female", "girl": "female", "w": "female", "m": "male", "man": "male",
    "men": "male", "boy": "male",
}  # fmt: skip


def spelt(label: object) -> str:
    """A label in the words of `caption_group`, where it is a common way of writing one of them.

    Examples
    --------
    >>> [spelt(label) for label in ("F", "Man", "neutral")]
    ['female', 'male', 'neutral']
    """
    text = str(label).lower()
    return _SPELLINGS.get(text, text)


def check_shift(pairs: Sequence[tuple[str, str]], label: str) -> dict[str, float | int]:
    """How often captions name the group of their own label, of the row before and of the row after.

    Parameters
    ----------
    pairs : sequence of (group of the caption, label), in the order of the rows
    label : str
        Column of the labels, for the message.

    Raises
    ------
    DatasetError
        At least 30 captions name a group, and a neighbour's label fits better than their own by more than 0.2: captions
        and images are misaligned by one.
    """
    silent = (NEUTRAL, MIXED, UNKNOWN)
    shares: dict[int, float] = {}
    counted = 0
    for shift in (0, -1, 1):
        beside = [
            (pairs[row][0], pairs[row + shift][1])
            for row in range(len(pairs))
            if 0 <= row + shift < len(pairs) and pairs[row][0] not in silent
        ]
        shares[shift] = sum(group == own for group, own in beside) / len(beside) if beside else 0.0
        counted = len(beside) if shift == 0 else counted
    best = max((-1, 1), key=lambda shift: shares[shift])
    if counted >= MIN_LABELLED and shares[best] > shares[0] + SHIFT_MARGIN:
        raise DatasetError(
            f"captions fit the {label} of the row {'before' if best < 0 else 'after'} ({shares[best]:.0%} of "
            f"{counted}) better than their own ({shares[0]:.0%}). Captions and images are misaligned by one; "
            "join them by id."
        )
    return {"captions": counted, "own": shares[0], "before": shares[-1], "after": shares[1]}
