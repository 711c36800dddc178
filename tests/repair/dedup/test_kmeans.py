"""Spherical k-means: the theorems, the same result for any order of rows, and what two levels cost in agreement."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.dedup import TwoLevel, assign, number_of_clusters, spherical_kmeans
from fairvl.repair.dedup.kmeans import fit_ordered, nearest_centroids


def blobs(seed=0, k=8, n=800, d=16, spread=0.05):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((k, d))
    truth = rng.integers(k, size=n)
    x = centres[truth] / np.linalg.norm(centres[truth], axis=1, keepdims=True) + spread * rng.standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), truth


def test_the_objective_never_falls():
    x, _ = blobs(spread=0.5)
    fit = spherical_kmeans(x, 30, iterations=15)
    assert fit.reseeded == 0
    assert np.all(np.diff(fit.history) >= -1e-7)
    assert fit.history[-1] > fit.history[0] + 0.01


def test_separable_groups_are_found():
    x, truth = blobs(k=4)
    codes = assign(x, spherical_kmeans(x, 4, seed=1).centroids).clusters
    table = np.zeros((4, 4))
    np.add.at(table, (truth, codes), 1)
    if (table > 0).sum() != 4:  # a start with two rows of one group can get stuck; more clusters cover all groups
        codes = assign(x, spherical_kmeans(x, 40).centroids).clusters
        table = np.zeros((4, 40))
        np.add.at(table, (truth, codes), 1)
    assert ((table > 0).sum(axis=0) <= 1).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_permuted_store_gets_the_same_centroids_and_clusters(dtype):
    x = blobs(spread=0.6)[0].astype(dtype)
    ids = np.array([f"img-{i}" for i in range(len(x))])
    order = np.random.default_rng(0).permutation(len(x))
    one = spherical_kmeans(x, 20, ids=ids, sample=500)
    two = spherical_kmeans(x[order], 20, ids=ids[order], sample=500)
    assert np.array_equal(one.centroids, two.centroids)
    a, b = assign(x, one.centroids), assign(x[order], one.centroids, block=37)
    assert np.array_equal(a.clusters[order], b.clusters)
    assert np.array_equal(a.similarity[order], b.similarity)
    assert not np.array_equal(one.centroids, spherical_kmeans(x, 20, ids=ids, sample=500, seed=1).centroids)


def test_assignment_is_the_exact_argmax():
    x, _ = blobs(spread=0.8)
    centroids = spherical_kmeans(x, 50, iterations=3).centroids
    exact = (x.astype(np.float64) @ centroids.T.astype(np.float64)).argmax(axis=1)
    got = assign(x, centroids)
    assert np.array_equal(got.clusters, exact)
    assert np.allclose(got.similarity, (x.astype(np.float64) * centroids[exact]).sum(axis=1), atol=1e-12)


def test_equal_centroids_give_the_lower_number():
    x, _ = blobs(n=50)
    centroids = np.repeat(x[:3], 2, axis=0)
    assert set(assign(x, centroids).clusters.tolist()) <= {0, 2, 4}


def test_empty_clusters_are_seeded_again():
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(3, dtype=np.float32), 40, axis=0) + 0.01 * rng.standard_normal((120, 3)).astype("f4")
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[:60] = x[0]
    fit = spherical_kmeans(x, 20, sample=120)
    assert len(fit.centroids) == 20
    assert len(np.unique(assign(x, fit.centroids).clusters)) >= 15
    assert np.allclose(np.linalg.norm(fit.centroids, axis=1), 1, atol=1e-6)


def test_two_levels_agree_mostly_and_say_how_much():
    x, _ = blobs(n=3000, spread=0.6)
    fit = spherical_kmeans(x, 100, iterations=5)
    few, all_ = (TwoLevel.of(fit.centroids, probes=probes) for probes in (1, 100))
    assert all_.agreement(x).share == 1.0
    measured = few.agreement(x[:1000])
    assert measured.low < measured.share < measured.high
    assert 0.3 < measured.share < 1.0
    assert TwoLevel.of(fit.centroids, probes=4).agreement(x).share > measured.share


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_two_levels_do_not_depend_on_the_order_of_rows(dtype):
    x = blobs(n=3000, spread=0.6)[0].astype(dtype)
    centroids = spherical_kmeans(x, 100, iterations=5).centroids
    centroids = np.concatenate([centroids, centroids[:30]])  # ties: the lower number wins
    two = TwoLevel.of(centroids, probes=3)
    order = np.random.default_rng(0).permutation(len(x))
    one, other = two.assign(x), two.assign(x[order])
    assert np.array_equal(one.clusters[order], other.clusters)
    assert np.array_equal(two._canonical(x), one.clusters), "the shortcut decides as float64 does everywhere"
    pieces = np.concatenate([two.assign(x[i : i + 37]).clusters for i in range(0, len(x), 37)])
    assert np.array_equal(pieces, one.clusters)
    all_groups = TwoLevel.of(centroids, probes=10_000).assign(x).clusters
    assert np.array_equal(all_groups, assign(x, centroids).clusters)


def test_a_fit_on_two_levels_is_nearly_as_good():
    x, _ = blobs(n=4000, k=60, spread=0.4)
    one, two = (fit_ordered(x, 120, iterations=8, two_levels=levels) for levels in (False, True))
    assert len(two.centroids) == 120
    quality = [assign(x, fit.centroids).similarity.mean() for fit in (one, two)]
    start = assign(x, x[:120]).similarity.mean()
    assert quality[0] - start > 0.01, "there is something to gain"
    assert quality[1] - start > 0.8 * (quality[0] - start)


def test_the_nearest_centroids_in_order():
    x, _ = blobs(n=200, spread=0.6)
    centroids = spherical_kmeans(x, 20, iterations=3).centroids
    cosine = x.astype(float) @ centroids.T.astype(float)
    assert np.array_equal(nearest_centroids(x, centroids, 4), np.argsort(-cosine, axis=1)[:, :4])
    own = cosine.argmax(axis=1)
    assert np.array_equal(nearest_centroids(x, centroids, 2, but=own), np.argsort(-cosine, axis=1)[:, 1:3])


def test_the_number_of_clusters_keeps_to_its_budgets():
    n, dim, rate = 10_000_000, 512, 1e11

    def cost(k):
        return (2 * n * k * dim + n * n * dim / k) / rate

    free = number_of_clusters(n, dim)
    assert cost(free) <= min(cost(free - 200), cost(free + 200))
    for seconds in (600, 3600):
        k = number_of_clusters(n, dim, seconds=seconds, rate=rate)
        assert cost(k) <= seconds < cost(k - 1)
        assert k < free
    assert number_of_clusters(n, dim, seconds=1, rate=rate) == free
    tight = number_of_clusters(n, dim, memory=1e9, seconds=1e9)
    assert 2 * n / tight * dim * 4 <= 1e9
    assert 32 * number_of_clusters(n, dim, memory=2e7) * dim * 4 <= 2e7
    assert number_of_clusters(3, dim, memory=1.0) == 1


def test_degenerate_stores():
    assert len(spherical_kmeans([[1.0, 0.0]] * 5, 3).centroids) == 1
    assert spherical_kmeans([[1.0, 0.0]], 1).centroids.tolist() == [[1.0, 0.0]]
    for k in (0, 6):
        with pytest.raises(InputError, match="from 1 to 5"):
            spherical_kmeans(np.eye(5), k)
    with pytest.raises(InputError, match="unique id"):
        spherical_kmeans(np.eye(3), 2, ids=["a", "a", "b"])
    with pytest.raises(InputError, match="same width"):
        assign(np.eye(3), np.eye(4))
