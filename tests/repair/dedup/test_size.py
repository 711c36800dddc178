"""Thresholds found on a tenth of the clusters, and sizes that are reached as they come out."""

import numpy as np
import pytest

from fairvl.errors import InputError
from fairvl.repair.dedup import neighbours, promises, select


def clustered(seed, clusters, d=32, spread=(0.44, 0.46), mean=40):
    """Clusters of different sizes and crowding, each with near-duplicates of its own at all distances."""
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(1 / 20, clusters) + mean - 20
    which = np.repeat(np.arange(clusters), sizes)
    groups = np.array([rng.integers(1 + s // 6) for s in sizes[which]]) + 1000 * which
    _, groups = np.unique(groups, return_inverse=True)
    centres = rng.standard_normal((groups.max() + 1, d))
    x = centres[groups] + rng.uniform(*spread, clusters)[which, None] * rng.standard_normal((len(which), d))
    return x / np.linalg.norm(x, axis=1, keepdims=True), which, rng.integers(2, size=len(which))


def lists_of(*args, **kwargs):
    x, clusters, labels = clustered(*args, **kwargs)
    return neighbours(x, threshold=0.5, clusters=clusters), labels


SLOW = [("semdedup", 0.7), ("semdedup", 0.3), *((p, keep) for p in ("fair", "fairdedup") for keep in (0.7, 0.5, 0.3))]


@pytest.mark.parametrize(
    ("policy", "keep"), [("semdedup", 0.5), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_a_tenth_of_the_clusters_finds_the_size(policy, keep):
    found, labels = lists_of(0, 400, mean=100)
    inside, off = 0, []
    for seed in range(6):
        got = select(found, policy=policy, keep=keep, share=0.1, concepts=labels, seed=seed)
        told = got.settings
        assert told["sampled_clusters"] == 40
        assert told["sampled_rows"] < 0.12 * len(found)
        assert abs(told["predicted"] - keep) < 0.005
        inside += told["predicted_low"] <= got.reached <= told["predicted_high"]
        off.append(abs(got.reached - keep))
        assert not np.isin(got.reason, ["trimmed to size", "refilled to size"]).any()
        assert got.requested == keep
    assert np.mean(off) < 0.015
    assert inside >= 5


def test_the_interval_of_a_few_clusters_holds_what_all_of_them_keep():
    """Clusters so different that twenty of them miss the size by ten points; the interval says so."""
    found, _ = lists_of(1, 200, spread=(0.1, 0.9))
    inside, off = 0, []
    for seed in range(40):
        got = select(found, policy="semdedup", keep=0.5, share=0.1, seed=seed)
        inside += got.settings["predicted_low"] <= got.reached <= got.settings["predicted_high"]
        off.append(got.reached - 0.5)
    assert np.std(off) > 0.02
    assert inside >= 34


def test_a_size_that_is_not_trimmed_keeps_the_promises():
    found, labels = lists_of(2, 60)
    got = select(found, keep=0.5, share=1.0, concepts=labels)
    assert abs(got.reached - 0.5) < 0.015
    assert [len(rows) for rows in promises(got.kept, found, got.threshold)] == [0, 0]


def test_shares_of_clusters_are_checked():
    found, _ = lists_of(3, 10)
    for wrong in (0, 1.5):
        with pytest.raises(InputError, match="share="):
            select(found, keep=0.5, share=wrong)
