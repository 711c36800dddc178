"""Tables of labels and predictions: types, missing cells, and every way a table can be wrong."""

from __future__ import annotations

import csv
import datetime
import decimal
import gzip
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairvl.errors import DatasetError
from fairvl.sources.datasets import read_table


def written(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.csv.gz", "t.tsv", "t.tsv.gz"])
def test_every_suffix(tmp_path, name):
    text = "id,y_true,score\n1,a,0.5\n2,b,1\n"
    text = text.replace(",", "\t") if "tsv" in name else text
    expected = {"id": ["1", "2"], "y_true": ["a", "b"], "score": [0.5, 1.0]}
    assert read_table(written(tmp_path, text, name), id_column="id") == expected


def test_parquet_and_csv_agree(tmp_path):
    table = {"id": ["x", "y", "z"], "n": [1, None, 3], "score": [0.25, None, 1.5], "group": ["a", None, "b"]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    text = "id,n,score,group\nx,1,0.25,a\ny,,NaN,\nz,3,1.5,b\n"
    assert (
        read_table(tmp_path / "t.parquet", id_column="id")
        == read_table(written(tmp_path, text), id_column="id")
        == table
    )


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["1", "x"], ["1", "x"]),
        (["1e3", "-.5"], [1000.0, -0.5]),
        (["007", "008"], ["007", "008"]),
        (["00.5", "1"], ["00.5", "1"]),
        (["3-9", "10-19"], ["3-9", "10-19"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["1e999", "2"], ["1e999", "2"]),
        (["inf", "1"], ["inf", "1"]),
        (["9" * 19, "1"], ["9" * 19, "1"]),
        (["True", "False"], ["True", "False"]),
        (["NA", "None"], ["NA", "None"]),
        ([" a ", "b"], [" a ", "b"]),
        (["", "1"], [None, 1]),
        (["nan", "NaN", " ", "1"], [None, None, None, 1]),
        (["", "nan"], [None, None]),
    ],
)
def test_typing_of_csv_columns(tmp_path, cells, values):
    text = "k,v\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells))
    found = read_table(written(tmp_path, text))["v"]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_ids_stay_text(tmp_path):
    path = written(tmp_path, "id,y\n1,0\n2,1\n")
    assert read_table(path)["id"] == [1, 2]
    assert read_table(path, id_column="id")["id"] == ["1", "2"]
    assert read_table(path, strings=["y"])["y"] == ["0", "1"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            st.text("0123456789.e-", max_size=6),
        ),
        min_size=1,
    )
)
def test_any_text_survives_csv(tmp_path, rows):
    path = tmp_path / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    table = read_table(path, strings=["a"])
    for (a, b), found_a, found_b in zip(rows, table["a"], table["b"], strict=True):
        assert found_a == (a if a.strip() and a.strip().lower() != "nan" else None)
        assert found_b is None or str(found_b) == b or math.isclose(float(found_b), float(b))


def test_bom_quotes_line_breaks_and_crlf(tmp_path):
    text = '\ufeffid,caption\r\n1,"two\nlines, ""quoted"""\r\n'
    assert read_table(written(tmp_path, text)) == {"id": [1], "caption": ['two\nlines, "quoted"']}


def test_surprising_parquet_types(tmp_path):
    table = pa.table(
        {
            "large": pa.array(["a", " "], pa.large_string()),
            "view": pa.array(["a", "b"], pa.string()).dictionary_encode(),
            "dec": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(5, 2)),
            "day": pa.array([datetime.date(2026, 1, 2), None]),
            "half": pa.array([1.5, float("nan")], pa.float32()),
            "flag": pa.array([True, None]),
            "none": pa.nulls(2),
            "small": pa.array([1, 2], pa.uint8()),
            "nested": pa.array([[1], [2]]),
            "raw": pa.array([b"x", b"y"]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet") == {
        "large": ["a", None],
        "view": ["a", "b"],
        "dec": [1.5, None],
        "day": ["2026-01-02", None],
        "half": [1.5, None],
        "flag": [True, None],
        "none": [None, None],
        "small": [1, 2],
    }
    with pytest.raises(DatasetError, match=r"'nested' holds list"):
        read_table(tmp_path / "t.parquet", required=["nested"])


def test_numeric_parquet_ids_become_text(tmp_path):
    pq.write_table(pa.table({"id": [10, 11]}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", id_column="id") == {"id": ["10", "11"]}


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "t.csv", "empty"),
        ("\n", "t.csv", "empty"),
        ("a,b\n", "t.csv", "no row"),
        ("a,b\n1,2\n1,2,3\n", "t.csv", r"line 3: 3 cells for 2 column names"),
        ("a,b\n1\n", "t.csv", r"line 2: 1 cells"),
        ("a,a\n1,2\n", "t.csv", "names columns twice: 'a'"),
        ("a,a\n1,2\n", "t.xlsx", r"accepted: \.csv, \.csv\.gz"),
        (b"a,b\n\xff\xfe,2\n", "t.csv", "not UTF-8"),
        ('a,b\n"1,2\n', "t.csv", "not well-formed"),
        (b"PAR1nonsensePAR1", "t.parquet", "not a readable parquet"),
        ("a,b\n" + "x" * (4 * 1024 * 1024 + 5) + ",1\n", "t.csv", "line of over"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, name, message):
    with pytest.raises(DatasetError, match=message):
        read_table(written(tmp_path, text, name))


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 5000)
    for damaged in (whole[:40], whole[:-4], b"not gzip", whole[:30] + b"\xff\xff\xff" + whole[33:]):
        path = tmp_path / "t.csv.gz"
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="cannot be read"):
            read_table(path)


def test_missing_file_names_the_neighbours(tmp_path):
    written(tmp_path, "a\n1\n", "labels.csv")
    with pytest.raises(DatasetError, match=r"no such table.*'labels\.csv'"):
        read_table(tmp_path / "label.csv")
    with pytest.raises(DatasetError, match="folder"):
        read_table(tmp_path / "nowhere" / "label.csv")


def test_missing_column_names_the_nearest(tmp_path):
    with pytest.raises(DatasetError, match=r"no column 'y_pred'. Did you mean 'y_pred_'"):
        read_table(written(tmp_path, "id,y_true,y_pred_\n1,2,3\n"), required=["y_pred"])


def test_duplicate_ids_are_counted_with_examples(tmp_path):
    text = "id\n" + "".join(f"{name}\n" for name in "abcabd")
    with pytest.raises(DatasetError, match=r"2 duplicate ids .*'a', 'b'"):
        read_table(written(tmp_path, text), id_column="id")


def test_ids_that_differ_only_by_unicode_form_are_duplicates(tmp_path):
    path = written(tmp_path, "id\ncaf\u00e9\ncafe\u0301\n")
    with pytest.raises(DatasetError, match="1 duplicate ids"):
        read_table(path, id_column="id")


def test_rows_without_an_id_are_counted(tmp_path):
    with pytest.raises(DatasetError, match=r"2 rows have no 'id' \(first: row 2\)"):
        read_table(written(tmp_path, "id,y\na,1\n,2\nnan,3\n"), id_column="id")


def test_parquet_with_two_columns_of_one_name(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match="twice"):
        read_table(tmp_path / "t.parquet")
