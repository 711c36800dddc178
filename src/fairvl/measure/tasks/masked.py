"""The masked-person test: which group does a model put where a caption names a person?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.cells import FloatArray, Resampling, bootstrap, tabulate
from ...stats.codes import encode
from ...stats.estimate import Estimate
from ...stats.rates import divide

NEUTRAL = "neutral"
NAMES = ("precision", "recall", "f1")


@dataclass(frozen=True, eq=False)
class MaskedPerson:
    """Groups filled in for masked person words.

    Attributes
    ----------
    predicted : list of str or None
        Group of the best candidate per caption; None where it belongs to no group.
    strict, lenient : mapping of group to mapping of "precision", "recall", "f1" to Estimate
        Strict: the predicted group must be the true one. Lenient: a neutral prediction counts as right for every
        group, as the published test has it, and so hides that a model cannot tell.
    accuracy, accuracy_lenient : Estimate
    neutral : Estimate
        Share of captions of a group (neutral ones left out) for which a neutral word was predicted.
    out_of_list : Estimate
        Share of captions whose best candidate belongs to no group; they count against recall, never as neutral.
    shares : mapping of group to Estimate
        Share of each group among the predictions.
    erasure : bool
        Fewer predictions name a group (neutral is none) than `erasure_below` times the captions that do: scores that
        look fair then say that nobody is named.
    few : tuple of str
        Groups with fewer than 30 captions.
    """

    predicted: tuple[str | None, ...]
    strict: Mapping[str, Mapping[str, Estimate]]
    lenient: Mapping[str, Mapping[str, Estimate]]
    accuracy: Estimate
    accuracy_lenient: Estimate
    neutral: Estimate
    out_of_list: Estimate
    shares: Mapping[str, Estimate]
    erasure: bool
    few: tuple[str, ...]
    n: int


def masked_person_test(
    scores: ArrayLike,
    candidate_groups: Sequence[str | None],
    truth: Sequence[str],
    *,
    erasure_below: float = 0.5,
    minimum: int = 30,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> MaskedPerson:
    """Precision, recall and F1 per group of the words that a model fills in, strict and lenient.

    Parameters
    ----------
    scores
        ``[n, c]`` log-probability of each candidate *word* at the mask, summed over its pieces, so that words of
        several pieces compete ("businesswoman" is not one piece). The first of equal candidates wins.
    candidate_groups
        ``[c]`` group of each candidate ("female", "male", "neutral"), None for a word outside the lists.
    truth
        ``[n]`` group of each caption.
    erasure_below, minimum
        See `MaskedPerson.erasure` and `MaskedPerson.few`.
    n_boot, level, seed
        Percentile bootstrap over captions, by cell counts.

    Examples
    --------
    >>> found = masked_person_test([[2, 1, 0], [0, 1, 2]], ["male", "female", "neutral"], ["male", "female"], n_boot=0)
    >>> found.strict["female"]["recall"].value, found.lenient["female"]["recall"].value, found.neutral.value
    (0.0, 1.0, 0.5)
    """
    table = np.asarray(scores, dtype=np.float64)
    n, c = table.shape if table.ndim == 2 else (0, 0)
    if not n or c != len(candidate_groups) or n != len(truth) or np.isnan(table).any() or (table == np.inf).any():
        raise InputError(
            f"scores {table.shape}, {len(candidate_groups)} candidates, {len(truth)} captions; expected [captions, "
            "candidates] of log-probabilities (minus infinity is allowed)."
        )
    gold = encode(list(truth), name="truth")
    if gold.n_missing:
        raise InputError(f"truth: {gold.n_missing} captions have no group; leave them out.")
    groups = tuple(dict.fromkeys([*gold.labels, *encode([g or None for g in candidate_groups]).labels, NEUTRAL]))
    place = {group: i for i, group in enumerate(groups)}
    own = np.array([-1 if g is None else place[g] for g in candidate_groups], dtype=np.int64)
    guess = own[table.argmax(axis=1)]
    g = len(groups)
    cells = tabulate(
        np.array([place[label] for label in gold.labels])[gold.codes], np.where(guess < 0, g, guess), shape=(g, g + 1)
    )
    at = cells.coordinates
    plan = Resampling(n_boot, level, seed)

    def statistic(counts: FloatArray) -> FloatArray:
        grid = np.zeros((len(counts), g, g + 1))
        grid[:, at[:, 0], at[:, 1]] = counts
        return _scores(grid, place[NEUTRAL])

    made = bootstrap(cells, statistic, plan, width=4 * g * (g + 1))
    size = np.bincount(at[:, 0], weights=cells.counts, minlength=g).astype(int)

    def frame(start: int) -> Mapping[str, Mapping[str, Estimate]]:
        return MappingProxyType(
            {
                group: MappingProxyType(
                    {name: made.estimate(start + j * g + i, int(size[i])) for j, name in enumerate(NAMES)}
                )
                for i, group in enumerate(groups)
                if size[i] or (guess == i).any()
            }
        )

    rest = 6 * g
    people = n - int(size[place[NEUTRAL]])
    named = float(((guess >= 0) & (guess != place[NEUTRAL])).mean())
    return MaskedPerson(
        tuple(None if i < 0 else groups[i] for i in guess),
        frame(0),
        frame(3 * g),
        made.estimate(rest, n),
        made.estimate(rest + 1, n),
        made.estimate(rest + 2, people, "" if people else "every caption is neutral"),
        made.estimate(rest + 3, n),
        MappingProxyType({group: made.estimate(rest + 4 + i, n) for i, group in enumerate(groups)}),
        named < erasure_below * people / n,
        tuple(group for i, group in enumerate(groups) if 0 < size[i] < minimum),
        n,
    )


def _scores(grid: FloatArray, neutral: int) -> FloatArray:
    """All numbers of tables ``[b, truth, predicted]`` (the last column: no group), ``[b, 6 g + 4 + g]``."""
    total = grid.sum(axis=(1, 2))[:, None]
    rows, columns = grid.sum(axis=2), grid.sum(axis=1)[:, :-1]
    g = rows.shape[1]
    hits = np.diagonal(grid, axis1=1, axis2=2)[:, :g]
    lenient = hits + np.where(np.arange(g) == neutral, 0.0, grid[:, :, neutral])
    forgiven = columns.copy()
    forgiven[:, neutral] = hits[:, neutral]  # every neutral prediction is right, so none is a false alarm
    # a lenient hit of a group is a prediction of that group: its precision counts it on both sides
    claimed = np.where(np.arange(g) == neutral, forgiven, columns + grid[:, :, neutral])
    parts = []
    for right, given in ((hits, columns), (lenient, claimed)):
        parts += [divide(right, given), divide(right, rows), divide(2 * right, given + rows)]
    people = np.arange(g) != neutral
    parts += [
        hits.sum(axis=1, keepdims=True) / total,
        lenient.sum(axis=1, keepdims=True) / total,
        divide(grid[:, people, neutral].sum(axis=1, keepdims=True), rows[:, people].sum(axis=1, keepdims=True)),
        grid[:, :, -1].sum(axis=1, keepdims=True) / total,
        columns / total,
    ]
    return np.concatenate(parts, axis=1)


def piece_sums(piece_scores: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Summed log-probabilities ``[n, c]`` of candidates whose pieces have log-probabilities ``[n, pieces]`` each.

    Examples
    --------
    >>> piece_sums([[[-1.0]], [[-0.25, -0.5]]]).tolist()
    [[-1.0, -0.75]]
    """
    parts = [np.asarray(p, dtype=np.float64) for p in piece_scores]
    if not parts or any(p.ndim != 2 or len(p) != len(parts[0]) for p in parts):
        raise InputError(f"pieces of shapes {[p.shape for p in parts]}; expected [captions, pieces] per candidate.")
    return np.stack([p.sum(axis=1) for p in parts], axis=1)
