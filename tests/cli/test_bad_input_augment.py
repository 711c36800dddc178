"""Mistakes with `augment` and `train-classifier` as they are typed: one line that says what to do, and no files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fairvl.cli import main
from fairvl.sources.world import Plant, WorldSpec
from fairvl.sources.world.face_judges import FOLDER
from fairvl.sources.world.faces import faces

PATHS = FOLDER / "paths-ratio.safetensors"
JUDGE = """
encoder = "world:face-clip"
[prompts.skin]
light = "a person with light skin"
dark = "a person with dark skin"
[prompts.smile]
smiling = "a person smiling"
serious = "a person not smiling"
"""
SPEC = WorldSpec(plants=(Plant("skin", "smile", 0.9, {"light": ("smiling",), "dark": ("serious",)}),))


def written(folder, n=14, spec=SPEC, change=lambda image, i: image, only=None):
    world = faces(spec, n, 1)
    folder.mkdir()
    lines = ["file,skin,smile"]
    for i, image in enumerate(world.images):
        if only in (None, world.truth["skin"][i]):
            change(Image.fromarray(image), i).save(folder / f"{i}.png")
            lines.append(f"{i}.png,{world.truth['skin'][i]},{world.truth['smile'][i]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"folder:{folder}?metadata=labels.csv"


@pytest.fixture
def command(tmp_path):
    """`augment` on a few faces; options replace the defaults, None leaves one out."""
    (tmp_path / "judge.toml").write_text(JUDGE)
    real = written(tmp_path / "real")

    def run(dataset=real, *more, **changes):
        options = {"label": "smile", "attribute": "skin", "editor": "world:diffae?steps=2", "structure": -1,
                   "judge": tmp_path / "judge.toml", "out": tmp_path / "out", "margin": -1} | changes  # fmt: skip
        ways = options.pop("change", (f"dark={PATHS}:+", f"light={PATHS}:-"))
        given = [str(part) for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
        given += [part for way in ways for part in ("--change", way)]
        return CliRunner().invoke(main, ["augment", dataset, *given, *map(str, more)])

    return run


def refused(result, told, out=None):
    assert result.exit_code == 2, result.output
    line = result.output.strip().splitlines()[-1]
    assert line.startswith("error: "), result.output
    assert told in line, line
    if out is not None:
        assert not out.exists(), "nothing is written before the mistake is found"


def test_a_protected_group_without_images(command, tmp_path):
    alone = written(tmp_path / "alone", only="light")
    refused(command(alone), "skin has 1 group (light); edits need two", tmp_path / "out")
    test = written(tmp_path / "test", only="dark")
    result = CliRunner().invoke(
        main, ["train-classifier", f"folder:{tmp_path}/real?metadata=labels.csv", "--label", "smile", "--attribute",
               "skin", "--test", test, "--backbone", "small", "--steps", "1", "--seeds", "1", "-o",
               str(tmp_path / "classifiers")],
    )  # fmt: skip
    refused(result, "the test images hold ['dark']. Expected two or more.")


def test_an_attribute_that_no_path_was_learned_for(command, tmp_path):
    result = command(change=(f"dark={PATHS}:+:hat", f"light={PATHS}:-"))
    refused(result, "no path was learned for 'hat'; this model has age_group, skin, glasses", tmp_path / "out")
    result = command(change=(f"dark={PATHS}:+",))
    refused(result, "no path or instruction turns skin into 'light'; there are changes for dark", tmp_path / "out")


def test_an_editor_without_the_needed_capability(command, tmp_path):
    result = command(change=("dark=make the skin darker", "light=make the skin lighter"))
    refused(result, "moves codes along a path; the change 'make the skin", tmp_path / "out")
    result = command(editor="world:diffae?step=2")
    refused(result, "unknown option 'step' in 'world:diffae?step=2'. Did you mean 'steps'?", tmp_path / "out")
    refused(command(editor="world:diffae?steps=ten"), "steps='ten'", tmp_path / "out")
    refused(command(editor="world:diffae?steps=1001"), "steps=1001; expected a whole number from 1 to 1000")


@pytest.mark.filterwarnings("default::fairvl.repair.editing.gate.SameJudgeWarning")
def test_a_plan_beyond_the_pool(command, tmp_path):
    half = WorldSpec(plants=(Plant("skin", "smile", 0.5, {"light": ("smiling",), "dark": ("serious",)}),))
    more = written(tmp_path / "more", 30, half)
    refused(command(more, target="aggravate"), "the pool is too small even if every edit passed", tmp_path / "out")


@pytest.mark.filterwarnings("default::fairvl.repair.editing.gate.SameJudgeWarning")
def test_images_of_every_kind_become_the_models_and_the_supervising_judge_is_named(command, tmp_path):
    """Grey, transparent, 16-bit, oblong and large images, edited by the shipped model along a shipped path."""

    def change(image, i):
        if i % 5 == 0:
            return image.convert("L")
        if i % 5 == 1:
            return image.convert("RGBA")
        if i % 5 == 2:
            return Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257)
        return image.resize((96, 64) if i % 5 == 3 else (300, 300))

    result = command(written(tmp_path / "kinds", change=change), "--allow-short", variants=2)
    assert result.exit_code == 0, result.output
    for path in (tmp_path / "out").rglob("*.png"):
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((32, 32), "RGB")
    assert len(list((tmp_path / "out" / "original").rglob("*.png"))) == 14
    with pytest.warns(match=r"the judge 'judge' also supervised the edits: it may pass what only it believes"):
        command(written(tmp_path / "more"), "--allow-short", out=tmp_path / "again")


def test_warnings_are_one_line_without_a_place_in_the_code(tmp_path):
    code = (
        "import warnings; from fairvl.cli.group import warnings_in_one_line\n"
        "from fairvl.repair.editing.augment import ShortfallWarning\n"
        "with warnings_in_one_line():\n"
        "    warnings.warn('3 edits are missing', ShortfallWarning); warnings.warn('of others')\n"
        "warnings.warn('4 edits are missing', ShortfallWarning)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.splitlines()
    assert said[0] == "warning: 3 edits are missing"
    assert said[1].endswith("UserWarning: of others")
    assert said[-1].endswith("ShortfallWarning: 4 edits are missing")


def test_folders_that_are_none_of_ours(tmp_path):
    real = written(tmp_path / "real")
    base = ["train-classifier", real, "--label", "smile", "--attribute", "skin", "--test", real, "-o",
            str(tmp_path / "out"), "--steps", "1", "--backbone", "small"]  # fmt: skip
    (tmp_path / "empty").mkdir()
    refused(CliRunner().invoke(main, [*base, "--augmented", str(tmp_path / "empty")]),
            "no edited.csv; expected a folder that `fairvl augment` wrote")  # fmt: skip
    refused(CliRunner().invoke(main, [*base, "--arms", "augmnted"]), "expected some of baseline")
    refused(CliRunner().invoke(main, [*base, "--finetune", "5"]), "expected steps from 0 to below steps=1")
    assert not (Path(tmp_path) / "out" / "report.html").exists()
