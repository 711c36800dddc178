"""Every layout gives the same records, whole and in shards, in this process and in another."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairvl.errors import DatasetError
from fairvl.sources.datasets import Dataset, decode_image, load_dataset


def test_records_are_those_that_were_written(layout, rows, make_png):
    dataset = load_dataset(layout)
    assert isinstance(dataset, Dataset)
    assert len(dataset) == len(rows)
    assert dataset.problems == ()
    for number, (record, row) in enumerate(zip(dataset, rows, strict=True)):
        assert (record.id, record.caption) == (row["id"], row["caption"])
        assert dict(record.attributes) == {"gender": row["gender"], "age": row["age"]}
        assert record.image() == make_png(number)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 11, 12, 1000])
def test_shards_hold_each_record_once_in_order(layout, size):
    dataset = load_dataset(layout)
    specs = dataset.shards(size)
    assert json.loads(json.dumps(specs)) == list(specs)
    shards = [[record.id for record in dataset.read(spec)] for spec in specs]
    assert [id_ for shard in shards for id_ in shard] == [record.id for record in dataset]
    assert max(map(len, shards)) <= size
    assert min(map(len, shards)) >= 1
    # any order, each alone
    assert [[record.id for record in dataset.read(spec)] for spec in reversed(specs)] == shards[::-1]


def _read(dataset, spec):
    return [(record.id, record.image()) for record in dataset.read(spec)]


READ_THERE = """
import pickle, sys
dataset, spec = pickle.load(sys.stdin.buffer)
pickle.dump([(record.id, record.image()) for record in dataset.read(spec)], sys.stdout.buffer)
"""


def test_a_shard_reads_alike_in_another_process(layout):
    dataset = load_dataset(layout)
    spec = dataset.shards(4)[-1]
    there = subprocess.run(
        [sys.executable, "-c", READ_THERE], input=pickle.dumps((dataset, spec)), capture_output=True, check=True
    )
    assert pickle.loads(there.stdout) == _read(dataset, spec)


def test_dataset_and_records_can_be_pickled(layout):
    dataset = pickle.loads(pickle.dumps(load_dataset(layout)))
    records = pickle.loads(pickle.dumps(list(dataset)))
    assert decode_image(records[0].image()).size == (5, 4)


def test_limit_stops_early(layout):
    joint = "&" if "?" in layout else "?"
    dataset = load_dataset(f"{layout}{joint}limit=5")
    assert len(dataset) == len(list(dataset)) == sum(len(list(dataset.read(spec))) for spec in dataset.shards(2)) == 5
    assert dataset.fingerprint != load_dataset(layout).fingerprint


def test_recode_replaces_values_only_there(layout):
    dataset = load_dataset(layout, recode={"gender": {"female": "woman", "male": None}})
    assert {record.attributes["gender"] for record in dataset} == {"woman", None}
    assert {record.attributes["gender"] for spec in dataset.shards(4) for record in dataset.read(spec)} == {
        "woman",
        None,
    }
    assert [record.attributes["age"] for record in dataset] == list(range(20, 31))
    assert len(dataset) == 11
    assert dataset.fingerprint != load_dataset(layout).fingerprint
    with pytest.raises(DatasetError, match=r"'gendre'.*'gender'"):
        load_dataset(layout, recode={"gendre": {"a": "b"}})


def test_recode_in_the_name_equals_recode_in_python(layout):
    joint = "&" if "?" in layout else "?"
    by_name = load_dataset(f"{layout}{joint}recode=gender:female:woman&recode=age:20:30")
    by_mapping = load_dataset(layout, recode={"gender": {"female": "woman"}, "age": {20: "30"}})
    assert [record.attributes for record in by_name] == [record.attributes for record in by_mapping]


def test_bad_specs_are_refused(layout):
    dataset = load_dataset(layout)
    for spec in (
        {},
        {"part": 99, "start": 0, "stop": 1},
        {"part": 0, "start": 0, "stop": 999},
        {"part": 0, "start": -1, "stop": 1},
    ):
        with pytest.raises(DatasetError, match="shard"):
            dataset.read(spec)
    with pytest.raises(DatasetError, match="at least 1"):
        dataset.shards(0)


@pytest.mark.parametrize("kind", ["folder", "zip", "parquet", "webdataset", "hf"])
def test_fingerprint_depends_on_content_not_on_place(kind, layouts, tmp_path: Path):
    places = [tmp_path / name for name in ("one", "two", "three")]
    names = []
    for place in places:
        place.mkdir()
        names.append(layouts[kind](place))
    first, second = load_dataset(names[0]), load_dataset(names[1])
    assert first.fingerprint == second.fingerprint
    assert load_dataset(names[0]).fingerprint == first.fingerprint
    assert load_dataset(names[2], recode={"gender": {"male": "man"}}).fingerprint != first.fingerprint


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    present=st.lists(st.booleans(), min_size=1, max_size=40).filter(any),
    group=st.integers(1, 7),
    size=st.integers(1, 9),
)
def test_parquet_rows_without_an_id_never_shift_the_others(tmp_path, present, group, size):
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = [f"i{number}" if there else None for number, there in enumerate(present)]
    table = pa.table({"id": ids, "image": [bytes([number]) for number in range(len(ids))]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=group)
    dataset = load_dataset(f"parquet:{tmp_path / 'a.parquet'}")
    expected = [(id_, bytes([number])) for number, id_ in enumerate(ids) if id_ is not None]
    assert [pair for spec in dataset.shards(size) for pair in _read(dataset, spec)] == expected
    assert len(dataset.problems) == ids.count(None)
    handed_out = [problem for spec in dataset.shards(size) for problem in dataset.skipped(spec)]
    assert handed_out == list(dataset.problems)


def test_decoded_pixels_are_those_drawn(layout, rows):
    pictures = [np.asarray(decode_image(record.image())) for record in load_dataset(layout)]
    drawn = [np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8) for seed in range(len(rows))]
    assert np.array_equal(pictures, drawn)
