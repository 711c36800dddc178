"""The published architecture: parameter counts, names, shapes; a random state of the manifest loads, others do not."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fairvl.errors import InputError, SourceError
from fairvl.repair.editing.diffae.checkpoint import from_published, read_published
from fairvl.repair.editing.diffae.editor import DiffAE
from fairvl.repair.editing.diffae.latent import LatentNetwork
from fairvl.repair.editing.diffae.manifest import published_manifest
from fairvl.repair.editing.diffae.published import PublishedAutoencoder, published_name
from fairvl.repair.editing.diffae.shape import CONFIGURATIONS

SMALL = replace(
    CONFIGURATIONS["published-64"], size=32, width=32, multipliers=(1, 2), encoder_multipliers=(1, 2, 2), blocks=1,
    code=16, latent_width=24, latent_layers=3, dropout=0.0,
)  # fmt: skip
COUNTS = {"published-64": (90.84, 19.3), "published-128": (128.55, None), "published-256": (168.49, 30.2)}


def twice(name):
    return name.startswith("latent_net") and "cond_layers" in name


def random_state(shape, seed=0):
    rng = np.random.default_rng(seed)
    state = {
        f"ema_model.{name}": (rng.standard_normal(size) * 0.05).astype(np.float32)
        for name, size in published_manifest(shape).items()
    }
    for name in list(state):
        if twice(name.removeprefix("ema_model.")):
            state[name] = state[name.replace("cond_layers.1", "linear_emb")]
    state["conds_mean"] = rng.standard_normal((1, shape.code)).astype(np.float32)
    state["conds_std"] = rng.uniform(0.5, 2, (1, shape.code)).astype(np.float32)
    return state | {"model.time_embed.time_embed.0.bias": np.zeros(3, np.float32), "x_T": np.zeros(2, np.float32)}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_those_measured_on_the_published_code(name):
    manifest = published_manifest(CONFIGURATIONS[name])
    sizes = {key: math.prod(shape) for key, shape in manifest.items() if not twice(key)}
    latent = sum(size for key, size in sizes.items() if key.startswith("latent_net"))
    encoder = sum(size for key, size in sizes.items() if key.startswith("encoder"))
    whole, inside = COUNTS[name]
    assert (sum(sizes.values()) - latent) / 1e6 == pytest.approx(whole, abs=0.006)
    assert latent / 1e6 == pytest.approx(54.1, abs=0.06)
    if inside:
        assert encoder / 1e6 == pytest.approx(inside, abs=0.06)


@pytest.mark.parametrize("shape", [*COUNTS, SMALL])
def test_our_modules_have_exactly_the_tensors_of_the_manifest(shape):
    shape = CONFIGURATIONS.get(shape, shape) if isinstance(shape, str) else shape
    with torch.device("meta"):
        module, latent = PublishedAutoencoder(shape), LatentNetwork(shape)
    ours = {published_name(name): tuple(value.shape) for name, value in module.state_dict().items()}
    ours |= {published_name(f"latent.{name}"): tuple(value.shape) for name, value in latent.state_dict().items()}
    assert ours == {name: size for name, size in published_manifest(shape).items() if not twice(name)}


def test_random_state_of_the_manifest_loads_and_every_tensor_matters():
    state = random_state(SMALL)
    parts = from_published(state, SMALL)
    held = parts.autoencoder.state_dict()
    for name, value in held.items():
        np.testing.assert_array_equal(value, state[f"ema_model.{published_name(name)}"])
    np.testing.assert_allclose(parts.stats.mean, state["conds_mean"][0])
    x, t = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 700])
    for value in parts.autoencoder.parameters():
        value.requires_grad_(True)
    parts.autoencoder(x, t, parts.autoencoder.encode(x)).square().sum().backward()
    silent = [name for name, value in parts.autoencoder.named_parameters() if not value.grad.abs().max() > 0]
    assert all(name.endswith(("qkv.bias",)) for name in silent), silent  # keys' bias cancels inside the softmax


def test_loaded_model_encodes_samples_and_decodes(tmp_path):
    save_file(random_state(SMALL), tmp_path / "last.safetensors")
    editor = DiffAE(read_published(tmp_path / "last.safetensors", SMALL), steps=3)
    state = editor.encode(np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8))
    assert editor.decode(state).shape == (3, 32, 32, 3)
    assert editor.sample(4, steps=5).shape == (4, 16)
    assert editor.card.settings["objective"] == "eps"
    without = {name: value for name, value in random_state(SMALL).items() if "latent_net" not in name}
    plain = DiffAE(from_published(without, SMALL), steps=2)
    assert "samples" not in plain.capabilities
    with pytest.raises(InputError, match="cannot: samples"):
        plain.sample(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("ema_model.out.2.bias"), "lacks 1 of the tensors"),
        (
            lambda s: s.update({"ema_model.out.2.bias": np.zeros(6, np.float32)}),
            "has another shape of 1 .* found \\(6,",
        ),
        (lambda s: s.update({"ema_model.extra": np.zeros(6, np.float32)}), "has unknown 1"),
    ],
)
def test_other_states_are_refused_by_name(change, message):
    state = random_state(SMALL)
    change(state)
    with pytest.raises(SourceError, match=message):
        from_published(state, SMALL)


def test_pickled_checkpoints_need_leave_and_hold_nothing_but_tensors(tmp_path):
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {k: torch.tensor(v) for k, v in random_state(SMALL).items()}, "epoch": 1}, path)
    with pytest.raises(SourceError, match="pickled checkpoint can hold code"):
        read_published(path, SMALL)
    assert read_published(path, SMALL, allow_pickle=True).shape == SMALL
    torch.save({"state_dict": {}, "evil": print}, path)
    with pytest.raises(SourceError, match="not a checkpoint of plain tensors"):
        read_published(path, SMALL, allow_pickle=True)
    with pytest.raises(SourceError, match="no such file"):
        read_published(tmp_path / "none.ckpt", SMALL)
