"""A comparison of classifiers that is killed goes on, and ends as one that was not."""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from fairvl.repair.classifier import train_classifier

HELPER = Path(__file__).parents[1] / "small_heads.py"
spec = importlib.util.spec_from_file_location("small_heads", HELPER)
heads = sys.modules.setdefault("small_heads", importlib.util.module_from_spec(spec))
spec.loader.exec_module(heads)


def run(out, pause=0.0):
    """Two arms of two seeds; a pause after each checkpoint makes the kill land between them."""
    tone, hat = heads.correlated(40, 0.9, 1)
    data = heads.Heads(*heads.draw(40, 1, tone, hat), fingerprint="real")
    test = heads.Heads(*heads.draw(40, 2), fingerprint="test")
    if pause:
        from fairvl.jobs import training

        plain = training.write_checkpoint

        def slowly(*given):
            plain(*given)
            time.sleep(pause)

        training.write_checkpoint = slowly
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # their number changes the rounding
    try:
        return train_classifier(
            data, ["baseline", "reweighted"], label="hat", attribute="tone", test=test, out=out, backbone="small",
            steps=12, batch_size=8, seeds=2, draws=50, checkpoint_every=2,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "lock" not in path.name
    }


SCRIPT = """
import importlib.util
spec = importlib.util.spec_from_file_location("test_killed", {test!r})
test = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test)
test.run({out!r}, 0.3)
"""


def test_killed_trainings_go_on_to_the_same_bytes(tmp_path):
    whole = run(tmp_path / "whole")
    out = tmp_path / "out"
    script = SCRIPT.format(test=__file__, out=str(out))
    for stage in ("baseline/seed-1", "reweighted/seed-0"):
        process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "OMP_NUM_THREADS": "1"},
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        began = time.monotonic()
        while not list((out / stage).rglob("checkpoint.safetensors")) and time.monotonic() - began < 120:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list((out / stage).rglob("checkpoint.safetensors")), "the kill came in the middle of this training"
        assert not (out / "findings.json").exists()
    again = run(out)
    assert contents(out) == contents(tmp_path / "whole")
    assert again.to_json() == whole.to_json()
