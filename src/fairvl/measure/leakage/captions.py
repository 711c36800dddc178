"""LIC: do a model's captions give a group away more than the captions that people wrote?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InputError
from ...stats.bootstrap import interval
from ...stats.cells import FloatArray, row_counts
from ...stats.codes import encode
from ...stats.estimate import Estimate
from .outputs import Leakage, balanced_rows
from .probe import out_of_fold_scores

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
UNKNOWN = "\x00unknown"


def caption_leakage(
    groups: Any,
    human: Sequence[str],
    generated: Sequence[str],
    *,
    rounds: int = 5,
    folds: int = 5,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Leakage:
    """LIC amplification: confidence of reading the group from generated minus from human captions.

    The score of one side is the mean over rows of (the reader's probability of the true group, where it also picks that
    group; else 0). Words of human captions that the model never uses become one unknown word, so that a larger
    vocabulary is no advantage. Pass captions whose group words are *masked* already, or the reader reads those.

    Parameters
    ----------
    groups
        ``[n]``, one per image; rows without a group are left out.
    human, generated
        One caption per image each, in the same order. Words are compared in lower case; the reader is logistic
        regression on word presence, cross-validated on balanced rows.
    rounds, folds, n_boot, level, seed
        Balanced draws; folds; bootstrap over rows within a round (ends are averaged over rounds).

    References
    ----------
    Hirota, Nakashima and Garcia (2022), "Quantifying societal bias amplification in image captioning", CVPR, LIC.

    Examples
    --------
    >>> who = ["m", "f"] * 30
    >>> people = ["a person with a dog", "a person with a cat", "a person on a bike"] * 20
    >>> model = ["a person on a bike" if g == "m" else "a person with a cat" for g in who]
    >>> result = caption_leakage(who, people, model, rounds=2)
    >>> bool(result.amplification.low > 0)
    True
    """
    codes = encode(groups, name="groups")
    if not len(codes) == len(human) == len(generated):
        raise InputError(
            f"{len(codes)} groups, {len(human)} human and {len(generated)} generated captions; expected equal."
        )
    if rounds < 1:
        raise InputError(f"rounds={rounds}; expected at least one.")
    spoken = [_words(text, "generated") for text in generated]
    vocabulary = sorted(set().union(*spoken))
    if not vocabulary:
        raise InputError("generated captions hold no word; nothing can be read from them.")
    written = [_words(text, "human") for text in human]
    known = set(vocabulary)
    comparable = [{word if word in known else UNKNOWN for word in words} for words in written]
    everything = sorted(set().union(*written)) or [UNKNOWN]
    tables = (
        _presence(comparable, [*vocabulary, UNKNOWN]),
        _presence(spoken, [*vocabulary, UNKNOWN]),
        _presence(written, everything),
    )
    rng = np.random.default_rng(seed)
    parts = []
    for r in range(rounds):
        rows = balanced_rows(codes, rng)
        names = np.array(codes.labels)[codes.codes[rows]]
        scores = [_confident(table[rows], names, folds, seed + r) for table in tables]
        parts.append(_ends(scores, n_boot, level, rng))
    value, low, high = (np.mean([p[i] for p in parts], axis=0) for i in range(3))
    method = f"percentile, {n_boot} draws of rows, {rounds} balanced rounds" if n_boot else "none"
    n = len(rows)
    data, model, difference, untouched = (
        Estimate(float(value[i]), float(low[i]), float(high[i]), n, level, method) for i in range(4)
    )
    chance = 1.0 / int((codes.counts > 0).sum()) ** 2  # right by chance, at the confidence of chance
    return Leakage(data, model, difference, untouched, chance, float("nan"), float("nan"), rounds)


def _words(text: object, name: str) -> set[str]:
    if not isinstance(text, str):
        raise InputError(f"{name}: holds {text!r}; expected one caption (a string) per image.")
    return set(_WORD.findall(text.lower()))


def _presence(rows: list[set[str]], vocabulary: list[str]) -> FloatArray:
    place = {word: i for i, word in enumerate(vocabulary)}
    out = np.zeros((len(rows), len(vocabulary)))
    for i, words in enumerate(rows):
        out[i, [place[word] for word in words]] = 1.0
    return out


def _confident(table: FloatArray, names: Any, folds: int, seed: int) -> FloatArray:
    """Per row the probability of the true group where it is also the reader's pick, else 0."""
    codes, scores = out_of_fold_scores(table, names, folds=folds, seed=seed)
    rows = np.arange(len(scores))
    right = scores.argmax(axis=1) == codes
    return np.where(right, scores[rows, codes], 0.0)


def _ends(scores: list[FloatArray], draws: int, level: float, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    columns = np.stack([scores[0], scores[1], scores[1] - scores[0], scores[2]], axis=1)
    observed = columns.mean(axis=0)
    if not draws:
        nothing = np.full(4, np.nan)
        return observed, nothing, nothing
    replicates = np.concatenate([w @ columns / len(columns) for w in row_counts(len(columns), draws, rng)])
    low, high = interval(replicates, observed, level=level, method="percentile", units=max(len(columns), 2))
    return observed, low, high
