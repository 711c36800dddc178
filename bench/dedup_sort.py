"""The sort stage: every cluster's rows by distance to the centroid, in one sort or by a scan per cluster.

    python bench/dedup_sort.py [--rows 400000] [--clusters 1000] [--repeats 3]

The published code (arXiv 2303.09540) looks through the whole table once for each cluster, sorts what it finds as
Python tuples, and saves one array of strings (id, row, distance, label) per cluster; written out here. Ours sorts once
and saves numbers. The scan and sort alone, with numpy on both sides and no files, stands beside it. Bar: 25 for the
stage at 400,000 rows and 1,000 clusters.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from _measure import alternate, processor, write


def published(codes: np.ndarray, similarity: np.ndarray, clusters: int, ids: np.ndarray, folder: Path) -> None:
    """The stage as published: scan, tuples, a file of strings per cluster."""
    for code in range(clusters):
        mine = np.flatnonzero(codes == code)
        table = zip(ids[mine], mine, 1 - similarity[mine], np.full(len(mine), code), strict=True)
        np.save(folder / f"cluster_{code}.npy", np.array(sorted(table, key=lambda row: -row[2]), dtype="S32"))


def stage(codes: np.ndarray, similarity: np.ndarray, clusters: int, folder: Path) -> None:
    """Ours: one sort, three columns; ids stay in the store."""
    rows = np.concatenate(ours(codes, similarity, clusters))
    for name, column in (("rows", rows), ("clusters", codes[rows]), ("similarity", similarity[rows])):
        np.save(folder / f"{name}.npy", column)


def plain(codes: np.ndarray, similarity: np.ndarray, clusters: int) -> list[np.ndarray]:
    """Rows of every cluster, farthest from its centroid first, ties by row: a scan per cluster."""
    found = []
    for code in range(clusters):
        mine = np.flatnonzero(codes == code)
        found.append(mine[np.lexsort((mine, similarity[mine]))])
    return found


def ours(codes: np.ndarray, similarity: np.ndarray, clusters: int) -> list[np.ndarray]:
    """The same by sorting all rows by cluster first; what is left to sort is small."""
    by = np.argsort(codes.astype(np.uint16 if clusters <= 2**16 else np.int64), kind="stable")
    starts = np.searchsorted(codes[by], np.arange(clusters + 1))
    near = similarity[by]
    found = []
    for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        found.append(by[a:b][np.argsort(near[a:b], kind="stable")])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    codes = rng.integers(options.clusters, size=options.rows)
    similarity = rng.random(options.rows).round(4)  # with ties
    case = codes, similarity, options.clusters
    same = all(np.array_equal(a, b) for a, b in zip(ours(*case), plain(*case), strict=True))
    ids = np.array([f"{row:024x}" for row in range(options.rows)], dtype="S24")
    with tempfile.TemporaryDirectory() as name:
        whole = alternate(
            lambda: stage(*case, Path(name)), lambda: published(*case, ids, Path(name)), options.repeats
        )  # fmt: skip
    row = {
        "stage_ratio": whole["ratio"], "stage_low": whole["ratio_low"], "stage_high": whole["ratio_high"],
        "stage_ours_s": whole["ours_s"], "stage_theirs_s": whole["theirs_s"],
        "rows": options.rows, "clusters": options.clusters, "bar": 25, "same": same,
        "processor_ratio": processor(lambda: plain(*case), 2) / processor(lambda: ours(*case), 3),
        **alternate(lambda: ours(*case), lambda: plain(*case), options.repeats),
    }  # fmt: skip
    print(f"sort stage, {options.rows} rows, {options.clusters} clusters: {row['stage_ratio']:.1f} times the published "
          f"form ({row['stage_low']:.1f} to {row['stage_high']:.1f}), bar 25, ours {row['stage_ours_s'] * 1e3:.0f} ms; "
          f"scan and sort alone {row['ratio']:.1f} ({row['ratio_low']:.1f} to {row['ratio_high']:.1f}), by processor "
          f"time {row['processor_ratio']:.1f}; same order: {same}")  # fmt: skip
    write("dedup_sort", [row])


if __name__ == "__main__":
    main()
