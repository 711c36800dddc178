"""Running a stage: the same function on the same specs, whichever engine schedules it."""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, JobError
from .job import Facts, Inputs, Job, Spec, open_job, written
from .on_ray import compute as on_ray
from .on_ray import ray_options
from .workers import worker_pool

Work = Callable[[Spec, Path], Mapping[str, Any] | None]


@dataclass(frozen=True)
class JobRun:
    """What a call of `run_job` left behind.

    Attributes
    ----------
    folder : Path
    complete : bool
        Whether every shard is done; False while other parts of ``shard:i/n`` are missing.
    facts : tuple
        Per shard what its work returned, None while it is not done.
    computed : tuple of int
        Shards that this call computed; the others were done before.
    """

    folder: Path
    complete: bool
    facts: tuple[Mapping[str, Any] | None, ...]
    computed: tuple[int, ...]


def run_job(
    out: Path | str,
    specs: Iterable[Spec],
    work: Work,
    *,
    config: Mapping[str, Any],
    name: str = "job",
    engine: str = "local",
    workers: int | None = None,
    inputs: Inputs | None = None,
    verify: str = "full",
    again: Facts | None = None,
) -> JobRun:
    """Bring every shard of a stage to done: compute what is missing, keep what verifies.

    Kill it at any time and call it again: the folder ends with the bytes of an uninterrupted run.

    Parameters
    ----------
    out, specs, config, name, inputs, verify, again
        As in `open_job`.
    work : callable
        ``work(spec, folder)`` writes any files under `folder`; they appear under `out` with the same relative
        paths, all of them or none. It may return a JSON-able mapping of facts. It must depend on nothing but
        `spec`, the inputs and `config`. With worker processes it must be picklable (a module-level function).
    engine : "local", "shard:i/n" or "ray"
        ``shard:i/n`` (0 <= i < n) computes shards i, i + n, ... and may run beside the other parts; a last
        ``local`` run checks everything and computes what is missing. ``ray`` lets Ray schedule the same function, one
        task per shard; ``ray?cpus=4&gpus=0.5&retries=2&address=auto`` says what a task asks for and which cluster
        runs it (default: one CPU, no GPU, 3 retries of a task whose worker died, a local Ray). The output folder must
        be one that every node sees.
    workers : int, optional
        Processes; 0 computes in this process. Default: one per core, at most one per pending shard. With ``ray``, the
        tasks that may run at once.

    Raises
    ------
    ConfigMismatchError, JobError
        See `open_job`; also when a shard fails, with the shard named. Finished shards are kept.

    Examples
    --------
    >>> import tempfile
    >>> def square(spec, folder):
    ...     _ = (folder / f"{spec['x']}.txt").write_text(str(spec["x"] ** 2))
    >>> out = tempfile.mkdtemp()
    >>> run_job(out, [{"x": 2}, {"x": 3}], square, config={"power": 2}, workers=0).computed
    (0, 1)
    >>> run_job(out, [{"x": 2}, {"x": 3}], square, config={"power": 2}, workers=0).computed
    ()
    """
    part, options = parse_engine(engine), ray_options(engine)
    with open_job(out, specs, config=config, name=name, inputs=inputs, verify=verify, part=part, again=again) as job:
        todo = [index for index in job.pending if part is None or index % part[1] == part[0]]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        processes = min(len(todo), cores) if workers is None else workers
        if processes < 0:
            raise InputError(f"workers={workers}; expected 0 or more.")
        with progress_bar(len(job.specs), name, len(job.specs) - len(job.pending), "shard") as bar:
            if options is not None and todo:
                _sendable(job, work)
                try:
                    on_ray(job, todo, _call, work, options, workers or None, bar)
                finally:
                    for index in todo:
                        job.discard(index)
            elif processes == 0 or (workers is None and processes == 1):
                for index in todo:
                    with job.shard(index) as (scratch, facts):
                        facts.update(work(job.specs[index], scratch) or {})
                    bar.update()
            elif todo:
                try:
                    _in_processes(job, todo, work, processes, bar)
                finally:
                    for index in todo:
                        job.discard(index)
        done = {index: job.facts(index) for index in range(len(job.specs)) if index not in job.pending}
        return JobRun(Path(out), job.complete, tuple(done.get(i) for i in range(len(job.specs))), tuple(todo))


def parse_engine(engine: str) -> tuple[int, int] | None:
    """None for "local" and "ray", (i, n) for "shard:i/n"."""
    if engine == "local" or ray_options(engine) is not None:
        return None
    match = re.fullmatch(r"shard:(\d+)/(\d+)", engine)
    if match is None:
        raise InputError(f"engine={engine!r}; expected 'local', 'shard:i/n' such as 'shard:0/8', or 'ray'.")
    part = int(match[1]), int(match[2])
    if part[0] >= part[1]:
        raise InputError(f"engine={engine!r}; i counts from 0 to n - 1.")
    return part


def progress_bar(total: int | None, description: str, done: int = 0, unit: str = "it") -> Any:
    """A tqdm bar on stderr that shows only on a terminal, and only after two seconds."""
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=description,
        initial=done,
        unit=unit,
        delay=2,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
    )


def _sendable(job: Job, work: Work) -> None:
    try:
        pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"{job.name}: the work function cannot be sent to processes ({error}). "
            "Define it at the top of a module, or run with workers=0."
        ) from error


def _in_processes(job: Job, todo: list[int], work: Work, processes: int, bar: Any) -> None:
    _sendable(job, work)
    with worker_pool(min(processes, len(todo))) as pool:
        running: dict[Future[Any], tuple[int, dict[str, Any]]] = {}
        for index in todo:
            inputs = job.input_hashes(index)
            running[pool.submit(_call, work, job.specs[index], job.scratch(index))] = index, inputs
        failure: JobError | None = None
        for future in as_completed(running):
            index, inputs = running[future]
            try:
                if future.cancelled():
                    continue
                facts, outputs = future.result()
                job.commit(index, facts, inputs, outputs)
                bar.update()
            except BrokenProcessPool as error:
                raise died(job, index) from error
            except Exception as error:
                # What else is running may finish and is kept; nothing new starts.
                failure = failure or job.failed(index, error)
                for other in running:
                    other.cancel()
        if failure is not None:
            raise failure


def died(job: Job, index: int) -> JobError:
    """The error for a worker process that vanished."""
    return job.failed(
        index,
        JobError(
            "a worker process died (out of memory, killed, or a script without `if __name__ == '__main__':` around its "
            "call, which worker processes need). Try fewer workers, or workers=0"
        ),
    )


def _call(work: Work, spec: Spec, folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    # Hashed where it was written: one process that hashed what all others write would hold them up.
    return dict(work(spec, folder) or {}), written(folder)
