"""Regressions over a population of models: false alarms, and the closed form against statsmodels.

    python bench/study.py [--sweeps 4000] [--paper-sweeps 100] [--repeats 3]

False alarms: sweeps of the published design's shape in which no factor does anything, at several standard deviations
between models. 131 models with the catalogue's covariates (ten dataset families of 58, 20, 13, 11, 11, 7, 4, 4, 2 and 1
by the published rule; the four models that are unknown, all LAION ViTs, stand in as repeats of known ones), 26 tests in
20 cells of order and topic, total residual variance 0.1953. All tests at 1 %. *Ours*: t on models, each family against
the grand mean and against the one model of cc12m; rejections per contrast are nominal at 0.01. *Rows*: the same
coefficients with 3,406 rows taken as independent and a constant per cell; the share of sweeps with any family
"significant" is what a reader sees. *Paper*: the published mixed model itself, by statsmodels, on fewer sweeps.

Time: one crossed fit of a full sweep (3,406 rows), ours against statsmodels' MixedLM with two variance components on
the same data, in turn; coefficients and standard errors must agree.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from typing import Any

import numpy as np
from _measure import alternate, peak_added_bytes, write
from scipy import stats

from fairvl.stats.mixed import CrossedFit, crossed_fit
from fairvl.study.catalogue import load_catalogue
from fairvl.study.factors import factors_of, layout
from fairvl.study.paper_model import paper_rows
from fairvl.study.table import AssociationTest, ResultTable

FAMILIES = (58, 20, 13, 11, 11, 7, 4, 4, 2, 1)
CELLS = (1, 1, 1, 1, 1) * 2 + (1, 1, 3, 2, 1) * 2  # tests per cell: two orders with 5 tests, two with 8
TOTAL_VARIANCE = 0.1953
ALPHA = 0.01


def published_covariates() -> dict[str, list[Any]]:
    """Covariates of 131 models: the catalogue's 127 of the published selection and four repeats."""
    known = [entry for entry in load_catalogue() if entry.paper_2025]
    ours = [entry for entry in known if (entry.dataset_family_paper, entry.architecture_family) == ("laion", "ViT")]
    entries = known + ours[: 131 - len(known)]
    columns = {
        "dataset_family": [entry.dataset_family_paper for entry in entries],
        "architecture_family": [entry.architecture_family for entry in entries],
        "params_m": [entry.params_m for entry in entries],
        "dataset_size": [entry.dataset_size for entry in entries],
    }
    assert sorted(Counter(columns["dataset_family"]).values(), reverse=True) == list(FAMILIES)
    return columns


def published_shape() -> tuple[np.ndarray, list[slice]]:
    """Design [131, columns] with a column per level, and where the families' columns are; cc12m comes first."""
    columns = published_covariates()
    empty = np.full((131, 1), np.nan)
    table = ResultTable(
        tuple(f"model {i}" for i in range(131)), (AssociationTest("t", "", "t", ""),), empty, empty, columns, {}
    )
    x, places = layout(factors_of(table), np.ones(131, bool))
    return x, [places["dataset_family"], places["architecture_family"]]


def contrasts(x: np.ndarray, place: slice) -> tuple[np.ndarray, np.ndarray]:
    """Families against the grand mean of families, and against the single model of the first one, as published."""
    levels = np.eye(place.stop - place.start)
    against_mean, against_first = np.zeros((2, len(levels), x.shape[1]))
    against_mean[:, place] = levels - 1 / len(levels)
    against_first[:, place] = levels - levels[0]
    return against_mean, against_first[1:]


def sweep(rng: np.random.Generator, between: float, tests: int = 26) -> np.ndarray:
    """d [131, tests] in which no factor does anything."""
    noise = np.sqrt(TOTAL_VARIANCE - between**2)
    d = 0.5 * rng.standard_normal(tests) + between * rng.standard_normal((131, 1))
    return d + noise * rng.standard_normal((131, tests))


def rows_p(d: np.ndarray, fit: CrossedFit, weights: np.ndarray) -> np.ndarray:
    """p of contrasts when rows are taken as independent, with a constant per cell of order and topic."""
    cell = np.repeat(np.arange(len(CELLS)), CELLS)
    centre = np.stack([d[:, cell == c].mean() for c in range(len(CELLS))])[cell]
    explained = fit.design.x @ fit.coefficients
    rest = d - centre - (explained - explained.mean())[:, None]
    variance = float((rest**2).sum()) / (d.size - len(CELLS) - fit.design.rank + 1)
    error = np.sqrt(variance / d.shape[1]) * np.linalg.norm(weights @ fit.design.back, axis=1)
    return 2 * stats.norm.sf(abs(weights @ fit.coefficients / error))


def false_alarms(between: float, sweeps: int, seed: int = 0) -> dict[str, Any]:
    """Share of false alarms at ALPHA: ours by contrast and in any family, rows in any family."""
    x, places = published_shape()
    against_mean, against_first = contrasts(x, places[0])
    rng = np.random.default_rng(seed)
    ours, ours_first = np.zeros((sweeps, 10), bool), np.zeros((sweeps, 9), bool)
    rows, rows_mean = np.zeros((sweeps, 9), bool), np.zeros((sweeps, 10), bool)
    for i in range(sweeps):
        d = sweep(rng, between)
        fit = crossed_fit(d, x)
        for weights, found in ((against_mean, ours), (against_first, ours_first)):
            value, error = fit.contrast(weights)
            found[i] = 2 * stats.t.sf(abs(value / error), fit.df) < ALPHA
        rows[i], rows_mean[i] = (rows_p(d, fit, w) < ALPHA for w in (against_first, against_mean))
    per_contrast = ours.mean(axis=0)
    return {
        "between_model_sd": between,
        "sweeps": sweeps,
        "per_contrast": per_contrast.tolist(),
        "per_contrast_low": float(min(per_contrast.min(), ours_first.mean(axis=0).min())),
        "per_contrast_high": float(max(per_contrast.max(), ours_first.mean(axis=0).max())),
        "per_contrast_against_single_model": ours_first.mean(axis=0).tolist(),
        "any_family": float(ours.any(axis=1).mean()),
        "any_family_against_single_model": float(ours_first.any(axis=1).mean()),
        "rows_any_family": float(rows_mean.any(axis=1).mean()),
        "rows_any_family_against_single_model": float(rows.any(axis=1).mean()),
    }


def paper_alarms(between: float, sweeps: int, seed: int = 0) -> dict[str, Any]:
    """Share of sweeps in which the published model finds any dataset family, and in which it says it converged."""
    covariates = published_covariates()
    cells = [(order, topic) for order in ("ii", "it", "tt", "ti") for topic in ("f", "w", "r", "g", "a")]
    tests = tuple(
        AssociationTest(f"{cells[c]} {i}", cells[c][0], cells[c][1], "") for c, n in enumerate(CELLS) for i in range(n)
    )
    rng = np.random.default_rng(seed)
    found, converged = 0, 0
    for _ in range(sweeps):
        d = sweep(rng, between)
        table = ResultTable(tuple(f"model {i}" for i in range(131)), tests, d, np.full(d.shape, np.nan), covariates, {})
        rows = [row for row in paper_rows(table) if row.metric == "coefficient"]
        found += any((row.p or 0) < ALPHA for row in rows if row.extra["factor"] == "dataset_family")
        converged += bool(rows[0].extra["converged"])
    interval = stats.binomtest(found, sweeps).proportion_ci()
    return {
        "between_model_sd": between, "sweeps": sweeps, "any_family": found / sweeps, "low": float(interval.low),
        "high": float(interval.high), "converged": converged / sweeps,
    }  # fmt: skip


def statsmodels_crossed(d: np.ndarray, x: np.ndarray) -> Any:
    """The same model by MixedLM: one group, a variance component per model and per test."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    unit, item = np.nonzero(~np.isnan(d))
    names = [[[str(i) for i in range(n)]] for n in d.shape]
    columns = VCSpec(["model", "test"], names, [[np.eye(d.shape[0])[unit]], [np.eye(d.shape[1])[item]]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MixedLM(d[unit, item], x[unit], np.ones(len(unit)), exog_vc=columns).fit(method="lbfgs")


def timed(repeats: int) -> dict[str, Any]:
    """Ours and statsmodels on one sweep with treatment coding, which both can fit."""
    x, places = published_shape()
    x = np.delete(x, [places[0].start, places[1].start], axis=1)
    d = sweep(np.random.default_rng(1), 0.15)
    d = d + (x @ np.linspace(-0.5, 0.5, x.shape[1]))[:, None]
    fit, peer = crossed_fit(d, x), statsmodels_crossed(d, x)
    row = {"models": d.shape[0], "tests": d.shape[1], "columns": x.shape[1], "peer_converged": bool(peer.converged)}
    row["difference_coefficients"] = float(abs(fit.coefficients - peer.fe_params).max())
    row["difference_standard_errors"] = float(abs(np.sqrt(np.diag(fit.covariance)) - peer.bse_fe).max())
    row |= alternate(lambda: crossed_fit(d, x), lambda: statsmodels_crossed(d, x), repeats)
    row["ours_added_mb"] = peak_added_bytes(lambda: crossed_fit(d, x)) / 1e6
    row["theirs_added_mb"] = peak_added_bytes(lambda: statsmodels_crossed(d, x)) / 1e6
    missing = d.copy()
    missing[np.random.default_rng(2).random(d.shape) < 0.05] = np.nan
    row["reml_with_missing_cells_s"] = alternate(lambda: crossed_fit(missing, x), lambda: None, repeats)["ours_s"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=4000)
    parser.add_argument("--paper-sweeps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("SD between   ours per contrast    any family: ours   rows   (against one model: ours   rows)")
    for between in (0.0, 0.10, 0.15, 0.20):
        row = false_alarms(between, options.sweeps)
        rows.append({"case": "false alarms", **row})
        print(
            f"{between:10.2f}   {100 * row['per_contrast_low']:.2f} % to {100 * row['per_contrast_high']:.2f} %"
            f"   {100 * row['any_family']:14.1f} % {100 * row['rows_any_family']:5.1f} %"
            f" {100 * row['any_family_against_single_model']:21.1f} %"
            f" {100 * row['rows_any_family_against_single_model']:5.1f} %",
            flush=True,
        )
    for between in (0.0, 0.10) if options.paper_sweeps else ():
        row = paper_alarms(between, options.paper_sweeps)
        rows.append({"case": "published model", **row})
        print(
            f"{between:10.2f}   the published mixed model: any family in {100 * row['any_family']:.0f} % of "
            f"{row['sweeps']} sweeps ({100 * row['low']:.0f} to {100 * row['high']:.0f}); it converges in "
            f"{100 * row['converged']:.0f} %",
            flush=True,
        )
    row = timed(options.repeats)
    rows.append({"case": "crossed fit", **row})
    print(
        f"crossed fit of {row['models']} x {row['tests']}: {1000 * row['ours_s']:.2f} ms against "
        f"{row['theirs_s']:.1f} s, {row['ratio']:.0f} times ({row['ratio_low']:.0f} to {row['ratio_high']:.0f}); "
        f"memory {row['ours_added_mb']:.1f} MB against {row['theirs_added_mb']:.0f} MB; differences "
        f"{row['difference_coefficients']:.1e} in coefficients, {row['difference_standard_errors']:.1e} in errors; "
        f"5 % of cells missing: {row['reml_with_missing_cells_s']:.2f} s"
    )
    write("study", rows)


if __name__ == "__main__":
    main()
