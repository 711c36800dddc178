"""The group of verbs, and what its verbs share: options, errors in one line, how findings are written."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .. import __version__
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
            with warnings_in_one_line():
                return super().invoke(ctx)
        except FairVLError as error:
            fail(f"error: {error}", USER_ERROR)
        except KeyboardInterrupt:
            go_on = "The same command goes on where a job stopped (embed, sweep, dedup, augment and the like)."
            fail(f"interrupted; nothing half-written was left. {go_on}", INTERRUPTED)
        except BrokenPipeError:
            sys.stderr.close()
            raise SystemExit(INTERRUPTED) from None
        except OSError as error:
            fail(f"error: {error}", USER_ERROR)


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Our own warnings without the place in the code that raised them."""
    plain = warnings.formatwarning

    def told(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
        if category.__module__.partition(".")[0] == __name__.partition(".")[0]:
            return f"warning: {' '.join(str(message).split())}\n"
        return plain(message, category, *where, **more)

    warnings.formatwarning = told
    try:
        yield
    finally:
        warnings.formatwarning = plain


def fail(line: str, code: int) -> NoReturn:
    click.echo(" ".join(line.split()), err=True)
    raise SystemExit(code)


def example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fairvl")
def main() -> None:
    """Measure social bias of vision-language models, repair it, and prove the repair.

    \b
    Start here:
      fairvl demo --out demo       a whole audit on the built-in world, without a download
    """


def together(*options: Callable[..., Any]) -> Callable[..., Any]:
    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


FOLDER = click.Path(path_type=Path, file_okay=False)  # refused before the work, not after it
FILE = click.Path(path_type=Path, dir_okay=False)
with_seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of every random step.")
with_json = click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on standard output.")


def uncertain(draws: int) -> Callable[..., Any]:
    level = click.FloatRange(0.5, 0.999)
    return together(
        click.option("--draws", type=click.IntRange(100), default=draws, show_default=True, help="Bootstrap draws."),
        click.option("--level", type=level, default=0.95, show_default=True, help="Interval level."),
        with_seed,
    )


with_uncertainty = uncertain(1000)


def write(findings: Findings, out: Path, as_json: bool, csv: str | None = None, sheets: Any = None) -> None:
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


def target_shares(text: str) -> str | dict[str, float]:
    """A target distribution as it is written on the command line."""
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
