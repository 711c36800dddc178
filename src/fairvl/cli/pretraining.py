"""The verb that trains: pretrain."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from .group import FOLDER, INTERRUPTED, example, fail, main, with_seed


@main.command(
    epilog=example(
        "fairvl captions 'parquet:coco.parquet?id=sentence_id' --image image_id -o neutral",
        "fairvl pretrain albef:model 'parquet:coco.parquet?id=sentence_id' --captions neutral --image image_id "
        "--steps 2213 --batch-size 256 -o albef-neutral",
        "fairvl pretrain albef:model ... --arm control -o albef-control",
        "accelerate launch --num_processes 4 -m fairvl pretrain ...  (same options, same numbers)",
    )
)
@click.argument("model")
@click.argument("dataset")
@click.option("-c", "--captions", type=FOLDER, help="Folder of `fairvl captions`.  [default: rewritten here]")
@click.option(
    "--arm", type=click.Choice(["neutral", "control"]), default="neutral", show_default=True,
    help="control: the original captions only; equal steps, seeds and batches, to compare with.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(1), required=True, help="Steps of the whole training.")
@click.option("--batch-size", type=click.IntRange(2), required=True, help="Pairs per step, over all processes.")
@click.option("--accumulate", type=click.IntRange(1), default=1, show_default=True, help="Pieces of a process's part.")
@click.option("--lr", type=float, default=5e-5, show_default=True, help="Learning rate after the warm-up.")
@click.option("--final-lr", type=float, default=0.0, show_default=True, help="Learning rate at the end.")
@click.option("--warmup", type=float, default=0.1, show_default=True, help="Steps; below 1 a share of all steps.")
@click.option(
    "--schedule", type=click.Choice(["cosine", "linear", "constant"]), default="cosine", show_default=True,
    help="How the rate falls after the warm-up.",
)  # fmt: skip
@click.option("--weight-decay", type=float, default=0.01, show_default=True, help="Of matrices.")
@click.option("--clip", type=float, default=1.0, show_default=True, help="Largest norm of the gradient; 0 for none.")
@click.option("--dropout", is_flag=True, help="Train with the model's own dropout.")
@click.option(
    "--precision", type=click.Choice(["no", "bf16", "fp16"]), default="no", show_default=True,
    help="Mixed precision of the forward pass.",
)  # fmt: skip
@click.option("--objectives", help="Some of itc,itm,mlm,lm; weights as itc=0.5.  [default: all that MODEL has]")
@click.option(
    "--contrast", type=click.Choice(["batch", "piece"]), default="batch", show_default=True,
    help="Where itc finds its other pairs: the whole batch, or the piece alone.",
)  # fmt: skip
@click.option(
    "--reading", type=click.Choice(["plain", "masked"]), default="plain", show_default=True,
    help="The text that itm reads; masked shares a pass with mlm.",
)  # fmt: skip
@click.option("--mask-rate", type=float, default=0.15, show_default=True, help="Share of words that mlm hides.")
@click.option("--ramp", default="0.15,1", show_default=True, help="Share of neutral captions: START,END, or released.")
@click.option("--held-out", type=float, default=0.05, show_default=True, help="Share of images kept for the checks.")
@click.option("--checks/--no-checks", default=True, show_default=True, help="Fail when the model learned nothing.")
@click.option("--image", help="Column that names the image of a caption, where images have several.")
@click.option("--label", help="Column of a group label: captions shifted by one against it are refused.")
@click.option("--skip-empty", is_flag=True, help="Leave out rows without a caption.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option("--checkpoint-every", type=click.IntRange(1), default=500, show_default=True, help="Steps a kill costs.")
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that decode images.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of model, losses and checks.")
@with_seed
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON on standard output.")
def pretrain(
    model: str, dataset: str, captions: Path | None, arm: str, steps: int, batch_size: int, accumulate: int, lr: float,
    final_lr: float, warmup: float, schedule: str, weight_decay: float, clip: float, dropout: bool, precision: str,
    objectives: str | None, contrast: str, reading: str, mask_rate: float, ramp: str, held_out: float, checks: bool,
    image: str | None, label: str | None, skip_empty: bool, device: str, checkpoint_every: int, workers: int, out: Path,
    seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Continue the pretraining of MODEL on captions that become gender-neutral; killed, the same command goes on.

    \b
    MODEL is lxmert:, albef:, blip: or vilt: with a folder or a repository, or an encoder (open_clip:, transformers:),
    which is trained by contrast alone. DATASET holds images with captions; captions are joined by id.
    """
    from ..repair.pretraining import pretrain as run
    from ..repair.pretraining.models import load_student

    options: dict[str, Any] = {
        "captions": captions, "arm": arm, "steps": steps, "batch_size": batch_size, "accumulate": accumulate, "lr": lr,
        "final_lr": final_lr, "warmup": warmup, "schedule": schedule, "weight_decay": weight_decay,
        "clip": clip or None, "dropout": dropout, "precision": precision, "objectives": _objectives(objectives),
        "contrast": contrast, "reading": reading, "mask_rate": mask_rate, "ramp": _ramp(ramp), "held_out": held_out,
        "checks": checks, "image": image, "label": label, "skip_empty": skip_empty,
        "checkpoint_every": checkpoint_every, "workers": workers, "seed": seed,
    }  # fmt: skip
    try:
        result = run(load_student(model, device), dataset, out, **options)
    except KeyboardInterrupt:
        again = shlex.join(["fairvl", *sys.argv[1:]])
        fail(f"interrupted; {out} keeps the last checkpoint. Go on with: {again}", INTERRUPTED)
    if os.environ.get("RANK", "0") != "0":  # several processes, one voice
        return
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in result.checks]))
    click.echo(f"{result.describe()}; the model is in {out / 'model'}", err=True)


def _objectives(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    weights: dict[str, float] = {}
    for item in text.split(","):
        name, _, weight = item.partition("=")
        try:
            weights[name] = float(weight) if weight else 1.0
        except ValueError:
            raise click.BadParameter(f"{item!r}; expected NAME or NAME=WEIGHT.", param_hint="--objectives") from None
    return weights


def _ramp(text: str) -> tuple[float, float] | str:
    if text == "released":
        return text
    try:
        start, end = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r}; expected START,END or released.", param_hint="--ramp") from None
    return start, end
