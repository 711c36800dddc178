"""The command line: parse, call one library function, write. Whatever the shell can do, Python can do by the same name.

Nothing heavy is imported here: `fairvl --help` answers before numpy would have loaded.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from math import isnan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .. import __version__
from ..atomic import require_writable
from ..errors import FairVLError

if TYPE_CHECKING:
    from ..findings import Findings

USER_ERROR = 2
THRESHOLD_CROSSED = 1
INTERRUPTED = 130


class Verbs(click.Group):
    """The group of verbs: user mistakes become one readable line, and a typo names the nearest verb."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Expected one of: {', '.join(self.list_commands(ctx))}."
            raise click.UsageError(f"no verb {args[0]!r}. {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FairVLError as error:
            _fail(f"error: {error}", USER_ERROR)
        except KeyboardInterrupt:
            go_on = "The same command goes on where an embed or a sweep stopped."
            _fail(f"interrupted; nothing half-written was left. {go_on}", INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            raise SystemExit(INTERRUPTED) from None
        except OSError as error:
            _fail(f"error: {error}", USER_ERROR)


def _fail(line: str, code: int) -> NoReturn:
    click.echo(" ".join(line.split()), err=True)
    raise SystemExit(code)


def _example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fairvl")
def main() -> None:
    """Measure social bias of vision-language models, repair it, and prove the repair.

    \b
    Start here:
      fairvl demo --out demo       a whole audit on the built-in world, without a download
    """


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


_folder = click.Path(path_type=Path, file_okay=False)  # refused before the work, not after it
_file = click.Path(path_type=Path, dir_okay=False)
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random step.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on standard output.")


def _uncertain(draws: int) -> Callable[..., Any]:
    level = click.FloatRange(0.5, 0.999)
    return _options(
        click.option("--draws", type=click.IntRange(100), default=draws, show_default=True, help="Bootstrap draws."),
        click.option("--level", type=level, default=0.95, show_default=True, help="Interval level."),
        _seed,
    )


_uncertainty = _uncertain(1000)


@main.command(
    epilog=_example("fairvl embed open_clip:ViT-B-32/laion2b_s34b_b79k 'folder:photos?metadata=labels.csv' -o store")
)
@click.argument("encoder")
@click.argument("dataset")
@click.option("-o", "--out", type=_folder, required=True, help="Folder of the store.")
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
    epilog=_example(
        "fairvl audit -e open_clip:ViT-B-32/openai -d 'folder:photos?metadata=labels.csv' -o audit",
        "fairvl audit -e stored:store --operator gender.safetensors -o audit",
        "fairvl audit --predictions faces.csv.gz --id file --truth gender --prediction gender_preds -o audit",
        "fairvl audit -e stored:store --suite utility --classes imagenet.toml --results eval_results.jsonl -o audit",
    )
)
@click.option("-e", "--encoder", help="Encoder under audit, for example open_clip:ViT-B-32/openai or stored:DIR.")
@click.option("-d", "--dataset", help="Labelled images; with stored:DIR the store's own table is the default.")
@click.option("--predictions", type=click.Path(path_type=Path), help="Table of labels, predictions and groups.")
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
@click.option("--results", type=_file, help="Result file of CLIP_benchmark or DataComp to show beside the rest.")
@click.option("-o", "--out", type=_folder, required=True, help="Folder of findings and report.")
@_uncertainty
@_json
def audit(
    encoder: str | None, dataset: str | None, predictions: Path | None, truth: str, prediction: str,
    id_column: str | None, groups: str | None, suite: str, operators: Sequence[Path], recode: Sequence[str],
    crossings: int, classes: str | None, class_column: str, results: Path | None, out: Path, draws: int, level: float,
    seed: int, as_json: bool,
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
        class_column=class_column, results=results,
    )  # fmt: skip
    _write(findings, out, as_json)


@main.command(
    "audit-images",
    epilog=_example(
        "fairvl audit-images drawn --labels drawn/labels.csv -o audit",
        "fairvl audit-images drawn --labeller open_clip:ViT-B-32/openai --attribute gender --groups gender=female,male "
        "-o audit",
        "fairvl audit-images drawn --after repaired=drawn2 --labeller transformers:NAME --fidelity fake -o audit",
    ),
)
@click.argument("images", type=_folder)
@click.option("--prompts", type=_file, help="Table: prompt, id or file, seed, kind, expected.  [default: prompts.csv]")
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
@click.option("-o", "--out", type=_folder, required=True, help="Folder of findings and report.")
@_uncertainty
@_json
def audit_images(
    images: Path, prompts: Path | None, labels: Sequence[str], labeller: str | None, attributes: Sequence[str],
    groups: Sequence[str], after: Sequence[str], target: Sequence[str], min_confidence: float, truth: str | None,
    fidelity: str | None, audited: str | None, allow_same_encoder: bool, smoothing: float, crossings: int,
    show_images: bool, out: Path, draws: int, level: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Measure who the generated images in IMAGES show, and whether their prompts are honoured."""
    from ..measure.audit import audit_images as run
    from ..measure.audit.images import image_arms

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
    _write(findings, out, as_json, sheets=sheets)


def _named(text: str) -> tuple[str, str]:
    name, equals, rest = text.partition("=")
    return (name, rest) if equals else ("", text)


def _targets(texts: Sequence[str]) -> Any:
    """One target for all, or one by attribute."""
    if not texts:
        return "uniform"
    named = {name: _target(rest) for name, _, rest in (text.rpartition(":") for text in texts)}
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


def _write(findings: Findings, out: Path, as_json: bool, csv: str | None = None, sheets: Any = None) -> None:
    from ..report import report as write_report

    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out, prefix=".writing-") as folder:  # new findings never stand beside an old report
        whole = Path(folder)
        findings.write(whole / "findings.json")
        findings.write(whole / "findings.parquet")
        if csv is not None:
            findings.write(whole / csv)
        write_report(findings, whole / "report.html", sheets=sheets)
        for file in sorted(whole.iterdir()):
            file.replace(out / file.name)
    if as_json:
        click.echo(findings.to_json())
    click.echo(f"{len(findings)} findings in {out / 'findings.json'}; read {out / 'report.html'}", err=True)


@main.command(
    epilog=_example(
        "fairvl sweep MODELS.toml --suite eat26 -o sweep",
        "fairvl sweep 'catalogue:dataset_family=laion&max_params_m=200' --weights-budget 5 -o sweep",
        "fairvl sweep MODELS.toml --engine shard:0/8 -o sweep",
        "fairvl sweep --merge first --merge second -o both",
    )
)
@click.argument("models", required=False)
@click.option("--suite", help="Registry of tests: name, or file (.toml).  [default: eat26; with --merge, the folders']")
@click.option("--images", type=_folder, help="Your own copies of the pictures that cannot be shipped.")
@click.option("--emoji", type=_folder, help="Folder of noto-emoji, to stand in for pictures.")
@click.option("--no-stand-ins", is_flag=True, help="Leave out tests whose pictures are missing, instead of stand-ins.")
@click.option("--engine", default="local", show_default=True, help="local, shard:i/n or ray (ray?cpus=2&gpus=0.5).")
@click.option("--workers", type=click.IntRange(0), default=None, help="Models in memory at once.  [default: one]")
@click.option("--cache", type=_folder, help="Stimulus vectors, shared by sweeps.  [default: OUT/vectors]")
@click.option(
    "--weights-budget", type=float, metavar="GB", help="Fetch, measure, release: at most GB on disk at a time."
)
@click.option("--retry-failed", is_flag=True, help="Try models again that could not be measured.")
@click.option("--merge", "merged", multiple=True, type=_folder, help="Join finished sweeps instead. Repeatable.")
@click.option("--permutations", type=click.IntRange(99), default=99_999, show_default=True, help="Random permutations.")
@click.option("--tail", type=click.Choice(["two-sided", "greater", "less"]), default="two-sided", show_default=True)
@click.option("-o", "--out", type=_folder, required=True, help="Folder of findings and of everything that resumes.")
@_uncertainty
@_json
def sweep(
    models: str | None, suite: str | None, images: Path | None, emoji: Path | None, no_stand_ins: bool, engine: str,
    workers: int | None, cache: Path | None, weights_budget: float | None, retry_failed: bool, merged: Sequence[Path],
    permutations: int, tail: str, out: Path, draws: int, level: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Every association test of a suite for every model of MODELS; killed, the same command goes on.

    MODELS is a .toml or .csv file, or catalogue:FILTER.
    """
    from ..study.sweep import merge
    from ..study.sweep import sweep as run

    if (models is None) != bool(merged):
        raise click.UsageError(
            "give MODELS (a .toml file, say), or --merge with the folders of sweeps; one of the two."
        )
    shared: dict[str, Any] = {
        "images": images, "emoji": emoji, "stand_ins": not no_stand_ins, "draws": draws,
        "level": level, "seed": seed, "permutations": permutations, "tail": tail,
    }  # fmt: skip
    require_writable(out)
    try:
        if merged:
            findings = merge(merged, out, suite=suite, **shared)
        else:
            findings = run(
                str(models), out, suite=suite or "eat26", engine=engine, workers=workers, cache=cache,
                weights_budget=weights_budget, retry_failed=retry_failed, **shared,
            )  # fmt: skip
    except KeyboardInterrupt:
        _fail(f"interrupted; {out} keeps what is done, and the same command goes on from there.", INTERRUPTED)
    if as_json:
        click.echo(findings.to_json())
    if findings.settings.get("complete") is False:
        done, of = findings.settings["done"], findings.settings["models"]
        click.echo(f"{done} of {of} models are measured; the last run, with --engine local, makes the table", err=True)
    elif (failed := len(findings.settings.get("failed") or {})) and failed == findings.settings.get("models"):
        _fail(f"error: no model could be measured; {out / 'findings.json'} only holds the reasons.", USER_ERROR)
    else:
        go_on = f"fairvl study {shlex.quote(str(out))}"
        for remark in _remarks(findings):
            click.echo(remark, err=True)
        click.echo(f"{len(findings)} findings in {out / 'findings.json'}; go on with: {go_on}", err=True)


def _remarks(findings: Findings) -> list[str]:
    """What a reader of a sweep's table would overlook: stand-ins for pictures, and one model under two ids."""
    tests = {(row.extra.get("test"), row.order) for row in findings}
    used = {(row.extra["test"], row.order) for row in findings if row.extra.get("stand_in") and not isnan(row.value)}
    remarks = []
    if used:
        remarks.append(
            f"{len(used)} of {len(tests)} tests used stand-in pictures; give your own copies with --images, or leave "
            "them out with --no-stand-ins"
        )
    for model, first in (findings.settings.get("twins") or {}).items():
        remarks.append(
            f"warning: {model!r} has the very vectors of {first!r}: one model under two ids, which a study counts "
            "twice; leave one of them out"
        )
    return remarks


@main.command(
    epilog=_example(
        "fairvl study sweep -o study",
        "fairvl study sweep --models covariates.csv --performance scores.csv -o study",
        "fairvl study results.csv --models models.csv --reference dataset_family=laion -o study",
    )
)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--models", type=_file, help="Covariates by model (.csv, .toml).  [default: models.csv of the sweep]")
@click.option("--performance", type=_file, help="Downstream scores by model (.csv).")
@click.option("--factors", help="Covariates to explain with, comma-separated.  [default: the usual five that exist]")
@click.option(
    "--reference", multiple=True, metavar="FACTOR=LEVEL", help="What contrasts are against.  [default: the grand mean]"
)
@click.option(
    "--estimator",
    type=click.Choice(["crossed", "cluster-robust", "permutation", "paper"]),
    default="crossed",
    show_default=True,
    help="Random effects of model and test; robust errors; permuted labels; or the published mixed model.",
)
@click.option(
    "--controls", metavar="COLUMNS",
    help="What partial correlations hold fixed, comma-separated.  [default: params_m,dataset_size,dataset_family]",
)  # fmt: skip
@click.option("--cluster", metavar="COLUMN", help="Covariate whose models are resampled together.")
@click.option("--claims", type=_folder, help="Folder of the published study's tables, to check and to stand beside.")
@click.option("--permutations", type=click.IntRange(0), default=999, show_default=True, help="0 for none.")
@click.option("-o", "--out", type=_folder, required=True, help="Folder of findings, table (study.csv) and report.")
@_uncertain(2000)
@_json
def study(
    results: Sequence[Path], models: Path | None, performance: Path | None, factors: str | None,
    reference: Sequence[str], estimator: str, controls: str | None, cluster: str | None, claims: Path | None,
    permutations: int, out: Path, draws: int, level: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Which factor of the models goes with bias, by modality, and how bias goes with performance.

    RESULTS are folders of sweeps, findings, or a .csv with the columns model, test, order, effect_size.
    """
    from ..study import study as run

    require_writable(out)
    options: dict[str, Any] = {"estimator": estimator, "reference": _references(reference)}
    if controls is not None:
        options["controls"] = _names(controls)
    findings = run(
        list(results), models=models, performance=performance, factors=_names(factors or "") or None,
        cluster=cluster, permutations=permutations, draws=draws, level=level, seed=seed, claims=claims, **options,
    )  # fmt: skip
    for found in findings.where(metric="warning"):
        click.echo(f"warning: {found.note}", err=True)
    _write(findings, out, as_json, csv="study.csv")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _references(pairs: Sequence[str]) -> str | dict[str, str] | None:
    if list(pairs) in (["alphabetical"], ["grand mean"]):
        return pairs[0]
    references: dict[str, str] = {}
    for pair in pairs:
        factor, equals, level = pair.partition("=")
        if not (factor and equals and level):
            raise click.BadParameter(
                f"{pair!r}; expected FACTOR=LEVEL, for example dataset_family=laion.", param_hint="--reference"
            )
        references[factor] = level
    return references or None


@main.command(
    epilog=_example(
        "fairvl debias open_clip:ViT-B-32/openai --attribute gender --method calibrated -o gender.safetensors",
        "fairvl debias world:vectors --method all --lambda auto -o comparison",
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
    help="Strength of the calibration; auto picks it on held-out pairs.  [default: 1000; with all: auto]",
)  # fmt: skip
@click.option("--bank", default=None, help="Prompt bank (name or .toml).  [default: the attribute's own]")
@click.option("--references", default=None, help="Other labelled images to fit leace, equalised, ... on.")
@click.option("--nearest", type=click.IntRange(1), default=None, help="References per group and query, for equalised.")
@click.option("--bypass", is_flag=True, help="Leave queries that name the attribute themselves as they are.")
@click.option("-d", "--dataset", default=None, help="With all: labelled images to measure on.")
@click.option("--suite", default="core", show_default=True, help="With all: name of a suite, or a file (.toml).")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Operator file; with all, a folder.")
@_uncertainty
@_json
def debias(
    encoder: str, attributes: Sequence[str], method: str, subspace: str, lam: str | None, bank: str | None,
    references: str | None, nearest: int | None, bypass: bool, dataset: str | None, suite: str, out: Path, draws: int,
    level: float, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Fit a closed-form repair of an encoder's embedding and write it as an operator file; or compare all methods."""
    from ..repair.debias import BypassOperator
    from ..repair.debias import debias as run
    from ..sources.encoders import load_encoder

    strength = _strength(lam)
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
    _write(comparison.findings, out, as_json)


@main.command(
    epilog=_example(
        "fairvl generate world:text-to-image prompts.csv --seeds 200 -o before",
        "fairvl generate world:text-to-image prompts.csv --seeds 200 --operator gender.safetensors -o after",
    )
)
@click.argument("generator")
@click.argument("prompts", type=_file)
@click.option("-o", "--out", type=_folder, required=True, help="Folder of images and prompts.csv.")
@click.option("--seeds", type=click.IntRange(1), default=16, show_default=True, help="Images per prompt.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True, help="Seeds count from here.")
@click.option("--operator", type=click.Path(path_type=Path), help="Attach this operator (a file, or one per tower).")
@click.option("--variant", help="paper, midpoint, end-of-text, from-end-of-text or words.")
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

    require_writable(out)
    loaded = load_generator(generator, steps=steps, guidance=guidance, device=device)
    if operator is not None:
        from ..repair.debias.pipelines import PipelineOperator, attach

        attach(
            PipelineOperator.load(operator), getattr(loaded, "pipeline", None), variant=variant, negative=negative,
            allow_other_encoder=allow_other_encoder,
        )  # fmt: skip
    made = run(loaded, prompts, out, seeds=range(first_seed, first_seed + seeds), engine=engine)
    done = sum(int(facts["n"]) for facts in made.facts if facts)
    click.echo(f"{done} images in {out}" + ("" if made.complete else "; other parts are missing"), err=True)


@main.command(epilog=_example("fairvl apply gender.safetensors store -o fairer-store"))
@click.argument("operator", type=_file)
@click.argument("store", type=_folder)
@click.option("-o", "--out", type=_folder, required=True, help="Folder of the new store.")
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


@main.command(epilog=_example("fairvl bake gender.safetensors my-clip -o my-fairer-clip"))
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


@main.command(
    epilog=_example(
        "fairvl dedup store --keep 0.5 --concepts gender -o pruned",
        "fairvl dedup store --keep 0.5 --concepts zero-shot-gender,zero-shot-age_group --encoder NAME -o pruned",
        "fairvl dedup store --keep 0.5 --policy semdedup -o published",
        "fairvl dedup new --threshold 0.9 --against store --kept pruned -o pruned-new",
        "fairvl dedup store --threshold 0.95 --policy quality --quality aesthetic -o pruned",
    )
)
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--keep", type=float, default=None, help="Share of rows to keep, such as 0.5.")
@click.option("--threshold", type=float, default=None, help="Or: the cosine above which rows are duplicates.")
@click.option(
    "--policy",
    type=click.Choice(["fair", "semdedup", "fairdedup", "quality", "random"]),
    default="fair",
    show_default=True,
    help="Which of several duplicates stays.",
)
@click.option("--concepts", help="Columns of the store whose groups are held to the target; with --encoder: banks.")
@click.option("--encoder", help="The encoder that made the store; it encodes the prompts of the banks in --concepts.")
@click.option("--gate", default="person-gate", show_default=True, help="Bank that says who concepts apply to; or none.")
@click.option("--target", default="population", show_default=True, help="population, uniform, or LABEL=SHARE,...")
@click.option("--quality", help="Column that --policy quality ranks by, higher is better.")
@click.option("--labels", help="Columns that the audit looks at beside --concepts, comma-separated.")
@click.option("--thumbnails", help="Dataset of the pictures: example pairs in the audit then show them.")
@click.option("--against", type=click.Path(path_type=Path), help="A store that is kept already; needs --threshold.")
@click.option("--kept", type=click.Path(path_type=Path), help="Keep list, or folder of the run, of --against.")
@click.option("--ledger", default="cluster", show_default=True, help="cluster, rounds(n) or global.")
@click.option("--clusters", type=click.IntRange(1), default=None, help="Number of clusters.  [default: by cost]")
@click.option("--centroids", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Centroids (.npy).")
@click.option("--buckets", type=click.IntRange(1), default=None, help="Pieces that are compared independently.")
@click.option("--kind", type=click.Choice(["image", "text"]), default="image", show_default=True)
@click.option("--engine", default="local", show_default=True, help="local, shard:i/n or ray (ray?cpus=2).")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes; 0 is this one.")
@click.option("-o", "--out", type=_folder, required=True, help="Folder of keep list, audit and all that resumes.")
@_seed
@_json
def dedup(
    store: Path, keep: float | None, threshold: float | None, policy: str, concepts: str | None, encoder: str | None,
    gate: str, target: str, quality: str | None, labels: str | None, thumbnails: str | None,
    against: Path | None, kept: Path | None, ledger: str, clusters: int | None, centroids: Path | None,
    buckets: int | None, kind: str, engine: str, workers: int, out: Path, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Drop semantic duplicates of STORE and say what that did to every group; killed, the same command goes on."""
    from ..repair.dedup import dedup as run
    from ..sources.store import EmbeddingStore

    opened = EmbeddingStore.open(store)
    names = [name for name in (labels or "").split(",") if name]
    try:
        result = run(
            opened, out, keep=keep, threshold=threshold, policy=policy, concepts=concepts, encoder=encoder,
            gate=None if gate == "none" else gate, thumbnails=thumbnails, target=_target(target), quality=quality,
            against=(against, kept) if against is not None and kept is not None else against,
            labels={name: opened.columns(name).tolist() for name in names}, ledger=ledger, kind=kind,
            clusters=clusters, centroids=centroids, buckets=buckets, engine=engine, workers=workers, seed=seed,
        )  # fmt: skip
    except KeyboardInterrupt:
        _fail(f"interrupted; {out} keeps what is done, and the same command goes on from there.", INTERRUPTED)
    if as_json:
        click.echo((out / "findings.json").read_text(encoding="utf-8"))
    if note := result.settings.get("concepts_note"):
        click.echo(str(note), err=True)
    click.echo(f"{result.describe()}; see {out / 'keep.parquet'}", err=True)


def _target(text: str) -> str | dict[str, float]:
    if "=" not in text:
        return text
    shares: dict[str, float] = {}
    for pair in text.split(","):
        label, _, share = pair.rpartition("=")
        try:
            shares[label] = float(share)
        except ValueError:
            raise click.BadParameter(f"{pair!r}; expected LABEL=SHARE.", param_hint="--target") from None
    return shares


@main.command(
    epilog=_example(
        "fairvl captions 'parquet:coco.parquet?id=sentence_id' --image image_id -o neutral",
        "fairvl captions 'webdataset:{00000..00099}.tar' --engine shard:0/8 -o neutral",
        "fairvl captions captions.csv --mask '[MASK]' -o masked",
    )
)
@click.argument("dataset")
@click.option("--lexicon", default="gender-en", show_default=True, help="gender-en, race-en, age-en, or a .toml file.")
@click.option("--mask", "masked", metavar="TOKEN", help="Write this token instead of neutral words.")
@click.option("--parser", help="spaCy pipeline that settles doubtful words, such as spacy:en_core_web_sm.")
@click.option("--image", help="Column that names the image of a caption: several captions then give its group.")
@click.option("--agreeing", type=click.IntRange(1), default=3, show_default=True, help="Captions that decide a group.")
@click.option("--label", help="Column of a group label: captions shifted by one against it are refused.")
@click.option("--id", "id_column", help="Column of ids in a table file.  [default: id]")
@click.option("--caption", "caption_column", help="Column of captions in a table file.  [default: caption]")
@click.option("--rows-per-shard", type=click.IntRange(1), default=50_000, show_default=True, help="Captions per shard.")
@click.option("--sample", type=click.IntRange(0), default=100, show_default=True, help="Changes in sample.tsv.")
@click.option("--engine", default="local", show_default=True, help="local, shard:i/n or ray (ray?cpus=2).")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes; 0 is this one.")
@click.option("-o", "--out", type=_folder, required=True, help="Folder of captions, changes and summary.")
@_seed
@_json
def captions(
    dataset: str, lexicon: str, masked: str | None, parser: str | None, image: str | None, agreeing: int,
    label: str | None, id_column: str | None, caption_column: str | None, rows_per_shard: int, sample: int,
    engine: str, workers: int, out: Path, seed: int, as_json: bool,
) -> None:  # fmt: skip
    """Rewrite the captions of DATASET in neutral words and say what changed; killed, the same command goes on."""
    from ..repair.captions import captions as run

    try:
        result = run(
            dataset, out, lexicon=lexicon, masked=masked, parser=parser, image=image, agreeing=agreeing, label=label,
            id=id_column, caption=caption_column, rows_per_shard=rows_per_shard, sample=sample, engine=engine,
            workers=workers, seed=seed,
        )  # fmt: skip
    except KeyboardInterrupt:
        _fail(f"interrupted; {out} keeps what is done, and the same command goes on from there.", INTERRUPTED)
    if as_json:
        click.echo(json.dumps(result.summary, ensure_ascii=False))
    click.echo(f"{result.describe()}; see {out}", err=True)


@main.command(
    epilog=_example("fairvl report audit/findings.json -o report.html", "fairvl report a.json b.json -o compare.html")
)
@click.argument("findings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=_file, required=True, help="HTML file.")
def report(findings: Sequence[Path], out: Path) -> None:
    """One self-contained HTML page from FINDINGS; several runs become a comparison."""
    from ..report import report as run

    click.echo(f"read {run(list(findings), out)}", err=True)


@main.command(epilog=_example("fairvl check audit/findings.json thresholds.toml"))
@click.argument("findings", type=click.Path(path_type=Path))
@click.argument("thresholds", type=click.Path(path_type=Path))
@_json
def check(findings: Path, thresholds: Path, as_json: bool) -> None:
    """Exit with 1 when a finding crosses a threshold; for continuous integration."""
    from ..report.check import check as run

    result = run(findings, thresholds)
    click.echo(json.dumps(result.to_dict(), indent=1) if as_json else str(result))
    if not result.ok:
        raise SystemExit(THRESHOLD_CROSSED)


@main.command(epilog=_example("fairvl demo --out demo"))
@click.argument("name", default="audit")
@click.option(
    "-o",
    "--out",
    type=_folder,
    default=Path("fairvl-demo"),
    show_default=True,
    help="Folder of findings and report.",
)
@_seed
@_json
def demo(name: str, out: Path, seed: int, as_json: bool) -> None:
    """One capability's whole experiment on the built-in world. NAME: audit (the default) or study."""
    from ..reproduce.demos import demo as run

    require_writable(out)
    _write(run(name, out, seed=seed), out, as_json)
