"""Two processes on the CPU give the losses of one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fairvl.jobs.training import read_losses
from fairvl.repair.pretraining import pretrain
from fairvl.repair.pretraining.models import load_trained

HERE = Path(__file__).with_name("conftest.py")
OPTIONS = {"steps": 4, "batch_size": 13, "lr": 3e-3, "held_out": 0.2, "checkpoint_every": 2, "checks": False}
CODE = """
import importlib.util, sys, torch
torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("c", {here!r})
c = importlib.util.module_from_spec(spec); spec.loader.exec_module(c)
from fairvl.errors import ConfigMismatchError
from fairvl.repair.pretraining import Pairs, pretrain
ids, pictures, captions, neutral, _ = c.colour_pairs(240)
pairs = Pairs(ids, pictures, captions, neutral)
for family in ("albef", "blip"):
    pretrain(c.colour_model(family), pairs, {out!r} + family, **{options!r})
try:  # what the main process finds out, all of them say
    pretrain(c.colour_model("blip"), pairs, {out!r} + "blip", **({options!r} | {{"lr": 1e-3}}))
except ConfigMismatchError as error:
    print("refused", str(error)[:20])
torch.distributed.destroy_process_group()
"""


def test_two_processes_give_the_losses_of_one(tmp_path, build, pairs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    code = CODE.format(here=str(HERE), out=str(tmp_path / "two-"), options=OPTIONS)
    common = {**os.environ, "PYTHONPATH": ":".join(sys.path), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}  # fmt: skip
    running = [
        subprocess.Popen([sys.executable, "-c", code], env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                         text=True, stdout=subprocess.PIPE)
        for rank in (0, 1)
    ]  # fmt: skip
    said = [process.communicate(timeout=280)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert all("refused" in text for text in said)
    for family in ("albef", "blip"):
        one = pretrain(build(family), pairs, tmp_path / f"one-{family}", **OPTIONS)
        rows = [(tmp_path / f"{count}-{family}" / "losses.jsonl") for count in ("one", "two")]
        first, second = (read_losses(path) for path in rows)
        assert len(first) == len(second) == 4
        for a, b in zip(first, second, strict=True):
            assert b == pytest.approx(a, abs=1e-5, rel=1e-5)

        other = load_trained(family, tmp_path / f"two-{family}" / "model").module.state_dict()
        for name, value in one.model.module.state_dict().items():
            assert torch.allclose(value, other[name], atol=1e-4), name
