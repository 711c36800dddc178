"""Ray schedules the same function: same bytes, a failed shard named, what is done kept."""

import pytest

from fairvl.errors import InputError, JobError, MissingExtraError
from fairvl.jobs import run_job
from fairvl.jobs.on_ray import RayOptions, ray_options


def test_options_of_the_engine_name():
    assert ray_options("ray") == RayOptions()
    assert ray_options("ray?cpus=2&gpus=0.5&retries=1&address=auto") == RayOptions(2, 0.5, 1, "auto")
    assert ray_options("local") is None
    for engine, says in (("ray?gpu=1", "gpus="), ("ray?cpus=many", "a number"), ("ray?retries=0.5", "a number")):
        with pytest.raises(InputError, match=says):
            ray_options(engine)


def test_without_ray_the_error_says_what_to_install(tmp_path, stage, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fairvl\[ray\]'"):
        run_job(tmp_path, stage.SPECS, stage.work, config={}, engine="ray")
    assert run_job(tmp_path, stage.SPECS, stage.work, config={}, workers=0).complete


def test_a_function_that_cannot_travel_is_refused(tmp_path, stage):
    with pytest.raises(InputError, match="top of a module"):
        run_job(tmp_path, stage.SPECS, lambda spec, folder: None, config={}, engine="ray")


@pytest.fixture
def ray(monkeypatch):
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = pytest.importorskip("ray", reason="ray is not installed (extra: ray)")
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_ray_writes_the_bytes_of_one_process_and_names_a_failed_shard(tmp_path, stage, tree, ray):
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    run_job(tmp_path / "whole", stage.SPECS, stage.work, config={}, workers=0)
    run = run_job(tmp_path / "a", stage.SPECS, stage.work, config={}, engine="ray")
    assert run.computed == (0, 1, 2, 3, 4, 5)
    assert tree(tmp_path / "a") == tree(tmp_path / "whole")
    with pytest.raises(JobError, match=r"shard 2 of 6 .*ValueError: no square today"):
        run_job(tmp_path / "b", stage.SPECS, stage.failing, config={}, engine="ray", workers=1)
    with pytest.raises(JobError, match=r"shard 2 of 6 .*its worker died"):
        run_job(tmp_path / "c", stage.SPECS, stage.dying, config={}, engine="ray?retries=0", workers=1)
    for name in "bc":  # shards before the bad one are kept, and the rest is finished by any engine
        rest = run_job(tmp_path / name, stage.SPECS, stage.work, config={}, workers=0)
        assert 2 in rest.computed
        assert 0 not in rest.computed
        assert tree(tmp_path / name) == tree(tmp_path / "whole")
    assert ray.is_initialized()  # a cluster that the caller started is the caller's
