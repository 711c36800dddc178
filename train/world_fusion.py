"""Fusion models of every family on a world with known amplification: pretraining, neutral and control arm, tasks.

    python train/world_fusion.py --work build/world-fusion --seeds 1 2 3 4 5

One run is a family, a setting of the world and a seed. It pretrains a model from nothing, goes on from it with
captions that become neutral and, for as many steps, with the captions as they are; in the specification's setting it
then fine-tunes all three for questions and for retrieval. What comes out are rows of numbers, one per arm, and
the answers to every test. Killed and started again, it goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fairvl.atomic import write_atomic
from fairvl.jobs import run_job
from fairvl.reproduce.demos.fusion_models import (
    FAMILIES,
    Exam,
    Lengths,
    learn,
    neutral_captions,
    pairs,
    questions,
    spread,
    start,
    teach,
)
from fairvl.sources.world.fusion import ASKING, SETTINGS

WHOLE = "spec"  # the setting with a control arm and fine-tuning
SEEDS = {"spec": 5, "stronger": 3, "shown": 3}


def run(work: Path, lengths: Lengths, spec: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """One family, setting and seed."""
    import torch

    torch.set_num_threads(1)
    family, setting, seed = str(spec["family"]), str(spec["setting"]), int(spec["seed"])
    name, began = f"{setting}-{family}-{seed}", time.process_time()
    place, world = work / "models" / name, SETTINGS[setting]
    exam = Exam(world, ASKING, lengths, seed)
    scenes = world.scenes(lengths.scenes, seed)
    shown, neutral = pairs(scenes), neutral_captions(scenes, place)
    base = learn(start(family, seed), shown, place / "base", lengths, neutral=None, more=False, seed=seed)
    arms = {"base": base}
    arms["neutral"] = learn(base.model, shown, place / "to-neutral", lengths, neutral=neutral, more=True, seed=seed)
    if setting == WHOLE:
        arms["control"] = learn(base.model, shown, place / "to-control", lengths, neutral=None, more=True, seed=seed)
    rows, kept = [], {}
    for arm, made in arms.items():
        row, said = masked_words(exam, made, seed)
        if setting == WHOLE:
            more, also = tasks(exam, made.model, place, arm, lengths, seed)
            row, said = row | more, said | also
        rows.append({"setting": setting, "family": family, "seed": seed, "arm": arm, **row})
        kept |= {f"{arm}|{key}": value for key, value in said.items()}
    write_atomic(folder / f"{name}.json", json.dumps(rows, indent=1) + "\n")
    np.savez_compressed(folder / f"{name}.npz", **kept)
    return {"seconds": round(time.process_time() - began, 1)}


def masked_words(exam: Exam, made: Any, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Amplification T->A before fine-tuning, and what the checks of the training found."""
    said = exam.persons(made.model)
    found, test = said.amplification(n_boot=1000, seed=seed), said.test()
    row = {
        "t_to_a": found.value, "t_to_a_low": found.low, "t_to_a_high": found.high, "erasure": found.erasure,
        "neutral_share": test.neutral.value, "person_strict": test.accuracy.value,
        "person_lenient": test.accuracy_lenient.value, "thing": float(said.thing_hits.mean()),
        **{check.name: check.value for check in made.checks},
        "learned": all(check.passed for check in made.checks),
    }  # fmt: skip
    return row, {"guessed": said.guessed.astype(np.int8), "things": said.things.astype(np.int8)}


def tasks(
    exam: Exam, model: Any, place: Path, arm: str, lengths: Lengths, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fine-tuning for questions and for retrieval, and the scores of both."""
    task = questions(exam.asking.scenes(lengths.questions, seed, split="questions"))
    answered = exam.answers(teach(model, task, place / f"{arm}-questions", lengths, seed).model)
    found = answered.amplification(n_boot=1000, seed=seed).result
    row: dict[str, Any] = {"a_to_t": found.value, "a_to_t_low": found.low, "a_to_t_high": found.high}
    row["vqa"] = float(answered.scores.mean())
    row |= grouped("vqa", answered.scores, answered.groups)
    row |= grouped("vqa_held", answered.scores[: answered.things], answered.groups[: answered.things])
    shown = pairs(exam.world.scenes(lengths.scenes // 2, seed, split="gallery"))
    hits = exam.hits(teach(model, shown, place / f"{arm}-retrieval", lengths, seed).model)
    for name, found_hits in hits.items():
        key = name.replace(" ", "_")
        row[key] = float(found_hits.mean())
        row |= grouped(key, found_hits, exam.gallery.groups)
    said = {key.replace(" ", "_"): value for key, value in hits.items()}
    return row, {"answers": answered.scores.astype(np.float16), **said}


def grouped(name: str, scores: Any, groups: list[str]) -> dict[str, float]:
    """Range and means over groups."""
    widest, means = spread(scores, groups)
    return {f"{name}_range": widest, **{f"{name}_{group}": value for group, value in means.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=None, help="seeds of every setting (default: 5, and 3)")
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    lengths = Lengths()
    for number in range(arguments.first, 1 + max(arguments.seeds or n for n in SEEDS.values())):
        for setting in arguments.settings:  # a folder per setting and seed, so that either can be added
            if number > (arguments.seeds or SEEDS[setting]):
                continue
            specs = [{"family": family, "setting": setting, "seed": number} for family in arguments.families]
            made = run_job(
                arguments.work / f"{setting}-{number}", specs, partial(run, arguments.work, lengths),
                config={"lengths": asdict(lengths), "world": asdict(SETTINGS[setting])}, name="fusion",
                workers=arguments.workers,
            )  # fmt: skip
            print(setting, number, made.facts, flush=True)


if __name__ == "__main__":
    main()
