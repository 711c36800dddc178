"""Fine-tuning: questions, retrieval and two images per sentence, learned, resumed and read back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import fairvl
from fairvl.errors import DatasetError, InputError, TrainingError
from fairvl.repair.pretraining import Pairs, ReasoningTask, VqaTask, finetune, reasoning_task
from fairvl.repair.pretraining.run import weights_hash
from fairvl.repair.pretraining.tasks import soft_scores

HOW = {"steps": 50, "batch_size": 24, "lr": 5e-3, "held_out": 0.2}
NAMES = ["red", "green", "blue", "white"]


def questions(colour_pairs, n=200):
    ids, pictures, _, _, codes = colour_pairs(n)
    return VqaTask(ids, pictures, ["what is over"] * n, [{NAMES[a]: 1.0, NAMES[b]: 0.3} for a, b in codes]), codes


def test_questions_are_learned_and_the_model_is_read_back(tmp_path, build, colour_pairs):
    task, codes = questions(colour_pairs)
    model = build("albef")
    before = weights_hash(model.module)
    run = finetune(model, task, tmp_path / "run", **HOW)
    assert weights_hash(model.module) == before
    said = run.model.answer(task.images[:60], task.questions[:60])
    assert np.mean([NAMES[a] == answer for (a, _), answer in zip(codes[:60], said, strict=True)]) > 0.6
    (check,) = run.checks
    assert check.name == "task"
    assert check.low > 0
    assert finetune(model, task, tmp_path / "run", **HOW).first == HOW["steps"]


def test_answers_that_have_nothing_to_do_with_images_are_not_learned(tmp_path, build, colour_pairs):
    task, _ = questions(colour_pairs, 120)
    rng = np.random.default_rng(0)
    noise = VqaTask(task.ids, task.images, task.questions, [NAMES[i] for i in rng.integers(0, 4, 120)])
    with pytest.raises(TrainingError, match=r"task .* always the most frequent one"):
        finetune(build("vilt"), noise, tmp_path / "run", **(HOW | {"steps": 4, "lr": 1e-5}))


@pytest.mark.parametrize("family", ["lxmert", "blip"])
def test_two_images_are_read_with_one_sentence(tmp_path, build, colour_pairs, family):
    n = 60
    ids, pictures, _, _, codes = colour_pairs(2 * n)
    left, right = slice(0, n), slice(n, 2 * n)
    labels = (codes[left, 0] == 0) | (codes[right, 0] == 0)
    task = ReasoningTask(ids[:n], pictures[left], pictures[right], ["a red is over"] * n, labels.tolist())
    run = finetune(build(family), task, tmp_path / "run", **(HOW | {"checks": False, "steps": 50, "batch_size": 20}))
    losses = [row["loss"] for row in run.losses]
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
    scores = run.model.score(task.left, task.right, task.sentences)
    assert scores.shape == (n,)
    assert scores[labels].mean() > scores[~labels].mean()


def test_retrieval_uses_what_the_model_has(tmp_path, build, pairs):
    run = finetune(build("blip"), pairs, tmp_path / "run", steps=3, batch_size=16, lr=1e-3, checks=False)
    assert {"itc", "itm"} <= run.losses[0].keys()
    assert "lm" not in run.losses[0]
    assert all(row["neutral"] == 0 for row in run.losses)


def test_a_clip_is_trained_by_contrast_and_read_back(tmp_path, colour_pairs):
    clip = fairvl.load_encoder("world:clip")
    n = 48
    ids, pictures, captions, neutral, _ = colour_pairs(n)
    pairs = Pairs(ids, pictures, captions, neutral)
    before = clip.encode_texts(captions[:3])
    options = {"steps": 3, "batch_size": 16, "lr": 1e-3, "checks": False, "held_out": 0.0}
    run = fairvl.pretrain(clip, pairs, tmp_path / "run", **options)
    assert (clip.encode_texts(captions[:3]) == before).all()
    loaded = fairvl.load_encoder(f"transformers:{tmp_path / 'run' / 'model'}")
    assert np.abs(loaded.encode_texts(captions[:3]) - before).max() > 1e-3
    assert np.array_equal(loaded.encode_images(pictures[:3]), run.model.encode_images(pictures[:3]))
    assert loaded.card.preprocessing == clip.card.preprocessing
    pieces = fairvl.pretrain(clip, pairs, tmp_path / "pieces", accumulate=4, **options)
    assert [row["itc"] for row in pieces.losses] == pytest.approx([row["itc"] for row in run.losses], abs=1e-4)


def test_soft_scores_are_those_of_the_benchmark():
    scores = soft_scores(["red"] * 1 + ["blue"] * 2 + ["green"] * 3 + ["white"] * 4)
    assert scores == {"red": 0.3, "blue": 0.6, "green": 0.9, "white": 1.0}


def test_broken_tasks_are_refused(tmp_path, build, colour_pairs):
    with pytest.raises(InputError, match="as many of each"):
        VqaTask(["a"], [], ["q"], ["x"])
    with pytest.raises(DatasetError, match="more than once"):
        VqaTask(["a", "a"], np.zeros((2, 4, 4, 3), np.uint8), ["q", "q"], ["x", "y"])
    with pytest.raises(DatasetError, match="no text"):
        VqaTask(["a"], np.zeros((1, 4, 4, 3), np.uint8), [" "], ["x"])
    with pytest.raises(DatasetError, match="expected 0 to 1"):
        VqaTask(["a"], np.zeros((1, 4, 4, 3), np.uint8), ["q"], [{"x": 2.0}]).targets()
    with pytest.raises(DatasetError, match="neither True nor False"):
        ReasoningTask(["a"], *[np.zeros((1, 4, 4, 3), np.uint8)] * 2, ["s"], [2])
    task, _ = questions(colour_pairs, 40)
    with pytest.raises(InputError, match="no option rate"):
        finetune(build("albef"), task, tmp_path / "x", steps=1, batch_size=4, rate=1)


def test_a_folder_of_nlvr2_becomes_a_task_with_both_images(tmp_path, build):
    colours = {"img0": (255, 0, 0), "img1": (0, 0, 255)}
    (tmp_path / "dev").mkdir()
    lines = []
    for number in range(8):
        for side, colour in colours.items():
            Image.new("RGB", (32, 32), colour).save(tmp_path / f"dev/dev-{number}-0-{side}.png")
        lines.append({"identifier": f"dev-{number}-0-0", "sentence": "red is over blue", "label": str(number % 2 == 0)})
    (tmp_path / "dev.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    task = reasoning_task(tmp_path, split="dev")
    assert task.labels == [True, False] * 4
    assert task.left[3]() == (tmp_path / "dev/dev-3-0-img0.png").read_bytes()
    assert task.right[3]() == (tmp_path / "dev/dev-3-0-img1.png").read_bytes()
    run = finetune(build("blip"), task, tmp_path / "run", steps=2, batch_size=4, held_out=0, checks=False)
    pictures = [[np.asarray(Image.new("RGB", (32, 32), colour))] for colour in colours.values()]
    assert np.isfinite(run.model.score(*pictures, ["red is over blue"])).all()
    lines[5]["label"] = None
    (tmp_path / "dev.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    with pytest.raises(DatasetError, match=r"'dev-5-0-0' lacks .* a label True or False"):
        reasoning_task(tmp_path, split="dev")
