"""From trained models to tables: one population, one sweep and one study for each of the four world sweeps.

    python train/world_sweeps_results.py --work build/world-sweeps

Reads what ``train/world_sweeps.py`` wrote; writes, per sweep, ``docs/world_sweeps/NAME.csv`` (effect sizes),
``NAME-models.csv``, ``NAME-performance.csv`` and ``NAME-study.csv``, and ``datasets.csv``: what the filter did. With
`--ship` the population of the sweep "data" goes into the package, for ``fairvl demo study``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from world_sweeps import SCORED, SWEEPS, Stimuli, plans

from fairvl import study
from fairvl.atomic import write_atomic
from fairvl.findings import Findings
from fairvl.sources.world.population import FOLDER, MODELS, PERFORMANCE, write_population
from fairvl.study.sweep import ModelEntry, sweep

DOCS = Path(__file__).parents[1] / "docs" / "world_sweeps"
SHIPPED = "data"
RESULT_COLUMNS = ("model", "test", "topic", "category", "order", "effect_size", "low", "high", "n", "p")


def text_of(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns or rows[0]), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def trained(work: Path, name: str) -> list[dict[str, Any]]:
    """Rows of the models of a sweep, in the order of its plan."""
    files = [work / name / f"{plan.model}.json" for plan in plans(name)]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]


def covariates(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dataset": row["dataset"], "dataset_family": row["family"], "dataset_size": row["composition"]["chosen"],
        "filtering": "none" if row["filtering"] == "none" else "clip-score",
        "architecture": f"{row['architecture']}-{row['size']}", "architecture_family": row["architecture"],
        "params_m": round(row["parameters"] / 1e6, 6), "planted_strength": row["strength"],
        "careless_share": row["careless"], "handicap": row["blind"], "training_seed": row["seed"],
        "training_seconds": row["seconds"],
    }  # fmt: skip


def score(row: Mapping[str, Any]) -> float:
    """Mean zero-shot accuracy over the attributes that no sweep plants anything on."""
    return round(float(np.mean([row["accuracy"][name] for name in SCORED])), 4)


def population_of(work: Path, name: str, rows: Sequence[Mapping[str, Any]], stimuli: Stimuli, folder: Path) -> None:
    """Write the vectors and tables of a sweep's models into `folder`."""
    held = [np.load(work / name / f"{row['model']}.npz") for row in rows]
    folder.mkdir(parents=True, exist_ok=True)
    write_population(
        folder, [row["model"] for row in rows], stimuli.texts, stimuli.pictures,
        text_vectors=np.stack([vectors["texts"] for vectors in held]),
        picture_vectors=np.stack([vectors["pictures"] for vectors in held]),
    )  # fmt: skip
    named = [{"model": row["model"], **covariates(row)} for row in rows]
    if folder == FOLDER:
        named = [row | {"encoder": f"world:population/{row['model']}"} for row in named]
    write_atomic(folder / MODELS, text_of(named))
    columns = [{"model": row["model"], "score": score(row)} for row in rows]
    write_atomic(folder / PERFORMANCE, text_of(columns))


def swept(rows: Sequence[Mapping[str, Any]], folder: Path, out: Path) -> Findings:
    """The association tests of world-eat for all models of a population."""
    entries = [
        ModelEntry(row["model"], f"world:population/{row['model']}?folder={folder}", covariates(row)) for row in rows
    ]
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


def composition(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each dataset says, once."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = f"{row['sweep']}/{row['dataset']}/{row['strength']}"
        head = {name: row[name] for name in ("sweep", "dataset", "filtering", "strength", "careless")}
        found.setdefault(key, {**head, **row["composition"]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--sweeps", nargs="+", choices=SWEEPS, default=SWEEPS)
    parser.add_argument("--ship", action="store_true")
    arguments = parser.parse_args()
    work, docs = arguments.work.absolute(), arguments.out
    docs.mkdir(parents=True, exist_ok=True)
    stimuli = Stimuli.load()
    datasets: dict[str, dict[str, Any]] = {}
    for name in arguments.sweeps:
        began = time.perf_counter()
        rows = trained(work, name)
        datasets |= composition(rows)
        folder = FOLDER if arguments.ship and name == SHIPPED else work / f"{name}-population"
        population_of(work, name, rows, stimuli, folder)
        findings = swept(rows, folder, work / f"{name}-sweep-{len(rows)}")
        write_atomic(docs / f"{name}.csv", results(findings))
        for table in (MODELS, PERFORMANCE):
            write_atomic(docs / f"{name}-{table}", (folder / table).read_bytes())
        studied(name, docs).write(docs / f"{name}-study.csv")
        print(f"{name}: {len(rows)} models, swept and studied in {time.perf_counter() - began:.0f} s", flush=True)
    write_atomic(docs / "datasets.csv", text_of(list(datasets.values())))


if __name__ == "__main__":
    main()
