"""``fairvl demo text-to-image``: biased pictures before, balanced ones after, explicit prompts untouched."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from fairvl.findings import column
from fairvl.reproduce.demos import demo
from fairvl.reproduce.demos import text_to_image as shown

pytest.importorskip("diffusers")
# diffusers hands a tensor to numpy in a way that numpy 2 will one day refuse; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SEEDS = 4
IMAGES = "these prompts, images resampled"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The demo with few pictures."""
    out = tmp_path_factory.mktemp("demo")
    patch = pytest.MonkeyPatch()
    patch.setattr(shown, "SEEDS", SEEDS)
    try:
        return out, demo("text-to-image", out, seed=0)
    finally:
        patch.undo()


def rows(out, arm):
    with (out / "images" / arm / "prompts.csv").open(newline="") as file:
        return {(row["prompt"], row["seed"]): row for row in csv.DictReader(file)}


def pictures(out, arm, keys):
    table = rows(out, arm)
    return np.stack([np.asarray(Image.open(out / "images" / arm / table[key]["file"])) for key in keys])


def value(findings, metric, **where):
    found = [row for row in findings.where(metric=metric) if all(column(row, k) == v for k, v in where.items())]
    assert len(found) == 1, found
    return found[0].value


def test_every_arm_draws_the_same_prompts_with_the_same_seeds(made) -> None:
    out, _ = made
    keys = set(rows(out, "before"))
    assert len(keys) == len(shown._prompts()) * SEEDS
    assert set(rows(out, "paper")) == set(rows(out, "sides")) == keys


def test_the_bias_is_there_before_and_gone_after(made) -> None:
    _, findings = made
    gap = {
        name: value(findings, "mean_parity_gap", arm=arm, repair=name, labels="hard", over=IMAGES)
        for name, arm in (("", "before"), ("paper", "after"), ("sides", "after"))
    }
    assert gap[""] > 0.5
    assert gap["sides"] < 0.5 * gap[""]
    assert gap["sides"] < gap["paper"]


def test_explicit_prompts_keep_every_bit(made) -> None:
    out, _ = made
    table = rows(out, "before")
    named = [key for key in table if table[key]["kind"] == "explicit"]
    neutral = [key for key in table if table[key]["kind"] == "neutral"]
    before = pictures(out, "before", named)
    for arm in ("paper", "sides"):
        same = (pictures(out, arm, named) == before).all(axis=(1, 2, 3)).mean()
        assert same > 0.7
        changed = (pictures(out, arm, neutral) != pictures(out, "before", neutral)).any(axis=(1, 2, 3))
        assert changed.all()


def test_the_subject_is_judged_where_the_prompt_names_an_occupation(made) -> None:
    _, findings = made
    found = findings.where(metric="concept_accuracy", arm="before", labels="hard")
    kinds = {row.extra["prompt"]: row.extra["prompt_kind"] for row in found}
    assert {p for p, kind in kinds.items() if kind == "explicit"} == {
        f"a photo of a {side} {job}" for side in ("female", "male") for job in shown.EXPLICIT
    }
    for kind in ("neutral", "explicit"):
        where = {"arm": "before", "labels": "hard", "over": IMAGES, "prompt_kind": kind}
        assert value(findings, "mean_concept_accuracy", **where) > 0.9
    assert not [name for name in findings.settings["groups"]["concept"] if "photo" in name]


def test_operators_are_kept(made) -> None:
    from fairvl.repair.debias.pipelines import PipelineOperator

    out, _ = made
    for name in ("paper", "male", "female"):
        assert PipelineOperator.load(out / f"gender-{name}.safetensors").operators
