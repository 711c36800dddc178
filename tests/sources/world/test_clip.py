"""The shipped model reads what it should, is biased as planted, and can be repaired in closed form."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fairvl
from fairvl.sources.world import WorldSpec, portraits
from fairvl.sources.world import words as w

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

FOLDER = Path(fairvl.__file__).parent / "sources" / "world" / "models" / "clip"
TRAIN = Path(__file__).parents[3] / "train"
UNPLANTED = ("age_group", "skin", "hair_length", "glasses", "smile", "place", "thing", "gender")


@pytest.fixture(scope="module")
def quality():
    sys.path.insert(0, str(TRAIN))
    try:
        import world_quality

        yield world_quality
    finally:
        sys.path.remove(str(TRAIN))


@pytest.fixture(scope="module")
def found(quality):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield quality.measure(quality.Model.load(FOLDER), n=600, k=60)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", UNPLANTED)
def test_it_reads_what_is_not_planted(found, name):
    assert found["before"]["accuracy"][name] >= 0.94  # 0.95 on 2,000 pictures; 600 leave a point of noise


def test_it_is_biased_as_planted(found):
    before = found["before"]
    assert before["text d: concepts"] > 1
    assert before["image d: pictures x concepts"] > 1
    assert before["occupation gap stereotyped - other"] > 0.1
    assert before["female share pleasant - unpleasant"] > 0.3


def test_projection_of_gender_prompts_repairs_it_and_random_directions_do_not(found):
    before, after, control = found["before"], found["centred"], found["random"]
    for name in ("text d: concepts", "image d: pictures x concepts", "mean max skew"):
        assert abs(after[name]) <= 0.5 * before[name], name
        assert control[name] > 0.7 * before[name], name
    for name in UNPLANTED[:-1]:
        assert after["accuracy"][name] >= before["accuracy"][name] - 0.02
    assert after["text d: control"] > 0.8 * before["text d: control"]


def test_its_tokenizer_knows_every_word_and_admits_the_others(quality):
    words = quality.AutoTokenizer.from_pretrained(FOLDER)
    text = " ".join(w.vocabulary())
    assert words.unk_token_id not in words(text, truncation=False)["input_ids"]
    assert words.tokenize("A photo, of a MAN.") == ["a", "photo", "of", "a", "man"]
    assert words.unk_token in words.tokenize("a photo of a zeppelin")


def test_it_is_small_and_documented():
    size = sum(file.stat().st_size for file in FOLDER.iterdir())
    assert size < 2_000_000
    card = (FOLDER / "README.md").read_text()
    assert "python train/world_clip.py --strength" in card
    assert json.loads((FOLDER / "config.json").read_text())["model_type"] == "clip"


def test_the_encoder_seam_gives_the_same_vectors(quality):
    from PIL import Image

    from fairvl.sources.encoders import load_encoder

    encoder = load_encoder("world:clip")
    world = portraits(WorldSpec(), 6, 9, split="test")
    plain = quality.Model.load(FOLDER)
    ours = encoder.encode_images([Image.fromarray(image) for image in world.images])
    np.testing.assert_allclose(quality.unit(ours), plain.images(world.images), atol=1e-4)
    texts = ["a photo of a kind person", "a nurse"]
    np.testing.assert_allclose(quality.unit(encoder.encode_texts(texts)), plain.texts(texts), atol=1e-4)
    assert list(encoder.unknown_words(["a photo of a zeppelin"])) == ["zeppelin"]


@pytest.mark.slow
def test_training_again_gives_the_same_quality(tmp_path, quality):
    command = [sys.executable, str(TRAIN / "world_clip.py"), "--out", str(tmp_path / "clip")]
    subprocess.run(command, check=True, capture_output=True)
    found = quality.measure(quality.Model.load(tmp_path / "clip"))
    accuracies = {name: found["before"]["accuracy"][name] for name in UNPLANTED}
    gender = accuracies.pop("gender")  # half of every planted pair
    assert min(accuracies.values()) >= 0.95, accuracies
    assert gender >= 0.93
    assert abs(found["centred"]["text d: concepts"]) <= 0.5 * found["before"]["text d: concepts"]
