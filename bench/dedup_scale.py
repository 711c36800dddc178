"""Deduplicate a generated store of any size in one command: time of every stage, memory, agreement, soundness.

    python bench/dedup_scale.py FOLDER --rows 1000000 10000000 [--workers 2] [--cluster-rows 2500] [--keep 0.5]

FOLDER gets ``store-ROWS`` (1 KB per row: 512 numbers of float16; made once, seeded) and ``run-ROWS`` (as much again:
rows sorted by bucket). Both are resumable: the same command goes on where it was stopped. The clusters hold
`cluster-rows` rows on average at any size, so runs of different sizes are comparable per row; from 2,000 centroids
on, assignment has two levels and its agreement with exact assignment is measured. Memory is the resident memory of
this process and its workers together, sampled twice a second.

The store: topics of uneven size, a spectrum like a real encoder's, 53 % near-copies (cosine 0.92 to 0.995) and 7 %
exact copies of earlier rows, popular rows copied most, and a minority of 15 % that lies closer together than the rest.

Results: bench/results/dedup_scale.json, one row per size, and the tables of docs/scale.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _measure import write

from fairvl.sources.store import EmbeddingStore, finish_store

DIM, BLOCK, SHARD = 512, 50_000, 500_000
TOPICS, POOL, MINORITY = 300, 60_000, 0.15
RESULT = Path(__file__).parent / "results" / "dedup_scale.json"
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
LOAD = "The machine is shared: where wall and processor time differ, something else ran beside it."
BEGIN, END = "<!-- scale:begin -->", "<!-- scale:end -->"
STEPS = ("_pilot", "_searched", "_gathered", "_checked", "audit_keep", "write_keep", "write_subset", "given_inputs")


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]


def blocks_of_rows(rows: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Vectors, group and the kind of every row (0 new, 1 near-copy, 2 exact copy), block after block."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    spectrum = (1.0 + np.arange(DIM)) ** -0.55 * np.exp(-np.arange(DIM) / 130)
    shape = (turn * np.sqrt(spectrum / spectrum.sum())).astype(np.float32)  # columns: rotated axes
    mean = 0.9 * turn[:, :1].T.astype(np.float32)
    topics = 0.55 * rng.standard_normal((TOPICS, DIM), np.float32) @ shape.T
    weights = 1.0 / (5.0 + np.arange(TOPICS))
    pool = np.empty((0, DIM), np.float32)
    pool_group = np.empty(0, np.int8)
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        group = (rng.random(n) < MINORITY).astype(np.int8)
        spread = np.where(group == 1, 0.7, 0.85).astype(np.float32)[:, None]
        x = rng.standard_normal((n, DIM), np.float32) @ shape.T
        x = unit(mean + topics[rng.choice(TOPICS, n, p=weights / weights.sum())] + spread * x)
        kind = np.zeros(n, np.int8)
        if len(pool):
            kind = rng.choice(3, n, p=[0.40, 0.53, 0.07]).astype(np.int8)
            copies = np.flatnonzero(kind)
            origin = (len(pool) * rng.random(len(copies)) ** 2).astype(int)
            cosine = rng.uniform(0.92, 0.995, len(copies)).astype(np.float32)
            cosine[kind[copies] == 2] = 1.0
            noise = rng.standard_normal((len(copies), DIM), np.float32)
            noise -= np.einsum("ij,ij->i", noise, pool[origin])[:, None] * pool[origin]
            near = cosine[:, None] * pool[origin] + np.sqrt(1 - cosine**2)[:, None] * unit(noise)
            x[copies] = np.where(cosine[:, None] == 1, pool[origin], near)
            group[copies] = pool_group[origin]
        fresh = np.flatnonzero(kind == 0)
        if len(pool) < POOL:
            pool, pool_group = (
                np.concatenate([pool, x[fresh]])[:POOL],
                np.concatenate([pool_group, group[fresh]])[:POOL],
            )
        else:
            slots = rng.choice(POOL, len(fresh) // 2, replace=False)
            some = rng.choice(fresh, len(slots), replace=False)
            pool[slots], pool_group[slots] = x[some], group[some]
        yield x.astype(np.float16), group, kind


def generate(folder: Path, rows: int, seed: int) -> None:
    """A store on disk in the clip-retrieval layout, streamed; nothing but one block is in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if (folder / "manifest.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    source = blocks_of_rows(rows, seed)
    for number, start in enumerate(range(0, rows, SHARD)):
        n = min(SHARD, rows - start)
        header = np.lib.format.open_memmap(folder / "img_emb" / f"img_emb_{number:03d}.npy", "w+", np.float16, (n, DIM))
        del header
        parts = []
        with open(folder / "img_emb" / f"img_emb_{number:03d}.npy", "r+b") as file:
            file.seek(file.seek(0, 2) - n * DIM * 2)
            for _ in range(0, n, BLOCK):
                x, group, kind = next(source)
                file.write(x.tobytes())
                parts.append((group, kind))
        columns = {
            "id": [f"image-{row:09d}" for row in range(start, start + n)],
            "group": np.concatenate([group for group, _ in parts]), "kind": np.concatenate([kind for _, kind in parts]),
        }  # fmt: skip
        pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{number:03d}.parquet", compression="zstd")
        print(f"  generated {start + n:,} of {rows:,} rows", flush=True)
    print("  hashing", flush=True)
    finish_store(folder, extra={"generated": {"seed": seed}})


class Watch:
    """Resident memory of this process and everything below it, and the time of every step."""

    def __init__(self) -> None:
        self.peak, self.own_peak = 0, 0
        self.steps: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.peaks: dict[str, int] = {}
        self._step = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._over.wait(0.5):
            sizes = resident(os.getpid())
            self.peak, self.own_peak = max(self.peak, sum(sizes)), max(self.own_peak, sizes[0])
            self.peaks[self._step] = max(self.peaks.get(self._step, 0), sum(sizes))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def timed(self, function: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            label = name or kwargs.get("name") or function.__name__
            outer, self._step = self._step, label
            start, worked = time.perf_counter(), processor_of_all()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - start
                self.steps[label] = self.steps.get(label, 0.0) + took
                self.processor[label] = self.processor.get(label, 0.0) + processor_of_all() - worked
                self._step = outer
                print(f"  {label}: {took:.1f} s; resident at most {self.peaks.get(label, 0) / 1e9:.2f} GB", flush=True)

        return call


def processor_of_all() -> float:
    """Processor seconds of this process and of every worker that has ended."""
    return sum(os.times()[:4])


def resident(pid: int) -> list[int]:
    """Resident bytes of a process and of everything that it started."""
    found, waiting = [], [pid]
    while waiting:
        one = waiting.pop(0)
        try:
            found.append(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # it has ended
            continue
    return found


def exact_cost(store: EmbeddingStore, out: Path, rows: int = 8192) -> dict[str, float]:
    """Seconds per million rows of exact and of two-level assignment, and how often they agree."""
    from fairvl.repair.dedup import TwoLevel, assign

    centroids = np.load(out / "centroids.npy")
    numbers = np.sort(np.random.default_rng(1).choice(len(store), min(rows, len(store)), replace=False))
    x = store.image_vectors.read(numbers)
    two = TwoLevel.of(centroids)
    two.assign(x[:100])
    start = time.perf_counter()
    exact = assign(x, centroids)
    middle = time.perf_counter()
    other = two.assign(x)
    end = time.perf_counter()
    scale = 1e6 / len(x)
    agreement = float((exact.clusters == other.clusters).mean())
    lost = float((exact.similarity - other.similarity).mean())
    return {
        "exact_s": (middle - start) * scale, "two_level_s": (end - middle) * scale, "agreement": agreement,
        "agreement_rows": len(x), "mean_cosine_lost": lost,
    }  # fmt: skip


def soundness(store: EmbeddingStore, out: Path) -> dict[str, Any]:
    """What a reader asks: the size, the minority's share, what became of planted copies, the promises."""
    import pyarrow.parquet as pq

    kept = pq.read_table(out / "keep.parquet", columns=["kept"]).column("kept").to_numpy()
    group, kind = store.columns("group") == 1, store.columns("kind")
    promised = {
        row["metric"]: row["value"]
        for row in json.loads((out / "findings.json").read_text())["findings"]
        if row["metric"] in ("kept_with_kept_duplicate", "dropped_without_kept_duplicate", "border_recall")
    }
    return {
        "kept_share": float(kept.mean()), "minority_before": float(group.mean()),
        "minority_after": float(group[kept].mean()), "kept_of_new": float(kept[kind == 0].mean()),
        "kept_of_near_copies": float(kept[kind == 1].mean()), "kept_of_exact_copies": float(kept[kind == 2].mean()),
        **promised,
    }  # fmt: skip


def table(row: dict[str, Any]) -> str:
    """The stages as Markdown."""
    lines = [
        "| stage | seconds | processor seconds | microseconds per row | resident memory, GB |",
        "|---|---|---|---|---|",
    ]
    stages = [
        (name, took, row["processor"].get(name, 0.0), row["peaks"].get(name, 0)) for name, took in row["steps"].items()
    ]
    stages.sort(key=lambda stage: -stage[1])
    for name, took, worked, peak in [*stages, ("total", row["seconds"], row["processor_seconds"], row["peak_bytes"])]:
        lines.append(f"| {name} | {took:.1f} | {worked:.1f} | {took / row['rows'] * 1e6:.2f} | {peak / 1e9:.2f} |")
    return "\n".join(lines)


def document(rows: list[dict[str, Any]]) -> None:
    """The tables of all sizes in docs/scale.md, between its marks."""
    if not PAGE.exists():
        return
    text = PAGE.read_text(encoding="utf-8")
    parts = []
    for row in rows:
        sound, assignment = row["sound"], row["assignment"]
        parts.append(
            f"### {row['rows']:,} rows\n\n{row['clusters']:,} clusters, {row['workers']} processes of one thread; "
            f"{row['seconds']:.0f} s, {row['microseconds_per_row']:.0f} microseconds per row, at most "
            f"{row['peak_bytes'] / 1e9:.2f} GB resident in all processes together (store generated before, in "
            f"{row['generated_s']:.0f} s).\n\n{table(row)}\n\n"
            f"Two-level assignment: the exact cluster for {assignment['agreement']:.1%} of "
            f"{assignment['agreement_rows']:,} rows, "
            f"{assignment['two_level_s']:.0f} s per million rows on one core where exact assignment takes "
            f"{assignment['exact_s']:.0f} s ({'used' if row['two_levels'] else 'not used'} in this run). Kept "
            f"{sound['kept_share']:.1%}; the minority's share was {sound['minority_before']:.2%} and is "
            f"{sound['minority_after']:.2%}; kept are {sound['kept_of_new']:.1%} of new rows, "
            f"{sound['kept_of_near_copies']:.1%} of near-copies, {sound['kept_of_exact_copies']:.1%} of exact copies; "
            f"estimated share of duplicate pairs inside clusters {sound.get('border_recall', float('nan')):.1%}."
        )
    if len(rows) > 1:
        ratio = rows[-1]["microseconds_per_row"] / rows[0]["microseconds_per_row"]
        worked = rows[-1]["processor_seconds"] / rows[-1]["rows"] / (rows[0]["processor_seconds"] / rows[0]["rows"])
        parts.append(
            f"Time per row at {rows[-1]['rows']:,} rows: {ratio:.2f} times that at {rows[0]['rows']:,}, by processor "
            f"time {worked:.2f} times. {LOAD}"
        )
    begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    PAGE.write_text(text[:begin] + "\n" + "\n\n".join(parts) + "\n" + text[end:], encoding="utf-8")


def measured(options: argparse.Namespace, rows: int) -> tuple[dict[str, Any], bool]:
    """One run: what stands in the results, and whether it started from nothing."""
    place, out = options.folder / f"store-{rows}", options.folder / f"run-{rows}"
    start = time.perf_counter()
    # In a process of its own, so that what it used does not count below.
    child = multiprocessing.get_context("spawn").Process(target=generate, args=(place, rows, options.seed))
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit(f"{place}: not generated.")
    generated = time.perf_counter() - start
    fresh = not out.exists()
    watch = Watch()
    module = importlib.import_module("fairvl.repair.dedup.run")
    plain = {name: getattr(module, name) for name in (*STEPS, "run_job") if hasattr(module, name)}
    for name, function in plain.items():
        setattr(module, name, watch.timed(function, None if name == "run_job" else name.strip("_")))
    start, worked = time.perf_counter(), processor_of_all()
    try:
        kept = module.dedup(
            place, out, keep=options.keep, policy=options.policy, concepts="group", seed=options.seed,
            clusters=max(1, round(rows / options.cluster_rows)), iterations=options.iterations,
            workers=options.workers, engine=options.engine,
        )  # fmt: skip
    finally:
        watch.stop()
        for name, function in plain.items():
            setattr(module, name, function)
    seconds, worked = time.perf_counter() - start, processor_of_all() - worked
    print(kept.describe())
    store = EmbeddingStore.open(place)
    clusters = len(np.load(out / "centroids.npy", mmap_mode="r"))
    return {
        "rows": rows, "dim": DIM, "workers": options.workers, "keep": options.keep, "policy": options.policy,
        "clusters": clusters, "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "two_levels": clusters >= 2000, "seconds": seconds, "microseconds_per_row": seconds / rows * 1e6,
        "generated_s": generated, "peak_bytes": watch.peak, "own_peak_bytes": watch.own_peak, "steps": watch.steps,
        "processor": watch.processor, "processor_seconds": worked, "peaks": watch.peaks,
        "assignment": exact_cost(store, out), "sound": soundness(store, out),
    }, fresh  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cluster-rows", type=int, default=2500)
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("--policy", default="fair")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", default="local")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for rows in options.rows:
        there = (options.folder / f"store-{rows}" / "manifest.json").exists()
        need = (1.1 if there else 2.2) * rows * DIM * 2
        free = shutil.disk_usage(options.folder).free
        if free < need and not (options.folder / f"run-{rows}").exists():
            raise SystemExit(f"{options.folder}: {free / 1e9:.1f} GB free; {need / 1e9:.1f} GB are needed.")
        print(f"{rows:,} rows", flush=True)
        row, fresh = measured(options, rows)
        print(table(row), json.dumps(row["assignment"]), json.dumps(row["sound"]), sep="\n", flush=True)
        others = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else []
        others = [other for other in others if other["rows"] != rows]
        if not fresh:
            print("resumed: the times are those of what was left to do; nothing is written to the results")
            continue
        every = sorted([*others, row], key=lambda other: other["rows"])
        write("dedup_scale", every)
        document(every)
        for other in others:
            ratio = row["microseconds_per_row"] / other["microseconds_per_row"]
            print(f"time per row: {ratio:.2f} times that of {other['rows']:,} rows", flush=True)


if __name__ == "__main__":
    main()
