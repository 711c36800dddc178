"""Published predictions of eight classifiers through the group report: worst group, average and gap, with intervals."""

import csv
import gzip

import numpy as np
import pytest

from fairvl.measure.audit import audit
from fairvl.report import report

pytestmark = pytest.mark.realdata
BIRDS, PLACES = ("landbird", "waterbird"), ("land", "water")
METHODS = ("resnet", "jtt", "disent", "debiasify")
CASES = [(method, selection) for method in METHODS for selection in ("avg", "worst_group")]


def columns(realdata, method, selection):
    path = realdata / "group-robustness-predictions" / f"{method}_waterbirds_{selection}_results.csv.gz"
    if not path.is_file():
        pytest.skip(f"real data missing: {path.name}")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        "bird": [BIRDS[int(row["y_true"])] for row in rows],
        "y_pred": [BIRDS[int(row["y_pred"])] for row in rows],
        "place": [PLACES[int(row["attr_true"])] for row in rows],
    }


@pytest.mark.parametrize(("method", "selection"), CASES)
def test_worst_group_average_and_gap_are_those_of_a_count_by_hand(realdata, method, selection, tmp_path):
    table = columns(realdata, method, selection)
    found = audit(predictions=table, truth="bird", draws=200)
    arrays = {name: np.array(values) for name, values in table.items()}
    right = arrays["bird"] == arrays["y_pred"]
    shares = [right[(arrays["bird"] == bird) & (arrays["place"] == place)].mean() for bird in BIRDS for place in PLACES]
    crossing = {"attribute": "bird & place"}
    overall = found.one(metric="accuracy", groups="(all)")
    worst, gap = (found.one(metric=name, **crossing) for name in ("worst_group_accuracy", "accuracy_gap"))
    assert overall.value == pytest.approx(right.mean(), abs=1e-12)
    assert worst.value == pytest.approx(min(shares), abs=1e-12)
    assert gap.value == pytest.approx(max(shares) - min(shares), abs=1e-12)
    assert worst.low < worst.value < overall.value
    assert {row.n for row in found.where(metric="accuracy", **crossing)} <= set(range(30, 400))
    report(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Worst-group accuracy" in page
    assert worst.groups in page


def test_training_for_the_worst_group_pays_there(realdata):
    worst = {}
    for method in ("resnet", "debiasify"):
        found = audit(predictions=columns(realdata, method, "worst_group"), truth="bird", draws=200)
        worst[method] = found.one(metric="worst_group_accuracy", attribute="bird & place")
    assert worst["debiasify"].value > worst["resnet"].value
    assert min(row.n for row in worst.values()) > 100  # n is that of the group which is worst in each
