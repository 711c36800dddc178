"""Amplification against a written-out loop, its theorems, and what it must not hide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fairvl.errors import InputError
from fairvl.measure.amplification import attribute_sets, directional_amplification, mals, one_hot


def loop(a, t, p, direction, train=None):
    """The definition of Wang and Russakovsky, pair by pair: the value, NaN cells dropped."""
    sign_a, sign_t = train if train is not None else (a, t)
    rows = [i for i in range(len(sign_a)) if sign_a[i].any() or sign_t[i].any()]
    values = []
    for g in range(a.shape[1]):
        for k in range(t.shape[1]):
            together = sum(1 for i in rows if sign_a[i][g] and sign_t[i][k])
            alone_a, alone_t = sum(int(sign_a[i][g]) for i in rows), sum(int(sign_t[i][k]) for i in rows)
            excess = together * len(rows) - alone_a * alone_t
            sign = (excess > 0) - (excess < 0)
            condition = [i for i in range(len(a)) if (a[i][g] if direction == "a->t" else t[i][k])]
            if not condition:
                continue
            given = sum(int(a[i][g] and t[i][k]) for i in condition) / len(condition)
            guess = sum(int(p[i][k] if direction == "a->t" else p[i][g]) for i in condition) / len(condition)
            values.append(sign * (guess - given))
    return sum(values) / len(values) if values else math.nan


def random_case(seed):
    rng = np.random.default_rng(seed)
    n, wide, tall = rng.integers(1, 60), rng.integers(1, 5), rng.integers(1, 6)
    a = one_hot(rng.integers(0, wide, n).tolist(), [str(i) for i in range(wide)])[0]
    if seed % 2:
        a = (rng.random((n, wide)) < rng.random(wide)).astype(float)  # several attributes at once, empty columns too
    t = (rng.random((n, tall)) < rng.random(tall)).astype(float)
    direction = ("a->t", "t->a")[seed // 2 % 2]
    p = (rng.random((n, tall if direction == "a->t" else wide)) < 0.5).astype(float)
    train = None
    if seed // 4 % 2:
        m = int(rng.integers(1, 80))
        train = ((rng.random((m, wide)) < 0.4).astype(float), (rng.random((m, tall)) < 0.4).astype(float))
    return a, t, p, direction, train


def test_equals_the_written_out_loop_on_400_random_cases():
    unequal = []
    for seed in range(400):
        a, t, p, direction, train = random_case(seed)
        ours = directional_amplification(a, t, p, direction=direction, train=train, n_boot=0).value
        theirs = loop(a, t, p, direction, train)
        if not (ours == pytest.approx(theirs, abs=1e-15) or (math.isnan(ours) and math.isnan(theirs))):
            unequal.append((seed, ours, theirs))
    assert unequal == []


def test_the_loop_can_tell_a_wrong_sign_rule():
    """The 400 cases would notice a sign that counts rows with neither side."""

    def wrong(a, t, p):
        together = a.T @ t * len(a) - a.sum(0)[:, None] * t.sum(0)
        delta = (a.T @ p - a.T @ t) / a.sum(0)[:, None]
        return float(np.nanmean(np.sign(together) * delta))

    a = np.array([[1.0], [1.0], [0.0], [0.0], [0.0]])
    t = np.array([[1.0], [0.0], [1.0], [0.0], [0.0]])
    p = np.ones((5, 1))
    assert directional_amplification(a, t, p, n_boot=0).value == loop(a, t, p, "a->t") != wrong(a, t, p)


@pytest.mark.parametrize("direction", ["a->t", "t->a"])
def test_perfect_predictions_amplify_nothing(direction):
    rng = np.random.default_rng(0)
    a, t = (rng.random((200, 3)) < 0.4).astype(float), (rng.random((200, 4)) < 0.3).astype(float)
    perfect = directional_amplification(a, t, t if direction == "a->t" else a, direction=direction, n_boot=50)
    assert perfect.value == 0 == perfect.absolute.value == perfect.low == perfect.high
    assert not perfect.erasure
    assert np.nanmin(perfect.pairs.p) == 1.0


def test_predicting_nothing_is_negative_and_flagged_as_erasure():
    rng = np.random.default_rng(1)
    group = rng.integers(0, 2, 600)
    a = np.eye(2)[group]
    t = np.stack([rng.random(600) < np.where(group == 0, 0.8, 0.2)], axis=1).astype(float)
    silent = directional_amplification(a, t, np.zeros_like(a), direction="t->a", seed=3)
    assert silent.value < -0.05
    assert silent.erasure
    assert silent.coverage == 0
    assert "nothing is named" in silent.notes[0]
    assert silent.rate_shift == pytest.approx(-a.mean(0))
    named = directional_amplification(a, t, a, direction="t->a", n_boot=0)
    assert not named.erasure


def test_closed_form_of_a_model_that_guesses_the_majority_without_a_cue():
    """T->A of the Bayes-optimal model is (1 - cue rate) * mean of min(p, 1 - p): the recipe of the world."""
    rng = np.random.default_rng(2)
    p_man, cue, n = np.array([0.8, 0.7, 0.6, 0.4, 0.3, 0.2]), 0.6, 60_000
    item = rng.integers(0, 6, n)
    man = rng.random(n) < p_man[item]
    guess = np.where(rng.random(n) < cue, man, p_man[item] > 0.5)
    as_columns = lambda x: np.stack([x, ~x], axis=1).astype(float)  # noqa: E731
    result = directional_amplification(
        as_columns(man), np.eye(6)[item], as_columns(guess), direction="t->a", n_boot=100
    )
    assert result.value == pytest.approx(0.4 * np.minimum(p_man, 1 - p_man).mean(), abs=0.01)
    assert result.low < 0.12 < result.high + 0.01
    nothing = directional_amplification(as_columns(man), np.eye(6)[item], np.zeros((n, 2)), direction="t->a", n_boot=0)
    assert nothing.erasure


def test_multi_attribute_is_the_same_engine_on_indicator_columns():
    """Group-to-set deltas written out by sets equal A->T on "contains all of m" columns."""
    rng = np.random.default_rng(4)
    group = rng.integers(0, 2, 400)
    t = (rng.random((400, 4)) < np.where(group[:, None] == 0, 0.6, 0.4)).astype(float)
    guess = (rng.random((400, 4)) < np.where(group[:, None] == 0, 0.7, 0.3)).astype(float)
    sets = attribute_sets(t, max_size=3, minimum_support=30)
    result = directional_amplification(np.eye(2)[group], sets.columns, sets.of(guess), n_boot=0)
    signed, absolute = [], []
    for g in (0, 1):
        for members in sets.sets:
            has, says = t[:, members].all(1), guess[:, members].all(1)
            either = (group >= 0) | has
            excess = (has & (group == g))[either].mean() - (group == g)[either].mean() * has[either].mean()
            delta = says[group == g].mean() - has[group == g].mean()
            signed.append(np.sign(excess) * delta)
            absolute.append(abs(delta))
    assert result.value == pytest.approx(np.mean(signed), abs=1e-12)
    assert result.absolute.value == pytest.approx(np.mean(absolute), abs=1e-12)
    assert result.variance == pytest.approx(np.var(result.pairs.delta))
    assert len(sets.sets) > 4


def test_sets_are_capped_by_size_and_support_and_say_how_many_there_were():
    rng = np.random.default_rng(5)
    rows = (rng.random((300, 6)) < 0.5).astype(float)
    every = attribute_sets(rows, max_size=6, minimum_support=1)
    assert every.found == len(every.sets) == 63
    few = attribute_sets(rows, max_size=2, minimum_support=75)
    assert few.found == 21 > len(few.sets)
    assert all(rows[:, members].all(1).sum() >= 75 for members in few.sets)
    assert few.names("abcdef")[-1].count(" + ") == 1
    trained = attribute_sets(rows, train=np.zeros((9, 6)), minimum_support=1)
    assert trained.sets == ()


def test_probabilities_are_expected_counts():
    rng = np.random.default_rng(6)
    a, t = np.eye(2)[rng.integers(0, 2, 50)], (rng.random((50, 3)) < 0.5).astype(float)
    p = rng.random((50, 3))
    result = directional_amplification(a, t, p, n_boot=0)
    for g in (0, 1):
        for k in range(3):
            assert result.pairs.predicted[g, k] == pytest.approx(p[a[:, g] == 1, k].mean())
    soft = directional_amplification(a * 0.5 + 0.25, t, p, n_boot=0).pairs
    weight = a[:, 0] * 0.5 + 0.25
    assert soft.given[0, 0] == pytest.approx(weight @ t[:, 0] / weight.sum())


def test_the_interval_covers_the_population_value_as_often_as_it_says():
    rng = np.random.default_rng(7)
    n, runs, truth, hits = 300, 200, 0.15, 0
    for run in range(runs):
        group = rng.integers(0, 2, n)
        task = rng.random(n) < np.where(group == 0, 0.65, 0.35)
        guess = rng.random(n) < np.where(group == 0, 0.80, 0.20)
        result = directional_amplification(
            np.eye(2)[group], task[:, None].astype(float), guess[:, None].astype(float), n_boot=200, seed=run
        )
        hits += result.low <= truth <= result.high
    assert 0.90 <= hits / runs <= 0.99


def test_several_seeds_average_and_widen():
    rng = np.random.default_rng(8)
    group = rng.integers(0, 2, 400)
    a = np.eye(2)[group]
    t = (rng.random((400, 1)) < np.where(group[:, None] == 0, 0.6, 0.4)).astype(float)
    runs = np.stack(
        [(rng.random((400, 1)) < np.where(group[:, None] == 0, 0.6 + d, 0.4 - d)) * 1.0 for d in (-0.2, 0.0, 0.2, 0.3)]
    )
    joint = directional_amplification(a, t, runs)
    single = [directional_amplification(a, t, run) for run in runs]
    assert joint.value == pytest.approx(np.mean([s.value for s in single]))
    assert joint.absolute.value == pytest.approx(np.mean([s.absolute.value for s in single]))
    assert joint.high - joint.low > max(s.high - s.low for s in single)
    assert joint.seeds == 4
    assert np.isnan(joint.pairs.p).all()


def test_near_ties_are_called_unstable_and_ties_count_nothing():
    a = np.repeat([[1, 0], [0, 1]], 100, axis=0).astype(float)
    tied = np.tile([1.0, 0.0], 100)[:, None]
    near = tied.copy()
    near[1] = 1.0
    clear = a[:, :1].copy()
    for labels, unstable, sign in ((tied, True, 0), (near, True, 1), (clear, False, 1)):
        pairs = directional_amplification(a, labels, 1 - labels).pairs
        assert pairs.sign[0, 0] == sign
        assert bool(pairs.unstable[0, 0]) is unstable
    assert directional_amplification(a, tied, 1 - tied).value == 0


def test_the_shift_of_overall_rates_is_told_apart():
    """A model that says "man" more often for every object alike amplifies by base rate alone."""
    rng = np.random.default_rng(9)
    item = rng.integers(0, 2, 20_000)
    man = rng.random(20_000) < np.where(item == 0, 0.6, 0.3)
    flipped = man | (rng.random(20_000) < 0.2)
    both = lambda x: np.stack([x, ~x], axis=1).astype(float)  # noqa: E731
    result = directional_amplification(both(man), np.eye(2)[item], both(flipped), direction="t->a", n_boot=0)
    mean_delta = np.average(result.pairs.delta[0], weights=[np.mean(item == 0), np.mean(item == 1)])
    assert result.rate_shift[0] == pytest.approx(mean_delta)
    rest = result.pairs.delta - result.pairs.base_shift
    assert np.average(rest[0], weights=result.pairs.support[0]) == pytest.approx(0, abs=1e-12)
    assert abs(result.rest.value) < np.abs(result.pairs.delta).mean()


def test_pair_p_is_mcnemar_and_holm_corrects_it():
    rng = np.random.default_rng(10)
    a = np.ones((120, 1))
    t = (rng.random((120, 3)) < 0.5).astype(float)
    p = t.copy()
    p[:20, 0] = 1.0
    pairs = directional_amplification(a, t, p, n_boot=0).pairs
    up = int((p[:, 0] > t[:, 0]).sum())
    assert pairs.p[0, 0] == pytest.approx(stats.binomtest(up, up, 0.5).pvalue)
    assert pairs.p_holm[0, 0] == pytest.approx(min(1, 3 * pairs.p[0, 0]))
    soft = directional_amplification(a, t, np.clip(p * 0.8 + 0.05, 0, 1), n_boot=0).pairs
    difference = np.clip(p * 0.8 + 0.05, 0, 1)[:, 1] - t[:, 1]
    assert soft.p[0, 1] == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)


def test_mals_of_two_groups_by_hand():
    """The released multi-attribute code returns 0 here: its threshold can never be passed with two groups."""
    before = (np.eye(2)[[0] * 6 + [1] * 4], np.ones((10, 1)))
    after = (np.eye(2)[[0] * 8 + [1] * 2], np.ones((10, 1)))
    result = mals(before, after)
    assert result.estimate.value == pytest.approx(0.2)
    assert result.estimate.low < 0.2 < result.estimate.high
    assert mals(before, before, n_boot=0).estimate.value == 0
    three = (np.eye(3)[[0] * 5 + [1] * 4 + [2]], np.ones((10, 1)))
    moved = (np.eye(3)[[0] * 6 + [1] * 4], np.ones((10, 1)))
    assert mals(three, moved, n_boot=0).estimate.value == pytest.approx(0.1)  # both shares above a third count


def test_mals_leaves_out_tasks_without_rows_and_says_so():
    a, t = np.eye(2)[[0, 0, 1]], np.array([[1, 0], [1, 0], [1, 0]])
    result = mals((a, t), (a[::-1], t), n_boot=10)
    assert (result.n_tasks, result.n_undefined) == (1, 1)
    assert result.estimate.value == 0


def test_no_support_is_nan_and_counted():
    a, t = np.array([[1.0, 0.0]] * 4), np.array([[1.0], [0.0], [1.0], [0.0]])
    result = directional_amplification(a, t, t, n_boot=20)
    assert (result.n_pairs, result.n_unsupported) == (1, 1)
    assert np.isnan(result.pairs.delta[1, 0])
    assert math.isnan(result.per_attribute[1].value)
    nothing = directional_amplification(a, t, t, minimum_support=5, n_boot=20)
    assert math.isnan(nothing.value)
    assert math.isnan(nothing.low)
    assert "no pair has support" in nothing.notes[-1]
    assert [name for name, *_ in result.pairs] == ["a0"]


def test_same_seed_same_numbers_and_names_are_kept():
    a, t, p, direction, train = random_case(41)
    one = directional_amplification(a, t, p, direction=direction, train=train, seed=5)
    two = directional_amplification(a, t, p, direction=direction, train=train, seed=5)
    assert (one.low, one.high) == (two.low, two.high)
    named = directional_amplification(
        np.eye(2)[[0, 1]], [[1], [0]], [[1], [1]], attribute_names=["man", "woman"], task_names=["cook"], n_boot=0
    )
    assert named.pairs.attributes == ("man", "woman")
    assert next(iter(named.pairs))[:2] == ("man", "cook")


@pytest.mark.parametrize(
    ("arguments", "keywords", "says"),
    [
        (([[1]], [[1], [0]], [[1]]), {}, "expected"),
        (([[1]], [[1]], [[1, 0]]), {}, "predicted tasks"),
        (([[1]], [[1]], [[1]]), {"direction": "up"}, "'a->t'"),
        (([["man"]], [[1]], [[1]]), {}, "one_hot"),
        (([[1]], [[2]], [[1]]), {}, "outside"),
        (([[1]], [[np.nan]], [[1]]), {}, "NaN"),
        (([[1]], [[1]], [[1]]), {"train": ([[1]],)}, "pair"),
        (([[1]], [[1]], [[1]]), {"train": ([[1, 0]], [[1]])}, "columns of the test labels"),
        (([[1]], [[1]], [[1]]), {"attribute_names": ["a", "b"]}, "2 names for 1"),
        (([[1]], [[1]], [[1]]), {"minimum_support": 0}, "minimum_support"),
        ((np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 1))), {}, "at least one"),
    ],
)
def test_mistakes_are_said(arguments, keywords, says):
    with pytest.raises(InputError, match=says):
        directional_amplification(*arguments, **keywords)


def test_mals_and_sets_refuse_what_they_cannot_read():
    with pytest.raises(InputError, match="two columns"):
        mals(([[1]], [[1]]), ([[1]], [[1]]))
    with pytest.raises(InputError, match="same columns"):
        mals(([[1, 0]], [[1]]), ([[1, 0]], [[1, 1]]))
    with pytest.raises(InputError, match="0 and 1"):
        attribute_sets([[0.5]])
    with pytest.raises(InputError, match="max_size"):
        attribute_sets([[1]], max_size=0)
    with pytest.raises(InputError, match="twice"):
        one_hot(["a"], ["a", "a"])
