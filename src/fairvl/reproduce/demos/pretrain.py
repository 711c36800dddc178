"""Neutral pretraining: a small model before, after neutral captions, and after as many steps on its own captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...findings import Finding, Findings
from ...fingerprints import fingerprint
from ...measure.amplification import Amplification, amplification_change
from ...measure.audit.arms import rows
from ...measure.groups import Comparison, GroupFrame, compare_scores, disaggregate_scores
from ...sources.world.fusion import ASKING, SETTINGS, erased_amplification, pretrained_amplification
from ...sources.world.fusion_drawing import OBJECTS
from ...stats.estimate import Estimate
from .fusion_models import (
    GROUPS,
    Answers,
    Exam,
    Lengths,
    Persons,
    learn,
    neutral_captions,
    pairs,
    questions,
    start,
    teach,
)

FAMILY = "albef"
LENGTHS = Lengths(scenes=6000, words=350, steps=120, more=60, matching=40, gallery=48)
NEUTRAL, CONTROL = "neutral", "own captions"  # the report takes "control" for a random operator
ONE_MODEL = "one model per arm: docs/pretraining.md repeats it over families and seeds"


def pretrain_demo(out: Path | None, *, seed: int) -> Findings:
    """Pretrain a small model on a world with a known amplification, go on in two arms, fine-tune all three.

    "Before" is the pretrained model, "after" is it after neutral captions or, for as many steps, after the captions as
    they are (the control arm). Models, captions and losses stay in `out` when given.
    """
    if out is not None:
        return _run(out, seed)
    with TemporaryDirectory() as folder:
        return _run(Path(folder), seed)


def _run(out: Path, seed: int, lengths: Lengths = LENGTHS, family: str = FAMILY) -> Findings:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the matrices are small, and so the numbers are those of any machine
    try:
        found = _measured(out, seed, lengths, family)
    finally:
        torch.set_num_threads(threads)
    world = SETTINGS["spec"]
    settings = {
        "family": family, "steps": lengths.steps, "more_steps": lengths.more, "scenes": lengths.scenes, "seed": seed,
        "planned": {"amplification T->A": round(pretrained_amplification(world), 6),
                    "when no gender is named": round(erased_amplification(world), 6)},
    }  # fmt: skip
    return Findings(found, settings).with_columns(
        dataset="world: six things, men and women", model=f"small {family} of the demo", seed=seed,
        config_hash=fingerprint(settings), suite="demo pretrain",
    )  # fmt: skip


def _measured(out: Path, seed: int, lengths: Lengths, family: str) -> list[Finding]:
    world = SETTINGS["spec"]
    exam = Exam(world, ASKING, lengths, seed)
    scenes = world.scenes(lengths.scenes, seed)
    shown, neutral = pairs(scenes), neutral_captions(scenes, out)
    base = learn(start(family, seed), shown, out / "pretrained", lengths, neutral=None, more=False, seed=seed).model
    models = {"": base}
    for arm, captions in ((NEUTRAL, neutral), (CONTROL, None)):
        folder = out / arm.replace(" ", "-")
        models[arm] = learn(base, shown, folder, lengths, neutral=captions, more=True, seed=seed).model
    found = masked_words({arm: exam.persons(model) for arm, model in models.items()}, seed)
    task = questions(exam.asking.scenes(lengths.questions, seed, split="questions"))
    answered = {
        arm: exam.answers(teach(model, task, _folder(out, arm, "questions"), lengths, seed).model)
        for arm, model in models.items()
    }
    found += answers(answered, seed)
    more = pairs(world.scenes(lengths.scenes // 2, seed, split="gallery"))
    hits = {
        arm: exam.hits(teach(model, more, _folder(out, arm, "retrieval"), lengths, seed).model)
        for arm, model in models.items()
    }
    for way in hits[""]:
        found += by_group({arm: each[way] for arm, each in hits.items()}, exam.gallery.groups, f"{way}, R@1", seed)
    return found


def _folder(out: Path, arm: str, task: str) -> Path:
    return out / f"{arm.replace(' ', '-') or 'pretrained'}-{task}"


def masked_words(said: Mapping[str, Persons], seed: int, draws: int = 1000) -> list[Finding]:
    """T->A amplification of the masked person word, who is named, and whether the thing is still known."""
    own = {arm: each.amplification(n_boot=draws, seed=seed) for arm, each in said.items()}
    first = said[""]
    changes = {
        arm: amplification_change(
            np.eye(2)[first.scenes.woman.astype(int)], np.eye(len(OBJECTS))[first.scenes.thing],
            np.eye(3)[first.guessed][:, :2], np.eye(3)[each.guessed][:, :2], direction="t->a", n_boot=draws, seed=seed,
        )
        for arm, each in said.items() if arm
    }  # fmt: skip
    found = _amplifications(own, changes, "masked person word", "t->a")
    names = {arm: (each.guessed == 2).astype(np.float64) for arm, each in said.items()}
    found += by_group(names, first.scenes.groups, "neutral word for a masked person", seed, ranges=False, draws=draws)
    things = {arm: each.thing_hits for arm, each in said.items()}
    seen = [group for group, hidden in zip(first.scenes.groups, first.scenes.hidden, strict=True) if not hidden]
    return found + by_group(things, seen, "masked thing", seed, ranges=False, draws=draws)


def answers(said: Mapping[str, Answers], seed: int, draws: int = 1000) -> list[Finding]:
    """A->T amplification of answers after fine-tuning, and the score by group of the question."""
    own = {arm: each.amplification(n_boot=draws, seed=seed).result for arm, each in said.items()}
    changes = {arm: each.amplification(said[""], n_boot=draws, seed=seed).result for arm, each in said.items() if arm}
    found = _amplifications(own, changes, "what does the man or woman hold", "a->t")
    return found + by_group(
        {arm: each.scores for arm, each in said.items()}, said[""].groups, "questions", seed, draws=draws
    )


def by_group(
    scores: Mapping[str, NDArray[np.float64]], groups: list[str], task: str, seed: int, *, ranges: bool = True,
    draws: int = 1000,
) -> list[Finding]:  # fmt: skip
    """The mean score overall and by group, and its range over groups, before, after and their paired difference."""
    options: dict[str, Any] = {"n_boot": draws, "seed": seed}
    before = disaggregate_scores(scores[""], groups, **options)
    arms = {arm: compare_scores(scores[""], each, groups, **options) for arm, each in scores.items() if arm}
    utility = {"task": task, "role": "utility" if ranges or task == "masked thing" else "diagnostic"}
    found = rows(
        "accuracy", "share", f"{task}/accuracy", before.overall, _arms(arms, "overall"), extra=utility,
        groups="(all)", attribute="gender", note=ONE_MODEL,
    )  # fmt: skip
    if not ranges:
        return found
    for group in [g for g in GROUPS if g in before.by_group]:
        after = {arm: (each.after.by_group[group], each.difference.by_group[group]) for arm, each in arms.items()}
        found += rows(
            "accuracy", "share", f"{task}/{group}", before.by_group[group], after,
            extra={"task": task, "role": "fairness"}, groups=group, attribute="gender",
        )  # fmt: skip
    return found + rows(
        "accuracy_gap",
        "share",
        f"{task}/range",
        before.difference,
        _arms(arms, "difference"),
        extra={"task": task, "role": "fairness"},
        groups="(all)",
        attribute="gender",
        note=ONE_MODEL,
    )


def _arms(compared: Mapping[str, Comparison], field: str) -> dict[str, tuple[Estimate, Estimate]]:
    def value(frame: GroupFrame) -> Estimate:
        estimate: Estimate = getattr(frame, field)
        return estimate

    return {arm: (value(each.after), value(each.difference)) for arm, each in compared.items()}


def _amplifications(
    own: Mapping[str, Amplification], changes: Mapping[str, Amplification], task: str, direction: str
) -> list[Finding]:
    extra: dict[str, Any] = {"task": task, "role": "fairness", "direction": direction, "pairs": own[""].n_pairs}
    arms = {arm: (own[arm].estimate, changes[arm].estimate) for arm in changes}
    made = rows(
        "amplification", "share", f"{task}/amplification", own[""].estimate, arms, extra=extra, groups="(all)",
        attribute="gender", note=ONE_MODEL,
    )  # fmt: skip
    found = []
    for row in made:
        arm = own[str(row.extra["repair"])]
        note = "; ".join([*arm.notes, row.note] if arm.erasure else [row.note])
        found.append(replace(row, note=note, extra={**row.extra, "coverage": arm.coverage, "erasure": arm.erasure}))
    return found
