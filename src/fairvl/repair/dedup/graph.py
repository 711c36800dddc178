"""Duplicates at one threshold as a graph: a node per different vector, an edge per pair above the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .neighbours import Neighbours
from .rows import Ints


@dataclass(frozen=True)
class Graph:
    """Symmetric adjacency in rows (CSR) and the rows of every node.

    Attributes
    ----------
    node : int64 [n]
        Node of every row; nodes are numbered in order of their representative row.
    starts, members : int64 [m + 1], int64 [n]
        Rows of node v: ``members[starts[v] : starts[v + 1]]``, by rank of id.
    indptr, indices, similarity
        Neighbours of node v and their similarity.
    clusters : int64 [m]
    """

    node: Ints
    starts: Ints
    members: Ints
    indptr: Ints
    indices: Ints
    similarity: NDArray[np.float32]
    clusters: Ints

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.clusters)

    @property
    def single(self) -> bool:
        """Whether every node is one row."""
        return self.size == len(self.node)

    @property
    def degrees(self) -> Ints:
        """Number of neighbours of every node."""
        return np.diff(self.indptr)

    def near(self, v: int) -> Ints:
        """Neighbours of node `v`."""
        return self.indices[self.indptr[v] : self.indptr[v + 1]]

    def rows_of(self, nodes: Ints) -> Ints:
        """All rows of some nodes."""
        if self.single:
            return self.members[nodes]
        return np.concatenate([self.members[self.starts[v] : self.starts[v + 1]] for v in nodes.tolist()])

    def node_rank(self, rank: Ints) -> Ints:
        """Least rank of a node's rows."""
        if self.single:
            return rank[self.members]
        return np.asarray(np.minimum.reduceat(rank[self.members], self.starts[:-1]))

    def leader(self, rank: Ints) -> Ints:
        """Row of least rank of every node."""
        if self.single:
            return self.members
        by = np.lexsort((rank, self.node))
        return by[self.starts[:-1]]


def graph_of(neighbours: Neighbours, threshold: float | None = None) -> Graph:
    """The graph of a pass at `threshold` (default: that of the pass)."""
    first, second, similarity = neighbours.above(threshold)
    n = len(neighbours)
    level = neighbours.threshold if threshold is None else threshold
    representative = neighbours.representative if level < 1 else np.arange(n)
    leaders = np.flatnonzero(representative == np.arange(n))
    number = np.empty(n, np.int64)
    number[leaders] = np.arange(len(leaders))
    node = number[representative]
    members = leaders if len(leaders) == n else np.lexsort((neighbours.order, node))
    starts = np.concatenate([[0], np.cumsum(np.bincount(node, minlength=len(leaders)))]).astype(np.int64)
    one, two = number[first], number[second]
    source, target = np.concatenate([one, two]), np.concatenate([two, one])
    by = np.argsort(source, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=len(leaders)))]).astype(np.int64)
    both = np.concatenate([similarity, similarity])
    return Graph(node, starts, members, indptr, target[by], both[by], neighbours.clusters[leaders])
