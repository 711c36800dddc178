"""The rules that read nothing but the duplicate graph and one order of rows.

Each returns the row that stands for every row: itself when it is kept, its witness when it is dropped. `rank` gives
every row its place in the order of preference, 0 first.
"""

from __future__ import annotations

import numpy as np

from .graph import Graph
from .rows import Ints


def semdedup(graph: Graph, rank: Ints) -> Ints:
    """The published rule: a row goes when any row before it in the order is a duplicate, kept or not.

    The witness is the most similar row before it, which may itself have gone: deletion runs along chains.

    References
    ----------
    Abbas, Tirumala, Simig, Ganguli and Morcos (2023), "SemDeDup", arXiv 2303.09540, section 3.
    """
    leader = graph.leader(rank)
    place = rank[leader]
    source = np.repeat(np.arange(graph.size), graph.degrees)
    earlier = place[graph.indices] < place[source]
    source, target, similarity = source[earlier], graph.indices[earlier], graph.similarity[earlier]
    by = np.lexsort((place[target], -similarity, source))
    source, target = source[by], target[by]
    new = np.ones(len(source), bool)
    new[1:] = source[1:] != source[:-1]
    stands = leader[graph.node]
    stands[leader[source[new]]] = leader[target[new]]
    return stands


def independent_set(graph: Graph, rank: Ints) -> Ints:
    """Greedy maximal independent set: in order, a row is kept unless a kept one is its duplicate.

    No two kept rows are duplicates, and every dropped row has a kept duplicate (the one that retired it first).
    """
    leader = graph.leader(rank)
    stands_node = np.arange(graph.size)
    alive = np.ones(graph.size, bool)
    degrees = graph.degrees
    indptr, indices = graph.indptr, graph.indices
    linked = np.flatnonzero(degrees > 0)
    for v in linked[np.argsort(rank[leader[linked]], kind="stable")].tolist():
        if alive[v]:
            near = indices[indptr[v] : indptr[v + 1]]
            retired = near[alive[near]]
            alive[retired] = False
            stands_node[retired] = v
    return leader[stands_node[graph.node]]


def ranked(keys: tuple[np.ndarray, ...], ties: Ints) -> Ints:
    """Rank of every row by the given keys, most important first, ascending; ties by `ties`."""
    order = np.lexsort((ties, *keys[::-1]))
    rank = np.empty(len(ties), np.int64)
    rank[order] = np.arange(len(ties))
    return rank
