"""What the ledger modes of the fair policy cost and reach, on clusters of mostly one group each.

    python bench/dedup_ledger.py [--rows 6000]

A cluster by itself cannot reach the share of all rows when its own is another; a ledger that crosses clusters can, at
the price of running them one after the other. Prints selection time and representation error per mode.
"""

from __future__ import annotations

import argparse

import numpy as np
from _measure import processor, write

from fairvl.repair.dedup import neighbours, select

MODES = ("cluster", "rounds(2)", "rounds(8)", "global")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=6000)
    options = parser.parse_args()
    rows = []
    errors: dict[str, list[float]] = {mode: [] for mode in MODES}
    seconds: dict[str, list[float]] = {mode: [] for mode in MODES}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        n = options.rows
        clusters = rng.integers(48, size=n)
        label = rng.random(n) < np.where(clusters % 2, 0.05, 0.45)
        centres = rng.standard_normal((n // 8, 64))
        spread = np.where(label, 0.35, 0.5)[:, None]  # one group lies denser, so that pruning moves its share
        x = centres[rng.integers(n // 8, size=n)] + spread * rng.standard_normal((n, 64))
        found = neighbours(x, threshold=0.75, clusters=clusters)
        source = label.mean()
        for mode in MODES:
            kept = select(found, concepts=label, ledger=mode).kept
            errors[mode].append(abs(float(label[kept].mean() - source)))
            seconds[mode].append(processor(lambda found=found, label=label, mode=mode: select(
                found, concepts=label, ledger=mode)))  # type: ignore[misc]  # fmt: skip
    for mode in MODES:
        row = {"mode": mode, "error_points": 100 * float(np.mean(errors[mode])),
               "worst_points": 100 * max(errors[mode]), "seconds": float(np.median(seconds[mode]))}  # fmt: skip
        print(f"{mode:10s} representation error {row['error_points']:.2f} points (worst of 5 seeds "
              f"{row['worst_points']:.2f}), selection {row['seconds']:.2f} s of processor time")  # fmt: skip
        rows.append(row)
    write("dedup_ledger", rows)


if __name__ == "__main__":
    main()
