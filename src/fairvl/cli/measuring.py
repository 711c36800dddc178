"""Verbs that measure: embed, audit, audit-images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..atomic import require_writable
from .group import FILE, FOLDER, example, main, target_shares, with_json, with_uncertainty, write


@main.command(
    epilog=example("fairvl embed open_clip:ViT-B-32/laion2b_s34b_b79k 'folder:photos?metadata=labels.csv' -o store")
)
@click.argument("encoder")
@click.argument("dataset")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of the store.")
@click.option("--engine", default="local", show_default=True, help="local")
@click.option("--workers", type=click.IntRange(0), default=None, help="Decoding processes.  [default: cores - 1]")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Images per forward pass.")
@click.option("--rows-per-shard", type=click.IntRange(1), default=10_000, show_default=True, help="Rows per file.")
def embed(
    encoder: str, dataset: str, out: Path, engine: str, workers: int | None, batch: int, rows_per_shard: int
) -> None:
    """Encode DATASET with ENCODER into a store of vectors; killed, the same command goes on."""
    from ..sources.datasets import load_dataset
    from ..sources.embed import embed as run
    from ..sources.encoders import load_encoder

    store = run(
        load_encoder(encoder), load_dataset(dataset), out,
        engine=engine, workers=workers, batch=batch, rows_per_shard=rows_per_shard,
    )  # fmt: skip
    click.echo(f"{len(store)} rows in {out}", err=True)


@main.command(
    epilog=example(
        "fairvl audit -e open_clip:ViT-B-32/openai -d 'folder:photos?metadata=labels.csv' -o audit",
        "fairvl audit -e stored:store --operator gender.safetensors -o audit",
        "fairvl audit --predictions faces.csv.gz --id file --truth gender --prediction gender_preds -o audit",
        "fairvl audit --predictions before.csv --after neutral=after.csv --groups group -o audit",
        "fairvl audit -e stored:store --suite utility --classes imagenet.toml --results eval_results.jsonl -o audit",
    )
)
@click.option("-e", "--encoder", help="Encoder under audit, for example open_clip:ViT-B-32/openai or stored:DIR.")
@click.option("-d", "--dataset", help="Labelled images; with stored:DIR the store's own table is the default.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Table of labels, predictions and groups.")
@click.option(
    "--after", multiple=True, metavar="[NAME=]TABLE", help="The same rows predicted after a repair, by id. Repeatable."
)
@click.option("--train", type=FILE, help="Labels and groups of the training rows; they decide the signs.")
@click.option("--truth", default="y_true", show_default=True, help="Column of the labels in --predictions.")
@click.option("--prediction", default="y_pred", show_default=True, help="Column of the predictions.")
@click.option("--id", "id_column", help="Column of ids, checked to be unique.  [default: id, if there is one]")
@click.option("--groups", help="Group columns, comma-separated.  [default: all columns that hold groups]")
@click.option("--suite", default="core", show_default=True, help="Name of a suite, or a suite file (.toml).")
@click.option(
    "--operator",
    "operators",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Operator file to prove: everything is measured before and after. Repeatable.",
)
@click.option("--recode", multiple=True, metavar="COLUMN:OLD=NEW", help="Map a label of the data. Repeatable.")
@click.option(
    "--crossings", type=click.IntRange(1, 4), default=2, show_default=True, help="Attributes crossed at most."
)
@click.option("--classes", help="One more zero-shot task: a bank whose sets are the classes.")
@click.option("--class-column", default="", help="Column of the classes.  [default: the bank's attribute]")
@click.option("--results", type=FILE, help="Result file of CLIP_benchmark or DataComp to show beside the rest.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of findings and report.")
@with_uncertainty
@with_json
def audit(
    encoder: str | None, dataset: str | None, predictions: Path | None, after: Sequence[str], train: Path | None,
    truth: str, prediction: str, id_column: str | None, groups: str | None, suite: str, operators: Sequence[Path],
    recode: Sequence[str], crossings: int, classes: str | None, class_column: str, results: Path | None, out: Path,
    draws: int, level: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Measure everything that applies to an encoder, or to stored predictions, and write the report."""
    from ..measure.audit import audit as run
    from ..repair.debias import Operator

    require_writable(out)
    repairs = {operator.stem: Operator.load(operator) for operator in operators}
    if len(repairs) < len(operators):
        raise click.BadParameter(
            "two files have the same name; a repair goes by it. Rename one.", param_hint="--operator"
        )
    findings = run(
        encoder, dataset=dataset, predictions=predictions, suite=suite, operator=repairs or None,
        groups=groups.split(",") if groups else None, recode=_recodes(recode), truth=truth, prediction=prediction,
        id=id_column, crossings=crossings, draws=draws, level=level, seed=seed, classes=classes,
        class_column=class_column, results=results, after=_named_tables(after), train=train,
    )  # fmt: skip
    write(findings, out, as_json)


@main.command(
    "audit-images",
    epilog=example(
        "fairvl audit-images drawn --labels drawn/labels.csv -o audit",
        "fairvl audit-images drawn --labeller open_clip:ViT-B-32/openai --attribute gender --groups gender=female,male "
        "-o audit",
        "fairvl audit-images drawn --after repaired=drawn2 --labeller transformers:NAME --fidelity fake -o audit",
    ),
)
@click.argument("images", type=FOLDER)
@click.option("--prompts", type=FILE, help="Table: prompt, id or file, seed, kind, expected.  [default: prompts.csv]")
@click.option(
    "--labels", multiple=True, metavar="[ARM=]TABLE", help="Labels by id or file. One per arm, or one for all."
)
@click.option("--labeller", help="Or: an encoder for zero-shot labels, not the one under audit.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME[=BANK]", help="Which labels. Repeatable.")
@click.option(
    "--groups", multiple=True, metavar="ATTRIBUTE=A,B", help="All groups, also those never drawn. Repeatable."
)
@click.option("--after", multiple=True, metavar="[NAME=]DIR", help="Same prompts and seeds after a repair. Repeatable.")
@click.option("--target", multiple=True, metavar="[ATTRIBUTE:]TARGET", help="uniform, population, or LABEL=SHARE,...")
@click.option("--min-confidence", type=click.FloatRange(0, 1), default=0.0, help="Below it an image is unlabelled.")
@click.option("--truth", help="Table with ATTRIBUTE and ATTRIBUTE_judged, or labelled images for the same judge.")
@click.option("--fidelity", help="Encoder for the cosine of image and prompt, not the one under audit.")
@click.option("--audited", help="Encoder that the images were drawn with, to check the judges against.")
@click.option("--allow-same-encoder", is_flag=True, help="Also judge with the encoder under audit; it is noted.")
@click.option("--smoothing", type=click.FloatRange(0), default=0.0, help="Images added to every group before skews.")
@click.option(
    "--crossings", type=click.IntRange(1, 4), default=2, show_default=True, help="Attributes crossed at most."
)
@click.option("--show-images", is_flag=True, help="Put small sheets of the images into the report.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of findings and report.")
@with_uncertainty
@with_json
def audit_images(
    images: Path, prompts: Path | None, labels: Sequence[str], labeller: str | None, attributes: Sequence[str],
    groups: Sequence[str], after: Sequence[str], target: Sequence[str], min_confidence: float, truth: str | None,
    fidelity: str | None, audited: str | None, allow_same_encoder: bool, smoothing: float, crossings: int,
    show_images: bool, out: Path, draws: int, level: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Measure who the generated images in IMAGES show, and whether their prompts are honoured."""
    from ..measure.audit import audit_images as run
    from ..measure.audit.images import image_arms
    from ..report.generation_words import without_labels

    if bool(labels) == bool(labeller):
        raise click.UsageError("give --labels (a table) or --labeller (an encoder); one of the two.")
    require_writable(out)
    repaired = {name or Path(place).name: place for name, place in map(_named, after)} or None
    tables = dict(map(_named, labels))
    if len(repaired or ()) < len(after) or len(tables) < len(labels):
        raise click.UsageError("two values of --after, or of --labels, have the same name. Write NAME=PLACE.")
    judge: Any = labeller or (tables[""] if list(tables) == [""] else tables)
    banks = dict(map(_named, (f"{a}=" if "=" not in a else a for a in attributes)))
    chosen: Any = {n: bank or f"zero-shot-{n}" for n, bank in banks.items()} if any(banks.values()) else list(banks)
    findings = run(
        images, prompts, judge, after=repaired, attributes=chosen or None, target=_targets(target), truth=truth,
        groups={name: labels.split(",") for name, labels in map(_named, groups)} or None, smoothing=smoothing,
        min_confidence=min_confidence, fidelity=fidelity, audited=audited, allow_same_encoder=allow_same_encoder,
        crossings=crossings, draws=draws, level=level, seed=seed,
    )  # fmt: skip
    sheets = None
    if show_images:
        from ..report.sheets import contact_sheets

        sheets = contact_sheets(image_arms(images, prompts, repaired)[0])
    write(findings, out, as_json, sheets=sheets)
    for line in without_labels(findings.settings):
        click.echo(line, err=True)


def _named_tables(texts: Sequence[str]) -> dict[str, str] | None:
    """Tables by their names, or by the names of their files."""
    named = {name or Path(place).name.partition(".")[0]: place for name, place in map(_named, texts)}
    if len(named) < len(texts):
        raise click.UsageError("two values of --after have the same name. Write NAME=TABLE.")
    return named or None


def _named(text: str) -> tuple[str, str]:
    name, equals, rest = text.partition("=")
    return (name, rest) if equals else ("", text)


def _targets(texts: Sequence[str]) -> Any:
    """One target for all, or one by attribute."""
    if not texts:
        return "uniform"
    named = {name: target_shares(rest) for name, _, rest in (text.rpartition(":") for text in texts)}
    return named[""] if list(named) == [""] else named


def _recodes(pairs: Sequence[str]) -> dict[str, dict[str, str]]:
    recodes: dict[str, dict[str, str]] = {}
    for pair in pairs:
        column, colon, rest = pair.partition(":")
        old, equals, new = rest.partition("=")
        if not (colon and equals and column and old):
            raise click.BadParameter(
                f"{pair!r}; expected COLUMN:OLD=NEW, for example gender:man1=man.", param_hint="--recode"
            )
        recodes.setdefault(column, {})[old] = new
    return recodes
