"""Recompute what the 131-model study printed, and write docs/study-published.md with both numbers and a verdict.

    FAIRVL_REALDATA=... python docs/study_published/run.py

Reads `derived`, `open_clip` and `clip_benchmark` of that folder; the page holds aggregates only. With --report FOLDER
it also writes the findings and the report page of the claims.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import fairvl
from fairvl import Finding, Findings
from fairvl.study.catalogue import FILTERINGS, CatalogueEntry
from fairvl.study.cells import critical_correlation, pool, reduction, significant
from fairvl.study.claims import DIFFERS, RECOMPUTED, CheckedClaim, Evidence, check_claims, claim_findings, load_claims
from fairvl.study.claims import read_evidence as read_evidence_of
from fairvl.study.performance import SCORES, ScoreTable, read_clip_benchmark, read_open_clip_results

HERE = Path(__file__).parent
ORDERS = ("text-text", "image-image", "image-text", "text-image")
DRAWS, PERMUTATIONS, SEED = 500, 499, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("FAIRVL_REALDATA"), help="default: FAIRVL_REALDATA")
    parser.add_argument("--page", type=Path, default=HERE.parent / "study-published.md")
    parser.add_argument("--report", type=Path, help="also write findings.json and report.html here")
    arguments = parser.parse_args()
    if arguments.data is None or not Path(arguments.data).is_dir():
        parser.error("no data: set FAIRVL_REALDATA or give --data")
    text, findings = write(Path(arguments.data))
    arguments.page.write_text(text, encoding="utf-8")
    if arguments.report:
        findings.write(arguments.report / "findings.json")
        fairvl.report(findings, arguments.report)


def write(data: Path) -> tuple[str, Findings]:
    """The page, and the findings of its claims."""
    evidence = read_evidence_of(data / "derived")
    checked = check_claims(load_claims(), evidence)
    mean = read_open_clip_results(data / "open_clip" / "openclip_results.csv")
    probe = data / "clip_benchmark" / "probe_openclip_results.csv"
    loader = FileSystemLoader(HERE)
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    counts = Counter(item.verdict for item in checked)
    page = environment.get_template("page.md.j2").render(
        counts=counts,
        differs=claims_table([item for item in checked if item.verdict == DIFFERS]),
        recomputed=claims_table([item for item in checked if item.verdict == RECOMPUTED]),
        unpublished=unpublished([item for item in checked if item.verdict not in (DIFFERS, RECOMPUTED)]),
        variances=variances(evidence),
        correlations=correlations(evidence),
        families=families(evidence.models),
        curation=curation(evidence.models),
        inflation=inflation(evidence.models),
        scores=scores(mean, [read_clip_benchmark(probe, name) for name in SCORES]),
        explained=explained(mean, evidence.models),
    )
    return page, claim_findings(checked)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)])


def number(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def claims_table(items: Sequence[CheckedClaim]) -> str:
    rows = []
    for item in items:
        digits = item.claim.decimals
        value = number(item.value, digits + 2)
        value = number(item.value, digits) if value.endswith("00") else value
        rows.append((item.claim.text, number(item.claim.printed, digits), value, item.claim.note))
    return table(("statement", "printed", "recomputed", "remark"), rows)


def unpublished(items: Sequence[CheckedClaim]) -> str:
    rows = [(item.claim.text, number(item.claim.printed, item.claim.decimals), item.claim.note) for item in items]
    return table(("statement", "printed", "why not"), rows)


def variances(evidence: Evidence) -> str:
    rows = []
    for order in (None, *ORDERS):
        old, new = (pool(cells, order=order) for cells in (evidence.old_cells, evidence.cells))
        fell = 100 * reduction(evidence.old_cells, evidence.cells, order=order)
        rows.append(
            (
                order or "all rows",
                f"{new.n:,}",
                number(old.variance, 4),
                number(new.variance, 4),
                f"{number(fell, 2)} %",
            )
        )
    old, new = pool(evidence.old_cells), pool(evidence.cells)
    fell = 100 * (1 - new.within / old.within)
    rows.append(
        ("within cells, all rows", f"{new.n:,}", number(old.within, 4), number(new.within, 4), f"{number(fell, 2)} %")
    )
    return table(("order", "rows", "variance, earlier stimuli", "variance, new stimuli", "fall"), rows)


def correlations(evidence: Evidence) -> str:
    cells = evidence.correlations
    kept = {name: significant(cells, n=131, correction=name) for name in ("none", "bh", "holm")}
    rows = []
    for topic in dict.fromkeys(cell.topic for cell in cells):
        of_topic = [i for i, cell in enumerate(cells) if cell.topic == topic]
        starred = [cells[i].r for i in of_topic if cells[i].starred]
        counts = [len(of_topic), sum(r > 0 for r in starred), sum(r < 0 for r in starred)]
        rows.append((topic, *map(str, counts), *(str(int(kept[name][of_topic].sum())) for name in kept)))
    rows.append(("**all**", *(str(sum(int(row[k]) for row in rows)) for k in range(1, 7))))
    lost = {
        name: [f"{c.topic} {c.order}" for c, keep in zip(cells, kept[name], strict=True) if c.starred and not keep]
        for name in ("bh", "holm")
    }
    limits = ", ".join(f"{critical_correlation(n):.4f} (n = {n})" for n in (131, 262, 393))
    head = ("topic", "cells", "printed stars, r > 0", "printed stars, r < 0", "p < 0.05", "Benjamini-Hochberg", "Holm")
    return (
        f"Smallest significant |r|: {limits}. With n = 131 models; Benjamini-Hochberg takes the star from "
        f"{', '.join(lost['bh'])}; Holm from {', '.join(lost['holm'])}.\n\n{table(head, rows)}"
    )


def families(models: Sequence[CatalogueEntry]) -> str:
    paper, corrected = (
        Counter(getattr(e, name) for e in models) for name in ("dataset_family_paper", "dataset_family")
    )
    rows = [
        (name, str(paper[name]), str(corrected[name])) for name in sorted(corrected, key=lambda name: -corrected[name])
    ]
    return table(("dataset family", "published rule", "corrected rule"), rows)


def curation(models: Sequence[CatalogueEntry]) -> str:
    rows = []
    for family in sorted({entry.dataset_family for entry in models}):
        counts = Counter(entry.filtering for entry in models if entry.dataset_family == family)
        rows.append((family, *(str(counts[name] or "") for name in FILTERINGS)))
    return table(("dataset family", *FILTERINGS), rows)


def inflation(models: Sequence[CatalogueEntry]) -> str:
    """Variance inflation of the published design: a property of the models' covariates, whatever d is."""
    rows = [
        Finding("effect_size", float(i % 7), "standard deviations", 2, note="only the design is read", model=e.model,
                extra={"test": name})
        for i, e in enumerate(models)
        for name in "ab"
    ]  # fmt: skip
    found = fairvl.study(
        Findings(rows),
        models=[entry.covariates("paper") for entry in models],
        factors=["params_m", "architecture_family", "dataset_family", "dataset_size"],
        reference={"dataset_family": "cc12m", "architecture_family": "CoCa"},
        draws=100,
        permutations=0,
    ).where(metric="vif", factor="dataset_family")
    levels = sorted((row for row in found if row.extra["level_name"]), key=lambda row: -row.value)
    return table(
        ("dataset family", "variance inflation"), [(str(r.extra["level_name"]), number(r.value, 1)) for r in levels]
    )


def scores(mean: ScoreTable, benchmark: Sequence[ScoreTable]) -> str:
    rows = []
    for origin, tab in (("open_clip", mean), *(("CLIP_benchmark", tab) for tab in benchmark)):
        both = sum(math.isfinite(a) and math.isfinite(b) for a, b in zip(tab.means, tab.stated, strict=True))
        rows.append((origin, tab.score, str(len(tab.datasets)), str(both), f"{tab.deviation:.1e}".replace("-", "−")))
    return table(("table", "score", "datasets", "models", "largest deviation from its own mean"), rows)


def explained(mean: ScoreTable, models: Sequence[CatalogueEntry]) -> str:
    """The study's machinery on a real population: what goes with accuracy, the 38 datasets in place of the tests."""
    place = {model: i for i, model in enumerate(mean.models)}
    known = [entry for entry in models if entry.model in place]
    rows = [
        Finding("effect_size", float(mean.values[place[e.model], j]), "share", 1, note="accuracy", model=e.model,
                extra={"test": name})
        for e in known
        for j, name in enumerate(mean.datasets)
    ]  # fmt: skip
    found = fairvl.study(
        Findings(rows), models=[e.covariates() for e in known], draws=DRAWS, permutations=PERMUTATIONS, seed=SEED
    )
    shares = found.where(metric="variance_share")
    body = []
    for row in shares.where(kind="marginal"):
        beyond = shares.one(kind="unique", factor=row.extra["factor"])
        body.append((str(row.extra["factor"]), _share(row), _share(beyond), _p(row.p_adjusted)))
    curated = {str(row.extra["kind"]): row for row in found.where(metric="filtering_contrast", level_name="(all)")}
    lines = [f"{len(known)} models, {len(mean.datasets)} datasets.", "", table(
        ("factor", "alone (interval)", "beyond all others (interval)", "p, Holm, alone"), body)]  # fmt: skip
    for kind, row in curated.items():
        lines += ["", f"Filtered minus unfiltered, {kind}: {_interval(row)} in accuracy."]
    return "\n".join(lines)


def _share(row: Finding) -> str:
    low, high = (math.nan if end is None else 100 * end for end in (row.low, row.high))
    return f"{number(100 * row.value, 1)} % ({number(low, 1)} to {number(high, 1)})"


def _interval(row: Finding) -> str:
    low, high = (math.nan if end is None else end for end in (row.low, row.high))
    return f"{number(row.value, 3)} ({number(low, 3)} to {number(high, 3)})"


def _p(p: float | None) -> str:
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


if __name__ == "__main__":
    main()
