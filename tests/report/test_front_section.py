"""The Pareto front in the report: every method at its place with both intervals, labels apart, numbers under it."""

import re
from itertools import pairwise

import pytest

from fairvl.findings import Finding, Findings
from fairvl.report import report

PLACES = {  # bias, utility, on the front
    "": (0.67, 0.952, True),
    "orthogonal": (0.13, 0.946, True),
    "calibrated": (0.131, 0.9461, True),
    "circle": (0.17, 0.949, True),
    "leace": (0.47, 0.948, False),
    "random": (0.68, 0.949, False),
}


def findings(places=PLACES, recall=False):
    rows = []
    for name, (bias, utility, front) in places.items():
        arm, extra = ("after" if name else "before"), {"repair": name, "front": front}
        if name:
            extra |= {"rank": 1, "lam": 10.0 if name == "calibrated" else None}
        for metric, value, unit, role in (("repair_bias", bias, "mean MaxSkew", "fairness"),
                                          ("repair_utility", utility, "mean accuracy", "utility")):  # fmt: skip
            low, high = max(value - 0.05, 0), value + 0.03
            rows.append(Finding(metric, value, unit, 300, low, high, 0.95, "mean of ends", arm=arm, pair_id=metric,
                                attribute="gender", seed=0, extra={**extra, "role": role}))  # fmt: skip
        if recall:
            about = {"k": 5, "task": "retrieval, text to image", "repair": name, "role": "utility"}
            rows.append(Finding("recall_at_k", utility - 0.7, "share", 300, 0.1, 0.4, 0.95, "wilson", groups="(all)",
                                arm=arm, pair_id="r", extra=about))  # fmt: skip
    return Findings(rows)


def section(table, folder):
    page = report(table, folder).read_text("utf-8")
    found = re.search(r'<section id="front".*?</section>', page, flags=re.S)
    return found[0] if found else ""


def test_every_method_stands_at_its_bias_and_utility_with_both_intervals(tmp_path):
    shown = section(findings(), tmp_path)
    points = re.findall(r"<g><title>([^:]+): mean MaxSkew ([0-9.]+) \(([0-9.]+) to ([0-9.]+)\); mean accuracy "
                        r"([0-9.]+) \(([0-9.]+) to ([0-9.]+)\)</title>(.*?)</g>", shown, flags=re.S)  # fmt: skip
    assert {p[0] for p in points} == {"as it is", *(n for n in PLACES if n)}
    line = r'class="thin-ci[^"]*" x1="([0-9.]+)" x2="([0-9.]+)" y1="([0-9.]+)" y2="([0-9.]+)"'
    crosses = {p[0]: re.findall(line, p[7]) for p in points}
    for name, lines in crosses.items():
        (low, high, y, same), (x, also, bottom, top) = [[float(v) for v in line] for line in lines]
        assert y == same
        assert x == also
        assert low < x < high, name
        assert top < y < bottom, name
    left = {name: float(lines[1][0]) for name, lines in crosses.items()}
    assert sorted(left, key=left.get)[:2] == ["orthogonal", "calibrated"]  # fairest to the left
    height = {name: float(lines[0][2]) for name, lines in crosses.items()}
    assert min(height, key=height.get) == "as it is"  # most useful on top
    assert "mean MaxSkew (less is fairer)" in shown
    assert "mean accuracy (more is better)" in shown


@pytest.mark.parametrize("n", [2, 9, 20])
def test_labels_never_overlap_and_stay_inside(tmp_path, n):
    places = {"": (0.5, 0.9, True)} | {f"method {i}": (0.3, 0.9, i == 0) for i in range(n)}
    shown = section(findings(places), tmp_path)
    chart = re.search(r'<svg class="chart front-chart" viewBox="0 0 960 ([0-9]+)".*?</svg>', shown, flags=re.S)
    labels = sorted(float(y) for y in re.findall(r'class="label[^"]*" x="[0-9.]+" y="([0-9.]+)"', chart[0]))
    assert len(labels) == n + 1
    assert all(b - a >= 16.9 for a, b in pairwise(labels))
    assert 0 < labels[0] < labels[-1] < float(chart[1])


def test_the_table_is_sorted_by_bias_and_holds_recall_where_it_was_measured(tmp_path):
    plain = section(findings(), tmp_path / "plain")
    rows = re.findall(r'<th scope="row">([^<]+)</th>', plain)
    assert rows == ["orthogonal \u2605", "calibrated \u2605", "circle \u2605", "leace", "as it is \u2605", "random"]
    assert "R@5" not in plain
    assert "0.130 (0.080 to 0.160)" in plain
    assert "R@5, text to image" in section(findings(recall=True), tmp_path / "recall")


def test_one_method_alone_is_no_front_and_other_runs_have_none(tmp_path):
    assert not section(findings({"": (0.5, 0.9, True)}), tmp_path / "one")
    table = Findings([Finding("accuracy", 0.9, "share", 100, 0.83, 0.95, 0.95, groups="(all)")])
    assert not section(table, tmp_path / "none")


def test_hostile_names_stay_text(tmp_path):
    evil = "<script>alert(1)</script>"
    shown = section(findings({"": (0.5, 0.9, True), evil: (0.3, 0.9, True)}), tmp_path)
    assert evil not in shown
    assert "&lt;script&gt;" in shown
