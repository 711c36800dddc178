"""Published per-sample predictions give the accuracies that their author printed, and face predictions read whole."""

import csv
import gzip

import numpy as np
import pytest

from fairvl.measure.groups import average_worst_gap, compare_summary, disaggregate, group_summary, worst_group_accuracy

pytestmark = pytest.mark.realdata


def read(path):
    if not path.is_file():
        pytest.skip(f"real data missing: {path.name}")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def predictions(realdata, method, data, selection):
    columns = read(realdata / "group-robustness-predictions" / f"{method}_{data}_{selection}_results.csv.gz")
    return columns["y_true"], columns["y_pred"], {"target": columns["y_true"], "attribute": columns["attr_true"]}


def test_fairface_golden_accuracies(realdata):
    truth, prediction, groups = predictions(realdata, "resnet", "fairface", "avg")
    frame = disaggregate("accuracy", truth, prediction, groups)
    assert frame.overall.value == pytest.approx(0.728170, abs=5e-7)
    golden = {0.954453, 0.494753, 0.932551, 0.498894}
    assert {round(e.value, 6) for e in frame.by_group.values()} == golden
    assert frame.worst.value == pytest.approx(0.494753, abs=5e-7)
    assert not frame.small
    for estimate in frame.by_group.values():
        assert estimate.low < estimate.value < estimate.high


def test_waterbirds_golden_accuracies(realdata):
    truth, prediction, groups = predictions(realdata, "resnet", "waterbirds", "avg")
    assert disaggregate("accuracy", truth, prediction, groups, n_boot=0).overall.value == pytest.approx(
        0.820225, abs=5e-7
    )
    assert worst_group_accuracy(truth, prediction, groups) == pytest.approx(0.638889, abs=5e-7)
    assert average_worst_gap(truth, prediction, groups) == pytest.approx(0.820225 - 0.638889, abs=1e-6)


def test_the_correct_column_agrees_in_all_sixteen_files(realdata):
    folder = realdata / "group-robustness-predictions"
    files = sorted(folder.glob("*_results.csv.gz"))
    if len(files) != 16:
        pytest.skip("real data missing: group-robustness-predictions")
    for path in files:
        columns = read(path)
        frame = disaggregate("accuracy", columns["y_true"], columns["y_pred"], columns["attr_true"], n_boot=0)
        assert frame.overall.value == pytest.approx(np.mean(columns["correct"].astype(float)))


def test_a_mitigation_is_compared_on_the_same_photographs(realdata):
    truth, before, groups = predictions(realdata, "resnet", "fairface", "worst_group")
    truth_after, after, _ = predictions(realdata, "jtt", "fairface", "worst_group")
    assert (truth == truth_after).all()
    paired = compare_summary(truth, before, after, groups)
    worst = paired.difference.measures["worst_group_accuracy"]
    assert worst.value == pytest.approx(
        worst_group_accuracy(truth, after, groups) - worst_group_accuracy(truth, before, groups)
    )
    assert worst.low < worst.value < worst.high


@pytest.mark.parametrize(
    ("name", "task", "classes"),
    [
        ("raw_gender_ViT-L-14_laion2b_s32b_b82k_val", "gender", 2),
        ("vitb16-openai-RP", "race", 7),
        ("vitb16-openai-RAGP", "race", 7),
        ("argp_race_ViT-H-14_laion2b_s32b_b79k_val", "race", 7),
    ],
)
def test_clip_predictions_on_faces(realdata, name, task, classes):
    columns = read(realdata / "clip-fairface-val-predictions-mit" / f"{name}.csv.gz")
    truth, prediction = columns[task], columns[f"{task}_preds"]
    assert len(truth) == 10_954
    groups = {a: columns[a] for a in ("race", "gender", "age")}
    summary = group_summary(truth, prediction, groups, n_boot=200)
    assert len(summary.classes) == classes
    assert len(summary.accuracy.by_group) == 7 * 2 * 9
    assert sum(summary.accuracy.counts.values()) == 10_954
    assert summary.accuracy.small
    assert summary.measures["accuracy"].value == pytest.approx(np.mean(truth == prediction))
    for attribute, values in groups.items():
        single = group_summary(truth, prediction, values, n_boot=200)
        for group, estimate in single.accuracy.by_group.items():
            assert estimate.value == pytest.approx(np.mean((truth == prediction)[values == group])), attribute
        if attribute == task:  # one class per group: no true positive rate to compare between groups
            assert np.isnan(single.measures["equal_opportunity_difference"].value)
            assert "left out" in single.measures["equal_opportunity_difference"].note
            continue
        for estimate in single.measures.values():
            assert estimate.low <= estimate.value <= estimate.high <= 1
