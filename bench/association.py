"""Association tests at population scale against the published Monte Carlo algorithm and against WEFE.

The reference loop is the published algorithm written out plainly: the associations s(w) are computed once, then every
permutation shuffles the targets and adds up the s(w) of the first half, with numpy where that is faster than plain
Python. It handles one model at a time; ours handles 131 with one set of random splits. Both run on one thread.

WEFE needs an older numpy than ours; name a Python that has it in FAIRVL_WEFE_PYTHON, or its case is left out.

python bench/association.py            # all cases
python bench/association.py --quick    # without the whole sweep
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before numpy is imported

import numpy as np  # noqa: E402
from _measure import alternate, peak_added_bytes, seconds, write  # noqa: E402

from fairvl.measure.association import association_test, max_t, population_tests  # noqa: E402
from fairvl.stats.permutation import two_sample_p, two_sample_ps  # noqa: E402

MODELS = 131
SIZES = (20, 40, 128, 350)  # targets per side: N = 40, 80, 256, 700
BARS = {(40, 131): 100, (350, 131): 40, (40, 1): 2.5}
DRAWS = {1: 200_000, MODELS: 99_999}
# The 26 tests: (base words or images a side, templates). Sentences where templates > 1.
TEXT = ((25, 14), (25, 13), (32, 8), (16, 8), (15, 13), (8, 8), (8, 10), (8, 8))
IMAGE = ((35, 1), (16, 1), (6, 1), (40, 1), (6, 1))
SWEEP = TEXT + IMAGE + IMAGE + TEXT

WEFE = """
import json, sys, time
import numpy as np
from gensim.models import KeyedVectors
from wefe.metrics import WEAT
from wefe.query import Query
from wefe.word_embedding_model import WordEmbeddingModel
n, runs = 8, int(sys.argv[1])
rng = np.random.default_rng(0)
words = [[f"{name}{i}" for i in range(n)] for name in "xyab"]
vectors = KeyedVectors(300)
vectors.add_vectors(sum(words, []), rng.normal(size=(4 * n, 300)).astype(np.float32))
query = Query(words[:2], words[2:], ["X", "Y"], ["A", "B"])
model, weat = WordEmbeddingModel(vectors, "m"), WEAT()
times = []
for _ in range(3):
    start = time.perf_counter()
    weat.run_query(query, model, calculate_p_value=True, p_value_iterations=runs)
    times.append(time.perf_counter() - start)
    start = time.perf_counter()
    weat.run_query(query, model)
    times[-1] -= time.perf_counter() - start
import numpy, wefe
print(json.dumps({"per_resample_s": [t / runs for t in times], "numpy": numpy.__version__, "wefe": wefe.__version__}))
"""


def reference(s_x: np.ndarray, s_y: np.ndarray, draws: int, rng: np.random.Generator) -> float:
    """One-sided p of one model: shuffle, sum the first half, compare, once per permutation."""
    pooled = np.concatenate([s_x, s_y])
    n = len(s_x)
    observed = s_x.sum()
    hits = 0
    for _ in range(draws):
        if rng.permutation(pooled)[:n].sum() >= observed:
            hits += 1
    return (hits + 1) / (draws + 1)


def reference_plain(s_x: np.ndarray, s_y: np.ndarray, draws: int, rng: np.random.Generator) -> float:
    """The same with cached associations in a dictionary and Python sums, as the published code keeps them."""
    cached = dict(enumerate(np.concatenate([s_x, s_y]).tolist()))
    keys, n = np.arange(len(cached)), len(s_x)
    observed = sum(cached[i] for i in range(n))
    hits = 0
    for _ in range(draws):
        rng.shuffle(keys)
        if sum(cached[i] for i in keys[:n].tolist()) >= observed:
            hits += 1
    return (hits + 1) / (draws + 1)


def processor(function: Callable[[], object], calls: int = 1) -> float:
    """Processor time of one call: what wall time is on an idle machine with one thread."""
    start = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - start) / calls


def population(n: int, models: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0.05, 0.1, (models, n)), rng.normal(0, 0.1, (models, n))


def matrix_product(n: int) -> float:
    """Seconds per permutation and model of the bare matrix product that the count rests on."""
    values = np.ones((MODELS, 2 * n), dtype=np.float32)
    masks = np.ones((2 * n, min(max(2**21 // (2 * n), 256), 2**13)), dtype=np.float32)
    columns, sums = np.ascontiguousarray(values.T), np.empty((masks.shape[1], MODELS), dtype=np.float32)
    turns = [processor(lambda: np.matmul(masks.T, columns, out=sums), 4) for _ in range(9)]
    return min(turns) / masks.shape[1] / MODELS


def per_permutation(n: int, models: int, repeats: int) -> dict[str, Any]:
    """Gate 24: microseconds per permutation and model, ours against the reference loop, in turn."""
    s_x, s_y = population(n, models)
    draws, loop = DRAWS[models], 4_000
    rng = np.random.default_rng(1)
    ours: Callable[[], object] = lambda: two_sample_ps(s_x, s_y, method="sample", draws=draws)  # noqa: E731
    ours()
    found = alternate(ours, lambda: reference(s_x[0], s_y[0], loop, rng), repeats)
    our_share, their_share = 1 / (draws * models), 1 / loop
    ours_cpu = min(processor(ours) for _ in range(3)) * our_share
    their_cpu = min(processor(lambda: reference(s_x[0], s_y[0], loop, rng)) for _ in range(3)) * their_share
    plain = min(seconds(lambda: reference_plain(s_x[0], s_y[0], loop, rng)) for _ in range(3)) / loop
    ratio = {k: found[k] * their_share / our_share for k in ("ratio", "ratio_low", "ratio_high")}
    return {
        "case": "per permutation", "n": n, "models": models, **ratio,
        "ours_us": 1e6 * found["ours_s"] * our_share, "theirs_us": 1e6 * found["theirs_s"] * their_share,
        "processor_ratio": their_cpu / ours_cpu, "ours_processor_us": 1e6 * ours_cpu,
        "theirs_processor_us": 1e6 * their_cpu, "plain_python_us": 1e6 * plain,
        "matrix_product_us": 1e6 * matrix_product(n), "bar": BARS.get((n, models)),
        "added_mb": peak_added_bytes(lambda: two_sample_ps(s_x, s_y, method="sample", draws=30_000)) / 1e6,
    }  # fmt: skip


def exact() -> dict[str, Any]:
    """Gate 25: all 137,846,528,820 splits of 20 + 20, one- and two-sided, over the range of p."""
    times, cpu = [], []
    for shift in (0.0, 0.3, 0.8, 2.0):
        rng = np.random.default_rng(7)
        x, y = rng.normal(shift, 1, 20), rng.normal(size=20)
        calls = [partial(two_sample_p, x, y, tail=tail) for tail in ("greater", "two-sided")]
        times += [seconds(call) for call in calls]
        cpu += [processor(call) for call in calls]
    return {"case": "exact p at 20 + 20", "splits": math.comb(40, 20), "median_s": float(np.median(times)),
            "slowest_s": max(times), "slowest_processor_s": max(cpu), "bar_s": 2.0}  # fmt: skip


def wefe(repeats: int) -> dict[str, Any] | None:
    """Gate 27: per resample on 8 + 8 targets and 8 + 8 attributes; ours is the whole test divided by its draws."""
    python = os.environ.get("FAIRVL_WEFE_PYTHON")
    if not python:
        return None
    rng = np.random.default_rng(0)
    sets = rng.normal(size=(4, 8, 300))
    draws, runs = 999_999, 100
    ours, same, theirs = [], [], {}
    for _ in range(repeats):
        call = [python, "-W", "ignore", "-c", WEFE, str(runs)]
        done = subprocess.run(call, check=True, capture_output=True, text=True)
        theirs = json.loads(done.stdout.splitlines()[-1])
        their_s = float(np.median(theirs["per_resample_s"]))
        ours.append(
            (seconds(lambda: association_test(*sets, method="sample", permutations=draws, draws=1)) / draws, their_s)
        )
        same.append(
            (seconds(lambda: association_test(*sets, preset="wefe", permutations=draws, draws=1)) / draws, their_s)
        )
    ratios, preset = ([t / o for o, t in pairs] for pairs in (ours, same))
    return {
        "case": "wefe 8 + 8", "ratio": float(np.median(ratios)), "ratio_low": min(ratios), "ratio_high": max(ratios),
        "preset_ratio": float(np.median(preset)), "ours_us": 1e6 * float(np.median([o for o, _ in ours])),
        "theirs_us": 1e6 * float(np.median([t for _, t in ours])), "bar": 5000, "wefe": theirs["wefe"],
        "their_numpy": theirs["numpy"],
    }  # fmt: skip


def sweep() -> dict[str, Any]:
    """Gate 26: 131 models x 26 tests, exact or saddlepoint p and 1,000 bootstraps over base words; then max-T."""
    rng = np.random.default_rng(0)
    tests, clusters = [], []
    for words, templates in SWEEP:
        codes = np.repeat(np.arange(words), templates)
        sides = [
            rng.normal(0.05 * s, 0.1, (MODELS, words))[:, codes] + rng.normal(0, 0.05, (MODELS, len(codes)))
            for s in (0, 1)
        ]
        tests.append((sides[0], sides[1]))
        clusters.append((codes, codes))
    start, cpu = time.perf_counter(), time.process_time()
    found = [population_tests(*t, clusters=c, draws=1000) for t, c in zip(tests, clusters, strict=True)]
    statistics, statistics_cpu = time.perf_counter() - start, time.process_time() - cpu
    start = time.perf_counter()
    adjusted = max_t(tests, clusters=clusters, draws=9_999)
    corrected = time.perf_counter() - start
    start = time.perf_counter()
    sentences = [population_tests(*t, draws=1000) for t in tests]
    unclustered = time.perf_counter() - start
    assert all(np.isfinite(f.p).all() and np.isfinite(f.low).all() for f in found + sentences)
    assert all(np.isfinite(p).all() for p in adjusted)
    return {
        "case": "sweep", "models": MODELS, "tests": len(tests), "rows": MODELS * len(tests), "statistics_s": statistics,
        "statistics_cpu_s": statistics_cpu, "max_t_s": corrected, "sentences_as_units_s": unclustered,
        "resident_mb": peak_resident() / 1e6, "bar_s": 180, "memory_bar_mb": 2000,
        "methods": sorted({f.p_method for f in found}), "largest_n": max(t[0].shape[1] * 2 for t in tests),
    }  # fmt: skip


def peak_resident() -> int:
    """Largest resident set of this process, libraries included."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM on this system")


def show(row: dict[str, Any]) -> str:
    case = row["case"]
    if case == "per permutation":
        bar = f"bar {row['bar']}" if row["bar"] else ""
        return (
            f"{row['models']:4} models, N = {2 * row['n']:4}: ours {row['ours_us']:8.4f} us, reference "
            f"{row['theirs_us']:6.2f} us (plain Python {row['plain_python_us']:6.2f}), matrix product alone "
            f"{row['matrix_product_us']:.4f}; ratio {row['ratio']:.0f} ({row['ratio_low']:.0f} to "
            f"{row['ratio_high']:.0f}) {bar}; {row['added_mb']:.0f} MB added\n{'':24} by processor time: ours "
            f"{row['ours_processor_us']:.4f} us, reference {row['theirs_processor_us']:.2f} us; ratio "
            f"{row['processor_ratio']:.0f}"
        )
    if case == "sweep":
        return (
            f"{row['models']} models x {row['tests']} tests (N up to {row['largest_n']}, base words as clusters): p "
            f"and 1,000 bootstraps {row['statistics_s']:.1f} s ({row['statistics_cpu_s']:.1f} s of processor time; "
            f"bar 180 s), max-T with 9,999 splits {row['max_t_s']:.1f} s, sentences as units "
            f"{row['sentences_as_units_s']:.1f} s; "
            f"peak {row['resident_mb']:.0f} MB (bar 2,000); {', '.join(row['methods'])}"
        )
    if case.startswith("wefe"):
        return (
            f"{case}: ours {row['ours_us']:.3f} us per resample, wefe {row['wefe']} {row['theirs_us']:.0f} us; ratio "
            f"{row['ratio']:.0f} ({row['ratio_low']:.0f} to {row['ratio_high']:.0f}; bar 5000); its own draws with "
            f"replacement, our preset: {row['preset_ratio']:.0f}"
        )
    return (
        f"{case} ({row['splits']:,} splits): median {row['median_s']:.2f} s, slowest {row['slowest_s']:.2f} s (bar 2 s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="without the whole sweep")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    cases: list[Callable[[], dict[str, Any] | None]] = [
        lambda n=n, m=m: per_permutation(n, m, options.repeats) for m in (1, MODELS) for n in SIZES
    ]  # fmt: skip
    cases += [exact, lambda: wefe(3)] + [sweep] * (not options.quick)
    for case in cases:
        row = case()
        if row is None:
            print("wefe: FAIRVL_WEFE_PYTHON names no Python that has it; left out", flush=True)
            continue
        rows.append(row)
        print(show(row), flush=True)
    write("association", rows)


if __name__ == "__main__":
    main()
