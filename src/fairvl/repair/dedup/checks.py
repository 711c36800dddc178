"""What a finished selection says about itself: promises, largest groups, recall across borders, examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...findings import Finding
from ...sources.datasets import decode_image
from ...stats.rates import wilson
from .borders import PROBES, border_pairs
from .graph import Graph, graph_of
from .keeplist import KeepList
from .neighbours import Neighbours
from .rows import Ints

LARGEST = 10
EXAMPLES = 12
SAMPLE = 2000
PAIR_NOTE = "connected groups: chains of duplicates count as one group, though their ends may differ"


@dataclass
class Tally:
    """Counts over buckets: kept rows with a kept duplicate, dropped rows without one, groups, degrees of a sample."""

    kept: int = 0
    dropped: int = 0
    doubles: int = 0
    orphans: int = 0
    groups: list[tuple[int, int, int]] = field(default_factory=list)  # rows, rows kept, least row number

    def add(
        self, kept: NDArray[np.bool_], lists: Neighbours, threshold: float, rows: Ints | None = None,
        covered: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        """Count one bucket, whose rows have the numbers `rows`; a kept set elsewhere stands for those `covered`."""
        doubles, orphans = promises(kept, lists, threshold)
        orphans = orphans if covered is None else orphans[~covered[orphans]]
        self.kept, self.dropped = self.kept + int(kept.sum()), self.dropped + int((~kept).sum())
        self.doubles, self.orphans = self.doubles + len(doubles), self.orphans + len(orphans)
        part = groups_of(graph_of(lists, threshold))
        sizes, stay = np.bincount(part), np.bincount(part, weights=kept)
        first = np.full(len(sizes), np.iinfo(np.int64).max)
        np.minimum.at(first, part, np.arange(len(part)) if rows is None else rows)
        large = np.argsort(-sizes, kind="stable")[:LARGEST]
        large = large[sizes[large] > 1]
        found = zip(sizes[large].tolist(), stay[large].astype(int).tolist(), first[large].tolist(), strict=True)
        self.groups = sorted([*self.groups, *found], key=lambda group: (-group[0], group[2]))[:LARGEST]

    def findings(self, level: float, ids: Any = None) -> list[Finding]:
        """The promises, the size of the largest group, and the largest groups themselves."""
        n = self.kept + self.dropped
        largest = self.groups[0][0] if self.groups else 1
        rows = [
            share_row("kept_with_kept_duplicate", self.doubles, self.kept, level),
            share_row("dropped_without_kept_duplicate", self.orphans, self.dropped, level),
            Finding("largest_duplicate_group", float(largest), "rows", n, note=PAIR_NOTE),
        ]
        for place, (size, stay, first) in enumerate(self.groups, 1):
            extra: dict[str, str | int] = {
                "rank": place,
                "kept_rows": stay,
                "example": str(first if ids is None else ids[first]),
            }
            rows.append(Finding("duplicate_group", float(size), "rows", n, note=PAIR_NOTE, extra=extra))
        return rows


def promises(kept: ArrayLike, neighbours: Neighbours, threshold: float | None = None) -> tuple[Ints, Ints]:
    """Kept rows that have a kept duplicate, and dropped rows that have none, as row numbers."""
    mask = np.asarray(kept, dtype=bool)
    graph = graph_of(neighbours, threshold)
    count = np.bincount(graph.node[mask], minlength=graph.size)  # kept rows of every node
    source = np.repeat(np.arange(graph.size), graph.degrees)
    beside = np.zeros(graph.size, np.int64)
    np.add.at(beside, source, (count[graph.indices] > 0).astype(np.int64))
    near, own = beside[graph.node], count[graph.node]
    return np.flatnonzero(mask & ((near > 0) | (own > 1))), np.flatnonzero(~mask & (near == 0) & (own == 0))


def groups_of(graph: Graph) -> Ints:
    """Connected group of every row."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    matrix = csr_matrix((np.ones(len(graph.indices), np.int8), graph.indices, graph.indptr), (graph.size, graph.size))
    _, part = connected_components(matrix, directed=False)
    return np.asarray(part, np.int64)[graph.node]


def duplicates_of(neighbours: Neighbours, threshold: float | None = None) -> Ints:
    """How many duplicates every row has within its cluster, equal rows counted one by one, ``int64 [n]``."""
    graph = graph_of(neighbours, threshold)
    size = np.diff(graph.starts)
    source = np.repeat(np.arange(graph.size), graph.degrees)
    beside = np.zeros(graph.size, np.int64)
    np.add.at(beside, source, size[graph.indices])
    return (beside + size - 1)[graph.node]


def border_recall(
    vectors: Any, clusters: ArrayLike, centroids: ArrayLike, within: ArrayLike, *, threshold: float, rows: ArrayLike,
    probes: int = PROBES, level: float = 0.95,
) -> Finding:  # fmt: skip
    """Share of duplicate pairs that lie within clusters, estimated from a sample of rows.

    Every sampled row is compared with the members of the `probes` centroids next nearest to it; its pairs there are
    held against its pairs at home. A pair counts once for each of its ends that is sampled, so the ratio of the two
    sums estimates the share of all pairs; the interval is that of a ratio of means.

    Parameters
    ----------
    vectors : (n, d) array or a store's view
    clusters, centroids
        As in `border_pairs`.
    within : (n,) integers
        Duplicates of every row within its cluster, see `duplicates_of`; read at `rows` only.
    rows : (m,) row numbers
        The sample.

    Returns
    -------
    Finding
        ``border_recall``, with n = the rows sampled; NaN when none of them has a duplicate.
    """
    from scipy.special import ndtri

    sample = np.unique(np.asarray(rows, dtype=np.int64))
    codes = np.asarray(clusters)
    found = border_pairs(vectors, codes, centroids, threshold=threshold, probes=probes, rows=sample)
    across = np.zeros(len(codes), np.int64)
    np.add.at(across, found.first, 1)
    np.add.at(across, found.second, 1)
    home, away = np.asarray(within)[sample].astype(np.float64), across[sample].astype(np.float64)
    total = home + away
    note = f"sampled rows against {found.probes} clusters beside their own; pairs farther off are not seen"
    if not total.sum():
        return Finding("border_recall", math.nan, "share", len(sample), note="no sampled row has a duplicate")
    recall = float(home.sum() / total.sum())
    error = float(np.sqrt(((home - recall * total) ** 2).sum()) / total.sum())
    half = float(ndtri((1 + level) / 2)) * error
    low, high = max(0.0, recall - half), min(1.0, recall + half)
    return Finding(
        "border_recall", recall, "share", len(sample), low, high, level, "ratio of sampled degrees", note=note,
        extra={"pairs_within": int(home.sum()), "pairs_across": int(away.sum()), "probes": found.probes},
    )  # fmt: skip


def example_rows(keep: KeepList, ids: Any = None, *, most: int = EXAMPLES) -> list[Finding]:
    """Dropped rows beside their witnesses: half of them the least similar, the rest spread over all similarities."""
    dropped = np.flatnonzero(~keep.kept & (keep.witness >= 0))
    order = dropped[np.argsort(keep.similarity[dropped], kind="stable")]
    doubtful = order[: most // 2]
    rest = order[most // 2 :]
    spread = rest[np.unique(np.linspace(0, len(rest) - 1, min(len(rest), most - len(doubtful))).astype(int))]
    names = np.arange(len(keep)) if ids is None else ids
    rows = []
    for row in (*doubtful.tolist(), *spread.tolist()):
        extra = {"dropped": str(names[row]), "witness": str(names[int(keep.witness[row])]),
                 "reason": str(keep.reason[row])}  # fmt: skip
        similarity = float(keep.similarity[row])
        rows.append(Finding("example_pair", similarity, "cosine", 1, note="one pair: no interval", extra=extra))
    return rows


def with_thumbnails(rows: Sequence[Finding], dataset: Any, *, side: int = 72) -> list[Finding]:
    """Example pairs with small pictures of both, read from a dataset whose ids are those of the store."""
    from dataclasses import replace

    wanted = {str(row.extra[name]) for row in rows for name in ("dropped", "witness")}
    pictures: dict[str, str] = {}
    for record in dataset:
        if record.id in wanted and record.image is not None:
            pictures[record.id] = _data_uri(decode_image(record.image()), side)
            if len(pictures) == len(wanted):
                break
    if rows and not pictures:
        raise InputError(
            f"{dataset.name}: none of the ids of the examples is there, such as {min(wanted)!r}. Expected the dataset "
            "that was embedded."
        )
    return [
        replace(row, extra={**row.extra, **{f"{n}_picture": pictures.get(str(row.extra[n]), "") for n in
                                            ("dropped", "witness")}})
        for row in rows
    ]  # fmt: skip


def _data_uri(image: Any, side: int) -> str:
    import base64
    import io

    small = image.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def share_row(metric: str, hits: int, n: int, level: float, *, groups: str = "") -> Finding:
    """A share with its Wilson interval, NaN where there is nothing to take a share of."""
    if not n:
        return Finding(metric, math.nan, "share", 0, groups=groups, note="no rows to take a share of")
    low, high = wilson(hits, n, level)
    return Finding(metric, hits / n, "share", n, low, high, level, "wilson", groups=groups, extra={"count": hits})


__all__ = [
    "Tally", "border_recall", "duplicates_of", "example_rows", "groups_of", "promises",
    "share_row", "with_thumbnails",
]  # fmt: skip
