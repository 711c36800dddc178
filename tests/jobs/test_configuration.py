"""One folder, one configuration."""

import pytest

from fairvl.errors import ConfigMismatchError, InputError, JobError
from fairvl.jobs import run_job


def test_another_configuration_is_refused_and_named(tmp_path, stage, tree):
    run_job(tmp_path / "a", stage.SPECS, stage.work, config={"batch": 4, "model": {"name": "x"}}, workers=0)
    before = tree(tmp_path / "a")
    with pytest.raises(ConfigMismatchError, match=r"batch: 4 in the folder, 8 now") as caught:
        run_job(tmp_path / "a", stage.SPECS, stage.work, config={"batch": 8, "model": {"name": "x"}}, workers=0)
    assert "model" not in str(caught.value)
    assert tree(tmp_path / "a") == before


def test_nested_settings_are_named_by_their_path(tmp_path, stage):
    run_job(tmp_path / "a", stage.SPECS, stage.work, config={"model": {"name": "x", "dim": 3}}, workers=0)
    with pytest.raises(ConfigMismatchError, match=r"model\.name: 'x' in the folder, 'y' now"):
        run_job(tmp_path / "a", stage.SPECS, stage.work, config={"model": {"name": "y", "dim": 3}}, workers=0)


def test_other_specs_are_another_configuration(tmp_path, stage):
    run_job(tmp_path / "a", stage.SPECS, stage.work, config={}, workers=0)
    with pytest.raises(ConfigMismatchError, match=r"specs\.count: 6 in the folder, 5 now"):
        run_job(tmp_path / "a", stage.SPECS[:5], stage.work, config={}, workers=0)


def test_another_code_version_is_another_configuration(tmp_path, stage, monkeypatch):
    run_job(tmp_path / "a", stage.SPECS, stage.work, config={}, workers=0)
    monkeypatch.setattr("fairvl.jobs.job.__version__", "99.0")
    with pytest.raises(ConfigMismatchError, match=r"fairvl: '.*' in the folder, '99.0' now"):
        run_job(tmp_path / "a", stage.SPECS, stage.work, config={}, workers=0)


def test_equal_values_of_other_types_are_the_same_configuration(tmp_path, stage):
    run_job(tmp_path / "a", stage.SPECS, stage.work, config={"kinds": ("a", "b")}, workers=0)
    assert run_job(tmp_path / "a", stage.SPECS, stage.work, config={"kinds": ["a", "b"]}, workers=0).computed == ()


def test_two_stages_share_a_folder(tmp_path, stage):
    run_job(tmp_path / "a", stage.SPECS[:3], stage.work, config={"v": 1}, name="one", workers=0)
    run = run_job(tmp_path / "a", stage.SPECS[3:], stage.work, config={"v": 2}, name="two", workers=0)
    assert run.computed == (0, 1, 2)


def test_what_is_no_json_is_refused(tmp_path, stage):
    with pytest.raises(InputError, match="JSON"):
        run_job(tmp_path / "a", stage.SPECS, stage.work, config={"model": object()}, workers=0)


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, stage):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(JobError, match="not a folder"):
        run_job(tmp_path / "a", stage.SPECS, stage.work, config={}, workers=0)
    assert (tmp_path / "a").read_text() == "mine"


@pytest.mark.parametrize("engine", ["ray:", "shard:", "shard:1", "shard:2/2", "shard:-1/3", "shard:0/0", ""])
def test_an_unknown_engine_is_refused(tmp_path, stage, engine):
    with pytest.raises(InputError, match="engine"):
        run_job(tmp_path / "a", stage.SPECS, stage.work, config={}, engine=engine)
