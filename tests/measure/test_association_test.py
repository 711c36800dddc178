"""The whole association test: p-values, intervals, clusters, paired comparison, and its notes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.association import (
    association_test,
    associations,
    compare_associations,
    effect_size,
    effect_size_replicates,
    single_category_test,
)

OPTIONS = {"draws": 300, "permutations": 199}


def sets_of(seed: int, sizes=(8, 8, 5, 6), dim=12, shift=1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(sizes[2], dim)) + 2 * np.eye(dim)[0], rng.normal(size=(sizes[3], dim)) + 2 * np.eye(dim)[1]
    x, y = rng.normal(size=(sizes[0], dim)) + shift * np.eye(dim)[0], rng.normal(size=(sizes[1], dim))
    return [x, y, a, b]


def split_p(first, second, statistic) -> float:
    """Upper p over every split of the pooled rows, by loop."""
    pooled = np.concatenate([first, second])
    n = len(first)
    observed = statistic(first, second)
    rows = set(range(len(pooled)))
    hits = total = 0
    for chosen in itertools.combinations(range(len(pooled)), n):
        total += 1
        hits += statistic(pooled[list(chosen)], pooled[sorted(rows - set(chosen))]) >= observed - 1e-12
    return hits / total


@pytest.mark.parametrize("sizes", [(5, 5, 4, 3), (6, 3, 2, 4)])
def test_p_over_targets_is_that_of_the_effect_size_itself(sizes):
    x, y, a, b = sets_of(1, sizes, shift=0.6)
    expected = split_p(x, y, lambda u, v: effect_size(u, v, a, b))
    assert association_test(x, y, a, b, **OPTIONS).p == pytest.approx(expected, abs=1e-12)


def test_p_over_attributes_permutes_the_attributes():
    x, y, a, b = sets_of(2, (7, 7, 4, 5), shift=0.6)

    def mean_difference(u, v):
        return associations(x, u, v).mean() - associations(y, u, v).mean()

    expected = split_p(a, b, mean_difference)
    assert association_test(x, y, a, b, permute="attributes", **OPTIONS).p == pytest.approx(expected, abs=1e-12)


def test_p_over_both_equals_joint_enumeration():
    x, y, a, b = sets_of(3, (3, 3, 3, 3), shift=1.0)
    pooled, poles = np.concatenate([x, y]), np.concatenate([a, b])
    observed = associations(x, a, b).mean() - associations(y, a, b).mean()
    hits = {"greater": 0, "less": 0, "two-sided": 0}
    splits = [(list(c), [i for i in range(6) if i not in c]) for c in itertools.combinations(range(6), 3)]
    for (i, j), (k, m) in itertools.product(splits, splits):
        drawn = associations(pooled[i], poles[k], poles[m]).mean() - associations(pooled[j], poles[k], poles[m]).mean()
        hits["greater"] += drawn >= observed - 1e-12
        hits["less"] += drawn <= observed + 1e-12
        hits["two-sided"] += abs(drawn) >= abs(observed) - 1e-12
    for tail, count in hits.items():
        found = association_test(x, y, a, b, permute="both", tail=tail, draws=10, permutations=20_000)
        assert abs(found.p - count / 400) < 5 * found.p_error + 1e-4


def test_p_is_exact_up_to_twenty_per_side():
    for n, exact in ((20, True), (21, False)):
        found = association_test(*sets_of(0, (n, n, 4, 4)), **OPTIONS)
        assert found.p_method.startswith("exact") is exact
        assert found.p >= found.p_floor > 0
    assert found.p_method == "saddlepoint"
    assert found.p_floor == 1 / math.comb(42, 21)
    sampled = association_test(*sets_of(0, (21, 21, 4, 4)), method="sample", **OPTIONS)
    assert sampled.p_floor == 1 / 200
    assert abs(sampled.p - found.p) < 4 * sampled.p_error + 1 / 200


def test_swapping_targets_keeps_the_two_sided_p_and_turns_the_interval():
    x, y, a, b = sets_of(4, (9, 9, 4, 4))
    one, other = (association_test(*s, tail="two-sided", **OPTIONS) for s in ((x, y, a, b), (x, y, b, a)))
    assert one.p == other.p
    assert (one.effect_size, one.low, one.high) == pytest.approx((-other.effect_size, -other.high, -other.low))


@pytest.mark.parametrize("resample", ["targets", "attributes", "both"])
def test_replicates_equal_a_loop_over_resampled_rows(resample):
    """With one unit per row: rows repeated as often as they were drawn give the replicate's effect size."""
    from fairvl.stats.bootstrap import draw_counts

    sets = sets_of(5, (6, 7, 4, 5))
    found = effect_size_replicates(*sets, draws=40, seed=3, resample=resample)
    active = {"targets": (0, 1), "attributes": (2, 3), "both": (0, 1, 2, 3)}[resample]
    counts = [draw_counts(len(s), 40, np.random.default_rng([3, i])) for i, s in enumerate(sets)]
    for draw in range(40):
        rows = [np.repeat(s, counts[i][draw].astype(int), axis=0) if i in active else s for i, s in enumerate(sets)]
        assert found[draw] == pytest.approx(effect_size(*rows), abs=1e-9)


def test_clusters_are_resampled_whole_in_every_set():
    sets = sets_of(6, (6, 6, 4, 4))
    repeated = [np.repeat(s, 3, axis=0) for s in sets]
    clusters = [np.repeat(np.arange(len(s)), 3) for s in sets]
    for resample in ("targets", "both"):
        words = effect_size_replicates(*sets, draws=50, seed=1, resample=resample, ddof=0)
        sentences = effect_size_replicates(*repeated, draws=50, seed=1, resample=resample, clusters=clusters, ddof=0)
        np.testing.assert_allclose(words, sentences, atol=1e-9)


def test_templates_do_not_count_as_draws():
    rng = np.random.default_rng(0)
    x, y, a, b = sets_of(7, (8, 8, 4, 4), shift=0.3)
    sentences = [np.repeat(v, 6, axis=0) + 0.05 * rng.normal(size=(48, 12)) for v in (x, y)]
    words = [np.repeat(np.arange(8), 6)] * 2 + [None, None]
    naive = association_test(*sentences, a, b, **OPTIONS)
    honest = association_test(*sentences, a, b, clusters=words, **OPTIONS)
    plain = association_test(x, y, a, b, **OPTIONS)
    assert naive.effect_size == honest.effect_size
    assert honest.high - honest.low > 1.5 * (naive.high - naive.low)
    assert honest.n == plain.n == 16
    assert honest.p_method.startswith("exact")
    assert honest.p == pytest.approx(plain.p, abs=0.02)
    assert "clusters" in honest.note


def test_resampling_attributes_too_widens_the_interval():
    sets = sets_of(8, (30, 30, 4, 4))
    targets, both = (association_test(*sets, resample=r, **OPTIONS) for r in ("targets", "both"))
    assert both.high - both.low > targets.high - targets.low


@pytest.mark.parametrize("interval", ["bca", "percentile"])
@pytest.mark.parametrize("resample", ["targets", "attributes", "both"])
def test_the_jackknife_and_interval_are_finite_and_hold_the_value(interval, resample):
    found = association_test(*sets_of(9, (20, 18, 6, 7)), interval=interval, resample=resample, **OPTIONS)
    assert found.low < found.effect_size < found.high
    assert found.interval_method == f"{interval} over {resample}"


def test_the_left_out_values_are_effect_sizes_without_one_unit():
    from fairvl.measure.association.anatomy import Anatomy
    from fairvl.stats.bootstrap import stratified_jackknife

    sets = tuple(sets_of(10, (5, 6, 4, 3)))
    expected = [
        np.array(
            [effect_size(*(np.delete(s, k, axis=0) if i == j else s for j, s in enumerate(sets))) for k in range(n)]
        )
        for i, n in enumerate((5, 6, 4, 3))
    ]
    for resample, strata in (("targets", (0, 1)), ("attributes", (2, 3)), ("both", (0, 1, 2, 3))):
        found = Anatomy.of(sets, 1, None).jackknife(resample)
        np.testing.assert_allclose(found, stratified_jackknife([expected[i] for i in strata]), atol=1e-10)


def test_same_seed_same_result_and_a_generator_is_a_seed():
    sets = sets_of(11, (25, 25, 4, 4))
    assert association_test(*sets, seed=5, **OPTIONS) == association_test(*sets, seed=5, **OPTIONS)
    assert association_test(*sets, seed=5, **OPTIONS) != association_test(*sets, seed=6, **OPTIONS)
    drawn = [association_test(*sets, seed=np.random.default_rng(5), **OPTIONS) for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_a_paired_difference_is_tighter_than_two_intervals():
    before = sets_of(12, (25, 25, 6, 6))
    direction = before[2].mean(axis=0) - before[3].mean(axis=0)
    direction /= np.linalg.norm(direction)
    after = [v - 0.5 * np.outer(v @ direction, direction) if i < 2 else v for i, v in enumerate(before)]
    for resample in ("targets", "both"):
        found = compare_associations(before, after, resample=resample, **OPTIONS)
        assert found.before == association_test(*before, resample=resample, **OPTIONS)
        assert found.after == association_test(*after, resample=resample, **OPTIONS)
        assert found.difference.value == found.after.effect_size - found.before.effect_size
        assert found.difference.low <= found.difference.value <= found.difference.high
        unpaired = math.hypot(found.before.high - found.before.low, found.after.high - found.after.low)
        assert found.difference.high - found.difference.low < unpaired
    same = compare_associations(before, before, **OPTIONS).difference
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_a_comparison_of_different_stimuli_is_refused():
    before = sets_of(13)
    with pytest.raises(InputError, match="same stimuli"):
        compare_associations(before, [before[0][:-1], *before[1:]])


def test_a_comparison_may_change_the_width():
    before = sets_of(14)
    after = [v[:, :10] for v in before]
    assert compare_associations(before, after, **OPTIONS).difference.n == 16


def test_equal_associations_are_flagged():
    x, y, a, _ = sets_of(15)
    found = association_test(x, y, a, a, **OPTIONS)
    assert all(math.isnan(v) for v in (found.effect_size, found.p, found.low, found.high))
    assert "undefined" in found.note
    paired = compare_associations((x, y, a, a), (x, y, a, a), **OPTIONS).difference
    assert math.isnan(paired.value)
    assert paired.note


def test_one_target_has_a_p_but_no_interval():
    x, y, a, b = sets_of(16, (1, 6, 4, 4))
    for resample in ("targets", "both"):
        found = association_test(x, y, a, b, resample=resample, **OPTIONS)
        assert math.isfinite(found.effect_size)
        assert 0 < found.p <= 1
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert "no interval" in found.note
    with pytest.raises(InputError, match="nothing to resample"):
        effect_size_replicates(x, y, a, b)


def test_two_attributes_carry_no_interval_and_the_note_says_so():
    found = association_test(*sets_of(17, (10, 10, 2, 2)), **OPTIONS)
    assert "2 attribute stimuli carry no interval" in found.note
    assert math.isfinite(found.low)
    assert association_test(*sets_of(17, (10, 10, 3, 3)), **OPTIONS).note == ""


def test_sets_too_small_for_any_small_p_are_noted():
    found = association_test(*sets_of(18, (2, 2, 4, 4)), **OPTIONS)
    assert found.p_floor == pytest.approx(1 / 6)
    assert "smallest p" in found.note


def test_duplicates_and_shared_stimuli_are_noted():
    x, y, a, b = sets_of(21)
    note = association_test(np.concatenate([x, x[:2]]), np.concatenate([y, x[:1]]), a, b, **OPTIONS).note
    assert "2 duplicates in x" in note
    assert "1 stimuli are in both target sets" in note
    assert "duplicates in y" not in note


def test_duplicated_stimuli_without_spread_are_left_out_of_the_interval():
    rng = np.random.default_rng(0)
    x, y = np.repeat(rng.normal(size=(1, 6)), 2, axis=0), np.repeat(rng.normal(size=(1, 6)), 2, axis=0)
    x[1] = y[1] = rng.normal(size=6)
    found = association_test(x, y, rng.normal(size=(3, 6)), rng.normal(size=(3, 6)), draws=2000)
    assert 0 < found.undefined < 0.5
    assert "left out" in found.note


def test_single_category_p_permutes_the_attributes_of_every_row():
    w, _, a, b = sets_of(19, (3, 1, 4, 5))
    found = single_category_test(w, a, b, **OPTIONS)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (w, a, b)]
    for i, row in enumerate(unit[0]):
        expected = split_p(unit[1] @ row, unit[2] @ row, lambda u, v: u.mean() - v.mean())
        assert found.p[i] == pytest.approx(expected, abs=1e-12)
        assert found.low[i] < found.effect_size[i] < found.high[i]
    assert found.n == 9


def test_single_category_undefined_rows_are_nan_and_noted():
    w, _, a, b = sets_of(20, (3, 1, 4, 5), dim=6)
    a[:, -1] = b[:, -1] = 0.0
    w[1] = np.eye(6)[-1]
    found = single_category_test(w, a, b, **OPTIONS)
    np.testing.assert_array_equal(np.isnan(found.effect_size), [False, True, False])
    np.testing.assert_array_equal(np.isnan(found.p), [False, True, False])
    assert "1 row" in found.note


def test_p_values_are_super_uniform_under_the_null_and_small_under_bias():
    p = {0.0: [], 4.0: []}
    for shift, values in p.items():
        for seed in range(300):
            values.append(association_test(*sets_of(seed, (7, 6, 3, 3), shift=shift), draws=2, interval="percentile").p)
    grid = np.linspace(0.01, 1, 100)
    excess = (np.array(p[0.0])[:, None] <= grid).mean(axis=0) - grid
    assert excess.max() < 1.63 / math.sqrt(300)
    assert np.mean(np.array(p[4.0]) <= 0.05) > 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"tail": "upper"},
        {"permute": "targets and attributes"},
        {"resample": "rows"},
        {"interval": "t"},
        {"ddof": 2},
        {"level": 95},
        {"draws": 0},
        {"seed": -1},
        {"permutations": -3},
        {"preset": "weat"},
        {"clusters": [None, None]},
        {"clusters": [["one"], None, None, None]},
    ],
)
def test_unusable_options_are_refused(options):
    with pytest.raises(InputError):
        association_test(*sets_of(0), **options)
