"""Parts, processes and Ray write the bytes of one run; sweeps made apart merge into the table of one."""

import math

import pytest

from fairvl.errors import FindingsError, InputError, JobError
from fairvl.findings import Findings
from fairvl.study.sweep import ModelEntry, join_results, merge, sweep

RUN = {"draws": 100, "permutations": 199}


def entries(*ids):
    return [ModelEntry(id_, f"fake:{4 + n}", {"dataset": f"d{n}"}) for n, id_ in enumerate(ids)]


@pytest.fixture
def files():
    """What a reader gets."""

    def read(folder):
        return {n: (folder / n).read_bytes() for n in ("findings.json", "findings.parquet", "models.csv")}

    return read


def test_parts_in_any_order_then_a_last_run_make_the_same_table(tmp_path, toy, files):
    sweep(entries(*"abcde"), tmp_path / "whole", suite=toy.registry(), **RUN)
    for part, done in (("shard:2/3", 1), ("shard:0/3", 3)):
        table = sweep(entries(*"abcde"), tmp_path / "a", suite=toy.registry(), engine=part, **RUN)
        assert len(table) == 0
        assert table.settings["complete"] is False
        assert table.settings["done"] == done
        assert not (tmp_path / "a/findings.json").exists()
    sweep(entries(*"abcde"), tmp_path / "a", suite=toy.registry(), **RUN)
    assert files(tmp_path / "a") == files(tmp_path / "whole")


def test_sweeps_made_apart_merge_into_the_table_of_one(tmp_path, toy, files, capsys):
    everything = entries(*"abcd")
    sweep(everything, tmp_path / "whole", suite=toy.registry(), **RUN)
    sweep(everything[:3], tmp_path / "one", suite=toy.registry(), **RUN)
    sweep(everything[2:], tmp_path / "two", suite=toy.registry(), **RUN)
    merge([tmp_path / "two", tmp_path / "one"], tmp_path / "both", suite=toy.registry(), **RUN)
    assert files(tmp_path / "both") == files(tmp_path / "whole")
    assert "c is in two folders with one content; taken once" in capsys.readouterr().err


def test_a_model_twice_with_different_numbers_is_refused(tmp_path, toy):
    sweep({"m": toy.Counting(0)}, tmp_path / "one", suite=toy.registry(), **RUN)
    sweep({"m": toy.Counting(1)}, tmp_path / "two", suite=toy.registry(), **RUN)
    with pytest.raises(JobError, match=r"two: 'm' was measured before, with another result"):
        merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both", suite=toy.registry(), **RUN)
    assert not (tmp_path / "both").exists()
    tables = [Findings.read(tmp_path / name / "findings.json") for name in ("one", "two")]
    with pytest.raises(FindingsError, match="'m' stands in two tables with different rows"):
        join_results(tables)
    same = join_results([tables[0], tables[0]])
    assert len(same) == len(tables[0])
    assert same.settings["dropped"] == {"m": "twice with the same rows; taken once"}


def test_rows_of_two_suite_versions_are_refused(tmp_path, toy):
    sweep({"m": toy.Counting(0)}, tmp_path / "one", suite=toy.registry(), **RUN)
    sweep({"n": toy.Counting(1)}, tmp_path / "two", suite=toy.registry(version=2), **RUN)
    with pytest.raises(JobError, match=r"n was measured with the suite toy version 2 .*, not with toy version 1"):
        merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both", suite=toy.registry(), **RUN)
    tables = [Findings.read(tmp_path / name / "findings.json") for name in ("one", "two")]
    with pytest.raises(FindingsError, match="rows differ in suite_version: '1', '2'"):
        join_results(tables)
    with pytest.raises(FindingsError, match="rows differ in level"):
        join_results([tables[0], tables[0].with_columns(level=0.9, model="x")])


def test_joined_tables_are_corrected_over_all_their_rows(tmp_path, toy):
    sweep({"m": toy.Counting(0)}, tmp_path / "one", suite=toy.registry(), **RUN)
    sweep({"n": toy.Counting(1)}, tmp_path / "two", suite=toy.registry(), **RUN)
    whole = sweep({"m": toy.Counting(0), "n": toy.Counting(1)}, tmp_path / "w", suite=toy.registry(), **RUN)
    joined = join_results([Findings.read(tmp_path / name / "findings.json") for name in ("one", "two")])
    assert [row.p_adjusted for row in joined] == [row.p_adjusted for row in whole]
    assert all("p_max_t" not in row.extra for row in joined)  # needs permutations: merge the folders for it


def test_objects_run_in_this_process(tmp_path, toy):
    with pytest.raises(InputError, match="this process"):
        sweep({"m": toy.Counting()}, tmp_path, suite=toy.registry(), workers=2, **RUN)
    with pytest.raises(InputError, match="this process"):
        sweep({"m": toy.Counting()}, tmp_path, suite=toy.registry(), engine="ray", **RUN)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("engine", [{"workers": 2}, {"engine": "ray?cpus=1", "workers": 2}], ids=["processes", "ray"])
def test_processes_and_ray_write_the_bytes_of_one_process(tmp_path, files, engine, monkeypatch):
    if "engine" in engine:
        pytest.importorskip("ray", reason="ray is not installed (extra: ray)")
        monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    whole = sweep(entries(*"abc"), tmp_path / "whole", **RUN)
    sweep(entries(*"abc"), tmp_path / "a", **RUN, **engine)
    assert files(tmp_path / "a") == files(tmp_path / "whole")
    assert len(whole) == 3 * 26
    assert not any(math.isnan(row.value) for row in whole)
