"""Presets equal the published conventions, written out here as loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.association import association_test, associations, effect_size

OPTIONS = {"draws": 50}


def sets_of(seed: int, n: int, m: int | None = None) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(k, 10)) + 0.4 * rng.normal(size=10) for k in (n, m or n, 5, 6)]


def splits_p(s_x, s_y) -> float:
    pooled, n = [*s_x, *s_y], len(s_x)
    observed = sum(s_x)
    hits = [sum(c) >= observed - 1e-12 for c in itertools.combinations(pooled, n)]
    return sum(hits) / len(hits)


@pytest.mark.parametrize(("preset", "n", "exact"), [("sent-bias", 7, True), ("ieat", 7, True), ("ieat", 8, False)])
def test_sent_bias_and_ieat_count_every_split_where_there_are_few(preset, n, exact):
    x, y, a, b = sets_of(1, n)
    found = association_test(x, y, a, b, preset=preset, **OPTIONS)
    expected = splits_p(associations(x, a, b), associations(y, a, b))
    assert found.effect_size == effect_size(x, y, a, b)
    assert found.preset == preset
    assert found.p_method.startswith("exact") is exact
    if exact:
        assert found.p == pytest.approx(expected, abs=1e-12)
    else:  # 12,870 splits are more than 10,000: drawn, the observed split being one of them
        assert found.p == pytest.approx(expected, abs=5 * found.p_error + 1e-4)
        assert found.p * 10_000 == pytest.approx(round(found.p * 10_000), abs=1e-9)
        assert found.p_floor == 1 / 10_000


def test_sent_bias_and_ieat_refuse_unequal_sizes_and_other_tails():
    for preset in ("sent-bias", "ieat"):
        with pytest.raises(InputError, match="equal size"):
            association_test(*sets_of(0, 5, 6), preset=preset)
        with pytest.raises(InputError, match="upper tail"):
            association_test(*sets_of(0, 5), preset=preset, tail="two-sided")


def test_wefe_uses_the_population_spread():
    sets = sets_of(2, 6, 9)
    found = association_test(*sets, preset="wefe", **OPTIONS)
    assert found.effect_size == effect_size(*sets, ddof=0)
    assert found.ddof == 0


def test_wefe_draws_with_replacement_and_compares_strictly():
    x, y, a, b = sets_of(3, 6)
    s_x, s_y = associations(x, a, b), associations(y, a, b)
    pooled, observed = np.concatenate([s_x, s_y]), s_x.sum() - s_y.sum()
    rng = np.random.default_rng(99)
    drawn = []
    for _ in range(40_000):
        resample = pooled[rng.integers(12, size=12)]
        drawn.append(resample[:6].sum() - resample[6:].sum())
    drawn = np.array(drawn)
    expected = {"greater": drawn > observed, "less": drawn < observed, "two-sided": np.abs(drawn) > observed}
    for tail, hits in expected.items():
        found = association_test(x, y, a, b, preset="wefe", tail=tail, permutations=40_000, **OPTIONS)
        assert found.p == pytest.approx(hits.mean(), abs=0.012)
        assert found.p_method == "sampled with replacement"


def test_wefe_two_sided_is_one_for_a_strongly_negative_score():
    found = association_test(
        [[-1.0, 0.1]] * 8, [[1.0, 0.1]] * 8, [[1.0, 0.0]], [[-1.0, 0.0]], preset="wefe", tail="two-sided"
    )
    assert found.effect_size == pytest.approx(-2.0)
    assert found.p == 1.0


def test_ml_eat_returns_the_smaller_tail_of_a_fitted_normal():
    for seed, n, m in ((4, 9, 9), (5, 6, 11)):
        x, y, a, b = sets_of(seed, n, m)
        s_x, s_y = associations(x, a, b), associations(y, a, b)
        pooled = np.concatenate([s_x, s_y])
        variance = pooled.var() * n * m / (n + m - 1)  # of the sum over x, under all splits
        z = (s_x.sum() - n * pooled.mean()) / math.sqrt(variance)
        upper = 0.5 * math.erfc(z / math.sqrt(2))
        found = association_test(x, y, a, b, preset="ml-eat", **OPTIONS)
        swapped = association_test(y, x, a, b, preset="ml-eat", **OPTIONS)
        assert found.effect_size == effect_size(x, y, a, b)
        assert found.p == pytest.approx(min(upper, 1 - upper), abs=0.03)
        assert found.p <= 0.5
        assert swapped.p == pytest.approx(found.p, abs=0.03)  # whatever the sign


def test_sampled_presets_follow_our_seed():
    sets = sets_of(6, 12)
    for preset in ("sent-bias", "ieat", "wefe", "ml-eat"):
        p = [association_test(*sets, preset=preset, seed=s, permutations=500, **OPTIONS).p for s in (1, 1, 2, 3, 4)]
        assert p[0] == p[1]
        assert len(set(p)) > 1


def test_options_against_a_preset_are_refused():
    for options in (
        {"ddof": 1, "preset": "wefe"},
        {"ddof": 0, "preset": "ieat"},
        {"permute": "attributes", "preset": "wefe"},
    ):
        with pytest.raises(InputError, match="preset"):
            association_test(*sets_of(0, 5), **options)
