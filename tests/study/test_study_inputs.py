"""What a study reads and refuses: every mistake is one readable error, and what is missing is said."""

import csv
import inspect
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

import fairvl.study as study_room
from fairvl.cli import main
from fairvl.errors import DatasetError, FairVLError, FindingsError, InputError
from fairvl.findings import Finding, Findings
from fairvl.study import read_results, study
from fairvl.study.paper_model import _findings

QUICK = {"draws": 100, "permutations": 19}


def row(model, test="age", d=0.1, order="text-text", **columns):
    extra = {"test": test, "category": "social", **columns.pop("extra", {})}
    return Finding(
        "effect_size", d, "standard deviations", 80, model=model, order=order, note="x", extra=extra, **columns
    )


def population(models=8, tests=("age", "race"), seed=0):
    rng = np.random.default_rng(seed)
    return [
        row(f"m{i}", t, float(rng.normal(0.2 * i, 0.2)), o)
        for i in range(models) for t in tests for o in ("text-text", "image-image")
    ]  # fmt: skip


def families(models=8, **columns):
    return {"model": [f"m{i}" for i in range(models)], "dataset_family": ["a", "b"] * (models // 2), **columns}


def warnings_of(found):
    return {r.extra["kind"]: r.note for r in found.where(metric="warning")}


def write_csv(path, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def test_every_form_of_the_same_results_gives_the_same_table(tmp_path):
    results = Findings(population())
    plain = read_results(results)
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    results.write(sweep / "findings.parquet")
    write_csv(sweep / "models.csv", families())
    for suffix in ("json", "csv"):
        results.write(tmp_path / f"findings.{suffix}")
    minimal = write_csv(
        tmp_path / "minimal.csv",
        {"model": [r.model for r in results], "test": [r.extra["test"] for r in results],
         "order": [r.order for r in results], "effect_size": [r.value for r in results]},
    )  # fmt: skip
    halves = [Findings(results.rows[:9]), Findings(results.rows[9:])]
    for source in (
        sweep,
        sweep / "findings.parquet",
        tmp_path / "findings.json",
        tmp_path / "findings.csv",
        minimal,
        halves,
    ):
        table = read_results(source)
        assert table.models == plain.models
        assert [t.name for t in table.tests] == [t.name for t in plain.tests]
        np.testing.assert_allclose(table.values, plain.values, rtol=1e-12)
    assert read_results(sweep).covariates["dataset_family"] == ["a", "b"] * 4
    assert study(sweep, **QUICK).where(metric="contrast")


def test_covariates_join_by_model_id_whatever_their_order(tmp_path):
    toml = tmp_path / "models.toml"
    toml.write_text("".join(f'[[model]]\nid = "m{i}"\nparams_m = {i + 1}.5\n' for i in reversed(range(8))))
    table = read_results(Findings(population()), models=toml)
    assert table.covariates["params_m"] == [i + 1.5 for i in range(8)]


def test_a_model_twice_is_refused_by_name():
    with pytest.raises(InputError, match=r"'m3' has two rows for test 'age \(text-text\)'"):
        study(Findings([*population(), row("m3", d=0.9)]))


def test_two_suite_versions_are_refused():
    old = [row(f"m{i}", suite="eat26", suite_version="1") for i in range(4)]
    new = [row(f"n{i}", suite="eat26", suite_version="2") for i in range(4)]
    assert len(read_results(Findings(old)).models) == 4
    with pytest.raises(InputError, match="2 suites or versions"):
        read_results([Findings(old), Findings(new)])


def test_a_model_without_covariates_is_refused_with_the_nearest_name():
    table = families()
    table["model"][2] = "m-2"
    with pytest.raises(
        InputError,
        match=r"1 of 8 models are not in the table of models \(--models, models=\).*'m2'.*Did you mean .*'m-2'",
    ):
        study(Findings(population()), models=table)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"models": {"name": ["m0"]}}, "no column 'model'"),
        ({"models": families() | {"model": ["m0"] * 8}}, "more than once"),
        ({"models": families(), "factors": ["dataset_famly"]}, "Did you mean 'dataset_family'"),
        ({"models": families(), "reference": {"dataset_family": "c"}}, "no level 'c'"),
        ({"models": families(), "reference": {"params_m": "1"}}, "no factor with levels"),
        ({"models": families(), "reference": "first"}, "expected 'grand mean'"),
        ({"models": families(params_m=[0.0] * 8)}, "above 0"),
        ({"models": families(params_m=["big"] * 8)}, "'big'; expected numbers"),
        ({"performance": {"model": ["x"], "vtab": [1.0]}}, "none of the 8 models has a score"),
        ({"performance": {"model": ["m0"], "vtab": ["good"]}}, "'good'; expected numbers"),
        ({"estimator": "ols"}, "estimator 'ols'"),
        ({"cluster": "family"}, "no covariate 'family'"),
        ({"draws": 5}, "draws=5"),
        ({"permutations": 3}, "permutations=3"),
        ({"level": 95}, "level=95"),
    ],
)
def test_a_mistake_is_named(change, says):
    with pytest.raises(InputError, match=says):
        study(Findings(population()), **change)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row("")], "names no model"),
        ([row("m", "")], "names no test"),
        ([row("m", d=math.inf)], "finite"),
        ([row("m", order="text_text")], "order 'text_text'. Did you mean 'text-text'"),
        ([row("m", order="both")], "order 'both'. There is: 'text-text', 'image-image'"),
        ([row("m", extra={"category": "Gender"})], "'social', 'control'"),
        ([row("m"), row("n", extra={"topic": "other"})], "expected one"),
        ([Finding("accuracy", 0.5, "share", 3, note="x")], "no rows with metric 'effect_size'; found accuracy"),
        ([], "no rows at all"),
        (population(3), "3 models with results"),
    ],
)
def test_rows_that_cannot_be_studied_are_refused(rows, says):
    with pytest.raises(InputError, match=says):
        study(Findings(rows))


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="output of `fairvl sweep`"):
        study(tmp_path)
    with pytest.raises(FindingsError, match="no such file"):
        study(tmp_path / "findings.json")
    with pytest.raises(DatasetError, match="no such table"):
        study(tmp_path / "results.csv")
    with pytest.raises(InputError, match="no column 'order'"):
        study(write_csv(tmp_path / "a.csv", {"model": ["a"], "test": ["b"], "effect_size": [1.0]}))
    words = write_csv(tmp_path / "b.csv", {"model": ["a"], "test": ["b"], "order": ["c"], "effect_size": ["large"]})
    with pytest.raises(InputError, match="is 'large'"):
        study(words)
    with pytest.raises(InputError, match="no results"):
        study([])


def test_one_level_only_is_said_and_the_rest_goes_on():
    found = study(Findings(population()), models=families(filtering=["none"] * 8), **QUICK)
    assert "filtering is the same for all models" in " ".join(r.note for r in found.where(metric="warning"))
    assert found.where(metric="contrast", factor="dataset_family")
    assert not found.where(metric="contrast", factor="filtering")


def test_a_single_model_level_and_a_single_model_reference_warn():  # gate 30
    table = families()
    table["dataset_family"] = ["cc12m", *["laion"] * 4, *["wit"] * 3]
    plain = warnings_of(study(Findings(population()), models=table, **QUICK))
    assert "cc12m" in plain["single-model level"]
    assert "single-model reference" not in plain
    chosen = study(Findings(population()), models=table, reference={"dataset_family": "cc12m"}, **QUICK)
    assert "inherits its deviation" in warnings_of(chosen)["single-model reference"]
    robust = study(Findings(population()), models=table, estimator="cluster-robust", **QUICK)
    contrast = robust.one(metric="contrast", level_name="cc12m", kind="marginal", scope="social")
    assert contrast.low is None
    assert "single model" in contrast.note


def test_the_alphabetical_reference_is_never_used_unasked():  # gate 30
    plain = study(Findings(population()), models=families(), **QUICK)
    assert "alphabetical reference" not in warnings_of(plain)
    assert {r.extra["against"] for r in plain.where(metric="contrast")} == {"grand mean"}
    asked = study(Findings(population()), models=families(), reference="alphabetical", **QUICK)
    assert "dataset_family against 'a'" in warnings_of(asked)["alphabetical reference"]


def test_collinear_factors_warn_and_what_one_decides_is_not_estimable():
    size = [1e6 if i % 2 else 4e8 for i in range(8)]
    found = study(Findings(population()), models=families(dataset_size=size), **QUICK)
    assert "collinear" in warnings_of(found)
    share = found.one(metric="variance_share", kind="unique", factor="dataset_size", scope="social")
    assert math.isnan(share.value)
    assert "cannot be told" in share.note
    slope = found.one(metric="coefficient", kind="adjusted", factor="dataset_size", scope="social")
    assert math.isnan(slope.value)
    assert found.one(metric="coefficient", kind="marginal", factor="dataset_size", scope="social").low is not None
    jitter = [s * f for s, f in zip(size, np.exp(0.1 * np.random.default_rng(0).standard_normal(8)), strict=True)]
    near = study(Findings(population()), models=families(dataset_size=jitter), **QUICK)
    assert near.one(metric="vif", factor="dataset_size").value > 100


def test_nan_rows_leave_the_rest_and_are_counted():
    rows = population(12)
    rows = [row(r.model, r.extra["test"], math.nan, r.order) if r.model == "m5" else r for r in rows]
    rows[0] = row("m0", "age", math.nan)
    found = study(Findings(rows), models=families(12), **QUICK)
    note = " ".join(r.note for r in found.where(metric="warning", kind="unbalanced"))
    assert "left out: m5" in note
    assert "1 of 44 cells" in note
    assert found.settings["balanced"] is False
    assert not found.where(metric="model_mean", model="m5")
    assert "adjusted for which" in found.one(metric="model_mean", model="m0").note
    contrast = found.one(metric="contrast", level_name="a", kind="marginal")
    assert contrast.extra["estimator"] == "reml"
    assert np.isfinite([contrast.value, contrast.low, contrast.high]).all()


def test_missing_covariates_are_a_level_or_leave_the_model_out_of_what_needs_them():
    table = families(12, params_m=[None, *range(1, 12)])
    table["dataset_family"][3] = None
    found = study(Findings(population(12)), models=table, **QUICK)
    assert found.one(metric="level_size", level_name="(missing)").value == 1
    assert "1 models lack params_m" in warnings_of(found)["missing covariate"]
    assert found.one(metric="coefficient", kind="marginal").n == 11
    assert found.where(metric="contrast", kind="marginal")[0].n == 12
    assert found.where(metric="contrast", kind="adjusted")[0].n == 11


def test_constant_performance_has_no_correlation_and_missing_scores_are_counted():
    score = {"model": [f"m{i}" for i in range(7)], "flat": [1.0] * 7, "vtab": [0.1 * i for i in range(7)]}
    found = study(Findings(population()), performance=score, **QUICK)
    flat = found.where(metric="correlation", score="flat")
    assert all(math.isnan(r.value) and "constant" in r.note for r in flat)
    assert all(r.n == 7 for r in found.where(metric="correlation", score="vtab"))
    assert "1 of 8 models have no flat" in " ".join(r.note for r in found.where(metric="warning"))


def test_fewer_than_four_models_in_a_scope_or_too_many_factors_are_said():
    rows = population() + [row(f"m{i}", "flowers", extra={"category": "control"}) for i in range(3)]
    found = study(Findings(rows), models=families(), **QUICK)
    assert "scope control: 3 models" in " ".join(r.note for r in found.where(metric="warning"))
    crowded = families(
        architecture_family=[f"x{i // 2}" for i in range(8)],
        params_m=range(1, 9),
        dataset_size=[9, 2, 7, 4, 3, 6, 5, 8],
    )
    few = study(Findings(population()), models=crowded, **QUICK)
    assert "too few for all factors at once" in " ".join(r.note for r in few.where(metric="warning"))


def test_models_that_do_not_differ_have_no_variance_to_explain():
    rows = [row(f"m{i}", t, 0.25) for i in range(8) for t in ("age", "race")]
    found = study(Findings(rows), models=families(), **QUICK)
    assert "do not differ" in found.where(metric="variance_share")[0].note


def test_without_covariates_or_categories_what_can_be_said_is_said():
    rows = [
        Finding(
            "effect_size", r.value, r.unit, 0, model=r.model, order=r.order, note="x", extra={"test": "t" + r.order}
        )
        for r in population(tests=("age",))
    ]  # fmt: skip
    found = study(Findings(rows), **QUICK)
    assert "no covariates were given" in warnings_of(found)["missing covariate"]
    assert {r.extra["scope"] for r in found.where(metric="model_mean")} == {"all"}
    assert "stimuli" not in found.where(metric="test_mean")[0].extra


def test_the_module_is_the_verb():
    found = study_room(Findings(population()), models=families(), **QUICK)
    assert found.settings["verb"] == "study"
    assert all(r.config_hash for r in found)


def test_the_published_model_is_an_option_that_says_it_converged_or_not():
    pytest.importorskip("statsmodels")
    rng = np.random.default_rng(0)
    table = families(24, architecture_family=list("xyz") * 8, params_m=np.exp(rng.normal(5, 1, 24)).tolist(),
                     dataset_size=np.exp(rng.normal(18, 1, 24)).tolist())  # fmt: skip
    found = study(Findings(population(24)), models=table, estimator="paper", **QUICK)
    terms = [r.extra["term"] for r in found.where(metric="coefficient", estimator="paper")]
    assert terms == ["Intercept", "architecture_family[y]", "architecture_family[z]", "dataset_family[b]", "log_params",
                     "log_dataset_size"]  # fmt: skip
    assert not found.where(metric="contrast")
    assert "alphabetical reference" in warnings_of(found)
    assert isinstance(found.where(estimator="paper")[0].extra["converged"], bool)
    with pytest.raises(InputError, match="needs the covariate 'params_m'"):
        study(Findings(population()), models=families(), estimator="paper", **QUICK)


def test_the_command_writes_everything_and_says_its_warnings(tmp_path):
    Findings(population()).write(tmp_path / "findings.json")
    models = write_csv(tmp_path / "models.csv", families() | {"dataset_family": ["x", *["a"] * 4, *["b"] * 3]})
    out = tmp_path / "out"
    call = ["study", str(tmp_path / "findings.json"), "--models", str(models), "-o", str(out), "--permutations", "19",
            "--draws", "100", "--reference", "dataset_family=a", "--json"]  # fmt: skip
    done = CliRunner().invoke(main, call, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert {f.name for f in out.iterdir()} == {"findings.json", "findings.parquet", "study.csv", "report.html"}
    assert "one model each at x" in done.stderr
    assert json.loads(done.stdout)["settings"]["reference"] == {"dataset_family": "a"}
    wrong = CliRunner().invoke(main, [*call[:2], "--reference", "a", "-o", str(out)])
    assert wrong.exit_code == 2
    assert "expected FACTOR=LEVEL" in wrong.output
    missing = CliRunner().invoke(main, ["study", str(tmp_path / "no.json"), "-o", str(out)])
    assert missing.exit_code == 2
    assert "no such file" in missing.output


def test_published_numbers_stand_beside_ours_and_a_wrong_folder_is_refused(tmp_path):
    with pytest.raises(FairVLError, match="expected at least one"):
        study(Findings(population()), claims=tmp_path, **QUICK)
    topics = ("Insect-Flower", "Instrument-Weapon", "Race", "Gender", "Age")
    orders = ("all image", "all text", "image as target", "text as target")
    names, kinds = zip(*[(topic, order) for topic in topics for order in orders], strict=True)
    cells = {"cat": names, "order": kinds, "m": [0.3] * 20, "sd": [0.5] * 20, "n": [131] * 20}
    write_csv(tmp_path / "paper_cells_nrc_oasis.csv", cells)
    found = study(Findings(population()), claims=tmp_path, **QUICK)
    assert found.where(metric="claim")
    assert len(found) == len(study(Findings(population()), **QUICK)) + len(found.where(metric="claim"))


def test_every_refusal_is_an_error_of_the_package():
    with pytest.raises(FairVLError):
        study(Findings([]))


def test_a_published_result_table_joins_by_encoder_name(tmp_path):
    tags = ["openai", "laion400m_e31", "laion400m_e32", "laion2b_e16"]
    ids = [f"open_clip:ViT-B-32/{tag}" for tag in tags]
    rows = [row(id_, t, 0.1 * i, "text-text") for i, id_ in enumerate(ids) for t in ("age", "race")]
    table = tmp_path / "openclip_results.csv"
    lines = [f"ViT-B-32,{tag},{0.1 * i + 0.2:.4f},{0.1 * i:.1f},{0.1 * i + 0.4:.1f}" for i, tag in enumerate(tags)]
    table.write_text("name,pretrained,Average perf. on 2 datasets,ImageNet 1k,CIFAR-10\n" + "\n".join(lines) + "\n")
    scores = read_results(Findings(rows), performance=table).scores
    assert [list(values) for values in scores.values()] == [pytest.approx([0.2, 0.3, 0.4, 0.5])]


def test_the_row_that_is_no_number_is_the_one_named(tmp_path):
    lines = ["model,test,order,effect_size", *[f"m{i},age,text-text,0.{i}" for i in range(6)], "m6,age,text-text,high"]
    (tmp_path / "r.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="row 7: effect_size is 'high'"):
        read_results(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_text("\n".join(lines[:-1]))
    assert read_results(tmp_path / "r.csv").values.ravel().tolist() == pytest.approx([i / 10 for i in range(6)])


def test_results_that_are_not_there_are_said_to_be_so(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_results(tmp_path / "nowhere")


def test_the_command_has_the_defaults_of_the_function():
    options = {parameter.name: parameter.default for parameter in main.commands["study"].params}
    signature = inspect.signature(study).parameters
    for name in ("draws", "permutations", "level", "seed", "estimator"):
        assert options[name] == signature[name].default, name


def test_a_study_says_before_the_work_that_its_folder_cannot_be(tmp_path):
    Findings(population()).write(tmp_path / "findings.json")
    done = CliRunner().invoke(main, ["study", str(tmp_path / "findings.json"), "-o", "/proc/fairvl"])
    assert done.exit_code == 2
    assert "cannot be created or written; name another folder" in done.output


def test_a_misspelt_order_of_a_table_is_named(tmp_path):
    columns = {"model": ["a"], "test": ["age"], "order": ["image_text"], "effect_size": [0.1]}
    with pytest.raises(InputError, match=r"order 'image_text'\. Did you mean 'image-text'"):
        read_results(write_csv(tmp_path / "r.csv", columns))
    assert read_results(write_csv(tmp_path / "r.csv", columns | {"order": ["image-text"]})).models == ("a",)


def test_too_few_models_are_told_with_why_the_others_were_dropped(tmp_path):
    def lost(model, why):
        return Finding("effect_size", math.nan, "standard deviations", 0, model=model, order="text-text", note=why,
                       extra={"test": "age", "category": "social"})  # fmt: skip

    rows = [*population(3), lost("x", "no weights at stored:nowhere."), lost("y", "out of memory"),
            lost("z", "out of memory")]  # fmt: skip
    with pytest.raises(
        InputError, match=r"3 models with results.*left out: x \(no weights.*\); y, z \(out of memory\)"
    ):
        study(Findings(rows), **QUICK)
    note = warnings_of(study(Findings([*population(4), *rows[-2:]]), **QUICK))["unbalanced"]
    Findings(rows).write(tmp_path / "f.csv")
    with pytest.raises(InputError, match=r"y, z \(out of memory\)"):
        study(tmp_path / "f.csv", **QUICK)
    assert "y, z (out of memory)" in note


def test_controls_are_held_fixed_whether_or_not_they_explain(tmp_path):
    rng = np.random.default_rng(0)
    hidden = rng.normal(0, 1, 30)
    rows = [row(f"m{i}", "age", float(h + rng.normal(0, 0.3))) for i, h in enumerate(hidden)]
    table = families(30, lab_score=hidden.tolist())
    scores = {"model": table["model"], "vtab": [float(h + rng.normal(0, 0.3)) for h in hidden]}
    Findings(rows).write(tmp_path / "findings.json")
    call = ["study", str(tmp_path / "findings.json"), "--models", str(write_csv(tmp_path / "m.csv", table)),
            "--performance", str(write_csv(tmp_path / "p.csv", scores)), "--permutations", "19", "--draws", "100",
            "--factors", "dataset_family", "-o", str(tmp_path / "out")]  # fmt: skip

    def partial(*more):
        done = CliRunner().invoke(main, [*call, *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        found = Findings.read(tmp_path / "out/findings.json")
        return found.one(metric="correlation", kind="partial", topic="age")

    usual, held = partial(), partial("--controls", "lab_score, dataset_family")
    assert usual.value > 0.8  # the hidden cause is not held fixed
    assert abs(held.value) < 0.4
    assert set(held.extra["controls"].split(", ")) == {"lab_score", "dataset_family"}
    wrong = CliRunner().invoke(main, [*call, "--controls", "lab_scor"])
    assert wrong.exit_code == 2
    assert "Did you mean 'lab_score'" in wrong.output


def test_a_published_model_that_did_not_converge_says_what_its_numbers_are():
    class Fit:
        converged, nobs, cov_re, scale = False, 8, np.ones((1, 1)), 1.0

    one = np.ones(1)
    for said in ("", "Maximum Likelihood optimization failed to converge"):
        note = warnings_of(Findings(_findings(Fit(), (one, one, one), ["log_params"], 8, 0.95, said)))["not converged"]
        assert "last step" in note
        assert "standard errors, intervals and p-values are unreliable" in note
    Fit.converged = True
    assert "not converged" not in warnings_of(Findings(_findings(Fit(), (one, one, one), ["log_params"], 8, 0.95, "")))
