"""One self-contained HTML file from findings: no network, no framework, readable without scripts."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from .. import __version__
from ..atomic import write_atomic
from ..errors import FindingsError
from ..findings import Finding, Findings
from .classifier_sections import arms_of, classifier_title, is_classifier
from .dedup_sections import PICTURES, is_dedup, with_pictures
from .generation_sections import pictures
from .headline import headline
from .methods import method_texts, metric_texts
from .packing import pack, script_json
from .pairing import Comparison, Run, compare, unique_names
from .sections import sections
from .study_headline import is_study
from .vocabulary import NO_TASK, interval_text, metric_of, p_text, plural, value_text

MOST_TABLE_ROWS = 1500
MOST_TABLE_BYTES = 900_000  # leaves room for the charts and for 5,000 findings as JSON under 3 MB
MOST_CHOICES = 60
SUBJECT = ("test", "task", "query", "label", "modality", "category")
Source = Findings | Path | str


def report(
    findings: Source | Sequence[Source],
    out: Path | str,
    *,
    title: str | None = None,
    names: Sequence[str] | None = None,
    sheets: Mapping[str, Mapping[str, bytes]] | None = None,
) -> Path:
    """Write the report of one run, or the comparison of several, as one HTML file.

    Parameters
    ----------
    findings : Findings, path, or a sequence of them
        Each is one run; a path names a `.json` or `.parquet` file of findings. Several runs become a comparison.
    out : path
        The HTML file; a folder (any name without the suffix `.html` or `.htm`) gets ``report.html`` inside.
    title : str, optional
        What was audited; by default the models and datasets that the findings name.
    names : sequence of str, optional
        One name per run; by default the setting ``name``, else the model, else the file.
    sheets : mapping, optional
        Small pictures to show, PNG bytes by prompt and arm (`contact_sheets`); none are shown unless given.

    Returns
    -------
    pathlib.Path
        The file written. Equal findings give equal bytes.

    Raises
    ------
    FindingsError
        When there is nothing to show, a file is not readable, or `names` does not fit.

    Notes
    -----
    The headline reads the treated attribute from ``settings["treated_attribute"]`` or
    ``settings["operator"]["attribute"]``; without either, the only attribute whose fairness findings have a
    difference arm. A table over 1,500 rows is cut, and says so; the embedded JSON always holds every finding.

    Examples
    --------
    >>> import tempfile
    >>> rows = Findings([Finding("accuracy", 0.9, "share", 100, 0.83, 0.95, 0.95, groups="(all)")])
    >>> report(rows, tempfile.mkdtemp()).name
    'report.html'
    """
    runs = _runs(findings, names)
    out = Path(out)
    path = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    write_atomic(path, render(compare(runs), title=title, sheets=sheets))
    return path


def render(
    comparison: Comparison, *, title: str | None = None, sheets: Mapping[str, Mapping[str, bytes]] | None = None
) -> str:
    """The HTML text of a comparison."""
    from jinja2 import Environment, StrictUndefined

    from .charts import swatch

    css, js = _asset("page.css"), _asset("page.js")
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        _asset("page.html.j2")
    )
    rows = [row for run in comparison.runs for row in run.findings]
    levels = sorted({row.level for row in rows if row.level is not None})
    return template.render(
        policy=_policy(css, js, pictures="img-src data:; " if sheets or with_pictures(comparison) else ""),
        css=css,
        js=js,
        version=__version__,
        title=title or _title(comparison),
        headline=headline(comparison),
        facts=_facts(comparison),
        world=any(text.startswith("world:") for row in rows for text in (row.model, row.dataset)),
        level=" or ".join(f"{100 * level:g}\u202f%" for level in levels) or "stated",
        repaired=comparison.repaired,
        sections=[*sections(comparison), *([shown] if (shown := pictures(sheets or {})) else [])],
        swatch=swatch,
        metrics=metric_texts(comparison),
        methods=method_texts(comparison),
        runs=[
            {"name": run.name, "settings": _settings(run), "file": _file_name(run.name, len(comparison.runs))}
            for run in comparison.runs
        ],
        table=_table(comparison),
        data=script_json({"runs": [pack(run.findings) for run in comparison.runs]}),
    )


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


def _policy(css: str, js: str, *, pictures: str = "") -> str:
    # Hashes, not a nonce: a static file would carry the same nonce for ever.
    own = f"style-src {_hash(css)}; script-src {_hash(js)}"
    return f"default-src 'none'; {pictures}{own}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _runs(findings: Source | Sequence[Source], names: Sequence[str] | None) -> list[Run]:
    sources: list[Source] = [findings] if isinstance(findings, (Findings, Path, str)) else list(findings)
    if sources and all(isinstance(source, Finding) for source in sources):
        sources = [Findings(cast(Iterable[Finding], sources))]
    tables = [source if isinstance(source, Findings) else Findings.read(source) for source in sources]
    if not any(len(table) for table in tables):
        raise FindingsError("there is no finding to report; expected at least one. Run an audit first.")
    if names is not None and len(names) != len(tables):
        raise FindingsError(f"{len(names)} names for {len(tables)} runs; expected one name per run.")
    given = list(names) if names is not None else [_run_name(s, t) for s, t in zip(sources, tables, strict=True)]
    return [Run(name, table) for name, table in zip(unique_names(given), tables, strict=True)]


def _run_name(source: Source, table: Findings) -> str:
    for key in ("name", "run"):
        if isinstance(name := table.settings.get(key), str) and name:
            return name
    models = list(dict.fromkeys(row.model for row in table if row.model))
    if len(models) == 1:
        return models[0]
    if not isinstance(source, Findings):
        path = Path(source)
        return path.parent.name if path.stem == "findings" and path.parent.name else path.stem
    return "this run"


def _title(comparison: Comparison) -> str:
    models, data = _distinct(comparison, "model"), _distinct(comparison, "dataset")
    if is_study(comparison):
        return f"Study of {plural(len(models), 'model')}" if models else "Study of published results"
    if is_dedup(comparison):
        return f"Deduplication of {', '.join(data[:3]) or 'stored vectors'}"
    if is_classifier(comparison):
        return classifier_title(comparison)
    if len(comparison.runs) > 1:
        return f"Comparison of {plural(len(comparison.runs), 'run')}"
    drawn = any(m.first.metric == "generated_share" for m in comparison.measurements)
    what = ", ".join(models[:3]) or ("generated images" if drawn else "stored predictions")
    data = [name for name in data if name not in NO_TASK]
    return f"Bias audit of {what}" + (f" on {', '.join(data[:3])}" if data else "")


def _distinct(comparison: Comparison, name: str) -> list[str]:
    rows = (row for run in comparison.runs for row in run.findings if row.arm in ("", "before"))
    return list(dict.fromkeys(value for row in rows if (value := getattr(row, name))))


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    suites = list(
        dict.fromkeys(
            f"{row.suite} {row.suite_version}".strip() for run in comparison.runs for row in run.findings if row.suite
        )
    )
    repairs = list(dict.fromkeys(s.repair for s in comparison.series if s.repair))
    arms = [arm for run in comparison.runs for arm in arms_of(run)] if is_classifier(comparison) else []
    hashes = list(
        dict.fromkeys(row.config_hash[:12] for run in comparison.runs for row in run.findings if row.config_hash)
    )
    about = [m for m in comparison.measurements if not arms or m.free("training")]
    attributes = list(dict.fromkeys(m.first.attribute for m in about if m.first.attribute))
    facts = [
        ("Model", _few(_distinct(comparison, "model"))),
        ("Data", _few(_distinct(comparison, "dataset"))),
        ("Perceived attributes", _few(attributes)),
        ("Arms", _few(list(dict.fromkeys(arms)), 8)) if arms else ("Repairs", _few(repairs)),
        ("Suite", _few(suites)),
        ("Findings", f"{sum(len(run.findings) for run in comparison.runs):,}"),
        ("Configuration", _few(hashes)),
        ("Made with", f"fairvl {__version__}"),
    ]
    return [(name, value) for name, value in facts if value]


def _few(values: Sequence[str], most: int = 4) -> str:
    rest = len(values) - most
    return ", ".join(values[:most]) + (f" and {rest} more" if rest > 0 else "")


def _settings(run: Run) -> Mapping[str, Any]:
    # Through JSON, so that the page shows what the findings file holds, whatever types the settings had.
    settings: dict[str, Any] = json.loads(json.dumps(dict(run.findings.settings), default=str))
    made = {
        "package_version": sorted({row.package_version for row in run.findings}),
        "config_hash": sorted({row.config_hash for row in run.findings if row.config_hash}),
        "seed": sorted({row.seed for row in run.findings if row.seed is not None}),
        "method": sorted({row.method for row in run.findings if row.method}),
        "level": sorted({row.level for row in run.findings if row.level is not None}),
    }
    return {**settings, "of the findings": {name: values for name, values in made.items() if values}}


def _file_name(run: str, runs: int) -> str:
    if runs == 1:
        return "findings.json"
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in run).strip("-.")[:60]
    return f"findings-{safe or 'run'}.json"


@dataclass(frozen=True)
class Table:
    """The findings table: column names with their kind, rows of (text, sort key), and the filters on columns."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[tuple[str, str | None], ...], ...]
    choices: tuple[tuple[str, int, tuple[str, ...]], ...]
    note: str


def _table(comparison: Comparison) -> Table:
    several = len(comparison.runs) > 1
    names = [("Run", "text")] if several else []
    names += [
        ("Metric", "text"),
        ("What", "text"),
        ("Attribute", "text"),
        ("Groups", "text"),
        ("Arm", "text"),
        ("Value", "number"),
        ("Interval", "text"),
        ("p", "number"),
        ("p adjusted", "number"),
        ("n", "number"),
        ("Note", "text"),
    ]
    pairs = [(run.name, row) for run in comparison.runs for row in run.findings]
    rows = _within(_table_row(name if several else None, row) for name, row in pairs[:MOST_TABLE_ROWS])
    choices = []
    for i, (name, _) in enumerate(names):
        values = tuple(dict.fromkeys(row[i][0] for row in rows if row[i][0]))
        if name in ("Run", "Metric", "Attribute", "Groups", "Arm") and 1 < len(values) <= MOST_CHOICES:
            choices.append((name, i, values))
    note = f"{plural(len(pairs), 'finding')}, each with its interval and what it rests on."
    if len(pairs) > len(rows):
        note = (
            f"The table shows the first {len(rows):,} of {len(pairs):,} findings; the JSON download holds all of them."
        )
    return Table(tuple(names), rows, tuple(choices), note)


def _within(rows: Iterable[tuple[tuple[str, str | None], ...]]) -> tuple[tuple[tuple[str, str | None], ...], ...]:
    """The first rows that fit into the bytes a table may take."""
    kept, size = [], 0
    for row in rows:
        size += sum(len(text.encode()) + len(key or "") + 18 for text, key in row)
        if size > MOST_TABLE_BYTES:
            break
        kept.append(row)
    return tuple(kept)


def _table_row(run: str | None, row: Finding) -> tuple[tuple[str, str | None], ...]:
    what = [str(row.extra[k]) for k in SUBJECT if row.extra.get(k) not in (None, "")]
    known = {*SUBJECT, *PICTURES, "repair", "role", "x", "y", "a", "b"}
    what += [f"{k} {v}" for k, v in row.extra.items() if k not in known and v not in (None, "")]
    repair = str(row.extra.get("repair") or "")
    arm = f"{row.arm}, {repair}" if repair not in ("", row.arm) and row.arm != "before" else row.arm
    cells: list[tuple[str, str | None]] = [] if run is None else [(run, None)]
    cells += [
        (metric_of(row.metric, row.unit).label, None),
        (", ".join([*what, *([row.order] if row.order else [])]), None),
        (row.attribute, None),
        (row.groups, None),
        (arm, None),
        (value_text(row), _key(row.value)),
        (interval_text(row), None),
        (p_text(row.p), _key(row.p)),
        (p_text(row.p_adjusted), _key(row.p_adjusted)),
        (f"{row.n:,}", str(row.n)),
        (row.note, None),
    ]
    return tuple(cells)


def _key(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"
