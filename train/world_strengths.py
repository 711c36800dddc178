"""Planted strength against measured bias: five small models, one table with intervals.

    python train/world_strengths.py --out results.json

Goes on training the shipped model on a world of each planted strength (same script, same seed) and measures each on the
same balanced pictures. A model trained anew in so few steps would not learn the occupations.
The single words lean to either side on their own (`Wording.spread`), so that an effect size has room to grow.
Intervals are 95 % percentile intervals over 1,000 resamples of words (occupations for the gap) and of pictures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from world_clip import Recipe, train
from world_quality import Model, accuracies, effect, female_share_gap, zero_shot

from fairvl.sources.world import WorldSpec, portraits
from fairvl.sources.world import words as w

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 0.95)
SHIPPED = Path(__file__).resolve().parents[1] / "src/fairvl/sources/world/models/clip"
LESSONS = {"start": str(SHIPPED), "images": 16384, "still": 0, "steps": 1000, "rate": 8e-4}
Array = NDArray[np.float64]


def interval(draw: Callable[[np.random.Generator], float], resamples: int = 1000) -> tuple[float, float]:
    rng = np.random.Generator(np.random.PCG64(0))
    low, high = np.nanpercentile([draw(rng) for _ in range(resamples)], [2.5, 97.5])
    return float(low), float(high)


def some(rows: Array, rng: np.random.Generator) -> Array:
    return rows[rng.integers(0, len(rows), len(rows))]


def row(model: Model, n: int, seed: int = 1, k: int = 200) -> dict[str, object]:
    """One strength: each measure as [value, low, high]."""
    world = portraits(WorldSpec.biased(0.0), n, seed, split="test")
    vectors = model.images(world.images)
    female = world.truth["gender"] == "female"
    good, bad, women, men = (
        model.texts([f"a photo of a {word}{tail}" for word in family])
        for family, tail in (
            (w.PLEASANT, " person"),
            (w.UNPLEASANT, " person"),
            (w.FEMALE_NOUNS, ""),
            (w.MALE_NOUNS, ""),
        )
    )
    flowers, litter = (model.texts([f"a photo of a {word}" for word in family]) for family in (w.FLOWERS, w.LITTER))
    lovely, grim = (model.texts([f"a {word} scene" for word in family]) for family in (w.LOVELY, w.GRIM))
    gaps = female_share_gap(vectors, np.concatenate([good, bad]), female, k)
    up, down = gaps[: len(good)], gaps[len(good) :]
    truth = np.array([w.ATTRIBUTES["occupation"].index(job) for job in world.truth["occupation"]])
    hit = zero_shot(vectors, model.texts, "occupation") == truth
    usual = (truth >= 4) == female
    cells = [(hit[(truth == job) & usual], hit[(truth == job) & ~usual]) for job in range(8)]
    few = vectors[female][:400], vectors[~female][:400]

    def gap(r: np.random.Generator | None = None) -> float:
        jobs = range(8) if r is None else r.integers(0, 8, 8)
        pairs = [cells[job] if r is None else tuple(some(cell, r) for cell in cells[job]) for job in jobs]
        return float(np.mean([first.mean() - second.mean() for first, second in pairs]))

    measures: dict[str, tuple[float, Callable[[np.random.Generator], float]]] = {
        "text d": (
            effect(good, bad, women, men),
            lambda r: effect(some(good, r), some(bad, r), some(women, r), some(men, r)),
        ),
        "text-image d": (
            effect(good, bad, *few),
            lambda r: effect(some(good, r), some(bad, r), some(few[0], r), some(few[1], r)),
        ),
        "share of women, pleasant - unpleasant": (
            float(up.mean() - down.mean()),
            lambda r: float(some(up, r).mean() - some(down, r).mean()),
        ),
        "occupation accuracy, usual - unusual gender": (gap(), gap),
        "control text d": (
            effect(flowers, litter, lovely, grim),
            lambda r: effect(some(flowers, r), some(litter, r), some(lovely, r), some(grim, r)),
        ),
    }
    found: dict[str, object] = {name: [value, *interval(draw)] for name, (value, draw) in measures.items()}
    return found | {"accuracy": accuracies(world, vectors, model.texts)}


def markdown(results: dict[str, dict[str, object]]) -> str:
    names = [name for name in next(iter(results.values())) if name != "accuracy"]
    lines = ["| planted strength | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for strength, found in results.items():
        cells = []
        for name in names:
            value, low, high = found[name]  # type: ignore[misc]
            cells.append(f"{value:.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {strength} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--n", type=int, default=2000, help="balanced pictures")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--strengths", type=float, nargs="+", default=STRENGTHS)
    parser.add_argument("--spread", type=float, default=1.0, help="own lean of the single words (log odds, sd)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results: dict[str, dict[str, object]] = {}
    for strength in arguments.strengths:
        model, words = train(Recipe(strength=strength, spread=arguments.spread, **LESSONS))
        results[f"{strength:g}"] = row(Model(model, words), arguments.n)
        print(json.dumps(results[f"{strength:g}"]), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    print(markdown(results))


if __name__ == "__main__":
    main()
