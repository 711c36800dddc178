"""Skew over many queries: the bootstrap over images equals ranking each resample again, before and after together."""

import numpy as np
import pytest

from fairvl.errors import FairVLError, InputError
from fairvl.measure import ranking
from fairvl.measure.ranking import bias_at_k, compare_skew, max_skew, min_skew, ndkl, skew_over_queries
from fairvl.stats.cells import row_counts


def data(seed=0, q=4, n=500, ties=False):
    rng = np.random.default_rng(seed)
    groups = rng.choice(np.array(["f", "m", "x"]), p=[0.45, 0.45, 0.1], size=n)
    scores = rng.normal(size=(q, n)) + 0.6 * (groups == "m")
    return (np.round(scores) if ties else scores), groups


def skews(scores, groups, target, smoothing=0.5):
    """Every group's skew in the top 60, smoothed."""
    top = ranking._Ranked.of(scores, groups, target, "expected")
    counts = top.members(top.scores[0])[:60].sum(axis=0)
    return np.log((counts + smoothing) / (60 + 3 * smoothing) / top.target.shares(top.groups))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("target", ["population", "uniform"])
def test_replicates_equal_ranking_each_resample_again(ties, target):
    scores, groups = data(ties=ties)
    metrics = ("max_skew", "min_skew", "bias_at_k", "ndkl")
    plan = ranking._Plan(60, metrics, ("m", "f"), "expected", 0.5, 0.0, ranking.Resampling(7, 0.95, 3))
    got, errors = ranking._resampled([ranking._Ranked.of(scores, groups, target, "expected")], plan)
    for draw, weights in enumerate(next(row_counts(500, 7, np.random.default_rng(3)))):
        rows = np.repeat(np.arange(500), weights.astype(int))
        for q in range(4):
            s, g = scores[q, rows], groups[rows]
            held, again = skews(scores[q], groups, target), skews(s, g, target)
            expected = [
                again[held.argmax()],
                again[held.argmin()],
                bias_at_k(s, g, k=60, orientation=("m", "f")),
                ndkl(s, g, target=target),
            ]
            np.testing.assert_allclose(got[draw, 0, q], expected, atol=1e-9)
            assert errors[draw, 0, q] == pytest.approx(np.abs(again - held).max())
            assert again.max() == pytest.approx(max_skew(s, g, k=60, target=target, smoothing=0.5))
            assert again.min() == pytest.approx(min_skew(s, g, k=60, target=target, smoothing=0.5))


def test_a_resample_that_needs_more_rows_than_the_upper_part_gets_them():
    scores, groups = data(q=1, n=4000)
    ranked = ranking._Ranked.of(scores, groups, "population", "expected")
    ((short, whole),) = ranking._tops(ranked, 100)
    assert len(short.rows) < 300
    weights = np.zeros((4000, 1), dtype=np.float32)
    weights[whole.rows[-2000:]] = 2  # only the lower half was drawn
    assert short.counts(weights, 100) is None
    counts = whole.counts(weights, 100)
    lower = groups[whole.rows[-2000:]][:50]
    np.testing.assert_array_equal(counts[0], [2 * np.sum(lower == g) for g in "fmx"])


def test_values_are_those_of_the_single_functions():
    scores, groups = data()
    frame = skew_over_queries(scores, groups, k=60, queries=list("abcd"), n_boot=50)
    singles = [max_skew(row, groups, k=60) for row in scores]
    assert [e.value for e in frame.by_query["max_skew"].values()] == pytest.approx(singles)
    assert list(frame.by_query["max_skew"]) == list("abcd")
    assert frame.mean["max_skew"].value == pytest.approx(np.mean(singles))
    assert frame.mean["min_skew"].value == pytest.approx(np.mean([min_skew(r, groups, k=60) for r in scores]))
    for estimate in frame.by_query["max_skew"].values():
        assert estimate.low < estimate.value < estimate.high
        assert estimate.n == 500
    assert "images" in frame.method


def test_the_mean_is_surer_than_one_query():
    scores, groups = data(q=12)
    frame = skew_over_queries(scores, groups, k=60, n_boot=300)
    widths = [e.high - e.low for e in frame.by_query["max_skew"].values()]
    assert frame.mean["max_skew"].high - frame.mean["max_skew"].low < 0.7 * np.mean(widths)


def test_before_and_after_are_paired():
    scores, groups = data(n=1500)
    after = scores - 0.5 * (groups == "m")
    paired = compare_skew(scores, after, groups, k=150)
    single = skew_over_queries(after, groups, k=150)
    assert paired.after.mean == single.mean
    difference = paired.difference.mean["max_skew"]
    assert difference.value == pytest.approx(paired.after.mean["max_skew"].value - paired.before.mean["max_skew"].value)
    assert difference.high < 0
    same = compare_skew(scores, scores, groups, k=150, n_boot=50).difference.mean["max_skew"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_block_size_does_not_change_a_result(monkeypatch):
    scores, groups = data()
    whole = skew_over_queries(scores, groups, k=50, n_boot=40)
    monkeypatch.setattr("fairvl.stats.cells.BLOCK_ELEMENTS", 500 * 7)
    assert skew_over_queries(scores, groups, k=50, n_boot=40).mean == whole.mean


def test_an_absent_group_gives_no_interval_and_says_so():
    scores, groups = data()
    scores[:, groups == "x"] -= 100
    frame = skew_over_queries(scores, groups, k=50, n_boot=40)
    estimate = frame.mean["min_skew"]
    assert estimate.value == -np.inf
    assert np.isnan(estimate.low)
    assert "absent" in estimate.note
    floored = skew_over_queries(scores, groups, k=50, n_boot=40, floor=1 / 50).mean["min_skew"]
    assert np.isfinite([floored.value, floored.low, floored.high]).all()


def test_rows_without_a_group_are_noted():
    scores, groups = data()
    groups = groups.astype(object)
    groups[:5] = None
    frame = skew_over_queries(scores, groups, k=50, n_boot=0)
    assert "5 rows without a group" in frame.notes[0]
    assert frame.mean["max_skew"].n == 495


@pytest.mark.parametrize(
    "keywords",
    [
        {"k": 501},
        {"k": 5, "queries": ["a"]},
        {"k": 5, "queries": list("aabc")},
        {"k": 5, "metrics": ("skew",)},
        {"k": 5, "metrics": ()},
        {"k": 5, "metrics": ("bias_at_k",)},
        {"k": 5, "n_boot": -1},
    ],
)
def test_unusable_settings_are_refused(keywords):
    scores, groups = data()
    with pytest.raises(FairVLError, match=r"expected|use|needs"):
        skew_over_queries(scores, groups, **keywords)


def test_arms_of_different_shape_are_refused():
    scores, groups = data()
    with pytest.raises(InputError, match="equal shapes"):
        compare_skew(scores, scores[:2], groups, k=5)


def test_no_skew_is_held_and_a_planted_one_is_covered():
    rng = np.random.default_rng(0)
    runs = 40
    population = rng.choice(np.array(["f", "m", "x"]), size=100_000)
    noise = rng.normal(size=(6, 100_000))
    for shift in (0.0, 0.25):
        pool = noise + shift * (population == "m")
        truths = [
            max(np.log(np.mean(population[row > np.quantile(row, 0.8)] == g) / np.mean(population == g)) for g in "fmx")
            for row in pool
        ]
        truth = np.mean(truths) if shift else 0.0
        held = excluded = 0
        for _ in range(runs):
            rows = rng.integers(100_000, size=800)
            frame = skew_over_queries(pool[:, rows], population[rows], k=160, n_boot=120, metrics=("max_skew",))
            estimate = frame.mean["max_skew"]
            held += estimate.low <= truth <= estimate.high
            excluded += estimate.low > 0
        assert held / runs >= 0.88
        assert (excluded / runs > 0.5) == (shift > 0)
