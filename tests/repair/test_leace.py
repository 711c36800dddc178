"""LEACE and the mean difference: equal to the package, streaming, merging; what they promise and that it was there."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvl.errors import InputError
from fairvl.measure.leakage import probe
from fairvl.repair.debias import LabelledMoments, Leace, MeanDifference
from fairvl.stats.codes import encode


def labelled(seed, n, dim, groups, *, mean=3.0, strength=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % groups)
    rows = rng.normal(size=(n, dim)) @ rng.normal(size=(dim, dim)) / np.sqrt(dim)
    return rows + strength * rng.normal(size=(groups, dim))[labels] + mean, labels


def gaps(rows, labels):
    means = np.stack([rows[labels == label].mean(axis=0) for label in np.unique(labels)])
    return abs(means - means[0]).max()


@pytest.mark.parametrize(("n", "dim", "groups"), [(500, 64, 2), (2000, 128, 5), (100, 256, 3)])
@pytest.mark.parametrize("shrinkage", [True, False])
@pytest.mark.filterwarnings("ignore")
def test_equals_the_package(n, dim, groups, shrinkage):
    package = pytest.importorskip("concept_erasure")
    torch = pytest.importorskip("torch")
    if not shrinkage and n < dim:
        pytest.skip("without shrinkage a covariance of fewer vectors than dimensions has a rank that rounding decides")
    rows, labels = labelled(0, n, dim, groups)
    rows = rows.astype(np.float32)
    one_hot = torch.nn.functional.one_hot(torch.tensor(labels)).double()
    fitter = package.LeaceFitter(dim, groups, dtype=torch.float64, shrinkage=shrinkage)
    expected = fitter.update(torch.tensor(rows).double(), one_hot).eraser(torch.tensor(rows).double()).numpy()
    ours = Leace(shrinkage=shrinkage).fit(rows, labels)
    assert ours.rank == groups - 1
    result = ours(rows)
    assert result.dtype == np.float32
    assert abs(result - expected).max() <= 1e-4
    assert abs(rows - expected).max() > 0.1


@pytest.mark.parametrize("make", [Leace(), Leace(shrinkage=False), Leace(affine=False), MeanDifference()])
@pytest.mark.parametrize("groups", [2, 4])
def test_no_linear_probe_beats_chance_afterwards_and_one_did_before(make, groups):
    rows, labels = labelled(1, 1200, 32, groups)
    operator = make.fit(rows, labels)
    after = operator(rows)
    codes = encode([f"g{label}" for label in labels])
    before = probe(rows, codes, folds=5, seed=0, n_boot=100)
    assert before.accuracy.value > 0.8
    assert probe(after, codes, folds=5, seed=0, n_boot=100).accuracy.value < before.chance + 0.06
    assert gaps(rows, labels) > 1.0
    assert gaps(after, labels) < 1e-10
    # Of a least-squares classifier nothing is left at all: the cross-covariance vanishes.
    centred = after - after.mean(axis=0)
    assert abs(centred.T @ np.eye(groups)[labels] / len(rows)).max() < 1e-12


def test_leace_moves_vectors_less_than_any_other_erasure():
    rows, labels = labelled(2, 2000, 24, 2)
    moved = {
        name: np.square(make.fit(rows, labels)(rows) - rows).sum()
        for name, make in {
            "leace": Leace(shrinkage=False), "shrunk": Leace(), "linear": Leace(affine=False), "mean": MeanDifference()
        }.items()
    }  # fmt: skip
    assert moved["leace"] <= min(moved.values())
    assert moved["mean"] > 1.05 * moved["leace"]
    assert moved["linear"] > 1.05 * moved["leace"]
    assert moved["shrunk"] < 1.05 * moved["leace"]


def test_a_noisy_direction_instead_of_labels_leaves_the_probe_untouched():
    from fairvl.repair.debias import OrthogonalProjection

    rows, labels = labelled(3, 1000, 64, 2)
    direction = rows[labels == 0].mean(axis=0) - rows[labels == 1].mean(axis=0)
    noisy = direction / np.linalg.norm(direction) + np.random.default_rng(0).normal(size=64) / 4
    after = OrthogonalProjection().fit(noisy)(rows)
    assert probe(after, encode([str(label) for label in labels]), folds=5, seed=0, n_boot=100).accuracy.value > 0.95


@given(cuts=st.lists(st.integers(1, 199), max_size=6), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_streams_in_any_batches_and_merges_in_any_order_equal_one_fit(cuts, seed):
    rows, labels = labelled(seed, 200, 12, 3, mean=1e4)
    names = np.array(["a", "b", "c"])[labels]
    whole = Leace().fit(rows, names)
    edges = [0, *sorted(set(cuts)), 200]
    streams = [LabelledMoments(12).update(rows[i:j], names[i:j]) for i, j in itertools.pairwise(edges)]
    for order in (streams, streams[::-1]):
        merged = LabelledMoments(12)
        for stream in order:
            merged.merge(stream)
        assert merged.n == 200
        np.testing.assert_allclose(Leace().from_moments(merged).matrix(), whole.matrix(), atol=1e-7)
    one_by_one = LabelledMoments(12)
    for i, j in itertools.pairwise(edges):
        one_by_one.update(rows[i:j], names[i:j])
    np.testing.assert_allclose(one_by_one.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        one_by_one.covariance(shrinkage=False), np.cov(rows.T), rtol=1e-7, atol=1e-7 * np.cov(rows.T).max()
    )


def test_a_large_shared_mean_costs_no_digits():
    rows, labels = labelled(4, 400, 8, 2, mean=0.0)
    near, far = (Leace().fit(rows + shift, labels).matrix() for shift in (0.0, 1e6))
    np.testing.assert_allclose(near, far, atol=1e-6)
    squares = np.float32(rows + 1e6).T @ np.float32(rows + 1e6)  # what float32 sums of squares would see
    assert abs(squares / len(rows) - 1e12 - np.cov(rows.T)).max() > 1.0


def test_several_attributes_are_erased_together_whatever_their_order():
    rng = np.random.default_rng(5)
    gender, age = rng.integers(0, 2, 900), rng.integers(0, 3, 900)
    rows = rng.normal(size=(900, 16)) + rng.normal(size=(2, 16))[gender] + rng.normal(size=(3, 16))[age]
    for make in (Leace(), MeanDifference()):
        both = make.fit(rows, {"gender": gender, "age": age})
        again = make.fit(rows, {"age": age, "gender": gender})
        assert both.rank == 3
        np.testing.assert_allclose(both.matrix(), again.matrix(), atol=1e-12)
        after = both(rows)
        assert max(gaps(after, gender), gaps(after, age)) < 1e-10
        one = make.fit(rows, gender)(rows)
        assert gaps(one, gender) < 1e-10 < 0.1 < gaps(one, age)


def test_missing_labels_count_in_the_covariance_only():
    rows, labels = labelled(6, 300, 8, 2)
    names = [None if i % 3 == 0 else f"g{label}" for i, label in enumerate(labels)]
    known = np.array([name is not None for name in names])
    operator = Leace().fit(rows, names)
    after = operator(rows)
    assert gaps(after[known], labels[known]) < 1e-10
    assert gaps(after[~known], labels[~known]) > 1e-6


def test_normalising_afterwards_brings_a_small_gap_back():
    rows, labels = labelled(7, 1000, 64, 2)
    after = Leace().fit(rows, labels)(rows)
    unit = after / np.linalg.norm(after, axis=1, keepdims=True)
    assert gaps(after, labels) < 1e-10 < gaps(unit, labels)


@pytest.mark.parametrize("make", [Leace(), MeanDifference()])
def test_unusable_labels_and_vectors_are_refused(make):
    rows, labels = labelled(8, 20, 4, 2)
    for bad, message in [
        (labels[:-1], "one per vector"),
        (["a"] * 20, "1 groups"),
        ([None] * 20, "0 groups"),
        ({}, "no attribute"),
        ({"gender": labels, "age": ["x"] * 20}, "'age'"),
    ]:
        with pytest.raises(InputError, match=message):
            make.fit(rows, bad)
    with pytest.raises(InputError, match="NaN"):
        make.fit(np.full((4, 2), np.nan), ["a", "b", "a", "b"])
    twins = np.repeat(rows[:2], 2, axis=0)
    with pytest.raises(InputError, match=r"equal means|do not differ"):
        make.fit(twins, ["a", "b", "a", "b"])
    with pytest.raises(InputError, match="width"):
        LabelledMoments(3).update(rows, labels)
    with pytest.raises(InputError, match="merge"):
        LabelledMoments(3).merge(LabelledMoments(4))
