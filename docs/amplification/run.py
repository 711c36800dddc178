"""Amplification of real predictions, and the link of the published stages; writes docs/amplification.md.

    FAIRVL_REALDATA=... python docs/amplification/run.py [--draws 1000]

Without FAIRVL_REALDATA the sections on real data say that they were not run. All pairs go to pairs.csv beside this
file; nothing else of the data is written.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fairvl.atomic import write_atomic
from fairvl.findings import Finding, Findings
from fairvl.measure.amplification import amplification_change, directional_amplification, one_hot
from fairvl.measure.audit import audit
from fairvl.study.published_stages import PUBLISHED, published_links

HERE = Path(__file__).parent
CLIP = (
    ("ViT-B/16 (OpenAI), prompts RP", "vitb16-openai-RP.csv.gz", "race"),
    ("ViT-B/16 (OpenAI), prompts RAGP", "vitb16-openai-RAGP.csv.gz", "race"),
    ("ViT-H/14 (LAION-2B), prompts RAGP", "argp_race_ViT-H-14_laion2b_s32b_b79k_val.csv.gz", "race"),
    ("ViT-L/14 (LAION-2B)", "raw_gender_ViT-L-14_laion2b_s32b_b82k_val.csv.gz", "gender"),
)
METHODS = ("resnet", "jtt", "disent", "debiasify")
NAMES = {"resnet": "ResNet-18, plain", "jtt": "JTT", "disent": "DisEnt", "debiasify": "Debiasify"}
SETS = {
    "fairface": (("female", "male"), ("Black", "White"), "gender", "ethnicity"),
    "waterbirds": (("landbird", "waterbird"), ("land", "water"), "bird", "place"),
}
SHOWN = 8
READING_CLIP = """
Reading: the signed means lie within two points of 0 while single pairs move by more than 20, and the mean size of a
change is two to six points. Little is amplified on average; classes are shifted between groups in both directions,
under RP much more than under RAGP, which is also more often right. RAGP *raises* the signed mean, towards 0 from below:
by that number alone it would look worse. Predicted gender given race is the one signed mean clearly above 0, less than
half of it beyond the overall rates. A fifth to nearly half of the signs are unsure, since FairFace is balanced by
design: those pairs say that predictions moved, not that a stereotype grew.
"""
READING_ROBUSTNESS = """Reading: where training data tie label and attribute, the plain classifier amplifies that tie
far beyond the balanced test labels. JTT and DisEnt, selected for the worst group, bring it within a few points of 0: on
FairFace their intervals hold 0, on Waterbirds they do not quite. JTT pays nine points of accuracy for it on FairFace,
DisEnt two. Debiasify leaves the amplification on FairFace where it was, however it is selected, and lowers it on
Waterbirds. The two plain FairFace files are one and the same. There is one training run per row: the intervals are
over images, not over seeds.
"""
STAGES = """## The stages in published rows

Does amplification after fine-tuning go with how unequal, or how good, the scores are? {models} published models have
amplification per group of the question (sums over answers; the mean over groups is taken here), nine of them have
scores per group too. *Detectable* is the smallest correlation that a two-sided test on n units would find with 80 %
power; 95 % intervals are Fisher's; no correction over the eight rows.

{table}
The relations found follow the families: on GQA the four LXMERT models have both the largest negative sums and, since
their pretraining saw its validation images, other scores than all the rest. Nine models of three families, some
continued from others, are fewer than nine independent ones.

What is not there: overall amplification before fine-tuning (T\u2192A) was not found for any of these models, so before
and after cannot be linked from published rows; precision and recall of the masked-person test exist for four LXMERT
models, two of them as bounds only, which is fewer than a correlation needs; seeds are not told apart. *Independent*
would need an equivalence test to succeed, which nine units cannot do. For runs of your own,
`fairvl.study.stages.link_of_stages` takes rows of model, arm, seed and the three numbers.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    options = parser.parse_args()
    parts = [(HERE / "introduction.md").read_text(encoding="utf-8")]
    if options.data:
        data = Path(options.data)
        parts += [clip_section(data, options.draws), robustness_section(data, options.draws)]
    else:
        parts.append("## Real predictions\n\nNot run: FAIRVL_REALDATA is not set.\n")
    parts.append(stages_section())
    page = HERE.parent / "amplification.md"
    write_atomic(page, "\n".join(parts))
    print(f"wrote {page.name}")


def points(value: float, digits: int = 1) -> str:
    """A share in percentage points."""
    text = f"{100 * value:+.{digits}f}".replace("-", "\u2212")
    return text if text.strip("+\u22120.") else f"{0:.{digits}f}"


def within(row: Any) -> str:
    """Value and interval in points."""
    return f"{points(row.value)} [{points(row.low)}, {points(row.high)}]"


def level(row: Any) -> str:
    """A share and its interval in percent."""
    return f"{100 * row.value:.1f} % [{100 * row.low:.1f}, {100 * row.high:.1f}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def clip_findings(data: Path, file: str, task: str, draws: int, after: dict[str, Path] | None = None) -> Findings:
    """The audit of one file of CLIP's zero-shot predictions on FairFace."""
    path = data / "clip-fairface-val-predictions-mit" / file
    options: dict[str, Any] = {"truth": task, "prediction": f"{task}_preds", "id": "file", "crossings": 1}
    return audit(predictions=path, after=after, draws=draws, **options)


def clip_section(data: Path, draws: int) -> str:
    """Four files of zero-shot predictions, and one pair of prompts before and after."""
    rows, largest, everything = [], [], []
    for name, file, task in CLIP:
        found = clip_findings(data, file, task, draws)
        for row in found.where(metric="amplification"):
            same = {"attribute": row.attribute, "task": task}
            rest, size = (found.one(metric=f"amplification_{m}", **same) for m in ("beyond_rates", "absolute"))
            unsure = [p for p in found.where(metric="amplification_pair", **same) if "not sure" in p.note]
            values = [within(row), within(rest), within(size)]
            coverage = f"{100 * float(row.extra['coverage'] or 0):.1f} %"
            about = [name, f"{task} given {row.attribute}", f"{row.n:,}", str(row.extra["pairs"])]
            rows.append([*about, *values, str(len(unsure)), coverage])
        pairs = [*found.where(metric="amplification_pair")]
        everything += [(name, p) for p in pairs]
        largest += [pair_line(name, p) for p in sorted(pairs, key=lambda p: -abs(p.value))[:SHOWN]]
    write_pairs(everything)
    head = ["model", "predicted", "n", "pairs", "amplification", "beyond rates", "size", "unsure signs", "coverage"]
    pair_head = ["model", "group", "predicted", "n", "sign", "amplification", "corrected p"]
    return (
        "## CLIP on FairFace\n\nZero-shot predictions of three CLIP models on the 10,954 validation images of FairFace "
        f"(predictions: MIT, labels: CC BY 4.0). {draws} draws, seed 0, signs from these labels.\n\n"
        f"{table(head, rows)}\nThe {SHOWN} pairs furthest from 0 of each file; all listed pairs are in "
        f"[pairs.csv](amplification/pairs.csv). \u2020: the sign is not sure.\n\n{table(pair_head, largest)}\n"
        + prompts_section(data, draws)
    )


def pair_line(name: str, p: Finding) -> list[str]:
    unsure = " \u2020" if "not sure" in p.note else ""
    adjusted = "" if p.p_adjusted is None else "<0.001" if p.p_adjusted < 0.001 else f"{p.p_adjusted:.3f}"
    sign = {1: "+", -1: "\u2212", 0: "0"}[int(p.extra["sign"] or 0)]
    return [name, p.groups, str(p.extra["label"]), f"{p.n:,}", sign + unsure, within(p), adjusted]


def write_pairs(pairs: Iterable[tuple[str, Finding]]) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    about = ["model", "attribute", "group", "predicted", "n", "sign", "sign_sure"]
    writer.writerow([*about, "amplification", "low", "high", "p", "p_holm"])
    for name, p in pairs:
        numbers = [f"{v:.5f}" if v is not None else "" for v in (p.value, p.low, p.high)]
        tests = [f"{v:.3g}" if v is not None else "" for v in (p.p, p.p_adjusted)]
        sure = "no" if "not sure" in p.note else "yes"
        writer.writerow([name, p.attribute, p.groups, p.extra["label"], p.n, p.extra["sign"], sure, *numbers, *tests])
    write_atomic(HERE / "pairs.csv", out.getvalue())


def prompts_section(data: Path, draws: int) -> str:
    """One model under two sets of prompts, as a change of predictions on the same images."""
    after = {"RAGP": data / "clip-fairface-val-predictions-mit" / "vitb16-openai-RAGP.csv.gz"}
    found = clip_findings(data, "vitb16-openai-RP.csv.gz", "race", draws, after)
    rows = []
    asked = [("accuracy", "")] + [(m, a) for m in ("accuracy_gap", "amplification") for a in ("age", "gender")]
    for metric, attribute in asked:
        chosen = [r for r in found.where(metric=metric, attribute=attribute) if attribute or r.groups == "(all)"]
        arms = {r.arm: (within if attribute or r.arm == "difference" else level)(r) for r in chosen}
        shown = [arms[arm] for arm in ("before", "after", "difference")]
        rows.append([metric.replace("_", " "), attribute or "everybody", *shown])
    return (
        "### The same model under other prompts\n\nViT-B/16 with the prompts that the author of the files calls RP, "
        "then with those called RAGP; the same images joined by file name, the difference paired. Gaps and "
        "amplification in percentage points.\n\n" + table(["", "by", "RP", "RAGP", "difference"], rows) + READING_CLIP
    )


def robustness_columns(data: Path, dataset: str, method: str, selection: str) -> dict[str, list[str]]:
    """One result file as id, label, prediction and attribute in words."""
    labels, groups, truth, attribute = SETS[dataset]
    path = data / "group-robustness-predictions" / f"{method}_{dataset}_{selection}_results.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        "id": [row["img_path"].removeprefix("./") for row in rows],
        truth: [labels[int(row["y_true"])] for row in rows],
        "y_pred": [labels[int(row["y_pred"])] for row in rows],
        attribute: [groups[int(row["attr_true"])] for row in rows],
    }


def training_columns(data: Path, dataset: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Attributes and labels of the training split as indicator rows, from its table of counts."""
    with open(data / "group-robustness-predictions" / f"{dataset}_group_counts.csv", encoding="utf-8") as file:
        counts = next(row for row in csv.DictReader(file) if row["split"] == "train")
    cells = [(y, a, int(counts[f"y{y}_a{a}"])) for y in (0, 1) for a in (0, 1)]
    y, a = (np.repeat([cell[k] for cell in cells], [cell[2] for cell in cells]) for k in (0, 1))
    return np.eye(2)[a], np.eye(2)[y]


def robustness_section(data: Path, draws: int) -> str:
    """Four training methods on planted confounders: signs from the training counts, and from the test labels."""
    text = (
        "## Classifiers trained on confounded data\n\nPublished predictions of ResNet-18 classifiers (MIT), plain and "
        "trained with three repairs, on a FairFace subset in which gender and ethnicity are confounded in training "
        "(3,241 test images) and on Waterbirds (534). The test splits are nearly balanced, so *their* labels leave the "
        "sign of most pairs unsure; the training counts do not. Signs below are those of training. Differences are "
        "paired by image, against the plain model of the same selection.\n\n"
    )
    for dataset in SETS:
        rows = []
        for selection in ("avg", "worst_group"):
            start = robustness_columns(data, dataset, "resnet", selection)
            for method in METHODS:
                rows.append(robustness_line(data, dataset, selection, method, start, draws))
        _, _, truth, attribute = SETS[dataset]
        head = ["selected by", "method", "n", "amplification", "change against plain", "size", "test signs unsure",
                "accuracy", "worst group"]  # fmt: skip
        text += f"### {dataset}: {truth} given {attribute}\n\n{table(head, rows)}\n"
    return text + READING_ROBUSTNESS


def robustness_line(
    data: Path, dataset: str, selection: str, method: str, start: dict[str, list[str]], draws: int
) -> list[str]:
    labels, groups, truth, attribute = SETS[dataset]
    own = robustness_columns(data, dataset, method, selection)
    place = {key: row for row, key in enumerate(own["id"])}
    order = [place[key] for key in start["id"]]
    own = {name: [values[row] for row in order] for name, values in own.items()}
    assert own[truth] == start[truth]
    train = training_columns(data, dataset)
    a, t = one_hot(own[attribute], columns=groups)[0], one_hot(own[truth], columns=labels)[0]
    p, before = (one_hot(side["y_pred"], columns=labels)[0] for side in (own, start))
    options: dict[str, Any] = {"n_boot": draws, "attribute_names": groups, "task_names": labels}
    found = directional_amplification(a, t, p, train=train, **options)
    unsure = int(directional_amplification(a, t, p, **options).pairs.unstable.sum())
    change = "" if method == "resnet" else within(amplification_change(a, t, before, p, train=train, **options))
    right = np.array(own[truth]) == np.array(own["y_pred"])
    cells = [
        right[(np.array(own[truth]) == y) & (np.array(own[attribute]) == g)].mean() for y in labels for g in groups
    ]
    return [
        {"avg": "average", "worst_group": "worst group"}[selection], NAMES[method], f"{found.n:,}", within(found),
        change, within(found.absolute), f"{unsure} of {found.pairs.sign.size}", f"{100 * right.mean():.1f} %",
        f"{100 * min(cells):.1f} %",
    ]  # fmt: skip


def stages_section() -> str:
    """What the published rows say about the link of the stages."""
    rows = []
    for link in published_links():
        cells = [f"{r.value:+.2f} [{r.low:+.2f}, {r.high:+.2f}]" for r in (link.pearson, link.spearman)]
        cells = [cell.replace("-", "\u2212") for cell in cells]
        about = [link.task, link.amplification, link.outcome, str(link.pearson.n)]
        rows.append([*about, *cells, f"{link.detectable:.2f}", link.verdict])
    head = ["task", "amplification A\u2192T", "with the scores'", "n", "Pearson", "Spearman", "detectable", ""]
    return STAGES.format(models=len(PUBLISHED), table=table(head, rows))


if __name__ == "__main__":
    main()
