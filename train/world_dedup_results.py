"""What the models of `world_dedup.py` say, as tables: one row per model, one per keep list, one per comparison.

    python train/world_dedup_results.py --work build/world-dedup --docs docs/world_dedup

Every seed that is complete in the work folder is used; tables are written whole. Test pictures are balanced in skin
tone.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from world_dedup import TEST_PICTURES

from fairvl.atomic import write_atomic
from fairvl.measure.disparity import recall_disparity
from fairvl.measure.ranking import max_skew, min_skew, ndkl
from fairvl.measure.retrieval import hits_at_k
from fairvl.measure.zeroshot import prototypes
from fairvl.reproduce.demos.pruned_models import scene_captions, test_world, texts
from fairvl.reproduce.demos.pruned_world import ARMS
from fairvl.sources.prompts import load_bank
from fairvl.sources.world.words import ATTRIBUTES
from fairvl.stats.multiplicity import holm
from fairvl.stats.paired import paired_equivalence, paired_test

PERSON_TASKS = ("age_group", "hair_length", "glasses", "smile")
K = TEST_PICTURES // 10
GALLERY = 64
MARGIN = 0.015
UTILITY = ("place top-1", "scene top-1", "scene top-5", "thing top-1", "image to text R@1", "image to text R@5",
           "text to image R@1", "text to image R@5")  # fmt: skip
SKEW = ("MaxSkew", "MinSkew", "NDKL")
DISPARITY = ("disparity, mean over classes", "disparity, worst class")
Row = dict[str, Any]


class Asked:
    """The test world's truth and the rows of every text."""

    def __init__(self) -> None:
        _, self.truth = test_world(TEST_PICTURES)
        self.place = {text: i for i, text in enumerate(texts())}
        self.skin = np.array(ATTRIBUTES["skin"])[self.truth["skin"]]
        captions = scene_captions()
        self.captions = [self.place[text] for text, _ in captions]
        self.scenes = np.array([code for _, code in captions])

    def classes(self, vectors: NDArray[np.float32], bank: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Prototypes of a bank's sets; prompts with words that the world does not have are left out."""
        loaded = load_bank(bank)
        rows = [[self.place[t] for t in loaded.prompts(n).texts if t in self.place] for n in loaded.sets]
        codes = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
        return prototypes(vectors[np.concatenate(rows)], codes, len(rows)), tuple(loaded.sets)

    def scores_of(self, model: Mapping[str, NDArray[np.float32]], name: str) -> NDArray[np.float32]:
        """Cosines [n, values], in the order of the attribute's codes."""
        found, names = self.classes(model["texts"], f"zero-shot-{name}")
        order = [names.index(value) for value in ATTRIBUTES[name]]
        return model["images"] @ found[order].T


def measured(asked: Asked, model: Mapping[str, NDArray[np.float32]]) -> Row:
    """Every number of one model."""
    row: Row = {}
    truth, images = asked.truth, model["images"]
    captions = model["texts"][asked.captions]
    scene = 2 * truth["place"] + truth["thing"]
    by_scene = images @ prototypes(captions, asked.scenes, 8).T
    kinds = images @ prototypes(captions, asked.scenes % 2, 2).T
    row["place top-1"] = hits_at_k(asked.scores_of(model, "place"), truth["place"], k=1).mean()
    row["thing top-1"] = hits_at_k(kinds, truth["thing"], k=1).mean()
    cosines = images @ captions.T
    right = scene[:, None] == asked.scenes[None]
    for k in (1, 5):
        row[f"scene top-{k}"] = hits_at_k(by_scene, scene, k=k).mean()
        row[f"image to text R@{k}"] = hits_at_k(cosines, right, k=k).mean()
        galleries = [slice(i, i + GALLERY) for i in range(0, TEST_PICTURES, GALLERY)]
        hits = [hits_at_k(np.ascontiguousarray(cosines[g].T), right[g].T, k=k) for g in galleries]
        row[f"text to image R@{k}"] = np.nanmean(np.concatenate(hits))
    gaps: list[float] = []
    for name in PERSON_TASKS:
        values = np.array(ATTRIBUTES[name])
        seen = values[asked.scores_of(model, name).argmax(axis=1)]
        row[f"{name} top-1"] = float((seen == values[truth[name]]).mean())
        found = recall_disparity(values[truth[name]], seen, asked.skin, n_boot=0)
        for label, estimate in found.by_class.items():
            row[f"gap {label}"] = estimate.value
            gaps.append(estimate.value)
    row[DISPARITY[0]], row[DISPARITY[1]] = float(np.mean(gaps)), float(np.max(gaps))
    row["skin top-1"] = hits_at_k(asked.scores_of(model, "skin"), truth["skin"], k=1).mean()
    queries, _ = asked.classes(model["texts"], "retrieval-29")
    ranked = queries @ images.T
    row["MaxSkew"] = np.mean([max_skew(s, asked.skin, k=K) for s in ranked])
    row["MinSkew"] = -np.mean([min_skew(s, asked.skin, k=K, floor=1 / K) for s in ranked])
    row["NDKL"] = np.mean([ndkl(s, asked.skin) for s in ranked])
    row["share of dark in the first tenth"] = np.mean(
        [(asked.skin[np.argsort(-s, kind="stable")[:K]] == "dark").mean() for s in ranked]
    )
    return {name: round(float(value), 6) for name, value in row.items()}


def kept(world: Mapping[str, NDArray[Any]], seed: int) -> list[Row]:
    """What every keep list is made of."""
    dark, copies = world["skin"] == ATTRIBUTES["skin"].index("dark"), world["copies"]
    rows = []
    for arm in ARMS:
        keep = world[f"keep-{arm}"]
        rows.append(
            {
                "seed": seed, "arm": arm, "pictures": int(keep.sum()), "share_dark": round(float(dark[keep].mean()), 6),
                "kept_of_dark": round(float(keep[dark].mean()), 6),
                "kept_of_light": round(float(keep[~dark].mean()), 6),
                "copies": round(float(copies[keep].mean()), 6),
                "attainable": round(float((dark & ~copies).sum() / max(keep.sum(), 1)), 6),
            }
        )  # fmt: skip
    return rows


def compared(models: Sequence[Row]) -> list[Row]:
    """Equivalence of utilities over subsets of one size, and paired tests of fairness, Holm within each family."""
    by = {(row["seed"], row["arm"]): row for row in models}
    seeds = sorted({row["seed"] for row in models})
    rows: list[Row] = []
    for one, two in itertools.combinations(("random", "semdedup", "fairdedup", "fair", "full"), 2):
        for name in UTILITY:
            found = paired_equivalence([by[s, two][name] - by[s, one][name] for s in seeds], margin=MARGIN)
            rows.append(
                {"family": "utility", "metric": name, "arm": two, "against": one, "value": found.value,
                 "low": found.low, "high": found.high, "level": 0.9, "p": found.p, "equivalent": found.equivalent,
                 "n": found.n}
            )  # fmt: skip
    for family, names in (("skew", SKEW), ("disparity", DISPARITY)):
        for against in ("semdedup", "fairdedup", "random", "full"):
            tests = [paired_test([by[s, "fair"][name] - by[s, against][name] for s in seeds]) for name in names]
            adjusted = holm([test.p for test in tests])
            rows += [
                {"family": family, "metric": name, "arm": "fair", "against": against, "value": test.value,
                 "low": test.low, "high": test.high, "level": 0.95, "p": test.p, "p_holm": p, "p_exact": test.p_exact,
                 "n": test.n}
                for name, test, p in zip(names, tests, adjusted.tolist(), strict=True)
            ]  # fmt: skip
    return [{k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def write(path: Path, rows: Iterable[Row]) -> None:
    rows = list(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(k for row in rows for k in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, out.getvalue())


def complete(work: Path) -> list[int]:
    """Seeds with a model of every arm."""
    found = [int(folder.name.removeprefix("seed-")) for folder in work.glob("seed-*")]
    return sorted(s for s in found if all((work / f"seed-{s}" / f"vectors-{s}-{arm}.npz").exists() for arm in ARMS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--docs", type=Path, default=Path("docs/world_dedup"))
    arguments = parser.parse_args()
    asked, models, keeps = Asked(), [], []
    for seed in complete(arguments.work):
        folder = arguments.work / f"seed-{seed}"
        with np.load(folder / f"world-{seed}.npz") as file:
            keeps += kept({name: file[name] for name in file.files if name != "images"}, seed)
        for arm in ARMS:
            with np.load(folder / f"vectors-{seed}-{arm}.npz") as file:
                models.append({"seed": seed, "arm": arm, **measured(asked, {n: file[n] for n in file.files})})
        print("seed", seed, flush=True)
    arguments.docs.mkdir(parents=True, exist_ok=True)
    write(arguments.docs / "models.csv", models)
    write(arguments.docs / "kept.csv", keeps)
    if len({row["seed"] for row in models}) > 1:
        write(arguments.docs / "comparisons.csv", compared(models))


if __name__ == "__main__":
    main()
