"""Paired differences: against scipy, the exact sign flips by hand, and equivalence as an interval inside a margin."""

import itertools

import numpy as np
import pytest
from scipy import stats

from fairvl.errors import InputError
from fairvl.stats.paired import paired_equivalence, paired_test


@pytest.mark.parametrize("n", [2, 5, 12, 40])
def test_the_t_test_is_scipys(n):
    values = np.random.default_rng(n).normal(0.3, 1.0, n)
    found, oracle = paired_test(values), stats.ttest_1samp(values, 0.0)
    ends = oracle.confidence_interval(0.95)
    assert found.p == pytest.approx(oracle.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), rel=1e-9)
    assert np.isnan(found.p_exact) == (n > 32)


def test_sign_flips_are_counted_exactly():
    assert paired_test([1.0, 2.0, 3.0]).p_exact == 2 / 8
    assert paired_test([1.0, 2.0, -3.0]).p_exact == 1.0
    assert paired_test([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).p_exact == 2 / 64
    values = [0.1, 0.3, 0.2, -0.05]
    oracle = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert paired_test(values).p_exact == pytest.approx(oracle.pvalue)


@pytest.mark.parametrize("n", [7, 12, 15])
def test_sign_flips_that_meet_in_the_middle_are_those_of_the_whole_list(n):
    for values in np.random.default_rng(n).integers(-4, 6, (20, n)):  # integers tie often, and ties count
        signs = np.array(list(itertools.product((-1, 1), repeat=n)))
        whole = np.mean(np.abs(signs @ values) >= abs(values.sum()))
        assert paired_test(values).p_exact == whole


@pytest.mark.parametrize("seed", range(20))
def test_equivalence_is_two_one_sided_tests_and_the_interval_inside_the_margin(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(rng.uniform(-0.02, 0.02), 0.008, 6)
    found = paired_equivalence(values, margin=0.015)
    lower = stats.ttest_1samp(values, -0.015, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, 0.015, alternative="less").pvalue
    assert found.p == pytest.approx(max(lower, upper), rel=1e-9)
    assert found.equivalent == (found.low > -0.015 and found.high < 0.015)


def test_not_different_is_not_equivalent():
    noisy = [0.05, -0.06, 0.04, -0.03, 0.01]
    assert paired_test(noisy).p > 0.5
    assert not paired_equivalence(noisy, margin=0.015).equivalent
    assert paired_equivalence([x / 100 for x in noisy], margin=0.015).equivalent


def test_without_spread_the_mean_decides():
    assert paired_equivalence([0.01] * 4, margin=0.015).p == 0
    assert paired_equivalence([0.02] * 4, margin=0.015).p == 1
    assert paired_test([0.0, 0.0]).p == 1
    assert paired_test([0.5, 0.5]).p == 0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_too_little_is_refused(values):
    with pytest.raises(InputError, match="at least 2"):
        paired_test(values)


@pytest.mark.parametrize("settings", [{"margin": 0.0}, {"margin": np.inf}, {"margin": 0.1, "alpha": 0.7}])
def test_unusable_settings_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        paired_equivalence([0.1, 0.2], **settings)
