"""Correlations, partial and rank, and the difference of two that share a variable."""

import math

import numpy as np
import pytest
from scipy import stats

from fairvl.errors import InputError
from fairvl.stats.correlation import correlation, correlation_difference, steiger_z, williams_t, zou_interval


def test_values_and_p_are_scipys():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(40)
    y = 0.5 * x + rng.standard_normal(40)
    pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y)
    ours, ranks = correlation(x, y), correlation(x, y, kind="spearman")
    assert (ours.value, ours.p) == pytest.approx((pearson.statistic, pearson.pvalue))
    assert (ranks.value, ranks.p) == pytest.approx((spearman.statistic, spearman.pvalue))
    low, high = pearson.confidence_interval(0.95)
    assert (ours.fisher_low, ours.fisher_high) == pytest.approx((low, high))


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.7])
def test_bootstrap_intervals_cover(rho):
    rng = np.random.default_rng(1)
    covered = excluded = 0
    for _ in range(300):
        x = rng.standard_normal(60)
        y = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal(60)
        r = correlation(x, y, draws=400, seed=rng)
        covered += r.low <= rho <= r.high
        excluded += not r.low <= 0 <= r.high
    assert 0.91 < covered / 300 < 0.985
    assert (excluded / 300 > 0.95) == (rho != 0)


def test_partial_removes_a_common_cause_and_keeps_what_is_left():
    rng = np.random.default_rng(2)
    cause = rng.standard_normal(300)
    x, y = cause + rng.standard_normal(300), cause + rng.standard_normal(300)
    assert correlation(x, y).low > 0.3
    gone = correlation(x, y, controls=cause[:, None])
    assert gone.low < 0 < gone.high
    r = np.corrcoef(np.column_stack([x, y, cause]), rowvar=False)
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert gone.value == pytest.approx(expected)


def test_published_worked_examples():
    assert steiger_z(0.4, 0.5, 0.1, 103)[0] == pytest.approx(-0.89, abs=0.005)  # Steiger (1980)
    assert williams_t(0.4, 0.5, 0.1, 103)[0] == pytest.approx(-0.89, abs=0.005)
    assert zou_interval(0.396, 0.179, 0.088, 66, 0.95) == pytest.approx((-0.093, 0.517), abs=0.0005)  # Zou (2007)


def test_steiger_keeps_its_size_and_sees_a_difference():
    rng = np.random.default_rng(3)
    null, apart, ignoring = [], [], []
    for _ in range(2000):
        y = rng.standard_normal(50)
        shared = rng.standard_normal(50)
        a, b = (0.6 * y + 0.6 * shared + 0.5 * rng.standard_normal(50) for _ in range(2))
        ra, rb, rab = np.corrcoef(a, y)[0, 1], np.corrcoef(b, y)[0, 1], np.corrcoef(a, b)[0, 1]
        null.append((steiger_z(ra, rb, rab, 50)[1], williams_t(ra, rb, rab, 50)[1]))
        ignoring.append(2 * stats.norm.sf(abs(math.atanh(ra) - math.atanh(rb)) / math.sqrt(2 / 47)))
        c = -0.2 * y + shared
        rc, rac = np.corrcoef(c, y)[0, 1], np.corrcoef(a, c)[0, 1]
        apart.append(steiger_z(ra, rc, rac, 50)[1])
    size = (np.array(null) < 0.05).mean(axis=0)
    assert ((size > 0.035) & (size < 0.065)).all()
    assert np.mean(np.array(ignoring) < 0.05) < 0.02  # taking them as independent wastes the pairing
    assert np.mean(np.array(apart) < 0.05) > 0.95


def test_difference_has_the_sign_and_interval_of_the_data():
    rng = np.random.default_rng(4)
    y = rng.standard_normal(80)
    up, down = y + rng.standard_normal(80), -y + rng.standard_normal(80)
    d = correlation_difference(up, down, y)
    swapped = correlation_difference(down, up, y)
    assert d.low > 0.5
    assert d.value == -swapped.value
    assert d.p == swapped.p < 1e-6
    few = correlation_difference(up[:12], down[:12], y[:12])
    assert few.method == "zou"
    assert few.low < few.value < few.high


def test_clusters_widen_the_interval_of_relatives():
    rng = np.random.default_rng(5)
    family = np.repeat(np.arange(25), 8)
    x, y = rng.standard_normal(25)[family], rng.standard_normal(25)[family]
    x, y = x + 0.1 * rng.standard_normal(200), y + 0.1 * rng.standard_normal(200)
    alone, together = correlation(x, y), correlation(x, y, clusters=family)
    assert together.high - together.low > 1.8 * (alone.high - alone.low)


@pytest.mark.parametrize("bad", [[1.0, 1, 1, 1, 1], [1.0, 2, np.nan, np.nan, np.nan]])
def test_nothing_to_correlate_is_nan_with_a_reason(bad):
    r = correlation(bad, [1.0, 2, 3, 4, 6])
    assert math.isnan(r.value)
    assert r.note
    assert correlation_difference(bad, [3.0, 1, 2, 5, 4], [1.0, 2, 3, 4, 6]).note


def test_controls_that_explain_everything_leave_nothing():
    x = np.arange(8.0)
    r = correlation(x, x**2, controls=x[:, None])
    assert math.isnan(r.value)
    assert "controls" in r.note


def test_columns_of_different_length_are_refused():
    with pytest.raises(InputError, match="same length"):
        correlation([1.0, 2, 3], [1.0, 2])
