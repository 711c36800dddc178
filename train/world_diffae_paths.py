"""Learn the world's paths of age, skin tone and glasses, and measure them on held-out faces.

    python train/world_diffae_paths.py --out FOLDER
    python train/world_diffae_paths.py --measure FOLDER --images 300 --docs docs/editing

world:face-clip supervises and never judges. Judge a chooses each strength on one half of the faces; judge b scores on
the other half. Both know the drawing code's truth, from pictures of their own. Without --out and --measure, nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from world_diffae_quality import write_sheet

from fairvl.repair.editing.diffae.editor import DiffAE, load_world_editor
from fairvl.repair.editing.path_training import PathRecipe
from fairvl.repair.editing.paths import PathModel
from fairvl.repair.editing.scoring import EditScore, at_flip_rate, choose_strength, edit_curve, reversal_error
from fairvl.repair.editing.seam import Dipole
from fairvl.sources.encoders.names import load_encoder
from fairvl.sources.world import Portraits, WorldSpec
from fairvl.sources.world.face_judges import CLASSES, FOLDER, FaceJudge
from fairvl.sources.world.faces import faces
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
STRENGTHS = (2.0, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0)
FIELDS = ("linear", "signed", "elliptic", "ratio")
RECIPES = {
    "linear": PathRecipe(labelled=768),
    "signed": PathRecipe(labelled=768, iterations=240, lr=0.02, pairs=12, spread=0.7),
    "elliptic": PathRecipe(labelled=768, iterations=240, lr=0.02, beta=0.5),
    "ratio": PathRecipe(labelled=768),
}
EQUAL = 0.9
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


def measure(editor: DiffAE, paths: PathModel, n: int, world: Portraits) -> dict[str, Any]:
    judges = {name: FaceJudge(name) for name in ("a", "b")}
    found: dict[str, Any] = {}
    for attribute in paths.attributes:
        for sign, to in zip((1, -1), POLES[attribute], strict=True):
            curves: dict[str, Any] = {}
            for part, (name, judge) in enumerate(judges.items()):
                rows = select(world, attribute, to, n // 2, part * (n // 2))
                state = editor.encode(world.images[rows])
                before = {key: world.truth[key][rows] for key in COMPARED}
                strengths = [sign * s for s in STRENGTHS]
                curves[name] = edit_curve(editor, state, paths.path(attribute), to, strengths, judge.read, before)
            chosen = choose_strength(curves["a"])
            scored = next(score for score in curves["b"] if score.strength == chosen.strength)
            equal = at_flip_rate(curves["b"], EQUAL)
            back = reversal_error(paths.path(attribute), state.codes, chosen.strength, paths.stats)
            found[f"{attribute} to {to}"] = {
                "n": len(rows), "chosen by a": row(chosen), "scored by b": row(scored),
                "shortest with equal flips": row(equal) if equal else None, "curve of b": [row(s) for s in curves["b"]],
                "way back": [round(float(np.quantile(back, q)), 4) for q in (0.5, 0.95, 1.0)],
            }  # fmt: skip
            print(paths.field, attribute, to, json.dumps(found[f"{attribute} to {to}"]["scored by b"]), flush=True)
    return found


def sheets(editor: DiffAE, paths: PathModel, found: dict[str, Any], world: Portraits, out: Path) -> None:
    """Per attribute and pole 12 faces and the 4 worst: redrawn, and edited at 0.5, 1 and 1.5 of the strength."""
    judge = FaceJudge("b")
    for attribute in paths.attributes:
        page = []
        for to in POLES[attribute]:
            strength, path = found[f"{attribute} to {to}"]["chosen by a"]["strength"], paths.path(attribute)
            rows = select(world, attribute, to, 100, 0)
            state = editor.encode(world.images[rows])
            made = editor.decode(editor.edit(state, path, strength))
            told, truth = judge(made), {name: world.truth[name][rows] for name in COMPARED}
            shares = [told[attribute][:, CLASSES[attribute].index(to)]]
            for name in set(COMPARED) - {attribute}:
                shares.append(told[name][np.arange(len(rows)), [CLASSES[name].index(str(v)) for v in truth[name]]])
            worst = np.argsort(np.min(shares, axis=0), kind="stable")[:4]
            shown = np.concatenate([np.arange(12), worst])
            page.append(editor.decode(state.take(shown)))
            page += [editor.decode(editor.edit(state.take(shown), path, strength * part)) for part in (0.5, 1, 1.5)]
        write_sheet(page, out / f"{attribute}-{paths.field}.png")


def share(values: list[float]) -> str:
    return f"{values[0]:.2f} ({values[1]:.2f}-{values[2]:.2f})"


def least(score: dict[str, Any]) -> str:
    name = min(score["kept"], key=lambda key: score["kept"][key][0])
    return f"{share(score['kept'][name])} {name}"


def page(found: dict[str, Any], steps: int) -> str:
    """The tables of docs/editing-paths.md."""
    n = next(iter(next(iter(found.values())).values()))["n"]
    text = (Path(__file__).parents[1] / "docs" / "editing" / "paths-head.md").read_text().replace("{n}", str(n))
    text = text.replace("{steps}", str(steps)).rstrip() + "\n\n## At the chosen strength\n\n"
    text += "| edit | field | strength | flip | least kept | way back, median / worst |\n|---|---|---|---|---|---|\n"
    for edit in next(iter(found.values())):
        for field, edits in found.items():
            one = edits[edit]
            score, back = one["scored by b"], one["way back"]
            text += f"| {edit} | {field} | {score['strength']:+g} | {share(score['flip'])} | {least(score)} "
            text += f"| {back[0]:.3f} / {back[2]:.3f} |\n"
    text += f"\n## At equal flips\n\nThe shortest strength at which judge b sees {EQUAL:.0%} or more flipped.\n\n"
    text += "| edit | field | strength | flip | least kept |\n|---|---|---|---|---|\n"
    for edit in next(iter(found.values())):
        for field, edits in found.items():
            score = edits[edit]["shortest with equal flips"]
            told = f"{score['strength']:+g} | {share(score['flip'])} | {least(score)}" if score else "never | | "
            text += f"| {edit} | {field} | {told} |\n"
    text += "\n## Flips against kept\n\nflip / least kept share, by strength.\n\n"
    text += "| edit | field | " + " | ".join(f"{s:g}" for s in STRENGTHS) + " |\n"
    text += "|---" * (2 + len(STRENGTHS)) + "|\n"
    for edit in next(iter(found.values())):
        for field, edits in found.items():
            points = [f"{one['flip'][0]:.2f} / {one['least_kept']:.2f}" for one in edits[edit]["curve of b"]]
            text += f"| {edit} | {field} | " + " | ".join(points) + " |\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", nargs="+", default=FIELDS, choices=FIELDS)
    parser.add_argument("--out", type=Path, help="Learn; the shipped files lie in " + FOLDER.name + ".")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", type=Path, metavar="FOLDER")
    parser.add_argument("--images", type=int, default=300, help="Per edit; half for either judge.")
    parser.add_argument("--steps", type=int, default=10, help="Of inversion and sampling, when measuring.")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs" / "editing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.out:
        editor = load_world_editor(steps=6, inversion=False)
        for field in arguments.fields:
            recipe = RECIPES[field]
            codes = editor.encode(faces(WorldSpec(), recipe.labelled, 31, split="train").images).codes
            paths = PathModel.fit(editor, load_encoder("world:face-clip"), DIPOLES, field=field, keep=KEEP,
                                  recipe=recipe, codes=codes, seed=arguments.seed)  # fmt: skip
            arguments.out.mkdir(parents=True, exist_ok=True)
            paths.save(arguments.out / f"paths-{field}.safetensors")
            print(field, paths.notes.get("losses"), flush=True)
    if arguments.measure:
        editor = load_world_editor(steps=arguments.steps)
        world = faces(WorldSpec(), 4 * arguments.images, 3, split="test")
        found = {}
        for field in arguments.fields:
            paths = PathModel.load(arguments.measure / f"paths-{field}.safetensors")
            found[field] = measure(editor, paths, arguments.images, world)
            sheets(editor, paths, found[field], world, arguments.docs)
        (arguments.docs / "paths.json").write_text(json.dumps(found, indent=1) + "\n")
        (arguments.docs.parent / "editing-paths.md").write_text(page(found, arguments.steps))


if __name__ == "__main__":
    main()
