"""Who a ranking puts on top: MaxSkew@k, MinSkew@k, NDKL and Bias@k, each held against a stated target distribution.

Conventions, the same for every function here. Rows without a group are left out before ranking. Exactly k rows are
taken. ``ties="expected"`` (default) gives the rows that tie at the border their expected share of the remaining
places, so that the order of the input never matters; ``ties="position"`` takes the earlier rows first, as a stable
sort does. ``smoothing`` adds that many rows of every group to the top k (0: none); ``floor`` is the smallest share
that enters a logarithm (0: none, so an absent group has skew -inf; 1/k and 1e-10 are in use elsewhere and give other
numbers). Skews are in nats.

Geyik, Ambler and Kenthapadi (2019), "Fairness-Aware Ranking in Search & Recommendation Systems with Application to
LinkedIn Talent Search" (Skew, MaxSkew, MinSkew, NDKL). Wang, Liu and Wang (2021), "Are Gender-Neutral Queries Really
Gender-Neutral?" (Bias@K).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GroupError, InputError
from ..stats.cells import FloatArray, IntArray, Resampled, Resampling, Seed, row_counts, summarise, without_interval
from ..stats.codes import GroupCodes
from ..stats.estimate import Estimate
from ..stats.shares import Target, TargetLike
from ..stats.spread import quantile

Ties: TypeAlias = Literal["expected", "position"]
SKEW_METRICS = ("max_skew", "min_skew", "bias_at_k", "ndkl")


def max_skew(
    scores: ArrayLike,
    groups: Any,
    *,
    k: int,
    target: TargetLike = "population",
    ties: Ties = "expected",
    smoothing: float = 0.0,
    floor: float = 0.0,
) -> float:
    """Largest log ratio of a group's share in the top k to its target share, in nats; 0 when the shares agree.

    Parameters
    ----------
    scores
        ``[n]``, higher is ranked first.
    groups
        ``[n]`` labels, a mapping or frame of columns (crossed), or `GroupCodes`.
    k
        Places looked at, 1 to n.
    target
        ``"population"`` (all ranked rows), ``"uniform"``, or shares per group.
    ties, smoothing, floor
        See the module.

    Raises
    ------
    InputError
        k outside 1..n, scores that are not finite numbers, lengths that differ.
    GroupError
        No row has a group, or a group has a target share of 0.

    Examples
    --------
    >>> round(max_skew([4, 3, 2, 1], ["f", "f", "m", "m"], k=2), 4)  # ln(1 / 0.5)
    0.6931
    """
    return float(_skews(scores, groups, k, target, ties, smoothing, floor).max())


def min_skew(
    scores: ArrayLike,
    groups: Any,
    *,
    k: int,
    target: TargetLike = "population",
    ties: Ties = "expected",
    smoothing: float = 0.0,
    floor: float = 0.0,
) -> float:
    """Smallest log ratio of a group's share in the top k to its target share, in nats; -inf when a group is absent.

    Parameters as in `max_skew`.

    Examples
    --------
    >>> min_skew([4, 3, 2, 1], ["f", "f", "m", "m"], k=2)
    -inf
    >>> round(min_skew([4, 3, 2, 1], ["f", "f", "m", "m"], k=2, floor=1 / 2), 4)
    0.0
    """
    return float(_skews(scores, groups, k, target, ties, smoothing, floor).min())


def ndkl(
    scores: ArrayLike,
    groups: Any,
    *,
    target: TargetLike = "population",
    k: int | None = None,
    ties: Ties = "expected",
    floor: float = 0.0,
) -> float:
    """Normalised discounted KL divergence of every top i from the target, in nats; 0 when all agree.

    ``(1 / Z) sum_i KL(top-i shares || target) / log2(i + 1)`` with ``Z = sum_i 1 / log2(i + 1)``, i from 1 to n (or
    to `k`). A group that is not among the top i contributes 0 to its divergence. Parameters as in `max_skew`.

    Examples
    --------
    >>> round(ndkl([4, 3, 2, 1], ["f", "m", "f", "m"]), 4)
    0.2816
    """
    ranked = _Ranked.of(np.asarray(scores), groups, target, ties)
    n = len(ranked.groups)
    target_shares = ranked.target.shares(ranked.groups)
    return _ndkl(ranked, ranked.scores[0], target_shares, floor, n if k is None else _check_k(k, n))


def bias_at_k(
    scores: ArrayLike, groups: Any, *, k: int, orientation: tuple[Any, Any], ties: Ties = "expected"
) -> float:
    """Mean over queries of (first - second) / (first + second) among the top k, a share from -1 to 1.

    With ``orientation=("male", "female")`` this is Bias@K: positive when men are on top more. Rows of other groups
    take up places and count for neither side; a query with neither side counts 0, as published.

    Parameters
    ----------
    scores
        ``[n]``, or ``[q, n]`` for several queries over the same rows.
    orientation
        The two groups, the first counted as positive.

    Examples
    --------
    >>> bias_at_k([4, 3, 2, 1], ["m", "m", "f", "m"], k=3, orientation=("m", "f"))
    0.3333333333333333
    """
    ranked = _Ranked.of(np.asarray(scores), groups, "population", ties)
    _check_k(k, len(ranked.groups))
    tops = np.stack([ranked.members(row)[:k].sum(axis=0) for row in ranked.scores])
    return float(_bias(tops, _sides(ranked.groups, orientation)).mean())


@dataclass(frozen=True, eq=False)
class RankingFrame:
    """Ranking metrics per query and their mean over queries, with intervals over images.

    ``by_query[metric][query]`` and ``mean[metric]``; `groups` are the labels, `k` and `target` what they are held
    against. In a difference every number is after minus before.
    """

    by_query: Mapping[str, Mapping[str, Estimate]]
    mean: Mapping[str, Estimate]
    groups: tuple[str, ...]
    k: int
    target: Target
    ties: Ties
    method: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RankingComparison:
    """The same rankings before and after, and after minus before from paired resamples."""

    before: RankingFrame
    after: RankingFrame
    difference: RankingFrame


def skew_over_queries(
    scores: ArrayLike,
    groups: Any,
    *,
    k: int,
    target: TargetLike = "population",
    queries: Sequence[str] | None = None,
    metrics: Sequence[str] = ("max_skew", "min_skew"),
    orientation: tuple[Any, Any] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    ties: Ties = "expected",
    smoothing: float = 0.0,
    floor: float = 0.0,
) -> RankingFrame:
    """Ranking metrics of many queries over the same images, and their means, with a bootstrap over the images.

    Every resample draws n images with replacement, once for all queries, ranks them again, takes the top k of n and
    holds them against the target of the resample. MaxSkew is a maximum, which noise raises and resampling would raise
    again. So its interval (and that of MinSkew) is a band: the estimate plus and minus the `level` quantile of
    ``max_g |skew*_g - skew_g|``, averaged over queries for the mean. A maximum moves by no more than that, so the band
    holds 0 where nothing is skewed. Differences between two arms hold the most skewed groups of the data fixed and are
    percentile intervals, as is Bias@k. NDKL is a sum of squares at heart: its percentile interval never reaches 0.

    Parameters
    ----------
    scores
        ``[q, n]``, one row per query.
    queries
        Names of the queries; their numbers by default.
    metrics
        Any of "max_skew", "min_skew", "bias_at_k" (needs `orientation`), "ndkl" (one ranking per query and draw:
        seconds per query at n = 10,000).
    n_boot, level, seed
        Resamples; 0 gives no intervals.

    Examples
    --------
    >>> scores = np.random.default_rng(0).normal(size=(3, 200))
    >>> frame = skew_over_queries(scores, ["f", "m"] * 100, k=50, n_boot=200)
    >>> sorted(frame.mean), len(frame.by_query["max_skew"])
    (['max_skew', 'min_skew'], 3)
    """
    plan = _Plan(k, tuple(metrics), orientation, ties, smoothing, floor, Resampling(n_boot, level, seed))
    ranked = _Ranked.of(np.asarray(scores), groups, target, ties)
    return _frames([ranked], plan, queries)[0]


def compare_skew(
    scores_before: ArrayLike,
    scores_after: ArrayLike,
    groups: Any,
    *,
    k: int,
    target: TargetLike = "population",
    queries: Sequence[str] | None = None,
    metrics: Sequence[str] = ("max_skew", "min_skew"),
    orientation: tuple[Any, Any] | None = None,
    n_boot: int = 1000,
    level: float = 0.95,
    seed: Seed = 0,
    ties: Ties = "expected",
    smoothing: float = 0.0,
    floor: float = 0.0,
) -> RankingComparison:
    """`skew_over_queries` before and after, and after minus before with the same images in every resample."""
    plan = _Plan(k, tuple(metrics), orientation, ties, smoothing, floor, Resampling(n_boot, level, seed))
    arms = [_Ranked.of(np.asarray(s), groups, target, ties) for s in (scores_before, scores_after)]
    if arms[0].scores.shape != arms[1].scores.shape:
        raise InputError(f"scores of shapes {arms[0].scores.shape} and {arms[1].scores.shape}; expected equal shapes.")
    before, after, difference = _frames(arms, plan, queries)
    return RankingComparison(before, after, difference)


# -- one ranking -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Scores [q, n] and groups of the rows that have one."""

    scores: FloatArray
    groups: GroupCodes
    target: Target
    ties: Ties
    left_out: int

    @classmethod
    def of(cls, scores: NDArray[Any], groups: Any, target: TargetLike, ties: Ties) -> _Ranked:
        goal = Target.of(target)
        codes = goal.encode(groups)
        if ties not in ("expected", "position"):
            raise InputError(f"ties={ties!r}; expected 'expected' or 'position'.")
        if scores.dtype.kind not in "fiub":
            raise InputError(f"scores of dtype {scores.dtype}; expected numbers.")
        table = np.atleast_2d(scores.astype(np.float64) if scores.dtype.kind != "f" else scores)
        if table.ndim != 2 or not len(table) or table.shape[1] != len(codes):
            raise InputError(
                f"scores of shape {scores.shape} for {len(codes)} rows of groups; expected [n] or [queries, n]."
            )
        known = codes.codes >= 0
        if not known.any():
            raise GroupError(f"none of {len(codes)} rows has a group; expected at least one label.")
        if not known.all():
            table, codes = table[:, known], codes.take(known)
        if not np.isfinite(table).all():
            raise InputError(f"{np.count_nonzero(~np.isfinite(table))} scores are NaN or infinite; expected numbers.")
        return cls(table, codes, goal, ties, int(np.count_nonzero(~known)))

    def order(self, scores: FloatArray) -> IntArray:
        return np.argsort(-scores, kind="stable")

    def blocks(self, ordered: FloatArray) -> IntArray | None:
        """First place of each run of equal scores; None without ties, or where position breaks them."""
        if self.ties == "position":
            return None
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        return None if len(starts) == len(ordered) else starts

    def members(self, scores: FloatArray) -> FloatArray:
        """Expected membership of each place, ``[n, g]``: one group without ties, shares of the tied rows with them."""
        order = self.order(scores)
        members = np.zeros((len(order), len(self.groups.labels)))
        members[np.arange(len(order)), self.groups.codes[order]] = 1.0
        starts = self.blocks(scores[order])
        if starts is None:
            return members
        sizes = np.diff(np.append(starts, len(order)))
        return np.repeat(np.add.reduceat(members, starts, axis=0) / sizes[:, None], sizes, axis=0)


def _check_k(k: int, n: int) -> int:
    if isinstance(k, bool) or int(k) != k or not 1 <= k <= n:
        raise InputError(f"k={k} for {n} ranked rows; expected a whole number from 1 to {n}.")
    return int(k)


def _skews(
    scores: ArrayLike, groups: Any, k: int, target: TargetLike, ties: Ties, smoothing: float, floor: float
) -> FloatArray:
    """Skew of every group that has a target share, [g]."""
    array = np.asarray(scores)
    if array.ndim != 1:
        raise InputError(f"scores of shape {array.shape}; expected [n]. For several queries use skew_over_queries.")
    ranked = _Ranked.of(array, groups, target, ties)
    top = ranked.members(ranked.scores[0])[: _check_k(k, len(ranked.groups))].sum(axis=0)
    skews = _log_ratio(top[None], ranked.target.shares(ranked.groups)[None], smoothing, floor)[0]
    return np.asarray(skews[~np.isnan(skews)])


def _log_ratio(tops: FloatArray, target: FloatArray, smoothing: float, floor: float) -> FloatArray:
    """ln(share in the top / target share), [..., g]; NaN for a group that is neither wanted nor there."""
    if not (smoothing >= 0 and 0 <= floor < 1):
        raise InputError(f"smoothing={smoothing}, floor={floor}; expected smoothing >= 0 and a floor from 0 to 1.")
    _check_wanted(target, tops)
    filled = tops + smoothing
    shares = np.maximum(filled / filled.sum(axis=-1, keepdims=True), floor)
    wanted = target > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        skews: FloatArray = np.where(wanted, np.log(shares) - np.log(np.where(wanted, target, 1.0)), np.nan)
    return skews


def _ndkl(ranked: _Ranked, scores: FloatArray, target: FloatArray, floor: float, depth: int) -> float:
    """NDKL of one ranking down to `depth`."""
    if not 0 <= floor < 1:
        raise InputError(f"floor={floor}; expected a share from 0 to 1.")
    order = ranked.order(scores)
    if floor or ranked.blocks(scores[order]) is not None:
        return _ndkl_members(ranked.members(scores)[:depth], target, floor)
    return _ndkl_codes(ranked.groups.codes[order[:depth]], target)


def _ndkl_codes(codes: IntArray, target: FloatArray) -> float:
    """NDKL of ranked codes in time linear in n, whatever the number of groups.

    With counts c of the top i, ``i KL = sum_a c_a ln c_a - i ln i - sum_a c_a ln target_a``, and each place changes
    the count of one group only.
    """
    n = len(codes)
    counts = np.bincount(codes, minlength=len(target))
    _check_wanted(target, counts)
    places = np.arange(1, n + 1)
    logs = np.log(places)
    xlogx = np.concatenate([[0.0], places * logs])
    nth = np.empty(n, dtype=np.int64)  # this row is the nth of its group
    narrow = codes.astype(np.int16) if len(target) < 1 << 15 else codes  # 16 bits are sorted by radix
    nth[np.argsort(narrow, kind="stable")] = places - np.repeat(np.cumsum(counts) - counts, counts)
    log_target = np.log(np.where(target > 0, target, 1.0))
    divergence = np.cumsum(xlogx[nth] - xlogx[nth - 1] - log_target[codes]) / places - logs
    discounts = 1.0 / np.log2(places + 1.0)
    return float(divergence @ discounts / discounts.sum())


def _ndkl_members(members: FloatArray, target: FloatArray, floor: float) -> float:
    """NDKL of expected memberships, for ties and floors."""
    _check_wanted(target, members.sum(axis=0))
    places = np.arange(1, len(members) + 1)
    shares = np.cumsum(members, axis=0)
    shares /= places[:, None]
    if floor:
        np.maximum(shares, floor, out=shares)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    logs -= np.log(np.where(target > 0, target, 1.0))
    discounts = 1.0 / np.log2(places + 1.0)
    return float((shares * logs).sum(axis=1) @ discounts / discounts.sum())


def _check_wanted(target: FloatArray, counts: NDArray[Any]) -> None:
    if ((target == 0) & (counts > 0)).any():
        raise GroupError("a group has a target share of 0 but is in the data; leave its rows out or give it a share.")


def _sides(groups: GroupCodes, orientation: tuple[Any, Any] | None) -> tuple[int, int]:
    if orientation is None or isinstance(orientation, str) or len(orientation) != 2:
        raise InputError(
            f"orientation={orientation!r}; bias_at_k needs the two groups, for example ('male', 'female')."
        )
    places = []
    for label in map(str, orientation):
        if label not in groups.labels:
            raise GroupError(f"orientation names {label!r}; expected two of {list(groups.labels)}.")
        places.append(groups.labels.index(label))
    if places[0] == places[1]:
        raise GroupError(f"orientation names {orientation[0]!r} twice; expected two different groups.")
    return places[0], places[1]


def _bias(tops: FloatArray, sides: tuple[int, int]) -> FloatArray:
    first, second = tops[..., sides[0]], tops[..., sides[1]]
    both = first + second
    return np.asarray(np.divide(first - second, both, out=np.zeros_like(both), where=both > 0))


# -- many rankings, resampled ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    k: int
    metrics: tuple[str, ...]
    orientation: tuple[Any, Any] | None
    ties: Ties
    smoothing: float
    floor: float
    resampling: Resampling

    def __post_init__(self) -> None:
        if not self.metrics or set(self.metrics) - set(SKEW_METRICS):
            raise InputError(f"metrics={self.metrics}; expected some of {SKEW_METRICS}.")


@dataclass(frozen=True, eq=False)
class _Held:
    """The skews of one query in the data, and its most over- and under-represented groups."""

    skews: FloatArray
    high: int
    low: int

    @classmethod
    def of(cls, tops: FloatArray, target: FloatArray, plan: _Plan) -> _Held:
        skews = _log_ratio(tops, target, plan.smoothing, plan.floor)
        return cls(skews, int(np.nanargmax(skews)), int(np.nanargmin(skews)))

    def errors(self, skews: FloatArray) -> FloatArray:
        """Widest error over groups, ``[b]``; a group absent from the top k has none."""
        known = np.isfinite(self.skews)
        errors = np.abs(skews[:, known] - self.skews[known])
        return np.asarray(np.max(np.where(np.isfinite(errors), errors, 0.0), axis=1, initial=0.0))


def _values(
    tops: FloatArray, target: FloatArray, plan: _Plan, groups: GroupCodes, held: _Held
) -> tuple[FloatArray, FloatArray]:
    """Metrics of top counts [b, g], NaN for ndkl: [b, metrics]; and the widest error of the skews, [b]."""
    skews = _log_ratio(tops, target, plan.smoothing, plan.floor)
    values = np.full((len(tops), len(plan.metrics)), np.nan)
    for i, name in enumerate(plan.metrics):
        if name == "bias_at_k":
            values[:, i] = _bias(tops, _sides(groups, plan.orientation))
        elif name != "ndkl":
            values[:, i] = skews[:, held.high if name == "max_skew" else held.low]
    return values, held.errors(skews)


@dataclass(frozen=True, eq=False)
class _Top:
    """The upper part of one query's ranking: rows in order, their memberships, runs of equal scores."""

    rows: IntArray
    onehot: NDArray[np.float32]  # [g, rows]
    starts: IntArray | None

    def counts(self, weights: NDArray[np.float32], k: int) -> FloatArray | None:
        """Group counts ``[b, g]`` of the top k of resamples ``[n, b]``; None where these rows do not fill k places."""
        drawn = weights[self.rows]
        if self.starts is None:
            filled = np.cumsum(drawn, axis=0)
            if filled[-1].min() < k:
                return None
            np.minimum(filled, k, out=filled)
            np.subtract(filled[1:], filled[:-1], out=drawn[1:])  # how many of each row are among the top k
            drawn[0] = filled[0]
            return (self.onehot @ drawn).T.astype(np.float64)
        runs = np.add.reduceat(drawn, self.starts, axis=0, dtype=np.float64)
        filled = np.minimum(np.cumsum(runs, axis=0), k)
        if filled[-1].min() < k:
            return None
        filled[1:] -= filled[:-1].copy()
        share = np.divide(filled, runs, out=np.zeros_like(runs), where=runs > 0)
        sizes = np.diff(np.append(self.starts, len(self.rows)))
        return np.asarray((self.onehot @ (drawn * np.repeat(share, sizes, axis=0))).T)


def _tops(ranked: _Ranked, k: int) -> Iterator[tuple[_Top, _Top]]:
    """Per query, the part of the ranking that nearly every resample's top k lies in, and the whole."""
    n, g = len(ranked.groups), len(ranked.groups.labels)
    for scores in ranked.scores:
        order = ranked.order(scores)
        onehot = np.zeros((g, n), dtype=np.float32)
        onehot[ranked.groups.codes[order], np.arange(n)] = 1.0
        starts = ranked.blocks(scores[order])
        depth = min(n, int(k + 8 * np.sqrt(k) + 16))
        if starts is not None:  # a run of equal scores is never cut
            ends = np.append(starts[1:], n)
            depth = int(ends[np.searchsorted(ends, depth)])
        short = None if starts is None else starts[starts < depth]
        yield _Top(order[:depth], onehot[:, :depth].copy(), short), _Top(order, onehot, starts)


def _resampled(arms: list[_Ranked], plan: _Plan) -> tuple[FloatArray, FloatArray]:
    """Replicates ``[draws, arms, queries, metrics]`` and errors of the skews ``[draws, arms, queries]``."""
    ranked = arms[0]
    n, g = len(ranked.groups), len(ranked.groups.labels)
    onehot = np.zeros((n, g))
    onehot[np.arange(n), ranked.groups.codes] = 1.0
    tops = [list(_tops(arm, plan.k)) for arm in arms]
    held = [[_held(arm, scores, plan) for scores in arm.scores] for arm in arms]
    rng = np.random.default_rng(plan.resampling.seed)
    blocks, errors = [], []
    for weights in row_counts(n, plan.resampling.draws, rng):
        if ranked.target.kind == "population":
            target = weights @ onehot / n
        else:
            target = np.broadcast_to(ranked.target.shares(ranked.groups), (len(weights), g))
        columnwise = np.ascontiguousarray(weights.T, dtype=np.float32)  # counts up to 2**24 are exact
        block = np.empty((len(weights), len(arms), len(ranked.scores), len(plan.metrics)))
        error = np.empty(block.shape[:3])
        for a, queries in enumerate(tops):
            for q, (short, whole) in enumerate(queries):
                counts = short.counts(columnwise, plan.k)
                if counts is None:
                    counts = whole.counts(columnwise, plan.k)
                assert counts is not None
                block[:, a, q], error[:, a, q] = _values(counts, target, plan, ranked.groups, held[a][q])
                if "ndkl" in plan.metrics:
                    block[:, a, q, plan.metrics.index("ndkl")] = [
                        _resampled_ndkl(arms[a], q, whole, w, t, plan) for w, t in zip(weights, target, strict=True)
                    ]
        blocks.append(block)
        errors.append(error)
    return np.concatenate(blocks), np.concatenate(errors)


def _held(arm: _Ranked, scores: FloatArray, plan: _Plan) -> _Held:
    return _Held.of(arm.members(scores)[: plan.k].sum(axis=0), arm.target.shares(arm.groups), plan)


def _resampled_ndkl(
    arm: _Ranked, query: int, whole: _Top, weights: FloatArray, target: FloatArray, plan: _Plan
) -> float:
    rows = np.repeat(whole.rows, weights[whole.rows].astype(np.int64))
    if whole.starts is None and not plan.floor:
        return _ndkl_codes(arm.groups.codes[rows], target)
    resample = _Ranked(arm.scores[query : query + 1, rows], arm.groups.take(rows), arm.target, arm.ties, 0)
    return _ndkl_members(resample.members(resample.scores[0]), target, plan.floor)


def _observed(arms: list[_Ranked], plan: _Plan) -> FloatArray:
    """The metrics of the data, ``[arms, queries, metrics]``."""
    target = arms[0].target.shares(arms[0].groups)
    out = np.empty((len(arms), len(arms[0].scores), len(plan.metrics)))
    for a, arm in enumerate(arms):
        for q, scores in enumerate(arm.scores):
            top = arm.members(scores)[: plan.k].sum(axis=0)
            out[a, q] = _values(top[None], target, plan, arm.groups, _Held.of(top, target, plan))[0][0]
            if "ndkl" in plan.metrics:
                out[a, q, plan.metrics.index("ndkl")] = _ndkl(arm, scores, target, plan.floor, len(scores))
    return out


def _frames(arms: list[_Ranked], plan: _Plan, queries: Sequence[str] | None) -> list[RankingFrame]:
    """One frame per arm and, with two arms, the frame of their difference."""
    ranked = arms[0]
    n_queries = len(ranked.scores)
    names = [str(i) for i in range(n_queries)] if queries is None else [str(q) for q in queries]
    if len(names) != n_queries or len(set(names)) != n_queries:
        raise InputError(f"{len(names)} query names for {n_queries} rows of scores; expected one distinct name each.")
    _check_k(plan.k, len(ranked.groups))

    def flat(values: FloatArray) -> FloatArray:
        """[..., arms, queries, metrics] to a vector of all numbers, means over queries first."""
        every = np.concatenate([values.mean(axis=-2, keepdims=True), values], axis=-2)
        if len(arms) == 2:
            difference = every[..., 1:2, :, :] - every[..., 0:1, :, :]
            every = np.concatenate([every, difference], axis=-3)
        return every.reshape(*every.shape[:-3], -1)

    with np.errstate(invalid="ignore"):  # -inf minus -inf, where a group is absent in both arms
        observed = flat(_observed(arms, plan))
        if plan.resampling.draws:
            replicates, errors = _resampled(arms, plan)
            spread = np.concatenate([errors.mean(axis=2, keepdims=True), errors], axis=2)
            columns = np.concatenate([flat(replicates), spread.reshape(len(spread), -1)], axis=1)
            extra = spread[0].size
            values = summarise(
                np.concatenate([observed, np.zeros(extra)]), columns, plan.resampling, "images", extra=extra
            )
        else:
            values = without_interval(observed, plan.resampling)
    return [_frame(values, arm, names, ranked, plan) for arm in range(3 if len(arms) == 2 else 1)]


def _frame(values: Resampled, arm: int, names: list[str], ranked: _Ranked, plan: _Plan) -> RankingFrame:
    n = len(ranked.groups)
    m = len(plan.metrics)
    offset = arm * (len(names) + 1) * m

    def estimate(query: int, i: int) -> Estimate:
        """Metric `i` of a query, or of the mean over queries at 0."""
        place = offset + query * m + i
        if np.isinf(values.observed[place]):
            return values.estimate(place, n, "a group is absent from the top k; see floor=")
        plain = values.estimate(place, n)
        name = plan.metrics[i]
        if arm == 2 or not values.draws or name not in ("max_skew", "min_skew"):
            return plain
        errors = values.replicates[:, len(values.observed) + arm * (len(names) + 1) + query]
        half = quantile(errors, values.level)
        low, high = plain.value - half, plain.value + half
        method = "simultaneous, " + values.method.partition(", ")[2]
        if name == "max_skew":
            return replace(plain, low=max(low, 0.0), high=high, method=method)
        return replace(plain, low=low, high=min(high, 0.0), method=method)

    mean = {metric: estimate(0, i) for i, metric in enumerate(plan.metrics)}
    by_query = {
        metric: MappingProxyType({name: estimate(q + 1, i) for q, name in enumerate(names)})
        for i, metric in enumerate(plan.metrics)
    }
    notes = list(ranked.groups.notes)
    if ranked.left_out:
        notes.append(f"{ranked.left_out} rows without a group were left out before ranking")
    return RankingFrame(
        MappingProxyType(by_query),
        MappingProxyType(mean),
        ranked.groups.labels,
        plan.k,
        ranked.target,
        plan.ties,
        values.method,
        tuple(notes),
    )
