"""The verbs that edit, balance and train: learn-paths, augment, train-classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .group import FOLDER, example, main, uncertain, with_json, with_seed, write


@main.command(
    "learn-paths",
    epilog=example(
        "fairvl learn-paths diffae:model --encoder open_clip:ViT-B-32/openai --images 'folder:faces' "
        "--dipole 'age=a photo of an old person|a photo of a young person' "
        "--keep 'a photo of a woman|a photo of a man' -o paths.safetensors",
        "fairvl learn-paths world:diffae --encoder world:face-clip "
        "--dipole 'skin=a person with dark skin|a person with light skin' -o paths.safetensors",
    ),
)
@click.argument("editor")
@click.option("--encoder", required=True, help="Image-text model that supervises; it should not judge later.")
@click.option(
    "--dipole", "dipoles", multiple=True, required=True, metavar="NAME=POSITIVE|NEGATIVE",
    help="Texts of both poles of an attribute; several of a pole are joined with ';'.",
)  # fmt: skip
@click.option("--keep", "kept", multiple=True, metavar="LEFT|RIGHT", help="Texts of what no path may move.")
@click.option("--images", help="Dataset to learn on.  [default: images that the editor draws]")
@click.option(
    "--field", type=click.Choice(["linear", "signed", "elliptic", "ratio"]), default="ratio", show_default=True,
    help="Kind of direction; linear is not trained.",
)  # fmt: skip
@click.option("--iterations", type=click.IntRange(0), default=200, show_default=True, help="Of training.")
@click.option("--labelled", type=click.IntRange(8), default=512, show_default=True, help="Images that are read first.")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File of paths.")
@with_seed
def learn_paths(
    editor: str, encoder: str, dipoles: tuple[str, ...], kept: tuple[str, ...], images: str | None, field: str,
    iterations: int, labelled: int, out: Path, seed: int,
) -> None:  # fmt: skip
    """Learn paths through EDITOR's codes from pairs of texts, for `augment --change GROUP=FILE:+`."""
    from ..repair.editing.naming import learn_named_paths

    paths = learn_named_paths(
        editor, encoder, dipoles, out, kept=kept, images=images, field=field, iterations=iterations, labelled=labelled,
        seed=seed,
    )  # fmt: skip
    losses = paths.notes.get("losses")
    told = f"; the loss went from {losses['first']:.3f} to {losses['last']:.3f}" if losses else ""
    click.echo(f"{paths.field} paths of {', '.join(paths.attributes)} in {out}{told}", err=True)


@main.command(
    epilog=example(
        "fairvl augment 'folder:faces?metadata=labels.csv' --label smile --attribute age --target balance "
        "--editor diffae:model --change old=paths/age.safetensors:+ --change young=paths/age.safetensors:- "
        "--judge judge.toml --judge other.toml -o augmented",
        "fairvl augment ... --editor 'diffusers:timbrooks/instruct-pix2pix' --change old='make them look old' ...",
        "fairvl augment 'world:faces?n=120&plant=skin-smile&split=train' --label smile --attribute skin "
        "--editor 'world:diffae?steps=10' --change dark=world:paths-ratio:+ --change light=world:paths-ratio:- "
        "--judge world:face-judge-a --judge world:face-judge-b --structure 0.2 --variants 2 -o augmented",
    )
)
@click.argument("dataset")
@click.option("--label", required=True, help="Attribute that a classifier is to learn; edits must keep it.")
@click.option("--attribute", required=True, help="Protected attribute; edits change it.")
@click.option(
    "--target", type=click.Choice(["balance", "aggravate"]), default="balance", show_default=True,
    help="Fill every group to the largest of its label; or, as a control, the largest further.",
)  # fmt: skip
@click.option("--editor", required=True, help="world:diffae, diffae:FOLDER or diffusers:FOLDER-OR-NAME?option=value.")
@click.option(
    "--change", "changes", multiple=True, required=True, metavar="GROUP=HOW",
    help="How an image is turned into GROUP: an instruction, or FILE.safetensors:+ (or :-) of `learn-paths`.",
)  # fmt: skip
@click.option(
    "--judge", "judges", multiple=True, required=True, metavar="FILE",
    help="TOML of a judge (encoder and prompts), or world:face-judge-a. The first chooses strengths, others score.",
)  # fmt: skip
@click.option("--pool", help="Dataset that the sources come from.  [default: DATASET]")
@click.option("--supervisor", "supervisors", multiple=True, help="Model that the paths were learned with.")
@click.option("--labeller", default="", help="Model that made the labels, if they are pseudo-labels.")
@click.option("--min-confidence", type=click.FloatRange(0, 1), default=0.0, help="Of pseudo-labels.")
@click.option("--margin", type=float, default=0.1, show_default=True, help="By which judges must see the new group.")
@click.option(
    "--reach", type=click.FloatRange(1), default=1.0, show_default=True,
    help="How far past where the first judge is convinced; 2 mirrors each image at the border of the groups.",
)  # fmt: skip
@click.option("--structure", type=float, default=0.4, show_default=True, help="Least structural similarity; -1: any.")
@click.option("--keep", "keep", multiple=True, help="Attribute that must stay.  [default: all that judges know]")
@click.option("--variants", type=click.IntRange(1), default=1, show_default=True, help="Edits per source and request.")
@click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="Of a rejected edit.")
@click.option("--codec", default="png", show_default=True, help="png, jpeg or jpeg:QUALITY, of all images.")
@click.option(
    "--originals", type=click.Choice(["codec", "reconstructed", "none"]), default="codec", show_default=True,
    help="How the real images are written.",
)  # fmt: skip
@click.option(
    "--fit", type=click.Choice(["crop", "pad", "refuse"]), default="crop", help="Oblong images.  [default: crop]"
)
@click.option("--allow-short", is_flag=True, help="End with fewer edits than planned instead of an error.")
@click.option("-o", "--out", type=FOLDER, required=True, help="New folder, or that of an interrupted run.")
@with_seed
@click.option("--json", "as_json", is_flag=True, help="Print yields per request as JSON.")
def augment(
    dataset: str, label: str, attribute: str, target: str, editor: str, changes: tuple[str, ...],
    judges: tuple[str, ...], pool: str | None, supervisors: tuple[str, ...], labeller: str, min_confidence: float,
    margin: float, reach: float, structure: float, keep: tuple[str, ...], variants: int, retries: int, codec: str,
    originals: str, fit: str, allow_short: bool, out: Path, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Balance DATASET with verified edits of its own images; killed, the same command goes on."""
    from ..repair.editing.augment import augment as run
    from ..repair.editing.gate import Gate, Thresholds
    from ..repair.editing.naming import load_change, load_editor, read_judge
    from ..repair.editing.plan import Plan
    from ..repair.editing.strength import AdaptiveStrength
    from ..sources.datasets import load_dataset

    data = load_dataset(dataset)
    plan = Plan.from_dataset(data, target, label=label, attribute=attribute)
    ways = dict(load_change(text, attribute) for text in changes)
    thresholds = Thresholds(margin=margin, structure=None if structure <= -1 else structure)
    gate = Gate([read_judge(path) for path in judges], thresholds=thresholds, keep=keep or None)
    strength = None if reach == 1 else AdaptiveStrength(margin=0.0, reach=reach)
    result = run(
        data, load_editor(editor), plan, gate, out, changes=ways, strength=strength, pool=pool, variants=variants,
        retries=retries, codec=codec, originals=originals, fit=fit, allow_short=allow_short, supervisors=supervisors,
        labeller=labeller, min_confidence=min_confidence, seed=seed,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps([dict(one) for one in result.requests]))
    made = sum(one["accepted"] for one in result.requests)
    tried = sum(one["tried"] for one in result.requests)
    click.echo(f"{made} of {plan.n} edits, {tried} candidates; the balanced set is {result.dataset}", err=True)


@main.command(
    "train-classifier",
    epilog=example(
        "fairvl train-classifier 'folder:faces?metadata=labels.csv' --label smile --attribute age "
        "--test 'folder:faces?metadata=test.csv' --augmented augmented -o classifiers",
    ),
)
@click.argument("dataset")
@click.option("--label", required=True, help="Attribute to predict.")
@click.option("--attribute", required=True, help="Protected attribute.")
@click.option("--test", required=True, help="Dataset of test images.")
@click.option("--augmented", type=FOLDER, help="Folder of `fairvl augment`.")
@click.option("--aggravated", type=FOLDER, help="Folder of `fairvl augment --target aggravate`.")
@click.option("--pairs", type=FOLDER, help="Folder of `fairvl augment` on the test images, for flips.")
@click.option("--arms", help="Some of baseline,augmented,reweighted,duplicated,unedited,aggravated.  [default: all]")
@click.option("--backbone", default="mobilenet_v2", show_default=True, help="A model of torchvision, or small.")
@click.option("--weights", help="Pretrained weights of torchvision, which are downloaded.  [default: random]")
@click.option("--size", type=click.IntRange(8), help="Side of the images.  [default: that of the training images]")
@click.option(
    "--loss", type=click.Choice(["cross-entropy", "focal"]), default="cross-entropy", show_default=True, help="Loss."
)
@click.option("--steps", type=click.IntRange(1), default=2000, show_default=True, help="Of every arm.")
@click.option("--batch-size", type=click.IntRange(2), default=64, show_default=True, help="Of every arm.")
@click.option("--lr", type=float, default=1e-3, show_default=True, help="Learning rate.")
@click.option(
    "--finetune", type=click.IntRange(0), default=0, metavar="STEPS",
    help="Of --steps, the last so many: on each arm's images at a tenth of the rate, after the others on real ones.",
)  # fmt: skip
@click.option(
    "--consistency", type=click.FloatRange(0), default=0.0, help="Weight: edits are to be labelled as their sources."
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Trainings per arm.")
@click.option("--positive", help="Class of equal opportunity.  [default: the second of two]")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:1.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of runs, findings and report.")
@uncertain(1000)
@with_json
def train_classifier(dataset: str, arms: str | None, out: Path, as_json: bool, **options: Any) -> None:
    """Train a classifier on DATASET, on its augmented version and on controls, at one budget, and compare them."""
    from ..repair.classifier import train_classifier as run

    listed = None if arms is None else [name.strip() for name in arms.split(",")]
    findings = run(dataset, listed, out=out / "runs", **options)
    write(findings, out, as_json)
