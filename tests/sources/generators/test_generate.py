"""`generate`: every prompt with every seed, once, resumable, and mistakes refused before any work."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fairvl
from fairvl.errors import ConfigMismatchError, DatasetError, GeneratorError, JobError
from fairvl.sources.generators import PromptLengthWarning, read_prompts

PROMPTS = ["a photo of a doctor", "a photo of a nurse", "a king"]


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outputs(folder):
    return {name: content for name, content in tree(folder).items() if not name.startswith(".jobs")}


def test_images_and_table(noise, tmp_path):
    rows = [
        {"prompt": "a doctor", "concept": "doctor", "place": "007"},
        {"prompt": "a female doctor", "concept": "doctor", "kind": "explicit", "expected": "female"},
    ]
    run = fairvl.generate(noise, rows, tmp_path / "out", seeds=[3, 11, 7], images_per_shard=2)
    assert run.complete
    with open(tmp_path / "out" / "prompts.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0])[:6] == ["id", "file", "prompt", "seed", "concept", "kind"]
    assert len(table) == 6
    assert [row["expected"] for row in table] == [""] * 3 + ["female"] * 3
    assert {row["place"] for row in table} == {"007", ""}
    assert len({row["id"] for row in table}) == 6
    for row in table:
        with Image.open(tmp_path / "out" / row["file"]) as picture:
            np.testing.assert_array_equal(np.asarray(picture), noise.generate([row["prompt"]], [int(row["seed"])])[0])
    record = json.loads((tmp_path / "out" / "generation.json").read_text())
    assert record["generator"] == noise.card.as_dict()
    assert record["seeds"] == [3, 11, 7]


def test_goes_on_after_a_failure_and_draws_nothing_twice(noise, tmp_path, monkeypatch):
    whole = fairvl.generate(noise, PROMPTS, tmp_path / "whole", seeds=4, images_per_shard=5)
    assert whole.computed == (0, 1, 2)
    noise.drawn.clear()
    draw = type(noise).generate

    def full(self, prompts, seeds):
        if len(self.drawn) >= 5:
            raise OSError(28, "No space left on device")
        return draw(self, prompts, seeds)

    monkeypatch.setattr(type(noise), "generate", full)
    with pytest.raises(JobError, match=r"No space left.*1 finished shards do"):
        fairvl.generate(noise, PROMPTS, tmp_path / "out", seeds=4, images_per_shard=5)
    assert not (tmp_path / "out" / "prompts.csv").exists()
    monkeypatch.setattr(type(noise), "generate", draw)
    noise.drawn.clear()
    again = fairvl.generate(noise, PROMPTS, tmp_path / "out", seeds=4, images_per_shard=5)
    assert again.computed == (1, 2)
    assert len(noise.drawn) == 7
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_parts_make_the_same_folder(noise, tmp_path):
    fairvl.generate(noise, PROMPTS, tmp_path / "whole", seeds=4, images_per_shard=3)
    for part in ("shard:0/2", "shard:1/2"):
        run = fairvl.generate(noise, PROMPTS, tmp_path / "parts", seeds=4, images_per_shard=3, engine=part)
    assert len(run.computed) == 2
    assert fairvl.generate(noise, PROMPTS, tmp_path / "parts", seeds=4, images_per_shard=3).computed == ()
    assert outputs(tmp_path / "parts") == outputs(tmp_path / "whole")


def test_killed_and_taken_up_again(noise, tmp_path):
    """SIGKILL in the middle of a shard: the same call ends with the bytes of an uninterrupted run."""
    code = f"""
import sys, time, importlib.util
spec = importlib.util.spec_from_file_location("conf", {str(Path(__file__).with_name("conftest.py"))!r})
conf = importlib.util.module_from_spec(spec); spec.loader.exec_module(conf)
class Slow(conf.Noise):
    def generate(self, prompts, seeds):
        if len(self.drawn) >= 4:
            print("working", flush=True); time.sleep(60)
        return super().generate(prompts, seeds)
import fairvl
fairvl.generate(Slow(), {PROMPTS!r}, sys.argv[1], seeds=4, images_per_shard=2)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert process.stdout.readline() == "working\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 4
    assert not (tmp_path / "out" / "prompts.csv").exists()
    again = fairvl.generate(noise, PROMPTS, tmp_path / "out", seeds=4, images_per_shard=2)
    assert again.computed == (2, 3, 4, 5)
    fairvl.generate(noise, PROMPTS, tmp_path / "whole", seeds=4, images_per_shard=2)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def test_another_generator_prompts_or_seeds_need_another_folder(noise, tmp_path):
    fairvl.generate(noise, PROMPTS, tmp_path, seeds=2)
    for change in ({"generator": type(noise)("v2")}, {"prompts": PROMPTS[:2]}, {"seeds": 3}):
        options = {"generator": noise, "prompts": PROMPTS, "seeds": 2} | change
        with pytest.raises(ConfigMismatchError):
            fairvl.generate(options["generator"], options["prompts"], tmp_path, seeds=options["seeds"])


@pytest.mark.parametrize(
    ("prompts", "seeds", "match"),
    [
        (PROMPTS, [1, 2, 1], "twice, and would give the same images"),
        (PROMPTS, 0, "at least 1"),
        (PROMPTS, [], "at least one"),
        (PROMPTS, [0.5], "whole numbers"),
        (PROMPTS, [-1], "whole numbers"),
        (PROMPTS, [True], "whole numbers"),
        ([], 1, "no prompts"),
        (["a king", ""], 1, "row 2 has an empty prompt"),
        (["a king", "  \t"], 1, "row 2 has an empty prompt"),
        (["a king", "a king "], 1, "repeats 'a king'"),
        ([{"prompt": "a king"}, {"concept": "king"}], 1, r"no column 'prompt' \(row 2 has concept"),
        ([{"prompt": "a king", "kind": "royal"}], 1, "kind 'royal'"),
        ([{"prompt": "a king", "kind": "explicit"}], 1, "does not say which group"),
        ([{"prompt": "a king", "seed": 3}], 1, "column 'seed'"),
        ([7], 1, "expected texts"),
    ],
)
def test_mistakes_are_refused_before_any_work(noise, tmp_path, prompts, seeds, match):
    with pytest.raises(GeneratorError, match=match):
        fairvl.generate(noise, prompts, tmp_path / "out", seeds=seeds)
    assert not (tmp_path / "out").exists()
    assert not noise.drawn


def test_long_prompts_are_named(noise, tmp_path):
    with pytest.warns(PromptLengthWarning, match="1 prompts exceed the model's window"):
        fairvl.generate(noise, ["a king", "a " * 30], tmp_path, seeds=1)


def test_tables_on_disk(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text('prompt,concept,kind,expected,age\n"a doctor, smiling",doctor,,,07\na woman,,explicit,female,\n')
    assert read_prompts(path) == [
        {"prompt": "a doctor, smiling", "concept": "doctor", "kind": "neutral", "expected": "", "age": "07"},
        {"prompt": "a woman", "concept": "a woman", "kind": "explicit", "expected": "female", "age": ""},
    ]
    for content, match in (
        ("text\na doctor\n", "no column 'prompt'"),
        ("prompt,kind\na doctor\n", "1 cells for 2"),
        ("prompt\n", "no row"),
        ("", "prompts.csv"),
    ):
        path.write_text(content)
        with pytest.raises((GeneratorError, DatasetError), match=match):
            read_prompts(path)
    path.write_bytes(b"prompt\n\xff\xfe\n")
    with pytest.raises(DatasetError):
        read_prompts(path)
    with pytest.raises(DatasetError, match="no such table"):
        read_prompts(tmp_path / "none.csv")
