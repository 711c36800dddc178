"""Learn the world's paths of age, skin tone and glasses, and measure them on held-out faces.

    python train/world_diffae_paths.py --fields linear signed elliptic --out FOLDER
    python train/world_diffae_paths.py --measure FOLDER --images 120 --docs docs/editing

world:clip supervises: it saw scenes, never faces or decoded pictures. Judge a chooses each strength on one half of
the faces; judge b scores on the other half. Both know the drawing code's truth, from pictures of their own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from world_diffae_quality import write_sheet

from fairvl.repair.editing.diffae.editor import DiffAE
from fairvl.repair.editing.path_training import PathRecipe
from fairvl.repair.editing.paths import PathModel
from fairvl.repair.editing.scoring import EditScore, choose_strength, edit_curve, reversal_error
from fairvl.repair.editing.seam import Dipole
from fairvl.sources.encoders.names import load_encoder
from fairvl.sources.world import Portraits, WorldSpec
from fairvl.sources.world.face_judges import FOLDER, FaceJudge
from fairvl.sources.world.faces import FaceEncoder, faces
from fairvl.sources.world.words import ATTRIBUTES

PEOPLE = ("person", "man", "woman")
DIPOLES = (
    Dipole(
        [f"a photo of an old {who}" for who in PEOPLE], [f"a photo of a young {who}" for who in PEOPLE], "age_group"
    ),
    Dipole([f"a {who} with dark skin" for who in PEOPLE], [f"a {who} with light skin" for who in PEOPLE], "skin"),
    Dipole([f"a {who} wearing glasses" for who in PEOPLE], [f"a {who} without glasses" for who in PEOPLE], "glasses"),
)
POLES = {"age_group": ("old", "young"), "skin": ("dark", "light"), "glasses": ("glasses", "no glasses")}
KEEP = (
    ("a photo of a woman", "a photo of a man"),
    ("a person with long hair", "a person with short hair"),
    ("a person smiling", "a person not smiling"),
)
STRENGTHS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
RECIPE = PathRecipe(iterations=80, replicas=4, steps=6, grad_last=4, lr=0.01, labelled=320, spread=0.2)
COMPARED = ("age_group", "skin", "glasses", "gender", "smile", "hair_length")


def select(world: Portraits, attribute: str, value: str, n: int, skip: int) -> np.ndarray:
    """Rows that show the other value, the first `n` after `skip`."""
    other = next(v for v in ATTRIBUTES[attribute] if v != value)
    return np.flatnonzero(world.truth[attribute] == other)[skip : skip + n]


def row(score: EditScore) -> dict[str, Any]:
    def short(e: Any) -> list[float]:
        return [round(e.value, 3), round(e.low, 3), round(e.high, 3)]

    kept = {name: short(e) for name, e in score.kept.items()}
    return {
        "strength": score.strength,
        "flip": short(score.flip),
        "kept": kept,
        "least_kept": round(score.least_kept, 3),
    }


def measure(editor: DiffAE, paths: PathModel, n: int, world: Portraits, lengths: Sequence[float]) -> dict[str, Any]:
    judges = {name: FaceJudge(name) for name in ("a", "b")}
    found: dict[str, Any] = {}
    for attribute in paths.attributes:
        for sign, to in zip((1, -1), POLES[attribute], strict=True):
            curves: dict[str, Any] = {}
            for part, (name, judge) in enumerate(judges.items()):
                rows = select(world, attribute, to, n // 2, part * (n // 2))
                state = editor.encode(world.images[rows])
                before = {key: world.truth[key][rows] for key in COMPARED}
                strengths = [sign * s for s in lengths]
                curves[name] = edit_curve(editor, state, paths.path(attribute), to, strengths, judge.read, before)
            chosen = choose_strength(curves["a"])
            scored = next(score for score in curves["b"] if score.strength == chosen.strength)
            back = reversal_error(paths.path(attribute), state.codes, chosen.strength, paths.stats)
            found[f"{attribute} to {to}"] = {
                "chosen by a": row(chosen), "scored by b": row(scored), "curve of b": [row(s) for s in curves["b"]],
                "n": len(rows), "way back, worst share of the way": round(float(back.max()), 4),
            }  # fmt: skip
            print(
                paths.field, attribute, "to", to, json.dumps(found[f"{attribute} to {to}"]["scored by b"]), flush=True
            )
            for score in curves["b"]:
                print(
                    "   ",
                    score.strength,
                    round(score.flip.value, 2),
                    {k: round(e.value, 2) for k, e in score.kept.items()},
                    flush=True,
                )
    return found


def sheets(editor: DiffAE, paths: PathModel, found: dict[str, Any], world: Portraits, out: Path) -> None:
    """For each edit: eight pictures, then the same at half, all and one and a half of the chosen strength."""
    for attribute in paths.attributes:
        rows_of_page = []
        for to in POLES[attribute]:
            strength = found[f"{attribute} to {to}"]["scored by b"]["strength"]
            rows = select(world, attribute, to, 16, 0)
            state = editor.encode(world.images[rows])
            rows_of_page.append(world.images[rows])
            rows_of_page += [
                editor.decode(editor.edit(state, paths.path(attribute), strength * part)) for part in (0.5, 1, 1.5)
            ]
        write_sheet(rows_of_page, out / f"{attribute}-{paths.field}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=FOLDER)
    parser.add_argument("--fields", nargs="+", default=["linear", "signed", "elliptic"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--iterations", type=int, default=RECIPE.iterations)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    editor = DiffAE.load(arguments.model, steps=arguments.steps)
    if arguments.out:
        supervisor = FaceEncoder(load_encoder("world:clip"))
        state = editor.encode(faces(WorldSpec(), RECIPE.labelled, 31, split="train").images)
        recipe = PathRecipe(**{**RECIPE.__dict__, "iterations": arguments.iterations})
        for field in arguments.fields:
            paths = PathModel.fit(
                editor,
                supervisor,
                DIPOLES,
                field=field,
                keep=KEEP,
                recipe=recipe,
                codes=state.codes,
                noise=state.noise,
                seed=arguments.seed,
            )
            paths.save(arguments.out / f"paths-{field}.safetensors")
            print(field, paths.notes.get("losses"), flush=True)
    if arguments.measure:
        world = faces(WorldSpec(), 4 * arguments.images, 3, split="test")
        found = {}
        for field in arguments.fields:
            paths = PathModel.load(arguments.measure / f"paths-{field}.safetensors")
            found[field] = measure(editor, paths, arguments.images, world, arguments.strengths)
            if arguments.docs:
                sheets(editor, paths, found[field], world, arguments.docs)
        (arguments.docs or arguments.measure).mkdir(parents=True, exist_ok=True)
        ((arguments.docs or arguments.measure) / "paths.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
