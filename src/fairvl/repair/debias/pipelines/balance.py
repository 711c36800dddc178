"""Mixes of the cross-attention edit chosen by what the pipeline draws, so that the image model's own bias is countered.

Moving "a doctor" half-way between "a male doctor" and "a female doctor" repairs the text; what the image model adds on
its own is left. Here the mix of each concept is moved until the drawn shares are the wanted ones: draw, count, move by
the secant rule. Gandikota et al. (2024) balance their debiasing edits by drawing and counting as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....errors import InputError
from .edit import CrossAttentionEdit, edit_cross_attention

F64 = NDArray[np.float64]
Measure = Callable[[Any, list[str]], ArrayLike]
GAINS = (0.25, 8.0)  # least and largest change of a mix for a given error of a share


@dataclass(frozen=True)
class Balance:
    """What `balance_cross_attention` ended with.

    Attributes
    ----------
    edit : CrossAttentionEdit
        In force; of the round with the smallest largest error.
    mix : mapping of concepts to weights
        Outside 0 to 1 where the image model had to be countered.
    shares : list of arrays ``[concepts, targets]``
        Measured in every round; the first is at the mix that was started from.
    mixes : list of arrays ``[concepts, targets]``
    errors : list of float
        Largest distance of a share from the wanted one, by round.
    """

    edit: CrossAttentionEdit
    mix: Mapping[str, tuple[float, ...]]
    shares: tuple[F64, ...]
    mixes: tuple[F64, ...]
    errors: tuple[float, ...]


def balance_cross_attention(
    pipeline: Any, concepts: Sequence[str], targets: Sequence[Sequence[str]] | Mapping[str, Sequence[str]],
    measure: Measure, *, wanted: ArrayLike | None = None, rounds: int = 5, tolerance: float = 0.05,
    gain: float = 1.0, limit: float = 3.0, start: ArrayLike | None = None, **options: Any,
) -> Balance:  # fmt: skip
    """Edit the cross-attention with the mixes at which the drawn shares are the wanted ones.

    Parameters
    ----------
    pipeline, concepts, targets, **options
        As in `edit_cross_attention`; every concept has equally many targets.
    measure : callable
        ``measure(pipeline, concepts)``: share of each target among images drawn now, ``[concepts, targets]``. Draw with
        other seeds than those that the result will be judged on; hold out prompts to see what the edit generalises to.
    wanted : array ``[targets]`` or ``[concepts, targets]``, optional
        Equal shares when left out.
    rounds : int
        Edits tried at most.
    tolerance : float
        Largest error at which no further round is drawn. Sampling alone moves a share of n images by
        ``sqrt(p (1 - p) / n)``.
    gain : float
        First step: change of a mix for an error of 1; later steps use the slope that was measured.
    limit : float
        No weight of a mix leaves [-limit, 1 + limit].
    start : array ``[concepts, targets]``, optional
        First mixes; equal when left out.

    Raises
    ------
    InputError
        Numbers of targets that differ, shares of another shape or not finite, settings out of range.
    """
    given = [targets[name] for name in concepts] if isinstance(targets, Mapping) else targets
    listed = [list(one) for one in given]
    sizes = {len(one) for one in listed}
    if len(sizes) != 1 or rounds < 1 or not gain > 0 or not tolerance >= 0 or not limit >= 0:
        raise InputError(
            f"{sorted(sizes)} targets, rounds={rounds}, gain={gain}, tolerance={tolerance}, limit={limit}; expected "
            "equally many targets for every concept, at least one round, a positive gain."
        )
    shape = (len(concepts), sizes.pop())
    goal = np.broadcast_to(np.full(shape[1], 1.0 / shape[1]) if wanted is None else np.asarray(wanted, float), shape)
    mix = np.full(shape, 1.0 / shape[1]) if start is None else np.array(start, float)
    gains = np.full(shape[0], gain)
    mixes: list[F64] = []
    shares: list[F64] = []
    errors: list[float] = []
    edit = None
    try:
        for _ in range(rounds):
            edit = _edited(pipeline, concepts, listed, mix, options)
            share = _measured(measure, pipeline, concepts, shape)
            mixes.append(mix)
            shares.append(share)
            errors.append(float(np.abs(goal - share).max()))
            edit.restore()
            edit = None
            if errors[-1] <= tolerance:
                break
            gains = _slopes(mixes, shares, gains)
            mix = _moved(mix, gains[:, None] * (goal - share), limit)
    except BaseException:
        if edit is not None:
            edit.restore()
        raise
    best = mixes[int(np.argmin(errors))]
    final = _edited(pipeline, concepts, listed, best, options)
    named = {concept: tuple(row.tolist()) for concept, row in zip(concepts, best, strict=True)}
    return Balance(final, named, tuple(shares), tuple(mixes), tuple(errors))


def _edited(
    pipeline: Any, concepts: Sequence[str], targets: list[list[str]], mix: F64, options: Mapping[str, Any]
) -> CrossAttentionEdit:  # fmt: skip
    mixes = {concept: row.tolist() for concept, row in zip(concepts, mix, strict=True)}
    return edit_cross_attention(pipeline, concepts, targets, mix=mixes, **options)


def _measured(measure: Measure, pipeline: Any, concepts: Sequence[str], shape: tuple[int, int]) -> F64:
    share = np.asarray(measure(pipeline, list(concepts)), dtype=np.float64)
    if share.shape != shape or not ((share >= 0) & (share <= 1)).all():
        raise InputError(f"measure gave shape {share.shape}; expected shares in [0, 1] of shape {shape}.")
    return share


def _slopes(mixes: list[F64], shares: list[F64], gains: F64) -> F64:
    """Change of the mix for one unit of share, by concept: the secant through the last two rounds."""
    if len(mixes) < 2:
        return gains
    step = np.linalg.norm(mixes[-1] - mixes[-2], axis=1)
    moved = np.einsum("ct,ct->c", shares[-1] - shares[-2], mixes[-1] - mixes[-2]) / np.where(step > 0, step, 1.0)
    secant = np.where(moved > 0, step / np.where(moved > 0, moved, 1.0), 2.0 * gains)
    return np.asarray(np.clip(np.where(step > 0, secant, gains), *GAINS))


def _moved(mix: F64, step: F64, limit: float) -> F64:
    """The nearest weights that sum to 1 and stay within the limit: all moved by one number, then cut (bisection)."""
    aim = mix + step
    low, high = (end[:, None] for end in (-limit - aim.max(axis=1), 1.0 + limit - aim.min(axis=1)))
    for _ in range(60):
        middle = (low + high) / 2.0
        over = np.clip(aim + middle, -limit, 1.0 + limit).sum(axis=1, keepdims=True) > 1.0
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.asarray(np.clip(aim + low, -limit, 1.0 + limit))
