"""Editors made of small pipelines of the real classes, with random weights."""

import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import GeneratorError, InputError
from fairvl.repair.editing import Dipole
from fairvl.repair.editing.augment import augment
from fairvl.repair.editing.diffusers_editors import (
    InstructionEditor,
    LeditsEditor,
    TextPath,
    UnclipEditor,
    load_diffusers_editor,
)
from fairvl.repair.editing.gate import Gate, Thresholds
from fairvl.repair.editing.judges import Judge
from fairvl.repair.editing.plan import Plan

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
DIPOLE = Dipole("a photo of a woman", "a photo of a man", "gender")
rng = np.random.default_rng(0)
PICTURES = [Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)) for _ in range(2)]


@pytest.fixture(scope="module")
def parts(tiny):
    return tiny.tiny_pipeline().components


@pytest.fixture(scope="module")
def instruct(parts):
    import torch
    from diffusers import StableDiffusionInstructPix2PixPipeline, UNet2DConditionModel

    torch.manual_seed(3)
    unet = UNet2DConditionModel.from_config(parts["unet"].config, in_channels=8).eval()
    return StableDiffusionInstructPix2PixPipeline(
        **{**parts, "unet": unet, "feature_extractor": None}, requires_safety_checker=False
    )


@pytest.fixture(scope="module")
def ledits(parts):
    from diffusers import DPMSolverMultistepScheduler, LEditsPPPipelineStableDiffusion

    scheduler = DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", solver_order=2)
    names = ("vae", "text_encoder", "tokenizer", "unet")
    return LEditsPPPipelineStableDiffusion(
        **{name: parts[name] for name in names}, scheduler=scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def prior(tiny):
    """The CLIP model of an unCLIP pipeline: both towers in one space."""
    import torch
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(4)
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=48, projection_dim=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=16, patch_size=8,
    )  # fmt: skip

    class Prior:
        image_encoder = CLIPVisionModelWithProjection(config).eval()
        image_processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
        text_encoder = tiny.clip_tower(32, projected=True)
        tokenizer = tiny.clip_tokenizer()

    return Prior()


@pytest.fixture(scope="module")
def kandinsky():
    import torch
    from diffusers import DDIMScheduler, KandinskyV22Pipeline, UNet2DConditionModel, VQModel

    torch.manual_seed(5)
    unet = UNet2DConditionModel(
        in_channels=4, out_channels=8, addition_embed_type="image", encoder_hid_dim=32,
        encoder_hid_dim_type="image_proj", cross_attention_dim=16, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"), sample_size=8,
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"), class_embed_type=None,
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", resnet_time_scale_shift="scale_shift", attention_head_dim=4,
        norm_num_groups=4,
    ).eval()  # fmt: skip
    movq = VQModel(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"), layers_per_block=1, norm_num_groups=4,
        norm_type="spatial", num_vq_embeddings=12, vq_embed_dim=4, latent_channels=4,
    ).eval()  # fmt: skip
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type="epsilon")
    return KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq)


def editors(instruct, ledits, kandinsky, prior):
    path = UnclipEditor(kandinsky, encoder=prior, steps=2, size=16, guidance=1.0)
    return {
        "instruction": (InstructionEditor(instruct, steps=3, size=16, template="{}"), "a photo of a woman"),
        "ledits": (LeditsEditor(ledits, steps=4, size=32, use_intersect_mask=False), DIPOLE),
        "unclip": (path, path.text_path(DIPOLE)),
    }


@pytest.fixture(scope="module")
def made(instruct, ledits, kandinsky, prior):
    return editors(instruct, ledits, kandinsky, prior)


@pytest.mark.parametrize("kind", ["instruction", "ledits", "unclip"])
def test_an_edit_is_decided_by_image_seed_and_change(made, kind):
    editor, change = made[kind]
    state = editor.encode(PICTURES, seeds=[5, 6])
    once = editor.decode(editor.edit(state, change, 2.0))
    side = editor.card.size
    assert once.shape == (2, side, side, 3)
    assert once.dtype == np.uint8
    assert np.array_equal(once, editor.decode(editor.edit(state, change, 2.0)))
    alone = editor.encode(PICTURES[1:], seeds=[6])
    assert np.array_equal(editor.decode(editor.edit(alone, change, 2.0))[0], once[1])
    other = editor.decode(editor.edit(editor.encode(PICTURES, seeds=[7, 8]), change, 2.0))
    assert not np.array_equal(once, other)
    assert not np.array_equal(once[0], editor.decode(editor.edit(state, change, 9.0))[0])
    assert editor.card.family == type(editor.pipeline).__name__


def test_strength_zero_gives_the_input(made):
    editor, change = made["instruction"]
    state = editor.encode(PICTURES)
    assert np.array_equal(editor.decode(editor.edit(state, change, 0.0)), state.images)
    editor, change = made["unclip"]
    state = editor.encode(PICTURES)
    assert np.array_equal(editor.edit(state, change, 0.0).codes, state.codes)
    assert np.array_equal(editor.decode(editor.edit(state, change, 0.0)), editor.decode(state))


def test_the_words_reach_the_text_encoder(made):
    """Another instruction, and the other pole, give another image."""
    editor, _ = made["instruction"]
    state = editor.encode(PICTURES)
    first, second = (editor.decode(editor.edit(state, told, 20.0)) for told in ("a king", "a nurse"))
    assert not np.array_equal(first, second)
    for kind in ("instruction", "ledits"):
        editor, state = made[kind][0], made[kind][0].encode(PICTURES)
        plus, minus = (editor.decode(editor.edit(state, DIPOLE, sign * 9.0)) for sign in (1, -1))
        assert not np.array_equal(plus, minus)


def test_ledits_inverts_nearly(made):
    """Guided by nothing it comes back closer than any guided image does."""
    editor, change = made["ledits"]
    state = editor.encode(PICTURES)
    back = editor.decode(state).astype(float)
    guided = editor.decode(editor.edit(state, change, 8.0)).astype(float)
    assert np.abs(back - guided).mean() > 0.2
    again = editor.decode(editor.edit(state, change, 0.0))
    assert np.array_equal(back, again)


def test_a_text_path_climbs_from_one_text_to_the_other(made):
    editor, path = made["unclip"]
    codes = editor.encode(PICTURES).codes
    poles = path.poles
    for sign, (to, away) in ((1, (0, 1)), (-1, (1, 0))):
        moved = path(codes, sign * 0.5)
        straight = np.linalg.norm(moved - codes, axis=1) / (0.5 * path.distance)
        assert ((straight > 0.8) & (straight < 1.001)).all()  # the way may bend
        gain = [np.linalg.norm(x - poles[away], axis=1) - np.linalg.norm(x - poles[to], axis=1) for x in (codes, moved)]
        assert (gain[1] > gain[0]).all()
    assert np.linalg.norm(path.direction(codes), axis=1) == pytest.approx(np.ones(2))
    back = path(path(codes, 0.5), -0.5)
    assert np.linalg.norm(back - codes, axis=1).max() < 0.1 * 0.5 * path.distance


def test_a_text_path_does_not_vanish_far_from_its_texts():
    """Image and text vectors lie far apart: plain exponentials are exactly 0 there."""
    path = TextPath("a", [1.0, 0.0], [0.9, 0.1])
    far = np.array([[300.0, -200.0]])
    assert np.exp(-path.gamma * ((far - path.poles[0]) ** 2).sum()) == 0.0
    assert np.linalg.norm(path.direction(far)) == pytest.approx(1.0)
    middle = path.poles.mean(axis=0)[None]
    assert path.direction(middle)[0] @ (path.poles[0] - path.poles[1]) > 0
    with pytest.raises(InputError, match="two different texts"):
        TextPath("a", [1.0, 0.0], [1.0, 0.0])


def test_gradient_of_the_text_field():
    path = TextPath("a", [1.0, 0.2, 0.0], [0.1, 0.5, 0.3])
    point = np.array([[0.4, 0.1, 0.7]])

    def height(f):
        return sum(a * np.exp(-path.gamma * ((f - t) ** 2).sum()) for a, t in zip((1, -1), path.poles, strict=True))

    numeric = np.array([(height(point[0] + e) - height(point[0] - e)) / 2e-5 for e in 1e-5 * np.eye(3)])
    assert path.direction(point)[0] == pytest.approx(numeric / np.linalg.norm(numeric), abs=1e-6)


def test_what_an_editor_cannot_do(made, instruct, kandinsky, parts):
    from diffusers import StableDiffusionPipeline

    editor, _ = made["instruction"]
    state = editor.encode(PICTURES)
    with pytest.raises(InputError, match="no opposite"):
        editor.edit(state, "a king", -1.0)
    with pytest.raises(InputError, match="takes an instruction or a dipole"):
        editor.edit(state, lambda codes, strength: codes)
    with pytest.raises(InputError, match="tokens, the model reads 16"):
        editor.edit(state, " ".join(["king"] * 20))
    wordy = InstructionEditor(instruct, size=16)  # the template makes the prompt too long for this small window
    with pytest.raises(InputError, match=r"turn it into.*tokens"):
        wordy.edit(state, DIPOLE)
    with pytest.raises(InputError, match="moves codes along a path"):
        made["unclip"][0].edit(made["unclip"][0].encode(PICTURES), "a king")
    with pytest.raises(InputError, match="code_space"):
        editor.require("code_space")
    with pytest.raises(InputError, match="8 x 16"):
        editor.encode([Image.new("RGB", (8, 16))])
    assert InstructionEditor(instruct, size=16, fit="crop").encode([Image.new("RGB", (8, 16))]).images.shape[1] == 16
    with pytest.raises(InputError, match="pass encoder="):
        UnclipEditor(kandinsky)
    with pytest.raises(InputError, match="cannot invert"):
        LeditsEditor(instruct)
    plain = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    with pytest.raises(InputError, match="takes no image and prompt"):
        InstructionEditor(plain)


def test_folders_load_by_what_they_hold(tmp_path, instruct, parts, kandinsky):
    from diffusers import StableDiffusionPipeline

    instruct.save_pretrained(tmp_path / "told")
    editor = load_diffusers_editor(str(tmp_path / "told"), steps=2, size=16)
    assert isinstance(editor, InstructionEditor)
    assert editor.card.weights.startswith("sha256:")
    direct = InstructionEditor(instruct, steps=2, size=16)
    state = editor.encode(PICTURES, seeds=[1, 2])
    assert np.array_equal(editor.decode(editor.edit(state, "a king")), direct.decode(direct.edit(state, "a king")))
    StableDiffusionPipeline(**parts, requires_safety_checker=False).save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match="kind='ledits'"):
        load_diffusers_editor(str(tmp_path / "plain"))
    found = load_diffusers_editor(str(tmp_path / "plain"), kind="ledits", steps=3, size=32, use_intersect_mask=False)
    assert isinstance(found, LeditsEditor)
    with pytest.raises(InputError, match="kind='other'"):
        load_diffusers_editor(str(tmp_path / "plain"), kind="other")
    with pytest.raises(GeneratorError):
        load_diffusers_editor(str(tmp_path / "nothing"))


def always(name, wanted):
    """A judge that believes what it is told: random weights make no faces."""
    values = {"gender": ("man", "woman"), "race": ("black", "white")}
    return Judge(name, values, lambda x: {key: np.tile(np.eye(2)[place], (len(x), 1)) for key, place in wanted.items()})


@pytest.mark.realdata
@pytest.mark.parametrize("kind", ["instruction", "ledits", "unclip"])
def test_real_pictures_pass_through_the_whole_of_augment(made, realdata, tmp_path, kind):
    """The code path end to end on 256-pixel pictures; the weights are random, so nothing is said of the edits."""
    source = realdata / "pairs-images"
    if not (source / "pairs.zip").is_file():
        pytest.skip("real data missing: pairs-images")
    with open(source / "images.csv", newline="") as file:
        rows = list(csv.DictReader(file))[:16]
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(source / "pairs.zip") as archive:
        members = archive.namelist()
        for place, row in enumerate(rows):
            data = archive.read(next(name for name in members if name.endswith(row["file"])))
            assert Image.open(io.BytesIO(data)).size == (256, 256)
            (tmp_path / "in" / f"{place}.png").write_bytes(data)
    with open(tmp_path / "in" / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["file", "gender", "race"]])
        writer.writerows([[f"{place}.png", row["gender"], row["race"]] for place, row in enumerate(rows)])
    editor, change = made[kind]
    name = f"folder:{tmp_path / 'in'}?metadata=labels.csv"
    counts = {("white", "man"): 4, ("white", "woman"): 0}
    plan = Plan.from_counts(counts, {("white", "woman"): 3}, label="race", attribute="gender")
    wanted = {"gender": 1, "race": 1}
    gate = Gate([always("b", wanted)], chooser=always("a", wanted), thresholds=Thresholds(structure=None))
    done = augment(name, editor, plan, gate, tmp_path / "out", changes={"woman": change}, strength=2.0, retries=0)
    files = sorted((tmp_path / "out" / "edited").rglob("*.png"))
    assert len(files) == 3 == done.requests[0]["accepted"]
    assert len({path.read_bytes() for path in files}) == 3
