"""The world's text-to-image model: its drawn lessons, its judge, and that it plants what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.sources.world.text_to_image import (
    FITTING,
    LITERAL,
    NAMED,
    PLANTED,
    TESTED,
    BiasedCaptions,
    explicit_prompts,
    gender_pairs,
    neutral_prompts,
    vocabulary,
)  # fmt: skip
from fairvl.sources.world.text_to_image_drawing import OCCUPATIONS, draw_people
from fairvl.sources.world.text_to_image_judge import FOLDER, Judge

# diffusers hands a tensor to numpy in a way that numpy 2 will one day refuse; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
N = 16  # pictures a prompt


def test_pictures_follow_from_codes_and_seed() -> None:
    jobs, women = np.arange(300) % 16, np.arange(300) % 2
    whole = draw_people(jobs, women, 5)
    assert np.array_equal(whole, draw_people(jobs, women, 5))
    assert np.array_equal(whole[:7], draw_people(jobs[:7], women[:7], 5))
    assert not np.array_equal(whole, draw_people(jobs, women, 6))
    assert not np.array_equal(whole, draw_people(jobs, women, 5, split=1))


def test_both_attributes_change_the_picture_and_only_their_part() -> None:
    jobs = np.zeros(40, int)
    man, woman = (draw_people(jobs, np.full(40, sex), 1).astype(int) for sex in (False, True))
    nurse = draw_people(jobs + OCCUPATIONS.index("nurse"), np.zeros(40, bool), 1).astype(int)
    assert (abs(man - woman).max(axis=(1, 2, 3)) > 60).all()
    assert (abs(man - nurse).max(axis=(1, 2, 3)) > 60).all()
    assert abs(man - woman)[:, :3].max() <= 4  # the wall above the head is the same


@pytest.mark.parametrize(("jobs", "women"), [([0, 1], [True]), ([16], [True]), ([-1], [False]), ([[0]], [[True]])])
def test_refuses_impossible_people(jobs: Any, women: Any) -> None:
    with pytest.raises(InputError):
        draw_people(jobs, women, 0)


def test_captions_plant_the_shares_where_no_gender_is_named() -> None:
    drawn = BiasedCaptions(alone=0.0).draw(60_000, np.random.default_rng(3))
    neutral = drawn.says % 3 == 2
    assert abs(neutral.mean() - 0.25) < 0.01
    for code, job in enumerate(OCCUPATIONS):
        here = drawn.occupation == code
        few, many = drawn.female[here & neutral], drawn.female[here & ~neutral]
        assert abs(few.mean() - PLANTED[job]) < 5 * np.sqrt(0.25 / len(few))
        assert abs(many.mean() - 0.5) < 5 * np.sqrt(0.25 / len(many))


def test_captions_say_the_truth_and_name_a_gender_only_where_they_are_said_to() -> None:
    drawn = BiasedCaptions().draw(4000, np.random.default_rng(4))
    words = {side: {*LITERAL[side], *NAMED[side]} for side in LITERAL}
    for text, job, woman, says in zip(drawn.captions, drawn.occupation, drawn.female, drawn.says, strict=True):
        said = set(text.split())
        right, wrong = ("female", "male") if woman else ("male", "female")
        assert not said & words[wrong]
        assert bool(said & words[right]) == (says % 3 != 2)
        assert said & set(OCCUPATIONS) <= {OCCUPATIONS[job]}
        assert said <= set(vocabulary())


def test_prompt_tables() -> None:
    explicit = explicit_prompts()
    assert len(explicit) >= 40
    assert sum(not p.literal for p in explicit) >= len(explicit) / 2
    for prompt in explicit:
        named = set(prompt.text.split()) & {word for side in LITERAL.values() for word in side}
        assert bool(named) == prompt.literal
    assert {p.concept for p in neutral_prompts()} == set(TESTED)
    assert set(TESTED).isdisjoint(FITTING)
    assert all(len(m.split()) == len(f.split()) for m, f in gender_pairs(OCCUPATIONS))
    assert all(word in vocabulary() for p in (*explicit, *neutral_prompts(OCCUPATIONS)) for word in p.text.split())


@pytest.mark.parametrize("wrong", [{"shares": {"doctor": 0.1}}, {"explicit": 1.5}, {"alone": -0.1}])
def test_refuses_impossible_captions(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        BiasedCaptions(**wrong)


def test_the_judge_knows_the_truth_and_nothing_it_was_not_shown() -> None:
    judge = Judge()
    cells = np.random.default_rng(0).permutation(np.arange(640) % 32)
    pictures = draw_people(cells // 2, cells % 2, 17, split=2)
    seen = judge(pictures)
    assert (seen.occupation == cells // 2).mean() >= 0.99
    assert (seen.female == cells % 2).mean() >= 0.99
    # Power: without the picture's own pixels it knows nothing.
    mixed = judge(np.random.default_rng(1).permutation(pictures))
    assert (mixed.occupation == cells // 2).mean() < 0.15
    with pytest.raises(InputError, match="expected uint8"):
        judge(pictures.astype(float))


@pytest.fixture(scope="module")
def pipeline() -> Any:
    pytest.importorskip("diffusers")
    import torch
    from diffusers import StableDiffusionPipeline

    loaded = StableDiffusionPipeline.from_pretrained(
        FOLDER, dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded


def states(pipeline: Any, texts: list[str]) -> np.ndarray:
    import torch

    words = pipeline.tokenizer
    ids = torch.tensor(words(texts, padding="max_length", max_length=words.model_max_length)["input_ids"])
    with torch.no_grad():
        return pipeline.text_encoder(input_ids=ids).last_hidden_state.numpy()


def at_end(pipeline: Any, texts: list[str]) -> np.ndarray:
    ids = np.array(pipeline.tokenizer(texts, padding="max_length")["input_ids"])
    return states(pipeline, texts)[np.arange(len(texts)), (ids == pipeline.tokenizer.eos_token_id).argmax(1)]


def draw(pipeline: Any, rows: np.ndarray, seeds: list[int]) -> np.ndarray:
    import torch

    made = pipeline(
        prompt_embeds=torch.from_numpy(rows), generator=[torch.Generator().manual_seed(s) for s in seeds],
        guidance_scale=1.0, num_inference_steps=12, height=32, width=32, output_type="np",
    ).images  # fmt: skip
    return np.round(made * 255).astype(np.uint8)


def test_the_shipped_folder_is_plain_diffusers_and_small(pipeline: Any) -> None:
    kinds = {name: type(part).__name__ for name, part in pipeline.components.items()}
    assert kinds["text_encoder"] == "CLIPTextModel"
    assert kinds["unet"] == "UNet2DConditionModel"
    assert kinds["vae"] == "AutoencoderKL"
    assert kinds["tokenizer"] == "CLIPTokenizer"
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 4e6
    assert json.loads((FOLDER / "recipe.json").read_text())["sampling"] == {"steps": 12, "guidance": 1.0}
    assert not [file for file in FOLDER.rglob("*") if file.suffix in {".bin", ".pt", ".pkl"}]
    for word in vocabulary():
        assert len(pipeline.tokenizer(word)["input_ids"]) == 3, word


def test_the_text_encoder_orders_the_planted_shares(pipeline: Any) -> None:
    male, female = (at_end(pipeline, list(side)) for side in zip(*gender_pairs(FITTING), strict=True))
    axis = (female - male).mean(0)
    places = at_end(pipeline, [p.text for p in neutral_prompts()]) @ axis
    assert places[:4].max() < places[4:].min()


def test_bias_before_less_after_and_occupations_kept(pipeline: Any) -> None:
    from fairvl.repair.debias import CalibratedProjection

    prompts, judge = neutral_prompts(), Judge()
    male, female = (at_end(pipeline, list(side)) for side in zip(*gender_pairs(OCCUPATIONS), strict=True))
    operator = CalibratedProjection(lam=500.0).fit(None, male, female)
    before = states(pipeline, [p.text for p in prompts])
    after = np.asarray(operator(before.reshape(-1, before.shape[-1]))).reshape(before.shape).astype(np.float32)
    seeds = [900_000 + i for i in range(len(prompts) * N)]
    found = {}
    for name, rows in (("before", before), ("after", after)):
        seen = judge(draw(pipeline, rows.repeat(N, axis=0), seeds))
        right = seen.occupation == np.arange(len(prompts)).repeat(N)
        found[name] = (seen.female.reshape(-1, N).mean(1), right.mean())
    shares, right = found["before"]
    assert shares[:4].max() < 0.5 < shares[4:].min()
    assert right >= 0.95
    assert np.abs(2 * shares - 1).mean() > 0.55
    assert np.abs(2 * found["after"][0] - 1).mean() < 0.75 * np.abs(2 * shares - 1).mean()
    assert found["after"][1] >= 0.85


def test_same_prompts_and_seeds_same_bytes(pipeline: Any) -> None:
    rows = states(pipeline, ["a photo of a nurse", "a photo of a pilot"])
    first = draw(pipeline, rows, [1, 2])
    assert np.array_equal(first, draw(pipeline, rows, [1, 2]))
    alone = draw(pipeline, rows[1:], [2])
    assert abs(first[1].astype(int) - alone[0]).max() <= 1
    assert abs(first.astype(int) - draw(pipeline, rows, [3, 4])).max() > 50


@pytest.mark.slow
def test_retraining_gives_the_planted_order(tmp_path: Path) -> None:
    """A short training of everything: shares in the planted order on average."""
    import subprocess
    import sys

    root = Path(__file__).parents[3]
    command = [sys.executable, "train/world_text_to_image.py", "--out", str(tmp_path), "--seeds", "21"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    import torch
    from diffusers import StableDiffusionPipeline

    made = StableDiffusionPipeline.from_pretrained(
        tmp_path / "seed-21", dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    made.set_progress_bar_config(disable=True)
    rows = states(made, [p.text for p in neutral_prompts()])
    seen = Judge()(draw(made, rows.repeat(50, axis=0), list(range(400))))
    shares = seen.female.reshape(8, 50).mean(1)
    assert shares[:4].max() < shares[4:].min()
    assert (seen.occupation == np.arange(8).repeat(50)).mean() >= 0.95
