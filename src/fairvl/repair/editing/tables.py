"""The tables of an augmented set: what stands beside its images."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...atomic import write_atomic
from ...fingerprints import canonical_json
from ...jobs.job import Job
from .plan import Plan


def write_file(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(canonical_json(row) + "\n" for row in rows)


def edit_rows(folder: Path, job: Job) -> Iterator[dict[str, Any]]:
    pending = set(job.pending)
    for index in range(len(job.specs)):
        if index not in pending:
            with open(folder / f"provenance/edited-{index:05d}.jsonl", encoding="utf-8") as file:
                yield from map(json.loads, file)


def original_rows(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "provenance").glob("original-*.jsonl")):
        with open(path, encoding="utf-8") as file:
            yield from map(json.loads, file)


def listed(row: Mapping[str, Any], kind: str, plan: Plan) -> dict[str, Any]:
    """A row of a dataset's table; the unedited image keeps the group of its source."""
    own = {"id": f"{kind}/{row['id']}", "file": row[f"{kind}_file"], "kind": kind, "source": row["source"]}
    group = row["to"] if kind == "edited" else row["from"]
    return {**own, plan.label: row["label"], plan.attribute: group}


def write_provenance(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    write_atomic(path, lambda file: pq.write_table(table, file))


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
