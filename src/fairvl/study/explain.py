"""Which factor explains bias: shares of variance, contrasts, slopes, inflation, and curation within families."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..stats.linear import (
    Design,
    Share,
    design,
    freedman_lane,
    inflation,
    permutation_orders,
    t_interval,
    variance_share,
)
from ..stats.mixed import adjusted_means, crossed_fit
from ..stats.robust import cluster_robust
from .factors import GRAND_MEAN, Factor, layout
from .rows import D, row, warning, with_adjusted
from .table import measured, whole

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

COLLINEAR = 5.0  # inflation above which a standard error says more about the design than about the models
LEAST_DF = 2
SHARE = "share of variance"


@dataclass(frozen=True, eq=False)
class Response:
    """What a scope's regressions explain: d by model and test, and the models' means (adjusted where cells miss)."""

    scope: str
    values: Floats
    means: Floats
    estimator: str
    level: float
    permutations: int
    seed: int

    @classmethod
    def of(cls, scope: str, values: Floats, *, estimator: str, level: float, permutations: int, seed: int) -> Response:
        return cls(scope, values, adjusted_means(values)[0], estimator, level, permutations, seed)

    def orders(self, n: int) -> NDArray[np.int64]:
        return permutation_orders(n, self.permutations, self.seed)


def complete(factors: Sequence[Factor]) -> Mask:
    """Models that have a value for every factor."""
    known: Mask = np.all([factor.known for factor in factors], axis=0)
    return known


def explain(response: Response, factors: Sequence[Factor]) -> list[Finding]:
    """Every finding of one scope about its factors."""
    found: list[Finding] = []
    for factor in factors:
        if not factor.varies(factor.known):
            found.append(
                warning(
                    "not estimable", f"{factor.name} is the same for all models; it can explain nothing here.", 1,
                    factor=factor.name,
                )
            )  # fmt: skip
    usable = [factor for factor in factors if factor.varies(factor.known)]
    for factor in usable:
        found += _of_design(response, [factor], factor.known, "marginal")
    if len(usable) > 1:
        found += _joint(response, usable)
    shares = [f for f in found if f.metric == "variance_share"]
    others = [f for f in found if f.metric != "variance_share"]
    effects = with_adjusted(others, ("metric", "scope", "kind", "factor"))
    return [*_ranked(with_adjusted(shares, ("scope", "kind"))), *effects]


def _joint(response: Response, factors: Sequence[Factor]) -> list[Finding]:
    keep = complete(factors)
    factors = [factor for factor in factors if factor.varies(keep)]
    lacking = int((~keep).sum())
    found: list[Finding] = []
    if lacking:
        names = ", ".join(f.name for f in factors if not f.known.all())
        found.append(
            warning(
                "missing covariate", f"{lacking} models lack {names}; the adjusted analyses leave them out.", lacking
            )
        )  # fmt: skip
    if len(factors) < 2:
        return found
    if design(layout(factors, keep)[0]).df < LEAST_DF:
        note = f"{int(keep.sum())} models are too few for all factors at once; only the marginal analyses are given."
        return [*found, warning("not estimable", note, 1)]
    return [*found, *_of_design(response, factors, keep, "adjusted")]


def _of_design(response: Response, factors: Sequence[Factor], keep: Mask, kind: str) -> list[Finding]:
    """Shares and effects of each factor within one design."""
    x, places = layout(factors, keep)
    if design(x).df < LEAST_DF:
        note = f"{int(keep.sum())} models are too few for {factors[0].name}."
        return [warning("not estimable", note, 1, factor=factors[0].name)]
    orders = response.orders(len(x))
    found = []
    for factor in factors:
        found.append(_share(response, factor, keep, x, places[factor.name], kind, orders))
        beside = [other for other in factors if other is factor or _separable(factor, other, keep)]
        found += _effects(response, factor, beside, keep, kind, orders)
    return found


def _separable(factor: Factor, other: Factor, keep: Mask) -> bool:
    """True when `other` can stand beside `factor` in a design without taking single contrasts of it away.

    Curation that is unknown for whole families is their indicator: with both in one design, no contrast of families
    is estimable. A factor that `other` decides wholly keeps it: its own effect cannot be known.
    """
    own, theirs = factor.columns(keep), other.columns(keep)
    one = np.ones((len(own), 1))
    rank, rank_other = (design(np.column_stack([one, part])).rank for part in (own, theirs))
    both = design(np.column_stack([one, own, theirs])).rank
    return both == rank + rank_other - 1 or both == rank_other


def _share(
    response: Response, factor: Factor, keep: Mask, x: Floats, place: slice, kind: str, orders: NDArray[np.int64]
) -> Finding:
    others, tested = np.delete(x, np.r_[place], axis=1), x[:, place]
    y = response.means[keep]
    share = variance_share(y, others, tested, level=response.level)
    note = _why_no_share(share)
    if share.df == 0:
        note = "the other factors determine this one; its own share cannot be told from theirs"
    return row(
        "variance_share", max(share.value, 0.0) if share.df else math.nan, SHARE, len(y),
        low=share.low, high=share.high, level=response.level, p=share.p, note=note,
        method="noncentral F", seed=response.seed, scope=response.scope, factor=factor.name,
        kind="marginal" if kind == "marginal" else "unique", raw=share.value,
        partial=share.partial if kind != "marginal" else math.nan, f=share.f if math.isfinite(share.f) else math.nan,
        df=share.df, df_residual=share.df_residual,
        p_permutation=freedman_lane(y, others, tested, orders) if len(orders) else math.nan,
    )  # fmt: skip


def _why_no_share(share: Share) -> str:
    return "the models do not differ in d; there is no variance to explain" if math.isnan(share.value) else ""


def _effects(
    response: Response, factor: Factor, beside: Sequence[Factor], keep: Mask, kind: str, orders: NDArray[np.int64]
) -> list[Finding]:
    x, places = layout(beside, keep)
    names, weights = factor.contrasts(keep)
    contrasts = np.zeros((len(weights), x.shape[1]))
    contrasts[:, places[factor.name]] = weights
    value, error, df, estimator = estimate(response, keep, x, contrasts)
    low, high, p = t_interval(value, error, df, response.level)
    found = []
    for i, name in enumerate(names):
        permuted = permuted_p(response.means[keep], x, contrasts[i], orders)
        count = (
            int(keep.sum()) if factor.codes is None else int((factor.codes[keep] == factor.levels.index(name)).sum())
        )
        columns: dict[str, Any] = {
            "scope": response.scope, "factor": factor.name, "kind": kind, "estimator": estimator, "model_count": count,
            "standard_error": float(error[i]), "df": float(df[i]), "p_permutation": permuted, "method": "t",
            "seed": response.seed, "adjusted_for": ", ".join(f.name for f in beside if f is not factor) or None,
        }  # fmt: skip
        p_value = permuted if response.estimator == "permutation" else float(p[i])
        if factor.codes is None:
            metric, unit = "coefficient", f"d per standard deviation of {factor.label}"
            columns["term"] = factor.label
        else:
            metric, unit = "contrast", D
            columns |= {"level_name": name, "against": factor.reference or GRAND_MEAN}
        found.append(
            row(
                metric, float(value[i]), unit, int(keep.sum()), low=float(low[i]), high=float(high[i]),
                level=response.level, p=p_value, note=_effect_note(factor, value[i], error[i], count), **columns,
            )
        )  # fmt: skip
    return found


def _effect_note(factor: Factor, value: float, error: float, count: int) -> str:
    if math.isnan(value):
        return "not estimable: the other factors determine it, or the reference level has no model here"
    single = factor.codes is not None and count == 1
    if math.isnan(error):
        return "rests on a level or a reference of a single model, which shows no residual to learn its variance from"
    return "the only model of its level: it cannot be told from that model's own deviation" if single else ""


def estimate(response: Response, keep: Mask, x: Floats, contrasts: Floats) -> tuple[Floats, Floats, Floats, str]:
    """Values, standard errors and degrees of freedom of contrasts, by the estimator that was asked for."""
    y = response.values[keep]
    y = y[:, measured(y, axis=0)]
    broken = ~whole(contrasts)
    weights = np.where(broken[:, None], 0.0, contrasts)
    if response.estimator == "cluster-robust":
        value, error, df = cluster_robust(y, x, weights)
        name = "cluster-robust"
    else:
        fit = crossed_fit(y, x)
        value, error = fit.contrast(weights)
        df, name = np.full(len(value), fit.df), fit.method
    return np.where(broken, np.nan, value), np.where(broken, np.nan, error), df, name


def permuted_p(y: Floats, x: Floats, contrast: Floats, orders: NDArray[np.int64]) -> float:
    """Model-level permutation p of one contrast of a design (Freedman and Lane)."""
    size = float(np.linalg.norm(contrast))
    if not len(orders) or not math.isfinite(size) or size == 0:
        return math.nan
    direction = contrast / size
    free = np.linalg.svd(direction[None])[2][1:].T  # coefficients under which the contrast is 0
    return freedman_lane(y, x @ free, x @ direction[:, None], orders)


def _ranked(shares: list[Finding]) -> list[Finding]:
    ranks: dict[int, int] = {}
    for kind in ("marginal", "unique"):
        group = [i for i, f in enumerate(shares) if f.extra["kind"] == kind and not math.isnan(f.value)]
        raw = {i: float(shares[i].extra["raw"]) for i in group}  # type: ignore[arg-type]
        ranks |= {i: rank for rank, i in enumerate(sorted(group, key=lambda i: -raw[i]), start=1)}
    return [
        replace(f, extra={**f.extra, "rank": ranks[i]}) if i in ranks else f
        for i, f in sorted(enumerate(shares), key=lambda pair: (str(pair[1].extra["kind"]), ranks.get(pair[0], 99)))
    ]


def inflation_rows(factors: Sequence[Factor]) -> list[Finding]:
    """Inflation of each factor and level by the others, and warnings where it is large."""
    usable = [factor for factor in factors if factor.varies(factor.known)]
    keep = complete(usable) if usable else np.zeros(0, dtype=bool)
    usable = [factor for factor in usable if factor.varies(keep)]
    if len(usable) < 2:
        return []
    x, places = layout(usable, keep)
    plan, n, found = design(x), int(keep.sum()), []
    for factor in usable:
        place = places[factor.name]
        others, own = np.delete(x, np.r_[0, np.r_[place]], axis=1), x[:, place]
        df = design(np.column_stack([np.ones(n), own])).rank - 1
        rows = [_vif(factor.name, "", inflation(others, own) ** (1 / df), n, df=df)]
        if factor.codes is not None:
            for name, contrast in zip(*factor.contrasts(keep), strict=True):
                rows.append(_vif(factor.name, name, _level_inflation(plan, x, place, factor, keep, name, contrast), n))
        worst = max(rows, key=lambda f: -1.0 if math.isnan(f.value) else f.value)
        if worst.value > COLLINEAR:
            what = f"{factor.name} {worst.extra['level_name']}".strip()
            note = (
                f"{what} is nearly decided by the other columns (variance inflation {worst.value:.3g}); read the "
                "marginal and the adjusted figures side by side."
            )
            rows.append(warning("collinear", note, 1, factor=factor.name, level_name=worst.extra["level_name"]))
        found += rows
    return found


def _vif(factor: str, level_name: str, value: float, n: int, **columns: int) -> Finding:
    note = "a property of the design, without sampling error" + ("" if math.isfinite(value) else "; wholly aliased")
    return row("vif", value, "ratio", n, note=note, factor=factor, level_name=level_name, **columns)


def _level_inflation(
    plan: Design, x: Floats, place: slice, factor: Factor, keep: Mask, name: str, contrast: Floats
) -> float:
    """Against a reference level: of its indicator by all others, as usual. Against the grand mean: of the contrast's
    variance by the other factors, which does not depend on a coding."""
    levels = [factor.levels[code] for code in factor.present_levels(keep)]
    if factor.reference:
        if factor.reference not in levels:
            return math.nan
        base, own = place.start + levels.index(factor.reference), place.start + levels.index(name)
        return inflation(np.delete(x, [0, base, own], axis=1), x[:, [own]])
    alone = design(np.column_stack([np.ones(len(x)), x[:, place]]))
    wide = np.zeros(x.shape[1])
    wide[place] = contrast
    if not plan.estimable(wide)[0]:
        return math.inf
    narrow = np.concatenate([[0.0], contrast])
    return float(((wide @ plan.back) ** 2).sum() / ((narrow @ alone.back) ** 2).sum())


def level_rows(factors: Sequence[Factor]) -> list[Finding]:
    """Models per level, and warnings on levels with a single model and on alphabetical or single-model references."""
    found: list[Finding] = []
    for factor in factors:
        if factor.codes is None:
            continue
        counts = np.bincount(factor.codes, minlength=len(factor.levels))
        found += [
            row("level_size", float(count), "models", int(count), factor=factor.name, level_name=level)
            for level, count in zip(factor.levels, counts, strict=True)
        ]
        if single := [level for level, count in zip(factor.levels, counts, strict=True) if count == 1]:
            note = f"{factor.name}: one model each at {', '.join(single)}; such a level cannot be told from its model."
            found.append(warning("single-model level", note, len(single), factor=factor.name, level_name=single[0]))
        if factor.reference in single:
            note = (
                f"{factor.name}: every contrast is against {factor.reference!r}, a single model, and inherits its "
                "deviation. Refer to the grand mean, or to a level of several models."
            )
            found.append(warning("single-model reference", note, 1, factor=factor.name, level_name=factor.reference))
    return found
