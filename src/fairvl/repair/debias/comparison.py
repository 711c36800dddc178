"""All methods on one encoder: fairness beside utility, with intervals, and who is on the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import FairVLError, InputError
from ...findings import Finding, Findings
from ...measure.audit import audit, load_suite
from ...stats.estimate import Estimate
from .base import F64, Operator
from .fitting import METHODS, debias
from .material import encoded
from .neutral import neutral_prompts

if TYPE_CHECKING:
    from ...sources.encoders import Encoder

CONTROL = "random"
GROUPS = {"age": "age_group", "skin_tone": "skin"}  # what the suites call the attribute of a bank
GEOMETRY_DRAWS = 200


@dataclass(frozen=True)
class Point:
    """One method: what is left of the bias (smaller is fairer), what is left of the use (larger is better)."""

    method: str
    bias: Estimate
    utility: Estimate
    front: bool
    operator: Operator | None  # None for the encoder as it is

    @property
    def lam(self) -> float | None:
        """Strength of a calibration."""
        return None if self.operator is None else self.operator.card.lam


@dataclass(frozen=True)
class Comparison:
    """Every method's place, the findings behind it, and the methods that could not be fitted, with the reason."""

    points: tuple[Point, ...]
    findings: Findings
    bias_name: str
    utility_name: str
    failed: tuple[tuple[str, str], ...] = ()

    @property
    def front(self) -> tuple[str, ...]:
        """Methods that no other beats in both, from the fairest to the most useful."""
        chosen = sorted((p for p in self.points if p.front), key=lambda p: p.bias.value)
        return tuple(point.method for point in chosen)

    def table(self) -> str:
        """One line per method, fairest first; a star marks the front. With captions, recall at 5 stands beside it."""
        found = self.findings.where(metric="recall_at_k", task="retrieval, text to image", k=5)
        recall = {row.extra["repair"] or "as it is": row.value for row in found if row.arm != "difference"}
        extra = f" {'R@5':>7}" if recall else ""
        head = f"   {'method':24} {self.bias_name:>30} {self.utility_name:>30} {extra} {'rank':>5} {'lambda':>8}"
        lines = [head]
        for point in sorted(self.points, key=lambda p: p.bias.value):
            rank = "" if point.operator is None else f"{point.operator.rank}"
            lam = "" if point.lam is None else f"{point.lam:.3g}"
            cells = (f"{_cell(point.bias):>30} {_cell(point.utility):>30}", f"{rank:>5} {lam:>8}")
            hits = f" {recall.get(point.method, math.nan):7.3f}" if recall else ""
            lines.append(f" {'*' if point.front else ' '} {point.method:24} {cells[0]} {hits} {cells[1]}".rstrip())
        lines.append(" * on the Pareto front of the point estimates; intervals in brackets")
        lines += [f"   {method}: not fitted: {reason}" for method, reason in self.failed]
        return "\n".join(lines)

    def svg(self) -> str:
        """The same as a picture: bias to the left is less, utility upwards is more; crosses are intervals."""
        from .front import draw_front

        return draw_front(self.points, self.bias_name, self.utility_name)


def _cell(value: Estimate) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def compare_methods(
    encoder: Encoder, *, attribute: str = "gender", methods: Sequence[str] = METHODS, dataset: Any = None,
    references: Any = None, suite: str = "core", lam: float | str = "auto", subspace: Any = "pairs",
    bypass: bool = False, nearest: int | None = 20, draws: int = 1000, level: float = 0.95, seed: int = 0,
) -> Comparison:  # fmt: skip
    """Fit every method, measure all of them on the same images and texts, and find the Pareto front.

    Parameters
    ----------
    encoder : Encoder
    attribute : str
        As in `debias`.
    methods : names
        Of `debias`; ``random`` is the control of equal rank.
    dataset, suite, draws, level, seed
        As in `audit`. Without images the comparison is of texts alone.
    references : dataset, store or name, optional
        Other labelled images: then ``leace`` and ``equalised`` are fitted on them too.
    lam, subspace, bypass, nearest
        As in `debias`. ``auto`` never sees a text that the suite measures with.

    Returns
    -------
    Comparison
        Bias: mean MaxSkew over neutral queries; without images, the mean size of the social text associations with the
        attribute. Utility: mean zero-shot accuracy over tasks that do not ask for the attribute; without images, the
        correlation of all cosines between neutral texts with what they were. A mean over tasks or tests has the mean
        of their ends as its interval, which is at least as wide as the joint one.

    Raises
    ------
    InputError
        The suite measures nothing of the attribute on this encoder.
    """
    if unknown := [name for name in methods if name not in METHODS]:
        raise InputError(f"methods {unknown}; expected some of {', '.join(METHODS)}.")
    measured = load_suite(suite)
    shared: dict[str, Any] = {"attribute": attribute, "subspace": subspace, "seed": seed, "never": measured.texts()}
    operators: dict[str, Operator] = {}
    failed: list[tuple[str, str]] = []

    def fit(name: str, method: str, **options: Any) -> None:
        try:
            both = method == "circle"
            operators[name] = debias(encoder, method=method, bypass=bypass and not both, **shared, **options)
        except FairVLError as error:
            failed.append((name, str(error)))

    for method in methods:
        fit(method, method, **({"lam": lam} if method in ("calibrated", "calibration") else {}))
    if references is not None:
        for method in ("leace", "equalised"):
            if method in methods:
                options = {"nearest": nearest} if method == "equalised" else {}
                fit(f"{method}, images", method, references=references, **options)
    if not operators:
        raise InputError(f"no method could be fitted: {failed[0][1]}")
    findings = audit(encoder, dataset=dataset, suite=measured, operator=operators, draws=draws, level=level, seed=seed)
    points, names = _points(findings, operators, encoder, GROUPS.get(attribute, attribute), seed, level)
    rows = [row for point in points for row in _rows(point, attribute, names, seed)]
    return Comparison(points, findings + Findings(rows), *names, tuple(failed))


def _points(
    findings: Findings, operators: dict[str, Operator], encoder: Encoder, group: str, seed: int, level: float
) -> tuple[tuple[Point, ...], tuple[str, str]]:
    skews = findings.where(metric="mean_max_skew", attribute=group)
    tests = list(findings.where(metric="effect_size", order="text-text", attribute=group))
    tasks = [row for row in findings.where(metric="accuracy", groups="(all)", role="utility") if row.arm]
    names = ["mean MaxSkew", "mean accuracy"]
    if not len(skews):
        names[0] = "mean |effect size|"
    if not tasks:
        names[1] = "geometry kept"
    texts = () if tasks else tuple(neutral_prompts(encoder)[0])
    before = encoded(encoder, texts).rows(texts) if texts else np.empty((0, 0))

    def place(method: str, operator: Operator | None) -> tuple[Estimate, Estimate]:
        arm, repair = ("before", "") if operator is None else ("after", method)
        chosen = [r for r in (skews or tests) if r.arm == arm and r.extra.get("repair", "") == repair]
        bias = _mean(chosen, size=not len(skews))
        if tasks:
            return bias, _mean([r for r in tasks if r.arm == arm and r.extra.get("repair", "") == repair])
        return bias, _geometry(before, before if operator is None else operator(before), seed, level)

    places = {"as it is": place("", None), **{name: place(name, operator) for name, operator in operators.items()}}
    if all(math.isnan(bias.value) for bias, _ in places.values()):
        raise InputError(
            f"the suite measures nothing of {group!r} on {encoder.card.name}; give dataset= with labels of it, or "
            "another suite."
        )
    points = [
        Point(name, bias, utility, _undominated(name, places), operators.get(name))
        for name, (bias, utility) in places.items()
    ]
    return tuple(points), (names[0], names[1])


def _undominated(name: str, places: dict[str, tuple[Estimate, Estimate]]) -> bool:
    bias, utility = (part.value for part in places[name])
    if math.isnan(bias) or math.isnan(utility):
        return False
    return not any(
        other[0].value <= bias and other[1].value >= utility and (other[0].value < bias or other[1].value > utility)
        for other in places.values()
    )


def _mean(rows: Sequence[Finding], *, size: bool = False) -> Estimate:
    """Mean of rows; its ends are the means of their ends, which holds however the rows depend on each other."""
    known = [row for row in rows if not math.isnan(row.value)]
    if not known:
        return Estimate(math.nan, note="not measured")
    ends = [(row.value, row.value if row.low is None else row.low, row.value if row.high is None else row.high)
            for row in known]  # fmt: skip
    if size:
        ends = [(abs(v), 0.0 if low < 0 < high else min(abs(low), abs(high)), max(abs(low), abs(high)))
                for v, low, high in ends]  # fmt: skip
    value, low, high = (float(np.mean(part)) for part in zip(*ends, strict=True))
    level = known[0].level or 0.95
    method = known[0].method if len(known) == 1 else "mean of ends"
    return Estimate(value, low, high, max(row.n for row in known), level, method)


def _geometry(before: F64, after: F64, seed: int, level: float) -> Estimate:
    """Correlation of the cosines between texts before and after, with a percentile bootstrap over texts."""
    length = np.linalg.norm(after, axis=1, keepdims=True)
    unit = after / np.where(length > 0, length, 1.0)
    pair = np.triu_indices(len(before), 1)
    old, new = (before @ before.T), (unit @ unit.T)
    value = _correlation(old[pair], new[pair], np.ones(len(pair[0])))
    rng = np.random.default_rng([seed, 2])
    draws = []
    for _ in range(GEOMETRY_DRAWS):
        weight = np.bincount(rng.integers(0, len(before), len(before)), minlength=len(before)).astype(np.float64)
        draws.append(_correlation(old[pair], new[pair], weight[pair[0]] * weight[pair[1]]))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), len(before), level, "percentile")


def _correlation(x: F64, y: F64, weight: F64) -> float:
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    return float(weight @ (x * y) / np.sqrt((weight @ x**2) * (weight @ y**2)))


def _rows(point: Point, attribute: str, names: tuple[str, str], seed: int) -> list[Finding]:
    arm = "before" if point.operator is None else "after"
    extra: dict[str, Any] = {"repair": "" if point.operator is None else point.method, "front": point.front}
    if point.operator is not None:
        extra |= {"rank": point.operator.rank, "lam": None if point.lam == math.inf else point.lam}
    out = []
    for metric, name, value in (("repair_bias", names[0], point.bias), ("repair_utility", names[1], point.utility)):
        defined = not math.isnan(value.low)
        out.append(
            Finding(
                metric,
                value.value,
                name,
                value.n,
                low=value.low if defined else None,
                high=value.high if defined else None,
                level=value.level if defined else None,
                method=value.method,
                attribute=attribute,
                arm=arm,
                pair_id=metric,
                seed=seed,
                note=value.note,
                extra={**extra, "role": "fairness" if metric == "repair_bias" else "utility"},
            )
        )
    return out
