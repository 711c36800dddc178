"""Shares of variance: intervals cover, hold 0 under the null, and permutation agrees with F."""

import math

import numpy as np
import pytest
from scipy import stats

from fairvl.stats.linear import design, freedman_lane, inflation, permutation_orders, variance_share


def setting(rng, n=60):
    groups = np.eye(5)[rng.integers(5, size=n)]
    size = rng.standard_normal((n, 1))
    return groups, np.column_stack([np.ones(n), size])


def test_f_and_p_are_those_of_the_nested_models():
    rng = np.random.default_rng(0)
    groups, others = setting(rng)
    y = groups @ rng.standard_normal(5) + others[:, 1] + rng.standard_normal(60)
    share = variance_share(y, others, groups)

    def rss(x):
        return ((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum()

    small, big = rss(others), rss(np.column_stack([others, groups]))
    f = (small - big) / 4 / (big / 54)
    assert (share.df, share.df_residual) == (4, 54)
    assert share.f == pytest.approx(f)
    assert share.p == pytest.approx(stats.f.sf(f, 4, 54))
    adjusted = [1 - (r / d) / y.var(ddof=1) for r, d in ((small, 58), (big, 54))]
    assert adjusted[0] > 0
    assert share.value == pytest.approx(adjusted[1] - adjusted[0])


def test_a_share_lies_within_its_interval_also_where_the_others_explain_less_than_chance():
    rng = np.random.default_rng(4)
    groups = np.eye(3)[np.arange(60) % 3]
    found = 0
    for _ in range(200):
        others = np.column_stack([np.ones(60), rng.standard_normal((60, 6))])
        y = groups @ np.array([-1.0, 0.0, 1.0]) + 0.3 * rng.standard_normal(60)
        share = variance_share(y, others, groups)
        left = float(design(others).residual_squares(y)) / 53 / y.var(ddof=1)
        found += left > 1
        assert share.low <= share.value <= share.high <= 1
    assert found > 20


def test_under_the_null_the_interval_holds_zero_and_the_value_is_zero_on_average():
    rng = np.random.default_rng(1)
    groups, others = setting(rng)
    shares = [variance_share(rng.standard_normal(60), others, groups) for _ in range(800)]
    held = np.mean([share.low == 0 for share in shares])
    assert 0.96 < held < 0.99  # 1 - 0.025
    assert abs(np.mean([share.value for share in shares])) < 0.01


def test_a_planted_share_is_covered_and_zero_is_not():
    rng = np.random.default_rng(2)
    groups, _ = setting(rng)
    effect = (groups - groups.mean(axis=0)) @ np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    plain = design(np.ones((60, 1)))
    truth = float(plain.residual_squares(effect)) / 60
    truth /= truth + 1.0
    shares = [variance_share(effect + rng.standard_normal(60), np.ones((60, 1)), groups) for _ in range(600)]
    covered = np.mean([share.low <= truth <= share.high for share in shares])
    assert 0.92 < covered < 0.98
    assert np.mean([share.low > 0 for share in shares]) > 0.9
    assert np.mean([share.value for share in shares]) == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("noise", [1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9])
def test_a_nearly_perfect_fit_has_an_interval(noise):
    rng = np.random.default_rng(3)
    group = np.repeat(np.eye(4), 10, axis=0)
    share = variance_share(group @ [0.0, 1.0, 2.0, 5.0] + noise * rng.normal(size=40), np.ones((40, 1)), group)
    assert 1 - 1e4 * noise**2 < share.low <= share.partial + 1e-12
    assert share.partial - 1e-12 <= share.high <= 1


def test_what_the_others_span_has_no_share_of_its_own():
    rng = np.random.default_rng(3)
    groups, others = setting(rng)
    share = variance_share(rng.standard_normal(60), np.column_stack([others, groups]), groups[:, :1] - groups[:, 1:2])
    assert share.df == 0
    assert math.isnan(share.value)


def test_permutation_agrees_with_f_when_errors_are_normal():
    rng = np.random.default_rng(4)
    groups, others = setting(rng)
    orders = permutation_orders(60, 1999, 0)
    pairs = []
    for strength in np.linspace(0, 0.5, 12):
        y = strength * groups[:, 0] * 3 + others[:, 1] + rng.standard_normal(60)
        pairs.append((freedman_lane(y, others, groups, orders), variance_share(y, others, groups).p))
    permuted, exact = np.array(pairs).T
    np.testing.assert_allclose(permuted, exact, atol=0.04)
    assert exact.min() < 0.01
    assert exact.max() > 0.2


def test_permutation_keeps_its_size_and_is_never_zero():
    rng = np.random.default_rng(5)
    groups, others = setting(rng, 24)
    orders = permutation_orders(24, 199, 0)
    ps = [freedman_lane(2 * others[:, 1] + rng.exponential(size=24), others, groups, orders) for _ in range(400)]
    assert 0.02 < np.mean(np.array(ps) <= 0.05) < 0.085
    assert min(ps) >= 1 / 200


def test_inflation_is_the_textbook_one():
    rng = np.random.default_rng(6)
    a = rng.standard_normal(50)
    b = a + 0.3 * rng.standard_normal(50)
    assert inflation(a[:, None], b[:, None]) == pytest.approx(1 / (1 - np.corrcoef(a, b)[0, 1] ** 2))
    assert inflation(a[:, None], 2 * a[:, None] + 1) == math.inf
    correlations = np.corrcoef(np.column_stack([a, b, a * b]), rowvar=False)
    det = np.linalg.det
    expected = det(correlations[:1, :1]) * det(correlations[1:, 1:]) / det(correlations)
    assert inflation(a[:, None], np.column_stack([b, a * b])) == pytest.approx(expected)
