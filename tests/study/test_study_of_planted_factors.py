"""A study finds what was planted, and nothing where nothing was: shares, contrasts, curation, correlations."""

import math

import numpy as np
import pytest

from fairvl.findings import Finding, Findings
from fairvl.study import study

TOPICS = (("flowers", "control"), ("weapons", "control"), ("race", "social"), ("gender", "social"), ("age", "social"))
ORDERS = ("text-text", "image-image", "image-text", "text-image")
FAMILIES = ("laion", "pool", "wit", "merged")
QUICK = {"draws": 300, "permutations": 99}


def covariates(rng, models):
    family = [FAMILIES[i % 4] for i in range(models)]
    return {
        "model": [f"m{i}" for i in range(models)],
        "dataset_family": family,
        "architecture_family": [("vit", "resnet", "hybrid")[k] for k in rng.integers(3, size=models)],
        "params_m": np.exp(rng.uniform(4, 7, models)).tolist(),
        "dataset_size": np.exp(rng.uniform(16, 21, models)).tolist(),
        "filtering": [("none", "CLIP score")[k] for k in rng.integers(2, size=models)],
    }


def sweep(rng, effects, between=0.1, noise=0.4, orders=ORDERS):
    """Findings of models whose mean d is `effects`."""
    models = len(effects)
    rows = []
    deviation = between * rng.standard_normal(models)
    for order in orders:
        for topic, category in TOPICS:
            level = rng.normal(0.5, 0.4)
            for i in range(models):
                d = level + effects[i] + deviation[i] + noise * rng.standard_normal()
                rows.append(
                    Finding(
                        "effect_size", d, "standard deviations", 80, model=f"m{i}", order=order, suite="s",
                        suite_version="1", note="made up", extra={"test": topic, "topic": topic, "category": category},
                    )
                )  # fmt: skip
    return Findings(rows)


def standard(values):
    values = np.log(np.asarray(values, float))
    return (values - values.mean()) / values.std()


def planted_in(name, table):
    if name == "dataset_family":
        return 0.4 * np.array([(f == "pool") - (f == "wit") for f in table[name]], float)
    if name == "architecture_family":
        return 0.5 * np.array([f == "resnet" for f in table[name]], float)
    if name == "filtering":
        return -0.5 * np.array([f == "CLIP score" for f in table[name]], float)
    return 0.3 * standard(table[name])


@pytest.mark.parametrize("planted", ["dataset_family", "architecture_family", "filtering", "params_m"])
def test_the_planted_factor_ranks_first_and_the_others_hold_zero(planted):
    rng = np.random.default_rng(3)
    table = covariates(rng, 40)
    found = study(sweep(rng, planted_in(planted, table)), models=table, **QUICK)
    for scope in ("social", "control", "all"):
        shares = found.where(metric="variance_share", scope=scope, kind="unique")
        assert len(shares) == 5
        first = shares.one(rank=1)
        assert first.extra["factor"] == planted
        assert first.low > 0.2
        assert first.extra["p_permutation"] == 0.01
        assert all(share.low == 0 for share in shares if share.extra["factor"] != planted)


def test_nothing_is_found_where_nothing_is():
    rng = np.random.default_rng(4)
    held, corrected, runs = [], 0, 30
    for _ in range(runs):
        table = covariates(rng, 32)
        found = study(sweep(rng, np.zeros(32), between=0.2), models=table, draws=100, permutations=0)
        shares = found.where(metric="variance_share", scope="all", kind="unique")
        held += [share.low == 0 for share in shares]
        contrasts = found.where(metric="contrast", scope="all", kind="adjusted")
        corrected += any(row.p_adjusted < 0.05 for row in contrasts)
    assert np.mean(held) > 0.93  # 0.975 expected
    assert corrected <= 9  # about 3 families at 5 % each


def test_contrasts_are_against_the_grand_mean_unless_a_level_is_chosen():
    rng = np.random.default_rng(5)
    table = covariates(rng, 60)
    results = sweep(rng, planted_in("dataset_family", table))
    chosen = {"scope": "all", "factor": "dataset_family", "kind": "adjusted", "metric": "contrast"}
    mean = study(results, models=table, **QUICK).where(**chosen)
    assert {row.extra["against"] for row in mean} == {"grand mean"}
    assert sum(row.value for row in mean) == pytest.approx(0, abs=1e-9)
    pool = mean.one(level_name="pool")
    assert pool.low < 0.4 < pool.high
    assert pool.low > 0.2
    assert mean.one(level_name="laion").low < 0 < mean.one(level_name="laion").high
    wit = study(results, models=table, reference={"dataset_family": "wit"}, **QUICK).where(**chosen)
    assert {row.extra["level_name"] for row in wit} == set(FAMILIES) - {"wit"}
    assert wit.one(level_name="pool").value == pytest.approx(pool.value - mean.one(level_name="wit").value)
    sizes = study(results, models=table, **QUICK).where(metric="level_size", factor="dataset_family")
    assert [(row.extra["level_name"], row.value) for row in sizes] == [(f, 15) for f in sorted(FAMILIES)]


def test_estimators_agree_on_plain_data_and_say_who_they_are():
    rng = np.random.default_rng(6)
    table = covariates(rng, 48)
    results = sweep(rng, planted_in("dataset_family", table))
    rows = {}
    for estimator in ("crossed", "cluster-robust", "permutation"):
        found = study(results, models=table, estimator=estimator, **QUICK)
        rows[estimator] = found.one(
            metric="contrast", scope="all", factor="dataset_family", kind="adjusted", level_name="pool"
        )
    crossed, robust, permuted = rows.values()
    assert crossed.value == pytest.approx(robust.value) == permuted.value
    assert robust.extra["standard_error"] == pytest.approx(crossed.extra["standard_error"], rel=0.5)
    assert robust.extra["standard_error"] != crossed.extra["standard_error"]
    assert (crossed.extra["estimator"], robust.extra["estimator"]) == ("closed form", "cluster-robust")
    assert permuted.p == permuted.extra["p_permutation"] == 0.01


def test_filtered_against_unfiltered_within_families():
    rng = np.random.default_rng(7)
    table = covariates(rng, 64)
    # families differ and one is wholly filtered: the marginal contrast mixes both, the one within families does not
    curated = zip(table["dataset_family"], table["filtering"], strict=True)
    table["filtering"] = ["CLIP score" if f == "pool" else c for f, c in curated]
    effect = np.array([1.0 * (f == "pool") - 0.3 * (c == "CLIP score")
                       for f, c in zip(table["dataset_family"], table["filtering"], strict=True)])  # fmt: skip
    found = study(sweep(rng, effect), models=table, **QUICK).where(metric="filtering_contrast", scope="all")
    marginal, within = found.one(kind="marginal"), found.one(kind="within families")
    assert within.low < -0.3 < within.high < 0
    assert marginal.low > -0.3
    assert {row.extra["level_name"] for row in found.where(kind="within family")} == {"laion", "wit", "merged"}
    assert within.extra["model_count"] + within.extra["unfiltered_count"] == within.n == 48


def test_curation_that_is_unknown_for_whole_families_takes_no_contrast_of_families_away():
    rng = np.random.default_rng(8)
    table = covariates(rng, 48)
    curated = zip(table["dataset_family"], table["filtering"], strict=True)
    table["filtering"] = [c if f in ("laion", "pool") else None for f, c in curated]
    found = study(sweep(rng, planted_in("dataset_family", table)), models=table, **QUICK)
    pool = found.one(metric="contrast", scope="all", factor="dataset_family", kind="adjusted", level_name="pool")
    assert pool.low > 0.2
    assert "filtering" not in pool.extra["adjusted_for"]
    assert "collinear" in {row.extra["kind"] for row in found.where(metric="warning")}
    assert found.where(metric="filtering_contrast", kind="within families", scope="all")[0].n == 24


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_correlation_with_performance_of_either_sign(sign):
    rng = np.random.default_rng(9)
    bias = rng.normal(0, 0.3, 50)
    score = {"model": [f"m{i}" for i in range(50)], "vtab": (sign * bias + 0.2 * rng.standard_normal(50)).tolist()}
    found = study(sweep(rng, bias), models=covariates(rng, 50), performance=score, **QUICK)
    for scope in ("social", "control"):
        cells = found.where(metric="correlation", scope=scope, kind="pearson")
        whole = cells.where(topic="(all)")
        assert len(whole) == 4
        assert all(sign * row.value > 0.4 and sign * row.low > 0 and sign * row.high > 0 for row in whole)
        assert all(row.p_adjusted >= row.p for row in cells)
        assert all(row.n == 50 for row in cells)
        for kind in ("spearman", "partial"):
            rows = found.where(metric="correlation", scope=scope, kind=kind, topic="(all)")
            assert all(sign * row.value > 0.3 for row in rows)
    assert not found.where(metric="correlation", scope="all")


def test_correlation_of_noise_is_noise_after_correction():
    rng = np.random.default_rng(10)
    alarms = 0
    for _ in range(15):
        score = {"model": [f"m{i}" for i in range(30)], "vtab": rng.random(30).tolist()}
        found = study(sweep(rng, np.zeros(30)), performance=score, draws=100, permutations=0)
        cells = found.where(metric="correlation", kind="pearson", scope="social")
        alarms += any(row.p_adjusted < 0.05 for row in cells if row.extra["topic"] != "(all)")
    assert alarms <= 3


def test_orders_differ_in_mean_variance_and_correlation_where_they_were_made_to():
    rng = np.random.default_rng(11)
    bias = rng.normal(0, 0.3, 60)
    score = {"model": [f"m{i}" for i in range(60)], "vtab": (bias + 0.1 * rng.standard_normal(60)).tolist()}
    text, image = (
        sweep(rng, e, noise=0.2, orders=(o,)) for e, o in ((3 * bias + 1, "text-text"), (-bias, "image-image"))
    )
    found = study(text + image, performance=score, **QUICK).where(scope="social")
    versus = {"order": "text-text", "versus": "image-image"}
    mean, ratio = (found.one(metric=m, **versus) for m in ("order_mean_difference", "order_variance_ratio"))
    assert mean.low > 0.4
    assert mean.p < 1e-4
    assert 3 < ratio.low < ratio.value < ratio.high < 20
    steiger = found.one(metric="steiger", **versus)
    assert steiger.low > 1
    assert steiger.p < 1e-6
    assert steiger.extra["p_williams"] < 1e-6
    text_mean = found.one(metric="order_mean", order="text-text")
    assert text_mean.value - found.one(metric="order_mean", order="image-image").value == pytest.approx(mean.value)


def test_orders_that_are_alike_are_called_alike():
    rng = np.random.default_rng(12)
    bias = rng.normal(0, 0.3, 60)
    both = [
        sweep(np.random.default_rng(s), bias, noise=0.2, between=0, orders=(o,))
        for s, o in ((1, "text-text"), (2, "image-image"))
    ]
    score = {"model": [f"m{i}" for i in range(60)], "vtab": (bias + 0.1 * rng.standard_normal(60)).tolist()}
    found = study(both[0] + both[1], performance=score, **QUICK).where(scope="social")
    ratio, steiger = found.one(metric="order_variance_ratio"), found.one(metric="steiger")
    assert ratio.low < 1 < ratio.high
    assert steiger.low < 0 < steiger.high
    assert steiger.p > 0.05


def test_caterpillar_and_funnel():
    rng = np.random.default_rng(13)
    effect = np.linspace(-1, 1, 20)
    table = covariates(rng, 20)
    found = study(sweep(rng, effect), models=table, **QUICK)
    means = found.where(metric="model_mean", scope="all")
    assert [row.extra["rank"] for row in means] == list(range(1, 21))
    assert [row.value for row in means] == sorted((row.value for row in means), reverse=True)
    assert means.one(model="m19").low > means.one(model="m0").high
    assert means.one(model="m7").extra["dataset_family"] == table["dataset_family"][7]
    middle = np.mean([row.value for row in means])
    assert all(abs(row.extra["shrunken"] - middle) <= abs(row.value - middle) + 1e-12 for row in means)
    tests = found.where(metric="test_mean")
    assert len(tests) == 20
    assert tests[0].extra["null_sd"] == pytest.approx(2 / math.sqrt(80))
    component = found.one(metric="variance_component", scope="all", component="model")
    assert component.low < np.var(effect, ddof=1) + 0.01 < component.high


def test_the_same_inputs_and_seed_give_the_same_bytes():
    rng = np.random.default_rng(14)
    table, results = covariates(rng, 16), sweep(rng, rng.normal(0, 0.3, 16))
    score = {"model": table["model"], "s": rng.random(16).tolist()}
    first, second, other = (
        study(results, models=table, performance=score, seed=seed, **QUICK).to_json() for seed in (1, 1, 2)
    )
    assert first == second != other
