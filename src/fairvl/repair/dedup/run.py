"""`fairvl.dedup`: a store of any size into a keep list, stage by stage, resumable at every one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError, JobError, StoreError
from ...fingerprints import fingerprint
from ...jobs import run_job
from ...sources.datasets import load_dataset
from ...sources.store import EmbeddingStore
from ...sources.store.write import write_array
from . import stages
from .against import KeptSet, spread_kept
from .audit import audit_keep
from .checks import SAMPLE, Tally, border_recall, duplicates_of, example_rows, with_thumbnails
from .concepts import Concepts
from .files import write_keep, write_subset
from .graph import graph_of
from .inputs import given_inputs
from .keeplist import REFILLED, TRIMMED, KeepList
from .kmeans import number_of_clusters
from .ledger import Ledger, merged, rounds
from .pairs import BLOCK, tiles
from .prototypes import GATE
from .rows import float32_rows
from .rules import ranked
from .select import POLICIES, check_options
from .size import earlier_similarity, even_out, nearest_threshold

ROWS_PER_PART = 100_000
FIT_BYTES = 2**29  # float32 rows of the fit
ROWS_PER_BUCKET = 20_000
MOST_BUCKETS = 512
SEARCHED_ROWS = 100_000  # sizes are searched on whole buckets of about this many rows
PILOT_ROWS = 50_000
ATTEMPTS = 4
SAME_STORE = (
    "warning: the store is held against itself, so every row that is kept there goes as a duplicate of itself; "
    "expected new rows first, and after --against (against=) the store that is kept already."
)


def dedup(
    store: EmbeddingStore | Path | str,
    out: Path | str,
    *,
    policy: str = "fair",
    keep: float | None = None,
    threshold: float | None = None,
    concepts: Any = None,
    relevant: ArrayLike | None = None,
    target: Any = "population",
    quality: Any = None,
    encoder: Any = None,
    gate: Any = GATE,
    temperature: float = 1.0,
    ledger: str = "cluster",
    labels: Mapping[str, Any] | None = None,
    thumbnails: Any = None,
    against: Any = None,
    kind: str = "image",
    clusters: int | None = None,
    memory: float | None = None,
    seconds: float | None = None,
    centroids: Path | str | None = None,
    buckets: int | None = None,
    rows_per_part: int = ROWS_PER_PART,
    iterations: int = 20,
    block: int = BLOCK,
    engine: str = "local",
    workers: int | None = 0,
    seed: int = 0,
    **options: Any,
) -> KeepList:
    """Deduplicate a store: keep list, witness list and an audit in folder `out`.

    Kill it at any time and call it again: `out` ends with the bytes of an uninterrupted run. Memory is bounded by
    one part, one bucket and a few numbers per row.

    Parameters
    ----------
    store : EmbeddingStore or path
        Also a clip-retrieval folder.
    out : path
        New folder, or that of an interrupted run with the same settings. Gets ``keep.parquet`` (id, kept, witness,
        similarity, reason), ``findings.json``, and ``subset.npy`` (DataComp) when all ids are 128-bit hex uids.
    policy, ledger, target, relevant, **options
        As in `select`. ``rounds(n)`` deals buckets to rounds, and a bucket goes through its clusters in order.
    keep, threshold : float
        Share of rows to keep, or the cosine above which rows are duplicates; exactly one of them.
    concepts : (n, p) array, labels, or names of columns of the store
        ``"gender"``, or ``"gender,age"`` for every combination of both. With `encoder`: banks of prompts instead, by
        id or path, such as ``"zero-shot-gender"``; see `bank_concepts`.
    encoder : Encoder or its name, optional
        The one that made the vectors; it encodes the prompts of the banks.
    gate, temperature
        As in `bank_concepts`.
    quality : (n,) array or the name of a column
    labels : mapping of attribute to labels, optional
        What the audit looks at beside `concepts`.
    thumbnails : Dataset or its name, optional
        Where the pictures of the store lie; the example pairs of the audit then carry small ones.
    against : store, or (store, folder or ``keep.parquet`` of its run), optional
        What is kept already. Rows of `store` that duplicate a kept row of it (in its cluster) are dropped with that
        row as witness; the rest is decided as ever, so that no kept row, old or new, has a kept duplicate. Needs
        `threshold`; the clusters are those of the earlier run where it is given.
    clusters : int, optional
        Number of clusters; default `number_of_clusters` for the budgets `memory` (bytes) and `seconds`, without them
        the square root of half the rows, where assigning and comparing cost the same.
    centroids : path of a .npy file, optional
        Centroids from elsewhere, instead of a fit.
    buckets : int, optional
        Pieces that are compared and chosen from independently; default about 20,000 rows each, at most 512.
    engine, workers
        As in `run_job`.

    Returns
    -------
    KeepList

    Raises
    ------
    InputError, StoreError, ConfigMismatchError, JobError

    Examples
    --------
    >>> import tempfile
    >>> from fairvl.sources.store import write_store
    >>> folder = tempfile.mkdtemp()
    >>> store = write_store(folder + "/s", ids=["a", "b", "c"], image_vectors=[[1, 0], [1, 0], [0, 1]])
    >>> dedup(store, folder + "/out", threshold=0.9).kept_ids
    ('a', 'c')
    """
    check_options(dedup, policy, options)
    # Opened anew in any case: a store that was cut since it was opened is refused here, not in the middle.
    store = EmbeddingStore.open(store.folder if isinstance(store, EmbeddingStore) else store)
    n = len(store)
    _check(policy, keep, threshold, kind, n, seed)
    out = Path(out)
    given = given_inputs(
        store, policy=policy, concepts=concepts, relevant=relevant, target=target, quality=quality, encoder=encoder,
        gate=gate, temperature=temperature, kind=kind,
    )  # fmt: skip
    inputs, known = dict(given.arrays), given.concepts
    beside = None if against is None else KeptSet.open(against)
    if beside is not None:
        if threshold is None:
            raise InputError("against= needs threshold=, that of the kept set's own run; keep= would cut across both.")
        inputs["kept_rows"] = beside.rows
        centroids = centroids if centroids is not None else beside.centroids
    dim = (store.image_vectors if kind == "image" else store.text_vectors).dim
    k = min(n, clusters or number_of_clusters(n, dim, memory=memory, seconds=seconds))
    number = buckets or max(1, min(k, MOST_BUCKETS, math.ceil(n / ROWS_PER_BUCKET)))
    settings: dict[str, Any] = {
        "store": str(store.folder), "out": str(out), "kind": kind, "seed": seed, "k": k,
        "sample": _sample(k, dim, memory),
        "iterations": iterations, "centroids": None if centroids is None else str(centroids), "buckets": number,
        "block": block, "policy": policy, "ledger": ledger, "options": dict(options),
        "concepts": known is not None, "target": [] if known is None else known.target.tolist(),
        "strata": None if known is None or known.strata is None else known.strata.plain(),
        "against": None if beside is None else str(beside.store.folder),
    }  # fmt: skip
    rounds(ledger, number)
    config = {name: value for name, value in settings.items() if name not in ("store", "out", "against")}
    settings["notes"] = {"concepts_note": given.note} if given.note else {}
    if beside is not None and beside.store.fingerprint == store.fingerprint:
        settings["notes"]["against_note"] = SAME_STORE
    config |= {
        "fingerprint": store.fingerprint, "against": None if beside is None else beside.store.fingerprint,
        "rows_per_part": rows_per_part, "keep": keep, "threshold": threshold,
        "inputs": {name: fingerprint(np.ascontiguousarray(value).tobytes()) for name, value in inputs.items()},
        "centroids": None if centroids is None else fingerprint(Path(centroids).read_bytes()),
    }  # fmt: skip
    run = partial(_stage, out, config, settings, engine, workers)
    run("keys", [{"keys": n}], stages.keys)
    run("clusters", [{"fit": k}], stages.fit)
    for name, value in inputs.items():
        if not (out / "inputs" / f"{name}.npy").exists():
            write_array(out / "inputs" / f"{name}.npy", value)
    edges = [*range(0, n, rows_per_part), n]
    parts = [{"part": i, "rows": [a, b]} for i, (a, b) in enumerate(pairwise(edges))]
    settings["offsets"] = np.array([facts["offsets"] for facts in run("parts", parts, stages.partition)])
    if beside is not None:
        edges = [*range(0, len(beside.rows), rows_per_part), len(beside.rows)]
        parts = [{"part": i, "kept": [a, b]} for i, (a, b) in enumerate(pairwise(edges))]
        settings["two_levels"] = len(np.load(out / "centroids.npy", mmap_mode="r")) >= stages.TWO_LEVELS_FROM
        settings["kept_offsets"] = [list(facts["offsets"]) for facts in run("kept", parts, spread_kept)]
    level = _compare(out, settings, run, keep, threshold, n)
    settings["level"] = level
    chosen = _choose(out, settings, run)
    result = _gathered(out, settings, n, chosen, keep, known, store)
    if beside is not None:
        result = replace(result, others=beside.store.table(["id"]).column("id"))
    more = _checked(out, settings, store, result, thumbnails)
    name = store.folder.name
    findings = audit_keep(result, labels={**given.labels, **(labels or {})}, more=more, dataset=name, seed=seed)
    findings.write(out / "findings.json")
    write_keep(out / "keep.parquet", result)
    write_subset(out / "subset.npy", result)
    return result


class _Names:
    """Ids by row number, one at a time: a Python string for each of many million rows would fill the memory."""

    def __init__(self, store: EmbeddingStore) -> None:
        self._column = store.table(["id"]).column("id")

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: Any) -> str:
        name: str = self._column[int(row)].as_py()
        return name


def _sample(k: int, dim: int, memory: float | None) -> int:
    """Rows that the fit looks at: 256 per cluster, fewer where they would take gigabytes, but 32 at least."""
    most = FIT_BYTES if memory is None else memory / 2
    return max(32 * k, min(256 * k, int(most / (4 * dim))))


def _checked(out: Path, settings: dict[str, Any], store: EmbeddingStore, keep: KeepList, thumbnails: Any) -> list[Any]:
    """Promises, largest groups, recall across borders and example pairs of a finished run."""
    n = len(store)
    ids = _Names(store)
    tally = Tally()
    codes, within = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for number in range(settings["buckets"]):
        bucket = stages.read_bucket(out, settings["offsets"], number)
        if len(bucket.rows):
            lists = stages.read_lists(out, settings, number, bucket)
            tally.add(keep.kept[bucket.rows], lists, keep.threshold, bucket.rows, keep.witness[bucket.rows] < -1)
            codes[bucket.rows], within[bucket.rows] = bucket.clusters, duplicates_of(lists, keep.threshold)
    rows = tally.findings(0.95, ids)
    if settings["k"] > 1:
        size = min(n, SAMPLE if n <= 1_000_000 else SAMPLE // 4)
        sample = np.random.default_rng(settings["seed"]).choice(n, size, replace=False)
        view = store.image_vectors if settings["kind"] == "image" else store.text_vectors
        centroids = np.load(out / "centroids.npy")
        rows.append(border_recall(view, codes, centroids, within, threshold=keep.threshold, rows=sample))
    examples = example_rows(keep, ids)
    if thumbnails is not None:
        named = load_dataset(thumbnails) if isinstance(thumbnails, str) else thumbnails
        examples = with_thumbnails(examples, named)
    return rows + examples


def _stage(
    out: Path, config: Mapping[str, Any], settings: dict[str, Any], engine: str, workers: int | None,
    name: str, specs: list[dict[str, Any]], work: Callable[..., Any],
) -> list[Mapping[str, Any]]:  # fmt: skip
    try:
        done = run_job(
            out, specs, partial(work, dict(settings)), config=config, name=name, engine=engine, workers=workers,
            verify="quick",
        )  # fmt: skip
    except JobError as error:
        if isinstance(error.__cause__, (StoreError, InputError)):
            raise type(error.__cause__)(str(error)) from error  # the store or the settings are wrong, not the machine
        raise
    if not done.complete:
        raise JobError(f"{out}: stage {name!r} waits for the other parts of {engine}. Run this again after them.")
    return [facts or {} for facts in done.facts]


def _compare(
    out: Path, settings: dict[str, Any], run: Callable[..., Any], keep: float | None, threshold: float | None, n: int
) -> float:
    """Run the pass at a threshold that is low enough; the threshold that decides."""
    if keep is None:
        assert threshold is not None
        settings |= {"threshold": float(threshold), "lists": "neighbours"}
        run("neighbours", _bucket_specs(settings), stages.compare)
        return float(threshold)
    whole = settings["policy"] == "semdedup"  # its size is a quantile over all rows, that of others a search on some
    some = None if whole else _searched_buckets(settings)
    margin = 0.02 if whole else 0.04
    for attempt in range(ATTEMPTS):
        # Below the size asked for by a margin: policies differ, and the quantile comes from a sample of buckets.
        wanted = max(0.0, keep - margin * 2**attempt) if attempt < ATTEMPTS - 1 else 0.0
        least = _pilot(out, settings, wanted)
        name = "neighbours" if whole else "sizes"
        settings |= {"threshold": least, "lists": f"{name}-{attempt}" if attempt else name}
        run(settings["lists"], _bucket_specs(settings, some), stages.compare)
        try:
            level = _searched(out, settings, keep, n)
        except InputError:
            if wanted == 0.0:
                raise
            continue
        if not whole:
            settings |= {"threshold": level, "lists": "neighbours"}
            run("neighbours", _bucket_specs(settings), stages.compare)
        return level
    raise AssertionError("the last attempt returns or raises")


def _bucket_specs(settings: Mapping[str, Any], some: list[int] | None = None) -> list[dict[str, Any]]:
    sizes = np.diff(np.array(settings["offsets"]), axis=1).sum(axis=0)
    largest_first = np.argsort(-sizes, kind="stable").tolist()  # so that no worker is left alone with a large one
    return [{"bucket": b, "threshold": settings["threshold"]} for b in largest_first if some is None or b in some]


def _pilot(out: Path, settings: Mapping[str, Any], share: float) -> float:
    """A cosine at which the published rule keeps about `share`, from whole buckets, rounded down."""
    largest = [_largest_earlier(out, settings, bucket) for bucket in _searched_buckets(settings, PILOT_ROWS)]
    values = np.sort(np.concatenate(largest))
    level = float(values[min(len(values) - 1, int(share * len(values)))])
    return max(0.0, min(0.999, math.floor(level * 1000 - 1) / 1000))


def _largest_earlier(out: Path, settings: Mapping[str, Any], number: int) -> NDArray[np.float32]:
    """Float32 cosine of every row of a bucket with the nearest row before it in its cluster; no lists are kept."""
    bucket = stages.read_bucket(out, settings["offsets"], number)
    result = np.zeros(len(bucket.rows), np.float32)
    rank = bucket.rank
    cuts = np.flatnonzero(np.diff(bucket.clusters)) + 1
    for mine in np.split(np.arange(len(bucket.rows)), cuts):
        if len(mine) < 2:
            continue
        order = mine[np.argsort(rank[mine])]
        rows = float32_rows(bucket.vectors[order])
        best = np.zeros(len(order), np.float32)
        for one, two in tiles(len(order), len(order), settings["block"], triangle=True):
            product = rows[one] @ rows[two].T
            if two.start < one.stop:
                product[np.arange(one.start, one.stop)[:, None] >= np.arange(two.start, two.stop)] = 0
            np.maximum(best[two], product.max(axis=0), out=best[two])
        result[order] = best
    return result


def _searched_buckets(settings: Mapping[str, Any], rows: int = SEARCHED_ROWS) -> list[int]:
    sizes = np.diff(np.array(settings["offsets"]), axis=1).sum(axis=0)
    most = int(np.searchsorted(np.cumsum(sizes), rows) + 1)
    return [b for b in range(min(most, len(sizes))) if sizes[b]]


def _searched(out: Path, settings: dict[str, Any], keep: float, n: int) -> float:
    """The threshold that keeps about `keep`: a quantile over all rows for the published rule, else a search."""
    least = settings["threshold"]
    if settings["policy"] == "semdedup":
        level = None
        for _ in range(2):  # the second time with canonical cosines where the first one ended
            parts = []
            for number in range(settings["buckets"]):
                bucket = stages.read_bucket(out, settings["offsets"], number)
                if len(bucket.rows):
                    lists = stages.read_lists(out, settings, number, bucket)
                    parts.append(earlier_similarity(lists, bucket.rank, level))
            values = np.sort(np.concatenate(parts))
            level = float(values[max(1, round(keep * n)) - 1])
        assert level is not None
        if level <= least:
            raise InputError(f"keep={keep}: even at cosine {least} more rows are kept. Ask for a larger share.")
        return min(level, 1.0)
    searched = []
    for number in _searched_buckets(settings):
        bucket = stages.read_bucket(out, settings["offsets"], number)
        lists = stages.read_lists(out, settings, number, bucket)
        start = stages.read_concepts(out, settings).empty if settings["concepts"] else None
        searched.append((lists, stages.bucket_plan(out, settings, bucket, start)))
    rows = sum(len(lists) for lists, _ in searched)

    def kept_at(level: float) -> int:
        total = 0
        for lists, plan in searched:
            stands, _ = plan.stands(graph_of(lists, level))
            total += int((stands == np.arange(len(lists))).sum())
        return total

    return nearest_threshold(least, max(1, round(keep * rows)), kept_at, rows)


def _choose(out: Path, settings: dict[str, Any], run: Callable[..., Any]) -> Ledger:
    """Select in all buckets, round after round; the ledger of what is kept."""
    kept = stages.read_concepts(out, settings).empty if settings["concepts"] else Ledger.empty(0)
    dealt = rounds(settings["ledger"], settings["buckets"])
    for number, mine in enumerate(dealt):
        start = kept.plain()
        name = "select" if len(dealt) == 1 else f"select-{number:05d}"
        facts = run(name, [{"bucket": b, "ledger": start, "level": settings["level"]} for b in mine], stages.choose)
        kept = merged((Ledger.read(f["ledger"]) for f in facts), kept)
    return kept


def _gathered(
    out: Path, settings: Mapping[str, Any], n: int, ledger: Ledger, keep: float | None, known: Concepts | None,
    store: EmbeddingStore,
) -> KeepList:  # fmt: skip
    kept, witness = np.zeros(n, bool), np.full(n, -1)
    similarity, reasons = np.full(n, np.nan), np.zeros(n, np.int8)
    near, keys = np.zeros(n), np.zeros(n, np.uint64)
    for number in range(settings["buckets"]):
        bucket = stages.read_columns(out, settings["offsets"], number, ("rows", "similarity", "keys"))
        rows = bucket["rows"]
        folder = out / "select" / f"bucket-{number:05d}"
        for name, column in (("kept", kept), ("witness", witness), ("similarity", similarity), ("reasons", reasons)):
            column[rows] = np.load(folder / f"{name}.npy")
        near[rows], keys[rows] = bucket["similarity"], bucket["keys"]
    if keep is not None:
        change = max(1, round(keep * n)) - int(kept.sum())
        rows = even_out(kept, change, ranked((near, keys), np.arange(n)), known)
        kept[rows] = change > 0
        reasons[rows] = REFILLED if change > 0 else TRIMMED
        witness[rows], similarity[rows] = -1, np.nan
    if known is not None:
        ledger = known.ledger(kept)
    return KeepList(
        kept, witness, similarity, reasons, settings["policy"], settings["level"], keep,
        ledger if known is not None else None, store.table(["id"]).column("id"),
        {"ledger": settings["ledger"], "clusters": settings["k"], **settings["notes"], **settings["options"]},
    )  # fmt: skip


def _check(policy: str, keep: float | None, threshold: float | None, kind: str, n: int, seed: int) -> None:
    if policy not in POLICIES:
        raise InputError(f"policy={policy!r}; expected one of {', '.join(POLICIES)}.")
    if (keep is None) == (threshold is None):
        raise InputError("give keep= (a share of rows) or threshold= (a cosine); exactly one of them.")
    if keep is not None and not 0 < keep <= 1:
        raise InputError(f"keep={keep}; expected a share above 0 and up to 1.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"threshold={threshold}; expected a cosine from 0 to 1, such as 0.95.")
    if kind not in ("image", "text"):
        raise InputError(f"kind={kind!r}; expected 'image' or 'text'.")
    if n == 0:
        raise InputError("the store has no rows to deduplicate.")
    if seed < 0:
        raise InputError(f"seed={seed}; expected 0 or more.")


__all__ = ["dedup"]
