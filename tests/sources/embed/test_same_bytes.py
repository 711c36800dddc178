"""Killed or not, with any number of decoders: the same bytes."""

import random
import signal
import subprocess
import sys
import time

import pytest

from fairvl.errors import ConfigMismatchError
from fairvl.sources.embed import embed
from fairvl.sources.encoders.fake import FakeEncoder

SETTINGS = {"batch": 4, "rows_per_shard": 8}
RUN = """
import os, signal, sys
from fairvl.sources.embed import embed
count, replace, k = 0, os.replace, int(sys.argv[3])
def counted(a, b):
    global count
    count += 1
    if count == k:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(a, b)
if __name__ == "__main__":
    os.replace = counted
    embed("fake:8", sys.argv[1], sys.argv[2], batch=4, rows_per_shard=8, workers=int(sys.argv[4]))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "run.py"
    path.write_text(RUN)
    return path


@pytest.fixture
def undisturbed(tmp_path, pictures, tree):
    embed("fake:8", pictures, tmp_path / "whole", **SETTINGS, workers=0)
    return tree(tmp_path / "whole")


def start(script, pictures, out, k=0, workers=0):
    arguments = [sys.executable, str(script), pictures, str(out), str(k), str(workers)]
    return subprocess.Popen(arguments, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_decoders_does_not_show(tmp_path, pictures, tree, undisturbed, workers):
    embed("fake:8", pictures, tmp_path / "a", **SETTINGS, workers=workers)
    assert tree(tmp_path / "a") == undisturbed


# The run replaces 41 times: job.json, 7 shards of 3 files and a manifest, the plan, and the table's 11.
@pytest.mark.parametrize("k", [2, 16, 30, 41])
def test_killed_at_a_commit_it_resumes_to_the_same_bytes(tmp_path, script, pictures, tree, undisturbed, k):
    out = tmp_path / "a"
    assert start(script, pictures, out, k).wait() == -signal.SIGKILL
    assert tree(out) != undisturbed  # power: something was missing
    embed("fake:8", pictures, out, **SETTINGS, workers=0)
    assert tree(out) == undisturbed


def kill_at_moments(tmp_path, script, pictures, tree, undisturbed, moments, seed):
    """SIGKILL at `moments` seeded moments of runs with a decoder process, then one run to the end."""
    started = time.perf_counter()
    assert start(script, pictures, tmp_path / "timed", workers=1).wait() == 0
    whole = time.perf_counter() - started
    rng = random.Random(seed)
    landed, round_ = 0, 0
    while landed < moments:
        out = tmp_path / f"round-{round_}"
        round_ += 1
        while landed < moments:  # kill the same run again and again until it gets through
            process = start(script, pictures, out, workers=1)
            time.sleep(rng.uniform(0.3, 1.0) * whole)
            process.kill()
            if process.wait() == 0:
                break
            assert process.returncode == -signal.SIGKILL
            landed += 1
        embed("fake:8", pictures, out, **SETTINGS, workers=0)
        assert tree(out) == undisturbed
    return landed


def test_killed_at_three_seeded_moments_it_resumes_to_the_same_bytes(tmp_path, script, pictures, tree, undisturbed):
    assert kill_at_moments(tmp_path, script, pictures, tree, undisturbed, 3, seed=1) == 3


@pytest.mark.slow
def test_killed_at_twenty_seeded_moments_it_resumes_to_the_same_bytes(tmp_path, script, pictures, tree, undisturbed):
    assert kill_at_moments(tmp_path, script, pictures, tree, undisturbed, 20, seed=2) == 20


def test_a_finished_store_is_not_encoded_again(tmp_path, pictures, tree, undisturbed, monkeypatch):
    monkeypatch.setattr(FakeEncoder, "encode_preprocessed", lambda *_: 1 / 0)
    embed("fake:8", pictures, tmp_path / "whole", **SETTINGS, workers=0)
    assert tree(tmp_path / "whole") == undisturbed


@pytest.mark.parametrize("name", ["img_emb/img_emb_002.npy", "metadata/metadata_001.parquet", "manifest.json"])
def test_a_damaged_store_is_repaired_by_the_same_command(tmp_path, pictures, tree, undisturbed, name):
    path = tmp_path / "whole" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    embed("fake:8", pictures, tmp_path / "whole", **SETTINGS, workers=0)
    assert tree(tmp_path / "whole") == undisturbed


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"batch": 2}, "batch: 4 in the folder, 2 now"),
        ({"dtype": "float32"}, "dtype: 'float16' in the folder, 'float32' now"),
        ({"kinds": "image"}, "kinds"),
        ({"normalise": False}, "normalise"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path, pictures, tree, undisturbed, changed, named):
    with pytest.raises(ConfigMismatchError, match=named):
        embed("fake:8", pictures, tmp_path / "whole", **{**SETTINGS, **changed}, workers=0)
    assert tree(tmp_path / "whole") == undisturbed


def test_another_encoder_or_other_data_are_refused_and_named(tmp_path, pictures, undisturbed):
    with pytest.raises(ConfigMismatchError, match=r"encoder\.dim: 8 in the folder, 4 now"):
        embed("fake:4", pictures, tmp_path / "whole", **SETTINGS, workers=0)
    (tmp_path / "pictures/11.png").unlink()
    with pytest.raises(ConfigMismatchError, match="dataset"):
        embed("fake:8", pictures, tmp_path / "whole", **SETTINGS, workers=0)
