"""A run that is killed and started again leaves the bytes of one that was never disturbed."""

import random
import signal
import subprocess
import sys
import time

import pytest

from fairvl.jobs import run_job

KILL_AT_KTH_REPLACE = """
import os, signal, sys
import toy_stage
from fairvl.jobs import run_job
count, replace = 0, os.replace
def counted(a, b):
    global count
    count += 1
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(a, b)
os.replace = counted
run_job(sys.argv[1], toy_stage.SPECS, toy_stage.work, config={"v": 1}, workers=0)
"""
RUN_IN_PROCESSES = """
import sys
import toy_stage
from fairvl.jobs import run_job
if __name__ == "__main__":
    run_job(sys.argv[1], toy_stage.SPECS * 1, toy_stage.slow, config={"v": 1}, workers=2)
"""


@pytest.fixture
def undisturbed(tmp_path, stage, tree):
    run_job(tmp_path / "b", stage.SPECS, stage.work, config={"v": 1}, workers=0)
    return tree(tmp_path / "b")


# One replace for job.json, then three per shard: two files and the manifest.
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 9, 18, 19])
def test_a_run_killed_at_any_commit_resumes_to_the_same_bytes(tmp_path, stage, tree, undisturbed, k):
    out = tmp_path / "a"
    died = subprocess.run([sys.executable, "-c", KILL_AT_KTH_REPLACE, str(out), str(k)], check=False)
    assert died.returncode == -signal.SIGKILL  # power: the kill landed
    before = tree(out)
    assert before != undisturbed
    run = run_job(out, stage.SPECS, stage.work, config={"v": 1}, workers=0)
    assert tree(out) == undisturbed
    assert len(run.computed) == 6 - (k - 2) // 3 if k > 1 else len(run.computed) == 6  # finished shards are kept


def kill_and_resume(tmp_path, tree, expected, seed):
    """Kill a run in worker processes at seeded moments until one run comes through; returns how many kills landed."""
    rng = random.Random(seed)
    out = tmp_path / f"killed-{seed}"
    (tmp_path / "run.py").write_text(RUN_IN_PROCESSES)
    started = time.perf_counter()
    subprocess.run([sys.executable, str(tmp_path / "run.py"), str(tmp_path / f"timed-{seed}")], check=True)
    whole = time.perf_counter() - started
    kills = 0
    while True:
        process = subprocess.Popen([sys.executable, str(tmp_path / "run.py"), str(out)])
        # At first well inside the start and the work; then longer, so that it ends.
        time.sleep(rng.uniform(0.3, 0.8) * whole * (1 + kills / 4))
        process.kill()
        if process.wait() == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert tree(out) == expected
    return kills


def test_a_run_in_processes_killed_at_seeded_moments_resumes_to_the_same_bytes(tmp_path, stage, tree, undisturbed):
    assert sum(kill_and_resume(tmp_path, tree, undisturbed, seed) for seed in range(1)) > 0


@pytest.mark.slow
def test_twenty_runs_in_processes_killed_at_seeded_moments(tmp_path, stage, tree, undisturbed):
    assert sum(kill_and_resume(tmp_path, tree, undisturbed, seed) for seed in range(100, 120)) >= 20


def test_a_finished_run_computes_nothing_again(tmp_path, stage, tree, undisturbed):
    run = run_job(tmp_path / "b", stage.SPECS, stage.failing, config={"v": 1}, workers=0)
    assert run.computed == ()
    assert run.complete
    assert [facts["square"] for facts in run.facts] == [0, 1, 4, 9, 16, 25]
    assert tree(tmp_path / "b") == undisturbed


def test_stale_temporary_files_are_swept(tmp_path, stage, tree, undisturbed):
    out = tmp_path / "a"
    run_job(out, stage.SPECS, stage.work, config={"v": 1}, workers=0)
    (out / ".jobs/job/scratch/00003").mkdir(parents=True)
    (out / ".jobs/job/scratch/00003/half.txt").write_text("half")
    (out / ".jobs/job/shards/.00001.json.77.tmp").write_text("half")
    run_job(out, stage.SPECS, stage.work, config={"v": 1}, workers=0)
    assert tree(out) == undisturbed


def test_workers_end_with_their_parent(tmp_path, stage):
    (tmp_path / "run.py").write_text(
        "import os, sys, time\nfrom fairvl.jobs import worker_pool\n"
        "def sleeper(seconds):\n    print(os.getpid(), flush=True)\n    time.sleep(seconds)\n"
        "if __name__ == '__main__':\n    with worker_pool(1) as pool:\n        pool.submit(sleeper, 600).result()\n"
    )
    parent = subprocess.Popen([sys.executable, str(tmp_path / "run.py")], stdout=subprocess.PIPE, text=True)
    with parent.stdout:
        worker = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        # The pipe closes when its last writer, the worker, is gone.
        assert parent.stdout.read() == ""
    assert worker != parent.pid


def test_finished_shards_are_computed_once_more_where_their_facts_ask_for_it(tmp_path, stage, tree, undisturbed):
    def again(facts):
        return facts["square"] in (4, 25)

    run = run_job(tmp_path / "b", stage.SPECS, stage.work, config={"v": 1}, workers=0, again=again)
    assert run.computed == (2, 5)
    assert tree(tmp_path / "b") == undisturbed
