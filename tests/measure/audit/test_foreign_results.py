"""Result files of other benchmarks: what is in them arrives as findings, and what is broken is named."""

import json

import pytest

from fairvl.errors import DatasetError
from fairvl.findings import Findings
from fairvl.measure.audit import audit
from fairvl.measure.audit.results import read_results

CLASSIFICATION = {
    "dataset": "imagenet1k", "model": "ViT-B-32", "pretrained": "laion2b", "task": "zeroshot_classification",
    "metrics": {"acc1": 0.66, "acc5": 0.89, "mean_per_class_recall": 0.65}, "language": "ar",
}  # fmt: skip
RETRIEVAL = {
    "dataset": "flickr30k", "model": "ViT-B-32", "pretrained": "laion2b", "task": "zeroshot_retrieval",
    "metrics": {"image_retrieval_recall@5": 0.84, "text_retrieval_recall@5": 0.95}, "language": "en",
}  # fmt: skip
DATACOMP = [
    {"key": "imagenet1k", "dataset": "ImageNet 1k", "metrics": {"acc1": 0.5, "acc5": 0.8, "main_metric": 0.5}},
    {"key": "wilds/fmow", "dataset": "FMoW", "metrics": {"acc1": 0.1, "acc_worst_region": None, "main_metric": None}},
    {"key": "fairness/fairface", "dataset": "FairFace", "metrics": {"acc_gender_avg": 0.9, "main_metric": None}},
]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_clip_benchmark_result_becomes_findings(tmp_path):
    found = read_results(write(tmp_path / "a.json", CLASSIFICATION))
    top = {row.extra["k"]: row.value for row in found.where(metric="top_k_accuracy")}
    assert top == {1: 0.66, 5: 0.89}
    row = found.one(metric="mean_per_class_recall")
    assert (row.value, row.model, row.dataset, row.extra["language"]) == (0.65, "ViT-B-32 laion2b", "imagenet1k", "ar")
    assert (row.n, row.low, row.unit, row.extra["role"]) == (0, None, "share", "utility")
    assert "neither n nor an interval" in row.note


def test_recall_says_which_way_round(tmp_path):
    found = read_results(write(tmp_path / "a.json", [CLASSIFICATION, RETRIEVAL]))
    assert found.one(metric="recall_at_k", task="retrieval, text to image").value == 0.84
    assert found.one(metric="recall_at_k", task="retrieval, image to text").extra["k"] == 5


def test_the_joined_table_says_the_same_as_its_parts(tmp_path):
    header = "acc1,acc5,mean_per_class_recall,dataset,model,pretrained,task,language,image_retrieval_recall@5"
    header += ",text_retrieval_recall@5,model_fullname"
    lines = [
        "0.66,0.89,0.65,imagenet1k,ViT-B-32,laion2b,zeroshot_classification,ar,,,ViT-B-32 laion2b",
        ",,,flickr30k,ViT-B-32,laion2b,zeroshot_retrieval,en,0.84,0.95,ViT-B-32 laion2b",
    ]
    table = read_results(write(tmp_path / "benchmark.csv", "\n".join([header, *lines]) + "\n"))
    parts = read_results(write(tmp_path / "a.json", [CLASSIFICATION, RETRIEVAL]))

    def said(found):
        return {(r.metric, r.value, r.dataset, r.model, r.extra.get("k"), r.extra["task"]) for r in found}

    assert said(table) == said(parts)
    assert len(table) == 5


def test_datacomp_lines_become_findings_without_repeating_the_main_metric(tmp_path):
    text = "\n".join(json.dumps(line) for line in DATACOMP) + "\n\n"
    found = read_results(write(tmp_path / "eval_results.jsonl", text), model="mine")
    assert {(r.dataset, r.metric, r.value) for r in found} == {
        ("ImageNet 1k", "top_k_accuracy", 0.5), ("ImageNet 1k", "top_k_accuracy", 0.8),
        ("FMoW", "top_k_accuracy", 0.1), ("FairFace", "acc_gender_avg", 0.9),
    }  # fmt: skip
    assert {r.model for r in found} == {"mine"}
    assert found.one(dataset="FairFace").extra["role"] == "diagnostic"


def test_they_stand_beside_an_audit_and_survive_being_written(tmp_path):
    path = write(tmp_path / "eval_results.jsonl", json.dumps(DATACOMP[0]))
    table = {"y_true": ["a", "b"] * 20, "y_pred": ["a", "a"] * 20, "sex": ["f"] * 20 + ["m"] * 20}
    both = audit(predictions=table, draws=50, results=path)
    assert both.one(metric="accuracy", groups="(all)").value == 0.5
    assert both.one(metric="top_k_accuracy", k=5).value == 0.8
    assert both.settings["results"]["file"] == "eval_results.jsonl"
    alone = audit(results=path)
    assert [row.value for row in alone] == [0.5, 0.8]
    written = both.write(tmp_path / "findings.json")
    assert Findings.read(written).one(metric="top_k_accuracy", k=5).value == 0.8


BAD = {
    "empty.json": ("", "not JSON"),
    "empty.jsonl": ("\n\n", "no result"),
    "cut.jsonl": ('{"key": "a", "dataset": "A", "metrics": {"acc1": 0.5}}\n{"key": "b", "da', "line 2"),
    "number.json": ("3", "a int"),
    "list.json": ("[[1, 2]]", "a list"),
    "keys.json": ({"accuracy": 0.5}, "expected a result with 'dataset' and 'metrics'"),
    "metrics.json": ({"dataset": "a", "metrics": [0.5]}, "expected a result"),
    "percent.json": ({"dataset": "a", "task": "t", "metrics": {"acc1": 66.0}}, "expected a share"),
    "negative.json": ({"dataset": "a", "task": "t", "metrics": {"image_retrieval_recall@5": -0.1}}, "expected a share"),
    "infinite.json": ('{"dataset": "a", "metrics": {"acc1": Infinity}}', "expected a share"),
    "words.json": ({"dataset": "a", "metrics": {"acc1": "good", "acc5": None}}, "no result"),
    "deep.json": ("[" * 100_000, "not JSON"),
    "ragged.csv": ("acc1,dataset,model,pretrained,task\n0.5,a\n", "line 2"),
    "wide.csv": ("acc1,dataset\n0.5,a,b\n", "line 2"),
    "header.csv": ("acc1,dataset\n", "no result"),
    "results.txt": ("acc1 0.5", "unknown kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_broken_file_is_named_with_what_is_wrong(name, tmp_path):
    content, said = BAD[name]
    path = write(tmp_path / name, content)
    with pytest.raises(DatasetError, match=said) as caught:
        read_results(path)
    assert name in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(DatasetError, match="cannot be read"):
        read_results(tmp_path / "nowhere.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_results(tmp_path / "binary.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(DatasetError, match="cannot be read"):
        read_results(tmp_path / "folder.json")
