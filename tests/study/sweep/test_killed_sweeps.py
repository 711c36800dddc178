"""A sweep killed at any moment and started again leaves the table of one that was never disturbed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from fairvl.errors import ConfigMismatchError, JobError
from fairvl.jobs.lock import held
from fairvl.study.sweep import sweep

SWEEP = """
import sys
import toy_sweep
from fairvl.study.sweep import sweep
sweep(toy_sweep.models(4, nap=float(sys.argv[2])), sys.argv[1], suite=toy_sweep.registry(), draws=100, permutations=199)
"""
KILL_AT_KTH_REPLACE = """
import os, signal, sys
count, replace = 0, os.replace
def counted(a, b):
    global count
    count += 1
    if count == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(a, b)
os.replace = counted
"""


def resume(out, toy):
    return sweep(toy.models(4), out, suite=toy.registry(), draws=100, permutations=199)


def check(out, toy, tree, expected):
    table = resume(out, toy)
    assert tree(out) == expected
    rows = [(row.model, row.extra["test"], row.order) for row in table]
    assert len(rows) == len(set(rows)) == 16


@pytest.fixture
def expected(tmp_path, toy, tree):
    resume(tmp_path / "whole", toy)
    return tree(tmp_path / "whole")


# Replaces of a whole run: card, shards, associations and manifest per model; then the cases; then the tables.
@pytest.mark.parametrize("k", [7, 29])
def test_a_sweep_killed_at_a_commit_resumes_to_the_same_bytes(tmp_path, toy, tree, expected, k):
    out = tmp_path / "a"
    died = subprocess.run([sys.executable, "-c", KILL_AT_KTH_REPLACE + SWEEP, str(out), "0", str(k)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert tree(out) != expected
    check(out, toy, tree, expected)


@pytest.mark.slow
def test_a_sweep_killed_at_every_commit_resumes_to_the_same_bytes(tmp_path, toy, tree, expected):
    k = landed = 0
    while True:
        k += 1
        out = tmp_path / f"k{k}"
        died = subprocess.run([sys.executable, "-c", KILL_AT_KTH_REPLACE + SWEEP, str(out), "0", str(k)], check=False)
        if died.returncode == 0:
            break
        assert died.returncode == -signal.SIGKILL
        landed += 1
        check(out, toy, tree, expected)
    assert landed > 30


@pytest.mark.slow
def test_a_sweep_killed_at_ten_random_moments_resumes_to_the_same_bytes(tmp_path, toy, tree, expected):
    rng, out = random.Random(20), tmp_path / "a"
    command = [sys.executable, "-c", SWEEP]
    started = time.perf_counter()
    subprocess.run([*command, str(tmp_path / "timed"), "0.1"], check=True)
    whole = time.perf_counter() - started
    kills = states = 0
    while kills < 10:
        before = tree(out)
        process = subprocess.Popen([*command, str(out), "0.1"])
        time.sleep(rng.uniform(0.2, 0.95) * whole)
        process.kill()
        if process.wait() == 0:  # it came through: start over, until ten kills have landed
            assert tree(out) == expected
            out = tmp_path / f"again-{kills}"
            continue
        assert process.returncode == -signal.SIGKILL
        kills += 1
        states += tree(out) != before
    check(out, toy, tree, expected)
    assert states >= 3  # power: kills fell into the work


def test_a_resumed_sweep_asks_only_for_what_is_missing(tmp_path, toy, expected, tree):
    models = toy.models(4)
    models["toy-2"] = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    models_spec = {**toy.models(4), "toy-2": toy.models(4)["toy-2"]}
    interrupted = models_spec["toy-2"]
    interrupted.encode_images = lambda images: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep(models_spec, tmp_path / "a", suite=toy.registry(), draws=100, permutations=199)
    again = toy.models(4)
    sweep(again, tmp_path / "a", suite=toy.registry(), draws=100, permutations=199)
    assert tree(tmp_path / "a") == expected
    assert again["toy-0"].calls == again["toy-1"].calls == 0
    assert again["toy-2"].texts == []  # encoded before the interrupt, and kept
    assert again["toy-2"].images > 0
    assert again["toy-3"].calls > 0


def test_another_suite_version_or_setting_is_refused(tmp_path, toy):
    resume(tmp_path, toy)
    with pytest.raises(ConfigMismatchError, match=r"suite.version: 1 in the folder, 2 now"):
        sweep(toy.models(4), tmp_path, suite=toy.registry(version=2), draws=100, permutations=199)
    with pytest.raises(ConfigMismatchError, match=r"draws: 100 in the folder, 200 now"):
        sweep(toy.models(4), tmp_path, suite=toy.registry(), draws=200, permutations=199)
    with pytest.raises(ConfigMismatchError, match="new output folder"):
        sweep(toy.models(3), tmp_path, suite=toy.registry(), draws=100, permutations=199)


def test_two_sweeps_in_one_folder_are_refused(tmp_path, toy):
    with held(tmp_path / ".jobs/sweep-lock"), pytest.raises(JobError, match=f"process {os.getpid()} on"):
        resume(tmp_path, toy)
    resume(tmp_path, toy)


def test_a_damaged_result_is_measured_again(tmp_path, toy, tree, expected):
    resume(tmp_path / "a", toy)
    file = sorted((tmp_path / "a/associations").iterdir())[1]
    file.write_bytes(file.read_bytes()[:-8])
    (tmp_path / "a/statistics/001.json").unlink()
    assert tree(tmp_path / "a") != expected
    check(tmp_path / "a", toy, tree, expected)
