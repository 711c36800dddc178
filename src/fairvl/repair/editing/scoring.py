"""What an edit did, read by judges: how many images flipped, and how many kept everything else, against strength.

One judge chooses the strength and another scores it, so that a choice is not paid by its own noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.estimate import Estimate
from ...stats.rates import wilson
from .seam import Editor, Images, Path, State

Reading = Mapping[str, NDArray[Any]]
Read = Callable[[Images], Reading]
"""A judge's answers: uint8 images -> {attribute: values [n]}."""


@dataclass(frozen=True)
class EditScore:
    """One attribute moved towards one value, at one strength, as one judge reads it.

    Attributes
    ----------
    attribute, to : str
    strength : float
        Signed length in z-normalised codes.
    flip : Estimate
        Share of the images that show `to` afterwards, with its Wilson interval.
    kept : mapping of attribute to Estimate
        Share of the images that show their own value of every other attribute.
    """

    attribute: str
    to: str
    strength: float
    flip: Estimate
    kept: Mapping[str, Estimate]

    @property
    def least_kept(self) -> float:
        """The smallest share among the other attributes; 1 when there is none."""
        return min((estimate.value for estimate in self.kept.values()), default=1.0)


def score_edit(
    before: Reading, after: Reading, attribute: str, to: str, strength: float, *, others: Sequence[str] | None = None
) -> EditScore:
    """Flip and kept shares of edited images.

    Parameters
    ----------
    before : mapping of attribute to values [n]
        The truth of the images, or what the judge reads off them unedited.
    after : mapping of attribute to values [n]
        What the judge reads off the edits.
    attribute, to : str
        What was to change, and into what; no image may show it before.
    others : sequence of str, optional
        Attributes that must stay; default: all that both mappings hold.

    Examples
    --------
    >>> before = {"age": np.array(["old"] * 4), "hat": np.array(["yes", "yes", "no", "no"])}
    >>> after = {"age": np.array(["young", "young", "young", "old"]), "hat": np.array(["yes", "no", "no", "no"])}
    >>> score = score_edit(before, after, "age", "young", -2.0)
    >>> score.flip.value, score.kept["hat"].value
    (0.75, 0.75)
    """
    names = [name for name in before if name in after and name != attribute] if others is None else list(others)
    for name in (attribute, *names):
        if name not in before or name not in after or len(before[name]) != len(after[name]):
            raise InputError(f"attribute {name!r} is not read before and after for the same images.")
    n = len(before[attribute])
    if n == 0 or (np.asarray(before[attribute]) == to).any():
        raise InputError(f"{n} images, some of which show {attribute}={to!r} already; select those that do not.")
    flips = int((np.asarray(after[attribute]) == to).sum())
    kept = {name: _share(int((np.asarray(before[name]) == np.asarray(after[name])).sum()), n) for name in names}
    return EditScore(attribute, to, strength, _share(flips, n), kept)


def _share(hits: int, n: int) -> Estimate:
    return Estimate(hits / n, *wilson(hits, n), n)


def edit_curve(
    editor: Editor,
    state: State,
    path: Path,
    to: str,
    strengths: Sequence[float],
    read: Read,
    before: Reading,
    *,
    others: Sequence[str] | None = None,
) -> tuple[EditScore, ...]:
    """Scores of the same images at each of several signed strengths."""
    scores = []
    for strength in strengths:
        after = read(editor.decode(editor.edit(state, path, float(strength))))
        scores.append(score_edit(before, after, path.attribute, to, float(strength), others=others))
    return tuple(scores)


def choose_strength(curve: Sequence[EditScore], *, kept: float = 0.9) -> EditScore:
    """The best point of a curve: most flips among those that keep at least `kept` of everything else.

    Where no point keeps as much, the one with the largest smaller of flip and least kept share. Ties go to the shorter
    way.
    """
    if not curve:
        raise InputError("a curve without points; score at least one strength.")
    allowed = [score for score in curve if score.least_kept >= kept]
    if allowed:
        return max(allowed, key=lambda score: (score.flip.value, -abs(score.strength)))
    return max(curve, key=lambda score: (min(score.flip.value, score.least_kept), -abs(score.strength)))


def at_flip_rate(curve: Sequence[EditScore], rate: float) -> EditScore | None:
    """The shortest edit of a curve that flips at least so many; None where none does. For comparing paths fairly."""
    found = [score for score in curve if score.flip.value >= rate]
    return min(found, key=lambda score: abs(score.strength)) if found else None


def reversal_error(path: Path, codes: ArrayLike, strength: float, stats: Any) -> NDArray[np.float64]:
    """Distance from the start after +strength and then -strength, as a share of the way, [n]."""
    start = np.asarray(codes, dtype=np.float32)
    back = path(path(start, strength), -strength)
    away = stats.normalise(back.astype(np.float64)) - stats.normalise(start.astype(np.float64))
    error: NDArray[np.float64] = np.linalg.norm(away, axis=1) / abs(strength)
    return error
