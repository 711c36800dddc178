"""Worker processes that never outlive the process they work for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any


def default_workers() -> int:
    """Half of the cores this process may use, between 1 and 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // 2))


@contextmanager
def worker_pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = (), *, niceness: int = 0
) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes; an error inside stops it at once instead of waiting for queued work."""
    pool = ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),  # a fork would copy the locks of threads that are not there any more
        initializer=_begin,
        initargs=(initializer, arguments, niceness),
    )
    try:
        yield pool
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(initializer: Callable[..., None] | None, arguments: tuple[Any, ...], niceness: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; a second traceback per worker helps nobody
    if niceness:
        os.nice(niceness)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*arguments)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
