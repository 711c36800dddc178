"""Amplification of question groups on answers: against a loop, sums and means apart, planted and removed."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.measure.amplification import amplification_change, directional_amplification
from fairvl.measure.tasks import answer_amplification

ANSWERS = ["tennis", "hot dog", "horse"]


def world(rng, n=900):
    groups = rng.choice(["female", "male", "neutral", "unknown"], n)
    lean = {"female": [0.5, 0.3, 0.2], "male": [0.2, 0.3, 0.5], "neutral": [0.3, 0.4, 0.3], "unknown": [1 / 3] * 3}
    gold = np.array([rng.choice(ANSWERS, p=lean[g]) for g in groups], dtype=object)
    gold[rng.random(n) < 0.1] = "something else"
    return groups, gold


def by_loop(groups, gold, guess):
    """Mean over answers per group, counting rows."""
    kept = np.isin(groups, ["female", "male", "neutral"]) & np.isin(gold, ANSWERS)
    groups, gold, guess = groups[kept], gold[kept], guess[kept]
    out = {}
    for g in ("female", "male", "neutral"):
        values = []
        for t in ANSWERS:
            both, one, other, n = ((groups == g) & (gold == t)).sum(), (groups == g).sum(), (gold == t).sum(), len(gold)
            sign = np.sign(both * n - one * other)
            values.append(sign * ((guess[groups == g] == t).mean() - (gold[groups == g] == t).mean()))
        out[g] = values
    return out, kept


def test_values_equal_a_loop_and_sums_are_not_means(rng):
    groups, gold = world(rng)
    guess = np.where(rng.random(len(gold)) < 0.4, rng.choice([*ANSWERS, "cat"], len(gold)), gold)
    found = answer_amplification(groups.tolist(), gold.tolist(), guess.tolist(), ANSWERS, n_boot=100)
    expected, kept = by_loop(groups, gold, guess)
    assert found.means == pytest.approx({g: np.mean(v) for g, v in expected.items()})
    assert found.sums == pytest.approx({g: np.sum(v) for g, v in expected.items()})
    assert found.sums["female"] == pytest.approx(3 * found.means["female"])
    assert (found.questions, found.left_out) == (kept.sum(), (~kept).sum())
    assert found.out_of_list == pytest.approx((guess[kept] == "cat").mean())
    assert found.result.low <= found.result.value <= found.result.high


def test_answers_by_group_amplify_and_perfect_answers_do_not(rng):
    groups, gold = world(rng)
    typical = {"female": "tennis", "male": "horse", "neutral": "hot dog", "unknown": "horse"}
    stereotype = np.array([typical[g] for g in groups], dtype=object)
    biased, perfect = (
        answer_amplification(groups.tolist(), gold.tolist(), g.tolist(), ANSWERS, n_boot=200).result
        for g in (stereotype, gold)
    )
    assert biased.low > 0.2
    assert perfect.value == 0
    change = answer_amplification(
        groups.tolist(), gold.tolist(), gold.tolist(), ANSWERS, before=stereotype.tolist(), n_boot=200
    ).result
    assert change.value == pytest.approx(-biased.value)
    assert change.high < 0


@pytest.mark.parametrize("direction", ["a->t", "t->a"])
@pytest.mark.parametrize("with_train", [False, True])
def test_a_change_is_the_difference_of_the_values(rng, direction, with_train):
    a, t = rng.integers(0, 2, (200, 3)), rng.integers(0, 2, (200, 4))
    width = 4 if direction == "a->t" else 3
    before, after = rng.integers(0, 2, (2, 200, width))
    train = (rng.integers(0, 2, (300, 3)), rng.integers(0, 2, (300, 4))) if with_train else None
    options = {"direction": direction, "train": train, "n_boot": 200}
    one, two = (directional_amplification(a, t, p, **options) for p in (before, after))
    change = amplification_change(a, t, before, after, **options)
    assert change.value == pytest.approx(two.value - one.value)
    assert change.pairs.signed == pytest.approx(two.pairs.signed - one.pairs.signed)
    assert change.low < change.value < change.high
    nothing = amplification_change(a, t, before, before, **options)
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)  # paired: what both share cancels


def test_rows_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="predicted has 1 rows"):
        answer_amplification(["female", "male"], ["tennis", "horse"], ["tennis"], ANSWERS)
    with pytest.raises(InputError, match="widen"):
        answer_amplification(["unknown"], ["tennis"], ["tennis"], ANSWERS)


def test_resampling_kinds_of_rows_is_resampling_rows(rng):
    a, t, p = (rng.integers(0, 2, (400, 1)) for _ in range(3))
    p = np.where(rng.random((400, 1)) < 0.5, a, p)
    found = directional_amplification(a, t, p, n_boot=4000)
    values = []
    for _ in range(4000):
        rows = rng.integers(400, size=400)
        b, u, q = a[rows, 0] == 1, t[rows, 0], p[rows, 0]
        values.append(found.pairs.sign[0, 0] * (q[b].mean() - u[b].mean()))
    expected = np.quantile(values, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(expected, abs=0.012)
    assert found.n == 400
    assert found.pairs.support[0, 0] == a.sum()


def test_how_sure_a_sign_is_does_not_depend_on_the_predictions(rng):
    a, t = rng.integers(0, 2, (2, 300, 1))
    guesses = rng.integers(0, 2, (2, 300, 1))
    one, two = (directional_amplification(a, t, guess, n_boot=200).pairs.stable for guess in guesses)
    assert np.array_equal(one, two)
