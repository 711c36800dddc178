"""Verbs over many models: sweep, study."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import require_writable
from .group import (
    FILE,
    FOLDER,
    INTERRUPTED,
    USER_ERROR,
    example,
    fail,
    main,
    uncertain,
    with_json,
    with_uncertainty,
    write,
)

if TYPE_CHECKING:
    from ..findings import Findings


@main.command(
    epilog=example(
        "fairvl sweep MODELS.toml --suite eat26 -o sweep",
        "fairvl sweep 'catalogue:dataset_family=laion&max_params_m=200' --weights-budget 5 -o sweep",
        "fairvl sweep MODELS.toml --engine shard:0/8 -o sweep",
        "fairvl sweep --merge first --merge second -o both",
    )
)
@click.argument("models", required=False)
@click.option("--suite", help="Registry of tests: name, or file (.toml).  [default: eat26; with --merge, the folders']")
@click.option("--images", type=FOLDER, help="Your own copies of the pictures that cannot be shipped.")
@click.option("--emoji", type=FOLDER, help="Folder of noto-emoji, to stand in for pictures.")
@click.option("--no-stand-ins", is_flag=True, help="Leave out tests whose pictures are missing, instead of stand-ins.")
@click.option("--engine", default="local", show_default=True, help="local, shard:i/n or ray (ray?cpus=2&gpus=0.5).")
@click.option("--workers", type=click.IntRange(0), default=None, help="Models in memory at once.  [default: one]")
@click.option("--cache", type=FOLDER, help="Stimulus vectors, shared by sweeps.  [default: OUT/vectors]")
@click.option(
    "--weights-budget", type=float, metavar="GB", help="Fetch, measure, release: at most GB on disk at a time."
)
@click.option("--retry-failed", is_flag=True, help="Try models again that could not be measured.")
@click.option("--merge", "merged", multiple=True, type=FOLDER, help="Join finished sweeps instead. Repeatable.")
@click.option("--permutations", type=click.IntRange(99), default=99_999, show_default=True, help="Random permutations.")
@click.option("--tail", type=click.Choice(["two-sided", "greater", "less"]), default="two-sided", show_default=True)
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of findings and of everything that resumes.")
@with_uncertainty
@with_json
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
        fail(f"interrupted; {out} keeps what is done, and the same command goes on from there.", INTERRUPTED)
    if as_json:
        click.echo(findings.to_json())
    if findings.settings.get("complete") is False:
        done, of = findings.settings["done"], findings.settings["models"]
        click.echo(f"{done} of {of} models are measured; the last run, with --engine local, makes the table", err=True)
    elif (failed := len(findings.settings.get("failed") or {})) and failed == findings.settings.get("models"):
        fail(f"error: no model could be measured; {out / 'findings.json'} only holds the reasons.", USER_ERROR)
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
    epilog=example(
        "fairvl study sweep -o study",
        "fairvl study sweep --models covariates.csv --performance scores.csv -o study",
        "fairvl study results.csv --models models.csv --reference dataset_family=laion -o study",
    )
)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--models", type=FILE, help="Covariates by model (.csv, .toml).  [default: models.csv of the sweep]")
@click.option("--performance", type=FILE, help="Downstream scores by model (.csv).")
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
@click.option("--claims", type=FOLDER, help="Folder of the published study's tables, to check and to stand beside.")
@click.option("--permutations", type=click.IntRange(0), default=999, show_default=True, help="0 for none.")
@click.option("-o", "--out", type=FOLDER, required=True, help="Folder of findings, table (study.csv) and report.")
@uncertain(2000)
@with_json
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
    write(findings, out, as_json, csv="study.csv")


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
