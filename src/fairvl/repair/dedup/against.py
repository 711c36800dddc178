"""A new shard against what is kept already: rows that a kept row stands for go first, the rest is decided as ever."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...sources.store import EmbeddingStore
from .files import read_kept
from .keeplist import COVERED, KeepList
from .kmeans import TwoLevel, assign
from .neighbours import Neighbours
from .pairs import close_between, decided, guard_band
from .rows import Ints, Rows, dots, float32_rows, prepared, representatives
from .select import Plan, decide

_ROWS = 65_536
NONE = -1


@dataclass(frozen=True)
class KeptSet:
    """The store that holds the kept rows, and which of its rows are kept."""

    store: EmbeddingStore
    rows: Ints
    centroids: Path | None = None

    @classmethod
    def open(cls, given: Any) -> KeptSet:
        """A store of which everything is kept, or a pair (store, folder or ``keep.parquet`` of its run)."""
        pair = given if isinstance(given, tuple) else (given, None)
        if len(pair) != 2:
            raise InputError(f"against= of {len(pair)} parts; expected a store, or a store and its keep list.")
        store = pair[0] if isinstance(pair[0], EmbeddingStore) else EmbeddingStore.open(pair[0])
        if pair[1] is None:
            return cls(store, np.arange(len(store)))
        path = Path(pair[1])
        path = path / "keep.parquet" if path.is_dir() else path
        found = path.parent / "centroids.npy"
        return cls(store, np.sort(store.rows(read_kept(path))), found if found.exists() else None)


def spread_kept(settings: Mapping[str, Any], spec: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Kept rows of one range, sorted by bucket and cluster, beside the centroids of the run."""
    store = EmbeddingStore.open(settings["against"])
    view = store.image_vectors if settings["kind"] == "image" else store.text_vectors
    start, stop = spec["kept"]
    rows = np.load(Path(settings["out"]) / "inputs" / "kept_rows.npy", mmap_mode="r")[start:stop]
    vectors = prepared(view.read(np.array(rows)))[0]
    centroids = np.load(Path(settings["out"]) / "centroids.npy")
    two = TwoLevel.of(centroids) if settings["two_levels"] else None
    clusters = (assign(vectors, centroids) if two is None else two.assign(vectors)).clusters
    buckets = settings["buckets"]
    by = np.lexsort((rows, clusters, clusters % buckets))
    target = folder / "kept" / f"part-{spec['part']:05d}"
    target.mkdir(parents=True)
    np.save(target / "rows.npy", rows[by])
    np.save(target / "clusters.npy", clusters[by])
    np.save(target / "vectors.npy", vectors[by])
    edges = np.cumsum(np.bincount(clusters % buckets, minlength=buckets))
    return {"offsets": [0, *edges.tolist()]}


def read_kept_bucket(out: Path, offsets: Any, number: int) -> dict[str, NDArray[Any]]:
    """Kept rows of one bucket."""
    found: dict[str, list[NDArray[Any]]] = {"rows": [], "clusters": [], "vectors": []}
    for part, edges in enumerate(offsets):
        for name, pieces in found.items():
            whole = np.load(out / "kept" / f"part-{part:05d}" / f"{name}.npy", mmap_mode="r")
            pieces.append(np.array(whole[edges[number] : edges[number + 1]]))
    return {name: np.concatenate(pieces) for name, pieces in found.items()}


def covered(
    vectors: Rows, clusters: Ints, kept: Mapping[str, NDArray[Any]], threshold: float
) -> tuple[Ints, NDArray[np.float64]]:
    """For every row the kept row of its cluster that is most like it above `threshold`, -1 without one, and how like.

    Rows with equal bytes are like each other with 1, as in the pass.
    """
    witness, best = np.full(len(vectors), NONE), np.full(len(vectors), np.nan)
    if threshold >= 1:
        return witness, best
    guard = guard_band(vectors.shape[1])
    for code in np.intersect1d(clusters, kept["clusters"]).tolist():
        mine, theirs = np.flatnonzero(clusters == code), np.flatnonzero(kept["clusters"] == code)
        new, old = vectors[mine], kept["vectors"][theirs].astype(vectors.dtype, copy=False)
        same = representatives(np.concatenate([old, new]))[len(old) :]
        equal = same < len(old)
        witness[mine[equal]], best[mine[equal]] = kept["rows"][theirs[same[equal]]], 1.0
        for found in close_between(float32_rows(new), float32_rows(old), threshold, guard):
            first, second, _ = decided(found, threshold, guard, new, others=old)
            similarity = dots(new, first, second, old)
            for row, other, value in _best(first, second, similarity):
                if not equal[row] and not best[mine[row]] >= value:  # NaN too
                    witness[mine[row]], best[mine[row]] = kept["rows"][theirs[other]], value
    return witness, best


def _best(first: Ints, second: Ints, similarity: NDArray[np.float64]) -> Iterable[tuple[int, int, float]]:
    by = np.lexsort((second, -similarity, first))
    first, second, similarity = first[by], second[by], similarity[by]
    new = np.ones(len(by), bool)
    new[1:] = first[1:] != first[:-1]
    return zip(first[new].tolist(), second[new].tolist(), similarity[new].tolist(), strict=True)


def decide_beside(lists: Neighbours, plan: Plan, level: float, witness: Ints, similarity: Any) -> KeepList:
    """The keep list of a bucket of which some rows are covered by kept ones; their witness is ``-2 - row``."""
    rest = np.flatnonzero(witness == NONE)
    inner = decide(lists.among(rest), plan.among(rest), level)
    n = len(lists)
    kept, why = np.zeros(n, bool), np.full(n, COVERED, np.int8)
    found, like = -2 - witness, np.array(similarity, np.float64)
    kept[rest], why[rest], like[rest] = inner.kept, inner.reasons, inner.similarity
    found[rest] = np.where(inner.kept, NONE, rest[inner.witness])
    return replace(inner, kept=kept, witness=found, similarity=like, reasons=why)


__all__ = ["KeptSet", "covered", "decide_beside", "read_kept_bucket", "spread_kept"]
