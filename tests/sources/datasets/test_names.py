"""Dataset names: what is accepted, and what a typo is told."""

from __future__ import annotations

import pytest

from fairvl.errors import DatasetError
from fairvl.sources.datasets import load_dataset


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("photos/", "no scheme.*Accepted forms: folder:DIR"),
        ("", "no scheme"),
        ("foldr:photos", "unknown scheme 'foldr'. Did you mean 'folder'"),
        ("folder:", "names no place"),
        ("folder:x?metdata=a.csv", "no option 'metdata'. Did you mean 'metadata'"),
        ("zip:x?split=a", "no option 'split'"),
        ("folder:x?metadata", "'metadata' of folder: needs a value"),
        ("folder:x?metadata=", "needs a value"),
        ("folder:x?id=a&id=b", "given twice"),
        ("folder:x?limit=0", "at least 1, found '0'"),
        ("folder:x?limit=-3", "at least 1"),
        ("folder:x?limit=ten", "found 'ten'"),
        ("folder:x?recode=gender:man1", "COLUMN:OLD:NEW"),
        ("world:landscapes?n=3", "no 'landscapes'.*'portraits'"),
    ],
)
def test_typos(name, message):
    with pytest.raises(DatasetError, match=message):
        load_dataset(name)


def test_values_may_be_escaped_and_places_may_hold_a_plus(tmp_path, make_png):
    place = tmp_path / "a+b & c"
    place.mkdir()
    (place / "x.png").write_bytes(make_png())
    (place / "l&m.csv").write_text("path,a:b\nx.png,c:d\n")
    (record,) = load_dataset(f"folder:{place}?metadata=l%26m.csv&recode=a%3Ab:c%3Ad:e")
    assert dict(record.attributes) == {"a:b": "e"}


def test_recode_values_must_be_plain(tmp_path, make_png):
    (tmp_path / "x.png").write_bytes(make_png())
    with pytest.raises(DatasetError, match="text, numbers or None"):
        load_dataset(f"folder:{tmp_path}", recode={"a": {"b": ["c"]}})


def test_a_dataset_is_handed_through(tmp_path, make_png):
    (tmp_path / "x.png").write_bytes(make_png())
    dataset = load_dataset(f"folder:{tmp_path}")
    assert load_dataset(dataset) is dataset
