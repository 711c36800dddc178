"""Verbs that show and decide: report, check, demo."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from ..atomic import require_writable
from .group import FILE, FOLDER, THRESHOLD_CROSSED, example, main, with_json, with_seed, write


@main.command(
    epilog=example("fairvl report audit/findings.json -o report.html", "fairvl report a.json b.json -o compare.html")
)
@click.argument("findings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=FILE, required=True, help="HTML file.")
def report(findings: Sequence[Path], out: Path) -> None:
    """One self-contained HTML page from FINDINGS; several runs become a comparison."""
    from ..report import report as run

    click.echo(f"read {run(list(findings), out)}", err=True)


@main.command(epilog=example("fairvl check audit/findings.json thresholds.toml"))
@click.argument("findings", type=click.Path(path_type=Path))
@click.argument("thresholds", type=click.Path(path_type=Path))
@with_json
def check(findings: Path, thresholds: Path, as_json: bool) -> None:
    """Exit with 1 when a finding crosses a threshold; for continuous integration."""
    from ..report.check import check as run

    result = run(findings, thresholds)
    click.echo(json.dumps(result.to_dict(), indent=1) if as_json else str(result))
    if not result.ok:
        raise SystemExit(THRESHOLD_CROSSED)


@main.command(
    epilog=example(
        "fairvl demo --out demo",
        "fairvl demo study --out study-demo",
        "fairvl demo text-to-image --out images-demo",
        "fairvl demo dedup --out dedup-demo",
        "fairvl demo pretrain --out pretrain-demo",
        "fairvl demo augment --out augment-demo",
    )
)
@click.argument("name", default="audit")
@click.option(
    "-o",
    "--out",
    type=FOLDER,
    default=Path("fairvl-demo"),
    show_default=True,
    help="Folder of findings and report.",
)
@with_seed
@with_json
def demo(name: str, out: Path, seed: int, as_json: bool) -> None:
    """One capability's whole experiment on the built-in world.

    NAME: audit (default), study, text-to-image, dedup, pretrain or augment.
    """
    from ..reproduce.demos import demo as run

    require_writable(out)
    write(run(name, out, seed=seed), out, as_json)
