"""How answers depend on whom a question is about: amplification of question group on answers, by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ..amplification import Amplification, amplification_change, directional_amplification, one_hot
from .answers import answer_columns

GROUPS = ("female", "male", "neutral")


@dataclass(frozen=True, eq=False)
class AnswerAmplification:
    """Amplification of question groups on answers; every mean over answers also as a sum, under its own name.

    Attributes
    ----------
    result : Amplification
        A->T: how predicted answers depend on the group of the question.
    means : mapping of group to float
        Mean over the answers of each group, ``result.per_attribute``.
    sums : mapping of group to float
        The same as sums over the answers with support, as one published table prints them. Sums grow with the number
        of answers and cannot be compared between answer sets.
    questions, left_out : int
        Questions in the numbers; questions left out since their group or their gold answer is not among those asked
        about.
    out_of_list : float
        Share of questions whose predicted answer is not in the set: a row of zeros, which pulls values below zero.
    """

    result: Amplification
    means: dict[str, float]
    sums: dict[str, float]
    questions: int
    left_out: int
    out_of_list: float


def answer_amplification(
    groups: Sequence[str | None],
    gold: Sequence[str],
    predicted: Sequence[str],
    answers: Sequence[str],
    *,
    before: Sequence[str] | None = None,
    train: tuple[Sequence[str | None], Sequence[str]] | None = None,
    order: Sequence[str] = GROUPS,
    **options: Any,
) -> AnswerAmplification:
    """Directional amplification A->T of predicted answers, A the group of the question, T the answers asked about.

    Only questions of a group in `order` whose gold answer is in `answers` enter, as published. Rows must belong
    together already: bring predictions to the labels' order with `join_rows`.

    Parameters
    ----------
    groups, gold, predicted
        ``[n]``: group of each question (`caption_group`), its gold answer, the predicted answer.
    answers
        The set T (`answer_set` of training answers). Whole normalised answers are compared.
    before
        Predictions before a repair: the result is then after minus before, on the same resamples.
    train
        ``(groups, gold)`` of training questions, which decide the signs; the evaluation labels when None.
    options
        Of `directional_amplification`: ``minimum_support``, ``n_boot``, ``level``, ``seed``, ...

    Examples
    --------
    >>> groups = ["female"] * 40 + ["male"] * 40
    >>> gold = ["tennis"] * 22 + ["golf"] * 18 + ["tennis"] * 18 + ["golf"] * 22
    >>> guess = ["tennis"] * 40 + ["golf"] * 40
    >>> found = answer_amplification(groups, gold, guess, ["tennis", "golf"], order=["female", "male"], n_boot=0)
    >>> round(found.result.value, 3), round(found.sums["female"], 3)
    (0.45, 0.9)
    """
    columns = {"gold": gold, "predicted": predicted, **({} if before is None else {"before": before})}
    if wrong := [name for name, values in columns.items() if len(values) != len(groups)]:
        raise InputError(f"{wrong[0]} has {len(columns[wrong[0]])} rows and groups {len(groups)}; expected as many.")
    a, names = one_hot(list(groups), columns=list(order))
    t = answer_columns(gold, answers)
    kept = a.any(axis=1) & t.any(axis=1)
    if not kept.any():
        raise InputError("no question has one of the groups and a gold answer in the set; widen `answers`.")
    guess = answer_columns(predicted, answers)[kept]
    signs = (
        None if train is None else (one_hot(list(train[0]), columns=list(order))[0], answer_columns(train[1], answers))
    )
    options |= {"attribute_names": names, "task_names": list(answers)}
    if before is None:
        result = directional_amplification(a[kept], t[kept], guess, train=signs, **options)
    else:
        start = answer_columns(before, answers)[kept]
        result = amplification_change(a[kept], t[kept], start, guess, train=signs, **options)
    supported = result.pairs.supported.sum(axis=1)
    means = {name: row.value for name, row in zip(names, result.per_attribute, strict=True)}
    sums = {name: means[name] * int(count) for name, count in zip(names, supported, strict=True)}
    return AnswerAmplification(
        result, means, sums, int(kept.sum()), int((~kept).sum()), float(np.mean(~guess.any(axis=1)))
    )
