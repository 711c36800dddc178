"""Ours and the peer in turn, in one process: medians, ratios with their range, and added peak memory."""

from __future__ import annotations

import json
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def processor(function: Callable[[], object], turns: int = 1) -> float:
    """Processor time of one call, least of several: what wall time is on an idle machine with one thread."""
    times = []
    for _ in range(turns):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def alternate(ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 5) -> dict[str, float]:
    """Times in seconds and the ratio theirs / ours, each a median; the ratio with its range over the turns."""
    turns = [(seconds(ours), seconds(theirs)) for _ in range(repeats)]
    ratios = [their / our for our, their in turns]
    return {
        "ours_s": statistics.median(our for our, _ in turns),
        "theirs_s": statistics.median(their for _, their in turns),
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "repeats": repeats,
    }


def peak_added_bytes(function: Callable[[], object]) -> int:
    """Largest memory that one call held beyond what was there before (allocations that Python and numpy report)."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def write(name: str, rows: list[dict[str, Any]]) -> None:
    """bench/results/<name>.json, with the versions that the figures depend on."""
    import numpy
    import scipy

    document = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "rows": rows,
    }
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
