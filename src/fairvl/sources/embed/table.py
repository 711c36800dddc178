"""The side of a store that is not vectors: one table with one type per column, what was left out, the manifest.

Column types can only be known when every shard has been read, so shards keep their rows as JSON, and the table is a
second stage that sees them all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import write_atomic
from ...errors import DatasetError, StoreError
from ...fingerprints import canonical_json
from ...jobs import STATE, Job, run_job
from ..store.layout import MANIFEST, file_name
from ..store.store import SKIPPED
from ..store.write import file_facts, manifest_text, write_array, write_table

PLAN = f"{STATE}/vectors/plan.json"  # among the state of the stage that makes it, which sweeps it
RESERVED = ("id", "caption")


def rows_file(index: int) -> str:
    """Where a shard keeps its rows until the table is made."""
    return f"{STATE}/rows/rows_{index:05d}.json"


def rows_text(rows: Sequence[Mapping[str, Any]], skipped: Sequence[tuple[str, str]]) -> str:
    """Rows and what was left out, as JSON in a fixed order."""
    return json.dumps({"rows": rows, "skipped": skipped}, ensure_ascii=False, separators=(",", ":")) + "\n"


def add_types(types: dict[str, list[str]], attributes: Mapping[str, Any]) -> None:
    """Note which types occur under which name, in order of first appearance."""
    for name, value in attributes.items():
        seen = types.setdefault(name, [])
        kind = _kind(value)
        if kind is not None and kind not in seen:
            seen.append(kind)


def _kind(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "str"
    return "float" if isinstance(value, float) else "str"


def _unified(kinds: set[str]) -> str:
    """The one type of a column: its own, float for numbers, and text for everything mixed."""
    if len(kinds) == 1:
        return kinds.pop()
    return "float" if kinds == {"int", "float"} else "str"


def finish(
    job: Job, card: Any, problems: list[tuple[str, str]], *, dim: int, dtype: str, normalise: bool, name: str
) -> None:
    """Make the table and the manifest from the finished shards of `job`: the folder becomes a store.

    `problems` are ids and reasons of what never became a record.
    """
    facts = [job.facts(index) for index in range(len(job.specs))]
    if not any(fact["rows"] for fact in facts):
        first = problems or json.loads((job.out / rows_file(0)).read_bytes())["skipped"]
        raise DatasetError(
            f"{name}: none of {sum(fact['read'] for fact in facts)} records could be embedded"
            + (f"; the first: {first[0][0]}: {first[0][1]}." if first else ".")
        )
    kinds: dict[str, set[str]] = {}
    for fact in facts:
        for column, seen in fact["types"].items():
            kinds.setdefault(column, set()).update(seen)
    parts = {
        kind: {
            "dim": dim,
            "dtype": dtype,
            "missing": sum(fact["rows"] - fact[kind] for fact in facts),
            "normalised": normalise,
        }
        for kind in ("image", "text")
        if any(fact[kind] for fact in facts)
    }
    vectors = [
        {path: entry for path, entry in job.outputs(i).items() if path.endswith(".npy")} for i in range(len(facts))
    ]
    plan = {
        "types": {column: _unified(seen) for column, seen in kinds.items()},
        "rows": [fact["rows"] for fact in facts],
        "vectors": vectors,
        "parts": parts,
        "config": job.config,
        "problems": problems,
        "over_length": sum(fact["over_length"] for fact in facts),
    }
    # The plan is an input, not configuration: a shard that had to be computed again only makes the table pending.
    write_atomic(job.out / PLAN, canonical_json(plan) + "\n")
    run_job(
        job.out,
        [{"rows": len(facts)}],
        partial(_write_side_files, out=job.out, card=card),
        config={},
        name="table",
        workers=0,
        inputs=lambda spec: [PLAN, *(rows_file(index) for index in range(spec["rows"]))],
    )


def _write_side_files(_: Mapping[str, Any], folder: Path, *, out: Path, card: Any) -> None:
    import pyarrow as pa

    spec = json.loads((out / PLAN).read_bytes())
    shards: list[dict[str, Any]] = []
    skipped = [(id_, reason) for id_, reason in spec["problems"]]
    ids: set[str] = set()
    for index, n_rows in enumerate(spec["rows"]):
        content = json.loads((out / rows_file(index)).read_bytes())
        skipped += [(id_, reason) for id_, reason in content["skipped"]]
        table = _table(content["rows"], spec["types"])
        for id_ in table.column("id").to_pylist():
            if id_ in ids:
                raise StoreError(f"the id {id_!r} occurs more than once. Ids name records and must be unique")
            ids.add(id_)
        files = dict(spec["vectors"][index])
        for kind, part in spec["parts"].items():
            path = file_name(kind, index)
            if path not in files:  # no record of this shard has one, but others do
                write_array(folder / path, np.full((n_rows, part["dim"]), np.nan, part["dtype"]))
                files[path] = file_facts(folder / path)
        path = file_name("table", index)
        write_table(folder / path, table)
        files[path] = file_facts(folder / path)
        shards.append({"rows": n_rows, "files": files})
    left_out = pa.table(
        {"id": [id_ for id_, _ in skipped], "reason": [reason for _, reason in skipped]}, _skipped_schema()
    )
    write_table(folder / SKIPPED, left_out)
    extra = {
        "skipped": {"count": len(skipped), **file_facts(folder / SKIPPED)},
        "texts_over_length": spec["over_length"],
        "embed": {key: value for key, value in spec["config"].items() if key != "encoder"},  # the card stands beside
    }
    image, text = spec["parts"].get("image"), spec["parts"].get("text")
    content_text = manifest_text(shards, card=card, image=image, text=text, schema=table.schema, extra=extra)
    (folder / MANIFEST).write_text(content_text, encoding="utf-8")


def _skipped_schema() -> Any:
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("reason", pa.string())])


def _table(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> Any:
    import pyarrow as pa

    arrow = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
    columns: dict[str, Any] = {
        "id": pa.array([row["id"] for row in rows], pa.string()),
        "caption": pa.array([row["caption"] for row in rows], pa.string()),
    }
    for name, kind in types.items():
        values = [row["attributes"].get(name) for row in rows]
        cast = {"bool": bool, "int": int, "float": float, "str": str}[kind]
        plain = [None if value is None else cast(value) for value in values]
        columns[f"attribute_{name}" if name in RESERVED else name] = pa.array(plain, arrow[kind])
    return pa.table(columns)
