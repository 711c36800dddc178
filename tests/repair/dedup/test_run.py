"""A store into a keep list: the same as the functions on arrays, resumable, and clear about what is wrong."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from fairvl.errors import ConfigMismatchError, FairVLError, InputError, JobError, StoreError
from fairvl.findings import Findings
from fairvl.repair.dedup import dedup, neighbours, promises, read_kept, select
from fairvl.repair.dedup.files import subset
from fairvl.repair.dedup.kmeans import id_keys
from fairvl.repair.dedup.run import dedup as run
from fairvl.sources.store import EmbeddingStore, write_store

N, D = 900, 24


@pytest.fixture
def store(tmp_path, tools):
    x = tools.planted(N, D, seed=0, spread=0.6)
    group = np.random.default_rng(1).choice(["a", "b"], N, p=[0.8, 0.2])
    return write_store(
        tmp_path / "store", ids=[f"{i:032x}" for i in range(N)], image_vectors=x,
        columns={"group": group, "quality": np.arange(N) / N}, rows_per_shard=400,
    )  # fmt: skip


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


SMALL = {"clusters": 6, "buckets": 4, "rows_per_part": 250}


@pytest.mark.parametrize("policy", ["fair", "semdedup", "fairdedup", "quality", "random"])
def test_a_store_is_decided_like_arrays_with_the_same_clusters(store, tmp_path, policy):
    got = dedup(store, tmp_path / "out", policy=policy, threshold=0.9, concepts="group", quality="quality", **SMALL)
    parts = sorted((tmp_path / "out" / "parts").iterdir())
    columns = {
        name: np.concatenate([np.load(part / f"{name}.npy") for part in parts])
        for name in ("rows", "clusters", "similarity")
    }
    assert np.array_equal(np.sort(columns["rows"]), np.arange(N))
    clusters, similarity = np.empty(N, int), np.empty(N)
    clusters[columns["rows"]], similarity[columns["rows"]] = columns["clusters"], columns["similarity"]
    found = neighbours(store.image_vectors.read(), threshold=0.9, clusters=clusters, ids=id_keys(store.ids))
    if policy != "random":
        same = select(
            found, policy=policy, similarity=similarity, concepts=store.columns("group"),
            quality=store.columns("quality"),
        )  # fmt: skip
        assert np.array_equal(got.kept, same.kept)
        assert np.array_equal(got.witness, same.witness)
    if policy in ("fair", "quality", "random"):
        assert [len(rows) for rows in promises(got.kept, found)] == [0, 0]
    assert 0.1 < got.reached < 0.9


def test_what_is_written(store, tmp_path):
    got = dedup(
        store, tmp_path / "out", threshold=0.9, concepts="group", labels={"group": store.columns("group")}, **SMALL
    )
    table = pq.read_table(tmp_path / "out" / "keep.parquet")
    assert table.column("id").to_pylist() == list(store.ids)
    assert np.array_equal(table.column("kept").to_numpy(), got.kept)
    row = int(np.flatnonzero(~got.kept)[0])
    assert table.column("witness")[row].as_py() == store.ids[got.witness[row]]
    assert table.column("reason")[row].as_py() == got.reason[row]
    assert table.column("witness").null_count == got.kept.sum()
    assert read_kept(tmp_path / "out" / "keep.parquet") == [i for i, k in zip(store.ids, got.kept, strict=True) if k]
    uids = np.load(tmp_path / "out" / "subset.npy")
    assert uids.dtype == np.dtype("u8,u8")
    assert [f"{a:016x}{b:016x}" for a, b in uids.tolist()] == sorted(got.kept_ids)
    findings = Findings.read(tmp_path / "out" / "findings.json")
    assert findings.one(metric="kept_share").value == pytest.approx(got.reached)
    assert {row.groups for row in findings.where(attribute="group", arm="difference")} == {"a", "b"}


@pytest.mark.parametrize(
    ("policy", "ledger"), [("semdedup", "cluster"), *(("fair", mode) for mode in ("cluster", "rounds(2)", "global"))]
)
def test_the_size_asked_for(store, tmp_path, policy, ledger):
    got = dedup(store, tmp_path / "out", policy=policy, keep=0.5, concepts="group", ledger=ledger, **SMALL)
    assert got.kept.sum() == N // 2
    assert (got.reasons >= 4).sum() < 0.04 * N
    if policy == "fair":
        group = store.columns("group")
        assert abs((group[got.kept] == "b").mean() - (group == "b").mean()) < 0.03


def test_buckets_parts_and_blocks_do_not_change_what_is_kept(store, tmp_path):
    kept = [
        dedup(store, tmp_path / f"out{i}", threshold=0.9, concepts="group", clusters=6, **other).kept_ids
        for i, other in enumerate((
            {"buckets": 4, "rows_per_part": 250}, {"buckets": 1}, {"buckets": 6, "rows_per_part": 77, "block": 33},
        ))
    ]  # fmt: skip
    assert all(k == kept[0] for k in kept)


@pytest.mark.slow
def test_worker_processes_leave_the_same_bytes(store, tmp_path):
    for workers in (0, 2):
        dedup(store, tmp_path / f"out{workers}", keep=0.5, concepts="group", workers=workers, **SMALL)
    assert tree(tmp_path / "out0") == tree(tmp_path / "out2")


def test_a_permuted_store_keeps_the_same_ids(store, tmp_path):
    order = np.random.default_rng(0).permutation(N)
    other = write_store(
        tmp_path / "permuted", ids=[store.ids[i] for i in order], image_vectors=store.image_vectors.read(order),
        columns={"group": store.columns("group")[order]},
    )  # fmt: skip
    kept = [
        set(dedup(s, tmp_path / f"out-{s.folder.name}", threshold=0.9, concepts="group", **SMALL).kept_ids)
        for s in (store, other)
    ]
    assert kept[0] == kept[1]


def test_shards_of_one_run_beside_each_other(store, tmp_path):
    settings = {"threshold": 0.9, **SMALL}
    whole = dedup(store, tmp_path / "whole", **settings)
    for _ in range(5):
        for i in range(2):
            with contextlib.suppress(JobError):  # a stage waits for the other part
                got = dedup(store, tmp_path / "out", engine=f"shard:{i}/2", **settings)
    assert np.array_equal(got.kept, whole.kept)
    assert tree(tmp_path / "out").keys() >= {"keep.parquet", "findings.json"}


SCRIPT = """
import sys
from fairvl.repair.dedup import dedup
small = {"clusters": 6, "buckets": 4, "rows_per_part": 250}
dedup(sys.argv[1], sys.argv[2], keep=0.5, concepts="group", ledger="rounds(2)", **small)
"""


def killed_and_resumed(store, tmp_path, shares):
    """Kills runs when the folder holds these shares of the finished one's files; how many were still at work."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    call = [sys.executable, "-c", SCRIPT, str(store.folder)]
    subprocess.run([*call, str(whole)], check=True)
    finished = tree(whole)
    killed = 0
    for share in shares:
        process = subprocess.Popen([*call, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if sum(len(files) for *_, files in os.walk(out)) >= share * len(finished):  # folders may vanish meanwhile
                process.kill()
                killed += process.wait() == -signal.SIGKILL
            time.sleep(0.001)
    subprocess.run([*call, str(out)], check=True)
    assert finished == tree(out)
    return killed


def test_killed_and_resumed_the_bytes_are_the_same(store, tmp_path):
    assert killed_and_resumed(store, tmp_path, [0.4]) == 1


@pytest.mark.slow
def test_killed_at_twenty_moments(store, tmp_path):
    rng = random.Random(0)
    assert killed_and_resumed(store, tmp_path, sorted(rng.uniform(0.05, 0.95) for _ in range(20))) >= 15


def test_another_configuration_in_the_folder_is_refused(store, tmp_path):
    dedup(store, tmp_path / "out", threshold=0.9, **SMALL)
    with pytest.raises(ConfigMismatchError, match="threshold"):
        dedup(store, tmp_path / "out", threshold=0.95, **SMALL)
    with pytest.raises(ConfigMismatchError):
        dedup(store, tmp_path / "out", threshold=0.9, concepts="group", **SMALL)


def test_a_full_disk_leaves_a_run_that_goes_on(store, tmp_path, monkeypatch):
    whole = dedup(store, tmp_path / "whole", threshold=0.9, **SMALL)
    save = np.save
    failed = 0
    for fail_at in (0, 9, 25):
        calls = iter(range(10_000))

        def full(file, array, calls=calls, fail_at=fail_at):
            if next(calls) == fail_at:
                raise OSError(28, "No space left on device")
            save(file, array)

        monkeypatch.setattr(np, "save", full)
        with contextlib.suppress(StopIteration):
            with pytest.raises(JobError, match="No space left"):
                dedup(store, tmp_path / "out", threshold=0.9, **SMALL)
            failed += 1
        assert not (tmp_path / "out" / "keep.parquet").exists()
    assert failed == 3
    monkeypatch.setattr(np, "save", save)
    assert np.array_equal(dedup(store, tmp_path / "out", threshold=0.9, **SMALL).kept, whole.kept)


# ----------------------------------------------------------------------------- bad input


def test_unusable_arguments(store, tmp_path):
    for options, words in (
        ({}, "exactly one"),
        ({"keep": 0.5, "threshold": 0.9}, "exactly one"),
        ({"keep": 0}, "above 0"),
        ({"threshold": 2}, "cosine from 0 to 1"),
        ({"threshold": 0.9, "policy": "none"}, "policy="),
        ({"threshold": 0.9, "policy": "fairdedup"}, "concepts"),
        ({"threshold": 0.9, "policy": "quality"}, "quality"),
        ({"threshold": 0.9, "ledger": "all"}, "rounds"),
        ({"threshold": 0.9, "kind": "sound"}, "image"),
        ({"threshold": 0.9, "seed": -1}, "seed"),
    ):
        with pytest.raises(InputError, match=words):
            dedup(store, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists(), "a refused call leaves nothing"
    with pytest.raises(StoreError, match="no column"):
        dedup(store, tmp_path / "out", threshold=0.9, concepts="grop")


def test_stores_that_are_broken(tmp_path, tools):
    x = tools.planted(40, 8)
    folder = tmp_path / "clip"
    (folder / "img_emb").mkdir(parents=True)
    path = folder / "img_emb" / "img_emb_000.npy"
    np.save(path, x.astype(np.float16))
    assert dedup(folder, tmp_path / "plain", threshold=0.9).kept.any()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="truncated"):
        dedup(folder, tmp_path / "cut", threshold=0.9)
    for value in (np.nan, 0.0):
        y = x.copy()
        y[7] = value
        np.save(path, y.astype(np.float16))
        with pytest.raises(FairVLError, match=r"NaN|zero"):
            dedup(folder, tmp_path / f"bad{value}", threshold=0.9)


def test_tiny_and_odd_stores(tmp_path):
    long = "ß" * 299
    one = write_store(tmp_path / "one", ids=[long + "0"], image_vectors=[[1.0, 0.0]])
    assert dedup(one, tmp_path / "o1", threshold=0.9).kept_ids == (long + "0",)
    same = write_store(tmp_path / "same", ids=[long + str(i) for i in range(9)], image_vectors=[[3.0, 0.0]] * 9)
    got = dedup(same, tmp_path / "o2", threshold=0.9, clusters=50)
    assert got.kept.sum() == 1
    assert not (tmp_path / "o2" / "subset.npy").exists()
    assert dedup(same, tmp_path / "o3", threshold=1.0).kept.all()


def test_duplicate_ids_are_named(tmp_path):
    import pyarrow as pa

    folder = tmp_path / "clip"
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    np.save(folder / "img_emb" / "img_emb_000.npy", np.eye(3, dtype=np.float16))
    pq.write_table(pa.table({"key": ["a", "b", "a"]}), folder / "metadata" / "metadata_000.parquet")
    with pytest.raises(StoreError, match="'a'"):
        run(EmbeddingStore.open(folder), tmp_path / "out", threshold=0.9)


def test_subset_files_hold_uids_only():
    with pytest.raises(InputError, match="32 hex"):
        subset(["0" * 31])
