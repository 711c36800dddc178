"""Classifiers of the world's faces at a planted correlation, with and without counterfactuals.

    python train/world_classifiers.py --protected skin --label glasses --n 600 --seeds 3 --out FOLDER
    python train/world_classifiers.py --protected age_group --label smile --paths paths.safetensors --out FOLDER

Edits are made by the world's diffusion autoencoder: along learned paths where a file is named, else along the
difference of class means in its codes. Judge a chooses each strength, judge b accepts. Prints every arm.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import fairvl
from fairvl.repair.classifier import train_classifier
from fairvl.repair.editing.augment import Augmentation, augment
from fairvl.repair.editing.diffae.editor import load_world_editor
from fairvl.repair.editing.gate import Gate, Thresholds
from fairvl.repair.editing.judges import Judge
from fairvl.repair.editing.paths import PathModel
from fairvl.repair.editing.plan import Plan
from fairvl.repair.editing.seam import check_strength
from fairvl.repair.editing.strength import AdaptiveStrength
from fairvl.sources.world import WorldSpec
from fairvl.sources.world.face_judges import CLASSES, FaceJudge
from fairvl.sources.world.faces import faces
from fairvl.sources.world.spec import Plant
from fairvl.sources.world.words import ATTRIBUTES

NEGATIVE = ("no glasses",)  # values that the dipole of a learned path has at its negative pole
METRICS = (
    "accuracy", "equalized_odds_difference_mean", "worst_label_group_accuracy", "accuracy_difference",
    "counterfactual_flip_rate",
)  # fmt: skip


class ClassMeans:
    """The linear baseline: along the difference of two classes' mean codes, in z-normalised units."""

    def __init__(self, attribute: str, codes: np.ndarray, positive: np.ndarray) -> None:
        self.attribute = attribute
        self.mean, self.std = codes.mean(axis=0), codes.std(axis=0)
        scores = (codes - self.mean) / self.std
        self.way = scores[positive].mean(axis=0) - scores[~positive].mean(axis=0)
        self.way /= np.linalg.norm(self.way)
        self.fingerprint = fairvl.__version__ + self.way.tobytes().hex()[:32]

    def __call__(self, codes: np.ndarray, strength: Any) -> np.ndarray:
        lengths = check_strength(strength, len(codes))
        return (codes + lengths[:, None] * self.way * self.std).astype(np.float32)


def written(folder: Path, spec: WorldSpec, n: int, seed: int, split: str) -> str:
    """Faces on disk with their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    world = faces(spec, n, seed, split=split)
    names = [*CLASSES]
    lines = [",".join(["file", *names])]
    for i, image in enumerate(world.images):
        Image.fromarray(image).save(folder / f"{i:05d}.png")
        lines.append(",".join([f"{i:05d}.png", *(str(world.truth[name][i]) for name in names)]))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"folder:{folder}?metadata=labels.csv"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in (("n", 600), ("test", 1000), ("seeds", 3), ("steps", 250), ("pairs", 100)):
        options.add_argument(f"--{name}", type=int, default=value)
    options.add_argument("--protected", default="skin")
    options.add_argument("--label", default="glasses")
    options.add_argument("--correlation", type=float, default=0.9)
    options.add_argument("--paths", type=Path)
    options.add_argument("--sampling", type=int, default=10, help="Sampling steps of the editor.")
    options.add_argument("--maximum", type=float, default=8.0, help="Largest strength.")
    options.add_argument("--no-aggravate", action="store_true")
    options.add_argument("--out", type=Path, required=True)
    args = options.parse_args()
    began = time.perf_counter()
    low, high = ATTRIBUTES[args.protected]
    first, second = ATTRIBUTES[args.label]
    plant = Plant(args.protected, args.label, 2 * args.correlation - 1, {low: (first,), high: (second,)})
    real = written(args.out / "real", WorldSpec(plants=(plant,)), args.n, 11, "train")
    test = written(args.out / "test", WorldSpec(), args.test, 12, "test")
    pool = written(args.out / "pool", WorldSpec(), 4 * args.n, 13, "validation")
    editor = load_world_editor(steps=args.sampling)
    if args.paths:
        path: Any = PathModel.load(args.paths).path(args.protected)
    else:
        labelled = faces(WorldSpec(), 400, 14, split="train")
        path = ClassMeans(args.protected, editor.encode(list(labelled.images)).codes,
                          labelled.truth[args.protected] == high)  # fmt: skip
    judges = [Judge(judge.name, judge.classes, judge) for judge in (FaceJudge("a"), FaceJudge("b"))]
    checked = faces(WorldSpec(), 1000, 15, split="judge")
    judges = [judge.measured(checked.images, checked.truth) for judge in judges]
    gate = Gate(judges, thresholds=Thresholds(structure=0.2))
    sign = -1 if args.paths is not None and high in NEGATIVE else 1
    settings: dict[str, Any] = {
        "changes": {high: (path, sign), low: (path, -sign)}, "block": 64, "retries": 1,
        "strength": AdaptiveStrength(start=2.0, maximum=args.maximum, bisections=1, margin=0.6),
    }  # fmt: skip

    def made(mode: Any, source: Any, name: str, **more: Any) -> Augmentation:
        plan = mode if isinstance(mode, Plan) else Plan.from_dataset(
            fairvl.load_dataset(real), mode, label=args.label, attribute=args.protected
        )  # fmt: skip
        done = augment(real, editor, plan, gate, args.out / name, pool=source, allow_short=True, **settings, **more)
        for one in done.requests:
            share = f"{one['yield']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
            way = f"{one['label']}, {one['source']} -> {one['to']}"
            print(f"{name}: {way}: {one['accepted']} of {one['wanted']}, yield {share} {one['reasons']}", flush=True)
        return done

    balanced = made("balance", None, "balanced", variants=2)
    worse = None if args.no_aggravate else made("aggravate", pool, "aggravated", variants=2)
    counts = {(y, a): 0 if a == high else args.pairs for y in (first, second) for a in (low, high)}
    wanted = {(y, high): args.pairs // 2 for y in (first, second)}
    twins = made(Plan.from_counts(counts, wanted, label=args.label, attribute=args.protected), test, "pairs",
                 originals="none")  # fmt: skip
    found = train_classifier(
        real, label=args.label, attribute=args.protected, test=test, augmented=balanced, aggravated=worse, pairs=twins,
        backbone="small", steps=args.steps, batch_size=64, lr=3e-3, seeds=args.seeds, out=args.out / "runs",
    )  # fmt: skip
    for metric in METRICS:
        print(metric)
        for arm in found.settings["arms"]:
            level = found.one(metric=metric, training=arm, arm="")
            change = [row for row in found.where(metric=metric, arm="difference", compared_with="baseline")
                      if row.extra["training"] == arm]  # fmt: skip
            told = f"  minus baseline {change[0].value:+.4f} [{change[0].low}, {change[0].high}]" if change else ""
            print(f"  {arm:12s} {level.value:.4f} [{level.low}, {level.high}]{told}")
    print(f"n={args.test} test faces, {args.seeds} seeds, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
