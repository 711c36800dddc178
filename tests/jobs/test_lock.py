"""Two runs in one folder: the second is turned away, a dead one never is in the way."""

import signal
import subprocess
import sys

import pytest

from fairvl.errors import JobError
from fairvl.jobs import open_job, run_job

HOLD = """
import sys, time
from fairvl.jobs import open_job
with open_job(sys.argv[1], [{"x": 0}], config={}):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_turned_away_until_the_first_is_killed(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(JobError, match=rf"another run is at work.*process {holder.pid}"),
            open_job(tmp_path, [{"x": 0}], config={}),
        ):
            pass
        holder.kill()
        assert holder.wait() == -signal.SIGKILL
    with open_job(tmp_path, [{"x": 0}], config={}) as job:
        assert job.pending == (0,)


def test_one_process_cannot_open_a_stage_twice(tmp_path):
    with open_job(tmp_path, [], config={}), pytest.raises(JobError), open_job(tmp_path, [], config={}):
        pass


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), open_job(tmp_path, [], config={}):
        raise KeyboardInterrupt
    with open_job(tmp_path, [], config={}) as job:
        assert job.complete


def test_parts_run_beside_each_other_but_not_beside_a_whole_run(tmp_path):
    specs = [{"x": x} for x in range(4)]
    with open_job(tmp_path, specs, config={}, part=(0, 2)):
        with open_job(tmp_path, specs, config={}, part=(1, 2)):
            pass
        with pytest.raises(JobError), open_job(tmp_path, specs, config={}, part=(0, 2)):
            pass
        with pytest.raises(JobError), open_job(tmp_path, specs, config={}):
            pass


def test_a_failing_shard_leaves_the_folder_usable(tmp_path, stage):
    with pytest.raises(JobError):
        run_job(tmp_path, stage.SPECS, stage.failing, config={}, workers=0)
    assert run_job(tmp_path, stage.SPECS, stage.work, config={}, workers=0).complete
