"""What is known of the edits that arms are trained on: the gate's yield per request, and its judges on known truth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...findings import Finding

RECORD = "augmentation.json"
LEVEL = 0.95  # of the intervals in the record


def edit_findings(folders: Mapping[str, Path | None], about: Mapping[str, Any]) -> list[Finding]:
    """Rows ``edit_yield`` (per folder and request) and ``judge_accuracy`` (each judge once).

    Parameters
    ----------
    folders : mapping of name to path
        What `augment` wrote; a folder without its record gives no rows.
    about : mapping
        Fixed columns of every row.

    Raises
    ------
    DatasetError
        A record that cannot be read.
    """
    records = {name: _record(folder) for name, folder in folders.items() if folder is not None}
    held = {name: record for name, record in records.items() if record is not None}
    return [
        *(_yield_row(name, one, about) for name, record in held.items() for one in record["requests"]),
        *_judge_rows(held, about),
    ]


def _record(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _ = record["requests"], record["gate"]["judges"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a record of `fairvl augment` ({error}); run it again.") from None
    return dict(record)


def _yield_row(name: str, one: Mapping[str, Any], about: Mapping[str, Any]) -> Finding:
    known = one["tried"] > 0
    reasons = ", ".join(f"{why} ({n})" for why, n in one["reasons"].items())
    extra = {
        "role": "diagnostic", "training": name, "wanted": one["wanted"], "accepted": one["accepted"],
        "rejected": reasons,
    }  # fmt: skip
    return Finding(
        "edit_yield", one["yield"] if known else math.nan, "share", one["tried"], one["low"] if known else None,
        one["high"] if known else None, LEVEL if known else None, "wilson" if known else "",
        groups=f"{one['label']}: {one['source']} to {one['to']}", note="" if known else "no candidate was tried",
        extra=extra, **about,
    )  # fmt: skip


def _judge_rows(records: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any]) -> list[Finding]:
    rows: dict[tuple[str, str, str], Finding] = {}
    for record in records.values():
        gate = record["gate"]
        for part, judge in (("chooses strengths", gate["chooser"]), *(("scores", one) for one in gate["judges"])):
            accuracy = judge["accuracy"] if isinstance(judge["accuracy"], dict) else {}
            for attribute, value in accuracy.items():
                extra = {"role": "diagnostic", "judge": judge["name"], "part": part}
                rows.setdefault(
                    (judge["fingerprint"], part, attribute),
                    Finding(
                        "judge_accuracy", value["value"], "share", value["n"], value["low"], value["high"], LEVEL,
                        "wilson", extra=extra, **{**about, "attribute": attribute},
                    ),
                )  # fmt: skip
    return list(rows.values())
