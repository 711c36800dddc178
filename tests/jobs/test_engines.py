"""The engine and the number of processes never change a byte."""

import pytest

from fairvl.jobs import run_job


@pytest.fixture
def expected(tmp_path, stage, tree):
    run_job(tmp_path / "whole", stage.SPECS, stage.work, config={}, workers=0)
    return tree(tmp_path / "whole")


@pytest.mark.parametrize("workers", [1, 3])
def test_worker_processes_write_the_same_bytes(tmp_path, stage, tree, expected, workers):
    run = run_job(tmp_path / "a", stage.SPECS, stage.work, config={}, workers=workers)
    assert run.computed == (0, 1, 2, 3, 4, 5)
    assert tree(tmp_path / "a") == expected


def test_parts_in_any_order_then_a_final_run_write_the_same_bytes(tmp_path, stage, tree, expected):
    out = tmp_path / "a"
    first = run_job(out, stage.SPECS, stage.work, config={}, engine="shard:2/3", workers=0)
    assert first.computed == (2, 5)
    assert not first.complete
    assert first.facts[0] is None
    assert first.facts[5] == {"square": 25}
    assert run_job(out, stage.SPECS, stage.work, config={}, engine="shard:0/3", workers=0).computed == (0, 3)
    final = run_job(out, stage.SPECS, stage.work, config={}, workers=0)
    assert final.computed == (1, 4)
    assert final.complete
    assert {name: content for name, content in tree(out).items() if "lock-" not in name} == expected


def test_a_part_beyond_the_shards_has_nothing_to_do(tmp_path, stage):
    assert run_job(tmp_path, stage.SPECS, stage.work, config={}, engine="shard:7/9", workers=0).computed == ()


def test_no_shards_are_a_finished_run(tmp_path, stage):
    run = run_job(tmp_path, [], stage.work, config={})
    assert run.complete
    assert run.facts == ()
