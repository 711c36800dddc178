"""An operator folded into a pipeline's weights draws what the attached one draws, and only named tensors change."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

from fairvl.cli import main
from fairvl.errors import OperatorError, SourceError
from fairvl.repair.debias import BakedUnchecked, CalibratedProjection, bake
from fairvl.repair.debias.operator import LinearOperator
from fairvl.repair.debias.pipelines import attach, detach, fit_on_pipeline, sites_of
from fairvl.repair.debias.pipelines.sites import width
from fairvl.sources.generators import load_generator

PAIRS = [(f"a photo of a male {job}", f"a photo of a female {job}") for job in ("doctor", "nurse", "pilot", "chef")]
FAMILIES = ("stable-diffusion", "xl", "flux", "sd3")


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory):
    made = {}
    for family in FAMILIES:
        made[family] = tmp_path_factory.mktemp("pipelines") / family
        tiny.tiny_pipeline(family).save_pretrained(made[family])
    return made


def loaded(folder):
    return load_generator(f"diffusers:{folder}").pipeline


def draw(pipeline, guidance=3.0, **options):
    flow = {"max_sequence_length": 16} if hasattr(pipeline, "transformer") else {}
    return pipeline(
        "a photo of a doctor", generator=torch.Generator().manual_seed(3), num_inference_steps=2, height=16, width=16,
        guidance_scale=guidance, output_type="np", **flow, **options,
    ).images  # fmt: skip


def shrink(dim, seed=0):
    rng = np.random.default_rng(seed)
    return CalibratedProjection(lam=50.0).fit(None, rng.normal(size=(3, dim)), rng.normal(size=(3, dim)))


@pytest.mark.parametrize("family", ["stable-diffusion", "xl", "flux"])
def test_baked_equals_attached(folders, tmp_path, family):
    pipeline = loaded(folders[family])
    fitted = fit_on_pipeline("calibration", pipeline, PAIRS)
    baked = loaded(bake(fitted, folders[family], tmp_path / "baked"))
    before = draw(pipeline)
    fitted.attach(pipeline, negative=True)
    both = draw(pipeline)
    detach(pipeline)
    made = draw(baked)
    assert np.abs(both - before).max() > 1e-3
    np.testing.assert_allclose(made, both, atol=2e-3 if family == "xl" else 2e-4)
    assert np.abs(made - both).max() < 0.05 * np.abs(made - before).max()


def test_unconditional_branch_at_guidance_one_and_above(folders, tmp_path):
    """Weights know no prompt: above guidance 1 baking is attaching to both branches; at 1 there is one branch only."""
    pipeline = loaded(folders["stable-diffusion"])
    operator = shrink(32)
    with pytest.warns(BakedUnchecked):
        baked = loaded(bake(operator, folders["stable-diffusion"], tmp_path / "baked"))
    attach(operator, pipeline)
    np.testing.assert_allclose(draw(baked, 1.0), draw(pipeline, 1.0), atol=1e-4)
    gap = np.abs(draw(baked, 5.0) - draw(pipeline, 5.0)).max()
    detach(pipeline)
    attach(operator, pipeline, negative=True)
    same = np.abs(draw(baked, 5.0) - draw(pipeline, 5.0)).max()
    assert same < 1e-3 < gap


def test_keys_and_values_take_the_operator_in(folders, tmp_path):
    operator = shrink(32)
    with pytest.warns(BakedUnchecked):
        bake(operator, folders["stable-diffusion"], tmp_path / "baked")
    name = "unet/diffusion_pytorch_model.safetensors"
    before, after = load_file(folders["stable-diffusion"] / name), load_file(tmp_path / "baked" / name)
    states = np.random.default_rng(0).normal(size=(77, 32))
    changed = set()
    for key, weight in before.items():
        if np.array_equal(after[key], weight):
            continue
        changed.add(key)
        np.testing.assert_allclose(states @ after[key].T, operator(states) @ weight.T, atol=1e-5)
    assert changed == {key for key in before if key.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))}
    for path in folders["stable-diffusion"].rglob("*"):
        if path.is_file() and path.parent.name != "unet":
            twin = tmp_path / "baked" / path.relative_to(folders["stable-diffusion"])
            assert twin.read_bytes() == path.read_bytes()


def test_a_centre_is_folded_exactly_where_there_is_a_bias(folders, tmp_path):
    pipeline = loaded(folders["flux"])
    fitted = fit_on_pipeline("calibration", pipeline, PAIRS, about="midpoint")
    before = draw(pipeline)
    fitted.attach(pipeline, variant="midpoint")
    attached = draw(pipeline)
    made = draw(loaded(bake(fitted, folders["flux"], tmp_path / "baked")))
    assert np.abs(attached - before).max() > 1e-3
    np.testing.assert_allclose(made, attached, atol=2e-4)
    sd = loaded(folders["stable-diffusion"])
    with pytest.raises(OperatorError, match="no bias"):
        bake(fit_on_pipeline("calibration", sd, PAIRS, about="midpoint"), folders["stable-diffusion"], tmp_path / "b")
    with pytest.raises(OperatorError, match="no bias"):
        bake(fit_on_pipeline("leace", sd, PAIRS), folders["stable-diffusion"], tmp_path / "b")
    unit = LinearOperator.from_matrix(np.eye(32) / 2, np.ones(32))
    with pytest.raises(OperatorError, match="lengths of"):
        bake(unit, folders["stable-diffusion"], tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_sd3_bakes_pooled_vectors_and_refuses_token_states(folders, tmp_path):
    pipeline = loaded(folders["sd3"])
    fitted = fit_on_pipeline("calibration", pipeline, PAIRS)
    with pytest.raises(OperatorError, match="one context embedder"):
        bake(fitted, folders["sd3"], tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    pooled = {name: one for name, one in fitted.operators.items() if name.endswith(".pooled")}
    baked = loaded(bake(pooled, folders["sd3"], tmp_path / "baked"))
    before = draw(pipeline)
    with pytest.warns(UserWarning, match="text_encoder_3"):
        attach(pooled, pipeline, negative=True)
    attached = draw(pipeline)
    assert np.abs(attached - before).max() > 1e-4
    np.testing.assert_allclose(draw(baked), attached, atol=1e-4)


def test_sd3_without_t5_takes_token_states_but_no_centre(tiny, tmp_path):
    tiny.tiny_pipeline("sd3", text_encoder_3=None, tokenizer_3=None).save_pretrained(tmp_path / "sd3")
    pipeline = loaded(tmp_path / "sd3")
    fitted = fit_on_pipeline("calibration", pipeline, PAIRS)
    baked = loaded(bake(fitted, tmp_path / "sd3", tmp_path / "baked"))
    before = draw(pipeline)
    fitted.attach(pipeline, negative=True)
    attached = draw(pipeline)
    assert np.abs(attached - before).max() > 1e-4
    np.testing.assert_allclose(draw(baked), attached, atol=1e-4)
    moved = fit_on_pipeline("calibration", baked, PAIRS, about="midpoint")
    with pytest.raises(OperatorError, match="zeros through the same map"):
        bake(moved, tmp_path / "sd3", tmp_path / "b", allow_other_encoder=True)
    with pytest.raises(SourceError, match="inside the checkpoint"):
        bake(fitted, tmp_path / "sd3", tmp_path / "sd3" / "b")
    assert not (tmp_path / "sd3" / "b").exists()


def test_half_precision_weights_round_once(folders, tmp_path):
    half = shutil.copytree(folders["stable-diffusion"], tmp_path / "half")
    path = half / "unet/diffusion_pytorch_model.safetensors"
    weights = {name: array.astype(np.float16) for name, array in load_file(path).items()}
    save_file(weights, path)
    operator = shrink(32)
    with pytest.warns(BakedUnchecked):
        bake(operator, half, tmp_path / "baked")
    made = load_file(tmp_path / "baked" / path.relative_to(half))
    name = next(name for name in weights if name.endswith("attn2.to_v.weight"))
    np.testing.assert_array_equal(made[name], (weights[name].astype(float) @ operator.matrix()).astype(np.float16))


def test_another_tower_and_bad_input(folders, tiny, tmp_path):
    folder = folders["stable-diffusion"]
    foreign = fit_on_pipeline("calibration", tiny.tiny_pipeline(seed=9), PAIRS)
    with pytest.raises(OperatorError, match="other weights"):
        bake(foreign, folder, tmp_path / "b")
    bake(foreign, folder, tmp_path / "forced", allow_other_encoder=True)
    with pytest.raises(SourceError, match="already exists"):
        bake(foreign, folder, tmp_path / "forced", allow_other_encoder=True)
    for operator, where, match in (
        (shrink(31), folder, r"0 sites have token states of the operator's width 31"),
        ({"text_encoder": shrink(31)}, folder, "takes width 32, the operator 31"),
        ({"text_encoder_2": shrink(31)}, folder, "no such site"),
        ("gender", folder, "expected an Operator"),
    ):
        with pytest.raises(OperatorError, match=match):
            bake(operator, where, tmp_path / "b")
    other = shutil.copytree(folder, tmp_path / "other")
    index = json.loads((other / "model_index.json").read_text())
    (other / "model_index.json").write_text(json.dumps(index | {"_class_name": "SanaPipeline"}))
    with pytest.raises(OperatorError, match="SanaPipeline is not supported"):
        bake(shrink(32), other, tmp_path / "b")
    with pytest.raises(OperatorError, match="sides are for two-tower"):
        bake(shrink(32), folder, tmp_path / "b", sides="text")
    assert not (tmp_path / "b").exists()


def test_command(folders, tmp_path):
    pipeline = loaded(folders["xl"])
    fitted = fit_on_pipeline("calibration", pipeline, PAIRS)
    assert {name: one.dim for name, one in fitted.operators.items()} == {
        site.name: width(pipeline, site) for site in sites_of(pipeline)
    }
    fitted.save(tmp_path / "operators")
    result = CliRunner().invoke(
        main, ["bake", str(tmp_path / "operators"), str(folders["xl"]), "-o", str(tmp_path / "baked")]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "baked" / "model_index.json").is_file()
