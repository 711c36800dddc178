"""Tasks to fine-tune on: questions with soft answers, and sentences about two images. Retrieval is `Pairs`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, InputError
from ...measure.tasks import normalise_answer, vqa_soft_accuracy
from ...sources.datasets import Dataset, load_dataset
from ...sources.datasets.vl_tasks import human_answers, right_image
from .pairs import check_ids, hash_images


@dataclass(frozen=True, eq=False)
class VqaTask:
    """Questions about images, each with the answers that people gave.

    Attributes
    ----------
    ids, images, questions : sequences
        One row per question; `images` as in `Pairs`.
    answers : sequence of str or mapping
        The right answer, or answers with their scores in [0, 1].
    candidates : sequence of str, optional
        What the model can answer; by default every answer of the task, the most frequent first.
    image_ids : sequence of str, optional
        Rows with one image id show one image.
    fingerprint : str
        Of the images. Left empty, the arrays are hashed.
    """

    ids: Sequence[str]
    images: Sequence[Any]
    questions: Sequence[str]
    answers: Sequence[str | Mapping[str, float]]
    candidates: Sequence[str] | None = None
    image_ids: Sequence[str] | None = None
    fingerprint: str = ""

    def __post_init__(self) -> None:
        _check(self, ("ids", "images", "questions", "answers", "image_ids"))
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", hash_images(self.images))

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """What the model can answer."""
        if self.candidates is not None:
            return tuple(self.candidates)
        counts: Counter[str] = Counter()
        for scores in self._scores:
            counts.update(scores.keys())
        return tuple(sorted(counts, key=lambda answer: (-counts[answer], answer)))

    @property
    def _scores(self) -> list[Mapping[str, float]]:
        return [{given: 1.0} if isinstance(given, str) else given for given in self.answers]

    def targets(self) -> NDArray[np.float32]:
        """Score of every choice per question, float32 ``[n, c]``; answers that are no choice count for nothing."""
        place = {answer: column for column, answer in enumerate(self.choices)}
        found = np.zeros((len(self.ids), len(place)), np.float32)
        for row, scores in enumerate(self._scores):
            for answer, score in scores.items():
                if not 0 <= score <= 1:
                    raise DatasetError(f"{self.ids[row]!r}: the score of {answer!r} is {score}; expected 0 to 1.")
                if answer in place:
                    found[row, place[answer]] = score
        return found


@dataclass(frozen=True, eq=False)
class ReasoningTask:
    """Sentences that are true or false of two images (NLVR2).

    Attributes
    ----------
    ids, left, right, sentences : sequences
        `left` and `right` as `images` in `Pairs`.
    labels : sequence of bool
    fingerprint : str
    """

    ids: Sequence[str]
    left: Sequence[Any]
    right: Sequence[Any]
    sentences: Sequence[str]
    labels: Sequence[bool]
    fingerprint: str = ""

    def __post_init__(self) -> None:
        _check(self, ("ids", "left", "right", "sentences", "labels"))
        wrong = [self.ids[row] for row, label in enumerate(self.labels) if label not in (0, 1)]
        if wrong:
            raise DatasetError(f"{len(wrong)} labels are neither True nor False, the first is that of {wrong[0]!r}.")
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", f"{hash_images(self.left)}-{hash_images(self.right)}")


def vqa_task(dataset: Dataset | str, *, candidates: Sequence[str] | None = None, most: int = 3129) -> VqaTask:
    """A task from ``vqav2:DIR?split=train`` (soft scores of ten people) or ``gqa:DIR?split=train`` (one answer).

    Parameters
    ----------
    candidates : sequence of str, optional
        What the model can answer; by default the `most` frequent answers.

    Raises
    ------
    DatasetError
        A record without image, question or answer.
    """
    source = load_dataset(dataset)
    rows, answers = [], []
    for record in source:
        people, answer = record.attributes.get("answers"), record.attributes.get("answer")
        if record.image is None or not record.caption or (people is None and answer is None):
            raise DatasetError(f"{source.name}: {record.id!r} lacks an image, a question or answers.")
        rows.append((record.id, record.image, record.caption, str(record.attributes.get("image_id", record.id))))
        answers.append(str(answer) if people is None else soft_scores(human_answers(people)))
    ids, images, questions, image_ids = (list(column) for column in zip(*rows, strict=True))
    task = VqaTask(ids, images, questions, answers, candidates, image_ids, source.fingerprint)
    if candidates is None and len(task.choices) > most:
        task = VqaTask(ids, images, questions, answers, task.choices[:most], image_ids, source.fingerprint)
    return task


def reasoning_task(folder: Path | str, *, split: str = "train") -> ReasoningTask:
    """A task from a folder in the layout of NLVR2: ``nlvr2:FOLDER?split=SPLIT`` with both images of every example.

    Raises
    ------
    DatasetError
        A record without an image, a sentence, or a label True or False (the test files may hold none).
    """
    source = load_dataset(f"nlvr2:{folder}?split={split}")
    rows = []
    for record in source:
        label = record.attributes.get("label")
        if record.image is None or not record.caption or label not in ("True", "False"):
            raise DatasetError(f"{source.name}: {record.id!r} lacks an image, a sentence or a label True or False.")
        rows.append((record.id, record.image, right_image(folder, record), record.caption, label == "True"))
    ids, left, right, sentences, labels = (list(column) for column in zip(*rows, strict=True))
    return ReasoningTask(ids, left, right, sentences, labels, source.fingerprint)


def soft_scores(people: Sequence[str]) -> dict[str, float]:
    """The VQA score of every answer that somebody gave, after the benchmark's normalisation.

    Examples
    --------
    >>> soft_scores(["red"] * 2 + ["Red."] + ["blue"] * 7)
    {'red': 0.9, 'blue': 1.0}
    """
    distinct = list(dict.fromkeys(normalise_answer(answer) for answer in people))
    scores = vqa_soft_accuracy(distinct, [list(people)] * len(distinct))
    return {answer: round(float(score), 6) for answer, score in zip(distinct, scores, strict=True)}


def _check(task: Any, names: Sequence[str]) -> None:
    lengths = {name: len(value) for name in names if (value := getattr(task, name)) is not None}
    if len(set(lengths.values())) > 1 or not lengths["ids"]:
        raise InputError(f"{type(task).__name__} with {lengths}; expected as many of each, at least one.")
    check_ids(task.ids)
    texts = task.questions if hasattr(task, "questions") else task.sentences
    empty = [task.ids[row] for row, text in enumerate(texts) if not (isinstance(text, str) and text.strip())]
    if empty:
        raise DatasetError(f"{len(empty)} rows have no text, the first is {empty[0]!r}.")
