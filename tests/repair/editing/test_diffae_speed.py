"""What makes the autoencoder faster changes pixels by rounding at most, or says how it changes them."""

import numpy as np
import pytest
import torch

from fairvl.errors import InputError
from fairvl.repair.editing.diffae.editor import DiffAE, load_world_editor
from fairvl.sources.world import WorldSpec
from fairvl.sources.world.faces import faces

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)


def alive(**options):
    """A random model whose residual branches are not the zeros they begin with."""
    editor = DiffAE.random("faces-32", steps=4, **options)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for value in editor._module.denoiser.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return editor


def calls(editor):
    """Evaluations of the denoiser from here on, as batch sizes."""
    seen = []
    editor._module.denoiser.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    return seen


def test_channels_last_gives_the_same_pixels_up_to_rounding():
    fast, plain = alive(), alive()
    plain._layout = torch.contiguous_format
    plain._module.to(memory_format=torch.contiguous_format)
    assert fast._module.denoiser.enter.weight.is_contiguous(memory_format=torch.channels_last)
    assert not plain._module.denoiser.enter.weight.is_contiguous(memory_format=torch.channels_last)
    states = [editor.encode(IMAGES) for editor in (fast, plain)]
    np.testing.assert_allclose(states[0].noise, states[1].noise, rtol=1e-3, atol=1e-4)
    rendered = [editor.render(states[0].codes, states[0].noise, steps=4) for editor in (fast, plain)]
    torch.testing.assert_close(*rendered, rtol=1e-3, atol=1e-4)
    moved = fast.render(states[0].codes + 0.1, states[0].noise, steps=4)
    assert float((moved - rendered[0]).abs().max()) > 1e-2  # the comparison would see a change


def test_bf16_changes_little_and_says_so():
    full, half = alive(), alive(precision="bf16")
    state = full.encode(IMAGES)
    rendered = [editor.render(state.codes, state.noise, steps=4) for editor in (full, half)]
    gap = float((rendered[0] - rendered[1]).abs().max())
    assert 0 < gap < 0.1 * float(rendered[0].std())
    assert rendered[1].dtype == torch.float32
    assert half.card.settings["precision"] == "bf16"
    assert half.card.fingerprint != full.card.fingerprint
    with pytest.raises(InputError, match="precision='fp8'; expected numbers from 1 and 0, and one of no, bf16"):
        alive(precision="fp8")


def test_extrapolation_brings_world_faces_back_as_well_as_a_refinement_at_half_the_cost():
    images = faces(WorldSpec(), 24, seed=3, split="test").images
    errors, costs = {}, {}
    for name, options in (
        ("plain", {"refinements": 0}),
        ("refined", {"refinements": 1}),
        ("extrapolated", {"refinements": 0, "extrapolate": True}),
    ):
        editor = load_world_editor(steps=10, **options)
        seen = calls(editor)
        state = editor.encode(images)
        costs[name] = len(seen)
        errors[name] = float(np.square((editor.decode(state).astype(float) - images) / 127.5).mean())
    assert costs == {"plain": 10, "refined": 20, "extrapolated": 10}
    assert errors["extrapolated"] < errors["refined"] < 0.6 * errors["plain"]


@pytest.mark.parametrize("inversion", [True, False])
def test_other_seeds_need_no_second_inversion(inversion):
    editor = alive(inversion=inversion)
    first = editor.encode(IMAGES, seeds=[1, 2, 3, 4, 5])
    seen = calls(editor)
    again, whole = editor.again(IMAGES, first, [6, 7, 8, 9, 10]), None
    assert not seen
    whole = editor.encode(IMAGES, seeds=[6, 7, 8, 9, 10])
    assert len(seen) == (8 if inversion else 0)
    assert again.seeds == whole.seeds
    np.testing.assert_array_equal(again.codes, whole.codes)
    np.testing.assert_array_equal(again.noise, whole.noise)
    assert (again.noise == first.noise).all() == inversion
    with pytest.raises(InputError, match="one whole number from 0 for each image"):
        editor.again(IMAGES, first, [1])
