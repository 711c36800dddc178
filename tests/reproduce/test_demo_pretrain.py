"""The pretraining demo: its parts on guesses whose amplification is known, and, slowly, the whole of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fairvl.findings import Findings
from fairvl.report import report
from fairvl.reproduce.demos.fusion_models import (
    FAMILIES,
    Answers,
    Exam,
    Lengths,
    Persons,
    learn,
    neutral_captions,
    pairs,
    questions,
    spread,
    start,
    teach,
)
from fairvl.reproduce.demos.pretrain import _run, answers, by_group, masked_words, pretrain_demo
from fairvl.sources.world.fusion import (
    ASKING,
    SETTINGS,
    answer_amplification,
    answer_scores,
    best_gender,
    best_thing,
    candidates,
    erased_amplification,
    pretrained_amplification,
)
from fairvl.sources.world.fusion_drawing import OBJECTS

SHORT = Lengths(
    scenes=200,
    words=2,
    steps=2,
    more=1,
    questions=60,
    answering=1,
    matching=1,
    tested=60,
    gallery=9,
    batch_size=16,
    checks=False,
)
EXAM = Exam(SETTINGS["spec"], ASKING, Lengths(tested=1200), 5)


def _says(guess: np.ndarray) -> Persons:
    return Persons(EXAM.scenes, np.eye(3, dtype=np.float32)[guess], EXAM.scenes.thing)


def _answers(guess: np.ndarray) -> Answers:
    asked = EXAM.asked
    return Answers(asked.groups, asked.answers(), [OBJECTS[t] for t in guess], len(asked))


def test_masked_words_find_the_planted_amplification_and_name_erasure() -> None:
    best = best_gender(SETTINGS["spec"], EXAM.scenes)
    truth = EXAM.scenes.woman.astype(int)
    found = Findings(masked_words({"": _says(best), "neutral": _says(best * 0 + 2), "right": _says(truth)}, 0, 50))
    one = found.where(metric="amplification")
    before, after = one.one(arm="before"), one.one(arm="after", repair="neutral")
    assert abs(before.value - pretrained_amplification(SETTINGS["spec"])) < 0.01
    assert abs(after.value - erased_amplification(SETTINGS["spec"])) < 0.01
    assert not before.extra["erasure"]
    assert after.extra["erasure"]
    assert "erasure" in after.note
    assert one.one(arm="after", repair="right").value == 0
    assert not one.one(arm="after", repair="right").extra["erasure"]
    change = one.one(arm="difference", repair="neutral")
    assert change.value == pytest.approx(after.value - before.value)
    says_neutral = found.where(metric="accuracy", task="neutral word for a masked person")
    assert [says_neutral.one(arm=a, **r).value for a, r in (("before", {}), ("after", {"repair": "neutral"}))] == [0, 1]
    assert found.one(metric="accuracy", task="masked thing", arm="before").value == 1


def test_answers_find_the_planted_amplification_and_scores() -> None:
    best = best_thing(ASKING, EXAM.asked)
    found = Findings(answers({"": _answers(best), "right": _answers(EXAM.asked.thing)}, 0, 50))
    one = found.where(metric="amplification")
    assert abs(one.one(arm="before").value - answer_amplification(ASKING)) < 0.01
    assert one.one(arm="after").value == 0
    for group, score in answer_scores(ASKING).items():
        shown = found.one(metric="accuracy", arm="before", groups=group)
        assert abs(shown.value - score) < 0.06
        assert shown.low is not None
    assert found.one(metric="accuracy_gap", arm="after").value == 0
    assert found.one(metric="accuracy_gap", arm="before").value > 0


def test_ranges_are_those_of_the_means_by_group() -> None:
    scores = np.array([1.0, 0, 1, 1, 0, 0])
    groups = ["male", "male", "female", "female", "neutral", "neutral"]
    assert spread(scores, groups) == (1.0, {"male": 0.5, "female": 1.0, "neutral": 0.0})
    found = Findings(by_group({"": scores}, groups, "a task", 0, draws=20))
    assert found.one(metric="accuracy_gap").value == 1.0


def test_questions_ask_for_every_thing_and_some_colours_and_places() -> None:
    scenes = ASKING.scenes(30, seed=1, split="questions")
    task = questions(scenes)
    assert len(task.ids) == 50
    assert task.choices == tuple(candidates())
    assert list(task.answers[:30]) == scenes.answers()
    assert list(task.answers[30:40]) == scenes.answers("colour")[::3]
    assert all(any(word in text for word in ("man", "woman", "person")) for text in task.questions)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_goes_through_every_stage(family: str, tmp_path: Path) -> None:
    exam = Exam(SETTINGS["spec"], ASKING, SHORT, 1)
    scenes = exam.world.scenes(SHORT.scenes, 1)
    model = start(family, 1)
    assert {"itm", "fill", "score"} <= model.card.capabilities
    neutral = neutral_captions(scenes, tmp_path)
    made = learn(model, pairs(scenes), tmp_path / "run", SHORT, neutral=neutral, more=True, seed=1)
    said = exam.persons(made.model)
    assert np.isfinite(said.amplification().value)
    assert said.test().n == SHORT.tested
    answered = teach(made.model, questions(exam.asked), tmp_path / "questions", SHORT, 1)
    assert set(exam.answers(answered.model).said) <= set(candidates())


def test_the_demo_writes_the_same_findings_again(tmp_path: Path) -> None:
    first = _run(tmp_path / "a", 3, SHORT, "albef")
    assert first.to_json() == _run(tmp_path / "b", 3, SHORT, "albef").to_json()
    assert {row.extra.get("repair") for row in first} == {"", "neutral", "own captions"}
    page = report(first, tmp_path / "report.html").read_text()
    assert "Bias amplification" in page
    assert "random operator" not in page  # the control arm is none


@pytest.mark.slow
def test_the_demo_reaches_its_closed_forms(tmp_path: Path) -> None:
    found = pretrain_demo(tmp_path, seed=0)
    one = found.where(metric="amplification", direction="t->a")
    assert abs(one.one(arm="before").value - 0.12) < 0.04  # one seed; the gate of 0.03 is on means over seeds
    after = one.one(arm="after", repair="neutral")
    assert abs(after.value + 0.20) < 0.03
    assert after.extra["erasure"]
    shown = found.where(metric="accuracy", repair="neutral")
    assert shown.one(task="neutral word for a masked person", arm="after").value > 0.95
    assert shown.one(task="masked thing", arm="difference").value > -0.02
    assert found.one(metric="accuracy", task="questions", arm="before", groups="(all)").value > 0.6
