"""Cluster-robust least squares: standard errors that allow anything within a cluster (all tests of one model)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .linear import design

Floats: TypeAlias = NDArray[np.float64]

_SATURATED = 1e-8


def cluster_robust(y: ArrayLike, x: ArrayLike, contrasts: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Contrasts of unit covariates from all cells, item effects held fixed, with CR2 standard errors by unit.

    Parameters
    ----------
    y : (units, items) array
        NaN marks a missing cell.
    x : (units, p) array
        Covariates of the units, the constant among them.
    contrasts : (k, p) array
        Must not involve the constant, which the item effects absorb.

    Returns
    -------
    value, standard_error, df : (k,) arrays
        CR2 (bias-reduced) standard errors with Satterthwaite degrees of freedom. NaN where the contrast is not
        estimable, or where it rests on a unit that the design fits perfectly (the only one of its level): such a
        unit shows no residual to learn its variance from.

    References
    ----------
    Bell and McCaffrey (2002), "Bias reduction in standard errors for linear regression with multi-stage samples";
    Pustejovsky and Tipton (2018), J. Bus. Econ. Stat. 36, equations 5 and 11.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat(np.eye(2), 10, axis=0)
    >>> y = group @ [0.0, 1.0] + 0.2 * rng.standard_normal(20)
    >>> value, error, df = cluster_robust(y[:, None] + np.zeros((20, 3)), group, [[-1, 1]])
    >>> value.round(2).tolist(), error.round(2).tolist(), df.round(1).tolist()
    ([0.89], [0.08], [18.0])
    """
    table, covariates = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
    weights = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
    if table.ndim != 2 or len(table) != len(covariates) or weights.shape[1] != covariates.shape[1]:
        raise InputError(
            f"y {table.shape}, x {covariates.shape}, contrasts {weights.shape}; expected [units, items], [units, p] "
            "and [k, p]."
        )
    unit, item = np.nonzero(~np.isnan(table))
    values = table[unit, item]
    plan = design(np.column_stack([covariates[unit], np.eye(table.shape[1])[item]]))
    c = np.column_stack([weights, np.zeros((len(weights), table.shape[1]))])
    usable = plan.estimable(c)
    gamma = plan.basis.T @ values
    rest = values - plan.basis @ gamma
    direction = c @ plan.back  # [k, r]: how the contrast reads the basis
    pulls, variance, weak = [], np.zeros(len(c)), np.zeros(len(c), dtype=bool)
    for rows in np.split(np.arange(len(values)), np.flatnonzero(np.diff(unit)) + 1):
        q = plan.basis[rows]
        leverage, axes = np.linalg.eigh(np.eye(len(rows)) - q @ q.T)
        flat = leverage < _SATURATED
        power = np.where(flat, 0.0, 1 / np.sqrt(np.maximum(leverage, _SATURATED)))
        plain = q @ direction.T  # [rows, k]
        reach = np.linalg.norm(axes[:, flat].T @ plain, axis=0) if flat.any() else np.zeros(len(c))
        weak |= reach > 1e-6 * np.maximum(np.linalg.norm(direction, axis=1), 1e-300)
        u = (axes * power) @ (axes.T @ plain)
        variance += (u.T @ rest[rows]) ** 2
        pulls.append(np.concatenate([(u**2).sum(axis=0)[None], q.T @ u]))
    stacked = np.stack(pulls)  # [units, 1 + r, k]
    df = np.array([_satterthwaite(stacked[:, 0, k], stacked[:, 1:, k]) for k in range(len(c))])
    bad = ~usable | weak
    value = np.where(usable, direction @ gamma, np.nan)
    return value, np.where(bad, np.nan, np.sqrt(variance)), np.where(bad, np.nan, df)


def _satterthwaite(squares: Floats, pulls: Floats) -> float:
    """Degrees of freedom tr(M)**2 / tr(M**2) of the quadratic form that the variance estimate is."""
    m = np.diag(squares) - pulls @ pulls.T
    return float(np.trace(m) ** 2 / max(float((m * m).sum()), np.finfo(np.float64).tiny))
