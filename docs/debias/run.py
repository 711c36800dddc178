"""Compare all closed-form debiasers and write docs/debias.md with the figures that come out.

    python docs/debias/run.py [--draws 500]

The table on the built-in world needs nothing else. The sections on real data are measured where FAIRVL_REALDATA names
the folder of test data; without it the page says that they were not run. Nothing of the data is written.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from fairvl.measure.audit import audit
from fairvl.repair.debias import (
    CalibratedProjection,
    CircleMethod,
    Equalisation,
    Leace,
    MeanDifference,
    OrthogonalProjection,
    compare_methods,
    debias,
    random_projection,
)
from fairvl.sources.datasets import read_table
from fairvl.sources.encoders import load_encoder

HERE = Path(__file__).parent
PAGE = HERE.parent / "debias.md"
SHOWN = 8
NAMED = ("man", "woman", "boy", "girl", "bridegroom", "bride", "policeman", "nun", "snowman")
INTRODUCTION = (HERE / "introduction.md").read_text(encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    options = parser.parse_args()
    parts = [INTRODUCTION, world(options.draws)]
    data = None if options.data is None else Path(options.data)
    parts.append(classes(data) if data else "## Real CLIP text vectors\n\nNot run: FAIRVL_REALDATA is not set.\n")
    parts.append(robustness(data) if data else "## Group robustness\n\nNot run: FAIRVL_REALDATA is not set.\n")
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {PAGE}")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def world(draws: int) -> str:
    """The comparison on the world's model, and what the bypass costs."""
    encoder = load_encoder("world:vectors")
    found = compare_methods(encoder, draws=draws)
    (HERE / "front.svg").write_text(found.svg(), encoding="utf-8")
    rows = []
    for point in sorted(found.points, key=lambda p: p.bias.value):
        other = "-"
        arm, repair = ("before", "") if point.operator is None else ("after", point.method)
        spared = found.findings.where(metric="mean_max_skew", attribute="age_group", arm=arm)
        chosen = [row for row in spared if row.extra["repair"] == repair]
        if chosen:
            other = f"{chosen[0].value:.3f} [{chosen[0].low:.3f}, {chosen[0].high:.3f}]"
        lam = "" if point.lam is None else f", lambda {point.lam:.3g}"
        rank = "" if point.operator is None else f"rank {point.operator.rank}{lam}"
        mark = "**" if point.front else ""
        cells = [f"{v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for v in (point.bias, point.utility)]
        rows.append([f"{mark}{point.method}{mark}", rank, cells[0], cells[1], other])
    head = ["method", "", f"{found.bias_name} by gender", found.utility_name, "off target: MaxSkew by age"]
    gate: Any = debias(encoder, method="orthogonal", bypass=True)
    n = found.points[0].utility.n
    failed = "".join(f"- {method}: not fitted: {reason}\n" for method, reason in found.failed)
    return (
        "## All methods on the built-in world\n\n"
        f"`world:clip` on {n} balanced pictures (a test instrument with planted bias, see [world.md](world.md)); "
        f"{draws} draws, 95 % intervals, seed 0. Bold: on the Pareto front of the point estimates. Points on the front "
        "whose intervals overlap are not told apart by these data. Intervals of a mean over tasks are the mean of "
        "their ends, so rather too wide. Lambda was chosen on held-out pairs; no text of the suite took part.\n\n"
        + table(head, rows)
        + failed
        + "\n![Pareto front](debias/front.svg)\n\n"
        "### Queries that name the attribute\n\n"
        "With `--bypass` a query is held against a band that neutral prompts fill along the attribute; far outside it "
        f"the query keeps its vector. On words that the band was not fitted on: {gate.described_errors()}.\n"
    )


def read_classes(data: Path) -> tuple[np.ndarray, list[str], int]:
    folder = data / "clip-text-class-embeddings"
    lvis = [e if isinstance(e, str) else e["name"] for e in json.loads((folder / "names_lvis.json").read_text())]
    oid = [e if isinstance(e, str) else e["name"] for e in json.loads((folder / "names_oid.json").read_text())]
    with open(folder / "Objects365_names_fix.csv", newline="", encoding="utf-8") as file:
        o365 = [row[2] for row in csv.reader(file)]
    files = ("oid_clip_a+cname", "lvis_v1_clip_a+cname", "o365_clip_a+cnamefix", "coco_clip_a+cname")
    arrays = [np.load(folder / f"{name}.npy", allow_pickle=False).astype(np.float64) for name in files]
    coco = [f"COCO class {n + 1}" for n in range(len(arrays[3]))]
    vectors = np.concatenate(arrays)
    names = [*oid, *lvis, *o365, *coco]
    assert len(names) == len(vectors)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), names, len(vectors)


def classes(data: Path) -> str:
    """Fit gender on Man and Woman, judge by Boy and Girl: the most gendered classes and the geometry of all."""
    vectors, names, n = read_classes(data)
    row = {name: names.index(name) for name in ("Man", "Woman", "Boy", "Girl")}
    man, woman, boy, girl = (vectors[[row[name]]] for name in ("Man", "Woman", "Boy", "Girl"))
    labels: list[str | None] = [None] * n
    labels[row["Man"]], labels[row["Woman"]] = "male", "female"
    pair, two = np.concatenate([man, woman]), ["male", "female"]
    person = [i for i, name in enumerate(names) if name.lower() in NAMED]
    others = np.setdiff1d(np.arange(n), person)
    operators: dict[str, Any] = {
        "as it is": None,
        "orthogonal, span": OrthogonalProjection().fit(pair),
        "orthogonal, pairs": OrthogonalProjection(subspace="pairs").fit(pair),
        "calibrated, lambda 1000": CalibratedProjection(subspace="centred").fit(np.concatenate([pair]), man, woman),
        "mean-difference": MeanDifference().fit(pair, two),
        "leace, covariance of all classes": Leace().fit(vectors, labels),
        "circle": CircleMethod().fit(pair, two),
        "equalised": Equalisation().fit(pair, two),
        "random": random_projection(vectors.shape[1], 1, 0),
    }
    lines = []
    leans = {}
    upper = np.triu_indices(len(others), 1)
    before = (vectors[others] @ vectors[others].T)[upper]
    for name, operator in operators.items():
        after = vectors if operator is None else operator(vectors)
        length = np.linalg.norm(after, axis=1, keepdims=True)
        unit = after / np.where(length > 0, length, 1.0)
        lean = (unit @ (girl - boy).T)[:, 0]
        leans[name] = lean
        geometry = np.corrcoef(before, (unit[others] @ unit[others].T)[upper])[0, 1]
        held = float(unit[row["Boy"]] @ unit[row["Girl"]])
        lines.append(
            [name, f"{np.abs(lean[others]).mean():.4f}", f"{lean[others].std():.4f}", f"{held:.3f}",
             f"{length[others].mean():.3f}", f"{geometry:.4f}"]
        )  # fmt: skip
    order = np.argsort(leans["as it is"][others])
    shown = [*others[order[:SHOWN]], *others[order[::-1][:SHOWN]]]
    kept = ("as it is", "orthogonal, pairs", "leace, covariance of all classes", "circle")
    most = table(["class", *kept], [[names[i], *(f"{leans[name][i]:+.3f}" for name in kept)] for i in shown])
    return (
        "## Real CLIP text vectors\n\n"
        f"CLIP ViT-B/32 text vectors of {n} classes of four detection datasets (Apache-2.0). Gender is fitted on Man "
        "and Woman and judged by the pair it has not seen: the lean of a class is its cosine with Girl minus that with "
        f"Boy. Geometry is the correlation of the cosines between the {len(others)} classes that name no gender with "
        "what they were. Of a class that leans, no method here knows whether it should. "
        "Imputation is not in the table: two labelled vectors grow no forest.\n\n"
        + table(
            ["method", "mean size of lean", "spread of lean", "cosine of Boy and Girl", "norm kept", "geometry"], lines
        )
        + "\nThe classes that leaned most to Boy, then those to Girl (names that recur are of different datasets):\n\n"
        + most
    )


def named(codes: list[Any]) -> list[str]:
    return [("land", "water")[int(code)] for code in codes]


def robustness(data: Path) -> str:
    """Stored predictions of Waterbirds models by group, with intervals."""
    folder = data / "group-robustness-predictions"
    rows = []
    for method in ("resnet", "jtt", "disent", "debiasify"):
        stored = read_table(folder / f"{method}_waterbirds_worst_group_results.csv.gz")
        birds, guessed = ([f"{name}bird" for name in named(stored[column])] for column in ("y_true", "y_pred"))
        table_of = {"bird": birds, "y_pred": guessed, "place": named(stored["attr_true"])}
        found = audit(predictions=table_of, truth="bird", seed=0)
        overall = found.one(metric="accuracy", groups="(all)")
        worst, gap = (
            found.one(metric=name, attribute="bird & place") for name in ("worst_group_accuracy", "accuracy_gap")
        )
        cells = [f"{v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for v in (overall, worst, gap)]
        rows.append([method, *cells, f"{overall.n}, {worst.n} in {worst.groups}"])
    return (
        "## Group robustness\n\n"
        "Stored predictions of four trained classifiers on Waterbirds (MIT), the selection by worst group, through the "
        "same report that serves zero-shot classes (`fairvl audit --predictions`). These are trained methods, shown "
        "for their layout, not peers of the table above. Where a folder of Waterbirds or CelebA is at hand, "
        "`fairvl audit -e ENCODER -d waterbirds:DIR --suite waterbirds --operator OPERATOR` gives the same rows for "
        "zero-shot classes before and after a repair, and the average adjusted to the training counts of that folder, "
        "which it names.\n\n"
        + table(["classifier", "accuracy", "worst group", "best minus worst", "n, and of the worst group"], rows)
    )


if __name__ == "__main__":
    main()
