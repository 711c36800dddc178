"""The verbs that balance a set with verified edits and train on it: augment, train-classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .group import FOLDER, example, main, uncertain, with_json, with_seed, write


@main.command(
    epilog=example(
        "fairvl augment 'folder:faces?metadata=labels.csv' --label smile --attribute age --target balance "
        "--editor diffae:model --change old=paths/age.safetensors:+ --change young=paths/age.safetensors:- "
        "--judge judge.toml --judge other.toml -o augmented",
        "fairvl augment ... --editor 'diffusers:timbrooks/instruct-pix2pix' --change old='make them look old' ...",
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
    help="How an image is turned into GROUP: an instruction, or FILE.safetensors:+ (or :-) for a path.",
)  # fmt: skip
@click.option(
    "--judge", "judges", multiple=True, required=True, metavar="FILE",
    help="TOML of a judge: encoder and prompts. The first chooses strengths, the others score.",
)  # fmt: skip
@click.option("--pool", help="Dataset that the sources come from.  [default: DATASET]")
@click.option("--supervisor", "supervisors", multiple=True, help="Model that the paths were learned with.")
@click.option("--labeller", default="", help="Model that made the labels, if they are pseudo-labels.")
@click.option("--min-confidence", type=click.FloatRange(0, 1), default=0.0, help="Of pseudo-labels.")
@click.option("--margin", type=float, default=0.1, show_default=True, help="By which judges must see the new group.")
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
    margin: float, structure: float, keep: tuple[str, ...], variants: int, retries: int, codec: str, originals: str,
    fit: str, allow_short: bool, out: Path, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Balance DATASET with verified edits of its own images; killed, the same command goes on."""
    from ..repair.editing.augment import augment as run
    from ..repair.editing.gate import Gate, Thresholds
    from ..repair.editing.naming import load_change, load_editor, read_judge
    from ..repair.editing.plan import Plan
    from ..sources.datasets import load_dataset

    data = load_dataset(dataset)
    plan = Plan.from_dataset(data, target, label=label, attribute=attribute)
    ways = dict(load_change(text, attribute) for text in changes)
    thresholds = Thresholds(margin=margin, structure=None if structure <= -1 else structure)
    gate = Gate([read_judge(path) for path in judges], thresholds=thresholds, keep=keep or None)
    result = run(
        data, load_editor(editor), plan, gate, out, changes=ways, pool=pool, variants=variants, retries=retries,
        codec=codec, originals=originals, fit=fit, allow_short=allow_short, supervisors=supervisors, labeller=labeller,
        min_confidence=min_confidence, seed=seed,
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
