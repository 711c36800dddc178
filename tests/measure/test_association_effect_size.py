"""The effect size equals a loop, keeps its invariants, recovers planted effects, and says when it is undefined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.measure.association import associations, effect_size, multilevel, raw_score, single_category_test


def cosine(u, v) -> float:
    return float(np.dot(u, v) / math.sqrt(np.dot(u, u)) / math.sqrt(np.dot(v, v)))


def association_by_loop(w, a, b) -> float:
    return math.fsum(cosine(w, v) for v in a) / len(a) - math.fsum(cosine(w, v) for v in b) / len(b)


def effect_size_by_loop(x, y, a, b, ddof=1) -> float:
    s_x, s_y = ([association_by_loop(w, a, b) for w in side] for side in (x, y))
    mean = math.fsum(s_x + s_y) / len(s_x + s_y)
    variance = math.fsum((s - mean) ** 2 for s in s_x + s_y) / (len(s_x + s_y) - ddof)
    return (math.fsum(s_x) / len(s_x) - math.fsum(s_y) / len(s_y)) / math.sqrt(variance)


def random_sets(seed: int, sizes=None, dim=None) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    dim = dim or int(rng.integers(2, 513))
    sizes = sizes or [int(rng.integers(2, 41))] * 2 + [int(rng.integers(1, 12)), int(rng.integers(1, 12))]
    offset = rng.normal(size=dim) * rng.random()
    return [rng.normal(size=(n, dim)) * rng.exponential(size=(n, 1)) + offset for n in sizes]


def planted(cosines) -> np.ndarray:
    cosines = np.asarray(cosines, dtype=float)
    return np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)


POLES = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])


def test_effect_size_equals_the_loop_on_200_cases_gate_1():
    for seed in range(200):
        sets = random_sets(seed, dim=None if seed % 10 == 0 else 2 + seed % 60)
        for ddof in (0, 1):
            assert effect_size(*sets, ddof=ddof) == pytest.approx(effect_size_by_loop(*sets, ddof), abs=1e-12)


def test_associations_and_raw_score_equal_the_loop():
    x, y, a, b = random_sets(1, sizes=[5, 7, 3, 2], dim=9)
    expected = [association_by_loop(w, a, b) for w in x]
    np.testing.assert_allclose(associations(x, a, b), expected, atol=1e-14)
    total = sum(expected) - sum(association_by_loop(w, a, b) for w in y)
    assert raw_score(x, y, a, b) == pytest.approx(total, abs=1e-12)


def test_a_single_category_score_is_its_definition_row_by_row():
    w, _, a, b = random_sets(2, sizes=[6, 1, 7, 5], dim=16)
    found = single_category_test(w, a, b, draws=50, permutations=99)
    for row, score in zip(w, found.effect_size, strict=True):
        cos_a, cos_b = ([cosine(row, v) for v in side] for side in (a, b))
        expected = (np.mean(cos_a) - np.mean(cos_b)) / np.std(cos_a + cos_b, ddof=1)
        assert score == pytest.approx(expected, abs=1e-12)
        alone = single_category_test(row, a, b, draws=50, permutations=99)
        assert alone.effect_size == pytest.approx(expected, abs=1e-12)
        assert isinstance(alone.effect_size, float)


def test_the_three_levels_equal_loops():
    for seed in range(20):
        x, y, a, b = random_sets(seed, sizes=[5, 7, 4, 3], dim=9)
        found = multilevel(x, y, a, b)
        assert found.effect_size == pytest.approx(effect_size(x, y, a, b), abs=1e-12)
        for targets, level in ((x, found.x), (y, found.y)):
            mean_a, mean_b = ([np.mean([cosine(w, v) for w in targets]) for v in side] for side in (a, b))
            expected = (np.mean(mean_a) - np.mean(mean_b)) / np.std(mean_a + mean_b, ddof=1)
            assert level == pytest.approx(expected, abs=1e-12)
        for block, (u, v) in enumerate(((x, a), (x, b), (y, a), (y, b))):
            cosines = [cosine(p, q) for p in u for q in v]
            assert found.means[block] == pytest.approx(np.mean(cosines), abs=1e-12)
            assert found.spreads[block] == pytest.approx(np.std(cosines, ddof=1), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 12), m=st.integers(2, 12))
def test_invariants(seed, n, m):
    x, y, a, b = random_sets(seed, sizes=[n, m, 3, 4], dim=7)
    rng = np.random.default_rng(seed)
    d = effect_size(x, y, a, b)
    close = pytest.approx(d, abs=1e-10)
    rotation = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    assert effect_size(*(v @ rotation for v in (x, y, a, b))) == close
    assert effect_size(*(v * rng.uniform(1e-3, 1e3, (len(v), 1)) for v in (x, y, a, b))) == close
    assert effect_size(*(rng.permutation(v) for v in (x, y, a, b))) == close
    assert -effect_size(y, x, a, b) == close
    assert -effect_size(x, y, b, a) == close
    assert effect_size(y, x, b, a) == close
    size = n + m
    assert effect_size(x, y, a, b, ddof=0) == pytest.approx(d * math.sqrt(size / (size - 1)), rel=1e-12)
    if n == m:
        assert abs(d) <= 2 * math.sqrt((size - 1) / size) + 1e-12


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-0.99, 0.99), min_size=2, max_size=8), st.lists(st.floats(-0.99, 0.99), min_size=2, max_size=8)
)
def test_planted_cosines_give_the_arithmetic_value(c_x, c_y):
    assume(np.ptp(c_x + c_y) > 1e-3)
    expected = (np.mean(c_x) - np.mean(c_y)) / np.std(c_x + c_y, ddof=1)
    assert effect_size(planted(c_x), planted(c_y), *POLES) == pytest.approx(expected, abs=1e-9)


def test_complete_separation_reaches_the_bound():
    for n in (2, 4, 6, 35):
        bound = 2 * math.sqrt((2 * n - 1) / (2 * n))
        assert effect_size(planted([0.6] * n), planted([-0.6] * n), *POLES) == pytest.approx(bound, abs=1e-12)


@pytest.mark.parametrize(("delta", "sigma"), [(0.02, 0.1), (0.1, 0.1), (0.2, 0.1)])
def test_gaussian_shifts_are_recovered_gate_16(delta, sigma):
    rng = np.random.default_rng(0)
    n, found = 30, []
    for _ in range(2000):
        x, y = (np.clip(rng.normal(shift / 2, sigma / 2, n), -1, 1) for shift in (delta, -delta))
        found.append(effect_size(planted(x), planted(y), *POLES))
    expected = 2 * delta / math.sqrt(sigma**2 + delta**2 * 2 * n / (2 * n - 1))
    assert np.mean(found) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_any_dtype_is_computed_in_double_precision(dtype):
    sets = [np.rint(v * 8).astype(dtype) + dtype(1) for v in random_sets(4, sizes=[6, 5, 3, 3], dim=5)]
    sets = [np.where(v.any(axis=1, keepdims=True), v, dtype(1)) for v in sets]
    assert effect_size(*sets) == effect_size(*(v.astype(np.float64) for v in sets))


def test_huge_and_tiny_vectors_neither_overflow_nor_vanish():
    sets = random_sets(5, sizes=[6, 6, 3, 3], dim=5)
    for scale in (1e-200, 1e200):
        assert effect_size(*(v * scale for v in sets)) == pytest.approx(effect_size(*sets), abs=1e-10)


def test_equal_associations_are_nan_not_an_exception():
    vector = np.array([[0.3, 0.7, 0.1]])
    same = np.repeat(vector, 4, axis=0) * np.array([[1.0], [3.7], [0.2], [9.1]])
    a, b = np.eye(3)[:1], np.eye(3)[1:2]
    assert math.isnan(effect_size(same, same[:3], a, b))
    x, y, _, _ = random_sets(0, sizes=[4, 4, 1, 1], dim=3)
    assert math.isnan(effect_size(x, y, a, a))  # A = B: every association is 0


def test_one_stimulus_per_side_is_defined():
    x, y, a, b = random_sets(0, sizes=[1, 1, 1, 1], dim=4)
    assert abs(effect_size(x, y, a, b)) == pytest.approx(math.sqrt(2), abs=1e-12)
    assert effect_size(x[0], y[0], a[0], b[0]) == effect_size(x, y, a, b)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("empty", np.empty((0, 3))),
        ("no width", np.empty((2, 0))),
        ("zero vector", np.array([[1.0, 0, 0], [0, 0, 0]])),
        ("nan", np.array([[1.0, np.nan, 0]])),
        ("inf", np.array([[1.0, np.inf, 0]])),
        ("another width", np.ones((2, 4))),
        ("three dimensions", np.ones((2, 3, 1))),
        ("text", np.array([["a", "b", "c"]])),
        ("ragged", [[1.0, 2.0, 3.0], [1.0]]),
    ],
)
@pytest.mark.parametrize("position", range(4))
def test_unusable_vectors_are_refused(name, bad, position):
    sets = random_sets(0, sizes=[3, 3, 2, 2], dim=3)
    sets[position] = bad
    with pytest.raises(InputError):
        effect_size(*sets)


def test_unknown_ddof_is_refused():
    with pytest.raises(InputError, match="ddof"):
        effect_size(*random_sets(0, sizes=[3, 3, 2, 2], dim=3), ddof=2)
