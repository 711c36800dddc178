"""Ray as an engine: it schedules the same function; shards are committed here, in the process that holds the lock."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, JobError, missing_extra
from .job import Job

KEYS = ("cpus", "gpus", "retries", "address")


@dataclass(frozen=True)
class RayOptions:
    """What every task asks of the cluster, and which cluster."""

    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3
    address: str | None = None


def ray_options(engine: str) -> RayOptions | None:
    """The options of ``ray`` or ``ray?key=value&...``; None for any other engine.

    Raises
    ------
    InputError
        An unknown key, or a value that is not a number.

    Examples
    --------
    >>> ray_options("ray?gpus=0.5").gpus, ray_options("local")
    (0.5, None)
    """
    head, _, query = engine.partition("?")
    if head != "ray":
        return None
    given: dict[str, Any] = {}
    for item in filter(None, query.split("&")):
        key, _, value = item.partition("=")
        if key not in KEYS or not value:
            raise InputError(f"engine={engine!r}: {item!r}; expected {', '.join(f'{k}=...' for k in KEYS)}.")
        if key != "address" and not re.fullmatch(r"\d+" if key == "retries" else r"\d+(\.\d+)?", value):
            raise InputError(f"engine={engine!r}: {item!r}; expected a number from 0.")
        given[key] = value if key == "address" else int(value) if key == "retries" else float(value)
    return RayOptions(**given)


def compute(
    job: Job,
    todo: list[int],
    call: Callable[..., Any],
    work: Callable[..., Any],
    options: RayOptions,
    at_once: int | None,
    bar: Any,
) -> None:
    """Compute and commit the shards `todo`; `call(work, spec, scratch)` runs in Ray's workers.

    Raises
    ------
    JobError
        A shard failed, a worker died more often than it may, or the cluster cannot be reached.
    MissingExtraError
        Ray is not installed.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise missing_extra("ray", "ray") from error
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=options.address, include_dashboard=False if options.address is None else None,
                     log_to_driver=False, logging_level=logging.ERROR)  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise JobError(f"Ray cannot be reached ({error}). Start it, or leave out address=.") from error
    try:
        task = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=options.retries)(call)
        waiting, failure = deque(todo), None
        running: dict[Any, tuple[int, dict[str, Any]]] = {}
        while running or waiting:
            while waiting and failure is None and (at_once is None or len(running) < at_once):
                index = waiting.popleft()
                inputs = job.input_hashes(index)
                running[task.remote(work, job.specs[index], job.scratch(index).absolute())] = index, inputs
            if not running:
                break
            (done, *_), _ = ray.wait(list(running), num_returns=1)
            index, inputs = running.pop(done)
            try:
                facts, outputs = ray.get(done)
                job.commit(index, facts, inputs, outputs)
                bar.update()
            except ray.exceptions.RayTaskError as error:
                # What else is running may finish and is kept; nothing new starts.
                failure = failure or job.failed(index, getattr(error, "cause", None) or error)
            except ray.exceptions.RayError as error:
                failure = failure or job.failed(index, JobError(f"its worker died ({type(error).__name__})"))
            except JobError as error:
                failure = failure or job.failed(index, error)
        if failure is not None:
            raise failure
    finally:
        if started:
            ray.shutdown()
