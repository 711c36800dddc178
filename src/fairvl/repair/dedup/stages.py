"""The stages of a run over a store: what each reads, and the files that it leaves.

``parts/part-00000``: rows of one range of the store, sorted by bucket and cluster, with their vectors, so that a
bucket is one contiguous piece of every part. ``neighbours/…`` and ``select/…``: one folder per bucket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import StoreError
from ...sources.store import EmbeddingStore, VectorView
from .against import covered, decide_beside, read_kept_bucket
from .bound import principal_axes
from .concepts import Concepts, Strata
from .kmeans import TwoLevel, assign, fit_ordered, id_keys
from .ledger import Ledger
from .neighbours import Neighbours, neighbours
from .pairs import guard_band
from .rows import Floats, Ints, prepared, read_rows, tie_order
from .rules import ranked
from .select import Plan, decide

COLUMNS = ("rows", "clusters", "similarity", "keys", "vectors")
TWO_LEVELS_FROM = 2000  # centroids
AGREEMENT_ROWS = 2000
Settings = Mapping[str, Any]
Spec = Mapping[str, Any]
Offsets = Sequence[Sequence[int]] | NDArray[np.int64]


@dataclass(frozen=True)
class Bucket:
    """The rows of some whole clusters: row numbers of the store, in the order of clusters and rows."""

    rows: Ints
    clusters: Ints
    similarity: Floats
    keys: NDArray[np.uint64]
    vectors: NDArray[Any]

    @property
    def rank(self) -> Ints:
        """Place of every row, farthest from its centroid first, ties by id hash."""
        return ranked((self.similarity,), self.order)

    @property
    def order(self) -> Ints:
        """Rank by id hash."""
        return tie_order(len(self.keys), self.keys)


def keys(settings: Settings, spec: Spec, folder: Path) -> Mapping[str, Any]:
    """The id hash of every row; ids that repeat are refused."""
    store = EmbeddingStore.open(settings["store"])
    hashes = store_keys(store, slice(0, len(store)), settings["seed"])
    np.save(folder / "keys.npy", hashes)
    hashes.sort()
    if (hashes[1:] == hashes[:-1]).any():
        _ = store.ids  # which says what is wrong
    return {"rows": len(hashes)}


def fit(settings: Settings, spec: Spec, folder: Path) -> Mapping[str, Any]:
    """Centroids and principal axes, from the rows with the least id hashes."""
    view = store_view(settings)
    hashes = np.load(Path(settings["out"]) / "keys.npy")
    size = min(len(hashes), max(settings["sample"], settings["k"]))
    chosen = np.argpartition(hashes, size - 1)[:size]
    chosen = chosen[np.argsort(hashes[chosen])]
    del hashes
    rows = prepared(read_rows(view, chosen))[0].astype(np.float32, copy=False)
    given = settings["centroids"]
    facts: dict[str, Any] = {}
    if given is None:
        found = fit_ordered(
            rows, settings["k"], iterations=settings["iterations"], two_levels=settings["k"] >= TWO_LEVELS_FROM
        )
        centroids = found.centroids
        facts = {"history": list(found.history), "reseeded": found.reseeded, "sample": found.n}
    else:
        centroids = prepared(np.load(given, allow_pickle=False), "centroids")[0].astype(np.float32)
    if len(centroids) >= TWO_LEVELS_FROM:
        measured = TwoLevel.of(centroids).agreement(rows[:AGREEMENT_ROWS])
        facts["agreement"] = [measured.share, measured.low, measured.high, measured.n]
    np.save(folder / "centroids.npy", centroids)
    np.save(folder / "axes.npy", principal_axes(rows))
    return {**facts, "k": len(centroids)}


def partition(settings: Settings, spec: Spec, folder: Path) -> Mapping[str, Any]:
    """Cluster of every row of one range; the rows sorted by bucket."""
    view = store_view(settings)
    centroids = np.load(Path(settings["out"]) / "centroids.npy")
    two = TwoLevel.of(centroids) if len(centroids) >= TWO_LEVELS_FROM else None
    start, stop = spec["rows"]
    vectors, off = prepared(view.read(slice(start, stop)))
    found = assign(vectors, centroids) if two is None else two.assign(vectors)
    buckets = settings["buckets"]
    by = np.lexsort((np.arange(start, stop), found.clusters, found.clusters % buckets))
    counts = np.bincount(found.clusters % buckets, minlength=buckets)
    target = folder / "parts" / f"part-{spec['part']:05d}"
    target.mkdir(parents=True)
    values = {
        "rows": np.arange(start, stop)[by],
        "clusters": found.clusters[by],
        "similarity": found.similarity[by],
        "keys": np.load(Path(settings["out"]) / "keys.npy", mmap_mode="r")[start:stop][by],
        "vectors": vectors.astype(view.dtype, copy=False)[by],
    }
    for name, value in values.items():
        np.save(target / f"{name}.npy", value)
    return {"offsets": [0, *np.cumsum(counts).tolist()], "normalised": off}


def compare(settings: Settings, spec: Spec, folder: Path) -> Mapping[str, Any]:
    """The pairs of one bucket."""
    out = Path(settings["out"])
    bucket = read_bucket(out, settings["offsets"], spec["bucket"])
    target = folder / settings["lists"] / f"bucket-{spec['bucket']:05d}"
    target.mkdir(parents=True)
    if not len(bucket.rows):
        empty = np.empty(0, np.int64)
        values: tuple[NDArray[Any], ...] = (empty, empty, np.empty(0, np.float32), empty)
    else:
        found = neighbours(
            bucket.vectors, threshold=settings["threshold"], ids=bucket.keys, clusters=bucket.clusters,
            axes=np.load(out / "axes.npy"), block=settings["block"],
        )  # fmt: skip
        place = np.int32 if len(bucket.rows) < 2**31 else np.int64
        values = (
            found.first.astype(place), found.second.astype(place), found.similarity,
            found.representative.astype(place),
        )  # fmt: skip
    for name, value in zip(("first", "second", "similarity", "representative"), values, strict=True):
        np.save(target / f"{name}.npy", value)
    return {"pairs": len(values[0]), "rows": len(bucket.rows)}


def choose(settings: Settings, spec: Spec, folder: Path) -> Mapping[str, Any]:
    """What one bucket keeps, starting from a ledger."""
    out = Path(settings["out"])
    bucket = read_bucket(out, settings["offsets"], spec["bucket"])
    target = folder / "select" / f"bucket-{spec['bucket']:05d}"
    target.mkdir(parents=True)
    start = Ledger.read(spec["ledger"])
    facts: dict[str, Any] = {"kept": 0, "ledger": (start - start).plain()}
    kept = np.zeros(0, bool)
    witness, similarity, reasons = np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8)
    if len(bucket.rows):
        lists = read_lists(out, settings, spec["bucket"], bucket)
        plan = bucket_plan(out, settings, bucket, start)
        if settings["against"] is None:
            chosen = decide(lists, plan, settings["level"])
        else:
            beside = read_kept_bucket(out, settings["kept_offsets"], spec["bucket"])
            found = covered(bucket.vectors, bucket.clusters, beside, settings["level"])
            chosen = decide_beside(lists, plan, settings["level"], *found)
        kept, similarity, reasons = chosen.kept, chosen.similarity, chosen.reasons
        witness = np.where(chosen.witness < 0, chosen.witness, bucket.rows[np.maximum(chosen.witness, 0)])
        facts["kept"] = int(kept.sum())
        if plan.concepts is not None:
            facts["ledger"] = plan.concepts.ledger(kept).plain()
    for name, value in (("kept", kept), ("witness", witness), ("similarity", similarity), ("reasons", reasons)):
        np.save(target / f"{name}.npy", value)
    return facts


def bucket_plan(out: Path, settings: Settings, bucket: Bucket, start: Ledger | None) -> Plan:
    """The policy of a run as it applies to one bucket."""
    policy, seed = settings["policy"], settings["seed"]
    order = bucket.order
    if policy == "random":
        drawn = id_keys(bucket.keys.tolist(), seed + 1)
        rank = ranked((drawn,), order)
    elif policy == "quality":
        values = np.load(out / "inputs" / "quality.npy", mmap_mode="r")[bucket.rows]
        rank = ranked((-np.where(np.isnan(values), -np.inf, values),), order)
    else:
        rank = bucket.rank
    concepts = None
    if settings["concepts"]:
        concepts = read_concepts(out, settings).take(bucket.rows)
    inner = settings["ledger"] if settings["ledger"] == "cluster" else "global"
    return Plan(policy, rank, concepts, inner, settings["options"], start)


def read_concepts(out: Path, settings: Settings) -> Concepts:
    """Scores, relevance and target as the run saved them; the arrays stay on disk."""
    scores = np.load(out / "inputs" / "scores.npy", mmap_mode="r")
    relevant = np.load(out / "inputs" / "relevant.npy", mmap_mode="r")
    strata = None if settings["strata"] is None else Strata.read(settings["strata"])
    return Concepts(scores, relevant, np.array(settings["target"]), strata)


def read_bucket(out: Path, offsets: Offsets, number: int) -> Bucket:
    """The rows of one bucket, gathered from every part, in order of cluster and row."""
    return Bucket(**read_columns(out, offsets, number, COLUMNS))


def read_columns(out: Path, offsets: Offsets, number: int, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Some columns of one bucket, in order of cluster and row."""
    asked = dict.fromkeys((*names, "rows", "clusters"))
    columns = {}
    for name in asked:
        pieces = [
            _piece(out / "parts" / f"part-{part:05d}" / f"{name}.npy", int(edges[number]), int(edges[number + 1]))
            for part, edges in enumerate(offsets)
        ]
        columns[name] = np.concatenate(pieces)
    by = np.lexsort((columns["rows"], columns["clusters"]))
    return {name: columns[name][by] for name in names}


def _piece(path: Path, start: int, stop: int) -> NDArray[Any]:
    """Rows of a ``.npy`` file, read and not mapped: a mapped page counts as memory of the process."""
    offset, dtype, width = _header(path, path.stat().st_size)
    with open(path, "rb") as file:
        file.seek(offset + start * width * dtype.itemsize)
        flat = np.fromfile(file, dtype, (stop - start) * width)
    if len(flat) != (stop - start) * width:
        raise StoreError(f"{path}: ends early. Remove its part folder; the same command makes it again.")
    return flat if width == 1 else flat.reshape(stop - start, width)


@lru_cache(maxsize=2**16)
def _header(path: Path, size: int) -> tuple[int, np.dtype[Any], int]:
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return int(mapped.offset), mapped.dtype, 1 if mapped.ndim == 1 else int(mapped.shape[1])


def read_lists(out: Path, settings: Settings, number: int, bucket: Bucket) -> Neighbours:
    """The pass over one bucket, as `compare` wrote it."""
    folder = out / settings["lists"] / f"bucket-{number:05d}"
    first, second, similarity, representative = (
        np.load(folder / f"{name}.npy") for name in ("first", "second", "similarity", "representative")
    )
    return Neighbours(
        settings["threshold"], first.astype(np.int64), second.astype(np.int64), similarity,
        representative.astype(np.int64), bucket.clusters, bucket.order, bucket.vectors,
        guard_band(bucket.vectors.shape[1]),
    )  # fmt: skip


def store_view(settings: Settings) -> VectorView:
    """The vectors of a run."""
    store = EmbeddingStore.open(settings["store"])
    return store.image_vectors if settings["kind"] == "image" else store.text_vectors


def store_keys(store: EmbeddingStore, rows: slice, seed: int) -> NDArray[np.uint64]:
    """Hashes of the ids of some rows."""
    column = store.table(["id"]).column("id").slice(rows.start, rows.stop - rows.start)
    parts = [id_keys(chunk.to_pylist(), seed) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


__all__ = ["Bucket", "choose", "compare", "fit", "keys", "partition", "read_bucket", "read_columns", "read_lists"]
