"""Training: averages by hand, a step that learns, and a killed run that goes on to the same bytes."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from fairvl.errors import ConfigMismatchError, InputError, SourceError
from fairvl.repair.editing.diffae.average import Averaged
from fairvl.repair.editing.diffae.editor import DiffAE
from fairvl.repair.editing.diffae.files import read_model, write_model
from fairvl.repair.editing.diffae.shape import CONFIGURATIONS, Shape
from fairvl.repair.editing.diffae.training import Recipe, as_images, as_input, train_diffae
from fairvl.repair.editing.fields import direction
from fairvl.repair.editing.paths import Field, PathModel
from fairvl.repair.editing.seam import State

SHAPE = Shape(size=8, patch=2, width=8, blocks=1, encoder_multipliers=(1, 2), code=4, latent_width=16, latent_layers=3)
QUICK = Recipe(steps=6, batch=4, latent_steps=5, latent_batch=8, average=0.6, seed=3)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)


def test_running_average_is_the_one_worked_out_by_hand():
    module = torch.nn.Linear(1, 1, bias=False)
    weights, decay, expected = [2.0, 5.0, -1.0, 4.0], 0.3, 2.0
    with torch.no_grad():
        module.weight.fill_(weights[0])
        averaged = Averaged(module)
        for step, weight in enumerate(weights):
            averaged.module.weight.fill_(weight)
            averaged.follow(step, decay)
            if step:
                now = min(decay, (1 + step) / (10 + step))
                expected = now * expected + (1 - now) * weight
    assert averaged.average().weight.item() == pytest.approx(expected)
    assert expected != pytest.approx(weights[-1])  # it is no copy of the last weights
    assert not averaged.average().weight.requires_grad


def test_training_learns_and_writes_the_average(tmp_path):
    flat = np.repeat(np.random.default_rng(1).integers(0, 256, (16, 1, 1, 3), dtype=np.uint8), 8, axis=1).repeat(
        8, axis=2
    )
    run = train_diffae(flat, tmp_path, shape=SHAPE, recipe=Recipe(steps=60, batch=16, lr=5e-3, latent_steps=0))
    losses = [row["loss"] for row in run.losses]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    parts = read_model(tmp_path)
    assert (parts.shape, parts.latent) == (SHAPE, None)
    assert not (tmp_path / "latent").exists()


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_same_seed_same_bytes_and_both_networks(tmp_path, precision):
    recipe = Recipe(**{**QUICK.__dict__, "precision": precision})
    for name in ("a", "b"):
        train_diffae(IMAGES, tmp_path / name, shape=SHAPE, recipe=recipe)
    for file in ("model.safetensors", "latent/model.safetensors", "losses.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert "samples" in DiffAE.load(tmp_path / "a" / "latent").capabilities


KILLED = """
import sys, numpy as np
sys.path.insert(0, {folder!r})
from test_diffae_training import IMAGES, SHAPE, Recipe, train_diffae
train_diffae(IMAGES, sys.argv[1], shape=SHAPE, recipe=Recipe(steps=400, batch=4, latent_steps=60, latent_batch=8, seed=3), checkpoint_every=5)
"""  # noqa: E501


@pytest.mark.slow
def test_killed_runs_go_on_to_the_same_bytes(tmp_path):
    code = KILLED.format(folder=os.path.dirname(__file__))
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "whole")], check=True)
    log = tmp_path / "killed" / ".jobs" / "autoencoder" / "losses.jsonl"
    for rows in (7, 133, 391):  # between checkpoints, which are five steps apart
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "killed")])
        while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") >= rows):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL  # it was at work
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], check=True)
    for file in ("model.safetensors", "latent/model.safetensors", "losses.jsonl"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "killed" / file).read_bytes()


def test_an_interruption_between_steps_resumes_exactly(tmp_path, monkeypatch):
    """The same in one process: the loop is stopped by an error after a checkpoint and called again."""
    import fairvl.repair.editing.diffae.training as training

    train_diffae(IMAGES, tmp_path / "whole", shape=SHAPE, recipe=QUICK)
    plain, calls = training.as_input, []

    def failing(images, device):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("pulled the plug")
        return plain(images, device)

    monkeypatch.setattr(training, "as_input", failing)
    with pytest.raises(RuntimeError, match="plug"):
        train_diffae(IMAGES, tmp_path / "cut", shape=SHAPE, recipe=QUICK, checkpoint_every=2)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    run = train_diffae(IMAGES, tmp_path / "cut", shape=SHAPE, recipe=QUICK, checkpoint_every=2)
    assert run.first == 4
    for file in ("model.safetensors", "latent/model.safetensors", "losses.jsonl"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "cut" / file).read_bytes()


def test_another_configuration_in_the_same_folder_is_refused(tmp_path):
    train_diffae(IMAGES, tmp_path, shape=SHAPE, recipe=Recipe(steps=2, batch=2, latent_steps=0))
    with pytest.raises(ConfigMismatchError):
        train_diffae(IMAGES[:-1], tmp_path, shape=SHAPE, recipe=Recipe(steps=2, batch=2, latent_steps=0))


def test_unusable_training_images_and_settings_are_refused(tmp_path):
    for images in (IMAGES.astype(float), IMAGES[:1], IMAGES[:, :4]):
        with pytest.raises(InputError):
            train_diffae(images, tmp_path, shape=SHAPE, recipe=QUICK)
    for settings in ({"size": 30}, {"size": 32, "objective": "x0"}, {"size": 32, "beta": (0.5, 0.1)}, {"size": 4}):
        with pytest.raises(InputError):
            Shape(**settings)
    with pytest.raises(InputError, match="expected one of faces-32"):
        DiffAE.random("faces-31")
    with pytest.raises(InputError, match=r"unknown .'colour'"):
        Shape.from_dict({"size": 32, "colour": 1})
    assert set(CONFIGURATIONS) >= {"faces-32", "published-64", "published-128", "published-256"}


def test_editor_round_trip_batches_and_strength_zero():
    editor = DiffAE.random(SHAPE, seed=1, steps=4, refinements=4)
    state = editor.encode(IMAGES, seeds=range(12))
    together, alone = editor.decode(state), DiffAE.random(SHAPE, seed=1, steps=4, refinements=4, batch_size=1)
    assert np.abs(together.astype(int) - alone.decode(alone.encode(IMAGES))).max() <= 1
    axis = np.array([1.0, 0, 0, 0])
    model = PathModel("linear", {"age": Field(np.zeros((0, 4)), np.zeros(0), axis)}, editor.stats)
    np.testing.assert_array_equal(editor.decode(editor.edit(state, model.path("age"), 0.0)), together)
    moved = editor.edit(state, model.path("age"), np.arange(12))
    np.testing.assert_allclose(moved.codes[:, 0] - state.codes[:, 0], np.arange(12), atol=1e-5)
    np.testing.assert_array_equal(moved.noise, state.noise)
    assert moved.strengths.tolist() == list(range(12))
    assert direction("linear", state.codes, None, None, axis).shape == (12, 4)


def test_without_inversion_noise_follows_from_the_seed():
    editor = DiffAE.random(SHAPE, seed=1, steps=2, inversion=False)
    assert "invertible" not in editor.capabilities
    first, second = editor.encode(IMAGES[:2], seeds=[5, 6]), editor.encode(IMAGES[:2], seeds=[6, 5])
    np.testing.assert_array_equal(first.noise, second.noise[::-1])
    np.testing.assert_allclose(editor.sample(3, 1), editor.sample(5, 1)[:3], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(editor.noise(2, 1), editor.noise(4, 1)[:2])
    assert editor.decode(editor.state(editor.sample(3, 1), seeds=[1, 2, 3])).shape == (3, 8, 8, 3)


def test_codes_have_a_gradient_through_the_last_steps():
    editor = DiffAE.random(SHAPE, seed=1)
    with torch.no_grad():  # the last layers of new blocks are zero: give the code something to act on
        for value in editor._module.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(0)))
    codes = torch.tensor(editor.sample(2, 0), requires_grad=True)
    editor.render(codes, editor.noise(2, 0), steps=5, grad_last=2).square().sum().backward()
    assert float(codes.grad.abs().max()) > 0
    assert not editor.render(codes, editor.noise(2, 0), steps=5).requires_grad
    assert all(value.grad is None for value in editor._module.parameters())


def test_what_an_editor_cannot_use_is_refused():
    editor = DiffAE.random(SHAPE, seed=1)
    state = editor.encode(IMAGES[:2])
    with pytest.raises(InputError, match="edited along a path, found 'make it old'"):
        editor.edit(state, "make it old")
    with pytest.raises(InputError, match="holds no codes or no noise"):
        editor.decode(State(images=IMAGES[:2]))
    with pytest.raises(InputError, match="the path gave codes"):
        editor.edit(state, lambda codes, amounts: codes[:, :2], 1.0)
    with pytest.raises(InputError, match="seeds"):
        editor.encode(IMAGES[:2], seeds=[1, -1])
    with pytest.raises(InputError, match="10 x 8"):
        editor.encode([np.zeros((8, 10, 3), np.uint8)])


def test_files_that_do_not_hold_a_model_are_refused(tmp_path):
    editor = DiffAE.random(SHAPE, seed=1)
    write_model(tmp_path, editor.parts, half=True)
    half = read_model(tmp_path)
    for ours, stored in zip(editor._module.parameters(), half.autoencoder.parameters(), strict=True):
        torch.testing.assert_close(ours.half().float(), stored)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"width": 8', '"width": 16'))
    with pytest.raises(SourceError, match="do not fit the model of its configuration"):
        read_model(tmp_path)
    (tmp_path / "config.json").write_text(config.replace('"format": 1', '"format": 9'))
    with pytest.raises(SourceError, match="format 9"):
        read_model(tmp_path)
    (tmp_path / "config.json").write_text(config)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:500])
    with pytest.raises(SourceError, match="not a readable safetensors file"):
        read_model(tmp_path)
    with pytest.raises(SourceError, match="not a diffusion autoencoder"):
        read_model(tmp_path / "none")


def test_pixels_survive_the_way_in_and_out():
    np.testing.assert_array_equal(as_images(as_input(IMAGES, "cpu")), IMAGES)
