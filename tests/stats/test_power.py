"""Power equals simulation, the minimum detectable effect inverts it, and what no data can reach is said."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.stats.permutation import two_sample_ps
from fairvl.stats.power import effect_size_of, minimum_detectable_effect, power, shift_of


@pytest.mark.parametrize(
    ("n", "m", "d", "tail"), [(12, 12, 0.9, "two-sided"), (15, 11, 0.7, "greater"), (11, 14, -0.8, "less")]
)
def test_power_is_the_share_of_exact_tests_that_reject(n, m, d, tail):
    rng = np.random.default_rng(0)
    shift = shift_of(d, n, m)
    x, y = rng.normal(shift, 1, (600, n)), rng.normal(size=(600, m))
    p = np.array([f.p for f in two_sample_ps(x, y, tail=tail, method="saddlepoint")])
    found = power(d, n, m, tail=tail)
    assert found.method == "noncentral t"
    assert found.power == pytest.approx((p <= 0.05).mean(), abs=0.06)
    assert 0.2 < found.power < 0.95
    reversed_sign = power(-d, n, m, tail=tail).power
    assert reversed_sign == pytest.approx(found.power) if tail == "two-sided" else reversed_sign < 0.01


def test_the_conversion_is_the_mean_effect_size_of_drawn_associations_gate_16():
    rng = np.random.default_rng(1)
    for n, m, shift in ((30, 30, 0.6), (30, 45, 1.5), (60, 60, 3.0)):
        x, y = rng.normal(shift, 1, (8000, n)), rng.normal(size=(8000, m))
        both = np.concatenate([x, y], axis=1)
        d = (x.mean(axis=1) - y.mean(axis=1)) / both.std(axis=1, ddof=1)
        assert d.mean() == pytest.approx(effect_size_of(shift, n, m), rel=0.02)
        assert effect_size_of(shift, n, m, 0) == pytest.approx(
            effect_size_of(shift, n, m) * math.sqrt((n + m) / (n + m - 1))
        )


@pytest.mark.parametrize(
    ("n", "m", "tail"), [(6, 6, "greater"), (20, 20, "two-sided"), (25, 12, "less"), (350, 350, "two-sided")]
)
def test_the_minimum_detectable_effect_inverts_power(n, m, tail):
    found = minimum_detectable_effect(n, m, tail=tail)
    assert (found.effect_size < 0) == (tail == "less")
    assert found.power == pytest.approx(0.8, abs=0.01)
    assert power(found.effect_size, n, m, tail=tail).power == pytest.approx(0.8, abs=0.01)
    assert minimum_detectable_effect(n, m, tail=tail, tests=20, target_power=0.6).n_x == n


def test_more_units_see_smaller_effects_and_corrections_cost():
    sizes = [minimum_detectable_effect(n, n).effect_size for n in (12, 25, 80, 350)]
    assert sizes == sorted(sizes, reverse=True)
    assert minimum_detectable_effect(25, 25, tests=26).effect_size > sizes[1]


@pytest.mark.parametrize(
    ("n", "tests", "attainable"),
    [(4, 1, True), (4, 2, False), (6, 26, False), (6, 20, True), (6, 26 * 131, False), (20, 26 * 131, True)],
)
def test_sizes_that_no_correction_can_pass_are_named(n, tests, attainable):
    """Spec 1.5: 6 per side reach 1/924, so that 26 tests x 131 models cannot be corrected for."""
    found = power(1.5, n, n, tests=tests)
    assert found.attainable is attainable
    assert found.p_floor == 2 / math.comb(2 * n, n)
    assert ("cannot be reached" in found.note) is not attainable
    detectable = minimum_detectable_effect(n, n, tests=tests, simulations=200, target_power=0.5)
    assert math.isnan(detectable.effect_size) is not attainable
    if not attainable:
        assert found.power == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: power(2.5, 20, 20), "lies between"),
        (lambda: power(0.5, 0, 20), "units"),
        (lambda: power(0.5, 5, 5, alpha=0.0), "alpha"),
        (lambda: power(0.5, 5, 5, tests=0), "tests"),
        (lambda: power(0.5, 5, 5, tail="both"), "tail"),
        (lambda: power(0.5, 5, 5, method="guess"), "method"),
        (lambda: power(0.5, 5, 5, ddof=2), "ddof"),
        (lambda: power(0.5, 5, 5, simulations=0), "simulations"),
        (lambda: minimum_detectable_effect(5, 5, target_power=1.0), "target_power"),
    ],
)
def test_unusable_designs_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
