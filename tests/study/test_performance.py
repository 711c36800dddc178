"""Readers of published result tables: scores recomputed, kept apart, and joined by model id."""

import math

import numpy as np
import pytest

from fairvl.errors import InputError, SourceError
from fairvl.study.performance import (
    SCORES,
    VTAB,
    VTAB_PLUS,
    ScoreTable,
    performance_columns,
    read_clip_benchmark,
    read_open_clip_results,
    read_performance,
)


def long_table(path, results, stated=None):
    lines = ["acc1,dataset,model_fullname"]
    lines += [f"{value!r},{name},{model}" for model, values in results.items() for name, value in values.items()]
    lines += [f"{value!r},vtab+,{model}" for model, value in (stated or {}).items()]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def results():
    random = np.random.default_rng(1)
    return {model: dict(zip(VTAB_PLUS, random.random(35).tolist(), strict=True)) for model in ("A t1", "B Model-x.pt")}


def test_the_scores_have_35_19_and_5_datasets():
    assert {name: len(set(sets)) for name, sets in SCORES.items()} == {
        "vtab+": 35,
        "vtab": 19,
        "imagenet_robustness": 5,
    }
    assert set(VTAB) < set(VTAB_PLUS)
    assert "vtab/cifar10" not in VTAB


def test_a_score_is_the_mean_of_its_datasets_and_a_wrong_statement_shows(tmp_path, results):
    means = {model: math.fsum(values.values()) / 35 for model, values in results.items()}
    table = read_clip_benchmark(long_table(tmp_path / "t.csv", results, means))
    assert table.models == ("open_clip:A/t1", "open_clip:B/Model-x.pt")
    assert table.means == pytest.approx(list(means.values()), abs=1e-15)
    assert table.deviation < 1e-15
    off = read_clip_benchmark(long_table(tmp_path / "t.csv", results, means | {"A t1": means["A t1"] + 0.01}))
    assert off.deviation == pytest.approx(0.01)


def test_a_model_without_one_dataset_has_no_score(tmp_path, results):
    del results["A t1"]["mnist"]
    table = read_clip_benchmark(long_table(tmp_path / "t.csv", results))
    assert np.isnan(table.means).tolist() == [True, False]
    assert math.isnan(table.deviation)
    assert not np.isnan(read_clip_benchmark(tmp_path / "t.csv", "vtab").means).any(), "mnist is no VTAB task"


def test_open_clips_table_names_its_score_after_its_datasets(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(
        "name,pretrained,params (M),FLOPs (B),Average perf. on 2 datasets,a,b\nRN50,openai,1,2,0.5001,0.4,0.6\n"
    )
    table = read_open_clip_results(path)
    assert (table.score, table.models, table.datasets) == ("average of 2", ("open_clip:RN50/openai",), ("a", "b"))
    assert table.deviation == pytest.approx(1e-4)


def test_different_scores_stand_side_by_side_and_never_in_one_column(tmp_path, results):
    vtab = read_clip_benchmark(long_table(tmp_path / "t.csv", results))
    other = ScoreTable("average of 38", ("open_clip:A/t1",), ("x",), np.array([[0.25]]), np.array([0.25]))
    columns = performance_columns([vtab, other])
    assert list(columns) == ["model", "vtab+", "average of 38"]
    assert columns["average of 38"][0] == 0.25
    assert math.isnan(columns["average of 38"][1])
    with pytest.raises(InputError, match="each score once"):
        performance_columns([vtab, vtab])
    with pytest.raises(InputError, match="at least one"):
        performance_columns([])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,acc1\na,1\n", "expected model_fullname"),
        ("acc1,dataset,model_fullname\n0.1,mnist,A t\n0.2,mnist,A t\n", "two results on mnist"),
        ("acc1,dataset,model_fullname\nfine,mnist,A t\n", "'fine' is not a number"),
        ("acc1,dataset,model_fullname\n0.1,mnist\n", "row 2 has 2 cells"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path, text, said):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=said):
        read_clip_benchmark(path)


def test_hostile_calls_are_refused(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        read_clip_benchmark(tmp_path / "none.csv")
    (tmp_path / "t.csv").write_text("name,pretrained\n")
    with pytest.raises(SourceError, match="Average"):
        read_open_clip_results(tmp_path / "t.csv")
    with pytest.raises(InputError, match="vtab-plus"):
        read_clip_benchmark(tmp_path / "t.csv", "vtab-plus")
    with pytest.raises(InputError, match="twice"):
        ScoreTable("s", ("a", "a"), ("x",), np.zeros((2, 1)), np.zeros(2))


def test_a_table_is_told_by_its_header(tmp_path, results):
    path = long_table(tmp_path / "t.csv", results)
    assert list(read_performance(path)) == ["model", "vtab+", "vtab", "imagenet_robustness"]
    for values in results.values():
        del values["mnist"]
    assert list(read_performance(long_table(path, results))) == ["model", "vtab", "imagenet_robustness"]
    for values in results.values():
        del values["sun397"], values["imagenet-a"]
    with pytest.raises(SourceError, match="no model has all datasets"):
        read_performance(long_table(path, results))
    path.write_text("name,pretrained,Average perf. on 1 datasets,a\nRN50,openai,0.5,0.5\n")
    assert read_performance(path) == {"model": ["open_clip:RN50/openai"], "average of 1": [0.5]}
    path.write_text("model,score\na,1\n")
    with pytest.raises(SourceError, match=r"open_clip .* or of CLIP_benchmark"):
        read_performance(path)
