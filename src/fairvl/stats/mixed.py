"""Crossed random effects for a table of units by items (models by tests), by REML.

``y_ij = x_i' b + u_i + v_j + e_ij`` with independent normal effects of unit i (variance `unit`), item j (`item`) and
a rest (`residual`). Units are what one generalises over: inference about b counts units, not cells, so that 26 tests
of one model are not 26 models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .linear import Design, design

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CrossedFit:
    """A fit of crossed random effects.

    Attributes
    ----------
    coefficients : (p,) array
        Minimum-norm coefficients; only estimable contrasts of them mean something.
    covariance : (p, p) array
    df : float
        Degrees of freedom for contrasts of units: units minus the rank of the design.
    variance_unit, variance_item, variance_residual : float
        REML variances, not below 0; NaN where the table cannot tell (one item).
    unit_effects : (units,) array
        Best linear predictions of u.
    method : str
        "closed form" (balanced) or "reml".
    converged : bool
    boundary : bool
        A variance was estimated at 0.
    """

    design: Design
    coefficients: Floats
    covariance: Floats
    df: float
    variance_unit: float
    variance_item: float
    variance_residual: float
    unit_effects: Floats
    method: str
    converged: bool
    boundary: bool

    def contrast(self, weights: ArrayLike) -> tuple[Floats, Floats]:
        """Estimates and standard errors [k] of the rows of `weights` [k, p]; NaN where not estimable."""
        c = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        usable = self.design.estimable(c)
        value = np.where(usable, c @ self.coefficients, np.nan)
        variance = np.einsum("kp,pq,kq->k", c, self.covariance, c)
        return value, np.where(usable, np.sqrt(np.maximum(variance, 0.0)), np.nan)


def crossed_fit(y: ArrayLike, x: ArrayLike) -> CrossedFit:
    """Fit crossed random effects of units and items by REML; closed form when no cell is missing.

    Parameters
    ----------
    y : (units, items) array
        NaN marks a missing cell. Every unit and every item needs one value.
    x : (units, p) array
        Covariates of the units, the constant among them. May be short of rank.

    Returns
    -------
    CrossedFit

    Raises
    ------
    InputError
        Shapes that do not agree, an empty row or column, no degrees of freedom left.

    Notes
    -----
    Balanced, generalised and ordinary least squares agree, and the fit is ordinary least squares on the units'
    means, ``Var b = s2 pinv(X'X) + variance_item / items c c'`` with ``X c = 1`` (only the constant feels which items
    were drawn). ``s2`` is the residual mean square of the means on ``units - rank`` degrees of freedom: REML's value
    wherever its variance between units is positive. On the boundary REML would pool it with the cells'; this does
    not, so that t tests stay exact. Unbalanced: the profiled REML deviance of Bates et al. (2015, section 3),
    minimised over two ratios of standard deviations; t tests on ``units - rank`` degrees of freedom are then
    approximate.

    References
    ----------
    Searle, Casella and McCulloch (1992), Variance components, sections 4.5 and 6.6. Bates et al. (2015), "Fitting
    linear mixed-effects models using lme4", J. Stat. Softw. 67.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size = np.linspace(-1, 1, 12)
    >>> y = 0.5 * size[:, None] + 0.1 * rng.standard_normal((12, 1)) + 0.3 * rng.standard_normal((12, 5))
    >>> fit = crossed_fit(y, np.column_stack([np.ones(12), size]))
    >>> value, error = fit.contrast([0, 1])
    >>> fit.method, value.round(2).tolist(), error.round(2).tolist()
    ('closed form', [0.55], [0.1])
    """
    table, covariates = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
    if table.ndim != 2 or covariates.ndim != 2 or len(table) != len(covariates):
        raise InputError(
            f"y of shape {table.shape}, x of shape {covariates.shape}; expected [units, items], [units, p]."
        )
    present = ~np.isnan(table)
    if not (present.any(axis=1).all() and present.any(axis=0).all()):
        raise InputError("a unit or an item has no value at all; leave it out.")
    plan = design(covariates)
    if plan.df < 1:
        raise InputError(
            f"{len(table)} units and {plan.rank} free coefficients; nothing is left to estimate noise with. "
            "Use fewer factors or levels, or more units."
        )
    return _closed(table, plan) if present.all() else _reml(table, present, plan)


def _closed(y: Floats, plan: Design) -> CrossedFit:
    units, items = y.shape
    means, item_means, grand = y.mean(axis=1), y.mean(axis=0), y.mean()
    gamma = plan.basis.T @ means
    rest = means - plan.basis @ gamma
    s2 = float(rest @ rest) / plan.df
    unit, item, residual = math.nan, 0.0, math.nan
    if items > 1:
        cells = y - means[:, None] - item_means + grand
        residual = float((cells**2).sum()) / ((units - 1) * (items - 1))
        unit = max(s2 - residual / items, 0.0)
        item = max(float(((item_means - grand) ** 2).sum()) / (items - 1) - residual / units, 0.0)
    constant = plan.back @ (plan.basis.T @ np.ones(units))
    covariance = s2 * plan.back @ plan.back.T + item / items * np.outer(constant, constant)
    shrinkage = unit / s2 if items > 1 and s2 > 0 else 1.0
    return CrossedFit(
        plan, plan.back @ gamma, covariance, float(plan.df), unit, item if items > 1 else math.nan, residual,
        min(shrinkage, 1.0) * rest, "closed form", True, bool(unit == 0.0 or (items > 1 and item == 0.0)),
    )  # fmt: skip


class _Products:
    """Cross products of a table with missing cells, and the profiled deviance made of them.

    Given the units' variance, ``(I + r Zu Zu')^-1`` acts on unit sums alone (Woodbury), so the units are eliminated
    first and only an items-by-items system is left to factor.
    """

    def __init__(self, y: Floats, present: NDArray[np.bool_], basis: Floats) -> None:
        self.centre = float(y[present].mean())
        self.mask, self.basis = present.astype(np.float64), basis
        values = np.where(present, y - self.centre, 0.0)
        self.per_unit, self.per_item = self.mask.sum(axis=1), self.mask.sum(axis=0)
        self.unit_sums, self.item_sums = values.sum(axis=1), values.sum(axis=0)
        self.yy, self.free = float((values**2).sum()), int(self.mask.sum()) - basis.shape[1]

    def solve(self, ratios: Floats) -> tuple[float, Floats, Floats, float, Floats]:
        """REML deviance, coefficients, (X'V^-1X)^-1 over sigma2, sigma2 and unit effects at two ratios of SDs."""
        r, s = float(ratios[0]) ** 2, float(ratios[1]) ** 2
        weight = r / (1 + r * self.per_unit)
        kept = 1 - weight * self.per_unit
        vv = np.diag(self.per_item) - self.mask.T @ (weight[:, None] * self.mask)
        vx = self.mask.T @ (kept[:, None] * self.basis)
        vy = self.item_sums - self.mask.T @ (weight * self.unit_sums)
        xx = self.basis.T @ ((self.per_unit * kept)[:, None] * self.basis)
        xy = self.basis.T @ (kept * self.unit_sums)
        system = np.eye(len(vv)) + s * vv
        given = s * np.linalg.solve(system, np.column_stack([vx, vy]))
        information = xx - vx.T @ given[:, :-1]
        slope = xy - vx.T @ given[:, -1]
        inverse = np.linalg.inv(information)
        beta = inverse @ slope
        rss = self.yy - float(weight @ self.unit_sums**2) - float(vy @ given[:, -1]) - float(slope @ beta)
        rss = max(rss, np.finfo(np.float64).tiny)
        logs = np.log1p(r * self.per_unit).sum() + np.linalg.slogdet(system)[1] + np.linalg.slogdet(information)[1]
        deviance = float(logs) + self.free * (1 + math.log(2 * math.pi * rss / self.free))
        items = given[:, -1] - given[:, :-1] @ beta
        units = weight * (self.unit_sums - self.per_unit * (self.basis @ beta) - self.mask @ items)
        return deviance, beta, inverse, rss / self.free, units


def _reml(y: Floats, present: NDArray[np.bool_], plan: Design) -> CrossedFit:
    from scipy.optimize import minimize

    products = _Products(y, present, plan.basis)
    units, items = adjusted_means(y)
    rough = _closed(np.where(present, y, units[:, None] + items - items.mean()), plan)  # close, for few missing cells
    start = np.sqrt(np.array([rough.variance_unit, rough.variance_item]) / max(rough.variance_residual, 1e-12))
    best = minimize(
        lambda ratios: products.solve(ratios)[0], np.clip(np.nan_to_num(start, nan=0.5), 0.05, 1e2),
        method="L-BFGS-B", bounds=[(0.0, 1e3)] * 2, options={"ftol": 1e-12, "gtol": 1e-6, "maxiter": 200},
    )  # fmt: skip
    _, beta, inverse, sigma2, effects = products.solve(best.x)
    constant = plan.back @ (plan.basis.T @ np.ones(len(y)))
    unit, item = (float(ratio) ** 2 * sigma2 for ratio in best.x)
    return CrossedFit(
        plan, plan.back @ beta + products.centre * constant, sigma2 * plan.back @ inverse @ plan.back.T, float(plan.df),
        unit, item, sigma2, effects, "reml", bool(np.isfinite(best.fun) and best.status in (0, 2)),
        bool(min(best.x) < 1e-6),
    )  # fmt: skip


def adjusted_means(y: ArrayLike) -> tuple[Floats, Floats]:
    """Unit means [units] and item means [items] of the additive fit: plain means when no cell is missing.

    A unit that lacks hard items is not made to look good: its mean is what the additive model expects over all items.

    Raises
    ------
    InputError
        An empty row or column, or a table that falls into blocks without a shared item.

    Examples
    --------
    >>> units, items = adjusted_means([[0.0, 2.0], [1.0, np.nan]])
    >>> units.round(6).tolist(), items.round(6).tolist()
    ([1.0, 2.0], [0.5, 2.5])
    """
    table = np.asarray(y, dtype=np.float64)
    present = ~np.isnan(table)
    if not (present.any(axis=1).all() and present.any(axis=0).all()):
        raise InputError("a unit or an item has no value at all; leave it out.")
    if present.all():
        return table.mean(axis=1), table.mean(axis=0)
    mask = present.astype(np.float64)
    values = np.where(present, table, 0.0)
    normal = np.block([[np.diag(mask.sum(axis=1)), mask], [mask.T, np.diag(mask.sum(axis=0))]])
    if np.linalg.matrix_rank(normal, hermitian=True) < len(normal) - 1:
        raise InputError("the table falls into blocks that share no item, so units cannot be compared across them.")
    effects = np.linalg.pinv(normal, hermitian=True) @ np.concatenate([values.sum(axis=1), values.sum(axis=0)])
    unit, item = effects[: len(table)], effects[len(table) :]
    return unit + item.mean(), item + unit.mean()
