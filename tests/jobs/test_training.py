"""The training loop: one result whatever pieces, kills and other folders; loud where a loss is not a number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fairvl.errors import ConfigMismatchError, InputError, TrainingError
from fairvl.jobs import Optimisation, train
from fairvl.jobs.training import read_losses

torch = pytest.importorskip("torch", reason="the models extra is not installed")

CODE = """
import sys, time, pathlib
import numpy as np, torch
from fairvl.jobs import Optimisation, train

torch.set_num_threads(1)

def regression(out, *, steps=30, accumulate=1, pause=0.0, checkpoint_every=7, lr=0.05, spoil=None, config=None,
               dropout=False, precision="no", seed=3):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Dropout(0.3), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32))
    y = x[:, :1] * 2 - x[:, 1:2]

    def learn(step, share):
        time.sleep(pause)
        rows = np.random.default_rng([seed, step]).permutation(600)[:12]
        total = 0.0
        for piece in share.pieces(len(rows)):
            with share.autocast():
                error = (module(x[rows[piece]]) - y[rows[piece]]).float().square().sum() / len(rows)
            if step == spoil:
                error = error * float("nan")
            share.backward(error)
            total = total + error.detach()
        return {"loss": total}

    def finish(folder):
        from safetensors.torch import save_file
        save_file({k: v.contiguous() for k, v in module.state_dict().items()}, folder / "weights.safetensors")
        return {"norm": float(sum(v.detach().square().sum() for v in module.parameters()))}

    how = Optimisation(steps=steps, lr=lr, warmup=0.2, accumulate=accumulate, dropout=dropout, precision=precision)
    run = train(module, learn, out, optimisation=how, config=config or {"data": 1}, finish=finish, seed=seed,
                checkpoint_every=checkpoint_every, name="regression")
    return run, module
"""
space: dict = {}
exec(CODE, space)
regression = space["regression"]


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_schedule_is_that_of_the_formula():
    how = Optimisation(steps=100, lr=2.0, final_lr=0.5, warmup=10, schedule="cosine")
    assert [how.rate(step) for step in range(10)] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    expected = [0.5 + 1.5 * (1 + np.cos(np.pi * (step - 9) / 90)) / 2 for step in range(9, 100)]
    assert [how.rate(step) for step in range(9, 100)] == pytest.approx(expected)
    line = Optimisation(steps=10, lr=1.0, warmup=0.0, schedule="linear")
    assert [line.rate(step) for step in range(10)] == pytest.approx(1 - np.arange(1, 11) / 10)
    assert Optimisation(steps=4, lr=1.0, warmup=0.0, schedule="constant").rate(3) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"steps": 1.5}, {"lr": 0.0}, {"lr": float("nan")}, {"warmup": 11}, {"clip": 0.0}, {"accumulate": 0},
     {"precision": "half"}, {"schedule": "step"}],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError):
        Optimisation(**({"steps": 10} | wrong))


def test_it_learns_and_pieces_change_nothing(tmp_path):
    whole, module = regression(tmp_path / "whole")
    pieces, other = regression(tmp_path / "pieces", accumulate=5)
    losses = [row["loss"] for row in whole.losses]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert [row["loss"] for row in pieces.losses] == pytest.approx(losses, rel=1e-5)
    for one, two in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-5)
    assert [row["step"] for row in whole.losses] == list(range(30))
    assert not module.training
    assert not np.isnan(whole.seconds_per_step)


@pytest.mark.parametrize("dropout", [False, True])
def test_a_run_killed_in_its_middle_ends_with_the_bytes_of_a_whole_one(tmp_path, dropout):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    regression(whole, dropout=dropout)
    code = CODE + f"\nregression(pathlib.Path({str(killed)!r}), pause=0.05, dropout={dropout})"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": ":".join(sys.path)})
    log = killed / ".jobs" / "regression" / "losses.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_bytes().count(b"\n") >= 17) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "weights.safetensors").exists()
    run, _ = regression(killed, dropout=dropout)
    assert run.first == 14  # the last multiple of 7 before the kill: it went on, it did not start again
    assert files(killed) == files(whole)
    again, _ = regression(killed, dropout=dropout)
    assert again.first == 30
    assert files(killed) == files(whole)


def test_dropout_is_drawn_from_the_seed_alone(tmp_path):
    one, _ = regression(tmp_path / "one", dropout=True)
    torch.manual_seed(99)
    two, _ = regression(tmp_path / "two", dropout=True)
    off, _ = regression(tmp_path / "off")
    assert one.losses == two.losses
    assert one.losses != off.losses


def test_another_configuration_is_refused_and_the_folder_kept(tmp_path):
    regression(tmp_path / "run")
    before = files(tmp_path / "run")
    for changed in ({"lr": 0.01}, {"config": {"data": 2}}, {"seed": 4}, {"accumulate": 2}):
        with pytest.raises(ConfigMismatchError, match="another configuration"):
            regression(tmp_path / "run", **changed)
    assert files(tmp_path / "run") == before


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"step 16: .*loss.* is not a finite number"):
        regression(tmp_path / "run", spoil=16)
    state = tmp_path / "run" / ".jobs" / "regression"
    assert (state / "checkpoint.safetensors").exists()
    run, _ = regression(tmp_path / "run")  # the cause gone, the same command goes on
    assert run.first == 14
    assert run.losses == regression(tmp_path / "whole")[0].losses


def test_bf16_is_near_and_is_not_the_same(tmp_path):
    full, _ = regression(tmp_path / "full")
    half, _ = regression(tmp_path / "half", precision="bf16")
    one, two = ([row["loss"] for row in run.losses] for run in (full, half))
    assert one != two
    assert np.mean(two[-5:]) < 0.5 * np.mean(two[:5])
    assert two[0] == pytest.approx(one[0], rel=0.05)


def test_a_module_without_parameters_to_train_is_refused(tmp_path):
    module = torch.nn.Linear(2, 1).requires_grad_(False)
    with pytest.raises(InputError, match="no parameter"):
        train(module, lambda step, share: {}, tmp_path / "x", optimisation=Optimisation(steps=1), config={},
              finish=lambda folder: {})  # fmt: skip


def test_the_log_is_one_json_object_per_step(tmp_path):
    run, _ = regression(tmp_path / "run", steps=5)
    rows = [json.loads(line) for line in (tmp_path / "run" / "losses.jsonl").read_text().splitlines()]
    assert rows == run.losses == read_losses(tmp_path / "run" / "losses.jsonl")
    assert rows[0].keys() == {"step", "lr", "loss", "gradient"}
