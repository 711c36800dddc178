"""Every group metric with 1,000 bootstrap replicates against fairlearn's MetricFrame, on the same 100,000 rows.

    python bench/groups.py [--rows 100000] [--repeats 3] [--peer-draws 1]

fairlearn evaluates every replicate in a loop, so its time is linear in the number of replicates: it is measured with
`peer-draws` and with two more, and extended to 1,000, which would take an hour or more. Times are processor seconds of
this process, which a busy machine does not stretch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from _measure import peak_added_bytes, write
from fairlearn.metrics import (
    MetricFrame,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
    true_negative_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, precision_score, recall_score

from fairvl.measure.groups import compare_summary, disaggregate, group_summary

DRAWS = 1000


def seconds(function: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


PEERS = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "selection_rate": selection_rate,
    "true_positive_rate": true_positive_rate,
    "false_positive_rate": false_positive_rate,
    "false_negative_rate": false_negative_rate,
    "true_negative_rate": true_negative_rate,
    "precision": precision_score,
    "recall": recall_score,
    "f1": f1_score,
}


def data(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    groups = rng.choice(np.array(["a", "b", "c", "d", "e"]), p=[0.4, 0.3, 0.2, 0.09, 0.01], size=n)
    truth = rng.integers(0, 2, n)
    wrong = rng.random(n) < np.where(groups == "a", 0.1, 0.2)
    return truth, np.where(wrong, 1 - truth, truth), groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-draws", type=int, default=1)
    options = parser.parse_args()
    truth, prediction, groups = data(options.rows)

    def ours() -> dict[str, object]:
        return {name: disaggregate(name, truth, prediction, groups, n_boot=DRAWS) for name in PEERS}

    def peer(draws: int) -> MetricFrame:
        return MetricFrame(
            metrics=PEERS, y_true=truth, y_pred=prediction, sensitive_features=groups,
            n_boot=draws, ci_quantiles=[0.025, 0.975], random_state=0,
        )  # fmt: skip

    frames = ours()
    theirs = MetricFrame(metrics=PEERS, y_true=truth, y_pred=prediction, sensitive_features=groups)
    worst = max(
        abs(frames[name].by_group[group].value - theirs.by_group[name][group]) for name in PEERS for group in "abcde"
    )
    few, many = options.peer_draws, options.peer_draws + 2
    turns = [(seconds(ours), seconds(lambda: peer(few)), seconds(lambda: peer(many))) for _ in range(options.repeats)]
    extended = [b + (b - a) / 2 * (DRAWS - many) for _, a, b in turns]
    ratios = [t / o for t, (o, _, _) in zip(extended, turns, strict=True)]
    row = {
        "case": f"{len(PEERS)} metrics, {DRAWS} replicates, n={options.rows}, 5 groups",
        "ours_s": float(np.median([o for o, _, _ in turns])),
        "fairlearn_s_extended": float(np.median(extended)),
        "ratio": float(np.median(ratios)),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "repeats": options.repeats,
        "peer_draws_measured": [few, many],
        "largest_difference_of_values": worst,
        "ours_peak_bytes": peak_added_bytes(ours),
    }
    rows = [row]
    print(
        f"{row['case']}: ours {row['ours_s']:.3f} s, fairlearn {row['fairlearn_s_extended']:.0f} s (extended "
        f"from {few} and {many} replicates), ratio {row['ratio']:.0f} ({min(ratios):.0f} to {max(ratios):.0f}); "
        f"our peak {row['ours_peak_bytes'] / 2**20:.0f} MiB; values equal to {worst:.1e}"
    )
    other = np.where(np.random.default_rng(1).random(options.rows) < 0.05, 1 - prediction, prediction)
    for n in (options.rows // 10, options.rows):
        t, p, o, g = truth[:n], prediction[:n], other[:n], groups[:n]
        one = np.median([seconds(lambda: group_summary(t, p, g)) for _ in range(5)])  # noqa: B023
        two = np.median([seconds(lambda: compare_summary(t, p, o, g)) for _ in range(5)])  # noqa: B023
        rows.append({"case": f"every named gap, n={n}", "summary_s": float(one), "paired_summary_s": float(two)})
        print(f"every named gap, n={n}: one arm {one:.3f} s, before/after {two:.3f} s")
    write("groups", rows)


if __name__ == "__main__":
    main()
