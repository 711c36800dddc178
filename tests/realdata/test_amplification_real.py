"""Amplification of published predictions: against counts by hand, and what docs/amplification.md says of them."""

import csv
import gzip
import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from fairvl.measure.audit import audit
from fairvl.report import report

pytestmark = pytest.mark.realdata
FOLDER = "clip-fairface-val-predictions-mit"
SCRIPT = Path(__file__).parents[2] / "docs" / "amplification" / "run.py"


@pytest.fixture(scope="module")
def page():
    """docs/amplification/run.py."""
    spec = importlib.util.spec_from_file_location("amplification_page", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(folder, file):
    with gzip.open(folder / FOLDER / file, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@pytest.mark.parametrize("case", range(4))
def test_values_are_those_of_counts_by_hand(folder, page, case):
    data = folder(FOLDER)
    _, file, task = page.CLIP[case]
    table = read(data, file)
    found = audit(
        predictions=data / FOLDER / file, truth=task, prediction=f"{task}_preds", id="file", crossings=1, draws=50
    )
    for attribute in ("age", "gender", "race"):
        if attribute == task:
            assert not found.where(metric="amplification", attribute=attribute)
            continue
        signed, sizes = [], []
        for g, c in itertools.product(np.unique(table[attribute]), np.unique(table[task])):
            of, is_, said = table[attribute] == g, table[task] == c, table[f"{task}_preds"] == c
            sign = np.sign(int((of & is_).sum()) * len(of) - int(of.sum()) * int(is_.sum()))
            delta = said[of].mean() - is_[of].mean()
            signed.append(sign * delta)
            sizes.append(abs(delta))
        row = found.one(metric="amplification", attribute=attribute)
        assert row.value == pytest.approx(np.mean(signed), abs=1e-12)
        assert row.extra["coverage"] == 1
        assert row.low < row.value < row.high
        size = found.one(metric="amplification_absolute", attribute=attribute)
        assert size.value == pytest.approx(np.mean(sizes), abs=1e-12)
        assert size.value > 2 * abs(row.value) or abs(row.value) > 0.01  # means cancel


def test_two_sets_of_prompts_are_a_paired_change(folder, tmp_path):
    data = folder(FOLDER)
    before, after = (data / FOLDER / f"vitb16-openai-{name}.csv.gz" for name in ("RP", "RAGP"))
    options = {"truth": "race", "prediction": "race_preds", "id": "file", "crossings": 1, "draws": 300}
    found = audit(predictions=before, after={"RAGP": after}, groups=["gender"], **options)
    change = found.one(metric="amplification", arm="difference")
    assert change.low > 0.01  # towards 0 from below: worse by this number alone ...
    gain = found.one(metric="accuracy", arm="difference", groups="(all)")
    assert gain.low > 0.05  # ... while more is right
    sizes = {arm: found.one(metric="amplification_absolute", arm=arm) for arm in ("before", "after")}
    assert sizes["after"].high < sizes["before"].low
    report(found, tmp_path / "report.html")
    assert "Bias amplification by perceived gender" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_confounded_classifier_amplifies_and_two_repairs_stop_it(folder, page):
    data = folder("group-robustness-predictions")
    start = page.robustness_columns(data, "fairface", "resnet", "avg")
    truth, guess, people = (np.array(start[name]) for name in ("gender", "y_pred", "ethnicity"))
    golden = {("male", "White"): 0.954453, ("male", "Black"): 0.494753, ("female", "Black"): 0.932551,
              ("female", "White"): 0.498894}  # fmt: skip
    for (y, g), share in golden.items():
        assert (truth == guess)[(truth == y) & (people == g)].mean() == pytest.approx(share, abs=1e-6)
    start = page.robustness_columns(data, "fairface", "resnet", "worst_group")
    lines = {m: page.robustness_line(data, "fairface", "worst_group", m, start, 200) for m in page.METHODS}
    # by hand: training ties women to Black and men to White, two by two, so all four pairs have one size
    shift = (guess == "female")[people == "Black"].mean() - (truth == "female")[people == "Black"].mean()
    other = (truth == "female")[people == "White"].mean() - (guess == "female")[people == "White"].mean()
    assert float(lines["resnet"][3].split()[0]) == pytest.approx(100 * (shift + other) / 2, abs=0.06)
    assert lines["resnet"][4] == ""
    for method in ("jtt", "disent"):
        low, high = (float(end.replace("\u2212", "-")) for end in lines[method][3][:-1].split("[")[1].split(","))
        assert low < 0 < high
        assert lines[method][4].startswith("\u2212")


def test_rows_of_another_file_are_refused(folder, tmp_path):
    from fairvl.errors import DatasetError

    data = folder(FOLDER)
    table = read(data, "vitb16-openai-RP.csv.gz")
    rows = list(zip(table["file"], table["race"], table["race_preds"], strict=True))
    shifted = [(file, *rows[(i + 1) % len(rows)][1:]) for i, (file, _, _) in enumerate(rows)]
    path = tmp_path / "shifted.csv"
    path.write_text("file,race,race_preds\n" + "\n".join(",".join(row) for row in shifted))
    options = {"truth": "race", "prediction": "race_preds", "id": "file", "crossings": 1, "draws": 20}
    before = data / FOLDER / "vitb16-openai-RP.csv.gz"
    with pytest.raises(DatasetError, match="another 'race'"):
        audit(predictions=before, after={"x": path}, **options)
    path.write_text("file,race_preds\n" + "\n".join(f"{file},{said}" for file, _, said in rows[1:]))
    with pytest.raises(DatasetError, match=r"no prediction, such as 'val/1\.jpg'"):
        audit(predictions=before, after={"x": path}, **options)
