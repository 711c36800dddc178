"""Calibrated projection against the published algorithm written out plainly: time of building P and using it twice.

    python bench/projection.py [--repeats 5]

The published algorithm (arXiv 2302.00070) builds M pair by pair, as the sum of the four d x d outer products of
(z_i - z_j)(z_i - z_j)', takes an explicit inverse, and multiplies d x d matrices. `lean` is the same with one outer
product per pair. The lambda path is 20 values against one fit. Memory is what a call adds, inputs not counted: array
allocations as the allocator reports them, and growth of the resident set of a fresh process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import alternate, peak_added_bytes, processor, seconds, write

from fairvl.repair.debias import CalibratedProjection

CASES = [(512, 6, 2), (768, 8, 20), (1024, 8, 80), (1024, 8, 1000), (2048, 8, 80)]
BARS = {(1024, 8, 80): 30, (1024, 8, 1000): 150, (2048, 8, 80): 200}
MEMORY_MB = {(1024, 8, 1000): 64, (2048, 8, 80): 20}
LAM = 1000.0
LAMS = np.geomspace(1.0, 1e5, 20)
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def inputs(dim: int, n_prompts: int, n_pairs: int) -> Arrays:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((n, dim)) for n in (n_prompts, n_pairs, n_pairs, 2)]
    for array in arrays:
        array /= np.linalg.norm(array, axis=1, keepdims=True)
    return arrays[0], arrays[1], arrays[2], arrays[3]


def plain(prompts: np.ndarray, left: np.ndarray, right: np.ndarray, queries: np.ndarray, lean: bool) -> np.ndarray:
    dim = prompts.shape[1]
    basis = np.linalg.svd(prompts, full_matrices=False)[2].T
    removed = np.eye(dim) - basis @ np.linalg.inv(basis.T @ basis) @ basis.T
    pairs = np.zeros((dim, dim))
    for a, b in zip(left, right, strict=True):
        if lean:
            pairs += np.outer(a - b, a - b)
        else:
            pairs += np.outer(a, a) + np.outer(b, b) - np.outer(a, b) - np.outer(b, a)
    matrix = removed @ np.linalg.inv(np.eye(dim) + LAM * pairs / len(left))
    return queries @ matrix.T


def ours(prompts: np.ndarray, left: np.ndarray, right: np.ndarray, queries: np.ndarray) -> np.ndarray:
    return CalibratedProjection(lam=LAM).fit(prompts, left, right)(queries)


def path(prompts: np.ndarray, left: np.ndarray, right: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    return [operator(queries) for operator in CalibratedProjection().path(prompts, left, right, LAMS)]


def resident_added(case: tuple[int, int, int], name: str) -> int:
    """Growth of a fresh process's peak resident set during one call; a small call before it warms the libraries."""
    call = [sys.executable, __file__, "--child", name, *map(str, case)]
    return int(subprocess.run(call, check=True, capture_output=True, text=True).stdout)


def child(name: str, case: tuple[int, int, int]) -> None:
    function: Callable[..., object] = {"ours": ours, "path": path, "plain": lambda *a: plain(*a, lean=False)}[name]
    arrays = inputs(*case)
    function(*inputs(64, 3, 40))
    function(*inputs(64, 3, 8))
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = resident("VmRSS")
    function(*arrays)
    print(max(0, resident("VmHWM") - before))


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} on this system")


def measure(case: tuple[int, int, int], repeats: int) -> dict[str, Any]:
    dim, n_prompts, n_pairs = case
    arrays = inputs(*case)
    expected = plain(*arrays, lean=True)
    row: dict[str, Any] = {"dim": dim, "prompts": n_prompts, "pairs": n_pairs}
    row["difference"] = float(abs(ours(*arrays) - expected).max())
    row |= alternate(lambda: ours(*arrays), lambda: plain(*arrays, lean=False), repeats)
    turns = [seconds(lambda: ours(*arrays)) for _ in range(max(repeats, 5))]
    row["ours_min_s"] = min(turns)
    row["lean_ratio"] = seconds(lambda: plain(*arrays, lean=True)) / statistics.median(turns)
    ratios = [seconds(lambda: path(*arrays)) / seconds(lambda: ours(*arrays)) for _ in range(max(repeats, 5))]
    row["path_of_20_ratio"], row["path_low"], row["path_high"] = statistics.median(ratios), min(ratios), max(ratios)
    mine = processor(lambda: ours(*arrays), max(repeats, 5))
    row["processor_ratio"] = processor(lambda: plain(*arrays, lean=False)) / mine
    row["lean_processor_ratio"] = processor(lambda: plain(*arrays, lean=True)) / mine
    row["path_processor_ratio"] = processor(lambda: path(*arrays), 5) / mine
    row["ours_added_mb"] = peak_added_bytes(lambda: ours(*arrays)) / 1e6
    row["path_added_mb"] = peak_added_bytes(lambda: path(*arrays)) / 1e6
    if Path("/proc/self/clear_refs").exists():
        row["ours_resident_mb"] = resident_added(case, "ours") / 1e6
        row["theirs_resident_mb"] = resident_added(case, "plain") / 1e6
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, *case = options.child
        child(name, (int(case[0]), int(case[1]), int(case[2])))
        return
    rows = []
    print(
        "published: four d x d outer products per pair, an explicit inverse; lean: one outer product per pair\n"
        "d, prompts, pairs    ours     published   ratio (range)      bar  lean  path/one  added MB  resident MB  diff"
    )
    for case in CASES:
        row = measure(case, options.repeats)
        row["bar"], row["memory_bar_mb"] = BARS.get(case), MEMORY_MB.get(case)
        rows.append(row)
        ratio = f"{row['ratio']:.0f} ({row['ratio_low']:.0f} to {row['ratio_high']:.0f})"
        ours_ms, resident_mb = 1000 * row["ours_s"], row.get("ours_resident_mb", float("nan"))
        print(
            f"{case!s:18} {ours_ms:8.1f} ms {row['theirs_s']:8.2f} s   {ratio:19} {row['bar'] or '-':>4} "
            f"{row['lean_ratio']:5.0f} {row['path_of_20_ratio']:8.1f} {row['ours_added_mb']:9.1f} {resident_mb:10.1f} "
            f"{row['difference']:10.1e}\n"
            f"{'':18} by processor time: {row['processor_ratio']:.0f}, lean {row['lean_processor_ratio']:.0f}, "
            f"path / one {row['path_processor_ratio']:.1f}; memory bar {row['memory_bar_mb'] or '-'} MB",
            flush=True,
        )
    write("projection", rows)


if __name__ == "__main__":
    main()
