"""augment and train-classifier, as they are typed."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairvl.cli import main
from fairvl.errors import FairVLError, InputError
from fairvl.repair.editing import naming
from fairvl.repair.editing.naming import load_change, load_editor, read_judge

spec = importlib.util.spec_from_file_location("small_heads", Path(__file__).parents[1] / "repair" / "small_heads.py")
heads = sys.modules.setdefault("small_heads", importlib.util.module_from_spec(spec))
spec.loader.exec_module(heads)


def folder(path, n, strength, seed):
    tone, hat = heads.correlated(n, strength, seed)
    images, labels = heads.draw(n, seed, tone, hat)
    path.mkdir()
    lines = ["file,tone,hat,old"]
    for i in range(n):
        (path / f"{i}.png").write_bytes(heads.png(images[i]))
        lines.append(f"{i}.png,{labels['tone'][i]},{labels['hat'][i]},{labels['old'][i]}")
    (path / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"folder:{path}?metadata=labels.csv"


def said(*args):
    return CliRunner().invoke(main, [str(one) for one in args])


def test_a_balanced_set_and_classifiers_on_it(tmp_path, monkeypatch):
    monkeypatch.setattr(naming, "load_editor", lambda name: heads.ToneEditor())
    judges = {"a.toml": heads.judge("a", fingerprint="fa"), "b.toml": heads.judge("b", fingerprint="fb")}
    monkeypatch.setattr(naming, "read_judge", lambda path: judges[path])
    real, test = folder(tmp_path / "real", 30, 0.85, 1), folder(tmp_path / "test", 30, 0.5, 2)
    out = tmp_path / "out"
    result = said(
        "augment", real, "--label", "hat", "--attribute", "tone", "--editor", "tone:", "--change", "dark=darker",
        "--change", "light=lighter", "--judge", "a.toml", "--judge", "b.toml", "--structure", -1, "-o", out, "--json",
    )  # fmt: skip
    assert result.exit_code == 2  # an instruction has no sign: "lighter" darkens with this editor
    assert "edits are missing" in result.output
    monkeypatch.setattr(
        naming, "load_change", lambda text, attribute: (text[: text.index("=")], heads.CHANGES[text[: text.index("=")]])
    )
    result = said(
        "augment", real, "--label", "hat", "--attribute", "tone", "--editor", "tone:", "--change", "dark=darker",
        "--change", "light=lighter", "--judge", "a.toml", "--judge", "b.toml", "--structure", -1,
        "-o", tmp_path / "good", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert all(row["accepted"] == row["wanted"] for row in rows)
    result = said(
        "train-classifier", real, "--label", "hat", "--attribute", "tone", "--test", test, "--augmented",
        tmp_path / "good", "--backbone", "small", "--steps", 2, "--batch-size", 8, "--seeds", 1, "--draws", 100,
        "--arms", "baseline,augmented", "-o", tmp_path / "classifiers",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "classifiers" / "report.html").is_file()
    assert (tmp_path / "classifiers" / "runs" / "augmented" / "seed-0" / "model.safetensors").is_file()


def test_changes_as_they_are_typed(tmp_path):
    assert load_change("old=make them look old", "age") == ("old", "make them look old")
    for text, told in (
        ("old", "GROUP=INSTRUCTION"), ("=x", "GROUP=INSTRUCTION"), ("old=paths.safetensors", "towards which pole"),
        ("old=paths.safetensors:*", "expected :\\+ or :-"), ("old=nowhere.safetensors:+", "nowhere"),
        ("old=world:paths-ratio", "towards which pole"), ("old=world:paths-round:+", "ships paths-elliptic"),
        ("old=world:paths-ratio:+:hat", "no path was learned for 'hat'"),
    ):  # fmt: skip
        with pytest.raises(FairVLError, match=told):
            load_change(text, "age")


def test_what_ships_with_the_world_goes_by_name():
    group, (path, sign) = load_change("young=world:paths-ratio:-", "age_group")
    assert (group, path.attribute, sign) == ("young", "age_group", -1.0)
    assert load_change("x=world:paths-linear:+:skin", "age_group")[1][0].attribute == "skin"
    pytest.importorskip("torch")
    judge = read_judge("world:face-judge-b")
    assert judge.accuracy["age_group"].n == 500
    assert judge.accuracy["age_group"].value > 0.99
    with pytest.raises(InputError, match="is no judge; expected world:face-judge-a or"):
        read_judge("world:face-judge-c")


def test_paths_are_learned_from_texts_and_names(tmp_path):
    pytest.importorskip("torch")
    base = ["learn-paths", "world:diffae?steps=2", "--encoder", "world:face-clip", "--labelled", 24, "--images",
            "world:faces?n=24", "--iterations", 2, "-o", tmp_path / "paths.safetensors"]  # fmt: skip
    texts = ["--dipole", "skin=a person with dark skin; a man with dark skin|a person with light skin",
             "--dipole", "age_group=an old person|a young person", "--keep", "a woman|a man"]  # fmt: skip
    done = said(*base, *texts)
    assert done.exit_code == 0, done.output
    assert "ratio paths of skin, age_group" in done.output
    paths = load_change(f"dark={tmp_path}/paths.safetensors:+", "skin")[1][0].model
    assert paths.dipoles[0].positive == ("a person with dark skin", "a man with dark skin")
    assert paths.notes["keep"] == [["a woman", "a man"]]
    for wrong, told in (
        (["--dipole", "skin=dark"], "NAME=POSITIVE|NEGATIVE"), (["--dipole", "skin=dark|dark"], "both poles say"),
        (["--dipole", "skin=a spaceship|a person"], "does not know spaceship"),
        ([*texts, "--keep", "a woman"], "LEFT|RIGHT"),
    ):  # fmt: skip
        failed = said(*base, *wrong)
        assert failed.exit_code == 2
        assert told in failed.output


def test_editors_by_name():
    for name in ("diffae", "diffae:", "other:x"):
        with pytest.raises(InputError, match="Accepted forms"):
            load_editor(name)
    with pytest.raises(FairVLError, match="nowhere"):
        load_editor("diffae:./nowhere")
    with pytest.raises(FairVLError):
        load_editor("diffusers:./nowhere?steps=2")


JUDGE = """
name = "second"
encoder = "fake"
[prompts.tone]
light = "light skin"
dark = ["dark skin", "deep skin"]
"""


def test_a_judge_from_a_file(tmp_path):
    file = tmp_path / "judge.toml"
    file.write_text(JUDGE)
    judge = read_judge(file)
    assert (judge.name, judge.classes) == ("second", {"tone": ("light", "dark")})
    assert not judge.accuracy
    file.write_text(f"truth = '{folder(tmp_path / 'truth', 12, 0.5, 3)}'\n" + JUDGE)
    assert read_judge(file).accuracy["tone"].n == 12
    for text, told in (
        ("encoder = 'fake'", "no prompts"), (JUDGE + "\n[promts.x]\na = 'b'", "unknown keys"),
        ("encoder = 3\n[prompts.a]\nb = 'c'\nd = 'e'", "encoder"), ("[prompts]\na = 3", "VALUE = text"),
        ("encoder = 'fake'\n[prompts.a]\nb = 'c'", "two or more"), ("= 3", "TOML"),
    ):  # fmt: skip
        file.write_text(text)
        with pytest.raises(FairVLError, match=told):
            read_judge(file)
    with pytest.raises(FairVLError, match="no such file"):
        read_judge(tmp_path / "nothing.toml")
