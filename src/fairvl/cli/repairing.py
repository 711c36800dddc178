"""Verbs that repair models and draw with them: debias, generate, apply, bake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..atomic import require_writable
from .group import FILE, FOLDER, example, main, with_json, with_uncertainty, write


@main.command(
    epilog=example(
        "fairvl debias open_clip:ViT-B-32/openai --attribute gender --method calibrated -o gender.safetensors",
        "fairvl debias world:vectors --method all --lambda auto -o comparison",
        "fairvl debias world:text-to-image --attribute gender -o gender-images.safetensors",
    )
)
@click.argument("encoder")
@click.option(
    "--attribute", "attributes", multiple=True, default=("gender",), show_default=True,
    help="What the embedding should stop to carry. Repeatable: several are removed together.",
)  # fmt: skip
@click.option(
    "--method",
    type=click.Choice(
        [
            "orthogonal", "calibrated", "calibration", "mean-difference", "leace", "circle", "equalised", "imputation",
            "random", "all",
        ]
    ),
    default="calibrated",
    show_default=True,
    help="all: fit every method, measure all of them, show the Pareto front of fairness and utility.",
)  # fmt: skip
@click.option(
    "--subspace",
    type=click.Choice(["span", "centred", "pairs"]),
    default="pairs",
    show_default=True,
    help="What is removed: differences of the groups' prototypes, or the centred or raw span of all prompts.",
)
@click.option(
    "--lambda", "lam", default=None, metavar="NUMBER|auto",
    help="Strength of the calibration; auto picks it on held-out pairs.  "
    "[default: 1000; with all: auto; for a generator: 500]",
)  # fmt: skip
@click.option("--bank", default=None, help="Prompt bank (name or .toml).  [default: the attribute's own]")
@click.option("--pairs", type=FILE, help="For a generator: table of prompts that differ in it (columns left, right).")
@click.option("--references", default=None, help="Other labelled images to fit leace, equalised, ... on.")
@click.option("--nearest", type=click.IntRange(1), default=None, help="References per group and query, for equalised.")
@click.option("--bypass", is_flag=True, help="Leave queries that name the attribute themselves as they are.")
@click.option("-d", "--dataset", default=None, help="With all: labelled images to measure on.")
@click.option("--suite", default="core", show_default=True, help="With all: name of a suite, or a file (.toml).")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Operator file; with all, a folder.")
@with_uncertainty
@with_json
@click.pass_context
def debias(
    ctx: click.Context, encoder: str, attributes: Sequence[str], method: str, subspace: str, lam: str | None,
    bank: str | None, pairs: Path | None, references: str | None, nearest: int | None, bypass: bool,
    dataset: str | None, suite: str, out: Path, draws: int, level: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Fit a closed-form repair of an encoder's embedding and write it as an operator file; or compare all methods.

    \b
    ENCODER may be a generator too (world:text-to-image, diffusers: with a folder or a repository): its text states are
    then calibrated on pairs of prompts, and `fairvl generate --operator` and `fairvl bake` take the operator.
    """
    from ..repair.debias import BypassOperator
    from ..repair.debias import debias as run
    from ..sources.encoders import load_encoder
    from ..sources.generators.names import names_generator

    strength = _strength(lam)
    if names_generator(encoder):
        _for_generator(ctx, encoder, attributes, method, strength, bank, pairs, out)
        return
    if pairs is not None:
        raise click.UsageError("--pairs serve generators; for an encoder give a --bank with pairs.")
    if method == "all":
        if len(attributes) > 1 or bank is not None:
            raise click.UsageError("--method all compares on one attribute, with its own bank.")
        options = {"references": references, "nearest": nearest or 20, "bypass": bypass, "dataset": dataset}
        _compare(
            load_encoder(encoder), out, as_json, attribute=attributes[0], subspace=subspace, suite=suite, draws=draws,
            lam="auto" if strength is None else strength, level=level, seed=seed, **options,
        )  # fmt: skip
        return
    if out.is_dir():
        raise click.BadParameter(f"{out} is a folder; expected a file (.safetensors).", param_hint="--out")
    chosen: Any = subspace
    operator = run(
        load_encoder(encoder), attribute=attributes[0] if len(attributes) == 1 else list(attributes), method=method,
        subspace=chosen, bank=bank, references=references, nearest=nearest, bypass=bypass, seed=seed,
        lam=1000.0 if strength is None else strength,
    )  # fmt: skip
    operator.save(out)
    for note in operator.card.notes:
        click.echo(note, err=True)
    if isinstance(operator, BypassOperator):
        click.echo(operator.described_errors(), err=True)
    click.echo(f"{operator.card.method} operator of rank {operator.rank} in {out}", err=True)


def _for_generator(
    ctx: click.Context, generator: str, attributes: Sequence[str], method: str, lam: Any, bank: str | None,
    pairs: Path | None, out: Path,
) -> None:  # fmt: skip
    """Of `debias`: the paper's generative form, an operator for every text site of a pipeline."""
    from ..repair.debias.pipelines import attribute_pairs, fit_on_pipeline, read_pairs
    from ..sources.generators import load_generator

    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    other = sorted(given - {"encoder", "attributes", "method", "lam", "bank", "pairs", "out", "seed"})
    if other:
        raise click.UsageError(f"{generator} is a generator: {', '.join(other)} cannot be used with one.")
    if method not in ("calibrated", "calibration"):
        raise click.UsageError(
            f"{generator} is a generator, which --method calibrated repairs; for {method!r} try "
            "fairvl.repair.debias.pipelines.fit_on_pipeline in Python."
        )
    if len(attributes) > 1 or lam == "auto" or (bank is not None and pairs is not None):
        raise click.UsageError("a generator takes one --attribute, a number for --lambda, and --bank or --pairs.")
    if out.is_dir() and out.suffix == ".safetensors":
        raise click.BadParameter(f"{out} is a folder; expected a file.", param_hint="--out")
    require_writable(out.parent)
    name = attributes[0]
    chosen = attribute_pairs(name, generator=generator, bank=bank) if pairs is None else read_pairs(pairs)
    pipeline = getattr(load_generator(generator), "pipeline", None)
    operator = fit_on_pipeline("calibration", pipeline, chosen, attribute=name, lam=lam)
    operator.save(out)
    for site, one in operator.operators.items():
        for note in one.card.notes:
            click.echo(f"{site}: {note}", err=True)
    click.echo(f"operator for {', '.join(operator.operators)} from {len(chosen)} pairs in {out}", err=True)


def _strength(lam: str | None) -> Any:
    if lam is None or lam == "auto":
        return lam
    try:
        return float(lam)
    except ValueError:
        raise click.BadParameter(f"{lam!r}; expected a number, inf or auto.", param_hint="--lambda") from None


def _compare(encoder: Any, out: Path, as_json: bool, **options: Any) -> None:
    from ..atomic import write_atomic
    from ..repair.debias import compare_methods

    if out.exists() and not out.is_dir():
        raise click.BadParameter(f"{out} is a file; --method all writes a folder.", param_hint="--out")
    comparison = compare_methods(encoder, **options)
    for point in comparison.points:
        if point.operator is not None:
            point.operator.save(out / f"{options['attribute']}-{point.method.replace(', ', '-')}.safetensors")
    write_atomic(out / "front.svg", comparison.svg())
    write_atomic(out / "methods.txt", comparison.table() + "\n")
    click.echo(comparison.table(), err=as_json)
    write(comparison.findings, out, as_json)


@main.command(
    epilog=example(
        "fairvl generate world:text-to-image prompts.csv --seeds 200 -o before",
        "fairvl generate world:text-to-image prompts.csv --seeds 200 --operator gender.safetensors -o after",
    )
)
@click.argument("generator")
@click.argument("prompts", type=FILE)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of images and prompts.csv.")
@click.option("--seeds", type=click.IntRange(1), default=16, show_default=True, help="Images per prompt.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True, help="Seeds count from here.")
@click.option("--operator", type=click.Path(path_type=Path), help="Attach this operator of `fairvl debias GENERATOR`.")
@click.option(
    "--variant", type=click.Choice(["paper", "midpoint", "end-of-text", "from-end-of-text", "words"]),
    help="Where and how the operator acts.  [default: as it is, on every position]",
)  # fmt: skip
@click.option("--negative", is_flag=True, help="Send the negative prompt through the operator too.")
@click.option("--allow-other-encoder", is_flag=True, help="Also attach an operator fitted on another text tower.")
@click.option("--steps", type=click.IntRange(1), help="Sampling steps.  [default: the pipeline's]")
@click.option("--guidance", type=click.FloatRange(0), help="Guidance scale.  [default: the pipeline's]")
@click.option("--device", help="For example cuda.  [default: cpu]")
@click.option("--engine", default="local", show_default=True, help="local or shard:i/n.")
def generate(
    generator: str, prompts: Path, out: Path, seeds: int, first_seed: int, operator: Path | None, variant: str | None,
    negative: bool, allow_other_encoder: bool, steps: int | None, guidance: float | None, device: str | None,
    engine: str,
) -> None:  # fmt: skip
    """Draw every prompt of the table PROMPTS with GENERATOR; killed, the same command goes on.

    \b
    GENERATOR is world:text-to-image, or diffusers: with a folder or a repository. PROMPTS is a table with the column
    prompt; concept, kind (neutral or explicit) and expected (the group an explicit prompt names) are carried along.
    """
    from ..sources.generators import generate as run
    from ..sources.generators import load_generator
    from ..sources.generators.run import check_request

    chosen = range(first_seed, first_seed + seeds)
    check_request(prompts, out, seeds=chosen, engine=engine)
    repair = None
    if operator is not None:
        from ..repair.debias.pipelines import PipelineOperator, attach

        repair = PipelineOperator.load(operator)
    loaded = load_generator(generator, steps=steps, guidance=guidance, device=device)
    if repair is not None:
        attach(
            repair, getattr(loaded, "pipeline", None), variant=variant, negative=negative,
            allow_other_encoder=allow_other_encoder,
        )  # fmt: skip
    made = run(loaded, prompts, out, seeds=chosen, engine=engine)
    done = sum(int(facts["n"]) for facts in made.facts if facts)
    click.echo(f"{done} images in {out}" + ("" if made.complete else "; other parts are missing"), err=True)


@main.command(epilog=example("fairvl apply gender.safetensors store -o fairer-store"))
@click.argument("operator", type=FILE)
@click.argument("store", type=FOLDER)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of the new store.")
@click.option(
    "--side", "sides", multiple=True, type=click.Choice(["text", "image"]),
    help="Which vectors. Repeatable.  [default: what the operator is meant for]",
)  # fmt: skip
@click.option("--renormalise", is_flag=True, help="Bring treated vectors to unit length again.")
@click.option("--allow-other-encoder", is_flag=True, help="Also take vectors of another encoder, or of none named.")
@click.option("--engine", default="local", show_default=True, help="local, shard:i/n or ray.")
@click.option("--workers", type=click.IntRange(0), default=None, help="Processes.  [default: one per core]")
def apply(
    operator: Path, store: Path, out: Path, sides: Sequence[str], renormalise: bool, allow_other_encoder: bool,
    engine: str, workers: int | None,
) -> None:  # fmt: skip
    """Send the vectors of STORE through OPERATOR into a new store; killed, the same command goes on."""
    from ..repair.debias import Operator
    from ..repair.debias import apply as run

    made = run(
        Operator.load(operator), store, out, sides=tuple(sides) or None, renormalise=renormalise,
        allow_other_encoder=allow_other_encoder, engine=engine, workers=workers,
    )  # fmt: skip
    if made is None:
        click.echo("this part is done; the last run, with --engine local, makes the store", err=True)
        return
    vanished = made.manifest["applied"]["vanished"]
    click.echo(f"{len(made)} rows in {out}" + (f"; {vanished} vectors vanished" if vanished else ""), err=True)


@main.command(epilog=example("fairvl bake gender.safetensors my-clip -o my-fairer-clip"))
@click.argument("operator", type=click.Path(path_type=Path))
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="New folder, or file for a file.")
@click.option("--side", "sides", multiple=True, type=click.Choice(["text", "image"]), help="Which towers. Repeatable.")
@click.option("--allow-other-encoder", is_flag=True, help="Also take weights that the operator was not fitted on.")
def bake(operator: Path, checkpoint: Path, out: Path, sides: Sequence[str], allow_other_encoder: bool) -> None:
    """Fold OPERATOR into the weights of CHECKPOINT: no code of ours is needed then.

    \b
    CHECKPOINT is a model of open_clip or transformers, or a text-to-image pipeline of diffusers. For a pipeline with
    several text towers OPERATOR may be a folder with one file for each.
    """
    from ..repair.debias import Operator
    from ..repair.debias import bake as run
    from ..repair.debias.pipelines import PipelineOperator

    loaded: Any = PipelineOperator.load(operator) if operator.is_dir() else Operator.load(operator)
    run(loaded, checkpoint, out, sides=tuple(sides) or None, allow_other_encoder=allow_other_encoder)
    click.echo(f"baked into {out}", err=True)
