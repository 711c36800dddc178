"""The report of an audit of generated images: what it shows, in which words, and nothing that was not asked for."""

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fairvl.findings import Findings
from fairvl.measure.audit import audit_images
from fairvl.measure.audit.images import image_arms
from fairvl.measure.generation import Confusion
from fairvl.report import report
from fairvl.report.sheets import contact_sheets

SHARES = {"doctor": 0.1, "nurse": 0.9, "pilot": 0.1, "florist": 0.85}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One black picture for every name that a test uses."""
    root = tmp_path_factory.mktemp("drawn")
    for arm, grey in (("before", 20), ("after", 200)):
        (root / arm).mkdir()
        picture = BytesIO()
        Image.new("RGB", (16, 16), (grey, grey, grey)).save(picture, "PNG")
        for number in range(400):
            (root / arm / f"{number}.png").write_bytes(picture.getvalue())
    return root


def drawn(folder, arm="before", shares=SHARES, honest=0.95, seed=0, groups=("female", "male"), gone=0.0):
    """Columns of prompts, and of labels, for images of these shares; and the folder."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for concept, share in shares.items():
        for number in range(40):
            rows.append((f"a photo of a {concept}", concept, "neutral", "", number))
            labels.append(groups[0] if rng.random() < share else groups[1 + number % (len(groups) - 1)])
        for group in groups[:2]:
            for number in range(10):
                rows.append((f"a photo of a {group} {concept}", concept, "explicit", group, number))
                labels.append(group if rng.random() < honest else groups[1 - groups.index(group)])
    names = [f"{i}.png" for i in range(len(rows))]
    columns = dict(zip(("prompt", "concept", "kind", "expected", "seed"), zip(*rows, strict=True), strict=True))
    said = [None if rng.random() < gone else label for label in labels]
    return {"file": names, **columns}, {"file": names, "gender": said}


def measured(folder, *, repaired=True, gone=0.0, confusion=True, **options):
    prompts, labels = drawn(folder, gone=gone)
    after, later = drawn(folder, "after", dict.fromkeys(SHARES, 0.5), honest=0.6, seed=1)
    judge = {"gender": Confusion([[90, 5, 0], [10, 95, 0]], ("female", "male"))} if confusion else None
    return audit_images(
        folder / "before", prompts, {"before": labels, "flat": later} if repaired else {"before": labels},
        after={"flat": (folder / "after", after)} if repaired else None, truth=judge, draws=100, **options,
    )  # fmt: skip


def text_of(path):
    return " ".join(re.sub(r"<(style|script)[^>]*>.*?</\1>|<[^>]+>", " ", path.read_text("utf-8"), flags=re.S).split())


def section(path, name):
    return re.search(rf'<section id="{name}".*?</section>', path.read_text("utf-8"), flags=re.S)[0]


def test_every_prompt_is_shown_before_and_after_with_the_gap_in_the_headline(folder, tmp_path):
    found = measured(folder)
    page = report(found, tmp_path)
    text = text_of(page)
    assert re.search(r"Gender bias fell by \d+", text)
    assert "Bias audit of generated images" in text
    shown = section(page, "generated")
    for concept in SHARES:
        assert concept in shown
    assert "after flat" in shown
    assert "mean of 4 prompts" in shown
    assert "perceived" in shown
    assert "no image here is of anybody who has a gender" in shown
    assert "No random control operator was measured" not in text  # images have no such control
    explicit = section(page, "honoured")
    assert "Explicit prompts honoured, mean" in explicit
    assert "a photo of a female doctor" in explicit
    loss = found.one(metric="mean_explicit_accuracy", labels="hard", over="these prompts, images resampled",
                     arm="difference")  # fmt: skip
    assert f"{100 * loss.value:.1f}".replace("-", "\u2212") in text


def test_the_judge_is_a_table_with_intervals_and_the_unlabelled_have_bounds(folder, tmp_path):
    page = report(measured(folder, gone=0.2), tmp_path)
    judge = section(page, "judge")
    assert "judged female" in judge
    assert "known to be" in judge
    assert re.search(r"94\.7.%\s*\(\d", judge.replace("\u202f", " "))
    assert "Unlabelled images" in judge
    assert "whatever the rest shows" in judge
    none = report(measured(folder, confusion=False, repaired=False), tmp_path / "plain")
    assert "judged female" not in none.read_text("utf-8")


def test_one_run_is_described_by_its_gap_its_worst_prompt_and_its_explicit_prompts(folder, tmp_path):
    text = text_of(report(measured(folder, repaired=False, confusion=False), tmp_path))
    assert re.search(r"The gender parity gap of images is \d+\.\d points \(", text)
    assert "It is largest for the prompt: a photo of a" in text
    assert "Prompts that name a group are honoured in" in text


def test_more_groups_are_shown_under_each_prompt_against_a_stated_target(folder, tmp_path):
    prompts, labels = drawn(folder, groups=("female", "male", "neither"))
    three = {"gender": ["female", "male", "neither"]}
    found = audit_images(folder / "before", prompts, labels, draws=100, groups=three,
                         target={"female": 0.4, "male": 0.4, "neither": 0.2})  # fmt: skip
    page = report(found, tmp_path)
    shown = section(page, "generated")
    assert "given (female 0.4, male 0.4, neither 0.2)" in shown
    assert "Mean distance from the target" in shown
    assert shown.count("neither") > 4


def test_pictures_are_shown_only_when_asked_for_and_the_page_stays_closed(folder, tmp_path):
    found = measured(folder)
    plain = report(found, tmp_path / "plain").read_text("utf-8")
    assert "<img" not in plain
    assert "img-src" not in plain
    prompts, _ = drawn(folder)
    arms, _ = image_arms(folder / "before", prompts, {"flat": (folder / "after", prompts)})
    sheets = contact_sheets(arms, each=3, prompts=2)
    assert list(sheets) == ["a photo of a doctor", "a photo of a nurse"]  # neutral ones first
    with Image.open(BytesIO(sheets["a photo of a doctor"]["flat"])) as sheet:
        assert sheet.size == (3 * 72 + 2 * 4, 72)
        assert sheet.getpixel((5, 5)) == (200, 200, 200)
    page = report(found, tmp_path / "shown", sheets=sheets)
    shown = page.read_text("utf-8")
    assert shown.count("<img ") == 4
    assert "img-src data:;" in shown
    assert not re.search(r'(src|href)="https?:', shown)
    assert report(found, tmp_path / "again", sheets=sheets).read_bytes() == page.read_bytes()


def test_hostile_prompts_stay_text(folder, tmp_path):
    prompts, labels = drawn(folder)
    evil = "<script>alert(1)</script>"
    prompts["prompt"] = [evil if p == "a photo of a doctor" else p for p in prompts["prompt"]]
    prompts["concept"] = [evil if c == "doctor" else c for c in prompts["concept"]]
    found = audit_images(folder / "before", prompts, labels, draws=100)
    sheets = {evil: {'"><img src=x onerror=alert(1)>': b"png"}}
    page = report(found, tmp_path, sheets=sheets).read_text("utf-8")
    assert evil not in page.replace('<script type="application/json"', "")
    assert "<img src=x" not in page


def test_findings_read_back_from_disk_give_the_same_page(folder, tmp_path):
    found = measured(folder)
    found.write(tmp_path / "findings.json")
    again = Findings.read(tmp_path / "findings.json")
    assert report(again, tmp_path / "a").read_bytes() == report(found, tmp_path / "b").read_bytes()
