"""Crossed random effects: the closed form is statsmodels' fit, REML is where cells miss, and size holds."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from fairvl.errors import InputError
from fairvl.stats.mixed import adjusted_means, crossed_fit
from fairvl.stats.robust import cluster_robust


def sweep(rng, models, tests, *, between=0.2, spread=0.4, noise=0.44, slopes=(0.2, 0.3, 0.0, -0.3, 0.1)):
    family = np.arange(models) % 4
    x = np.column_stack([np.ones(models), *(family == k for k in (1, 2, 3)), rng.standard_normal(models)]).astype(float)
    y = (x @ np.array(slopes))[:, None] + between * rng.standard_normal((models, 1))
    return x, y + spread * rng.standard_normal(tests) + noise * rng.standard_normal((models, tests))


def statsmodels_crossed(y, x):
    module = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    unit, item = np.nonzero(~np.isnan(y))
    names = [[[str(i) for i in range(n)]] for n in y.shape]
    columns = module.VCSpec(["unit", "item"], names, [[np.eye(y.shape[0])[unit]], [np.eye(y.shape[1])[item]]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = module.MixedLM(y[unit, item], x[unit], np.ones(len(unit)), exog_vc=columns).fit(method="lbfgs")
    assert fit.converged  # its default optimiser stops short of the maximum on some of these tables
    return fit


def held_against(fit, peer, tolerance):
    np.testing.assert_allclose(fit.coefficients, peer.fe_params, atol=tolerance)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), peer.bse_fe, atol=tolerance)
    ours = [fit.variance_unit, fit.variance_item, fit.variance_residual]
    np.testing.assert_allclose(ours, [*peer.vcomp, peer.scale], atol=tolerance)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_closed_form_is_the_crossed_reml_fit(seed):  # gate 28
    x, y = sweep(np.random.default_rng(seed), 30, 8)
    fit = crossed_fit(y, x)
    assert fit.method == "closed form"
    held_against(fit, statsmodels_crossed(y, x), 1e-3)


def test_it_recovers_planted_coefficients_within_two_standard_errors():  # gate 28
    x, y = sweep(np.random.default_rng(5), 131, 26)
    fit = crossed_fit(y, x)
    error = np.sqrt(np.diag(fit.covariance))
    assert (abs(fit.coefficients - [0.2, 0.3, 0.0, -0.3, 0.1])[1:] < 2 * error[1:]).all()
    assert abs(fit.coefficients[1]) > 3 * error[1]


@pytest.mark.slow
def test_the_closed_form_is_the_crossed_reml_fit_at_full_size():  # gate 28
    x, y = sweep(np.random.default_rng(3), 131, 26)
    held_against(crossed_fit(y, x), statsmodels_crossed(y, x), 1e-3)


def test_with_missing_cells_it_is_still_the_crossed_reml_fit():
    rng = np.random.default_rng(4)
    x, y = sweep(rng, 30, 8)
    y[rng.random(y.shape) < 0.15] = np.nan
    fit = crossed_fit(y, x)
    assert fit.method == "reml"
    assert fit.converged
    held_against(fit, statsmodels_crossed(y, x), 1e-3)


def test_reml_of_a_balanced_table_is_the_closed_form():
    from fairvl.stats.linear import design
    from fairvl.stats.mixed import _reml

    x, y = sweep(np.random.default_rng(6), 24, 6)
    closed, iterated = crossed_fit(y, x), _reml(y, np.ones(y.shape, bool), design(x))
    assert closed.variance_unit > 0.01
    np.testing.assert_allclose(iterated.coefficients, closed.coefficients, atol=1e-9)
    np.testing.assert_allclose(iterated.covariance, closed.covariance, atol=1e-5)
    np.testing.assert_allclose(iterated.unit_effects, closed.unit_effects, atol=1e-4)


def test_one_missing_cell_changes_little():
    x, y = sweep(np.random.default_rng(7), 40, 10)
    whole = crossed_fit(y, x)
    y[3, 4] = np.nan
    np.testing.assert_allclose(
        crossed_fit(y, x).contrast(np.eye(5)[1:])[0], whole.contrast(np.eye(5)[1:])[0], atol=0.03
    )


def test_t_tests_keep_their_size_where_rows_as_units_do_not():
    rng = np.random.default_rng(8)
    x = sweep(rng, 40, 12)[0]
    ours = naive = 0
    runs = 1500
    for _ in range(runs):
        y = 0.15 * rng.standard_normal((40, 1)) + 0.4 * rng.standard_normal((40, 12))
        fit = crossed_fit(y, x)
        value, error = fit.contrast(np.eye(5)[1])
        ours += 2 * stats.t.sf(abs(value[0] / error[0]), fit.df) < 0.05
        rows = y.std() * math.sqrt(np.linalg.inv(x.T @ x)[1, 1] / 12)
        naive += 2 * stats.norm.sf(abs(value[0] / rows)) < 0.05
    assert 0.035 < ours / runs < 0.065
    assert naive / runs > 0.15


def test_a_design_short_of_rank_gives_what_can_be_estimated_and_nan_for_the_rest():
    rng = np.random.default_rng(9)
    levels = np.eye(3)[np.arange(30) % 3]
    y = levels @ [0.0, 0.5, 1.0] + 0.1 * rng.standard_normal(30)
    fit = crossed_fit(y[:, None] + 0.1 * rng.standard_normal((30, 5)), np.column_stack([np.ones(30), levels]))
    value, error = fit.contrast([[0, -1, 1, 0], [0, 1, 0, 0]])
    assert value[0] == pytest.approx(0.5, abs=0.15)
    assert math.isnan(value[1])
    assert math.isnan(error[1])


def test_cluster_robust_of_a_balanced_table_is_hc2_on_the_means():
    x, y = sweep(np.random.default_rng(10), 36, 7)
    value, error, df = cluster_robust(y, x, np.eye(5)[1:])
    means = y.mean(axis=1)
    bread = np.linalg.inv(x.T @ x)
    rest = means - x @ (bread @ x.T @ means)
    leverage = np.einsum("np,pq,nq->n", x, bread, x)
    meat = (x * (rest**2 / (1 - leverage))[:, None]).T @ x
    np.testing.assert_allclose(value, (bread @ x.T @ means)[1:], atol=1e-10)
    np.testing.assert_allclose(error, np.sqrt(np.diag(bread @ meat @ bread))[1:], atol=1e-10)
    assert (df < 35).all()


def test_cluster_robust_of_two_even_groups_is_welch():
    rng = np.random.default_rng(11)
    a, b = rng.standard_normal(9), 3 * rng.standard_normal(9)
    group = np.repeat(np.eye(2), 9, axis=0)
    value, error, df = cluster_robust(np.concatenate([a, b])[:, None], group, [[1, -1]])
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert value[0] / error[0] == pytest.approx(welch.statistic)
    assert 8 <= df[0] <= 16


def test_cluster_robust_says_nothing_about_a_level_of_one_unit():
    x = np.column_stack([np.ones(12), np.arange(12) == 0, np.arange(12) % 2]).astype(float)
    y = np.random.default_rng(12).standard_normal((12, 4))
    value, error, _ = cluster_robust(y, x, np.eye(3)[1:])
    assert np.isfinite(value).all()
    assert math.isnan(error[0])
    assert np.isfinite(error[1])


def test_adjusted_means_do_not_reward_a_unit_for_lacking_the_hard_items():
    y = np.add.outer([0.0, 0.0, 0.0], [0.0, 0.0, 9.0])
    y[0, 2] = np.nan
    units, items = adjusted_means(y)
    np.testing.assert_allclose(units, [3.0, 3.0, 3.0], atol=1e-9)
    np.testing.assert_allclose(items, [0, 0, 9], atol=1e-9)
    assert np.nanmean(y, axis=1)[0] == 0


@pytest.mark.parametrize(
    ("y", "x", "says"),
    [
        (np.zeros((3, 2)), np.ones((4, 1)), "expected"),
        (np.full((3, 2), np.nan), np.ones((3, 1)), "no value at all"),
        (np.zeros((3, 2)), np.eye(3), "nothing is left"),
    ],
)
def test_a_table_that_cannot_be_fitted_is_refused(y, x, says):
    with pytest.raises(InputError, match=says):
        crossed_fit(y, x)


def test_blocks_without_a_shared_item_are_refused():
    y = np.full((4, 4), np.nan)
    y[:2, :2] = y[2:, 2:] = 1.0
    with pytest.raises(InputError, match="share no item"):
        adjusted_means(y)
