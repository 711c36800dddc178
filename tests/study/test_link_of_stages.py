"""Correlations between stages: what counts as a unit, what "independent" takes, what n could have shown."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from fairvl.errors import InputError
from fairvl.stats.correlation import correlation_equivalence, fisher
from fairvl.stats.power import detectable_correlation
from fairvl.study.published_stages import PUBLISHED, published_columns, published_links
from fairvl.study.stages import PRIMARY, RUNS, StageRow, link_of_stages


def pearson(x, y):
    """Row by row."""
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


def runs(rng, cells=12, seeds=4, slope=1.0, noise=0.3):
    """Seeds scatter around a cell's own values; stages correlate over cells by `slope`."""
    rows = []
    for cell in range(cells):
        x = rng.normal()
        y = slope * x + noise * rng.normal()
        for seed in range(seeds):
            jitter = 0.05 * rng.normal(size=3)
            rows.append(StageRow(f"m{cell // 3}", f"a{cell % 3}", seed, x + jitter[0], y + jitter[1], jitter[2]))
    return rows


def test_the_unit_is_model_and_arm_not_the_seed():
    rng = np.random.default_rng(0)
    found = link_of_stages(runs(rng))
    cells, single = (found.one("intrinsic", "extrinsic", level=level) for level in (PRIMARY, RUNS))
    assert (cells.n, single.n) == (12, 48)
    assert (found.units, found.models) == (12, 4)
    assert cells.verdict == "related"
    assert single.verdict == "not the primary level"
    assert found.links[0].level == PRIMARY
    width = cells.found.high - cells.found.low
    pretended = np.subtract(*fisher(single.found.value, 48, 0.95)[::-1])
    assert width > 1.5 * pretended


def test_values_are_those_of_scipy_over_means_of_seeds():
    rng = np.random.default_rng(1)
    rows = runs(rng)
    found = link_of_stages(rows)
    means = np.array(
        [np.mean([(r.intrinsic, r.extrinsic) for r in members], axis=0)
         for _, members in itertools.groupby(rows, key=lambda r: (r.model, r.arm))]
    )  # fmt: skip
    for kind, oracle in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        link = found.one("intrinsic", "extrinsic", kind=kind)
        assert link.found.value == pytest.approx(oracle(*means.T).statistic)
        assert link.found.p == pytest.approx(oracle(*means.T).pvalue)
    interval = stats.pearsonr(*means.T).confidence_interval(0.95)
    assert link.found.fisher_low < link.found.value < link.found.fisher_high
    pearson = found.one("intrinsic", "extrinsic").found
    assert (pearson.fisher_low, pearson.fisher_high) == pytest.approx(tuple(interval))


def test_repeating_seeds_never_turns_chance_into_a_finding():
    wrong = {PRIMARY: 0, RUNS: 0}
    for seed in range(60):
        found = link_of_stages(runs(np.random.default_rng(seed), cells=9, slope=0.0), draws=0)
        for level in wrong:
            wrong[level] += found.one("intrinsic", "extrinsic", level=level).found.p < 0.05
    assert wrong[PRIMARY] <= 7  # 5 % of 60, with room
    assert wrong[RUNS] > 12  # what taking seeds as evidence would have claimed


def test_few_units_are_never_called_independent():
    rng = np.random.default_rng(3)
    few = [
        StageRow(f"m{i}", intrinsic=x, extrinsic=(-1) ** i * 0.1) for i, x in enumerate([1, 1, -1, -1, 1, 1, -1, -1])
    ]
    link = link_of_stages(few).one("intrinsic", "extrinsic")
    assert link.found.value == pytest.approx(0.0)
    assert link.verdict == "not decided"
    x, y = rng.normal(size=(2, 400))
    many = link_of_stages(
        [StageRow(f"m{i}", intrinsic=a, extrinsic=b) for i, (a, b) in enumerate(zip(x, y, strict=True))]
    )
    assert many.one("intrinsic", "extrinsic").verdict == "independent within \u00b10.3"


@pytest.mark.parametrize("n", [9, 20, 60])
def test_the_detectable_correlation_is_found_four_times_in_five(n):
    rng = np.random.default_rng(n)
    r = detectable_correlation(n)
    draws = 4000
    x = rng.normal(size=(draws, n))
    y = r * x + math.sqrt(1 - r * r) * rng.normal(size=(draws, n))
    z = np.arctanh(pearson(x, y))
    power = np.mean(np.abs(z) * math.sqrt(n - 3) > stats.norm.ppf(0.975))
    assert power == pytest.approx(0.8, abs=0.05)  # the mean of z lies r / (2 (n - 1)) too high


def test_the_detectable_correlation_is_that_of_statsmodels():
    power = pytest.importorskip("statsmodels.stats.power")
    for n in (9, 36, 100):
        shift = math.atanh(detectable_correlation(n)) * math.sqrt(n - 3)
        # a z test of one observation with this shift
        assert power.NormalIndPower().power(shift * math.sqrt(2), 1, 0.05, ratio=1) == pytest.approx(0.8, abs=1e-3)


def test_equivalence_rejects_at_its_level_on_the_border_of_the_margin():
    rng = np.random.default_rng(5)
    n, margin, draws = 80, 0.3, 4000
    x = rng.normal(size=(draws, n))
    y = margin * x + math.sqrt(1 - margin**2) * rng.normal(size=(draws, n))
    share = np.mean([correlation_equivalence(v, n, margin=margin).equivalent for v in pearson(x, y)])
    assert share == pytest.approx(0.05, abs=0.015)
    inside = correlation_equivalence(0.02, n, margin=margin)
    assert inside.equivalent == (inside.low > -margin and inside.high < margin)


def test_equivalence_is_the_interval_lying_inside_the_margin():
    rng = np.random.default_rng(6)
    for r, n in zip(rng.uniform(-0.5, 0.5, 200), rng.integers(4, 400, 200), strict=True):
        for spearman in (False, True):
            found = correlation_equivalence(float(r), int(n), margin=0.3, spearman=spearman)
            assert found.equivalent == (found.low > -0.3 and found.high < 0.3)


def test_a_stage_that_was_not_measured_is_named_and_not_correlated():
    found = link_of_stages([StageRow(f"m{i}", extrinsic=float(i), score=float(i * i)) for i in range(6)])
    assert {(link.x, link.y) for link in found.links} == {("extrinsic", "score")}
    assert any("intrinsic: not measured" in note for note in found.notes)
    assert "extrinsic - score" in found.table()
    row = found.findings().one(kind="pearson")
    assert row.n == 6
    assert "detectable at 80 % power" in row.note


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no rows"),
        ([{"model": "a"}, {"model": "a"}], "stands twice"),
        ([{"model": "a", "accuracy": 1}], "accuracy"),
        ([{"arm": "a"}], "names no model"),
        ([{"model": "a", "intrinsic": "high"}], "expected a number"),
        ([{"model": "a", "score": math.inf}], "infinite"),
    ],
)
def test_unusable_rows_are_refused(rows, said):
    with pytest.raises(InputError, match=said):
        link_of_stages(rows)
    with pytest.raises(InputError, match="margin"):
        link_of_stages([StageRow(f"m{i}", intrinsic=float(i), score=float(-i)) for i in range(5)], margin=2.0)


def test_published_rows_are_nine_models_and_decide_nothing_of_no_relation():
    amplification, scores = published_columns("vqav2")
    assert amplification.shape == scores.shape == (9, 3)
    assert len(PUBLISHED) == 12
    ranges = np.ptp(scores, axis=1)
    assert ranges.round(1).tolist() == [4.8, 1.5, 6.0, 2.4, 1.0, 1.1, 0.8, 1.4, 1.2]  # as printed
    assert np.ptp(published_columns("gqa")[1], axis=1).round(1).tolist() == [
        1.1,
        1.5,
        1.9,
        2.3,
        2.8,
        2.4,
        2.3,
        2.0,
        2.6,
    ]
    for link in published_links():
        assert link.detectable == pytest.approx(0.816, abs=0.001)
        assert "independent" not in link.verdict
        x = (
            np.abs(published_columns(link.task)[0]).mean(1)
            if link.amplification == "absolute"
            else published_columns(link.task)[0].mean(1)
        )
        y = published_columns(link.task)[1]
        y = np.ptp(y, axis=1) if "range" in link.outcome else y.mean(1)
        assert link.pearson.value == pytest.approx(stats.pearsonr(x, y).statistic)
