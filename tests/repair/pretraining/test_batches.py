"""What is drawn follows from seed, step and id alone: uniform, independent, and the same in any split."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fairvl.errors import InputError
from fairvl.repair.pretraining.batches import Batches, Texts, hide, partners
from fairvl.repair.pretraining.draws import id_keys, stream, uniform

RNG = np.random.default_rng(0)


def table(n=200, length=9):
    ids = RNG.integers(5, 60, (2 * n, length)).astype(np.int32)
    lengths = RNG.integers(4, length + 1, 2 * n)
    mask = np.arange(length)[None] < lengths[:, None]
    ids[:, 0] = 2
    ids[np.arange(2 * n), lengths - 1] = 3
    ids[~mask] = 0
    return Texts(ids, mask, np.arange(n), np.arange(n, 2 * n), (0, 1, 2, 3, 4), 4, np.arange(5, 60))


def batches(n=200, size=20, seed=0, names=None):
    return Batches(table(n), id_keys(names or [f"id {i}" for i in range(n)]), np.arange(n), np.arange(n), size, seed)


def test_draws_are_uniform_and_independent():
    keys = id_keys(map(str, range(20_000)))
    one, two = (uniform(keys, stream(0, step, "neutral")) for step in (1, 2))
    assert stats.kstest(one, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
    wide = uniform(keys[:4000], stream(0, 1, "mask"), 5)
    assert stats.kstest(wide.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(wide.T) - np.eye(5)).max() < 0.08
    assert np.abs(np.corrcoef(uniform(keys, stream(1, 1, "neutral")), one)[0, 1]) < 0.03


def test_a_draw_belongs_to_its_id_wherever_it_stands():
    keys = id_keys(["x", "y", "z"])
    whole = uniform(keys, stream(5, 9, "mask"), 4)
    assert np.array_equal(whole[[2]], uniform(keys[[2]], stream(5, 9, "mask"), 4))


def test_every_row_comes_once_per_epoch_in_another_order():
    plan = batches()
    epochs = [np.concatenate([plan.batch(step, 0.5).rows for step in range(e * 10, e * 10 + 10)]) for e in (0, 1)]
    assert all(sorted(rows) == list(range(200)) for rows in epochs)
    assert (epochs[0] != epochs[1]).any()


def test_the_share_of_neutral_texts_is_the_probability():
    plan = batches(n=200, size=200)
    for p in (0.15, 0.575, 1.0):
        shares = [plan.batch(step, p).neutral for step in range(60)]
        assert np.mean(shares) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 12_000) + 1e-9)
    batch = plan.batch(3, 0.5)
    neutral = batch.texts >= 200
    assert np.array_equal(batch.texts % 200, batch.rows)  # its own neutral text, never another's
    assert batch.neutral == neutral.mean()


def test_batch_size_changes_no_draw_of_a_row():
    large = batches(size=100)
    small = Batches(large.texts, large.keys, large.images, large.rows, 10, 0)
    seen = {}
    for plan in (small, large):
        batch = plan.of(np.arange(10), 4, 0.5)
        seen[plan.size] = (batch.texts, batch.hidden, batch.shown)
    assert all(np.array_equal(a, b) for a, b in zip(seen[10], seen[100], strict=True))


def test_wrong_partners_never_match_and_are_uniform():
    same = np.eye(6, dtype=bool)
    same[0, 1] = same[1, 0] = True
    drawn = np.stack([partners(same, RNG.random(6)) for _ in range(6000)])
    for row in range(6):
        free = np.flatnonzero(~same[row])
        counts = np.array([(drawn[:, row] == place).sum() for place in free])
        assert counts.sum() == 6000
        assert stats.chisquare(counts).pvalue > 1e-4
    assert partners(np.ones((3, 3), bool), RNG.random(3)).tolist() == [-1, -1, -1]


def test_rows_of_one_image_or_one_text_are_no_wrong_partners():
    plan = batches()
    images = plan.images.copy()
    images[:20] = 7  # twenty captions of one image
    many = Batches(plan.texts, plan.keys, images, plan.rows, 20, 0)
    assert (many.of(np.arange(20), 0, 0.0).wrong_text == -1).all()
    mixed = many.of(np.r_[np.arange(10), np.arange(100, 110)], 0, 0.0)
    assert (mixed.wrong_image[:10] >= 10).all()


def test_hidden_words_are_words_at_the_rate_asked_for():
    texts = table(n=4000, length=30)
    keys = id_keys(map(str, range(8000)))
    hidden, shown = hide(texts.ids, texts.mask, keys, 0, 1, rate=0.15, texts=texts)
    words = texts.mask & ~np.isin(texts.ids, texts.special)
    assert not (hidden & ~words).any()
    assert (hidden.any(1) == words.any(1)).all()
    long = words.sum(1) >= 20
    assert hidden[long].sum() / words[long].sum() == pytest.approx(0.15, abs=0.01)
    assert (shown == texts.ids)[~hidden].all()
    kinds = shown[hidden]
    assert (kinds == texts.mask_id).mean() == pytest.approx(0.8, abs=0.01)
    assert (kinds == texts.ids[hidden]).mean() == pytest.approx(0.1 + 0.1 / 55, abs=0.01)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(InputError, match="batch_size=201"):
        batches(size=201)
