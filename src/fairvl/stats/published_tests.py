"""p-values as published association tools compute them, for comparison with published numbers only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .bootstrap import draw_blocks
from .permutation import PermutationP, Tail, random_splits, sampled_p, two_sample_ps

Floats: TypeAlias = NDArray[np.float64]
Preset: TypeAlias = Literal["sent-bias", "ieat", "wefe", "ml-eat"]

N_SAMPLES: Mapping[Preset, int] = {"sent-bias": 100_000, "ieat": 10_000, "wefe": 10_000, "ml-eat": 1_000}


def published_p(
    preset: Preset, x: Floats, y: Floats, tail: Tail, n_samples: int, rng: np.random.Generator
) -> PermutationP:
    """p of the associations [n] of x against [m] of y; the conventions stand in `fairvl.measure.association`."""
    if preset in ("sent-bias", "ieat"):
        # the observed split is one of n_samples, so that one fewer is drawn
        draws = max(n_samples - 1, 1)
        few = math.comb(len(x) + len(y), len(x)) <= n_samples
        return two_sample_ps(x[None], y[None], method="auto" if few else "sample", draws=draws, seed=rng)[0]
    pooled = np.concatenate([x, y])
    if preset == "wefe":
        return _replacement_p(pooled, len(x), tail, n_samples, rng)
    from scipy.special import ndtr

    pooled = pooled - pooled.mean()
    sums = np.concatenate([masks @ pooled for masks in random_splits(len(x), len(y), n_samples, rng)])
    spread = sums.std(ddof=1)
    z = (pooled[: len(x)].sum() - sums.mean()) / spread if spread > 0 else math.nan
    smaller = float(ndtr(-abs(z)))
    tiny = float(np.finfo(np.float64).tiny)
    return PermutationP(max(smaller, tiny), "normal fitted to sampled splits", math.nan, tiny, n_samples)


def _replacement_p(pooled: Floats, n_x: int, tail: Tail, draws: int, rng: np.random.Generator) -> PermutationP:
    """WEFE's p: stimuli drawn with replacement, so not a permutation; kept for comparison with published values."""
    observed = pooled[:n_x].sum() - pooled[n_x:].sum()
    hits = 0
    for b in draw_blocks(draws, 2 * len(pooled)):
        values = pooled[rng.integers(len(pooled), size=(b, len(pooled)))]
        drawn = values[:, :n_x].sum(axis=1) - values[:, n_x:].sum(axis=1)
        extreme = {"greater": drawn > observed, "less": drawn < observed, "two-sided": np.abs(drawn) > observed}
        hits += int(extreme[tail].sum())
    found = sampled_p(hits, draws)
    return PermutationP(found.p, "sampled with replacement", found.error, found.floor, draws)
