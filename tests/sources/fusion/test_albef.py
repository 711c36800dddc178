"""ALBEF: our module against a written-out forward pass over the published tensor names."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fairvl.errors import FusionError  # noqa: E402
from fairvl.sources.fusion import AlbefShape, albef_module, from_published, published_names  # noqa: E402

TINY = AlbefShape(
    image_size=32, patch_size=16, width=32, vision_layers=2, heads=4, text_layers=2, fusion_layers=2, hidden=48,
    vocabulary=60, positions=20, projection=8, queue=16,
)  # fmt: skip


def random_state(shape=TINY, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, size in published_names(shape).items():
        if name.endswith("position_ids"):
            state[name] = torch.arange(size[1])[None]
        else:
            scale = "LayerNorm.weight" in name or (".norm" in name and name.endswith("weight"))
            state[name] = float(scale) + 0.3 * torch.randn(size, generator=generator)
    state["text_encoder.cls.predictions.decoder.bias"] = state["text_encoder.cls.predictions.bias"]
    state["text_encoder.cls.predictions.decoder.weight"] = state["text_encoder.bert.embeddings.word_embeddings.weight"]
    return state


def norm(x, state, name, eps):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], state[name + ".weight"], state[name + ".bias"], eps)


def linear(x, state, name):
    return x @ state[name + ".weight"].T + state[name + ".bias"]


def attend(q, k, v, heads, mask=None):
    split = lambda x: x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)  # noqa: E731
    scores = split(q) @ split(k).transpose(-1, -2) / math.sqrt(q.shape[-1] / heads)
    if mask is not None:
        scores = scores.masked_fill(mask[:, None, None, :] == 0, -1e9)
    out = scores.softmax(-1) @ split(v)
    return out.transpose(1, 2).reshape(q.shape)


def written_out(state, pixels, ids, mask, s=TINY):
    """Image states, fused states and word logits, from the published names alone."""
    gelu = torch.nn.functional.gelu
    at = "visual_encoder."
    x = torch.nn.functional.conv2d(
        pixels, state[at + "patch_embed.proj.weight"], state[at + "patch_embed.proj.bias"], stride=s.patch_size
    )
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([state[at + "cls_token"].expand(len(x), -1, -1), x], 1) + state[at + "pos_embed"]
    for i in range(s.vision_layers):
        b = f"{at}blocks.{i}."
        q, k, v = linear(norm(x, state, b + "norm1", 1e-6), state, b + "attn.qkv").chunk(3, -1)
        x = x + linear(attend(q, k, v, s.heads), state, b + "attn.proj")
        x = x + linear(gelu(linear(norm(x, state, b + "norm2", 1e-6), state, b + "mlp.fc1")), state, b + "mlp.fc2")
    image = norm(x, state, at + "norm", 1e-6)
    e = "text_encoder.bert.embeddings."
    h = state[e + "word_embeddings.weight"][ids] + state[e + "position_embeddings.weight"][: ids.shape[1]]
    h = norm(h + state[e + "token_type_embeddings.weight"][0], state, e + "LayerNorm", 1e-12)
    states = []
    for i in range(s.text_layers + s.fusion_layers):
        b = f"text_encoder.bert.encoder.layer.{i}."
        for block in ["attention"] + ["crossattention"] * (i >= s.text_layers):
            a = b + block + "."
            other = h if block == "attention" else image
            out = attend(
                linear(h, state, a + "self.query"),
                linear(other, state, a + "self.key"),
                linear(other, state, a + "self.value"),
                s.heads,
                mask if block == "attention" else None,
            )
            h = norm(h + linear(out, state, a + "output.dense"), state, a + "output.LayerNorm", 1e-12)
        up = gelu(linear(h, state, b + "intermediate.dense"))
        h = norm(h + linear(up, state, b + "output.dense"), state, b + "output.LayerNorm", 1e-12)
        states.append(h)
    c = "text_encoder.cls.predictions."
    words = norm(gelu(linear(h, state, c + "transform.dense")), state, c + "transform.LayerNorm", 1e-12)
    logits = words @ state[c + "decoder.weight"].T + state[c + "bias"]
    return image, states[s.text_layers - 1], h, logits


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 4:] = 0
    return torch.randn(3, 3, 32, 32, generator=generator), torch.randint(0, 60, (3, 7), generator=generator), mask


def loaded(state=None):
    model = albef_module(TINY)
    model.load_state_dict(from_published(state or random_state(), TINY), strict=True)
    return model.eval()


@torch.no_grad()
def test_a_published_state_gives_the_published_forward_pass():
    state = random_state()
    model = loaded(state)
    pixels, ids, mask = inputs()
    image, text, fused, words = written_out(state, pixels, ids, mask)
    ours = model.image_states(pixels)
    torch.testing.assert_close(ours, image, rtol=1e-4, atol=1e-4)
    read = model.text_states(ids, mask)
    real = mask.bool()
    torch.testing.assert_close(read[real], text[real], rtol=1e-4, atol=1e-4)
    both = model.fuse(read, mask, ours)
    torch.testing.assert_close(both[real], fused[real], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.word_logits(both)[real], words[real], rtol=1e-4, atol=2e-4)
    torch.testing.assert_close(model.match_logits(both), linear(fused[:, 0], state, "itm_head"), rtol=1e-4, atol=2e-4)
    unit = torch.nn.functional.normalize(linear(image[:, 0], state, "vision_proj"), dim=-1)
    torch.testing.assert_close(model.project_image(ours), unit, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_every_weight_of_the_map_matters():
    """The comparison above would notice any tensor put in the wrong place."""
    state = random_state()
    pixels, ids, mask = inputs()
    before = loaded(state)
    whole = before.word_logits(before.fuse(before.text_states(ids, mask), mask, before.image_states(pixels)))
    for name in (
        "visual_encoder.blocks.1.attn.qkv.weight",
        "text_encoder.bert.encoder.layer.0.output.dense.bias",
        "text_encoder.bert.encoder.layer.3.crossattention.self.key.weight",
        "text_encoder.bert.embeddings.token_type_embeddings.weight",
        "text_encoder.cls.predictions.transform.dense.weight",
    ):
        moved = dict(state)
        moved[name] = state[name] + 0.5 * torch.randn(state[name].shape, generator=torch.Generator().manual_seed(3))
        model = loaded(moved)
        after = model.word_logits(model.fuse(model.text_states(ids, mask), mask, model.image_states(pixels)))
        assert (after - whole).abs().max() > 1e-3, name


@torch.no_grad()
def test_fusion_reads_both_ways_and_looks_at_the_image():
    model = loaded()
    pixels, ids, mask = inputs()
    mask = torch.ones_like(mask)
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % 60
    first = lambda i, p: model.fuse(model.text_states(i, mask), mask, model.image_states(p))[:, 0]  # noqa: E731
    assert (first(ids, pixels) - first(other, pixels)).abs().max() > 1e-3  # the first token sees the last word
    assert (first(ids, pixels) - first(ids, pixels + 1)).abs().max() > 1e-3


def test_the_published_size_is_the_published_size():
    names = published_names()
    weights = sum(
        math.prod(size)
        for name, size in names.items()
        if "_m." not in name
        and "queue" not in name
        and "position_ids" not in name
        and not name.endswith("decoder.bias")
    )
    tied = 30_522 * 768  # the decoder shares the word embeddings
    assert 205e6 < weights - tied < 215e6  # 210 million, as the paper counts it
    assert names["visual_encoder.pos_embed"] == (1, 257, 768)
    assert "text_encoder.bert.encoder.layer.5.crossattention.self.key.weight" not in names
    assert "text_encoder.bert.encoder.layer.6.crossattention.self.key.weight" in names


def test_same_seed_same_weights_and_the_global_state_is_left_alone():
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    one = albef_module(TINY, seed=4).state_dict()
    assert torch.equal(torch.rand(3), expected)
    two = albef_module(TINY, seed=4).state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert any(not torch.equal(one[k], v) for k, v in albef_module(TINY, seed=5).state_dict().items())


def test_a_state_of_another_model_is_refused():
    state = random_state()
    with pytest.raises(FusionError, match="missing"):
        from_published({k: v for k, v in state.items() if k != "itm_head.bias"}, TINY)
    with pytest.raises(FusionError, match="one parameter"):
        from_published({**state, "text_encoder.cls.predictions.decoder.weight": torch.zeros(60, 32)}, TINY)
    with pytest.raises(FusionError, match="not of its"):
        from_published({**state, "text_decoder.x": torch.zeros(1)}, TINY)
    with pytest.raises(FusionError, match="shape"):
        from_published({**state, "visual_encoder.pos_embed": torch.zeros(1, 10, 32)}, TINY)


def test_momentum_copies_and_queues_may_be_missing():
    lean = {k: v for k, v in random_state().items() if "_m." not in k and "queue" not in k}
    assert from_published(lean, TINY).keys() == albef_module(TINY).state_dict().keys()
