"""Harm rates are shares of a group's rows, by category, with intervals that also hold where nothing was found."""

import numpy as np
import pytest
from scipy.stats import binomtest

from fairvl.errors import FairVLError, InputError
from fairvl.measure.harms import compare_harm_rates, harm_rates
from fairvl.stats.rates import wilson

LABELS = {"denigrating": ["gorilla", "animal"], "crime": ["thief", "criminal"]}
REAL = ["man", "woman"]


def data(seed=0, n=3000):
    rng = np.random.default_rng(seed)
    groups = {"race": rng.choice(["x", "y"], size=n), "gender": rng.choice(["f", "m"], size=n)}
    crime = rng.random(n) < np.where((groups["race"] == "x") & (groups["gender"] == "m"), 0.2, 0.03)
    predictions = np.where(crime, rng.choice(LABELS["crime"], size=n), rng.choice(REAL, size=n))
    return predictions, groups


def test_rates_equal_a_count_by_hand_in_every_crossing():
    predictions, groups = data()
    frame = harm_rates(predictions, groups, LABELS, real_labels=REAL)
    assert list(frame.by_group) == ["(any)", "denigrating", "crime"]
    for race in "xy":
        for gender in "fm":
            rows = (groups["race"] == race) & (groups["gender"] == gender)
            rate = frame.by_group["crime"][f"{race} & {gender}"]
            hits = int(np.isin(predictions[rows], LABELS["crime"]).sum())
            assert rate.value == hits / rows.sum()
            expected = binomtest(hits, int(rows.sum())).proportion_ci(method="wilson")
            assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high))
    values = [e.value for e in frame.by_group["crime"].values()]
    assert frame.difference["crime"].value == pytest.approx(max(values) - min(values))
    assert frame.worst_group["crime"] == "x & m"
    assert frame.difference["crime"].low > 0.1
    assert frame.overall["crime"].value == np.isin(predictions, LABELS["crime"]).mean()


def test_a_harm_that_never_happens_has_rate_zero_and_an_upper_end():
    predictions, groups = data()
    frame = harm_rates(predictions, groups, LABELS)
    none = frame.by_group["denigrating"]["x & f"]
    assert (none.value, none.low) == (0, 0)
    assert 0 < none.high < 0.01
    assert frame.worst_group["denigrating"] == ""
    assert frame.difference["denigrating"].value == 0


def test_any_is_the_sum_of_the_categories():
    predictions, groups = data()
    predictions = np.where(np.arange(len(predictions)) % 50 == 0, "gorilla", predictions)
    frame = harm_rates(predictions, groups["race"], LABELS, n_boot=0)
    for group in "xy":
        parts = [frame.by_group[c][group].value for c in LABELS]
        assert frame.by_group["(any)"][group].value == pytest.approx(sum(parts))


def test_before_and_after_are_paired():
    predictions, groups = data()
    after = np.where(np.isin(predictions, LABELS["crime"]) & (np.arange(3000) % 2 == 0), "man", predictions)
    both = compare_harm_rates(predictions, after, groups, LABELS)
    for part in ("overall", "difference"):
        before, then, change = (getattr(f, part)["crime"] for f in (both.before, both.after, both.difference))
        assert change.value == pytest.approx(then.value - before.value)
        assert change.high < 0
    assert both.difference.by_group["crime"]["x & m"].low < both.difference.by_group["crime"]["x & m"].value
    assert both.before.overall["crime"] == harm_rates(predictions, groups, LABELS).overall["crime"]


def test_small_absent_and_missing_groups_are_shown():
    from fairvl.stats.codes import encode

    groups = encode(["a"] * 40 + ["b"] * 2 + [None] * 3, expected=["a", "b", "c"])
    frame = harm_rates(["thief"] + ["man"] * 44, groups, LABELS, n_boot=20)
    assert frame.small == ("b", "c")
    assert np.isnan(frame.by_group["crime"]["c"].value)
    assert frame.by_group["crime"]["c"].note == "no rows"
    assert frame.by_group["crime"]["(missing)"].n == 3
    assert "3 rows" in frame.notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"harm_labels": {}}, "mapping"),
        ({"harm_labels": {"crime": "thief"}}, "list of labels"),
        ({"harm_labels": {"crime": ["thief", None]}}, "missing"),
        ({"harm_labels": {"crime": ["thief"], "other": ["thief"]}}, "repeats"),
        ({"harm_labels": {"(any)": ["thief"]}}, "expected"),
        ({"real_labels": ["man", "thief"]}, "disjoint"),
        ({"real_labels": ["woman"]}, "unknown predicted label 'man'"),
        ({"predictions": ["theif", "man"], "real_labels": ["man"]}, "Did you mean 'thief'"),
        ({"predictions": ["man"]}, "expected one per row"),
        ({"predictions": ["man", None]}, "no label"),
        ({"groups": [None, None]}, "none of 2"),
    ],
)
def test_unusable_input_is_refused(change, words):
    arguments = {"predictions": ["thief", "man"], "groups": ["a", "b"], "harm_labels": {"crime": ["thief"]}} | change
    with pytest.raises(FairVLError, match=words):
        harm_rates(**arguments)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (5, 5), (3, 17), (1, 1000)])
def test_wilson_equals_scipys(hits, n):
    expected = binomtest(hits, n).proportion_ci(confidence_level=0.9, method="wilson")
    assert wilson(hits, n, 0.9) == pytest.approx((expected.low, expected.high))
    assert all(np.isnan(wilson(0, 0)))


def test_settings_are_checked():
    with pytest.raises(InputError, match="level"):
        harm_rates(["thief", "man"], ["a", "b"], {"crime": ["thief"]}, level=95)
