"""End to end against the plain published algorithm on the same assignment: sort, compare, select.

    python bench/dedup_published.py [--rows 50000] [--clusters 50] [--repeats 3]

The published code (arXiv 2303.09540) scans the whole table once per cluster to sort it, and per cluster makes the
n x n product, a copy of its upper triangle, and column maxima; written out here with numpy. Bar: 2.5 at 50k x 512.
"""

from __future__ import annotations

import argparse

import numpy as np
from _measure import alternate, write
from dedup_neighbours import plain_largest, processor, unit

from fairvl.repair.dedup import neighbours, select

EPS = (0.01, 0.03, 0.05, 0.1)


def plain(x: np.ndarray, codes: np.ndarray, centroids: np.ndarray) -> list[np.ndarray]:
    largest = np.zeros(len(x), np.float32)
    for c in range(len(centroids)):
        mine = np.flatnonzero(codes == c)  # the scan
        near = (x[mine].astype(np.float64) * centroids[c]).sum(axis=1)
        order = mine[np.lexsort((mine, near))]
        largest[order] = plain_largest(x[order])
    return [~(largest > 1 - eps) for eps in EPS]


def ours(x: np.ndarray, codes: np.ndarray, centroids: np.ndarray) -> list[np.ndarray]:
    found = neighbours(x, threshold=1 - max(EPS), clusters=codes)
    return [select(found, policy="semdedup", threshold=1 - eps, centroid=centroids).kept for eps in EPS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--clusters", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = unit(rng.standard_normal((options.rows, 512)) * 0.985 ** np.arange(512))
    copies = np.flatnonzero(rng.random(len(x)) < 0.3)
    noise = rng.uniform(0, 0.5, (len(copies), 1)) * unit(rng.standard_normal((len(copies), 512)))
    x[copies] = unit(x[rng.integers(len(x), size=len(copies))] + noise)
    centroids = x[: options.clusters].copy()
    codes = (x @ centroids.T).argmax(axis=1)
    changed = [int((a != b).sum()) for a, b in zip(ours(x, codes, centroids), plain(x, codes, centroids), strict=True)]
    row = {
        "rows": options.rows, "clusters": options.clusters, "eps": list(EPS), "bar": 2.5, "changed": changed,
        "processor_ratio": processor(lambda: plain(x, codes, centroids), 1)
        / processor(lambda: ours(x, codes, centroids), 2),
        **alternate(lambda: ours(x, codes, centroids), lambda: plain(x, codes, centroids), options.repeats),
    }  # fmt: skip
    print(f"{options.rows} x 512, {options.clusters} clusters, eps {EPS}: {row['ratio']:.2f} times the published form "
          f"({row['ratio_low']:.2f} to {row['ratio_high']:.2f}), by processor time {row['processor_ratio']:.2f}, "
          f"bar 2.5; ours {row['ours_s']:.2f} s; rows decided otherwise: {changed}")  # fmt: skip
    write("dedup_published", [row])


if __name__ == "__main__":
    main()
