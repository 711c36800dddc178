"""Findings: what a number must carry, and that nothing is lost on the way to disk and back."""

from __future__ import annotations

import csv
import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairvl.errors import FindingsError
from fairvl.findings import COLUMNS, Finding, Findings

ROW = Finding("accuracy", 0.9, "share", 100, 0.83, 0.95, 0.95, groups="women", extra={"task": "glasses", "k": 3})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n": -1}, "n is -1"),
        ({"arm": "later"}, "arm"),
        ({"unit": ""}, "unit"),
        ({"low": None}, "both ends"),
        ({"level": None}, "level"),
        ({"low": None, "high": None}, "note"),
        ({"value": math.nan}, "note"),
        ({"extra": {"value": 1}}, "fixed columns"),
        ({"extra": {"task": ["a"]}}, "list"),
    ],
)
def test_a_number_without_its_context_is_not_a_finding(changes, says):
    arguments = {
        "metric": "accuracy", "value": 0.9, "unit": "share", "n": 10, "low": 0.8, "high": 1.0, "level": 0.95,
    } | changes  # fmt: skip
    with pytest.raises(FindingsError, match=says):
        Finding(**arguments)


def test_a_finding_cannot_be_changed():
    with pytest.raises(AttributeError):
        ROW.value = 1.0
    with pytest.raises(TypeError):
        ROW.extra["task"] = "other"


text = st.text(max_size=20)
number = st.floats(allow_nan=False, allow_infinity=False)
finding = st.builds(
    lambda metric, value, n, low, note, task: Finding(
        metric, value, "share", n, low, low, 0.9, note=note, extra={"task": task}
    ),
    text.filter(bool), st.one_of(number, st.just(math.nan)), st.integers(0, 2**40), number,
    text.map(lambda t: t or "x"), text.filter(bool),
)  # fmt: skip


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(finding, min_size=1, max_size=4))
def test_what_is_written_is_read_back(rows, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("findings") / f"a{suffix}"
    settings_ = {"seed": 1, "nested": {"a": [1, "x"]}}
    back = Findings.read(Findings(rows, settings_).write(path))
    assert back.records() == Findings(rows).records()
    assert dict(back.settings) == settings_


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_infinite_values_survive(tmp_path, suffix):
    table = Findings([Finding("min_skew", -math.inf, "nats", 10, -math.inf, 0.1, 0.95)])
    back = Findings.read(table.write(tmp_path / f"a{suffix}"))[0]
    assert (back.value, back.low, back.high) == (-math.inf, -math.inf, 0.1)


def test_csv_cells_are_no_formulas():
    row = Finding("m", 1.0, "u", 1, note="=HYPERLINK(1)", extra={"query": "@x", "plain": "a=b"})
    cells = next(csv.DictReader(io.StringIO(Findings([row]).to_csv())))
    assert (cells["note"], cells["query"], cells["plain"]) == ("'=HYPERLINK(1)", "'@x", "a=b")


def test_rows_are_found_by_fixed_and_free_columns():
    table = Findings([ROW, Finding("accuracy", 0.8, "share", 50, 0.7, 0.9, 0.95, groups="men")])
    assert table.where(task="glasses").rows == (ROW,)
    assert table.one(groups="men").n == 50
    with pytest.raises(FindingsError, match="2 findings match"):
        table.one(metric="accuracy")
    assert table.with_columns(model="m", fold=1)[1].extra["fold"] == 1
    assert table.columns == (*COLUMNS, "task", "k")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", "{", "not JSON"),
        ("a.json", "[]", "not a findings file"),
        ("a.json", '{"fairvl_findings": 99}', "format 1"),
        ("a.json", '{"fairvl_findings": 1, "settings": {}, "findings": [{"metric": "m"}]}', "malformed"),
        ("a.parquet", "PAR1", "parquet"),
        ("a.txt", "", "suffix"),
    ],
)
def test_a_file_that_is_no_findings_says_so(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(FindingsError, match=says):
        Findings.read(tmp_path / name)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(FindingsError, match="no such file"):
        Findings.read(tmp_path / "absent.json")
