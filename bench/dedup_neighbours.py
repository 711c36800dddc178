"""The pairwise stage against this machine's own matrix-product rate, and the lossless filter against brute force.

    python bench/dedup_neighbours.py [--rows 8000] [--clusters 4] [--repeats 3] [--vectors FILE.npy]

1. Brute force (no filter) on clusters of 8,000 rows: useful arithmetic (n^2 d) per second over the rate of one large
   float32 product made in the same turn, by processor time (run with OPENBLAS_NUM_THREADS=1). Bar: 0.8.
2. With the filter against without it, inside clusters of our own k-means, rotation included, same pairs required.
   Rows are drawn with the covariance of a real encoder's vectors (--vectors, or the 1,454 product embeddings of
   FAIRVL_REALDATA), and lie in clusters as dense as the draw makes them. Bar: 2.5 at 0.95; 0.90 and 0.85 printed.
3. One cluster of 16,000 rows: added memory (bar 150 MB) and time against the plain n x n matrix with its triangle copy.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from _measure import alternate, peak_added_bytes, processor, seconds, write

from fairvl.repair.dedup import assign, neighbours, principal_axes, spherical_kmeans

DIM = 512


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def drawn(n: int, path: str | None, seed: int = 0) -> tuple[np.ndarray, str]:
    """Rows with the mean and covariance of real vectors; isotropic rows around a mean without them."""
    rng = np.random.default_rng(seed)
    found = path or str(
        Path(os.environ.get("FAIRVL_REALDATA", "")) / "mobileclip2-product-embeddings" / "embeddings.npz"
    )
    if not Path(found).is_file():
        return unit(
            rng.standard_normal((n, DIM)) * 0.97 ** np.arange(DIM) + 0.1
        ), "geometric spectrum (no real vectors)"
    loaded = np.load(found, allow_pickle=False)
    real = loaded if isinstance(loaded, np.ndarray) else loaded[max(loaded, key=lambda name: loaded[name].size)]
    real = unit(real.astype(np.float64))
    values, axes = np.linalg.eigh(np.cov(real, rowvar=False))
    root = axes * np.sqrt(np.maximum(values, 0))
    return unit(
        real.mean(axis=0) + rng.standard_normal((n, real.shape[1])) @ root.T
    ), f"covariance of {Path(found).name}"


def product_rate(n: int, dim: int) -> float:
    """Operations per second of one large float32 product."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((n, dim)).astype(np.float32) for _ in range(2))
    out = np.empty((n, n), np.float32)
    return 2.0 * n * n * dim / processor(lambda: np.matmul(left, right.T, out=out), 2)


def brute(n: int, repeats: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    x = unit(rng.standard_normal((n, DIM)))
    copies = rng.random(n) < 0.05
    x[copies] = unit(
        x[rng.integers(n, size=copies.sum())] + 0.2 / np.sqrt(DIM) * rng.standard_normal((copies.sum(), DIM))
    )
    neighbours(x[:500], threshold=0.95, filter="off")
    shares, took = [], []
    for _ in range(repeats):
        rate = product_rate(min(n, 4000), DIM)
        took.append(processor(lambda: neighbours(x, threshold=0.95, filter="off"), 2))
        shares.append(n * n * DIM / took[-1] / rate)
    return {
        "case": "brute", "rows": n, "seconds": statistics.median(took), "share_of_rate": statistics.median(shares),
        "low": min(shares), "high": max(shares), "bar": 0.8, "pairs": len(neighbours(x, threshold=0.95).first),
    }  # fmt: skip


def filtered(rows: int, clusters: int, path: str | None, repeats: int) -> list[dict[str, Any]]:
    x, origin = drawn(rows * clusters, path)
    codes = assign(x, spherical_kmeans(x, clusters, iterations=5, sample=min(len(x), 8000)).centroids).clusters
    result = []
    for threshold in (0.95, 0.90, 0.85):
        one = neighbours(x, threshold=threshold, clusters=codes)
        two = neighbours(x, threshold=threshold, clusters=codes, filter="off")
        same = np.array_equal(one.first, two.first) and np.array_equal(one.second, two.second)
        turns = alternate(
            lambda t=threshold: neighbours(x, threshold=t, clusters=codes),
            lambda t=threshold: neighbours(x, threshold=t, clusters=codes, filter="off"),
            repeats,
        )
        times = [
            processor(lambda t=threshold, f=filtering: neighbours(x, threshold=t, clusters=codes, filter=f), repeats)
            for filtering in ("auto", "off")
        ]
        result.append({
            "case": "filter", "threshold": threshold, "vectors": origin, "rows": len(x), "clusters": clusters,
            "pairs": len(one.first), "same_pairs": bool(same), "bar": 2.5 if threshold == 0.95 else 1.0,
            "processor_ratio": times[1] / times[0], **turns,
        })  # fmt: skip
    axes = seconds(lambda: principal_axes(x))
    result[0]["axes_s"] = axes
    return result


def plain_largest(x: np.ndarray) -> np.ndarray:
    """The published kernel: the whole matrix, a copy of its upper triangle, column maxima."""
    return np.triu(x @ x.T, 1).max(axis=0)


def memory(n: int) -> dict[str, Any]:
    x = unit(np.random.default_rng(2).standard_normal((n, DIM)))
    added = peak_added_bytes(lambda: neighbours(x, threshold=0.95))
    return {
        "case": "memory", "rows": n, "added_mb": added / 1e6, "bar_mb": 150, "plain_mb": 8 * n * n / 1e6,
        **alternate(lambda: neighbours(x, threshold=0.95, filter="off"), lambda: plain_largest(x), 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--clusters", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vectors", help="real vectors (.npy or .npz) whose covariance the rows get")
    parser.add_argument("--large", type=int, default=16_000, help="rows of the memory case; 0 leaves it out")
    options = parser.parse_args()
    rows = [brute(options.rows, options.repeats)]
    print(f"brute force, {options.rows} rows: {rows[0]['share_of_rate']:.2f} of the product rate "
          f"({rows[0]['low']:.2f} to {rows[0]['high']:.2f}), bar 0.8", flush=True)  # fmt: skip
    for row in filtered(options.rows, options.clusters, options.vectors, options.repeats):
        rows.append(row)
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        print(f"filter at {row['threshold']}: {ratio} times brute force, by processor time "
              f"{row['processor_ratio']:.2f}, bar {row['bar']}; {row['pairs']} pairs, same: {row['same_pairs']}; "
              f"{row['vectors']}", flush=True)  # fmt: skip
    if options.large:
        row = memory(options.large)
        rows.append(row)
        print(f"{options.large} rows: {row['added_mb']:.0f} MB added (bar 150; plain {row['plain_mb']:.0f}), "
              f"plain takes {row['ratio']:.2f} times as long", flush=True)  # fmt: skip
    write("dedup_neighbours", rows)


if __name__ == "__main__":
    main()
