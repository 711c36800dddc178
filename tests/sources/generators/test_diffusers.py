"""The diffusers adapter: one stream per image, batches change nothing, and folders are checked before anything runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.errors import GeneratorError
from fairvl.sources.generators import DiffusersGenerator, GeneratorCard, load_generator

PROMPTS = ["a photo of a doctor", "a photo of a nurse", "king", "a photo of a doctor", "a woman"]
SEEDS = [5, 6, 7, 8, 5]


@pytest.fixture(scope="module")
def generator(saved):
    return load_generator(f"diffusers:{saved}", steps=2, guidance=3.0)


def test_batches_change_nothing(generator):
    images = generator.generate(PROMPTS, SEEDS)
    assert images.shape == (5, 16, 16, 3)
    assert images.dtype == np.uint8
    alone = DiffusersGenerator(generator.pipeline, steps=2, guidance=3.0, batch_size=1)
    np.testing.assert_allclose(alone.generate(PROMPTS, SEEDS).astype(int), images, atol=1)
    back = generator.generate(PROMPTS[::-1], SEEDS[::-1])[::-1]
    np.testing.assert_allclose(back.astype(int), images, atol=1)
    np.testing.assert_array_equal(generator.generate(PROMPTS, SEEDS), images)
    assert np.abs(images[0].astype(int) - images[3]).max() > 20, "another seed gives another image"
    assert np.abs(images[0].astype(int) - images[4]).max() > 1, "another prompt gives another image"


def test_card_says_what_made_the_images(generator, saved):
    card = generator.card
    assert card.weights.startswith("sha256:")
    assert (card.steps, card.guidance, card.size, card.dtype, card.repair) == (2, 3.0, (16, 16), "float32", "")
    assert GeneratorCard.from_dict(json.loads(json.dumps(card.as_dict()))) == card
    other = load_generator(f"diffusers:{saved}?steps=3&guidance=1", batch_size=2).card
    assert other.fingerprint != card.fingerprint
    assert (other.steps, other.guidance, other.weights) == (3, 1.0, card.weights)


def test_a_sampler_with_an_infinite_setting_has_a_card(generator):
    import diffusers

    pipeline = generator.pipeline
    before = pipeline.scheduler
    pipeline.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(before.config)
    try:
        assert pipeline.scheduler.config.lambda_min_clipped == -float("inf")
        assert generator.card.scheduler.startswith("DPMSolverMultistepScheduler ")
    finally:
        pipeline.scheduler = before


def test_a_repair_shows_in_the_card_and_not_after(generator):
    from fairvl.repair.debias import LinearOperator
    from fairvl.repair.debias.pipelines import detach

    before, plain = generator.generate(PROMPTS[:1], [1]), generator.card
    LinearOperator(np.eye(32)[:, :4], np.eye(32)[:4]).attach(generator.pipeline)
    assert generator.card.repair.startswith("attached:")
    assert not np.array_equal(generator.generate(PROMPTS[:1], [1]), before)
    detach(generator.pipeline)
    assert generator.card == plain
    np.testing.assert_array_equal(generator.generate(PROMPTS[:1], [1]), before)


def test_half_precision(saved):
    generator = load_generator(f"diffusers:{saved}", steps=1, dtype="bfloat16")
    assert generator.card.dtype == "bfloat16"
    assert next(generator.pipeline.unet.parameters()).dtype == torch.bfloat16
    assert generator.generate(["a king"], [0]).std() > 1


def test_window(generator):
    assert generator.over_length(["a king", "a " * 14, "a " * 15, ""]) == [2]


@pytest.mark.parametrize(
    ("prompts", "seeds", "match"),
    [
        ("a king", [1], "one string"),
        (["a king"], [1, 2], "2 seeds for 1 prompts"),
        ([""], [1], "not empty"),
        ([None], [1], "not empty"),
        (["a king"], ["1"], "whole numbers"),
        (["a king"], 1, "list of whole numbers"),
    ],
)
def test_bad_requests(generator, prompts, seeds, match):
    with pytest.raises(GeneratorError, match=match):
        generator.generate(prompts, seeds)


def _without(name):
    def damage(folder):
        (folder / name).unlink()

    return damage


def _index(**changes):
    def damage(folder):
        path = folder / "model_index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def _pickled(folder):
    (folder / "unet/diffusion_pytorch_model.safetensors").rename(folder / "unet/diffusion_pytorch_model.bin")


def _truncated(folder):
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _code(folder):
    (folder / "unet" / "diffusers.py").write_text("raise SystemExit")


def _shard(folder):
    (folder / "unet/model.safetensors.index.json").write_text('{"weight_map": {"a": "part-2.safetensors"}}')


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (_without("model_index.json"), r"model_index\.json: not there"),
        (_without("unet/diffusion_pytorch_model.safetensors"), r"no \.safetensors weights"),
        (_without("unet/config.json"), r"unet: holds no config\.json"),
        (_without("tokenizer/tokenizer.json"), r"tokenizer: holds no tokenizer\.json"),
        (_without("scheduler/scheduler_config.json"), "scheduler_config"),
        (_pickled, "can hold code"),
        (_truncated, "not loaded as StableDiffusionPipeline"),
        (_shard, r"part-2\.safetensors, not there"),
        (_code, "never code from the folder"),
        (_index(unet=["my_unet", "Mine"]), "comes from 'my_unet'"),
        (_index(_class_name=["pipeline.py", "Mine"]), "code of its own is not run"),
        (_index(extra=["diffusers", "AutoencoderKL"]), "extra: missing"),
    ],
)
def test_a_damaged_folder_is_refused_and_the_network_left_alone(broken, damage, match, monkeypatch):
    import socket

    def refuse(*_arguments, **_options):
        raise AssertionError("went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    damage(broken)
    with pytest.raises(GeneratorError, match=match):
        load_generator(f"diffusers:{broken}")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("diffusers:", "not understood"),
        ("diffuser:x", "Did you mean 'diffusers'"),
        ("world:portraits", "world:portraits is not there"),
        ("diffusers:./nowhere", "not there"),
        ("diffusers:x?stpes=3", "Did you mean 'steps'"),
        ("diffusers:x?steps=many", "expected a whole number"),
        ("diffusers:x?guidance=much", "expected a number"),
        ("diffusers:x?steps", "key=value"),
        ("diffusers:x?dtype=int8", "dtype='int8'"),
        (7, "generator name 7"),
    ],
)
def test_names_that_stand_for_nothing(name, match):
    with pytest.raises(GeneratorError, match=match):
        load_generator(name)


@pytest.mark.parametrize("option", ["steps=0", "guidance=-1", "batch_size=0", "size=0x9", "size=big"])
def test_settings_out_of_range(saved, option):
    with pytest.raises(GeneratorError):
        load_generator(f"diffusers:{saved}?{option}")


def test_command(saved, tmp_path):
    (tmp_path / "p.csv").write_text("prompt,concept\na photo of a doctor,doctor\na king,king\n")
    command = ["generate", f"diffusers:{saved}", str(tmp_path / "p.csv"), "--steps", "1", "--guidance", "1"]
    result = CliRunner().invoke(main, [*command, "--seeds", "2", "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "4 images" in result.output
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 4
    bad = CliRunner().invoke(main, [*command, "--operator", str(tmp_path / "none"), "-o", str(tmp_path / "b")])
    assert bad.exit_code == 2
    assert "no such file" in bad.output
