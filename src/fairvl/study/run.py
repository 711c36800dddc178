"""The study: what a sweep's results say about the population of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..findings import Finding, Findings
from ..fingerprints import fingerprint
from ..sources.datasets.table import nearest
from ..stats.bootstrap import unit_codes
from .curation import filtering_rows
from .describe import model_rows, test_rows
from .explain import Response, explain, inflation_rows, level_rows
from .factors import ALPHABETICAL, GRAND_MEAN, MISSING, Factor, factors_of
from .modality import order_rows
from .rows import warning
from .scores import CONTROLS, score_rows
from .table import TABLE_OF_MODELS, Covariates, Results, ResultTable, measured, read_results

Estimator: TypeAlias = Literal["crossed", "cluster-robust", "permutation", "paper"]
Codes: TypeAlias = NDArray[np.int64]

SCHEMA = 1
LEAST_MODELS = 4


def study(
    results: Results,
    *,
    models: Covariates | None = None,
    performance: Covariates | None = None,
    factors: Sequence[str] | None = None,
    reference: str | Mapping[str, str] | None = None,
    estimator: Estimator = "crossed",
    controls: Sequence[str] = CONTROLS,
    cluster: str | None = None,
    draws: int = 2000,
    permutations: int = 999,
    level: float = 0.95,
    seed: int = 0,
    claims: Path | str | None = None,
) -> Findings:
    """Explain bias across models: which factor goes with it, how modality matters, how it goes with performance.

    Parameters
    ----------
    results : Findings, path, or several
        Effect sizes by model, test and order; see `fairvl.study.table.read_results`.
    models : path, mapping of columns, or rows, optional
        Covariates by column ``model``: dataset_family, architecture_family, params_m (millions), dataset_size (pairs),
        filtering, or any other that `factors` names.
    performance : path, mapping of columns, or rows, optional
        Downstream scores by column ``model``.
    factors
        Covariates to explain with; the five above by default, where they exist.
    reference
        What contrasts are against: None for the grand mean of a factor's levels, or a mapping from factor to level.
        "alphabetical" takes every factor's first level, with a warning.
    estimator
        "crossed": random effects of model and test (closed form when balanced, REML otherwise), t tests counting
        models. "cluster-robust": CR2 by model. "permutation": crossed estimates, p-values by permuting model labels
        (Freedman and Lane). "paper": the published mixed model of rows in place of contrasts and slopes; needs the
        extra ``study``.
    controls
        Covariates that partial correlations hold fixed, among the factors or not; default
        those of params_m, dataset_size and dataset_family that exist.
    cluster : str, optional
        A covariate whose models are resampled together in bootstraps (models of one family are relatives).
    draws, permutations : int
        Bootstrap draws; permutations (0 for none).
    level : float
    seed : int
    claims : path, optional
        Folder of a published study's tables; its printed numbers are checked against them and stand beside ours
        (`fairvl.study.claims`).

    Returns
    -------
    Findings
        The vocabulary is in the docstring of `fairvl.study`.

    Raises
    ------
    InputError
        Fewer than 4 models, unknown names, results that do not agree with themselves; see `read_results`.

    Notes
    -----
    Tests with and without social meaning are studied apart, and together as scope "all". The variance that factors
    share out is that of the models' mean d over a scope's tests (means of the additive fit where cells are missing).

    References
    ----------
    Ghate et al. (2025), arXiv 2502.07957, for the questions; the inference counts models, not rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> size = np.exp(rng.normal(5, 1, 24))
    >>> rows = [Finding("effect_size", 0.4 * np.log(s) + rng.normal(0, 0.2), "standard deviations", 80, model=f"m{i}",
    ...                 order=o, note="made up", extra={"test": "age", "category": "social"})
    ...         for i, s in enumerate(size) for o in ("text-text", "image-image")]
    >>> found = study(Findings(rows), models={"model": [f"m{i}" for i in range(24)], "params_m": list(size)},
    ...               draws=200, permutations=99)
    >>> share = found.one(metric="variance_share", factor="params_m", scope="social")
    >>> share.value > 0.7, share.low > 0.5
    (True, True)
    """
    _check_settings(estimator, draws, permutations, level)
    published = _published(claims)  # before the work, so that a wrong folder costs nothing
    table = read_results(results, models=models, performance=performance)
    rows: list[Finding] = []
    table = _usable(table, rows)
    chosen = factors_of(table, factors, reference)
    fixed = _controlled(controls, table, chosen)
    units, clustered = _units(table, cluster)
    rows += _warnings(table, chosen, reference)
    settings: dict[str, Any] = {"level": level, "seed": seed}
    for scope in table.scopes:
        rows += _of_scope(
            table, scope, chosen, fixed, units, clustered, estimator, draws, permutations, controls, settings
        )
    if estimator == "paper":
        from .paper_model import paper_rows

        rows += paper_rows(table, level=level)
    rows += [*level_rows(chosen), *inflation_rows(chosen), *test_rows(table, level)]
    unique = list({_key(found): found for found in rows}.values())
    unique.sort(key=lambda found: found.metric == "warning")
    head = _settings(table, chosen, estimator, reference, controls, cluster, draws, permutations, level, seed)
    placed = Findings(unique, head).with_columns(
        suite=table.suite, suite_version=table.suite_version, config_hash=fingerprint(head)
    )
    return Findings([*placed, *published], head)


def _published(claims: Path | str | None) -> Findings:
    """The printed numbers of a published study, checked; none when no folder was given."""
    if claims is None:
        return Findings()
    from .claims import check_published

    return check_published(claims)


def _of_scope(
    table: ResultTable, scope: str, factors: Sequence[Factor], fixed: Sequence[Factor], units: Codes, clustered: bool,
    estimator: Estimator, draws: int, permutations: int, controls: Sequence[str], settings: Mapping[str, Any],
) -> list[Finding]:  # fmt: skip
    columns = table.positions(scope=scope)
    values = table.values[:, columns]
    keep = measured(values, axis=1)
    rows: list[Finding] = []
    if keep.sum() < LEAST_MODELS:
        note = f"scope {scope}: {int(keep.sum())} models have a value; expected {LEAST_MODELS} or more."
        return [warning("not estimable", note, 1, scope=scope)]
    part = table.select(keep)
    values = values[keep][:, measured(values, axis=0)]
    held = _restricted(factors, keep)
    response = Response.of(scope, values, estimator=estimator, permutations=permutations, **settings)
    found = explain(response, held)
    if estimator == "paper":
        found = [f for f in found if f.metric not in ("contrast", "coefficient")]
    rows += found
    rows += filtering_rows(response, held)
    if scope != "all" or len(table.scopes) == 1:  # social and control tests are not mixed here
        rows += order_rows(part, scope, units=units[keep], draws=draws, **settings)
        rows += score_rows(
            part, scope, _restricted(fixed, keep), units=units[keep], clustered=clustered, draws=draws,
            controls=controls, **settings,
        )  # fmt: skip
    return rows + model_rows(part, scope, values, held, settings["level"])


def _restricted(factors: Sequence[Factor], keep: NDArray[np.bool_]) -> list[Factor]:
    """The factors over the kept models."""
    return [
        Factor(
            f.name, f.levels, None if f.codes is None else f.codes[keep],
            None if f.numbers is None else f.numbers[keep], f.log, f.reference,
        )
        for f in factors
    ]  # fmt: skip


def _usable(table: ResultTable, rows: list[Finding]) -> ResultTable:
    """Without models that have no value at all; what is missing is said."""
    empty = ~measured(table.values, axis=1)
    dropped = ""
    if empty.any():
        names = [table.models[i] for i in np.flatnonzero(empty)]
        left_out = _left_out(names, table.reasons)
        note = f"no defined effect size, left out: {left_out}."
        rows.append(warning("unbalanced", note, len(names)))
        dropped = f" Without any effect size, and left out: {left_out}."
        table = table.select(~empty)
    if len(table.models) < LEAST_MODELS:
        raise InputError(
            f"{len(table.models)} models with results; a study needs {LEAST_MODELS} or more (dozens to conclude "
            f"anything).{dropped} Sweep more models, or compare single models with `fairvl report`."
        )
    if missing := int(np.isnan(table.values).sum()):
        note = (
            f"{missing} of {table.values.size} cells (model x test) have no value; means are adjusted for which tests "
            "a model lacks, and effects are fitted by REML."
        )
        rows.append(warning("unbalanced", note, missing))
    return table


def _left_out(names: Sequence[str], reasons: Mapping[str, str]) -> str:
    """Names with what their rows say; a reason that several share is said once."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(reasons.get(name, "").rstrip("."), []).append(name)
    parts = [
        f"{', '.join(those[:5])}{' and others' if len(those) > 5 else ''}" + (f" ({why})" if why else "")
        for why, those in alike.items()
    ]
    return "; ".join(parts[:5]) + (f"; and {sum(map(len, list(alike.values())[5:]))} more" if len(parts) > 5 else "")


def _check_settings(estimator: str, draws: int, permutations: int, level: float) -> None:
    if estimator not in get_args(Estimator):
        raise InputError(f"estimator {estimator!r}. " + nearest(estimator, get_args(Estimator)))
    if draws < 100:
        raise InputError(f"draws={draws}; expected 100 or more.")
    if permutations < 0 or 0 < permutations < 19:
        raise InputError(f"permutations={permutations}; expected 0 for none, or 19 or more.")
    if estimator == "permutation" and not permutations:
        raise InputError('estimator="permutation" with permutations=0; expected 19 or more, for example 999.')
    if not 0.5 <= level < 1:
        raise InputError(f"level={level}; expected a number from 0.5 to below 1, for example 0.95.")


def _controlled(controls: Sequence[str], table: ResultTable, chosen: Sequence[Factor]) -> list[Factor]:
    """What partial correlations hold fixed, also where it is not among the factors that explain."""
    for name in controls:
        if name not in CONTROLS and name not in table.covariates:
            raise InputError(f"no covariate {name!r} to control for. " + nearest(name, list(table.covariates)))
    known = {factor.name: factor for factor in chosen}
    others = [name for name in controls if name in table.covariates and name not in known]
    known |= {factor.name: factor for factor in factors_of(table, others)}
    return [factor for name, factor in known.items() if name in controls]


def _units(table: ResultTable, cluster: str | None) -> tuple[Codes, bool]:
    if cluster is None:
        return np.arange(len(table.models), dtype=np.int64), False
    if cluster not in table.covariates:
        raise InputError(f"no covariate {cluster!r} to resample by. " + nearest(cluster, list(table.covariates)))
    labels = [MISSING if cell is None else str(cell) for cell in table.covariates[cluster]]
    if len(set(labels)) < 2:
        raise InputError(f"{cluster} is the same for all models; expected two clusters or more to resample.")
    return unit_codes(labels), True


def _warnings(
    table: ResultTable, factors: Sequence[Factor], reference: str | Mapping[str, str] | None
) -> list[Finding]:
    found = []
    if reference == ALPHABETICAL:
        names = ", ".join(f"{f.name} against {f.reference!r}" for f in factors if f.levels)
        note = f"contrasts against the alphabetically first level, which nobody chose: {names}."
        found.append(warning("alphabetical reference", note, 1))
    if not table.covariates:
        note = f"no covariates were given; nothing explains bias here. They come from the {TABLE_OF_MODELS}."
        found.append(warning("missing covariate", note, 1))
    elif not factors:
        note = f"no factor among the covariates {', '.join(table.covariates)}; name some (--factors, factors=)."
        found.append(warning("missing covariate", note, 1))
    for name, score in table.scores.items():
        if lacking := int(np.isnan(score).sum()):
            note = f"{lacking} of {len(score)} models have no {name}; its correlations leave them out."
            found.append(warning("missing covariate", note, lacking, score=name))
    return found


def _key(found: Finding) -> Any:
    """Warnings that several scopes raise alike are said once; every other row is its own."""
    if found.metric == "warning":
        return found.note
    return id(found)


def _settings(
    table: ResultTable, factors: Sequence[Factor], estimator: str, reference: str | Mapping[str, str] | None,
    controls: Sequence[str], cluster: str | None, draws: int, permutations: int, level: float, seed: int,
) -> dict[str, Any]:  # fmt: skip
    shown: Any = reference if isinstance(reference, str) else dict(reference) if reference else GRAND_MEAN
    cells = [[None if np.isnan(cell) else float(cell) for cell in line] for line in table.values]
    scores = {name: [None if np.isnan(s) else float(s) for s in score] for name, score in table.scores.items()}
    return {
        "study": SCHEMA,
        "verb": "study",
        "estimator": estimator,
        "factors": [factor.name for factor in factors],
        "reference": shown,
        "controls": list(controls),
        "cluster": cluster,
        "models": len(table.models),
        "tests": len(table.tests),
        "balanced": table.balanced,
        "scores": list(table.scores),
        "suite": table.suite,
        "suite_version": table.suite_version,
        "seed": seed,
        "draws": draws,
        "permutations": permutations,
        "level": level,
        "results_hash": fingerprint([table.models, [t.name for t in table.tests], cells]),
        "covariates_hash": fingerprint(table.covariates),
        "scores_hash": fingerprint(scores),
    }
