"""Labels become codes; missing stays missing, absent stays in the table, nothing is merged in silence."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairvl.errors import GroupError
from fairvl.stats.codes import MISSING, GroupCodes, encode

NAN = float("nan")


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "naïve", "نص", "  x"])), min_size=1, max_size=40))
def test_decoding_returns_the_labels(values):
    codes = encode(values)
    assert [None if c < 0 else codes.labels[c] for c in codes.codes] == values
    assert codes.counts.sum() + codes.n_missing == len(values)


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=2, max_size=20), st.randoms())
def test_labels_do_not_depend_on_row_order(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert encode(values).labels == encode(shuffled).labels


@pytest.mark.parametrize(
    "missing", [None, NAN, "", "   ", pd.NA, pd.NaT, np.datetime64("NaT"), MISSING, np.float32("nan")]
)
def test_missing_is_minus_one_and_reported(missing):
    codes = encode(["a", missing, "b"])
    assert codes.codes.tolist() == [0, -1, 1]
    assert codes.n_missing == 1
    shown = codes.reported()
    assert shown.labels == ("a", "b", MISSING)
    assert shown.codes.tolist() == [0, 2, 1]


def test_nothing_missing_reports_no_missing_category():
    assert encode(["a", "b"]).reported().labels == ("a", "b")


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        np.array([1, 0, 1], dtype=np.uint8),
        np.array([1, 0, 1], dtype=np.float16),
        pd.Series([1, 0, 1]),
        pd.Series([1, 0, 1], dtype="Int64"),
        pa.array([1, 0, 1]),
        pa.chunked_array([[1], [0, 1]]),
        (n for n in [1, 0, 1]),
        ["1", "0", "1"],
        [b"1", b"0", b"1"],
    ],
    ids=lambda values: f"{type(values).__module__}.{type(values).__name__}",
)
def test_every_kind_of_column_gives_the_same_codes(values):
    codes = encode(values)
    assert codes.labels == ("0", "1")
    assert codes.codes.tolist() == [1, 0, 1]


def test_numbers_inside_text_sort_as_numbers():
    assert encode(["10-19", "3-9", "0-2", "more than 70"]).labels == ("0-2", "3-9", "10-19", "more than 70")
    assert encode([10, 9, -1, 2.5]).labels == ("-1", "2.5", "9", "10")


def test_categories_keep_their_order_and_their_absent_members():
    column = pd.Series(pd.Categorical(["old", None], categories=["young", "old"], ordered=True))
    codes = encode(column)
    assert codes.labels == ("young", "old")
    assert codes.absent == ("young",)
    assert codes.codes.tolist() == [1, -1]


def test_expected_labels_stay_when_absent_and_fix_the_order():
    codes = encode(["b", "a", None], expected=["c", "b", "a"])
    assert codes.labels == ("c", "b", "a")
    assert codes.codes.tolist() == [1, 2, -1]
    assert codes.counts.tolist() == [0, 1, 1]


def test_an_unexpected_label_is_named_with_its_nearest():
    with pytest.raises(GroupError, match=r"'femal'.*Did you mean 'Female'\?"):
        encode(["Male", "femal"], expected=["Female", "Male"])


@pytest.mark.parametrize("expected", ["abc", ["a", "a"], ["a", None]])
def test_expected_labels_must_be_distinct_labels(expected):
    with pytest.raises(GroupError, match="expected"):
        encode(["a"], expected=expected)


def test_unicode_forms_become_one_label_and_the_note_says_so():
    codes = encode(["caf\u00e9", "cafe\u0301", "tea"])
    assert codes.labels == ("caf\u00e9", "tea")
    assert codes.counts.tolist() == [2, 1]
    assert "Unicode" in codes.notes[0]
    assert not encode(["caf\u00e9", "tea"]).notes


@pytest.mark.parametrize("values", [["1", 1], [True, 1, "True"], [1, "1", 1.0]])
def test_labels_that_look_alike_but_differ_in_type_are_refused(values):
    with pytest.raises(GroupError, match="cannot be told apart"):
        encode(values)


@pytest.mark.parametrize(
    "groups", ["female", [], np.zeros((3, 2)), {}, [["a"], ["b"]], 3, {"a": ["x"], "b": ["y", "z"]}]
)
def test_unusable_groups_are_refused(groups):
    with pytest.raises(GroupError, match=r"expected|mapping|rows"):
        encode(groups)


def frames():
    columns = {"gender": ["f", "m", "f", None], "age": ["20", "3", "3", "3"]}
    return [columns, pd.DataFrame(columns), pa.table(columns)]


@pytest.mark.parametrize("groups", frames(), ids=["mapping", "pandas", "arrow"])
def test_a_table_is_crossed_with_every_combination_listed(groups):
    codes = encode(groups)
    assert codes.name == "gender & age"
    assert codes.labels == ("f & 3", "f & 20", "m & 3", "m & 20")
    assert codes.codes.tolist() == [1, 2, 0, -1]
    assert codes.absent == ("m & 20",)
    assert codes.column("age").codes.tolist() == [1, 0, 0, 0]  # the row without a gender keeps its age
    with pytest.raises(GroupError, match="no attribute 'race'"):
        codes.column("race")


def test_a_table_of_one_column_is_that_column():
    assert encode({"gender": ["f", "m"]}).labels == ("f", "m")


def test_a_crossing_with_too_many_combinations_lists_the_observed_ones():
    n = 100
    codes = encode({"a": list(range(n)), "b": list(range(n))})
    assert len(codes.labels) == n
    assert (codes.counts == 1).all()
    assert "10000 combinations" in codes.notes[0]
    assert codes.labels[codes.codes[7]] == "7 & 7"


def test_crossings_with_the_same_name_are_refused():
    with pytest.raises(GroupError, match="same name"):
        encode({"x": ["a & b", "a"], "y": ["c", "b & c"]})


def test_codes_are_frozen_and_checked():
    values = np.array([0, 1])
    codes = GroupCodes(values, ("a", "b"))
    values[0] = 1
    assert codes.codes.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        codes.codes[0] = 1
    with pytest.raises(GroupError, match="codes from 0 to 1"):
        GroupCodes(np.array([0, 1]), ("a",))
    assert encode(codes) is codes


def test_take_keeps_the_labels():
    codes = encode(["a", "b", "c"]).take(np.array([True, False, True]))
    assert codes.labels == ("a", "b", "c")
    assert codes.codes.tolist() == [0, 2]
