"""Choosing what stays: one function over the lists of the pass, for every policy, threshold and size."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...stats.shares import Target
from . import rules
from .concepts import Concepts
from .fair import fair, fairdedup
from .graph import Graph, graph_of
from .keeplist import CHOSEN, DUPLICATE, EXACT, REFILLED, TRIMMED, UNIQUE, KeepList
from .ledger import Ledger
from .neighbours import Neighbours
from .rows import Floats, Ints, dots, mean_direction, similarity_to
from .size import even_out, monotone_threshold, nearest_threshold

POLICIES = ("fair", "semdedup", "fairdedup", "quality", "random")
TargetLike: TypeAlias = "Target | str | Mapping[Any, float] | ArrayLike"


@dataclass(frozen=True)
class Plan:
    """Everything that a policy needs beside the graph."""

    policy: str
    rank: Ints
    concepts: Concepts | None
    ledger: str
    options: Mapping[str, Any]
    start: Ledger | None = None

    def among(self, rows: Ints) -> Plan:
        """The plan for some of the rows."""
        concepts = None if self.concepts is None else self.concepts.take(rows)
        return replace(self, rank=self.rank[rows], concepts=concepts)

    def stands(self, graph: Graph) -> tuple[Ints, Ledger | None]:
        """The row that stands for every row, and the ledger of what is kept."""
        if self.policy == "semdedup":
            return rules.semdedup(graph, self.rank), None
        if self.concepts is not None and self.policy == "fair":
            return fair(graph, self.rank, self.concepts, ledger=self.ledger, start=self.start, **self.options)
        if self.policy == "fairdedup":
            assert self.concepts is not None
            return fairdedup(graph, self.rank, self.concepts, ledger=self.ledger, start=self.start, **self.options)
        return rules.independent_set(graph, self.rank), None


def select(
    neighbours: Neighbours,
    *,
    policy: str = "fair",
    threshold: float | None = None,
    keep: float | None = None,
    share: float | None = None,
    centroid: ArrayLike | None = None,
    similarity: ArrayLike | None = None,
    concepts: Any = None,
    relevant: ArrayLike | None = None,
    target: TargetLike = "population",
    ledger: str = "cluster",
    start: Ledger | None = None,
    quality: ArrayLike | None = None,
    seed: int = 0,
    **options: Any,
) -> KeepList:
    """Decide which rows stay.

    Parameters
    ----------
    neighbours : Neighbours
    policy
        "fair" (default): maximal independent set that brings the kept rows towards `target`; no two kept rows are
        duplicates and every dropped row has a kept duplicate. Without `concepts` it keeps the first in order.
        "semdedup": the published rule. "fairdedup": the published rule of that name, see `fairdedup` for its options.
        "quality": the independent set that takes rows with the highest `quality` first. "random": the one that takes
        rows in an order drawn from `seed`.
    threshold : float, optional
        Duplicates are pairs with a cosine strictly above it; default that of the pass. For "at or above" t pass
        ``np.nextafter(t, 0)``: similarities are compared in float64.
    keep : float, optional
        Share of rows to keep, instead of a threshold: the threshold that comes nearest is searched, and what is then
        left over or lacking is trimmed or refilled (reasons of their own).
    share : float, optional
        With `keep`: search the threshold on about this share of the clusters only, and neither trim nor refill. The
        settings say what the sample predicts, with its interval (`calibrate`).
    centroid : (d,) or (k, d) array, optional
        Centroid of the cluster, or one per cluster code. Rows farthest from it come first, in float64, ties by id or
        position. Default: the mean direction of each cluster.
    similarity : (n,) array, optional
        Similarity of every row to its centroid, instead of `centroid`.
    concepts : (n, p) array, GroupCodes or labels, optional
        Concept scores; rows without a label (missing) are not relevant.
    relevant : (n,) bool, optional
        Rows that the concepts apply to. Default: all rows, of labels those that have one.
    target
        "population" (shares among all rows given), "uniform", shares per label, or an array ``[p]``.
    ledger : "cluster", "rounds(n)" or "global"
        Whether every cluster starts from nothing, from what was kept before its round, or from everything before it.
    quality : (n,) array
        For "quality"; higher is better, NaN comes last.

    Returns
    -------
    KeepList

    Raises
    ------
    InputError
        Unknown policy or option, missing inputs, a size that this pass cannot reach.

    Examples
    --------
    >>> from fairvl.repair.dedup import neighbours
    >>> found = neighbours([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], threshold=0.7)
    >>> select(found, concepts=["woman", "man", "man"], target="uniform").reason.tolist()
    ['chosen', 'duplicate', 'unique']
    """
    if policy not in POLICIES:
        raise InputError(f"policy={policy!r}; expected one of {', '.join(POLICIES)}.")
    if keep is not None and threshold is not None:
        raise InputError("both keep= and threshold= are given; expected one of them.")
    check_options(select, policy, options)
    given = None if concepts is None else Concepts.of(concepts, len(neighbours), relevant=relevant, target=target)
    if policy == "fairdedup" and given is None:
        raise InputError("policy='fairdedup' needs concepts= [n, p].")
    rank = _rank(neighbours, policy, centroid, similarity, quality, seed)
    plan = Plan(policy, rank, given, ledger, options, start)
    if keep is None:
        return decide(neighbours, plan, threshold)
    if share is not None:
        return decide_sampled(neighbours, plan, keep, share, seed)
    return decide_size(neighbours, plan, keep)


def check_options(verb: Callable[..., Any], policy: str, options: Mapping[str, Any]) -> None:
    """Refuse keywords that are neither of `verb` nor of the policy, naming the nearest known one."""
    rules: dict[str, Callable[..., Any]] = {"fair": fair, "fairdedup": fairdedup}
    rule = rules.get(policy)
    own = () if rule is None else tuple(p.name for p in _keywords(rule) if p.name not in ("ledger", "start", "seed"))
    known = (*(p.name for p in _keywords(verb)), *own)
    for name in options:
        if name not in own:
            near = get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            told = f"options of policy {policy!r}: {', '.join(own)}" if own else f"policy {policy!r} has no options"
            raise InputError(f"unknown option {name!r} of {verb.__name__}().{hint} {told[0].upper()}{told[1:]}.")


def _keywords(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]


def decide(neighbours: Neighbours, plan: Plan, threshold: float | None) -> KeepList:
    """The keep list of a plan at one threshold."""
    graph = graph_of(neighbours, threshold)
    stands, ledger = plan.stands(graph)
    level = neighbours.threshold if threshold is None else float(threshold)
    n = len(neighbours)
    kept = stands == np.arange(n)
    dropped = np.flatnonzero(~kept)
    similarity = np.full(n, np.nan)
    same = graph.node[dropped] == graph.node[stands[dropped]]
    similarity[dropped[same]] = 1.0
    rest = dropped[~same]
    similarity[rest] = dots(neighbours.vectors, rest, stands[rest])
    reasons = np.full(n, UNIQUE, np.int8)
    crowded = (graph.degrees > 0) | (np.diff(graph.starts) > 1)
    reasons[kept & crowded[graph.node]] = CHOSEN
    reasons[rest], reasons[dropped[same]] = DUPLICATE, EXACT
    if plan.concepts is not None and ledger is None:
        ledger = plan.concepts.ledger(kept)
    settings = {"ledger": plan.ledger, **plan.options}
    witness = np.where(kept, -1, stands)
    return KeepList(kept, witness, similarity, reasons, plan.policy, level, None, ledger, neighbours.ids, settings)


def decide_size(neighbours: Neighbours, plan: Plan, keep: float) -> KeepList:
    """The keep list of a plan at the size asked for."""
    if not 0 < keep <= 1:
        raise InputError(f"keep={keep}; expected a share above 0 and up to 1.")
    n = len(neighbours)
    wanted = max(1, round(keep * n))

    def kept_at(threshold: float) -> int:
        stands, _ = plan.stands(graph_of(neighbours, threshold))
        return int((stands == np.arange(n)).sum())

    if plan.policy == "semdedup":
        level = monotone_threshold(neighbours, plan.rank, wanted)
    else:
        level = nearest_threshold(neighbours.threshold, wanted, kept_at, n)
    result = decide(neighbours, plan, level)
    change = wanted - int(result.kept.sum())
    rows = even_out(result.kept, change, plan.rank, plan.concepts)
    kept, reasons = result.kept.copy(), result.reasons.copy()
    witness, similarity = result.witness.copy(), result.similarity.copy()
    kept[rows] = change > 0
    reasons[rows] = REFILLED if change > 0 else TRIMMED
    witness[rows], similarity[rows] = -1, np.nan
    orphans = np.flatnonzero((witness >= 0) & ~kept[witness]) if plan.policy != "semdedup" else rows[:0]
    settings = {**result.settings, "orphans": len(orphans)}
    ledger = result.ledger
    if plan.concepts is not None:
        ledger = plan.concepts.ledger(kept)
    return KeepList(kept, witness, similarity, reasons, plan.policy, level, keep, ledger, neighbours.ids, settings)


def decide_sampled(neighbours: Neighbours, plan: Plan, keep: float, share: float, seed: int) -> KeepList:
    """The keep list at the threshold that a sample of clusters asks for, as it comes out."""
    found = calibrate(neighbours, plan, keep, share=share, seed=seed)
    result = decide(neighbours, plan, found.threshold)
    told = {"predicted": found.share, "predicted_low": found.low, "predicted_high": found.high,
            "sampled_clusters": found.clusters, "sampled_rows": found.rows}  # fmt: skip
    return replace(result, requested=keep, settings={**result.settings, **told})


@dataclass(frozen=True)
class Calibration:
    """A threshold found on some clusters, and what it predicts for all of them.

    Attributes
    ----------
    threshold : float
    share, low, high : float
        Share of rows that it keeps in the sample, with the interval for all clusters at `level` (a ratio of means over
        clusters; the clusters are the units).
    clusters, rows : int
        Size of the sample.
    """

    threshold: float
    share: float
    low: float
    high: float
    level: float
    clusters: int
    rows: int


def calibrate(
    neighbours: Neighbours, plan: Plan, keep: float, *, share: float = 0.1, seed: int = 0, level: float = 0.95
) -> Calibration:
    """The threshold that keeps `keep` of the rows of a sample of clusters.

    Clusters are sorted by their number of pairs and every ``1 / share``-th is taken, from a start drawn from `seed`, so
    that crowded and sparse ones are sampled alike.
    """
    from scipy.special import ndtri

    if not 0 < share <= 1:
        raise InputError(f"share={share}; expected a share of the clusters, above 0 and up to 1.")
    codes, which = np.unique(neighbours.clusters, return_inverse=True)
    pairs = np.bincount(which[neighbours.first], minlength=len(codes))
    order = np.lexsort((codes, np.bincount(which), pairs))
    step = 1 / share
    first = np.random.default_rng(seed).uniform(0, min(step, len(codes)))
    chosen = order[np.arange(first, len(codes), step).astype(int)]
    rows = np.flatnonzero(np.isin(which, chosen))
    sample, mine = neighbours.among(rows), plan.among(rows)
    level_found = decide_size(sample, mine, keep).threshold
    kept = decide(sample, mine, level_found).kept
    number = np.unique(which[rows], return_inverse=True)[1]
    sizes, stay = np.bincount(number), np.bincount(number, weights=kept)
    found = float(kept.mean())
    m = len(sizes)
    error = math.sqrt(float(((stay - found * sizes) ** 2).sum()) / max(m - 1, 1) * m) / len(rows) if m > 1 else 1.0
    half = float(ndtri((1 + level) / 2)) * error * math.sqrt(max(0.0, 1 - m / len(codes)))
    return Calibration(level_found, found, max(0.0, found - half), min(1.0, found + half), level, m, len(rows))


def _rank(
    neighbours: Neighbours,
    policy: str,
    centroid: ArrayLike | None,
    similarity: ArrayLike | None,
    quality: ArrayLike | None,
    seed: int,
) -> Ints:
    n = len(neighbours)
    if policy == "random":
        keys = np.random.default_rng(seed).permutation(n)
        return rules.ranked((keys[neighbours.order],), neighbours.order)
    if policy == "quality":
        if quality is None:
            raise InputError("policy='quality' needs quality= [n], for example a metadata column.")
        values = _numbers(quality, n, "quality")
        return rules.ranked((-np.where(np.isnan(values), -np.inf, values),), neighbours.order)
    if similarity is not None:
        return rules.ranked((_numbers(similarity, n, "similarity"),), neighbours.order)
    key = None if centroid is None else np.asarray(centroid, dtype=np.float64).tobytes()
    if key not in neighbours.known:  # policies and thresholds are tried many times over one pass
        neighbours.known.clear()
        similarities = centroid_similarity(neighbours.vectors, neighbours.clusters, centroid)
        neighbours.known[key] = rules.ranked((similarities,), neighbours.order)
    rank: Ints = neighbours.known[key]
    return rank


def centroid_similarity(vectors: NDArray[Any], clusters: Ints, centroid: ArrayLike | None = None) -> Floats:
    """Float64 similarity of every row to the centroid of its cluster (default: the mean direction)."""
    given = None if centroid is None else np.atleast_2d(np.asarray(centroid, dtype=np.float64))
    codes = np.unique(clusters)
    if given is not None and (
        given.shape[1] != vectors.shape[1]
        or not np.isfinite(given).all()
        or (len(given) > 1 and len(codes) and int(codes.max()) >= len(given))
        or (len(given) == 1 and len(codes) > 1)
    ):
        raise InputError(
            f"centroid of shape {given.shape}; expected [{vectors.shape[1]}] for one cluster, or one finite row per "
            "cluster code."
        )
    if given is not None:
        which = clusters if len(given) > 1 else np.zeros_like(clusters)
        return dots(vectors, None, which, given)
    result = np.empty(len(clusters))
    by = np.argsort(clusters, kind="stable")
    for mine in np.split(by, np.flatnonzero(np.diff(clusters[by])) + 1):
        rows = vectors[mine] if len(codes) > 1 else vectors
        result[mine] = similarity_to(rows, mean_direction(rows))
    return result


def _numbers(values: ArrayLike, n: int, name: str) -> Floats:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not numbers ({error}); expected one number per row.") from error
    if array.shape != (n,):
        raise InputError(f"{name} of shape {array.shape}; expected one number per row, ({n},).")
    return array


__all__ = ["POLICIES", "Plan", "centroid_similarity", "decide", "decide_size", "select"]
