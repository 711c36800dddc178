"""Small fusion models of every family on the world of `sources.world.fusion`: made, taught and examined."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import write_atomic
from ...measure.amplification import Amplification, directional_amplification
from ...measure.tasks import (
    AnswerAmplification,
    MaskedPerson,
    answer_amplification,
    caption_retrieval_hits,
    exact_match,
    masked_person_test,
)
from ...repair.captions import captions
from ...repair.pretraining import Pairs, PretrainRun, VqaTask, finetune, pretrain
from ...sources.captions.masking import MASK_TOKEN as MASK
from ...sources.world.fusion import ASKED, FusionWorld, Scenes, candidates, vocabulary
from ...sources.world.fusion_drawing import OBJECTS, SIZE

FAMILIES = ("lxmert", "albef", "blip", "vilt")
PATCH, WORDS, WIDTH, HEADS = 12, 11, 64, 2
WIDER = 4.0  # builders draw weights as for hundreds of dimensions; in 64 these carry too little to learn in a minute
LONGER = {"lxmert": 4, "vilt": 7}  # families whose fresh answer head learns to look at the picture late
LATER = {"blip": 4}  # words alone teach its decoder, so its matching encoder has seen little
GUESSES = ("man", "woman", "person")
GROUPS = ("male", "female", "neutral")


@dataclass(frozen=True)
class Lengths:
    """Scenes and steps of every stage.

    Attributes
    ----------
    scenes, words, steps : int
        Of pretraining: scenes, steps on words alone, steps on all objectives.
    more : int
        Steps of either continued pretraining.
    questions, answering : int
        Scenes that questions are asked about, and steps of fine-tuning on them.
    matching : int
        Steps of fine-tuning for retrieval.
    tested, gallery : int
        Scenes of either test, triples of the gallery.
    batch_size : int
    masked : float
        Share of words to guess (families with masked words).
    lr, more_lr : float
        Learning rate of words alone (half of it for all objectives), and of all that follows.
    checks : bool
        Raise where a training learned nothing.
    """

    scenes: int = 8000
    words: int = 400
    steps: int = 150
    more: int = 80
    questions: int = 3000
    answering: int = 120
    matching: int = 50
    tested: int = 600
    gallery: int = 96
    batch_size: int = 64
    masked: float = 0.4
    lr: float = 3e-3
    more_lr: float = 1e-3
    checks: bool = True


def start(family: str, seed: int, width: int = WIDTH) -> Any:
    """A model of a family with random weights: two layers per stack, pictures in four patches."""
    import torch

    from ...sources import fusion

    sizes: dict[str, Any] = {"image_size": SIZE, "max_length": WORDS, "width": width, "heads": HEADS, "seed": seed}
    if family == "lxmert":
        model = fusion.build_lxmert(vocabulary(), grid=SIZE // PATCH, region_width=3 * PATCH * PATCH, **sizes)
    else:
        model = getattr(fusion, f"build_{family}")(vocabulary(), patch_size=PATCH, **sizes)
    with torch.no_grad():
        for parameter in model.module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(WIDER)
    return model


def pairs(scenes: Scenes) -> Pairs:
    """Scenes with their captions, to train on."""
    return Pairs(scenes.ids, list(scenes.pictures()), scenes.captions())


def neutral_captions(scenes: Scenes, out: Path) -> Path:
    """The folder of a `fairvl.captions` run over the scenes' captions."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows([("id", "caption"), *zip(scenes.ids, scenes.captions(), strict=True)])
    write_atomic(out / "captions.csv", text.getvalue())
    captions(out / "captions.csv", out / "neutral", workers=0)
    return out / "neutral"


def questions(scenes: Scenes) -> VqaTask:
    """What every person holds, and the colour or the place of every third scene."""
    ids, rows, texts, answers = [], [], [], []
    for kind, chosen in zip(ASKED, _asked(len(scenes)), strict=True):
        ids += [f"{scenes.ids[i]}-{kind}" for i in chosen]
        rows += chosen
        asked, right = scenes.questions(kind), scenes.answers(kind)
        texts += [asked[i] for i in chosen]
        answers += [right[i] for i in chosen]
    pictures, names = list(scenes.pictures()), scenes.ids
    return VqaTask(ids, [pictures[i] for i in rows], texts, answers, candidates(), [names[i] for i in rows])


def _asked(n: int) -> tuple[list[int], list[int], list[int]]:
    """Scenes that are asked about thing, colour and place."""
    return list(range(n)), list(range(0, n, 3)), list(range(1, n, 3))


def learn(model: Any, shown: Pairs, out: Path, lengths: Lengths, *, neutral: Path | None, more: bool, seed: int) -> Any:
    """Pretrain from nothing, or go on (`more`) with captions as they are, or with neutral ones.

    From nothing, words alone come first: that costs a fifth of all objectives and settles what is guessed unseen.
    """
    options: dict[str, Any] = {
        "arm": "control" if neutral is None else "neutral", "batch_size": lengths.batch_size, "weight_decay": 0.05,
        "reading": _reading(model), "mask_rate": lengths.masked, "checkpoint_every": 10_000, "workers": 0,
        "seed": seed, "checks": lengths.checks,
    }  # fmt: skip
    if not more:
        words = [name for name in ("mlm", "lm") if name in model.card.capabilities]
        first = {**options, "reading": "plain"}
        model = pretrain(
            model, shown, out / "words", objectives=words, steps=lengths.words, lr=lengths.lr, **first
        ).model
    steps, lr = (lengths.more, lengths.more_lr) if more else (lengths.steps, lengths.lr / 2)
    return pretrain(model, shown, out / "pairs", captions=neutral, steps=steps, lr=lr, **options)


def _reading(model: Any) -> Any:
    return "masked" if "mlm" in model.card.capabilities else "plain"


def teach(model: Any, task: VqaTask | Pairs, out: Path, lengths: Lengths, seed: int) -> PretrainRun:
    """Fine-tune on questions, or for retrieval."""
    asked = isinstance(task, VqaTask)
    longer = (LONGER if asked else LATER).get(model.card.family, 1)
    steps, lr = (lengths.answering if asked else lengths.matching), lengths.more_lr
    return finetune(
        model, task, out, steps=steps * longer, batch_size=lengths.batch_size,
        lr=2 * lr if asked and longer > 1 else lr,
        checkpoint_every=10_000, workers=0, seed=seed, checks=lengths.checks,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Exam:
    """What every model of a seed is asked: masked words, questions, a gallery."""

    world: FusionWorld
    asking: FusionWorld
    lengths: Lengths
    seed: int

    @cached_property
    def scenes(self) -> Scenes:
        """Scenes of the masked words; every caption names the gender, which is the label."""
        return replace(self.world, unnamed=0.0).scenes(self.lengths.tested, self.seed, split="test")

    @cached_property
    def asked(self) -> Scenes:
        """Scenes of the questions."""
        return self.asking.scenes(self.lengths.tested, self.seed, split="asked")

    @cached_property
    def gallery(self) -> Scenes:
        """Scenes of the retrieval test."""
        return self.world.gallery(self.seed, triples=self.lengths.gallery)

    def persons(self, model: Any) -> Persons:
        """Guesses of the masked person word and of the masked thing."""
        scenes, pictures = self.scenes, list(self.scenes.pictures())
        scores = model.fill(pictures, scenes.captions(MASK), list(GUESSES))
        texts = [t.replace(f" {a} ", f" {MASK} ") for t, a in zip(scenes.captions(), scenes.answers(), strict=True)]
        things = model.fill(pictures, texts, list(OBJECTS)).argmax(1)
        return Persons(scenes, scores, things)

    def answers(self, model: Any) -> Answers:
        """Answers of a model fine-tuned on questions."""
        task = questions(self.asked)
        named = self.asked.groups
        groups = [named[i] for rows in _asked(len(named)) for i in rows]
        said = model.answer(list(task.images), list(task.questions))
        return Answers(groups, [str(answer) for answer in task.answers], said, len(self.asked))

    def hits(self, model: Any) -> Mapping[str, NDArray[np.float64]]:
        """Hits at 1 in the gallery, one per caption and one per picture, whose group is that of its caption."""
        scenes = self.gallery
        scores = model.score_all(list(scenes.pictures()), scenes.captions())
        found = caption_retrieval_hits(scores.T, np.arange(len(scenes)), k=1)
        return {"text to image": found.to_image, "image to text": found.to_text}


@dataclass(frozen=True, eq=False)
class Persons:
    """Guesses of masked words."""

    scenes: Scenes
    scores: NDArray[np.float32]
    things: NDArray[np.int64]

    @property
    def guessed(self) -> NDArray[np.int64]:
        """Position in `GUESSES`."""
        return np.asarray(self.scores.argmax(1))

    def amplification(self, *, n_boot: int = 0, seed: int = 0) -> Amplification:
        """T->A: the thing, and the gender guessed."""
        return directional_amplification(
            np.eye(2)[self.scenes.woman.astype(int)], np.eye(len(OBJECTS))[self.scenes.thing],
            np.eye(3)[self.guessed][:, :2], direction="t->a", attribute_names=GROUPS[:2], task_names=OBJECTS,
            n_boot=n_boot, seed=seed,
        )  # fmt: skip

    def test(self, *, n_boot: int = 0, seed: int = 0) -> MaskedPerson:
        """The masked-person test, strict and lenient."""
        return masked_person_test(self.scores, list(GROUPS), self.scenes.groups, n_boot=n_boot, seed=seed)

    @property
    def thing_hits(self) -> NDArray[np.float64]:
        """Whether the masked thing was guessed, where it can be seen."""
        return np.asarray((self.things == self.scenes.thing)[~self.scenes.hidden], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to questions; the first `things` of them are about what the person holds."""

    groups: list[str]
    gold: list[str]
    said: list[str]
    things: int

    @property
    def scores(self) -> NDArray[np.float64]:
        """1 for a right answer; all people agree in this world, so the soft score is the same."""
        return np.asarray(exact_match(self.said, self.gold), dtype=np.float64)

    def amplification(self, before: Answers | None = None, *, n_boot: int = 0, seed: int = 0) -> AnswerAmplification:
        """A->T: the word of the question, and the thing answered."""
        n = self.things
        return answer_amplification(
            self.groups[:n], self.gold[:n], self.said[:n], list(OBJECTS), order=GROUPS[:2],
            before=None if before is None else before.said[:n], n_boot=n_boot, seed=seed,
        )  # fmt: skip


def spread(scores: NDArray[np.float64], groups: list[str]) -> tuple[float, dict[str, float]]:
    """Largest minus smallest mean score over groups, and the means."""
    labels = np.array(groups)
    means = {group: float(scores[labels == group].mean()) for group in GROUPS}
    return max(means.values()) - min(means.values()), means
