"""Operators attached to text-to-image pipelines: which states change, how, and that nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairvl.errors import OperatorError
from fairvl.repair.debias import CalibratedProjection, LinearOperator, OrthogonalProjection
from fairvl.repair.debias.pipelines import PipelineOperator, TowerUntouched, attach, detach, fit_on_pipeline, sites_of
from fairvl.repair.debias.pipelines.attach import through
from fairvl.repair.debias.pipelines.sites import positions, token_ids, width

JOBS = ("doctor", "nurse", "pilot", "teacher", "mechanic", "florist")
PAIRS = [(f"a photo of a male {job}", f"a photo of a female {job}") for job in JOBS]
PROMPTS = ["a photo of a doctor", "king", "a photo of the face of a cheerful clerk"]
FAMILIES = ("stable-diffusion", "xl", "sd3", "flux")


@pytest.fixture(scope="module")
def pipelines(tiny):
    """One pipeline per family; every test detaches what it attaches."""
    return {family: tiny.tiny_pipeline(family) for family in FAMILIES}


@pytest.fixture
def sd(pipelines):
    yield pipelines["stable-diffusion"]
    if "encode_prompt" in pipelines["stable-diffusion"].__dict__:
        detach(pipelines["stable-diffusion"])


@torch.no_grad()
def encoded(pipeline, prompts=PROMPTS, guided=True, images=1, **more):
    """Everything that encode_prompt gives the denoiser, as arrays."""
    family = type(pipeline).__name__
    options = {"prompt": list(prompts), "device": torch.device("cpu"), "num_images_per_prompt": images, **more}
    if family != "FluxPipeline":
        options["do_classifier_free_guidance"] = guided
    if family == "StableDiffusion3Pipeline":
        options |= {"prompt_2": None, "prompt_3": None}
    made = pipeline.encode_prompt(**options)
    return [None if part is None else part.double().numpy().copy() for part in made]


def draw(pipeline, prompt=PROMPTS[0], **options):
    flow = {"max_sequence_length": 16} if hasattr(pipeline, "transformer") else {}
    return pipeline(
        prompt, generator=torch.Generator().manual_seed(3), num_inference_steps=2, guidance_scale=3.0, height=16,
        width=16, output_type="np", **flow, **options,
    ).images  # fmt: skip


def shrink(dim, seed=0, rank=3):
    """A calibration of random pairs: neither symmetric nor idempotent, and it changes every state."""
    rng = np.random.default_rng(seed)
    return CalibratedProjection(lam=50.0).fit(None, rng.normal(size=(rank, dim)), rng.normal(size=(rank, dim)))


def for_all(pipeline):
    return {site.name: shrink(width(pipeline, site), place) for place, site in enumerate(sites_of(pipeline))}


@pytest.mark.parametrize("family", FAMILIES)
def test_user_call_changes_and_detach_restores_it_bit_by_bit(pipelines, family):
    pipeline = pipelines[family]
    before, states = draw(pipeline), encoded(pipeline)
    assert attach(for_all(pipeline), pipeline) is pipeline
    assert pipeline.fairvl_repairs["attached"]
    during = draw(pipeline)
    assert np.abs(during - before).max() > 1e-4
    np.testing.assert_array_equal(draw(pipeline), during)
    detach(pipeline)
    np.testing.assert_array_equal(draw(pipeline), before)
    for part, again in zip(states, encoded(pipeline), strict=True):
        np.testing.assert_array_equal(part, again)
    assert pipeline.fairvl_repairs == {}
    with pytest.raises(OperatorError, match="no operator is attached"):
        detach(pipeline)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_site_goes_through_its_own_operator(pipelines, family):
    """By hand: cut the embeddings where the papers of the models say that the towers stand."""
    pipeline = pipelines[family]
    operators = for_all(pipeline)
    plain = encoded(pipeline)
    attach(operators, pipeline)
    made = encoded(pipeline)
    detach(pipeline)
    m = {name: operator.matrix() for name, operator in operators.items()}
    expected = plain[0].copy()
    pooled = None
    if family == "stable-diffusion":
        expected = expected @ m["text_encoder"].T
    elif family == "xl":
        expected[..., :32] = plain[0][..., :32] @ m["text_encoder"].T
        expected[..., 32:] = plain[0][..., 32:] @ m["text_encoder_2"].T
        pooled = plain[2] @ m["text_encoder_2.pooled"].T
    elif family == "sd3":
        expected[:, :16, :16] = plain[0][:, :16, :16] @ m["text_encoder"].T
        expected[:, :16, 16:24] = plain[0][:, :16, 16:24] @ m["text_encoder_2"].T
        expected[:, 16:] = plain[0][:, 16:] @ m["text_encoder_3"].T
        assert not expected[:, :16, 24:].any()
        pooled = np.concatenate(
            [plain[2][:, :16] @ m["text_encoder.pooled"].T, plain[2][:, 16:] @ m["text_encoder_2.pooled"].T], axis=1
        )
    else:
        expected = expected @ m["text_encoder_2"].T
        pooled = plain[1] @ m["text_encoder.pooled"].T
    assert np.abs(made[0] - plain[0]).max() > 0.01
    np.testing.assert_allclose(made[0], expected, atol=1e-5)
    if pooled is not None:
        np.testing.assert_allclose(made[2 if family != "flux" else 1], pooled, atol=1e-5)
    if family != "flux":  # the negative prompt is left alone
        np.testing.assert_array_equal(made[1], plain[1])
        if family != "stable-diffusion":
            np.testing.assert_array_equal(made[3], plain[3])


def test_a_block_equals_its_rows_exactly():
    rng = np.random.default_rng(1)
    operator = shrink(24)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        block = torch.from_numpy(rng.normal(size=(2, 77, 24))).to(dtype)
        whole = through(operator, block)
        rows = torch.stack([torch.stack([through(operator, row[None])[0] for row in one]) for one in block])
        assert whole.dtype == dtype
        assert torch.equal(whole, rows)
        assert not torch.equal(whole, block)


@pytest.mark.parametrize(
    ("tokens", "variant", "changed"),
    [
        (None, None, range(16)),
        ("all", None, range(16)),
        (None, "paper", range(16)),
        (None, "words", range(1, 6)),
        (None, "end-of-text", [6]),
        (None, "from-end-of-text", range(6, 16)),
        ("bos", None, [0]),
        ("pads", None, range(7, 16)),
        (("words", "eos"), "paper", range(1, 7)),
    ],
)
def test_token_policy(sd, tokens, variant, changed):
    plain = encoded(sd)[0][0]  # BOS a photo of a doctor EOS, then pads that share the id of EOS
    attach(shrink(32), sd, tokens=tokens, variant=variant)
    made = encoded(sd)[0][0]
    assert sorted(np.flatnonzero(np.abs(made - plain).max(axis=1) > 1e-6)) == list(changed)
    untouched = np.setdiff1d(np.arange(16), list(changed))
    np.testing.assert_array_equal(made[untouched], plain[untouched])


def test_positions_use_the_tokenizers_own_end(pipelines):
    """Pads with another id than the end of text (XL), and a tower without a beginning of text (T5)."""
    second = sites_of(pipelines["xl"])[1]
    ids = token_ids(pipelines["xl"], second, ["a doctor"])
    assert ids[0, 4] == 2, "this tokenizer pads with '!'"
    kinds = positions(pipelines["xl"], second, ids)
    assert [np.flatnonzero(kinds[kind][0]).tolist() for kind in ("bos", "words", "eos")] == [[0], [1, 2], [3]]
    t5 = sites_of(pipelines["sd3"])[-1]
    kinds = positions(pipelines["sd3"], t5, token_ids(pipelines["sd3"], t5, ["a doctor"], max_sequence_length=6))
    found = {kind: np.flatnonzero(mask[0]).tolist() for kind, mask in kinds.items()}
    assert found == {"bos": [], "words": [0, 1], "eos": [2], "pads": [3, 4, 5]}
    full = token_ids(pipelines["stable-diffusion"], sites_of(pipelines["stable-diffusion"])[0], ["a " * 40, ""])
    kinds = positions(pipelines["stable-diffusion"], sites_of(pipelines["stable-diffusion"])[0], full)
    assert kinds["eos"].argmax(axis=1).tolist() == [15, 1]
    assert kinds["pads"].sum(axis=1).tolist() == [0, 14]
    for masks in zip(*(kinds[kind].ravel() for kind in kinds), strict=True):
        assert sum(masks) == 1, "every position is of one kind"


def test_prompts_of_a_batch_keep_their_images_together(sd):
    operator = shrink(32)
    plain = encoded(sd, images=3)
    attach(operator, sd, tokens="words")
    made = encoded(sd, images=3)
    alone = [encoded(sd, [prompt])[0][0] for prompt in PROMPTS]
    assert len(made[0]) == len(plain[0]) == 9
    for row in range(9):
        np.testing.assert_allclose(made[0][row], alone[row // 3], atol=1e-6)


def test_negative_prompt_changes_only_when_asked(sd):
    plain = encoded(sd, negative_prompt=["a photo of a man"] * 3)
    operator = shrink(32)
    attach(operator, sd, negative=True)
    made = encoded(sd, negative_prompt=["a photo of a man"] * 3)
    np.testing.assert_allclose(made[1], plain[1] @ operator.matrix().T, atol=1e-6)
    unguided = encoded(sd, guided=False)
    assert unguided[1] is None


def test_zeros_for_the_empty_prompt_stay_zeros(pipelines):
    xl = pipelines["xl"]
    attach(for_all(xl), xl, negative=True)
    made = encoded(xl)
    assert not made[1].any()
    assert not made[3].any()
    detach(xl)


def test_states_that_the_caller_makes_are_left_alone(sd):
    own = torch.from_numpy(encoded(sd, ["a photo of a doctor"])[0]).float()
    before = draw(sd, None, prompt_embeds=own)
    attach(shrink(32), sd)
    np.testing.assert_array_equal(draw(sd, None, prompt_embeds=own), before)
    with pytest.raises(OperatorError, match="another layer"):
        draw(sd, clip_skip=1)


def test_bypass_by_function_keeps_whole_prompts(sd):
    plain = encoded(sd)[0]
    operator = shrink(32)
    attach(operator, sd, bypass=lambda prompts: [{"king": 1.0}.get(prompt, 0.0) for prompt in prompts])
    made = encoded(sd)[0]
    np.testing.assert_array_equal(made[1], plain[1])
    np.testing.assert_allclose(made[[0, 2]], plain[[0, 2]] @ operator.matrix().T, atol=1e-6)
    detach(sd)
    attach(operator, sd, bypass=lambda prompts: [0.25] * len(prompts))
    np.testing.assert_allclose(encoded(sd)[0], 0.75 * plain @ operator.matrix().T + 0.25 * plain, atol=1e-5)
    detach(sd)
    attach(operator, sd, bypass=lambda prompts: [2.0])
    with pytest.raises(OperatorError, match="share in"):
        encoded(sd)


def test_bypass_fitted_on_the_pipeline(sd):
    fitted = fit_on_pipeline("calibration", sd, PAIRS)
    neutral = [f"a photo of {article} {job}" for job in (*JOBS, "clerk", "chef") for article in ("a", "the")]
    explicit = [text for pair in PAIRS for text in pair]
    kept = fitted.with_bypass(sd, neutral, explicit, ["male", "female"] * len(PAIRS))
    plain = encoded(sd, [*explicit, *neutral])[0]
    kept.attach(sd)
    made = encoded(sd, [*explicit, *neutral])[0]
    same = [np.array_equal(a, b) for a, b in zip(plain, made, strict=True)]
    assert np.mean(same[: len(explicit)]) >= 0.75
    assert np.mean(same[len(explicit) :]) <= 0.25
    detach(sd)
    fitted.attach(sd)
    assert not np.array_equal(encoded(sd, explicit[:1])[0], plain[:1])


def test_fit_reads_unit_end_of_text_states(sd):
    operator = fit_on_pipeline("calibration", sd, PAIRS, lam=20.0).operators["text_encoder"]
    states = encoded(sd, [text for pair in PAIRS for text in pair])[0]
    unit = states[:, 7] / np.linalg.norm(states[:, 7], axis=1, keepdims=True)  # BOS a photo of a male doctor EOS
    d = unit[0::2] - unit[1::2]
    slow = np.linalg.inv(np.eye(32) + 20.0 * sum(np.outer(row, row) for row in d) / len(d))
    np.testing.assert_allclose(operator.matrix(), slow, atol=1e-7)
    assert operator.card.lam == 20.0
    assert operator.card.parameters["site"] == "text_encoder"
    gap = np.linalg.norm(d)
    assert np.linalg.norm(d @ operator.matrix().T) < 0.6 * gap


def test_midpoint_leaves_the_midpoint_and_the_paper_variant_drops_it(sd):
    moved = fit_on_pipeline("calibration", sd, PAIRS, about="midpoint")
    states = encoded(sd, [text for pair in PAIRS for text in pair])[0][:, 7]
    middle = torch.from_numpy(states.mean(axis=0))
    operator = moved.operators["text_encoder"]
    assert torch.allclose(through(operator, middle[None])[0], middle, atol=1e-5)
    assert not torch.allclose(through(operator.linear(), middle[None])[0], middle, atol=1e-2)
    moved.attach(sd, variant="midpoint")
    about = encoded(sd)[0]
    detach(sd)
    moved.attach(sd, variant="paper")
    paper = encoded(sd)[0]
    detach(sd)
    fit_on_pipeline("calibration", sd, PAIRS).attach(sd, variant="paper")
    np.testing.assert_allclose(encoded(sd)[0], paper, atol=1e-6)
    assert np.abs(about - paper).max() > 1e-2


@pytest.mark.parametrize(
    ("family", "method"),
    [
        *((family, "calibration") for family in FAMILIES),
        ("xl", "orthogonal"),
        ("xl", "mean-difference"),
        ("xl", "leace"),
    ],
)
def test_every_method_fits_every_site(pipelines, family, method):
    pipeline = pipelines[family]
    fitted = fit_on_pipeline(method, pipeline, PAIRS, attribute="gender")
    assert set(fitted.operators) == {site.name for site in sites_of(pipeline)}
    plain = encoded(pipeline)
    fitted.attach(pipeline)
    made = encoded(pipeline)
    detach(pipeline)
    assert np.isfinite(made[0]).all()
    assert np.abs(made[0] - plain[0]).max() > 1e-4


def test_saved_operators_come_back(pipelines, tmp_path):
    for family in ("stable-diffusion", "xl"):
        pipeline = pipelines[family]
        fitted = fit_on_pipeline("calibration", pipeline, PAIRS)
        path = tmp_path / ("one.safetensors" if family == "stable-diffusion" else "many")
        fitted.save(path)
        loaded = PipelineOperator.load(path)
        assert loaded.fingerprint == fitted.fingerprint
        fitted.attach(pipeline)
        made = encoded(pipeline)[0]
        detach(pipeline)
        loaded.attach(pipeline)
        np.testing.assert_array_equal(encoded(pipeline)[0], made)
        detach(pipeline)
    with pytest.raises(OperatorError, match="need a folder"):
        fitted.save(tmp_path / "many.safetensors")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(tiny, pipelines, dtype):
    pipeline = tiny.tiny_pipeline().to(getattr(torch, dtype))
    fitted = fit_on_pipeline("calibration", pipelines["stable-diffusion"], PAIRS)  # the same tower in float32
    plain = encoded(pipeline)[0]
    fitted.attach(pipeline)
    with torch.no_grad():
        made = pipeline.encode_prompt(PROMPTS, torch.device("cpu"), 1, True)[0]
    assert made.dtype == getattr(torch, dtype)
    expected = plain @ fitted.operators["text_encoder"].matrix().T
    step = {"float16": 2**-10, "bfloat16": 2**-7}[dtype]
    np.testing.assert_allclose(made.double().numpy(), expected, atol=step * np.abs(expected).max())


def test_another_tower_is_refused_and_can_be_forced(tiny, sd):
    fitted = fit_on_pipeline("calibration", tiny.tiny_pipeline(seed=5), PAIRS)
    with pytest.raises(OperatorError, match="with other weights"):
        fitted.attach(sd)
    fitted.attach(sd, allow_other_encoder=True)
    detach(sd)
    foreign = shrink(32).described(encoder={"library": "open_clip", "name": "ViT-B-32", "weights": "openai"})
    with pytest.raises(OperatorError, match="open_clip:ViT-B-32, whose vectors are of another space"):
        foreign.attach(sd)
    foreign.attach(sd, allow_other_encoder=True)


def test_towers_without_an_operator_stay_and_are_named(pipelines):
    xl = pipelines["xl"]
    plain = encoded(xl)
    with pytest.warns(TowerUntouched, match=r"text_encoder_2, text_encoder_2\.pooled"):
        attach(shrink(32), xl)
    made = encoded(xl)
    detach(xl)
    assert np.abs(made[0][..., :32] - plain[0][..., :32]).max() > 0.01
    np.testing.assert_array_equal(made[0][..., 32:], plain[0][..., 32:])
    np.testing.assert_array_equal(made[2], plain[2])


@pytest.mark.parametrize(
    ("family", "operator", "options", "match"),
    [
        ("stable-diffusion", shrink(31), {}, r"no site has states of the operator's width 31.*text_encoder \(32\)"),
        ("sd3", {"text_encoder": shrink(31)}, {}, "text_encoder makes states of width 16, the operator takes 31"),
        ("sd3", {"text_encoder_9": shrink(16)}, {}, "no site 'text_encoder_9'"),
        ("stable-diffusion", {"text_encoder": "gender"}, {}, "str; expected an Operator"),
        ("stable-diffusion", {}, {}, "expected an Operator"),
        ("stable-diffusion", shrink(32), {"variant": "papre"}, "variant 'papre'"),
        ("stable-diffusion", shrink(32), {"variant": "midpoint"}, "midpoint of its pairs"),
        ("stable-diffusion", OrthogonalProjection().fit(np.eye(32)[:2]), {"variant": "paper"}, "rank 2"),
        ("stable-diffusion", shrink(32), {"tokens": "verbs"}, "tokens 'verbs'"),
        ("stable-diffusion", shrink(32), {"tokens": ()}, "expected 'all'"),
        ("stable-diffusion", shrink(32), {"bypass": 0.5}, "bypass float"),
    ],
)
def test_mistakes_leave_the_pipeline_as_it_was(pipelines, family, operator, options, match):
    pipeline = pipelines[family]
    with pytest.raises(OperatorError, match=match):
        attach(operator, pipeline, **options)
    assert "encode_prompt" not in pipeline.__dict__


def test_attached_twice_and_unknown_pipelines_are_refused(sd):
    attach(shrink(32), sd)
    with pytest.raises(OperatorError, match="already"):
        attach(shrink(32), sd)

    class PixelPipeline:
        pass

    with pytest.raises(OperatorError, match=r"PixelPipeline is not supported.*FluxPipeline"):
        attach(shrink(32), PixelPipeline())
    with pytest.raises(OperatorError, match="not supported"):
        fit_on_pipeline("calibration", PixelPipeline(), PAIRS)


def test_relatives_encode_prompts_as_their_family_does():
    """The image-to-image and inpainting classes are served by the same layout; this holds their signatures equal."""
    import inspect

    import diffusers

    from fairvl.repair.debias.pipelines.sites import FAMILIES as SUPPORTED

    first = {}
    for name, sites in SUPPORTED.items():
        signature = list(inspect.signature(getattr(diffusers, name).encode_prompt).parameters)
        assert first.setdefault(sites, signature) == signature, name


def test_a_linear_operator_needs_no_card(sd):
    operator = LinearOperator(np.eye(32)[:, :1], np.eye(32)[:1])
    operator.attach(sd)
    assert not encoded(sd)[0][..., 0].any()


def test_leace_makes_the_means_of_both_sides_equal(sd):
    texts = [text for pair in PAIRS for text in pair]
    gap = lambda rows: np.abs(rows[0::2].mean(axis=0) - rows[1::2].mean(axis=0)).max()  # noqa: E731
    before = encoded(sd, texts)[0][:, 7]
    fit_on_pipeline("leace", sd, PAIRS).attach(sd)
    after = encoded(sd, texts)[0][:, 7]
    assert gap(before) > 0.1
    assert gap(after) < 1e-5
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), atol=1e-5)


def test_every_tower_reads_its_own_prompt(pipelines):
    xl = pipelines["xl"]
    more = {"prompt_2": ["king", "king", "king"]}
    plain = encoded(xl, **more)
    attach(for_all(xl), xl, tokens="words")
    made = encoded(xl, **more)
    detach(xl)
    moved = np.abs(made[0] - plain[0]) > 1e-6
    assert np.flatnonzero(moved[0, :, :32].any(axis=1)).tolist() == [1, 2, 3, 4, 5]
    assert np.flatnonzero(moved[0, :, 32:].any(axis=1)).tolist() == [1]


def test_xl_with_its_second_tower_alone(tiny):
    """As the refiner: the one tower reads the first prompt."""
    xl = tiny.tiny_pipeline("xl", text_encoder=None, tokenizer=None)
    plain = encoded(xl)
    operators = for_all(xl)
    attach(operators, xl)
    made = encoded(xl)
    assert set(operators) == {"text_encoder_2", "text_encoder_2.pooled"}
    np.testing.assert_allclose(made[0], plain[0] @ operators["text_encoder_2"].matrix().T, atol=1e-5)


def test_sd3_without_t5(tiny):
    """Where T5 would stand are zeros, which stay."""
    sd3 = tiny.tiny_pipeline("sd3", text_encoder_3=None, tokenizer_3=None)
    plain, operators = encoded(sd3), for_all(sd3)
    attach(operators, sd3)
    made = encoded(sd3)
    expected = plain[0].copy()
    expected[:, :16, :16] = plain[0][:, :16, :16] @ operators["text_encoder"].matrix().T
    expected[:, :16, 16:24] = plain[0][:, :16, 16:24] @ operators["text_encoder_2"].matrix().T
    np.testing.assert_allclose(made[0], expected, atol=1e-5)
    assert np.abs(made[0] - plain[0]).max() > 0.01
    assert made[0].shape[1] > 16
    assert not made[0][:, 16:].any()


def test_a_changed_file_is_refused(sd, tmp_path):
    fit_on_pipeline("calibration", sd, PAIRS).save(tmp_path / "one.safetensors")
    content = (tmp_path / "one.safetensors").read_bytes()
    (tmp_path / "one.safetensors").write_bytes(content.replace(b"text_encoder", b"test_encoder", 1))
    with pytest.raises(OperatorError, match="changed after it was written"):
        PipelineOperator.load(tmp_path / "one.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OperatorError, match="holds no operators"):
        PipelineOperator.load(tmp_path / "empty")


def test_pairs_are_checked_and_their_lengths_said(sd):
    from fairvl.errors import InputError
    from fairvl.sources.generators import PromptLengthWarning

    for pairs in ([], [("a",)], ["ab"], [("a", 3)]):
        with pytest.raises(InputError, match="pairs: expected"):
            fit_on_pipeline("calibration", sd, pairs)
    for options, match in (({"about": "origin"}, "about='origin'"), ({"sites": ["attic"]}, "no site 'attic'")):
        with pytest.raises((InputError, OperatorError), match=match):
            fit_on_pipeline("calibration", sd, PAIRS, **options)
    for method, lam, match in (("calibrate", None, "method 'calibrate'"), ("leace", 5.0, "has none"), (3, None, "fit")):
        with pytest.raises(InputError, match=match):
            fit_on_pipeline(method, sd, PAIRS, lam=lam)
    uneven = fit_on_pipeline("calibration", sd, [*PAIRS, ("a man", "a female person")])
    assert "1 of 7 pairs have sides of unequal token length" in uneven.operators["text_encoder"].card.notes
    with pytest.warns(PromptLengthWarning, match="2 prompts exceed the 16 tokens"):
        fit_on_pipeline("calibration", sd, [*PAIRS, ("man " * 20, "woman " * 20)])
