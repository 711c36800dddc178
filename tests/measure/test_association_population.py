"""All models at once: equal to one model at a time, to plain loops, and untouched by a neighbour's NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fairvl.arrays import unit_rows
from fairvl.errors import InputError
from fairvl.measure.association import (
    association_test,
    associations,
    max_t,
    population_influence,
    population_tests,
)
from fairvl.stats.permutation import two_sample_p

WORDS, TEMPLATES = np.repeat(np.arange(9), 4), np.tile(np.arange(4), 9)


def models_of(seed: int, models: int = 4, sizes=(36, 36, 12, 12), dim: int = 12):
    """Vectors of `models` encoders for the same four sets; words shift their sentences."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(models):
        x, y, a, b = (rng.normal(size=(n, dim)) for n in sizes)
        for side in (x, y):
            side += np.repeat(rng.normal(size=(-(-len(side) // 4), dim)), 4, axis=0)[: len(side)]
        x += 1.5 * rng.normal(size=dim)
        found.append((x, y, a, b))
    return found


def associations_of(sets):
    pairs = [(associations(x, a, b), associations(y, a, b)) for x, y, a, b in sets]
    return tuple(np.stack([p[i] for p in pairs]) for i in (0, 1))


def cosines_of(sets):
    unit = [tuple(unit_rows(v) for v in four) for four in sets]
    return tuple(np.stack([u[i] @ u[j].T for u in unit]) for i, j in ((0, 2), (0, 3), (1, 2), (1, 3)))


@pytest.mark.parametrize("clusters", [None, (WORDS, WORDS)], ids=["stimuli", "words"])
@pytest.mark.parametrize("resample", ["targets", "attributes", "both"])
@pytest.mark.parametrize("interval", ["bca", "percentile"])
def test_every_model_gets_what_it_would_get_alone(clusters, resample, interval):
    sets = models_of(0)
    labels = np.repeat(np.arange(6), 2)
    options = {"draws": 200, "seed": 3, "resample": resample, "interval": interval, "tail": "two-sided"}
    found = population_tests(
        *associations_of(sets),
        clusters=clusters,
        cosines=cosines_of(sets),
        attribute_clusters=(labels, labels),
        **options,
    )
    both = (*(clusters or (None, None)), labels, labels)
    for i, four in enumerate(sets):
        alone = association_test(*four, clusters=both, method="saddlepoint" if clusters is None else "auto", **options)
        assert found.effect_size[i] == pytest.approx(alone.effect_size, abs=1e-12)
        assert found.low[i] == pytest.approx(alone.low, abs=1e-9)
        assert found.high[i] == pytest.approx(alone.high, abs=1e-9)
        assert found.p[i] == pytest.approx(alone.p, rel=1e-9)
        assert found.p_methods[i] == alone.p_method
        assert found.n == alone.n
        assert found.p_floor == alone.p_floor


def test_methods_are_chosen_by_size_and_bounds_are_given_where_they_are_proven():
    rng = np.random.default_rng(1)
    for n, method in ((6, "exact (enumeration)"), (15, "exact (meet in the middle)"), (40, "saddlepoint")):
        x, y = rng.normal(0.3, 1, (3, n)), rng.normal(size=(3, n))
        found = population_tests(x, y, draws=20)
        assert found.p_method == method
        exact = method.startswith("exact")
        np.testing.assert_array_equal(found.p_low, found.p if exact else np.full(3, np.nan))
        assert ((found.p_error == 0) == exact).all()
    bracketed = population_tests(x[:1], y[:1], draws=20, method="lattice")
    assert bracketed.p_low[0] <= found.p[0] <= bracketed.p_high[0]
    few = rng.integers(0, 3, size=(2, 3, 40))
    assert population_tests(*few, draws=20, permutations=999).p_method == "sampled"


def test_a_model_with_few_distinct_values_leaves_the_others_their_method():
    rng = np.random.default_rng(6)
    x, y = rng.normal(0.3, 1, (3, 40)), rng.normal(size=(3, 40))
    alone = population_tests(x, y, draws=20, permutations=999)
    x[1], y[1] = rng.integers(0, 3, size=(2, 40))
    beside = population_tests(x, y, draws=20, permutations=999)
    assert beside.p_methods == ("saddlepoint", "sampled", "saddlepoint")
    assert beside.p[[0, 2]].tolist() == alone.p[[0, 2]].tolist()
    assert beside.p_floor == alone.p_floor < 1e-20


def test_nan_in_one_model_stays_in_that_model():
    x, y = associations_of(models_of(2, models=3))
    whole = population_tests(x, y, draws=100)
    hurt_x, hurt_y = x.copy(), y.copy()
    hurt_x[1, 5] = np.nan
    hurt = population_tests(hurt_x, hurt_y, draws=100)
    for name in ("effect_size", "p", "low", "high", "p_error"):
        before, after = getattr(whole, name), getattr(hurt, name)
        assert math.isnan(after[1])
        np.testing.assert_allclose(after[[0, 2]], before[[0, 2]], rtol=1e-12)
    assert "NaN" in hurt.notes[1]
    assert hurt.notes[0] == hurt.notes[2] == ""
    assert np.isfinite(whole.p).all()
    none_left = population_tests(np.full((2, 5), np.nan), np.ones((2, 5)))
    assert np.isnan(none_left.p).all()
    assert none_left.p_floor == 2 / 252  # two-sided


def test_identical_stimuli_are_flagged_nan():
    x, y = associations_of(models_of(3, models=2))
    x[0], y[0] = 0.25, 0.25
    found = population_tests(x, y, draws=50)
    assert math.isnan(found.effect_size[0])
    assert math.isnan(found.p[0])
    assert "equal" in found.notes[0]
    assert np.isfinite([found.effect_size[1], found.p[1], found.low[1]]).all()


def crossed_by_loop(x, y, words, templates, draws, rng):
    found = []
    for _ in range(draws):
        drawn = rng.integers(4, size=4)
        sides = []
        for s in (x, y):
            rows = [
                i
                for w in rng.integers(9, size=9)
                for t in drawn
                for i in np.flatnonzero((words == w) & (templates == t))
            ]
            sides.append(s[rows])
        both = np.concatenate(sides)
        found.append((sides[0].mean() - sides[1].mean()) / both.std(ddof=1))
    return np.array(found)


def test_words_and_templates_are_resampled_together():
    rng = np.random.default_rng(4)
    effect = rng.normal(size=(2, 4, 1)) * np.array([1.5, -1.5])[:, None, None]  # templates move x and y apart
    x, y = (rng.normal(size=36) * 0.3 + effect[i, TEMPLATES, 0] for i in (0, 1))
    expected = crossed_by_loop(x, y, WORDS, TEMPLATES, 800, np.random.default_rng(0))
    options = {"draws": 3000, "interval": "percentile", "clusters": (WORDS, WORDS)}
    crossed = population_tests(x[None], y[None], templates=(TEMPLATES, TEMPLATES), **options)
    only_words = population_tests(x[None], y[None], **options)
    width = float(crossed.high[0] - crossed.low[0])
    low, high = np.quantile(expected, [0.025, 0.975])
    assert width > 1.5 * float(only_words.high[0] - only_words.low[0])  # templates are not draws of a word
    assert width == pytest.approx(high - low, rel=0.9)
    assert width > high - low  # four templates: the percentile interval is widened for few units
    bca = population_tests(x[None], y[None], templates=(TEMPLATES, TEMPLATES), draws=500, clusters=(WORDS, WORDS))
    assert bca.low[0] < bca.effect_size[0] < bca.high[0]
    assert "4 templates" in bca.note
    assert bca.interval_method == "bca over words x templates"


def test_crossed_replicates_equal_a_loop():
    from fairvl.measure.association.sweep_bootstrap import Sides, replicates_and_jackknife

    rng = np.random.default_rng(5)
    x, y = (
        rng.normal(0.4, 1, (2, 36)) + rng.normal(size=9)[WORDS],
        rng.normal(size=(2, 36)) + rng.normal(size=4)[TEMPLATES],
    )
    sides = Sides.of(x, y, (WORDS, WORDS), (TEMPLATES, TEMPLATES), (WORDS, WORDS), None, None, "targets")
    drawn, _ = replicates_and_jackknife(sides, 4000, 1, 1, "percentile")
    for model in (0, 1):
        expected = crossed_by_loop(x[model], y[model], WORDS, TEMPLATES, 800, np.random.default_rng(0))
        assert drawn[:, model].mean() == pytest.approx(expected.mean(), abs=0.08)
        assert drawn[:, model].std() == pytest.approx(expected.std(), rel=0.15)


def test_influence_is_the_effect_size_without_the_unit():
    rng = np.random.default_rng(6)
    x, y = rng.normal(0.5, 1, (3, 12)), rng.normal(size=(3, 8))
    words = np.repeat(np.arange(4), 3)
    without_x, without_y = population_influence(x, y, clusters=(words, None))
    assert without_x.shape == (3, 4)
    assert without_y.shape == (3, 8)
    for model in range(3):
        for word in range(4):
            kept = x[model, words != word]
            both = np.concatenate([kept, y[model]])
            expected = (kept.mean() - y[model].mean()) / both.std(ddof=1)
            assert without_x[model, word] == pytest.approx(expected, abs=1e-10)
        kept = np.delete(y[model], 3)
        both = np.concatenate([x[model], kept])
        assert without_y[model, 3] == pytest.approx((x[model].mean() - kept.mean()) / both.std(ddof=1), abs=1e-10)


def test_max_t_corrects_units_not_stimuli_over_tests_of_several_sizes():
    rng = np.random.default_rng(7)
    shifted = np.repeat(rng.normal(1.0, 1, (3, 10)), 3, axis=1), np.repeat(rng.normal(-1.0, 1, (3, 10)), 3, axis=1)
    words = np.repeat(np.arange(10), 3)
    other = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    found = max_t([shifted, other], clusters=[(words, words), None], draws=1999)
    units = tuple(s[:, ::3] for s in shifted)
    np.testing.assert_array_equal(found[0], max_t([units, other], draws=1999)[0])
    alone = np.array([two_sample_p(a, b, tail="two-sided").p for a, b in zip(*units, strict=True)])
    assert (found[0] >= alone).all()
    assert (found[0] < 0.1).all()  # power
    hurt = other[0].copy()
    hurt[1, 0] = np.nan
    assert np.isnan(max_t([shifted, (hurt, other[1])], clusters=[(words, words), None], draws=99)[1]).tolist() == [
        False, True, False,
    ]  # fmt: skip


def test_one_unit_a_side_has_a_p_and_no_interval():
    found = population_tests([[0.3], [0.1]], [[0.2], [0.4]])
    assert np.isnan(found.low).all()
    assert (found.p == 1.0).all()
    assert "no interval" in found.note
    assert "smallest p" in found.note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tail": "both"}, "tail"),
        ({"ddof": 2}, "ddof"),
        ({"resample": "attributes"}, "cosines"),
        ({"resample": "words"}, "resample"),
        ({"method": "guess"}, "method"),
        ({"draws": 0}, "draws"),
        ({"clusters": ([0, 1], [0, 1])}, "clusters"),
        ({"templates": (TEMPLATES, TEMPLATES)}, "clusters"),
        ({"templates": (TEMPLATES[:3], TEMPLATES), "clusters": (WORDS, WORDS)}, "templates of x"),
        ({"resample": "both", "cosines": (np.ones((4, 36, 2)),) * 4}, "differ from s_x"),
        ({"resample": "both", "cosines": (np.ones((4, 36)),) * 4}, "cosines"),
    ],
)
def test_unusable_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        population_tests(*associations_of(models_of(8)), **options)


def test_unusable_associations_are_refused():
    for x, y in ((np.ones(3), np.ones(3)), (np.ones((2, 3)), np.ones((3, 3))), (np.ones((2, 0)), np.ones((2, 3)))):
        with pytest.raises(InputError, match="s_x"):
            population_tests(x, y)
