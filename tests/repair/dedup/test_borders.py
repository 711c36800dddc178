"""Pairs across clusters: all of them when every centroid is visited, most of them with a few, never a wrong one."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.dedup import assign, border_pairs, neighbours, spherical_kmeans
from fairvl.sources.store import write_store

K = 12


def case(tools, n=900, d=24, seed=0, dtype="float32"):
    x = tools.planted(n, d, seed=seed, spread=0.9).astype(dtype)
    fit = spherical_kmeans(x, K, iterations=4)
    return x, assign(x, fit.centroids).clusters, fit.centroids


def as_set(found):
    return set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def across(tools, x, clusters, threshold):
    return {(i, j) for i, j in tools.brute_pairs(x, threshold) if clusters[i] != clusters[j]}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(("filtering", "block"), [("off", 33), ("auto", 512), (5, 100)])
def test_every_centroid_visited_finds_every_pair_across(tools, dtype, filtering, block):
    x, clusters, centroids = case(tools, dtype=dtype)
    expected = across(tools, x, clusters, 0.85)
    found = border_pairs(x, clusters, centroids, threshold=0.85, probes=K - 1, filter=filtering, block=block)
    assert as_set(found) == expected
    assert len(expected) > 30
    assert np.allclose(found.similarity, (x[found.first].astype(float) * x[found.second]).sum(axis=1), atol=1e-6)


def test_few_probes_find_most_pairs_and_no_wrong_one(tools):
    x, clusters, centroids = case(tools)
    expected = across(tools, x, clusters, 0.85)
    shares = []
    for probes in (1, 2, 4, 11):
        found = border_pairs(x, clusters, centroids, threshold=0.85, probes=probes)
        assert as_set(found) <= expected
        shares.append(len(found.first) / len(expected))
    assert shares == sorted(shares)
    assert shares[0] > 0.5
    assert shares[-1] == 1.0


def test_with_the_pairs_inside_they_are_all_pairs(tools):
    x, clusters, centroids = case(tools)
    inside = {tuple(pair) for pair in neighbours(x, threshold=0.85, clusters=clusters).pairs().tolist()}
    border = as_set(border_pairs(x, clusters, centroids, threshold=0.85, probes=K))
    assert not inside & border
    assert inside | border == tools.brute_pairs(x, 0.85)


def test_a_sample_of_rows_finds_the_pairs_of_these_rows(tools):
    x, clusters, centroids = case(tools)
    rows = np.random.default_rng(0).choice(len(x), 200, replace=False)
    found = as_set(border_pairs(x, clusters, centroids, threshold=0.85, probes=K, rows=rows))
    assert found == {pair for pair in across(tools, x, clusters, 0.85) if set(pair) & set(rows.tolist())}
    assert found


def test_a_store_is_read_cluster_by_cluster_with_the_same_pairs(tools, tmp_path):
    x, _, centroids = case(tools, dtype="float16")
    found = assign(x, centroids)
    store = write_store(tmp_path / "s", ids=[str(i) for i in range(len(x))], image_vectors=x, rows_per_shard=250)
    one = border_pairs(store.image_vectors, found, centroids, threshold=0.85)
    two = border_pairs(x, found.clusters, centroids, threshold=0.85)
    assert as_set(one) == as_set(two)
    assert one.compared == two.compared > 0


def test_pairs_on_the_threshold_are_decided_by_the_float64_product(tools):
    x, clusters, centroids = case(tools, n=300, d=200)
    found = border_pairs(x, clusters, centroids, threshold=0.8, probes=K)
    for k in range(0, len(found.first), max(1, len(found.first) // 20)):
        i, j = int(found.first[k]), int(found.second[k])
        cosine = float(np.einsum("i,i->", x[i].astype(np.float64), x[j].astype(np.float64)))
        for level, there in ((cosine, False), (np.nextafter(cosine, 0), True)):
            got = as_set(border_pairs(x, clusters, centroids, threshold=level, probes=K, rows=[i]))
            assert ((i, j) in got) == there


def test_degenerate_and_wrong_input(tools):
    x, clusters, centroids = case(tools)
    one = border_pairs(x, np.zeros(len(x), int), centroids[:1], threshold=0.5)
    assert len(one.first) == 0
    assert len(border_pairs(x, clusters, centroids, threshold=1.0).first) == 0
    assert len(border_pairs(x, clusters, centroids, threshold=0.5, rows=np.array([], int)).first) == 0
    for wrong in (
        {"threshold": 1.5}, {"threshold": 0.9, "probes": 0}, {"threshold": 0.9, "rows": [len(x)]},
        {"threshold": 0.9, "rows": [0.5]}, {"threshold": 0.1, "max_pairs": 10},
    ):  # fmt: skip
        with pytest.raises(InputError):
            border_pairs(x, clusters, centroids, **wrong)
    with pytest.raises(InputError, match="centroids"):
        border_pairs(x, clusters, centroids[:, :5], threshold=0.9)
    with pytest.raises(InputError, match="clusters"):
        border_pairs(x, clusters + K, centroids, threshold=0.9)
