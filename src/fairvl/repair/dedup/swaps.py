"""Exchanges that bring a maximal independent set nearer to the target and leave it one.

A kept node p goes, a neighbour of it that only p covered comes, and so do neighbours that would then be covered by
nobody. Each exchange keeps both promises: what comes has no kept neighbour, and what p covered is covered again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .graph import Graph
from .rows import Floats, Ints

LEAST = 1e-9  # an exchange must gain more than rounding
NEAR = 0.05  # squared distance, in rows, at which a ledger is as good as at its target
PASSES = 3

Best = Callable[[Ints, Floats], int]


def exchange(
    graph: Graph, nodes: Ints, kept: NDArray[np.bool_], chosen: Ints, pulls: Floats, drift: Floats, best: Best
) -> Floats:
    """Exchange nodes of one cluster as long as it brings `drift` (the ledger's distance from the target) nearer to 0.

    `kept` (per node) and `chosen` (row of a node) are changed in place; the new drift is returned. ``best(rows,
    drift)`` names the row to take.
    """
    covers = np.zeros(graph.size, np.int64)  # kept neighbours of every node
    for p in nodes[kept[nodes]].tolist():
        covers[graph.near(p)] += 1
    order = nodes[graph.degrees[nodes] > 0].tolist()
    mark = np.zeros(graph.size, bool)
    now = before = float(drift @ drift)
    for _ in range(PASSES):
        for p in order:
            if now <= NEAR:
                return drift
            if not kept[p]:
                continue
            near = graph.near(p)
            free = near[covers[near] == 1]
            if not len(free):
                continue
            moved = drift - pulls[chosen[p]]
            row = best(graph.rows_of(free), moved)
            moved = moved + pulls[row]
            if moved @ moved >= now - LEAST:
                continue  # not even before what must come along
            coming = [row]
            while True:
                node = int(graph.node[row])
                beside = graph.near(node)
                mark[beside] = True
                free = free[(free != node) & ~mark[free]]
                mark[beside] = False
                if not len(free):
                    break
                row = best(graph.rows_of(free), moved)
                coming.append(row)
                moved = moved + pulls[row]
            if moved @ moved >= now - LEAST:
                continue
            kept[p], drift, now = False, moved, float(moved @ moved)
            covers[near] -= 1
            for row in coming:
                node = int(graph.node[row])
                kept[node], chosen[node] = True, row
                covers[graph.near(node)] += 1
        if before - now <= LEAST:
            break
        before = now
    return drift


def nearest_kept(graph: Graph, kept: NDArray[np.bool_], place: Ints) -> Ints:
    """For every node itself when kept, else its most similar kept neighbour (ties by place), -1 without one."""
    source = np.repeat(np.arange(graph.size), graph.degrees)
    use = kept[graph.indices] & ~kept[source]
    source, target, similarity = source[use], graph.indices[use], graph.similarity[use]
    by = np.lexsort((place[target], -similarity, source))
    source, target = source[by], target[by]
    new = np.ones(len(source), bool)
    new[1:] = source[1:] != source[:-1]
    stands = np.where(kept, np.arange(graph.size), -1)
    stands[source[new]] = target[new]
    return np.asarray(stands)
