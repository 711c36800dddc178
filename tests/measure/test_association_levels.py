"""ST-EAT, the nine patterns, the whole-matrix SD, and influence equal their loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.association import (
    association_test,
    effect_size,
    influence,
    multilevel,
    single_category_test,
    st_eat,
)


def cosine(u, v) -> float:
    return float(np.dot(u, v) / math.sqrt(np.dot(u, u)) / math.sqrt(np.dot(v, v)))


def sets_of(seed: int, sizes=(5, 7, 6, 6), dim: int = 9, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(n, dim)) + rng.normal(size=dim) * 0.3).astype(dtype) for n in sizes]


def st_eat_by_loop(targets, a, b, ddof=1):
    mean_a, mean_b = ([sum(cosine(t, v) for t in targets) / len(targets) for v in side] for side in (a, b))
    both = mean_a + mean_b
    centre = sum(both) / len(both)
    spread = math.sqrt(sum((m - centre) ** 2 for m in both) / (len(both) - ddof))
    return (sum(mean_a) / len(mean_a) - sum(mean_b) / len(mean_b)) / spread


def test_st_eat_equals_the_loop_and_permutes_attributes():
    for seed in range(10):
        x, _, a, b = sets_of(seed)
        found = st_eat(x, a, b, draws=100)
        assert found.effect_size == pytest.approx(st_eat_by_loop(x, a, b), abs=1e-12)
        assert found.low < found.effect_size < found.high
        assert found.n == 12
        assert st_eat(x, b, a, draws=100).effect_size == pytest.approx(-found.effect_size, abs=1e-12)
    assert st_eat(x[:1], a, b, draws=50).p == single_category_test(x[0], a, b, draws=50).p
    assert st_eat(x, a, b, draws=50).p_floor == 1 / 924


def test_the_three_levels_equal_loops_in_float32_gate_3():
    for seed in range(10):
        x, y, a, b = sets_of(seed, dtype=np.float32)
        found = multilevel(x, y, a, b)
        assert found.effect_size == pytest.approx(effect_size(x, y, a, b), abs=1e-5)
        assert found.x == pytest.approx(st_eat_by_loop(x, a, b), abs=1e-5)
        assert found.y == pytest.approx(st_eat_by_loop(y, a, b), abs=1e-5)
        for block, (u, v) in enumerate(((x, a), (x, b), (y, a), (y, b))):
            cosines = [cosine(p, q) for p in u for q in v]
            assert found.means[block] == pytest.approx(np.mean(cosines), abs=1e-5)
            assert found.spreads[block] == pytest.approx(np.std(cosines, ddof=1), abs=1e-5)


def test_sc_eat_identity_gate_4():
    for seed in range(10):
        x, y, a, b = sets_of(seed)
        score = single_category_test(x, a, b, draws=20, permutations=99)
        population = single_category_test(x, a, b, draws=20, permutations=99, ddof=0)
        for row, one, zero in zip(x, score.effect_size, population.effect_size, strict=True):
            cos_a, cos_b = ([cosine(row, v) for v in side] for side in (a, b))
            assert (np.mean(cos_a) - np.mean(cos_b)) / np.std(cos_a + cos_b, ddof=1) == pytest.approx(one, abs=1e-6)
            assert zero / one == pytest.approx(math.sqrt(12 / 11), rel=1e-14)
        n = len(x) + len(y)
        assert effect_size(x, y, a, b, ddof=0) / effect_size(x, y, a, b) == pytest.approx(
            math.sqrt(n / (n - 1)), rel=1e-14
        )


def test_the_whole_matrix_sd_is_one_for_all_rows():
    x, _, a, b = sets_of(1)
    cosines = np.array([[cosine(w, v) for v in (*a, *b)] for w in x])
    expected = (cosines[:, :6].mean(axis=1) - cosines[:, 6:].mean(axis=1)) / cosines.std(ddof=1)
    found = single_category_test(x, a, b, spread="matrix", draws=100)
    by_row = single_category_test(x, a, b, draws=100)
    np.testing.assert_allclose(found.effect_size, expected, atol=1e-12)
    np.testing.assert_array_equal(found.p, by_row.p)
    assert abs(found.effect_size - by_row.effect_size).max() > 0.01
    np.testing.assert_allclose(found.low / found.effect_size, by_row.low / by_row.effect_size)
    alone = single_category_test(x[0], a, b, spread="matrix", draws=100)
    assert alone.effect_size == pytest.approx(by_row.effect_size[0], abs=1e-12)  # one row: both are the same
    with pytest.raises(InputError, match="equal size"):
        single_category_test(x, a, b[:4], spread="matrix")
    with pytest.raises(InputError, match="spread"):
        single_category_test(x, a, b, spread="column")


PLANES = {"A": (1.0, 0.0), "B": (0.0, 1.0), "neutral": (1.0, 1.0)}


@pytest.mark.parametrize("x_leans", PLANES)
@pytest.mark.parametrize("y_leans", PLANES)
def test_all_nine_patterns_are_told_apart(x_leans, y_leans):
    rng = np.random.default_rng(0)
    a, b = (np.array(pole) + 0.02 * rng.normal(size=(8, 2)) for pole in ((1.0, 0.0), (0.0, 1.0)))
    x, y = (np.array(PLANES[lean]) + 0.01 * rng.normal(size=(6, 2)) for lean in (x_leans, y_leans))
    found = multilevel(x, y, a, b, neutral=1.0)
    assert found.leans == (x_leans, y_leans)
    assert found.pattern == f"{x_leans} / {y_leans}"
    signs = {(True, True): 1, (False, True): 2, (False, False): 3, (True, False): 4}
    assert found.quadrant == signs[found.x > 0, found.y > 0]
    swapped = multilevel(x, y, b, a, neutral=1.0)
    mirrored = {"A": "B", "B": "A", "neutral": "neutral"}
    assert swapped.leans == (mirrored[x_leans], mirrored[y_leans])


def test_an_undefined_level_has_no_pattern():
    x, y, a, _ = sets_of(2)
    found = multilevel(x, y, a[:1], a[:1])
    assert found.pattern == ""
    assert found.quadrant == 0
    with pytest.raises(InputError, match="neutral"):
        multilevel(x, y, a, a, neutral=-1)


def test_influence_equals_leaving_each_stimulus_out():
    sets = sets_of(3)
    found = influence(*sets)
    assert found.effect_size == pytest.approx(effect_size(*sets), abs=1e-12)
    for position, name in enumerate("xyab"):
        for unit, value in enumerate(getattr(found, name)):
            rest = [np.delete(s, unit, axis=0) if i == position else s for i, s in enumerate(sets)]
            assert value == pytest.approx(effect_size(*rest), abs=1e-10)
    ranked = found.ranked()
    assert len(ranked) == 24
    assert [abs(u.change) for u in ranked] == sorted((abs(u.change) for u in ranked), reverse=True)


def test_influence_of_a_word_leaves_all_its_templates_out():
    x, y, a, b = sets_of(4, sizes=(12, 8, 6, 3))
    words = np.repeat(["rose", "tulip", "iris", "poppy"], 3)
    found = influence(x, y, a, b, clusters=(words, None, np.repeat([0, 1], 3), ["one"] * 3))
    assert found.labels[0] == ("rose", "tulip", "iris", "poppy")
    assert found.x[1] == pytest.approx(effect_size(x[words != "tulip"], y, a, b), abs=1e-10)
    assert found.a[0] == pytest.approx(effect_size(x, y, a[3:], b), abs=1e-10)
    assert np.isnan(found.b).all()  # nothing is left without the only word
    assert all(u.set != "b" for u in found.ranked())


def test_one_planted_outlier_is_found_and_flips_the_sign():
    a, b = np.eye(2)[:1], np.eye(2)[1:]
    plain = np.array([[0.5, 1.0], [0.55, 1.0], [0.45, 1.0], [0.52, 1.0]])
    x = np.vstack([plain - [0.02, 0.0], [[5.0, 0.1]]])
    found = influence(x, plain, a, b)
    assert found.effect_size > 0
    assert found.flips[0][:2] == ("x", "4")


def test_an_empty_attribute_set_after_truncation_is_refused_by_name():
    x, y, a, b = sets_of(0)
    for call in (
        lambda: association_test(x, y, a, b[:0]),
        lambda: st_eat(x, a, b[:0]),
        lambda: influence(x, y, a, b[:0]),
    ):
        with pytest.raises(InputError, match="b: 0 vectors"):
            call()
