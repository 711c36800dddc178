"""`fairvl pretrain` on a folder of pictures: what it writes, what it says, how it stops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fairvl.cli import main

pytest.importorskip("torch", reason="the models extra is not installed")
pytest.importorskip("transformers", reason="the models extra is not installed")

OPTIONS = ["--steps", "3", "--batch-size", "8", "--lr", "1e-3", "--no-checks", "--held-out", "0", "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from fairvl.sources.fusion import build_albef

    root = tmp_path_factory.mktemp("pretrain")
    rng = np.random.default_rng(0)
    lines = ["file,id,caption"]
    for i in range(24):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(root / f"{i}.png")
        lines.append(f"{i}.png,c{i},a {'man' if i % 2 else 'woman'} with cat {i}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    words = ["a", "man", "woman", "person", "with", "cat", *map(str, range(24))]
    build_albef(words, width=16, heads=2, layers=1, image_size=16, patch_size=8, max_length=12).save(root / "model")
    return root


def run(folder, out, *more, model=None):
    given = [model or f"albef:{folder / 'model'}", f"folder:{folder}?metadata=labels.csv", "-o", str(folder / out)]
    return CliRunner().invoke(main, ["pretrain", *given, *OPTIONS, *more])


def test_it_trains_and_says_where_the_model_is(folder):
    found = run(folder, "run", "--json", "--ramp", "1,1")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout) == []
    assert "3 steps" in found.stderr
    rows = [json.loads(line) for line in (folder / "run" / "losses.jsonl").read_text().splitlines()]
    assert [row["neutral"] for row in rows] == [1.0] * 3
    from fairvl.sources.fusion.names import load_fusion

    assert load_fusion(f"albef:{folder / 'run' / 'model'}").card.family == "albef"


def test_mistakes_are_one_line(folder):
    run(folder, "run", "--ramp", "1,1")
    for more, said in (
        (["--arm", "control"], "holds a run with another configuration"),
        (["--objectives", "lm"], "can be trained on itc, itm, mlm"),
        (["--ramp", "fast"], "expected START,END or released"),
        (["--image", "picture"], "has no column 'picture'"),
    ):
        found = run(folder, "run", *more)
        assert found.exit_code == 2
        assert said in found.output.replace("\n", " ")
    other = run(folder, "other", model=f"blip:{folder / 'model'}")
    assert other.exit_code == 2
    assert "albef" in other.output
    assert not (folder / "other").exists()


def test_ctrl_c_names_the_command_that_goes_on(folder, monkeypatch):
    from fairvl.repair.pretraining.lesson import Lesson

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Lesson, "learn", stop)
    monkeypatch.setattr("sys.argv", ["fairvl", "pretrain", "albef:m", "folder:a b", "-o", "x"])
    found = run(folder, "stopped")
    assert found.exit_code == 130
    assert "Go on with: fairvl pretrain albef:m 'folder:a b' -o x" in found.output
