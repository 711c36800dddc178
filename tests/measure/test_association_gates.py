"""What the spec's gates 15, 17 and 19 ask for in closed form, through the public test."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvl.measure.association import association_test, effect_size, population_tests
from fairvl.stats.permutation import two_sample_p, two_sample_ps

POLES = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])


def planted(cosines) -> np.ndarray:
    cosines = np.asarray(cosines, dtype=float)
    return np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)


@pytest.mark.parametrize("n", [2, 4, 6, 9, 20, 60])
def test_complete_separation_has_the_arithmetic_d_and_p_gate_15(n):
    rng = np.random.default_rng(n)
    apart = association_test(planted(0.3 + 0.3 * rng.random(n)), planted(-0.6 + 0.3 * rng.random(n)), *POLES, draws=50)
    assert apart.p == pytest.approx(1 / math.comb(2 * n, n), rel=1e-12)
    assert apart.p == apart.p_floor
    flat = association_test(planted([0.6] * n), planted([-0.6] * n), *POLES, draws=50)
    assert flat.effect_size == pytest.approx(2 * math.sqrt((2 * n - 1) / (2 * n)), abs=1e-12)


def test_planted_cosines_have_the_p_of_arithmetic_gate_15():
    c_x, c_y = [0.5, 0.2, 0.1, -0.3], [0.4, 0.0, -0.1, -0.2]  # sums of x over all 70 splits, by hand below
    pooled = [round(10 * c) for c in c_x + c_y]
    sums = [sum(chosen) for chosen in itertools.combinations(pooled, 4)]
    expected = sum(s >= sum(pooled[:4]) for s in sums) / 70
    found = association_test(planted(c_x), planted(c_y), *POLES, draws=50)
    assert found.p == pytest.approx(expected, rel=1e-12)
    assert found.p * math.comb(8, 4) == pytest.approx(round(found.p * 70), abs=1e-6)  # gate 8


def test_null_p_values_are_uniform_on_their_grid_in_both_tails_gate_17():
    from scipy.stats import kstest

    rng = np.random.default_rng(2)
    s_x, s_y = rng.normal(size=(2000, 6)), rng.normal(size=(2000, 6))
    for tail in ("greater", "two-sided"):
        p = population_tests(s_x, s_y, tail=tail, draws=1, interval="percentile").p
        jittered = (
            p - rng.random(2000) * (2 if tail == "two-sided" else 1) / 924
        )  # spreads each grid point over its step
        assert kstest(jittered, "uniform").pvalue > 0.01
        assert 0.04 <= (p <= 0.05).mean() <= 0.06
    shifted = population_tests(s_x + 1.0, s_y, draws=1, interval="percentile").p
    assert kstest(shifted, "uniform").pvalue < 1e-6  # power


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 9),
    m=st.integers(2, 9),
    method=st.sampled_from(["enumerate", "match", "saddlepoint"]),
)
def test_two_sided_symmetry_and_antisymmetry_of_tails(seed, n, m, method):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(rng.normal(), 1, n), rng.normal(size=m)
    p = {tail: two_sample_p(x, y, tail=tail, method=method).p for tail in ("greater", "less", "two-sided")}
    swapped = {tail: two_sample_p(y, x, tail=tail, method=method).p for tail in p}
    assert p["two-sided"] == pytest.approx(swapped["two-sided"], rel=1e-9)
    assert p["greater"] == pytest.approx(swapped["less"], rel=1e-9)
    assert two_sample_p(-x, -y, tail="less", method=method).p == pytest.approx(p["greater"], rel=1e-9)
    assert two_sample_p(3 * x + 7, 3 * y + 7, tail="greater", method=method).p == pytest.approx(p["greater"], rel=1e-6)
    if method != "saddlepoint":
        atoms = p["greater"] + p["less"] - 1  # the observed split, and its ties, are in both tails
        assert atoms >= 1 / math.comb(n + m, n) - 1e-12


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 7))
def test_rotation_scale_and_order_leave_d_and_p_gate_19(seed, n):
    rng = np.random.default_rng(seed)
    sets = [rng.normal(size=(k, 6)) + rng.normal(size=6) for k in (n, n + 1, 4, 3)]
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    moved = [rng.permutation(v @ rotation * rng.uniform(1e-3, 1e3, (len(v), 1))) for v in sets]
    before, after = (association_test(*s, draws=10, interval="percentile") for s in (sets, moved))
    assert after.effect_size == pytest.approx(before.effect_size, abs=1e-9)
    assert after.p == pytest.approx(before.p, abs=1e-12)
    x, y, a, b = sets
    assert effect_size(y, x, a, b) == pytest.approx(-before.effect_size, abs=1e-12)
    assert effect_size(y, x, b, a) == pytest.approx(before.effect_size, abs=1e-12)


def test_a_row_of_a_family_equals_scipys_permutation_test_gate_20():
    from scipy.stats import permutation_test

    rng = np.random.default_rng(4)
    x, y = rng.normal(0.5, 1, (4, 6)), rng.normal(size=(4, 6))
    for tail in ("greater", "less", "two-sided"):
        for row, found in enumerate(two_sample_ps(x, y, tail=tail, method="match")):
            theirs = permutation_test(
                (x[row], y[row]), lambda u, v, axis: u.mean(axis) - v.mean(axis), alternative=tail, n_resamples=np.inf,
                vectorized=True,
            )  # fmt: skip
            assert found.p == pytest.approx(theirs.pvalue, abs=1e-12)
