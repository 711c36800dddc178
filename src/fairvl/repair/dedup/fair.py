"""Rules that look at whom they keep: the fair maximal independent set, and the published FairDeDup rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from ...errors import InputError
from .concepts import Concepts
from .graph import Graph
from .ledger import Ledger, merged, rounds
from .rows import Floats, Ints
from .swaps import exchange, nearest_kept

TIE = 1e-9  # costs closer than this are equal, so that the order of concepts cannot decide
_SEED = 20_240_416


def fair(
    graph: Graph,
    rank: Ints,
    concepts: Concepts,
    *,
    ledger: str = "cluster",
    start: Ledger | None = None,
    rule: Literal["distance", "deficit"] = "distance",
    swaps: bool = True,
) -> tuple[Ints, Ledger]:
    """Maximal independent set whose choices bring the kept rows towards the target.

    In order of `rank`, the first row still alive opens a neighbourhood; of its alive members the one that moves the
    ledger nearest to the target is kept (``rule="distance"``; for labels this is the available concept with the
    largest deficit), or the one with the highest score of the concept with the largest deficit (``"deficit"``). Of
    equally good ones it is the one with most duplicates, which makes the kept set smaller, then the first in order. It
    retires its own alive neighbours. Where nobody relevant is among the members, the first in order is kept. Rows
    without any duplicate enter the ledger first: there is nothing to choose about them. With `swaps`, kept rows are
    then exchanged for duplicates of theirs where that brings the ledger nearer to the target (see `exchange`).

    Returns
    -------
    stands : int64 [n]
        The row that stands for every row (itself when kept).
    ledger : Ledger
        `start` and everything that was kept.
    """
    if rule not in ("distance", "deficit"):
        raise InputError(f"rule={rule!r}; expected 'distance' or 'deficit'.")
    if rule == "deficit":
        concepts = replace(concepts, strata=None)
    pulls = concepts.pulls
    squares = (pulls**2).sum(axis=1)
    kept_node = np.zeros(graph.size, bool)
    chosen = graph.leader(rank)
    alive = np.ones(graph.size, bool)
    many = np.diff(graph.starts) > 1
    choice = (graph.degrees > 0) | many
    relevant, scores = concepts.relevant, concepts.scores
    crowd = graph.degrees[graph.node]

    def nearest(rows: Ints, drift: Floats) -> int:
        fits = rows[relevant[rows]]
        if not len(fits):
            return int(rows[rank[rows].argmin()])
        return _least(fits, 2 * (pulls[fits] @ drift) + squares[fits], rank, crowd)

    def neediest(rows: Ints, drift: Floats) -> int:
        fits = rows[relevant[rows]]
        if not len(fits):
            return int(rows[rank[rows].argmin()])
        return _least(fits, -scores[fits, int(np.argmin(drift))], rank, crowd)

    def work(nodes: Ints, kept: Ledger) -> Ledger:
        alone = nodes[~choice[nodes]]
        kept_node[alone] = True
        drift = concepts.drift(kept) + pulls[chosen[alone]].sum(axis=0)
        pick = nearest if rule == "distance" else neediest
        for v in nodes[choice[nodes]].tolist():
            if not alive[v]:
                continue
            near = graph.near(v)
            live = near[alive[near]]
            row = pick(graph.rows_of(np.append(live, v)), drift) if len(live) or many[v] else int(chosen[v])
            p = int(graph.node[row])
            chosen[p] = row
            alive[near if p == v else graph.near(p)] = False
            kept_node[p], alive[p] = True, False
            drift = drift + pulls[row]
        if swaps:
            exchange(graph, nodes, kept_node, chosen, pulls, drift, nearest)
        return kept + concepts.ledger(chosen[nodes[kept_node[nodes]]])

    kept = over_clusters(graph, rank, ledger, start or concepts.empty, work)
    stands = nearest_kept(graph, kept_node, rank[chosen])
    return chosen[stands[graph.node]], kept


def _least(rows: Ints, cost: Floats, rank: Ints, crowd: Ints) -> int:
    if len(rows) == 1:
        return int(rows[0])
    ties = rows[cost <= cost.min() + TIE]
    many = crowd[ties]
    ties = ties[many == many.max()]
    return int(ties[rank[ties].argmin()])


def fairdedup(
    graph: Graph,
    rank: Ints,
    concepts: Concepts,
    *,
    ledger: str = "cluster",
    start: Ledger | None = None,
    eligible: Literal["live", "any"] = "live",
    visited: Literal["seed", "survivor"] = "seed",
    first: Literal["concept 0", "random", "prior"] = "concept 0",
    gate: bool = False,
    seed: int = 0,
) -> tuple[Ints, Ledger]:
    """The published FairDeDup rule, with every choice that the paper leaves open as an option.

    In order of `rank`, the first unvisited row n opens its neighbourhood N; the concept with the least running mean
    over what was kept picks the member of N that scores highest; all of N is visited.

    Parameters
    ----------
    eligible
        Whether a member of N that was visited before may be picked ("any").
    visited
        Whose neighbourhood is marked visited, the seed's (as published) or the survivor's (and the seed).
    first
        The concept asked for while nothing is kept: number 0 (as an arg-min of zeros gives), one drawn per cluster,
        or the one with the least mean over all rows.
    gate
        Whether a neighbourhood without a relevant member falls back to the first in order.

    References
    ----------
    Slyman, Lee, Cohen and Kafle (2024), "FairDeDup", CVPR, arXiv 2404.16123.
    """
    for name, value, allowed in (
        ("eligible", eligible, ("live", "any")),
        ("visited", visited, ("seed", "survivor")),
        ("first", first, ("concept 0", "random", "prior")),
    ):
        if value not in allowed:
            raise InputError(f"{name}={value!r}; expected one of {allowed}.")
    scores, relevant = concepts.scores, concepts.relevant
    leader = graph.leader(rank)
    seen = np.zeros(graph.size, bool)
    stands_node = np.full(graph.size, -1)  # row that stands for a node
    kept_row = np.zeros(len(graph.node), bool)
    prior = int(np.argmin(scores.mean(axis=0)))

    def concept(kept: Ledger, cluster: int) -> int:
        if kept.count:
            return int(np.argmin(kept.sums))
        if first == "random":
            return int(np.random.default_rng([_SEED, seed, cluster]).integers(scores.shape[1]))
        return prior if first == "prior" else 0

    def work(nodes: Ints, kept: Ledger) -> Ledger:
        for v in nodes.tolist():
            if seen[v]:
                continue
            near = np.append(graph.near(v), v)
            rows = graph.rows_of(near if eligible == "any" else near[~seen[near]])
            fits = rows[relevant[rows]] if gate else rows
            if len(fits):
                cost = -scores[fits, concept(kept, int(graph.clusters[v]))]
                ties = fits[cost == cost.min()]
                row = int(ties[rank[ties].argmin()])
            else:
                row = int(rows[rank[rows].argmin()])
            p = int(graph.node[row])
            marked = near if visited == "seed" else np.append(graph.near(p), [p, v])
            new = marked[~seen[marked]]
            stands_node[new] = row
            seen[marked] = True
            kept = kept if kept_row[row] else Ledger(kept.count + 1, kept.sums + scores[row])
            kept_row[row] = True
        return kept

    kept = over_clusters(graph, rank[leader], ledger, start or Ledger.empty(scores.shape[1]), work, by_node=True)
    stands = stands_node[graph.node]
    stands[kept_row] = np.flatnonzero(kept_row)
    return stands, kept


def over_clusters(
    graph: Graph,
    rank: Ints,
    mode: str,
    start: Ledger,
    work: Callable[[Ints, Ledger], Ledger],
    *,
    by_node: bool = False,
) -> Ledger:
    """Run `work` on the nodes of every cluster in order of rank, each from the ledger that `mode` gives it."""
    place = rank if by_node else graph.node_rank(rank)
    parts = list(_clusters(graph, place))
    kept = start
    for numbers in rounds(mode, len(parts)):
        base = start - start if mode == "cluster" else kept
        kept = merged((work(parts[i], base) - base for i in numbers), kept)
    return kept


def _clusters(graph: Graph, place: Ints) -> Iterator[Ints]:
    order = np.lexsort((place, graph.clusters))
    yield from np.split(order, np.flatnonzero(np.diff(graph.clusters[order])) + 1)
