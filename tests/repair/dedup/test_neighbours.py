"""The pass finds exactly the pairs that a plain float64 double loop finds, however it is run."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.repair.dedup import neighbours, principal_axes
from fairvl.repair.dedup.bound import bounded, chosen_measure
from fairvl.repair.dedup.pairs import guard_band
from fairvl.repair.dedup.rows import dots, fixed_point_sum, representatives


def as_set(pairs):
    return {tuple(pair) for pair in pairs.tolist()}


@pytest.mark.parametrize("threshold", [0.5, 0.85, 0.95, 0.99])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pairs_are_those_of_the_double_loop(tools, threshold, dtype):
    x = tools.planted(300, 24, seed=1).astype(dtype)
    expected = tools.brute_pairs(x, threshold)
    assert as_set(neighbours(x, threshold=threshold).pairs()) == expected
    assert len(expected) > 20


@pytest.mark.parametrize(("block", "filtering"), list(itertools.product([1, 7, 64, 5000], ["off", "auto", 1, 5, 24])))
def test_blocks_and_filters_change_nothing(tools, block, filtering):
    x = tools.planted(400, 24, seed=2)
    one = neighbours(x, threshold=0.9)
    other = neighbours(x, threshold=0.9, block=block, filter=filtering)
    assert np.array_equal(one.first, other.first)
    assert np.array_equal(one.second, other.second)
    assert np.abs(one.similarity - other.similarity).max() < 1e-6


def test_a_higher_threshold_reads_the_same_lists(tools):
    x = tools.planted(400, 24, seed=3)
    found = neighbours(x, threshold=0.8)
    for threshold in (0.85, 0.9, 0.95, 0.99):
        assert as_set(found.pairs(threshold)) == as_set(neighbours(x, threshold=threshold).pairs())
    with pytest.raises(InputError, match="this pass listed pairs above"):
        found.above(0.7)


def test_pairs_on_the_threshold_are_decided_by_the_float64_product(tools):
    # The threshold is the float64 cosine of a pair itself: not above; one step lower: above.
    x = tools.planted(200, 512, seed=4, exact=0)
    found = neighbours(x, threshold=0.8)
    rng = np.random.default_rng(0)
    undecidable = 0
    axes = principal_axes(x)
    for k in rng.choice(len(found.first), 40, replace=False):
        i, j = found.first[[k]], found.second[[k]]
        cosine = float(dots(x, i, j)[0])
        undecidable += float(x[i[0]] @ x[j[0]]) != cosine
        for filtering, block in (("off", 64), (32, 1024)):
            at = as_set(neighbours(x, threshold=cosine, filter=filtering, block=block, axes=axes).pairs())
            lower = np.nextafter(cosine, 0)
            below = as_set(neighbours(x, threshold=lower, filter=filtering, block=block, axes=axes).pairs())
            assert (int(i[0]), int(j[0])) not in at
            assert (int(i[0]), int(j[0])) in below
    assert undecidable > 30, "float32 alone would have decided these pairs by its rounding"


def test_permuted_rows_give_the_same_pairs_of_ids(tools):
    x = tools.planted(300, 24, seed=5)
    ids = np.array([f"é-{i * 7919 % 1000}" for i in range(300)])
    clusters = np.arange(300) % 3
    order = np.random.default_rng(0).permutation(300)
    one = neighbours(x, threshold=0.9, ids=ids, clusters=clusters)
    two = neighbours(x[order], threshold=0.9, ids=ids[order], clusters=clusters[order])
    named = [{frozenset((names[a], names[b])) for a, b in f.pairs().tolist()} for f, names in
             ((one, ids), (two, ids[order]))]  # fmt: skip
    assert named[0] == named[1]
    assert dict(zip(ids, ids[one.representative], strict=True)) == dict(
        zip(ids[order], ids[order][two.representative], strict=True)
    )
    assert len(named[0]) > 20


def test_clusters_are_compared_within_only(tools):
    x = tools.planted(300, 24, seed=6)
    clusters = np.random.default_rng(1).integers(4, size=300)
    found = as_set(neighbours(x, threshold=0.9, clusters=clusters).pairs())
    assert found == tools.brute_pairs(x, 0.9, clusters)
    assert found < tools.brute_pairs(x, 0.9)


def test_storage_in_float16_decides_like_the_same_numbers_in_float32(tools):
    x = tools.planted(500, 64, seed=7).astype(np.float16)
    pairs = [neighbours(x.astype(dtype), threshold=0.9).pairs() for dtype in ("float16", "float32", "float64")]
    assert np.array_equal(pairs[0], pairs[1])
    assert np.array_equal(pairs[0], pairs[2])


def test_a_rounded_copy_decides_like_the_exact_rows(tools):
    x = tools.planted(1500, 64, seed=8)
    coarse = x.astype(np.float16)
    changed = as_set(neighbours(coarse, threshold=0.95).pairs()) ^ as_set(neighbours(x, threshold=0.95).pairs())
    assert changed, "without the exact rows some decisions differ, so this test can fail"
    checked = neighbours(coarse, threshold=0.95, exact=x)
    assert np.array_equal(checked.pairs(), neighbours(x, threshold=0.95).pairs())
    assert np.array_equal(checked.pairs(0.97), neighbours(x, threshold=0.97).pairs())


@given(st.integers(0, 10_000), st.integers(1, 24), st.sampled_from([0.3, 0.8, 0.95]))
def test_the_bound_is_never_below_the_cosine(seed, m, threshold):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 24)) * np.linspace(1, 0.01, 24)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    bound = bounded(x, principal_axes(x), m)
    cosine = x.astype(np.float64) @ x.astype(np.float64).T
    upper = bound.short.astype(np.float64) @ bound.short.astype(np.float64).T + bound.slack
    assert (upper >= cosine - 1e-12).all()
    assert bound.slack < 1e-2


def test_the_bound_is_tight_where_axes_carry_the_rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 64)) * 0.85 ** np.arange(64)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    bound = bounded(x, principal_axes(x), 16)
    gap = (bound.short @ bound.short.T + bound.slack) - x @ x.T
    assert np.median(gap) < 0.02


def test_the_filter_is_chosen_where_it_pays_and_left_where_not():
    rng = np.random.default_rng(0)
    low_rank = rng.standard_normal((3000, 256)) * 0.9 ** np.arange(256)
    isotropic = rng.standard_normal((3000, 256))
    chosen = []
    for x in (low_rank, isotropic):
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        chosen.append(chosen_measure(x, principal_axes(x), 0.95))
    assert 0 < chosen[0] < 128
    tight = rng.standard_normal((3000, 256)) * 0.05 + rng.standard_normal(256)
    tight = (tight / np.linalg.norm(tight, axis=1, keepdims=True)).astype(np.float32)
    assert chosen_measure(tight, principal_axes(tight), 0.9) == 0  # every pair passes: nothing to rule out


def test_equal_rows_are_compared_once():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((4, 16)).astype(np.float32)
    x = np.repeat(base / np.linalg.norm(base, axis=1, keepdims=True), 2000, axis=0)
    found = neighbours(x, threshold=0.99)
    assert len(found.first) == 0
    assert np.array_equal(found.representative, np.repeat([0, 2000, 4000, 6000], 2000))


def test_hash_collisions_are_not_taken_for_equal_rows(monkeypatch):
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    x[4] = x[1]
    monkeypatch.setattr(np.random, "default_rng", lambda seed: _Zero())
    assert representatives(x).tolist()[4] in (1, 4)
    assert representatives(x).tolist()[5] == 5


class _Zero:
    def integers(self, low, high, size, dtype):
        return np.full(size, 2**63 - 1 - 2**62, dtype) * np.uint64(0)


def test_sums_do_not_depend_on_the_order_of_rows(tools):
    x = tools.planted(5000, 32, seed=9)
    order = np.random.default_rng(0).permutation(5000)
    assert np.array_equal(fixed_point_sum(x), fixed_point_sum(x[order]))
    assert not np.array_equal(x.sum(axis=0), x[order].sum(axis=0))
    assert np.allclose(fixed_point_sum(x) / 2.0**36, x.astype(np.float64).sum(axis=0), atol=1e-7)


def test_the_guard_covers_the_float32_product():
    rng = np.random.default_rng(0)
    for dim in (3, 512, 4096):
        x = np.abs(rng.standard_normal((200, dim)))
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        exact = x.astype(np.float64) @ x.astype(np.float64).T
        assert np.abs(x @ x.T - exact).max() < guard_band(dim)


# ----------------------------------------------------------------------------- bad input


def test_rows_that_are_no_unit_rows_are_brought_to_length(tools):
    x = tools.planted(100, 16, seed=10)
    scaled = x.copy()
    scaled[::2] *= 7.5
    found = neighbours(scaled, threshold=0.9)
    assert found.normalised == 50
    assert as_set(found.pairs()) == as_set(neighbours(x, threshold=0.9).pairs())


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_that_are_not_finite_are_refused_by_number(tools, value, dtype):
    x = tools.planted(50, 8).astype(dtype)
    x[7, 3] = value
    with pytest.raises(InputError, match="NaN or infinity"):
        neighbours(x, threshold=0.9)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_zero_rows_are_refused(tools, dtype):
    x = tools.planted(50, 8).astype(dtype)
    x[7] = 0
    with pytest.raises(InputError, match="zero"):
        neighbours(x, threshold=0.9)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan])
def test_thresholds_outside_are_refused(threshold):
    with pytest.raises(InputError, match="cosine from 0 to 1"):
        neighbours([[1.0, 0.0]], threshold=threshold)


def test_threshold_of_one_and_zero():
    x = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]
    assert len(neighbours(x, threshold=1.0).pairs()) == 0
    assert neighbours(x, threshold=0.0).pairs().tolist() == [[0, 1], [0, 3], [1, 3], [2, 3]]


def test_one_row_and_equal_rows():
    assert len(neighbours([[1.0, 0.0]], threshold=0.5).pairs()) == 0
    assert len(neighbours([[1.0, 0.0]] * 5, threshold=0.5).pairs()) == 10


def test_repeated_ids_are_named_and_long_ids_survive(tools):
    x = tools.planted(4, 8)
    with pytest.raises(InputError, match="'b'"):
        neighbours(x, threshold=0.9, ids=["a", "b", "b", "c"])
    with pytest.raises(InputError, match="one id per row"):
        neighbours(x, threshold=0.9, ids=["a"])
    long = ["ü" * 300 + str(i) for i in range(4)]
    assert neighbours(x, threshold=0.9, ids=long).ids == long


def test_too_many_pairs_are_refused_before_they_fill_the_memory(tools):
    with pytest.raises(InputError, match="more than 100 pairs"):
        neighbours(tools.planted(300, 8), threshold=0.1, max_pairs=100)


def test_settings_out_of_range(tools):
    x = tools.planted(10, 8)
    for wrong in ({"block": 0}, {"filter": "some"}, {"filter": 0}, {"clusters": [1, 2]}, {"clusters": np.ones(10)}):
        with pytest.raises(InputError):
            neighbours(x, threshold=0.9, **wrong)
    with pytest.raises(InputError, match="exact"):
        neighbours(x, threshold=0.9, exact=x[:5])
