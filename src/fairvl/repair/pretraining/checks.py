"""Did the model learn from its pairs? Losses and accuracies on held-out pairs against what no learning would give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DatasetError, TrainingError
from ...stats.linear import t_interval
from .lesson import Lesson
from .objectives import NO_INFORMATION

ITM_BELOW = 0.6
BLOCK = 64
LEVEL = 0.95
ALIGNED_ROWS = 256
ALIGNED_LEVEL = 0.9999  # this check runs before every training: it must not cry wolf

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One number on held-out pairs, and the value that a model without learning would have.

    Attributes
    ----------
    name : str
        ``itm`` (loss in nats, lower is better); ``itc`` (share of images whose own text comes first among 64, minus
        chance); ``mlm``, ``lm`` and ``task`` (accuracy or score minus that of always giving the most frequent answer).
    value, low, high : float
        With its t interval over captions.
    limit : float
        What it must be below (losses) or what its interval must be above (accuracies).
    without_learning : float
        The value of a model that learned nothing.
    n : int
        Captions.
    passed : bool
    note : str
    """

    name: str
    value: float
    low: float
    high: float
    level: float
    limit: float
    without_learning: float
    n: int
    passed: bool
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return asdict(self)

    def describe(self) -> str:
        """One line for people."""
        side = "below" if self.name == "itm" else "above"
        return (
            f"{self.name} {self.value:.3f} [{self.low:.3f}, {self.high:.3f}] on {self.n} held-out captions, expected "
            f"{side} {self.limit:.3f}{f' ({self.note})' if self.note else ''}"
        )


def check_learning(lesson: Lesson, rows: NDArray[np.int64], probability: float) -> list[Check]:
    """Every objective of `lesson` on held-out rows, without gradient.

    Matching must be below 0.6 (no information: ``ln 3 - 2/3 ln 2 = 0.6365``). The accuracy of hidden and next words
    must be above that of always saying the most frequent one, and the share of images that find their own text among
    64 above chance, each by its 95 % interval.
    """
    import torch

    found: dict[str, list[Any]] = {name: [] for name in lesson.weights}
    with torch.no_grad():
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            if len(block) > 1:
                _measure(lesson, block, probability, found)
    checks = []
    for name in lesson.weights:
        if name == "itm":
            checks.append(_matching(np.concatenate(found["itm"])))
        elif name == "itc":
            hits, chance = (np.concatenate(part) for part in zip(*found["itc"], strict=True))
            checks.append(above("itc", hits, chance, "by chance"))
        else:
            checks.append(_above_chance(name, found[name]))
    return checks


def require_learning(checks: Sequence[Check], kept: str) -> None:
    """Raise unless every check passed.

    Raises
    ------
    TrainingError
        With what was measured, what was expected, likely causes and where the checkpoint is.
    """
    failed = [check for check in checks if not check.passed]
    if not failed:
        return
    causes = [
        "images and captions do not belong together (look at a few pairs; join them by id)"
        if any(check.name in ("itm", "itc") for check in failed)
        else "the words cannot be told from the images and their context",
        "too few steps", "a learning rate that is too low or too high (see losses.jsonl)",
    ]  # fmt: skip
    raise TrainingError(
        f"the model did not learn: {'; '.join(check.describe() for check in failed)}. Likely causes: "
        f"{'; '.join(causes)}. The checkpoint of the last step stays in {kept}; checks=False (--no-checks) in the same "
        "folder writes the model as it is."
    )


def check_pairing(lesson: Lesson, rows: NDArray[np.int64]) -> None:
    """Refuse pairs that the model, as it comes, finds to fit better when captions are shifted by one row.

    A model without knowledge has no preference and passes.

    Raises
    ------
    DatasetError
        Over up to 256 neighbouring rows the score of an image with a neighbour's caption is surely higher.
    """
    import torch

    rows = rows[:ALIGNED_ROWS]
    if not {"itm", "itc"} & lesson.weights.keys() or len(rows) < 30:
        return
    with torch.no_grad():
        own = _scores(lesson, rows, rows)
        for shift, which in ((1, "before"), (-1, "after")):
            beside = np.roll(rows, shift)
            other = lesson.batches.texts.original[rows] != lesson.batches.texts.original[beside]
            if other.sum() < 30:
                continue
            gain = (_scores(lesson, rows, beside) - own)[other]
            low = _interval(gain, ALIGNED_LEVEL)[0]
            if low > 0:
                raise DatasetError(
                    f"the model finds images to fit the captions of the row {which} better than their own (by "
                    f"{gain.mean():.3f} on {len(gain)} pairs, at least {low:.3f}). Captions and images are misaligned "
                    "by one; join them by id."
                )


def _scores(lesson: Lesson, images: NDArray[np.int64], texts: NDArray[np.int64]) -> Floats:
    """Match log-odds, or scaled cosine, of images with the captions of other rows."""
    import torch

    model, table, found = lesson.model, lesson.batches.texts, []
    for start in range(0, len(images), BLOCK):
        inputs = lesson.images.inputs(lesson.batches.images[images[start : start + BLOCK]])
        said = table.original[texts[start : start + BLOCK]]
        ids = torch.from_numpy(table.ids[said].astype(np.int64)).to(model.device)
        mask = torch.from_numpy(table.mask[said].astype(np.int64)).to(model.device)
        if "itm" in lesson.weights:
            logits = model.match_logits(model.fuse(inputs, ids, mask)).float()
            scores = logits[:, 1] - logits[:, 0]
        else:
            image, text, scale = model.project(inputs, ids, mask)
            scores = (image.float() * text.float()).sum(1) * scale
        found.append(scores.double().cpu().numpy())
    return np.concatenate(found)


def _measure(lesson: Lesson, rows: NDArray[np.int64], probability: float, found: dict[str, list[Any]]) -> None:

    batch = lesson.batches.of(rows, -1, probability)
    whole = slice(0, len(rows))
    begun = lesson.start(batch, whole)
    matching, hidden = lesson.fused(batch, whole, begun)
    if matching is not None:
        found["itm"].append(matching.double().cpu().numpy()[batch.wrong_text >= 0])
    if hidden is not None:
        logits, words = hidden
        found["mlm"].append(_answers(logits, words, batch.hidden))
    if "lm" in lesson.weights:
        logits, words, there = lesson.following(whole, begun)
        found["lm"].append(_answers(logits, words, there.cpu().numpy()))
    if "itc" in lesson.weights:
        image, text, _ = begun.projected
        first = (image.float() @ text.float().T).argmax(1).cpu().numpy()
        found["itc"].append((batch.same[np.arange(len(rows)), first].astype(float), batch.same.mean(1)))


def _answers(logits: Any, words: Any, where: NDArray[np.bool_]) -> tuple[Any, Any, Any]:
    said, right = logits.float().argmax(1).cpu().numpy(), words.cpu().numpy()
    return np.nonzero(where)[0], right, said == right


def above(name: str, scores: Floats, nothing: Floats, which: str = "always the most frequent one") -> Check:
    """Scores of rows against those of saying the same everywhere; passes when the interval of the gain is above 0."""
    gain = scores - nothing
    low, high = _interval(gain, LEVEL)
    note = f"{scores.mean():.3f}, {which} {nothing.mean():.3f}"
    return Check(name, float(gain.mean()), low, high, LEVEL, 0.0, 0.0, len(gain), bool(low > 0), note)


def _above_chance(name: str, found: list[tuple[Any, Any, Any]]) -> Check:
    words = np.concatenate([part[1] for part in found])
    values, counts = np.unique(words, return_counts=True)
    common = values[counts.argmax()]
    chances, accuracies = [], []
    for texts, right, hit in found:
        counted = np.bincount(texts)
        held = counted > 0
        accuracies.append(np.bincount(texts, hit.astype(float), len(counted))[held] / counted[held])
        chances.append(np.bincount(texts, (right == common).astype(float), len(counted))[held] / counted[held])
    return above(name, np.concatenate(accuracies), np.concatenate(chances))


def _matching(losses: Floats) -> Check:
    name, nothing, limit = "itm", NO_INFORMATION, ITM_BELOW
    if len(losses) < 2:
        return Check(
            name, math.nan, math.nan, math.nan, LEVEL, limit, nothing, len(losses), False, "no pairs that differ"
        )
    low, high = _interval(losses, LEVEL)
    value = float(losses.mean())
    note = f"{nothing:.4f} without information"
    return Check(name, value, low, high, LEVEL, limit, nothing, len(losses), value < limit, note)


def _interval(values: Floats, level: float) -> tuple[float, float]:
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    low, high, _ = t_interval(float(values.mean()), error, len(values) - 1, level)
    return float(low), float(high)
