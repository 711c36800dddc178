"""Learn paths of skin tone and gender on emoji people, and measure the edits of held-out drawings.

    FAIRVL_REALDATA=... python train/emoji_diffae_paths.py --models MODELS --docs docs/editing

`emoji_diffae.py` makes MODELS. Judge a chooses each strength on one half of the held-out concepts, judge b scores on
the other half. Every drawing has its true counterfactual, so an edit is also held against the drawing that it should
have become.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from emoji_clip import TONES
from emoji_people import GENDERS, Images, People, half, people
from emoji_people_readers import CLASSES, Supervisor, answers, load_judge, zero_shot
from numpy.typing import NDArray
from world_diffae_quality import mse, share, write_sheet

from fairvl.repair.editing.diffae.editor import DiffAE
from fairvl.repair.editing.fields import FIELDS
from fairvl.repair.editing.judges import Judge
from fairvl.repair.editing.path_training import PathRecipe
from fairvl.repair.editing.paths import Field, PathModel
from fairvl.repair.editing.scoring import EditScore, choose_strength, edit_curve, reversal_error
from fairvl.repair.editing.seam import Dipole, State
from fairvl.stats.bootstrap import interval, resample_counts
from fairvl.stats.estimate import Estimate

WHO = ("woman", "man", "person")
SKIN_AXIS, GENDER_AXIS = ("dark skin tone", "light skin tone"), ("woman", "man")
DIPOLES = (
    Dipole(
        [f"{who}: {tone} skin tone" for who in WHO for tone in ("medium-dark", "dark")],
        [f"{who}: {tone} skin tone" for who in WHO for tone in ("medium-light", "light")],
        "skin", (GENDER_AXIS,),
    ),
    Dipole(
        [f"woman: {tone} skin tone" for tone in TONES], [f"man: {tone} skin tone" for tone in TONES], "gender",
        (SKIN_AXIS,),
    ),
)  # fmt: skip
EDITS = (("skin", "dark", 1), ("skin", "light", -1), ("gender", "woman", 1), ("gender", "man", -1))
OPPOSITE = {"dark": "light", "light": "dark", "woman": "man", "man": "woman"}
TRUE_MEANS = "true class means"
STRENGTHS = (4.0, 6.0, 9.0)
STEPS = 10
HOW: dict[str, Any] = {"refinements": 0, "extrapolate": True, "precision": "bf16"}
RECIPE = PathRecipe(
    iterations=80, replicas=3, shift=(3.0, 6.0), steps=6, grad_last=4, lr=0.02, labelled=320, spread=0.3
)
Floats = NDArray[np.float64]
Row = dict[str, Any]


def fit(editor: DiffAE, train: People, models: Path, name: str, recipe: PathRecipe, seed: int) -> PathModel:
    """Learn the paths of a field on training drawings of a woman or a man, with their own noise, and write them."""
    known = train.take(np.isin(train.gender, GENDERS))
    rows = np.random.default_rng(seed).permutation(len(known))[: recipe.labelled]
    coarse = DiffAE(editor.parts, steps=recipe.steps, **HOW)
    state, supervisor = coarse.encode(known.images[rows]), Supervisor.load(models)
    paths = PathModel.fit(
        coarse, supervisor, DIPOLES, field=name, recipe=recipe, codes=state.codes,
        noise=state.noise, seed=seed,
    )  # fmt: skip
    paths.save(models / f"paths-{name}.safetensors")
    print(name, paths.notes.get("losses"), flush=True)
    return paths


def true_means(editor: DiffAE, train: People) -> PathModel:
    """Differences of the class means by the truth: no text and no encoder; what a linear path can do at best."""
    codes = editor.stats.normalise(DiffAE(editor.parts, inversion=False).encode(train.images).codes)
    laws = {}
    for attribute, to, _ in EDITS[::2]:
        values = train.truth[attribute]
        step = codes[values == to].mean(axis=0) - codes[values == OPPOSITE[to]].mean(axis=0)
        laws[attribute] = Field(np.zeros((0, editor.dim)), np.zeros(0), step / np.linalg.norm(step))
    return PathModel("linear", laws, editor.stats)


def reader(judge: Judge, held: People) -> Callable[[Images], dict[str, NDArray[np.str_]]]:
    """A judge's answers, and the concept of the held-out drawing that is nearest in pixels."""
    drawn = held.images.reshape(len(held), -1).astype(np.float32)

    def read(images: Images) -> dict[str, NDArray[np.str_]]:
        seen = images.reshape(len(images), -1).astype(np.float32)
        apart = (drawn * drawn).sum(1)[None] - 2 * seen @ drawn.T
        return {**answers(judge, images), "concept": held.concept[apart.argmin(axis=1)]}

    return read


def truth_of(held: People, rows: NDArray[np.int64]) -> dict[str, NDArray[np.str_]]:
    return {**{key: values[rows] for key, values in held.truth.items()}, "concept": held.concept[rows]}


def sources(held: People, attribute: str, to: str, second: bool) -> NDArray[np.int64]:
    """Rows of one half of the concepts that show the opposite value; of the first half every second one."""
    rows = np.flatnonzero((held.truth[attribute] == OPPOSITE[to]) & (half(held.concept) == second))
    return rows if second else rows[::2]


def apart(images: Images, others: Images) -> Floats:
    """Mean squared difference of each pair, pixels in [-1, 1]."""
    return np.asarray(np.square((images.astype(np.float64) - others) / 127.5).mean(axis=(1, 2, 3)))


def mean_of(values: Floats, concepts: NDArray[np.str_], seed: int = 0, draws: int = 2000) -> list[float]:
    """A mean with its 95 % percentile interval; whole concepts are drawn."""
    counts = resample_counts(concepts, draws, np.random.default_rng(seed))
    replicates = counts @ values / counts.sum(axis=1)
    low, high = interval(replicates, values.mean(), method="percentile", units=len(set(concepts)))
    return [round(float(v), 4) for v in (values.mean(), low, high)]


def towards(made: Images, plain: Images, wanted: Images, concepts: NDArray[np.str_]) -> Row:
    """Distances to the true counterfactual: of the edit, of the unedited reconstruction, and the paired change."""
    edit, before = apart(made, wanted), apart(plain, wanted)
    return {
        "edit": mean_of(edit, concepts), "unedited": mean_of(before, concepts),
        "change": mean_of(edit - before, concepts), "share nearer": share(edit < before),
    }  # fmt: skip


def short(e: Estimate) -> list[float]:
    return [round(e.value, 3), round(e.low, 3), round(e.high, 3)]


def row(score: EditScore) -> Row:
    kept = {name: short(e) for name, e in score.kept.items()}
    return {"strength": score.strength, "flip": short(score.flip), "kept": kept}


def reconstruction(editor: DiffAE, train: People, held: People, state: State, judges: Mapping[str, Judge]) -> Row:
    """How near held-out drawings come back, and what judges read off them."""
    drawn = State(codes=state.codes, noise=editor.noise(len(held), 11), seeds=state.seeds)
    mean = np.broadcast_to(train.images.mean(axis=0).round().astype(np.uint8), held.images.shape)
    pictures = {"inverted": editor.decode(state), "random noise": editor.decode(drawn), "mean image": mean}
    found: Row = {
        "mse": {name: mean_of(apart(made, held.images), held.concept) for name, made in pictures.items()},
        "order holds for every concept": bool(
            all(
                mse(pictures["inverted"][rows], held.images[rows])
                < mse(pictures["random noise"][rows], held.images[rows])
                < mse(mean[rows], held.images[rows])
                for rows in (held.concept == concept for concept in sorted(set(held.concept)))
            )
        ),
    }
    shown = {"real drawings": held.images, "inverted": pictures["inverted"], "code alone": pictures["random noise"]}
    for name, judge in judges.items():
        found[f"judge {name}"] = {
            kind: {key: share(answers(judge, made)[key] == held.truth[key]) for key in CLASSES}
            for kind, made in shown.items()
        }
    return found


def measure(editor: DiffAE, paths: PathModel, held: People, state: State, plain: Images, judges: Mapping[str, Judge],
            lengths: Sequence[float]) -> Row:  # fmt: skip
    """Curves of both judges, the strength that a chose as b scores it, the way back, and the true counterfactuals."""
    found: Row = {}
    for attribute, to, sign in EDITS:
        path, strengths = paths.path(attribute), [sign * s for s in lengths]
        others = [key for key in ("gender", "skin", "concept") if key != attribute]
        curves: dict[str, Sequence[EditScore]] = {}
        made: list[Images] = []
        for name in ("a", "b"):
            rows, read = sources(held, attribute, to, name == "b"), reader(judges[name], held)
            made.clear()
            curves[name] = edit_curve(
                editor, state.take(rows), path, to, strengths, partial(noted, made, read), truth_of(held, rows),
                others=others,
            )  # fmt: skip
        chosen = choose_strength(curves["a"])
        place = strengths.index(chosen.strength)
        back = reversal_error(path, codes_in(state.take(rows)), chosen.strength, paths.stats)
        wanted = held.images[held.counterfactual(attribute)[rows]]
        way = [towards(images, plain[rows], wanted, held.concept[rows]) for images in made]
        found[f"{attribute} to {to}"] = {
            "n": len(rows), "concepts": len(set(held.concept[rows])), "chosen by a": row(chosen),
            "scored by b": row(curves["b"][place]) | {"to the true counterfactual": way[place]},
            "flip seen without colours": share(answers(judges["grey"], made[place])[attribute] == to),
            "curve of a": [row(s) for s in curves["a"]],
            "curve of b": [row(s) | {"change": w["change"]} for s, w in zip(curves["b"], way, strict=True)],
            "way back": {"mean": round(float(back.mean()), 4), "worst": round(float(back.max()), 4)},
        }  # fmt: skip
        print(attribute, "to", to, "chosen", chosen.strength, flush=True)
        for score, step in zip(curves["b"], way, strict=True):
            kept = {key: round(e.value, 2) for key, e in score.kept.items()}
            print("   ", score.strength, round(score.flip.value, 2), kept, step["change"], flush=True)
    return found


def noted(made: list[Images], read: Callable[[Images], Any], images: Images) -> Any:
    """`read`, and the images that it was shown are kept in `made`."""
    made.append(images)
    return read(images)


def codes_in(state: State) -> NDArray[np.float32]:
    assert state.codes is not None
    return state.codes


def swapped(editor: DiffAE, held: People, state: State, plain: Images, judges: Mapping[str, Judge]) -> Row:
    """References on judge b's half: no edit, the true counterfactual's code with the source's noise, and the truth."""
    found: Row = {}
    for attribute, to, _ in EDITS:
        rows = sources(held, attribute, to, True)
        other = held.counterfactual(attribute)[rows]
        mixed = editor.decode(replace(state.take(rows), codes=codes_in(state)[other]))
        truth, cell = truth_of(held, rows), {}
        for kind, made in {"unedited": plain[rows], "true code": mixed, "true drawing": held.images[other]}.items():
            seen = reader(judges["b"], held)(made)
            kept = {key: share(seen[key] == truth[key]) for key in seen if key != attribute}
            colourless = share(answers(judges["grey"], made)[attribute] == to)
            cell[kind] = {"flip": share(seen[attribute] == to), "flip seen without colours": colourless, "kept": kept}
        cell["true code"] |= {
            "to the true counterfactual": towards(mixed, plain[rows], held.images[other], held.concept[rows])
        }
        found[f"{attribute} to {to}"] = cell
        print("references", attribute, "to", to, json.dumps(cell), flush=True)
    return found


def sheets(editor: DiffAE, paths: PathModel, held: People, state: State, plain: Images, judge: Judge,
           lengths: Sequence[float], out: Path) -> None:  # fmt: skip
    """Two sheets for each attribute: one drawing of each of eight concepts, and the eight that judge b believes least.

    Judge b's half. Rows for each direction: with their own noise, edited at each length, and the true counterfactual as
    the model redraws it. What judge b believes is its probability of the wanted value at the middle length.
    """
    for attribute in ("skin", "gender"):
        pages: dict[str, list[Images]] = {"first": [], "worst": []}
        for _, to, sign in (edit for edit in EDITS if edit[0] == attribute):
            rows = sources(held, attribute, to, True)
            path, part = paths.path(attribute), state.take(rows)
            made = [editor.decode(editor.edit(part, path, sign * length)) for length in lengths]
            belief = judge.read(made[len(made) // 2])[attribute][:, CLASSES[attribute].index(to)]
            order = {"first": spread_out(held, rows), "worst": np.argsort(belief, kind="stable")[:8]}
            for name, places in order.items():
                truth = plain[held.counterfactual(attribute)[rows[places]]]
                pages[name] += [plain[rows[places]], *(images[places] for images in made), truth]
        for name, page in pages.items():
            path_of = out / f"emoji-{attribute}-{name}.png"
            write_sheet(page, path_of, scale=1)
            shrink(path_of)


def spread_out(held: People, rows: NDArray[np.int64], n: int = 8) -> NDArray[np.int64]:
    """The first drawing, by file name, of each of the first `n` concepts by name: places among `rows`."""
    order = sorted(range(len(rows)), key=lambda i: (held.concept[rows[i]], held.file[rows[i]]))
    firsts: dict[str, int] = {}
    for place in order:
        firsts.setdefault(str(held.concept[rows[place]]), place)
    return np.array(list(firsts.values())[:n], dtype=np.int64)


def shrink(path: Path) -> None:
    """The same sheet in 256 colours."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT)
    small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--docs", type=Path, help="where sheets and figures go; default: MODELS")
    parser.add_argument("--fields", nargs="+", default=list(FIELDS))
    parser.add_argument("--refit", action="store_true", help="learn paths anew that are there already")
    parser.add_argument("--resume", action="store_true", help="keep the fields that the figures hold already")
    parser.add_argument("--iterations", type=int, default=RECIPE.iterations)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("no data: set FAIRVL_REALDATA or give --data")
    torch.set_num_threads(1)
    train, held = people(Path(arguments.data))
    editor = DiffAE.load(arguments.models / "diffae", steps=arguments.steps, **HOW)
    recipe = replace(RECIPE, iterations=arguments.iterations)
    judges = {name: load_judge(name, arguments.models) for name in ("a", "b", "grey")}
    state = editor.encode(held.images, seeds=range(len(held)))
    plain = editor.decode(state)
    out, models = arguments.docs or arguments.models, {TRUE_MEANS: true_means(editor, train)}
    found = json.loads((out / "emoji.json").read_text(encoding="utf-8")) if arguments.resume else {
        "seed": arguments.seed, "steps": arguments.steps, "trained on": len(train), "held out": len(held),
        "held-out concepts": sorted(set(held.concept.tolist())), "recipe": asdict(recipe),
        "reconstruction": reconstruction(editor, train, held, state, judges),
        "fields": {}, "losses": {},
    }  # fmt: skip
    found["references"] = swapped(editor, held, state, plain, judges)
    for name in (TRUE_MEANS, *arguments.fields):
        path = arguments.models / f"paths-{name}.safetensors"
        if name != TRUE_MEANS:
            there = path.is_file() and not arguments.refit
            models[name] = (
                PathModel.load(path) if there else fit(editor, train, arguments.models, name, recipe, arguments.seed)
            )
        if name in found["fields"]:
            continue
        print("field", name, flush=True)
        found["fields"][name] = measure(editor, models[name], held, state, plain, judges, arguments.strengths)
        found["losses"][name] = models[name].notes.get("losses", {})
        write(found, out)
    read = zero_shot(Supervisor.load(arguments.models)).measured(held.images, held.truth)
    found["supervisor, zero-shot"] = {key: short(e) for key, e in read.accuracy.items()}
    best = max(arguments.fields, key=lambda name: worst_choice(found["fields"][name]))
    found["sheets show"] = best
    write(found, out)
    sheets(editor, models[best], held, state, plain, judges["b"], arguments.strengths, out)


def write(found: Row, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "emoji.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def worst_choice(edits: Row) -> float:
    """Of a field's edits the smallest of flip and kept, as judge a chose: which field the sheets show."""
    chosen = [e["chosen by a"] for e in edits.values()]
    return float(min(min(one["flip"][0], *(k[0] for k in one["kept"].values())) for one in chosen))


if __name__ == "__main__":
    main()
