"""From trained models to tables: one population, one sweep and one study for each of the four world sweeps.

    python train/world_sweeps_results.py --work build/world-sweeps

Reads what ``train/world_sweeps.py`` wrote; writes, per sweep, ``docs/world_sweeps/NAME.csv`` (effect sizes),
``NAME-models.csv``, ``NAME-performance.csv`` and ``NAME-study.csv``, and ``datasets.csv``: what the filter did. With
`--ship` the population of the sweep "data" goes into the package, for ``fairvl demo study``. Without `--work` only the
studies are made again, from the kept effect sizes.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from world_sweeps import SCORED, SWEEPS, Plan, Stimuli, encoded, plans

from fairvl import study
from fairvl.atomic import write_atomic
from fairvl.findings import Findings
from fairvl.sources.world.population import FOLDER, MODELS, PERFORMANCE, write_population
from fairvl.study.sweep import ModelEntry, sweep

DOCS = Path(__file__).parents[1] / "docs" / "world_sweeps"
SHIPPED = "data"
RUNS: dict[str, tuple[str, int | None]] = {name: (name, None) for name in SWEEPS} | {"data-short": ("data", 200)}
Models = Sequence[tuple[Plan, Mapping[str, Any]]]
RESULT_COLUMNS = ("model", "test", "topic", "category", "order", "effect_size", "low", "high", "n", "p")


def text_of(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns or rows[0]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def trained(work: Path, name: str) -> list[tuple[Plan, dict[str, Any]]]:
    """Plans and rows of the trained models of a sweep."""
    files = [(plan, work / f"{plan.key}.json") for plan in plans(*RUNS[name])]
    return [(plan, json.loads(file.read_text(encoding="utf-8"))) for plan, file in files if file.is_file()]


def covariates(plan: Plan, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dataset": plan.dataset, "dataset_family": plan.family, "dataset_size": row["composition"]["chosen"],
        "filtering": plan.filtering,
        "architecture": f"{plan.architecture}-{plan.size}", "architecture_family": plan.architecture,
        "params_m": round(row["parameters"] / 1e6, 6), "planted_strength": row["strength"],
        "careless_share": row["careless"], "handicap": row["blind"], "training_seed": row["seed"],
        "training_steps": row["steps"],
        "training_seconds": row["seconds"],
    }  # fmt: skip


def score(row: Mapping[str, Any]) -> float:
    """Mean zero-shot accuracy over the attributes that no sweep plants anything on."""
    return round(float(np.mean([row["accuracy"][name] for name in SCORED])), 4)


def population_of(work: Path, models: Models, stimuli: Stimuli, folder: Path) -> None:
    """Write the vectors and tables of a sweep's models into `folder`."""
    vectors = [encoded(work, plan, stimuli) for plan, _ in models]
    folder.mkdir(parents=True, exist_ok=True)
    write_population(
        folder, [plan.model for plan, _ in models], stimuli.texts, stimuli.pictures,
        text_vectors=np.stack([texts for texts, _ in vectors]),
        picture_vectors=np.stack([pictures for _, pictures in vectors]),
    )  # fmt: skip
    named = [{"model": plan.model, **covariates(plan, row)} for plan, row in models]
    if folder == FOLDER:
        named = [row | {"encoder": f"world:population/{row['model']}"} for row in named]
    write_atomic(folder / MODELS, text_of(named))
    write_atomic(folder / PERFORMANCE, text_of([{"model": plan.model, "score": score(row)} for plan, row in models]))


def swept(models: Models, folder: Path, out: Path) -> Findings:
    """The association tests of world-eat for all models of a population."""
    where = "" if folder == FOLDER else f"?folder={folder}"
    entries = [
        ModelEntry(plan.model, f"world:population/{plan.model}{where}", covariates(plan, row)) for plan, row in models
    ]
    shutil.rmtree(out, ignore_errors=True)
    return sweep(entries, out, suite="world-eat")


def results(findings: Findings) -> str:
    rows = []
    for found in findings:
        record = {**found.extra, **{name: getattr(found, name) for name in ("model", "order", "n", "p")}}
        record |= {name: None if (v := getattr(found, name)) is None else round(v, 4) for name in ("low", "high")}
        rows.append(record | {"effect_size": round(found.value, 4), "p": None if found.p is None else f"{found.p:.3g}"})
    return text_of(rows, RESULT_COLUMNS)


def studied(name: str, docs: Path) -> Findings:
    """The study of a sweep's committed tables: what `fairvl study` prints for anyone."""
    tables = {"models": docs / f"{name}-models.csv", "performance": docs / f"{name}-performance.csv"}
    return study(docs / f"{name}.csv", **tables)


def composition(models: Models) -> dict[str, dict[str, Any]]:
    """What each dataset says, once."""
    found: dict[str, dict[str, Any]] = {}
    for plan, row in models:
        head = {"dataset": plan.dataset, "filtering": plan.filtering, "strength": row["strength"]}
        head |= {"careless": row["careless"], **row["composition"]}
        found.setdefault(f"{plan.dataset}/{row['strength']}/{row['careless']}", head)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--sweeps", nargs="+", choices=RUNS, default=tuple(RUNS))
    parser.add_argument("--ship", action="store_true")
    arguments = parser.parse_args()
    docs = arguments.out
    if arguments.work is None:
        for name in arguments.sweeps:
            studied(name, docs).write(docs / f"{name}-study.csv")
        return
    work = arguments.work.absolute()
    docs.mkdir(parents=True, exist_ok=True)
    stimuli = Stimuli.load()
    datasets: dict[str, dict[str, Any]] = {}
    for name in arguments.sweeps:
        began = time.perf_counter()
        models = trained(work, name)
        datasets |= composition(models)
        folder = FOLDER if arguments.ship and name == SHIPPED else work / f"{name}-population"
        population_of(work, models, stimuli, folder)
        findings = swept(models, folder, work / f"{name}-sweep")
        write_atomic(docs / f"{name}.csv", results(findings))
        for table in (MODELS, PERFORMANCE):
            write_atomic(docs / f"{name}-{table}", (folder / table).read_bytes())
        studied(name, docs).write(docs / f"{name}-study.csv")
        print(f"{name}: {len(models)} models, swept and studied in {time.perf_counter() - began:.0f} s", flush=True)
    if set(arguments.sweeps) >= set(SWEEPS):
        write_atomic(docs / "datasets.csv", text_of(list(datasets.values())))


if __name__ == "__main__":
    main()
