"""The four families: their numbers against transformers' own classes and hand-written sums, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from fairvl.errors import FusionError  # noqa: E402
from fairvl.sources.encoders.seam import TextLengthWarning  # noqa: E402
from fairvl.sources.fusion import build_albef, build_blip, build_lxmert, build_vilt, load_fusion, take  # noqa: E402

WORDS = "a man woman person with ball dog is holding what the ? police ##man blue red".split()  # noqa: SIM905
BUILDERS = {"blip": build_blip, "albef": build_albef, "lxmert": build_lxmert, "vilt": build_vilt}
FAMILIES = list(BUILDERS)
TEXTS = ["a man with a ball", "a woman", "the dog is blue ?", "a red ball", "what is the policeman holding"]
QUESTIONS = ["what is the man holding ?", "what is red ?", "is the dog blue ?", "what ?", "is a ball red ?"]


def stirred(family, seed=0, **options):
    """A model whose weights are large enough that every input shows in the outputs."""
    model = BUILDERS[family](WORDS, **{"width": 16, "heads": 2, "layers": 1, "max_length": 12, **options})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.module.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            elif "norm" not in name.lower() and parameter.ndim:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def models():
    return {family: stirred(family) for family in FAMILIES}


def pictures(n=5, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, 256, size=(30 + 3 * i, 41 - 2 * i, 3), dtype=np.uint8) for i in range(n)]
    return [Image.fromarray(array) if i % 2 else array for i, array in enumerate(arrays)]


def class_of(model, name, folder):
    """transformers' own class, reading the folder that our model saved."""
    model.save(folder)
    module, report = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    return module.eval()


@torch.no_grad()
def test_blip_is_what_the_three_classes_compute(models, tmp_path):
    model, images = models["blip"], pictures()
    ids, mask = model.tokenize(TEXTS)
    pixels = model.inputs(images)
    pair = class_of(model, "BlipForImageTextRetrieval", tmp_path)
    logits = pair(input_ids=ids, attention_mask=mask, pixel_values=pixels).itm_score
    np.testing.assert_allclose(model.score(images, TEXTS), (logits[:, 1] - logits[:, 0]).numpy(), atol=1e-5)
    cosine = pair(input_ids=ids, attention_mask=mask, pixel_values=pixels, use_itm_head=False).itm_score
    rows, texts, scale = model.project(pixels, ids, mask)
    torch.testing.assert_close(rows @ texts.T, cosine, rtol=1e-5, atol=1e-5)
    assert float(scale) == pytest.approx(1 / 0.07, rel=1e-5)
    writer = class_of(model, "BlipForConditionalGeneration", tmp_path)
    begun = ids.clone()
    begun[:, 0] = model.module.config.text_config.bos_token_id
    own = writer(input_ids=begun, attention_mask=mask, pixel_values=pixels).logits
    torch.testing.assert_close(model.next_logits(pixels, ids, mask), own, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_lxmert_is_what_its_class_computes(models, tmp_path):
    model, images = models["lxmert"], pictures()
    module = class_of(model, "LxmertForPreTraining", tmp_path)
    ids, mask = model.tokenize(TEXTS)
    seen = model.inputs(images)
    own = module(input_ids=ids, attention_mask=mask, visual_feats=seen["features"], visual_pos=seen["boxes"])
    match = own.cross_relationship_score
    np.testing.assert_allclose(model.score(images, TEXTS), (match[:, 1] - match[:, 0]).numpy(), atol=1e-5)
    words = model.word_logits(model.fuse(seen, ids, mask))
    torch.testing.assert_close(words, own.prediction_logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_vilt_is_what_its_classes_compute(models, tmp_path):
    model, images = models["vilt"].with_answers(["ball", "dog", "red"], 1), pictures()
    ids, mask = model.tokenize(TEXTS)
    pixels = model.inputs(images)["pixels"]
    given = {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}
    rank = class_of(model, "ViltForImageAndTextRetrieval", tmp_path)(**given).logits
    np.testing.assert_allclose(model.score(images, TEXTS), rank[:, 0].numpy(), atol=1e-5)
    words = class_of(model, "ViltForMaskedLM", tmp_path)(**given).logits
    states = model.fuse(model.inputs(images), ids, mask)
    torch.testing.assert_close(model.word_logits(states), words, rtol=1e-4, atol=1e-5)
    answers = class_of(model, "ViltForQuestionAnswering", tmp_path)
    assert answers.config.id2label == {0: "ball", 1: "dog", 2: "red"}
    own = answers(**given).logits.log_softmax(-1)
    np.testing.assert_allclose(model.answer_scores(images, TEXTS, ["red", "ball"]), own[:, [2, 0]], atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("family", ["albef", "lxmert", "vilt"])
def test_masked_fill_sums_over_the_pieces(models, family):
    model, images = models[family], pictures(2)
    found = model.fill(images, ["a [MASK] with a ball", "the [MASK]"], ["man", "policeman", "a dog"])
    wanted = np.zeros((2, 3))
    for row, text in enumerate(("a {} with a ball", "the {}")):
        for column, pieces in enumerate((["man"], ["police", "##man"], ["a", "dog"])):
            ids, mask = model.tokenize([text.format(" ".join(["[MASK]"] * len(pieces)))])
            logits = model.word_logits(model.fuse(model.inputs(images[row : row + 1]), ids, mask))[0]
            places = [place for place, token in enumerate(ids[0].tolist()) if token == 4]
            for place, piece in zip(places, pieces, strict=True):
                chances = np.exp(logits[place].double().numpy())
                wanted[row, column] += np.log(chances[5 + WORDS.index(piece)] / chances.sum())
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(found, axis=1).min() > 0.1


@torch.no_grad()
def test_blip_fill_and_answer_sum_the_whole_text(models, tmp_path):
    model, images = models["blip"], pictures(2)
    writer = class_of(model, "BlipForConditionalGeneration", tmp_path)

    def by_hand(image, text, start):
        ids = [len(WORDS) + 5, *(5 + WORDS.index(word) for word in text.split()), 3]
        pixels = model.inputs([image])
        total = 0.0
        for end in range(start, len(ids)):  # one word at a time, nothing padded
            logits = writer(input_ids=torch.tensor([ids[:end]]), pixel_values=pixels).logits[0, -1].double()
            total += float(logits.log_softmax(-1)[ids[end]])
        return total

    filled = model.fill(images, ["a [MASK] with a ball"] * 2, ["man", "policeman"])
    wanted = [[by_hand(image, f"a {w} with a ball", 1) for w in ("man", "police ##man")] for image in images]
    np.testing.assert_allclose(filled, wanted, atol=2e-5)
    answered = model.answer_scores(images, ["what is red ?", "what ?"], ["ball", "a dog"])
    wanted = [
        [by_hand(images[0], f"what is red ? {w}", 5) for w in ("ball", "a dog")],
        [by_hand(images[1], f"what ? {w}", 3) for w in ("ball", "a dog")],
    ]
    np.testing.assert_allclose(answered, wanted, atol=2e-5)


@torch.no_grad()
def test_a_blip_that_reads_the_question_answers_with_its_decoder(tmp_path):
    both = stirred("blip")
    config = both.module.config
    module = transformers.BlipForQuestionAnswering(config).eval()
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.copy_(
                0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            )
    both.save(tmp_path)
    (tmp_path / "fairvl.json").unlink()
    module.save_pretrained(tmp_path)
    model = load_fusion(f"blip:{tmp_path}", max_length=12)
    assert model.card.capabilities == {"answer"}
    images = pictures(2)
    found = model.answer_scores(images, QUESTIONS[:2], ["ball", "policeman"])
    for row, question in enumerate(QUESTIONS[:2]):
        ids, mask = (part[:, : len(question.split()) + 2] for part in model.tokenize([question]))
        for column, pieces in enumerate((["ball"], ["police", "##man"])):
            answer = [len(WORDS) + 5, *(5 + WORDS.index(piece) for piece in pieces), 3]
            seen = module.vision_model(pixel_values=model.inputs([images[row]])).last_hidden_state
            read = module.text_encoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=seen).last_hidden_state
            logits = module.text_decoder(input_ids=torch.tensor([answer]), encoder_hidden_states=read).logits[0]
            total = sum(float(logits[t].log_softmax(-1)[answer[t + 1]]) for t in range(len(answer) - 1))
            assert found[row, column] == pytest.approx(total, abs=2e-5)
    with pytest.raises(FusionError, match="has no score"):
        model.score(images, TEXTS[:2])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_batch_changes_nothing(models, family):
    model, images = models[family].with_answers(["ball", "dog"], 2), pictures(3)
    blanks = ["a [MASK] with a ball", "the [MASK]", "what [MASK] ?"]
    candidates = ["man", "policeman", "dog"]
    plain = models[family]

    def everything():
        return (
            model.score(images, TEXTS[:3]), model.score_all(images, TEXTS[:3]), model.fill(images, blanks, candidates),
            model.answer_scores(images, QUESTIONS[:3], ["dog", "ball"]),
            plain.answer_scores(images, QUESTIONS[:3], ["dog", "policeman"]),
        )  # fmt: skip

    results = []
    for size in (1, 2, 64):
        model.batch_size = plain.batch_size = size
        results.append(everything())
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(np.diagonal(results[0][1]), results[0][0], atol=1e-5)
    assert np.ptp(results[0][1], axis=0).min() > 1e-3  # the image matters
    assert np.ptp(results[0][1], axis=1).min() > 1e-3  # the text matters


@pytest.mark.parametrize("family", FAMILIES)
def test_fusion_reads_in_both_directions(models, family):
    model = models[family]
    with torch.no_grad():
        seen = model.inputs(pictures(2))
        ids, mask = model.tokenize(["a man with a ball", "a man with a dog"])
        first = model.fuse(take(seen, [0, 0]), ids, mask)[:, 1]
        assert (first[0] - first[1]).abs().max() > 1e-3  # the second token has read the last
        same = model.fuse(take(seen, [0, 1]), ids[[0, 0]], mask[[0, 0]])[:, 1]
        assert (same[0] - same[1]).abs().max() > 1e-3
        longer, more = model.tokenize(["a man with a ball"])
        cut = int(more.sum())
        alone = model.fuse(take(seen, [0]), longer[:, :cut], more[:, :cut])
        torch.testing.assert_close(model.fuse(take(seen, [0]), longer, more)[:, :cut], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_blip_writes_from_left_to_right(models):
    model = models["blip"]
    seen = model.inputs(pictures(1))
    ids, mask = model.tokenize(["a man with a ball", "a man with a dog"])
    logits = model.next_logits(take(seen, [0, 0]), ids, mask)
    torch.testing.assert_close(logits[0, :5], logits[1, :5], rtol=1e-5, atol=1e-5)
    assert (logits[0, 5] - logits[1, 5]).abs().max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_primitives_reach_the_weights(family):
    model = stirred(family).with_answers(["ball", "dog"], 0)
    model.module.train()
    ids, mask = model.tokenize(TEXTS)
    inputs = model.inputs(pictures())
    has = model.card.capabilities
    total = model.answer_logits(inputs, ids, mask).square().mean()
    states = model.fuse(inputs, ids, mask, seen=model.see(inputs))
    total = total + model.match_logits(states)[:, 1].square().mean()
    if "mlm" in has:
        assert model.word_logits(states).shape == (5, 12, model.words.tokenizer.vocab_size)
        total = total + model.word_logits(states).square().mean()
    if "lm" in has:
        total = total + model.next_logits(inputs, ids, mask).square().mean()
    if "itc" in has:
        rows, texts, scale = model.project(inputs, ids, mask)
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(5), atol=1e-5, rtol=1e-5)
        total = total + (scale * rows @ texts.T).square().mean()
    total.backward()
    idle = {name for name, parameter in model.module.named_parameters() if parameter.grad is None}
    unused = {
        "blip": (),
        "albef": ("text.embeddings.x",),
        "lxmert": ("x_layers.0.visual", "x_layers.0.visn"),
        "vilt": (),
    }
    assert not {name for name in idle if not any(part in name for part in unused[family])}
    with pytest.raises(FusionError, match="training mode"):
        model.score(pictures(1), TEXTS[:1])


@pytest.mark.parametrize("family", FAMILIES)
def test_one_submodule_in_training_mode_is_refused(models, family):
    model = stirred(family, dropout=0.1)
    model.score(pictures(1), TEXTS[:1])
    next(part for part in model.module.modules() if isinstance(part, torch.nn.Dropout)).train()
    for ask in (
        lambda: model.score(pictures(1), TEXTS[:1]),
        lambda: model.fill(pictures(1), ["a [MASK]"], ["dog"]),
        lambda: model.answer(pictures(1), ["what ?"], ["dog"]),
    ):
        with pytest.raises(FusionError, match=r"training mode.*model\.eval\(\)"):
            ask()


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_and_loaded_bit_for_bit(models, family, tmp_path):
    model = models[family].with_answers(["ball", "a dog", "naïve ☃"], 3)
    loaded = load_fusion(f"{family}:{model.save(tmp_path / 'model')}", batch_size=3)
    before, after = model.module.state_dict(), loaded.module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert (loaded.answers, loaded.card.capabilities) == (model.answers, model.card.capabilities)
    assert loaded.card.weights.startswith("model.safetensors sha256:")
    images = pictures(3)
    assert np.array_equal(model.score(images, TEXTS[:3]), loaded.score(images, TEXTS[:3]))
    assert np.array_equal(
        model.fill(images, ["a [MASK]"] * 3, ["dog", "policeman"]),
        loaded.fill(images, ["a [MASK]"] * 3, ["dog", "policeman"]),
    )
    assert model.answer(images, QUESTIONS[:3]) == loaded.answer(images, QUESTIONS[:3])
    assert not [path for path in (tmp_path / "model").iterdir() if path.suffix in (".bin", ".pt")]


@pytest.mark.parametrize("family", FAMILIES)
def test_seeds_decide_and_the_global_state_is_left_alone(family):
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    small = {"width": 16, "heads": 2, "layers": 1}
    one = BUILDERS[family](WORDS, **small, seed=4).with_answers(["ball", "dog"], 1)
    one.score(pictures(2), TEXTS[:2])
    assert torch.equal(torch.rand(3), expected)
    again = BUILDERS[family](WORDS, **small, seed=4).with_answers(["ball", "dog"], 1).module.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in one.module.state_dict().items())
    other = BUILDERS[family](WORDS, **small, seed=5).with_answers(["ball", "dog"], 2).module.state_dict()
    moved = [name for name, value in one.module.state_dict().items() if not torch.equal(value, other[name])]
    assert any("head" in name or "classifier" in name for name in moved)
    assert len(moved) > 10


def test_a_head_belongs_to_the_copy(models):
    for model in models.values():
        before = model.card.parameters
        headed = model.with_answers(["ball", "dog"], 0)
        assert "head" in headed.card.capabilities - model.card.capabilities
        assert headed.card.parameters > before == sum(p.numel() for p in model.module.parameters())
        with torch.no_grad():
            next(iter(headed.module.parameters())).add_(1)
        assert headed.module is not model.module
        assert set(headed.answer(pictures(2), QUESTIONS[:2])) <= {"ball", "dog"}
        renewed = headed.with_answers(["red"], 0)
        assert renewed.answer(pictures(1), QUESTIONS[:1]) == ["red"]


@pytest.mark.parametrize("family", FAMILIES)
def test_hostile_inputs_are_refused(models, family):
    model, images = models[family], pictures(2)
    headed = model.with_answers(["ball", "dog"], 0)
    for ask, message in (
        (lambda: model.score(images, ["a man", " "]), "item 1"),
        (lambda: model.score(images, ["a man", None]), "item 1"),
        (lambda: model.score(images, "a man"), "one string"),
        (lambda: model.score(images, ["a man"]), "2 images for 1 texts"),
        (lambda: model.score(images[0], ["a man"]), r"Write \[image\]|images for 1"),
        (lambda: model.score(["photo.jpg"], ["a man"]), "str"),
        (lambda: model.score([np.zeros((8, 8, 3))], ["a man"]), "float64"),
        (lambda: model.fill(images, ["a man", "a [MASK]"], ["dog"]), "0 times"),
        (lambda: model.fill(images, ["a [MASK]", "[MASK] [MASK]"], ["dog"]), "2 times"),
        (lambda: model.fill(images, ["a [MASK]"] * 2, ["zebra"]), "not in the model's vocabulary"),
        (lambda: model.fill(images, ["a [MASK]"] * 2, ["dog", "dog"]), "more than once"),
        (lambda: model.fill(images, ["a [MASK]"] * 2, []), "empty list"),
        (lambda: model.fill(images[:1], ["a " * 20 + "[MASK]"], ["dog"]), "max_length"),
        (lambda: model.answer(images, QUESTIONS[:2]), "no list of answers of its own"),
        (lambda: headed.answer_scores(images, QUESTIONS[:2], ["red"]), "not among the 2"),
        (lambda: model.answer_logits(model.inputs(images), *model.tokenize(TEXTS[:2])), "has no head"),
        (lambda: model.with_answers([]), "empty list"),
    ):  # fmt: skip
        with pytest.raises(FusionError, match=message):
            ask()


def test_nothing_in_nothing_out(models):
    for model in models.values():
        assert model.score([], []).shape == (0,)
        assert model.score_all([], TEXTS).shape == (0, 5)
        assert model.fill([], [], ["dog"]).shape == (0, 1)
        assert model.answer([], [], ["dog"]) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_long_texts_are_cut_and_said_so_once(family):
    model = stirred(family)
    images = pictures(1)
    with pytest.warns(TextLengthWarning, match="1 of 1 texts exceed 12 tokens"):
        long = model.score(images, ["a man with a ball " * 3])
    assert np.array_equal(model.score(images, ["a man with a ball " * 4]), long)  # a second warning would raise
    assert model.words.over_length(["a man", "a " * 30]) == [1]


def test_absent_primitives_name_what_there_is(models):
    ids, mask = models["lxmert"].tokenize(["a man"])
    for family, primitive in (
        ("lxmert", "project"),
        ("vilt", "project"),
        ("albef", "next_logits"),
        ("vilt", "next_logits"),
    ):
        with pytest.raises(FusionError, match=r"has no (itc|lm): it offers answer"):
            getattr(models[family], primitive)(None, ids, mask)
    with pytest.raises(FusionError, match="has no mlm"):
        models["blip"].word_logits(None)
