"""Do 95 % intervals cover in 95 % of runs, and are p-values honest? Writes docs/validity.md.

    python bench/calibration.py                    the pool is 20,000 portraits of the built-in world
    python bench/calibration.py --pool synthetic   the same study on drawn vectors, without a model

Stimuli are drawn, run by run, from one pool of 20,000 vectors; the value of the whole pool is the truth that
an interval has to hold. How strongly X and Y (or two groups) differ is planted by mixing: at strength r, a share
(1 + r) / 2 of X comes from the first population and (1 - r) / 2 of Y, so that 0 is an exact null.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fairvl.measure.association import association_test, effect_size
from fairvl.measure.groups import disaggregate

ROOT = Path(__file__).resolve().parents[1]
POOL_SIZE = 20_000
STRENGTHS = (0.0, 0.4, 0.8)
SIZES = (8, 25, 40)
INTERVALS = ("bca", "percentile")
ALPHAS = (0.01, 0.05, 0.10)
DRAWS = 1000
TEMPLATES = 4
BLOCK = 200
GROUP_SIZES = ((30, 70), (100, 100))


@dataclass(frozen=True)
class Pool:
    """Vectors of 20,000 stimuli, their population (0 or 1), attribute vectors, and predictions for one task.

    `attribute_pool` are stimuli of the two attribute sets to draw from, `a` and `b` a fixed pair of sets;
    `task_population` are the two groups whose accuracies differ.
    """

    name: str
    vectors: np.ndarray
    population: np.ndarray
    task_population: np.ndarray
    a: np.ndarray
    b: np.ndarray
    attribute_pool: tuple[np.ndarray, np.ndarray]
    truth: np.ndarray
    predicted: np.ndarray


@dataclass
class Cell:
    """Tally of one row of the study."""

    label: dict[str, object]
    true_value: float = math.nan
    runs: int = 0
    covered: int = 0
    missed_low: int = 0
    missed_high: int = 0
    width: float = 0.0
    undefined: int = 0
    p: list[float] = field(default_factory=list)

    def count(self, low: float, high: float) -> None:
        self.runs += 1
        if math.isnan(low):
            self.undefined += 1
            return
        self.covered += low <= self.true_value <= high
        self.missed_low += high < self.true_value
        self.missed_high += low > self.true_value
        self.width += high - low

    def record(self) -> dict[str, object]:
        row = dict(self.label) | {
            "truth": round(self.true_value, 4),
            "runs": self.runs,
            "coverage": round(self.covered / self.runs, 4),
            "interval_below_truth": round(self.missed_low / self.runs, 4),
            "interval_above_truth": round(self.missed_high / self.runs, 4),
            "mean_width": round(self.width / max(1, self.runs - self.undefined), 4),
            "undefined": self.undefined,
        }
        if self.p:
            p = np.sort(self.p)
            row |= {f"p<={a}": round(float((p <= a + 1e-12).mean()), 4) for a in ALPHAS}
            row["largest_excess"] = round(float((np.arange(1, len(p) + 1) / len(p) - p).max()), 4)
        return row


def synthetic_pool(seed: int = 0, dim: int = 64) -> Pool:
    """Vectors on a sphere: a common direction, a population direction, latent factors, and noise."""
    rng = np.random.default_rng(seed)
    n = POOL_SIZE
    population = np.arange(n) % 2
    factors = rng.normal(size=(6, dim))
    mixing = np.column_stack([rng.integers(0, 2, n), rng.gamma(2, 0.5, n), rng.uniform(-1, 1, (n, 4)).reshape(n, 4)])
    axis = rng.normal(size=dim)
    vectors = rng.normal(size=dim) + mixing @ factors + 0.4 * rng.normal(size=(n, dim))
    vectors += np.outer(population - 0.5, -axis) * 0.9
    attribute = rng.normal(size=(2, n // 2, dim)) + np.stack([axis, -axis])[:, None] * 0.5
    truth = rng.integers(0, 2, n)
    wrong = rng.random(n) < np.where(population == 0, 0.1, 0.35)
    return Pool(
        "20,000 drawn vectors",
        vectors.astype(np.float32),
        population,
        population,
        attribute[0, :25],
        attribute[1, :25],
        (attribute[0], attribute[1]),
        truth,
        np.where(wrong, 1 - truth, truth),
    )


def world_pool(seed: int = 0) -> Pool:
    """Portraits of a balanced world, encoded by the shipped CLIP, which was trained on a biased one.

    X and Y are women and men, A and B pleasant and unpleasant words; the attribute pool holds portraits of the
    occupations planted with women and with men. The task is the occupation, zero-shot; its two groups are the
    portraits that follow the planted stereotype and those that go against it.
    """
    from fairvl.arrays import unit_rows
    from fairvl.sources.encoders import load_encoder
    from fairvl.sources.world import WorldSpec, portraits
    from fairvl.sources.world.words import ATTRIBUTES, FEMALE_OCCUPATIONS, PLEASANT, UNPLEASANT

    encoder = load_encoder("world:clip")

    def encoded(part: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        blocks, columns = [], []
        for start in range(0, POOL_SIZE, BLOCK):
            drawn = portraits(WorldSpec(), BLOCK, seed=seed + 900 + part, split="test", start=start)
            blocks.append(encoder.encode_images(list(drawn.images)))
            columns.append({name: drawn.attributes[name] for name in ("gender", "occupation")})
        return np.concatenate(blocks), {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}

    vectors, labels = encoded(0)
    others, other_labels = encoded(1)
    jobs = list(ATTRIBUTES["occupation"])
    queries = unit_rows(encoder.encode_texts([f"a photo of a {job}" for job in jobs]))
    truth = np.array([jobs.index(job) for job in labels["occupation"]])
    predicted = (unit_rows(vectors) @ queries.T).argmax(axis=1)
    woman = labels["gender"] == "female"
    follows = woman == np.isin(labels["occupation"], FEMALE_OCCUPATIONS)
    womens = np.isin(other_labels["occupation"], FEMALE_OCCUPATIONS)
    return Pool(
        "20,000 portraits of the built-in world, encoded by world:clip",
        vectors,
        (~woman).astype(int),
        (~follows).astype(int),
        encoder.encode_texts([f"a {word} person" for word in PLEASANT]),
        encoder.encode_texts([f"a {word} person" for word in UNPLEASANT]),
        (others[womens], others[~womens]),
        truth,
        predicted,
    )


def mixed(population: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of X and Y at this strength, to draw from with replacement; at 0 both are the same rows."""
    first, second = (np.flatnonzero(population == g) for g in (0, 1))
    size = min(len(first), len(second))
    major, minor = round(size * (1 + strength) / 2), round(size * (1 - strength) / 2)
    x = np.concatenate([first[:major], second[:minor]])
    y = np.concatenate([second[:major], first[:minor]])
    return (np.arange(2 * size), np.arange(2 * size)) if strength == 0 else (x, y)


def association_cells(pool: Pool, strength: float, n: int, design: str, runs: int, seed: int) -> list[Cell]:
    """d over `runs` draws: targets drawn; targets and attributes drawn; or base words with noisy templates."""
    rows_x, rows_y = mixed(pool.population, strength)
    label = {"measure": "effect size", "design": design, "strength": strength, "n": n}
    cells = [Cell(label | {"interval": name}) for name in INTERVALS]
    rng = np.random.default_rng([seed, n, round(strength * 100), len(design)])
    a, b = pool.a, pool.b
    full_a, full_b = pool.attribute_pool
    views: list[np.ndarray] = [pool.vectors]
    if design == "templates":
        scale = pool.vectors.std(axis=0).mean()
        shifts = np.random.default_rng([seed, 77]).normal(size=(TEMPLATES, pool.vectors.shape[1])) * scale
        noise = np.random.default_rng([seed, 78])
        views = [pool.vectors + s + 0.5 * scale * noise.normal(size=pool.vectors.shape) for s in shifts]
    whole = (full_a, full_b) if design == "targets and attributes" else (a, b)
    value = effect_size(*(np.concatenate([v[rows] for v in views]) for rows in (rows_x, rows_y)), *whole)
    for cell in cells:
        cell.true_value = value
    for run in range(runs):
        x, y = rng.choice(rows_x, n), rng.choice(rows_y, n)
        clusters = None
        if design == "templates":
            clusters = (np.tile(np.arange(n), TEMPLATES), np.tile(np.arange(n), TEMPLATES), None, None)
        if design == "targets and attributes":
            a, b = full_a[rng.integers(len(full_a), size=n)], full_b[rng.integers(len(full_b), size=n)]
        sets = [np.concatenate([v[rows] for v in views]) for rows in (x, y)]
        for cell in cells:
            found = association_test(
                *sets,
                a,
                b,
                interval=cell.label["interval"],
                resample="both" if design == "targets and attributes" else "targets",
                clusters=clusters,
                draws=DRAWS,
                permutations=999,
                exact_limit=20_000,
                seed=run,
            )
            cell.count(found.low, found.high)
            if strength == 0:
                cell.p.append(found.p)
    return cells


def gap_cells(pool: Pool, strength: float, sizes: tuple[int, int], runs: int, seed: int) -> list[Cell]:
    """Accuracy of two groups of fixed sizes: their gap, the worst of them, and the first group's own."""
    rows = mixed(pool.task_population, strength)
    right = pool.truth == pool.predicted
    shares = [float(right[r].mean()) for r in rows]
    truths = {
        "accuracy gap": abs(shares[0] - shares[1]),
        "worst-group accuracy": min(shares),
        "first group's accuracy": shares[0],
    }
    label = {"design": "two groups", "strength": strength, "n": f"{sizes[0]} + {sizes[1]}"}
    cells = {
        (measure, name): Cell({"measure": measure} | label | {"interval": name}, true_value)
        for measure, true_value in truths.items()
        for name in INTERVALS
    }
    rng = np.random.default_rng([seed, *sizes, round(strength * 100)])
    groups = np.repeat(["first", "second"], sizes)
    for run in range(runs):
        drawn = np.concatenate([rng.choice(r, k) for r, k in zip(rows, sizes, strict=True)])
        for name in INTERVALS:
            frame = disaggregate(
                "accuracy", pool.truth[drawn], pool.predicted[drawn], groups, n_boot=DRAWS, seed=run, interval=name
            )
            estimates = (frame.difference, frame.worst, frame.by_group["first"])
            for measure, estimate in zip(truths, estimates, strict=True):
                cells[measure, name].count(estimate.low, estimate.high)
    return list(cells.values())


def study() -> Iterator[tuple[Callable[..., list[Cell]], tuple[object, ...]]]:
    """Every cell of the study as a function and its arguments after the pool."""
    for strength in STRENGTHS:
        for n in SIZES:
            for design in ("targets", "targets and attributes", "templates"):
                yield association_cells, (strength, n, design)
        for sizes in GROUP_SIZES:
            yield gap_cells, (strength, sizes)


_POOL: Pool | None = None


def _start(pool: Pool) -> None:
    global _POOL
    _POOL = pool


def _run(
    function: Callable[..., list[Cell]], arguments: tuple[object, ...], runs: int, seed: int
) -> list[dict[str, object]]:
    return [cell.record() for cell in function(_POOL, *arguments, runs, seed)]


def table(rows: list[dict[str, object]], columns: dict[str, str]) -> str:
    """Markdown table of the named columns."""

    def shown(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(columns.values()) + " |", "|" + " --- |" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(shown(row[c]) for c in columns) + " |" for row in rows])


def verdict(rows: list[dict[str, object]], low: float = 0.93, high: float = 0.97) -> str:
    """What lies outside the band among the rows with 25 units or more, named one by one."""
    judged = [r for r in rows if r["n"] != SIZES[0]]
    outside = [r for r in judged if not low <= float(str(r["coverage"])) <= high]
    text = (
        f"{len(judged) - len(outside)} of {len(judged)} rows with 25 units or more lie within {low:.0%} to {high:.0%}."
    )
    for r in outside:
        word = "short" if float(str(r["coverage"])) < low else "long"
        text += (
            f"\n- too {word}: {r['measure']}, {r['design']}, strength {r['strength']}, n {r['n']}, {r['interval']}: "
        )
        text += f"{float(str(r['coverage'])):.3f}"
    return text


INTRODUCTION = """# How far the numbers can be trusted

This page is written by `{command}`. It asks two questions of the intervals and p-values that
`fairvl` prints: does a 95 % interval hold the truth in 95 % of runs, and does a p-value under the null stay below
alpha at most alpha of the time?

**How.** The pool: {pool}. The value over the whole pool is the truth. Each run draws stimuli from the pool and
calls the public function once per interval method: {runs} runs a row, {draws} bootstrap draws a run, seed {seed}.
With {runs} runs the coverage of a true 95 % interval has a standard error of {error:.1%}. *Strength r* mixes two
populations: a share (1 + r) / 2 of X comes from the first and (1 - r) / 2 of Y, so that 0 is an exact null.

Designs: *targets*: X and Y of n base words each are drawn and resampled, A and B are fixed. *targets and attributes*:
A and B of n stimuli each are drawn and resampled too. *templates*: each base word is seen in {templates} templates with
noise of their own; the base words are the units. *two groups*: accuracies of two groups of fixed sizes.

"above" and "below" are the shares of runs whose interval lies wholly above or below the truth. The study took
{minutes:.0f} minutes with {workers} processes.
"""

READING = """
## Reading

With 8 base words per set an interval is a rough guide: at strong effects it lies above the truth too often, because
eight stimuli understate the spread within a set. "bca" corrects that and is the default for effect sizes;
"percentile" does not, and can be too short for strong effects at 25 units. Where attributes are drawn too and say
little of the groups, the sampled direction between A and B is mostly noise: d is pulled towards 0, a resample pulls it
once more, and "bca" is too short (0.87 to 0.95 on the world's pool). "percentile" is then the default: 0.95 to 1.0
there, long rather than short. Gaps over groups and worst groups have intervals of their own (`fairvl.stats.spread`).
Accuracies near 1 of a group of 30 are discrete and skewed: prefer `interval="bca"` there.
"""


def page(rows: list[dict[str, object]], pool: Pool, options: argparse.Namespace, seconds: float) -> str:
    """The Markdown page."""
    columns = {"design": "design", "strength": "strength", "n": "n", "truth": "truth", "interval": "interval"}
    columns |= {"coverage": "coverage", "interval_above_truth": "above", "interval_below_truth": "below"}
    columns |= {"mean_width": "mean width"}
    parts = [
        INTRODUCTION.format(
            command="python bench/calibration.py" + (" --pool synthetic" if options.pool == "synthetic" else ""),
            pool=pool.name,
            runs=f"{options.runs:,}",
            draws=f"{DRAWS:,}",
            seed=options.seed,
            error=math.sqrt(0.95 * 0.05 / options.runs),
            templates=TEMPLATES,
            minutes=max(1, seconds / 60),
            workers=options.workers,
        )
    ]
    for title, chosen in (
        ("Effect sizes", [r for r in rows if r["measure"] == "effect size"]),
        ("Groups", [r for r in rows if r["measure"] != "effect size"]),
    ):
        shown = columns if title == "Effect sizes" else {"measure": "measure"} | columns
        parts.append(f"## {title}\n\n{verdict(chosen)}\n\n{table(chosen, shown)}\n")
    null = [r for r in rows if "largest_excess" in r and r["interval"] == INTERVALS[0]]
    bound = math.sqrt(-math.log(0.01) / (2 * options.runs))
    honest = sum(float(str(r["largest_excess"])) <= bound for r in null)
    parts.append(
        "## p-values under the null\n\n"
        "Share of runs with p at most alpha, and how far the distribution of p rises above the uniform one anywhere; "
        f"an honest p exceeds {bound:.3f} in 1 % of such studies. {honest} of {len(null)} rows stay below.\n\n"
        + table(
            null,
            {"design": "design", "n": "n"}
            | {f"p<={a}": f"p <= {a}" for a in ALPHAS}
            | {"largest_excess": "largest excess"},
        )
        + "\n"
    )
    return "\n".join([*parts, READING.strip(), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--pool", choices=("world", "synthetic"), default="world")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "validity.md")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers
    pool = world_pool(options.seed) if options.pool == "world" else synthetic_pool(options.seed)
    start = time.perf_counter()
    jobs = list(study())
    # spawned, not forked: a fork would inherit the threads of the encoder
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, context, initializer=_start, initargs=(pool,)) as workers:
        futures = [workers.submit(_run, f, arguments, options.runs, options.seed) for f, arguments in jobs]
        rows = [row for future in tqdm(futures, unit="cell") for row in future.result()]
    seconds = time.perf_counter() - start
    options.out.write_text(page(rows, pool, options, seconds), encoding="utf-8")
    results = ROOT / "bench" / "results" / f"calibration-{options.pool}.json"
    results.parent.mkdir(exist_ok=True)
    document = {"pool": pool.name, "runs": options.runs, "seed": options.seed, "draws": DRAWS, "rows": rows}
    results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"{len(rows)} rows in {seconds / 60:.1f} minutes: {options.out}")


if __name__ == "__main__":
    main()
