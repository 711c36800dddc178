"""One iteration of spherical k-means, with the canonical float64 decisions, against faiss and scikit-learn.

    python bench/dedup_kmeans.py [--rows 60000] [--clusters 1000] [--iterations 5] [--repeats 3]

All three get the same rows and the same start, and run a fixed number of iterations on one thread (OMP_NUM_THREADS=1):
ours by `fit_ordered`, faiss by its spherical Kmeans without subsampling, scikit-learn by Lloyd's algorithm, which has
no spherical mode. The start (copies, checks) is left out by subtracting a run of one iteration. The mean cosine that
each reaches stands beside its time. Bar: 1 (no slower).
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from _measure import write
from dedup_neighbours import drawn

from fairvl.repair.dedup import assign
from fairvl.repair.dedup.kmeans import fit_ordered


def by_faiss(x: np.ndarray, k: int, iterations: int) -> np.ndarray:
    import faiss

    model = faiss.Kmeans(x.shape[1], k, niter=iterations, spherical=True, min_points_per_centroid=1,
                         max_points_per_centroid=len(x), verbose=False)  # fmt: skip
    model.train(x, init_centroids=x[:k].copy())
    return model.centroids


def by_sklearn(x: np.ndarray, k: int, iterations: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = KMeans(k, init=x[:k], n_init=1, max_iter=iterations, tol=0.0, algorithm="lloyd").fit(x)
    centres = model.cluster_centers_
    return (centres / np.linalg.norm(centres, axis=1, keepdims=True)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    x, origin = drawn(options.rows, None)
    k, more = options.clusters, options.iterations
    runs: dict[str, Callable[[int], np.ndarray]] = {
        "ours": lambda steps: fit_ordered(x, k, iterations=steps).centroids,
        "faiss": lambda steps: by_faiss(x, k, steps),
        "scikit-learn": lambda steps: by_sklearn(x, k, steps),
    }
    took: dict[str, list[float]] = {name: [] for name in runs}
    reached: dict[str, float] = {}
    for name, run in runs.items():
        run(1)  # warm
        reached[name] = float(assign(x[::10], run(more)).similarity.mean())
    for _ in range(options.repeats):
        for name, run in runs.items():
            start = time.process_time()
            run(1)
            middle = time.process_time()
            run(1 + more)
            took[name].append((time.process_time() - middle - (middle - start)) / more)
    rows: list[dict[str, Any]] = []
    for name in ("faiss", "scikit-learn"):
        ratios = [their / our for our, their in zip(took["ours"], took[name], strict=True)]
        row = {
            "rows": options.rows, "clusters": k, "dim": x.shape[1], "peer": name, "vectors": origin, "bar": 1.0,
            "ours_s": statistics.median(took["ours"]), "theirs_s": statistics.median(took[name]),
            "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
            "ours_cosine": reached["ours"], "theirs_cosine": reached[name],
        }  # fmt: skip
        rows.append(row)
        spread = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        print(f"{options.rows} x {x.shape[1]}, k={k}, per iteration, processor time: ours {row['ours_s']:.2f} s, "
              f"{name} {row['theirs_s']:.2f} s, ratio {spread}, "
              f"bar 1; mean cosine {row['ours_cosine']:.4f} and {row['theirs_cosine']:.4f}", flush=True)  # fmt: skip
    write("dedup_kmeans", rows)


if __name__ == "__main__":
    main()
