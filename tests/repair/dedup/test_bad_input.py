"""Stores and runs that are broken or odd: a clear error or a defined result, and the same command goes on after it."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairvl.errors import FairVLError, JobError, StoreError
from fairvl.repair.dedup import dedup, read_kept
from fairvl.sources.store import EmbeddingStore, write_store

SMALL = {"clusters": 3, "buckets": 2, "rows_per_part": 30}


def clip_folder(folder, x, keys, captions=None, shard=0):
    """A folder as clip-retrieval writes it: vectors, and a table with whatever columns its source had."""
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    np.save(folder / "img_emb" / f"img_emb_{shard}.npy", x.astype(np.float16))
    columns = {"image_path": [f"/data/{k}.jpg" for k in keys], "key": list(keys), "width": np.arange(len(keys))}
    if captions is not None:
        columns["caption"] = captions
    pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{shard}.parquet")


@pytest.fixture
def x(tools):
    return tools.planted(80, 12, seed=3, spread=0.5)


def test_a_clip_retrieval_folder_is_read_as_it_is(tmp_path, x):
    """img2dataset keys, two shards without leading zeros in their names, no manifest."""
    clip_folder(tmp_path / "clip", x[:50], [f"{i:09d}" for i in range(50)])
    clip_folder(tmp_path / "clip", x[50:], [f"00001{i:04d}" for i in range(30)], shard=1)
    keep = dedup(tmp_path / "clip", tmp_path / "out", threshold=0.9, policy="quality", quality="width", **SMALL)
    assert 0 < keep.kept.sum() < 80
    assert read_kept(tmp_path / "out" / "keep.parquet") == list(keep.kept_ids)
    assert set(keep.kept_ids) <= set(EmbeddingStore.open(tmp_path / "clip").ids)


def test_a_folder_of_datacomp_uids_gives_its_subset_file(tmp_path, x):
    folder = tmp_path / "clip"
    clip_folder(folder, x, [str(i) for i in range(80)])
    table = pq.read_table(folder / "metadata" / "metadata_0.parquet")
    uids = [f"{i * 2**70 + 5:032x}" for i in range(80)]
    pq.write_table(table.append_column("uid", pa.array(uids)), folder / "metadata" / "metadata_0.parquet")
    keep = dedup(folder, tmp_path / "out", threshold=0.9, **SMALL)
    subset = np.load(tmp_path / "out" / "subset.npy", allow_pickle=False)
    assert subset.dtype == np.dtype("u8,u8")
    assert [(int(a) << 64) | int(b) for a, b in subset.tolist()] == sorted(int(i, 16) for i in keep.kept_ids)


def test_a_side_table_in_another_order_follows_its_own_rows(tmp_path, x):
    """The table belongs to the vectors row by row: both permuted alike keep the same ids, lengths apart are refused."""
    order = np.random.default_rng(0).permutation(80)
    keys = [f"k{i}" for i in range(80)]
    clip_folder(tmp_path / "one", x, keys)
    clip_folder(tmp_path / "two", x[order], [keys[i] for i in order])
    kept = [set(dedup(tmp_path / n, tmp_path / f"o{n}", threshold=0.9, **SMALL).kept_ids) for n in ("one", "two")]
    assert kept[0] == kept[1]
    clip_folder(tmp_path / "short", x, keys)
    pq.write_table(pa.table({"key": keys[:79]}), tmp_path / "short" / "metadata" / "metadata_0.parquet")
    with pytest.raises(StoreError, match="row by row"):
        dedup(tmp_path / "short", tmp_path / "out", threshold=0.9)


def test_a_store_truncated_in_the_middle_is_refused_at_once_and_after_it_was_opened(tmp_path, x):
    store = write_store(tmp_path / "s", ids=[f"i{i}" for i in range(80)], image_vectors=x, rows_per_shard=40)
    path = sorted((tmp_path / "s" / "img_emb").iterdir())[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(StoreError):
        dedup(tmp_path / "s", tmp_path / "out", threshold=0.9, **SMALL)
    with pytest.raises(FairVLError):
        dedup(store, tmp_path / "out", threshold=0.9, **SMALL)  # opened while it was whole
    path.write_bytes(whole)
    assert dedup(tmp_path / "s", tmp_path / "out", threshold=0.9, **SMALL).kept.any()


def test_rows_of_any_length_are_directions(tmp_path, tools):
    x = tools.planted(80, 12, seed=3, spread=0.5, exact=0)
    lengths = np.random.default_rng(0).uniform(0.1, 50, (80, 1)).astype(np.float32)
    kept = []
    for name, rows in (("unit", x), ("long", x * lengths)):
        ids = [f"{i}" for i in range(80)]
        store = write_store(tmp_path / name, ids=ids, image_vectors=rows, dtype="float32")
        kept.append(dedup(store, tmp_path / f"o{name}", threshold=0.9, **SMALL).kept)
    assert np.array_equal(*kept)


def test_thresholds_at_the_ends(tmp_path, x):
    store = write_store(tmp_path / "s", ids=[f"{i}" for i in range(80)], image_vectors=np.abs(x), dtype="float32")
    assert dedup(store, tmp_path / "one", threshold=1.0, **SMALL).kept.all()
    zero = dedup(store, tmp_path / "zero", threshold=0.0, **SMALL)
    clusters = len(np.load(tmp_path / "zero" / "centroids.npy"))
    assert zero.kept.sum() <= clusters, "all rows of a cluster point the same way, so one of each is left"


def test_ids_that_are_long_or_not_ascii_come_back_whole(tmp_path, x):
    ids = [f"ファイル/ü/{i}/" + "x" * 300 for i in range(80)]
    store = write_store(tmp_path / "s", ids=ids, image_vectors=x)
    keep = dedup(store, tmp_path / "out", threshold=0.9, **SMALL)
    table = pq.read_table(tmp_path / "out" / "keep.parquet")
    assert table.column("id").to_pylist() == ids
    assert set(table.column("witness").drop_null().to_pylist()) <= set(keep.kept_ids)


@pytest.mark.parametrize("stage", ["keys", "centroids", "parts", "neighbours", "select", "inputs", "keep.parquet"])
def test_a_disk_that_fills_up_in_any_stage_leaves_a_run_that_goes_on(tmp_path, x, monkeypatch, stage):
    store = write_store(tmp_path / "s", ids=[f"{i}" for i in range(80)], image_vectors=x,
                        columns={"g": ["a", "b"] * 40})  # fmt: skip
    whole = dedup(store, tmp_path / "whole", threshold=0.9, concepts="g", **SMALL)
    real_save, real_table = np.save, pq.ParquetWriter.write_table
    real_format, failed = np.lib.format.write_array, []

    def full(file):
        if stage in str(getattr(file, "name", file)):
            failed.append(file)
            raise OSError(28, "No space left on device")

    def save(file, array, *args, **kwargs):
        full(file)
        real_save(file, array, *args, **kwargs)

    def write(file, array, *args, **kwargs):
        full(file)
        real_format(file, array, *args, **kwargs)

    def table(self, *args, **kwargs):
        if stage == "keep.parquet":
            failed.append(stage)
            raise OSError(28, "No space left on device")
        real_table(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", save)
        patched.setattr(np.lib.format, "write_array", write)
        patched.setattr(pq.ParquetWriter, "write_table", table)
        with pytest.raises((FairVLError, OSError), match="No space left"):
            dedup(store, tmp_path / "out", threshold=0.9, concepts="g", **SMALL)
    assert failed
    assert not (tmp_path / "out" / "keep.parquet").exists()
    again = dedup(store, tmp_path / "out", threshold=0.9, concepts="g", **SMALL)
    assert np.array_equal(again.kept, whole.kept)
    files = {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert files == {p.relative_to(tmp_path / "whole") for p in (tmp_path / "whole").rglob("*") if p.is_file()}


DYING = """
import os, sys
from pathlib import Path
from fairvl.repair.dedup import dedup, stages

real = stages.choose

def choose(settings, spec, folder):
    mark = Path(settings["out"]) / "died"
    if spec["bucket"] == 1 and not mark.exists():
        mark.touch()
        os._exit(9)
    return real(settings, spec, folder)

if __name__ == "__main__":
    stages.choose = choose
    dedup(sys.argv[1], sys.argv[2], threshold=0.9, workers=2, clusters=3, buckets=2, rows_per_part=30)
"""


@pytest.mark.slow
def test_a_worker_that_is_lost_ends_the_run_with_a_clear_error_and_the_same_command_goes_on(tmp_path, x):
    store = write_store(tmp_path / "s", ids=[f"{i}" for i in range(80)], image_vectors=x)
    whole = dedup(store, tmp_path / "whole", threshold=0.9, **SMALL)
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    call = [sys.executable, str(script), str(tmp_path / "s"), str(tmp_path / "out")]
    first = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (tmp_path / "out" / "died").exists()
    if first.returncode:
        assert "JobError" in first.stderr
        assert not (tmp_path / "out" / "keep.parquet").exists()
        subprocess.run(call, check=True)
    assert read_kept(tmp_path / "out" / "keep.parquet") == list(whole.kept_ids)


@pytest.mark.slow
def test_two_runs_in_one_folder_at_once_leave_one_whole_result(tmp_path, x):
    store = write_store(tmp_path / "s", ids=[f"{i}" for i in range(80)], image_vectors=x)
    whole = dedup(store, tmp_path / "whole", threshold=0.9, **SMALL)
    code = ("import sys; from fairvl.repair.dedup import dedup; "
            "dedup(sys.argv[1], sys.argv[2], threshold=0.9, clusters=3, buckets=2, rows_per_part=30)")  # fmt: skip
    call = [sys.executable, "-c", code, str(tmp_path / "s"), str(tmp_path / "out")]
    both = [subprocess.Popen(call, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    for process, error in zip(both, errors, strict=True):
        assert process.returncode == 0 or "JobError" in error or "ConfigMismatch" in error, error
    subprocess.run(call, check=True)
    assert read_kept(tmp_path / "out" / "keep.parquet") == list(whole.kept_ids)


def test_a_stage_that_fails_says_which(tmp_path, x, monkeypatch):
    from fairvl.repair.dedup import stages

    store = write_store(tmp_path / "s", ids=[f"{i}" for i in range(80)], image_vectors=x)

    def broken(settings, spec, folder):
        raise RuntimeError("gone")

    monkeypatch.setattr(stages, "compare", broken)
    with pytest.raises(JobError, match=r"neighbours.*gone"):
        dedup(store, tmp_path / "out", threshold=0.9, **SMALL)
