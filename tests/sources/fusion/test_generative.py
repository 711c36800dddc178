"""Generative models through AutoModelForImageTextToText: a tiny LLaVA with a processor built here."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from fairvl.errors import FusionError  # noqa: E402
from fairvl.sources.fusion import load_fusion  # noqa: E402

WORDS = ["a", "man", "dog", "ball", "what", "is", "this", "?", "user", "assistant", ":", "red", "blue", "##s"]
TEMPLATE = (
    "{% for message in messages %}user : {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


def build(folder, chat=True):
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordPiece

    names = ["<pad>", "<unk>", "<s>", "</s>", "<image>", *WORDS]
    backend = Tokenizer(WordPiece({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**size, image_size=16, patch_size=8),
        text_config=transformers.LlamaConfig(
            **size, num_key_value_heads=2, vocab_size=len(names), max_position_embeddings=64, pad_token_id=0,
            bos_token_id=2, eos_token_id=3,
        ),
        image_token_index=4, vision_feature_layer=-1,
    )  # fmt: skip
    torch.manual_seed(0)
    module = transformers.LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(15)
    module.generation_config.eos_token_id = 3
    module.generation_config.pad_token_id = 0
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16),
        tokenizer=tokenizer, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE if chat else None,
    )  # fmt: skip
    module.save_pretrained(folder)
    processor.save_pretrained(folder)
    return module.eval(), processor


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("llava")
    build(place)
    return place


def pictures(n=3):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, size=(20 + i, 24, 3), dtype=np.uint8)) for i in range(n)]


def test_candidates_get_their_summed_log_probability(folder):
    model = load_fusion(f"generative:{folder}")
    assert model.card.family == "generative"
    assert model.card.capabilities == {"answer"}
    images, answers = pictures(2), ["dog", "a ball", "mans"]
    found = model.answer_scores(images, ["what is this ?", "is this red ?"], answers)
    ids = {name: i for i, name in enumerate(["<pad>", "<unk>", "<s>", "</s>", "<image>", *WORDS])}
    with torch.no_grad():
        for row, question in enumerate(("what is this ?", "is this red ?")):
            prompt = ["user", ":", *["<image>"] * 4, *question.split(), "assistant", ":"]
            pixels = model.processor.image_processor([images[row]], return_tensors="pt")["pixel_values"]
            for column, pieces in enumerate((["dog"], ["a", "ball"], ["man", "##s"])):
                total, so_far = 0.0, prompt
                for piece in [*pieces, "</s>"]:
                    given = torch.tensor([[ids[name] for name in so_far]])
                    logits = model.module(input_ids=given, pixel_values=pixels).logits[0, -1]
                    total += float(logits.double().log_softmax(-1)[ids[piece]])
                    so_far = [*so_far, piece]
                assert found[row, column] == pytest.approx(total, abs=1e-4)
    assert np.ptp(found) > 0.5
    assert model.answer(images, ["what is this ?"] * 2, answers) == [answers[i] for i in model.answer_scores(
        images, ["what is this ?"] * 2, answers).argmax(1)]  # fmt: skip


def test_writing_is_greedy_and_the_batch_changes_nothing(folder):
    model = load_fusion(f"generative:{folder}?max_new_tokens=4")
    images, questions = pictures(), ["what is this ?", "is this a dog ?", "what ?"]
    together = model.answer(images, questions)
    assert together == [model.answer([i], [q])[0] for i, q in zip(images, questions, strict=True)]
    batch = model._encode(model._prompt(questions[0]), images[0])
    ids = batch["input_ids"]
    written: list[int] = []
    with torch.no_grad():
        while len(written) < 4 and written[-1:] != [3]:
            given = torch.cat([ids, torch.tensor([written], dtype=torch.long)], 1)
            written.append(
                int(model.module(input_ids=given, pixel_values=batch["pixel_values"]).logits[0, -1].argmax())
            )
    assert together[0] == model.processor.tokenizer.decode(written, skip_special_tokens=True).strip()


def test_the_image_matters(folder):
    model = load_fusion(f"generative:{folder}")
    found = model.answer_scores(pictures(), ["what is this ?"] * 3, ["dog", "ball"])
    assert np.ptp(found, axis=0).min() > 1e-3


def test_saved_and_loaded_bit_for_bit(folder, tmp_path):
    model = load_fusion(f"generative:{folder}", max_new_tokens=3)
    again = load_fusion(f"generative:{model.save(tmp_path / 'saved')}")
    assert again.max_new_tokens == 3
    before, after = model.module.state_dict(), again.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.answer(pictures(), ["what is this ?"] * 3) == again.answer(pictures(), ["what is this ?"] * 3)


def test_without_a_chat_template_the_image_comes_first(tmp_path):
    build(tmp_path, chat=False)
    model = load_fusion(f"generative:{tmp_path}")
    assert model._prompt("what is this ?") == "<image>\nwhat is this ?"
    assert np.isfinite(model.answer_scores(pictures(1), ["what is this ?"], ["dog"])).all()


def test_what_it_cannot_do_and_what_is_no_input(folder):
    model = load_fusion(f"generative:{folder}")
    for ask, message in (
        (lambda: model.score(pictures(1), ["a dog"]), "has no score"),
        (lambda: model.fill(pictures(1), ["a [MASK]"], ["dog"]), "has no fill"),
        (lambda: model.inputs(pictures(1)), "has no primitive"),
        (lambda: model.with_answers(["dog"]), "has no head"),
        (lambda: model.answer(pictures(2), ["what ?"]), "2 images for 1 questions"),
        (lambda: model.answer(pictures(1), [" "]), "item 0"),
        (lambda: model.answer_scores(["x.png"], ["what ?"], ["dog"]), "item 0"),
    ):
        with pytest.raises(FusionError, match=message):
            ask()
    model.module.train()
    with pytest.raises(FusionError, match="training mode"):
        model.answer(pictures(1), ["what ?"])
