"""Counterfactual faces: a biased set, verified edits of it, and classifiers trained on them and on controls."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from ...atomic import write_atomic
from ...findings import Findings
from ...repair.classifier import train_classifier
from ...repair.editing.augment import Augmentation, augment
from ...repair.editing.gate import Gate, Thresholds
from ...repair.editing.naming import load_editor, read_judge, shipped_paths
from ...repair.editing.paths import PathModel
from ...repair.editing.plan import Plan
from ...repair.editing.strength import AdaptiveStrength
from ...sources.datasets import load_dataset
from ...sources.encoders.seam import need
from ...sources.world import Plant, WorldSpec
from ...sources.world.face_judges import CLASSES
from ...sources.world.faces import faces
from ...sources.world.words import ATTRIBUTES

PATHS = "paths-ratio"
"""Of the shipped paths beside the world's autoencoder; their positive poles are old, dark, and glasses."""
ATTRIBUTE, LABEL = "skin", "hair_length"
POSITIVE = {"age_group": "old", "skin": "dark", "glasses": "glasses"}
AGREEMENT = 0.9


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images and trainings; the defaults take some minutes on two cores.

    `pool` counts further faces that the aggravated arm takes its sources from. Without any it edits its own minority,
    each face several times, so that it shows nothing new and moves the way its name says; further faces teach the
    label too.
    """

    real: int = 300
    pool: int = 0
    test: int = 800
    pairs: int = 40  # of each label
    sampling: int = 10
    aggravation: float = 1.0
    reach: float = 2.0
    steps: int = 120
    seeds: int = 3
    draws: int = 1000


SIZES = Sizes()


def augment_demo(out: Path | None, *, seed: int) -> Findings:
    """Faces whose skin tone and hair length go together, balanced by verified edits, and classifiers trained on them.

    Images, edits with their provenance, and every classifier stay in `out` when given; killed, the same call goes on.
    """
    if out is not None:
        return compare_arms(out, seed, SIZES)
    with TemporaryDirectory() as folder:
        return compare_arms(Path(folder), seed, SIZES)


def compare_arms(
    out: Path, seed: int, sizes: Sizes = SIZES, label: str = LABEL, attribute: str = ATTRIBUTE
) -> Findings:
    """The whole experiment for a label and a protected attribute of the world's faces; see `augment_demo`."""
    torch = need("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks: more threads are slower, and so the numbers are those of any machine
    try:
        return _measured(out, seed, sizes, label, attribute)
    finally:
        torch.set_num_threads(threads)


def _measured(out: Path, seed: int, sizes: Sizes, label: str, attribute: str) -> Findings:
    low, high = ATTRIBUTES[attribute]
    first, second = ATTRIBUTES[label]
    biased = WorldSpec(plants=(Plant(attribute, label, 2 * AGREEMENT - 1, {low: (first,), high: (second,)}),))
    real = _written(out / "real", biased, sizes.real, 11 + 10 * seed, "train")
    test = _written(out / "test", WorldSpec(), sizes.test, 12 + 10 * seed, "test")
    pool = _written(out / "pool", WorldSpec(), sizes.pool, 13 + 10 * seed, "validation") if sizes.pool else None
    making = _Making(sizes, label, attribute, seed)
    counted = load_dataset(real)
    balance = Plan.from_dataset(counted, label=label, attribute=attribute)
    worse = Plan.from_dataset(counted, "aggravate", label=label, attribute=attribute, factor=sizes.aggravation)
    names = {(y, a): sizes.pairs for y in (first, second) for a in (low, high)}
    wanted = {cell: 2 * n if cell[1] == high else n for cell, n in names.items()}
    twins = Plan.from_counts(names, wanted, label=label, attribute=attribute)
    found = train_classifier(
        real, label=label, attribute=attribute, test=test,
        augmented=making(balance, real, out / "augmented", variants=2),
        aggravated=making(worse, real, out / "aggravated", pool=pool, variants=2 if pool else 16),
        pairs=making(twins, test, out / "pairs", originals="none"), out=out / "classifiers", backbone="small",
        steps=sizes.steps, batch_size=64, lr=3e-3, seeds=sizes.seeds, draws=sizes.draws, seed=seed,
    )  # fmt: skip
    return found.with_columns(
        dataset="world: aligned faces", model="small classifier of the demo", suite="demo augment"
    )


class _Making:
    """What all plans share: the editor, the paths, the gate."""

    def __init__(self, sizes: Sizes, label: str, attribute: str, seed: int) -> None:
        self.seed = seed
        margin = 0.0 if sizes.reach > 1 else 0.6  # mirrored at the border, or stopped well past it
        self.strength = AdaptiveStrength(start=2.0, maximum=8.0, bisections=1, margin=margin, reach=sizes.reach)
        self.editor = load_editor(f"world:diffae?steps={sizes.sampling}&refinements=0&extrapolate=true")
        path = PathModel.load(shipped_paths(PATHS)).path(attribute)
        low, high = ATTRIBUTES[attribute]
        sign = 1 if POSITIVE[attribute] == high else -1
        self.changes: Mapping[str, Any] = {high: (path, sign), low: (path, -sign)}
        judges = [read_judge(f"world:face-judge-{name}") for name in ("a", "b")]
        self.gate = Gate(judges, thresholds=Thresholds(structure=0.2))

    def __call__(self, plan: Plan, source: str, out: Path, **options: Any) -> Augmentation:
        return augment(
            source, self.editor, plan, self.gate, out, changes=self.changes, block=64, retries=1, allow_short=True,
            strength=self.strength, seed=self.seed, **options,
        )  # fmt: skip


def _written(folder: Path, spec: WorldSpec, n: int, seed: int, split: str) -> str:
    """Faces as PNG files with a table of their attributes; the name of the dataset."""
    world = faces(spec, n, seed, split=split)
    lines = [",".join(["file", *CLASSES])]
    for i, image in enumerate(world.images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        write_atomic(folder / f"{i:05d}.png", file.getvalue())
        lines.append(",".join([f"{i:05d}.png", *(str(world.truth[name][i]) for name in CLASSES)]))
    write_atomic(folder / "labels.csv", "\n".join(lines) + "\n")
    return f"folder:{folder}?metadata=labels.csv"
