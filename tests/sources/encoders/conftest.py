"""Tiny models of the real classes, built once, and a network that is not there."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
from PIL import Image

SENTENCE = "a photo of person woman man doctor nurse two dogs cats in the park very old house near river smiling"


@pytest.fixture
def no_network(monkeypatch):
    """Fails every attempt to open a connection, and lists the attempts."""
    attempts = []

    def refuse(self, address, *rest):
        attempts.append(address)
        raise OSError(f"test: connection to {address} refused")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: refuse(None, a[:2]))
    return attempts


@pytest.fixture(scope="session")
def pictures():
    """RGB, grey, RGBA and CMYK pictures and an array, of different sizes."""
    rng = np.random.default_rng(7)

    def pixels(height, width, *channels):
        return rng.integers(0, 256, (height, width, *channels), dtype=np.uint8)

    return [
        Image.fromarray(pixels(61, 93, 3)),
        Image.fromarray(pixels(50, 34)),
        Image.fromarray(pixels(40, 40, 4)),
        Image.fromarray(pixels(33, 57, 3)).convert("CMYK"),
        pixels(32, 32, 3),
    ]


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed (extra: models)")


@pytest.fixture(scope="session")
def open_clip_folder(torch, tmp_path_factory):
    """A tiny open_clip.CLIP as a local-dir."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed (extra: models)")
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("open-clip") / "tiny"
    folder.mkdir()
    config = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed (extra: models)")


@pytest.fixture(scope="session")
def word_tokenizer(transformers):
    """A closed vocabulary of whole words, special tokens last."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    names = ["[PAD]", "[UNK]", "[SPARE]", *SENTENCE.split(), "[BOS]", "[EOS]"]
    vocabulary = {word: number for number, word in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[(name, vocabulary[name]) for name in ("[BOS]", "[EOS]")]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]"
    )


@pytest.fixture(scope="session")
def transformers_folders(torch, transformers, word_tokenizer, tmp_path_factory):
    """Tiny CLIP, SigLIP and SigLIP 2 (variable resolution) with a tokenizer of whole words, by model type."""
    root = tmp_path_factory.mktemp("transformers")
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = {
        "vocab_size": len(word_tokenizer),
        "bos_token_id": word_tokenizer.bos_token_id,
        "eos_token_id": word_tokenizer.eos_token_id,
        "pad_token_id": word_tokenizer.pad_token_id,
    }
    pixels = {"image_size": 32, "patch_size": 8}
    models = {
        "clip": transformers.CLIPModel(
            transformers.CLIPConfig(
                text_config={**size, **tokens, "max_position_embeddings": 16},
                vision_config={**size, **pixels},
                projection_dim=12,
            )
        ),
        "siglip": transformers.SiglipModel(
            transformers.SiglipConfig(
                text_config={**size, **tokens, "max_position_embeddings": 64}, vision_config={**size, **pixels}
            )
        ),
        "siglip2": transformers.Siglip2Model(
            transformers.Siglip2Config(
                text_config={**size, **tokens, "max_position_embeddings": 64},
                vision_config={**size, "patch_size": 8, "num_patches": 16},
            )
        ),
    }
    processors = {
        "clip": transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        "siglip": transformers.SiglipImageProcessor(size={"height": 32, "width": 32}),
        "siglip2": transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16),
    }
    generator = torch.Generator().manual_seed(3)
    for kind, model in models.items():
        for parameter in model.parameters():  # weights of one fixed seed, large enough that inputs matter
            if parameter.ndim > 1:
                parameter.data.normal_(0, 0.3, generator=generator)
        model.save_pretrained(root / kind)
        word_tokenizer.save_pretrained(root / kind)
        processors[kind].save_pretrained(root / kind)
    return {kind: root / kind for kind in models}
