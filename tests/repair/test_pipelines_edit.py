"""The closed form on cross-attention weights: optimal, exact to restore, and only where it shall."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fairvl.errors import InputError, OperatorError
from fairvl.repair.debias.pipelines import balance_cross_attention, edit_cross_attention, text_states
from fairvl.repair.debias.pipelines.edit import _aligned
from fairvl.repair.debias.pipelines.sites import ends, sites_of
from fairvl.repair.debias.pipelines.weights import text_maps

DOCTOR = "a photo of a doctor"
PAIR = ("a photo of a male doctor", "a photo of a female doctor")


@pytest.fixture
def pipeline(tiny):
    return tiny.tiny_pipeline()


def weights_of(pipeline):
    return {name: module.weight.detach().double().numpy().copy() for name, module in text_maps(pipeline).items()}


def states(pipeline, prompt):
    return text_states(pipeline, sites_of(pipeline)[0], [prompt])[0][0]


def by_hand(pipeline):
    """States of the concept and of its targets at the same tokens: [BOS a photo of a] doctor EOS pads..."""
    concept, male, female = (states(pipeline, prompt) for prompt in (DOCTOR, *PAIR))
    own = [0, 1, 2, 3, 4, *range(5, 15)]
    aim = [0, 1, 2, 3, 4, *range(6, 16)]
    return concept[own], (male[aim] + female[aim]) / 2


def test_equals_least_squares_solved_layer_by_layer(pipeline):
    before = weights_of(pipeline)
    c, t = by_hand(pipeline)
    kept = np.concatenate([states(pipeline, prompt) for prompt in ("a photo of a king", "")])
    ridge, weight = 0.3, 2.0
    scale = ridge * (np.square(c).sum() + weight * np.square(kept).sum()) / (len(c) + len(kept))
    edit = edit_cross_attention(
        pipeline, [DOCTOR], [PAIR], preserve=["a photo of a king"], preserve_weight=weight, ridge=ridge
    )
    for name, made in weights_of(pipeline).items():
        old = before[name]
        rows = np.concatenate([c, np.sqrt(weight) * kept, np.sqrt(scale) * np.eye(c.shape[1])])
        goals = np.concatenate([t @ old.T, np.sqrt(weight) * kept @ old.T, np.sqrt(scale) * old.T])
        best = np.linalg.lstsq(rows, goals, rcond=None)[0].T
        assert np.abs(best - old).max() > 1e-3, "the oracle asks for no change, so this would show nothing"
        np.testing.assert_allclose(made, best, atol=2e-6 * np.abs(old).max())
    assert 0 < edit.residual < edit.asked
    assert len(edit.layers) == len(before) == 8


def test_concept_moves_to_its_targets_and_the_preserved_stay(pipeline):
    c, t = by_hand(pipeline)
    king = states(pipeline, "a photo of a king")
    alone = edit_cross_attention(pipeline, [DOCTOR], [PAIR], ridge=1e-11, include_empty=False)
    assert np.abs(c @ alone.matrix.T - t).max() < 1e-3 * np.abs(t - c).max()
    moved = np.square(king @ alone.matrix.T - king).sum()
    alone.restore()
    guarded = edit_cross_attention(
        pipeline, [DOCTOR], [PAIR], ridge=1e-11, preserve=["a photo of a king"], preserve_weight=1e4
    )
    assert np.square(king @ guarded.matrix.T - king).sum() < 1e-4 * moved
    assert guarded.drift < 1e-4 * guarded.asked


def test_nothing_changes_when_the_targets_are_what_the_concept_says(pipeline):
    before = weights_of(pipeline)
    edit = edit_cross_attention(pipeline, [DOCTOR], [[DOCTOR, DOCTOR]], preserve=["king"])
    np.testing.assert_array_equal(edit.matrix, np.eye(32))
    for name, made in weights_of(pipeline).items():
        np.testing.assert_array_equal(made, before[name])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_restore_is_exact_and_the_edit_showed_before(tiny, dtype):
    pipeline = tiny.tiny_pipeline().to(getattr(torch, dtype))
    before = {name: module.weight.detach().clone() for name, module in text_maps(pipeline).items()}
    first = edit_cross_attention(pipeline, [DOCTOR], [PAIR])
    second = edit_cross_attention(pipeline, ["a photo of a nurse"], [[PAIR[0].replace("doctor", "nurse")]])
    assert pipeline.fairvl_repairs["edited"]
    for name, module in text_maps(pipeline).items():
        assert module.weight.dtype == getattr(torch, dtype)
        assert not torch.equal(module.weight, before[name])
    with pytest.raises(OperatorError, match="not the last one"):
        first.restore()
    second.restore()
    first.restore()
    for name, module in text_maps(pipeline).items():
        assert torch.equal(module.weight, before[name])
    assert pipeline.fairvl_repairs == {}
    with pytest.raises(OperatorError, match="not the last one"):
        first.restore()


def test_only_the_named_weights_and_layers_change(pipeline):
    before = weights_of(pipeline)
    edit = edit_cross_attention(pipeline, [DOCTOR], [PAIR], weights="value", layers=["up_blocks"])
    changed = {name for name, made in weights_of(pipeline).items() if not np.array_equal(made, before[name])}
    assert changed == set(edit.layers) == {n for n in before if n.startswith("up_blocks") and n.endswith("to_v")}


def test_saved_pipeline_is_a_normal_one(pipeline, tmp_path):
    from fairvl.sources.generators import load_generator

    edit_cross_attention(pipeline, [DOCTOR], [PAIR], ridge=0.01)
    pipeline.save_pretrained(tmp_path / "edited")
    loaded = load_generator(f"diffusers:{tmp_path / 'edited'}", steps=1).pipeline
    for name, made in weights_of(pipeline).items():
        np.testing.assert_array_equal(weights_of(loaded)[name], made)


@pytest.mark.parametrize("family", ["xl", "flux"])
def test_other_families(tiny, family):
    pipeline = tiny.tiny_pipeline(family)
    before = weights_of(pipeline)
    edit = edit_cross_attention(pipeline, [DOCTOR], [PAIR], ridge=1e-4)
    assert edit.matrix.shape == ((56, 56) if family == "xl" else (32, 32))
    assert edit.residual < 0.05 * edit.asked
    for name, made in weights_of(pipeline).items():
        np.testing.assert_allclose(made, before[name] @ edit.matrix, atol=1e-5)


def test_sd3_is_refused_with_t5_and_edited_without(tiny):
    with pytest.raises(OperatorError, match="one context embedder"):
        edit_cross_attention(tiny.tiny_pipeline("sd3"), [DOCTOR], [PAIR])
    pipeline = tiny.tiny_pipeline("sd3", text_encoder_3=None, tokenizer_3=None)
    before = weights_of(pipeline)["context_embedder"]
    edit = edit_cross_attention(pipeline, [DOCTOR], [PAIR], ridge=1e-4)
    after = weights_of(pipeline)["context_embedder"]
    np.testing.assert_allclose(after[:, :24], before[:, :24] @ edit.matrix, atol=1e-5)
    np.testing.assert_array_equal(after[:, 24:], before[:, 24:])
    assert edit.residual < 0.05 * edit.asked


def test_mix_beyond_a_target_goes_further(pipeline):
    c, _ = by_hand(pipeline)
    male, female = (states(pipeline, prompt)[[0, 1, 2, 3, 4, *range(6, 16)]] for prompt in PAIR)
    for share in (0.0, 0.7, 1.5):
        edit = edit_cross_attention(
            pipeline, [DOCTOR], [PAIR], mix=[1 - share, share], ridge=1e-11, include_empty=False
        )
        np.testing.assert_allclose(c @ edit.matrix.T, (1 - share) * male + share * female, atol=2e-3)
        edit.restore()


def test_alignment(pipeline):
    site = sites_of(pipeline)[0]

    def matched(*prompts, pads=True):
        _, ids = text_states(pipeline, site, prompts)
        return _aligned(ids, ends(pipeline, site, ids), pads)

    one = matched(DOCTOR, PAIR[0])
    assert one[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, *range(7, 15)]
    assert one[:, 1].tolist() == [0, 1, 2, 3, 4, 6, 7, *range(8, 16)]
    assert matched(DOCTOR, PAIR[0], pads=False)[-1].tolist() == [6, 7]
    assert matched("a actress", "a photo of a doctor", pads=False).tolist() == [[0, 0], [1, 1], [3, 6]]
    assert matched(DOCTOR, DOCTOR)[:, 1].tolist() == list(range(16))
    same = matched("a a a", "a a", pads=False)  # the shared words are counted once
    assert same.tolist() == [[0, 0], [1, 1], [2, 2], [4, 3]]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"concepts": []}, "at least one"),
        ({"concepts": DOCTOR}, "list of prompts"),
        ({"concepts": [DOCTOR, DOCTOR], "targets": [PAIR, PAIR]}, "twice"),
        ({"targets": []}, "0 lists of targets for 1"),
        ({"targets": {}}, "expected a list of prompts"),
        ({"targets": [PAIR[0]]}, "expected a list of prompts"),
        ({"mix": [0.5, 0.6]}, "sum to 1"),
        ({"mix": [1.0]}, "2 weights"),
        ({"ridge": 0.0}, "ridge=0.0"),
        ({"ridge": float("nan")}, "ridge=nan"),
        ({"preserve_weight": -1.0}, "preserve_weight=-1.0"),
        ({"layers": ["attic"]}, "none of them"),
        ({"weights": ["query"]}, "'key', 'value'"),
    ],
)
def test_mistakes_change_nothing(pipeline, changes, match):
    before = weights_of(pipeline)
    options = {"concepts": [DOCTOR], "targets": [PAIR]} | changes
    with pytest.raises((InputError, OperatorError), match=match):
        edit_cross_attention(pipeline, options.pop("concepts"), options.pop("targets"), **options)
    for name, made in weights_of(pipeline).items():
        np.testing.assert_array_equal(made, before[name])


def test_an_unknown_pipeline_is_refused_by_name(tiny):
    class VideoPipeline:
        pass

    with pytest.raises(OperatorError, match=r"VideoPipeline is not supported.*StableDiffusionXLPipeline"):
        edit_cross_attention(VideoPipeline(), [DOCTOR], [PAIR])


JOBS = ("doctor", "nurse", "pilot")


def routes(pipeline, offsets):
    """A stand-in for drawing and judging: a logistic share of what the values say along male to female, plus a second
    route that no text reaches (`offsets`)."""
    name = next(name for name in text_maps(pipeline) if name.endswith("to_v"))
    value = text_maps(pipeline)[name].weight.detach().double().numpy().copy()
    axes = {}
    for job in JOBS:
        male, female = (states(pipeline, f"a photo of a {sex} {job}")[7] for sex in ("male", "female"))
        middle, half = (male + female) / 2 @ value.T, (female - male) / 2 @ value.T
        axes[f"a photo of a {job}"] = middle, half / (half @ half)

    def measure(edited, concepts):
        weight = text_maps(edited)[name].weight.detach().double().numpy()
        shares = []
        for concept in concepts:
            middle, axis = axes[concept]
            said = (states(edited, concept)[6] @ weight.T - middle) @ axis
            female = 1 / (1 + np.exp(-1.5 * (said + offsets[concept])))
            shares.append([1 - female, female])
        return shares

    return measure


def test_balance_counters_what_the_text_does_not_say(pipeline):
    concepts = [f"a photo of a {job}" for job in JOBS]
    targets = [[f"a photo of a {sex} {job}" for sex in ("male", "female")] for job in JOBS]
    measure = routes(pipeline, dict(zip(concepts, (-1.6, 0.0, 1.6), strict=True)))
    before = weights_of(pipeline)
    options = {"ridge": 1e-6, "tolerance": 0.02, "rounds": 8}
    once = edit_cross_attention(pipeline, concepts, targets, ridge=1e-6)
    halfway = np.abs(np.asarray(measure(pipeline, concepts)) - 0.5).max()
    once.restore()
    found = balance_cross_attention(pipeline, concepts, targets, measure, **options)
    after = np.abs(np.asarray(measure(pipeline, concepts)) - 0.5).max()
    assert halfway > 0.3
    assert after <= 0.02
    assert after == pytest.approx(min(found.errors), abs=1e-6)
    assert found.mix[concepts[0]][1] > 1.0 > found.mix[concepts[1]][1] > 0.0 > found.mix[concepts[2]][1]
    np.testing.assert_allclose([sum(row) for row in found.mix.values()], 1.0)
    found.edit.restore()
    for name, made in weights_of(pipeline).items():
        np.testing.assert_array_equal(made, before[name])


def test_no_weight_of_a_mix_leaves_the_limit(pipeline):
    three = [*PAIR, "a photo of the doctor"]
    for limit in (0.0, 0.2):
        found = balance_cross_attention(
            pipeline, [DOCTOR], [three], lambda *_: [[0.9, 0.1, 0.0]], rounds=3, limit=limit, tolerance=0.0
        )
        mixes = np.array(found.mixes)
        np.testing.assert_allclose(mixes.sum(axis=2), 1.0, atol=1e-12)
        assert mixes.min() == pytest.approx(-limit, abs=1e-12)  # it was reached
        assert mixes.max() <= 1.0 + limit
        found.edit.restore()


def test_balance_takes_wanted_shares_and_restores_after_an_error(pipeline):
    concepts, targets = [DOCTOR], [PAIR]
    measure = routes(pipeline, {DOCTOR: 0.5})
    found = balance_cross_attention(
        pipeline, concepts, targets, measure, wanted=[0.8, 0.2], ridge=1e-6, rounds=8, tolerance=0.01
    )
    np.testing.assert_allclose(measure(pipeline, concepts), [[0.8, 0.2]], atol=0.01)
    found.edit.restore()
    before = weights_of(pipeline)
    for bad in (lambda *_: [[0.5]], lambda *_: [[np.nan, 0.5]], lambda *_: 1 / 0):
        with pytest.raises((InputError, ZeroDivisionError)):
            balance_cross_attention(pipeline, concepts, targets, bad)
        for name, made in weights_of(pipeline).items():
            np.testing.assert_array_equal(made, before[name])
    for wrong in ({"rounds": 0}, {"gain": 0.0}, {"limit": -1.0}):
        with pytest.raises(InputError, match="at least one round"):
            balance_cross_attention(pipeline, concepts, targets, measure, **wrong)
