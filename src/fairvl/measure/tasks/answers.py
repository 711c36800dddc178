"""Answers of visual question answering: normalisation, soft accuracy over human answers, exact match, answer sets.

The normalisation follows the published rules of the VQA evaluation: small letters, no full stops outside numbers,
number words as digits, no articles, the apostrophe put back into contractions, all other punctuation a space, except
the apostrophe, the colon, and the comma inside a number. It is applied to every answer; the published script leaves
questions alone on which all people agree to the letter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Floats = NDArray[np.float64]

AGREEING = 3  # people who must have given an answer for it to count in full
ARTICLES = frozenset(("a", "an", "the"))
NUMBERS = {
    word: str(digit)
    for digit, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
} | {"none": "0"}
# Forms that are no word without their apostrophe; "were", "well", "its", "ill", "shed" and the like stay as they are.
_CONTRACTIONS = """
ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mightn't mustn't needn't oughtn't shan't
shouldn't wasn't weren't won't wouldn't could've might've must've should've would've i'm i've you've we've they've
who've you're they're he'd you'd they'd who'd you'll they'll she's he's that's there's what's where's who's how's
here's it'll that'll there'll y'all ma'am o'clock somebody's someone's something's
"""
CONTRACTIONS = {text.replace("'", ""): text for text in _CONTRACTIONS.split()}
_STOP = re.compile(r"(?<!\d)\.|\.(?!\d)")
_COMMA = re.compile(r"(?<=\d),(?=\d)")
_OTHER = re.compile(r"[^\w\s':.]|_")
_WHOLE = re.compile(r"\d+")


def normalise_answer(answer: str) -> str:
    """An answer as answers are compared.

    Examples
    --------
    >>> [normalise_answer(text) for text in ("The Cats.", "two dogs", "dont know", "1,000.5", "black/white", "2:50pm")]
    ['cats', '2 dogs', "don't know", '1000.5', 'black white', '2:50pm']
    """
    if not isinstance(answer, str):
        raise InputError(f"an answer is {type(answer).__name__}; expected text.")
    return _normalised(answer)


@lru_cache(maxsize=1 << 16)  # answers repeat: a few thousand make up most of a data set
def _normalised(answer: str) -> str:
    text = answer.lower().replace("\u2019", "'")
    text = _OTHER.sub(" ", _COMMA.sub("", _STOP.sub("", text)))
    words = (NUMBERS.get(word, CONTRACTIONS.get(word, word)) for word in text.split())
    return " ".join(word for word in words if word not in ARTICLES)


def vqa_soft_accuracy(predicted: Sequence[str], human: Sequence[Sequence[str]]) -> Floats:
    """Soft accuracy of each predicted answer, ``float64 [n]``.

    For every person, the others who gave the predicted answer are counted, and ``min(count / 3, 1)`` is averaged over
    the persons left out in turn. With ten people the values are 0, 0.3, 0.6, 0.9 and 1.

    Parameters
    ----------
    predicted
        ``[n]`` answers.
    human
        ``[n]`` lists of the answers that people gave, ten each in the published data; at least two.

    Raises
    ------
    InputError
        Lengths that differ, or a question with fewer than two human answers.

    References
    ----------
    Antol et al. (2015), "VQA: Visual Question Answering", and the evaluation rules published with VQA v2 (Goyal et al.
    2017).

    Examples
    --------
    >>> people = ["red"] * 2 + ["dark red"] * 8
    >>> vqa_soft_accuracy(["Red", "dark red", "blue"], [people] * 3).round(3).tolist()
    [0.6, 1.0, 0.0]
    """
    _same_length(predicted, human, "human answers")
    scores = np.empty(len(predicted))
    for row, (answer, given) in enumerate(zip(predicted, human, strict=True)):
        if isinstance(given, str) or len(given) < 2:
            raise InputError(f"row {row}: human answers {given!r}; expected a list of at least two (ten as published).")
        wanted = normalise_answer(answer)
        same = sum(normalise_answer(text) == wanted for text in given)
        # leaving out a person who gave the answer leaves one fewer
        scores[row] = (same * min((same - 1) / AGREEING, 1.0) + (len(given) - same) * min(same / AGREEING, 1.0)) / len(
            given
        )
    return scores


def exact_match(predicted: Sequence[str], answers: Sequence[str], *, normalise: bool = True) -> Floats:
    """1.0 where the predicted answer is the given one, whole and exactly, else 0.0; ``float64 [n]``.

    The measure of GQA. Answers are compared after `normalise_answer`, unless `normalise` is False.

    Examples
    --------
    >>> exact_match(["cat", "catcher", "A cat."], ["cat", "cat", "cat"]).tolist()
    [1.0, 0.0, 1.0]
    """
    _same_length(predicted, answers, "answers")
    if normalise:
        predicted, answers = [[normalise_answer(text) for text in texts] for texts in (predicted, answers)]
    return np.array([float(p == a) for p, a in zip(predicted, answers, strict=True)])


def answer_set(
    answers: Sequence[str],
    named: Sequence[bool] | NDArray[np.bool_] | None = None,
    *,
    more_than: int = 50,
    drop_yes_no: bool = True,
    drop_numbers: bool = True,
) -> tuple[str, ...]:
    """Answers that occur often enough with people, the most frequent first (ties by the alphabet).

    These are the tasks T of amplification on answers. Answers are whole and normalised; nothing is matched by a part.

    Parameters
    ----------
    answers
        ``[n]`` gold answers of the *training* split.
    named
        ``[n]``, whether the question names a person (any group of `caption_group` but "unknown"); all rows when None.
    more_than
        An answer must occur in more rows than this.
    drop_yes_no, drop_numbers
        Leave out "yes" and "no", and whole numbers.

    Examples
    --------
    >>> answer_set(["Tennis", "tennis.", "yes", "2", "skateboard"], more_than=1)
    ('tennis',)
    """
    if more_than < 0:
        raise InputError(f"more_than={more_than}; expected 0 or more.")
    kept = np.ones(len(answers), dtype=bool) if named is None else np.asarray(named)
    if kept.dtype != np.bool_ or kept.shape != (len(answers),):
        raise InputError(f"named of shape {kept.shape}, dtype {kept.dtype}; expected a boolean for each answer.")
    counts = Counter(normalise_answer(text) for text, use in zip(answers, kept, strict=True) if use)
    return tuple(
        answer
        for answer, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if answer
        and count > more_than
        and not (drop_yes_no and answer in ("yes", "no"))
        and not (drop_numbers and _WHOLE.fullmatch(answer))
    )


def answer_columns(answers: Sequence[str], kept: Sequence[str]) -> Floats:
    """Answers as 0/1 columns ``float64 [n, t]`` of the answers `kept`; any other answer is a row of zeros.

    Raises
    ------
    InputError
        Nothing kept, or two kept answers that are one after normalisation.

    Examples
    --------
    >>> answer_columns(["hot dog", "dog", "hotdog"], ["hot dog", "dog"]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    names = [normalise_answer(text) for text in kept]
    if not names or len(set(names)) < len(names):
        raise InputError(f"kept answers {list(kept)[:8]}; expected at least one, all different once normalised.")
    place = {name: i for i, name in enumerate(names)}
    column = np.array([place.get(normalise_answer(text), -1) for text in answers], dtype=np.int64)
    out = np.zeros((len(column), len(names)))
    rows = np.flatnonzero(column >= 0)
    out[rows, column[rows]] = 1.0
    return out


def _same_length(left: Sequence[object], right: Sequence[object], what: str) -> None:
    if isinstance(left, str) or len(left) != len(right) or not len(left):
        raise InputError(f"{len(left)} predictions and {len(right)} {what}; expected one per question, at least one.")
