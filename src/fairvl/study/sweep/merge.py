"""Sweeps made apart, as one: their measurements joined, the statistics made anew over all models."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...atomic import write_atomic
from ...errors import InputError, JobError
from ...findings import Findings
from ...jobs import STATE
from ...jobs.lock import held
from ...sources.stimuli import Registry, list_registries
from ...stats.permutation import DRAWS, Tail
from .measured import FOLDER, Measured, file_of, suite_facts
from .models import TABLE, Cell, ModelEntry
from .run import Source, finish
from .statistics import Statistics


def merge(
    folders: Sequence[Path | str],
    out: Path | str,
    *,
    suite: str | Path | Registry | None = None,
    images: Path | str | None = None,
    emoji: Path | str | None = None,
    stand_ins: bool = True,
    draws: int = 1000,
    permutations: int = DRAWS,
    level: float = 0.95,
    tail: Tail = "two-sided",
    seed: int = 0,
) -> Findings:
    """One table from several sweep folders, also unfinished ones; no model is loaded.

    Parameters
    ----------
    folders : sequence of paths
        Folders that `sweep` wrote with one suite.
    out : path
        A new folder; it gets the measurements, ``findings.*`` and ``models.csv``.
    suite
        As in `sweep`; by default the one that the folders were measured with, where it is shipped.
    images, emoji, stand_ins, draws, permutations, level, tail, seed
        As in `sweep`. Permutations and corrections are made anew: they run over all models.

    Raises
    ------
    JobError
        A folder without measurements, one of another suite or version, or one id with two different measurements.
    InputError
        No folders; without `suite`, folders of a suite that is not shipped.
    """
    if not folders:
        raise InputError("merge got no folders; expected those of two sweeps or more.")
    loaded = {folder: _measured(folder) for folder in map(Path, folders)}
    source = Source.of(_suite_of(loaded) if suite is None else suite, images, emoji, stand_ins)
    here = suite_facts(source.registry())
    kept: dict[str, Measured] = {}
    covariates: dict[str, dict[str, Cell]] = {}
    for folder, models in loaded.items():
        for model in models:
            if model.suite != here:
                there = f"{model.suite.get('id')} version {model.suite.get('version')}"
                raise JobError(
                    f"{folder}: {model.model} was measured with the suite {there} ({model.suite.get('fingerprint')}), "
                    f"not with {here['id']} version {here['version']} ({here['fingerprint']}). Rows of two suites "
                    "cannot stand in one table: sweep again, or give what they were made with (--suite, --images, "
                    "--emoji, --no-stand-ins; in Python suite=, images=, emoji=, stand_ins=)."
                )
            if model.model in kept and kept[model.model].content != model.content:
                raise JobError(
                    f"{folder}: {model.model!r} was measured before, with another result. Two measurements of one id "
                    "cannot be one model: give one another id, or leave one folder out."
                )
            if model.model in kept:
                print(f"sweep: {model.model} is in two folders with one content; taken once", file=sys.stderr)
            kept[model.model] = model
        covariates = _covariates(folder / TABLE) | covariates
    entries = [ModelEntry(id_, kept[id_].encoder, covariates.get(id_, {})) for id_ in sorted(kept)]
    target = Path(out)
    with held(target / STATE / "sweep-lock"):
        for id_, model in kept.items():
            write_atomic(target / file_of(id_), model.save())
        how = Statistics(draws, permutations, level, seed, tail)
        return finish(target, entries, source, how, workers=0, engine="local")


def _measured(folder: Path) -> list[Measured]:
    files = sorted((folder / FOLDER).glob("*.safetensors"))
    if not files:
        raise JobError(f"{folder}: holds no measurements; expected a folder that `fairvl sweep` wrote.")
    return [Measured.load(file) for file in files]


def _suite_of(loaded: Mapping[Path, Sequence[Measured]]) -> str:
    """The suite that all folders hold."""
    held_by: dict[tuple[str, str], list[str]] = {}
    for folder, models in loaded.items():
        for model in models:
            folders = held_by.setdefault((str(model.suite.get("id")), str(model.suite.get("version"))), [])
            folders += [] if str(folder) in folders else [str(folder)]
    if len(held_by) > 1:
        shown = "; ".join(f"{', '.join(names)} hold {id_} version {n}" for (id_, n), names in held_by.items())
        raise JobError(f"the folders were measured with different suites: {shown}. Rows of two suites cannot stand in "
                       "one table: merge those of one suite, or sweep again.")  # fmt: skip
    name = next(iter(held_by))[0]
    if name not in list_registries():
        raise InputError(f"the folders were measured with {name!r}, which is not a shipped suite; give its file with "
                         "--suite (in Python suite=).")  # fmt: skip
    return name


def _covariates(path: Path) -> dict[str, dict[str, Cell]]:
    """Covariates by model id from the models.csv of a finished sweep; nothing from an unfinished one."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["model"]: {k: v for k, v in row.items() if v and k not in ("model", "encoder")} for row in rows}
