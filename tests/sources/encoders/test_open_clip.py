"""open_clip adapter: the library's numbers, local files only, clear refusals."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fairvl.errors import EncoderError
from fairvl.sources.encoders import TextLengthWarning, check_encoder, load_encoder

TEXTS = ["a photo of a person", "two dogs", "A Doctor, smiling!"]


@pytest.fixture(scope="module")
def encoder(open_clip_folder):
    return load_encoder(f"open_clip:local-dir:{open_clip_folder}")


def test_conforms(encoder, pictures):
    assert "image: preprocess" in check_encoder(encoder)
    assert check_encoder(encoder, images=pictures)


def test_gives_what_the_library_gives(encoder, open_clip_folder, torch):
    import open_clip

    name = f"local-dir:{open_clip_folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    model.eval()
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in ((41, 60), (77, 32), (9, 9))]
    with torch.no_grad():
        expected = model.encode_image(torch.stack([transform(image) for image in images])).numpy()
        expected_texts = model.encode_text(open_clip.get_tokenizer(name)(TEXTS)).numpy()
    np.testing.assert_allclose(encoder.encode_images(images), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected_texts, atol=1e-5)
    assert np.abs(expected - expected[0]).max() > 1e-2  # images matter, so agreement means something


def test_batch_of_one_equals_batch_of_32(encoder):
    rng = np.random.default_rng(1)
    images = list(rng.integers(0, 256, (32, 40, 50, 3), dtype=np.uint8))
    single = np.concatenate([encoder.encode_images([image]) for image in images])
    np.testing.assert_allclose(encoder.encode_images(images), single, atol=1e-5)


def test_a_repeated_text_is_encoded_once(encoder):
    seen = []
    handle = encoder.module.token_embedding.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    vectors = encoder.encode_texts([TEXTS[1], TEXTS[0], TEXTS[1], TEXTS[1]])
    handle.remove()
    assert seen == [2]
    np.testing.assert_array_equal(vectors, encoder.encode_texts([TEXTS[1], TEXTS[0]])[[0, 1, 0, 0]])


def test_loading_opens_no_connection(open_clip_folder, no_network):
    load_encoder(f"open_clip:local-dir:{open_clip_folder}").encode_texts(["a person"])
    assert no_network == []


def test_the_network_guard_would_see_a_connection(no_network):
    import urllib.request

    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen("http://localhost:9/")
    assert no_network


def test_encode_pixels_equals_encode_images_and_has_a_gradient(encoder, torch):
    rng = np.random.default_rng(2)
    arrays = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    pixels = (torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255).requires_grad_()
    vectors = encoder.encode_pixels(pixels)
    np.testing.assert_allclose(vectors.detach().numpy(), encoder.encode_images(arrays), atol=1e-4)
    vectors.square().sum().backward()
    assert pixels.grad.abs().max() > 1e-6
    assert (pixels.grad.abs().amax(dim=(1, 2, 3)) > 0).all()


def test_encode_pixels_resizes_like_an_image(encoder, torch):
    smooth = np.linspace(0, 255, 90)[None, :, None] * np.linspace(0.3, 1, 70)[:, None, None] * np.array([1, 0.7, 0.4])
    array = smooth.astype(np.uint8)
    pixels = torch.from_numpy(array).permute(2, 0, 1)[None].float() / 255
    pixel_vector, image_vector = encoder.encode_pixels(pixels).detach().numpy(), encoder.encode_images([array])
    assert np.abs(pixel_vector - image_vector).max() < 0.02 * np.abs(image_vector).max()


def test_encode_pixels_names_what_it_expects(encoder, torch):
    with pytest.raises(EncoderError, match=r"float tensor \[n, 3, h, w\]"):
        encoder.encode_pixels(torch.zeros(3, 32, 32))


def test_preprocess_pickles_and_needs_no_torch(encoder):
    code = (
        "import pickle, sys; from PIL import Image; transform = pickle.loads(sys.stdin.buffer.read());"
        "print(transform(Image.new('RGB', (50, 40), 'red')).shape, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(encoder.preprocess), capture_output=True, check=True
    )
    assert done.stdout.decode().split() == ["(32,", "32,", "3)", "False"]


def test_long_texts_are_reported_once_and_listed(open_clip_folder):
    encoder = load_encoder(f"open_clip:local-dir:{open_clip_folder}")
    fits, long = " ".join(["dog"] * 14), " ".join(["dog"] * 15)
    assert encoder.card.context_length == 16
    assert encoder.over_length([fits, long, "a dog"]) == [1]
    with pytest.warns(TextLengthWarning, match=r"1 of 2 texts exceed the context of 16"):
        encoder.encode_texts([fits, long])
    encoder.encode_texts([long])  # warnings are errors here: the second time is silent


def test_card_and_its_fingerprint(encoder, open_clip_folder):
    card = encoder.card
    assert (card.library, card.name, card.dim, card.dtype) == ("open_clip", "open_clip:local-dir:tiny", 12, "float32")
    assert card.weights.startswith("open_clip_model.safetensors sha256:")
    assert card.parameters == sum(p.numel() for p in encoder.module.parameters())
    assert str(open_clip_folder.parent) not in repr(card)
    assert load_encoder(f"open_clip:local-dir:{open_clip_folder}").card.fingerprint == card.fingerprint


def test_another_preprocessing_changes_the_fingerprint(encoder, open_clip_folder, tmp_path):
    import json

    shutil.copytree(open_clip_folder, tmp_path / "tiny")
    path = tmp_path / "tiny" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["preprocess_cfg"] = {"interpolation": "bilinear"}
    path.write_text(json.dumps(config))
    other = load_encoder(f"open_clip:local-dir:{tmp_path / 'tiny'}").card
    assert other.weights == encoder.card.weights
    assert other.preprocessing != encoder.card.preprocessing
    assert other.fingerprint != encoder.card.fingerprint


@pytest.mark.parametrize("mode", ["longest", "squash"])
def test_other_resize_modes_give_the_librarys_numbers(open_clip_folder, tmp_path, torch, mode):
    import json

    import open_clip

    shutil.copytree(open_clip_folder, tmp_path / "tiny")
    path = tmp_path / "tiny" / "open_clip_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "preprocess_cfg": {"resize_mode": mode}}))
    name = f"local-dir:{tmp_path / 'tiny'}"
    ours = load_encoder(f"open_clip:{name}")
    model, _, transform = open_clip.create_model_and_transforms(name)
    image = Image.fromarray(np.random.default_rng(5).integers(0, 256, (45, 83, 3), dtype=np.uint8))
    with torch.no_grad():
        expected = model.eval().encode_image(transform(image)[None]).numpy()
    np.testing.assert_allclose(ours.encode_images([image]), expected, atol=1e-5)
    assert hasattr(ours, "encode_pixels") == (mode == "squash")  # what cannot be differentiated is not offered
    check_encoder(ours)


def test_pickled_weights_need_a_flag(open_clip_folder, tmp_path, torch):
    from safetensors.torch import load_file

    shutil.copytree(open_clip_folder, tmp_path / "tiny")
    state = load_file(tmp_path / "tiny" / "open_clip_model.safetensors")
    (tmp_path / "tiny" / "open_clip_model.safetensors").unlink()
    torch.save(state, tmp_path / "tiny" / "open_clip_pytorch_model.bin")
    name = f"open_clip:local-dir:{tmp_path / 'tiny'}"
    with pytest.raises(EncoderError, match="unsafe_pt=1"):
        load_encoder(name)
    expected = load_encoder(f"open_clip:local-dir:{open_clip_folder}").encode_texts(TEXTS)
    np.testing.assert_array_equal(load_encoder(f"{name}?unsafe_pt=1").encode_texts(TEXTS), expected)


def test_a_pickle_that_runs_code_is_refused_even_with_the_flag(open_clip_folder, tmp_path):
    shutil.copytree(open_clip_folder, tmp_path / "tiny")
    (tmp_path / "tiny" / "open_clip_model.safetensors").unlink()
    trace = tmp_path / "executed"

    class Attack:
        def __reduce__(self):
            return (open, (str(trace), "w"))

    (tmp_path / "tiny" / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps({"state_dict": Attack()}))
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(f"open_clip:local-dir:{tmp_path / 'tiny'}?unsafe_pt=1")
    assert not trace.exists()


def test_incomplete_folders_are_explained(open_clip_folder, tmp_path):
    with pytest.raises(EncoderError, match="not a folder"):
        load_encoder(f"open_clip:local-dir:{tmp_path / 'absent'}")
    with pytest.raises(EncoderError, match=r"no open_clip_config\.json"):
        load_encoder(f"open_clip:local-dir:{tmp_path}")
    shutil.copy(open_clip_folder / "open_clip_config.json", tmp_path)
    with pytest.raises(EncoderError, match="no weights"):
        load_encoder(f"open_clip:local-dir:{tmp_path}")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_encoder(f"open_clip:local-dir:{tmp_path}")


@pytest.fixture
def tiny_architecture(monkeypatch, open_clip_folder):
    """The tiny configuration under a built-in name, so that checkpoint= and random= are quick to test."""
    import json

    from open_clip import factory

    config = json.loads((open_clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "Tiny-Test", config)
    return "Tiny-Test"


def test_checkpoint_file(tiny_architecture, open_clip_folder, encoder, no_network):
    file = open_clip_folder / "open_clip_model.safetensors"
    loaded = load_encoder(f"open_clip:{tiny_architecture}?checkpoint={file}")
    np.testing.assert_array_equal(loaded.encode_texts(TEXTS), encoder.encode_texts(TEXTS))
    assert loaded.card.weights == encoder.card.weights
    by_keyword = load_encoder(f"open_clip:{tiny_architecture}", checkpoint=file)
    assert by_keyword.card.fingerprint == loaded.card.fingerprint
    assert no_network == []


def test_checkpoint_that_does_not_fit(tiny_architecture, open_clip_folder, tmp_path, torch):
    from safetensors.torch import load_file, save_file

    state = load_file(open_clip_folder / "open_clip_model.safetensors")
    state.pop("text_projection")
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(EncoderError, match=r"cannot be loaded.*text_projection"):
        load_encoder(f"open_clip:{tiny_architecture}?checkpoint={tmp_path / 'part.safetensors'}")
    with pytest.raises(EncoderError, match="is not a file"):
        load_encoder(f"open_clip:{tiny_architecture}?checkpoint={tmp_path / 'absent.safetensors'}")
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(EncoderError, match="unsafe_pt=1"):
        load_encoder(f"open_clip:{tiny_architecture}?checkpoint={tmp_path / 'weights.pt'}")


def test_random_weights_are_seeded_and_say_so(tiny_architecture, torch):
    state = torch.get_rng_state()
    first, again, other = (load_encoder(f"open_clip:{tiny_architecture}?random={seed}") for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first.encode_texts(TEXTS), again.encode_texts(TEXTS))
    assert np.abs(first.encode_texts(TEXTS) - other.encode_texts(TEXTS)).max() > 1e-3
    assert (first.card.weights, first.card.revision) == ("random", "seed 1")
    assert "random" in first.card.training_data
    assert first.card.fingerprint != other.card.fingerprint


def test_every_submodule_is_in_eval_mode_and_stays_so(open_clip_folder):
    encoder = load_encoder(f"open_clip:local-dir:{open_clip_folder}")
    assert not any(part.training for part in encoder.module.modules())
    encoder.module.visual.train()
    with pytest.raises(EncoderError, match="training mode"):
        encoder.encode_texts(["a person"])
    with pytest.raises(EncoderError, match="training mode"):
        encoder.encode_images([np.zeros((32, 32, 3), np.uint8)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-33/openai", "nearest: ViT-B-32"),
        ("open_clip:ViT-B-32/laion2b_s34b", "nearest: laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32-quickgelu/laion2b_s34b_b79k", "The tag exists for ViT-B-32"),
        ("open_clip:ViT-B-32", "exactly one source of weights"),
        ("open_clip:ViT-B-32/openai?random=1", "exactly one source of weights"),
        ("open_clip:ViT-B-32?random=-1", "whole number"),
        ("open_clip:hf-hub:org/name?random=1", "brings its own weights"),
        ("open_clip:ViT-B-32/openai?device=tpu9", "device 'tpu9' cannot be used"),
    ],
)
def test_names_that_cannot_be_loaded(open_clip_folder, no_network, name, message):
    with pytest.raises(EncoderError, match=message):
        load_encoder(name)
    assert no_network == []
