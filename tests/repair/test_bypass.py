"""The bypass: queries that name the attribute keep their meaning, neutral ones are repaired, errors are counted."""

import numpy as np
import pytest

from fairvl.errors import InputError, OperatorError
from fairvl.repair.debias import Bypass, BypassOperator, CircleMethod, OrthogonalProjection

DIM = 48


def world(seed, *, gap=0.8, lean=0.15, n=60):
    """Neutral prompts that lean a little, and prompts of women and men; all share a large mean."""
    rng = np.random.default_rng(seed)
    mean, attribute = np.linalg.qr(rng.normal(size=(DIM, 2)))[0].T
    noise = rng.normal(size=(2 * n, DIM)) * 0.5 / np.sqrt(DIM)
    neutral = mean + rng.normal(size=(n, 1)) * lean * attribute + noise[:n]
    side = np.repeat([1.0, -1.0], n // 2)[:, None]
    return neutral, mean + side * gap * attribute + noise[n:], ["f"] * (n // 2) + ["m"] * (n // 2), attribute


def fitted(seed, **options):
    neutral, explicit, labels, attribute = world(seed, **options)
    operator = OrthogonalProjection().fit(attribute[None])
    return Bypass().fit(operator, neutral, explicit, labels), operator, neutral, explicit, attribute


def test_explicit_queries_keep_every_bit_and_neutral_ones_are_repaired():
    bypass, operator, _, _, attribute = fitted(0)
    neutral, explicit, _, _ = world(0, n=200)
    new_neutral, new_explicit = neutral[60:], explicit[60:]
    kept = bypass.kept(new_explicit)
    assert (kept > 0.5).mean() > 0.9
    whole = kept >= 1.0
    assert whole.mean() > 0.5
    np.testing.assert_array_equal(bypass(new_explicit)[whole], new_explicit[whole])
    assert abs(operator(new_explicit) @ attribute).max() < 1e-12 < 0.3 < abs(new_explicit @ attribute).min()
    inside = bypass.kept(new_neutral) == 0
    assert inside.mean() > 0.9
    np.testing.assert_allclose(bypass(new_neutral)[inside], operator(new_neutral)[inside], atol=1e-15)


def test_the_margin_is_smooth_and_monotone():
    bypass, _, neutral, _, attribute = fitted(1)
    base = neutral.mean(axis=0)
    steps = base + np.linspace(0.0, 1.2, 400)[:, None] * attribute
    kept = bypass.kept(steps)
    assert kept[0] == 0.0
    assert kept[-1] == 1.0
    assert (np.diff(kept) >= 0).all()
    assert np.diff(kept).max() < 0.05
    moved = np.linalg.norm(np.diff(bypass(steps), axis=0), axis=1)
    assert moved.max() < 20 * moved[moved > 0].mean()


def test_error_rates_are_those_of_new_prompts():
    rates, new = [], []
    for seed in range(8):
        bypass, _, _, _, _ = fitted(10 + seed, lean=0.35, gap=0.6)
        neutral, explicit, _, _ = world(10 + seed, lean=0.35, gap=0.6, n=1000)
        rates.append([rate.value for rate in bypass.error_rates.values()])
        new.append([(bypass.kept(neutral[60:]) >= 0.5).mean(), (bypass.kept(explicit[60:]) < 0.5).mean()])
    assert np.mean(new) > 0.01  # this world is hard enough to make errors
    np.testing.assert_allclose(np.mean(rates, axis=0), np.mean(new, axis=0), atol=0.05)
    line = bypass.described_errors()
    assert "neutral prompts left unrepaired" in line
    assert "explicit prompts repaired away" in line
    assert "n 60" in line


def test_an_overlap_is_said_and_the_cut_balances_the_errors():
    bypass, _, neutral, explicit, _ = fitted(2, lean=0.6, gap=0.4)
    assert any("overlap" in note for note in bypass.card.notes)
    assert bypass.low == bypass.high
    wrong = (bypass.kept(neutral) > 0).mean() + (bypass.kept(explicit) < 1).mean()
    assert wrong < 1.0
    clear, *_ = fitted(2)
    assert not clear.card.notes
    assert clear.low < clear.high


def test_words_are_left_out_whole():
    neutral, explicit, labels, attribute = world(3)
    operator = OrthogonalProjection().fit(attribute[None])
    words = np.arange(len(explicit)) // 6
    bypass = Bypass().fit(operator, neutral, explicit, labels, words=words, neutral_words=np.arange(60) // 3)
    assert bypass.error_rates["explicit"].n == 60
    with pytest.raises(InputError, match="words"):
        Bypass().fit(operator, neutral, explicit, labels, words=[1, 2])


def test_seven_values_and_unusable_requests():
    rng = np.random.default_rng(4)
    values = 1.5 * rng.normal(size=(7, DIM)) / np.sqrt(DIM)
    labels = [f"v{i % 7}" for i in range(70)]
    explicit = values[np.arange(70) % 7] + 0.2 * rng.normal(size=(70, DIM)) / np.sqrt(DIM) + np.eye(DIM)[0]
    neutral = np.eye(DIM)[0] + 0.3 * rng.normal(size=(80, DIM)) / np.sqrt(DIM)
    operator = OrthogonalProjection(subspace="centred").fit(explicit)
    bypass = Bypass().fit(operator, neutral, explicit, labels)
    assert len(bypass.functional) == 6
    assert (bypass.kept(explicit) > 0.5).mean() > 0.9
    with pytest.raises(InputError, match="alpha"):
        Bypass(alpha=0.7)
    with pytest.raises(InputError, match="at least 5"):
        Bypass().fit(operator, neutral[:3], explicit, labels)
    with pytest.raises(InputError, match="images"):
        Bypass().fit(CircleMethod().fit(explicit, labels), neutral, explicit, labels)
    with pytest.raises(OperatorError, match="low"):
        BypassOperator(operator, bypass.functional, bypass.centre, bypass.whiten, 2.0, 1.0)


def test_a_zero_query_stays_zero():
    bypass, *_ = fitted(5)
    assert not bypass(np.zeros((1, DIM))).any()
