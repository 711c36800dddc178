"""Single stimuli against two attribute sets, and the three levels of an association test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...arrays import unit_rows
from ...stats import bootstrap
from ...stats.bootstrap import IntervalMethod, stratified_jackknife, undefined_share
from ...stats.permutation import DRAWS, EXACT_LIMIT, Tail, check_tail, two_sample_ps
from ...stats.two_samples import left_out, resampled, standardised, unit_means, unit_moments
from .anatomy import Seed, check_ddof, check_sets, cluster_codes, fixed_seed, splits_rng
from .result import AssociationResult


@dataclass(frozen=True)
class Multilevel:
    """An association test at three levels (ML-EAT).

    `effect_size` is the whole test; `x` and `y` are each target set alone against A and B; `means` and `spreads` are
    the mean and sample SD of the cosines in the blocks X-A, X-B, Y-A, Y-B.
    """

    effect_size: float
    x: float
    y: float
    means: tuple[float, ...]
    spreads: tuple[float, ...]


def multilevel(x: ArrayLike, y: ArrayLike, a: ArrayLike, b: ArrayLike) -> Multilevel:
    """Where an effect size comes from: each target set alone, and the four blocks of cosines.

    References
    ----------
    Wolfe et al. (2024), "ML-EAT: A Multilevel Embedding Association Test", AIES. ddof 1 at every level. Level 2
    averages the cosines of a target set before it compares A with B. A block of one cosine has a NaN spread.

    Examples
    --------
    >>> import numpy as np
    >>> eye = np.eye(3)
    >>> round(multilevel(eye[:2] + 0.1, eye[1:] + 0.1, eye[:1] + 0.2, eye[2:] + 0.2).effect_size, 3)
    1.225
    """
    x, y, a, b = (unit_rows(v) for v in check_sets(x, y, a, b))
    blocks = [targets @ attributes.T for targets in (x, y) for attributes in (a, b)]
    s_x, s_y = (p.mean(axis=1) - q.mean(axis=1) for p, q in (blocks[:2], blocks[2:]))
    whole = standardised(s_x[:, None], s_y[:, None], 1)
    alone = [standardised(p.mean(axis=0)[:, None], q.mean(axis=0)[:, None], 1) for p, q in (blocks[:2], blocks[2:])]
    return Multilevel(
        float(whole[0]),
        float(alone[0][0]),
        float(alone[1][0]),
        tuple(float(block.mean()) for block in blocks),
        tuple(float(block.std(ddof=1)) if block.size > 1 else np.nan for block in blocks),
    )


def single_category_test(
    w: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    *,
    tail: Tail = "greater",
    seed: Seed = 0,
    ddof: int = 1,
    level: float = 0.95,
    interval: IntervalMethod = "bca",
    draws: int = 2000,
    clusters: Sequence[ArrayLike | None] | None = None,
    exact_limit: int = EXACT_LIMIT,
    permutations: int = DRAWS,
) -> AssociationResult[Any]:
    """Association of single stimuli with A against B, in standard deviations (SC-EAT, WEFAT).

    ``(mean_a cos(w, a) - mean_b cos(w, b)) / SD cos(w, .)``, the SD over A and B together, per row of `w`.
    The p-value permutes the stimuli of A and B; the interval resamples them. All rows share both.

    Parameters
    ----------
    w : (d,) or (n, d) array
    clusters
        Two sequences, for a and b: base word or template of each attribute stimulus.

    Returns
    -------
    AssociationResult
        Floats for one vector ``[d]``, arrays ``[n]`` for rows ``[n, d]``. `n` counts the attribute units.

    Raises
    ------
    InputError
        As `association_test`.

    Examples
    --------
    >>> a, b = [[1.0, 0.2], [1.0, 0.1]], [[0.1, 1.0], [0.2, 1.0]]
    >>> round(single_category_test([1.0, 0.0], a, b).effect_size, 3)
    1.726
    """
    single = np.ndim(w) == 1
    check_tail(tail)
    w, a, b = (unit_rows(v) for v in check_sets(w, a, b, names="wab"))
    x, y = a @ w.T, b @ w.T
    codes = cluster_codes(clusters, (len(a), len(b)), "ab")
    observed = standardised(x, y, check_ddof(ddof))
    undefined_rows = np.isnan(observed)
    found = two_sample_ps(
        unit_means(x, codes[0]).T,
        unit_means(y, codes[1]).T,
        tail=tail,
        exact_limit=exact_limit,
        draws=permutations,
        seed=splits_rng(fixed_seed(seed)),
    )
    n_units = [int(c.max()) + 1 for c in codes]
    notes = [f"{undefined_rows.sum()} rows have equal cosines with all attributes"] if undefined_rows.any() else []
    low, high, undefined = (np.full(len(observed), v) for v in (np.nan, np.nan, 0.0))
    if min(n_units) > 1:
        moments = unit_moments(x, y, codes[0], codes[1])
        replicates = resampled(moments, draws, fixed_seed(seed), ddof)
        undefined = undefined_share(replicates)
        jackknife = stratified_jackknife(left_out(moments, ddof)) if interval == "bca" else None
        low, high = bootstrap.interval(
            replicates, observed, level=level, method=interval, jackknife=jackknife, units=min(n_units)
        )
    else:
        notes.append("an attribute set with one unit carries no interval")
    p, error = (np.where(undefined_rows, np.nan, [getattr(f, name) for f in found]) for name in ("p", "error"))
    columns = (observed, p, low, high, error, undefined)
    values = [float(c[0]) for c in columns] if single else list(columns)
    return AssociationResult(
        effect_size=values[0],
        p=values[1],
        low=values[2],
        high=values[3],
        n=sum(n_units),
        p_method=found[0].method,
        p_floor=found[0].floor,
        p_error=values[4],
        interval_method=f"{interval} over attributes",
        level=level,
        ddof=ddof,
        tail=tail,
        sizes=(len(w), 0, len(a), len(b)),
        undefined=values[5],
        note="; ".join(notes),
    )
