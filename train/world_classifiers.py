"""Classifiers of the world's faces at a planted agreement of 90 %, with verified counterfactuals and with controls.

    python train/world_classifiers.py --work FOLDER
    python train/world_classifiers.py --work FOLDER --only skin:smile

The experiment of `fairvl demo augment` at full size: two protected attributes, four labels each, five training seeds.
Killed, the same command goes on. Writes docs/world-classifiers.md and docs/world_classifiers/results.json.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from fairvl.findings import Findings
from fairvl.repair.classifier.arms import ARMS
from fairvl.reproduce.demos.augment import Sizes, compare_arms

DOCS = Path(__file__).parents[1] / "docs"
LABELS = ("glasses", "smile", "gender", "hair_length")
CELLS = tuple((attribute, label) for attribute in ("skin", "age_group") for label in LABELS)
SIZES = Sizes(real=400, test=1000, pairs=50, steps=60, seeds=5)
STYLES = {"mirrored": 2.0, "border": 1.0}  # how far past the border an edit goes
METRICS = {
    "equalized_odds_difference_mean": "equalized odds, mean", "worst_label_group_accuracy": "worst (label, group)",
    "accuracy": "accuracy", "counterfactual_flip_rate": "flips of pairs",
}  # fmt: skip
CONTROLS = ("baseline", "unedited", "duplicated", "reweighted")


BORDER = """
## Stopped at the border

The same runs with edits that stop where judge a is convinced (margin 0.6) instead of being mirrored at the border:
equalized odds, mean, of the augmented arm, and what it leaves of the baseline's. Edits crowd at the border, so how dark
or how old a face is still tells the label.

| protected, label | stopped | left | mirrored | left |
|---|---|---|---|---|
"""


def told(row: Any) -> list[float]:
    return [round(float("nan") if value is None else float(value), 4) for value in (row.value, row.low, row.high)]


def summary(found: Findings, folder: Path) -> dict[str, Any]:
    """Levels of every arm, and the paired differences that the page shows."""
    levels = {arm: {metric: told(found.one(metric=metric, training=arm, arm="")) for metric in METRICS} for arm in ARMS}
    against: dict[str, Any] = {}
    for metric in METRICS:
        for row in found.where(metric=metric, arm="difference"):
            against.setdefault(f"{row.extra['training']} - {row.extra['compared_with']}", {})[metric] = told(row)
    yields = {}
    for name in ("augmented", "aggravated", "pairs"):
        record = json.loads((folder / name / "augmentation.json").read_text())
        yields[name] = [
            {key: one[key] for key in ("label", "source", "to", "wanted", "accepted", "tried", "reasons")}
            for one in record["requests"]
        ]
    seeds = {arm: found.settings["by seed"][arm]["equalized_odds_difference_mean"] for arm in ARMS}
    return {"levels": levels, "differences": against, "yields": yields, "equalized odds by seed": seeds}


def number(values: list[float], sign: bool = False) -> str:
    form = "+.3f" if sign else ".3f"
    if values[1] != values[1]:
        return f"{values[0]:{form}}"  # no classifier flips any pair: no interval
    return "{:{f}} ({:{f}} to {:{f}})".format(*values, f=form)


def page(results: dict[str, dict[str, Any]], border: dict[str, dict[str, Any]]) -> str:
    text = (DOCS / "world_classifiers" / "head.md").read_text().rstrip() + "\n\n## What changed\n\n"
    text += "Augmented minus baseline, paired by image and seed.\n\n"
    text += "| protected, label | baseline | augmented | fall, paired | left "
    text += "| worst (label, group) | accuracy | aggravated minus baseline |\n|---|---|---|---|---|---|---|---|\n"
    odds = "equalized_odds_difference_mean"
    for cell, one in results.items():
        before, after = (one["levels"][arm][odds] for arm in ("baseline", "augmented"))
        change = one["differences"]["augmented - baseline"]
        text += f"| {cell} | {number(before)} | {number(after)} "
        text += f"| {number(change[odds], True)} | {after[0] / before[0]:.0%} "
        text += f"| {number(change['worst_label_group_accuracy'], True)} | {number(change['accuracy'], True)} "
        text += f"| {number(one['differences']['aggravated - baseline'][odds], True)} |\n"
    text += (
        "\n## Against the controls\n\nAugmented minus control, mean equalized odds difference (below 0: fairer), and "
    )
    text += "flips of counterfactual pairs.\n\n| protected, label | unedited | duplicated | reweighted "
    text += "| flips, duplicated |\n|---|---|---|---|---|\n"
    for cell, one in results.items():
        rows = [one["differences"][f"augmented - {arm}"] for arm in CONTROLS[1:]]
        text += f"| {cell} | " + " | ".join(number(row[odds], True) for row in rows)
        text += f" | {number(rows[1]['counterfactual_flip_rate'], True)} |\n"
    text += BORDER
    for cell, one in border.items():
        shares = [run["levels"]["augmented"][odds] for run in (one, results[cell]) if cell in results]
        base = one["levels"]["baseline"][odds][0]
        text += f"| {cell} | " + " | ".join(f"{number(share)} | {share[0] / base:.0%}" for share in shares) + " |\n"
    for cell, one in results.items():
        text += f"\n## {cell}\n\n| arm | " + " | ".join(METRICS.values()) + " |\n|---|---|---|---|---|\n"
        for arm, levels in one["levels"].items():
            text += f"| {arm} | " + " | ".join(number(levels[metric]) for metric in METRICS) + " |\n"
        ways = [
            "{label}, {source} to {to}: {accepted} of {wanted}, {tried} tried".format(**way)
            for way in one["yields"]["augmented"]
        ]
        text += "\nVerified edits: " + "; ".join(ways) + ".\n"
    return text


def collected(folder: Path) -> dict[str, Any]:
    files = {f"{a}, {b}": folder / f"{a}-{b}" / "summary.json" for a, b in CELLS}
    return {cell: json.loads(file.read_text()) for cell, file in files.items() if file.is_file()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=[f"{a}:{b}" for a, b in CELLS], metavar="PROTECTED:LABEL")
    parser.add_argument("--page", action="store_true", help="Write the page of what is there; train nothing.")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for style, reach in STYLES.items():
        for cell in [] if arguments.page else arguments.only:
            attribute, label = cell.split(":")
            folder = arguments.work / style / f"{attribute}-{label}"
            found = summary(compare_arms(folder, 0, replace(SIZES, reach=reach), label, attribute), folder)
            (folder / "summary.json").write_text(json.dumps(found, indent=1) + "\n")
            print(style, cell, json.dumps(found["levels"]), flush=True)
    results = {style: collected(arguments.work / style) for style in STYLES}
    if all(results.values()):
        (DOCS / "world_classifiers" / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (DOCS / "world-classifiers.md").write_text(page(results["mirrored"], results["border"]))


if __name__ == "__main__":
    main()
