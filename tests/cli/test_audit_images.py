"""audit-images from the shell: what it writes, and one readable line with exit code 2 for every mistake."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fairvl import audit_images
from fairvl.cli import main
from fairvl.findings import Findings


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for name, share in (("before", 0.1), ("after", 0.5)):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        rows, labels = [], []
        for i in range(40):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / "images" / f"{i}.png")
            prompt = ("a pilot", "a nurse")[i % 2]
            rows.append({"id": i, "file": f"images/{i}.png", "prompt": prompt, "seed": i, "concept": prompt,
                         "kind": "neutral"})  # fmt: skip
            labels.append({"id": i, "gender": "female" if rng.random() < share else "male"})
        write(folder / "prompts.csv", rows)
        write(folder / "labels.csv", labels)
    return tmp_path


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


def test_it_writes_the_findings_that_python_returns_and_a_report(run, folders):
    before, after = folders / "before", folders / "after"
    done = run("audit-images", before, "--labels", f"before={before / 'labels.csv'}", "--labels",
               f"repaired={after / 'labels.csv'}", "--after", f"repaired={after}", "--target",
               "gender:female=0.4,male=0.6", "--groups", "gender=female,male", "--draws", 100, "--show-images",
               "--json", "-o", folders / "out")  # fmt: skip
    assert done.exit_code == 0, done.output
    found = Findings.read(folders / "out" / "findings.json")
    again = audit_images(before, labeller={"before": before / "labels.csv", "repaired": after / "labels.csv"},
                         after={"repaired": after}, target={"gender": {"female": 0.4, "male": 0.6}},
                         groups={"gender": ["female", "male"]}, draws=100)  # fmt: skip
    assert found.to_json() == again.to_json()
    assert json.loads(done.stdout)["findings"]
    page = (folders / "out" / "report.html").read_text("utf-8")
    assert "data:image/png;base64," in page
    assert (folders / "out" / "findings.parquet").is_file()


def test_a_zero_shot_judge_by_name(run, folders):
    done = run("audit-images", folders / "before", "--labeller", "fake:16", "--attribute", "gender", "--draws", 100,
               "-o", folders / "out")  # fmt: skip
    assert done.exit_code == 0, done.output
    found = Findings.read(folders / "out" / "findings.json")
    assert found.settings["judge"]["kind"] == "zero-shot"
    assert "<img" not in (folders / "out" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--labels (a table) or --labeller"),
        (["--labels", "LABELS", "--labeller", "fake"], "one of the two"),
        (["--labels", "nowhere.csv"], "no such table"),
        (["--labels", "LABELS", "--prompts", "nowhere.csv"], "no such table"),
        (["--labels", "LABELS", "--target", "female=x"], "LABEL=SHARE"),
        (["--labels", "LABELS", "--attribute", "gendre"], "Did you mean 'gender'"),
        (["--labels", "LABELS", "--after", "a=before", "--after", "a=after"], "the same name"),
        (["--labeller", "fake:16", "--audited", "fake:16"], "is the model under audit"),
        (["--labels", "LABELS", "--fidelity", "fake:16", "--audited", "fake:16"], "is the model under audit"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(run, folders, options, words):
    given = [str(folders / "before" / "labels.csv") if o == "LABELS" else o for o in options]
    done = run("audit-images", folders / "before", *given, "--draws", 100, "-o", folders / "out")
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output
    assert not (folders / "out" / "findings.json").exists()
