"""A new shard against an existing kept set: the promises hold over both."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from fairvl.errors import InputError
from fairvl.repair.dedup import dedup, witnesses
from fairvl.repair.dedup.against import covered
from fairvl.sources.store import write_store


@pytest.fixture
def stores(tmp_path, tools):
    x = tools.planted(700, 16, seed=0, spread=0.6)
    x[650:] = x[:50]  # rows of the new shard with the bytes of old ones
    made = []
    for name, rows in (("old", slice(0, 400)), ("new", slice(400, 700))):
        ids = [f"{name}{i}" for i in range(rows.start, rows.stop)]
        made.append(write_store(tmp_path / name, ids=ids, image_vectors=x[rows], dtype="float32",
                                columns={"group": ["a", "b"] * (len(ids) // 2)}))  # fmt: skip
    return made


def test_no_kept_row_old_or_new_has_a_kept_duplicate(stores, tmp_path, tools):
    old, new = stores
    first = dedup(old, tmp_path / "first", threshold=0.9, clusters=1)
    second = dedup(new, tmp_path / "second", threshold=0.9, concepts="group", against=(old, tmp_path / "first"),
                   rows_per_part=90)  # fmt: skip
    x = np.concatenate([old.image_vectors.read(), new.image_vectors.read()])
    kept = np.concatenate([first.kept, second.kept])
    assert tools.violations(x, kept, 0.9) == (0, 0)
    alone = dedup(new, tmp_path / "alone", threshold=0.9, clusters=1)
    assert tools.violations(x, np.concatenate([first.kept, alone.kept]), 0.9)[0] > 10, "else nothing was to be done"
    reasons = second.reason
    assert (reasons == "duplicate of the kept set").sum() > 50
    listed = witnesses(second)
    of_old = [w for w, r in zip(listed["witness"], listed["reason"], strict=True) if r == "duplicate of the kept set"]
    assert set(of_old) <= set(first.kept_ids)
    table = pq.read_table(tmp_path / "second" / "keep.parquet")
    row = int(np.flatnonzero(reasons == "duplicate of the kept set")[0])
    assert table.column("witness")[row].as_py() == second.witness_name(row)
    assert table.column("similarity")[row].as_py() > 0.9


def test_clusters_are_those_of_the_earlier_run(stores, tmp_path):
    old, new = stores
    first = dedup(old, tmp_path / "first", threshold=0.9, clusters=5, buckets=2)
    second = dedup(new, tmp_path / "second", threshold=0.9, against=(old, tmp_path / "first" / "keep.parquet"))
    whole = np.load(tmp_path / "first" / "centroids.npy")
    assert np.array_equal(whole, np.load(tmp_path / "second" / "centroids.npy"))
    equal = second.similarity[250:][np.isin(np.arange(50), np.flatnonzero(first.kept[:50]))]
    assert (equal == 1.0).all(), "rows with the bytes of a kept one"
    everything = dedup(new, tmp_path / "third", threshold=0.9, against=old)
    assert everything.reached < second.reached


def test_the_nearest_kept_row_of_the_cluster_is_the_witness(tools):
    x = tools.planted(120, 12, seed=1, spread=0.9)
    clusters = np.arange(120) % 3
    old = {"rows": np.arange(50) * 10, "clusters": clusters[:50], "vectors": x[:50]}
    witness, similarity = covered(x[50:], clusters[50:], old, 0.8)
    cosines = x[50:].astype(float) @ x[:50].astype(float).T
    cosines[clusters[50:, None] != clusters[None, :50]] = -1
    best = cosines.max(axis=1)
    assert np.array_equal(witness >= 0, best > 0.8)
    found = witness >= 0
    assert np.array_equal(witness[found] // 10, cosines.argmax(axis=1)[found])
    assert np.allclose(similarity[found], np.minimum(best[found], 1), atol=1e-6)
    assert 5 < found.sum() < 68
    assert (covered(x[50:], clusters[50:], old, 1.0)[0] == -1).all()


def test_a_size_cannot_be_asked_for_beside_a_kept_set(stores, tmp_path):
    old, new = stores
    with pytest.raises(InputError, match="needs threshold"):
        dedup(new, tmp_path / "out", keep=0.5, against=old)
    with pytest.raises(InputError, match="3 parts"):
        dedup(new, tmp_path / "out", threshold=0.9, against=(old, "a", "b"))
