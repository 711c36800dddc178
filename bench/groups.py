"""Every group metric with 1,000 bootstrap replicates against fairlearn's MetricFrame, on the same 100,000 rows.

    python bench/groups.py [--rows 100000] [--repeats 3] [--peer-draws 20] [--full]

fairlearn evaluates every replicate in a loop, so its time is linear in the number of replicates: it is measured with
two small numbers of them and extended to 1,000. ``--full`` runs the 1,000 once, which takes minutes, and prints how far
the extension is off.
"""

from __future__ import annotations

import argparse

import numpy as np
from _measure import alternate, peak_added_bytes, seconds, write
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
    parser.add_argument("--peer-draws", type=int, default=10)
    parser.add_argument("--full", action="store_true")
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
    few, many = options.peer_draws, 2 * options.peer_draws
    turns = [(seconds(ours), seconds(lambda: peer(few)), seconds(lambda: peer(many))) for _ in range(options.repeats)]
    extended = [b + (b - a) / few * (DRAWS - many) for _, a, b in turns]
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
        "fairlearn_peak_bytes": peak_added_bytes(lambda: peer(2)),
    }
    if options.full:
        row["fairlearn_s_measured_in_full"] = seconds(lambda: peer(DRAWS))
    rows = [row]
    print(f"{row['case']}: ours {row['ours_s']:.3f} s, fairlearn {row['fairlearn_s_extended']:.1f} s (extended from "
          f"{few} and {many} replicates), ratio {row['ratio']:.0f} ({min(ratios):.0f} to {max(ratios):.0f}); "
          f"peak {row['ours_peak_bytes'] / 2**20:.0f} MiB against {row['fairlearn_peak_bytes'] / 2**20:.0f} MiB; "
          f"values equal to {worst:.1e}")  # fmt: skip
    if options.full:
        print(f"fairlearn with all {DRAWS} replicates: {row['fairlearn_s_measured_in_full']:.1f} s")

    other = np.where(np.random.default_rng(1).random(options.rows) < 0.05, 1 - prediction, prediction)
    for n in (options.rows // 10, options.rows):
        timing = alternate(
            lambda n=n: group_summary(truth[:n], prediction[:n], groups[:n], n_boot=DRAWS),
            lambda n=n: compare_summary(truth[:n], prediction[:n], other[:n], groups[:n], n_boot=DRAWS),
            5,
        )
        case = {
            "case": f"every named gap, n={n}",
            "summary_s": timing["ours_s"],
            "paired_summary_s": timing["theirs_s"],
        }
        rows.append(case)
        print(f"{case['case']}: one arm {case['summary_s']:.3f} s, before/after {case['paired_summary_s']:.3f} s")
    write("groups", rows)


if __name__ == "__main__":
    main()
