"""What goes wrong names its shard, keeps finished shards, and leaves nothing half-written."""

import builtins
import errno
import os

import pytest

from fairvl.errors import InputError, JobError
from fairvl.jobs import run_job


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_shard_and_keeps_the_finished_ones(tmp_path, stage, tree, workers):
    with pytest.raises(JobError, match=r'shard 2 of 6 \(\{"x":2\}\) failed: ValueError: no square today'):
        run_job(tmp_path / "a", stage.SPECS, stage.failing, config={}, workers=workers)
    there = tree(tmp_path / "a")
    assert "top-1.bin" in there or workers
    assert not any("scratch" in name or "half" in name or name.endswith(".tmp") for name in there)
    assert "top-2.bin" not in there


def test_a_process_that_dies_is_an_error_and_the_run_goes_on_later(tmp_path, stage):
    with pytest.raises(JobError, match="a worker process died"):
        run_job(tmp_path, stage.SPECS, stage.dying, config={}, workers=2)
    assert run_job(tmp_path, stage.SPECS, stage.work, config={}, workers=0).complete


def test_work_that_cannot_be_sent_to_processes_is_refused(tmp_path, stage):
    with pytest.raises(InputError, match="workers=0"):
        run_job(tmp_path, stage.SPECS, lambda spec, folder: None, config={}, workers=2)


class Fault:
    """Makes the k-th call of one of our file operations fail, as a full or broken disk does."""

    def __init__(self, monkeypatch, root, operation, code, k):
        self.left, self.code, self.root, self.fired = k, code, str(root), False
        if operation == "open":
            real = builtins.open
            monkeypatch.setattr(builtins, "open", lambda *a, **kw: self.then(real, self.is_ours(a), *a, **kw))
        else:
            real = getattr(os, operation)
            monkeypatch.setattr(os, operation, lambda *a, **kw: self.then(real, True, *a, **kw))

    def is_ours(self, arguments):
        return str(arguments[0]).startswith(self.root) and len(arguments) > 1 and "w" in str(arguments[1])

    def then(self, real, counts, *arguments, **keywords):
        if counts and not self.fired:
            self.left -= 1
            if self.left == 0:
                self.fired = True
                raise OSError(self.code, os.strerror(self.code))
        return real(*arguments, **keywords)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["disk full", "input/output error"])
@pytest.mark.parametrize("operation", ["open", "fsync", "replace"])
def test_a_disk_that_fails_at_any_call_leaves_a_run_that_can_go_on(tmp_path, stage, tree, monkeypatch, operation, code):
    specs = stage.SPECS[:2]
    run_job(tmp_path / "whole", specs, stage.work, config={}, workers=0)
    expected = tree(tmp_path / "whole")
    fired = 0
    for k in range(1, 40):
        out = tmp_path / f"{operation}-{k}"
        with monkeypatch.context() as patch:
            fault = Fault(patch, tmp_path, operation, code, k)
            message = ""
            try:
                run_job(out, specs, stage.work, config={}, workers=0)
            except JobError as error:
                message = str(error)
        if not fault.fired:
            assert not message
            break
        # Syncing a folder may fail quietly: some file systems cannot do it, and the files themselves are synced.
        assert os.strerror(code) in message or operation == "fsync"
        fired += 1
        left = tree(out) if out.exists() else {}
        assert not any(name.endswith(".tmp") or "scratch" in name for name in left)
        assert {name: expected[name] for name in left if name in expected and "lock" not in name} == {
            name: content for name, content in left.items() if "lock" not in name
        }  # what is there is whole
        run_job(out, specs, stage.work, config={}, workers=0)
        assert tree(out) == expected
    assert fired >= 3  # power: the faults hit something
    assert not fault.fired  # and every call was tried
