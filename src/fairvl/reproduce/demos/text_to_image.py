"""Text to image: a biased generator, its pictures before and after two repairs, and the audit of all of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...atomic import write_atomic
from ...errors import MissingExtraError
from ...findings import Findings
from ...measure.audit.images import audit_images
from ...measure.generation import Confusion, confusion_matrix
from ...repair.debias.header import AS_GIVEN, OperatorHeader
from ...repair.debias.operator import LinearOperator
from ...repair.debias.pipelines import PipelineOperator, fit_on_pipeline, sites_of, text_states
from ...repair.debias.pipelines.attach import attach, detach
from ...sources.datasets import decode_image
from ...sources.generators import generate, load_generator
from ...sources.world.text_to_image import (
    FITTING,
    LITERAL,
    NAMED,
    explicit_prompts,
    gender_pairs,
    neutral_prompts,
    with_article,
)
from ...sources.world.text_to_image_drawing import OCCUPATIONS, draw_people
from ...sources.world.text_to_image_judge import Judge

SEEDS = 30
"""Pictures of every prompt; the same noise in every arm."""
EXPLICIT = ("doctor", "nurse")
NOUNS = ("actress", "mother", "waitress", "queen", "actor", "father", "waiter", "king")
PAPER, SIDES = "paper", "sides"
FORMS = ("a photo of {}", "a picture of {}", "a portrait of {}", "{}")
REACH = 1.0  # how far from the middle either side lies; the ends of the explicit prompts are at 0.5


def text_to_image_demo(out: Path | None, *, seed: int) -> Findings:
    """Pictures of neutral and of explicit prompts: before, with the paper's operator, and with a side per picture.

    Both repairs bring a bypass for prompts that name a gender. Pictures and operators stay in `out` when given.
    """
    if out is not None:
        return _run(out, seed)
    with TemporaryDirectory() as folder:
        return _run(Path(folder), seed)


def _run(out: Path, seed: int) -> Findings:
    generator = load_generator("world:text-to-image")
    pipeline = getattr(generator, "pipeline", None)
    if pipeline is None:
        raise MissingExtraError("the demo needs the diffusers adapter. Install fairvl[diffusion].")
    prompts, seeds = _prompts(), [seed * 1000 + i for i in range(SEEDS)]
    paper, sides = _operators(pipeline)
    for name, operator in ((PAPER, paper), *zip(("male", "female"), sides, strict=True)):
        operator.save(out / f"gender-{name}.safetensors")
    arms = {name: out / "images" / name for name in ("before", PAPER, SIDES)}
    generate(generator, prompts, arms["before"], seeds=seeds)
    attach(paper, pipeline)
    generate(generator, prompts, arms[PAPER], seeds=seeds)
    detach(pipeline)
    for side, operator in enumerate(sides):
        attach(operator, pipeline, variant="from-end-of-text")
        generate(generator, prompts, arms[SIDES] / ("male", "female")[side], seeds=seeds[side::2])
        detach(pipeline)
    _merge(arms[SIDES])
    judge = Judge()
    labels = {name: _labels(judge, place) for name, place in arms.items()}
    return audit_images(
        arms["before"], labeller=labels, after={name: arms[name] for name in (PAPER, SIDES)}, audited=generator.card,
        groups={"gender": ("male", "female")}, truth={"gender": _confusion(judge, seed)}, smoothing=0.5, seed=seed,
    )  # fmt: skip


def _prompts() -> list[dict[str, str]]:
    """The tested occupations, and prompts that name a gender with and without a literal word."""
    explicit = [p for p in explicit_prompts(EXPLICIT) if p.literal or p.concept in NOUNS]
    rows = [{"prompt": p.text, "concept": p.concept, "kind": "neutral", "expected": ""} for p in neutral_prompts()]
    named = [(p, p.concept if p.literal else "") for p in explicit]  # "an actress" names no occupation of the judge's
    return rows + [{"prompt": p.text, "concept": c, "kind": p.kind, "expected": p.expected} for p, c in named]


def _operators(pipeline: Any) -> tuple[PipelineOperator, list[PipelineOperator]]:
    """The paper's operator, and one that sends every prompt to each side; fitted on occupations that are not tested.

    Only the band of the bypass knows the neutral prompts of all occupations: it says which prompts name no gender.
    """
    neutral = [form.format(with_article(job)) for job in OCCUPATIONS for form in FORMS]
    named = [(f"a photo of a {side} {job}", side) for side in LITERAL for job in FITTING]
    named += [(f"a photo of {with_article(noun)}", side) for side in LITERAL for noun in NAMED[side][: len(NOUNS) // 2]]
    band = [text for text, _ in named], [side for _, side in named]
    pairs = gender_pairs(FITTING)
    paper = fit_on_pipeline("calibration", pipeline, pairs, attribute="gender")
    sides = [
        PipelineOperator(
            {site: _to_side(operator, pipeline, pairs, reach) for site, operator in paper.operators.items()}
        )
        for reach in (-REACH, REACH)
    ]
    made = [operator.with_bypass(pipeline, neutral, *band) for operator in (paper, *sides)]
    return made[0], made[1:]


def _to_side(fitted: Any, pipeline: Any, pairs: Sequence[tuple[str, str]], reach: float) -> LinearOperator:
    """Every state onto the plane across the mean pair difference that lies `reach` of its length from the middle."""
    site = sites_of(pipeline)[0]
    ends = []
    for side in zip(*pairs, strict=True):
        states, ids = text_states(pipeline, site, list(side))
        stop = (np.asarray(ids) == pipeline.tokenizer.eos_token_id).argmax(1)
        ends.append(states[np.arange(len(stop)), stop].mean(0))
    axis = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    header = OperatorHeader(
        method="side", dim=len(axis), rank=1, attribute="gender", normalisation=AS_GIVEN, encoder=fitted.card.encoder,
        parameters={"reach": reach},
    )  # fmt: skip
    centre = (ends[0] + ends[1]) / 2 + reach * (ends[1] - ends[0])
    return LinearOperator(axis[:, None], axis[None], centre, header=header)


def _merge(folder: Path) -> None:
    """One table of the pictures of both sides; image by image the seeds are those of the other arms."""
    rows: list[dict[str, str]] = []
    for side in ("male", "female"):
        with (folder / side / "prompts.csv").open(encoding="utf-8", newline="") as file:
            rows += [{**row, "file": f"{side}/{row['file']}"} for row in csv.DictReader(file)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(folder / "prompts.csv", text.getvalue())


def _labels(judge: Judge, folder: Path) -> dict[str, list[Any]]:
    """What the judge says of every picture that the folder's table names."""
    with (folder / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seen = judge(np.stack([np.asarray(decode_image((folder / row["file"]).read_bytes())) for row in rows]))
    sure = np.maximum(seen.female_probability, 1 - seen.female_probability)
    return {
        "id": [row["id"] for row in rows],
        "gender": ["female" if woman else "male" for woman in seen.female],
        "gender_confidence": sure.tolist(),
        "concept": [OCCUPATIONS[job] for job in seen.occupation],
        "concept_confidence": seen.occupation_confidence.tolist(),
    }


def _confusion(judge: Judge, seed: int, n: int = 1600) -> Confusion:
    """What the judge makes of drawn pictures whose truth is known."""
    cells = np.random.default_rng(seed).permutation(np.arange(n) % (2 * len(OCCUPATIONS)))
    seen = judge(draw_people(cells // 2, cells % 2, seed, split=2))
    names = np.array(["male", "female"])
    return confusion_matrix(names[cells % 2], names[seen.female.astype(int)], labels=("male", "female"), name="gender")
