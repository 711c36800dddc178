"""Utilities that were measured elsewhere: result files of CLIP_benchmark and DataComp as Findings.

Neither file says on how many images a number rests, and neither holds an interval; the notes of the findings say so.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...findings import Finding, Findings
from ...fingerprints import fingerprint

MOST_BYTES = 64 * 2**20
SHARES = re.compile(r"(?:lp_)?(?:acc\d*|acc_avg|mean_per_class_recall|main_metric|.*recall@\d+)")
_RECALL = re.compile(r"(image|text)_retrieval_recall@(\d+)")
_TOP = re.compile(r"acc(\d+)")
_ABOUT = ("dataset", "model", "pretrained", "task", "language", "model_fullname")


def read_results(path: Path | str, *, model: str = "") -> Findings:
    """Findings of a result file that another benchmark wrote.

    Parameters
    ----------
    path : path
        ``.json`` (CLIP_benchmark: one result, or a list of them), ``.csv`` (what ``clip_benchmark build`` joins), or
        ``.jsonl`` (``eval_results.jsonl`` of DataComp; also lines of CLIP_benchmark results).
    model : str
        Name of the model where the file has none (DataComp's has not).

    Returns
    -------
    Findings
        ``acc1`` and ``acc5`` become ``top_k_accuracy``, ``image_retrieval_recall@k`` becomes ``recall_at_k`` of the
        task "retrieval, text to image"; other metrics keep their names. All have ``role`` "utility", those of DataComp
        tasks ``fairness/...`` "diagnostic". ``n`` is 0: the file does not say.

    Raises
    ------
    DatasetError
        Not a file of these kinds, malformed, empty, or an accuracy or recall that is not a share.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "eval_results.jsonl"
    >>> line = '{"key": "cifar10", "dataset": "CIFAR-10", "metrics": {"acc1": 0.9, "main_metric": 0.9}}'
    >>> _ = path.write_text(line)
    >>> found = read_results(path, model="mine").one(metric="top_k_accuracy")
    >>> found.value, found.dataset, found.model, found.extra["k"]
    (0.9, 'CIFAR-10', 'mine', 1)
    """
    path = Path(path)
    text = _text(path)
    rows: list[Finding] = []
    for where, row in _rows(path, text):
        rows += _findings(path.name, where, row, model)
    if not rows:
        raise DatasetError(f"{path.name}: no result with a number in it; expected metrics such as acc1.")
    return Findings(rows, {"results": {"file": path.name, "fingerprint": fingerprint(text), "rows": len(rows)}})


def _text(path: Path) -> str:
    if path.suffix not in (".json", ".jsonl", ".csv"):
        raise DatasetError(
            f"{path.name}: unknown kind of result file; expected .json or .csv (CLIP_benchmark), or .jsonl (DataComp)."
        )
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetError(f"{path.name}: {path.stat().st_size:,} bytes; a result file has at most {MOST_BYTES:,}.")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path.name}: not UTF-8 text; expected a result file.") from None


def _rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each result as ``{..., "metrics": {...}}`` with where it stands."""
    if path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for number, row in enumerate(reader, 2):
                if None in row or None in row.values():
                    raise DatasetError(f"{path.name}, line {number}: another number of columns than the header.")
                metrics = {k: _number(v) for k, v in row.items() if k not in _ABOUT and v and v.strip()}
                about = {k: row[k] for k in _ABOUT if row.get(k)}
                yield f"line {number}", {**about, "metrics": {k: v for k, v in metrics.items() if v is not None}}
        except csv.Error as error:
            raise DatasetError(f"{path.name}: not a table ({error}).") from None
        return
    if path.suffix == ".jsonl":
        parts = [(f"line {i}", line) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    else:
        parts = [("the file", text)]
    for where, part in parts:
        try:
            read = json.loads(part)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DatasetError(f"{path.name}, {where}: not JSON ({str(error)[:80]}).") from None
        many = read if isinstance(read, list) else [read]
        for i, row in enumerate(many):
            place = where if len(many) == 1 else f"{where}, result {i + 1}"
            if not isinstance(row, dict) or not isinstance(row.get("metrics"), dict) or "dataset" not in row:
                raise DatasetError(
                    f"{path.name}, {place}: expected a result with 'dataset' and 'metrics'; found "
                    + (f"keys {sorted(map(str, row))[:8]}." if isinstance(row, dict) else f"a {type(row).__name__}.")
                )
            yield place, row


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _findings(file: str, where: str, row: Mapping[str, Any], model: str) -> list[Finding]:
    datacomp = "key" in row and "task" not in row
    task = str(row.get("key") if datacomp else row.get("task", ""))
    named = " ".join(str(row[k]) for k in ("model", "pretrained") if row.get(k)) or model
    source = "DataComp" if datacomp else "CLIP_benchmark"
    found = []
    for metric, value in row["metrics"].items():
        if value is None or isinstance(value, (str, list, dict, bool)) or metric == "main_metric":
            continue  # None: not defined there; main_metric repeats another one
        name, extra = _named(str(metric), task)
        value = float(value)
        if math.isnan(value):
            continue
        if not math.isfinite(value) or (SHARES.fullmatch(str(metric)) and not 0 <= value <= 1):
            raise DatasetError(f"{file}, {where}: {metric} is {value}; expected a share from 0 to 1.")
        role = "diagnostic" if task.startswith("fairness/") else "utility"
        if row.get("language") not in (None, "", "en"):
            extra["language"] = str(row["language"])
        found.append(
            Finding(
                name,
                value,
                "share" if SHARES.fullmatch(str(metric)) else "as in the file",
                0,
                groups="(all)",
                dataset=str(row.get("dataset", "")),
                model=named,
                suite=source,
                note=f"read from {file} ({source}), which says neither n nor an interval",
                extra={**extra, "role": role, "source_metric": str(metric)},
            )
        )
    return found


def _named(metric: str, task: str) -> tuple[str, dict[str, Any]]:
    if top := _TOP.fullmatch(metric):
        return "top_k_accuracy", {"task": task, "k": int(top[1])}
    if recall := _RECALL.fullmatch(metric):
        direction = "text to image" if recall[1] == "image" else "image to text"
        return "recall_at_k", {"task": f"retrieval, {direction}", "k": int(recall[2])}
    return metric, {"task": task}
