"""The one training loop: steps that survive being killed, in any number of processes.

What is learned is a function ``learn(step, share)``. It forms the same global batch in every process, takes the
pieces that `share` assigns to this one, and hands each piece's part of the loss to ``share.backward``. The parts of all
pieces and processes add up to the loss of the step, so their number changes its rounding and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..atomic import sync_folder, write_atomic
from ..errors import InputError, JobError, TrainingError
from ..fingerprints import canonical_json
from .checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from .job import STATE, Job, open_job
from .run import progress_bar
from .share import Share

Precision = Literal["no", "bf16", "fp16"]
Schedule = Literal["cosine", "linear", "constant"]
Learn = Callable[[int, Share], Mapping[str, Any]]
LOSSES = "losses.jsonl"


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """How the weights move: AdamW, a warm-up, a schedule, clipping.

    Attributes
    ----------
    steps : int
    lr, final_lr : float
        Learning rate after the warm-up, and at the end.
    warmup : float
        Steps from 0 to `lr`, linearly; below 1 a share of all steps.
    schedule : "cosine", "linear" or "constant"
    weight_decay : float
        Of matrices; biases and normalisation weights are left out.
    betas, eps
        Of AdamW.
    clip : float, optional
        Largest norm of the whole gradient.
    accumulate : int
        Pieces in which a process computes its part of a batch.
    precision : "no", "bf16" or "fp16"
        Autocast; weights stay float32.
    dropout : bool
        Train with the module's own dropout. It is drawn anew at each step from the seed, per process and piece: a
        resumed run is then still exact, but the number of processes and pieces changes the numbers.

    Examples
    --------
    >>> how = Optimisation(steps=100, lr=1.0, warmup=0.1)
    >>> [round(how.rate(step), 3) for step in (0, 9, 54, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """

    steps: int
    lr: float = 5e-5
    final_lr: float = 0.0
    warmup: float = 0.1
    schedule: Schedule = "cosine"
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float | None = 1.0
    accumulate: int = 1
    precision: Precision = "no"
    dropout: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        for name, least in (("steps", 1), ("accumulate", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name}={value!r}; expected a whole number from {least}.")
        if not (np.isfinite(self.lr) and self.lr > 0 and np.isfinite(self.final_lr) and self.final_lr >= 0):
            raise InputError(f"lr={self.lr}, final_lr={self.final_lr}; expected a positive rate and one from 0.")
        if not 0 <= self.warmup <= self.steps or self.weight_decay < 0 or (self.clip is not None and self.clip <= 0):
            raise InputError(
                f"warmup={self.warmup}, weight_decay={self.weight_decay}, clip={self.clip}; expected a share of the "
                "steps or a number of them, a decay from 0, and a positive norm or None."
            )
        if self.schedule not in get_args(Schedule) or self.precision not in get_args(Precision):
            raise InputError(
                f"schedule={self.schedule!r}, precision={self.precision!r}; expected one of {get_args(Schedule)} and "
                f"one of {get_args(Precision)}."
            )

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rise = self.warmup if self.warmup >= 1 else self.warmup * self.steps
        if step + 1 <= rise:
            return self.lr * (step + 1) / rise
        done = (step + 1 - rise) / max(self.steps - rise, 1e-9)
        left = {"cosine": (1 + np.cos(np.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}[self.schedule]
        return float(self.final_lr + (self.lr - self.final_lr) * left)


@dataclass(frozen=True)
class TrainingRun:
    """What a call of `train` left behind.

    Attributes
    ----------
    folder : Path
    facts : mapping
        What `finish` returned.
    first : int
        Step from which this call went on; equal to the number of steps when the folder was complete already.
    seconds_per_step : float
        Wall time of this call's steps; NaN when it made none. Never stored, so that equal runs give equal bytes.
    """

    folder: Path
    facts: Mapping[str, Any]
    first: int
    seconds_per_step: float

    @property
    def losses(self) -> list[dict[str, Any]]:
        """The loss log, one mapping per step."""
        return read_losses(self.folder / LOSSES)


def read_losses(path: Path | str) -> list[dict[str, Any]]:
    """The rows of a loss log."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def train(
    module: Any,
    learn: Learn,
    out: Path | str,
    *,
    optimisation: Optimisation,
    config: Mapping[str, Any],
    finish: Callable[[Path], Mapping[str, Any]],
    share: Share | None = None,
    seed: int = 0,
    checkpoint_every: int = 500,
    name: str = "training",
    after: Callable[[], None] | None = None,
) -> TrainingRun:
    """Train `module` in place for so many steps; killed at any moment, the same call goes on to the same bytes.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters that require a gradient are trained.
    learn : callable
        ``learn(step, share) -> {loss: tensor}``. Calls ``share.backward(part)`` on every piece that ``share.pieces``
        gives it, and returns this process's part of each loss. It must follow from `step` (and `config`) alone.
    out : path
        The run's folder: ``losses.jsonl`` (one row per step) and what `finish` writes.
    config : JSON-able mapping
        Everything that decides the bytes beside `optimisation` and `seed`; a folder with another one is refused.
    finish : callable
        ``finish(folder) -> facts`` writes the final files, in the main process, with the module in evaluation mode.
        An error leaves the last checkpoint, so the same command starts with `finish` again.
    checkpoint_every : int
        Steps that a kill can cost. It changes no number and is not part of the configuration.
    after : callable, optional
        Called after each step of the optimiser, to keep parameters within their bounds.

    Raises
    ------
    ConfigMismatchError, JobError
        See `open_job`.
    TrainingError
        A loss is not finite.
    """
    if checkpoint_every < 1:
        raise InputError(f"checkpoint_every={checkpoint_every}; expected a whole number from 1.")
    share = share or Share.of(module, optimisation.precision, optimisation.accumulate)
    whole = {"optimisation": _plain(optimisation), "seed": seed, **config}
    with _opened(share, Path(out), whole, name) as job:
        state = Path(out) / STATE / name
        done = share.from_main(lambda: None if job is None else (dict(job.facts(0)) if job.complete else None))
        if done is not None:
            return TrainingRun(Path(out), done, optimisation.steps, float("nan"))
        with _modes(module, optimisation.dropout, seed):
            first, seconds = _steps(module, learn, share, state, optimisation, seed, checkpoint_every, name, after)
        facts = share.from_main(lambda: None if job is None else _finished(job, finish, state))
    return TrainingRun(Path(out), facts or {}, first, seconds)


def _finished(job: Job, finish: Callable[[Path], Mapping[str, Any]], state: Path) -> dict[str, Any]:
    scratch = job.scratch(0)
    try:
        facts = dict(finish(scratch))
        write_atomic(scratch / LOSSES, (state / LOSSES).read_bytes())
        job.commit(0, facts, {})
    finally:
        job.discard(0)
    for path in (state / LOSSES, state / "checkpoint.safetensors"):
        path.unlink(missing_ok=True)
    sync_folder(state)
    return facts


def _steps(
    module: Any,
    learn: Learn,
    share: Share,
    state: Path,
    how: Optimisation,
    seed: int,
    every: int,
    name: str,
    after: Callable[[], None] | None,
) -> tuple[int, float]:
    import torch

    named = [(key, value) for key, value in module.named_parameters() if value.requires_grad]
    if not named:
        raise InputError("no parameter of the module requires a gradient; nothing can be trained.")
    parameters = [value for _, value in named]
    matrices = [value for value in parameters if value.ndim >= 2]
    others = [value for value in parameters if value.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": how.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=how.lr, betas=how.betas, eps=how.eps,
    )  # fmt: skip
    checkpoint = Checkpoint(module, optimiser, share.scaler)
    first = read_checkpoint(state / "checkpoint.safetensors", checkpoint)
    log = _log(state / LOSSES, first) if share.main else None
    began = time.perf_counter()
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar(how.steps, name, first, "step"))
        if log is not None:
            stack.callback(log.close)
        for step in range(first, how.steps):
            row = _step(learn, share, optimiser, parameters, how, step, seed)
            if after is not None:
                after()
            if log is not None:
                log.write(canonical_json(row) + "\n")
                log.flush()  # people watch it; a checkpoint makes it durable
            lost = [key for key, value in row.items() if value is None and (key, how.precision) != ("gradient", "fp16")]
            if lost:
                raise TrainingError(
                    f"step {step}: {', '.join(lost)} is not a finite number. A learning rate that is too high "
                    f"(lr={how.lr}), half precision ({how.precision}) or broken inputs do that; the checkpoint before "
                    f"it stays in {state}. Start again in a new folder with a lower rate."
                )
            if share.main and ((step + 1) % every == 0 or step + 1 == how.steps):
                write_checkpoint(state / "checkpoint.safetensors", checkpoint, step + 1)
            bar.update()
    made = how.steps - first
    return first, (time.perf_counter() - began) / made if made else float("nan")


def _step(
    learn: Learn, share: Share, optimiser: Any, parameters: list[Any], how: Optimisation, step: int, seed: int
) -> dict[str, Any]:
    import torch

    for group in optimiser.param_groups:
        group["lr"] = how.rate(step)
    optimiser.zero_grad(set_to_none=True)
    if how.dropout:
        torch.manual_seed(int(np.random.SeedSequence([seed, step, share.rank]).generate_state(1, np.uint64)[0] >> 1))
    parts = dict(learn(step, share))
    share.add_gradients(parameters)
    share.scaler.unscale_(optimiser)
    norm = torch.nn.utils.clip_grad_norm_(parameters, float("inf") if how.clip is None else how.clip)
    share.scaler.step(optimiser)
    share.scaler.update()
    names = sorted(parts)
    values = share.total(torch.stack([torch.as_tensor(parts[key], device=norm.device).float() for key in names]))
    numbers = torch.cat([values, norm.float().reshape(1)]).tolist()  # the one wait for the device in a step
    losses: dict[str, float | None] = {
        key: value if np.isfinite(value) else None for key, value in zip([*names, "gradient"], numbers, strict=True)
    }
    return {"step": step, "lr": how.rate(step), **losses}


def _log(path: Path, rows: int) -> Any:
    """The loss log, cut to the rows that the checkpoint knows; opened for more."""
    kept = path.read_bytes().splitlines(keepends=True)[:rows] if path.exists() else []
    if len(kept) < rows:
        raise JobError(f"{path}: {len(kept)} rows, the checkpoint is at step {rows}. Start again in a new folder.")
    write_atomic(path, b"".join(kept))
    return open(path, "a", encoding="utf-8")


@contextmanager
def _opened(share: Share, out: Path, config: Mapping[str, Any], name: str) -> Iterator[Job | None]:
    """The job in the main process, None in the others; an error there is an error everywhere."""
    with ExitStack() as stack:
        held: list[Job] = []

        def start() -> bool:
            if share.main:
                held.append(stack.enter_context(open_job(out, [{}], config=config, name=name)))
            return True

        share.from_main(start)
        yield held[0] if held else None


@contextmanager
def _modes(module: Any, dropout: bool, seed: int) -> Iterator[None]:
    """The module in the mode to train in, and the global random state as it was, on leaving."""
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        module.train(dropout)
        try:
            yield
        finally:
            module.eval()


def _plain(how: Optimisation) -> dict[str, Any]:
    return {name: getattr(how, name) for name in how.__dataclass_fields__}
