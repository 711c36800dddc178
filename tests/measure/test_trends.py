"""Slopes are least squares, means are means of stated bins, and both keep their intervals for any input form."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress

from fairvl.errors import FairVLError
from fairvl.measure.trends import compare_trends, trend

AGES = {"0-2": 1, "3-9": 6, "10-19": 15, "20-29": 25, "more than 70": 75}


def data(seed=0, n=2000, slope=-0.004):
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array(list(AGES)), size=n)
    ages = np.array([AGES[label] for label in labels], dtype=float)
    correct = rng.random(n) < 0.9 + slope * ages
    return correct, ages, labels


def test_the_slope_is_least_squares():
    correct, ages, _ = data()
    result = trend(correct, ages)
    expected = linregress(ages, correct.astype(float))
    assert result.slope.value == pytest.approx(expected.slope)
    assert result.intercept.value == pytest.approx(expected.intercept)
    assert result.slope.low < -0.004 < result.slope.high < 0
    assert result.slope.n == 2000


def test_ordered_labels_and_their_numbers_give_the_same_trend():
    correct, ages, labels = data()
    named = trend(correct, labels, order=AGES)
    assert named.slope == trend(correct, ages).slope
    assert [b.label for b in named.bins] == list(AGES)
    for part in named.bins:
        assert part.mean.value == pytest.approx(correct[labels == part.label].mean())
        assert part.mean.low < part.mean.value < part.mean.high
        assert part.mean.n == np.sum(labels == part.label)


def test_stated_bins_hold_every_row_once():
    correct, ages, _ = data()
    result = trend(correct, ages, bins=[0, 15, 75])
    assert [b.label for b in result.bins] == ["[0, 15)", "[15, 75]"]
    assert sum(b.mean.n for b in result.bins) == 2000
    assert result.bins[0].mean.value == pytest.approx(correct[ages < 15].mean())
    empty = trend(correct, ages, bins=[0, 30, 60, 80]).bins[1]
    assert np.isnan(empty.mean.value)
    assert empty.mean.note == "no rows"


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_rows_and_cells_give_the_same_interval(interval):
    correct, ages, _ = data()
    cells = trend(correct, ages, n_boot=4000, interval=interval)
    jittered = ages + np.linspace(0, 1e-6, len(ages))  # every value distinct: rows are resampled
    rows = trend(correct, jittered, n_boot=4000, interval=interval)
    assert "cell counts" in cells.method
    assert "rows" in rows.method
    assert cells.slope.low == pytest.approx(rows.slope.low, abs=1e-4)
    assert cells.slope.high == pytest.approx(rows.slope.high, abs=1e-4)
    assert rows.bins == ()


def test_a_continuous_attribute_and_score():
    rng = np.random.default_rng(0)
    tone = rng.random(500)
    score = 2.0 + 0.5 * tone + 0.1 * rng.normal(size=500)
    result = trend(score, tone, bins=[0, 0.5, 1])
    assert result.slope.value == pytest.approx(linregress(tone, score).slope)
    assert result.slope.low < 0.5 < result.slope.high
    years = trend(score, 2000 + tone)
    assert years.slope.value == pytest.approx(result.slope.value)
    assert years.intercept.value == pytest.approx(result.intercept.value - 2000 * result.slope.value)


def test_coverage_of_the_slope_where_the_noise_is_not_even():
    held = 0
    for seed in range(200):
        correct, ages, _ = data(seed, n=300)
        result = trend(correct, ages, seed=seed).slope
        held += result.low <= -0.004 <= result.high
    assert 0.9 <= held / 200 <= 0.99


def test_no_trend_is_held_by_the_interval_and_a_planted_one_is_not():
    slopes = [trend(*data(3, n=4000, slope=s)[:2]).slope for s in (0.0, -0.004, -0.008)]
    assert slopes[0].low < 0 < slopes[0].high
    assert slopes[1].high < 0
    assert slopes[2].value < slopes[1].value < slopes[0].high


def test_before_and_after_are_paired():
    correct, ages, _ = data()
    after = correct | (ages > 50)
    both = compare_trends(correct, after, ages)
    assert both.before.slope.value == pytest.approx(trend(correct, ages).slope.value)
    assert both.difference.slope.value == pytest.approx(both.after.slope.value - both.before.slope.value)
    assert both.difference.slope.low > 0
    for before, then, change in zip(both.before.bins, both.after.bins, both.difference.bins, strict=True):
        assert change.mean.value == pytest.approx(then.mean.value - before.mean.value)
    same = compare_trends(correct, correct, ages).difference.slope
    assert (same.value, same.low, same.high) == (0, 0, 0)


@pytest.mark.parametrize(
    "attribute",
    [[1.0, 2.0, None, 4.0], pd.Series([1, 2, None, 4], dtype="Int64"), np.array([1, 2, np.nan, 4], dtype=np.float32)],
)
def test_missing_attributes_are_left_out_and_counted(attribute):
    result = trend([0, 0, 1, 1], attribute, n_boot=20)
    assert result.slope.n == 3
    assert "1 rows without" in result.notes[0]


@pytest.mark.parametrize(
    ("outcome", "attribute", "keywords", "words"),
    [
        ([0, 1], [1.0], {}, "one each per row"),
        ([0, np.nan], [1.0, 2.0], {}, "NaN"),
        (["a", "b"], [1.0, 2.0], {}, "outcome"),
        ([0, 1], [1.0, 1.0], {}, "1 distinct"),
        ([0, 1], [None, None], {}, "0 distinct"),
        ([0, 1], ["young", "old"], {}, "order="),
        ([0, 1], ["young", "odl"], {"order": {"young": 1, "old": 2}}, "Did you mean 'old'"),
        ([0, 1], ["young", "old"], {"order": {"young": 1, "old": np.inf}}, "finite"),
        ([0, 1], [1.0, 2.0], {"bins": [0, 1]}, "hold it"),
        ([0, 1], [1.0, 2.0], {"bins": [2, 1]}, "increasing"),
        ([0, 1], [1.0, np.inf], {}, "finite"),
        ([], [], {}, "outcome"),
    ],
)
def test_unusable_input_is_refused(outcome, attribute, keywords, words):
    with pytest.raises(FairVLError, match=words):
        trend(outcome, attribute, **keywords)
