"""Other libraries and precisions decide like numpy: the same pairs, the same clusters, the same kept ids."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fairvl.errors import InputError, MissingExtraError
from fairvl.repair.dedup import assign, neighbours, select, spherical_kmeans
from fairvl.repair.dedup.devices import PRECISIONS, precision_slack
from fairvl.repair.dedup.rows import dots


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed (extra: models)")


@pytest.mark.parametrize("precision", ["auto", *PRECISIONS])
@pytest.mark.parametrize(("threshold", "block"), [(0.8, 40), (0.95, 512)])
def test_torch_lists_the_pairs_that_numpy_lists(tools, torch, precision, threshold, block):
    x = tools.planted(900, 64, seed=1)
    clusters = np.arange(900) % 2
    one = neighbours(x, threshold=threshold, clusters=clusters)
    two = neighbours(x, threshold=threshold, clusters=clusters, device="cpu", precision=precision, block=block)
    assert np.array_equal(one.first, two.first)
    assert np.array_equal(one.second, two.second)
    assert np.abs(one.similarity - two.similarity).max() < 1e-6
    assert len(one.first) > 100
    kept = [select(found, policy="semdedup", threshold=0.97).kept for found in (one, two)]
    assert np.array_equal(*kept)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_alone_would_decide_otherwise(tools, torch, precision):
    x = tools.planted(500, 64, seed=2, exact=0)
    low = torch.from_numpy(x).to(getattr(torch, precision))
    product = (low @ low.T).float().numpy()
    first, second = np.triu_indices(len(x), 1)
    otherwise = 0
    for threshold in np.linspace(0.8, 0.95, 12):
        alone = set(zip(*(side[product[first, second] > threshold].tolist() for side in (first, second)), strict=True))
        found = neighbours(x, threshold=threshold, device="cpu", precision=precision).pairs()
        otherwise += len(alone ^ {tuple(pair) for pair in found.tolist()})
        assert np.array_equal(found, neighbours(x, threshold=threshold).pairs())
    assert otherwise > 0


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("dim", [3, 512])
def test_no_product_is_farther_off_than_its_slack(torch, precision, dim):
    rng = np.random.default_rng(0)
    for sign in (1, rng.choice([-1, 1], (300, dim))):  # all rounding the same way, and none
        x = np.abs(rng.standard_normal((300, dim))) * sign
        x[:50, 1:] *= 1e-6  # below the smallest normal number of float16
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        low = torch.from_numpy(x).to(getattr(torch, precision))
        off = np.abs((low @ low.T).double().numpy() - x.astype(float) @ x.astype(float).T).max()
        assert off <= precision_slack(dim, precision)
        assert precision_slack(dim, precision) < 0.015


def test_pairs_on_the_threshold_are_decided_by_the_float64_product(tools, torch):
    x = tools.planted(200, 512, seed=4, exact=0)
    found = neighbours(x, threshold=0.8)
    for k in range(0, len(found.first), max(1, len(found.first) // 15)):
        pair = int(found.first[k]), int(found.second[k])
        cosine = float(dots(x, *(np.array([row]) for row in pair))[0])
        for precision in ("float32", "bfloat16"):
            for level, there in ((cosine, False), (np.nextafter(cosine, 0), True)):
                pairs = neighbours(x, threshold=level, device="cpu", precision=precision).pairs()
                assert (pair in {tuple(p) for p in pairs.tolist()}) == there


@pytest.mark.parametrize("backend", ["faiss", "torch", "torch:cpu"])
def test_centroids_and_clusters_are_those_of_numpy(tools, backend):
    pytest.importorskip(backend.partition(":")[0])
    x = tools.planted(1500, 32, seed=3, spread=0.9)
    x[700:720] = x[3]
    one, two = (spherical_kmeans(x, 40, iterations=6, backend=b) for b in ("numpy", backend))
    assert np.array_equal(one.centroids, two.centroids)
    assert one.history == two.history
    centroids = np.concatenate([one.centroids, one.centroids[:7]])  # ties: the lower number
    assert np.array_equal(assign(x, centroids).clusters, assign(x, centroids, backend=backend).clusters)
    assert (assign(x, one.centroids[:1], backend=backend).clusters == 0).all()
    assert one.history[-1] > one.history[0] + 0.01


def test_what_is_not_there_is_said(tools, torch, monkeypatch):
    x = tools.planted(20, 8)
    with pytest.raises(InputError, match="device='cuda:99'"):
        neighbours(x, threshold=0.9, device="cuda:99")
    with pytest.raises(InputError, match="precision"):
        neighbours(x, threshold=0.9, device="cpu", precision="int8")
    with pytest.raises(InputError, match="backend='annoy'"):
        assign(x, x[:2], backend="annoy")
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match="faiss"):
        assign(x, x[:2], backend="faiss")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="torch"):
        neighbours(x, threshold=0.9, device="cpu")


SCRIPT = """
import sys
import numpy as np
from fairvl.repair.dedup import assign, neighbours, select, spherical_kmeans
x, ids = np.load(sys.argv[1]), np.load(sys.argv[2])
fit = spherical_kmeans(x, 20, ids=ids, iterations=4)
found = neighbours(x, threshold=0.9, clusters=assign(x, fit.centroids).clusters, ids=ids)
for policy in ("semdedup", "fair"):
    print(policy, *sorted(select(found, policy=policy, centroid=fit.centroids).kept_ids))
"""


def test_thread_counts_and_orders_of_rows_keep_the_same_ids(tools, tmp_path):
    x = tools.planted(1500, 128, seed=5, spread=0.6)
    ids = np.array([f"image-{i * 7919 % 4001}" for i in range(len(x))])
    said = []
    for threads, order in (("1", np.arange(len(x))), ("2", np.random.default_rng(0).permutation(len(x)))):
        np.save(tmp_path / "x.npy", x[order])
        np.save(tmp_path / "ids.npy", ids[order])
        threads_of = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        call = [sys.executable, "-c", SCRIPT, str(tmp_path / "x.npy"), str(tmp_path / "ids.npy")]
        done = subprocess.run(call, env={**os.environ, **threads_of}, capture_output=True, text=True, check=True)
        said.append(done.stdout)
    assert said[0] == said[1]
    counts = [len(line.split()) - 1 for line in said[0].splitlines()]
    assert all(100 < count < 1400 for count in counts), counts


@pytest.mark.slow
def test_float16_storage_decides_like_float32_on_fifty_thousand_rows(tools):
    x = tools.planted(50_000, 512, seed=6, spread=0.7, centres=6000)
    fit = spherical_kmeans(x, 50, iterations=3, sample=5000)
    clusters = assign(x, fit.centroids).clusters
    coarse = x.astype(np.float16)
    alone = neighbours(coarse, threshold=0.85, clusters=clusters)
    checked = neighbours(coarse, threshold=0.85, clusters=clusters, exact=x)
    truth = neighbours(x, threshold=0.85, clusters=clusters)
    changed = 0
    for threshold in (0.85, 0.9, 0.95, 0.99):
        kept = [
            select(found, policy="semdedup", threshold=threshold, centroid=fit.centroids).kept
            for found in (checked, truth, alone)
        ]
        assert np.array_equal(kept[0], kept[1])
        assert np.array_equal(checked.pairs(threshold), truth.pairs(threshold))
        changed += int((kept[2] != kept[1]).sum())
    assert changed > 0, "without the exact rows some decisions differ, so this test can fail"
    again = neighbours(coarse.astype(np.float32), threshold=0.85, clusters=clusters)
    assert np.array_equal(alone.pairs(), again.pairs()), "stored numbers decide the same in any type that holds them"
