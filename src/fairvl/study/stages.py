"""Does bias before fine-tuning go with bias after it, and either with how well the task is done?

Rows are runs: a model, an arm (as it was, continued on its own captions, on neutral ones), a seed, and what was
measured at each stage. Seeds of one arm are repetitions, not independent evidence: the *primary* level is one unit per
(model, arm), its mean over seeds. The level of single runs is shown beside it, its interval resampled by (model, arm)
where there are enough of them. Arms of one model still share the model; with few models that limits both levels.

"Independent" is said only where two one-sided tests place the correlation inside a stated margin. A correlation that
is merely not significant is "not decided", and the smallest correlation that this n would have found stands beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..findings import Finding, Findings
from ..stats.correlation import Correlation, Kind, correlation, correlation_equivalence
from ..stats.paired import Equivalence
from ..stats.power import detectable_correlation

STAGES = ("intrinsic", "extrinsic", "score")
PRIMARY, RUNS = "model and arm", "run"
KINDS: tuple[Kind, ...] = ("pearson", "spearman")


@dataclass(frozen=True, slots=True)
class StageRow:
    """One run. NaN where a stage was not measured; seeds of one (model, arm) must differ."""

    model: str
    arm: str = ""
    seed: int | str = 0
    intrinsic: float = math.nan
    extrinsic: float = math.nan
    score: float = math.nan


@dataclass(frozen=True)
class Link:
    """One correlation of two stages at one level.

    `detectable` is the smallest correlation that a two-sided test of `n` units finds with 80 % power. `verdict` is
    "related" (the interval excludes 0), "independent within +-margin" (the equivalence test succeeds), or "not
    decided"; at the level of runs it is "not the primary level".
    """

    x: str
    y: str
    level: str
    kind: str
    found: Correlation
    detectable: float
    equivalence: Equivalence
    verdict: str

    @property
    def n(self) -> int:
        """Units."""
        return self.found.n


@dataclass(frozen=True)
class StageLinks:
    """All links, the primary level first, and how many rows, units and models they rest on."""

    links: tuple[Link, ...]
    rows: int
    units: int
    models: int
    margin: float
    level: float
    notes: tuple[str, ...] = ()

    def one(self, x: str, y: str, *, level: str = PRIMARY, kind: str = "pearson") -> Link:
        """The link of two stages."""
        for link in self.links:
            if {link.x, link.y} == {x, y} and (link.level, link.kind) == (level, kind):
                return link
        raise InputError(f"no link of {x!r} and {y!r} at level {level!r}, {kind}; expected two of {STAGES}.")

    def table(self) -> str:
        """Markdown: a row per link."""
        head = ["stages", "level", "n", "kind", "correlation", f"{100 * self.level:g} % interval", "detectable", ""]
        lines = [head, ["---"] * len(head)]
        for link in self.links:
            r = link.found
            lines.append(
                [f"{link.x} - {link.y}", link.level, str(r.n), link.kind, _number(r.value),
                 f"{_number(r.low)} to {_number(r.high)}" if not math.isnan(r.value) else r.note,
                 f"{link.detectable:.2f}", link.verdict]
            )  # fmt: skip
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

    def findings(self) -> Findings:
        """A finding per link."""
        made = []
        for link in self.links:
            r, e = link.found, link.equivalence
            defined = not (math.isnan(r.value) or math.isnan(r.low))
            note = f"{link.verdict}; detectable at 80 % power: {link.detectable:.2f}"
            made.append(
                Finding(
                    "stage_correlation", r.value, "correlation", r.n, low=r.low if defined else None,
                    high=r.high if defined else None, level=self.level if defined else None,
                    method=r.method, p=None if math.isnan(r.p) else r.p, groups=f"{link.x} - {link.y}",
                    note="; ".join(text for text in (note, r.note) if text),
                    extra={"role": "diagnostic", "unit_of_analysis": link.level, "kind": link.kind,
                           "detectable": link.detectable, "margin": e.margin, "p_equivalence": e.p},
                )
            )  # fmt: skip
        return Findings(made, {"stages": {"rows": self.rows, "units": self.units, "models": self.models}})


def link_of_stages(
    rows: Iterable[StageRow | Mapping[str, Any]],
    *,
    margin: float = 0.3,
    alpha: float = 0.05,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> StageLinks:
    """Correlations of bias before fine-tuning, bias after it, and task score, over models and arms.

    Parameters
    ----------
    rows
        `StageRow` or mappings with its fields: ``model``, ``arm``, ``seed``, and any of ``intrinsic`` (amplification
        T->A before fine-tuning), ``extrinsic`` (A->T after it), ``score`` (of the task). Unmeasured ones may be absent.
    margin
        Correlations inside ``(-margin, margin)`` count as no relation worth the name. Chosen by you; printed.
    alpha
        Level of the equivalence test and of the detectable correlation.
    level, draws, seed
        Of the intervals (`fairvl.stats.correlation.correlation`).

    Raises
    ------
    InputError
        No rows, unknown fields, a (model, arm, seed) twice, numbers that are infinite.

    Examples
    --------
    >>> rows = [{"model": m, "arm": a, "seed": s, "intrinsic": x + s / 99, "extrinsic": x, "score": 0.5}
    ...         for m, a, x in (("A", "", 1), ("A", "n", 2), ("B", "", 3), ("B", "n", 4), ("C", "", 6)) for s in (0, 1)]
    >>> found = link_of_stages(rows)
    >>> link = found.one("intrinsic", "extrinsic")
    >>> link.n, round(link.found.value, 2), link.verdict, found.one("extrinsic", "score").found.note[:22]
    (5, 1.0, 'related', 'a variable is constant')
    """
    runs = _checked(rows)
    cells: dict[tuple[str, str], list[StageRow]] = {}
    for row in runs:
        cells.setdefault((row.model, row.arm), []).append(row)
    table = np.array([[getattr(row, stage) for stage in STAGES] for row in runs])
    means = np.array([_means(members) for members in cells.values()])
    clusters = [f"{row.model}\x00{row.arm}" for row in runs]
    repeated = len(runs) > len(cells)
    links = []
    for name, values, groups in ((PRIMARY, means, None), (RUNS, table, clusters)):
        if name == RUNS and not repeated:
            continue
        for i, j in ((0, 1), (0, 2), (1, 2)):
            x, y = values[:, i], values[:, j]
            if np.isnan(x).all() or np.isnan(y).all():
                continue
            for kind in KINDS:
                found = correlation(x, y, kind=kind, clusters=groups, draws=draws, level=level, seed=seed)
                spearman = kind == "spearman"
                same = correlation_equivalence(found.value, found.n, margin=margin, alpha=alpha, spearman=spearman)
                detectable = detectable_correlation(found.n, alpha=alpha)
                verdict = _verdict(found, same, margin) if name == PRIMARY else "not the primary level"
                links.append(Link(STAGES[i], STAGES[j], name, kind, found, detectable, same, verdict))
    absent = [stage for i, stage in enumerate(STAGES) if np.isnan(table[:, i]).all()]
    notes = [f"{stage}: not measured in any row" for stage in absent]
    models = len({row.model for row in runs})
    notes.append(f"{len(cells)} (model, arm) units of {models} models; arms of one model share that model")
    if repeated:
        notes.append("runs repeat (model, arm) units: their p-values and Fisher intervals take them as independent")
    return StageLinks(tuple(links), len(runs), len(cells), models, margin, level, tuple(notes))


def _checked(rows: Iterable[StageRow | Mapping[str, Any]]) -> list[StageRow]:
    runs: list[StageRow] = []
    for row in rows:
        if isinstance(row, Mapping):
            if unknown := set(row) - set(StageRow.__slots__):
                raise InputError(f"a row has {sorted(unknown)}; expected {', '.join(StageRow.__slots__)}.")
            if "model" not in row:
                raise InputError(f"a row names no model: {dict(row)}.")
            numbers = {stage: _float(row[stage], stage) for stage in STAGES if row.get(stage) is not None}
            row = StageRow(**{**{k: v for k, v in row.items() if k not in STAGES}, **numbers})
        if any(math.isinf(getattr(row, stage)) for stage in STAGES):
            raise InputError(f"{row}: an infinite value; expected numbers, NaN where nothing was measured.")
        runs.append(row)
    if not runs:
        raise InputError("no rows; expected one per run.")
    seen: set[tuple[str, str, int | str]] = set()
    for row in runs:
        key = (row.model, row.arm, row.seed)
        if key in seen:
            raise InputError(
                f"model {row.model!r}, arm {row.arm!r}, seed {row.seed!r} stands twice; name each run once."
            )
        seen.add(key)
    return runs


def _float(value: Any, stage: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{stage}={value!r}; expected a number.") from None


def _means(members: Sequence[StageRow]) -> list[float]:
    """Means over the seeds in which a stage was measured; NaN where it never was."""
    out = []
    for stage in STAGES:
        known = [value for row in members if not math.isnan(value := getattr(row, stage))]
        out.append(math.fsum(known) / len(known) if known else math.nan)
    return out


def _verdict(found: Correlation, same: Equivalence, margin: float) -> str:
    if math.isnan(found.value):
        return "undefined"
    if same.equivalent:
        return f"independent within \u00b1{margin:g}"
    return "related" if found.low > 0 or found.high < 0 else "not decided"


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.2f}".replace("-", "\u2212")
