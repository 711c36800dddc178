"""NDKL and skew of 10,954 rows in 7 groups against the published per-row loop, and the bootstrap over 29 queries.

    python bench/ndkl.py [--repeats 5]

The reference is the algorithm of Geyik et al. (2019) as it is commonly written: for every i, count the groups in the
top i again and add the discounted divergence.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
from _measure import alternate, peak_added_bytes, seconds, write

from fairvl.measure.ranking import compare_skew, ndkl, skew_over_queries
from fairvl.stats.codes import encode

N, GROUPS, QUERIES, K = 10_954, 7, 29, 1000


def plain_ndkl(scores: np.ndarray, groups: np.ndarray, labels: list[str]) -> float:
    """One pass over the ranking, the divergence of every top i computed from fresh counts of its groups."""
    ranked = groups[np.argsort(-scores, kind="stable")]
    target = {label: np.mean(groups == label) for label in labels}
    total = normaliser = 0.0
    for i in range(1, len(ranked) + 1):
        names, counts = np.unique(ranked[:i], return_counts=True)
        divergence = sum(c / i * math.log(c / i / target[name]) for name, c in zip(names, counts, strict=True))
        total += divergence / math.log2(i + 1)
        normaliser += 1 / math.log2(i + 1)
    return total / normaliser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = [f"group {i}" for i in range(GROUPS)]
    groups = rng.choice(np.array(labels), size=N)
    scores = rng.normal(size=(QUERIES, N)) + 0.3 * (groups == labels[2])
    codes, integers = encode(groups), encode(groups).codes
    names = list(range(GROUPS))
    by_integer = lambda: plain_ndkl(scores[0], integers, names)  # noqa: E731
    timing = alternate(lambda: ndkl(scores[0], codes), by_integer, options.repeats)
    ours_ms = 1000 * float(np.median([seconds(lambda: ndkl(scores[0], codes)) for _ in range(50)]))
    best_ms = 1000 * min(seconds(lambda: ndkl(scores[0], codes)) for _ in range(100))
    start = time.process_time()
    for _ in range(100):
        ndkl(scores[0], codes)
    cpu_ms = 10 * (time.process_time() - start)
    labels_ms = 1000 * float(np.median([seconds(lambda: ndkl(scores[0], groups)) for _ in range(20)]))
    difference = abs(ndkl(scores[0], codes) - by_integer())
    row = {
        "case": f"ndkl, n={N}, {GROUPS} groups", **timing, "ours_ms_coded": ours_ms,
        "ours_ms_best": best_ms,
        "ours_ms_processor": cpu_ms, "ours_ms_from_labels": labels_ms,
        "difference": difference, "ours_peak_bytes": peak_added_bytes(lambda: ndkl(scores[0], codes)),
        "theirs_peak_bytes": peak_added_bytes(by_integer),
    }  # fmt: skip
    print(
        f"{row['case']}: ours {ours_ms:.2f} ms (best {best_ms:.2f}, processor {cpu_ms:.2f}, "
        f"from text labels {labels_ms:.1f}), loop {timing['theirs_s']:.2f} s, ratio {timing['ratio']:.0f} "
        f"({timing['ratio_low']:.0f} to {timing['ratio_high']:.0f}), difference {difference:.1e}"
    )
    one = float(np.median([seconds(lambda: skew_over_queries(scores, codes, k=K)) for _ in range(3)]))
    two = float(np.median([seconds(lambda: compare_skew(scores, scores[::-1], codes, k=K)) for _ in range(3)]))
    peak = peak_added_bytes(lambda: compare_skew(scores, scores[::-1], codes, k=K, n_boot=100))
    print(f"max and min skew of {QUERIES} queries, k={K}, 1,000 draws: {one:.2f} s; before/after {two:.2f} s, "
          f"peak {peak / 2**20:.0f} MiB")  # fmt: skip
    suite = {"case": f"skew of {QUERIES} queries, k={K}, 1000 draws", "seconds": one, "paired_seconds": two,
             "paired_peak_bytes": peak}  # fmt: skip
    write("ndkl", [row, suite])


if __name__ == "__main__":
    main()
