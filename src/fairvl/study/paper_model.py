"""The paper's own regression: a mixed model of rows, with the models' families as treatment contrasts.

It has no effect of the model, so rows of one model count as independent evidence; `fairvl.study` offers it to compare
with what was published, not to conclude from.
"""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, missing_extra
from ..findings import Finding
from ..sources.datasets.table import nearest
from .factors import Factor, factors_of
from .rows import D, row, warning
from .table import ResultTable

Floats: TypeAlias = NDArray[np.float64]

NEEDED = ("params_m", "architecture_family", "dataset_family", "dataset_size")


def paper_rows(table: ResultTable, *, level: float = 0.95) -> list[Finding]:
    """``effect_size ~ log_params + architecture_family + dataset_family + log_dataset_size`` by REML, as published.

    Random intercept and slopes of both logarithms, grouped by order x topic; natural logs, standardised over rows;
    treatment contrasts against the alphabetically first level; Wald z; lbfgs with 1,000 iterations.

    Raises
    ------
    InputError
        One of the four covariates is missing, for all models or for some.
    MissingExtraError
        statsmodels is not installed.

    References
    ----------
    Ghate et al. (2025), arXiv 2502.07957, section on regression.
    """
    try:
        module = importlib.import_module("statsmodels.regression.mixed_linear_model")
    except ImportError:
        raise missing_extra("statsmodels", "study") from None
    endog, exog, names, random, groups = _rows(table)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = module.MixedLM(endog, exog, groups, exog_re=random)
        try:
            fit = model.fit(reml=True, method="lbfgs", maxiter=1000)
        except np.linalg.LinAlgError as error:
            raise InputError(
                f"the paper's mixed model cannot be fitted to these results ({error}): its families are collinear. "
                'Use estimator="crossed", which says which contrasts can be estimated.'
            ) from None
        estimates = tuple(np.asarray(part)[: len(names)] for part in (fit.fe_params, fit.bse_fe, fit.pvalues))
    said = "; ".join(dict.fromkeys(str(w.message).splitlines()[0] for w in caught if "onverge" in str(w.message)))
    return _findings(fit, estimates, names, len(table.models), level, said)


def _rows(table: ResultTable) -> tuple[Floats, Floats, list[str], Floats, NDArray[Any]]:
    for name in NEEDED:
        if not any(cell is not None for cell in table.covariates.get(name, ())):
            raise InputError(
                f"the paper's model needs the covariate {name!r}. " + nearest(name, list(table.covariates))
            )
    factors = {factor.name: factor for factor in factors_of(table, NEEDED)}
    keep = np.logical_and.reduce([factor.known for factor in factors.values()])
    model, test = np.nonzero(~np.isnan(table.values) & keep[:, None])
    if not len(model):
        raise InputError("no model has all four covariates of the paper's model and a result.")
    columns, names = [np.ones(len(model))], ["Intercept"]
    for name in ("architecture_family", "dataset_family"):
        indicators, levels = _treatment(factors[name], model)
        columns += indicators
        names += levels
    logs = [_standardised(factors[name], model) for name in ("params_m", "dataset_size")]
    columns += logs
    groups = np.array([f"{table.tests[i].order} x {table.tests[i].topic}" for i in test])
    random = np.column_stack([np.ones(len(model)), *logs])
    return (
        table.values[model, test], np.column_stack(columns), [*names, "log_params", "log_dataset_size"], random, groups,
    )  # fmt: skip


def _treatment(factor: Factor, model: NDArray[np.intp]) -> tuple[list[Floats], list[str]]:
    assert factor.codes is not None
    codes = factor.codes[model]
    present = np.unique(codes)[1:]
    return [(codes == code).astype(np.float64) for code in present], [
        f"{factor.name}[{factor.levels[c]}]" for c in present
    ]


def _standardised(factor: Factor, model: NDArray[np.intp]) -> Floats:
    assert factor.numbers is not None
    values = factor.numbers[model]
    if np.ptp(values) <= 0:
        raise InputError(f"{factor.name} is the same for all models; the paper's model cannot be fitted.")
    standard: Floats = (values - values.mean()) / values.std()
    return standard


def _findings(
    fit: Any, estimates: tuple[Floats, ...], names: list[str], models: int, level: float, said: str
) -> list[Finding]:
    from scipy.special import ndtri

    converged = bool(fit.converged) and not said
    reach = float(ndtri((1 + level) / 2))
    note = "rows of one model are taken as independent (the paper's form)" + ("" if converged else "; did not converge")
    shared: dict[str, Any] = {
        "scope": "all", "kind": "adjusted", "estimator": "paper", "converged": converged, "model_count": models
    }  # fmt: skip
    found = []
    for name, value, error, p in zip(names, *estimates, strict=True):
        found.append(
            row(
                "coefficient", float(value), D, int(fit.nobs), low=float(value - reach * error),
                high=float(value + reach * error), level=level, p=float(p), method="wald z", note=note,
                factor=name.partition("[")[0], level_name=name.partition("[")[2].rstrip("]") or None, term=name,
                standard_error=float(error), **shared,
            )
        )  # fmt: skip
    for name, value in (("group variance", fit.cov_re[0, 0] if fit.cov_re.ndim else math.nan), ("scale", fit.scale)):
        found.append(
            row(
                "variance_component", float(value), "variance of d", int(fit.nobs),
                note="no interval in the paper's form", component=name, **shared,
            )
        )  # fmt: skip
    reference = "the paper's model refers to the alphabetically first level of each family; its contrasts inherit that."
    found.append(warning("alphabetical reference", reference, 1))
    if not converged:
        note = (
            f"the paper's mixed model did not converge ({said or 'the optimiser gave up'}): its estimates are those of "
            "the optimiser's last step, and its standard errors, intervals and p-values are unreliable."
        )
        found.append(warning("not converged", note, 1))
    return found
