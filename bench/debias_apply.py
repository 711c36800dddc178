"""`fairvl apply` on a store of float16 vectors against a plain copy of the same files, and the memory it takes.

    python bench/debias_apply.py [--rows 1000000] [--dim 512] [--rank 2] [--repeats 3] [--folder DIR]
    python bench/debias_apply.py --rows 10000000 --repeats 2 --folder DIR    # 21 GB of free disk, some five minutes

Both start from files that were put out of the page cache, write the same number of bytes and end when they are on the
disk (fsync); the copy is one `shutil.copyfile` per file. Ours also hashes what it writes, as every job does. Memory is
the largest sum of resident sets over the process tree, sampled while it runs. Processor seconds stand beside the wall,
because a busy machine stretches what computes more than what copies. DIR is left as it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _measure import write

from fairvl.repair.debias import random_projection
from fairvl.sources.store import EmbeddingStore
from fairvl.sources.store.write import finish_store, write_array, write_table

ROWS_PER_SHARD = 250_000
CARD = {"library": "bench", "name": "bench", "weights": "random", "dim": 0}


def make_store(folder: Path, rows: int, dim: int) -> None:
    """Random unit rows; shards differ by a permutation of the coordinates, so that making them costs no time."""
    import pyarrow as pa

    rng = np.random.default_rng(0)
    base = rng.standard_normal((min(rows, ROWS_PER_SHARD), dim), dtype=np.float32)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    half = base.astype(np.float16)
    for number, start in enumerate(range(0, rows, ROWS_PER_SHARD)):
        n = min(ROWS_PER_SHARD, rows - start)
        write_array(folder / f"text_emb/text_emb_{number:03d}.npy", np.roll(half[:n], number, axis=1))
        ids = pa.array(np.arange(start, start + n).astype(str))
        write_table(folder / f"metadata/metadata_{number:03d}.parquet", pa.table({"id": ids}))
    finish_store(folder, card={**CARD, "dim": dim})


def forget(folder: Path) -> None:
    """Put the files of `folder` out of the page cache, so that whoever comes next reads them from the disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def require_room(folder: Path, rows: int, dim: int) -> None:
    """Stop before half a store is written: one store in and one out, and some for the tables."""
    needed, free = 2 * rows * (2 * dim + 16) + (1 << 28), shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"{folder}: {free / 1e9:.0f} GB are free and {needed / 1e9:.0f} GB are needed; see --folder.")


def copy(source: Path, target: Path) -> None:
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
        handle = os.open(to, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def resident(root: int) -> int:
    """Bytes resident in a process and its descendants."""
    children: dict[int, list[int]] = {}
    sizes: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.name))
        sizes[int(entry.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    total, queue = 0, [root]
    while queue:
        number = queue.pop()
        total += sizes.get(number, 0)
        queue += children.get(number, [])
    return total


def apply_in_child(source: Path, target: Path, operator: Path) -> tuple[float, float, int]:
    """Seconds and processor seconds of the call in a fresh process, its workers included, and peak memory in bytes."""
    command = [sys.executable, __file__, "--child", str(operator), str(source), str(target)]
    peak = 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.1):
            peak = max(peak, resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    wall, processor = map(float, said.split())
    return wall, processor, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the stores lie while it runs")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        from fairvl.repair.debias import Operator, apply

        operator, source, target = options.child
        start, used = time.perf_counter(), processor_seconds()
        apply(Operator.load(operator), source, target, allow_other_encoder=True)
        print(time.perf_counter() - start, processor_seconds() - used)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        require_room(Path(folder), options.rows, options.dim)
        row = measure(Path(folder), options)
    print(f"{row['rows']} x {row['dim']} float16, rank {row['rank']}: copy {row['copy_s']:.1f} s", end=", ")
    print(f"apply {row['ours_s']:.1f} s, speed {row['speed']:.0%} of copy", end=" ")
    print(f"({row['speed_low']:.0%} to {row['speed_high']:.0%}; bar 50%), peak {row['peak_mb']:.0f} MB (bar 1000)")
    print(f"processor time: copy {row['copy_processor_s']:.1f} s, apply {row['ours_processor_s']:.1f} s", end=", ")
    print(f"{os.cpu_count()} cores")
    write("debias_apply", [row])


def measure(work: Path, options: argparse.Namespace) -> dict[str, object]:
    source, operator = work / "store", work / "operator.safetensors"
    make_store(source, options.rows, options.dim)
    random_projection(options.dim, options.rank, 0).save(operator)
    turns, peak = [], 0
    for turn in range(options.repeats):
        target = work / f"out{turn}"
        forget(source)
        start, used = time.perf_counter(), processor_seconds()
        copy(source, target)
        copied, copying = time.perf_counter() - start, processor_seconds() - used
        shutil.rmtree(target)
        forget(source)
        applied, applying, memory = apply_in_child(source, target, operator)
        peak = max(peak, memory)
        assert len(EmbeddingStore.open(target)) == options.rows
        shutil.rmtree(target)
        turns.append((copied, applied, copying, applying))
        print(f"  copy {copied:.1f} s, apply {applied:.1f} s, {memory / 1e6:.0f} MB", flush=True)
    speeds = [copied / applied for copied, applied, *_ in turns]
    copied, applied, copying, applying = (statistics.median(column) for column in zip(*turns, strict=True))
    return {
        "rows": options.rows, "dim": options.dim, "rank": options.rank, "copy_s": copied, "ours_s": applied,
        "copy_processor_s": copying, "ours_processor_s": applying,
        "speed": statistics.median(speeds), "speed_low": min(speeds), "speed_high": max(speeds),
        "peak_mb": peak / 1e6, "repeats": options.repeats, "bar": 0.5, "memory_bar_mb": 1000,
    }  # fmt: skip


def processor_seconds() -> float:
    """Of this process and the children it has waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
