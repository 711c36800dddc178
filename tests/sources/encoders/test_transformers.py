"""transformers adapter: CLIP, SigLIP and SigLIP 2, both majors' return kinds, local folders without network."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import EncoderError
from fairvl.sources.encoders import TextLengthWarning, check_encoder, load_encoder
from fairvl.sources.encoders.transformers_models import features

KINDS = ("clip", "siglip", "siglip2")
TEXTS = ["a photo of a person", "two dogs", "a nurse smiling"]


@pytest.fixture(scope="module")
def encoders(transformers_folders):
    return {kind: load_encoder(f"transformers:{folder}") for kind, folder in transformers_folders.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_conforms(encoders, pictures, kind):
    assert "image: preprocess" in check_encoder(encoders[kind])
    check_encoder(encoders[kind], images=pictures)


@pytest.mark.parametrize("kind", KINDS)
def test_gives_what_the_library_gives(encoders, transformers_folders, transformers, torch, kind):
    folder = transformers_folders[kind]
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, padding_side="right")
    backend = {"backend": "pil"} if int(transformers.__version__.split(".")[0]) >= 5 else {"use_fast": False}
    processor = transformers.AutoImageProcessor.from_pretrained(folder, **backend)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in ((41, 60), (77, 32), (9, 9))]
    padding = {"padding": True} if kind == "clip" else {"padding": "max_length", "max_length": 64}
    with torch.no_grad():
        expected = features(model.get_image_features(**processor(images=images, return_tensors="pt"))).numpy()
        tokens = tokenizer(TEXTS, return_tensors="pt", **padding)["input_ids"]
        expected_texts = features(model.get_text_features(input_ids=tokens)).numpy()
    np.testing.assert_allclose(encoders[kind].encode_images(images), expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(encoders[kind].encode_texts(TEXTS), expected_texts, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected - expected[0]).max() > 1e-2
    assert np.abs(expected_texts - expected_texts[0]).max() > 1e-2


def test_features_of_both_majors(torch):
    tensor = torch.ones(2, 3)
    assert features(tensor) is tensor
    assert features(SimpleNamespace(last_hidden_state=None, pooler_output=tensor)) is tensor
    assert features((None, tensor)) is tensor


def test_a_model_of_the_other_major_gives_the_same_vectors(transformers_folders, torch):
    encoder = load_encoder(f"transformers:{transformers_folders['clip']}")
    image = [np.full((40, 30, 3), 90, np.uint8)]
    images, texts = encoder.encode_images(image), encoder.encode_texts(TEXTS)
    for method in ("get_image_features", "get_text_features"):
        original = getattr(encoder.module, method)
        now_tensor = isinstance(original(**_example(method, torch)), torch.Tensor)
        wrap = (lambda x: SimpleNamespace(pooler_output=x)) if now_tensor else features
        setattr(encoder.module, method, lambda original=original, wrap=wrap, **k: wrap(original(**k)))
    np.testing.assert_array_equal(encoder.encode_images(image), images)
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), texts)


def _example(method, torch):
    return (
        {"pixel_values": torch.zeros(1, 3, 32, 32)}
        if "image" in method
        else {"input_ids": torch.tensor([[3, 4, 5, 6]])}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_loading_opens_no_connection(transformers_folders, no_network, kind):
    load_encoder(f"transformers:{transformers_folders[kind]}").encode_texts(["a person"])
    assert no_network == []


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_encode_pixels(encoders, torch, kind):
    arrays = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255).requires_grad_()
    vectors = encoders[kind].encode_pixels(pixels)
    expected = encoders[kind].encode_images(arrays)
    np.testing.assert_allclose(vectors.detach().numpy(), expected, atol=1e-4 * np.abs(expected).max())
    vectors.square().sum().backward()
    assert (pixels.grad.abs().amax(dim=(1, 2, 3)) > 0).all()


def test_variable_resolution_offers_no_encode_pixels(encoders):
    assert not hasattr(encoders["siglip2"], "encode_pixels")


@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_siglip_text_is_padded_to_64(encoders, kind):
    seen = []
    module = encoders[kind].module
    handle = module.text_model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((kwargs["input_ids"].shape[1], kwargs.get("attention_mask"))),
        with_kwargs=True,
    )
    encoders[kind].encode_texts(["a person"])
    handle.remove()
    assert seen == [(64, None)]
    assert encoders[kind].card.context_length == 64


def test_unknown_words(encoders):
    for kind in ("clip", "siglip"):
        assert encoders[kind].unknown_words(["A zebra, doctor", "unicorn zebra"]) == ["zebra", ",", "unicorn"]


def test_an_open_vocabulary_has_no_unknown_words(transformers_folders, transformers, tmp_path):
    from tokenizers import pre_tokenizers

    shutil.copytree(transformers_folders["clip"], tmp_path / "clip")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*letters, *[letter + "</w>" for letter in letters], "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {name: number for number, name in enumerate(names)}
    for path in (tmp_path / "clip").glob("*token*"):
        path.unlink()
    (tmp_path / "clip" / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "clip" / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "clip" / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    config["text_config"] |= {"vocab_size": len(names), "eos_token_id": len(names) - 1}
    model = transformers.CLIPModel(transformers.CLIPConfig.from_dict(config))
    model.save_pretrained(tmp_path / "clip")
    encoder = load_encoder(f"transformers:{tmp_path / 'clip'}")
    assert not hasattr(encoder, "unknown_words")
    check_encoder(encoder, texts=["a dog", "cats", "ox"])
    assert encoder.over_length(["a dog", "a dog and many cats"]) == [1]


def test_long_texts_are_reported(encoders):
    long = " ".join(["person"] * 15)
    assert encoders["clip"].over_length(["a person", long, " ".join(["person"] * 14)]) == [1]
    with pytest.warns(TextLengthWarning, match="1 of 1 texts exceed the context of 16"):
        encoders["clip"].encode_texts([long])


def test_card(encoders, transformers_folders):
    card = encoders["clip"].card
    assert (card.library, card.name, card.dim) == ("transformers", "transformers:clip", 12)
    assert card.weights.startswith("model.safetensors sha256:")
    assert str(transformers_folders["clip"].parent) not in repr(card)
    again = load_encoder(f"transformers:{transformers_folders['clip']}").card
    assert again.fingerprint == card.fingerprint
    assert len({encoder.card.fingerprint for encoder in encoders.values()}) == 3


def test_another_tokenizer_or_preprocessing_changes_the_card(encoders, transformers_folders, tmp_path):
    shutil.copytree(transformers_folders["clip"], tmp_path / "clip")
    path = tmp_path / "clip" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_mean": [0.5, 0.5, 0.5]}))
    first = load_encoder(f"transformers:{tmp_path / 'clip'}").card
    tokenizer = tmp_path / "clip" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"Lowercase"', '"NFC"'))
    second = load_encoder(f"transformers:{tmp_path / 'clip'}").card
    assert len({encoders["clip"].card.preprocessing, first.preprocessing, second.preprocessing}) == 3


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "lacks config.json"),
        ("model.safetensors", "lacks model.safetensors"),
        ("tokenizer.json", r"lacks a tokenizer \(tokenizer.json\)"),
        ("preprocessor_config.json", "lacks preprocessor_config.json"),
    ],
)
def test_incomplete_folders(transformers_folders, tmp_path, no_network, file, message):
    shutil.copytree(transformers_folders["clip"], tmp_path / "clip")
    (tmp_path / "clip" / file).unlink()
    with pytest.raises(EncoderError, match=message):
        load_encoder(f"transformers:{tmp_path / 'clip'}")
    assert no_network == []


def test_pickled_weights_are_not_read(transformers_folders, tmp_path):
    shutil.copytree(transformers_folders["clip"], tmp_path / "clip")
    (tmp_path / "clip" / "model.safetensors").rename(tmp_path / "clip" / "pytorch_model.bin")
    with pytest.raises(EncoderError, match=r"pytorch_model\.bin is pickled"):
        load_encoder(f"transformers:{tmp_path / 'clip'}")


def test_weights_that_do_not_fill_the_model(transformers_folders, tmp_path, torch):
    from safetensors.torch import load_file, save_file

    shutil.copytree(transformers_folders["clip"], tmp_path / "clip")
    state = load_file(tmp_path / "clip" / "model.safetensors")
    state.pop("text_projection.weight")
    save_file(state, tmp_path / "clip" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"do not fill the model: 1 tensors .* text_projection\.weight"):
        load_encoder(f"transformers:{tmp_path / 'clip'}")


def test_other_model_types_are_refused_before_anything_is_built(transformers_folders, tmp_path):
    shutil.copytree(transformers_folders["clip"], tmp_path / "clip")
    trace = tmp_path / "executed"
    (tmp_path / "clip" / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Model: ...\nclass Config: ...\n")
    path = tmp_path / "clip" / "config.json"
    remote = {"auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}}
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **remote, "model_type": "bert"}))
    with pytest.raises(EncoderError, match="type 'bert'; supported: clip, siglip, siglip2"):
        load_encoder(f"transformers:{tmp_path / 'clip'}")
    path.write_text(json.dumps({**config, **remote}))
    load_encoder(f"transformers:{tmp_path / 'clip'}")  # the class of the library, never that of the repository
    assert not trace.exists()


def test_a_tokenizer_that_ends_texts_elsewhere_is_refused(transformers_folders, tmp_path):
    shutil.copytree(transformers_folders["clip"], tmp_path / "clip")
    path = tmp_path / "clip" / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["eos_token_id"] = 5
    path.write_text(json.dumps(config))
    with pytest.raises(EncoderError, match="would read the wrong place"):
        load_encoder(f"transformers:{tmp_path / 'clip'}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("transformers:./absent", "neither a folder that exists nor a repository"),
        ("transformers:a/b/c", "neither a folder that exists nor a repository"),
        ("transformers:{clip}?revision=main", "belongs to hub repositories"),
        ("transformers:{clip}?revison=main", "Did you mean 'revision'"),
    ],
)
def test_names_that_cannot_be_loaded(transformers_folders, no_network, name, message):
    with pytest.raises(EncoderError, match=message):
        load_encoder(name.format(clip=transformers_folders["clip"]))
    assert no_network == []


def test_a_repository_is_asked_for_only_when_named(no_network, monkeypatch, transformers):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # no retries: quick
    with pytest.raises(EncoderError, match="configuration of fairvl-test/absent cannot be loaded"):
        load_encoder("transformers:fairvl-test/absent")


def test_a_repository_is_read_at_one_commit_that_the_card_names(encoders, transformers_folders, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--org--clip"
    shutil.copytree(transformers_folders["clip"], repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "v1").write_text(commit)
    encoder = load_encoder("transformers:org/clip?revision=v1")
    assert (encoder.card.name, encoder.card.revision) == ("transformers:org/clip", commit)
    assert np.array_equal(encoder.encode_texts(TEXTS), encoders["clip"].encode_texts(TEXTS))
