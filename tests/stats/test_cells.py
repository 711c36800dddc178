"""Resampling cells is resampling rows: same distribution, same jackknife, whatever n."""

import numpy as np
import pytest

import fairvl.stats.cells as module
from fairvl.errors import InputError
from fairvl.stats.cells import BLOCK_ELEMENTS, Resampling, Totals, bootstrap, draw, jackknife_cells, tabulate


def table(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, n), rng.integers(0, 2, n)


def share_of_hits(coordinates):
    """Share of rows with second code 1, per first code."""

    def statistic(counts):
        hits = np.stack([counts[:, (coordinates[:, 0] == g) & (coordinates[:, 1] == 1)].sum(1) for g in range(3)], 1)
        rows = np.stack([counts[:, coordinates[:, 0] == g].sum(1) for g in range(3)], 1)
        return hits / rows

    return statistic


def test_tabulate_counts_every_row_once_and_keeps_no_empty_cell():
    a, b = table()
    for spread in (1, 10_000):  # dense and sparse counting
        cells = tabulate(a * spread, b, shape=(3 * spread, 2))
        assert cells.n == len(a)
        assert (cells.counts > 0).all()
        for (x, y), count in zip(cells.coordinates, cells.counts, strict=True):
            assert count == np.sum((a * spread == x) & (b == y))


@pytest.mark.parametrize(("codes", "shape"), [(([0, 1], [0]), (2, 2)), (([],), (2,)), (([0, 1],), (2, 2))])
def test_unusable_codes_are_refused(codes, shape):
    with pytest.raises(InputError, match=r"expected"):
        tabulate(*codes, shape=shape)


def test_the_cell_bootstrap_has_the_moments_of_the_row_bootstrap():
    a, b = table()
    cells = tabulate(a, b, shape=(3, 2))
    statistic = share_of_hits(cells.coordinates)
    rng = np.random.default_rng(1)
    from_cells = statistic(draw(cells.counts, 20_000, rng))
    from_rows = []
    for _ in range(20_000):
        rows = rng.integers(len(a), size=len(a))
        from_rows.append([b[rows][a[rows] == g].mean() for g in range(3)])
    np.testing.assert_allclose(from_cells.mean(0), np.mean(from_rows, axis=0), atol=0.005)
    np.testing.assert_allclose(np.cov(from_cells.T), np.cov(np.array(from_rows).T), atol=3e-4)
    assert np.cov(from_cells.T)[0, 0] > 5e-3  # there is a variance to agree on


def test_draws_keep_the_number_of_rows():
    cells = tabulate(*table(), shape=(3, 2))
    assert (draw(cells.counts, 50, np.random.default_rng(0)).sum(1) == cells.n).all()


def test_the_cell_jackknife_is_the_row_jackknife():
    a, b = table()
    cells = tabulate(a, b, shape=(3, 2))
    by_cell = jackknife_cells(cells, share_of_hits(cells.coordinates), block=2)
    for i in range(len(a)):
        rows = np.delete(np.arange(len(a)), i)
        left_out = [b[rows][a[rows] == g].mean() for g in range(3)]
        cell = np.flatnonzero((cells.coordinates == (a[i], b[i])).all(1))[0]
        np.testing.assert_allclose(by_cell[cell], left_out, rtol=1e-12)


@pytest.mark.parametrize("size", [4, 100_000])
def test_totals_add_cells_by_index(size):
    counts = np.arange(12.0).reshape(2, 6)
    index = np.array([3, 0, 3, -1, 1, 0])
    out = Totals.of(index, size)(counts)
    assert out.shape == (2, size)
    np.testing.assert_array_equal(out[:, :4], [[1 + 5, 4, 0, 0 + 2], [7 + 11, 10, 0, 6 + 8]])
    assert not out[:, 4:].any()


def test_block_size_does_not_change_a_result(monkeypatch):
    cells = tabulate(*table(), shape=(3, 2))
    statistic = share_of_hits(cells.coordinates)
    whole = bootstrap(cells, statistic, Resampling(200, method="bca"))
    monkeypatch.setattr(module, "BLOCK_ELEMENTS", 17)
    parts = bootstrap(cells, statistic, Resampling(200, method="bca"))
    np.testing.assert_array_equal(whole.low, parts.low)
    np.testing.assert_array_equal(whole.high, parts.high)
    assert BLOCK_ELEMENTS > 17


def test_same_seed_same_bytes_other_seed_other_interval():
    cells = tabulate(*table(), shape=(3, 2))
    statistic = share_of_hits(cells.coordinates)
    first, second, third = (bootstrap(cells, statistic, Resampling(300, seed=s)) for s in (4, 4, 5))
    assert first.low.tobytes() == second.low.tobytes()
    assert first.low.tobytes() != third.low.tobytes()


def test_undefined_replicates_are_left_out_and_counted():
    a = np.array([0] * 30 + [1])  # the group of one row is absent from about e^-1 of the resamples
    cells = tabulate(a, np.ones(31, dtype=int), shape=(2, 2))

    def size_of_second(counts):
        rows = counts[:, 1:]
        return np.where(rows > 0, rows, np.nan)

    result = bootstrap(cells, size_of_second, Resampling(2000))
    assert 0.3 < result.undefined[0] / 2000 < 0.43
    assert "left out" in result.estimate(0, 1).note
    assert result.low[0] == 1


def test_no_draws_gives_no_interval():
    cells = tabulate(*table(), shape=(3, 2))
    estimate = bootstrap(cells, share_of_hits(cells.coordinates), Resampling(0)).estimate(0, 7)
    assert np.isnan(estimate.low)
    assert "n_boot is 0" in estimate.note
    assert estimate.method == "none"


@pytest.mark.parametrize("settings", [{"draws": -1}, {"level": 1.0}, {"level": 0.0}, {"method": "magic"}])
def test_unusable_settings_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        Resampling(**settings)
